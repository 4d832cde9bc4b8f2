//! What an address can be asked for, told to whoever asks it for something else (RFC 9110, 15.5.6).

use std::sync::Arc;

use poem::{Endpoint, IntoResponse, Request, Response, http::StatusCode};
use serde_json::Value;

use super::{around::set, error};

/// The pages that are no operations of the document.
const PAGES: [&str; 3] = ["/docs", "/openapi.json", "/metrics"];

/// Knows the methods of every path. Cheap to clone.
#[derive(Clone)]
pub(super) struct Allow(Arc<Vec<(Vec<String>, String)>>);

impl Allow {
    /// As the document says.
    pub fn of(document: &str) -> Self {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        let parts = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let mut known: Vec<_> = PAGES.iter().map(|page| (parts(page), "GET, HEAD".to_owned())).collect();
        for (path, methods) in document["paths"].as_object().into_iter().flatten() {
            let names: Vec<String> =
                methods.as_object().into_iter().flatten().map(|(name, _)| name.to_uppercase()).collect();
            known.push((parts(path), names.join(", ")));
        }
        // Where a name and a parameter both fit, the router takes the name.
        known.sort_by_key(|(parts, _)| parts.iter().filter(|part| part.starts_with('{')).count());
        Self(Arc::new(known))
    }

    fn methods(&self, path: &str) -> Option<&str> {
        let asked: Vec<&str> = path.split('/').collect();
        let fits = |parts: &[String]| {
            parts.len() == asked.len()
                && parts.iter().zip(&asked).all(|(part, asked)| part.starts_with('{') || part == asked)
        };
        self.0.iter().find(|(parts, _)| fits(parts)).map(|(_, methods)| &**methods)
    }

    /// Puts `Allow` into every 405.
    pub async fn serve<E: Endpoint>(self, service: Arc<E>, request: Request) -> poem::Result<Response> {
        let path = request.original_uri().path().to_owned();
        let mut response = match service.call(request).await {
            Ok(response) => response.into_response(),
            Err(error) if error.status() == StatusCode::METHOD_NOT_ALLOWED => error::from_framework(error),
            Err(error) => return Err(error),
        };
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            set(&mut response, "allow", self.methods(&path).unwrap_or_default());
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_before_a_parameter() {
        let allow = Allow::of(r#"{"paths": {"/a/{id}": {"get": {}, "put": {}}, "/a/all": {"get": {}}}}"#);
        assert_eq!(allow.methods("/a/all"), Some("GET"));
        assert_eq!(allow.methods("/a/1"), Some("GET, PUT"));
        assert_eq!(allow.methods("/docs"), Some("GET, HEAD"));
        assert_eq!(allow.methods("/a"), None);
    }
}
