//! Alerts that come at once are decided on and stored together; nothing of that shows but the speed.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use ringdown::{
    engine::{DirectCall, PolicyChoice, Raised},
    escalation::{Placing, Target},
    store::{CallStatus, Error, Fact},
};

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, number, once},
};

on_both_databases! {
    hundreds_at_once_share_a_few_commits
    two_servers_open_one_incident_for_each_key
    one_bad_alert_fails_alone
    what_another_server_edits_counts_for_the_next_alert
    what_came_again_after_its_end_opens_anew
    nothing_joins_a_call_that_is_placed_in_a_way_of_its_own
}

const ANN: &str = "+393331234501";
const BEN: &str = "+393331234502";

/// A scene in which Ann is called.
async fn calls_ann(database: &Database) -> Scene {
    let scene = Scene::on(database).await;
    let ann = scene.contact("Ann", &[ANN]).await;
    scene.policy("usual", once(&[Target::Contact(ann)]), true).await;
    scene
}

async fn hundreds_at_once_share_a_few_commits(database: Database) {
    let scene = calls_ann(&database).await;
    let commits = scene.store.events_written();
    let before = *commits.borrow();
    let ids = join_all((0..300).map(|nth| scene.raise(alert(&format!("disk {nth}"))))).await;
    let taken = *commits.borrow() - before;
    assert!(taken < 60, "{taken} commits for 300 alerts");

    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 300);
    let pending = scene.pending().await;
    assert_eq!(pending.len(), 1, "all of them are one call");
    let carried: Vec<_> = scene.store.carried_by(pending[0].id).await.expect("an answer");
    assert_eq!(carried.len(), 300);
    assert_eq!(carried[0].incident, ids[0], "what it was made for comes first");
    for id in &ids {
        let facts = scene.facts(*id).await;
        let of_the_call = facts.iter().filter(|fact| matches!(fact, Fact::CallQueued { .. })).count();
        let its_own: Vec<_> = facts.iter().filter(|fact| !matches!(fact, Fact::CallQueued { .. })).collect();
        let [Fact::Raised { .. }, Fact::Attempt { round: 1, step: 1, attempt: 1, .. }, joined @ ..] = &its_own[..]
        else {
            panic!("{facts:?}")
        };
        match joined {
            [] => assert_eq!(*id, ids[0]),
            [Fact::CallJoined { to }] => assert_eq!(to, "Ann"),
            other => panic!("{other:?}"),
        }
        assert_eq!(of_the_call, 1, "{facts:?}");
    }
}

