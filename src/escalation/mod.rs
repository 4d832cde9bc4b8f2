//! WHAT TO DO NEXT: a pure function of policy, state, event, the world as it is, and the instant.
//!
//! Nothing but this module decides who is called next. It knows no database, no telephone, no clock:
//! [`handle`] takes what is known and gives back the new state and the commands that make it true.
//!
//! An attempt that found no route is over at once and a round of which no call found one is not
//! counted, so an outage never uses up a policy, and a number that the trunk refuses holds up nobody else.
//! Likewise a step that only texts while no text leaves: those that call have their turn at once, and where there are
//! none it is held until a way is back.
//!
//! Time runs from the start of an attempt: the next one comes `attempt_delay` later, the next step
//! `delay` after the start of the last attempt. A deadline waits while a call of the incident lives.
//!
//! A step outside its calendars is passed over. If that leaves nobody to call, the round waits for the
//! first calendar to change. What is hushed (a silence, a maintenance window) pages nobody until it is
//! over, and pages then.

mod policy;
mod state;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};

pub use policy::{Connect, Method, OnExhausted, Placing, Policy, Step, Target};
pub use state::{
    Actor, Calls, Command, DETOUR, Event, Held, Hush, Note, OVERTIME, Opening, Phase, Position, Recipient, Stage,
    State, Texts,
};

use crate::id::CalendarId;

/// The world as it is when something is decided.
#[derive(Clone, Copy)]
pub struct World<'a> {
    /// Whom a target means now. Nobody, if they cannot be called.
    pub on_call: &'a dyn Fn(&Target) -> Vec<Recipient>,
    /// How a calendar stands now; `None` if there is none of this identifier: it restricts nothing.
    pub calendar: &'a dyn Fn(CalendarId) -> Option<Opening>,
    /// Whether the incident is to stay quiet for now.
    pub hush: Option<Hush>,
    /// How it is with texts.
    pub texts: Texts,
    /// Whose turn it is where people take turns: counts the incidents of the policy.
    pub turn: u32,
}

/// A new incident: where it stands at first, and what to do.
#[must_use]
pub fn trigger(policy: Option<&Policy>, world: &World<'_>, now: DateTime<Utc>) -> (State, Vec<Command>) {
    match policy {
        None => (State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None }, Vec::new()),
        Some(policy) => begin(policy, world, 0, now),
    }
}

