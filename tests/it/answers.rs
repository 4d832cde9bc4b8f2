//! Texts that come in and texts about shifts, on both databases, on a clock that stands still: what is claimed once,
//! what counts once, who is told, and what is forgotten.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use ringdown::{
    escalation::{Actor, Method, Policy, Stage, State, Step, Target},
    id::{ContactId, InboundId, MessageId},
    oncall::{Layer, Rotation, Schedule, Unit},
    script::{Keypad, Texts},
    store::{
        Claim, ContactData, Content, Error, Fact, Fate, Inbound, InboundPart, Message, MessageFilter, MessageKind,
        MessageStatus, NewMessage, Report, ScheduleData, Segment,
    },
    wallclock::Zone,
};
use serde_json::json;

use crate::{
    databases::{Database, on_both_databases},
    harness::author,
    scene::{NODE, Scene, alert, counted, evening, number, step},
};

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234503";

on_both_databases! {
    a_text_is_claimed_by_one_server_and_keeps_what_was_decided_first
    what_a_text_says_counts_once_for_each_incident
    whoever_shares_a_number_is_the_one_who_was_texted_there_last
    a_text_raises_an_alert_once
    several_that_leave_as_one_share_its_fate
    whoever_wants_to_is_told_when_shifts_begin_and_end
    what_is_old_is_forgotten_unless_it_is_about_something_open
}

async fn scene(database: &Database) -> Scene {
    let scene = Scene::on(database).await;
    let words = Texts::new(Keypad::default()).expect("the built-in templates");
    let engine = scene.engine.clone().with_texts(TimeDelta::minutes(30)).with_notices(words.into());
    Scene { engine, ..scene }
}

fn texting(target: Target) -> Policy {
    let step = Step { method: Method::Sms, ..step(&[target], 1, 60, 3600) };
    Policy { steps: vec![step], ..Policy::default() }
}

async fn comes(scene: &Scene, from: &str, says: &str) -> Inbound {
    let part = InboundPart {
        digest: MessageId::generate().to_string(),
        route: "gsm".into(),
        sender: Some(from.into()),
        series: None,
        number: 1,
        total: 1,
        body: says.into(),
    };
    let join = |parts: &std::collections::BTreeMap<u8, Vec<u8>>, _| String::from_utf8_lossy(&parts[&1]).into_owned();
    scene.store.take_in(part, join, scene.now()).await.expect("it is stored");
    scene.store.inbound_texts(None, 1).await.expect("an answer").items.remove(0)
}

async fn messages(scene: &Scene) -> Vec<Message> {
    let mut messages = scene.store.messages(MessageFilter::default(), 1000).await.expect("an answer").items;
    messages.reverse();
    messages
}

/// Sends what waits.
async fn send_all(scene: &Scene) {
    for message in scene.store.waiting_messages(1000, scene.now(), 100).await.expect("an answer") {
        let by = (NODE, "gsm");
        let claimed = scene.store.claim_message(message.id, by, "said".into(), scene.now()).await.expect("an answer");
        let segment = Segment { ordinal: 1, total: 1, reference: 1 };
        let message = claimed.expect("it waits");
        scene.store.segment_sent(&message, "gsm", segment, scene.now()).await.expect("it is stored");
    }
}

async fn a_text_is_claimed_by_one_server_and_keeps_what_was_decided_first(database: Database) {
    let (scene, other) = (scene(&database).await, database.store().await);
    let text = comes(&scene, ANN, "4").await;
    let claim = |node: &str, plan: u32, now: DateTime<Utc>| Claim {
        node: node.into(),
        plan: json!({ "plan": plan }),
        stale: now - TimeDelta::minutes(1),
    };
    let first = json!({ "plan": 1 });
    let now = scene.now();
    let ours = scene.store.claim_text(text.id, claim("north", 1, now), now);
    let theirs = other.claim_text(text.id, claim("south", 2, now), now);
    let (ours, theirs) = tokio::join!(ours, theirs);
    let claimed = [ours.expect("an answer"), theirs.expect("an answer")];
    let (winner, decided) = match &claimed {
        [Some(plan), None] => ("north", plan.clone()),
        [None, Some(plan)] => ("south", plan.clone()),
        both => panic!("claimed by both, or by none: {both:?}"),
    };
    assert_eq!(decided == first, winner == "north");
    let loser = if winner == "north" { "south" } else { "north" };
    // It may go on after it died; the other has to wait until it is surely gone.
    for (node, later, expected) in
        [(winner, 1, true), (loser, 30, false), (loser, 31, false), (loser, 62, true), (winner, 63, false)]
    {
        let now = scene.now() + TimeDelta::seconds(later);
        let claimed = other.claim_text(text.id, claim(node, 3, now), now).await.expect("an answer");
        assert_eq!(claimed, expected.then(|| decided.clone()), "{node} after {later} s");
    }
    let done = async |node: &str| other.text_handled(text.id, node.into(), None, scene.now()).await;
    assert_eq!((done("south").await, done("north").await), (Ok(true), Ok(false)));
    let now = now + TimeDelta::hours(1);
    assert_eq!(other.claim_text(text.id, claim(winner, 4, now), now).await, Ok(None), "it is done");
}

