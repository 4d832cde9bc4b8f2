//! Three ways to be sure of the rules: the same answer found another way (`oracle`), what must hold
//! whatever happens (`properties`), and the nights as people would tell them (`stories`).

mod oracle;
mod properties;
mod stories;
mod words;
mod world;

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{collection::vec, option, prelude::*};
use uuid::Uuid;

use super::*;
use crate::{
    id::{CallId, ContactId},
    phone::PhoneNumber,
};

/// When everything begins.
fn evening() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a valid instant")
}

/// The world, with these people in it and nothing else of note.
fn world<'a>(on_call: &'a dyn Fn(&Target) -> Vec<Recipient>) -> World<'a> {
    World { on_call, calendar: &|_| None, hush: None, texts: Texts::Never, turn: 0 }
}

fn trigger(
    policy: Option<&Policy>,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    super::trigger(policy, &world(&on_call), now)
}

fn handle(
    policy: &Policy,
    on_call: impl Fn(&Target) -> Vec<Recipient>,
    state: State,
    event: Event,
    now: DateTime<Utc>,
) -> (State, Vec<Command>) {
    super::handle(policy, &world(&on_call), state, event, now)
}

fn over() -> Event {
    Event::Resolved { by: Actor::Source("a test".into()) }
}

fn escalated(at: Stage) -> Event {
    Event::Escalated { at, call: None }
}

fn seconds(count: u32) -> TimeDelta {
    TimeDelta::seconds(count.into())
}

fn contact(n: u8) -> ContactId {
    ContactId(Uuid::from_u128(n.into()))
}

fn person(n: u8) -> Target {
    Target::Contact(contact(n))
}

fn number(text: &str) -> PhoneNumber {
    PhoneNumber::try_from(text.to_owned()).expect("a dialable number")
}

fn by(n: u8) -> Actor {
    Actor::Contact { id: contact(n), name: format!("person {n}"), call: CallId(Uuid::from_u128(n.into())) }
}

/// Who can be called: a bit per contact. An even one brings the odd one after it along, so that a step
/// may mean somebody twice. A bare number can always be called.
fn on_duty(present: u8) -> impl Fn(&Target) -> Vec<Recipient> {
    move |target| match target {
        Target::Number(number) => vec![Recipient::Number(number.clone())],
        Target::Group(_) | Target::Schedule(_) => Vec::new(),
        Target::Contact(id) => {
            let n = id.0.as_u128();
            let with_deputy = if n % 2 == 0 { vec![n, n + 1] } else { vec![n] };
            let there = |n: &u128| present & (1 << n) != 0;
            with_deputy.into_iter().filter(there).map(|n| Recipient::Contact(ContactId(Uuid::from_u128(n)))).collect()
        }
    }
}

fn targets() -> impl Strategy<Value = Vec<Target>> {
    let target = prop_oneof![
        6 => (0..6u8).prop_map(person),
        1 => Just(Target::Number(number("+393331234567"))),
    ];
    vec(target, 0..=3)
}

fn policies() -> impl Strategy<Value = Policy> {
    let step = (targets(), 1..=3u32, 0..=120u32, 0..=600u32).prop_map(|(targets, attempts, between, after)| Step {
        targets,
        attempts,
        attempt_delay: seconds(between),
        delay: seconds(after),
        ..Step::default()
    });
    (0..=2u32, option::of(0..=900u32), vec(step, 0..=4)).prop_map(|(repeat, ack_timeout, steps)| Policy {
        repeat,
        ack_timeout: ack_timeout.map(seconds),
        steps,
        ..Policy::default()
    })
}

/// Something that happens, told relative to where the incident stands then.
#[derive(Clone, Copy, Debug)]
struct Happening {
    when: When,
    what: What,
    /// Who can be called then, see [`on_duty`].
    present: u8,
}

#[derive(Clone, Copy, Debug)]
enum When {
    /// So many seconds after what happened before.
    Later(u32),
    /// At the deadline, if there is one, or so many seconds beside it; never back in time.
    Deadline(i64),
}

#[derive(Clone, Copy, Debug)]
enum What {
    Due(Calls),
    Acknowledged(u8),
    Escalated(Where),
    NoWayOut(Where),
    Resolved,
    Repeated,
    Worsened,
}