/// What `event` makes of `state`. Whatever does not apply changes nothing and commands nothing.
#[must_use]
pub fn handle(
    policy: &Policy,
    world: &World<'_>,
    state: State,
    event: Event,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    match (state, event) {
        (state @ (State::Resolved | State::Expired), _) => (state, Vec::new()),
        (State::Acknowledged { by: had, .. }, Event::Resolved { by }) => {
            let other = had.contact().filter(|had| by.contact() != Some(*had));
            let tell = other.map(|to| Command::TellOver { to });
            (State::Resolved, std::iter::once(Command::CancelCalls).chain(tell).collect())
        }
        (_, Event::Resolved { .. }) => (State::Resolved, vec![Command::CancelCalls]),

        // Who took it first has it.
        (state @ State::Acknowledged { .. }, Event::Acknowledged { .. }) => (state, Vec::new()),
        (state, Event::Acknowledged { by }) => {
            let until = policy.ack_timeout.map(|timeout| now + timeout);
            (State::Acknowledged { by, at: stage(&state), until }, vec![Command::CancelCalls])
        }

        (state, Event::Due { calls }) => match due_at(&state) {
            Some(due) if due <= now => due_now(policy, world, state, calls, now),
            _ => (state, Vec::new()),
        },
        (State::Escalating { at, due_at, phase }, Event::NoWayOut { at: lost }) if at == lost => {
            (State::Escalating { at, due_at: due_at.min(now + DETOUR), phase }, Vec::new())
        }

        (State::Escalating { at, .. }, Event::Escalated { at: said, .. }) if at.stage == said => {
            let (state, mut commands) = run(policy, world, first_attempt(next(at.stage)), Calls::Placed, now);
            commands.insert(0, Command::CancelCalls);
            (state, commands)
        }
        // Taken when the policy was behind it: no step comes after that, the next one is the first.
        (State::Acknowledged { at, .. }, Event::Escalated { at: said, call: None })
            if at == said && at.round >= policy.rounds() =>
        {
            begin_all_the_same(policy, world, at.run + 1, now)
        }
        (State::Acknowledged { at, .. }, Event::Escalated { at: said, call: None }) if at == said => {
            run(policy, world, first_attempt(next(at)), Calls::Placed, now)
        }
        (State::Exhausted { at, .. }, Event::Escalated { at: said, .. }) if at == said => {
            begin_all_the_same(policy, world, at.run + 1, now)
        }
        // Somebody wants it to page, whatever holds it. Being held counts as a run of its own, so that
        // saying it twice counts once.
        (State::Held { at, .. }, Event::Escalated { .. }) => begin_all_the_same(policy, world, at.run + 1, now),
        (State::Scheduled { .. }, Event::Escalated { .. }) => begin_all_the_same(policy, world, 1, now),

        (State::Exhausted { at, .. }, Event::Repeated | Event::Worsened)
        | (State::Acknowledged { at, .. }, Event::Worsened) => begin(policy, world, at.run + 1, now),

        (state @ (State::Escalating { .. } | State::Held { .. }), Event::HushChanged) => {
            hush_changed(policy, world, state, now)
        }
        (State::Scheduled { .. }, Event::Rescheduled { due_at, expires_at }) => {
            (State::Scheduled { due_at, expires_at }, vec![Command::Note(Note::Rescheduled { due_at })])
        }

        (
            state,
            Event::Escalated { .. }
            | Event::NoWayOut { .. }
            | Event::Repeated
            | Event::Worsened
            | Event::HushChanged
            | Event::Rescheduled { .. },
        ) => (state, Vec::new()),
    }
}

/// The deadline has come, and is past.
fn due_now(
    policy: &Policy,
    world: &World<'_>,
    state: State,
    calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    match state {
        State::Escalating { at, phase, .. } if calls == Calls::Live => {
            (State::Escalating { at, due_at: now + OVERTIME, phase }, Vec::new())
        }
        State::Escalating { at, phase: Phase::Texted, .. } => call_after_texts(policy, world, at, calls, now),
        State::Escalating { at, phase: Phase::NoWay, .. } => text_at_last(policy, world, at, calls, now),
        State::Escalating { at, .. } => after_attempt(policy, world, at, calls, now),
        State::Acknowledged { at, .. } | State::Exhausted { at, .. } => begin(policy, world, at.run + 1, now),
        State::Held { reason, at, .. } => match world.hush {
            Some(hush) => (State::Held { reason: hush.reason, at, until: Some(hush.until) }, Vec::new()),
            None => goes_on(policy, world, reason, at, now),
        },
        State::Scheduled { due_at, expires_at } if now > expires_at => {
            (State::Expired, vec![Command::Note(Note::TooLate { due_at })])
        }
        State::Scheduled { .. } => begin(policy, world, 0, now),
        state @ (State::Resolved | State::Expired) => (state, Vec::new()),
    }
}

/// The step an incident stands at: what an "escalate" said now refers to.
#[must_use]
pub fn stage(state: &State) -> Stage {
    match state {
        State::Escalating { at, .. } => at.stage,
        State::Acknowledged { at, .. } | State::Exhausted { at, .. } | State::Held { at, .. } => *at,
        State::Scheduled { .. } | State::Resolved | State::Expired => Stage::default(),
    }
}

/// When the incident must be looked at again.
#[must_use]
pub fn due_at(state: &State) -> Option<DateTime<Utc>> {
    match state {
        State::Escalating { due_at, .. } | State::Scheduled { due_at, .. } => Some(*due_at),
        State::Acknowledged { until, .. } | State::Held { until, .. } | State::Exhausted { until, .. } => *until,
        State::Resolved | State::Expired => None,
    }
}

