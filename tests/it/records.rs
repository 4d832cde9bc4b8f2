//! What the store keeps, on both databases: it comes back whole, as it went in, and in order.

use crate::harness::author;
use ringdown::{
    engine::{Alert, PolicyChoice},
    escalation::{Held, Phase, Position, Stage, State, Target},
    store::{
        Call, CallFilter, CallStatus, Change, Contact, ContactData, Content, Entry, Error, Fact, Heard, IncidentFilter,
        KillSwitch, NewIncident, Said, Store,
    },
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, evening, held, key, member, new_incident, no_answer, number, once},
};

on_both_databases! {
    the_kill_switch_is_remembered
    a_timeline_is_in_the_order_of_its_writing
    pages_are_complete_and_without_duplicates
    texts_come_back_as_they_went_in
    a_nul_is_kept_or_refused_but_never_cut_off
    an_incident_comes_back_as_it_was
    contacts_and_policies_are_brought_up_to_date
    a_session_writes_down_what_was_heard_and_pressed
    what_is_spoken_while_somebody_takes_it_is_interrupted
    calls_are_counted_by_line_prefix_and_in_all
    migrations_run_once
}

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";

fn to(text: &str) -> Target {
    Target::Number(number(text))
}

async fn scene_with(database: &Database, targets: &[Target]) -> Scene {
    let scene = Scene::on(database).await;
    scene.policy("usual", once(targets), true).await;
    scene
}

/// The only call that waits.
async fn only_pending(scene: &Scene) -> Call {
    let mut pending = scene.pending().await;
    assert_eq!(pending.len(), 1, "{pending:?}");
    pending.remove(0)
}

async fn the_kill_switch_is_remembered(database: Database) {
    let store = database.store().await;
    assert_eq!(store.kill_switch().await, Ok(KillSwitch::default()));
    assert!(!KillSwitch::default().stopped);
    for stopped in [true, false, true] {
        let switch = KillSwitch { stopped, by: Some("Ann 🛑".into()), at: Some(evening()) };
        store.by(author()).set_kill_switch(switch.clone(), evening()).await.expect("it is stored");
        assert_eq!(store.kill_switch().await, Ok(switch.clone()));
        assert_eq!(database.store().await.kill_switch().await, Ok(switch), "after a restart, too");
    }
}

async fn a_timeline_is_in_the_order_of_its_writing(database: Database) {
    let store = database.store().await;
    let new = new_incident("disk");
    let id = new.id;
    store.raise(new, held(Vec::new())).await.expect("it is stored");
    let line = |n: usize| Entry {
        incident: Some(id),
        call: None,
        message: None,
        // The clock goes backwards: the order of writing counts.
        at: evening() - chrono::TimeDelta::seconds(i64::try_from(n).expect("a small number")),
        fact: Fact::CallWaits { why: n.to_string() },
    };
    // More than one statement takes, then one by one.
    store.note((0..2500).map(line).collect()).await.expect("it is stored");
    for n in 2500..2520 {
        store.note(vec![line(n)]).await.expect("it is stored");
    }
    let mut read = Vec::new();
    loop {
        let page = store.timeline(id, read.last().map(|event: &ringdown::store::TimelineEvent| event.id), 999).await;
        let page = page.expect("an answer");
        if page.is_empty() {
            break;
        }
        read.extend(page);
        assert!(read.len() <= 2520, "pages that never end");
    }
    let read: Vec<_> = read.into_iter().map(|event| event.entry).collect();
    assert_eq!(read, (0..2520).map(line).collect::<Vec<_>>());
    store.note(Vec::new()).await.expect("nothing to write is no fault");
}

