//! What stands around every request: who asks and from where, limits of size, time and rate, headers,
//! and an answer in our words whatever happens.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DefaultKeyedStateStore,
};
use ipnet::IpNet;
use poem::{
    Body, Endpoint, IntoEndpoint, IntoResponse, Request, Response,
    endpoint::EndpointExt,
    http::{HeaderName, HeaderValue, Method, StatusCode},
};
use poem_openapi::OperationId;
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};
use tracing::Instrument;
use uuid::Uuid;

use super::{
    auth::{self, Access, Caller, From, Sender},
    compat, error, twilio,
};
use crate::{
    access::{Scope, address},
    config,
    telemetry::trace,
};

/// What an import may take.
const IMPORT_TIME: Duration = Duration::from_secs(600);
/// Bytes of a body from somebody who is not known: a log-in.
const STRANGERS_BODY: usize = 16 * 1024;
/// Alerts that may be on their way in at once; one more is told to come again.
const INTAKE: usize = 1024;
/// Files that may come in at once.
const IMPORTS: usize = 4;
/// After so many requests what nobody asks any more is forgotten.
const FORGET_EVERY: u32 = 10_000;

/// What stands around every request.
#[derive(Clone)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of a file that is imported.
    pub import: usize,
    /// What a request may take.
    pub time: Duration,
    /// Requests in a second with one credential.
    pub per_second: u32,
    /// Requests at once with one credential.
    pub at_once: u32,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Sites whose scripts may use the API.
    pub cors_origins: Vec<String>,
    /// Who may read `/metrics`.
    pub metrics: config::Access,
    /// Who may read `/docs` and `/openapi.json`.
    pub docs: config::Access,
    /// Whether Twilio may tell of texts.
    pub twilio: bool,
}

/// What stands around every request of one server.
pub(super) struct Around {
    limits: Limits,
    access: Access,
    rate: Rate,
    asked: AtomicU32,
    intake: Semaphore,
    imports: Semaphore,
}

/// Counts requests by whose they are.
type Rate = RateLimiter<String, DefaultKeyedStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// What is left of a credential's requests.
struct Left {
    quota: u32,
    window: u32,
    requests: u32,
    seconds: u64,
}

impl Around {
    pub(super) fn new(limits: Limits, access: Access) -> Self {
        let positive = |number: u32| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(positive(limits.per_second)).allow_burst(positive(limits.at_once));
        let rate = RateLimiter::keyed(quota).with_middleware::<StateInformationMiddleware>();
        Self {
            limits,
            access,
            rate,
            asked: AtomicU32::new(0),
            intake: Semaphore::new(INTAKE),
            imports: Semaphore::new(IMPORTS),
        }
    }

    /// One request, with everything that stands around it.
    pub(super) async fn serve(&self, endpoint: Arc<impl Endpoint>, mut request: Request) -> Response {
        let id = request_id(&request);
        let from = self.from(&request);
        // Before anybody sees the address.
        let key = compat::take_key(&mut request);
        let path = logged(request.uri().path());
        let span = tracing::info_span!("request", %id, method = %request.method(), path);
        trace::follow(&span, request.header("traceparent"));
        let began = tokio::time::Instant::now();
        let answer = async {
            let sender = self.sender(&request, key.as_deref(), from, &id).await;
            let left = match self.let_in(&request, &sender) {
                Ok(left) => left,
                Err(response) => return *response,
            };
            let Ok(_import) = self.import_place(&request, &sender) else {
                return error::response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", "too many imports at once");
            };
            let place = takes_alerts(&request, &sender).then_some(&self.intake);
            let (bytes, time) = self.room(&request, &sender);
            request.extensions_mut().insert(sender);
            request.extensions_mut().insert(From(from));
            let mut response = answer(endpoint, request, bytes, time, place).await;
            if let Some(left) = left {
                left.tell(&mut response);
            }
            response
        };
        let mut response = answer.instrument(span.clone()).await;
        span.in_scope(|| tracing::debug!(status = response.status().as_u16(), "answered"));
        measure(response.data::<OperationId>().copied(), response.status(), began.elapsed());
        headers(&mut response, &id);
        response
    }

