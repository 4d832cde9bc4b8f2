//! DECIDES: takes what comes in, asks `escalation` what to do, and has `store` make it true.
//!
//! Knows no Asterisk, no HTTP. Every decision is made on an incident as it was read, and stands only
//! if it still is at that version; whoever loses the race reads and decides again.

mod alert;
mod directory;
mod due;
mod duty;
mod intake;
mod known;
mod policy;
mod quiet;
mod readiness;
mod simulate;
mod text;
mod watch;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use directory::{Directory, Edition};
use due::WAVE;
use intake::Intake;

pub use alert::{Alert, PolicyChoice, Times, rank};
pub use quiet::first_look;
pub use readiness::Finding;
pub use simulate::{Answer, Happening, Says, Simulation, Supposition, What};
pub use text::{DirectText, Texted, TextedAlert};
pub use watch::DirectCall;

use crate::{
    bus::{Bell, Bus},
    clock::Clock,
    escalation::{self, Actor, Event, Position, Stage, State},
    id::IncidentId,
    script::Texts,
    store::{self, Change, Fact, Incident, Said, Saying, Store},
    telemetry::trace,
};

/// The longest pause between two looks at what is due.
const POLL: Duration = Duration::from_secs(1);
/// The shortest.
const BREATH: Duration = Duration::from_millis(20);
/// Due incidents taken up in one look.
const BATCH: u64 = 1000;
/// What else is due is taken up so many at once.
const AT_ONCE: usize = 64;
/// How often a lost race is run again. Each loss means that somebody else got something done.
const RACES: u32 = 50;

/// The engine. Cheap to clone.
#[derive(Clone)]
pub struct Engine {
    store: Store,
    bus: Bus,
    clock: Clock,
    directory: Directory,
    intake: Arc<Mutex<Intake>>,
    /// Rings when as many alerts wait as are expected.
    all_in: Arc<Notify>,
    /// How long a text is worth sending, if there is a way to send one.
    texts: Option<TimeDelta>,
    /// Whether they leave.
    texts_leave: TextsLeave,
    /// How changes of shifts are told by text; without it they are not.
    notices: Option<Arc<Texts>>,
    /// When it last looked at what is due.
    looked: Arc<Mutex<Option<DateTime<Utc>>>>,
}

/// Tells whether texts leave at an instant, or may soon; not if every way has been away for long.
pub type TextsLeave = Arc<dyn Fn(DateTime<Utc>) -> bool + Send + Sync>;

/// What was decided about an incident, and the incident as it then is.
struct Ruling {
    change: Change,
    after: Box<Incident>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Raised {
    /// It opened an incident.
    Opened(IncidentId),
    /// It belongs to one that is open.
    Updated(IncidentId),
    /// It ended one.
    Resolved(IncidentId),
    /// It says that something is over that is not open.
    NothingOpen,
}

/// What became of something that was said about an incident.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It counted; the incident as it stands now.
    Changed(Box<Incident>),
    /// It did not apply; the incident as it stands.
    Unchanged(Box<Incident>),
    /// There is no such incident.
    Unknown,
}

/// What a look has found.
struct Looked {
    /// When the next thing is due.
    next: Option<DateTime<Utc>>,
    /// How many incidents were.
    due: usize,
}

/// The last look at everything that is due but incidents: silences, heartbeats, reminders, schedules.
struct Rest {
    /// The lines of the audit log.
    audited: i64,
    at: DateTime<Utc>,
    next: Option<DateTime<Utc>>,
}

impl Rest {
    fn holds(&self, audited: i64, now: DateTime<Utc>) -> bool {
        let age = (now - self.at).to_std();
        self.audited == audited && age.is_ok_and(|age| age < POLL) && self.next.is_none_or(|next| next > now)
    }
}

impl Engine {
    /// An engine on this store.
    #[must_use]
    pub fn new(store: Store, bus: Bus, clock: Clock) -> Self {
        let directory = Directory::new(store.clone());
        let (intake, all_in, looked) = (Arc::default(), Arc::default(), Arc::default());
        let texts_leave: TextsLeave = Arc::new(|_| true);
        Self { store, bus, clock, directory, intake, all_in, texts: None, texts_leave, notices: None, looked }
    }