async fn pages_are_complete_and_without_duplicates(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let mut expected = Vec::new();
    for n in 0..10 {
        let id = scene.raise(alert(&format!("key {n}"))).await;
        let call = only_pending(&scene).await;
        assert!(scene.claim(&call).await);
        assert!(scene.end(&call, no_answer(), None).await);
        expected.push((id, call.id));
    }
    expected.reverse();
    for limit in [1, 3, 5, 10, 11] {
        let (mut incidents, mut before) = (Vec::new(), None);
        loop {
            let filter = IncidentFilter { before, ..IncidentFilter::default() };
            let page = scene.store.incidents(filter, limit).await.expect("an answer");
            assert!(page.items.len() as u64 <= limit && !page.items.is_empty());
            incidents.extend(page.items.into_iter().map(|incident| incident.id));
            assert!(incidents.len() < 1000, "pages that never end");
            // Whatever comes in meanwhile is newer, and disturbs nothing.
            let newer = scene.raise(alert("newer")).await;
            scene.engine.resolve(newer, key()).await.expect("it is stored");
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        incidents.retain(|id| expected.iter().any(|(known, _)| known == id));
        assert_eq!(incidents, expected.iter().map(|(id, _)| *id).collect::<Vec<_>>(), "pages of {limit}");

        let (mut calls, mut before) = (Vec::new(), None);
        loop {
            let filter = CallFilter { before, status: Some(CallStatus::NoAnswer), ..CallFilter::default() };
            let page = scene.store.calls(filter, limit).await.expect("an answer");
            calls.extend(page.items.into_iter().map(|call| call.id));
            assert!(calls.len() < 1000, "pages that never end");
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(calls, expected.iter().map(|(_, id)| *id).collect::<Vec<_>>(), "pages of {limit}");
    }

    // Each filter by itself.
    let incidents = async |filter| scene.store.incidents(filter, 1000).await.expect("an answer").items;
    let escalating = IncidentFilter { state: Some("escalating".into()), ..IncidentFilter::default() };
    assert_eq!(incidents(escalating).await.len(), 10);
    let keyed = IncidentFilter { dedup_key: Some("key 4".into()), ..IncidentFilter::default() };
    assert_eq!(incidents(keyed).await.iter().map(|incident| incident.id).collect::<Vec<_>>(), [expected[5].0]);
    let of_none = IncidentFilter { policy: Some("another".into()), ..IncidentFilter::default() };
    assert_eq!(incidents(of_none).await, []);
    let calls = async |filter| scene.store.calls(filter, 1000).await.expect("an answer").items;
    let of_one = CallFilter { incident: Some(expected[5].0), ..CallFilter::default() };
    assert_eq!(calls(of_one).await.iter().map(|call| call.id).collect::<Vec<_>>(), [expected[5].1]);
    let to_ben = CallFilter { number: Some(number(BEN)), ..CallFilter::default() };
    assert_eq!(calls(to_ben).await, []);
}

/// What people and machines put into alerts.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        "plain",
        "trailing space ",
        "\ttabs\r\nand lines\n",
        "'; DROP TABLE incident; --",
        "100 % \\ _ \"quoted\"",
        "🔥💾 Festplatte voll 👩🏽‍🚒",
        "e\u{301} is not é",
        "مرحبا \u{202e}backwards",
        "\u{feff}\u{200b}\u{fffd}\u{10ffff}",
        "\u{1}\u{7}\u{1b}[31m\u{7f}",
        "{\"json\": [1, null]}",
        "$1 ?1 :name {{ template }}",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    texts.push("long 🔥 ".repeat(150_000));
    texts
}

async fn texts_come_back_as_they_went_in(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    for (n, text) in texts().into_iter().enumerate() {
        // What stands in an index must fit into it: PostgreSQL takes a few thousand bytes.
        let short = format!("{n}{}", text.chars().take(200).collect::<String>());
        let mut member = member(&short, &text, true);
        member.summary.clone_from(&text);
        member.labels = [(text.clone(), text.clone())].into();
        let content = Content {
            summary: text.clone(),
            details: text.clone(),
            // The severity of what fires.
            severity: text.clone(),
            labels: [(text.clone(), text.clone())].into(),
            truncated: 7,
            members: vec![member],
        };
        let raised = Alert {
            dedup_key: short.clone(),
            policy: PolicyChoice::Default,
            source: text.clone(),
            content: content.clone(),
            all_over: false,
            schedule: None,
            id: None,
        };
        let id = scene.raise(raised).await;
        let incident = scene.store.open_incident(&short).await.expect("an answer").expect("it is open");
        assert_eq!((incident.id, &incident.source), (id, &text));
        assert_eq!(incident.content, content, "text {n}");
        let facts = scene.facts(id).await;
        let raised = Fact::Raised { source: text.clone(), summary: text, policy: Some("usual".into()) };
        assert!(facts.contains(&raised), "text {n}");
    }
}

/// PostgreSQL cannot hold a NUL in a text, SQLite can. Whoever lets one through to here (the API does
/// not) hears of it, and nothing is half done.
async fn a_nul_is_kept_or_refused_but_never_cut_off(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let mut with_nul = alert("nul");
    with_nul.content.summary = "before\0after".into();
    let raised = scene.engine.raise(with_nul).await;
    let open = scene.store.open_incident("nul").await.expect("an answer");
    if database.url.starts_with("sqlite:") {
        assert!(raised.is_ok());
        assert_eq!(open.map(|incident| incident.content.summary).as_deref(), Some("before\0after"));
    } else {
        assert!(matches!(raised, Err(Error::Unavailable(_))), "{raised:?}");
        assert_eq!((open, scene.pending().await), (None, Vec::new()));
    }
    scene.raise(alert("the next one")).await;
}

async fn an_incident_comes_back_as_it_was(database: Database) {
    let store = database.store().await;
    let at = Stage { run: 1, round: 2, step: 3 };
    let due_at = evening() + chrono::TimeDelta::microseconds(123_456);
    let by = ringdown::escalation::Actor::Number { number: number(ANN), call: ringdown::id::CallId::generate() };
    for (state, name, due) in [
        (State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None }, "held", None),
        (State::Held { reason: Held::Silence, at, until: Some(due_at) }, "held", Some(due_at)),
        (State::Scheduled { due_at, expires_at: due_at }, "scheduled", Some(due_at)),
        (
            State::Escalating { at: Position { stage: at, attempt: 4 }, due_at, phase: Phase::Texted },
            "escalating",
            Some(due_at),
        ),
        (State::Acknowledged { by: by.clone(), at, until: Some(due_at) }, "acknowledged", Some(due_at)),
        (State::Acknowledged { by, at, until: None }, "acknowledged", None),
        (State::Exhausted { at, until: None }, "exhausted", None),
        (State::Expired, "expired", None),
        (State::Resolved, "resolved", None),
    ] {
        let policy = once(&[to(ANN)]);
        let new = NewIncident {
            policy_name: Some("usual".into()),
            policy: Some(policy.clone()),
            ..new_incident(&format!("{state:?}"))
        };
        let id = new.id;
        let change = Change { state: state.clone(), now: due_at, ..held(Vec::new()) };
        store.raise(new, change).await.expect("it is stored");
        let incident = store.incident(id).await.expect("an answer").expect("it is there");
        assert_eq!((&incident.state, incident.state_name(), incident.due_at), (&state, name, due));
        assert_eq!((incident.policy_name.as_deref(), incident.policy), (Some("usual"), Some(policy)));
        assert_eq!((incident.raised_at, incident.updated_at, incident.version), (due_at, due_at, 1));
        let open = store.open_incident(&format!("{state:?}")).await.expect("an answer");
        let over = matches!(state, State::Resolved | State::Expired);
        assert_eq!(open.is_some(), !over, "{state:?}");
        let named = IncidentFilter { state: Some(name.into()), ..IncidentFilter::default() };
        let listed = store.incidents(named, 10).await.expect("an answer").items;
        assert!(listed.iter().any(|incident| incident.id == id), "{name}");
    }
    // The most overdue first; and only what is due.
    let later = due_at + chrono::TimeDelta::seconds(5);
    let new = new_incident("later");
    let id = new.id;
    let state = State::Escalating { at: Position { stage: at, attempt: 1 }, due_at: later, phase: Phase::Reached };
    store.raise(new, Change { state, ..held(Vec::new()) }).await.expect("it is stored");
    let due = async |now, limit| store.due_incidents(now, limit).await.expect("an answer");
    assert_eq!(store.next_due().await, Ok(Some(due_at)));
    assert_eq!(due(due_at - chrono::TimeDelta::microseconds(1), 10).await, []);
    assert_eq!(due(due_at, 10).await.len(), 4);
    assert_eq!(due(later, 10).await.last(), Some(&id));
    assert_eq!(due(later, 4).await.len(), 4);
}