/// A run from its first step, unless it is to stay quiet.
fn begin(policy: &Policy, world: &World<'_>, run_number: u32, now: DateTime<Utc>) -> (State, Vec<Command>) {
    match world.hush {
        Some(hush) => held(hush, run_number),
        None => begin_all_the_same(policy, world, run_number, now),
    }
}

fn begin_all_the_same(
    policy: &Policy,
    world: &World<'_>,
    run_number: u32,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let first = Stage { run: run_number, round: 0, step: 0 };
    run(policy, world, first_attempt(first), Calls::Placed, now)
}

fn held(hush: Hush, run: u32) -> (State, Vec<Command>) {
    let at = Stage { run, round: 0, step: 0 };
    let note = Note::Held { reason: hush.reason, until: hush.until };
    (State::Held { reason: hush.reason, at, until: Some(hush.until) }, vec![Command::Note(note)])
}

/// A silence was made, changed or taken back: what escalates may have to stop, what was held may go on.
fn hush_changed(policy: &Policy, world: &World<'_>, state: State, now: DateTime<Utc>) -> (State, Vec<Command>) {
    match (state, world.hush) {
        (State::Escalating { at, .. }, Some(hush)) => {
            let (state, mut commands) = held(hush, at.stage.run + 1);
            commands.insert(0, Command::CancelCalls);
            (state, commands)
        }
        (State::Held { reason: Held::Silence | Held::Maintenance, at, until }, Some(hush)) => {
            let same = until == Some(hush.until);
            let note = Command::Note(Note::Held { reason: hush.reason, until: hush.until });
            let state = State::Held { reason: hush.reason, at, until: Some(hush.until) };
            (state, if same { Vec::new() } else { vec![note] })
        }
        (State::Held { reason: reason @ (Held::Silence | Held::Maintenance), at, .. }, None) => {
            goes_on(policy, world, reason, at, now)
        }
        (state, _) => (state, Vec::new()),
    }
}

/// What held it is over.
fn goes_on(policy: &Policy, world: &World<'_>, reason: Held, at: Stage, now: DateTime<Utc>) -> (State, Vec<Command>) {
    let (state, mut commands) = run(policy, world, first_attempt(at), Calls::Placed, now);
    // The calendars may have changed in a way that opens no step: then nothing has been told yet.
    if !matches!(state, State::Held { .. }) || reason != Held::OutsideCalendars {
        commands.insert(0, Command::Note(Note::NoLongerHeld));
    } else {
        commands.clear();
    }
    (state, commands)
}

/// Nobody has taken it within an attempt.
fn after_attempt(
    policy: &Policy,
    world: &World<'_>,
    at: Position,
    calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let step = policy.steps_of(at.stage.round).get(at.stage.step as usize);
    // Whether its texts have left is not certain: it does not count.
    let uncertain = world.texts == Texts::Wait && step.is_some_and(|step| step.method == Method::Sms);
    if uncertain {
        run(policy, world, at, calls, now)
    } else if at.attempt < step.map_or(0, |step| step.attempts) {
        run(policy, world, Position { attempt: at.attempt + 1, ..at }, calls, now)
    } else {
        run(policy, world, first_attempt(next(at.stage)), calls, now)
    }
}

/// The texts of an attempt were not answered: now the calls of the same attempt.
fn call_after_texts(
    policy: &Policy,
    world: &World<'_>,
    at: Position,
    calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let step = policy.steps_of(at.stage.round).get(at.stage.step as usize);
    let recipients = step.map(|step| recipients(step, world, at)).unwrap_or_default();
    match step {
        Some(step) if !recipients.is_empty() => {
            let text_if_missed = step.text_if_missed && world.texts != Texts::Never;
            let commands = recipients.into_iter().map(|to| Command::Call { to, at, text_if_missed }).collect();
            (State::Escalating { at, due_at: now + pause(step, at), phase: Phase::Reached }, commands)
        }
        // Nobody is on call any more, or the policy has been edited.
        _ => after_attempt(policy, world, at, calls, now),
    }
}

