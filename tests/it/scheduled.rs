//! What is to be called about later: once, at its time, and never twice.

use crate::harness::author;
use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use ringdown::{
    engine::{Applied, DirectCall, Engine, Times},
    escalation::{Placing, State, Target},
    id::IncidentId,
    store::{IncidentFilter, ReminderData},
    wallclock::Zone,
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, evening, key},
};

const ANN: &str = "+393331234501";

on_both_databases! {
    a_scheduled_call_is_placed_at_its_time_once
    a_scheduled_call_whose_time_passed_while_the_server_was_away
    rescheduling_and_calling_off_race_safely_with_placing
    a_reminder_comes_again_and_again_in_local_time
    a_reminder_that_was_missed_for_days_is_placed_once
    a_reminder_that_was_raised_and_not_put_forward_is_not_raised_twice
    what_waits_costs_nothing
}

fn at(second: i64) -> DateTime<Utc> {
    evening() + TimeDelta::seconds(second)
}

fn times(due: i64, expires: i64) -> Times {
    Times { due_at: at(due), expires_at: at(expires) }
}

async fn call(scene: &Scene, schedule: Option<Times>) -> DirectCall {
    let ann = scene.contact("Ann", &[ANN]).await;
    DirectCall {
        placing: Placing::default(),
        to: Target::Contact(ann),
        text: "the meeting begins".into(),
        attempts: 1,
        attempt_delay: 60,
        source: "a test".into(),
        schedule,
    }
}

async fn a_scheduled_call_is_placed_at_its_time_once(database: Database) {
    let scene = Scene::on(&database).await;
    let id = scene.engine.place(call(&scene, Some(times(100, 1000))).await).await.expect("it is stored");
    assert_eq!(scene.tick().await, Some(at(100)));
    scene.seconds_pass(99);
    scene.tick().await;
    assert!(scene.pending().await.is_empty());
    scene.seconds_pass(1);
    // Two servers look at the same moment.
    let other = Scene { clock: scene.clock.clone(), ..Scene::on(&database).await };
    let other = Engine::new(other.store, ringdown::bus::Bus::default(), scene.clock.clone());
    let (one, two) = tokio::join!(scene.engine.tick(), other.tick());
    assert!(one.is_ok() && two.is_ok());
    assert_eq!(scene.pending().await.len(), 1);
    assert_eq!(
        scene.decided(id).await,
        [
            "   0 raised by a test: the meeting begins",
            "   0 scheduled for 2027-01-15 08:01 UTC",
            " 100 round 1, step 1, attempt 1: calling Ann",
        ]
    );
    scene.nobody_answers().await;
    scene.seconds_pass(3600);
    scene.tick().await;
    assert!(scene.pending().await.is_empty());
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
}

async fn a_scheduled_call_whose_time_passed_while_the_server_was_away(database: Database) {
    let scene = Scene::on(&database).await;
    let soon = scene.engine.place(call(&scene, Some(times(100, 1000))).await).await.expect("it is stored");
    let late = scene.engine.place(call(&scene, Some(times(100, 200))).await).await.expect("it is stored");
    scene.seconds_pass(600);
    scene.tick().await;
    assert!(matches!(scene.state(soon).await, State::Escalating { .. }), "placed once on return");
    assert_eq!(scene.state(late).await, State::Expired);
    let told = scene.decided(late).await;
    assert_eq!(told[2..], [" 600 expired: it was due at 2027-01-15 08:01 UTC, too long ago to call anybody"]);
    assert_eq!(scene.pending().await.len(), 1);
}

async fn rescheduling_and_calling_off_race_safely_with_placing(database: Database) {
    let scene = Scene::on(&database).await;
    for round in 0..10 {
        let id = scene.engine.place(call(&scene, Some(times(100, 1000))).await).await.expect("it is stored");
        scene.seconds_pass((at(100) - scene.now()).num_seconds());
        let later = times(5000, 6000);
        let by = key();
        let (_, moved, off) = tokio::join!(
            scene.engine.tick(),
            scene.engine.reschedule(id, later, &by),
            scene.engine.call_off(id, key())
        );
        let (moved, off) = (moved.expect("an answer"), off.expect("an answer"));
        let of_it = ringdown::store::CallFilter { incident: Some(id), ..Default::default() };
        let calls = scene.store.calls(of_it, 10).await.expect("an answer").items;
        let state = scene.state(id).await;
        match (&moved, &off) {
            (_, Applied::Changed(_)) => {
                assert_eq!(state, State::Resolved, "round {round}");
                assert!(calls.is_empty(), "called off, and not placed");
            }
            (Applied::Changed(_), _) => panic!("what was put off can be called off: {off:?}"),
            (Applied::Unchanged(_), Applied::Unchanged(_)) => {
                assert!(matches!(state, State::Escalating { .. }), "round {round}: {state:?}");
                assert_eq!(calls.len(), 1, "placed, once");
                scene.engine.resolve(id, key()).await.expect("it is stored");
            }
            other => panic!("round {round}: {other:?}"),
        }
        scene.tick().await;
    }
}

