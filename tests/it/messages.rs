//! The queue of text messages, on both databases: what comes into it with a decision, in which order it goes, what
//! is claimed once, given up, limited and joined; and what comes in.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::{DateTime, TimeDelta, Utc};
use ringdown::{
    engine::{Applied, DirectText, Supposition, Texted, What},
    escalation::{Actor, Method, Policy, State, Step, Target},
    id::{ContactId, IncidentId, MessageId},
    store::{
        ContactData, Fact, Fate, InboundPart, Message, MessageFilter, MessageKind, MessageStatus, Report, Segment,
    },
};

use crate::{
    databases::{Database, on_both_databases},
    harness::author,
    scene::{NODE, Scene, alert, counted, evening, key, no_answer, number, once, step},
};

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234503";
const ROUTE: &str = "gsm";

on_both_databases! {
    a_decision_queues_its_texts_and_the_call_follows_when_the_wait_is_over
    the_first_page_of_an_incident_goes_before_anything_else_and_no_limit_holds_it_back
    what_waits_is_claimed_once_however_many_want_it
    what_was_being_sent_when_a_server_died_is_unknown_and_not_sent_again
    what_is_refused_is_tried_again_later_and_what_is_late_never
    what_nobody_needs_any_more_is_given_up_with_the_decision
    no_two_open_incidents_have_the_same_code
    reports_are_joined_to_the_parts_that_they_are_about
    a_number_that_wants_no_texts_gets_none_and_is_called_all_the_same
    whoever_misses_a_call_is_texted_once_where_the_step_says_so
    parts_become_a_text_once_in_whatever_order_they_come
    a_night_with_texts_goes_as_it_was_foretold
    a_night_on_which_no_text_leaves_goes_as_it_was_foretold_and_goes_on_when_one_does
}

/// A scene in which texts can be sent.
async fn scene(database: &Database) -> Scene {
    let scene = Scene::on(database).await;
    let engine = scene.engine.clone().with_texts(TimeDelta::minutes(30));
    Scene { engine, ..scene }
}

fn by(method: Method, targets: &[Target]) -> Policy {
    let mut policy = once(targets);
    policy.steps[0].method = method;
    policy
}

async fn all(scene: &Scene) -> Vec<Message> {
    let mut messages = scene.store.messages(MessageFilter::default(), 1000).await.expect("an answer").items;
    messages.reverse();
    messages
}

async fn waiting(scene: &Scene, per_hour: u64) -> Vec<Message> {
    scene.store.waiting_messages(per_hour, scene.now(), 1000).await.expect("an answer")
}

async fn claim(scene: &Scene, message: &Message) -> Option<Message> {
    let by = (NODE, ROUTE);
    scene.store.claim_message(message.id, by, "said".into(), scene.now()).await.expect("an answer")
}

/// Claims and sends it, as one part.
async fn send(scene: &Scene, message: &Message, reference: u8) {
    let message = claim(scene, message).await.expect("it waits");
    let segment = Segment { ordinal: 1, total: 1, reference };
    scene.store.segment_sent(&message, ROUTE, segment, scene.now()).await.expect("it is stored");
}

async fn status(scene: &Scene, id: MessageId) -> MessageStatus {
    scene.store.message(id).await.expect("an answer").expect("it is there").status
}

async fn text(scene: &Scene, to: &str, says: &str) -> MessageId {
    let direct = DirectText { to: Target::Number(number(to)), text: says.into(), worth: None, source: "a test".into() };
    match scene.engine.text(MessageId::generate(), direct).await.expect("it is stored") {
        Texted::Queued(ids) => ids[0],
        other => panic!("{other:?}"),
    }
}

async fn a_decision_queues_its_texts_and_the_call_follows_when_the_wait_is_over(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let wait = TimeDelta::seconds(120);
    scene.policy("night", by(Method::SmsThenCall { wait }, &[ann.clone(), ann]), true).await;
    let id = scene.raise(alert("disk")).await;
    let messages = all(&scene).await;
    assert_eq!(messages.len(), 1, "whoever is meant twice gets one: {messages:#?}");
    let page = &messages[0];
    assert_eq!((page.to.as_str(), page.number.as_str(), page.incident), ("Ann", ANN, Some(id)));
    assert_eq!((page.kind, page.first, page.status), (MessageKind::Page, true, MessageStatus::Pending));
    assert_eq!(page.expires_at, evening() + TimeDelta::minutes(30));
    assert!(scene.claimable().await.is_empty(), "nobody is called yet");
    assert_eq!(scene.store.next_due().await.expect("an answer"), Some(evening() + wait), "the wait is a row");
    assert!(scene.next_deadline().await);
    assert_eq!(scene.claimable().await.len(), 1);
    assert_eq!(all(&scene).await.len(), 1);
    let facts = scene.decided(id).await;
    assert_eq!(
        facts[1..],
        ["   0 round 1, step 1, attempt 1: texting Ann", " 120 round 1, step 1, attempt 1: calling Ann"]
    );
}

