//! WHAT TO DO NEXT: a pure function of policy, state, event and instant.
//!
//! Nothing but this module decides who is called next. It knows no database, no telephone, no clock:
//! [`handle`] takes what is known and gives back the new state and the commands that make it true.
//!
//! An attempt that found no route is over at once and a round of which no call found one is not
//! counted, so an outage never uses up a policy, and a number that the trunk refuses holds up nobody else.
//!
//! Time runs from the start of an attempt: the next one comes `attempt_delay` later, the next step
//! `delay` after the start of the last attempt. A deadline waits while a call of the incident lives.

mod policy;
#[cfg(test)]
mod tests;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use policy::{Policy, Step, Target};

use crate::{
    id::{CallId, ContactId},
    phone::PhoneNumber,
};

/// How long a deadline that found a call alive is put off before it looks again.
pub const OVERTIME: TimeDelta = TimeDelta::seconds(2);
/// How soon the next attempt comes after one that found no route.
pub const DETOUR: TimeDelta = TimeDelta::seconds(10);

/// Where an incident stands. One at a time, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Stored and open, but it pages nobody.
    Held {
        /// Why not.
        reason: Held,
    },
    /// Somebody is being called.
    Escalating {
        /// The attempt that runs.
        at: Position,
        /// When it is over and the next thing happens.
        due_at: DateTime<Utc>,
    },
    /// A person has taken it.
    Acknowledged {
        /// Who.
        by: Actor,
        /// How far it had come.
        at: Stage,
        /// When it pages again unless it is resolved by then.
        until: Option<DateTime<Utc>>,
    },
    /// It is over.
    Resolved,
    /// All rounds went unanswered. Not the end: it still takes acknowledge, escalate, resolve.
    Exhausted {
        /// Where the policy ended.
        at: Stage,
    },
}

/// Why an incident pages nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The alert named no policy and there is no default one.
    NoPolicy,
}

/// A step of a round of a run. A run is one pass through the whole policy; an incident that pages
/// again begins a new one. All three count from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stage {
    /// Which run.
    pub run: u32,
    /// Which round of it.
    pub round: u32,
    /// Which step of the round.
    pub step: u32,
}

/// One attempt of a step; attempts count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The step.
    pub stage: Stage,
    /// Which try of it.
    pub attempt: u32,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A contact, on a call.
    Contact {
        /// Who.
        id: ContactId,
        /// Their name, as it was.
        name: String,
        /// The call they were on.
        call: CallId,
    },
    /// Whoever answered a bare number.
    Number {
        /// The number.
        number: PhoneNumber,
        /// The call they were on.
        call: CallId,
    },
    /// Whoever holds this API key.
    Key(String),
    /// The system that sent the alert.
    Source(String),
}

impl Actor {
    /// The name to show and to say.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Contact { name, .. } | Self::Key(name) | Self::Source(name) => name,
            Self::Number { number, .. } => number.as_str(),
        }
    }

    /// The call they were on, if it was one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Contact { call, .. } | Self::Number { call, .. } => Some(*call),
            Self::Key(_) | Self::Source(_) => None,
        }
    }
}

/// What can happen to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its deadline has come.
    Due {
        /// What became of the calls of the round that runs.
        calls: Calls,
    },
    /// A person takes it.
    Acknowledged {
        /// Who.
        by: Actor,
    },
    /// A person passes it on. Counts only if the incident still stands where it was said.
    Escalated {
        /// Where it stood when it was said.
        at: Stage,
    },
    /// No call of this attempt found a route: waiting for it to be answered is pointless.
    NoWayOut {
        /// The attempt.
        at: Position,
    },
    /// It is over.
    Resolved,
    /// The same alert came again: opens an exhausted incident anew.
    Repeated,
    /// It got worse (another alert of the group fires, the severity rose): an acknowledged one pages again.
    Worsened,
}

/// What became of a round's calls so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// One is still waiting, ringing or being spoken to.
    Live,
    /// All are over, and at least one of them reached a telephone network.
    Placed,
    /// All are over, and none found a route: an outage, which must not use up the policy.
    NoWayOut,
}

/// Whom to call: what a target resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// A contact, by their numbers in order.
    Contact(ContactId),
    /// A bare number.
    Number(PhoneNumber),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call them, for this attempt.
    Call {
        /// Whom.
        to: Recipient,
        /// For which attempt.
        at: Position,
    },
    /// Whoever is being called about it need not be any more.
    CancelCalls,
    /// Write this in the timeline.
    Note(Note),
}

/// What the timeline tells beside the state itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A step had nobody to call and was passed over.
    NobodyToCall {
        /// Which.
        at: Stage,
    },
    /// No call of the round found a route: the round is gone through again and not counted.
    RoundNotCounted {
        /// Which.
        round: u32,
    },
}

/// A new incident: where it stands at first, and what to do.
#[must_use]
pub fn trigger(
    policy: Option<&Policy>,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    match policy {
        None => (State::Held { reason: Held::NoPolicy }, Vec::new()),
        Some(policy) => begin(policy, on_call, 0, now),
    }
}

