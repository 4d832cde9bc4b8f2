//! WATCHES: looks every few seconds whether everything is as it should be, and says what is not.
//!
//! Decides nothing and mends nothing: what it finds stands in `/readyz`, in the figures and in the log, and keeps
//! the sign of life from being sent. Knows no Asterisk and no HTTP: the dialer says what the PBX knows.

pub mod audit;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

pub use audit::{Check, Finding};
use audit::{Facts, Roll, audit, unknown};

use crate::{
    clock::Clock,
    id::CallId,
    store::{self, Figures, LiveCall, OpenIncident, Store},
};

/// Open incidents that are looked at, the oldest first.
const MOST: u64 = 5000;
/// A look that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// What was kept for too long is removed so often, so much at once.
const REMOVING: TimeDelta = TimeDelta::hours(1);
const REMOVED_AT_ONCE: u64 = 1000;
/// A way of texts that has been away for so long is not waited for: a modem that is restarted needs some seconds.
const AWAY: TimeDelta = TimeDelta::seconds(30);
/// States that an open incident can be in, so that their figures are there when there is none.
const OPEN: [&str; 5] = ["held", "scheduled", "escalating", "acknowledged", "exhausted"];
const LIVE: [&str; 4] = ["pending", "dialing", "ringing", "answered"];

/// What is known of how everything goes: who works says so here, whoever asks reads it. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    findings: Vec<Finding>,
    /// Until when what was found last says something.
    holds_until: Option<DateTime<Utc>>,
    dialer: Option<DateTime<Utc>>,
    roll: Option<Roll>,
    ways: BTreeMap<String, WayState>,
}

/// How a way of texts is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WayState {
    /// What it is called.
    pub name: String,
    /// Whether it takes texts.
    pub is_up: bool,
    /// Since when that is so.
    pub since: DateTime<Utc>,
    /// How it is, in words.
    pub detail: String,
}

impl Board {
    /// The dialer has looked at the calls.
    pub fn dialer_beats(&self, now: DateTime<Utc>) {
        metrics::gauge!("ringdown_dialer_last_pass_timestamp_seconds").set(since_epoch(now));
        self.known().dialer = Some(now);
    }

    /// The PBX was asked at an instant, and knows these calls.
    pub fn pbx_knows(&self, asked: DateTime<Utc>, calls: BTreeSet<CallId>) {
        self.known().roll = Some(Roll { asked, calls });
    }

    /// A way of texts is so from now on. Returns whether it has come or gone with that.
    pub fn way_is(&self, name: &str, is_up: bool, detail: String, now: DateTime<Utc>) -> bool {
        metrics::gauge!("ringdown_text_route_up", "route" => name.to_owned()).set(if is_up { 1 } else { 0 });
        let mut known = self.known();
        let before = known.ways.get(name).map(|way| (way.is_up, way.since));
        let since = before.filter(|(was_up, _)| *was_up == is_up).map_or(now, |(_, since)| since);
        known.ways.insert(name.to_owned(), WayState { name: name.to_owned(), is_up, since, detail });
        before.is_some_and(|(was_up, _)| was_up != is_up)
    }

    /// How the ways of texts are, if there are any.
    #[must_use]
    pub fn ways(&self) -> Vec<WayState> {
        self.known().ways.values().cloned().collect()
    }

    /// Whether texts leave, or may soon: a way takes them, or did until not long ago.
    #[must_use]
    pub fn texts_leave(&self, now: DateTime<Utc>) -> bool {
        self.known().ways.values().any(|way| way.is_up || now - way.since < AWAY)
    }

    /// What was found at the last look.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        self.known().findings.clone()
    }

    /// Whether the last look found nothing, and was not too long ago.
    #[must_use]
    pub fn passes(&self, now: DateTime<Utc>) -> bool {
        let known = self.known();
        known.findings.is_empty() && known.holds_until.is_some_and(|until| now < until)
    }

    /// Whether anybody has looked since the start.
    #[must_use]
    pub fn has_looked(&self) -> bool {
        self.known().holds_until.is_some()
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How it is looked.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How often.
    pub every: Duration,
    /// How long a phone rings.
    pub rings: TimeDelta,
    /// Whether there is a PBX, and so a dialer.
    pub dials: bool,
    /// How long channel events are kept.
    pub keep_events: TimeDelta,
    /// The name of this server: of the calls of others its PBX may know nothing.
    pub node: String,
}

/// Tells when the engine last looked at what is due.
pub type EngineLooked = Arc<dyn Fn() -> Option<DateTime<Utc>> + Send + Sync>;

/// The one who looks.
pub struct Watcher {
    store: Store,
    clock: Clock,
    board: Board,
    engine: EngineLooked,
    settings: Settings,
    began: DateTime<Utc>,
    unknown_since: HashMap<CallId, DateTime<Utc>>,
    removed: Option<DateTime<Utc>>,
}

/// What one look reads.
type Seen = (Vec<OpenIncident>, Vec<LiveCall>, Figures);