    fn from(&self, request: &Request) -> IpAddr {
        let peer = request.remote_addr().as_socket_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), SocketAddr::ip);
        let forwarded = request.headers().get_all("x-forwarded-for").iter().collect::<Vec<_>>();
        let forwarded = forwarded.iter().map(|value| value.to_str().unwrap_or_default());
        address::client(peer, forwarded, &self.limits.trusted_proxies)
    }

    async fn sender(&self, request: &Request, key: Option<&str>, address: IpAddr, id: &str) -> Sender {
        let Some(credential) = auth::credential(request).or(key) else { return Sender::Nobody };
        match self.access.whose(credential).await {
            Ok(Some(principal)) => Sender::Known(Caller { principal, address, request: id.to_owned() }),
            Ok(None) => Sender::Unknown,
            Err(error) => Sender::Unavailable(error),
        }
    }

    /// Whether the credential has a request left. Alerts are never turned away for their number.
    fn let_in(&self, request: &Request, sender: &Sender) -> Result<Option<Left>, Box<Response>> {
        let Sender::Known(caller) = sender else { return Ok(None) };
        if takes_alerts(request, sender) {
            return Ok(None);
        }
        if self.asked.fetch_add(1, Ordering::Relaxed) % FORGET_EVERY == FORGET_EVERY - 1 {
            self.rate.retain_recent();
        }
        let (quota, rate) = (self.limits.at_once, self.limits.per_second);
        let window = quota.div_ceil(rate.max(1)).max(1);
        match self.rate.check_key(&caller.principal.owner()) {
            Ok(state) => {
                let requests = state.remaining_burst_capacity();
                let seconds = u64::from((quota - requests.min(quota)).div_ceil(rate.max(1)));
                Ok(Some(Left { quota, window, requests, seconds }))
            }
            Err(not_yet) => {
                let wait = not_yet.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
                let detail = format!("more than {rate} requests a second with this credential");
                let mut response = error::response(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail);
                Left { quota, window, requests: 0, seconds: wait }.tell(&mut response);
                set(&mut response, "retry-after", &wait.to_string());
                Err(Box::new(response))
            }
        }
    }

    /// How large the request may be, `None` if its body is not even read; and how long it may take.
    fn room(&self, request: &Request, sender: &Sender) -> (Option<usize>, Duration) {
        let limits = &self.limits;
        match sender {
            // A file may be large, and is taken from nobody but who is known.
            Sender::Known(caller) if may_import(request, caller) => (Some(limits.import), IMPORT_TIME),
            Sender::Known(_) => (Some(limits.body), limits.time),
            // Nothing else that a stranger says is of interest.
            _ if limits.twilio && twilio::is_told(request.uri().path()) => {
                (Some(limits.body.min(twilio::LONGEST)), limits.time)
            }
            _ if is_login(request.uri().path()) => (Some(limits.body.min(STRANGERS_BODY)), limits.time),
            Sender::Nobody | Sender::Unknown | Sender::Unavailable(_) => (None, limits.time),
        }
    }

    /// A place for a file that comes in, if it is one.
    fn import_place(&self, request: &Request, sender: &Sender) -> Result<Option<SemaphorePermit<'_>>, TryAcquireError> {
        match sender {
            Sender::Known(caller) if may_import(request, caller) => self.imports.try_acquire().map(Some),
            _ => Ok(None),
        }
    }
}

impl Left {
    /// In the headers of the IETF's draft (draft-ietf-httpapi-ratelimit-headers).
    fn tell(&self, response: &mut Response) {
        let Self { quota, window, requests, seconds } = self;
        set(response, "ratelimit-policy", &format!("\"credential\";q={quota};w={window}"));
        set(response, "ratelimit", &format!("\"credential\";r={requests};t={seconds}"));
    }
}

/// Where alerts come in.
pub(super) fn is_intake(is_post: bool, path: &str) -> bool {
    is_post
        && (matches!(path, "/api/v2/alerts" | "/api/v2/alerts/alertmanager")
            || path.starts_with("/api/v2/heartbeats/")
            || compat::is_intake(path))
}

/// Whether alerts come in, from somebody who may send them.
fn takes_alerts(request: &Request, sender: &Sender) -> bool {
    let Sender::Known(caller) = sender else { return false };
    caller.principal.scopes.has(Scope::AlertsWrite) && is_intake(request.method() == Method::POST, request.uri().path())
}

/// Whether a file comes in, from somebody who may send it.
fn may_import(request: &Request, caller: &Caller) -> bool {
    let path = request.uri().path();
    let scope = match path {
        "/api/v2/contacts/import" | "/api/v2/oncall/windows/import" => Scope::ContactsWrite,
        path if compat::is_import(path) => Scope::ContactsWrite,
        path if path.starts_with("/api/v2/schedules/") && path.ends_with("/overrides/import") => Scope::OverridesWrite,
        path if path.starts_with("/api/v2/calendars/") && path.ends_with("/holidays/import") => Scope::SchedulesWrite,
        _ => return false,
    };
    request.method() == Method::POST && caller.principal.scopes.has(scope)
}

/// Where somebody who is not known yet has something to say.
fn is_login(path: &str) -> bool {
    matches!(path, "/api/v2/token" | "/api/v2/token/revoke")
}

