//! A JSON body, refused in words that say what is wrong and where.

use poem::{FromRequest, Request, RequestBody, Result};
use poem_openapi::{
    error::ParseRequestPayloadError,
    impl_apirequest_for_payload,
    payload::{Json, ParsePayload, Payload},
    registry::{MetaSchemaRef, Registry},
    types::ParseFromJSON,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON body. The framework checks it; what it finds is told in serde's words, which name the
/// missing field, where it has any.
#[derive(Debug)]
pub(super) struct Body<T>(pub T);

impl<T: ParseFromJSON> Payload for Body<T> {
    const CONTENT_TYPE: &'static str = Json::<T>::CONTENT_TYPE;

    fn check_content_type(content_type: &str) -> bool {
        Json::<T>::check_content_type(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON + DeserializeOwned> ParsePayload for Body<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = Vec::<u8>::from_request(request, body).await?;
        let refuse = |reason: String| ParseRequestPayloadError { reason };
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| refuse(format!("not JSON: {error}")))?;
        match T::parse_from_json(Some(value)) {
            Ok(value) => Ok(Self(value)),
            Err(error) => Err(refuse(match serde_json::from_slice::<T>(&bytes) {
                Err(named) => named.to_string(),
                Ok(_) => error.into_message(),
            })
            .into()),
        }
    }
}

impl_apirequest_for_payload!(Body<T>, T: ParseFromJSON + DeserializeOwned);
