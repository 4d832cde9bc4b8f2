//! Whole nights on a clock that stands still, on both databases: what was decided is what stands in
//! the timeline.

use chrono::TimeDelta;
use ringdown::{
    engine::{Alert, Applied, PolicyChoice, Raised},
    escalation::{Policy, Stage, State, Target, due_at},
    store::{CallStatus, Fact, IncidentFilter},
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, counted, evening, group, key, member, no_answer, number, once, step},
};

on_both_databases! {
    nobody_wakes_up_all_night
    what_is_exhausted_opens_anew_when_it_comes_again
    what_is_exhausted_can_be_taken_passed_on_and_resolved
    what_is_taken_and_not_resolved_in_time_pages_again
    a_group_that_gets_worse_pages_again
    a_group_that_names_an_alert_twice_names_it_once
    an_outage_uses_nothing_up
    a_deadline_waits_while_somebody_is_on_the_line
    a_server_that_was_down_makes_one_attempt
    passing_it_on_gives_up_the_calls_that_wait
    passing_it_on_ends_the_calls_that_ring_and_not_the_one_that_is_spoken_in
    a_doubled_key_passes_it_on_once
    an_unknown_policy_falls_back_to_the_default_one
    without_a_policy_it_is_held_and_pages_nobody
    who_cannot_be_called_is_passed_over
    everybody_left_while_it_was_taken
    a_policy_of_its_own
    what_is_over_opens_nothing
    what_is_not_known_is_said_to_be_unknown
    many_incidents_at_once_are_all_looked_at
    the_worker_looks_when_it_is_rung_and_stops_when_told
}

const ANN: [&str; 2] = ["+393331234501", "+393331234502"];
const BEN: &str = "+393331234503";
const EVA: &str = "+393331234504";

/// Ann twice, a minute apart; two minutes later Ben and a bare number; five minutes later again, once.
async fn usual(scene: &Scene) -> Policy {
    let ann = scene.contact("Ann", &ANN).await;
    let ben = scene.contact("Ben", &[BEN]).await;
    let policy = Policy {
        repeat: 1,
        ack_timeout: Some(TimeDelta::hours(1)),
        steps: vec![
            step(&[Target::Contact(ann)], 2, 60, 120),
            step(&[Target::Contact(ben), Target::Number(number(EVA))], 1, 60, 300),
        ],
        ..Policy::default()
    };
    scene.policy("usual", policy.clone(), true).await;
    policy
}

/// Ann, once.
async fn ann_once(scene: &Scene) {
    let ann = scene.contact("Ann", &ANN[..1]).await;
    scene.policy("once", once(&[Target::Contact(ann)]), true).await;
}

async fn nobody_wakes_up_all_night(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    scene.nobody_wakes_up().await;
    let told = scene.told(id).await;
    assert_eq!(
        told[..14],
        [
            "   0 raised by a test under policy usual: the disk is full",
            "   0 round 1, step 1, attempt 1: calling Ann",
            "   0 a call to Ann is queued",
            "   0 calling Ann",
            "   0 Ann's phone rings",
            "  20 the call to Ann is over: NO ANSWER, cause 19 (no answer from user)",
            "  20 a call to Ann's number 2 is queued",
            "  20 calling Ann",
            "  20 Ann's phone rings",
            "  40 the call to Ann is over: NO ANSWER, cause 19 (no answer from user)",
            "  60 round 1, step 1, attempt 2: calling Ann",
            "  60 a call to Ann is queued",
            "  60 calling Ann",
            "  60 Ann's phone rings",
        ]
    );
    assert_eq!(
        scene.decided(id).await,
        [
            "   0 raised by a test under policy usual: the disk is full",
            "   0 round 1, step 1, attempt 1: calling Ann",
            "  60 round 1, step 1, attempt 2: calling Ann",
            " 180 round 1, step 2, attempt 1: calling Ben, +393331234504",
            " 480 round 2, step 1, attempt 1: calling Ann",
            " 540 round 2, step 1, attempt 2: calling Ann",
            " 660 round 2, step 2, attempt 1: calling Ben, +393331234504",
            " 960 exhausted: nobody has taken it",
        ]
    );
    assert_eq!(scene.now(), evening() + TimeDelta::seconds(960));
    assert_eq!(scene.state(id).await, State::Exhausted { at: Stage { run: 0, round: 2, step: 0 }, until: None });
    // Four attempts of two numbers, two of one number each to two people.
    let over = told.iter().filter(|line| line.contains("is over")).count();
    assert_eq!(over, 4 * 2 + 2 * 2);
    let escalating = IncidentFilter { state: Some("exhausted".into()), ..IncidentFilter::default() };
    let listed = scene.store.incidents(escalating, 10).await.expect("an answer").items;
    assert_eq!(listed.iter().map(|incident| incident.id).collect::<Vec<_>>(), [id], "it is still open");
}

