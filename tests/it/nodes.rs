//! Several servers on one database: whose calls are whose.

use std::{fs, path::Path, time::Duration};

use anyhow::Result;
use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    wait::until,
};
use ringdown::escalation::Target;
use uuid::Uuid;

use crate::{
    databases::{Database, on_both_databases},
    harness::{ANA, BEN, LATER, story_on},
    scene::{NODE, Scene, alert, number, once},
};

on_both_databases! {
    of_two_servers_under_one_name_the_later_has_it
    a_call_is_taken_over_once_and_only_while_it_is_on_the_line
}

async fn of_two_servers_under_one_name_the_later_has_it(database: Database) {
    let (scene, other) = (Scene::on(&database).await, database.store().await);
    let (first, second) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let now = scene.now();
    let beats = async || {
        let nodes = scene.store.nodes().await.expect("the database answers");
        nodes.into_iter().map(|node| (node.name, node.beats)).collect::<Vec<_>>()
    };
    let known = |beats: i64| vec![(NODE.to_owned(), beats)];
    assert!(!scene.store.node_beats(NODE, first, now).await.expect("it is asked"), "nobody has the name");
    scene.store.take_node(NODE, first, now).await.expect("it is taken");
    assert!(scene.store.node_beats(NODE, first, now).await.expect("it is asked"));
    assert_eq!(beats().await, known(1));
    other.take_node(NODE, second, now).await.expect("it is taken");
    assert_eq!(beats().await, known(2), "whoever watches sees that it lives");
    assert!(!scene.store.node_beats(NODE, first, now).await.expect("it is asked"));
    assert!(other.node_beats(NODE, second, now).await.expect("it is asked"));
    assert_eq!(beats().await, known(3));
    let forgotten = async |before| other.forget_nodes(before).await.expect("it is asked");
    assert_eq!(forgotten(now).await, 0);
    assert_eq!(forgotten(now + chrono::TimeDelta::seconds(1)).await, 1);
    assert_eq!(beats().await, []);
}

async fn a_call_is_taken_over_once_and_only_while_it_is_on_the_line(database: Database) {
    let (scene, other) = (Scene::on(&database).await, database.store().await);
    scene.policy("usual", once(&[Target::Number(number("+393331234503"))]), true).await;
    scene.raise(alert("disk")).await;
    let call = scene.claimable().await.remove(0);
    let take = async |from: &str, to: &str| other.adopt_call(call.id, Some(from), to).await.expect("it is asked");
    assert!(!take(NODE, "north").await, "it waits for whoever comes");
    assert!(scene.claim(&call).await);
    assert_eq!(scene.call(call.id).await.node.as_deref(), Some(NODE));
    assert!(!take("north", "south").await, "it is not the north's");
    assert!(take(NODE, "north").await);
    assert!(!take(NODE, "south").await, "the north was faster");
    assert_eq!(scene.call(call.id).await.node.as_deref(), Some("north"));
    scene.store.unclaim_call(call.id).await.expect("it goes back");
    assert_eq!(scene.call(call.id).await.node, None);
    assert!(!take("north", "south").await);
}

/// What both servers are told alike.
fn alike(settings: &mut Settings, url: &str, node: &str) {
    let step = |target| Step { targets: target, attempts: 1, attempt_delay: 60, delay: 5 };
    settings.set("database.url", url).set("server.node", node).set("asterisk.ring_timeout", 200);
    settings.policy("night", &[step(&["Ana"]), step(&["Ben"])]);
}

#[tokio::test]
async fn the_calls_of_a_living_server_are_left_to_it_and_those_of_a_dead_one_taken_over() {
    let database = Database::postgres().await;
    story_on(
        |settings, _| alike(settings, &database.url, "north"),
        async |h| {
            let id = h.raise("Disk full").await?;
            h.phone(ANA).rings().await?;
            let slot = Slot::take()?;
            let mut settings = Settings::new();
            settings.pbx(&h.telephony.pbx).set("call.wait", 2000).set("call.repeat", 2);
            settings.contact("Ana", &[ANA]).contact("Ben", &[BEN]).contact("Cal", &[crate::harness::CAL]);
            alike(&mut settings, &database.url, "south");
            let mut south = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await?;
            let says = |words: &str| -> Result<bool> { Ok(fs::read_to_string(south.log())?.contains(words)) };
            // It is connected and has compared rows with channels. A call of the north's is not its business.
            assert!(says("manager connection is up")?);
            assert!(!says("adopting a call")?);
            h.server.kill().await?;
            until("the south takes the call over", LATER + Duration::from_secs(30), async || {
                Ok(says("adopting a call")?.then_some(()))
            })
            .await?;
            // From here on the south is told what becomes of it, and goes on with the policy.
            h.phone(ANA).declines().await?;
            h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
            let incident = south.api.get(&format!("/api/v2/incidents/{id}")).await?;
            until("Ben has taken it", LATER, async || {
                let incident = south.api.get(&format!("/api/v2/incidents/{id}")).await?;
                Ok((incident["state"] == "acknowledged").then_some(()))
            })
            .await
            .map_err(|error| error.context(incident.to_string()))?;
            h.phone(BEN).is_hung_up().await?;
            // Back again, the north finds everything done.
            h.server.restart().await?;
            let calls = h.records(&id).await?;
            let ends: Vec<&str> = calls.iter().filter_map(|call| call["status"].as_str()).collect();
            assert_eq!(ends, ["rejected", "completed"]);
            assert_eq!(south.errors(), Vec::<String>::new());
            south.stop().await?;
            Ok(())
        },
    )
    .await;
}
