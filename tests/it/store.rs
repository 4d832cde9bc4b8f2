//! What the store promises, on both databases: every race has one winner, nothing is lost and nothing
//! is half done.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::future::join_all;
use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use ringdown::{
    engine::{Applied, Raised},
    escalation::{Calls, Position, Stage, State, Target},
    id::{CallId, IncidentId},
    store::{
        Call, CallFilter, CallStatus, Change, Content, Entry, Error, Fact, IncidentFilter, NewCall, Said, Store, line,
    },
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{
        NODE, Scene, alert, counted, evening, first_attempt, group, held, key, member, new_incident, no_answer,
        no_route, number, once,
    },
};

on_both_databases! {
    a_hundred_alerts_of_one_key_at_once_open_one_incident
    an_acknowledgement_is_won_by_one
    a_decision_on_an_old_version_changes_nothing
    members_of_a_group_come_and_go_in_any_order
    a_call_is_claimed_by_one_of_many
    of_calls_claimed_together_each_line_gets_one
    a_storm_to_one_country_hides_no_call_to_another
    a_line_has_one_call_at_a_time
    a_line_has_one_call_at_a_time_on_several_servers
    a_second_incident_joins_the_call_that_is_under_way
    an_incident_never_joins_its_own_call_and_nothing_joins_a_closed_one
    an_acknowledgement_gives_up_the_calls_that_wait_and_no_others
    an_ended_call_hands_on_to_the_next_number_what_still_escalates
    a_call_goes_forward_only
    what_became_of_a_round
    one_bad_write_among_many_undoes_itself_only
}

fn to(text: &str) -> Target {
    Target::Number(number(text))
}

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";

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

async fn carried(scene: &Scene, call: &Call) -> Vec<IncidentId> {
    scene.store.carried_by(call.id).await.expect("an answer").into_iter().map(|carried| carried.incident).collect()
}

async fn a_hundred_alerts_of_one_key_at_once_open_one_incident(database: Database) {
    // Three servers on one database.
    let scenes = [scene_with(&database, &[to(ANN)]).await, Scene::on(&database).await, Scene::on(&database).await];
    let raises = (0..100).map(|i| scenes[i % 3].engine.raise(alert("disk")));
    let raised: Vec<Raised> = join_all(raises).await.into_iter().map(|raised| raised.expect("it is stored")).collect();

    let opened: Vec<_> = raised.iter().filter(|raised| matches!(raised, Raised::Opened(_))).collect();
    assert_eq!(opened.len(), 1, "{raised:?}");
    let Raised::Opened(id) = *opened[0] else { unreachable!() };
    assert!(raised.iter().all(|raised| [Raised::Opened(id), Raised::Updated(id)].contains(raised)), "{raised:?}");
    let all = scenes[0].store.incidents(IncidentFilter::default(), 1000).await.expect("an answer").items;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].version, 100, "every alert has left its mark");
    let facts = scenes[0].facts(id).await;
    let repeated = facts.iter().filter(|fact| matches!(fact, Fact::Repeated { .. })).count();
    assert_eq!(repeated, 99, "{facts:?}");
    assert_eq!(scenes[0].pending().await.len(), 1, "one call, not a hundred");

    // Once it is over, the same key is a new incident.
    scenes[1].engine.resolve(id, key()).await.expect("it is stored");
    let again = scenes[2].raise(alert("disk")).await;
    assert_ne!(again, id);
}