/// Which place in the policy somebody speaks of.
#[derive(Clone, Copy, Debug)]
enum Where {
    Here,
    /// Where it stood before what happened last.
    Before,
    There(Position),
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    let anywhere = (0..=1u32, 0..=2u32, 0..=3u32, 1..=3u32)
        .prop_map(|(run, round, step, attempt)| Where::There(Position { stage: Stage { run, round, step }, attempt }));
    let place = prop_oneof![4 => Just(Where::Here), 2 => Just(Where::Before), 1 => anywhere];
    let calls = prop_oneof![4 => Just(Calls::Placed), 2 => Just(Calls::NoWayOut), 1 => Just(Calls::Live)];
    let what = prop_oneof![
        40 => calls.prop_map(What::Due),
        4 => (0..6u8).prop_map(What::Acknowledged),
        6 => place.clone().prop_map(What::Escalated),
        6 => place.prop_map(What::NoWayOut),
        1 => Just(What::Resolved),
        4 => Just(What::Repeated),
        4 => Just(What::Worsened),
    ];
    let when = prop_oneof![
        2 => (0..=300u32).prop_map(When::Later),
        4 => Just(When::Deadline(0)),
        1 => (-3..=3i64).prop_map(When::Deadline),
        1 => (0..=100_000i64).prop_map(When::Deadline),
    ];
    let present = prop_oneof![6 => Just(u8::MAX), 2 => any::<u8>(), 1 => Just(0)];
    vec((when, what, present).prop_map(|(when, what, present)| Happening { when, what, present }), 0..60)
}

/// One event and what came of it.
#[derive(Debug)]
struct Turn {
    before: State,
    event: Event,
    now: DateTime<Utc>,
    present: u8,
    after: State,
    commands: Vec<Command>,
}

impl Turn {
    fn calls(&self) -> Vec<(Recipient, Position)> {
        calls(&self.commands)
    }
}

fn calls(commands: &[Command]) -> Vec<(Recipient, Position)> {
    let call = |command: &Command| match command {
        Command::Call { to, at, .. } => Some((to.clone(), *at)),
        _ => None,
    };
    commands.iter().filter_map(call).collect()
}

/// Lets it all happen, one after the other, to an incident that is raised in the evening with
/// everybody there.
fn play(policy: &Policy, happenings: &[Happening], mut each: impl FnMut(&Turn)) {
    let (mut state, _) = trigger(Some(policy), on_duty(u8::MAX), evening());
    let (mut now, mut last) = (evening(), position(&state));
    for happening in happenings {
        now = match (happening.when, due_at(&state)) {
            (When::Deadline(beside), Some(due)) => now.max(due + TimeDelta::seconds(beside)),
            (When::Deadline(beside), None) => now + TimeDelta::seconds(beside.abs()),
            (When::Later(by), _) => now + seconds(by),
        };
        let here = position(&state);
        let place = |said: Where| match said {
            Where::Here => here,
            Where::Before => last,
            Where::There(there) => there,
        };
        let event = match happening.what {
            What::Due(calls) => Event::Due { calls },
            What::Acknowledged(n) => Event::Acknowledged { by: by(n) },
            What::Escalated(said) => escalated(place(said).stage),
            What::NoWayOut(said) => Event::NoWayOut { at: place(said) },
            What::Resolved => over(),
            What::Repeated => Event::Repeated,
            What::Worsened => Event::Worsened,
        };
        let (after, commands) = handle(policy, on_duty(happening.present), state.clone(), event.clone(), now);
        let turn = Turn { before: state, event, now, present: happening.present, after, commands };
        each(&turn);
        (state, last) = (turn.after, here);
    }
}

/// A night on which nobody ever answers and every deadline is met. Tells of every call; returns how it ends.
fn nobody_answers(
    policy: &Policy,
    present: u8,
    mut each: impl FnMut(DateTime<Utc>, Vec<(Recipient, Position)>),
) -> State {
    let (mut state, mut commands) = trigger(Some(policy), on_duty(present), evening());
    let mut now = evening();
    // No policy here has more than 36 attempts.
    for _ in 0..100 {
        each(now, calls(&commands));
        let Some(due) = due_at(&state) else { return state };
        now = due;
        (state, commands) = handle(policy, on_duty(present), state, Event::Due { calls: Calls::Placed }, now);
    }
    panic!("it never ends: {state:?}");
}

fn position(state: &State) -> Position {
    match state {
        State::Escalating { at, .. } => *at,
        _ => Position { stage: stage(state), attempt: 1 },
    }
}
