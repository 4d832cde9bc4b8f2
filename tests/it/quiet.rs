//! Which policy pages, what stays quiet, and which heart has stopped.

use crate::harness::author;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use ringdown::{
    calendar::{Calendar, Holiday},
    engine::{Applied, PolicyChoice, Raised, first_look},
    escalation::{Held, Policy, State, Step, Target},
    id::SilenceId,
    store::{HeartbeatData, SilenceData},
    triage::{QuietKind, Rule},
    wallclock::Zone,
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, evening, key, once, step},
};

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";

on_both_databases! {
    the_first_rule_that_matches_chooses_the_policy
    an_alert_in_a_silence_calls_nobody_and_pages_when_it_ends
    a_silence_that_is_made_while_a_phone_rings_stops_it
    a_maintenance_window_that_repeats_begins_by_itself
    a_direct_call_is_not_silenced
    a_heart_that_stops_pages_and_one_that_comes_back_resolves
    a_step_outside_its_calendar_is_passed_over_and_all_of_them_wait
    an_incident_goes_on_by_the_policy_as_it_was_unless_it_follows_edits
    people_take_turns
}

fn at(second: i64) -> DateTime<Utc> {
    evening() + TimeDelta::seconds(second)
}

async fn policies(scene: &Scene) {
    let ann = scene.contact("Ann", &[ANN]).await;
    let ben = scene.contact("Ben", &[BEN]).await;
    scene.policy("usual", once(&[Target::Contact(ann)]), true).await;
    scene.policy("database", once(&[Target::Contact(ben)]), false).await;
}

async fn silence(scene: &Scene, matcher: &str, from: i64, until: i64) -> SilenceId {
    let data = SilenceData {
        kind: QuietKind::Silence,
        comment: "a test".into(),
        matchers: vec![matcher.parse().expect("a matcher")],
        from: at(from),
        until: at(until),
        zone: Zone::UTC,
        recurrence: None,
    };
    make(scene, data).await
}

async fn make(scene: &Scene, data: SilenceData) -> SilenceId {
    let look_at = first_look(&data, scene.now());
    let made = scene.store.by(author()).create_silence(data, "a test", look_at, scene.now()).await;
    made.expect("it is stored")
}

async fn called(scene: &Scene) -> Vec<String> {
    scene.claimable().await.into_iter().map(|call| call.to).collect()
}

async fn the_first_rule_that_matches_chooses_the_policy(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    let id = scene.store.policy("database").await.expect("an answer").expect("a policy").id;
    let rule = |name: &str, matchers: &[&str], enabled| Rule {
        name: name.into(),
        matchers: matchers.iter().map(|text| text.parse().expect("a matcher")).collect(),
        policy: id,
        severity: Some("critical".into()),
        enabled,
    };
    let rules =
        vec![rule("off", &[], false), rule("databases", &["instance=~\"db-.*\"", "severity=\"warning\""], true)];
    scene.store.by(author()).set_routing_rules(0, rules.clone(), scene.now()).await.expect("it is stored");
    // Whoever has not seen the present list does not overwrite it.
    assert!(scene.store.by(author()).set_routing_rules(0, Vec::new(), scene.now()).await.is_err());

    let mut db = alert("one");
    db.content.members[0].labels.insert("instance".into(), "db-1".into());
    let routed = scene.raise(db.clone()).await;
    assert_eq!(
        scene.decided(routed).await,
        [
            "   0 raised by a test under policy database: the disk is full",
            "   0 routing rule \"databases\" chooses the policy",
            "   0 round 1, step 1, attempt 1: calling Ben",
        ]
    );
    assert_eq!(scene.incident(routed).await.content.severity, "critical");
    let other = scene.raise(alert("two")).await;
    assert_eq!(scene.incident(other).await.policy_name.as_deref(), Some("usual"));
    // What names its policy is not routed.
    let mut named = db;
    named.dedup_key = "three".into();
    named.policy = PolicyChoice::Named("usual".into());
    let named = scene.raise(named).await;
    assert_eq!(scene.incident(named).await.policy_name.as_deref(), Some("usual"));
}

async fn an_alert_in_a_silence_calls_nobody_and_pages_when_it_ends(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    silence(&scene, "severity=\"warning\"", -10, 600).await;
    // Another one touches it: it stays quiet until that one ends.
    silence(&scene, "severity=~\"warn.*\"", 600, 900).await;
    let id = scene.raise(alert("disk")).await;
    assert!(called(&scene).await.is_empty());
    let state = scene.state(id).await;
    assert!(
        matches!(state, State::Held { reason: Held::Silence, until: Some(until), .. } if until == at(900)),
        "{state:?}"
    );
    assert!(scene.next_deadline().await);
    assert_eq!(scene.now(), at(900));
    assert_eq!(called(&scene).await, ["Ann"]);
    assert_eq!(
        scene.decided(id).await,
        [
            "   0 raised by a test under policy usual: the disk is full",
            "   0 held until 2027-01-15 08:15 UTC: it is silenced",
            " 900 no longer held",
            " 900 round 1, step 1, attempt 1: calling Ann",
        ]
    );
    // One that is resolved in its silence pages nobody ever.
    silence(&scene, "severity=\"warning\"", 890, 2000).await;
    let quiet = scene.raise(alert("quiet")).await;
    let mut over = alert("quiet");
    over.content.members[0].firing = false;
    assert_eq!(scene.engine.raise(over).await, Ok(Raised::Resolved(quiet)));
    assert!(matches!(scene.state(quiet).await, State::Resolved));
}

