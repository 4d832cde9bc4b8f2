//! The same request sent again: made once, answered the same, also after a crash at the worst moment.

use std::{collections::BTreeSet, path::Path};

use chrono::TimeDelta;
use futures_util::future::join_all;
use lab::{api::Api, server::Server, settings::Settings, slot::Slot};
use reqwest::{Client, Method};
use ringdown::{
    engine::DirectCall,
    escalation::{Placing, Target},
    id::IncidentId,
    store::{Admission, CallFilter, IncidentFilter, KeptAnswer, Request},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    databases::{Database, on_both_databases},
    harness::ANA,
    scene::{Scene, number},
};

on_both_databases! {
    a_request_is_run_by_one_and_answered_to_all
    what_was_made_before_a_crash_is_found_and_not_made_again
    a_request_is_forgotten_by_its_age
}

fn request(digest: &str, body: &str, runner: u128) -> Request {
    Request { digest: digest.into(), body: body.into(), runner: Uuid::from_u128(runner) }
}

fn answer(body: &str) -> KeptAnswer {
    KeptAnswer { status: 201, headers: vec![("etag".into(), "\"1\"".into())], body: body.into() }
}

async fn admit(scene: &Scene, request: Request) -> Admission {
    let lease = scene.now() + TimeDelta::seconds(15);
    scene.store.admit(request, scene.now(), lease).await.expect("an answer")
}

async fn a_request_is_run_by_one_and_answered_to_all(database: Database) {
    let scenes = [Scene::on(&database).await, Scene::on(&database).await];
    let several = (0..20).map(|n: u128| {
        let scene = &scenes[usize::from(n.is_multiple_of(2))];
        admit(scene, request("a", "body", n))
    });
    let admitted = join_all(several).await;
    let fresh = admitted.iter().filter(|admission| matches!(admission, Admission::Run { again: false, .. })).count();
    assert_eq!(fresh, 1, "{admitted:?}");
    let scene = &scenes[0];
    assert_eq!(admit(scene, request("a", "another", 1)).await, Admission::OtherBody);
    assert!(matches!(admit(scene, request("b", "body", 1)).await, Admission::Run { again: false, .. }));
    scene.store.keep_answer("a".into(), answer("said")).await.expect("it is stored");
    for runner in [1, 99] {
        assert_eq!(admit(&scenes[1], request("a", "body", runner)).await, Admission::Answered(answer("said")));
    }
    assert_eq!(admit(scene, request("a", "another", 1)).await, Admission::OtherBody);
}

async fn what_was_made_before_a_crash_is_found_and_not_made_again(database: Database) {
    let scene = Scene::on(&database).await;
    let Admission::Run { chosen, again: false, noted: None } = admit(&scene, request("a", "body", 1)).await else {
        panic!("it is new")
    };
    scene.store.note_for_retry("a".into(), json!(1)).await.expect("it is stored");
    let call = DirectCall {
        placing: Placing::default(),
        to: Target::Number(number(ANA)),
        text: "hello".into(),
        attempts: 1,
        attempt_delay: 60,
        source: "a test".into(),
        schedule: None,
    };
    scene.engine.place_as(chosen, call.clone()).await.expect("it is stored");
    // Here the server dies. Another one shares the database, if it is one that can be shared.
    let other = request("a", "body", 2);
    if !database.url.starts_with("sqlite:") {
        assert_eq!(admit(&scene, other.clone()).await, Admission::Running);
        scene.seconds_pass(16);
    }
    let found = admit(&scene, other).await;
    assert_eq!(found, Admission::Run { chosen, again: true, noted: Some(json!(1)) });
    scene.store.note_for_retry("a".into(), json!(2)).await.expect("it is stored");
    scene.engine.place_as(chosen, call).await.expect("it is there");
    let of_it = CallFilter { incident: Some(chosen), ..CallFilter::default() };
    assert_eq!(scene.store.calls(of_it, 10).await.expect("an answer").items.len(), 1);
    assert_eq!(scene.store.incidents(IncidentFilter::default(), 10).await.expect("an answer").items.len(), 1);
    let raised = scene.facts(chosen).await;
    assert!(!raised.iter().any(|fact| matches!(fact, ringdown::store::Fact::Repeated { .. })), "{raised:?}");
    let noted = admit(&scene, request("a", "body", 2)).await;
    assert!(matches!(noted, Admission::Run { noted: Some(noted), .. } if noted == json!(1)), "what was first stays");
}