async fn the_first_page_of_an_incident_goes_before_anything_else_and_no_limit_holds_it_back(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let mut policy = by(Method::Sms, &[ann]);
    policy.steps[0].attempts = 2;
    scene.policy("night", policy, true).await;
    for n in 0..3 {
        text(&scene, ANN, &format!("by hand {n}")).await;
    }
    text(&scene, BEN, "to Ben").await;
    let disk = scene.raise(alert("disk")).await;
    let order = |messages: &[Message]| -> Vec<(Option<IncidentId>, Option<String>)> {
        messages.iter().map(|message| (message.incident, message.body.clone())).collect()
    };
    let hand = |n: u32| (None, Some(format!("by hand {n}")));
    let ben = (None, Some("to Ben".to_owned()));
    assert_eq!(order(&waiting(&scene, 10).await), [(Some(disk), None), hand(0), hand(1), hand(2), ben.clone()]);

    // Two in an hour: the first two of Ann's. What else is for her waits, but for what pages for the first time.
    for _ in 0..2 {
        let next = waiting(&scene, 2).await.remove(0);
        send(&scene, &next, 1).await;
    }
    assert_eq!(order(&waiting(&scene, 2).await), std::slice::from_ref(&ben));
    let fan = scene.raise(alert("fan")).await;
    assert_eq!(order(&waiting(&scene, 2).await), [(Some(fan), None), ben.clone()]);
    // The second try about the same thing is no first page.
    scene.seconds_pass(61);
    scene.tick().await;
    let second = all(&scene).await.into_iter().rfind(|message| message.incident == Some(disk)).expect("a second");
    assert!(!second.first, "{second:?}");
    assert_eq!(order(&waiting(&scene, 2).await), [(Some(fan), None), ben]);
    scene.seconds_pass(3600);
    assert!(waiting(&scene, 2).await.is_empty(), "by then all of it is late");
}

async fn what_waits_is_claimed_once_however_many_want_it(database: Database) {
    let scene = scene(&database).await;
    text(&scene, ANN, "once").await;
    let others: Vec<_> = futures_util::future::join_all((0..4).map(|_| database.store())).await;
    let message = waiting(&scene, 10).await.remove(0);
    let claims = others.iter().enumerate().map(|(n, store)| {
        let node = format!("node {n}");
        let message = message.clone();
        let now = scene.now();
        async move { store.claim_message(message.id, (&node, ROUTE), "once".into(), now).await.expect("an answer") }
    });
    let claimed: Vec<Message> = futures_util::future::join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1, "{claimed:?}");
    assert_eq!((claimed[0].status, claimed[0].attempts), (MessageStatus::Sending, 1));
    assert!(waiting(&scene, 10).await.is_empty());
    let late = scene.store.cancel_message(message.id, "Ann", scene.now()).await.expect("an answer");
    assert!(!late, "what is on its way cannot be held back");
}

