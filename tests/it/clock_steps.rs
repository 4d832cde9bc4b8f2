//! The clock is set ten minutes forward and back while everything is under way: nothing fires twice, and
//! nothing is skipped.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use ringdown::{
    engine::{DirectCall, Times},
    escalation::{Placing, Policy, State, Target},
    id::IncidentId,
    notifier::{self, Notifier},
    store::{Admission, Fact, HeartbeatData, IncidentFilter, ReminderData, Request, SilenceData, WebhookData},
    triage::QuietKind,
    wallclock::Zone,
    webhook::Sender,
};
use tokio_util::sync::CancellationToken;

use crate::{
    databases::{Database, on_both_databases},
    harness::{
        author,
        receiver::{Answer, Receiver},
    },
    scene::{Scene, alert, evening, once, step},
};

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";
/// How far the clock is set.
const TEN_MINUTES: i64 = 600;

on_both_databases! {
    a_policy_is_gone_through_once_and_whole
    a_call_is_waited_for_whatever_the_clock_says
    a_scheduled_call_is_placed_once
    a_reminder_is_raised_once_for_each_of_its_times
    a_heart_that_stopped_is_told_once_and_one_that_beats_is_well
    a_silence_that_has_ended_ends_once
    a_webhook_is_told_once_it_answers_and_not_again
    a_request_that_is_sent_again_makes_the_same
}

fn at(second: i64) -> DateTime<Utc> {
    evening() + TimeDelta::seconds(second)
}

/// Ann three times, then Ben twice, and all of it again.
async fn usual(scene: &Scene) {
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let ben = Target::Contact(scene.contact("Ben", &[BEN]).await);
    let steps = vec![step(&[ann], 3, 60, 120), step(&[ben], 2, 30, 90)];
    scene.policy("usual", Policy { steps, repeat: 1, ..Policy::default() }, true).await;
}

/// Everything that policy does, in its order.
fn everything() -> Vec<(u32, u32, u32)> {
    let round = |round| [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)].map(|(step, attempt)| (round, step, attempt));
    [round(1), round(2)].concat()
}

/// The attempts there were, in the order of the timeline.
async fn attempts(scene: &Scene, id: IncidentId) -> Vec<(u32, u32, u32)> {
    let attempt = |fact| match fact {
        Fact::Attempt { round, step, attempt, .. } => Some((round, step, attempt)),
        _ => None,
    };
    scene.facts(id).await.into_iter().filter_map(attempt).collect()
}

async fn a_policy_is_gone_through_once_and_whole(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    for (nth, steps) in [[TEN_MINUTES, -TEN_MINUTES], [-TEN_MINUTES, TEN_MINUTES]].into_iter().enumerate() {
        let id = scene.raise(alert(&format!("disk {nth}"))).await;
        let mut done = 1;
        for set in steps.into_iter().cycle().take(40) {
            scene.nobody_answers().await;
            scene.seconds_pass(set);
            // Many looks at the same instant are one.
            scene.tick().await;
            scene.tick().await;
            let now = attempts(&scene, id).await;
            assert!(now.len() <= done + 1 && everything().starts_with(&now), "{set}: {now:?}");
            done = now.len();
            // Set back, it is as if there were more time; none of it is lost.
            scene.seconds_pass(200);
            scene.tick().await;
            let now = attempts(&scene, id).await;
            assert!(now.len() <= done + 1 && everything().starts_with(&now), "{set}: {now:?}");
            done = now.len();
        }
        scene.nobody_wakes_up().await;
        assert_eq!(attempts(&scene, id).await, everything());
        assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
    }
}

async fn a_call_is_waited_for_whatever_the_clock_says(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await);
    scene.store.call_answered(&call, scene.now()).await.expect("it is stored");
    for set in [TEN_MINUTES, TEN_MINUTES, -TEN_MINUTES, -3 * TEN_MINUTES, 4 * TEN_MINUTES] {
        scene.seconds_pass(set);
        scene.tick().await;
        assert_eq!(attempts(&scene, id).await, [(1, 1, 1)], "somebody is on the line");
        assert!(scene.claimable().await.is_empty() && scene.pending().await.is_empty());
    }
    assert!(scene.end(&call, crate::scene::no_answer(), None).await);
    scene.nobody_wakes_up().await;
    assert_eq!(attempts(&scene, id).await, everything());
}