async fn an_acknowledgement_is_won_by_one(database: Database) {
    let scenes = [scene_with(&database, &[to(ANN)]).await, Scene::on(&database).await];
    let id = scenes[0].raise(alert("disk")).await;
    let actors = (0..40).map(|n| ringdown::escalation::Actor::Key(format!("person {n}")));
    let said = actors.enumerate().map(|(i, by)| scenes[i % 2].engine.acknowledge(id, by));
    let applied: Vec<Applied> = join_all(said).await.into_iter().map(|applied| applied.expect("an answer")).collect();

    let winners: Vec<_> = applied.iter().filter(|applied| counted(applied)).collect();
    assert_eq!(winners.len(), 1);
    let (Applied::Changed(won), State::Acknowledged { by, .. }) = (winners[0], scenes[0].state(id).await) else {
        panic!("it is taken")
    };
    assert!(matches!(&won.state, State::Acknowledged { by: winner, .. } if *winner == by));
    for applied in &applied {
        // Everybody else is told who has it.
        let (Applied::Changed(stands) | Applied::Unchanged(stands)) = applied else { panic!("it is known") };
        assert!(matches!(&stands.state, State::Acknowledged { by: winner, .. } if *winner == by));
    }
    let taken: Vec<_> =
        scenes[0].facts(id).await.into_iter().filter(|fact| matches!(fact, Fact::Acknowledged { .. })).collect();
    assert_eq!(taken, [Fact::Acknowledged { by: by.name().into() }]);
}

async fn pending(store: &Store) -> Vec<Call> {
    let filter = CallFilter { status: Some(CallStatus::Pending), ..CallFilter::default() };
    store.calls(filter, 1000).await.expect("an answer").items
}

async fn a_decision_on_an_old_version_changes_nothing(database: Database) {
    let store = database.store().await;
    let new = new_incident("disk");
    let id = new.id;
    store.raise(new, held(Vec::new())).await.expect("it is stored");
    let entry = |by: &str| Entry {
        incident: Some(id),
        call: None,
        message: None,
        at: evening(),
        fact: Fact::Resolved { by: by.into() },
    };
    let call = NewCall {
        contact: None,
        number: number(ANN),
        number_index: 0,
        at: first_attempt(),
        alone: false,
        text_if_missed: None,
    };
    let change = |by: &str| Change {
        content: Some(Content { summary: by.into(), members: vec![member(by, "", true)], ..Content::default() }),
        calls: vec![call.clone()],
        ..held(vec![entry(by)])
    };
    assert_eq!(store.advance(id, 1, change("first")).await, Ok(()));
    for version in [0, 1, 3] {
        assert_eq!(store.advance(id, version, change("late")).await, Err(Error::Conflict), "version {version}");
    }
    assert_eq!(store.advance(IncidentId::generate(), 1, held(Vec::new())).await, Err(Error::Conflict));

    let incident = store.incident(id).await.expect("an answer").expect("it is there");
    assert_eq!((incident.version, &*incident.content.summary), (2, "first"));
    assert_eq!(incident.content.members, [member("first", "", true)]);
    let events = store.timeline(id, None, 100).await.expect("an answer");
    let said = events.into_iter().filter(|event| matches!(event.entry.fact, Fact::Resolved { .. }));
    assert_eq!(said.map(|event| event.entry).collect::<Vec<_>>(), [entry("first")]);
    assert_eq!(pending(&store).await.len(), 1);

    // A second one with the same key while the first is open is refused whole.
    let other = new_incident("disk");
    let other_id = other.id;
    assert_eq!(store.raise(other, change("other")).await, Err(Error::Conflict));
    assert_eq!(store.incident(other_id).await, Ok(None));
    assert_eq!(pending(&store).await.len(), 1);
}

/// Deliveries of a group: each a few of its members, firing or not, in any order, with repeats.
fn deliveries(runner: &mut TestRunner) -> Vec<Vec<(u8, bool)>> {
    let delivery = proptest::collection::vec((0..5u8, any::<bool>()), 1..5);
    let deliveries = proptest::collection::vec(delivery, 1..12);
    deliveries.new_tree(runner).expect("a value").current()
}

