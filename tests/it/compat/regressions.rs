//! What the predecessors lose or let in, and ringdown does not. Some of it was tested before under
//! another name:
//!
//! | what they do | test |
//! |---|---|
//! | Asterisk down: accepted alerts are lost | `faults`, `outcomes` (PBX killed and back) |
//! | database down: answers 200 | `faults`: 503, and `malformed_is_not_500_and_an_unreachable_database_is` for the classes |
//! | killed with accepted alerts: lost | `faults` (kills), `idempotency` |
//! | 500 alerts at once: calls without a record | `five_hundred_alerts_at_once_are_all_recorded` |
//! | only the first alert of a group; `resolved` and malformed get 500 | `groups`, `malformed_is_not_500` |
//! | text late, once, keys ignored, `44` no acknowledgement | `keys` |
//! | same text overwrites the other's call; the word "None" | `two_alerts_with_the_same_text_are_two_calls` |
//! | retries starve, call who has acknowledged, ignore causes | `outcomes`, `engine` |
//! | naive times; on-call windows | `a_local_time_is_the_configured_zones_and_a_past_one_is_refused`, `schedules` |
//! | `&`, `#`, `+` cut a text or set a flag | `an_ampersand_in_a_text_sets_no_flag` |
//! | texts over 1,024 characters vanish | `http::texts_of_any_length_and_character_are_stored_whole`, `a_long_text_is_kept_whole` |
//! | no authentication; GETs that change something | `every_route_needs_a_key`, `http::every_operation_but_health_needs_a_known_key` |
//! | a path in `msg_chk_sum` writes files anywhere | `a_path_in_a_checksum_reads_and_writes_nothing` |
//! | CSV cells that start with `=` | `csv_cells_that_begin_with_equals_are_defused` |
//! | the configuration can be read and written over HTTP | `the_configuration_has_no_endpoint` |
//! | X-Forwarded-For decides about limits | `x_forwarded_for_is_not_believed` |
//! | "Success" anywhere from AMI counts; the way out is unfiltered | `ami` and `dialplan` tests; `http::a_number_that_must_not_be_called_is_refused` |
//! | call status never updated from events | `the_contact_centers_call_lands_in_the_pbx_and_its_status_follows_the_channel` |
//! | placeholder secrets are taken in debug mode | `config` (placeholders are refused, always) |

use std::path::Path;

use chrono::{TimeDelta, Utc};
use futures_util::future::join_all;
use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, RequestBuilder, StatusCode};
use ringdown::clock::Clock;
use serde_json::{Value, json};

const ANA: &str = "+393331234567";

/// A server without a PBX: calls wait.
async fn server(change: impl FnOnce(&mut Settings)) -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    settings.policy("compat", &[Step { targets: &["Ana"], ..Step::default() }]).set("numbers.country", "IT");
    change(&mut settings);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

fn request(server: &Server, method: Method, path: &str) -> RequestBuilder {
    let client = Client::builder().no_proxy().build().expect("a client");
    client.request(method, format!("{}{path}", server.api.base))
}

/// Asks with the key in the query.
async fn ask(server: &Server, method: Method, path: &str, query: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = request(server, method, path).query(query).query(&[("key", &server.api.key)]);
    answer(request).await
}

