//! Who has changed what, and who has touched the record of it.

use reqwest::Method;
use ringdown::{
    clock::Clock,
    store::{Author, Chain},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{
    access::{access_token, ask, client, server, user},
    databases::{Database, on_both_databases},
};

#[tokio::test]
async fn every_change_is_written_down_with_who_and_from_where() {
    let (_slot, mut server) = server().await;
    user(&server, "ben", "manager").await;
    let token = access_token(&server, "ben").await;
    let send = async |method: Method, path: &str, body: Value| {
        let request = client().request(method, format!("{}{path}", server.api.base)).bearer_auth(&token);
        let answer = request.header("if-match", "*").header("x-request-id", "of-this-test").json(&body);
        let answer = answer.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json::<Value>().await.unwrap_or_default()
    };
    let made =
        send(Method::POST, "/api/v2/contacts", json!({ "name": "Eva", "numbers": [{ "number": "+393331234599" }] }))
            .await;
    let path = format!("/api/v2/contacts/{}", made["id"].as_str().expect("an id"));
    send(Method::PUT, &path, json!({ "name": "Eve", "numbers": [{ "number": "+393331234598" }] })).await;
    send(Method::PUT, &format!("{path}/pin"), json!({ "pin": "274915" })).await;
    send(Method::DELETE, &path, json!({})).await;
    send(Method::PUT, "/api/v2/kill-switch", json!({ "stopped": true })).await;
    let page = server.api.get("/api/v2/audit?actor=ben").await.expect("the audit log");
    let lines = page["items"].as_array().expect("items");
    let told: Vec<(&str, &str)> = lines
        .iter()
        .rev()
        .map(|line| (line["action"].as_str().expect("text"), line["subject_kind"].as_str().expect("text")))
        .collect();
    assert_eq!(
        told,
        [
            ("created", "contact"),
            ("changed", "contact"),
            ("changed", "contact"),
            ("deleted", "contact"),
            ("created", "kill_switch")
        ]
    );
    let changed = &lines[3];
    assert_eq!((&changed["before"]["name"], &changed["after"]["name"]), (&json!("Eva"), &json!("Eve")));
    assert_eq!(changed["after"]["numbers"][0]["number"], "+393331234598");
    assert_eq!((&changed["address"], &changed["request"]), (&json!("127.0.0.1"), &json!("of-this-test")));
    assert_eq!((&changed["actor"], &changed["actor_kind"]), (&json!("ben"), &json!("user")));
    let pin = &lines[2];
    assert_ne!(pin["before"]["pin_hash"], pin["after"]["pin_hash"], "that it changed is told");
    assert!(!page.to_string().contains("274915") && !page.to_string().contains("$argon2"), "not to what");
    // Refused, nothing changes, and nothing is written down.
    let count = server.api.get("/api/v2/audit/check").await.expect("a check")["lines"].clone();
    let (status, _) = ask(&server, Some(&token), Method::POST, "/api/v2/contacts", Some(&json!({ "name": "" }))).await;
    assert!(status.is_client_error());
    let check = server.api.get("/api/v2/audit/check").await.expect("a check");
    assert_eq!((&check["state"], &check["lines"]), (&json!("whole"), &count));
    // The export, looked at with nothing of ours.
    let exported = client().get(format!("{}/api/v2/audit/export", server.api.base)).bearer_auth(&server.api.key);
    let exported = exported.send().await.expect("an answer").text().await.expect("a body");
    let verify = Command::new("python3")
        .args(["-c", include_str!("verify_audit.py")])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut verify = verify.expect("python3");
    verify.stdin.take().expect("standard input").write_all(exported.as_bytes()).await.expect("it reads");
    let said = verify.wait_with_output().await.expect("it ends");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert_eq!(said.trim(), check["head"].as_str().expect("a digest"), "the same end of the chain");
    server.stop().await.expect("stops");
}

async fn whoever_touches_the_audit_log_is_found_out(database: Database) {
    let store = database.store().await;
    let now = Clock::System.now();
    let hand = store.by(Author::command("tests", now));
    for n in 0..5 {
        let data = ringdown::store::ContactData { name: format!("Nr {n}"), ..Default::default() };
        hand.create_contact(data, now).await.expect("stored");
    }
    assert!(matches!(store.check_audit().await, Ok(Chain::Whole { lines: 5, .. })));
    let url = database.url.replace("sqlite:", "sqlite://");
    let raw = sea_orm::Database::connect(url).await.expect("the database opens");
    let tamper = async |statement: &str| raw.execute_unprepared(statement).await.expect("the database takes it");
    let broken = async || match store.check_audit().await.expect("an answer") {
        Chain::Broken { seq, why } => (seq, why),
        whole => panic!("{whole:?}"),
    };
    // Altered, and put back.
    tamper("UPDATE audit SET actor = 'somebody else' WHERE seq = 3").await;
    assert_eq!(broken().await, (3, "it is not as it was written"));
    tamper("UPDATE audit SET actor = 'tests' WHERE seq = 3").await;
    assert!(matches!(store.check_audit().await, Ok(Chain::Whole { .. })));
    for column in ["before", "after", "address", "action"] {
        tamper(&format!("UPDATE audit SET {column} = 'x' WHERE seq = 2")).await;
        assert_eq!(broken().await.0, 2, "{column}");
        let whole = if column == "action" { "'created'".to_owned() } else { "NULL".to_owned() };
        if column == "after" {
            // What it was is not known here: the rest is looked at from the next line on.
            break;
        }
        tamper(&format!("UPDATE audit SET {column} = {whole} WHERE seq = 2")).await;
    }
    // Taken away: in the middle, and at the end.
    tamper("DELETE FROM audit WHERE seq = 2").await;
    assert_eq!(broken().await, (2, "it is missing"));
    tamper("DELETE FROM audit").await;
    assert_eq!(broken().await, (1, "it is missing"));
}

on_both_databases! {
    whoever_touches_the_audit_log_is_found_out
}
