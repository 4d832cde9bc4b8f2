//! Requests that are sent again: `Idempotency-Key`.
//!
//! Whoever gets no answer does not know whether a call was placed. Sent again under the same key, a
//! request is answered as it was the first time, and what it makes is made once: its identifier is chosen
//! and stored before the work begins, so that also after a crash, between the commit and the answer, the
//! one who runs it again finds what was made.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::TimeDelta;
use poem::{Body, Endpoint, IntoResponse, Request, RequestBody, Response, http::Method, http::StatusCode};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaParamIn, MetaSchema, MetaSchemaRef},
};
use serde::{Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};
use tracing::Instrument;
use uuid::Uuid;

use super::{auth, error};
use crate::{
    clock::Clock,
    id::IncidentId,
    store::{self, Admission, KeptAnswer, Store},
};

const HEADER: &str = "idempotency-key";
/// How long a request belongs to the server that runs it, should that one die.
const LEASE: TimeDelta = TimeDelta::seconds(15);
/// What is kept of an answer beside its status and body.
const HEADERS: [&str; 3] = ["content-type", "etag", "location"];

/// Knows what is running. Cheap to clone.
#[derive(Clone)]
pub(super) struct Keeper {
    store: Store,
    clock: Clock,
    /// This server, since it was started.
    runner: Uuid,
    running: Arc<Mutex<HashSet<String>>>,
}

/// A request under a key, while it runs.
struct Attempt {
    digest: String,
    chosen: IncidentId,
    again: bool,
    noted: Option<serde_json::Value>,
}

/// The parameter `Idempotency-Key` of an operation: what it makes, it makes once.
pub(super) struct Once(Option<Arc<Attempt>>);

impl Once {
    /// The identifier of what the operation makes.
    pub fn chosen(&self) -> IncidentId {
        self.0.as_ref().map_or_else(IncidentId::generate, |attempt| attempt.chosen)
    }

    /// Whether it was begun before, and ended nobody knows how.
    pub fn again(&self) -> bool {
        self.0.as_ref().is_some_and(|attempt| attempt.again)
    }

    /// Whether it was sent under a key.
    pub fn has_key(&self) -> bool {
        self.0.is_some()
    }

    /// What the operation has noted the first time; `fresh`, if this is the first time.
    pub async fn noted<T: Serialize + DeserializeOwned>(&self, store: &Store, fresh: T) -> Result<T, store::Error> {
        let Some(attempt) = &self.0 else { return Ok(fresh) };
        if let Some(noted) = attempt.noted.clone() {
            return Ok(serde_json::from_value(noted)?);
        }
        store.note_for_retry(attempt.digest.clone(), serde_json::to_value(&fresh)?).await?;
        Ok(fresh)
    }
}

impl<'a> ApiExtractor<'a> for Once {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::Parameter];

    type ParamType = String;
    type ParamRawType = String;

    fn param_in() -> Option<MetaParamIn> {
        Some(MetaParamIn::Header)
    }

    fn param_schema_ref() -> Option<MetaSchemaRef> {
        Some(MetaSchemaRef::Inline(Box::new(MetaSchema {
            min_length: Some(1),
            max_length: Some(255),
            pattern: Some("^[!-~]+$".into()),
            ..MetaSchema::new("string")
        })))
    }

    async fn from_request(
        request: &'a Request,
        _body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        Ok(Self(request.data::<Arc<Attempt>>().cloned()))
    }
}

impl Keeper {
    pub fn new(store: Store, clock: Clock) -> Self {
        Self { store, clock, runner: Uuid::from_u128(rand::random()), running: Arc::default() }
    }