async fn exhausted(scene: &Scene) -> ringdown::id::IncidentId {
    ann_once(scene).await;
    let id = scene.raise(alert("disk")).await;
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
    id
}

async fn what_is_exhausted_opens_anew_when_it_comes_again(database: Database) {
    let scene = Scene::on(&database).await;
    let id = exhausted(&scene).await;
    scene.seconds_pass(3600);
    assert_eq!(scene.engine.raise(alert("disk")).await, Ok(Raised::Updated(id)));
    assert_eq!(scene.claimable().await.len(), 1);
    scene.nobody_answers().await;
    let decided = scene.decided(id).await;
    assert_eq!(
        decided,
        [
            "   0 raised by a test under policy once: the disk is full",
            "   0 round 1, step 1, attempt 1: calling Ann",
            " 300 exhausted: nobody has taken it",
            "3900 a test sent it again",
            "3900 pages again: it came again after nobody had taken it",
            "3900 round 1, step 1, attempt 1: calling Ann",
        ]
    );
    assert!(scene.next_deadline().await);
    assert!(matches!(scene.state(id).await, State::Exhausted { at, .. } if at.run == 1));
}

async fn what_is_exhausted_can_be_taken_passed_on_and_resolved(database: Database) {
    let scene = Scene::on(&database).await;
    let id = exhausted(&scene).await;
    assert!(counted(&scene.engine.acknowledge(id, key()).await.expect("an answer")));
    assert!(matches!(scene.state(id).await, State::Acknowledged { .. }));
    assert!(counted(&scene.engine.escalate(id, None, key()).await.expect("an answer")));
    assert_eq!(scene.claimable().await.len(), 1, "somebody is called");
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    assert!(counted(&scene.engine.escalate(id, None, key()).await.expect("an answer")));
    assert_eq!(scene.claimable().await.len(), 1, "and again");
    assert!(counted(&scene.engine.resolve(id, key()).await.expect("an answer")));
    assert_eq!(scene.state(id).await, State::Resolved);
    assert_eq!(scene.pending().await, []);
    for applied in [
        scene.engine.acknowledge(id, key()).await,
        scene.engine.escalate(id, None, key()).await,
        scene.engine.resolve(id, key()).await,
    ] {
        assert!(!counted(&applied.expect("an answer")), "what is over is over");
    }
    let decided = scene.decided(id).await;
    assert_eq!(decided.last().map(String::as_str), Some(" 600 resolved by the web"));
    assert!(!scene.next_deadline().await);
}

async fn what_is_taken_and_not_resolved_in_time_pages_again(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    scene.seconds_pass(10);
    let Ok(Applied::Changed(taken)) = scene.engine.acknowledge(id, key()).await else { panic!("it counts") };
    let until = evening() + TimeDelta::seconds(10) + TimeDelta::hours(1);
    assert!(matches!(&taken.state, State::Acknowledged { until: Some(at), .. } if *at == until));
    assert_eq!(scene.pending().await, []);
    scene.seconds_pass(3599);
    assert_eq!(scene.tick().await, Some(until));
    assert_eq!(scene.pending().await, []);
    scene.seconds_pass(1);
    let due = Some(until + TimeDelta::seconds(60));
    assert_eq!(scene.tick().await, due, "whether it waits for the call then is seen when it has come");
    assert_eq!(due_at(&scene.state(id).await), due);
    let decided = scene.decided(id).await;
    assert_eq!(
        decided[2..],
        [
            "  10 acknowledged by the web",
            "3610 pages again: acknowledged, and not resolved in time",
            "3610 round 1, step 1, attempt 1: calling Ann",
        ]
    );
    assert_eq!(scene.pending().await.len(), 1);
}

