//! What a stranger can do to the server by asking too much, too slowly, or nothing at all.

use std::{path::Path, time::Duration};

use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    wait::until,
};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::SOON;

async fn server(change: impl FnOnce(&mut Settings, &Slot)) -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &["+393331234567"]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    change(&mut settings, &slot);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

fn address(server: &Server) -> String {
    server.api.base.trim_start_matches("http://").to_owned()
}

#[tokio::test]
async fn whoever_connects_and_says_nothing_makes_room_for_whoever_speaks() {
    let (_slot, mut server) = server(|settings, _| {
        settings.set("server.connections", 20);
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..400 {
        silent.push(TcpStream::connect(address(&server)).await.expect("a connection"));
    }
    // Each time over a connection of its own.
    for n in 0..30 {
        let client = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
        let alert = client.post(format!("{}/api/v2/alerts", server.api.base)).bearer_auth(&server.api.key);
        let answer = alert.json(&json!({ "summary": format!("alert {n}") })).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    // The first ones were closed to make room.
    let mut byte = [0];
    let read = tokio::time::timeout(SOON, silent[0].read(&mut byte)).await.expect("it is closed");
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    let client = Client::new().get(format!("{}/metrics", server.api.base)).bearer_auth(&server.api.key);
    let figures = client.send().await.expect("an answer").text().await.expect("figures");
    let closed = figures.lines().find_map(|line| line.strip_prefix("ringdown_http_connections_closed_total "));
    assert!(closed.expect("a figure").parse::<u32>().expect("a number") >= 350, "{closed:?}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_after_a_while_and_one_that_speaks_slowly_is_told() {
    let (_slot, mut server) = server(|settings, _| {
        settings.set("server.timeout", 1);
    })
    .await;
    let mut silent = TcpStream::connect(address(&server)).await.expect("a connection");
    // A body that is announced and does not come.
    let mut slow = TcpStream::connect(address(&server)).await.expect("a connection");
    let head = format!(
        "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        server.api.key
    );
    slow.write_all(head.as_bytes()).await.expect("it is sent");
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, slow.read(&mut answer)).await.expect("an answer").expect("bytes");
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("retry-after"), "{answer}");
    let mut byte = [0];
    let closed = tokio::time::timeout(SOON, silent.read(&mut byte)).await.expect("it is closed");
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let page = server.api.get("/api/v2/incidents").await.expect("a list");
    assert_eq!(page["items"], json!([]), "nothing was stored");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn whoever_is_not_known_or_may_not_takes_no_place_from_alerts() {
    let (_slot, mut server) = server(|_, _| {}).await;
    let reader = server.api.post("/api/v2/keys", &json!({ "name": "reader", "scopes": ["metrics:read"] })).await;
    let reader = reader.expect("a key")["secret"].as_str().expect("a key").to_owned();
    // More than there are places for alerts, and none of them says what it has announced.
    let mut waiting = Vec::new();
    for n in 0..1100 {
        let credential = if n % 2 == 0 { String::new() } else { format!("authorization: Bearer {reader}\r\n") };
        let head = format!(
            "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\n{credential}content-type: application/json\r\ncontent-length: 10\r\n\r\n"
        );
        let mut stream = TcpStream::connect(address(&server)).await.expect("a connection");
        stream.write_all(head.as_bytes()).await.expect("it is sent");
        waiting.push(stream);
    }
    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    assert_eq!(raised["outcome"], "opened");
    // A stranger is told at once, and nobody waits for the rest of what they have to say.
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(SOON, waiting[0].read(&mut answer)).await.expect("an answer").expect("bytes");
    assert!(answer[..read].starts_with(b"HTTP/1.1 401"), "{}", String::from_utf8_lossy(&answer[..read]));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_credential_has_so_many_requests_and_alerts_are_never_turned_away() {
    let (_slot, mut server) = server(|settings, _| {
        settings.set("server.requests_per_second", 1).set("server.requests_at_once", 5);
    })
    .await;
    let client = Client::new();
    let get = async |key: &str| {
        client.get(format!("{}/api/v2/me", server.api.base)).bearer_auth(key).send().await.expect("an answer")
    };
    let (mut fine, mut refused) = (0, None);
    for _ in 0..20 {
        let answer = get(&server.api.key).await;
        match answer.status() {
            StatusCode::OK => {
                let left = answer.headers()["ratelimit"].to_str().expect("text");
                assert!(left.starts_with("\"credential\";r="), "{left}");
                assert_eq!(answer.headers()["ratelimit-policy"], "\"credential\";q=5;w=5");
                fine += 1;
            }
            _ => refused = Some(answer),
        }
    }
    assert!((4..=8).contains(&fine), "{fine}");
    let refused = refused.expect("some are refused");
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after") && refused.headers().contains_key("ratelimit"));
    assert_eq!(refused.json::<Value>().await.expect("JSON")["type"], "urn:ringdown:problem:too-many-requests");
    for n in 0..40 {
        let alert = client.post(format!("{}/api/v2/alerts", server.api.base)).bearer_auth(&server.api.key);
        let answer = alert.json(&json!({ "summary": format!("alert {n}") })).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn scripts_of_other_sites_are_let_in_only_if_it_is_said() {
    let (_slot, mut closed) = server(|_, _| {}).await;
    let preflight = async |server: &Server, origin: &str| {
        let request = Client::new().request(reqwest::Method::OPTIONS, format!("{}/api/v2/incidents", server.api.base));
        let request = request.header("origin", origin).header("access-control-request-method", "GET");
        let answer = request.header("access-control-request-headers", "authorization").send().await;
        answer.expect("an answer").headers().get("access-control-allow-origin").cloned()
    };
    assert_eq!(preflight(&closed, "https://board.example.org").await, None);
    closed.stop().await.expect("stops");
    let (_slot, mut open) = server(|settings, _| {
        settings.set("server.cors_origins", vec!["https://board.example.org"]);
    })
    .await;
    assert_eq!(preflight(&open, "https://board.example.org").await.expect("let in"), "https://board.example.org");
    assert_eq!(preflight(&open, "https://evil.example.org").await, None);
    // Whoever is not on the list is no worse off than without CORS: an alert is an alert.
    let alert = Client::new().post(format!("{}/api/v2/alerts", open.api.base)).bearer_auth(&open.api.key);
    let alert = alert.header("origin", "https://elsewhere.example.org").json(&json!({ "summary": "x" }));
    assert_eq!(alert.send().await.expect("an answer").status(), StatusCode::CREATED);
    let request = Client::new().get(format!("{}/api/v2/incidents", open.api.base)).bearer_auth(&open.api.key);
    let answer = request.header("origin", "https://board.example.org").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["access-control-allow-origin"], "https://board.example.org");
    open.stop().await.expect("stops");
}

#[tokio::test]
async fn a_certificate_is_read_anew_when_it_changes_and_a_bad_one_is_not_taken() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let (one, two) = (issue("one"), issue("two"));
    let slot = Slot::take().expect("a slot");
    let (chain, key) = (slot.directory().join("tls.crt"), slot.directory().join("tls.key"));
    let write = |(certificate, secret): &(String, String)| {
        std::fs::write(&key, secret).expect("written");
        std::fs::write(&chain, certificate).expect("written");
    };
    write(&one);
    let (port, agi) = (slot.port(), slot.port());
    let config = slot.directory().join("tls.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\ndata = {:?}\ntls_certificate = {chain:?}\ntls_key = {key:?}\n\
         [agi]\nlisten = \"127.0.0.1:{agi}\"\n",
        slot.directory().join("data")
    );
    std::fs::write(&config, text).expect("written");
    let log = std::fs::File::create(slot.directory().join("tls.log")).expect("a log");
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_ringdown"))
        .args(["serve", "--config"])
        .arg(&config)
        .stderr(log)
        .stdout(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("it runs");
    // Whoever trusts only this certificate is served with it.
    let served_with = async |certificate: &str| {
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).expect("a certificate");
        let client = Client::builder().tls_certs_only([root]).build().expect("a client");
        client.get(format!("https://localhost:{port}/healthz")).send().await.is_ok()
    };
    let wait = async |certificate: &str| {
        until("it is served", SOON, async || Ok(served_with(certificate).await.then_some(()))).await.expect("served");
    };
    wait(&one.0).await;
    assert!(!served_with(&two.0).await);
    // Somebody writes nonsense, and the key of another certificate: the one before stays.
    std::fs::write(&chain, "nonsense").expect("written");
    until("it is told", SOON, async || {
        let log = std::fs::read_to_string(slot.directory().join("tls.log"))?;
        Ok(log.contains("cannot be used").then_some(()))
    })
    .await
    .expect("it is told");
    assert!(served_with(&one.0).await);
    write(&two);
    wait(&two.0).await;
    assert!(!served_with(&one.0).await);
    server.kill().await.expect("it ends");
}

/// A certificate for this machine, and its key.
fn issue(name: &str) -> (String, String) {
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
    let key = rcgen::KeyPair::generate().expect("a key");
    (parameters.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}
