//! Who may do what: every operation with every role and every scope; logging in, and being kept from it;
//! keys; and who has changed what.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, StatusCode};
use ringdown::{
    clock::Clock,
    store::{Author, Chain},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::databases::{Database, on_both_databases};

const PASSWORD: &str = "correct horse battery";

/// Which scope each operation needs; none, or any credential (`*`). By hand: whoever changes what is asked
/// for somewhere changes it here as well.
const NEEDED: &[(&str, &[&str])] = &[
    ("", &["compat_health", "compat_root", "create_token", "get_feed", "healthz", "readyz", "revoke_token"]),
    ("*", &["get_me", "log_out", "set_my_password"]),
    (
        "access:write",
        &[
            "create_key",
            "create_user",
            "get_key",
            "get_user",
            "list_keys",
            "list_users",
            "revoke_key",
            "set_user_password",
            "update_user",
        ],
    ),
    (
        "alerts:write",
        &[
            "alertmanager_webhook",
            "beat",
            "compat_call_and_sms",
            "compat_call_only",
            "compat_sms_before_call",
            "compat_sms_only",
            "raise_alert",
        ],
    ),
    ("audit:read", &["check_audit_log", "export_audit_log", "list_audit_lines"]),
    (
        "calls:read",
        &[
            "compat_calls",
            "compat_interaction_status",
            "compat_is_audio_ready",
            "compat_msg",
            "compat_status",
            "export_channel_event_lines",
            "export_channel_events",
            "get_call",
            "get_reminder",
            "get_scheduled_call",
            "list_calls",
            "list_channel_events",
            "list_reminders",
            "list_scheduled_calls",
        ],
    ),
    (
        "calls:write",
        &[
            "cancel_call",
            "cancel_scheduled_call",
            "compat_call_to_queue",
            "compat_interaction",
            "compat_make_audio",
            "compat_place_call",
            "compat_play",
            "compat_register_call",
            "compat_schedule_call",
            "compat_scheduled_call",
            "create_reminder",
            "delete_reminder",
            "place_call",
            "reschedule_call",
            "update_reminder",
        ],
    ),
    (
        "contacts:read",
        &[
            "compat_contact_on_call",
            "compat_contacts_export",
            "export_contacts",
            "export_oncall_windows",
            "get_caller_id_card",
            "get_contact",
            "get_contact_card",
            "get_contact_cards",
            "get_group",
            "list_contacts",
            "list_groups",
        ],
    ),
    (
        "contacts:write",
        &[
            "compat_contact_add",
            "compat_contact_delete",
            "compat_contact_modify",
            "compat_contacts_import",
            "create_contact",
            "create_group",
            "delete_contact",
            "delete_contact_pin",
            "delete_group",
            "import_contacts",
            "import_oncall_windows",
            "renew_contact_feed",
            "revoke_contact_feed",
            "set_contact_pin",
            "update_contact",
            "update_group",
        ],
    ),
    (
        "incidents:read",
        &["get_incident", "get_incident_timeline", "get_kill_switch", "list_incidents", "stream_events"],
    ),
    (
        "incidents:write",
        &["acknowledge_incident", "compat_ack", "compat_heard", "escalate_incident", "resolve_incident"],
    ),
    ("kill_switch:write", &["set_kill_switch"]),
    ("metrics:read", &["get_readiness"]),
    ("overrides:write", &["create_override", "delete_override", "import_overrides"]),
    (
        "policies:read",
        &[
            "get_heartbeat",
            "get_policy",
            "get_routing_rules",
            "get_silence",
            "list_heartbeats",
            "list_policies",
            "list_policy_versions",
            "list_silences",
            "simulate_policy",
        ],
    ),
    (
        "policies:write",
        &["create_policy", "delete_heartbeat", "delete_policy", "put_heartbeat", "set_routing_rules", "update_policy"],
    ),
    (
        "schedules:read",
        &[
            "get_calendar",
            "get_calendar_state",
            "get_next_change",
            "get_on_call",
            "get_schedule",
            "get_schedule_timeline",
            "list_calendars",
            "list_gaps",
            "list_overrides",
            "list_schedules",
            "list_shifts",
            "list_windows",
        ],
    ),
    (
        "schedules:write",
        &[
            "create_calendar",
            "create_schedule",
            "create_window",
            "delete_calendar",
            "delete_schedule",
            "delete_window",
            "import_holidays",
            "renew_schedule_feed",
            "revoke_schedule_feed",
            "update_calendar",
            "update_schedule",
        ],
    ),
    ("silences:write", &["create_silence", "end_silence", "update_silence"]),
    (
        "webhooks:write",
        &[
            "create_webhook",
            "delete_webhook",
            "get_callback_secret",
            "get_webhook",
            "list_callback_deliveries",
            "list_deliveries",
            "list_webhooks",
            "replay_callback_delivery",
            "replay_delivery",
            "replay_webhook",
            "rotate_webhook_secret",
            "update_webhook",
        ],
    ),
];

/// What each role may do.
const ROLES: [(&str, &[&str]); 4] = [
    ("viewer", &["incidents:read", "calls:read", "contacts:read", "schedules:read", "policies:read", "metrics:read"]),
    ("responder", &["alerts:write", "incidents:write", "calls:write", "overrides:write", "silences:write"]),
    ("manager", &["contacts:write", "schedules:write", "policies:write", "webhooks:write", "kill_switch:write"]),
    ("admin", &["access:write", "audit:read"]),
];

async fn server_with(change: impl FnOnce(&mut Settings)) -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings
        .contact("Ana", &["+393331234567"])
        .policy("night", &[Step { targets: &["Ana"], ..Step::default() }])
        // Each test asks more often than a person would.
        .set("server.requests_per_second", 100_000)
        .set("server.requests_at_once", 100_000);
    change(&mut settings);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

async fn server() -> (Slot, Server) {
    server_with(|_| {}).await
}

/// One for all: to make one takes longer than to ask.
fn client() -> &'static Client {
    // Without idle connections: each test has a runtime of its own, and they die with it.
    static CLIENT: LazyLock<Client> =
        LazyLock::new(|| Client::builder().pool_max_idle_per_host(0).build().expect("a client"));
    &CLIENT
}