async fn a_scheduled_call_is_placed_once(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let call = |due: i64| DirectCall {
        placing: Placing::default(),
        to: ann.clone(),
        text: "the meeting begins".into(),
        attempts: 1,
        attempt_delay: 60,
        source: "a test".into(),
        schedule: Some(Times { due_at: at(due), expires_at: at(due + 1200) }),
    };
    let soon = scene.engine.place(call(300)).await.expect("it is stored");
    let later = scene.engine.place(call(900)).await.expect("it is stored");
    // Forward past the first, back before it, and on as time goes by.
    scene.seconds_pass(TEN_MINUTES);
    scene.tick().await;
    assert_eq!(attempts(&scene, soon).await.len(), 1);
    assert_eq!(attempts(&scene, later).await.len(), 0);
    scene.nobody_answers().await;
    scene.seconds_pass(-TEN_MINUTES);
    for _ in 0..20 {
        scene.seconds_pass(60);
        scene.tick().await;
        scene.nobody_answers().await;
    }
    assert_eq!(attempts(&scene, soon).await.len(), 1, "its time comes again, and it does not");
    assert_eq!(attempts(&scene, later).await.len(), 1);
    assert!(matches!(scene.state(later).await, State::Exhausted { .. }));
}

async fn a_reminder_is_raised_once_for_each_of_its_times(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let data = ReminderData {
        target: ann,
        text: "backups".into(),
        attempts: 1,
        attempt_delay: 60,
        expires: 1800,
        start: NaiveDateTime::parse_from_str("2027-01-15T08:05", "%Y-%m-%dT%H:%M").expect("a local time"),
        zone: Zone::UTC,
        recurrence: "FREQ=HOURLY".parse().expect("a rule"),
    };
    let next = data.next_after(scene.now());
    scene.store.by(author()).create_reminder(data, next, "a test", scene.now()).await.expect("it is stored");
    // 08:05, 09:05 and 10:05: the first is jumped over and comes again, the others come while the clock is set
    // to and fro.
    let look = async |set: i64| {
        scene.seconds_pass(set);
        for _ in 0..3 {
            scene.tick().await;
            scene.nobody_answers().await;
        }
    };
    for set in [0, TEN_MINUTES, -TEN_MINUTES, TEN_MINUTES, -TEN_MINUTES, -TEN_MINUTES, 0] {
        look(set).await;
    }
    while scene.now() < at(8000) {
        for set in [240, TEN_MINUTES, -TEN_MINUTES] {
            look(set).await;
        }
    }
    let all = scene.store.incidents(IncidentFilter::default(), 100).await.expect("an answer").items;
    let mut due = BTreeMap::<i64, usize>::new();
    for incident in &all {
        let facts = scene.facts(incident.id).await;
        let scheduled = facts.iter().find_map(|fact| match fact {
            Fact::Scheduled { at } => Some((*at - evening()).num_seconds()),
            _ => None,
        });
        *due.entry(scheduled.expect("its time")).or_default() += 1;
        assert_eq!(attempts(&scene, incident.id).await.len(), 1, "{facts:?}");
    }
    assert_eq!(due, [(300, 1), (3900, 1), (7500, 1)].into());
}

