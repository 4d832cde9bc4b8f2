//! HTTP: what can be asked and said from outside, and what stands around every request.
//!
//! Every operation is in the OpenAPI document. Every one but health needs a credential. Bodies are
//! limited, requests have a time, each has an id; errors are RFC 9457 problems.

mod address_book;
mod alertmanager;
mod alerts;
mod auth;
mod body;
mod calendars;
mod calls;
mod contacts;
mod country;
mod error;
mod events;
mod feeds;
mod fields;
mod file;
mod groups;
mod health;
mod heartbeats;
mod idempotency;
mod imports;
mod incidents;
mod kill_switch;
mod moment;
mod names;
mod oncall;
mod overrides;
mod people;
mod policies;
mod readiness;
mod reminders;
mod routing;
mod scheduled_calls;
mod schedules;
mod silences;
mod simulate;
mod tagged;
mod targets;
mod times;
mod version;
mod webhooks;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use metrics_exporter_prometheus::PrometheusHandle;
use poem::{
    Body, Endpoint, EndpointExt, IntoEndpoint, IntoResponse, Request, Response, Route, get,
    http::{HeaderName, HeaderValue, StatusCode},
};
use poem_openapi::{OpenApiService, Tags};
use tracing::Instrument;
use uuid::Uuid;

pub use auth::Keys;

use crate::{
    ami::Client,
    bus::Bus,
    clock::Clock,
    config::{Access, Per},
    engine::Engine,
    herald::Herald,
    phone::NumberingPlan,
    route::destination::Rules,
    script::Script,
    speech::Speech,
    store::Store,
    webhook::Sender,
};

/// What the operations work with. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// The database.
    pub store: Store,
    /// Who decides.
    pub engine: Engine,
    /// Wake-ups.
    pub bus: Bus,
    /// Who tells listeners of events.
    pub herald: Herald,
    /// The time.
    pub clock: Clock,
    /// How numbers are read.
    pub plan: Arc<NumberingPlan>,
    /// What may be dialled.
    pub rules: Arc<Rules>,
    /// What is said.
    pub script: Arc<Script>,
    /// How long a phone rings.
    pub rings: TimeDelta,
    /// What becomes one incident.
    pub alertmanager_per: Per,
    /// The number that is shown to whoever is called.
    pub caller_id: Option<String>,
    /// The manager connection, if there is one.
    pub ami: Option<Client>,
    /// Speech, if there is any.
    pub speech: Option<Speech>,
    /// Knows which URLs may be told of events.
    pub sender: Option<Sender>,
}

/// What stands around every request.
#[derive(Clone)]
pub struct Limits {
    /// Bytes of a body.
    pub body: usize,
    /// Bytes of a file that is imported.
    pub import: usize,
    /// What a request may take.
    pub time: Duration,
    /// Who may read `/metrics`.
    pub metrics: Access,
    /// Who may read `/docs` and `/openapi.json`.
    pub docs: Access,
}

#[derive(Tags)]
enum Tag {
    /// What comes in.
    Alerts,
    /// What is kept open until a person has taken it.
    Incidents,
    /// Attempts to reach one number by phone.
    Calls,
    /// Whom an alert calls, in which order, how often; and which alert.
    Policies,
    /// What is to stay quiet, and when.
    Silences,
    /// What pages when it does not come.
    Heartbeats,
    /// People and their numbers.
    AddressBook,
    /// Who is on call when.
    Schedules,
    /// When it counts: business hours and holidays.
    Calendars,
    /// What happens, told as it happens.
    Events,
    /// Who else is told of what happens.
    Webhooks,
    /// No call leaves while it is on.
    KillSwitch,
    /// Whether the server does its work.
    Health,
}

type Apis = (
    (alerts::Alerts, incidents::Incidents, kill_switch::KillSwitches, health::Health, readiness::Readinesses),
    (calls::Calls, scheduled_calls::ScheduledCalls, reminders::Reminders),
    (contacts::Contacts, groups::Groups, address_book::AddressBook),
    (policies::Policies, simulate::Simulations, routing::Routing, silences::Silences, heartbeats::Heartbeats),
    (schedules::Schedules, overrides::Overrides, oncall::OnCalls, calendars::Calendars, feeds::Feeds),
    (events::Events, webhooks::Webhooks),
);

/// What an import may take.
const IMPORT_TIME: Duration = Duration::from_secs(600);

/// Items on a page unless it is said otherwise.
fn default_limit() -> u64 {
    50
}

/// Lines of a timeline unless it is said otherwise.
fn default_lines() -> u64 {
    1000
}

/// Text from outside as it is kept: whole. Only NUL, which PostgreSQL cannot hold, becomes a sign for it.
fn text(text: String) -> String {
    if text.contains('\0') { text.replace('\0', "\u{2400}") } else { text }
}

/// A name, trimmed. It stands in one line, whoever shows it.
fn name(field: &str, name: &str) -> Result<String, error::Problem> {
    let name = name.trim();
    if name.is_empty() || name.chars().any(char::is_control) {
        return Err(error::Problem::unprocessable(format!("{field}: is empty or has control characters")));
    }
    Ok(name.to_owned())
}