async fn a_silence_that_is_made_while_a_phone_rings_stops_it(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    let id = scene.raise(alert("disk")).await;
    let calls = scene.claimable().await;
    assert!(scene.claim(&calls[0]).await);
    scene.seconds_pass(5);
    let silence = silence(&scene, "severity=\"warning\"", 0, 600).await;
    scene.tick().await;
    assert!(matches!(scene.state(id).await, State::Held { reason: Held::Silence, .. }));
    let unneeded = scene.store.unneeded_calls().await.expect("an answer");
    assert_eq!(unneeded.iter().map(|call| call.id).collect::<Vec<_>>(), [calls[0].id]);
    scene.tick().await;
    // It is ended early: whatever still fires pages at once.
    scene.seconds_pass(5);
    let there = scene.store.silence(silence).await.expect("an answer").expect("a silence");
    let over = SilenceData { until: scene.now(), ..there.data };
    let now = scene.now();
    scene.store.by(author()).update_silence(silence, there.version, over, Some(now), now).await.expect("it is stored");
    scene.tick().await;
    let decided = scene.decided(id).await;
    assert_eq!(
        decided[2..],
        [
            "   5 held until 2027-01-15 08:10 UTC: it is silenced",
            "  10 no longer held",
            "  10 round 1, step 1, attempt 1: calling Ann",
        ]
    );
}

async fn a_maintenance_window_that_repeats_begins_by_itself(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    // About everything, every day for ten minutes, the first time two days ago; next in five minutes.
    let data = SilenceData {
        kind: QuietKind::Maintenance,
        comment: "backups".into(),
        matchers: Vec::new(),
        from: at(300) - TimeDelta::days(2),
        until: at(900) - TimeDelta::days(2),
        zone: Zone::UTC,
        recurrence: Some("FREQ=DAILY".parse().expect("a rule")),
    };
    make(&scene, data).await;
    let before = scene.raise(alert("before")).await;
    assert_eq!(called(&scene).await, ["Ann"], "it has not begun");
    scene.seconds_pass(299);
    scene.tick().await;
    assert!(matches!(scene.state(before).await, State::Escalating { .. }));
    scene.seconds_pass(1);
    scene.tick().await;
    assert!(matches!(scene.state(before).await, State::Held { reason: Held::Maintenance, .. }));
    let during = scene.raise(alert("during")).await;
    let state = scene.state(during).await;
    assert!(
        matches!(state, State::Held { reason: Held::Maintenance, until: Some(until), .. } if until == at(900)),
        "{state:?}"
    );
}

async fn a_direct_call_is_not_silenced(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    let everything = SilenceData {
        kind: QuietKind::Maintenance,
        comment: String::new(),
        matchers: Vec::new(),
        from: at(-10),
        until: at(600),
        zone: Zone::UTC,
        recurrence: None,
    };
    make(&scene, everything).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    let mut direct = alert("direct");
    direct.policy = PolicyChoice::Own(once(&[Target::Contact(ann)]));
    scene.raise(direct).await;
    assert_eq!(called(&scene).await, ["Ann"]);
}

async fn a_heart_that_stops_pages_and_one_that_comes_back_resolves(database: Database) {
    let scene = Scene::on(&database).await;
    policies(&scene).await;
    let data = HeartbeatData {
        interval: 60,
        grace: 30,
        policy: Some("database".into()),
        severity: "critical".into(),
        summary: "backups have stopped".into(),
    };
    scene.store.by(author()).create_heartbeat("backup".into(), data, scene.now()).await.expect("it is stored");
    let heartbeat = async || scene.store.heartbeat("backup").await.expect("an answer").expect("a heartbeat");
    for _ in 0..3 {
        scene.seconds_pass(80);
        scene.tick().await;
        scene.engine.beat(&heartbeat().await).await.expect("it is stored");
    }
    assert!(called(&scene).await.is_empty());
    assert_eq!(scene.tick().await, Some(at(330)), "the next thing that is due is the missed beat");
    scene.seconds_pass(89);
    scene.tick().await;
    assert!(called(&scene).await.is_empty(), "the grace is not over");
    scene.seconds_pass(1);
    scene.tick().await;
    assert_eq!(called(&scene).await, ["Ben"]);
    let key = heartbeat().await.dedup_key();
    let open = scene.store.open_incident(&key).await.expect("an answer").expect("an incident");
    assert_eq!((open.content.summary.as_str(), open.content.severity.as_str()), ("backups have stopped", "critical"));
    // It is told once, not at every look.
    scene.seconds_pass(100);
    scene.tick().await;
    scene.engine.beat(&heartbeat().await).await.expect("it is stored");
    let decided = scene.decided(open.id).await;
    assert_eq!(
        decided,
        [
            " 330 raised by heartbeat backup under policy database: backups have stopped",
            " 330 round 1, step 1, attempt 1: calling Ben",
            " 430 no longer firing: backups have stopped",
            " 430 resolved by heartbeat backup",
        ]
    );
    assert_eq!(heartbeat().await.due_at, Some(at(430 + 90)));
}