async fn members_of_a_group_come_and_go_in_any_order(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    for case in 0..12 {
        let key = format!("group {case}");
        let mut firing: BTreeMap<u8, bool> = BTreeMap::new();
        let mut open = None;
        let deliveries = deliveries(&mut runner);
        for delivery in &deliveries {
            // A fingerprint stands once in a delivery.
            let delivery: BTreeMap<u8, bool> = delivery.iter().copied().collect();
            let members = delivery.iter().map(|(n, firing)| member(&format!("host {n}"), "warning", *firing));
            let raised = scene.engine.raise(group(&key, members.rev().collect())).await.expect("it is stored");
            firing.extend(delivery);
            match open {
                None if firing.values().any(|firing| *firing) => {
                    let Raised::Opened(id) = raised else { panic!("{raised:?} in {deliveries:?}") };
                    open = Some(id);
                }
                None => {
                    assert_eq!(raised, Raised::NothingOpen, "{deliveries:?}");
                    firing.clear();
                    continue;
                }
                Some(id) if firing.values().any(|firing| *firing) => {
                    assert_eq!(raised, Raised::Updated(id), "{deliveries:?}");
                }
                Some(id) => assert_eq!(raised, Raised::Resolved(id), "{deliveries:?}"),
            }
            let incident = scene.incident(open.expect("it is open")).await;
            let known: BTreeMap<u8, bool> = incident
                .content
                .members
                .iter()
                .map(|member| (member.fingerprint[5..].parse().expect("a digit"), member.firing))
                .collect();
            assert_eq!(known, firing, "{deliveries:?}");
            if !firing.values().any(|firing| *firing) {
                assert_eq!(incident.state, State::Resolved);
                (open, firing) = (None, BTreeMap::new());
            }
        }
    }
}

async fn a_call_is_claimed_by_one_of_many(database: Database) {
    let scenes = [scene_with(&database, &[to(ANN)]).await, Scene::on(&database).await, Scene::on(&database).await];
    scenes[0].raise(alert("disk")).await;
    let call = only_pending(&scenes[0]).await;
    let claims = join_all((0..60).map(|i| scenes[i % 3].claim(&call))).await;
    assert_eq!(claims.into_iter().filter(|won| *won).count(), 1);

    let claimed = scenes[0].call(call.id).await;
    assert_eq!((claimed.status, claimed.dialed_at), (CallStatus::Dialing, Some(evening())));
    let told = scenes[0].store.call_timeline(call.id).await.expect("an answer");
    let dialing = told.iter().filter(|event| matches!(event.entry.fact, Fact::Dialing { .. })).count();
    assert_eq!(dialing, 1, "{told:?}");

    // Undone, it can be claimed anew; once it rings, it cannot be undone.
    scenes[1].store.unclaim_call(call.id).await.expect("it is stored");
    assert_eq!(scenes[0].call(call.id).await.dialed_at, None);
    assert!(scenes[2].claim(&call).await);
    scenes[0].store.call_rings(&call, evening()).await.expect("it is stored");
    scenes[1].store.unclaim_call(call.id).await.expect("it is stored");
    assert_eq!(scenes[0].call(call.id).await.status, CallStatus::Ringing);
}

/// Queues a call about an incident beside whatever is queued already.
async fn queue(store: &Store, id: IncidentId, to: &str, at: Position) {
    let incident = store.incident(id).await.expect("an answer").expect("it is there");
    let call = NewCall { contact: None, number: number(to), number_index: 0, at, alone: false, text_if_missed: None };
    let change = Change { state: incident.state, calls: vec![call], ..held(Vec::new()) };
    store.advance(id, incident.version, change).await.expect("it is stored");
}

async fn of_calls_claimed_together_each_line_gets_one(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let id = scene.raise(alert("disk")).await;
    let alone = async |to: &str| {
        let incident = scene.store.incident(id).await.expect("an answer").expect("it is there");
        let at = first_attempt();
        let number = number(to);
        let call = NewCall { contact: None, number, number_index: 0, at, alone: true, text_if_missed: None };
        let change = Change { state: incident.state, calls: vec![call], ..held(Vec::new()) };
        scene.store.advance(id, incident.version, change).await.expect("it is stored");
    };
    alone(ANN).await;
    alone(BEN).await;
    let calls = scene.pending().await;
    assert_eq!(calls.iter().map(|call| call.line.as_str()).collect::<Vec<_>>(), [ANN, ANN, BEN]);
    let claimed = scene.store.claim_calls(&calls, NODE, evening()).await.expect("an answer");
    assert_eq!(claimed, HashSet::from([calls[0].id, calls[2].id]));
    assert_eq!(scene.pending().await, [calls[1].clone()]);
    assert_eq!(scene.store.claim_calls(&calls, NODE, evening()).await, Ok(HashSet::new()));
}