async fn a_group_that_gets_worse_pages_again(database: Database) {
    let scene = Scene::on(&database).await;
    ann_once(&scene).await;
    let id = scene.raise(group("hosts", vec![member("a", "warning", true)])).await;
    scene.engine.acknowledge(id, key()).await.expect("an answer");
    for same in [vec![member("a", "warning", true)], vec![member("a", "info", true), member("b", "warning", false)]] {
        assert_eq!(scene.engine.raise(group("hosts", same)).await, Ok(Raised::Updated(id)));
        assert_eq!(scene.pending().await, []);
    }
    let mut worse = group("hosts", vec![member("b", "warning", true)]);
    worse.content.truncated = 3;
    assert_eq!(scene.engine.raise(worse).await, Ok(Raised::Updated(id)));
    assert_eq!(scene.pending().await.len(), 1);
    let incident = scene.incident(id).await;
    assert_eq!((incident.content.truncated, incident.content.members.len()), (3, 2));
    scene.engine.acknowledge(id, key()).await.expect("an answer");
    assert_eq!(scene.engine.raise(group("hosts", vec![member("a", "critical", true)])).await, Ok(Raised::Updated(id)));
    assert_eq!(scene.incident(id).await.content.severity, "critical");
    assert!(matches!(scene.state(id).await, State::Escalating { at, .. } if at.stage.run == 2));
    let mut over = group("hosts", vec![member("a", "critical", false)]);
    over.all_over = true;
    assert_eq!(scene.engine.raise(over).await, Ok(Raised::Resolved(id)));
    assert_eq!(scene.pending().await, []);
    let facts = scene.facts(id).await;
    let again: Vec<_> =
        facts.iter().filter(|fact| matches!(fact, Fact::PagesAgain { .. })).map(Fact::sentence).collect();
    assert_eq!(again, ["pages again: it got worse", "pages again: it got worse"]);
    assert!(facts.contains(&Fact::MemberFiring { fingerprint: "b".into(), summary: "b is down".into() }));
    assert!(facts.contains(&Fact::Resolved { by: "a test".into() }));
}

async fn a_group_that_names_an_alert_twice_names_it_once(database: Database) {
    let scene = Scene::on(&database).await;
    ann_once(&scene).await;
    let twice =
        || group("hosts", vec![member("a", "warning", true), member("b", "info", true), member("a", "warning", true)]);
    let id = scene.raise(twice()).await;
    let members = [member("a", "warning", true), member("b", "info", true)];
    assert_eq!(scene.incident(id).await.content.members, members);
    assert_eq!(scene.engine.raise(twice()).await, Ok(Raised::Updated(id)));
    assert_eq!(scene.incident(id).await.content.members, members);
}

async fn an_outage_uses_nothing_up(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    for _ in 0..30 {
        scene.no_call_finds_a_route().await;
        assert!(scene.next_deadline().await);
    }
    assert!(matches!(scene.state(id).await, State::Escalating { at, .. } if at.stage.round == 0));
    assert_eq!(scene.now(), evening() + TimeDelta::seconds(300), "every ten seconds");
    let decided = scene.decided(id).await;
    assert_eq!(
        decided[..6],
        [
            "   0 raised by a test under policy usual: the disk is full",
            "   0 round 1, step 1, attempt 1: calling Ann",
            "  10 round 1, step 1, attempt 2: calling Ann",
            "  20 round 1, step 2, attempt 1: calling Ben, +393331234504",
            "  30 round 1 found no way out; it is not counted",
            "  30 round 1, step 1, attempt 1: calling Ann",
        ]
    );
    // The route returns: what is left of the policy is gone through in full, twice.
    let deadlines = scene.nobody_wakes_up().await;
    assert!(deadlines >= 2 * 3, "{deadlines} deadlines after the outage");
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
}