async fn what_a_text_says_counts_once_for_each_incident(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    let ben = scene.contact("Ben", &[BEN]).await;
    let mut policy = texting(Target::Contact(ann));
    policy.steps.extend(texting(Target::Contact(ben)).steps);
    policy.ack_timeout = Some(TimeDelta::minutes(10));
    scene.policy("night", policy, true).await;
    let id = scene.raise(alert("disk")).await;
    assert_eq!(scene.store.told_of(ann, ANN).await, Ok(Vec::new()), "what has not left has told nobody");
    send_all(&scene).await;
    let told = scene.store.told_of(ann, ANN).await.expect("an answer");
    assert_eq!(
        told.iter().map(|told| (told.incident, told.code, told.is_acknowledged)).collect::<Vec<_>>(),
        [(id, 1, false)]
    );
    assert_eq!(scene.store.told_of(ben, BEN).await, Ok(Vec::new()));

    let text = |id: ContactId, name: &str| Actor::Texter { id, name: name.into(), text: InboundId::generate() };
    let by = text(ann, "Ann");
    assert!(counted(&scene.engine.acknowledge(id, by.clone()).await.expect("it is stored")));
    assert_eq!(scene.store.effects_of(by.text().expect("a text")).await, Ok(vec![id]));
    // It pages again, and the same text does not take it a second time.
    scene.seconds_pass(600);
    scene.tick().await;
    assert!(matches!(scene.state(id).await, State::Escalating { .. }));
    assert!(scene.engine.acknowledge(id, by).await.is_err(), "it has had its effect");
    assert!(matches!(scene.state(id).await, State::Escalating { .. }));
    // Passed on from where it stood when she was told, once; not from Ben, and not after he has taken it.
    send_all(&scene).await;
    let at = scene.store.told_of(ann, ANN).await.expect("an answer")[0].at;
    assert!(counted(&scene.engine.escalate(id, Some(at), text(ann, "Ann")).await.expect("it is stored")));
    assert!(!counted(&scene.engine.escalate(id, Some(at), text(ann, "Ann")).await.expect("it is stored")));
    send_all(&scene).await;
    let at = scene.store.told_of(ben, BEN).await.expect("an answer")[0].at;
    assert_eq!(at.step, 1);
    assert!(counted(&scene.engine.acknowledge(id, text(ben, "Ben")).await.expect("it is stored")));
    assert!(!counted(&scene.engine.escalate(id, Some(at), text(ann, "Ann")).await.expect("it is stored")));
    assert!(counted(&scene.engine.escalate(id, Some(at), text(ben, "Ben")).await.expect("it is stored")), "it is his");
    let facts = scene.facts(id).await;
    let by_text = facts.iter().filter(|fact| matches!(fact, Fact::AnsweredByText { .. })).count();
    assert_eq!(by_text, 4, "what did not count is not told: {facts:#?}");
}

async fn whoever_shares_a_number_is_the_one_who_was_texted_there_last(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    let night = scene.contact("Night", &[ANN]).await;
    assert_eq!(comes(&scene, ANN, "4").await.contact, None, "it could be either");
    for (contact, key) in [(ann, "disk"), (night, "fan"), (ann, "door")] {
        scene.policy("night", texting(Target::Contact(contact)), true).await;
        scene.raise(alert(key)).await;
        assert_eq!(comes(&scene, ANN, "4").await.contact, Some(contact));
    }
}