async fn a_storm_to_one_country_hides_no_call_to_another(database: Database) {
    let numbers: Vec<Target> = (0..250).map(|n| to(&format!("+393331{n:06}"))).chain([to("+493012345678")]).collect();
    let scene = scene_with(&database, &numbers).await;
    scene.raise(alert("disk")).await;
    let pending = scene.pending().await;
    let waiting = scene.store.waiting_calls().await.expect("an answer");
    assert_eq!(waiting.of, 251);
    let first: Vec<_> = pending[..200].iter().chain(pending.last()).map(|call| call.id).collect();
    assert_eq!(waiting.calls.iter().map(|(call, _)| *call).collect::<Vec<_>>(), first);
}

async fn a_line_has_one_call_at_a_time(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let id = scene.raise(alert("disk")).await;
    for attempt in 2..=8 {
        queue(&scene.store, id, ANN, Position { attempt, ..first_attempt() }).await;
    }
    queue(&scene.store, id, BEN, first_attempt()).await;
    let calls = scene.claimable().await;
    assert_eq!(calls.len(), 9, "seven more to Ann, one to Ben");

    // All at once, and then one by one whenever the line is free.
    let claims = join_all(calls.iter().map(|call| scene.claim(call))).await;
    let won: Vec<_> = calls.iter().zip(claims).filter_map(|(call, won)| won.then_some(call)).collect();
    let lines: BTreeSet<_> = won.iter().map(|call| &call.line).collect();
    assert_eq!((won.len(), lines.len()), (2, 2), "one on each line");
    assert_eq!(scene.claimable().await, []);
    let ann = won.iter().find(|call| call.number == number(ANN)).expect("one of the two");
    scene.store.call_answered(ann, evening()).await.expect("it is stored");
    assert!(!scene.claim(calls.iter().find(|call| !won.contains(call)).expect("one that waits")).await);
    scene.end(ann, no_answer(), None).await;
    let free = scene.claimable().await;
    assert_eq!(free.len(), 7);
    assert!(scene.claim(&free[6]).await);
    assert!(!scene.claim(&free[0]).await);

    let contact = ringdown::id::ContactId::generate();
    assert_eq!(line(None, &number(ANN)), ANN);
    assert_eq!(line(Some(contact), &number(ANN)), contact.to_string(), "a contact's numbers are one line");
}

/// Servers that share a database claim calls of one line at the same instant, again and again.
async fn a_line_has_one_call_at_a_time_on_several_servers(database: Database) {
    let scenes = [scene_with(&database, &[to(ANN)]).await, Scene::on(&database).await, Scene::on(&database).await];
    let id = scenes[0].raise(alert("disk")).await;
    for attempt in 2..=12 {
        queue(&scenes[0].store, id, ANN, Position { attempt, ..first_attempt() }).await;
    }
    for _ in 0..12 {
        let calls = scenes[0].claimable().await;
        let claims = join_all(calls.iter().enumerate().map(|(i, call)| scenes[i % 3].claim(call))).await;
        let won: Vec<_> = calls.iter().zip(claims).filter_map(|(call, won)| won.then_some(call)).collect();
        assert_eq!(won.len(), 1, "one of {} calls", calls.len());
        scenes[1].end(won[0], no_answer(), None).await;
    }
}

