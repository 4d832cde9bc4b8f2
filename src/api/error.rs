//! What went wrong, as RFC 9457 problem documents. The one place that maps errors to HTTP.

use poem::{IntoResponse, Response, http::StatusCode};
use poem_openapi::{ApiResponse, Object, payload::Json};

use crate::{phone::NotANumber, route::destination::Refusal, store};

/// The media type of RFC 9457.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// A problem document (RFC 9457). `type` is stable: programs may tell problems apart by it.
#[derive(Clone, Debug, Object)]
pub struct ProblemDocument {
    /// `urn:ringdown:problem:` and the kind of problem.
    #[oai(rename = "type")]
    pub type_: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here, and where.
    pub detail: String,
}

/// What a request can fail with.
#[derive(ApiResponse)]
pub enum Problem {
    /// The request cannot be understood: what is wrong, and where. Nothing was stored.
    #[oai(status = 400, content_type = "application/problem+json")]
    Malformed(Json<ProblemDocument>),
    /// No credential, or one that is not known.
    #[oai(status = 401, content_type = "application/problem+json")]
    Unauthorized(Json<ProblemDocument>),
    /// The credential is known, and does not allow this.
    #[oai(status = 403, content_type = "application/problem+json")]
    Forbidden(Json<ProblemDocument>),
    /// There is no such thing.
    #[oai(status = 404, content_type = "application/problem+json")]
    NotFound(Json<ProblemDocument>),
    /// It cannot be done to this any more.
    #[oai(status = 409, content_type = "application/problem+json")]
    Conflict(Json<ProblemDocument>),
    /// It has been changed since it was read: read it again, and decide again.
    #[oai(status = 412, content_type = "application/problem+json")]
    Changed(Json<ProblemDocument>),
    /// The body is larger than `server.body_limit`.
    #[oai(status = 413, content_type = "application/problem+json")]
    TooLarge(Json<ProblemDocument>),
    /// A value is understood and cannot be used, such as a number that may not be called.
    #[oai(status = 422, content_type = "application/problem+json")]
    Unprocessable(Json<ProblemDocument>),
    /// Say in `If-Match` which version is meant, so that nobody overwrites what somebody else has written.
    #[oai(status = 428, content_type = "application/problem+json")]
    VersionRequired(Json<ProblemDocument>),
    /// Too many requests with this credential, or too many wrong log-ins: wait as long as `Retry-After` says.
    #[oai(status = 429, content_type = "application/problem+json")]
    TooMany(
        Json<ProblemDocument>,
        /// Seconds to wait.
        #[oai(header = "Retry-After")]
        i64,
    ),
    /// The database does not answer, or too much is going on. Nothing was stored: try again.
    #[oai(status = 503, content_type = "application/problem+json")]
    Unavailable(Json<ProblemDocument>),
}

