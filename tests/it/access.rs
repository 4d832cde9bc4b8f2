//! Who may do what: every operation with every role and every scope; keys; users and keys on the machine.

use std::{collections::BTreeMap, path::Path, sync::LazyLock};

use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

pub const PASSWORD: &str = "correct horse battery";

/// Which scope each operation needs; none, or any credential (`*`). By hand: whoever changes what is asked
/// for somewhere changes it here as well.
const NEEDED: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "compat_health",
            "compat_root",
            "create_token",
            "get_feed",
            "healthz",
            "readyz",
            "revoke_token",
            "twilio_inbound",
            "twilio_status",
        ],
    ),
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
    ("messages:read", &["get_message", "list_messages", "list_opt_outs", "list_received_messages"]),
    ("messages:write", &["cancel_message", "compat_send_sms", "opt_in", "opt_out", "resend_message", "send_message"]),
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
    (
        "viewer",
        &[
            "incidents:read",
            "calls:read",
            "messages:read",
            "contacts:read",
            "schedules:read",
            "policies:read",
            "metrics:read",
        ],
    ),
    (
        "responder",
        &["alerts:write", "incidents:write", "calls:write", "messages:write", "overrides:write", "silences:write"],
    ),
    ("manager", &["contacts:write", "schedules:write", "policies:write", "webhooks:write", "kill_switch:write"]),
    ("admin", &["access:write", "audit:read"]),
];

pub async fn server_with(change: impl FnOnce(&mut Settings)) -> (Slot, Server) {
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

pub async fn server() -> (Slot, Server) {
    server_with(|_| {}).await
}

/// One for all: to make one takes longer than to ask.
pub fn client() -> &'static Client {
    // Without idle connections: each test has a runtime of its own, and they die with it.
    static CLIENT: LazyLock<Client> =
        LazyLock::new(|| Client::builder().pool_max_idle_per_host(0).build().expect("a client"));
    &CLIENT
}

/// Asks with this credential.
pub async fn ask(
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
pub async fn token(server: &Server, form: &[(&str, &str)]) -> (StatusCode, Value) {
    let url = format!("{}/api/v2/token", server.api.base);
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let request = client().post(url).header("content-type", "application/x-www-form-urlencoded").body(body);
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

pub async fn log_in(server: &Server, name: &str, password: &str) -> (StatusCode, Value) {
    token(server, &[("grant_type", "password"), ("username", name), ("password", password)]).await
}

pub async fn access_token(server: &Server, name: &str) -> String {
    let (status, answer) = log_in(server, name, PASSWORD).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["access_token"].as_str().expect("a token").to_owned()
}

pub async fn user(server: &Server, name: &str, role: &str) -> Value {
    let user = json!({ "name": name, "role": role, "password": PASSWORD });
    server.api.post("/api/v2/users", &user).await.expect("a user")
}

pub async fn key(server: &Server, name: &str, scopes: &[&str]) -> (String, String) {
    let made = server.api.post("/api/v2/keys", &json!({ "name": name, "scopes": scopes })).await.expect("a key");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&made["secret"]), text(&made["key"]["id"]))
}

pub fn me(credential: &str, server: &Server) -> impl Future<Output = StatusCode> {
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
        (Method::DELETE, format!("/api/v2/keys/{}", key(&server, "strong", &["admin"]).await.1), json!({})),
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