async fn a_second_incident_joins_the_call_that_is_under_way(database: Database) {
    let scene = scene_with(&database, &[to(BEN)]).await;
    let oldest = scene.raise(alert("dust")).await;
    let to_ben = only_pending(&scene).await;
    scene.end(&to_ben, no_answer(), None).await;
    scene.policy("usual", once(&[to(ANN)]), true).await;
    let first = scene.raise(alert("disk")).await;
    let second = scene.raise(alert("memory")).await;
    let call = only_pending(&scene).await;
    assert!(scene.claim(&call).await);
    let third = scene.raise(alert("network")).await;
    scene.store.call_rings(&call, evening()).await.expect("it is stored");
    scene.store.call_answered(&call, evening()).await.expect("it is stored");
    let fourth = scene.raise(alert("power")).await;
    queue(&scene.store, oldest, ANN, Position { attempt: 2, ..first_attempt() }).await;
    assert_eq!(scene.pending().await, []);
    assert_eq!(
        carried(&scene, &call).await,
        [first, second, third, fourth, oldest],
        "spoken in the order of their coming"
    );
    let facts = scene.facts(fourth).await;
    assert!(facts.contains(&Fact::CallJoined { to: ANN.into() }), "{facts:?}");
    assert!(facts.contains(&Fact::Answered { to: ANN.into() }), "what happens to the call is the incident's too");

    scene.end(&call, no_answer(), None).await;
    let fifth = scene.raise(alert("water")).await;
    let next = only_pending(&scene).await;
    assert_eq!(
        carried(&scene, &next).await,
        [fourth, oldest, fifth],
        "what joined while somebody listened, and was never spoken, gets a call of its own"
    );
}

async fn an_incident_never_joins_its_own_call_and_nothing_joins_a_closed_one(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    let first = scene.raise(alert("disk")).await;
    let call = only_pending(&scene).await;
    queue(&scene.store, first, ANN, Position { attempt: 2, ..first_attempt() }).await;
    let pending = scene.pending().await;
    assert_eq!(pending.len(), 2, "a second attempt is a call of its own");
    assert_eq!(carried(&scene, &call).await, [first]);
    assert_eq!(carried(&scene, &pending[1]).await, [first]);
    scene.end(&pending[1], no_answer(), None).await;

    assert!(scene.claim(&call).await);
    assert_eq!(scene.store.close_call(call.id).await, Ok(false), "it was not spoken yet");
    let second = scene.raise(alert("memory")).await;
    scene.store.said(call.id, first, Said::Unanswered).await.expect("it is stored");
    assert_eq!(scene.store.close_call(call.id).await, Ok(false), "the second was not");
    scene.store.said(call.id, second, Said::Unanswered).await.expect("it is stored");
    assert_eq!(scene.store.close_call(call.id).await, Ok(true));
    let third = scene.raise(alert("network")).await;
    assert_eq!(carried(&scene, &call).await, [first, second]);
    assert_eq!(carried(&scene, &only_pending(&scene).await).await, [third]);
    assert_eq!(scene.claimable().await, [], "its line is not free yet");
}

async fn an_acknowledgement_gives_up_the_calls_that_wait_and_no_others(database: Database) {
    let scene = scene_with(&database, &[to(ANN), to(BEN)]).await;
    let first = scene.raise(alert("disk")).await;
    scene.policy("ann only", once(&[to(ANN)]), true).await;
    let second = scene.raise(alert("memory")).await;
    let pending = scene.pending().await;
    let [ann, ben] = &pending[..] else { panic!("{pending:?}") };
    assert_eq!((&ann.number, &ben.number), (&number(ANN), &number(BEN)));
    assert_eq!(carried(&scene, ann).await, [first, second]);

    assert!(counted(&scene.engine.acknowledge(first, key()).await.expect("an answer")));
    assert_eq!(scene.call(ann.id).await.status, CallStatus::Pending, "the second incident needs it");
    let (at, end) = scene.call(ben.id).await.end.expect("it is over");
    assert_eq!((at, end.status), (evening(), CallStatus::Canceled));
    assert!(end.found_route, "it says nothing about the routes");
    let facts = scene.facts(first).await;
    assert!(
        matches!(facts.last(), Some(Fact::CallEnded { to, status, .. }) if to == BEN && status == "canceled"),
        "{facts:?}"
    );

    // What is under way is not ended here: it is the dialer's to hang up.
    let third = scene.raise(alert("network")).await;
    assert!(scene.claim(ann).await);
    scene.store.call_rings(ann, evening()).await.expect("it is stored");
    scene.engine.acknowledge(second, key()).await.expect("an answer");
    assert_eq!(scene.store.unneeded_calls().await.expect("an answer"), [], "the third incident needs it");
    scene.engine.acknowledge(third, key()).await.expect("an answer");
    assert_eq!(scene.call(ann.id).await.status, CallStatus::Ringing);
    let unneeded = scene.store.unneeded_calls().await.expect("an answer");
    assert_eq!(unneeded.iter().map(|call| call.id).collect::<Vec<_>>(), [ann.id]);
    scene.store.call_answered(ann, evening()).await.expect("it is stored");
    assert_eq!(scene.store.unneeded_calls().await.expect("an answer"), [], "somebody listens");
}

