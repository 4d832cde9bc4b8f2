//! On-call schedules on both databases, on a clock that stands still: who is on duty, who is noted to
//! be, and whom a policy calls.

mod files;
mod http;

use crate::harness::author;
use std::collections::HashSet;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use ringdown::{
    bus::Bus,
    calendar::{Calendar, Holiday},
    engine::Engine,
    escalation::{OnExhausted, Policy, Target},
    id::{CalendarId, ContactId, OverrideId, ScheduleId, WindowId},
    oncall::{self, Duty, Layer, Override, OverrideKind, Rotation, Unit, Window},
    store::{Deletion, Error, FeedOf, ImportCounts, ImportedDuty, Run, ScheduleData},
    wallclock::Zone,
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, evening, once, step},
};

on_both_databases! {
    a_handoff_is_noted_once
    a_server_that_was_down_notes_what_it_finds
    an_override_counts_at_once_and_is_noted_until_it_is_taken_away
    a_window_goes_before_the_layers
    two_servers_note_a_change_once
    what_was_changed_meanwhile_is_looked_at_again
    many_schedules_hand_over_at_once
    what_is_read_is_what_was_written
    only_one_editor_wins
    what_a_policy_uses_is_not_deleted
    importing_the_same_again_changes_nothing
    a_feed_has_one_secret_at_a_time
    a_policy_calls_whoever_is_on_duty_at_each_attempt
    a_step_outside_its_calendar_is_passed_over
}

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";

/// Turns of twelve hours, from eight in the evening to eight in the morning. Every scene begins at
/// eight in the morning: the first one's turn has just ended.
fn shifts_of_twelve_hours(people: &[ContactId]) -> oncall::Schedule {
    let rotation = Rotation {
        participants: people.to_vec(),
        start: "2027-01-14T20:00:00".parse::<NaiveDateTime>().expect("a time"),
        every: 12,
        unit: Unit::Hours,
    };
    let layer = Layer { name: "turns".into(), rotation, restrictions: Vec::new(), until: None };
    oncall::Schedule { zone: Zone::UTC, layers: vec![layer] }
}

fn named(name: &str, schedule: oncall::Schedule) -> ScheduleData {
    ScheduleData { name: name.into(), description: String::new(), schedule }
}

struct People {
    ann: ContactId,
    ben: ContactId,
    eva: ContactId,
}

async fn people(scene: &Scene) -> People {
    People {
        ann: scene.contact("Ann", &[ANN]).await,
        ben: scene.contact("Ben", &[BEN]).await,
        eva: scene.contact("Eva", &["+393331234503"]).await,
    }
}

/// Ann and Ben take turns; Ben has just begun.
async fn night(scene: &Scene) -> (People, ScheduleId) {
    let people = people(scene).await;
    let schedule = shifts_of_twelve_hours(&[people.ann, people.ben]);
    let id =
        scene.store.by(author()).create_schedule(named("Night", schedule), scene.now()).await.expect("it is stored");
    (people, id)
}

fn change(kind: OverrideKind, people: &[ContactId], from: DateTime<Utc>, hours: i64) -> Override {
    let until = from + TimeDelta::hours(hours);
    Override { id: OverrideId::generate(), kind, people: people.to_vec(), from, until, made_at: from }
}

/// A schedule's timeline, with the minutes since the scene began.
async fn noted(scene: &Scene, id: ScheduleId) -> Vec<String> {
    let lines = scene.store.schedule_timeline(id, None, 1000).await.expect("the database answers");
    let line = |at: DateTime<Utc>, text: String| format!("{:>4} {text}", (at - evening()).num_minutes());
    lines.into_iter().map(|event| line(event.entry.at, event.entry.fact.sentence())).collect()
}