async fn two_servers_open_one_incident_for_each_key(database: Database) {
    let scenes = [calls_ann(&database).await, Scene::on(&database).await];
    let alerts = (0..80).map(|nth| scenes[nth % 2].engine.raise(alert(&format!("disk {}", nth / 2))));
    let (mut opened, mut updated) = (BTreeSet::new(), HashMap::new());
    for raised in join_all(alerts).await {
        match raised.expect("it is stored") {
            Raised::Opened(id) => assert!(opened.insert(id)),
            Raised::Updated(id) => *updated.entry(id).or_insert(0) += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((opened.len(), updated.len()), (40, 40));
    assert!(updated.iter().all(|(id, times)| opened.contains(id) && *times == 1), "{updated:?}");
    for id in opened {
        let again = scenes[0].facts(id).await.into_iter().filter(|fact| matches!(fact, Fact::Repeated { .. })).count();
        assert_eq!(again, 1);
    }
}

async fn one_bad_alert_fails_alone(database: Database) {
    let scene = calls_ann(&database).await;
    // Every seventh names a policy that does not exist, and the database will not have that said.
    database.refuse_events("unknown_policy").await;
    let raised = join_all((0..100).map(|nth| {
        let mut alert = alert(&format!("disk {nth}"));
        if nth % 7 == 3 {
            alert.policy = PolicyChoice::Named("nobody's".into());
        }
        scene.engine.raise(alert)
    }))
    .await;
    for (nth, raised) in raised.into_iter().enumerate() {
        let open = scene.store.open_incident(&format!("disk {nth}")).await.expect("an answer");
        if nth % 7 == 3 {
            assert!(matches!(raised, Err(Error::Unavailable(_))), "{nth}: {raised:?}");
            assert!(open.is_none(), "{nth}");
        } else {
            assert_eq!(raised, Ok(Raised::Opened(open.expect("it is open").id)), "{nth}");
        }
    }
}

async fn what_another_server_edits_counts_for_the_next_alert(database: Database) {
    let (here, there) = (calls_ann(&database).await, Scene::on(&database).await);
    let calls = async |key: &str| {
        let id = here.raise(alert(key)).await;
        let called = here.pending().await.into_iter().map(|call| (call.to, call.number.as_str().to_owned())).collect();
        here.engine.resolve(id, crate::scene::key()).await.expect("it is stored");
        called
    };
    let expected = |name: &str, number: &str| vec![(name.to_owned(), number.to_owned())];
    let first: Vec<(String, String)> = calls("first").await;
    assert_eq!(first, expected("Ann", ANN));

    there.change_contact("Ann", true, &[BEN]).await;
    assert_eq!(calls("another number").await, expected("Ann", BEN));

    let ben = there.contact("Ben", &[BEN]).await;
    there.policy("usual", once(&[Target::Contact(ben)]), true).await;
    assert_eq!(calls("another policy").await, expected("Ben", BEN));

    there.change_contact("Ben", false, &[BEN]).await;
    assert_eq!(calls("disabled").await, []);

    there.policy("other", once(&[Target::Number(number(ANN))]), true).await;
    assert_eq!(calls("another default").await, expected(ANN, ANN));
}

async fn what_came_again_after_its_end_opens_anew(database: Database) {
    let scenes = [calls_ann(&database).await, Scene::on(&database).await];
    let id = scenes[0].raise(alert("disk")).await;
    // One says that it is over while the other hears of it again: in whichever order, nothing is left untold.
    let (over, again) =
        futures_util::join!(scenes[0].engine.resolve(id, crate::scene::key()), scenes[1].engine.raise(alert("disk")));
    over.expect("an answer");
    match again.expect("it is stored") {
        Raised::Opened(new) => assert_ne!(new, id),
        Raised::Updated(old) => {
            assert_eq!(old, id);
            let told = scenes[0].told(id).await;
            let (again, over) = (
                told.iter().position(|line| line.contains("sent it again")),
                told.iter().position(|line| line.starts_with("resolved")),
            );
            assert!(again.is_some() && again < over, "{told:?}");
        }
        other => panic!("{other:?}"),
    }
}

async fn nothing_joins_a_call_that_is_placed_in_a_way_of_its_own(database: Database) {
    let scene = calls_ann(&database).await;
    let ann = scene.store.contacts_named("Ann").await.expect("an answer")[0];
    let placed = |timeout: Option<u32>| DirectCall {
        to: Target::Contact(ann),
        text: "a word with you".into(),
        attempts: 1,
        attempt_delay: 60,
        source: "a test".into(),
        schedule: None,
        placing: Placing { timeout, ..Placing::default() },
    };
    scene.engine.place(placed(Some(10))).await.expect("it is stored");
    scene.raise(alert("disk")).await;
    scene.engine.place(placed(None)).await.expect("it is stored");
    scene.engine.place(placed(Some(20))).await.expect("it is stored");
    let pending = scene.pending().await;
    assert!(pending.iter().all(|call| call.status == CallStatus::Pending));
    let mut timeouts = Vec::new();
    for call in &pending {
        let carried = scene.store.carried_by(call.id).await.expect("an answer").len();
        timeouts.push((scene.store.placing_of(call.id).await.expect("an answer").timeout, carried));
    }
    timeouts.sort_unstable();
    assert_eq!(timeouts, [(None, 2), (Some(10), 1), (Some(20), 1)], "the alert and the usual call are one");
}
