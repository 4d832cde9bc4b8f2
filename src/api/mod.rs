//! HTTP: what can be asked and said from outside, and what stands around every request.
//!
//! Every operation is in the OpenAPI document. Every one but health needs a credential. Bodies are
//! limited, requests have a time, each has an id; errors are RFC 9457 problems.

mod address_book;
mod alertmanager;
mod alerts;
mod allow;
mod around;
mod audit;
mod auth;
mod body;
mod calendars;
mod calls;
mod channel_events;
mod compat;
mod contacts;
mod country;
mod document;
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
mod keys;
mod kill_switch;
pub mod listener;
mod login;
mod messages;
mod moment;
mod names;
mod oncall;
mod opt_outs;
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
mod twilio;
mod users;
mod version;
mod webhooks;

use std::sync::Arc;

use chrono::TimeDelta;
use metrics_exporter_prometheus::PrometheusHandle;
use poem::{
    Endpoint, EndpointExt, IntoEndpoint, Response, Route, get,
    http::{Method, StatusCode},
    middleware::Cors,
};
use poem_openapi::{OpenApiService, Tags};

pub use alertmanager::delivered;
pub use around::Limits;
pub use audit::exported;
pub use auth::Access;
pub use compat::{Compat, LONGEST_RINGING};
pub use login::Passwords;
pub use twilio::{INBOUND as TWILIO_INBOUND, STATUS as TWILIO_STATUS, Twilio, url as twilio_url};
pub use users::first_password;

use around::{Around, guarded};

use crate::{
    access::Scope,
    ami::Client,
    bus::Bus,
    clock::Clock,
    config::Per,
    engine::Engine,
    herald::Herald,
    phone::NumberingPlan,
    route::destination::Rules,
    script::Script,
    speech::Speech,
    store::{Edit, Store},
    watch::Board,
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
    /// Who asks.
    pub access: Access,
    /// Checks passwords.
    pub passwords: Passwords,
    /// Days that a log-in lasts without the password.
    pub login_days: u32,
    /// What the self-audit found.
    pub watch: Board,
    /// Knows which URLs may be told of events.
    pub sender: Option<Sender>,
    /// What the predecessors' routes go by.
    pub compat: Arc<Compat>,
    /// The account of Twilio's that may tell of texts, if one can reach us.
    pub twilio: Option<Twilio>,
}

impl State {
    /// The hand of `caller`, which edits.
    fn by(&self, caller: &auth::Caller) -> Edit {
        self.store.by(caller.author(self.clock.now()))
    }
}

#[derive(Tags)]
enum Tag {
    /// What comes in.
    Alerts,
    /// What is kept open until a person has taken it.
    Incidents,
    /// Attempts to reach one number by phone.
    Calls,
    /// Text messages: what is sent, what became of it, and what came in.
    Messages,
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
    /// Who may do what, and who has changed what.
    Access,
    /// Whether the server does its work.
    Health,
    /// The routes of the systems that ringdown takes the place of, for whoever moves over. New programs use the
    /// others. Beside `Authorization` they take an API key as `?key=` or in the path: `/k/KEY/call_only`.
    Compat,
}