async fn a_request_is_forgotten_by_its_age(database: Database) {
    let scene = Scene::on(&database).await;
    admit(&scene, request("old", "body", 1)).await;
    scene.store.keep_answer("old".into(), answer("said")).await.expect("it is stored");
    scene.seconds_pass(3600);
    admit(&scene, request("new", "body", 1)).await;
    assert_eq!(scene.store.forget_requests(scene.now()).await, Ok(1));
    assert!(matches!(admit(&scene, request("old", "body", 1)).await, Admission::Run { again: false, .. }));
    assert!(matches!(admit(&scene, request("new", "body", 1)).await, Admission::Run { again: true, .. }));
}

async fn server() -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]);
    let step = lab::settings::Step { targets: &["Ana"], ..lab::settings::Step::default() };
    settings.policy("night", &[step.clone(), step]);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

/// What was answered: the status, the body, and whether it is what was said before.
type Answered = (u16, Value, bool);

async fn post(api: &Api, path: &str, key: &str, body: &Value) -> Answered {
    let request = Client::new().post(format!("{}{path}", api.base)).bearer_auth(&api.key);
    let answer = request.header("idempotency-key", key).json(body).send().await.expect("an answer");
    let replayed = answer.headers().contains_key("idempotency-replayed");
    (answer.status().as_u16(), answer.json().await.unwrap_or_default(), replayed)
}

async fn count(api: &Api, what: &str) -> usize {
    let page = api.get(&format!("/api/v2/{what}?limit=500")).await.expect("a list");
    page["items"].as_array().expect("items").len()
}

fn call() -> Value {
    json!({ "to": "Ana", "text": "the disk is full" })
}

