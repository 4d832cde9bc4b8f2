//! Bodies, refused in words that say what is wrong and where: JSON, and forms.

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

/// A JSON body. The framework checks it, and so does serde, whose words are told where it has any.
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
        Self::parse(&bytes).map_err(|reason| ParseRequestPayloadError { reason }.into())
    }
}

impl<T: ParseFromJSON + DeserializeOwned> Body<T> {
    /// What these bytes say, or what is wrong with them.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("not JSON: {error}"))?;
        let value = without_null(value);
        // The framework knows the limits, and takes a number for a text. serde takes nothing for anything
        // else, and names the field that is missing.
        let named = T::deserialize(&value).map(drop);
        match (named, T::parse_from_json(Some(value))) {
            (Ok(()), Ok(value)) => Ok(Self(value)),
            (Err(named), _) => Err(named.to_string()),
            (Ok(()), Err(error)) => Err(error.into_message()),
        }
    }
}

/// What is null counts as left out: many programs write it so.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name, without_null(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(without_null).collect::<Vec<_>>().into(),
        other => other,
    }
}

impl_apirequest_for_payload!(Body<T>, T: ParseFromJSON + DeserializeOwned);

/// The fields of a form, each there once. The framework's own passes over the limits of its fields.
#[derive(Debug)]
pub(super) struct Form<T>(pub T);

impl<T: ParseFromJSON> Payload for Form<T> {
    const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: ParseFromJSON> ParsePayload for Form<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let bytes = Vec::<u8>::from_request(request, body).await?;
        let refuse = |reason: String| ParseRequestPayloadError { reason };
        let mut fields = serde_json::Map::new();
        for (name, value) in form_urlencoded::parse(&bytes) {
            let value = Value::String(value.into_owned());
            match fields.get_mut(&*name) {
                // A list is no text: whatever field is known is refused so.
                Some(there) => *there = Value::Array(vec![there.take(), value]),
                None => drop(fields.insert(name.into_owned(), value)),
            }
        }
        let read = T::parse_from_json(Some(Value::Object(fields)));
        Ok(Self(read.map_err(|error| refuse(error.into_message()))?))
    }
}

impl_apirequest_for_payload!(Form<T>, T: ParseFromJSON);