async fn a_heart_that_stopped_is_told_once_and_one_that_beats_is_well(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let data = HeartbeatData {
        interval: 60,
        grace: 30,
        policy: None,
        severity: "critical".into(),
        summary: "backups have stopped".into(),
    };
    scene.store.by(author()).create_heartbeat("backup".into(), data, scene.now()).await.expect("it is stored");
    let heartbeat = async || scene.store.heartbeat("backup").await.expect("an answer").expect("a heartbeat");
    let count = async || scene.store.incidents(IncidentFilter::default(), 100).await.expect("an answer").items.len();
    scene.engine.beat(&heartbeat().await).await.expect("it is stored");
    // Set back, its last beat is in the future: it counts, and so does the next one.
    scene.seconds_pass(-TEN_MINUTES);
    scene.tick().await;
    scene.engine.beat(&heartbeat().await).await.expect("it is stored");
    assert_eq!(heartbeat().await.due_at, Some(scene.now() + TimeDelta::seconds(90)), "ten minutes are not forgiven");
    assert_eq!(count().await, 0);
    // Set forward, it seems to have stopped: that is told, once, and it is over with the next beat.
    scene.seconds_pass(TEN_MINUTES);
    for _ in 0..3 {
        scene.tick().await;
    }
    scene.seconds_pass(-TEN_MINUTES);
    scene.tick().await;
    scene.seconds_pass(TEN_MINUTES);
    scene.tick().await;
    assert_eq!(count().await, 1);
    let open = scene.store.open_incident(&heartbeat().await.dedup_key()).await.expect("an answer").expect("open");
    scene.engine.beat(&heartbeat().await).await.expect("it is stored");
    assert_eq!(scene.state(open.id).await, State::Resolved);
    // A heart that has really stopped is found, as soon as the time is over by the clock as it is now.
    scene.seconds_pass(91);
    scene.tick().await;
    assert_eq!(count().await, 2);
}

async fn a_silence_that_has_ended_ends_once(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    scene.policy("once", once(&[ann]), true).await;
    let data = SilenceData {
        kind: QuietKind::Silence,
        comment: "a test".into(),
        matchers: vec!["severity=\"warning\"".parse().expect("a matcher")],
        from: at(0),
        until: at(300),
        zone: Zone::UTC,
        recurrence: None,
    };
    let look_at = ringdown::engine::first_look(&data, scene.now());
    scene.store.by(author()).create_silence(data, "a test", look_at, scene.now()).await.expect("it is stored");
    scene.tick().await;
    let id = scene.raise(alert("disk")).await;
    assert!(matches!(scene.state(id).await, State::Held { .. }));
    scene.seconds_pass(-TEN_MINUTES);
    scene.tick().await;
    assert!(matches!(scene.state(id).await, State::Held { .. }));
    assert!(scene.pending().await.is_empty());
    scene.seconds_pass(2 * TEN_MINUTES);
    for _ in 0..3 {
        scene.tick().await;
    }
    assert_eq!(scene.pending().await.len(), 1);
    // It has gone on, and does not stop again because the clock says that it is still quiet.
    scene.seconds_pass(-TEN_MINUTES);
    for _ in 0..3 {
        scene.tick().await;
    }
    scene.nobody_answers().await;
    scene.nobody_wakes_up().await;
    assert_eq!(attempts(&scene, id).await, [(1, 1, 1)]);
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
}

async fn a_webhook_is_told_once_it_answers_and_not_again(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let receiver = Receiver::start().await;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let sender = Sender::new(&["127.0.0.0/8".parse().expect("a network")], Duration::from_secs(5)).expect("a sender");
    let settings = notifier::Settings {
        timeout: TimeDelta::seconds(5),
        tries: 20,
        retry: TimeDelta::seconds(60),
        keep: TimeDelta::days(1),
        keep_dead: TimeDelta::days(1),
    };
    let data =
        WebhookData { url: receiver.url("/"), kinds: vec!["raised".into()], enabled: true, ..Default::default() };
    scene
        .store
        .by(author())
        .create_webhook(data, "a-secret".into(), "a test", scene.now())
        .await
        .expect("it is stored");
    let notifier = Notifier::new(scene.store.clone(), scene.clock.clone(), sender, settings);
    scene.raise(alert("disk")).await;
    receiver.answers([Answer::Status(500), Answer::Status(500)]);
    let shutdown = CancellationToken::new();
    let mut told = Vec::new();
    // The first try, nothing before its time, a try by the clock that was set forward, and once it is back
    // nothing is told early or again.
    for set in
        [0, -TEN_MINUTES, 2 * TEN_MINUTES, -TEN_MINUTES, TEN_MINUTES, -TEN_MINUTES, 2 * TEN_MINUTES, -TEN_MINUTES]
    {
        scene.seconds_pass(set);
        for _ in 0..2 {
            notifier.spool().await.expect("the database answers");
            for lane in scene.store.due_lanes(scene.now(), 10).await.expect("an answer") {
                notifier.work_off(&lane, &shutdown).await.expect("the database answers");
            }
        }
        told.push(receiver.got().len());
    }
    assert_eq!(told, [1, 1, 2, 2, 2, 2, 3, 3]);
    let ids: std::collections::BTreeSet<String> = receiver.got().into_iter().map(|got| got.event_id).collect();
    assert_eq!(ids.len(), 1, "tries of the same");
}