fn reminder(scene_zone: &str, start: &str, rule: &str, to: Target) -> ReminderData {
    ReminderData {
        target: to,
        text: "backups".into(),
        attempts: 1,
        attempt_delay: 60,
        expires: 900,
        start: NaiveDateTime::parse_from_str(start, "%Y-%m-%dT%H:%M").expect("a local time"),
        zone: scene_zone.parse::<Zone>().expect("a zone"),
        recurrence: rule.parse().expect("a rule"),
    }
}

async fn make(scene: &Scene, data: ReminderData) -> ringdown::id::ReminderId {
    let next = data.next_after(scene.now());
    scene.store.by(author()).create_reminder(data, next, "a test", scene.now()).await.expect("it is stored")
}

async fn raised(scene: &Scene) -> Vec<(IncidentId, DateTime<Utc>, &'static str)> {
    let all = scene.store.incidents(IncidentFilter::default(), 1000).await.expect("an answer").items;
    let mut all: Vec<_> = all.iter().map(|incident| (incident.id, incident.raised_at, incident.state_name())).collect();
    all.reverse();
    all
}

async fn a_reminder_comes_again_and_again_in_local_time(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    // 15 January 2027, 08:00 UTC is nine o'clock in Rome.
    let id = make(&scene, reminder("Europe/Rome", "2027-01-15T09:30", "FREQ=DAILY", ann)).await;
    let next = async || scene.store.reminder(id).await.expect("an answer").expect("a reminder").next_at;
    assert_eq!(next().await, Some(at(1800)));
    for day in 0..3 {
        let due = at(1800 + day * 86_400);
        assert_eq!(scene.tick().await, Some(due));
        scene.seconds_pass((due - scene.now()).num_seconds());
        // The first look raises it, the next one finds it due.
        scene.tick().await;
        scene.tick().await;
        assert_eq!(scene.claimable().await.len(), 1, "day {day}");
        scene.nobody_answers().await;
        scene.seconds_pass(60);
        scene.tick().await;
        assert_eq!(next().await, Some(at(1800 + (day + 1) * 86_400)));
    }
    assert_eq!(raised(&scene).await.len(), 3);
    // In spring the clocks go forward: it stays half past nine in Rome.
    let spring = DateTime::parse_from_rfc3339("2027-03-28T12:00:00Z").expect("an instant").with_timezone(&Utc);
    let data = scene.store.reminder(id).await.expect("an answer").expect("a reminder").data;
    assert_eq!(data.next_after(spring).map(|at| at.to_rfc3339()).as_deref(), Some("2027-03-29T07:30:00+00:00"));
}

async fn a_reminder_that_was_missed_for_days_is_placed_once(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let hourly = make(&scene, reminder("UTC", "2027-01-15T08:10", "FREQ=HOURLY", ann.clone())).await;
    make(&scene, reminder("UTC", "2027-01-15T20:00", "FREQ=DAILY;COUNT=1", ann)).await;
    // Away for three days and a quarter of an hour: the last hour's is five minutes old, the other days.
    scene.seconds_pass(3 * 86_400 + 900);
    scene.tick().await;
    scene.tick().await;
    let raised = raised(&scene).await;
    let mut states: Vec<&str> = raised.iter().map(|(_, _, state)| *state).collect();
    states.sort_unstable();
    assert_eq!(states, ["escalating", "expired"]);
    let next = scene.store.reminder(hourly).await.expect("an answer").expect("a reminder").next_at;
    assert_eq!(next, Some(at(3 * 86_400 + 3600 + 600)));
}

async fn a_reminder_that_was_raised_and_not_put_forward_is_not_raised_twice(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let id = make(&scene, reminder("UTC", "2027-01-15T08:10", "FREQ=DAILY", ann)).await;
    scene.seconds_pass(600);
    scene.tick().await;
    let there = scene.store.reminder(id).await.expect("an answer").expect("a reminder");
    // As if the server had been killed between the two.
    scene.store.reminder_raised(&there, Some(at(600))).await.expect("it is stored");
    scene.tick().await;
    scene.tick().await;
    assert_eq!(raised(&scene).await.len(), 1);
    assert_eq!(scene.pending().await.len(), 1);
    // Nor after somebody has taken it.
    let (incident, ..) = raised(&scene).await[0];
    scene.engine.resolve(incident, key()).await.expect("it is stored");
    let there = scene.store.reminder(id).await.expect("an answer").expect("a reminder");
    scene.store.reminder_raised(&there, Some(at(600))).await.expect("it is stored");
    scene.tick().await;
    scene.tick().await;
    assert_eq!(raised(&scene).await.len(), 1);
}

/// However many wait, a look at what is due asks for those that are.
async fn what_waits_costs_nothing(database: Database) {
    let scene = Scene::on(&database).await;
    let wait = call(&scene, Some(times(100_000, 200_000))).await;
    futures_util::future::join_all((0..500).map(|_| scene.engine.place(wait.clone()))).await;
    assert_eq!(scene.store.due_incidents(scene.now(), 1000).await, Ok(Vec::new()));
    assert_eq!(scene.tick().await, Some(at(100_000)));
    scene.seconds_pass(100_000);
    scene.tick().await;
    assert!(scene.store.due_incidents(scene.now(), 1000).await.expect("an answer").is_empty(), "all in one look");
    // All of them are for Ann: one call carries them all.
    let calls = scene.pending().await;
    let carried = scene.store.carried_by(calls[0].id).await.expect("an answer").len();
    assert_eq!((calls.len(), carried), (1, 500));
}
