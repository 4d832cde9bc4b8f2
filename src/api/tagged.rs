//! Answers that carry the version of what they show, and answers without a body.

use poem_openapi::{
    ApiResponse,
    payload::Json,
    types::{ParseFromJSON, ToJSON},
};

/// Something that was made.
#[derive(ApiResponse)]
pub(super) enum Made<T: ParseFromJSON + ToJSON> {
    /// Made, as it stands now.
    #[oai(status = 201)]
    Made(
        Json<T>,
        /// Its version: send it as `If-Match` to change it.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Something as it stands.
#[derive(ApiResponse)]
pub(super) enum Standing<T: ParseFromJSON + ToJSON> {
    /// As it stands now.
    #[oai(status = 200)]
    Standing(
        Json<T>,
        /// Its version: send it as `If-Match` to change it.
        #[oai(header = "ETag")]
        String,
    ),
}

/// Something that is there no more.
#[derive(ApiResponse)]
pub(super) enum Gone {
    /// It is there no more.
    #[oai(status = 204)]
    Gone,
}