async fn what_was_being_sent_when_a_server_died_is_unknown_and_not_sent_again(database: Database) {
    let scene = scene(&database).await;
    let (mine, theirs) = (text(&scene, ANN, "mine").await, text(&scene, BEN, "theirs").await);
    let messages = waiting(&scene, 10).await;
    claim(&scene, &messages[0]).await.expect("claimed");
    let by = ("another", ROUTE);
    scene.store.claim_message(theirs, by, "theirs".into(), scene.now()).await.expect("an answer").expect("claimed");
    let long_ago = scene.now() - TimeDelta::minutes(30);
    let left =
        async |node, stuck| scene.store.messages_left_behind(node, stuck, scene.now()).await.expect("it is stored");
    assert_eq!(left(None, long_ago).await, 0);
    assert_eq!(left(Some(NODE), long_ago).await, 1);
    assert_eq!(status(&scene, mine).await, MessageStatus::Unknown);
    assert_eq!(status(&scene, theirs).await, MessageStatus::Sending, "that one lives");
    // The other one never comes back.
    scene.seconds_pass(3600);
    assert_eq!(left(None, scene.now() - TimeDelta::minutes(30)).await, 1);
    assert_eq!(status(&scene, theirs).await, MessageStatus::Unknown);
    assert!(waiting(&scene, 10).await.is_empty());
    // Only a person has it sent again.
    let until = scene.now() + TimeDelta::minutes(5);
    assert!(scene.store.send_message_again(mine, "Ann", until, scene.now()).await.expect("it is stored"));
    assert!(!scene.store.send_message_again(mine, "Ann", until, scene.now()).await.expect("an answer"), "it waits");
    assert_eq!(waiting(&scene, 10).await[0].id, mine);
    let told = scene.store.message_timeline(mine).await.expect("an answer");
    assert!(told.iter().any(|line| matches!(line.entry.fact, Fact::TextUnknown { .. })), "{told:?}");
    assert!(matches!(told.last().expect("a line").entry.fact, Fact::TextAgain { .. }), "{told:?}");
}

async fn what_is_refused_is_tried_again_later_and_what_is_late_never(database: Database) {
    let scene = scene(&database).await;
    let id = text(&scene, ANN, "x").await;
    let message = waiting(&scene, 10).await.remove(0);
    claim(&scene, &message).await.expect("claimed");
    let next = scene.now() + TimeDelta::seconds(5);
    scene.store.message_refused(id, "no network".into(), next, scene.now()).await.expect("it is stored");
    assert!(waiting(&scene, 10).await.is_empty(), "not before its time");
    scene.seconds_pass(5);
    let again = waiting(&scene, 10).await.remove(0);
    assert_eq!(
        (again.attempts, again.failure.as_deref(), again.route.as_deref()),
        (1, Some("no network"), Some(ROUTE))
    );
    scene.seconds_pass(1800);
    assert!(claim(&scene, &again).await.is_none(), "it is too late");
    assert_eq!(scene.store.expire_messages(scene.now()).await, Ok(1));
    assert_eq!(scene.store.expire_messages(scene.now()).await, Ok(0));
    assert_eq!(status(&scene, id).await, MessageStatus::Expired);
}

async fn what_nobody_needs_any_more_is_given_up_with_the_decision(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    let there = scene.store.contact(ann).await.expect("an answer").expect("a contact");
    let data = ContactData { tell_when_over: true, ..there.data };
    scene.store.by(author()).update_contact(ann, there.version, data, scene.now()).await.expect("it is stored");
    scene.policy("night", by(Method::Sms, &[Target::Contact(ann), Target::Number(number(BEN))]), true).await;
    let id = scene.raise(alert("disk")).await;
    let messages = all(&scene).await;
    send(&scene, &messages[0], 1).await;
    let call = ringdown::id::CallId::generate();
    let by = Actor::Contact { id: ann, name: "Ann".into(), call };
    assert!(counted(&scene.engine.acknowledge(id, by).await.expect("it is stored")));
    assert_eq!(status(&scene, messages[0].id).await, MessageStatus::Sent);
    assert_eq!(status(&scene, messages[1].id).await, MessageStatus::Canceled);
    // Somebody else ends it: whoever had it is told, also where nobody is paged any more.
    let resolved = scene.engine.resolve(id, key()).await.expect("it is stored");
    assert!(matches!(resolved, Applied::Changed(_)));
    let over = all(&scene).await.pop().expect("a message");
    assert_eq!((over.kind, over.to.as_str(), over.status), (MessageKind::Over, "Ann", MessageStatus::Pending));
    assert_eq!(waiting(&scene, 10).await.len(), 1);
}

