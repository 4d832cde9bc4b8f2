//! The command line, as a person or a script uses it.

use std::{path::Path, process::Output};

use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use serde_json::Value;
use tokio::process::Command;

async fn ringdown(arguments: &[&str], server: Option<&Server>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringdown"));
    command.args(arguments).env_remove("RINGDOWN_CONFIG");
    if let Some(server) = server {
        command.env("RINGDOWN_URL", &server.api.base).env("RINGDOWN_KEY", &server.api.key);
    }
    command.output().await.expect("ringdown runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

async fn server() -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &["+393331234567"]).policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

#[tokio::test]
async fn a_call_can_be_placed_followed_and_acknowledged_from_a_terminal() {
    let (_slot, mut server) = server().await;
    let placed = ringdown(&["call", "+39 333 7654321", "the tea is ready", "--json"], Some(&server)).await;
    assert!(placed.status.success(), "{}", said(&placed));
    let call: Value = serde_json::from_slice(&placed.stdout).expect("JSON");
    let id = call["incident_id"].as_str().expect("an id");
    let list = ringdown(&["incidents", "--state", "escalating"], Some(&server)).await;
    assert!(said(&list).contains("the tea is ready"), "{}", said(&list));
    let one = ringdown(&["incidents", id], Some(&server)).await;
    assert!(said(&one).contains("raised by lab"), "{}", said(&one));
    let taken = ringdown(&["ack", id], Some(&server)).await;
    assert_eq!(said(&taken), "acknowledged by lab\n");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn who_is_on_call_can_be_asked_and_changed_from_a_terminal() {
    let (_slot, mut server) = server().await;
    let layer = serde_json::json!({
        "name": "turns", "participants": [{ "name": "Ana" }], "start": "2026-10-05T09:00", "unit": "weeks",
        "restrictions": [{ "days": ["mon"], "from": "09:00", "to": "17:00" }],
    });
    let schedule = serde_json::json!({ "name": "The network", "time_zone": "Europe/Rome", "layers": [layer] });
    server.api.post("/api/v2/schedules", &schedule).await.expect("it is made");
    for (arguments, words) in [
        (&["schedules", "list"][..], &["The network", "Europe/Rome", "layers: 1"][..]),
        (&["schedules", "show", "The network"], &["turns: Ana", "every 1 weeks", "only mon from 09:00 to 17:00"]),
        (
            &["oncall", "--at", "2026-11-23T10:00:00Z"],
            &["The network", "Ana  (until 2026-11-23 16:00 UTC, then nobody)"],
        ),
        (
            &["oncall", "The network", "--at", "2026-11-24T10:00:00+01:00"],
            &["nobody  (until 2026-11-30 08:00 UTC, then Ana)"],
        ),
        (
            &["override", "The network", "Ana", "--from", "2026-11-25T09:00", "--until", "2026-11-25T10:00:00Z"],
            &["The network: replace Ana from 2026-11-25 08:00 UTC until 2026-11-25 10:00 UTC"],
        ),
        (
            &["schedules", "shifts", "The network", "--from", "2026-11-25 00:00", "--to", "2026-11-25 23:00"],
            &[
                "2026-11-24 23:00 UTC - 2026-11-25 08:00 UTC  nobody",
                "2026-11-25 08:00 UTC - 2026-11-25 10:00 UTC  Ana",
            ],
        ),
    ] {
        let output = ringdown(arguments, Some(&server)).await;
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        for word in words {
            assert!(said(&output).contains(word), "{arguments:?}, {word}: {}", said(&output));
        }
    }
    for (arguments, sentence) in [
        (&["schedules", "show", "nonsense"][..], "there is no schedule called \"nonsense\""),
        (
            &["override", "The network", "Zoe", "--from", "2026-11-25T09:00", "--until", "2026-11-25T10:00"],
            "no contact called",
        ),
        (&["override", "The network", "Ana", "--from", "nine", "--until", "ten"], "\"nine\" is not a time"),
    ] {
        let refused = ringdown(arguments, Some(&server)).await;
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", said(&refused));
        assert!(said(&refused).contains(sentence), "{arguments:?}: {}", said(&refused));
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn the_kill_switch_works_from_a_terminal() {
    let (_slot, mut server) = server().await;
    let stopped = ringdown(&["stop-calls"], Some(&server)).await;
    assert!(stopped.status.success() && said(&stopped).contains("stopped"), "{}", said(&stopped));
    assert!(!server.part_works("kill_switch").await.expect("an answer"));
    let resumed = ringdown(&["stop-calls", "--resume", "--json"], Some(&server)).await;
    let switch: Value = serde_json::from_slice(&resumed.stdout).expect("JSON");
    assert_eq!((&switch["stopped"], &switch["by"]), (&Value::Bool(false), &Value::String("lab".into())));
    assert!(server.part_works("kill_switch").await.expect("an answer"));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_refusal_is_a_sentence_and_a_status() {
    let (_slot, mut server) = server().await;
    for (arguments, sentence) in [
        (&["call", "112", "help"][..], "not a valid phone number"),
        (&["ack", "01a1f8e0-f9ba-7492-bf0a-a277d869111c"], "there is no such incident"),
        (&["incidents", "--key", "wrong"], "API key"),
        (&["incidents", "--url", "http://127.0.0.1:1"], "does not answer"),
    ] {
        let refused = ringdown(arguments, Some(&server)).await;
        assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", said(&refused));
        assert!(said(&refused).contains(sentence), "{arguments:?}: {}", said(&refused));
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn check_tells_what_is_wrong_and_what_to_do() {
    let (_slot, mut server) = server().await;
    let checked = ringdown(&["check", "--config", &server.file().to_string_lossy()], None).await;
    assert_eq!(checked.status.code(), Some(1), "there is no PBX");
    let text = said(&checked);
    for line in
        ["ok    configuration", "ok    database", "ok    speech", "FAIL  PBX: none is configured", "what to do: "]
    {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    let bad = server.directory().join("bad.toml");
    std::fs::write(&bad, "[numbers]\ncountry = \"XX\"\n[call]\nrepeat = 0\n").expect("written");
    let checked = ringdown(&["check", "--config", &bad.to_string_lossy()], None).await;
    assert_eq!(checked.status.code(), Some(1));
    for mistake in ["XX", "call.repeat"] {
        assert!(said(&checked).contains(mistake), "{}", said(&checked));
    }
    let refused = ringdown(&["serve", "--config", &bad.to_string_lossy()], None).await;
    assert_eq!(refused.status.code(), Some(1), "it does not start either");
    assert!(said(&refused).contains("2 mistake(s)"), "{}", said(&refused));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn migrate_makes_the_schema_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("ringdown.toml");
    std::fs::write(&config, format!("[server]\ndata = {:?}\n", directory.path().join("data"))).expect("written");
    let config = config.to_string_lossy();
    assert_eq!(said(&ringdown(&["migrate", "--config", &config], None).await), "11 migration(s) done\n");
    assert_eq!(said(&ringdown(&["migrate", "--config", &config], None).await), "the schema is up to date\n");
}