    /// Runs a request, unless it was run before under the same key.
    pub async fn serve<E>(self, service: Arc<E>, mut request: Request) -> poem::Result<Response>
    where
        E: Endpoint + 'static,
    {
        let is_post = *request.method() == Method::POST && covers(request.uri().path());
        let Some(key) = request.headers().get(HEADER).filter(|_| is_post).cloned() else {
            return service.call(request).await.map(IntoResponse::into_response);
        };
        // Whoever is not known is refused there.
        let auth::Sender::Known(caller) = auth::sender(&request) else {
            return service.call(request).await.map(IntoResponse::into_response);
        };
        let several = request.headers().get_all(HEADER).iter().count() > 1;
        let visible = |key: &str| (1..=255).contains(&key.len()) && key.bytes().all(|c| c.is_ascii_graphic());
        let Some(key) = key.to_str().ok().filter(|key| !several && visible(key)) else {
            let detail = "Idempotency-Key: once, 1 to 255 visible ASCII characters";
            return Ok(error::response(StatusCode::BAD_REQUEST, "malformed", detail));
        };
        let body = request.take_body().into_bytes().await?;
        let operation = request.original_uri().path_and_query().map(ToString::to_string).unwrap_or_default();
        // Whoever may no longer do what they have done is not told what became of it.
        let scopes = caller.principal.scopes.names().join(" ");
        let known = store::Request {
            digest: digest(&[&caller.principal.owner(), &scopes, &operation, key]),
            body: hex::encode(Sha256::digest(&body)),
            runner: self.runner,
        };
        request.set_body(Body::from_bytes(body));
        let Some(guard) = Guard::take(&self.running, &known.digest) else { return Ok(running()) };
        let now = self.clock.now();
        let admission = match self.store.admit(known.clone(), now, now + LEASE).await {
            Ok(admission) => admission,
            Err(error) => return Err(error::Problem::from(error).into()),
        };
        let (chosen, again, noted) = match admission {
            Admission::Answered(answer) => return Ok(said_before(answer)),
            Admission::Running => return Ok(running()),
            Admission::OtherBody => {
                let detail = "Idempotency-Key: belongs to a request with another body; use a new one";
                return Ok(error::response(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", detail));
            }
            Admission::Run { chosen, again, noted } => (chosen, again, noted),
        };
        let attempt = Attempt { digest: known.digest.clone(), chosen, again, noted };
        request.extensions_mut().insert(Arc::new(attempt));
        // Whoever asks may go away: what was begun is brought to its end, and its answer kept.
        let run = async move {
            let _guard = guard;
            let response = match service.call(request).await {
                Ok(response) => response.into_response(),
                Err(error) => error::from_framework(error),
            };
            self.keep(known.digest, response).await
        };
        match tokio::spawn(run.in_current_span()).await {
            Ok(response) => Ok(response),
            Err(_) => Ok(error::response(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the request failed")),
        }
    }

    /// Keeps an answer, unless it says that something is wrong here, or not allowed yet: then another try may
    /// do better.
    async fn keep(&self, digest: String, response: Response) -> Response {
        if response.status().is_server_error() || response.status() == StatusCode::FORBIDDEN {
            return response;
        }
        let (parts, body) = response.into_parts();
        let body = body.into_string().await.unwrap_or_default();
        let header = |name: &&str| Some(((*name).to_owned(), parts.headers.get(*name)?.to_str().ok()?.to_owned()));
        let headers = HEADERS.iter().filter_map(header).collect();
        let answer = KeptAnswer { status: parts.status.as_u16(), headers, body: body.clone() };
        if let Err(error) = self.store.keep_answer(digest, answer).await {
            tracing::warn!(%error, "an answer cannot be kept: sent again, the request is looked at again");
        }
        Response::from_parts(parts, Body::from_string(body))
    }
}

/// Whether the operation at `path` causes a call or a message, or ends one: the same as those that have
/// the parameter [`Once`].
fn covers(path: &str) -> bool {
    let Some(path) = path.trim_end_matches('/').strip_prefix("/api/v2/") else { return false };
    match path.split('/').collect::<Vec<_>>()[..] {
        ["alerts" | "calls" | "messages" | "reminders"]
        | ["alerts", "alertmanager"]
        | ["calls" | "messages", _, "cancel"]
        | ["messages", _, "resend"] => true,
        ["incidents", _, what] => ["acknowledge", "escalate", "resolve"].contains(&what),
        _ => false,
    }
}

/// Of several parts, none of which can pass for another.
fn digest(parts: &[&str]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(digest.finalize())
}

fn running() -> Response {
    let detail = "Idempotency-Key: the request with this key is still running; ask again";
    let mut response = error::response(StatusCode::CONFLICT, "in-progress", detail);
    super::around::set(&mut response, "retry-after", "1");
    response
}

fn said_before(answer: KeptAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    let mut response = Response::builder().status(status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.header("idempotency-replayed", "true").body(answer.body)
}

/// The key is taken until this is dropped.
struct Guard {
    running: Arc<Mutex<HashSet<String>>>,
    digest: String,
}

impl Guard {
    fn take(running: &Arc<Mutex<HashSet<String>>>, digest: &str) -> Option<Self> {
        let is_new = running.lock().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned());
        is_new.then(|| Self { running: Arc::clone(running), digest: digest.to_owned() })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_calls_or_ends_a_call_is_covered() {
        for path in [
            "/api/v2/alerts",
            "/api/v2/alerts/",
            "/api/v2/alerts/alertmanager",
            "/api/v2/calls",
            "/api/v2/calls/x/cancel",
            "/api/v2/messages",
            "/api/v2/messages/x/cancel",
            "/api/v2/messages/x/resend",
            "/api/v2/reminders",
            "/api/v2/incidents/x/acknowledge",
            "/api/v2/incidents/x/escalate",
            "/api/v2/incidents/x/resolve",
        ] {
            assert!(covers(path), "{path}");
        }
        for path in [
            "/api/v2/contacts",
            "/api/v2/incidents/x",
            "/api/v2/simulate",
            "/alerts",
            "/api/v2/calls/x",
            "/api/v2/messages/x",
        ] {
            assert!(!covers(path), "{path}");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(digest(&["a", "bc", "d"]), digest(&["ab", "c", "d"]));
        assert_eq!(digest(&["a", "b", "c"]), digest(&["a", "b", "c"]));
    }
}