async fn a_handoff_is_noted_once(database: Database) {
    let scene = Scene::on(&database).await;
    let (_, id) = night(&scene).await;
    assert_eq!(noted(&scene, id).await, [""; 0]);
    for _ in 0..3 {
        let next = scene.tick().await;
        assert_eq!(next, Some(evening() + TimeDelta::hours(12)), "the next handoff is the next deadline");
    }
    assert_eq!(noted(&scene, id).await, ["   0 on duty for Night: Ben (before: nobody)"]);
    scene.seconds_pass(12 * 3600 - 1);
    scene.tick().await;
    assert_eq!(noted(&scene, id).await.len(), 1, "not a second early");
    scene.seconds_pass(1);
    scene.tick().await;
    // Started again, it knows who was on duty before.
    let again = Engine::new(database.store().await, Bus::default(), scene.clock.clone());
    again.tick().await.expect("the database answers");
    scene.seconds_pass(60);
    scene.tick().await;
    assert_eq!(noted(&scene, id).await[1..], [" 720 on duty for Night: Ann (before: Ben)"]);
    // One person alone has no handoffs: it looks again after a day, and has nothing to say.
    let ann = scene.store.contacts_named("ann").await.expect("an answer");
    let there = scene.store.schedule(id).await.expect("an answer").expect("a schedule");
    let alone = named("Night", shifts_of_twelve_hours(&ann));
    scene.store.by(author()).update_schedule(id, there.version, alone, scene.now()).await.expect("it is stored");
    assert_eq!(scene.tick().await, Some(scene.now() + TimeDelta::days(1)));
    assert_eq!(noted(&scene, id).await.len(), 2);
}

async fn a_server_that_was_down_notes_what_it_finds(database: Database) {
    let scene = Scene::on(&database).await;
    let (_, id) = night(&scene).await;
    scene.tick().await;
    // Two handoffs later it is Ben's turn again; one more, and it is Ann's.
    scene.seconds_pass(25 * 3600);
    scene.tick().await;
    assert_eq!(noted(&scene, id).await.len(), 1, "the same person as before");
    scene.seconds_pass(12 * 3600);
    scene.tick().await;
    assert_eq!(noted(&scene, id).await[1..], ["2220 on duty for Night: Ann (before: Ben)"]);
}

async fn an_override_counts_at_once_and_is_noted_until_it_is_taken_away(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    scene.tick().await;
    scene.seconds_pass(600);
    let eva = change(OverrideKind::Replace, &[people.eva], scene.now(), 1);
    assert!(scene.store.by(author()).add_override(id, eva.clone(), "a test").await.expect("it is stored"));
    let duty = scene.store.duty(id, scene.now(), scene.now()).await.expect("an answer").expect("a schedule");
    assert_eq!(oncall::on_call(&duty, scene.now()), [people.eva], "before anybody has looked");
    assert_eq!(scene.tick().await, Some(eva.until));
    let ann_too = change(OverrideKind::Add, &[people.ann], scene.now() + TimeDelta::minutes(10), 1);
    assert!(scene.store.by(author()).add_override(id, ann_too.clone(), "a test").await.expect("it is stored"));
    assert_eq!(scene.tick().await, Some(ann_too.from));
    scene.seconds_pass(600);
    scene.tick().await;
    scene.seconds_pass(600);
    assert!(scene.store.by(author()).delete_override(id, eva.id, scene.now()).await.expect("it is gone"));
    assert!(!scene.store.by(author()).delete_override(id, eva.id, scene.now()).await.expect("it was gone"));
    scene.tick().await;
    scene.seconds_pass(7200);
    scene.tick().await;
    assert_eq!(
        noted(&scene, id).await,
        [
            "   0 on duty for Night: Ben (before: nobody)",
            "  10 on duty for Night: Eva (before: Ben)",
            "  20 on duty for Night: Ann, Eva (before: Eva)",
            "  30 on duty for Night: Ann, Ben (before: Ann, Eva)",
            " 150 on duty for Night: Ben (before: Ann, Ben)",
        ]
    );
    let of_another = ScheduleId::generate();
    assert!(
        !scene.store.by(author()).add_override(of_another, eva, "a test").await.expect("an answer"),
        "no such schedule"
    );
}

