//! TAKES IN: alerts that come while others are being stored are decided on and stored together, next.
//!
//! So a storm takes a few statements and one commit for hundreds of alerts, and a single one waits for
//! nobody. Alerts of one key are never in the same wave: each finds what the one before it has left.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    mem,
    panic::AssertUnwindSafe,
    slice,
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::join_all};
use tokio::{sync::oneshot, time::Instant};
use tracing::{Instrument, Span};

use super::{Alert, Engine, PolicyChoice, RACES, Raised, Ruling, Times, alert, directory::Edition, lost_race};
use crate::{
    escalation::{Actor, Event, Policy, State},
    failpoint,
    id::{IncidentId, PolicyId},
    store::{self, Decision, Fact, Incident, NewIncident},
    telemetry::trace,
};

/// Alerts in one wave, so that the first does not wait for the deciding of thousands.
const WAVE: usize = 256;

/// Alerts that wait. Whoever brings one waits with it, so there are no more than there are callers.
#[derive(Default)]
pub(super) struct Intake {
    waiting: VecDeque<Arrived>,
    busy: bool,
    /// When so many wait, the next wave need not wait for more.
    expected: usize,
}

/// An alert that waits.
struct Arrived {
    alert: Box<Alert>,
    /// In whose trace it came.
    span: Span,
    /// How often somebody else was faster.
    races: u32,
    done: oneshot::Sender<Result<Raised, store::Error>>,
}

/// What was decided about an alert.
struct Taken {
    decision: Decision,
    raised: Raised,
}

/// Whose turn is next, under policies in which people take turns.
type Turns = HashMap<PolicyId, i64>;

impl Intake {
    /// The next ones, each key once. When there are none, nobody is at work any more.
    fn wave(&mut self) -> Vec<Arrived> {
        let mut keys = HashSet::new();
        let (mut wave, mut later) = (Vec::new(), VecDeque::new());
        for arrived in mem::take(&mut self.waiting) {
            if arrived.done.is_closed() {
                // Whoever brought it has gone, and was told nothing: they bring it again.
            } else if wave.len() < WAVE && keys.insert(arrived.alert.dedup_key.clone()) {
                wave.push(arrived);
            } else {
                later.push_back(arrived);
            }
        }
        self.waiting = later;
        self.busy = !wave.is_empty();
        wave
    }
}

impl Engine {
    /// Takes an alert in. When this returns, it is stored.
    ///
    /// # Errors
    /// If the database does not take it: then nothing is stored and the sender must try again.
    pub async fn raise(&self, alert: Alert) -> Result<Raised, store::Error> {
        failpoint::reach("alert.taken");
        let (done, answer) = oneshot::channel();
        let arrived = Arrived { alert: Box::new(alert), span: Span::current(), races: 0, done };
        let busy = {
            let mut intake = self.intake();
            intake.waiting.push_back(arrived);
            if intake.waiting.len() == intake.expected {
                self.all_in.notify_one();
            }
            mem::replace(&mut intake.busy, true)
        };
        if !busy {
            tokio::spawn(self.clone().take_in());
        }
        let raised = answer.await.map_err(|_| store::Error::Unavailable("it was not decided on".into()))?;
        failpoint::reach("alert.stored");
        raised
    }

    /// One wave after the other, until nothing waits.
    async fn take_in(self) {
        // How many were on their way when the last wave was taken, and how long it took.
        let (mut known, mut took) = (0, Duration::ZERO);
        loop {
            self.gather(known, took / 4).await;
            let began = Instant::now();
            let wave = self.intake().wave();
            if wave.is_empty() {
                return;
            }
            known = wave.len() + self.intake().waiting.len();
            // Those of this wave hear that it went wrong; others wait, and must not do so for ever.
            if AssertUnwindSafe(self.settle(wave)).catch_unwind().await.is_err() {
                tracing::error!("alerts could not be decided on: a panic");
            }
            took = began.elapsed();
        }
    }