fn service(state: &State) -> OpenApiService<Apis, ()> {
    let with = || state.clone();
    let apis = (
        (
            alerts::Alerts(with()),
            incidents::Incidents(with()),
            kill_switch::KillSwitches(with()),
            health::Health(with()),
            readiness::Readinesses(with()),
        ),
        (calls::Calls(with()), scheduled_calls::ScheduledCalls(with()), reminders::Reminders(with())),
        (contacts::Contacts::new(with()), groups::Groups(with()), address_book::AddressBook(with())),
        (
            policies::Policies(with()),
            simulate::Simulations(with()),
            routing::Routing(with()),
            silences::Silences(with()),
            heartbeats::Heartbeats(with()),
        ),
        (
            schedules::Schedules(with()),
            overrides::Overrides(with()),
            oncall::OnCalls(with()),
            calendars::Calendars(with()),
            feeds::Feeds(with()),
        ),
        (events::Events(with()), webhooks::Webhooks(with())),
    );
    OpenApiService::new(apis, "ringdown", env!("CARGO_PKG_VERSION")).description(
        "A server beside an Asterisk PBX that makes sure that a human being knows. Errors are problem \
         documents (RFC 9457), instants RFC 3339 in UTC, lists newest first with a cursor.",
    )
}

/// The OpenAPI document, as it is served.
#[must_use]
pub fn document(state: &State) -> String {
    let document: serde_json::Value = serde_json::from_str(&service(state).spec()).unwrap_or_default();
    format!("{document:#}\n")
}

/// Everything that is served.
pub fn app(state: State, keys: Keys, limits: Limits, metrics: Option<PrometheusHandle>) -> impl Endpoint {
    let service = service(&state);
    let document = document(&state);
    let docs = limits.docs;
    let specification =
        poem::endpoint::make_sync(move |_| Response::builder().content_type("application/json").body(document.clone()));
    let figures = poem::endpoint::make_sync(move |_| match &metrics {
        Some(metrics) => {
            metrics.run_upkeep();
            Response::builder().content_type("text/plain; version=0.0.4").body(metrics.render())
        }
        None => error::response(StatusCode::NOT_FOUND, "not-found", "there are no figures"),
    });
    let ui = service.swagger_ui();
    let around = Arc::new(limits.clone());
    let keeper = idempotency::Keeper::new(state.store.clone(), state.clock.clone());
    let service = service.into_endpoint().around(move |service, request| keeper.clone().serve(service, request));
    Route::new()
        .nest("/docs", guarded(ui, docs))
        .at("/openapi.json", get(guarded(specification, docs)))
        .at("/metrics", get(guarded(figures, limits.metrics)))
        .nest("/", service)
        .around(move |endpoint, request| {
            let limits = Arc::clone(&around);
            async move { Ok(serve(endpoint, request, &limits).await) }
        })
        // Outermost: what stands around a request wants to know who asks.
        .data(keys)
}

/// A page that shows no alert, for whoever `access` says.
fn guarded(page: impl IntoEndpoint<Endpoint: 'static>, access: Access) -> impl Endpoint {
    page.into_endpoint().around(move |page, request| async move {
        let local = request.remote_addr().as_socket_addr().is_some_and(|address| address.ip().is_loopback());
        let open = match access {
            Access::Off => return Ok(error::response(StatusCode::NOT_FOUND, "not-found", "this page is switched off")),
            // A proxy on this machine is local too; what it forwards is not.
            Access::Loopback => local && request.header("x-forwarded-for").is_none(),
            Access::Key => false,
        };
        if open || auth::caller(&request).is_some() {
            page.call(request).await.map(IntoResponse::into_response)
        } else {
            Ok(error::response(StatusCode::UNAUTHORIZED, "unauthorized", "this page needs an API key"))
        }
    })
}

/// One request, with everything that stands around it.
async fn serve(endpoint: Arc<impl Endpoint>, mut request: Request, limits: &Limits) -> Response {
    let id = request_id(&request);
    let span = tracing::info_span!("request", %id, method = %request.method(), path = logged(request.uri().path()));
    let is_import = request.uri().path().ends_with("/import");
    // A file may be large, and is taken from nobody but who may send it.
    let (bytes, time) = match is_import && auth::caller(&request).is_some() {
        true => (limits.import, IMPORT_TIME),
        false => (limits.body, limits.time),
    };
    let answer = async {
        let within = async {
            let body = request.take_body().into_bytes_limit(bytes).await;
            match body {
                Ok(bytes) => request.set_body(Body::from_bytes(bytes)),
                Err(error) => return error::from_framework(error.into()),
            }
            match endpoint.call(request).await {
                Ok(response) => response.into_response(),
                Err(error) => error::from_framework(error),
            }
        };
        match tokio::time::timeout(time, within).await {
            Ok(response) => response,
            // Alertmanager tries again on 5xx, and only then.
            Err(_) => error::response(StatusCode::SERVICE_UNAVAILABLE, "timeout", "the request took too long"),
        }
    };
    let mut response = answer.instrument(span.clone()).await;
    let status = response.status();
    span.in_scope(|| tracing::debug!(status = status.as_u16(), "answered"));
    metrics::counter!("ringdown_http_requests_total", "status" => status.as_u16().to_string()).increment(1);
    if status == StatusCode::UNAUTHORIZED {
        set(&mut response, "www-authenticate", "Bearer");
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        set(&mut response, "retry-after", "1");
    }
    set(&mut response, "x-request-id", &id);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "DENY"),
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        // The documentation page brings its script and style within itself.
        (
            "content-security-policy",
            "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'",
        ),
    ] {
        set(&mut response, name, value);
    }
    response
}

/// A path as the log may have it: without the secret of a calendar's address.
fn logged(path: &str) -> &str {
    let secret = path.to_ascii_lowercase().find("feeds/").map(|at| at + "feeds/".len());
    secret.map_or(path, |at| &path[..at])
}

fn set(response: &mut Response, name: &'static str, value: &str) {
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