async fn a_window_goes_before_the_layers(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    scene.tick().await;
    let window = |contact, priority| Window {
        id: WindowId::generate(),
        contact,
        from: evening(),
        until: evening() + TimeDelta::hours(1),
        priority,
    };
    let (second, first) = (window(people.eva, 2), window(people.ann, 1));
    for one in [&second, &first] {
        assert!(scene.store.by(author()).add_window(id, one.clone(), scene.now()).await.expect("it is stored"));
        scene.tick().await;
    }
    let span = (evening(), None);
    assert_eq!(scene.store.windows(id, span, 10).await.expect("a list"), [second, first.clone()]);
    assert!(scene.store.by(author()).delete_window(id, first.id, scene.now()).await.expect("it is gone"));
    scene.tick().await;
    scene.seconds_pass(3600);
    scene.tick().await;
    assert_eq!(
        noted(&scene, id).await[1..],
        [
            "   0 on duty for Night: Eva (before: Ben)",
            "   0 on duty for Night: Ann (before: Eva)",
            "   0 on duty for Night: Eva (before: Ann)",
            "  60 on duty for Night: Ben (before: Eva)",
        ]
    );
}

async fn two_servers_note_a_change_once(database: Database) {
    let scene = Scene::on(&database).await;
    let (_, id) = night(&scene).await;
    let other = Engine::new(database.store().await, Bus::default(), scene.clock.clone());
    for handoffs in 1..=20 {
        let (one, two) = tokio::join!(scene.engine.tick(), other.tick());
        one.and(two).expect("the database answers");
        assert_eq!(noted(&scene, id).await.len(), handoffs);
        scene.seconds_pass(12 * 3600);
    }
}

async fn what_was_changed_meanwhile_is_looked_at_again(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let now = scene.now();
    let read = scene.store.due_schedules(now, now + TimeDelta::days(1), 10).await.expect("a list");
    // At the very instant at which it was made: the time cannot tell what was read before.
    let eva = change(OverrideKind::Replace, &[people.eva], now, 1);
    assert!(scene.store.by(author()).add_override(id, eva, "a test").await.expect("it is stored"));
    let later = now + TimeDelta::hours(12);
    let noted_it = scene.store.schedule_looked_at(&read[0], &[people.ben], later, None, Vec::new(), now).await;
    assert!(!noted_it.expect("an answer"), "what it decided on is not so any more");
    scene.tick().await;
    assert_eq!(noted(&scene, id).await, ["   0 on duty for Night: Eva (before: nobody)"]);
}

async fn many_schedules_hand_over_at_once(database: Database) {
    let scene = Scene::on(&database).await;
    let people = people(&scene).await;
    let mut ids = Vec::new();
    for n in 0..300 {
        let schedule = named(&format!("{n:03}"), shifts_of_twelve_hours(&[people.ann, people.ben]));
        ids.push(scene.store.by(author()).create_schedule(schedule, scene.now()).await.expect("it is stored"));
    }
    for lines in 1..=2 {
        // What is left over is due at once.
        while scene.tick().await.is_some_and(|next| next <= scene.now()) {}
        for id in &ids {
            assert_eq!(noted(&scene, *id).await.len(), lines);
        }
        scene.seconds_pass(12 * 3600);
    }
}