/// What `event` makes of `state`. Whatever does not apply changes nothing and commands nothing.
#[must_use]
pub fn handle(
    policy: &Policy,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    state: State,
    event: Event,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    match (state, event) {
        (State::Resolved, _) => (State::Resolved, Vec::new()),
        (_, Event::Resolved) => (State::Resolved, vec![Command::CancelCalls]),

        // Who took it first has it.
        (state @ State::Acknowledged { .. }, Event::Acknowledged { .. }) => (state, Vec::new()),
        (state, Event::Acknowledged { by }) => {
            let until = policy.ack_timeout.map(|timeout| now + timeout);
            (State::Acknowledged { by, at: stage(&state), until }, vec![Command::CancelCalls])
        }

        (State::Escalating { at, due_at }, Event::Due { .. }) if now < due_at => {
            (State::Escalating { at, due_at }, Vec::new())
        }
        (State::Escalating { at, .. }, Event::Due { calls: Calls::Live }) => {
            (State::Escalating { at, due_at: now + OVERTIME }, Vec::new())
        }
        (State::Escalating { at, .. }, Event::Due { calls }) => {
            let attempts = policy.steps.get(at.stage.step as usize).map_or(0, |step| step.attempts);
            if at.attempt < attempts {
                run(policy, on_call, Position { attempt: at.attempt + 1, ..at }, calls, now)
            } else {
                run(policy, on_call, first_attempt(next(at.stage)), calls, now)
            }
        }
        (State::Escalating { at, due_at }, Event::NoWayOut { at: lost }) if at == lost => {
            (State::Escalating { at, due_at: due_at.min(now + DETOUR) }, Vec::new())
        }
        (State::Acknowledged { at, until: Some(until), .. }, Event::Due { .. }) if until <= now => {
            begin(policy, on_call, at.run + 1, now)
        }

        (State::Escalating { at, .. }, Event::Escalated { at: said }) if at.stage == said => {
            let (state, mut commands) = run(policy, on_call, first_attempt(next(at.stage)), Calls::Placed, now);
            commands.insert(0, Command::CancelCalls);
            (state, commands)
        }
        // Taken when the policy was behind it: no step comes after that, the next one is the first.
        (State::Acknowledged { at, .. }, Event::Escalated { at: said }) if at == said && at.round > policy.repeat => {
            begin(policy, on_call, at.run + 1, now)
        }
        (State::Acknowledged { at, .. }, Event::Escalated { at: said }) if at == said => {
            run(policy, on_call, first_attempt(next(at)), Calls::Placed, now)
        }
        (State::Exhausted { at }, Event::Escalated { at: said }) if at == said => {
            begin(policy, on_call, at.run + 1, now)
        }
        // Being held counts as the run before the first, so that saying it twice counts once.
        (State::Held { .. }, Event::Escalated { .. }) => begin(policy, on_call, 1, now),

        (State::Exhausted { at }, Event::Repeated | Event::Worsened)
        | (State::Acknowledged { at, .. }, Event::Worsened) => begin(policy, on_call, at.run + 1, now),

        (
            state,
            Event::Due { .. } | Event::Escalated { .. } | Event::NoWayOut { .. } | Event::Repeated | Event::Worsened,
        ) => (state, Vec::new()),
    }
}

/// The step an incident stands at: what an "escalate" said now refers to.
#[must_use]
pub fn stage(state: &State) -> Stage {
    match state {
        State::Escalating { at, .. } => at.stage,
        State::Acknowledged { at, .. } | State::Exhausted { at } => *at,
        State::Held { .. } | State::Resolved => Stage { run: 0, round: 0, step: 0 },
    }
}

/// When the incident must be looked at again.
#[must_use]
pub fn due_at(state: &State) -> Option<DateTime<Utc>> {
    match state {
        State::Escalating { due_at, .. } => Some(*due_at),
        State::Acknowledged { until, .. } => *until,
        State::Held { .. } | State::Resolved | State::Exhausted { .. } => None,
    }
}

fn begin(
    policy: &Policy,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    run_number: u32,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let first = Stage { run: run_number, round: 0, step: 0 };
    run(policy, on_call, first_attempt(first), Calls::Placed, now)
}

fn first_attempt(stage: Stage) -> Position {
    Position { stage, attempt: 1 }
}

fn next(stage: Stage) -> Stage {
    Stage { step: stage.step + 1, ..stage }
}

/// Carries out the first attempt from `at` on that has somebody to call. `calls` is what became of
/// the round so far: one that no call left is not counted when its end is reached.
fn run(
    policy: &Policy,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    mut at: Position,
    calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let mut commands = Vec::new();
    let mut passed_over = 0;
    loop {
        let Some(step) = policy.steps.get(at.stage.step as usize) else {
            let counted = calls != Calls::NoWayOut;
            let round = at.stage.round + u32::from(counted);
            let nobody_at_all = passed_over >= policy.steps.len();
            if round > policy.repeat || nobody_at_all {
                // Behind the last round, even if it ended before: no attempt ever stood there.
                let end = Stage { round: policy.repeat.saturating_add(1), step: 0, ..at.stage };
                return (State::Exhausted { at: end }, commands);
            }
            if !counted {
                commands.push(Command::Note(Note::RoundNotCounted { round }));
            }
            at = first_attempt(Stage { round, step: 0, ..at.stage });
            continue;
        };
        let recipients = recipients(step, &on_call);
        if recipients.is_empty() {
            commands.push(Command::Note(Note::NobodyToCall { at: at.stage }));
            passed_over += 1;
            at = first_attempt(next(at.stage));
            continue;
        }
        let delay = if at.attempt < step.attempts { step.attempt_delay } else { step.delay };
        commands.extend(recipients.into_iter().map(|to| Command::Call { to, at }));
        return (State::Escalating { at, due_at: now + delay }, commands);
    }
}

/// Everybody a step means, each once.
fn recipients(step: &Step, on_call: impl Fn(&Target) -> Vec<Recipient>) -> Vec<Recipient> {
    let mut all = Vec::new();
    for recipient in step.targets.iter().flat_map(on_call) {
        if !all.contains(&recipient) {
            all.push(recipient);
        }
    }
    all
}
