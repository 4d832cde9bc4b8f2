//! What other systems are told: signed, in order, until they have it, and nobody waits for another.

use std::{collections::BTreeSet, path::Path, time::Duration};

use lab::{api::Api, server::Server, settings::Settings, slot::Slot, wait::until};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    ANA,
    receiver::{Answer, Receiver},
    story,
};

const HOOKS: &str = "/api/v2/webhooks";
const MINUTE: Duration = Duration::from_secs(60);

/// A server without a PBX that may tell this machine.
async fn server() -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]);
    may_tell_us(&mut settings);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

fn may_tell_us(settings: &mut Settings) {
    settings.set("webhooks.allow", vec!["127.0.0.0/8", "::1/128"]);
    settings.set("webhooks.timeout", 2).set("webhooks.tries", 3).set("webhooks.retry", 1);
}

async fn hook(api: &Api, url: &str, kinds: &[&str]) -> Value {
    api.post(HOOKS, &json!({ "url": url, "kinds": kinds })).await.expect("a webhook")
}

async fn raise(api: &Api, summary: &str) -> String {
    let answer = api.post("/api/v2/alerts", &json!({ "summary": summary })).await.expect("stored");
    answer["incident_id"].as_str().expect("an id").to_owned()
}

fn id(of: &Value) -> &str {
    of["id"].as_str().expect("an id")
}

/// Waits until so many deliveries of this webhook are in this status.
async fn deliveries(api: &Api, hook: &str, status: &str, count: usize) -> Vec<Value> {
    until(format!("{count} deliveries are {status}"), MINUTE, async || {
        let page = api.get(&format!("{HOOKS}/{hook}/deliveries?limit=500&status={status}")).await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        Ok((items.len() == count).then_some(items))
    })
    .await
    .expect("deliveries")
}