async fn a_text_raises_an_alert_once(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    scene.policy("night", texting(Target::Contact(ann)), true).await;
    let alert = |summary: &str| ringdown::engine::TextedAlert {
        summary: summary.into(),
        severity: "critical".into(),
        policy: None,
        source: "a text".into(),
    };
    let text = comes(&scene, BEN, "alarm water").await;
    for _ in 0..2 {
        scene.engine.raise_texted(&text, alert("water")).await.expect("it is stored");
    }
    let again = comes(&scene, BEN, "alarm water").await;
    scene.engine.raise_texted(&again, alert("water")).await.expect("it is stored");
    let other = comes(&scene, BEN, "alarm").await;
    scene.engine.raise_texted(&other, alert("")).await.expect("it is stored");
    let mut open = scene.store.incidents(Default::default(), 10).await.expect("an answer").items;
    open.sort_by_key(|incident| incident.content.summary.clone());
    let told: Vec<(&str, &str)> =
        open.iter().map(|incident| (&*incident.content.summary, &*incident.content.labels["sender"])).collect();
    assert_eq!(told, [("a text without words", BEN), ("water", BEN)]);
    let Content { severity, .. } = &open[1].content;
    assert_eq!(severity, "critical");
    let facts = scene.facts(open[1].id).await;
    assert_eq!(facts.iter().filter(|fact| matches!(fact, Fact::Repeated { .. })).count(), 1, "{facts:#?}");
}

async fn several_that_leave_as_one_share_its_fate(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    scene.policy("night", texting(Target::Contact(ann)), true).await;
    let mut incidents = Vec::new();
    for key in ["disk", "fan", "door", "pump"] {
        incidents.push(scene.raise(alert(key)).await);
    }
    let waits = async |per_hour: u64| {
        let waiting = scene.store.waiting_messages(per_hour, scene.now(), 100).await.expect("an answer");
        waiting.into_iter().map(|message| message.id).collect::<Vec<_>>()
    };
    let claim = async |ids: &[MessageId]| {
        scene.store.claim_bundle(ids.to_vec(), (NODE, "gsm"), "all of them".into(), scene.now()).await
    };
    let stands =
        async || messages(&scene).await.into_iter().map(|message| (message.status, message.body)).collect::<Vec<_>>();
    let with = |status: MessageStatus, body: Option<&str>| (status, body.map(str::to_owned));
    let all = waits(100).await;
    let three = &all[..3];
    let message = claim(three).await.expect("it is stored").expect("they wait");
    assert_eq!((message.id, message.body.as_deref()), (all[0], Some("all of them")));
    // All or none: what is told by one text is told by no other.
    assert_eq!(claim(&all[2..]).await, Err(Error::Conflict));
    let sending = with(MessageStatus::Sending, Some("all of them"));
    let pending = with(MessageStatus::Pending, None);
    assert_eq!(stands().await, [sending.clone(), sending.clone(), sending.clone(), pending.clone()]);
    // Refused they wait together, and go together.
    scene.store.message_refused(all[0], "busy".into(), scene.now(), scene.now()).await.expect("it is stored");
    assert_eq!(waits(100).await, [all[0], all[3]]);
    let again = scene.store.claim_message(all[0], (NODE, "gsm"), "all of them".into(), scene.now()).await;
    assert!(again.expect("it is stored").is_some());
    assert_eq!(stands().await[..3], [sending.clone(), sending.clone(), sending]);
    scene.store.message_refused(all[0], "busy".into(), scene.now(), scene.now()).await.expect("it is stored");
    // The one that was to take them along is not needed any more: the others are.
    scene.engine.acknowledge(incidents[0], Actor::Key("the web".into())).await.expect("it is stored");
    let canceled = with(MessageStatus::Canceled, Some("all of them"));
    assert_eq!(stands().await, [canceled, pending.clone(), pending.clone(), pending]);
    assert_eq!(waits(100).await, all[1..]);
    let fresh = scene.raise(alert("light")).await;
    let new = messages(&scene).await.into_iter().find(|message| message.incident == Some(fresh)).expect("a page").id;
    let message = claim(&[all[3], new]).await.expect("it is stored").expect("they wait");
    let segment = Segment { ordinal: 1, total: 1, reference: 7 };
    scene.store.segment_sent(&message, "gsm", segment, scene.now()).await.expect("it is stored");
    let facts = scene.facts(fresh).await;
    assert!(facts.iter().any(|fact| matches!(fact, Fact::TextSent { .. })), "{facts:?}");
    // In the hour it counts as one.
    scene.store.queue_message(MessageId::generate(), None, by_hand(), scene.now()).await.expect("it is stored");
    // Beside it, the one that was given up after it was tried.
    assert_eq!((waits(3).await.len(), waits(2).await.len()), (3, 2), "the first pages go all the same");
    let report = Report {
        route: "gsm".into(),
        reference: 7,
        number: Some(ANN.into()),
        fate: Fate::Delivered,
        words: "received".into(),
    };
    assert_eq!(scene.store.status_report(report, scene.now()).await, Ok(true));
    let delivered = messages(&scene).await.into_iter().filter(|message| message.status == MessageStatus::Delivered);
    assert_eq!(delivered.map(|message| message.id).collect::<Vec<_>>(), [all[3], new]);
}