type Apis = (
    (alerts::Alerts, incidents::Incidents, kill_switch::KillSwitches, health::Health, readiness::Readinesses),
    (calls::Calls, scheduled_calls::ScheduledCalls, reminders::Reminders, channel_events::ChannelEvents),
    (messages::Messages, messages::ReceivedMessages, opt_outs::OptOuts, twilio::Callbacks),
    (contacts::Contacts, groups::Groups, address_book::AddressBook),
    (policies::Policies, simulate::Simulations, routing::Routing, silences::Silences, heartbeats::Heartbeats),
    (schedules::Schedules, overrides::Overrides, oncall::OnCalls, calendars::Calendars, feeds::Feeds),
    (login::Logins, users::Users, keys::Keys, audit::Audits),
    (events::Events, webhooks::Webhooks),
    (compat::Webhooks, compat::Phone, compat::Register, compat::Audio),
    (compat::CompatContacts, compat::Center, compat::Root),
);

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
        (
            calls::Calls(with()),
            scheduled_calls::ScheduledCalls(with()),
            reminders::Reminders(with()),
            channel_events::ChannelEvents(with()),
        ),
        (
            messages::Messages(with()),
            messages::ReceivedMessages(with()),
            opt_outs::OptOuts(with()),
            twilio::Callbacks(with()),
        ),
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
        (login::Logins(with()), users::Users(with()), keys::Keys(with()), audit::Audits(with())),
        (events::Events(with()), webhooks::Webhooks(with())),
        (compat::Webhooks(with()), compat::Phone(with()), compat::Register(with()), compat::Audio(with())),
        (compat::CompatContacts(with()), compat::Center(with()), compat::Root(with())),
    );
    OpenApiService::new(apis, "ringdown", env!("CARGO_PKG_VERSION")).description(
        "A server beside an Asterisk PBX that makes sure that a human being knows. Errors are problem \
         documents (RFC 9457), instants RFC 3339 in UTC, lists newest first with a cursor. In bodies, null counts as left out.",
    )
}

/// The OpenAPI document, as it is served.
#[must_use]
pub fn document(state: &State) -> String {
    document::of(&service(state))
}

/// Everything that is served.
pub fn app(state: State, limits: Limits, metrics: Option<PrometheusHandle>) -> impl Endpoint {
    let service = service(&state);
    let document = document::of(&service);
    let allow = allow::Allow::of(&document);
    let page = service.swagger_ui_html().replace(&service.spec(), &document);
    let docs = limits.docs;
    let specification =
        poem::endpoint::make_sync(move |_| Response::builder().content_type("application/json").body(document.clone()));
    let ui = poem::endpoint::make_sync(move |_| Response::builder().content_type("text/html").body(page.clone()));
    let figures = poem::endpoint::make_sync(move |_| match &metrics {
        Some(metrics) => {
            metrics.run_upkeep();
            Response::builder().content_type("text/plain; version=0.0.4").body(metrics.render())
        }
        None => error::response(StatusCode::NOT_FOUND, "not-found", "there are no figures"),
    });
    let (cors, origins) = (cors(&limits.cors_origins), limits.cors_origins.clone());
    let metrics = limits.metrics;
    let around = Arc::new(Around::new(limits, state.access.clone()));
    let keeper = idempotency::Keeper::new(state.store.clone(), state.clock.clone());
    let service = service.into_endpoint().around(move |service, request| keeper.clone().serve(service, request));
    Route::new()
        .at("/docs", get(guarded(ui, docs, None)))
        .at("/openapi.json", get(guarded(specification, docs, None)))
        .at("/metrics", get(guarded(figures, metrics, Some(Scope::MetricsRead))))
        .nest("/", service)
        .around(move |endpoint, request| allow.clone().serve(endpoint, request))
        .around(move |endpoint, request| {
            let around = Arc::clone(&around);
            async move { Ok(around.serve(endpoint, request).await) }
        })
        .with_if(cors.is_some(), cors.unwrap_or_default())
        .before(move |request| {
            let known = origins.clone();
            async move { Ok(without_strange_origin(request, &known)) }
        })
}

/// Whoever is not on the list is answered like anybody else, and their browser is not told that its script may
/// read the answer.
fn without_strange_origin(mut request: poem::Request, known: &[String]) -> poem::Request {
    let is_known = |origin: &str| known.iter().any(|known| known == origin);
    if request.header("origin").is_some_and(|origin| !is_known(origin)) {
        request.headers_mut().remove("origin");
    }
    request
}

/// Lets the scripts of these sites use the API; credentials come in headers, never as cookies.
fn cors(origins: &[String]) -> Option<Cors> {
    (!origins.is_empty()).then(|| {
        Cors::new()
            .allow_origins(origins)
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::DELETE])
            .allow_headers(["authorization", "content-type", "if-match", "idempotency-key", "last-event-id"])
            .expose_headers(["etag", "location", "ratelimit", "ratelimit-policy", "retry-after", "x-request-id"])
            .allow_credentials(false)
            .max_age(600)
    })
}