/// No text left: now perhaps.
fn text_at_last(
    policy: &Policy,
    world: &World<'_>,
    at: Position,
    calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let (state, mut commands) = run(policy, world, at, calls, now);
    // Nothing has changed, and has been told.
    if matches!(state, State::Escalating { at: still, phase: Phase::NoWay, .. } if still == at) {
        commands.clear();
    }
    (state, commands)
}

fn first_attempt(stage: Stage) -> Position {
    Position { stage, attempt: 1 }
}

fn next(stage: Stage) -> Stage {
    Stage { step: stage.step + 1, ..stage }
}

/// From the start of this attempt to what comes after it.
fn pause(step: &Step, at: Position) -> chrono::TimeDelta {
    if at.attempt < step.attempts { step.attempt_delay } else { step.delay }
}

/// Carries out the first attempt from `at` on that has somebody to call. `calls` is what became of
/// the round so far: one that no call left is not counted when its end is reached.
fn run(
    policy: &Policy,
    world: &World<'_>,
    mut at: Position,
    mut calls: Calls,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let mut commands = Vec::new();
    let mut passed_over = 0;
    // When a step that was passed over for its calendars may count again, and the round it is in.
    let mut opens: Option<(DateTime<Utc>, u32)> = None;
    // The first step of the round that was passed over because no text leaves.
    let mut untexted: Option<Position> = None;
    loop {
        let steps = policy.steps_of(at.stage.round);
        let Some(step) = steps.get(at.stage.step as usize) else {
            let nobody_at_all = passed_over >= steps.len();
            if let Some(at) = waits_for_texts(policy, at.stage, untexted, nobody_at_all) {
                return (State::Escalating { at, due_at: now + DETOUR, phase: Phase::NoWay }, commands);
            }
            if let (true, Some((until, round))) = (nobody_at_all, opens) {
                let at = Stage { round, step: 0, ..at.stage };
                commands.push(Command::Note(Note::Held { reason: Held::OutsideCalendars, until }));
                return (State::Held { reason: Held::OutsideCalendars, at, until: Some(until) }, commands);
            }
            let counted = calls != Calls::NoWayOut;
            let mut round = at.stage.round + u32::from(counted);
            if nobody_at_all && round <= policy.repeat {
                // Going through it again would find nobody either.
                round = policy.repeat.saturating_add(1);
            }
            if round >= policy.rounds() || (nobody_at_all && at.stage.round > policy.repeat) {
                return exhausted(policy, at.stage.run, commands, now);
            }
            if round > policy.repeat && at.stage.round <= policy.repeat {
                commands.push(Command::Note(Note::LastResort));
                calls = Calls::Placed;
            } else if !counted {
                commands.push(Command::Note(Note::RoundNotCounted { round }));
            }
            (passed_over, untexted) = (0, None);
            at = first_attempt(Stage { round, step: 0, ..at.stage });
            continue;
        };
        if let Some(changes) = outside_calendars(step, world) {
            commands.push(Command::Note(Note::OutsideCalendar { at: at.stage }));
            if let Some(changes) = changes {
                let first = opens.map_or(changes, |(earliest, _)| earliest.min(changes));
                opens = Some((first, at.stage.round));
            }
        } else if step.method == Method::Sms && world.texts != Texts::Leave {
            commands.push(Command::Note(Note::NoWayToText { at: at.stage }));
            untexted = untexted.or((world.texts == Texts::Wait).then_some(at));
        } else {
            let recipients = recipients(step, world, at);
            if !recipients.is_empty() {
                return attempt(step, world, recipients, at, commands, now);
            }
            commands.push(Command::Note(Note::NobodyToCall { at: at.stage }));
        }
        passed_over += 1;
        at = first_attempt(next(at.stage));
    }
}