async fn an_ended_call_hands_on_to_the_next_number_what_still_escalates(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = scene.contact("Ann", &[ANN, BEN]).await;
    scene.policy("usual", once(&[Target::Contact(ann)]), true).await;
    let mut incidents = Vec::new();
    for name in ["disk", "memory", "network"] {
        incidents.push(scene.raise(alert(name)).await);
    }
    let call = only_pending(&scene).await;
    assert_eq!((call.contact, &*call.to, &call.number, call.number_index), (Some(ann), "Ann", &number(ANN), 0));
    assert!(scene.claim(&call).await);
    scene.engine.acknowledge(incidents[0], key()).await.expect("an answer");

    assert!(scene.end(&call, no_answer(), Some((number(BEN), 1))).await);
    assert!(!scene.end(&call, no_route(), Some((number(BEN), 1))).await, "its end is known");
    let next = only_pending(&scene).await;
    assert_eq!((next.contact, &*next.to, &next.number, next.number_index), (Some(ann), "Ann", &number(BEN), 1));
    assert_eq!(next.line, call.line);
    assert_ne!(next.token, call.token);
    let carried = scene.store.carried_by(next.id).await.expect("an answer");
    let expected = incidents[1..].iter().map(|id| (*id, first_attempt(), Said::Waiting));
    let carried: Vec<_> = carried.into_iter().map(|carried| (carried.incident, carried.at, carried.said)).collect();
    assert_eq!(carried, expected.collect::<Vec<_>>(), "in the same attempt");
    assert_eq!(scene.call(call.id).await.end.expect("it is over").1, no_answer());
    let facts = scene.facts(incidents[2]).await;
    let queued = Fact::CallQueued { to: "Ann".into(), number: BEN.into(), nth_number: 2 };
    assert_eq!(facts.last(), Some(&queued), "{facts:?}");

    // Nothing escalates any more: nobody is called.
    assert!(scene.claim(&next).await);
    for id in &incidents[1..] {
        scene.engine.resolve(*id, key()).await.expect("an answer");
    }
    assert!(scene.end(&next, no_answer(), Some((number(ANN), 2))).await);
    assert_eq!(scene.pending().await, []);
    assert_eq!(scene.store.end_call(CallId::generate(), no_answer(), None, evening()).await, Ok(false));
}

async fn a_call_goes_forward_only(database: Database) {
    let scene = scene_with(&database, &[to(ANN)]).await;
    scene.raise(alert("disk")).await;
    let call = only_pending(&scene).await;
    let status = async || scene.call(call.id).await.status;
    scene.store.call_rings(&call, evening()).await.expect("an answer");
    assert_eq!(status().await, CallStatus::Pending, "what was not placed does not ring");
    assert!(scene.claim(&call).await);
    scene.seconds_pass(2);
    // The answer comes before the ringing, and twice.
    scene.store.call_answered(&call, scene.now()).await.expect("an answer");
    scene.store.call_rings(&call, scene.now()).await.expect("an answer");
    scene.seconds_pass(1);
    scene.store.call_answered(&call, scene.now()).await.expect("an answer");
    let answered = scene.call(call.id).await;
    assert_eq!((answered.status, answered.ringing_at), (CallStatus::Answered, None));
    assert_eq!(answered.answered_at, Some(evening() + chrono::TimeDelta::seconds(2)));
    assert_eq!(scene.store.calls_on_the_line().await.expect("an answer"), [answered]);
    assert!(scene.end(&call, no_answer(), None).await);
    scene.store.call_answered(&call, scene.now()).await.expect("an answer");
    assert_eq!(status().await, CallStatus::NoAnswer);
    assert_eq!(scene.store.calls_on_the_line().await.expect("an answer"), []);
    let told: Vec<_> = scene.store.call_timeline(call.id).await.expect("an answer");
    let kinds: Vec<_> = told.iter().map(|event| event.entry.fact.sentence()).collect();
    assert_eq!(kinds.len(), 4, "queued, calling, answered, over: {kinds:?}");
}