    /// Waits until as many are there again as have just been answered, since whoever has one answer sends the
    /// next: in one wave instead of two they cost half. At most for a part of what a wave takes, so that
    /// nobody loses by it: long on a slow disk, hardly at all on a fast one.
    async fn gather(&self, known: usize, at_most: Duration) {
        let expected = known.min(WAVE);
        {
            let mut intake = self.intake();
            // A timer knows no less than a millisecond.
            if intake.waiting.len() >= expected || at_most < Duration::from_millis(1) {
                return;
            }
            intake.expected = expected;
        }
        let _ = tokio::time::timeout(at_most, self.all_in.notified()).await;
    }

    async fn settle(&self, wave: Vec<Arrived>) {
        let results = match self.together(&wave).await {
            Ok(results) => results,
            Err(error) if wave.len() == 1 => vec![Err(error)],
            // Something is the matter with one of them, or with the database: each by itself.
            Err(_) => {
                let alone = wave.iter().map(|arrived| self.together(slice::from_ref(arrived)));
                let one = |result: Result<Vec<_>, _>| result.and_then(|mut results| results.remove(0));
                join_all(alone).await.into_iter().map(one).collect()
            }
        };
        let mut again = Vec::new();
        for (mut arrived, result) in wave.into_iter().zip(results) {
            if result == Err(store::Error::Conflict) && arrived.races < RACES {
                arrived.races += 1;
                again.push(arrived);
            } else {
                // Whoever brought it may be gone; it is stored nevertheless.
                let _ = arrived.done.send(result);
            }
        }
        if !again.is_empty() {
            if self.intake().waiting.is_empty() {
                lost_race().await;
            }
            again.into_iter().rev().for_each(|arrived| self.intake().waiting.push_front(arrived));
        }
    }

    /// Decides on each, and makes it all true with one commit.
    async fn together(&self, wave: &[Arrived]) -> Result<Vec<Result<Raised, store::Error>>, store::Error> {
        let edition = self.directory.now().await?;
        let keys: Vec<&str> = wave.iter().map(|arrived| &*arrived.alert.dedup_key).collect();
        let open = self.store.open_under(&keys).await?;
        let mut open: HashMap<String, Incident> =
            open.into_iter().map(|incident| (incident.dedup_key.clone(), incident)).collect();
        let mut turns = Turns::new();
        let (mut results, mut decisions, mut places) = (Vec::with_capacity(wave.len()), Vec::new(), Vec::new());
        for (place, Arrived { alert, span, .. }) in wave.iter().enumerate() {
            let known = open.remove(&alert.dedup_key);
            let taken = self.take(&edition, &mut turns, known, alert).instrument(span.clone()).await;
            results.push(match taken {
                Ok(Some(Taken { decision, raised })) => {
                    decisions.push(decision);
                    places.push(place);
                    Ok(raised)
                }
                Ok(None) => Ok(Raised::NothingOpen),
                Err(error) => Err(error),
            });
        }
        if decisions.is_empty() {
            return Ok(results);
        }
        for (place, done) in places.into_iter().zip(self.store.carry_out(decisions).await?) {
            match (done, &results[place]) {
                (Err(error), _) => results[place] = Err(error),
                (Ok(()), Ok(Raised::Opened(id))) => {
                    metrics::counter!("ringdown_incidents_raised_total").increment(1);
                    tracing::info!(incident = %id, "incident raised");
                }
                (Ok(()), _) => {}
            }
        }
        self.ring();
        Ok(results)
    }

    async fn take(
        &self,
        edition: &Edition,
        turns: &mut Turns,
        known: Option<Incident>,
        alert: &Alert,
    ) -> Result<Option<Taken>, store::Error> {
        match known {
            Some(incident) => self.add(edition, incident, alert).await.map(Some),
            None if alert.all_over || alert.content.members.iter().all(|member| !member.firing) => Ok(None),
            None => self.open(edition, turns, alert).await.map(Some),
        }
    }