/// Where a round is held at its end because of a step that could not text: at its beginning if there was nothing else
/// in it, and at that step if nothing comes after the round. The last resort is not kept waiting.
fn waits_for_texts(policy: &Policy, end: Stage, untexted: Option<Position>, nobody_at_all: bool) -> Option<Position> {
    let untexted = untexted?;
    if end.round + 1 >= policy.rounds() {
        return Some(if nobody_at_all { first_attempt(Stage { step: 0, ..end }) } else { untexted });
    }
    let last_resort_comes = policy.rounds() > policy.repeat.saturating_add(1);
    (nobody_at_all && !last_resort_comes).then(|| first_attempt(Stage { step: 0, ..end }))
}

/// Everything that an attempt sends out.
fn attempt(
    step: &Step,
    world: &World<'_>,
    recipients: Vec<Recipient>,
    at: Position,
    mut commands: Vec<Command>,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    let text = |to: &Recipient| Command::Text { to: to.clone(), at };
    let text_if_missed = step.text_if_missed && world.texts != Texts::Never;
    let call = |to: &Recipient| Command::Call { to: to.clone(), at, text_if_missed };
    let (mut due_at, mut phase) = (now + pause(step, at), Phase::Reached);
    match (&step.method, world.texts) {
        (Method::SmsThenCall { wait }, Texts::Leave) => {
            commands.extend(recipients.iter().map(text));
            (due_at, phase) = (now + *wait, Phase::Texted);
        }
        // Nobody should wait for an answer to a text that does not leave; it may all the same.
        (Method::SmsThenCall { .. }, Texts::Wait) | (Method::CallAndSms, Texts::Leave | Texts::Wait) => {
            commands.extend(recipients.iter().map(text));
            commands.extend(recipients.iter().map(call));
        }
        (Method::Sms, _) => commands.extend(recipients.iter().map(text)),
        (Method::Call | Method::SmsThenCall { .. } | Method::CallAndSms, _) => {
            commands.extend(recipients.iter().map(call));
        }
    }
    (State::Escalating { at, due_at, phase }, commands)
}

/// The policy is behind it.
fn exhausted(policy: &Policy, run: u32, mut commands: Vec<Command>, now: DateTime<Utc>) -> (State, Vec<Command>) {
    // Behind the last round, even if it ended before: no attempt ever stood there.
    let at = Stage { run, round: policy.rounds(), step: 0 };
    let until = match &policy.on_exhausted {
        Some(OnExhausted::Repeat { every }) => Some(now + *every),
        _ => None,
    };
    commands.extend(until.map(|at| Command::Note(Note::BeginsAgain { at })));
    (State::Exhausted { at, until }, commands)
}

/// Whether a step is outside its calendars: then when that may change, if ever.
fn outside_calendars(step: &Step, world: &World<'_>) -> Option<Option<DateTime<Utc>>> {
    let opening = |id: &Option<CalendarId>| id.and_then(world.calendar);
    let waits = opening(&step.only_during).filter(|calendar| !calendar.open);
    let barred = opening(&step.not_during).filter(|calendar| calendar.open);
    // While both bar it, it cannot count before the later of the two.
    match (waits, barred) {
        (None, None) => None,
        (Some(one), None) | (None, Some(one)) => Some(one.changes),
        (Some(one), Some(other)) => Some(one.changes.zip(other.changes).map(|(one, other)| one.max(other))),
    }
}

/// Everybody a step means, each once; where they take turns, the one whose turn it is.
fn recipients(step: &Step, world: &World<'_>, at: Position) -> Vec<Recipient> {
    let mut all = Vec::new();
    for recipient in step.targets.iter().flat_map(world.on_call) {
        if !all.contains(&recipient) {
            all.push(recipient);
        }
    }
    if step.round_robin && !all.is_empty() {
        let tries = (at.stage.run + at.stage.round).wrapping_mul(step.attempts) + at.attempt - 1;
        let nth = world.turn.wrapping_add(tries) as usize % all.len();
        all = vec![all.swap_remove(nth)];
    }
    all
}