impl Watcher {
    /// A watcher that writes what it finds on `board`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, board: Board, engine: EngineLooked, settings: Settings) -> Self {
        let began = clock.now();
        Self { store, clock, board, engine, settings, began, unknown_since: HashMap::new(), removed: None }
    }

    /// Looks until `shutdown`.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ticks = tokio::time::interval(self.settings.every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = shutdown.cancelled() => return,
            }
            self.look().await;
            self.remove_what_is_old().await;
        }
    }

    /// One look at everything.
    pub async fn look(&mut self) {
        let seen = tokio::time::timeout(PATIENCE, self.read()).await;
        let now = self.clock.now();
        let findings = match seen {
            Ok(Ok((incidents, calls, figures))) => {
                show(&figures, now);
                self.judge(&incidents, &calls, now)
            }
            Ok(Err(error)) => vec![unreadable(&error.to_string())],
            Err(_) => vec![unreadable("it took too long")],
        };
        for check in Check::ALL {
            let count = findings.iter().find(|finding| finding.check == check).map_or(0, |finding| finding.count);
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            metrics::gauge!("ringdown_self_audit_findings", "check" => check.as_str()).set(count);
        }
        metrics::gauge!("ringdown_self_audit_last_pass_timestamp_seconds").set(since_epoch(now));
        let every = TimeDelta::from_std(self.settings.every).unwrap_or_default();
        let mut known = self.board.known();
        tell(&known.findings, &findings);
        known.findings = findings;
        known.holds_until = Some(now + every * 2 + TimeDelta::seconds(10));
    }

    async fn read(&self) -> Result<Seen, store::Error> {
        let written = self.store.ping(self.clock.now()).await;
        metrics::gauge!("ringdown_database_writable").set(if written.is_ok() { 1 } else { 0 });
        written?;
        metrics::gauge!("ringdown_kill_switch").set(if self.store.kill_switch().await?.stopped { 1 } else { 0 });
        let incidents = self.store.open_incidents(MOST).await?;
        let calls = self.store.live_calls().await?;
        Ok((incidents, calls, self.store.figures(self.clock.now()).await?))
    }

    fn judge(&mut self, incidents: &[OpenIncident], calls: &[LiveCall], now: DateTime<Utc>) -> Vec<Finding> {
        let (roll, dialer) = {
            let known = self.board.known();
            (known.roll.clone(), known.dialer)
        };
        let own: Vec<LiveCall> = calls
            .iter()
            .filter(|call| call.node.as_ref().is_none_or(|node| *node == self.settings.node))
            .cloned()
            .collect();
        let unknown = unknown(&own, roll.as_ref(), &mut self.unknown_since, now);
        audit(&Facts {
            now,
            began: self.began,
            incidents,
            calls,
            unknown: &unknown,
            rings: self.settings.rings,
            engine: (self.engine)(),
            dialer: self.settings.dials.then_some(dialer),
        })
    }

    async fn remove_what_is_old(&mut self) {
        let now = self.clock.now();
        if self.removed.is_some_and(|at| now - at < REMOVING) {
            return;
        }
        self.removed = Some(now);
        loop {
            match self.store.remove_channel_events(now - self.settings.keep_events, REMOVED_AT_ONCE).await {
                Ok(removed) if removed < REMOVED_AT_ONCE => return,
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return tracing::warn!(%error, "old channel events could not be removed"),
            }
        }
    }
}

fn unreadable(why: &str) -> Finding {
    Finding { check: Check::Database, count: 1, detail: format!("the database cannot be looked at: {why}") }
}

fn show(figures: &Figures, now: DateTime<Utc>) {
    let count = |counts: &[(String, u64)], name: &str| {
        counts.iter().find(|(counted, _)| counted == name).map_or(0, |(_, count)| *count)
    };
    let number = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
    for state in OPEN {
        metrics::gauge!("ringdown_incidents_open", "state" => state).set(number(count(&figures.open, state)));
    }
    for status in LIVE {
        metrics::gauge!("ringdown_calls_live", "status" => status).set(number(count(&figures.calls, status)));
    }
    metrics::gauge!("ringdown_incidents_without_policy").set(number(figures.without_policy));
    metrics::gauge!("ringdown_incidents_due").set(number(figures.due));
    let late = figures.oldest_due.and_then(|at| (now - at).to_std().ok()).unwrap_or_default();
    metrics::gauge!("ringdown_oldest_due_seconds").set(late);
}

/// Says once what has appeared, and what is gone.
fn tell(before: &[Finding], after: &[Finding]) {
    let has = |findings: &[Finding], check| findings.iter().any(|finding| finding.check == check);
    for finding in after.iter().filter(|finding| !has(before, finding.check)) {
        tracing::error!(check = finding.check.as_str(), detail = %finding.detail, "the self-audit has found something");
    }
    for finding in before.iter().filter(|finding| !has(after, finding.check)) {
        tracing::info!(check = finding.check.as_str(), "what the self-audit had found is gone");
    }
}

/// As Prometheus counts time.
fn since_epoch(at: DateTime<Utc>) -> Duration {
    Duration::from_micros(u64::try_from(at.timestamp_micros()).unwrap_or(0))
}