async fn contacts_and_policies_are_brought_up_to_date(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = scene.contact("Ann", &[ANN, BEN, "8123"]).await;
    let ben = scene.contact("Ben", &[]).await;
    assert_ne!(ann, ben);
    let known = async |id| scene.store.contact(id).await.expect("an answer");
    let expected = |numbers: &[&str], enabled, version| Contact {
        id: ann,
        data: ContactData {
            name: "Ann".into(),
            enabled,
            numbers: numbers.iter().map(|text| number(text).into()).collect(),
            ..ContactData::default()
        },
        pin_hash: None,
        version,
        created_at: evening(),
        updated_at: evening(),
    };
    assert_eq!(known(ann).await, Some(expected(&[ANN, BEN, "8123"], true, 1)));
    assert_eq!(scene.change_contact("Ann", false, &[BEN]).await, ann, "the same name is the same person");
    assert_eq!(known(ann).await, Some(expected(&[BEN], false, 2)));
    assert_eq!(known(ben).await.expect("Ben stays").data.name, "Ben");
    assert_eq!(known(ringdown::id::ContactId::generate()).await, None);

    assert_eq!(scene.store.default_policy().await, Ok(None));
    scene.policy("first", once(&[to(ANN)]), true).await;
    scene.policy("second", once(&[to(BEN)]), false).await;
    let default = async || scene.store.default_policy().await.expect("an answer").map(|policy| policy.name);
    assert_eq!(default().await.as_deref(), Some("first"));
    scene.policy("second", once(&[]), true).await;
    assert_eq!(default().await.as_deref(), Some("second"));
    let second = scene.store.policy("second").await.expect("an answer").expect("it is there");
    assert_eq!((&*second.name, second.policy), ("second", once(&[])));
    assert_eq!(scene.store.policy("third").await, Ok(None));
}