async fn what_is_read_is_what_was_written(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let schedule = shifts_of_twelve_hours(&[people.ann, people.ben]);
    let other = shifts_of_twelve_hours(&[people.eva]);
    let other = scene.store.by(author()).create_schedule(named("Day", other), scene.now()).await.expect("it is stored");
    let inside = change(OverrideKind::Add, &[people.eva, people.ann], evening() + TimeDelta::hours(3), 2);
    let over = change(OverrideKind::Remove, &[people.ben], evening() - TimeDelta::hours(9), 8);
    let far = change(OverrideKind::Replace, &[], evening() + TimeDelta::days(90), 8);
    for one in [&inside, &over, &far] {
        assert!(scene.store.by(author()).add_override(id, one.clone(), "a test").await.expect("it is stored"));
    }
    let (from, until) = (evening(), evening() + TimeDelta::days(30));
    let expected = Duty { schedule, overrides: vec![inside.clone()], windows: Vec::new() };
    assert_eq!(scene.store.duty(id, from, until).await.expect("an answer"), Some(expected.clone()));
    let all = scene.store.duties(from, until).await.expect("an answer");
    assert_eq!(all.iter().map(|one| (one.id, &*one.name)).collect::<Vec<_>>(), [(other, "Day"), (id, "Night")]);
    assert_eq!(all[1].duty, expected);
    let listed = scene.store.overrides(id, (from, None), 10).await.expect("a list");
    assert_eq!(listed.iter().map(|one| &one.change).collect::<Vec<_>>(), [&inside, &far]);
    assert_eq!((listed[0].made_by.as_str(), &listed[0].uid), ("a test", &None));
    let there = scene.store.schedule_named("Night").await.expect("an answer").expect("a schedule");
    assert_eq!((there.id, there.version), (id, 1), "overrides are no new version of the schedule");
    assert_eq!(scene.store.schedule_named("night").await.expect("an answer"), None);
}

async fn only_one_editor_wins(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let data = |name: &str| named(name, shifts_of_twelve_hours(&[people.eva]));
    let now = scene.now();
    scene.store.by(author()).create_schedule(data("Day"), now).await.expect("it is stored");
    assert_eq!(
        scene.store.by(author()).create_schedule(data("Day"), now).await,
        Err(Error::Conflict),
        "a name is one's own"
    );
    assert_eq!(scene.store.by(author()).update_schedule(id, 1, data("Day"), now).await, Err(Error::Conflict));
    let hand = scene.store.by(author());
    let (one, two) =
        tokio::join!(hand.update_schedule(id, 1, data("One"), now), hand.update_schedule(id, 1, data("Two"), now),);
    assert_eq!([&one, &two].into_iter().filter(|done| done.is_ok()).count(), 1, "{one:?} {two:?}");
    assert_eq!(scene.store.by(author()).delete_schedule(id, 1).await, Err(Error::Conflict));
    assert_eq!(scene.store.by(author()).delete_schedule(id, 2).await, Ok(Deletion::Deleted));
    assert_eq!(scene.store.schedule(id).await.expect("an answer"), None);
    assert_eq!(scene.store.duty(id, now, now).await.expect("an answer"), None);
}

async fn what_a_policy_uses_is_not_deleted(database: Database) {
    let scene = Scene::on(&database).await;
    let (_, id) = night(&scene).await;
    let calendar = scene.store.by(author()).create_calendar("Office".into(), Calendar::default(), scene.now()).await;
    let calendar = calendar.expect("it is stored");
    let mut last = step(&[Target::Schedule(id)], 1, 60, 300);
    last.not_during = Some(calendar);
    let mut policy = once(&[Target::Contact(ContactId::generate())]);
    policy.on_exhausted = Some(OnExhausted::LastResort(last));
    scene.policy("usual", policy, true).await;
    let mut policy = once(&[Target::Schedule(id)]);
    policy.steps[0].only_during = Some(calendar);
    scene.policy("also", policy, false).await;
    let places = vec!["policy \"also\"".to_owned(), "policy \"usual\"".to_owned()];
    assert_eq!(scene.store.schedule_used_in(id).await, Ok(places.clone()));
    assert_eq!(scene.store.calendar_used_in(calendar).await, Ok(places.clone()));
    assert_eq!(scene.store.schedule_used_in(ScheduleId::generate()).await, Ok(Vec::new()));
    assert_eq!(scene.store.calendar_used_in(CalendarId::generate()).await, Ok(Vec::new()));
    assert_eq!(scene.store.by(author()).delete_schedule(id, 1).await, Ok(Deletion::UsedIn(places.clone())));
    assert_eq!(scene.store.by(author()).delete_calendar(calendar, 1).await, Ok(Deletion::UsedIn(places)));
    assert!(scene.store.schedule(id).await.expect("an answer").is_some());
    assert!(scene.store.calendar(calendar).await.expect("an answer").is_some());
    for name in ["usual", "also"] {
        scene.policy(name, Policy::default(), false).await;
    }
    assert_eq!(scene.store.by(author()).delete_schedule(id, 1).await, Ok(Deletion::Deleted));
    assert_eq!(scene.store.by(author()).delete_calendar(calendar, 1).await, Ok(Deletion::Deleted));
}