async fn a_request_that_is_sent_again_makes_the_same(database: Database) {
    let scene = Scene::on(&database).await;
    let lease = |scene: &Scene| scene.now() + TimeDelta::seconds(60);
    let request =
        |runner: u128| Request { digest: "d".into(), body: "b".into(), runner: uuid::Uuid::from_u128(runner) };
    let admit = async |runner| {
        scene.store.admit(request(runner), scene.now(), lease(&scene)).await.expect("the database answers")
    };
    let Admission::Run { chosen: first, again: false, .. } = admit(1).await else { panic!("it is new") };
    // Set back, the lease is longer; set forward, it is over, and another server takes the same up.
    scene.seconds_pass(-TEN_MINUTES);
    let other = admit(2).await;
    assert!(!matches!(other, Admission::Run { again: false, .. }), "{other:?}");
    scene.seconds_pass(2 * TEN_MINUTES);
    let Admission::Run { chosen, again: true, .. } = admit(3).await else { panic!("it was left behind") };
    assert_eq!(chosen, first);
    let answer = ringdown::store::KeptAnswer { status: 201, headers: Vec::new(), body: "made".into() };
    scene.store.keep_answer("d".into(), answer.clone()).await.expect("it is stored");
    for set in [TEN_MINUTES, -3 * TEN_MINUTES] {
        scene.seconds_pass(set);
        assert_eq!(admit(4).await, Admission::Answered(answer.clone()));
    }
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Passes(i64),
    Set(i64),
    Looks,
    NobodyAnswers,
    Alert(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        4 => (1_i64..130).prop_map(Happening::Passes),
        2 => prop_oneof![Just(TEN_MINUTES), Just(-TEN_MINUTES), -900_i64..900].prop_map(Happening::Set),
        5 => Just(Happening::Looks),
        4 => Just(Happening::NobodyAnswers),
        1 => (0_u8..3).prop_map(Happening::Alert),
    ]
}

/// Each incident goes through its policy in order, each attempt once; and to its end, once it is left alone.
async fn play(happenings: Vec<Happening>) {
    let database = Database::sqlite();
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let mut ids: BTreeMap<u8, IncidentId> = BTreeMap::new();
    for happening in happenings {
        match happening {
            Happening::Passes(seconds) | Happening::Set(seconds) => scene.seconds_pass(seconds),
            Happening::Looks => drop(scene.tick().await),
            Happening::NobodyAnswers => scene.nobody_answers().await,
            Happening::Alert(nth) if ids.contains_key(&nth) => {}
            Happening::Alert(nth) => drop(ids.insert(nth, scene.raise(alert(&format!("disk {nth}"))).await)),
        }
        for id in ids.values() {
            let so_far = attempts(&scene, *id).await;
            assert!(everything().starts_with(&so_far), "{happening:?}: {so_far:?}");
        }
    }
    scene.nobody_wakes_up().await;
    for id in ids.values() {
        assert_eq!(attempts(&scene, *id).await, everything());
    }
}

#[test]
fn however_the_clock_is_set_each_attempt_is_made_once_and_in_its_order() {
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let holds = runner.run(&proptest::collection::vec(happening(), 1..60), |happenings| {
        runtime.block_on(play(happenings));
        Ok(())
    });
    holds.expect("it holds");
}
