//! The OpenAPI document, as it is served and checked in.
//!
//! What the framework writes is nearly it. Put in here: which credentials there are and which scope an
//! operation needs of them, examples, what is the same everywhere, and which errors an operation can give
//! at all.

use poem_openapi::OpenApiService;
use serde_json::{Map, Value, json};

use super::{Apis, around, auth};
use crate::access::Scope;

/// An example of each schema that people write or read first, by its name.
const EXAMPLES: &str = include_str!("examples.json");

/// What a part of a path means, where the operation does not say it.
const PARTS: [(&str, &str); 7] = [
    ("call_id", "The call."),
    ("delivery", "Which delivery."),
    ("file", "The secret of the feed, and `.ics`."),
    ("id", "Which one, by its identifier."),
    ("name", "Which one, by its name."),
    ("override_id", "Which override."),
    ("window_id", "Which window."),
];

/// Headers that what stands around every request gives.
const HEADERS: [(&str, &str); 4] = [
    ("RateLimit", "What is left of the credential's requests, such as `\"credential\";r=99;t=1`."),
    ("RateLimit-Policy", "How many requests the credential has, such as `\"credential\";q=100;w=2`."),
    ("Retry-After", "Seconds to wait."),
    ("WWW-Authenticate", "`Bearer`."),
];

/// What is checked by hand, in better words than the framework has: a property, or what its items are.
const CHECKED: [(&str, &str, &str, Limit); 11] = [
    ("ContactFields", "tags", "items", Limit::Characters(1, 50)),
    ("GroupFields", "members", "items", Limit::Characters(1, 300)),
    ("NewAlert", "summary", "", Limit::Pattern(r"\S")),
    ("NewCall", "text", "", Limit::Pattern(r"\S")),
    ("NewKey", "scopes", "items", Limit::Characters(1, 64)),
    ("NewPassword", "new", "", Limit::Characters(12, 256)),
    ("NewUser", "password", "", Limit::Characters(12, 256)),
    ("Password", "password", "", Limit::Characters(12, 256)),
    ("Rule", "matchers", "items", Limit::Characters(1, 2000)),
    ("SilenceEdit", "matchers", "items", Limit::Characters(1, 2000)),
    ("ContactPin", "pin", "", Limit::Pattern("^[0-9]{4,12}$")),
];

/// What refuses a field that it does not know.
const STRICT: [&str; 4] = ["Holiday", "Hours", "Layer", "Target"];

enum Limit {
    Characters(u32, u32),
    Pattern(&'static str),
}

/// What answers with 404 though its path names nothing: what it asks for may not be there.
const MAY_BE_MISSING: [&str; 4] = ["get_caller_id_card", "get_on_call", "twilio_inbound", "twilio_status"];
/// What is believed by its signature.
const SIGNED: [&str; 2] = ["twilio_inbound", "twilio_status"];
/// What makes the thing that its path names, if there is none.
const MAKES_IT: [&str; 1] = ["put_heartbeat"];

/// The document.
pub(super) fn of(service: &OpenApiService<Apis, ()>) -> String {
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap_or_default();
    document["info"]["license"] = json!({
        "name": "MIT OR Apache-2.0",
        "url": "https://spdx.org/licenses/",
    });
    document["servers"] = json!([{ "url": "/", "description": "The server that this document comes from." }]);
    document["components"]["securitySchemes"] = credentials();
    document["components"]["headers"] = HEADERS
        .iter()
        .map(|(name, words)| ((*name).to_owned(), json!({ "description": words, "schema": { "type": "string" } })))
        .collect::<Map<_, _>>()
        .into();
    let paths = document["paths"].as_object_mut();
    for (path, methods) in paths.into_iter().flatten() {
        for (method, operation) in methods.as_object_mut().into_iter().flatten() {
            if operation.is_object() {
                let needs = secure(operation);
                parameters(operation);
                answers(operation, method, path, needs);
            }
        }
    }
    let examples: Map<String, Value> = serde_json::from_str(EXAMPLES).unwrap_or_default();
    for (name, example) in examples {
        if let Some(schema) = document["components"]["schemas"].get_mut(&name) {
            schema["example"] = example;
        }
    }
    limits(&mut document["components"]["schemas"]);
    plain(&mut document);
    format!("{document:#}\n")
}

fn limits(schemas: &mut Value) {
    for (name, property, items, limit) in CHECKED {
        let Some(mut schema) = schemas.get_mut(name).and_then(|schema| schema["properties"].get_mut(property)) else {
            continue;
        };
        if !items.is_empty() {
            schema = &mut schema[items];
        }
        match limit {
            Limit::Characters(least, most) => {
                schema["minLength"] = json!(least);
                schema["maxLength"] = json!(most);
            }
            Limit::Pattern(pattern) => schema["pattern"] = json!(pattern),
        }
    }
    for name in STRICT {
        if let Some(schema) = schemas.get_mut(name) {
            schema["additionalProperties"] = json!(false);
        }
    }
}

fn credentials() -> Value {
    let scopes: Map<String, Value> =
        Scope::ALL.iter().map(|scope| (scope.name().to_owned(), json!(scope.meaning()))).collect();
    json!({
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
    })
}

/// Whose credential an operation takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Needs {
    Nothing,
    Credential,
    Scope,
}