    #[tracing::instrument(name = "escalation", skip_all, fields(event = "raised"))]
    async fn open(&self, edition: &Edition, turns: &mut Turns, alert: &Alert) -> Result<Taken, store::Error> {
        let now = self.clock.now();
        let mut facts = Vec::new();
        // Somebody asked for a direct call: no silence is meant for it.
        let hushable = !matches!(alert.policy, PolicyChoice::Own(_));
        let subject = hushable.then(|| alert::subject(&alert.content));
        let choice = edition.choose(&alert.policy, subject.as_ref(), &mut facts).await?;
        let mut content = alert.content.clone();
        content.severity = choice.severity.unwrap_or(content.severity);
        let summary = content.summary.clone();
        let name = choice.named.as_ref().map(|named| named.name.clone());
        facts.insert(0, Fact::Raised { source: alert.source.clone(), summary, policy: name.clone() });
        if choice.policy.is_none() {
            tracing::error!("an alert is held and pages nobody: there is no policy for it");
            metrics::counter!("ringdown_incidents_held_total").increment(1);
            facts.push(Fact::HeldNoPolicy);
        }
        let takes_turns = choice.policy.as_ref().is_some_and(Policy::takes_turns);
        let turn = match &choice.named {
            Some(named) if takes_turns => self.turn(turns, named.id).await?,
            _ => 0,
        };
        let begin = State::Scheduled { due_at: now, expires_at: now };
        let whose = turn.rem_euclid(i64::from(i32::MAX)).try_into().unwrap_or(0);
        let known = self.known(edition, choice.policy.as_ref(), &begin, subject, whose, now).await?;
        let (state, commands) = match alert.schedule {
            Some(Times { due_at, expires_at }) => {
                facts.push(Fact::Scheduled { at: due_at });
                (State::Scheduled { due_at, expires_at }, Vec::new())
            }
            None => known.trigger(choice.policy.as_ref(), now),
        };
        let id = alert.id.unwrap_or_else(IncidentId::generate);
        let mut change = known.carry_out(id, state, commands, facts, now);
        change.content = Some(content);
        let new = NewIncident {
            id,
            dedup_key: alert.dedup_key.clone(),
            policy_name: name,
            policy: choice.policy,
            policy_id: choice.named.as_ref().map(|named| (named.id, named.version)),
            turn,
            hushable,
            source: alert.source.clone(),
            traceparent: trace::current().map(|parent| parent.to_string()),
        };
        let decision = Decision::Raise(Box::new(new), Box::new(change));
        Ok(Taken { decision, raised: Raised::Opened(id) })
    }

    /// Takes the next turn of a policy. Not from what is remembered: nobody edits it, each alert counts it up.
    async fn turn(&self, turns: &mut Turns, policy: PolicyId) -> Result<i64, store::Error> {
        let turn = match turns.get(&policy) {
            Some(turn) => *turn,
            None => self.store.policy_by_id(policy).await?.map_or(0, |policy| policy.turns),
        };
        turns.insert(policy, turn + 1);
        Ok(turn)
    }

    async fn add(&self, edition: &Edition, incident: Incident, alert: &Alert) -> Result<Taken, store::Error> {
        let (id, version) = (incident.id, incident.version);
        let merged = alert::merge(&incident.content, alert);
        let mut facts = merged.facts;
        let (event, raised) = match merged.effect {
            alert::Effect::Repeated => {
                facts.insert(0, Fact::Repeated { source: alert.source.clone() });
                (Event::Repeated, Raised::Updated(id))
            }
            alert::Effect::Worsened => (Event::Worsened, Raised::Updated(id)),
            alert::Effect::Resolved => {
                facts.push(Fact::Resolved { by: alert.source.clone() });
                let by = Actor::Source(alert.source.clone());
                (Event::Resolved { by }, Raised::Resolved(id))
            }
        };
        let span = self.span(&incident, &event);
        let (content, state) = (incident.content.clone(), incident.state.clone());
        let ruling = self.rule(edition, incident, event, facts, None, Some(merged.content)).instrument(span).await?;
        // What came again stands in the timeline, also where it changes nothing.
        let Ruling { change, after } = ruling.map_err(|_| store::Error::Conflict)?;
        let acts = change.cancel_calls || !change.calls.is_empty() || !change.messages.is_empty();
        let decision = if !acts && after.state == state && after.content == content {
            Decision::Note(id, version, change.now, change.entries)
        } else {
            Decision::Advance(id, version, Box::new(change))
        };
        Ok(Taken { decision, raised })
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        self.intake.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