async fn a_step_outside_its_calendar_is_passed_over_and_all_of_them_wait(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let ben = Target::Contact(scene.contact("Ben", &[BEN]).await);
    // The evening is a holiday: 15 January 2027, 08:00 UTC.
    let day = NaiveDate::from_ymd_opt(2027, 1, 15).expect("a date");
    let holiday = Holiday { name: "a holiday".into(), from: day, until: day };
    let calendar = Calendar { zone: Zone::UTC, hours: Vec::new(), holidays: vec![holiday] };
    let id =
        scene.store.by(author()).create_calendar("work".into(), calendar, scene.now()).await.expect("it is stored");
    let at_work = Step { only_during: Some(id), ..step(&[ann], 1, 60, 60) };
    scene
        .policy("both", Policy { steps: vec![at_work.clone(), step(&[ben], 1, 60, 60)], ..Policy::default() }, true)
        .await;
    let passed = scene.raise(alert("one")).await;
    assert_eq!(
        scene.decided(passed).await[1..],
        ["   0 round 1, step 1: outside its calendar, passed over", "   0 round 1, step 2, attempt 1: calling Ben"]
    );
    scene.policy("work only", Policy { steps: vec![at_work], ..Policy::default() }, true).await;
    let waits = scene.raise(alert("two")).await;
    let midnight = DateTime::parse_from_rfc3339("2027-01-16T00:00:00Z").expect("an instant").with_timezone(&Utc);
    let state = scene.state(waits).await;
    assert!(
        matches!(state, State::Held { reason: Held::OutsideCalendars, until: Some(until), .. } if until == midnight),
        "{state:?}"
    );
    scene.seconds_pass((midnight - scene.now()).num_seconds());
    scene.tick().await;
    assert!(called(&scene).await.contains(&"Ann".to_owned()));
}

async fn an_incident_goes_on_by_the_policy_as_it_was_unless_it_follows_edits(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let ben = Target::Contact(scene.contact("Ben", &[BEN]).await);
    for (follow_edits, expected) in [(false, "Ann"), (true, "Ben")] {
        let policy = |target: &Target| Policy {
            repeat: 1,
            follow_edits,
            steps: vec![step(std::slice::from_ref(target), 1, 60, 60)],
            ..Policy::default()
        };
        scene.policy("edited", policy(&ann), true).await;
        let id = scene.raise(alert(&format!("{follow_edits}"))).await;
        scene.nobody_answers().await;
        scene.policy("edited", policy(&ben), true).await;
        assert!(scene.next_deadline().await);
        let last = scene.decided(id).await.pop().expect("a line");
        assert!(last.ends_with(&format!("round 2, step 1, attempt 1: calling {expected}")), "{last}");
        assert!(matches!(scene.engine.resolve(id, key()).await, Ok(Applied::Changed(_))));
        scene.nobody_answers().await;
    }
    let id = scene.store.policy("edited").await.expect("an answer").expect("a policy").id;
    let versions = scene.store.policy_versions(id).await.expect("an answer");
    assert_eq!(versions.iter().map(|version| version.version).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert!(versions[0].policy.follow_edits && !versions[3].policy.follow_edits);
}

async fn people_take_turns(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let ben = Target::Contact(scene.contact("Ben", &[BEN]).await);
    let turns = Step { round_robin: true, ..step(&[ann, ben], 1, 60, 60) };
    scene.policy("turns", Policy { steps: vec![turns], ..Policy::default() }, true).await;
    let mut names = Vec::new();
    for nth in 0..4 {
        let id = scene.raise(alert(&format!("{nth}"))).await;
        names.push(called(&scene).await.join(","));
        scene.engine.resolve(id, key()).await.expect("it is stored");
    }
    assert_eq!(names, ["Ann", "Ben", "Ann", "Ben"]);
    // At the same moment, too: nobody's turn is taken twice.
    let raised = futures_util::future::join_all((10..20).map(|nth| scene.raise(alert(&format!("{nth}"))))).await;
    let mut turns = Vec::new();
    for id in raised {
        turns.push(scene.incident(id).await.turn);
    }
    turns.sort_unstable();
    assert_eq!(turns, (4..14).collect::<Vec<_>>());
}