async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// With these fields as a form.
fn form(request: RequestBuilder, fields: &[(&str, &str)]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

fn firing(key: &str, summary: &str) -> Value {
    json!({
        "version": "4", "groupKey": key, "receiver": "phone", "status": "firing", "truncatedAlerts": 0,
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "http://am",
        "alerts": [{
            "status": "firing", "labels": { "alertname": key }, "annotations": { "summary": summary },
            "startsAt": "2026-11-21T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": key,
        }],
    })
}

async fn incidents(server: &Server) -> Vec<Value> {
    let page = server.api.get("/api/v2/incidents?limit=500").await.expect("a list");
    page["items"].as_array().cloned().expect("items")
}

async fn calls(server: &Server) -> Vec<Value> {
    let page = server.api.get("/api/v2/calls?limit=500").await.expect("a list");
    page["items"].as_array().cloned().expect("items")
}

#[tokio::test]
async fn five_hundred_alerts_at_once_are_all_recorded() {
    let (_slot, mut server) = server(|_| {}).await;
    let url = format!("/k/{}/call_only", server.api.key);
    let client = Client::builder().no_proxy().build().expect("a client");
    let post = |nth: usize| {
        let (client, url) = (client.clone(), format!("{}{url}", server.api.base));
        async move {
            loop {
                let alert = firing(&format!("k{nth}"), &format!("alert {nth}"));
                let answer = client.post(&url).json(&alert).send().await.expect("an answer");
                // As Alertmanager does.
                if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                    return (answer.status(), answer.json::<Value>().await.expect("JSON"));
                }
            }
        }
    };
    for (status, said) in join_all((0..500).map(post)).await {
        assert_eq!((status, said), (StatusCode::OK, json!({ "status": "200" })));
    }
    let incidents = incidents(&server).await;
    let mut summaries: Vec<&str> = incidents.iter().filter_map(|incident| incident["summary"].as_str()).collect();
    summaries.sort_unstable();
    summaries.dedup();
    assert_eq!(summaries.len(), 500);
    // All of them are in one call: nobody's phone rings five hundred times.
    let calls = calls(&server).await;
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0]["incident_ids"].as_array().map(Vec::len), Some(500));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn malformed_is_not_500() {
    let (_slot, mut server) = server(|_| {}).await;
    for path in ["/call_only", "/sms_only", "/sms_before_call", "/call_and_sms"] {
        for body in ["", "{", "[]", "{\"alerts\": []}", "{\"alerts\": 7}"] {
            let request = request(&server, Method::POST, path).bearer_auth(&server.api.key);
            let (status, problem) = answer(request.header("content-type", "application/json").body(body)).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {body:?}: {problem}");
            assert_eq!(problem["type"], "urn:ringdown:problem:malformed");
        }
        // What is over and was never open is noted.
        let mut over = firing("never seen", "x");
        over["status"] = "resolved".into();
        over["alerts"][0]["status"] = "resolved".into();
        assert_eq!(server.api.post(path, &over).await.expect("noted"), json!({ "status": "200" }));
    }
    for (path, query) in [
        ("/place_call", vec![("phone", ANA)]),
        ("/place_call", vec![("message", "x")]),
        ("/schedule_call", vec![("phone", ANA), ("message", "x")]),
        ("/make_audio", vec![]),
        ("/msg", vec![]),
    ] {
        let (status, problem) = ask(&server, Method::POST, path, &query).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path} {query:?}: {problem}");
    }
    assert_eq!(incidents(&server).await, Vec::<Value>::new());
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn the_routes_name_sets_the_method_and_resolved_resolves() {
    let (_slot, mut server) = server(|_| {}).await;
    let api = &server.api;
    let line = async |id: &str, kind: &str| {
        let lines = api.timeline(id, None).await.expect("a timeline");
        lines.iter().any(|line| line["kind"] == kind)
    };
    for (path, key) in [("/call_only", "a"), ("/sms_only", "b"), ("/sms_before_call", "c"), ("/call_and_sms", "d")] {
        api.post(path, &firing(key, key)).await.expect("stored");
        let found = incidents(&server).await;
        let id = found[0]["id"].as_str().expect("an id");
        assert_eq!((&found[0]["summary"], &found[0]["policy"]), (&json!(key), &json!("compat")), "{path}");
        assert_eq!(line(id, "attempt").await, path != "/sms_only", "{path} calls");
        assert_eq!(line(id, "no_way_to_text").await, path == "/sms_only", "{path} only texts");
        let mut over = firing(key, key);
        over["status"] = "resolved".into();
        over["alerts"][0]["status"] = "resolved".into();
        api.post(path, &over).await.expect("stored");
        assert_eq!(api.get(&format!("/api/v2/incidents/{id}")).await.expect("there")["state"], "resolved", "{path}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn without_a_policy_of_its_own_the_default_one_pages_loudly() {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    server.api.post("/call_only", &firing("k", "disk")).await.expect("stored");
    let id = incidents(&server).await[0]["id"].as_str().expect("an id").to_owned();
    let lines = server.api.timeline(&id, None).await.expect("a timeline");
    assert!(lines.iter().any(|line| line["kind"] == "unknown_policy"), "{lines:#?}");
    assert_eq!(calls(&server).await.len(), 1);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn an_ampersand_in_a_text_sets_no_flag() {
    let (_slot, mut server) = server(|_| {}).await;
    for text in ["50% & rising #1 +2", "disk&backup_callee=true", "a;b=c?d/e\\f\"'`${x}"] {
        let (status, said) = ask(&server, Method::POST, "/place_call", &[("phone", ANA), ("message", text)]).await;
        assert_eq!((status, said), (StatusCode::OK, json!({ "status": 200 })), "{text}");
        assert_eq!(incidents(&server).await[0]["summary"], text);
        let request = request(&server, Method::POST, "/call_to_queue").bearer_auth(&server.api.key);
        let (status, said) = answer(form(request, &[("phone", "0039 333 1234567"), ("message", text)])).await;
        assert_eq!((status, said), (StatusCode::OK, json!({ "status": 200 })), "{text}");
        assert_eq!(incidents(&server).await[0]["summary"], text);
    }
    // A plus that a query turns into a blank is one again.
    let path = format!("/place_call?phone=+393331234567&message=plus&key={}", server.api.key);
    let (status, said) = answer(request(&server, Method::POST, &path)).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert!(calls(&server).await.iter().all(|call| call["number"] == ANA));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_long_text_is_kept_whole() {
    let (_slot, mut server) = server(|_| {}).await;
    let long = "🔥 disk ".repeat(2500);
    let long = long.trim();
    let request = request(&server, Method::POST, "/place_call").bearer_auth(&server.api.key);
    let (status, said) = answer(form(request, &[("phone", ANA), ("message", long)])).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let id = incidents(&server).await[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.api.get(&format!("/api/v2/incidents/{id}")).await.expect("there")["summary"], long);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn two_alerts_with_the_same_text_are_two_calls() {
    let (_slot, mut server) = server(|_| {}).await;
    for phone in [ANA, "+393337654321"] {
        let (status, said) = ask(&server, Method::POST, "/place_call", &[("phone", phone), ("message", "same")]).await;
        assert_eq!(status, StatusCode::OK, "{said}");
    }
    let calls = calls(&server).await;
    assert_eq!(calls.len(), 2);
    for call in &calls {
        let channel = call["id"].as_str().expect("an id");
        let (status, said) = ask(&server, Method::POST, "/msg", &[("asterisk_chan", channel)]).await;
        assert_eq!((status, &said["message"]), (StatusCode::OK, &json!("same")));
        // The far half of a local channel is the same call.
        let (status, _) =
            ask(&server, Method::POST, "/register_call", &[("asterisk_chan", &format!("{channel};2"))]).await;
        assert_eq!(status, StatusCode::OK);
        let (status, _) =
            ask(&server, Method::POST, "/play", &[("asterisk_chan", channel), ("msg_chk_sum", "1a2b")]).await;
        assert_eq!(status, StatusCode::CONFLICT, "nobody is on the line");
    }
    let (status, _) = ask(&server, Method::GET, "/ack", &[("asterisk_chan", "1763740000.17")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_local_time_is_the_configured_zones_and_a_past_one_is_refused() {
    let (_slot, mut server) = server(|settings| {
        settings.set("compat.time_zone", "Asia/Tokyo");
    })
    .await;
    let at = Clock::System.now() + TimeDelta::days(2);
    let tokyo = chrono::FixedOffset::east_opt(9 * 3600).expect("an offset");
    let local = at.with_timezone(&tokyo).format("%Y-%m-%d %H:%M:%S").to_string();
    let with_offset = at.with_timezone(&tokyo).format("%Y-%m-%dT%H:%M:%S%:z").to_string();
    for (path, text) in [("/schedule_call", &local), ("/scheduled_call", &with_offset)] {
        let query = [("phone", ANA), ("message", "later"), ("scheduled_at", text)];
        let (status, said) = ask(&server, Method::POST, path, &query).await;
        assert_eq!((status, said), (StatusCode::OK, json!({ "status": 200 })), "{text}");
        let waiting = server.api.get("/api/v2/scheduled-calls").await.expect("a list");
        let waits =
            waiting["items"][0]["at"].as_str().expect("a time").parse::<chrono::DateTime<Utc>>().expect("a time");
        assert_eq!(waits.timestamp(), at.timestamp(), "{text}");
    }
    // A plus that a query turns into a blank.
    let path = format!("/schedule_call?phone={ANA}&message=x&scheduled_at={with_offset}&key={}", server.api.key);
    assert_eq!(answer(request(&server, Method::POST, &path)).await.0, StatusCode::OK);
    for past in ["2020-01-01 09:00", "2020-01-01T09:00:00+01:00", "tomorrow"] {
        let query = [("phone", ANA), ("message", "later"), ("scheduled_at", past)];
        let (status, problem) = ask(&server, Method::POST, "/schedule_call", &query).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{past}: {problem}");
    }
    assert_eq!(calls(&server).await, Vec::<Value>::new());
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn every_route_needs_a_key_and_takes_it_in_three_places_and_no_token_in_the_address() {
    let (_slot, mut server) = server(|_| {}).await;
    let key = server.api.key.clone();
    for (path, wanted) in [
        ("/calls".to_owned(), StatusCode::UNAUTHORIZED),
        ("/calls?key=wrong".to_owned(), StatusCode::UNAUTHORIZED),
        ("/calls?key=a.b.c".to_owned(), StatusCode::UNAUTHORIZED),
        (format!("/calls?key={key}"), StatusCode::OK),
        (format!("/k/{key}/calls"), StatusCode::OK),
        ("/k/wrong/calls".to_owned(), StatusCode::UNAUTHORIZED),
        // Nowhere else.
        (format!("/api/v2/calls?key={key}"), StatusCode::UNAUTHORIZED),
        (format!("/k/{key}/api/v2/calls"), StatusCode::NOT_FOUND),
        (format!("/metrics?key={key}"), StatusCode::OK),
        (format!("/%6B/{key}/calls"), StatusCode::NOT_FOUND),
    ] {
        let (status, said) = answer(request(&server, Method::GET, &path)).await;
        assert_eq!(status, wanted, "{said}");
        assert!(!said.to_string().contains(&key), "the key comes back");
    }
    let cookie = request(&server, Method::GET, "/ack?asterisk_chan=x").header("cookie", format!("session={key}"));
    assert_eq!(answer(cookie).await.0, StatusCode::UNAUTHORIZED);
    let number = "/api/v2/interaction/+393331112223";
    let request = request(&server, Method::POST, number).bearer_auth(&key).query(&[("text", "hello")]);
    assert_eq!(answer(request).await.0, StatusCode::CREATED);
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(!log.contains(&key), "the key stands in the log");
    assert!(!log.contains("path\":\"/api/v2/interaction/+39"), "the number stands in a path in the log");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_path_in_a_checksum_reads_and_writes_nothing() {
    let (_slot, mut server) = server(|_| {}).await;
    let (status, sound) = ask(&server, Method::POST, "/make_audio", &[("message", "Disk full")]).await;
    assert_eq!((status, &sound["ready"]), (StatusCode::OK, &json!(true)), "{sound}");
    let name = sound["msg_chk_sum"].as_str().expect("a name");
    let (status, sound) = ask(&server, Method::GET, "/is_audio_ready", &[("msg_chk_sum", name)]).await;
    assert_eq!((status, &sound["ready"]), (StatusCode::OK, &json!(true)), "{sound}");
    let (status, _) = ask(&server, Method::GET, "/is_audio_ready", &[("msg_chk_sum", &"0".repeat(32))]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    for path in ["../ringdown", "/etc/passwd", "..%2f..%2fx", "a\0b", "beeps", "../../tmp/x"] {
        for (method, route) in [(Method::GET, "/is_audio_ready"), (Method::POST, "/play")] {
            let (status, said) = ask(&server, method, route, &[("msg_chk_sum", path), ("asterisk_chan", "x")]).await;
            assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{route} {path:?}: {said}");
        }
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn csv_cells_that_begin_with_equals_are_defused_and_a_contact_goes_through_all_routes() {
    let (_slot, mut server) = server(|_| {}).await;
    let api = &server.api;
    let contact = json!({
        "name": "=HYPERLINK(\"x\")", "surname": "Rossi", "phone_number": "+39 333 7654321", "enabled": true,
        "on_call_availability": [{ "start_at": "2026-01-01 00:00", "end_at": "2100-01-01 00:00", "priority": 1 }],
        "address": "Via Roma 1", "zip_code": "50100", "city": "Firenze", "state": "FI", "country": "IT",
        "annotations": "@cmd",
    });
    assert_eq!(api.post("/contact_add", &contact).await.expect("added"), json!({ "status": 200 }));
    let on_call = api.get("/contact_on_call").await.expect("somebody");
    for field in ["name", "surname", "enabled", "address", "zip_code", "city", "state", "country", "annotations"] {
        assert_eq!(on_call[field], contact[field], "{field}");
    }
    assert_eq!(on_call["phone_number"], "+393337654321");
    let text =
        request(&server, Method::GET, "/contacts_export_csv").bearer_auth(&api.key).send().await.expect("an answer");
    let text = text.text().await.expect("a table");
    let thirteen = "id,name,surname,address,zip_code,city,state,country,phone_number,enabled,created_time,annotations,on_call_availability";
    assert!(text.trim_start_matches('\u{feff}').starts_with(thirteen), "{text}");
    for bare in [",=HYPERLINK", ",\"=HYPERLINK", ",@cmd", ",\"@cmd"] {
        assert!(!text.contains(bare), "{text}");
    }

    let id = on_call["id"].as_str().expect("an id");
    let changed = json!({ "name": "Mario", "surname": "Rossi", "phone_number": "+39 333 7654321", "city": "Prato" });
    assert_eq!(api.put(&format!("/contact_modify/{id}"), &changed).await.expect("changed"), json!({ "status": 200 }));
    let on_call = api.get("/contact_on_call").await.expect("somebody");
    assert_eq!(
        (&on_call["name"], &on_call["city"], &on_call["zip_code"]),
        (&json!("Mario"), &json!("Prato"), &json!("50100"))
    );

    let table = "id,name,surname,address,zip_code,city,state,country,phone_number,enabled,created_time,annotations,on_call_availability\n\
                 7,Mario,Rossi,,,Pisa,,,+393337654321,True,2025-01-01 10:00:00,,\"[]\"\n\
                 8,Lia,Neri,,,,,,+393337654322,True,2025-01-01 10:00:00,,\"[]\"\n\
                 9,Bad,Row,,,,,,112,True,2025-01-01 10:00:00,,\"[]\"\n";
    let report = api.upload("/contacts_import_csv", "text/csv", table.to_owned()).await.expect("imported");
    assert_eq!(
        (&report["created"], &report["updated"], &report["bad_rows"]),
        (&json!(1), &json!(1), &json!(1)),
        "{report}"
    );
    assert_eq!(report["bad"][0]["line"], 4);

    let wrong = json!({ "name": "X", "phone_number": "112" });
    assert_eq!(
        api.ask(Method::POST, "/contact_add", Some(&wrong)).await.expect("an answer").0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    let (status, _) = ask(&server, Method::DELETE, "/contact_delete", &[("id", id)]).await;
    assert!([StatusCode::OK, StatusCode::CONFLICT].contains(&status), "{status}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn the_configuration_has_no_endpoint() {
    let document: Value = serde_json::from_str(include_str!("../../../openapi/openapi.json")).expect("JSON");
    for path in document["paths"].as_object().expect("paths").keys() {
        assert!(!["config", "setup", "settings", "env"].iter().any(|word| path.contains(word)), "{path}");
    }
    let (_slot, mut server) = server(|_| {}).await;
    for path in ["/api/config", "/api/setup", "/config", "/setup", "/settings", "/api/v2/config", "/.env"] {
        for method in [Method::GET, Method::POST, Method::PUT] {
            let request = request(&server, method, path).bearer_auth(&server.api.key);
            assert_eq!(answer(request.json(&json!({}))).await.0, StatusCode::NOT_FOUND, "{path}");
        }
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn x_forwarded_for_is_not_believed() {
    let (_slot, mut server) = server(|_| {}).await;
    // Another address each time: the throttle must see one and the same.
    let mut answers = Vec::new();
    for nth in 0..40 {
        let login =
            request(&server, Method::POST, "/api/v2/token").header("x-forwarded-for", format!("203.0.113.{nth}"));
        let name = format!("nobody{nth}");
        answers.push(answer(form(login, &[("username", &name), ("password", "wrong-password-0")])).await.0);
        if answers.last() == Some(&StatusCode::TOO_MANY_REQUESTS) {
            break;
        }
    }
    assert!(answers.contains(&StatusCode::TOO_MANY_REQUESTS), "{answers:?}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_is_open_tells_no_more_than_it_must() {
    let (_slot, mut server) = server(|_| {}).await;
    let (status, root) = answer(request(&server, Method::GET, "/")).await;
    assert_eq!((status, root), (StatusCode::OK, json!({ "name": "ringdown", "version": env!("CARGO_PKG_VERSION") })));
    let (status, health) = answer(request(&server, Method::GET, "/health")).await;
    let without_pbx = json!({ "status": "degraded", "database": "ok", "asterisk": "error" });
    assert_eq!((status, health), (StatusCode::OK, without_pbx));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn only_what_is_listed_is_shown_and_landed_at() {
    let (_slot, mut server) = server(|_| {}).await;
    let number = "/api/v2/interaction/+393331234567";
    for query in [
        vec![],
        vec![("context", "default"), ("extension", "911"), ("priority", "1")],
        vec![("text", "x"), ("caller_id", "+390550000001")],
        vec![("text", "x"), ("timeout", "1")],
        vec![("text", "x"), ("timeout", "999999999")],
    ] {
        let request = request(&server, Method::POST, number).bearer_auth(&server.api.key).query(&query);
        let (status, problem) = answer(request).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{query:?}: {problem}");
    }
    let body = json!({ "to": ANA, "connect": { "context": "default", "extension": "911" } });
    let (status, problem) = server.api.ask(Method::POST, "/api/v2/calls", Some(&body)).await.expect("an answer");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(calls(&server).await, Vec::<Value>::new());
    server.stop().await.expect("stops");
}
