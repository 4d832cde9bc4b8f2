//! What was foretold is what happens: the same function decides both, and here it is seen to.

use crate::harness::author;
use chrono::TimeDelta;
use ringdown::{
    calendar::{Calendar, Holiday},
    engine::{Answer, Says, Simulation, Supposition, What},
    escalation::{Actor, OnExhausted, Policy, Step, Target},
    store::{Call, CallFilter, Fact},
    wallclock::Zone,
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, evening, no_answer, number, step},
};

const ANN: [&str; 2] = ["+393331234501", "+393331234502"];
const BEN: &str = "+393331234503";
const EVA: &str = "+393331234504";
/// How long phones ring.
const RINGS: i64 = 20;

on_both_databases! {
    a_night_on_which_nobody_answers_goes_as_it_was_foretold
    a_night_on_which_the_second_call_is_taken_goes_as_it_was_foretold
    a_simulation_changes_nothing_and_ends
}

/// Two people, two rounds, a calendar, turns, and a last resort.
async fn intricate(scene: &Scene) -> Policy {
    let ann = Target::Contact(scene.contact("Ann", &ANN).await);
    let ben = Target::Contact(scene.contact("Ben", &[BEN]).await);
    let day = evening().date_naive();
    let holiday = Holiday { name: "a holiday".into(), from: day, until: day };
    let calendar = Calendar { zone: Zone::UTC, hours: Vec::new(), holidays: vec![holiday] };
    let work =
        scene.store.by(author()).create_calendar("work".into(), calendar, scene.now()).await.expect("it is stored");
    Policy {
        repeat: 1,
        on_exhausted: Some(OnExhausted::LastResort(step(&[Target::Number(number(EVA))], 1, 30, 40))),
        steps: vec![
            step(std::slice::from_ref(&ann), 2, 60, 50),
            Step { only_during: Some(work), ..step(std::slice::from_ref(&ben), 1, 60, 60) },
            Step { round_robin: true, ..step(&[ann, ben], 1, 30, 90) },
        ],
        ..Policy::default()
    }
}

fn supposition(answers: Vec<Answer>) -> Supposition {
    Supposition { at: evening(), content: alert("disk").content, turn: 0, rings: TimeDelta::seconds(RINGS), answers }
}

/// The calls and decisions of a simulation, in words, with the seconds since the evening.
fn foretold(simulation: &Simulation) -> (Vec<String>, Vec<String>) {
    let (mut decided, mut calls) = (Vec::new(), Vec::new());
    for happening in &simulation.happenings {
        let second = (happening.at - evening()).num_seconds();
        match &happening.what {
            What::Fact(Fact::Raised { .. }) => {}
            What::Fact(fact) => decided.push(format!("{second:>4} {}", fact.sentence())),
            What::Call { number, .. } => calls.push(format!("{second:>4} {}", number.as_str())),
        }
    }
    calls.sort();
    (decided, calls)
}

/// The same of what really happened.
async fn happened(scene: &Scene, id: ringdown::id::IncidentId) -> (Vec<String>, Vec<String>) {
    let decided = scene.decided(id).await.into_iter().skip(1).collect();
    let filter = CallFilter { incident: Some(id), ..CallFilter::default() };
    let calls = scene.store.calls(filter, 1000).await.expect("an answer").items;
    let dialed = |call: &Call| Some((call.dialed_at? - evening()).num_seconds());
    let mut calls: Vec<String> =
        calls.iter().filter_map(|call| Some(format!("{:>4} {}", dialed(call)?, call.number.as_str()))).collect();
    calls.sort();
    (decided, calls)
}