async fn a_deadline_waits_while_somebody_is_on_the_line(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    let call = scene.pending().await.remove(0);
    assert!(scene.claim(&call).await);
    scene.store.call_answered(&call, scene.now()).await.expect("it is stored");
    scene.seconds_pass(300);
    for _ in 0..5 {
        assert_eq!(scene.tick().await, None);
        scene.seconds_pass(60);
    }
    assert!(matches!(scene.state(id).await, State::Escalating { at, .. } if at.attempt == 1));
    scene.end(&call, no_answer(), None).await;
    scene.tick().await;
    assert!(matches!(scene.state(id).await, State::Escalating { at, .. } if at.attempt == 2));
}

async fn a_server_that_was_down_makes_one_attempt(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    scene.nobody_answers().await;
    // Another server takes over, hours later, with nothing but the database.
    let later = Scene::on(&database).await;
    later.seconds_pass(36_000);
    for _ in 0..3 {
        later.tick().await;
    }
    assert_eq!(later.claimable().await.len(), 1);
    let decided = later.decided(id).await;
    assert_eq!(decided[2..], ["36000 round 1, step 1, attempt 2: calling Ann"]);
}

async fn passing_it_on_gives_up_the_calls_that_wait(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    let first = scene.pending().await.remove(0);
    let here = Stage { run: 0, round: 0, step: 0 };
    assert!(counted(&scene.engine.escalate(id, Some(here), key()).await.expect("an answer")));
    let names: Vec<_> = scene.claimable().await.into_iter().map(|call| call.to).collect();
    assert_eq!(names, ["Ben", EVA], "Ann is not called any more");
    assert_eq!(scene.call(first.id).await.status, CallStatus::Canceled);
}

async fn passing_it_on_ends_the_calls_that_ring_and_not_the_one_that_is_spoken_in(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = scene.contact("Ann", &ANN).await;
    let ben = scene.contact("Ben", &[BEN, EVA]).await;
    let both = step(&[Target::Contact(ann), Target::Contact(ben)], 1, 60, 300);
    let policy = Policy { steps: vec![both, step(&[Target::Contact(ben)], 1, 60, 300)], ..Policy::default() };
    scene.policy("both", policy, true).await;
    let id = scene.raise(alert("disk")).await;
    let calls = scene.claimable().await;
    let [to_ann, to_ben] = &calls[..] else { panic!("{calls:?}") };
    for call in [to_ann, to_ben] {
        assert!(scene.claim(call).await);
        scene.store.call_rings(call, scene.now()).await.expect("it is stored");
    }
    scene.store.call_answered(to_ann, scene.now()).await.expect("it is stored");
    let here = Stage { run: 0, round: 0, step: 0 };
    assert!(counted(&scene.engine.escalate(id, Some(here), key()).await.expect("an answer")));
    let unneeded = scene.store.unneeded_calls().await.expect("an answer");
    assert_eq!(unneeded.iter().map(|call| call.id).collect::<Vec<_>>(), [to_ben.id]);

    // It ends by itself before it is hung up: Ben's next number is not called for the step that is over.
    assert!(scene.end(to_ben, no_answer(), Some((number(EVA), 1))).await);
    let pending = scene.pending().await;
    assert_eq!(pending.iter().map(|call| &call.number).collect::<Vec<_>>(), [&number(BEN)], "for the second step");
    let carried = scene.store.carried_by(pending[0].id).await.expect("an answer");
    assert_eq!(carried[0].at.stage, Stage { step: 1, ..here });
}