/// Asks with this credential.
async fn ask(
    server: &Server,
    credential: Option<&str>,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> (StatusCode, Value) {
    let mut request = client().request(method, format!("{}{path}", server.api.base));
    if let Some(credential) = credential {
        request = request.bearer_auth(credential);
    }
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// Asks for an access token.
async fn token(server: &Server, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let url = format!("{}/api/v2/token", server.api.base);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = client().post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

async fn log_in(server: &Server, name: &str, password: &str) -> (StatusCode, Value) {
    token(server, &[("grant_type", "password"), ("username", name), ("password", password)]).await
}

async fn access_token(server: &Server, name: &str) -> String {
    let (status, answer) = log_in(server, name, PASSWORD).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["access_token"].as_str().expect("a token").to_owned()
}

async fn user(server: &Server, name: &str, role: &str) -> Value {
    let user = json!({ "name": name, "role": role, "password": PASSWORD });
    server.api.post("/api/v2/users", &user).await.expect("a user")
}

async fn key(server: &Server, name: &str, scopes: &[&str]) -> (String, String) {
    let made = server.api.post("/api/v2/keys", &json!({ "name": name, "scopes": scopes })).await.expect("a key");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["secret"]), text(&made["key"]["id"]))
}

fn me(credential: &str, server: &Server) -> impl Future<Output = StatusCode> {
    let request = client().get(format!("{}/api/v2/me", server.api.base)).bearer_auth(credential.to_owned());
    async move { request.send().await.expect("an answer").status() }
}

/// Every operation of the document: its name, how it is asked for, and where.
fn operations() -> Vec<(String, Method, String)> {
    let document: Value = serde_json::from_str(include_str!("../../openapi/openapi.json")).expect("JSON");
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        let id = "01a1f8e0-f9ba-7492-bf0a-a277d869111c";
        let filled: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { id } else { part }).collect();
        for (method, operation) in methods.as_object().expect("methods") {
            // A description stands among the methods.
            if !["get", "post", "put", "delete"].contains(&method.as_str()) {
                continue;
            }
            let name = operation["operationId"].as_str().expect("a name").to_owned();
            operations.push((name, method.to_uppercase().parse().expect("a method"), filled.join("/")));
        }
    }
    operations
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_is_for_whoever_may_and_for_nobody_else() {
    let (_slot, mut server) = server().await;
    let needed: BTreeMap<&str, &str> =
        NEEDED.iter().flat_map(|(scope, names)| names.iter().map(move |name| (*name, *scope))).collect();
    // Who asks: nobody, somebody unknown, each role, each scope by itself.
    let mut credentials: Vec<(String, Option<String>, Vec<&str>)> =
        vec![("nobody".into(), None, vec![]), ("unknown".into(), Some("wrong".into()), vec![])];
    let mut may = Vec::new();
    for (role, more) in ROLES {
        may.extend(more);
        user(&server, &format!("the-{role}"), role).await;
        credentials.push((role.into(), Some(access_token(&server, &format!("the-{role}")).await), may.clone()));
    }
    for (scope, _) in NEEDED.iter().filter(|(scope, _)| scope.contains(':')) {
        credentials.push(((*scope).to_owned(), Some(key(&server, scope, &[scope]).await.0), vec![*scope]));
    }
    let mut asked = 0;
    for (name, method, path) in operations() {
        let scope = *needed.get(name.as_str()).unwrap_or_else(|| panic!("{name} is not in the table"));
        // Whoever logs out is not known for what is asked next.
        if name == "log_out" {
            continue;
        }
        for (who, credential, may) in &credentials {
            // A stream does not end by itself.
            let (status, answer) = if name == "stream_events" {
                let mut request = client().get(format!("{}{path}", server.api.base));
                if let Some(credential) = credential {
                    request = request.bearer_auth(credential);
                }
                (request.send().await.expect("an answer").status(), Value::Null)
            } else {
                ask(&server, credential.as_deref(), method.clone(), &path, Some(&json!({}))).await
            };
            let known = !matches!(who.as_str(), "nobody" | "unknown");
            let expected = match scope {
                "" => None,
                "*" if known => None,
                _ if !known => Some(StatusCode::UNAUTHORIZED),
                scope if may.contains(&scope) => None,
                _ => Some(StatusCode::FORBIDDEN),
            };
            match expected {
                Some(expected) => {
                    assert_eq!(status, expected, "{name} ({method} {path}) as {who}: {answer}");
                }
                None => {
                    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&status);
                    // A form without anything in it is no log-in.
                    assert!(!refused, "{name} ({method} {path}) as {who}: {answer}");
                }
            }
            asked += 1;
        }
    }
    assert!(asked > 2000, "{asked}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_log_in_gives_a_token_that_ends_and_a_refresh_token_that_is_good_once() {
    let (_slot, mut server) = server().await;
    user(&server, "Ben", "responder").await;
    let (status, first) = log_in(&server, "BEN", PASSWORD).await;
    assert_eq!((status, &first["token_type"], &first["expires_in"]), (StatusCode::OK, &json!("bearer"), &json!(1800)));
    let access = |answer: &Value| answer["access_token"].as_str().expect("a token").to_owned();
    let refresh = |answer: &Value| answer["refresh_token"].as_str().expect("a token").to_owned();
    let (status, answer) = ask(&server, Some(&access(&first)), Method::GET, "/api/v2/me", None).await;
    assert_eq!((status, &answer["name"], &answer["kind"]), (StatusCode::OK, &json!("ben"), &json!("user")));
    assert!(answer["scopes"].as_array().expect("scopes").contains(&json!("incidents:write")));
    // What they do is told under their name.
    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let path = format!("/api/v2/incidents/{}/acknowledge", raised["incident_id"].as_str().expect("an id"));
    let (_, incident) = ask(&server, Some(&access(&first)), Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(incident["acknowledged_by"], "ben");

    // Less than they may, if they ask for less.
    let narrow = [("username", "ben"), ("password", PASSWORD), ("scope", "incidents:read access:write")];
    let (_, less) = token(&server, &narrow).await;
    assert_eq!(less["scope"], "incidents:read");
    let (status, _) = ask(&server, Some(&access(&less)), Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    // The next one, once: whoever comes with the same again has copied it, and nobody can use either.
    let form = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let renew = async |token: String| {
        let form = form(&token);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self::token(&server, &form).await
    };
    let (status, second) = renew(refresh(&first)).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_eq!(me(&access(&second), &server).await, StatusCode::OK);
    let (status, problem) = renew(refresh(&first)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::UNAUTHORIZED, &json!("urn:ringdown:problem:wrong-password")));
    assert_eq!(renew(refresh(&second)).await.0, StatusCode::UNAUTHORIZED);
    for token in [access(&first), access(&second)] {
        assert_eq!(me(&token, &server).await, StatusCode::UNAUTHORIZED, "its log-in is over");
    }

    // Log out; revoke by the refresh token.
    let (_, third) = log_in(&server, "ben", PASSWORD).await;
    let (status, _) = ask(&server, Some(&access(&third)), Method::POST, "/api/v2/me/logout", None).await;
    assert_eq!((status, me(&access(&third), &server).await), (StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED));
    let (_, fourth) = log_in(&server, "ben", PASSWORD).await;
    let revoke = client().post(format!("{}/api/v2/token/revoke", server.api.base));
    let revoke = revoke.header("content-type", "application/x-www-form-urlencoded");
    let answer = revoke.body(format!("token={}", refresh(&fourth))).send().await.expect("an answer");
    assert_eq!(
        (answer.status(), me(&access(&fourth), &server).await),
        (StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED)
    );

    // Another password ends every log-in; the old one is worth nothing.
    let (_, fifth) = log_in(&server, "ben", PASSWORD).await;
    let put =
        async |body: Value| ask(&server, Some(&access(&fifth)), Method::PUT, "/api/v2/me/password", Some(&body)).await;
    let (status, _) = put(json!({ "current": "not it at all", "new": "another good password" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) = put(json!({ "current": PASSWORD, "new": "short" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(put(json!({ "current": PASSWORD, "new": "another good password" })).await.0, StatusCode::NO_CONTENT);
    assert_eq!(me(&access(&fifth), &server).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&server, "ben", PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&server, "ben", "another good password").await.0, StatusCode::OK);
    // Nothing of it stands in the log.
    let log = std::fs::read_to_string(server.log()).expect("a log");
    for secret in [PASSWORD, "another good password", &access(&first), &refresh(&first), &server.api.key] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn whoever_guesses_waits_longer_and_longer_and_learns_nothing() {
    let (_slot, mut server) = server().await;
    user(&server, "ben", "viewer").await;
    user(&server, "gone", "viewer").await;
    let users = server.api.get("/api/v2/users").await.expect("users");
    let gone = users["items"].as_array().expect("items").iter().find(|user| user["name"] == "gone").expect("one");
    let path = format!("/api/v2/users/{}", gone["id"].as_str().expect("an id"));
    let disabled = json!({ "name": "gone", "role": "viewer", "enabled": false });
    let put = client().put(format!("{}{path}", server.api.base)).bearer_auth(&server.api.key);
    let answer = put.header("if-match", "*").json(&disabled).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    // A wrong password, nobody of that name, somebody who may not: the very same answer.
    let answers = [
        log_in(&server, "ben", "not the password").await,
        log_in(&server, "nobody", "not the password").await,
        log_in(&server, "gone", PASSWORD).await,
    ];
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
    // After a few more nobody from here is even looked at, with the right password neither.
    let mut last = (StatusCode::OK, Value::Null);
    for n in 0..6 {
        last = log_in(&server, &format!("nobody{n}"), "not the password").await;
    }
    assert_eq!(
        (last.0, &last.1["type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("urn:ringdown:problem:too-many-requests"))
    );
    assert_eq!(log_in(&server, "ben", PASSWORD).await.0, StatusCode::TOO_MANY_REQUESTS);
    // A header that anybody can write makes nobody somebody else.
    let request = client().post(format!("{}/api/v2/token", server.api.base));
    let request =
        request.header("x-forwarded-for", "198.51.100.7").header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body("username=ben&password=x").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("retry-after"));
    // Whoever has a key works on.
    assert_eq!(me(&server.api.key, &server).await, StatusCode::OK);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_tells_who_asks() {
    let (_slot, mut server) = server_with(|settings| {
        settings.set("server.trusted_proxies", vec!["127.0.0.0/8"]);
    })
    .await;
    let wrong = async |address: &str| {
        let request = client().post(format!("{}/api/v2/token", server.api.base));
        let request = request.header("x-forwarded-for", address);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body("username=x&password=y").send().await.expect("an answer").status()
    };
    for _ in 0..8 {
        wrong("198.51.100.7").await;
    }
    assert_eq!(wrong("1.2.3.4, 198.51.100.7").await, StatusCode::TOO_MANY_REQUESTS, "what stands in front is theirs");
    // The account waits everywhere, so another one is asked for.
    let request = client().post(format!("{}/api/v2/token", server.api.base));
    let request = request.header("x-forwarded-for", "203.0.113.5");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body("username=other&password=y").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let made = json!({ "name": "Eva", "numbers": [{ "number": "+393331234599" }] });
    let request = client().post(format!("{}/api/v2/contacts", server.api.base)).bearer_auth(&server.api.key);
    request.header("x-forwarded-for", "203.0.113.5").json(&made).send().await.expect("an answer");
    let audit = server.api.get("/api/v2/audit?limit=1").await.expect("the audit log");
    assert_eq!(audit["items"][0]["address"], "203.0.113.5", "{audit}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_key_is_shown_once_replaced_without_a_gap_and_gone_at_once() {
    let (_slot, mut server) = server().await;
    let (first, id) = key(&server, "prometheus", &["alerts:write"]).await;
    assert!(first.starts_with("rd_"), "{first}");
    let (second, _) = key(&server, "prometheus", &["alerts:write"]).await;
    let third = json!({ "name": "prometheus", "scopes": ["alerts:write"] });
    let (status, _) = server.api.ask(Method::POST, "/api/v2/keys", Some(&third)).await.expect("an answer");
    assert_eq!(status, StatusCode::CONFLICT, "two are live");
    let list = server.api.get("/api/v2/keys").await.expect("keys").to_string();
    assert!(!list.contains(&first[3..]), "a secret is shown once");
    for key in [&first, &second] {
        assert_eq!(me(key, &server).await, StatusCode::OK);
    }
    let (status, _) = server.api.ask(Method::DELETE, &format!("/api/v2/keys/{id}"), None).await.expect("an answer");
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert_eq!((me(&first, &server).await, me(&second, &server).await), (StatusCode::UNAUTHORIZED, StatusCode::OK));
    let used = |list: &Value| list["items"][0]["used_at"].is_string();
    lab::wait::until("the use is noted", crate::harness::SOON, async || {
        Ok(used(&server.api.get("/api/v2/keys").await?).then_some(()))
    })
    .await
    .expect("the use is noted");
    let past = json!({ "name": "x", "scopes": ["alerts:write"], "expires_at": "2020-01-01T00:00:00Z" });
    let (status, _) = server.api.ask(Method::POST, "/api/v2/keys", Some(&past)).await.expect("an answer");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) = server
        .api
        .ask(Method::POST, "/api/v2/keys", Some(&json!({ "name": "x", "scopes": ["all"] })))
        .await
        .expect("one");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(problem["detail"].as_str().expect("a detail").contains("there are: alerts:write"), "{problem}");

    // Nobody gives away more than they have, nor takes over whoever has more.
    let (keeper, _) = key(&server, "keeper", &["access:write"]).await;
    let admin =
        server.api.get("/api/v2/users").await.expect("users")["items"][0]["id"].as_str().expect("one").to_owned();
    for (method, path, body) in [
        (Method::POST, "/api/v2/keys".to_owned(), json!({ "name": "x", "scopes": ["admin"] })),
        (Method::POST, "/api/v2/users".to_owned(), json!({ "name": "x", "role": "viewer", "password": PASSWORD })),
        (Method::PUT, format!("/api/v2/users/{admin}/password"), json!({ "password": PASSWORD })),
        (Method::PUT, format!("/api/v2/users/{admin}"), json!({ "name": "admin", "role": "viewer" })),
    ] {
        let (status, answer) = ask(&server, Some(&keeper), method, &path, Some(&body)).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
    }
    // A key goes with its owner.
    let owner = user(&server, "ben", "manager").await;
    let body = json!({ "name": "bens", "scopes": ["admin"], "owner": owner["id"] });
    let made = server.api.post("/api/v2/keys", &body).await.expect("a key");
    let bens = made["secret"].as_str().expect("a key").to_owned();
    let (_, answer) = ask(&server, Some(&bens), Method::GET, "/api/v2/me", None).await;
    let scopes = answer["scopes"].as_array().expect("scopes");
    assert!(scopes.contains(&json!("contacts:write")) && !scopes.contains(&json!("access:write")), "{answer}");
    let put = client().put(format!("{}/api/v2/users/{}", server.api.base, owner["id"].as_str().expect("an id")));
    let disabled = json!({ "name": "ben", "role": "manager", "enabled": false });
    put.bearer_auth(&server.api.key).header("if-match", "*").json(&disabled).send().await.expect("an answer");
    assert_eq!(me(&bens, &server).await, StatusCode::UNAUTHORIZED);
    // The last admin stays.
    let put = client().put(format!("{}/api/v2/users/{admin}", server.api.base)).bearer_auth(&server.api.key);
    let demoted = json!({ "name": "admin", "role": "viewer" });
    let answer = put.header("if-match", "*").json(&demoted).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::CONFLICT);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn the_first_password_is_printed_once_and_users_and_keys_are_made_on_the_machine() {
    let (_slot, mut server) = server().await;
    let log = std::fs::read_to_string(server.log()).expect("a log");
    let line = log.lines().find(|line| line.contains("The first user is `admin`")).expect("it is printed");
    let password = line.split_whitespace().last().expect("a password").to_owned();
    let (status, answer) = log_in(&server, "admin", &password).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    assert!(answer["scope"].as_str().expect("scopes").contains("access:write"));
    server.restart().await.expect("again");
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert_eq!(log.matches("The first user is").count(), 1, "once");
    let token = answer["access_token"].as_str().expect("a token");
    assert_eq!(me(token, &server).await, StatusCode::OK, "a restart logs nobody out");

    let config = server.file().to_string_lossy().into_owned();
    let ringdown = async |arguments: &[&str], input: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringdown"));
        command.args(arguments).args(["--config", &config]).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        let mut stdin = child.stdin.take().expect("standard input");
        stdin.write_all(input.as_bytes()).await.expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().await.expect("it ends");
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (done, said) = ringdown(&["user", "add", "eva", "--role", "manager"], &format!("{PASSWORD}\n")).await;
    assert!(done, "{said}");
    assert_eq!(log_in(&server, "eva", PASSWORD).await.0, StatusCode::OK);
    let (done, said) = ringdown(&["user", "add", "eva"], &format!("{PASSWORD}\n")).await;
    assert!(!done && said.contains("already"), "{said}");
    assert!(!ringdown(&["user", "add", "weak"], "short\n").await.0);
    let (done, said) = ringdown(&["user", "passwd", "eva"], "\n").await;
    let made =
        said.split("the password is").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("one is made");
    assert!(done, "{said}");
    assert_eq!(log_in(&server, "eva", made).await.0, StatusCode::OK);
    let (_, said) = ringdown(&["user", "list"], "").await;
    assert!(said.contains("manager    eva"), "{said}");
    assert!(ringdown(&["user", "disable", "eva"], "").await.0);
    assert_eq!(log_in(&server, "eva", made).await.0, StatusCode::UNAUTHORIZED);
    let (done, said) = ringdown(&["user", "disable", "admin"], "").await;
    assert!(!done && said.contains("last admin"), "{said}");

    let (done, said) = ringdown(&["key", "create", "grafana", "--scope", "metrics:read,incidents:read"], "").await;
    assert!(done, "{said}");
    let key = said.lines().next().expect("a key").to_owned();
    assert_eq!(me(&key, &server).await, StatusCode::OK);
    let (_, said) = ringdown(&["key", "list"], "").await;
    assert!(said.contains("grafana") && said.contains("incidents:read,metrics:read"), "{said}");
    let id = said.split_whitespace().next().expect("an id").to_owned();
    assert!(ringdown(&["key", "revoke", &id], "").await.0);
    lab::wait::until("the server knows", crate::harness::SOON, async || {
        Ok((me(&key, &server).await == StatusCode::UNAUTHORIZED).then_some(()))
    })
    .await
    .expect("it is gone");
    let (done, said) = ringdown(&["audit", "check"], "").await;
    assert!(done && said.contains("as they were written"), "{said}");
    let (_, said) = ringdown(&["audit", "export"], "").await;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(lines.iter().any(|line| line["actor_kind"] == "command" && line["subject_kind"] == "key"), "{said}");
    assert!(!said.contains("$argon2"), "no hash of a password leaves");
    server.stop().await.expect("stops");
}

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