/// Lets the night pass second by second, as the engine and a dialer would, until nothing is due.
/// `taken` says who takes which call, and how long after it was placed.
async fn live_through(scene: &Scene, id: ringdown::id::IncidentId, taken: Option<(&str, usize, i64)>) {
    let mut up: Vec<(Call, i64, bool)> = Vec::new();
    let mut placed: Vec<String> = Vec::new();
    for second in 0..10_000 {
        scene.clock.advance(evening() + TimeDelta::seconds(second) - scene.now());
        let (over, still): (Vec<_>, Vec<_>) = up.into_iter().partition(|(_, until, _)| *until <= second);
        up = still;
        for (call, _, takes) in over {
            if takes {
                let contact = call.contact.expect("a contact");
                let by = Actor::Contact { id: contact, name: call.to.clone(), call: call.id };
                scene.store.call_answered(&call, scene.now()).await.expect("it is stored");
                scene.engine.acknowledge(id, by).await.expect("it is stored");
                continue;
            }
            let next = match call.contact {
                Some(id) => {
                    let contact = scene.store.contact(id).await.expect("an answer").expect("a contact");
                    contact.number(call.number_index + 1).map(|number| (number.clone(), call.number_index + 1))
                }
                None => None,
            };
            assert!(scene.end(&call, no_answer(), next).await);
        }
        scene.tick().await;
        for call in scene.claimable().await {
            assert!(scene.claim(&call).await);
            placed.push(call.to.clone());
            let nth = placed.iter().filter(|to| **to == call.to).count();
            let takes = taken.is_some_and(|(who, which, _)| who == call.to && which == nth);
            let lasts = if takes { taken.map_or(0, |(_, _, after)| after) } else { RINGS };
            up.push((call, second + lasts, takes));
        }
        if up.is_empty() && scene.store.next_due().await.expect("an answer").is_none() {
            return;
        }
    }
    panic!("this night never ends");
}

async fn a_night_on_which_nobody_answers_goes_as_it_was_foretold(database: Database) {
    let scene = Scene::on(&database).await;
    let policy = intricate(&scene).await;
    scene.policy("intricate", policy.clone(), true).await;
    let simulation =
        scene.engine.simulate(Some("intricate"), &policy, &supposition(Vec::new())).await.expect("an answer");
    let id = scene.raise(alert("disk")).await;
    live_through(&scene, id, None).await;
    let (foretold, happened) = (foretold(&simulation), happened(&scene, id).await);
    assert_eq!(foretold, happened);
    assert_eq!(simulation.state, scene.state(id).await);
    // And it was a night worth telling: two rounds with a step passed over in each, and the last resort.
    assert_eq!(foretold.0.iter().filter(|line| line.contains("outside its calendar")).count(), 2, "{foretold:#?}");
    assert!(foretold.0.iter().any(|line| line.contains("last resort")));
    assert!(foretold.1.len() > 8, "{foretold:#?}");
}

async fn a_night_on_which_the_second_call_is_taken_goes_as_it_was_foretold(database: Database) {
    let scene = Scene::on(&database).await;
    let policy = intricate(&scene).await;
    scene.policy("intricate", policy.clone(), true).await;
    let answer = Answer { who: "ben".into(), nth: 1, after: TimeDelta::seconds(7), says: Says::Acknowledge };
    let simulation =
        scene.engine.simulate(Some("intricate"), &policy, &supposition(vec![answer])).await.expect("an answer");
    let id = scene.raise(alert("disk")).await;
    live_through(&scene, id, Some(("Ben", 1, 7))).await;
    assert_eq!(foretold(&simulation), happened(&scene, id).await);
    assert!(foretold(&simulation).0.last().is_some_and(|line| line.ends_with("acknowledged by Ben")));
}

async fn a_simulation_changes_nothing_and_ends(database: Database) {
    let scene = Scene::on(&database).await;
    let mut policy = intricate(&scene).await;
    policy.on_exhausted = Some(OnExhausted::Repeat { every: TimeDelta::seconds(60) });
    let simulation = scene.engine.simulate(None, &policy, &supposition(Vec::new())).await.expect("an answer");
    assert!(simulation.cut, "one that repeats for ever is cut off");
    assert!(simulation.happenings.len() <= 2100);
    assert!(scene.pending().await.is_empty());
    assert!(
        scene
            .store
            .incidents(ringdown::store::IncidentFilter::default(), 10)
            .await
            .expect("an answer")
            .items
            .is_empty()
    );
}