async fn a_session_writes_down_what_was_heard_and_pressed(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let first = scene.raise(alert("disk")).await;
    let second = scene.raise(alert("memory")).await;
    let call = only_pending(&scene).await;
    assert!(scene.claim(&call).await);
    scene.store.call_answered(&call, evening()).await.expect("it is stored");
    scene.store.speaking(&call, first, evening()).await.expect("it is stored");
    for digit in ['4', '#', '4'] {
        scene.store.digit(call.id, digit, evening()).await.expect("it is stored");
    }
    scene.store.heard(call.id, 1500, false).await.expect("it is stored");
    assert_eq!(scene.call(call.id).await.heard, Heard { ms: 1500, whole: false, digits: "4#4".into() });
    scene.store.heard(call.id, 700, true).await.expect("it is stored");
    scene.store.heard(call.id, 1, false).await.expect("it is stored");
    assert_eq!(scene.call(call.id).await.heard, Heard { ms: 2201, whole: true, digits: "4#4".into() });

    let actor = ringdown::escalation::Actor::Number { number: number(ANN), call: call.id };
    scene.engine.acknowledge(second, actor).await.expect("an answer");
    let session = scene.store.session(call.id).await.expect("an answer").expect("it is there");
    let said: Vec<_> = session.carried.iter().map(|carried| (carried.incident, carried.said)).collect();
    assert_eq!(said, [(first, Said::Speaking), (second, Said::Acknowledged)]);
    assert_eq!((session.call.id, session.language), (call.id, None));
    assert!(scene.store.undecided(call.id).await.expect("an answer").is_empty());
    scene.store.said(call.id, first, Said::Unanswered).await.expect("it is stored");
    assert_eq!(scene.store.undecided(call.id).await.expect("an answer"), [first]);
    assert!(scene.store.session(ringdown::id::CallId::generate()).await.expect("an answer").is_none());

    let told = |facts: &[Fact]| facts.iter().map(Fact::sentence).collect::<Vec<_>>();
    let facts = scene.facts(first).await;
    assert!(told(&facts).ends_with(&["key 4 is pressed".into(), "key # is pressed".into(), "key 4 is pressed".into()]));
    assert!(facts.contains(&Fact::Speaking { to: ANN.into() }));
    assert!(!scene.facts(second).await.contains(&Fact::Speaking { to: ANN.into() }), "the second was not spoken");
}