async fn a_doubled_key_passes_it_on_once(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let id = scene.raise(alert("disk")).await;
    let here = Stage { run: 0, round: 0, step: 0 };
    let said = (0..20).map(|_| scene.engine.escalate(id, Some(here), key()));
    let applied = futures_util::future::join_all(said).await;
    assert_eq!(applied.iter().filter(|applied| applied.as_ref().is_ok_and(counted)).count(), 1);
    assert!(matches!(scene.state(id).await, State::Escalating { at, .. } if at.stage == Stage { step: 1, ..here }));
    let said = scene.facts(id).await.into_iter().filter(|fact| matches!(fact, Fact::Escalated { .. })).count();
    assert_eq!(said, 1);
}

async fn an_unknown_policy_falls_back_to_the_default_one(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    scene.policy("other", once(&[Target::Number(number(BEN))]), false).await;
    let named = |name: &str, key: &str| Alert { policy: PolicyChoice::Named(name.into()), ..alert(key) };
    let other = scene.raise(named("other", "known")).await;
    assert_eq!(scene.incident(other).await.policy_name.as_deref(), Some("other"));
    assert_eq!(scene.pending().await.remove(0).number, number(BEN));

    let id = scene.raise(named("missing 🤷", "unknown")).await;
    let incident = scene.incident(id).await;
    assert_eq!(incident.policy_name.as_deref(), Some("usual"));
    let facts = scene.facts(id).await;
    assert_eq!(facts[1], Fact::UnknownPolicy { named: "missing 🤷".into() });
    assert_eq!(scene.pending().await.len(), 2);
}

async fn without_a_policy_it_is_held_and_pages_nobody(database: Database) {
    let scene = Scene::on(&database).await;
    let id = scene.raise(alert("disk")).await;
    assert!(matches!(scene.state(id).await, State::Held { .. }));
    assert_eq!(scene.engine.raise(alert("disk")).await, Ok(Raised::Updated(id)));
    assert!(!scene.next_deadline().await);
    assert_eq!(scene.pending().await, []);
    assert_eq!(
        scene.told(id).await,
        [
            "   0 raised by a test: the disk is full",
            "   0 held: there is no policy for it, nobody is paged",
            "   0 a test sent it again",
        ]
    );
    let named = Alert { policy: PolicyChoice::Named("missing".into()), ..alert("memory") };
    let unknown = scene.raise(named).await;
    assert!(matches!(scene.state(unknown).await, State::Held { .. }));
    assert_eq!(scene.facts(unknown).await.len(), 3, "raised, unknown policy, held");
    assert!(counted(&scene.engine.acknowledge(id, key()).await.expect("an answer")));
    assert!(counted(&scene.engine.resolve(unknown, key()).await.expect("an answer")));
}

async fn who_cannot_be_called_is_passed_over(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    scene.change_contact("Ann", false, &ANN).await;
    let id = scene.raise(alert("disk")).await;
    assert_eq!(
        scene.told(id).await[1..3],
        [
            "   0 round 1, step 1: nobody to call, passed over",
            "   0 round 1, step 2, attempt 1: calling Ben, +393331234504",
        ]
    );
    // Ben has lost his telephone, and Ann is back: who is called is seen when the step runs.
    scene.contact("Ben", &[]).await;
    scene.contact("Ann", &[EVA]).await;
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    let call = scene.pending().await.remove(0);
    assert_eq!((&*call.to, call.number), ("Ann", number(EVA)));

    // Nobody at all: it ends at once, and says so.
    let ann = scene.change_contact("Ann", false, &[EVA]).await;
    scene.policy("nobody", once(&[Target::Contact(ann)]), true).await;
    let id = scene.raise(alert("memory")).await;
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
    let told: Vec<_> = scene.facts(id).await.iter().map(Fact::sentence).collect();
    assert_eq!(told[1..], ["round 1, step 1: nobody to call, passed over", "exhausted: nobody has taken it"]);
}

