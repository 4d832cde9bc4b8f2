//! What stands around every request: credentials, limits, problems, TLS. No telephone rings here.

use std::path::Path;

use lab::{
    api::Api,
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// A server without a PBX: calls wait.
async fn server(change: impl FnOnce(&mut Settings, &Slot)) -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &["+393331234567"]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    change(&mut settings, &slot);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

async fn plain() -> (Slot, Server) {
    server(|_, _| {}).await
}

/// Sends `body` as it is, with the right key.
async fn send(api: &Api, path: &str, media_type: &str, body: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{}{path}", api.base)).bearer_auth(&api.key);
    let answer = request.header("content-type", media_type).body(body).send().await.expect("an answer");
    let (status, media_type) = (answer.status(), answer.headers()["content-type"].to_str().expect("text").to_owned());
    let text = answer.text().await.expect("a body");
    if !status.is_success() {
        assert_eq!(media_type, "application/problem+json", "{text}");
    }
    (status, serde_json::from_str(&text).expect("JSON"))
}

async fn incidents(api: &Api) -> Vec<Value> {
    let page = api.get("/api/v2/incidents").await.expect("a list");
    page["items"].as_array().cloned().expect("items")
}

#[tokio::test]
async fn a_body_that_cannot_be_understood_is_refused_with_the_reason_and_nothing_is_stored() {
    let (_slot, mut server) = plain().await;
    let api = &server.api;
    let (generic, webhook) = ("/api/v2/alerts", "/api/v2/alerts/alertmanager");
    for (path, body, reason) in [
        (generic, &b""[..], "not JSON"),
        (generic, b"{", "not JSON"),
        (generic, b"[]", "invalid length 0"),
        (generic, b"{\"severity\": \"x\"}", "missing field `summary`"),
        (generic, b"{\"summary\": \" \\n \"}", "summary: is empty"),
        (generic, b"{\"summary\": \"\xff\xfe\"}", "not JSON"),
        (generic, b"{\"summary\": \"x\", \"status\": \"burning\"}", "unknown variant `burning`"),
        (generic, b"{\"summary\": \"x\", \"dedup_key\": \"\"}", "minLength(1)"),
        (webhook, b"{\"receiver\": \"x\"}", "missing field `groupKey`"),
        (webhook, b"{\"receiver\": \"x\", \"groupKey\": \"k\", \"status\": \"firing\"}", "missing field `alerts`"),
        ("/api/v2/calls", b"{\"to\": \"+393331234567\"}", "missing field `text`"),
    ] {
        let (status, problem) = send(api, path, "application/json", body).await;
        let shown = String::from_utf8_lossy(body);
        assert_eq!(status, StatusCode::BAD_REQUEST, "{shown}: {problem}");
        assert_eq!(problem["type"], "urn:ringdown:problem:malformed", "{shown}");
        assert!(problem["detail"].as_str().expect("a detail").contains(reason), "{shown}: {problem}");
    }
    let (status, _) = send(api, generic, "application/xml", "<alert/>").await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let nested = format!("{{\"summary\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(send(api, generic, "application/json", nested).await.0, StatusCode::BAD_REQUEST);
    let huge = format!("{{\"summary\": \"{}\"}}", "a".repeat(1024 * 1024));
    assert_eq!(send(api, generic, "application/json", huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(incidents(api).await, Vec::<Value>::new());
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn xml_is_refused_wherever_a_body_is_taken() {
    let (_slot, mut server) = plain().await;
    let document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("JSON");
    let id = "01a1f8e0-f9ba-7492-bf0a-a277d869111c";
    let mut tried = 0;
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            if operation.get("requestBody").is_none() {
                continue;
            }
            let url = format!("{}{}", server.api.base, path.replace("{id}", id).replace(['{', '}'], ""));
            for media_type in ["application/xml", "text/xml", "application/soap+xml"] {
                let method: Method = method.to_uppercase().parse().expect("a method");
                let request = Client::new().request(method, &url).bearer_auth(&server.api.key);
                let answer = request.header("content-type", media_type).body("<a/>").send().await.expect("an answer");
                // The predecessors' routes take their values from the address, too, and do not get that far.
                if operation["tags"][0] == "Compat" {
                    assert!(answer.status().is_client_error(), "{path} {media_type}: {}", answer.status());
                } else {
                    assert_eq!(answer.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path} {media_type}");
                }
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
            }
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn whoever_asks_in_a_way_that_is_not_there_is_told_which_ways_are() {
    let (_slot, mut server) = plain().await;
    for (path, allow) in [
        ("/api/v2/incidents", "GET"),
        ("/api/v2/calls", "GET, POST"),
        ("/api/v2/webhooks/callback-secret", "GET"),
        ("/docs", "GET, HEAD"),
    ] {
        let request = Client::new().patch(format!("{}{path}", server.api.base)).bearer_auth(&server.api.key);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
        assert_eq!(answer.headers()["allow"], allow, "{path}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn null_is_nothing_and_a_number_is_no_text() {
    let (_slot, mut server) = plain().await;
    let alert = json!({ "summary": "x", "details": null, "dedup_key": null, "labels": { "a": "b" } });
    server.api.post("/api/v2/alerts", &alert).await.expect("stored");
    for wrong in [json!({ "summary": 1 }), json!({ "summary": null }), json!({ "summary": "x", "details": false })] {
        let (status, problem) = server.api.ask(Method::POST, "/api/v2/alerts", Some(&wrong)).await.expect("an answer");
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {problem}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_number_that_must_not_be_called_is_refused() {
    let (_slot, mut server) = server(|settings, _| {
        settings.set("numbers.country", "IT").set("numbers.extensions", vec!["8XXX", "XXX"]);
    })
    .await;
    for (number, problem) in [
        ("9200@net&PJSIP/9300", "not-a-number"),
        ("Local/1@x", "not-a-number"),
        ("+39 055 (12)", "not-a-number"),
        ("+39 333 1234567\r\nAction: Logoff", "not-a-number"),
        ("", "not-a-number"),
        ("112", "destination-refused"),
        ("911", "destination-refused"),
        ("+39 899 123456", "destination-refused"),
        ("+881 612 345 678", "destination-refused"),
        ("+44 20 7183 8750", "destination-refused"),
    ] {
        let body = json!({ "to": number, "text": "hello" });
        let (status, answer) = server.api.ask(Method::POST, "/api/v2/calls", Some(&body)).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{number}: {answer}");
        assert_eq!(answer["type"], format!("urn:ringdown:problem:{problem}"), "{number}: {answer}");
    }
    let body = json!({ "to": "+39 333 1234567", "text": " " });
    let (status, _) = server.api.ask(Method::POST, "/api/v2/calls", Some(&body)).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let calls = server.api.get("/api/v2/calls").await.expect("a list");
    assert_eq!(calls["items"], json!([]));
    for number in ["(333) 1234567", "8123"] {
        server.api.post("/api/v2/calls", &json!({ "to": number, "text": "hello" })).await.expect("a call");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn texts_of_any_length_and_character_are_stored_whole() {
    let (_slot, mut server) = plain().await;
    let long = "🔥 disk ".repeat(2500);
    let texts = [
        "a text with `&#+\"';|${}` and \\ and {{ 6 * 7 }}",
        "ünïcödé \u{202e}right to left",
        long.trim(),
        "a\nb\r\nc\td",
    ];
    for text in texts {
        let alert = json!({ "summary": text, "details": text, "labels": { "k": text }, "dedup_key": "k" });
        let answer = server.api.post("/api/v2/alerts", &alert).await.expect("stored");
        let id = answer["incident_id"].as_str().expect("an id").to_owned();
        let incident = server.api.get(&format!("/api/v2/incidents/{id}")).await.expect("an incident");
        for field in ["summary", "details"] {
            assert_eq!(incident[field], *text, "{field}");
        }
        assert_eq!(incident["labels"]["k"], *text);
        server.api.post(&format!("/api/v2/incidents/{id}/resolve"), &json!({})).await.expect("resolved");
    }
    // NUL is the one character that a database cannot hold: a sign stands for it.
    let answer = server.api.post("/api/v2/alerts", &json!({ "summary": "a\u{0}b" })).await.expect("stored");
    let id = answer["incident_id"].as_str().expect("an id");
    let incident = server.api.get(&format!("/api/v2/incidents/{id}")).await.expect("an incident");
    assert_eq!(incident["summary"], "a\u{2400}b");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_is_said_of_something_unknown_is_a_problem_and_twice_the_same_is_none() {
    let (_slot, mut server) = plain().await;
    let nobody = "01a1f8e0-f9ba-7492-bf0a-a277d869111c";
    for path in [
        format!("/api/v2/incidents/{nobody}/acknowledge"),
        format!("/api/v2/incidents/{nobody}/escalate"),
        format!("/api/v2/incidents/{nobody}/resolve"),
        format!("/api/v2/calls/{nobody}/cancel"),
    ] {
        let (status, problem) = server.api.ask(Method::POST, &path, Some(&json!({}))).await.expect("an answer");
        assert_eq!(
            (status, &problem["type"]),
            (StatusCode::NOT_FOUND, &json!("urn:ringdown:problem:not-found")),
            "{path}"
        );
    }
    let (status, _) = server.api.ask(Method::GET, "/api/v2/incidents/nonsense", None).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = server.api.ask(Method::DELETE, "/api/v2/incidents", None).await.expect("an answer");
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let over = json!({ "summary": "x", "dedup_key": "never seen", "status": "resolved" });
    let answer = server.api.post("/api/v2/alerts", &over).await.expect("noted");
    assert_eq!(answer, json!({ "outcome": "nothing_open" }));

    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let id = raised["incident_id"].as_str().expect("an id").to_owned();
    for _ in 0..2 {
        let incident =
            server.api.post(&format!("/api/v2/incidents/{id}/acknowledge"), &json!({})).await.expect("taken");
        assert_eq!((&incident["state"], &incident["acknowledged_by"]), (&json!("acknowledged"), &json!("lab")));
    }
    let lines = server.api.timeline(&id, None).await.expect("a timeline");
    assert_eq!(lines.iter().filter(|line| line["kind"] == "acknowledged").count(), 1, "{lines:#?}");
    let calls = server.api.get(&format!("/api/v2/calls?incident_id={id}")).await.expect("a list");
    assert_eq!(calls["items"][0]["status"], "canceled", "a call that waited is given up");
    let call = calls["items"][0]["id"].as_str().expect("an id");
    let path = format!("/api/v2/calls/{call}/cancel");
    let (status, _) = server.api.ask(Method::POST, &path, Some(&json!({}))).await.expect("an answer");
    assert_eq!(status, StatusCode::CONFLICT, "it is over");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn an_alert_without_a_policy_is_kept_and_an_unknown_policy_falls_back() {
    let (_slot, mut server) = plain().await;
    let raised =
        server.api.post("/api/v2/alerts", &json!({ "summary": "x", "policy": "nonsense" })).await.expect("stored");
    let id = raised["incident_id"].as_str().expect("an id");
    let incident = server.api.get(&format!("/api/v2/incidents/{id}")).await.expect("an incident");
    assert_eq!((&incident["state"], &incident["policy"]), (&json!("escalating"), &json!("night")));
    let lines = server.api.timeline(id, None).await.expect("a timeline");
    assert!(lines.iter().any(|line| line["kind"] == "unknown_policy"), "{lines:#?}");
    server.stop().await.expect("stops");

    let slot = Slot::take().expect("a slot");
    let program = Path::new(env!("CARGO_BIN_EXE_ringdown"));
    let mut server = Server::start(program, &slot, Settings::new()).await.expect("a server");
    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let id = raised["incident_id"].as_str().expect("an id");
    let incident = server.api.get(&format!("/api/v2/incidents/{id}")).await.expect("an incident");
    assert_eq!(incident["state"], "held");
    assert!(!server.part_works("policy").await.expect("an answer"));
    assert!(server.errors().iter().any(|line| line.contains("pages nobody")), "it is said loudly");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_list_pages_through_everything_once() {
    let (_slot, mut server) = plain().await;
    for n in 0..7 {
        server.api.post("/api/v2/alerts", &json!({ "summary": format!("alert {n}") })).await.expect("stored");
    }
    let (mut seen, mut path) = (Vec::new(), "/api/v2/incidents?limit=3".to_owned());
    loop {
        let page = server.api.get(&path).await.expect("a page");
        seen.extend(page["items"].as_array().expect("items").iter().map(|incident| incident["summary"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v2/incidents?limit=3&cursor={next}");
    }
    let newest_first: Vec<Value> = (0..7).rev().map(|n| json!(format!("alert {n}"))).collect();
    assert_eq!(seen, newest_first);
    let (status, _) = server.api.ask(Method::GET, "/api/v2/incidents?limit=0", None).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn figures_and_documentation_are_open_on_this_machine_or_as_it_is_set() {
    let (_slot, mut first) = plain().await;
    let get = async |base: &str, path: &str, key: Option<&str>| {
        let mut request = Client::new().get(format!("{base}{path}"));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let answer = request.send().await.expect("an answer");
        (answer.status(), answer.text().await.expect("a body"))
    };
    let base = first.api.base.clone();
    first.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let (status, figures) = get(&base, "/metrics", None).await;
    assert_eq!(status, StatusCode::OK);
    assert!(figures.contains("ringdown_incidents_raised_total 1"), "{figures}");
    assert!(!figures.contains("393331234567"), "no numbers in figures");
    let (status, page) = get(&base, "/docs", None).await;
    assert_eq!(status, StatusCode::OK);
    for place in [
        "src=\"http",
        "href=\"http",
        "src=\"//",
        "href=\"//",
        "url(http",
        "url(//",
        "@import",
        "<link rel=\"preconnect",
    ] {
        assert!(!page.contains(place), "the page brings everything with it: {place}");
    }
    assert_eq!(get(&base, "/openapi.json", None).await.1, include_str!("../../openapi/openapi.json"));
    first.stop().await.expect("stops");

    let (_slot, mut second) = server(|settings, _| {
        settings.set("server.metrics", "key").set("server.docs", "off");
    })
    .await;
    let base = second.api.base.clone();
    assert_eq!(get(&base, "/metrics", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&base, "/metrics", Some(&second.api.key)).await.0, StatusCode::OK);
    assert_eq!(get(&base, "/docs", Some(&second.api.key)).await.0, StatusCode::NOT_FOUND);
    second.stop().await.expect("stops");
}

#[tokio::test]
async fn every_answer_has_an_id_and_the_security_headers() {
    let (_slot, mut server) = plain().await;
    let url = format!("{}/api/v2/incidents", server.api.base);
    let ask = async |id: &str| {
        let request = Client::new().get(&url).header("x-request-id", id);
        request.send().await.expect("an answer").headers().clone()
    };
    let headers = ask("from-outside.1").await;
    assert_eq!(headers["x-request-id"], "from-outside.1");
    assert_eq!(headers["www-authenticate"], "Bearer", "nobody was told who asks");
    for (name, value) in
        [("x-content-type-options", "nosniff"), ("x-frame-options", "DENY"), ("cache-control", "no-store")]
    {
        assert_eq!(headers[name], value);
    }
    let headers = ask("not fit; for a log").await;
    assert_eq!(headers["x-request-id"].len(), 32, "one of our own");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn with_a_certificate_it_speaks_tls_and_nothing_else() {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let pem = issued.cert.pem();
    let slot = Slot::take().expect("a slot");
    let (certificate, key) = (slot.directory().join("tls.crt"), slot.directory().join("tls.key"));
    std::fs::write(&certificate, &pem).expect("written");
    std::fs::write(&key, issued.signing_key.serialize_pem()).expect("written");
    let port = slot.port();
    let config = slot.directory().join("tls.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\ndata = {data:?}\ntls_certificate = {certificate:?}\ntls_key = {key:?}\n\
         [agi]\nlisten = \"127.0.0.1:{agi}\"\n",
        data = slot.directory().join("tls-data"),
        agi = slot.port(),
    );
    std::fs::write(&config, text).expect("written");
    let mut server = tokio::process::Command::new(env!("CARGO_BIN_EXE_ringdown"))
        .args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("starts");
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let trusted = reqwest::Certificate::from_pem(pem.as_bytes()).expect("a certificate");
    let client = Client::builder().tls_certs_only([trusted]).no_proxy().build().expect("a client");
    let alive = lab::wait::until("HTTPS answers", std::time::Duration::from_secs(30), async || {
        let answer = client.get(format!("https://localhost:{port}/healthz")).send().await;
        Ok(answer.ok().map(|answer| answer.status()))
    });
    assert_eq!(alive.await.expect("an answer"), StatusCode::OK);
    assert!(Client::new().get(format!("http://localhost:{port}/healthz")).send().await.is_err());
    server.kill().await.expect("stops");
}