async fn what_is_spoken_while_somebody_takes_it_is_interrupted(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let first = scene.raise(alert("disk")).await;
    let second = scene.raise(alert("memory")).await;
    let call = only_pending(&scene).await;
    let interrupted = async || scene.store.interrupted_calls().await.expect("an answer");
    assert!(scene.claim(&call).await);
    scene.store.call_answered(&call, evening()).await.expect("it is stored");
    scene.store.speaking(&call, first, evening()).await.expect("it is stored");
    scene.engine.acknowledge(second, key()).await.expect("an answer");
    assert_eq!(interrupted().await, [], "the second is not being spoken");
    scene.engine.acknowledge(first, key()).await.expect("an answer");
    assert_eq!(interrupted().await, [(call.id, first)]);
    scene.store.said(call.id, first, Said::Taken).await.expect("it is stored");
    assert_eq!(interrupted().await, [], "they were told");
    scene.store.speaking(&call, first, evening()).await.expect("it is stored");
    scene.end(&call, no_answer(), None).await;
    assert_eq!(interrupted().await, [], "nobody is on the line any more");
}

async fn calls_are_counted_by_line_prefix_and_in_all(database: Database) {
    let scene = Scene::on(&database).await;
    for (n, to_whom) in [ANN, ANN, BEN, "+4930123456", "8123"].into_iter().enumerate() {
        scene.policy("usual", once(&[to(to_whom)]), true).await;
        scene.raise(alert(&format!("key {n}"))).await;
        let call = only_pending(&scene).await;
        scene.seconds_pass(1);
        assert!(scene.claim(&call).await);
        assert!(scene.end(&call, no_answer(), None).await);
    }
    scene.raise(alert("not dialled yet")).await;
    let count = async |after, line: &str, prefix| {
        let since = evening() + chrono::TimeDelta::seconds(after);
        let lines = scene.store.dialed_on(&[line, "8125"], since).await.expect("an answer");
        let dialed = async |prefix| scene.store.dialed_since(since, prefix).await.expect("an answer");
        assert!(lines.keys().all(|known| known == line));
        (lines.get(line).copied(), dialed(Some(prefix)).await, dialed(None).await)
    };
    assert_eq!(count(0, ANN, "+39").await, (Some(2), 3, 5));
    assert_eq!(count(1, ANN, "+393").await, (Some(1), 2, 4), "since, not at");
    assert_eq!(count(0, "8123", "8").await, (Some(1), 1, 5));
    assert_eq!(count(0, "8124", "+49301").await, (None, 1, 5));
    assert_eq!(count(5, ANN, "+39").await, (None, 0, 0));
}

async fn migrations_run_once(database: Database) {
    assert!(Store::migrate(&database.url).await.expect("it migrates") > 0);
    assert_eq!(Store::migrate(&database.url).await, Ok(0));
    let scene = scene_with(&database, &[to(ANN)]).await;
    let id = scene.raise(alert("disk")).await;
    assert_eq!(Store::migrate(&database.url).await, Ok(0));
    let again = database.store().await;
    again.ping(scene.now()).await.expect("it answers");
    assert_eq!(again.incident(id).await.expect("an answer").map(|incident| incident.id), Some(id));
    let nowhere = Store::open("postgres://nobody@127.0.0.1:1/nothing").await;
    assert!(matches!(nowhere, Err(Error::Unavailable(_))));
}