#[tokio::test]
async fn a_hundred_at_once_with_one_key_are_one_call() {
    let (_slot, mut server) = server().await;
    let body = call();
    let answers = join_all((0..100).map(|_| post(&server.api, "/api/v2/calls", "one", &body))).await;
    let mut made = BTreeSet::new();
    for (status, answer, _) in &answers {
        match status {
            201 => drop(made.insert(answer.to_string())),
            409 => assert_eq!(answer["type"], "urn:ringdown:problem:in-progress"),
            other => panic!("{other}: {answer}"),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    assert_eq!((count(&server.api, "incidents").await, count(&server.api, "calls").await), (1, 1));
    let (status, again, replayed) = post(&server.api, "/api/v2/calls", "one", &body).await;
    assert_eq!((status, made.contains(&again.to_string()), replayed), (201, true, true));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn the_same_is_answered_the_same_and_what_differs_is_not() {
    let (_slot, mut server) = server().await;
    let alert = json!({ "summary": "the disk is full" });
    let first = post(&server.api, "/api/v2/alerts", "k", &alert).await;
    assert_eq!((first.0, &first.1["outcome"], first.2), (201, &json!("opened"), false));
    server.stop().await.expect("stops");
    server.restart().await.expect("it comes back");
    let again = post(&server.api, "/api/v2/alerts", "k", &alert).await;
    assert_eq!((again.0, &again.1, again.2), (201, &first.1, true), "also by a server that was started anew");
    let other = post(&server.api, "/api/v2/alerts", "k", &json!({ "summary": "another" })).await;
    assert_eq!((other.0, &other.1["type"]), (422, &json!("urn:ringdown:problem:idempotency-key-reused")));
    // Another operation has keys of its own, and so has another query.
    assert_eq!(post(&server.api, "/api/v2/calls", "k", &call()).await.0, 201);
    assert_eq!(post(&server.api, "/api/v2/alerts?x=y", "k", &json!({ "summary": "another" })).await.0, 201);
    // What is refused is refused again, without another look.
    let refused = post(&server.api, "/api/v2/calls", "r", &json!({ "to": "112", "text": "x" })).await;
    let again = post(&server.api, "/api/v2/calls", "r", &json!({ "to": "112", "text": "x" })).await;
    assert_eq!((refused.0, &refused.1, again.2), (422, &again.1, true));
    for key in ["a b", "", &"k".repeat(256), "ünïcödé"] {
        let (status, problem, _) = post(&server.api, "/api/v2/alerts", key, &alert).await;
        assert_eq!(status, 400, "{key:?}: {problem}");
        assert!(problem["detail"].as_str().expect("words").contains("Idempotency-Key"), "{problem}");
    }
    assert_eq!(post(&server.api, "/api/v2/alerts", &"k".repeat(255), &alert).await.0, 201);
    // Without a key each is one of its own.
    for _ in 0..2 {
        server.api.post("/api/v2/alerts", &alert).await.expect("stored");
    }
    assert_eq!(count(&server.api, "incidents").await, 6);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_reminder_and_what_is_said_of_an_incident_count_once() {
    let (_slot, mut server) = server().await;
    let reminder = json!({ "to": { "contact": "Ana" }, "text": "hello", "start": "2026-01-01T08:00", "time_zone": "UTC", "rrule": "FREQ=DAILY" });
    let made = post(&server.api, "/api/v2/reminders", "r", &reminder).await;
    assert_eq!(made.0, 201, "{}", made.1);
    assert_eq!(post(&server.api, "/api/v2/reminders", "r", &reminder).await.1, made.1);
    assert_eq!(count(&server.api, "reminders").await, 1);
    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let path = format!("/api/v2/incidents/{}", raised["incident_id"].as_str().expect("an id"));
    for what in ["escalate", "escalate", "acknowledge", "acknowledge", "resolve"] {
        assert_eq!(post(&server.api, &format!("{path}/{what}"), "s", &json!({})).await.0, 200);
    }
    let lines = server.api.get(&format!("{path}/timeline")).await.expect("a timeline");
    let escalated = lines["items"].as_array().expect("lines").iter().filter(|line| line["kind"] == "escalated");
    assert_eq!(escalated.count(), 1);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn killed_between_the_commit_and_the_answer_it_is_not_done_again() {
    let (_slot, mut server) = server().await;
    let url = format!("sqlite://{}", server.directory().join("data/ringdown.db").display());
    let database = sea_orm::Database::connect(url).await.expect("the database opens");
    // From now on no answer can be kept: as if the server were killed before each.
    let refuse = "CREATE TRIGGER refuse BEFORE UPDATE ON idempotency WHEN NEW.answer IS NOT NULL \
                  BEGIN SELECT RAISE(ABORT, 'refused'); END";
    database.execute_unprepared(refuse).await.expect("a trigger");
    let alert = json!({ "summary": "the disk is full" });
    let raised = post(&server.api, "/api/v2/alerts", "a", &alert).await;
    let path = format!("/api/v2/incidents/{}/escalate", raised.1["incident_id"].as_str().expect("an id"));
    let requests = [
        ("/api/v2/alerts", alert),
        ("/api/v2/calls", call()),
        ("/api/v2/calls", json!({ "to": "Ana", "text": "later", "at": "2099-01-01T00:00:00Z" })),
        (path.as_str(), json!({})),
    ];
    let mut first = vec![raised];
    for (key, (path, body)) in ["a", "b", "c", "d"].iter().zip(&requests).skip(1) {
        first.push(post(&server.api, path, key, body).await);
    }
    assert!(first.iter().all(|answer| [200, 201].contains(&answer.0)), "{first:?}");
    server.kill().await.expect("killed");
    database.execute_unprepared("DROP TRIGGER refuse").await.expect("no trigger");
    server.restart().await.expect("it comes back");
    let (incidents, calls) = (count(&server.api, "incidents").await, count(&server.api, "calls").await);
    for (key, ((path, body), first)) in ["a", "b", "c", "d"].iter().zip(requests.iter().zip(&first)) {
        let again = post(&server.api, path, key, body).await;
        assert_eq!((again.0, again.2), (first.0, false), "{path}: it is looked at again");
        assert_eq!(again.1["incident_id"], first.1["incident_id"], "{path}");
        assert_eq!(again.1["at"], first.1["at"], "{path}");
        assert_eq!(again.1["step"], first.1["step"], "{path}: passed on once");
        assert!(post(&server.api, path, key, body).await.2, "{path}: now its answer is kept");
    }
    assert_eq!((count(&server.api, "incidents").await, count(&server.api, "calls").await), (incidents, calls));
    let (_, problem) = server.api.ask(Method::GET, "/api/v2/incidents/x", None).await.expect("an answer");
    assert_eq!(problem["status"], 400);
    assert_eq!(IncidentId::generate().0.get_version_num(), 7);
    server.stop().await.expect("stops");
}