async fn importing_the_same_again_changes_nothing(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let duty = |uid: &str, day: i64, who| ImportedDuty {
        uid: uid.into(),
        occurrence: None,
        people: vec![who],
        from: evening() + TimeDelta::days(day),
        until: evening() + TimeDelta::days(day) + TimeDelta::hours(8),
    };
    let again =
        |day| ImportedDuty { occurrence: Some(evening() + TimeDelta::days(day)), ..duty("c#1", day, people.eva) };
    let import = async |what: Vec<ImportedDuty>, uids: &[&str], run| {
        let uids: HashSet<String> = uids.iter().map(|uid| (*uid).to_owned()).collect();
        let report = scene.store.by(author()).import_overrides(id, what, uids, "a test", scene.now(), run).await;
        let ImportCounts { created, updated, unchanged, deleted } = report.expect("an answer").expect("a schedule");
        (created, updated, unchanged, deleted)
    };
    let overrides = async || scene.store.overrides(id, (evening(), None), 100).await.expect("a list");
    let uids = &["a", "b", "c#1"][..];
    let all = || vec![duty("a", 1, people.ann), duty("b", 2, people.ben), again(3), again(4)];
    assert_eq!(import(all(), uids, Run::Dry).await, (4, 0, 0, 0));
    assert_eq!(overrides().await, [], "it was only tried");
    assert_eq!(import(all(), uids, Run::Real).await, (4, 0, 0, 0));
    let made = overrides().await;
    assert_eq!(made.iter().map(|one| one.uid.as_deref()).collect::<Vec<_>>(), ["a", "b", "c#1", "c#1"].map(Some));
    assert_eq!(import(all(), uids, Run::Real).await, (0, 0, 4, 0));
    assert_eq!(overrides().await, made);
    scene.seconds_pass(60);
    // Another person, an occurrence less; and what this calendar does not name is none of its business.
    let changed = || vec![duty("a", 1, people.eva), again(4)];
    assert_eq!(import(changed(), &["a", "c#1"], Run::Dry).await, (0, 1, 1, 1));
    assert_eq!(import(changed(), &["a", "c#1"], Run::Real).await, (0, 1, 1, 1));
    let left = overrides().await;
    assert_eq!(left.len(), 3);
    assert_eq!((left[0].change.id, &left[0].change.people), (made[0].change.id, &vec![people.eva]));
    assert_eq!(left[1], made[1]);
    // Called off; but what is over was so.
    scene.seconds_pass(3 * 86_400);
    assert_eq!(import(Vec::new(), uids, Run::Real).await, (0, 0, 0, 1));
    assert_eq!(overrides().await, left[..2]);
    let hand = scene.store.by(author());
    let nowhere =
        hand.import_overrides(ScheduleId::generate(), all(), HashSet::new(), "a test", scene.now(), Run::Real);
    assert_eq!(nowhere.await.expect("an answer"), None);
}

