//! The OpenAPI document, as it is served and checked in.
//!
//! What the framework writes is nearly it: which credentials there are, and which scope an operation
//! needs of them, is put in here.

use poem_openapi::OpenApiService;
use serde_json::{Map, Value, json};

use super::{Apis, auth};
use crate::access::Scope;

/// The document.
pub(super) fn of(service: &OpenApiService<Apis, ()>) -> String {
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    let scopes: Map<String, Value> =
        Scope::ALL.iter().map(|scope| (scope.name().to_owned(), json!(scope.meaning()))).collect();
    document["components"]["securitySchemes"] = json!({
        "key": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key. Made by `ringdown key create` or `POST /api/v2/keys`, or in the configuration.",
        },
        "token": {
            "type": "oauth2",
            "description": "An access token of somebody who has logged in.",
            "flows": {
                "password": { "tokenUrl": "/api/v2/token", "refreshUrl": "/api/v2/token", "scopes": scopes },
            },
        },
    });
    for path in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for operation in path.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let scope = operation["security"][0].as_object().and_then(|scheme| scheme.keys().next().cloned());
            let Some(scope) = scope else {
                // Said, so that nobody wonders whether it was forgotten.
                if operation.is_object() {
                    operation["security"] = json!([]);
                }
                continue;
            };
            let (needed, words) = match scope.as_str() {
                auth::ANY => (json!([]), "Needs a credential, whatever its scopes.".to_owned()),
                scope => (json!([scope]), format!("Needs the scope `{scope}`.")),
            };
            operation["security"] = json!([{ "key": [] }, { "token": needed }]);
            let before = operation["description"].as_str().map(|text| format!("{text}\n\n")).unwrap_or_default();
            operation["description"] = json!(format!("{before}{words}"));
        }
    }
    format!("{document:#}\n")
}