#[tokio::test]
async fn an_event_is_told_signed_and_in_order() {
    let (_slot, mut server) = server().await;
    let (all, some) = (Receiver::start().await, Receiver::start().await);
    let made = hook(&server.api, &all.url("/all?x=y"), &[]).await;
    hook(&server.api, &some.url("/some"), &["acknowledged", "resolved"]).await;
    let (secret, path) = (made["secret"].as_str().expect("a secret").to_owned(), format!("{HOOKS}/{}", id(&made)));
    assert_eq!(secret.len(), 64);
    assert!(server.api.get(&path).await.expect("a webhook")["secret"].is_null(), "it is shown once");
    let incident = raise(&server.api, "übel & \"wild\"\n🔥").await;
    server.api.post(&format!("/api/v2/incidents/{incident}/resolve"), &json!({})).await.expect("resolved");

    let got = all.gets(3).await.expect("deliveries");
    let kinds: Vec<Value> = got.iter().map(|got| got.json()["kind"].clone()).collect();
    assert_eq!(kinds, ["raised", "held_no_policy", "resolved"]);
    let timeline = server.api.timeline(&incident, None).await.expect("a timeline");
    for (got, line) in got.iter().zip(&timeline) {
        let told = got.json();
        assert_eq!((got.path.as_str(), &told["id"], &told["data"]), ("/all", &line["id"], &line["data"]));
        assert_eq!((told["id"].as_str(), &told["incident"]), (Some(got.event_id.as_str()), &json!(incident)));
        assert!(got.is_signed_with(&secret).await);
        assert!(!got.is_signed_with("another").await);
    }
    let got = some.gets(1).await.expect("deliveries");
    assert_eq!(got[0].json()["kind"], "resolved");
    assert_eq!(deliveries(&server.api, id(&made), "delivered", 3).await[0]["answer"], 200);
    assert_eq!(some.got().len(), 1);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_webhook_is_edited_by_whoever_has_seen_it_and_gets_a_new_secret() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    let made = hook(api, &old.url("/"), &["raised"]).await;
    let path = format!("{HOOKS}/{}", id(&made));
    let send = async |method: Method, path: &str, tag: Option<&str>, body: Value| {
        let mut request =
            Client::new().request(method, format!("{}{path}", api.base)).bearer_auth(&api.key).json(&body);
        if let Some(tag) = tag {
            request = request.header("if-match", tag);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap_or_default())
    };
    let moved = json!({ "url": new.url("/"), "kinds": ["raised"] });
    assert_eq!(send(Method::PUT, &path, None, moved.clone()).await.0, 428);
    assert_eq!(send(Method::PUT, &path, Some("\"7\""), moved.clone()).await.0, 412);
    assert_eq!(send(Method::PUT, &path, Some("\"1\""), moved.clone()).await.0, 200);
    let (status, rotated) = send(Method::POST, &format!("{path}/secret"), Some("\"2\""), json!({})).await;
    assert_eq!(status, 200);
    assert_ne!(rotated["secret"], made["secret"]);
    raise(api, "one").await;
    let got = new.gets(1).await.expect("a delivery");
    assert!(got[0].is_signed_with(rotated["secret"].as_str().expect("a secret")).await);
    assert!(old.got().is_empty());
    // What happens while it is disabled is not told.
    let disabled = json!({ "url": new.url("/"), "kinds": ["raised"], "enabled": false });
    assert_eq!(send(Method::PUT, &path, Some("\"3\""), disabled).await.0, 200);
    raise(api, "unheard").await;
    assert_eq!(send(Method::PUT, &path, Some("\"4\""), moved).await.0, 200);
    let third = raise(api, "three").await;
    let got = new.gets(2).await.expect("a delivery");
    assert_eq!(got[1].json()["incident"], json!(third));
    assert_eq!(send(Method::DELETE, &path, Some("\"5\""), Value::Null).await.0, 204);
    assert_eq!(api.get(HOOKS).await.expect("a list")["items"], json!([]));
    assert_eq!(send(Method::GET, &path, None, Value::Null).await.0, 404);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_fails_is_tried_again_and_a_redirect_is_a_failure() {
    let (_slot, mut server) = server().await;
    let (receiver, elsewhere) = (Receiver::start().await, Receiver::start().await);
    receiver.answers([Answer::Status(500), Answer::Redirect(elsewhere.url("/")), Answer::Status(204)]);
    let made = hook(&server.api, &receiver.url("/"), &["raised"]).await;
    raise(&server.api, "one").await;
    let got = receiver.gets(3).await.expect("three tries");
    assert!(got.iter().all(|again| again.event_id == got[0].event_id && again.body == got[0].body));
    let delivered = deliveries(&server.api, id(&made), "delivered", 1).await;
    assert_eq!((&delivered[0]["tries"], &delivered[0]["answer"]), (&json!(3), &json!(204)));
    assert!(elsewhere.got().is_empty(), "nobody has checked where it leads");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_is_given_up_can_be_replayed() {
    let (_slot, mut server) = server().await;
    let receiver = Receiver::start().await;
    receiver.always(Answer::Status(503));
    let made = hook(&server.api, &receiver.url("/"), &["raised"]).await;
    let hook = id(&made);
    for n in 0..3 {
        raise(&server.api, &format!("alert {n}")).await;
    }
    let dead = deliveries(&server.api, hook, "dead", 3).await;
    assert_eq!(receiver.got().len(), 9, "three tries each");
    assert!(dead.iter().all(|dead| dead["answer"] == 503 && dead["tries"] == 3 && !dead["ended_at"].is_null()));
    receiver.always(Answer::Status(200));
    let replay = format!("{HOOKS}/{hook}/deliveries/{}/replay", id(&dead[1]));
    assert_eq!(server.api.post(&replay, &json!({})).await.expect("replayed")["replayed"], 1);
    assert_eq!(id(&deliveries(&server.api, hook, "delivered", 1).await[0]), id(&dead[1]));
    let (status, _) = server.api.ask(Method::POST, &replay, Some(&json!({}))).await.expect("an answer");
    assert_eq!(status, StatusCode::CONFLICT);
    let all = server.api.post(&format!("{HOOKS}/{hook}/replay"), &json!({})).await.expect("replayed");
    assert_eq!(all["replayed"], 2);
    deliveries(&server.api, hook, "delivered", 3).await;
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_is_not_public_is_told_nothing_unless_it_is_allowed() {
    let (_slot, mut server) = server().await;
    let receiver = Receiver::start().await;
    let by_name = format!("http://localhost:{}/", receiver.port);
    let named = hook(&server.api, &by_name, &["raised"]).await;
    let numbered = hook(&server.api, &receiver.url("/"), &["raised"]).await;
    raise(&server.api, "one").await;
    receiver.gets(2).await.expect("deliveries");
    // It is allowed no more: the name still means what it meant, and is looked at again.
    server.stop().await.expect("stops");
    let settings = std::fs::read_to_string(server.file()).expect("a file");
    let strict: Vec<&str> = settings.lines().filter(|line| !line.starts_with("allow = [\"127.0.0.0/8\"")).collect();
    assert!(strict.len() < settings.lines().count(), "{settings}");
    std::fs::write(server.file(), strict.join("\n")).expect("it is written");
    server.restart().await.expect("it comes back");
    raise(&server.api, "two").await;
    for made in [&named, &numbered] {
        let dead = deliveries(&server.api, id(made), "dead", 1).await;
        assert!(dead[0]["failure"].as_str().expect("words").contains("no public address"), "{dead:?}");
    }
    assert_eq!(receiver.got().len(), 2);
    for url in [receiver.url("/"), by_name, "http://10.1.2.3/".into(), "http://a:b@example.com/".into(), "x".into()] {
        let (status, problem) =
            server.api.ask(Method::POST, HOOKS, Some(&json!({ "url": url }))).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}: {problem}");
        let call = json!({ "to": ANA, "text": "hello", "callback_url": url });
        let (status, _) = server.api.ask(Method::POST, "/api/v2/calls", Some(&call)).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_receiver_that_never_answers_holds_up_nobody_else() {
    let (_slot, mut server) = server().await;
    let (stuck, quick) = (Receiver::start().await, Receiver::start().await);
    stuck.always(Answer::Never);
    hook(&server.api, &stuck.url("/"), &["raised"]).await;
    hook(&server.api, &quick.url("/"), &["raised"]).await;
    raise(&server.api, "one").await;
    stuck.gets(1).await.expect("it is told");
    let begin = std::time::Instant::now();
    for n in 0..40 {
        raise(&server.api, &format!("alert {n}")).await;
    }
    let got = quick.gets(41).await.expect("deliveries");
    // One at a time with two seconds each, it would have been eighty.
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    let sequences: Vec<i64> = got.iter().filter_map(|got| got.json()["sequence"].as_i64()).collect();
    assert!(sequences.is_sorted(), "{sequences:?}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_happened_before_the_server_was_killed_is_told_after_it_came_back() {
    let (_slot, mut server) = server().await;
    let receiver = Receiver::start().await;
    receiver.always(Answer::Never);
    hook(&server.api, &receiver.url("/"), &["raised"]).await;
    let mut raised = BTreeSet::new();
    for n in 0..30 {
        raised.insert(raise(&server.api, &format!("alert {n}")).await);
    }
    receiver.gets(1).await.expect("a try");
    server.kill().await.expect("killed");
    receiver.always(Answer::Status(200));
    server.restart().await.expect("it comes back");
    until("all are told", MINUTE, async || {
        let told = receiver.got().into_iter().filter_map(|got| got.json()["incident"].as_str().map(str::to_owned));
        // The first one was told before, and nobody knows whether it was heard.
        Ok((told.collect::<BTreeSet<_>>() == raised && receiver.got().len() == 31).then_some(()))
    })
    .await
    .expect("all of them, and the one that was under way twice");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_scheduled_call_that_is_called_off_is_told_as_well() {
    let (_slot, mut server) = server().await;
    let receiver = Receiver::start().await;
    let call = json!({ "to": ANA, "text": "hello", "at": "2099-01-01T00:00:00Z", "callback_url": receiver.url("/cb") });
    let placed = server.api.post("/api/v2/calls", &call).await.expect("a call");
    let incident = placed["incident_id"].as_str().expect("an id");
    // Calls of others are none of its business.
    server.api.post("/api/v2/calls", &json!({ "to": ANA, "text": "hello" })).await.expect("a call");
    let path = format!("/api/v2/scheduled-calls/{incident}");
    let (status, _) = server.api.ask(Method::DELETE, &path, None).await.expect("an answer");
    assert_eq!(status, StatusCode::NO_CONTENT);
    let got = receiver.gets(2).await.expect("callbacks");
    let statuses: Vec<Value> = got.iter().map(|got| got.json()["incident_status"].clone()).collect();
    assert_eq!(statuses, ["scheduled", "resolved"]);
    assert!(got.iter().all(|got| got.path == "/cb" && got.json()["incident"] == incident));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn whoever_asked_for_a_call_is_told_how_it_goes() {
    story(may_tell_us, async |h| {
        let receiver = Receiver::start().await;
        receiver.answers([Answer::Status(500)]);
        let call = json!({ "to": ANA, "text": "Disk full", "callback_url": receiver.url("/cb") });
        let placed = h.server.api.post("/api/v2/calls", &call).await?;
        let incident = placed["incident_id"].as_str().expect("an id").to_owned();
        h.phone(ANA).rings().await?;
        // Whoever answers before it is known that it rings has not made it ring.
        h.told(&incident, "ringing").await?;
        h.phone(ANA).answers().await?.hears_something().await?.presses('4').await?;
        h.is(&incident, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        let record = h.record(&incident).await?;
        // Six changes, and one of them twice.
        let got = receiver.gets(7).await?;
        let secret = h.server.api.get(&format!("{HOOKS}/callback-secret")).await?;
        let secret = secret["secret"].as_str().expect("a secret");
        let mut told: Vec<Value> = Vec::new();
        for got in &got[1..] {
            assert!(got.is_signed_with(secret).await);
            told.push(got.json());
        }
        told.sort_by_key(|told| told["sequence"].as_i64());
        assert!(told.iter().all(|told| told["incident"] == incident));
        let calls: Vec<&Value> = told.iter().filter(|told| !told["status"].is_null()).collect();
        assert!(calls.iter().all(|told| told["call_id"] == record["id"]));
        let statuses: Vec<&str> = calls.iter().filter_map(|told| told["status"].as_str()).collect();
        assert_eq!(statuses, ["pending", "dialing", "ringing", "answered", "completed"]);
        let of_incident: Vec<&str> = told.iter().filter_map(|told| told["incident_status"].as_str()).collect();
        assert_eq!(of_incident, ["acknowledged"]);
        // But for the one that was tried again they came in order.
        let order: Vec<i64> = got.iter().filter_map(|got| got.json()["sequence"].as_i64()).collect();
        let first = order[0];
        let others: Vec<i64> = order[1..].iter().copied().filter(|&sequence| sequence != first).collect();
        assert!(others.is_sorted(), "{order:?}");
        Ok(())
    })
    .await;
}