async fn a_feed_has_one_secret_at_a_time(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let (store, now) = (&scene.store, scene.now());
    let (schedule, contact) = (FeedOf::Schedule(id), FeedOf::Contact(people.ann));
    let opens = async |digest: &str| store.feed(digest).await.expect("an answer");
    store.by(author()).renew_feed(schedule, "one".into(), now).await.expect("it is stored");
    store.by(author()).renew_feed(contact, "two".into(), now).await.expect("it is stored");
    assert_eq!((opens("one").await, opens("two").await, opens("x").await), (Some(schedule), Some(contact), None));
    store.by(author()).renew_feed(schedule, "three".into(), now).await.expect("it is stored");
    assert_eq!((opens("one").await, opens("three").await), (None, Some(schedule)));
    assert!(store.by(author()).revoke_feed(schedule).await.expect("an answer"));
    assert!(!store.by(author()).revoke_feed(schedule).await.expect("an answer"));
    assert_eq!((opens("three").await, opens("two").await), (None, Some(contact)));
    store.by(author()).renew_feed(schedule, "four".into(), now).await.expect("it is stored");
    assert_eq!(store.by(author()).delete_schedule(id, 1).await, Ok(Deletion::Deleted));
    assert_eq!(opens("four").await, None, "it goes with its schedule");
}

async fn a_policy_calls_whoever_is_on_duty_at_each_attempt(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    // Three attempts, a minute apart; the handoff is between the first and the second.
    scene
        .policy("usual", Policy { steps: vec![step(&[Target::Schedule(id)], 3, 60, 300)], ..Policy::default() }, true)
        .await;
    scene.seconds_pass(12 * 3600 - 30);
    let incident = scene.raise(alert("disk")).await;
    let called = async || {
        let calls = scene.pending().await;
        calls.into_iter().map(|call| call.contact.expect("a contact")).collect::<Vec<_>>()
    };
    assert_eq!(called().await, [people.ben]);
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    assert_eq!(called().await, [people.ann], "the one who has come on duty");
    // And whoever takes over by an override is called by the third.
    let eva = change(OverrideKind::Replace, &[people.eva], scene.now(), 1);
    assert!(scene.store.by(author()).add_override(id, eva, "a test").await.expect("it is stored"));
    scene.nobody_answers().await;
    assert!(scene.next_deadline().await);
    assert_eq!(called().await, [people.eva]);
    let told = scene.decided(incident).await;
    assert!(told.iter().any(|line| line.contains("attempt 3") && line.contains("Eva")), "{told:#?}");
}

async fn a_step_outside_its_calendar_is_passed_over(database: Database) {
    let scene = Scene::on(&database).await;
    let (people, id) = night(&scene).await;
    let today = evening().date_naive();
    let holiday = Holiday { name: "a holiday".into(), from: today, until: today };
    let closed = Calendar { zone: Zone::UTC, hours: Vec::new(), holidays: vec![holiday] };
    let closed =
        scene.store.by(author()).create_calendar("Office".into(), closed, scene.now()).await.expect("it is stored");
    let mut first = step(&[Target::Contact(people.eva)], 1, 60, 300);
    first.only_during = Some(closed);
    let second = step(&[Target::Schedule(id)], 1, 60, 300);
    scene.policy("usual", Policy { steps: vec![first, second], ..Policy::default() }, true).await;
    let incident = scene.raise(alert("disk")).await;
    let calls = scene.pending().await;
    assert_eq!(calls.iter().map(|call| call.contact).collect::<Vec<_>>(), [Some(people.ben)]);
    let told = scene.decided(incident).await;
    let passed_over = "   0 round 1, step 1: outside its calendar, passed over".to_owned();
    assert!(told.contains(&passed_over), "{told:#?}");
    // Tomorrow the office is open.
    scene.seconds_pass(86_400);
    scene.raise(alert("memory")).await;
    let calls = scene.pending().await;
    assert!(calls.iter().any(|call| call.contact == Some(people.eva)), "{calls:#?}");
}