async fn everybody_left_while_it_was_taken(database: Database) {
    let scene = Scene::on(&database).await;
    let policy = usual(&scene).await;
    let mut only_ann = policy;
    only_ann.steps.truncate(1);
    scene.policy("ann", only_ann, true).await;
    let id = scene.raise(alert("disk")).await;
    scene.engine.acknowledge(id, key()).await.expect("an answer");
    scene.change_contact("Ann", false, &ANN).await;
    assert!(scene.next_deadline().await);
    let decided = scene.decided(id).await;
    assert_eq!(
        decided[decided.len() - 3..],
        [
            "3600 pages again: acknowledged, and not resolved in time",
            "3600 round 1, step 1: nobody to call, passed over",
            "3600 exhausted: nobody has taken it",
        ]
    );
}

async fn a_policy_of_its_own(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let own = Alert { policy: PolicyChoice::Own(once(&[Target::Number(number(BEN))])), ..alert("call me") };
    let id = scene.raise(own).await;
    let incident = scene.incident(id).await;
    assert_eq!((incident.policy_name, incident.policy), (None, Some(once(&[Target::Number(number(BEN))]))));
    assert_eq!(scene.pending().await.remove(0).number, number(BEN));
    // The policy is what it was when the incident was raised.
    let id = scene.raise(alert("disk")).await;
    scene.policy("usual", once(&[]), true).await;
    assert_eq!(scene.incident(id).await.policy.map(|policy| policy.steps.len()), Some(2));
}

async fn what_is_over_opens_nothing(database: Database) {
    let scene = Scene::on(&database).await;
    usual(&scene).await;
    let over = || group("hosts", vec![member("a", "warning", false)]);
    assert_eq!(scene.engine.raise(over()).await, Ok(Raised::NothingOpen));
    let all_over = Alert { all_over: true, ..alert("disk") };
    assert_eq!(scene.engine.raise(all_over).await, Ok(Raised::NothingOpen));
    assert_eq!(scene.store.incidents(IncidentFilter::default(), 10).await.expect("an answer").items, []);
    let id = scene.raise(group("hosts", vec![member("a", "warning", true)])).await;
    assert_eq!(scene.engine.raise(over()).await, Ok(Raised::Resolved(id)));
    assert_eq!(scene.engine.raise(over()).await, Ok(Raised::NothingOpen));
    assert_eq!(scene.pending().await, []);
}

async fn what_is_not_known_is_said_to_be_unknown(database: Database) {
    let scene = Scene::on(&database).await;
    let id = ringdown::id::IncidentId::generate();
    assert!(matches!(scene.engine.acknowledge(id, key()).await, Ok(Applied::Unknown)));
    assert!(matches!(scene.engine.escalate(id, None, key()).await, Ok(Applied::Unknown)));
    assert!(matches!(scene.engine.resolve(id, key()).await, Ok(Applied::Unknown)));
}

async fn many_incidents_at_once_are_all_looked_at(database: Database) {
    let scene = Scene::on(&database).await;
    ann_once(&scene).await;
    let mut ids = Vec::new();
    for n in 0..150 {
        ids.push(scene.raise(alert(&format!("key {n}"))).await);
    }
    assert_eq!(scene.pending().await.len(), 1, "a storm is one call");
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    for id in ids {
        assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
    }
}

async fn the_worker_looks_when_it_is_rung_and_stops_when_told(database: Database) {
    let scene = Scene::on(&database).await;
    ann_once(&scene).await;
    let shutdown = tokio_util::sync::CancellationToken::new();
    let worker = tokio::spawn(scene.engine.clone().run(shutdown.clone()));
    let id = scene.raise(alert("disk")).await;
    scene.nobody_answers().await;
    scene.seconds_pass(300);
    // It looks by itself within a second or so; nobody calls `tick`.
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while !matches!(scene.state(id).await, State::Exhausted { .. }) {
        assert!(tokio::time::Instant::now() < deadline, "the worker never looked");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    shutdown.cancel();
    tokio::time::timeout(std::time::Duration::from_secs(20), worker)
        .await
        .expect("it stops")
        .expect("it does not panic");
}