async fn what_became_of_a_round(database: Database) {
    let scene = scene_with(&database, &[to(ANN), to(BEN)]).await;
    let id = scene.raise(alert("disk")).await;
    let of_round = async |round| {
        let stage = Stage { run: 0, round, step: 0 };
        scene.store.calls_of_rounds(&HashMap::from([(id, stage)])).await.expect("an answer")[&id].0
    };
    let pending = scene.pending().await;
    assert_eq!(of_round(0).await, Calls::Live, "they wait");
    assert!(scene.claim(&pending[0]).await);
    assert!(scene.end(&pending[0], no_route(), None).await);
    assert_eq!(of_round(0).await, Calls::Live, "one still waits");
    assert!(scene.claim(&pending[1]).await);
    assert!(scene.end(&pending[1], no_route(), None).await);
    assert_eq!(of_round(0).await, Calls::NoWayOut);
    assert_eq!(of_round(1).await, Calls::Placed, "a round without calls is no outage");
    let elsewhere = Stage { run: 1, round: 0, step: 0 };
    assert_eq!(
        scene.store.calls_of_rounds(&HashMap::from([(id, elsewhere)])).await,
        Ok(HashMap::from([(id, (Calls::Placed, None))])),
        "nor is that of another run"
    );

    // Another step of the same round reaches somebody's telephone.
    let mut at = first_attempt();
    at.stage.step = 1;
    queue(&scene.store, id, ANN, at).await;
    let call = only_pending(&scene).await;
    assert!(scene.claim(&call).await);
    assert_eq!(of_round(1).await, Calls::Live, "a call that lives is waited for, whatever its round");
    assert!(scene.end(&call, no_answer(), None).await);
    assert_eq!(of_round(0).await, Calls::Placed);
}

async fn one_bad_write_among_many_undoes_itself_only(database: Database) {
    let store = database.store().await;
    store.raise(new_incident("taken"), held(Vec::new())).await.expect("it is stored");
    // Some fail at their first statement, since the key is taken, and some at their last.
    database.refuse_events("exhausted").await;
    // All wait for the same writer, so that they share commits.
    let writes = (0..400).map(|i| {
        let new = new_incident(&if i % 40 == 7 { "taken".to_owned() } else { format!("key {i}") });
        let fact = if i % 40 == 23 { Fact::Exhausted } else { Fact::HeldNoPolicy };
        let line = |fact| Entry { incident: Some(new.id), call: None, message: None, at: evening(), fact };
        let change = held(vec![line(Fact::HeldNoPolicy), line(fact)]);
        let (store, id) = (store.clone(), new.id);
        async move { (i, id, store.raise(new, change).await) }
    });
    for (i, id, written) in join_all(writes).await {
        let stored = store.incident(id).await.expect("an answer").is_some();
        let lines = store.timeline(id, None, 10).await.expect("an answer").len();
        match i % 40 {
            7 => assert_eq!((written, stored, lines), (Err(Error::Conflict), false, 0), "write {i}"),
            23 => {
                assert!(matches!(written, Err(Error::Unavailable(_))), "write {i}: {written:?}");
                assert_eq!((stored, lines), (false, 0), "write {i}");
            }
            _ => assert_eq!((written, stored, lines), (Ok(()), true, 2), "write {i}"),
        }
    }
    assert_eq!(store.incidents(IncidentFilter::default(), 1000).await.expect("an answer").items.len(), 381);
}