async fn no_two_open_incidents_have_the_same_code(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    scene.policy("night", by(Method::Sms, &[ann]), true).await;
    let alerts = (0..40).map(|n| scene.engine.raise(alert(&format!("disk {n}"))));
    for raised in futures_util::future::join_all(alerts).await {
        raised.expect("it is stored");
    }
    let open = scene.store.incidents(ringdown::store::IncidentFilter::default(), 100).await.expect("an answer").items;
    let mut codes = BTreeSet::new();
    for incident in &open {
        let code = scene.store.code_of(incident.id).await.expect("an answer").expect("a code");
        assert_eq!(scene.store.incident_of_code(code).await.expect("an answer"), Some(incident.id));
        codes.insert(code);
    }
    assert_eq!(codes, (1..=40).collect());
    // What is over keeps its code, and it means nothing any more; the next one has another.
    let first = scene.store.incident_of_code(1).await.expect("an answer").expect("open");
    scene.engine.resolve(first, key()).await.expect("it is stored");
    assert_eq!(scene.store.incident_of_code(1).await.expect("an answer"), None);
    let next = scene.raise(alert("fan")).await;
    assert_eq!(scene.store.code_of(next).await.expect("an answer"), Some(41));
}

fn report(reference: u8, to: &str, fate: Fate) -> Report {
    Report { route: ROUTE.into(), reference, number: Some(to.into()), fate, words: format!("{fate:?}") }
}

async fn reports_are_joined_to_the_parts_that_they_are_about(database: Database) {
    let scene = scene(&database).await;
    let known = async |report: Report| scene.store.status_report(report, scene.now()).await.expect("it is stored");
    let (one, other) = (text(&scene, ANN, "one").await, text(&scene, BEN, "other").await);
    for message in waiting(&scene, 10).await {
        send(&scene, &message, 7).await;
    }
    assert!(!known(report(8, ANN, Fate::Delivered)).await, "nothing of ours");
    assert!(known(report(7, "393331234503", Fate::Delivered)).await);
    assert_eq!(
        (status(&scene, one).await, status(&scene, other).await),
        (MessageStatus::Sent, MessageStatus::Delivered)
    );
    assert!(known(report(7, BEN, Fate::Delivered)).await, "it came twice");
    assert!(known(report(7, ANN, Fate::Trying)).await && known(report(7, ANN, Fate::Failed)).await);
    assert_eq!(status(&scene, one).await, MessageStatus::Failed);

    // Of two parts one has arrived before it was stored as sent.
    let long = text(&scene, ANN, "long").await;
    let message = claim(&scene, &waiting(&scene, 10).await.remove(0)).await.expect("claimed");
    assert!(!known(report(20, ANN, Fate::Delivered)).await);
    for (ordinal, reference) in [(1, 20), (2, 21)] {
        let segment = Segment { ordinal, total: 2, reference };
        scene.store.segment_sent(&message, ROUTE, segment, scene.now()).await.expect("it is stored");
    }
    assert_eq!(status(&scene, long).await, MessageStatus::Sent, "the other has not");
    assert_eq!(scene.store.segments_taken(long, ROUTE).await.expect("an answer"), [1, 2]);
    assert!(known(report(21, ANN, Fate::Delivered)).await);
    assert_eq!(status(&scene, long).await, MessageStatus::Delivered);
    // The same reference again, for a text after it: the last one is meant.
    let next = text(&scene, ANN, "next").await;
    send(&scene, &waiting(&scene, 10).await[0], 21).await;
    assert!(known(report(21, ANN, Fate::Delivered)).await);
    assert_eq!(status(&scene, next).await, MessageStatus::Delivered);
    assert_eq!(scene.store.forget_reports(scene.now() + TimeDelta::days(1)).await, Ok(1), "the stray one");
}

async fn a_number_that_wants_no_texts_gets_none_and_is_called_all_the_same(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    scene.policy("night", by(Method::CallAndSms, &[ann]), true).await;
    for _ in 0..2 {
        scene.store.opt_out(&number(ANN), "Ann", scene.now()).await.expect("it is stored");
    }
    let opted_out = scene.store.opted_out().await.expect("an answer");
    assert_eq!(opted_out.iter().map(|opted_out| &opted_out.number).collect::<Vec<_>>(), [&number(ANN)]);
    let id = scene.raise(alert("disk")).await;
    let page = all(&scene).await.remove(0);
    assert_eq!(
        (page.status, page.failure.as_deref()),
        (MessageStatus::Failed, Some("texts to this number are turned off"))
    );
    assert_eq!(scene.claimable().await.len(), 1);
    assert!(scene.facts(id).await.iter().any(|fact| matches!(fact, Fact::TextFailed { .. })));
    let rules = ringdown::route::destination::Rules { allow: vec!["+39".into()], ..Default::default() };
    let findings = scene.engine.findings(&rules).await.expect("an answer");
    assert!(
        findings.iter().any(|finding| finding.kind == "texts_turned_off" && finding.subject == "Ann"),
        "{findings:?}"
    );
    assert_eq!(scene.store.opt_in(&number(ANN), "Ann", scene.now()).await, Ok(true));
    assert_eq!(scene.store.opt_in(&number(ANN), "Ann", scene.now()).await, Ok(false));
}

