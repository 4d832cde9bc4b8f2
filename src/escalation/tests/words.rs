//! How states and policies are written down: what is stored today is read tomorrow.

use serde_json::json;

use super::*;
use crate::id::{CalendarId, GroupId, ScheduleId};

#[test]
fn an_actor_has_a_name_and_a_call_if_they_were_on_one() {
    let call = CallId(Uuid::from_u128(7));
    for (actor, name, on) in [
        (Actor::Contact { id: contact(1), name: "Ann".into(), call }, "Ann", Some(call)),
        (Actor::Number { number: number("+393331234567"), call }, "+393331234567", Some(call)),
        (Actor::Key("the pager's key".into()), "the pager's key", None),
        (Actor::Source("alertmanager".into()), "alertmanager", None),
    ] {
        assert_eq!((actor.name(), actor.call()), (name, on));
    }
}

#[test]
fn a_policy_is_written_in_seconds_and_read_back_as_it_was() {
    let step = |delay| Step {
        targets: vec![person(1), Target::Number(number("8123"))],
        attempts: 2,
        attempt_delay: seconds(60),
        delay: seconds(delay),
        ..Step::default()
    };
    let policy =
        Policy { repeat: 3, ack_timeout: Some(seconds(5400)), steps: vec![step(300), step(0)], ..Policy::default() };
    let document = json!({
        "repeat": 3,
        "ack_timeout": 5400,
        "steps": [
            { "targets": [{ "contact": contact(1) }, { "number": "8123" }], "attempts": 2, "attempt_delay": 60, "delay": 300 },
            { "targets": [{ "contact": contact(1) }, { "number": "8123" }], "attempts": 2, "attempt_delay": 60, "delay": 0 },
        ],
    });
    assert_eq!(serde_json::to_value(&policy).expect("it can be written"), document);
    assert_eq!(serde_json::from_value::<Policy>(document).expect("it can be read"), policy);
}

#[test]
fn a_policy_need_not_say_how_often_or_for_how_long_it_is_taken() {
    let policy: Policy = serde_json::from_value(json!({ "steps": [] })).expect("it can be read");
    assert_eq!(policy, Policy { steps: Vec::new(), ..Policy::default() });
    let written = serde_json::to_value(&policy).expect("it can be written");
    assert_eq!(written, json!({ "repeat": 0, "steps": [] }));
    let null: Policy = serde_json::from_value(json!({ "ack_timeout": null, "steps": [] })).expect("it can be read");
    assert_eq!(null, policy);
}

#[test]
fn a_time_that_runs_backwards_or_for_ever_is_no_policy() {
    for seconds in [json!(-1), json!(1.5), json!(u64::from(u32::MAX) + 1), json!("60")] {
        let read = serde_json::from_value::<Policy>(json!({ "ack_timeout": seconds, "steps": [] }));
        assert!(read.is_err(), "{seconds}");
        let step = json!({ "targets": [], "attempts": 1, "attempt_delay": 1, "delay": seconds });
        assert!(serde_json::from_value::<Policy>(json!({ "steps": [step] })).is_err(), "{seconds}");
    }
}

#[test]
fn a_state_is_written_by_its_name_and_read_back_as_it_was() {
    let stage = Stage { run: 1, round: 2, step: 3 };
    let at = Position { stage, attempt: 4 };
    for (state, name) in [
        (State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None }, "held"),
        (State::Escalating { at, due_at: evening(), phase: Phase::Reached }, "escalating"),
        (State::Acknowledged { by: by(1), at: stage, until: Some(evening()) }, "acknowledged"),
        (State::Acknowledged { by: Actor::Key("k".into()), at: stage, until: None }, "acknowledged"),
        (State::Resolved, "resolved"),
        (State::Expired, "expired"),
        (State::Scheduled { due_at: evening(), expires_at: evening() + seconds(900) }, "scheduled"),
        (State::Held { reason: Held::Maintenance, at: stage, until: Some(evening()) }, "held"),
        (State::Escalating { at, due_at: evening(), phase: Phase::Texted }, "escalating"),
        (State::Escalating { at, due_at: evening(), phase: Phase::NoWay }, "escalating"),
        (State::Exhausted { at: stage, until: Some(evening()) }, "exhausted"),
        (State::Exhausted { at: stage, until: None }, "exhausted"),
    ] {
        let document = serde_json::to_value(&state).expect("it can be written");
        assert_eq!(document["state"], name);
        assert_eq!(serde_json::from_value::<State>(document).expect("it can be read"), state);
    }
}

#[test]
fn everything_a_policy_can_say_is_written_and_read_back() {
    let calendar = |n| CalendarId(Uuid::from_u128(n));
    let step = Step {
        targets: vec![Target::Group(GroupId(Uuid::from_u128(8))), Target::Schedule(ScheduleId(Uuid::from_u128(9)))],
        method: Method::SmsThenCall { wait: seconds(120) },
        attempts: 1,
        attempt_delay: seconds(60),
        delay: seconds(300),
        only_during: Some(calendar(1)),
        not_during: Some(calendar(2)),
        round_robin: true,
        text_if_missed: true,
    };
    for on_exhausted in [OnExhausted::LastResort(step.clone()), OnExhausted::Repeat { every: seconds(1800) }] {
        let policy = Policy {
            on_exhausted: Some(on_exhausted),
            follow_edits: true,
            steps: vec![step.clone()],
            ..Policy::default()
        };
        let written = serde_json::to_value(&policy).expect("it can be written");
        assert_eq!(written["steps"][0]["method"], json!({ "sms_then_call": { "wait": 120 } }));
        assert_eq!(serde_json::from_value::<Policy>(written).expect("it can be read"), policy);
    }
}

#[test]
fn what_the_first_version_wrote_is_still_read() {
    let held: State = serde_json::from_value(json!({ "state": "held", "reason": "no_policy" })).expect("a state");
    assert_eq!(held, State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None });
    let at = json!({ "stage": { "run": 0, "round": 1, "step": 2 }, "attempt": 1 });
    let escalating = json!({ "state": "escalating", "at": at, "due_at": evening() });
    let read: State = serde_json::from_value(escalating).expect("a state");
    assert!(matches!(read, State::Escalating { phase: Phase::Reached, .. }));
    let exhausted = json!({ "state": "exhausted", "at": { "run": 0, "round": 1, "step": 0 } });
    let read: State = serde_json::from_value(exhausted).expect("a state");
    assert!(matches!(read, State::Exhausted { until: None, .. }));
}