async fn answer(
    endpoint: Arc<impl Endpoint>,
    mut request: Request,
    bytes: Option<usize>,
    time: Duration,
    place: Option<&Semaphore>,
) -> Response {
    let within = async {
        let body = request.take_body();
        if let Some(bytes) = bytes {
            match body.into_bytes_limit(bytes).await {
                Ok(bytes) => request.set_body(Body::from_bytes(bytes)),
                Err(error) => return error::from_framework(error.into()),
            }
        }
        // Whoever is slow to say what the alert is waits outside.
        let Ok(_place) = place.map(Semaphore::try_acquire).transpose() else {
            // Alertmanager tries again on 5xx, and only then.
            let detail = "too many alerts at once: send it again";
            return error::response(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail);
        };
        match endpoint.call(request).await {
            Ok(response) => response.into_response(),
            Err(error) => {
                let operation = error.data::<OperationId>().copied();
                let mut response = error::from_framework(error);
                if let Some(operation) = operation {
                    response.set_data(operation);
                }
                response
            }
        }
    };
    match tokio::time::timeout(time, within).await {
        Ok(response) => response,
        // Alertmanager tries again on 5xx, and only then.
        Err(_) => error::response(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long"),
    }
}

/// A page that shows no alert, for whoever `access` says.
pub(super) fn guarded(
    page: impl IntoEndpoint<Endpoint: 'static>,
    access: config::Access,
    scope: Option<Scope>,
) -> impl Endpoint {
    page.into_endpoint().around(move |page, request| async move {
        let local = request.remote_addr().as_socket_addr().is_some_and(|address| address.ip().is_loopback());
        let open = match access {
            config::Access::Off => {
                return Ok(error::response(StatusCode::NOT_FOUND, "not-found", "this page is switched off"));
            }
            // A proxy on this machine is local too; what it forwards is not.
            config::Access::Loopback => local && request.header("x-forwarded-for").is_none(),
            config::Access::Key => false,
        };
        if !open && let Err(problem) = auth::allowed(&request, scope) {
            return Ok(problem.into_response());
        }
        page.call(request).await.map(IntoResponse::into_response)
    })
}

/// By operation, never by path: whoever asks for what is not there must not make figures.
fn measure(operation: Option<OperationId>, status: StatusCode, took: Duration) {
    let operation = operation.map_or("none", |operation| operation.0);
    let class = match status.as_u16() / 100 {
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    };
    metrics::counter!("ringdown_http_requests_total", "operation" => operation, "status" => class).increment(1);
    metrics::histogram!("ringdown_http_request_duration_seconds", "operation" => operation).record(took);
}

fn headers(response: &mut Response, id: &str) {
    let status = response.status();
    // JSON is UTF-8, and its media type has no parameters (RFC 8259, 11).
    if response.content_type() == Some("application/json; charset=utf-8") {
        set(response, "content-type", "application/json");
    }
    if status == StatusCode::UNAUTHORIZED {
        set(response, "www-authenticate", "Bearer");
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(response, "retry-after", "1");
    }
    set(response, "x-request-id", id);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
        // Browsers heed it over TLS only (RFC 6797, 8.1); behind a proxy the proxy says it.
        ("strict-transport-security", "max-age=31536000"),
        // The documentation page brings its script and style within itself.
        (
            "content-security-policy",
            "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    ] {
        set(response, name, value);
    }
}

/// A path as the log may have it: without the secret of a calendar's address, without a key, without a number.
fn logged(path: &str) -> String {
    let plain = percent_decoded(path).to_ascii_lowercase();
    let secret =
        ["feeds/", "/k/", "/interaction/"].iter().filter_map(|word| Some(plain.find(word)? + word.len())).min();
    match secret {
        Some(at) => plain[..at].to_owned(),
        None => path.to_owned(),
    }
}

/// A path with what was percent-encoded in it; what is none of ours may be spelled in many ways.
fn percent_decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let digits = path.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

pub(super) fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The id that the sender gave the request, if it is fit to stand in a log, or a new one.
fn request_id(request: &Request) -> String {
    let well_formed = |id: &&str| {
        (1..=64).contains(&id.len()) && id.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c))
    };
    request
        .header("x-request-id")
        .filter(well_formed)
        .map_or_else(|| Uuid::from_u128(rand::random()).simple().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_and_no_number_stands_in_a_logged_path() {
        for (path, shown) in [
            ("/feeds/secret.ics", "/feeds/"),
            ("/Feeds/secret.ics", "/feeds/"),
            ("/k/secret/call_only", "/k/"),
            ("/%6b/secret/call_only", "/k/"),
            ("//K/secret", "//k/"),
            ("/api/v2/interaction/+39333", "/api/v2/interaction/"),
            ("/api/v2/calls", "/api/v2/calls"),
            ("/a%2", "/a%2"),
        ] {
            assert_eq!(logged(path), shown, "{path}");
        }
    }
}