async fn whoever_misses_a_call_is_texted_once_where_the_step_says_so(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &["200", ANN]).await);
    let missed = Step { text_if_missed: true, ..step(std::slice::from_ref(&ann), 2, 60, 60) };
    let quiet = step(&[Target::Number(number(BEN))], 1, 60, 60);
    scene.policy("night", Policy { steps: vec![missed, quiet], ..Policy::default() }, true).await;
    let id = scene.raise(alert("disk")).await;
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await);
    // Her next number rings: not missed yet.
    assert!(scene.end(&call, no_answer(), Some((number(ANN), 1))).await);
    assert!(all(&scene).await.is_empty());
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await && scene.end(&call, no_answer(), None).await);
    let texts = all(&scene).await;
    assert_eq!(texts.len(), 1);
    let text = &texts[0];
    assert_eq!((text.kind, text.incident, text.number.as_str()), (MessageKind::MissedCall, Some(id), ANN));
    send(&scene, text, 1).await;
    scene.nobody_wakes_up().await;
    assert_eq!(all(&scene).await.len(), 1, "missed again, and the step that says nothing of it");
}

/// Parts joined by a bar.
fn join(parts: &BTreeMap<u8, Vec<u8>>, total: u8) -> String {
    let part = |number| parts.get(&number).map_or("?".into(), |body| String::from_utf8_lossy(body));
    (1..=total).map(part).collect::<Vec<_>>().join("|")
}