    /// The same, where there is a way to send texts, each of which is worth sending for so long.
    #[must_use]
    pub fn with_texts(self, worth: TimeDelta) -> Self {
        Self { texts: Some(worth), ..self }
    }

    /// The same, where texts may be in the queue and not leave it.
    #[must_use]
    pub fn with_outages(self, texts_leave: TextsLeave) -> Self {
        Self { texts_leave, ..self }
    }

    /// The same, telling whoever wants to know of their shifts in these words.
    #[must_use]
    pub fn with_notices(self, words: Arc<Texts>) -> Self {
        Self { notices: Some(words), ..self }
    }

    /// Whether there is a way to send texts, and how long one is worth sending.
    #[must_use]
    pub fn texts(&self) -> Option<TimeDelta> {
        self.texts
    }

    /// A person takes it.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn acknowledge(&self, id: IncidentId, by: Actor) -> Result<Applied, store::Error> {
        let fact = Fact::Acknowledged { by: by.name().to_owned() };
        self.apply(id, |_| Some(Event::Acknowledged { by: by.clone() }), fact, &by, Said::Acknowledged).await
    }

    /// A person passes it on. `at` is where it stood when they heard of it; `None` is where it stands.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn escalate(&self, id: IncidentId, at: Option<Stage>, by: Actor) -> Result<Applied, store::Error> {
        let fact = Fact::Escalated { by: by.name().to_owned() };
        // A text may have been written before somebody else took it.
        let is_taken = |state: &State| match state {
            State::Acknowledged { by: had, .. } => by.text().is_some() && had.contact() != by.contact(),
            _ => false,
        };
        let event = |incident: &Incident| {
            let at = at.unwrap_or(escalation::stage(&incident.state));
            (!is_taken(&incident.state)).then(|| Event::Escalated { at, call: by.call() })
        };
        self.apply(id, event, fact, &by, Said::Escalated).await
    }

    /// A person says that it is over.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn resolve(&self, id: IncidentId, by: Actor) -> Result<Applied, store::Error> {
        let fact = Fact::Resolved { by: by.name().to_owned() };
        self.apply(id, |_| Some(Event::Resolved { by: by.clone() }), fact, &by, Said::Resolved).await
    }

    /// A call about it found no route. The next attempt need not wait for an answer to this one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn found_no_route(&self, id: IncidentId, at: Position) -> Result<(), store::Error> {
        self.change_state(id, |_| Some((Event::NoWayOut { at }, Vec::new(), None))).await.map(drop)
    }

    /// Looks at what is due until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut ear = self.bus.listen(Bell::Engine);
        let mut rest = None;
        while !shutdown.is_cancelled() {
            let began = tokio::time::Instant::now();
            let (pause, breath) = match self.look(&mut rest).await {
                Ok(Looked { next, due }) => {
                    // What is overdue still could not be advanced: again soon, and not at once.
                    let until =
                        |at: DateTime<Utc>| (at - self.clock.now()).to_std().unwrap_or_default().clamp(BREATH, POLL);
                    // Much that waits takes long to look through, and each commit of a storm rings.
                    let breath = if due == 0 { began.elapsed() * 9 } else { BREATH };
                    (next.map_or(POLL, until), breath.clamp(BREATH, POLL))
                }
                Err(error) => {
                    tracing::error!(%error, "the engine cannot look at what is due; trying again");
                    (POLL, BREATH)
                }
            };
            tokio::select! {
                () = ear.rung() => {}
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
            tokio::time::sleep(breath).await;
        }
    }

    /// One pass: everything that is due. Returns when the next thing is.
    ///
    /// # Errors
    /// If the database does not answer. An incident that cannot be advanced is logged and holds up no other.
    pub async fn tick(&self) -> Result<Option<DateTime<Utc>>, store::Error> {
        Ok(self.look(&mut None).await?.next)
    }

    /// Looks at incidents, and at the rest if it is time: its next deadline has come, somebody has edited
    /// something, or it has not been looked at for long.
    async fn look(&self, rest: &mut Option<Rest>) -> Result<Looked, store::Error> {
        let (now, began) = (self.clock.now(), tokio::time::Instant::now());
        let audited = self.store.audited().await?;
        let known = rest.take().filter(|rest| rest.holds(audited, now));
        if known.is_none() {
            for (what, looked) in [
                ("silences", self.look_at_silences(now).await),
                ("heartbeats", self.look_at_heartbeats(now).await),
                ("reminders", self.look_at_reminders(now).await),
            ] {
                // Whatever is the matter with them, incidents must go on.
                if let Err(error) = looked {
                    tracing::error!(%error, "the engine cannot look at {what}; trying again");
                }
            }
        }
        let incidents = self.store.due_incidents(now, BATCH).await?;
        let due = incidents.len();
        for wave in incidents.chunks(WAVE) {
            self.advance_due(wave).await;
        }
        let known = match known {
            Some(known) => known,
            None => {
                // After what pages: who was on duty is written down, and nobody is called because of it.
                if let Err(error) = self.look_at_schedules(now).await {
                    tracing::error!(%error, "who is on duty cannot be noted; trying again");
                }
                let next = [
                    self.store.next_silence().await?,
                    self.store.next_missed_heartbeat().await?,
                    self.store.next_reminder().await?,
                    self.store.next_schedule_look().await?,
                ];
                Rest { audited, at: now, next: next.into_iter().flatten().min() }
            }
        };
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(self.clock.now());
        metrics::histogram!("ringdown_engine_tick_duration_seconds").record(began.elapsed());
        let finished = Duration::from_micros(u64::try_from(self.clock.now().timestamp_micros()).unwrap_or(0));
        metrics::gauge!("ringdown_engine_last_tick_timestamp_seconds").set(finished);
        let next = [self.store.next_deadline(now).await?, known.next].into_iter().flatten().min();
        *rest = Some(known);
        Ok(Looked { next, due })
    }

    /// When it last looked at what is due.
    #[must_use]
    pub fn last_look(&self) -> Option<DateTime<Utc>> {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies what a person said, if there is an event for it: `fact` is written only if it counted, and where
    /// it was said stands that it did.
    async fn apply(
        &self,
        id: IncidentId,
        event: impl Fn(&Incident) -> Option<Event>,
        fact: Fact,
        by: &Actor,
        said: Said,
    ) -> Result<Applied, store::Error> {
        let call = by.call().map(|call| Saying::Call(call, said));
        let text = by.text().map(Saying::Text);
        let by_text = text.map(|_| Fact::AnsweredByText { by: by.name().to_owned() });
        let facts: Vec<Fact> = by_text.into_iter().chain([fact]).collect();
        self.change_state(id, |incident| Some((event(incident)?, facts.clone(), call.or(text)))).await
    }

    async fn change_state(
        &self,
        id: IncidentId,
        event: impl Fn(&Incident) -> Option<(Event, Vec<Fact>, Option<Saying>)>,
    ) -> Result<Applied, store::Error> {
        for _ in 0..RACES {
            let Some(incident) = self.store.incident(id).await? else { return Ok(Applied::Unknown) };
            let Some((event, facts, said)) = event(&incident) else {
                return Ok(Applied::Unchanged(Box::new(incident)));
            };
            match self.decide(incident, event, facts, said).await {
                Err(store::Error::Conflict) => lost_race().await,
                other => return other,
            }
        }
        Err(store::Error::Conflict)
    }

    /// Decides and makes it true, as part of the incident's trace.
    async fn decide(
        &self,
        incident: Incident,
        event: Event,
        facts: Vec<Fact>,
        said: Option<Saying>,
    ) -> Result<Applied, store::Error> {
        let span = self.span(&incident, &event);
        self.decide_now(incident, event, facts, said).instrument(span).await
    }

    fn span(&self, incident: &Incident, event: &Event) -> Span {
        let span = tracing::info_span!("escalation", incident = %incident.id, event = event.name());
        trace::follow(&span, incident.traceparent.as_deref());
        span
    }

    async fn decide_now(
        &self,
        incident: Incident,
        event: Event,
        facts: Vec<Fact>,
        said: Option<Saying>,
    ) -> Result<Applied, store::Error> {
        let edition = self.directory.now().await?;
        let (id, version, raised_at) = (incident.id, incident.version, incident.raised_at);
        let was_taken = matches!(incident.state, State::Acknowledged { .. });
        let Ruling { change, after } = match self.rule(&edition, incident, event, facts, said, None).await? {
            Ok(ruling) => ruling,
            Err(unchanged) => return Ok(Applied::Unchanged(unchanged)),
        };
        self.store.advance(id, version, change).await?;
        tracing::debug!(incident = %id, state = ?std::mem::discriminant(&after.state), "incident advanced");
        if matches!(after.state, State::Acknowledged { .. }) && !was_taken {
            let took = (after.updated_at - raised_at).to_std().unwrap_or_default();
            metrics::histogram!("ringdown_acknowledge_seconds").record(took);
        }
        self.ring();
        Ok(Applied::Changed(after))
    }

    /// Decides, and changes nothing. Without an effect on the state, `facts` are written only if the
    /// incident is about something new (`content`); else the incident comes back as it is.
    async fn rule(
        &self,
        edition: &Edition,
        incident: Incident,
        event: Event,
        facts: Vec<Fact>,
        said: Option<Saying>,
        content: Option<store::Content>,
    ) -> Result<Result<Ruling, Box<Incident>>, store::Error> {
        let now = self.clock.now();
        // What has no policy can be acknowledged and resolved, and escalates to nobody.
        let policy = edition.current_policy(&incident).await?.unwrap_or_default();
        let about = content.as_ref().unwrap_or(&incident.content);
        let subject = incident.hushable.then(|| alert::subject(about));
        let known = self.known(edition, Some(&policy), &incident.state, subject, incident.turn, now).await?;
        let (state, commands) = known.handle(&policy, incident.state.clone(), event.clone(), now);
        if state == incident.state && commands.is_empty() && content.is_none() {
            return Ok(Err(Box::new(incident)));
        }
        let mut all = transition(&incident.state, &state, &event);
        all.splice(0..0, facts);
        let mut change = known.carry_out(incident.id, state.clone(), commands, all, now);
        change.content.clone_from(&content);
        change.said = said;
        let after = Incident {
            state,
            version: incident.version + 1,
            content: content.unwrap_or_else(|| incident.content.clone()),
            updated_at: now,
            ..incident
        };
        Ok(Ok(Ruling { change, after: Box::new(after) }))
    }

    fn ring(&self) {
        self.bus.ring(Bell::Engine);
        self.bus.ring(Bell::Calls);
        self.bus.ring(Bell::Texts);
    }
}

/// Somebody else was faster: a moment of random length, so that many do not meet again and again.
async fn lost_race() {
    tokio::time::sleep(Duration::from_millis(rand::random_range(1..15))).await;
}

/// What the timeline says of a step from one state to another, beside what was said and done.
fn transition(before: &State, after: &State, event: &Event) -> Vec<Fact> {
    let pages_again = |why: &str| vec![Fact::PagesAgain { why: why.to_owned() }];
    match (before, after, event) {
        (State::Acknowledged { .. }, State::Escalating { .. } | State::Exhausted { .. }, Event::Due { .. }) => {
            pages_again("acknowledged, and not resolved in time")
        }
        (State::Acknowledged { .. }, State::Escalating { .. } | State::Exhausted { .. }, Event::Worsened) => {
            pages_again("it got worse")
        }
        (
            State::Exhausted { .. },
            State::Escalating { .. } | State::Exhausted { .. },
            Event::Repeated | Event::Worsened,
        ) => pages_again("it came again after nobody had taken it"),
        _ => Vec::new(),
    }
}