fn by_hand() -> NewMessage {
    NewMessage {
        contact: None,
        number: number(ANN),
        kind: MessageKind::Direct,
        at: Stage::default(),
        body: Some("by hand".into()),
        source: None,
        expires_at: evening() + TimeDelta::hours(1),
    }
}

async fn whoever_wants_to_is_told_when_shifts_begin_and_end(database: Database) {
    let scene = scene(&database).await;
    let person = async |name: &str, number_: &str, tell_shifts: bool| {
        let numbers = vec![number(number_).into()];
        let time_zone = "Europe/Rome".to_owned();
        let data = ContactData { name: name.into(), numbers, tell_shifts, time_zone, ..ContactData::default() };
        scene.store.by(author()).create_contact(data, scene.now()).await.expect("it is stored")
    };
    let people = [person("Ann", ANN, true).await, person("Ben", BEN, false).await];
    // Turns of twelve hours; it is eight in the morning, and Ann's turn has just ended.
    let rotation = Rotation {
        participants: people.to_vec(),
        start: "2027-01-14T20:00:00".parse::<NaiveDateTime>().expect("a time"),
        every: 12,
        unit: Unit::Hours,
    };
    let layer = Layer { name: "turns".into(), rotation, restrictions: Vec::new(), until: None };
    let schedule = Schedule { zone: Zone::UTC, layers: vec![layer] };
    let data = ScheduleData { name: "Web".into(), description: String::new(), schedule };
    scene.store.by(author()).create_schedule(data, scene.now()).await.expect("it is stored");
    scene.tick().await;
    assert_eq!(messages(&scene).await, [], "Ben does not want to know");
    scene.seconds_pass(12 * 3600);
    for _ in 0..2 {
        scene.tick().await;
    }
    scene.seconds_pass(12 * 3600);
    scene.tick().await;
    let told: Vec<(MessageKind, String, String)> = messages(&scene)
        .await
        .into_iter()
        .map(|message| (message.kind, message.to, message.body.unwrap_or_default()))
        .collect();
    let shift = |says: &str| (MessageKind::Shift, "Ann".to_owned(), says.to_owned());
    assert_eq!(
        told,
        [shift("You are on call now: Web, until 2027-01-16 09:00"), shift("You are no longer on call: Web. Next: Ben")]
    );
}

async fn what_is_old_is_forgotten_unless_it_is_about_something_open(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    scene.policy("night", texting(Target::Contact(ann)), true).await;
    let over = scene.raise(alert("disk")).await;
    let open = scene.raise(alert("fan")).await;
    send_all(&scene).await;
    let (done, new) = (comes(&scene, ANN, "6 1").await, comes(&scene, ANN, "4 2").await);
    let by = Actor::Texter { id: ann, name: "Ann".into(), text: done.id };
    scene.engine.resolve(over, by).await.expect("it is stored");
    scene.store.text_handled(done.id, "done".into(), None, scene.now()).await.expect("it is stored");
    // Identifiers are as old as they are, whatever the scene's clock says.
    let now = ringdown::clock::Clock::System.now();
    assert_eq!(scene.store.forget_texts(now - TimeDelta::days(1)).await, Ok(0));
    assert_eq!(scene.store.forget_texts(now + TimeDelta::days(1)).await, Ok(2));
    let left: Vec<_> = messages(&scene).await.into_iter().map(|message| message.incident).collect();
    assert_eq!(left, [Some(open)]);
    let left = scene.store.inbound_texts(None, 10).await.expect("an answer").items;
    assert_eq!(left.into_iter().map(|text| text.id).collect::<Vec<_>>(), [new.id], "nobody has acted on it yet");
    assert_eq!(scene.store.effects_of(done.id).await, Ok(Vec::new()));
    assert_eq!(scene.store.forget_texts(now + TimeDelta::days(1)).await, Ok(0));
}