async fn parts_become_a_text_once_in_whatever_order_they_come(database: Database) {
    let scene = scene(&database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    let take = async |series: Option<&str>, number: u8, total: u8, says: &str| {
        let part = InboundPart {
            digest: format!("{series:?} {number} {says}"),
            route: ROUTE.into(),
            sender: Some(ANN.into()),
            series: series.map(str::to_owned),
            number,
            total,
            body: says.into(),
        };
        scene.store.take_in(part, join, scene.now()).await.expect("it is stored");
    };
    let came = async || -> Vec<(String, bool, Option<ContactId>)> {
        let texts = scene.store.inbound_texts(None, 100).await.expect("an answer").items;
        texts.into_iter().rev().map(|text| (text.body, text.whole, text.contact)).collect()
    };
    for _ in 0..2 {
        take(None, 1, 1, "4").await;
        take(Some("a"), 2, 3, "two").await;
        take(Some("a"), 1, 3, "one").await;
    }
    assert_eq!(came().await, [("4".to_owned(), true, Some(ann))]);
    take(Some("a"), 3, 3, "three").await;
    take(Some("a"), 3, 3, "three").await;
    assert_eq!(came().await[1..], [("one|two|three".to_owned(), true, Some(ann))]);
    // The reference comes again for another text; one of its parts never does.
    take(Some("a"), 1, 3, "another").await;
    let patience = |at: DateTime<Utc>| at - TimeDelta::hours(1);
    scene.store.take_what_is_incomplete(patience(scene.now()), join, scene.now()).await.expect("it is stored");
    assert_eq!(came().await.len(), 2);
    scene.seconds_pass(3601);
    for _ in 0..2 {
        scene.store.take_what_is_incomplete(patience(scene.now()), join, scene.now()).await.expect("it is stored");
    }
    assert_eq!(came().await[2..], [("another|?|?".to_owned(), false, Some(ann))]);
    let unhandled = scene.store.unhandled_texts(10).await.expect("an answer");
    assert_eq!(unhandled.len(), 3);
    let handled = async || scene.store.text_handled(unhandled[0].id, "done".into(), None, scene.now()).await;
    assert_eq!((handled().await, handled().await), (Ok(true), Ok(false)), "by one server");
    assert_eq!(scene.store.unhandled_texts(10).await.expect("an answer").len(), 2);
}

async fn a_night_with_texts_goes_as_it_was_foretold(database: Database) {
    let scene = scene(&database).await;
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let ben = Target::Contact(scene.contact("Ben", &["201"]).await);
    let wait = TimeDelta::seconds(30);
    let policy = Policy {
        repeat: 1,
        steps: vec![
            Step { method: Method::Sms, ..step(&[ann.clone(), ben.clone()], 2, 60, 50) },
            Step { method: Method::SmsThenCall { wait }, ..step(&[ann, ben], 1, 60, 90) },
        ],
        ..Policy::default()
    };
    scene.policy("night", policy.clone(), true).await;
    let content = alert("disk").content;
    let supposed = Supposition { at: evening(), content, turn: 0, rings: TimeDelta::seconds(20), answers: Vec::new() };
    let simulation = scene.engine.simulate(Some("night"), &policy, &supposed).await.expect("an answer");
    let id = scene.raise(alert("disk")).await;
    scene.nobody_wakes_up().await;
    let foretold: Vec<String> = simulation
        .happenings
        .iter()
        .filter_map(|happening| match &happening.what {
            What::Fact(fact) => Some(format!("{:>4} {}", (happening.at - evening()).num_seconds(), fact.sentence())),
            What::Call { .. } => None,
        })
        .collect();
    let happened = scene.decided(id).await;
    assert_eq!(foretold[1..], happened[1..]);
    assert!(happened.iter().any(|line| line.ends_with("step 1, attempt 2: texting Ann")), "{happened:#?}");
    assert!(happened.iter().any(|line| line.contains("Ben was not texted the alert: there is no number")));
    assert!(matches!(simulation.state, State::Exhausted { .. }));
    assert_eq!(simulation.state, scene.state(id).await);
}

async fn a_night_on_which_no_text_leaves_goes_as_it_was_foretold_and_goes_on_when_one_does(database: Database) {
    let (scene, leave) = (scene(&database).await, Arc::new(AtomicBool::new(false)));
    let leaves = Arc::clone(&leave);
    let engine = scene.engine.clone().with_outages(Arc::new(move |_| leaves.load(Ordering::Relaxed)));
    let scene = Scene { engine, ..scene };
    let ann = Target::Contact(scene.contact("Ann", &[ANN]).await);
    let wait = TimeDelta::seconds(120);
    let policy = Policy {
        steps: vec![
            Step { method: Method::SmsThenCall { wait }, ..step(std::slice::from_ref(&ann), 1, 60, 60) },
            Step { method: Method::Sms, ..step(&[ann], 2, 60, 60) },
        ],
        ..Policy::default()
    };
    scene.policy("night", policy.clone(), true).await;
    let content = alert("disk").content;
    let supposed = Supposition { at: evening(), content, turn: 0, rings: TimeDelta::seconds(20), answers: Vec::new() };
    let simulation = scene.engine.simulate(Some("night"), &policy, &supposed).await.expect("an answer");
    assert!(simulation.cut, "it is held for longer than is foretold");

    let id = scene.raise(alert("disk")).await;
    assert_eq!(scene.pending().await.len(), 1, "the call does not wait for a text that does not leave");
    scene.nobody_answers().await;
    for _ in 0..20 {
        assert!(scene.next_deadline().await);
    }
    let facts = simulation.happenings.iter().filter_map(|happening| match &happening.what {
        What::Fact(fact) => Some(format!("{:>4} {}", (happening.at - evening()).num_seconds(), fact.sentence())),
        What::Call { .. } => None,
    });
    let happened = scene.decided(id).await;
    assert_eq!(facts.collect::<Vec<_>>()[1..], happened[1..]);
    let last = "  60 round 1, step 2: only texts, and no text can leave; passed over";
    assert_eq!(happened.last().map(String::as_str), Some(last));
    // The text of the first step waits all the while, once.
    assert_eq!(all(&scene).await.len(), 1);

    leave.store(true, Ordering::Relaxed);
    assert!(scene.next_deadline().await);
    let page = waiting(&scene, 10).await;
    assert_eq!(page.len(), 1, "what waits is not queued twice");
    send(&scene, &page[0], 1).await;
    scene.nobody_wakes_up().await;
    let attempts: Vec<String> =
        scene.decided(id).await.into_iter().filter(|line| line.contains("step 2, attempt")).collect();
    let told = |second, attempt| format!("{second:>4} round 1, step 2, attempt {attempt}: texting Ann");
    assert_eq!(attempts, [told(260, 1), told(320, 2)], "both attempts are there still");
    assert!(matches!(scene.state(id).await, State::Exhausted { .. }));
}
