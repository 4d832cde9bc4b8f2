//! Files as bodies: tables that come in, tables and cards that go out.

use poem::{Body, FromRequest, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{ParsePayload, Payload},
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

/// A table: comma or semicolon separated values, as they were sent.
#[derive(Debug)]
pub(super) struct Table {
    pub bytes: Vec<u8>,
    /// What the content type says of it.
    pub charset: Option<String>,
}

fn text() -> MetaSchemaRef {
    MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")))
}

/// The essence of a content type, and its charset.
fn media_type(content_type: &str) -> (String, Option<String>) {
    let mut parts = content_type.split(';');
    let essence = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let charset = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"').to_owned())
    });
    (essence, charset)
}

impl Payload for Table {
    const CONTENT_TYPE: &'static str = "text/csv";

    fn check_content_type(content_type: &str) -> bool {
        media_type(content_type).0 == Self::CONTENT_TYPE
    }

    fn schema_ref() -> MetaSchemaRef {
        text()
    }
}

impl ParsePayload for Table {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = Vec::<u8>::from_request(request, body).await?;
        let charset = request.content_type().and_then(|content_type| media_type(content_type).1);
        Ok(Self { bytes, charset })
    }
}

impl_apirequest_for_payload!(Table);

/// Something to keep as a file.
macro_rules! download {
    ($(#[$doc:meta])* $name:ident, $essence:literal, $full:literal) => {
        $(#[$doc])*
        pub(super) struct $name {
            pub body: Body,
            /// What the file is called.
            pub name: &'static str,
        }

        impl Payload for $name {
            const CONTENT_TYPE: &'static str = $essence;

            fn schema_ref() -> MetaSchemaRef {
                text()
            }
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                Response::builder()
                    .content_type($full)
                    .header("content-disposition", format!("attachment; filename=\"{}\"", self.name))
                    .body(self.body)
            }
        }

        impl poem_openapi::ApiResponse for $name {
            fn meta() -> MetaResponses {
                let content = vec![MetaMediaType { content_type: Self::CONTENT_TYPE, schema: Self::schema_ref() }];
                let response =
                    MetaResponse { description: "", status: Some(200), status_range: None, content, headers: vec![] };
                MetaResponses { responses: vec![response] }
            }

            fn register(_registry: &mut Registry) {}
        }
    };
}

download! {
    /// A table.
    Csv, "text/csv", "text/csv; charset=utf-8; header=present"
}
download! {
    /// Contact cards.
    Cards, "text/vcard", "text/vcard; charset=utf-8"
}

download! {
    /// One JSON object per line.
    Lines, "application/x-ndjson", "application/x-ndjson"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_may_name_a_charset() {
        assert_eq!(media_type("text/csv"), ("text/csv".into(), None));
        assert_eq!(
            media_type("Text/CSV ;header=present; Charset=\"ISO-8859-1\""),
            ("text/csv".into(), Some("ISO-8859-1".into()))
        );
        assert!(Table::check_content_type("text/csv; charset=utf-8"));
        assert!(!Table::check_content_type("application/json"));
    }
}
