//! What a request says in its query, in a form or in JSON, whichever a script happens to use.

use std::collections::HashMap;

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef},
};
use serde_json::Value;

use crate::api::{error::Problem, text};

/// The body of a request as fields: a form, or a JSON object. What stands in the query goes first.
pub(super) struct Fields(HashMap<String, String>);

impl Fields {
    /// A field, wherever it stands.
    pub(super) fn get(&self, name: &str, in_query: Option<String>) -> Option<String> {
        in_query.or_else(|| self.0.get(name).cloned()).filter(|value| !value.trim().is_empty())
    }

    /// A field that must be there.
    pub(super) fn need(&self, name: &str, in_query: Option<String>) -> Result<String, Problem> {
        self.get(name, in_query).ok_or_else(|| Problem::malformed(format!("{name}: is missing")))
    }

    /// What is to be spoken.
    pub(super) fn message(&self, in_query: Option<String>) -> Result<String, Problem> {
        let message = text(self.need("message", in_query)?);
        if message.chars().count() > 100_000 {
            return Err(Problem::malformed("message: is longer than 100000 characters"));
        }
        Ok(message)
    }
}

fn read(content_type: &str, bytes: &[u8]) -> Result<HashMap<String, String>, String> {
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    if content_type.contains("json") {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
        let object = value.as_object().ok_or("not a JSON object")?;
        return Ok(object.iter().filter_map(|(name, value)| Some((name.clone(), plain(value)?))).collect());
    }
    let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
    Ok(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
}

impl<'a> ApiExtractor<'a> for Fields {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let fields = || {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some("The same fields as in the query."),
                ..MetaSchema::new("object")
            }))
        };
        let content = ["application/x-www-form-urlencoded", "application/json"]
            .map(|content_type| MetaMediaType { content_type, schema: fields() });
        Some(MetaRequest { description: None, content: content.into(), required: false })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        if bytes.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let content_type = request.content_type().unwrap_or_default().to_ascii_lowercase();
        Ok(Self(read(&content_type, &bytes).map_err(Problem::malformed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_json_say_the_same() {
        let form = read("application/x-www-form-urlencoded", b"phone=%2B39333&message=a%26b+%23%2B&x=").unwrap();
        assert_eq!((&*form["phone"], &*form["message"]), ("+39333", "a&b #+"));
        let json =
            read("application/json", br#"{"phone": 39333, "message": "a&backup_callee=true", "x": []}"#).unwrap();
        assert_eq!((&*json["phone"], &*json["message"]), ("39333", "a&backup_callee=true"));
        assert!(read("application/json", b"[]").is_err() && read("application/json", b"{").is_err());
    }
}