impl Problem {
    /// A value that cannot be understood.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::Malformed(document(StatusCode::BAD_REQUEST, "malformed", detail))
    }

    /// There is no such thing.
    pub(super) fn not_found(what: &str) -> Self {
        Self::NotFound(document(StatusCode::NOT_FOUND, "not-found", format!("there is no such {what}")))
    }

    /// It cannot be done to this any more.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::Conflict(document(StatusCode::CONFLICT, "conflict", detail))
    }

    /// A value is understood and cannot be used.
    pub(super) fn unprocessable(detail: impl Into<String>) -> Self {
        Self::Unprocessable(document(StatusCode::UNPROCESSABLE_ENTITY, "unprocessable", detail))
    }

    /// It cannot be deleted: something refers to it. `places` says what.
    pub(super) fn in_use(what: &str, places: &[String]) -> Self {
        let detail = format!("this {what} is used in {}: change that first", places.join("; "));
        Self::Conflict(document(StatusCode::CONFLICT, "in-use", detail))
    }

    /// It has been changed since it was read.
    pub(super) fn changed(version: i64) -> Self {
        let detail = format!("it has been changed meanwhile and is at version {version} now: read it again");
        Self::Changed(document(StatusCode::PRECONDITION_FAILED, "changed", detail))
    }

    /// It is not said which version is meant.
    pub(super) fn version_required() -> Self {
        let detail = "send the ETag that you have read as If-Match (or * to overwrite whatever is there)";
        Self::VersionRequired(document(StatusCode::PRECONDITION_REQUIRED, "version-required", detail))
    }

    /// Too much is going on for this now.
    pub(super) fn busy(detail: &str) -> Self {
        Self::Unavailable(document(StatusCode::SERVICE_UNAVAILABLE, "busy", detail))
    }

    /// The credential is missing or wrong.
    pub(super) fn unauthorized() -> Self {
        let detail = "send `Authorization: Bearer` with an API key or an access token";
        Self::Unauthorized(document(StatusCode::UNAUTHORIZED, "unauthorized", detail))
    }

    /// The credential does not allow this.
    pub(super) fn forbidden(scope: &str) -> Self {
        let detail = format!("this credential does not have the scope {scope}");
        Self::Forbidden(document(StatusCode::FORBIDDEN, "forbidden", detail))
    }

    /// Name and password do not fit, or the refresh token is not good.
    pub(super) fn wrong_password() -> Self {
        let detail = "name and password do not fit together, or the refresh token is not good any more";
        Self::Unauthorized(document(StatusCode::UNAUTHORIZED, "wrong-password", detail))
    }

    /// Too many log-ins have failed.
    pub(super) fn too_many_logins(wait: chrono::TimeDelta) -> Self {
        let seconds = wait.num_seconds() + 1;
        let detail = format!("too many log-ins have failed: try again in {seconds} s");
        Self::TooMany(document(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail), seconds)
    }

    /// What is asked for goes beyond the credential, and how.
    pub(super) fn forbidden_detail(detail: impl Into<String>) -> Self {
        Self::Forbidden(document(StatusCode::FORBIDDEN, "forbidden", detail))
    }

    /// It cannot be done now.
    pub(super) fn unavailable(detail: impl Into<String>) -> Self {
        Self::Unavailable(document(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail))
    }

    /// `field` is no number that can be dialled.
    pub(super) fn number(field: &str, error: &NotANumber) -> Self {
        let detail = format!("{field}: {error}");
        Self::Unprocessable(document(StatusCode::UNPROCESSABLE_ENTITY, "not-a-number", detail))
    }

    /// The number in `field` may not be dialled.
    pub(super) fn refused(field: &str, refusal: Refusal) -> Self {
        let detail = format!("{field}: {refusal}");
        Self::Unprocessable(document(StatusCode::UNPROCESSABLE_ENTITY, "destination-refused", detail))
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        tracing::error!(%error, "a request failed");
        Self::Unavailable(document(StatusCode::SERVICE_UNAVAILABLE, "unavailable", error.to_string()))
    }
}

fn document(status: StatusCode, kind: &str, detail: impl Into<String>) -> Json<ProblemDocument> {
    Json(ProblemDocument {
        type_: format!("urn:ringdown:problem:{kind}"),
        title: kind.replace('-', " "),
        status: status.as_u16(),
        detail: detail.into(),
    })
}

/// Any problem as a response, for what is not an operation of the document.
pub(super) fn response(status: StatusCode, kind: &str, detail: impl Into<String>) -> Response {
    let mut response = document(status, kind, detail).into_response();
    response.set_status(status);
    response.headers_mut().insert("content-type", poem::http::HeaderValue::from_static(MEDIA_TYPE));
    response
}

/// What the framework refuses by itself, in our words.
pub(super) fn from_framework(error: poem::Error) -> Response {
    let status = error.status();
    let detail = error.to_string();
    let ours = error.into_response();
    if ours.content_type().is_some_and(|media_type| media_type.starts_with(MEDIA_TYPE)) {
        return ours;
    }
    if status == StatusCode::UNAUTHORIZED {
        return Problem::unauthorized().into_response();
    }
    let kind = match status {
        StatusCode::BAD_REQUEST => "malformed",
        StatusCode::NOT_FOUND => "not-found",
        StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "unsupported-media-type",
        StatusCode::PAYLOAD_TOO_LARGE => "too-large",
        status if status.is_client_error() => "refused",
        _ => {
            tracing::error!(%status, detail, "a request failed");
            "internal"
        }
    };
    response(status, kind, detail)
}