fn secure(operation: &mut Value) -> Needs {
    let scope = operation["security"][0].as_object().and_then(|scheme| scheme.keys().next().cloned());
    let Some(scope) = scope else {
        // Said, so that nobody wonders whether it was forgotten.
        operation["security"] = json!([]);
        return Needs::Nothing;
    };
    let (needs, needed, words) = match scope.as_str() {
        auth::ANY => (Needs::Credential, json!([]), "Needs a credential, whatever its scopes.".to_owned()),
        scope => (Needs::Scope, json!([scope]), format!("Needs the scope `{scope}`.")),
    };
    operation["security"] = json!([{ "key": [] }, { "token": needed }]);
    let before = operation["description"].as_str().map(|text| format!("{text}\n\n")).unwrap_or_default();
    operation["description"] = json!(format!("{before}{words}"));
    needs
}

fn parameters(operation: &mut Value) {
    for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
        let known = PARTS.iter().find(|(name, _)| parameter["name"] == *name);
        match known {
            Some((_, words)) if parameter["in"] == "path" && parameter.get("description").is_none() => {
                parameter["description"] = json!(words);
            }
            _ => {}
        }
    }
}

/// Leaves only those errors that the operation can give, puts in what the framework gives by itself, and
/// says which headers there are.
fn answers(operation: &mut Value, method: &str, path: &str, needs: Needs) {
    let Some(Value::Object(mut answers)) = operation.get_mut("responses").map(Value::take) else { return };
    let id = operation["operationId"].as_str().unwrap_or_default();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let parameters: Vec<&str> = parameters.filter_map(|parameter| parameter["name"].as_str()).collect();
    let has_body = operation.get("requestBody").is_some();
    let asks = has_body || !parameters.is_empty();
    let is_known = needs != Needs::Nothing;
    let is_intake = around::is_intake(method.eq_ignore_ascii_case("post"), path);
    let logs_in = path == "/api/v2/token";
    let can = |status: &str| match status {
        "400" | "422" => asks,
        "401" => is_known || logs_in,
        "403" => needs == Needs::Scope || SIGNED.contains(&id),
        "404" => {
            MAY_BE_MISSING.contains(&id)
                || id.starts_with("compat_") && is_known
                || path.contains('{') && !MAKES_IT.contains(&id)
        }
        "409" => is_known && method != "get",
        "412" | "428" => parameters.contains(&"If-Match"),
        "413" => has_body,
        "429" => is_known && !is_intake || logs_in,
        // Success, and what nobody is safe from.
        _ => true,
    };
    answers.retain(|status, _| can(status));
    if has_body && answers.contains_key("413") {
        answers.insert(
            "415".into(),
            json!({
                "description": "The body is of another media type, such as XML.",
                "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/ProblemDocument" } } },
            }),
        );
    }
    // Texts stand in the address there, as the predecessors had them, and HTTP has limits for addresses.
    if id.starts_with("compat_") && asks {
        for status in ["414", "431"] {
            answers.insert(
                status.into(),
                json!({ "description": "The address is too long: send the text as a form. The answer has no body." }),
            );
        }
    }
    for (status, answer) in answers.iter_mut() {
        if answer["description"] == "" {
            answer["description"] = json!("As it is asked for.");
        }
        let mut header =
            |name: &str| answer["headers"][name] = json!({ "$ref": format!("#/components/headers/{name}") });
        let counted = is_known && !is_intake && (status.starts_with('2') || status == "429");
        if counted {
            header("RateLimit");
            header("RateLimit-Policy");
        }
        match status.as_str() {
            "401" => header("WWW-Authenticate"),
            "429" | "503" => header("Retry-After"),
            _ => {}
        }
    }
    operation["responses"] = Value::Object(answers);
}

/// What is said of a property whose schema stands elsewhere: beside `allOf`, where generators look for it.
fn beside_the_reference(fields: &mut Map<String, Value>) {
    let Some(Value::Array(all)) = fields.get_mut("allOf") else { return };
    if all.len() == 2
        && all[0].get("$ref").is_some()
        && all[1].get("$ref").is_none()
        && let Some(Value::Object(said)) = all.pop()
    {
        fields.extend(said);
    }
}

/// JSON is `application/json`, without parameters (RFC 8259, 11); whole numbers have a range, and are
/// written as such.
fn plain(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if let Some(json) = fields.remove("application/json; charset=utf-8") {
                fields.insert("application/json".into(), json);
            }
            if fields.get("format").is_some_and(|format| format == "naive-date") {
                fields.insert("format".into(), json!("date"));
            }
            beside_the_reference(fields);
            // `format` alone binds nobody.
            let range = match fields.get("format").and_then(Value::as_str) {
                Some("uint16") => Some((0, i64::from(u16::MAX))),
                Some("uint32") => Some((0, i64::from(u32::MAX))),
                Some("int32") => Some((i64::from(i32::MIN), i64::from(i32::MAX))),
                Some("uint64") => Some((0, i64::MAX)),
                Some("int64") => Some((i64::MIN, i64::MAX)),
                _ => None,
            };
            if let Some((least, most)) = range {
                fields.entry("minimum").or_insert(json!(least));
                fields.entry("maximum").or_insert(json!(most));
            }
            fields.values_mut().for_each(plain);
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Number(number) =>
        {
            #[expect(clippy::cast_possible_truncation, reason = "it is compared with what it was")]
            if let Some(float) = number.as_f64().filter(|_| number.is_f64()) {
                let whole = float as i64;
                #[expect(clippy::cast_precision_loss, clippy::float_cmp, reason = "it is the very same, or it stays")]
                if whole as f64 == float {
                    *value = json!(whole);
                }
            }
        }
        _ => {}
    }
}
