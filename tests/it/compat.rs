//! Whoever moves over from a predecessor changes host, port and key, and nothing else: their documented
//! examples, on a real PBX. What the predecessors lose or let in is in [`regressions`].

mod regressions;
mod wishes;

use anyhow::{Context, Result, ensure};
use lab::{
    alertmanager::Alertmanager,
    settings::{Settings, Step},
    wait::until,
};
use reqwest::{Client, Method, StatusCode};
use ringdown::script::{Alert, Line};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, CAL, Harness, LATER, story};

/// Ana is in the policy that these routes page by; the default one is somebody else's.
fn moved_over(settings: &mut Settings) {
    settings.policy("file", &[Step { targets: &["Cal"], ..Step::default() }]);
    settings.policy("compat", &[Step { targets: &["Ana"], ..Step::default() }]);
    settings.set("numbers.country", "IT").set("compat.time_zone", "Europe/Rome");
    settings.set("asterisk.caller_ids", vec!["+390559999999"]);
    settings.connect("outbound-ivr");
}

/// Asks as a script would: the key is in the query.
async fn asks(h: &Harness, method: Method, path: &str, query: &[(&str, &str)]) -> Result<(StatusCode, Value)> {
    let url = format!("{}{path}", h.server.api.base);
    let request = Client::builder().no_proxy().build()?.request(method, url).query(query);
    let answer = request.query(&[("key", &h.server.api.key)]).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// The latest call, once there is one that none of `known` is.
async fn new_call(h: &Harness, known: &[String]) -> Result<String> {
    until("a call is queued", LATER, async || {
        let page = h.server.api.get("/api/v2/calls").await?;
        let id = page["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        Ok((!id.is_empty() && !known.contains(&id)).then_some(id))
    })
    .await
}

#[tokio::test]
async fn py_phone_callers_examples_reach_a_phone() {
    story(moved_over, async |h| {
        let done = json!({ "status": 200 });
        // Its end-to-end test: JSON, and then the register is asked. The number is one of ours.
        let url = format!("{}/place_call", h.server.api.base);
        let body = json!({ "phone": ANA, "message": "Test emergency alert" });
        let request = Client::builder().no_proxy().build()?.post(url).bearer_auth(&h.server.api.key).json(&body);
        let answer = request.send().await?;
        ensure!(answer.status() == 200, "{answer:?}");
        ensure!(answer.headers()["location"].to_str()?.starts_with("/api/v2/calls/"), "{answer:?}");
        assert_eq!(answer.json::<Value>().await?, done);
        let first = new_call(h, &[]).await?;
        h.phone(ANA).rings().await?.answers().await?.hears_alert("Test emergency alert").await?;
        let (_, message) = asks(h, Method::POST, "/msg", &[("asterisk_chan", &first)]).await?;
        assert_eq!(message["message"], "Test emergency alert");
        h.phone(ANA).presses('4').await?.is_hung_up().await?;
        let (status, calls) = asks(h, Method::GET, "/calls", &[]).await?;
        ensure!(status == 200 && calls["calls"][0]["phone"] == ANA, "{calls}");
        until("it is completed", LATER, async || {
            let (_, calls) = asks(h, Method::GET, "/calls", &[]).await?;
            Ok((calls["calls"][0]["acknowledged"] == true && calls["calls"][0]["cycle_done"] == true).then_some(()))
        })
        .await?;

        // The query string, `00` instead of the plus; then it is acknowledged by its channel.
        let number = BEN.replace('+', "00");
        let query = [("phone", &*number), ("message", "Fan stopped")];
        assert_eq!(asks(h, Method::POST, "/call_to_queue", &query).await?, (StatusCode::OK, done.clone()));
        let second = new_call(h, &[first]).await?;
        let ben = h.phone(BEN);
        ben.rings().await?;
        let (status, _) = asks(h, Method::GET, "/heard", &[("asterisk_chan", &second)]).await?;
        assert_eq!(status, 200);
        assert_eq!(asks(h, Method::GET, "/ack", &[("asterisk_chan", &second)]).await?, (StatusCode::OK, done));
        ben.is_hung_up().await?;
        let call = h.server.api.get(&format!("/api/v2/calls/{second}")).await?;
        let incident = call["incident_ids"][0].as_str().context("an incident")?.to_owned();
        h.is(&incident, "acknowledged").await?;
        h.told(&incident, "said_heard").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn oncall_is_who_is_on_call_and_the_backup_is_who_stands_behind() {
    story(moved_over, async |h| {
        let windows = |priority: u32| {
            json!([{ "start_at": "2026-01-01 00:00", "end_at": "2100-01-01 00:00", "priority": priority }])
        };
        for (name, number, priority) in [("Ben", BEN, 2), ("Cal", CAL, 1)] {
            let contact =
                json!({ "name": name, "phone_number": number, "on_call_availability": windows(priority) });
            assert_eq!(h.server.api.post("/contact_add", &contact).await?, json!({ "status": 200 }));
        }
        let (_, on_call) = asks(h, Method::GET, "/contact_on_call", &[]).await?;
        assert_eq!((&on_call["name"], &on_call["phone_number"]), (&json!("Cal"), &json!(CAL)));
        for (backup, number) in [("false", CAL), ("true", BEN)] {
            let query = [("phone", "oncall"), ("message", "Who is there?"), ("backup_callee", backup)];
            let (status, answer) = asks(h, Method::POST, "/place_call", &query).await?;
            ensure!(status == 200, "{answer}");
            let phone = h.phone(number);
            phone.rings().await?.answers().await?.hears_something().await?.presses('4').await?;
            phone.is_hung_up().await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_real_alertmanager_that_knows_nothing_but_a_url_with_a_key_in_it() {
    story(moved_over, async |h| {
        let url = format!("{}/k/{}/call_only", h.server.api.base, h.server.api.key);
        let mut alertmanager = Alertmanager::start_with(&h.slot, &url, None).await?;
        let labels = [("alertname", "DiskFull"), ("instance", "db-01"), ("severity", "critical")];
        alertmanager.fire(&labels, &[("summary", "Disk full on db-01")]).await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?;
        let summary = "Disk full on db-01";
        ana.hears_line(&Line::Alert(Alert { nth: 1, of: 1, severity: "critical", summary, ..Alert::default() }))
            .await?;
        ana.presses('4').await?;
        let page = h.server.api.get("/api/v2/incidents").await?;
        let id = page["items"][0]["id"].as_str().context("an incident")?.to_owned();
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        alertmanager.resolve(&labels).await?;
        h.is(&id, "resolved").await?;
        alertmanager.stop().await?;
        let log = std::fs::read_to_string(h.server.log())?;
        ensure!(log.contains("\"path\":\"/call_only\""), "requests are in the log");
        ensure!(!log.contains(&h.server.api.key), "the key stands in the log");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_contact_centers_call_lands_in_the_pbx_and_its_status_follows_the_channel() {
    story(moved_over, async |h| {
        let status_of = async |id: &str, wanted: &str| {
            until(format!("the call is {wanted}"), LATER, async || {
                let status = h.server.api.get(&format!("/api/v2/status/{id}")).await?;
                let alias = h.server.api.get(&format!("/api/v2/interaction/{id}/status")).await?;
                ensure!(alias["call_id"] == status["call_id"], "{alias}");
                Ok((status["status"] == wanted).then_some(()))
            })
            .await
        };
        // Nothing is said: it goes where theirs went. The timeout is in milliseconds, as theirs was.
        let path = format!("/api/v2/interaction/{BEN}?timeout=20000&caller_id=%2B390559999999");
        let call = h.server.api.post(&path, &json!({})).await?;
        let id = call["call_id"].as_str().context("a call")?.to_owned();
        let ben = h.phone(BEN);
        ben.rings().await?;
        status_of(&id, "ringing").await?;
        ben.answers().await?;
        status_of(&id, "answered").await?;
        ben.hears_something().await?;
        ben.is_hung_up().await?;
        status_of(&id, "completed").await?;
        let seen = ben.incoming()?;
        ensure!(seen.caller.contains("390559999999"), "the chosen number is shown: {}", seen.caller);
        let ours = h.server.api.get(&format!("/api/v2/calls/{id}")).await?;
        ensure!(ours["heard_seconds"] == 0.0, "we did not speak: {ours}");
        let incident = ours["incident_ids"][0].as_str().context("an incident")?;
        h.is(incident, "resolved").await?;

        // Who declines has failed there, and rejected here.
        h.phone(CAL).will("ring:0.5,decline").await?;
        let body = json!({ "to": CAL, "connect": { "context": "outbound-ivr" } });
        let call = h.server.api.post("/api/v2/calls", &body).await?;
        let id = call["id"].as_str().context("a call")?.to_owned();
        h.phone(CAL).rings().await?;
        status_of(&id, "failed").await?;
        assert_eq!(h.server.api.get(&format!("/api/v2/calls/{id}")).await?["status"], "rejected");

        // A phone rings as long as it was asked for, not as long as others: 5 s.
        let body = json!({ "to": ANA, "text": "hello", "timeout": 9 });
        let call = h.server.api.post("/api/v2/calls", &body).await?;
        let id = call["id"].as_str().context("a call")?.to_owned();
        h.phone(ANA).rings().await?;
        status_of(&id, "no_answer").await?;
        let call = h.server.api.get(&format!("/api/v2/calls/{id}")).await?;
        let at = |name: &str| call[name].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
        let rang = at("ended_at").context("an end")? - at("dialed_at").context("a beginning")?;
        ensure!(rang.num_milliseconds() > 8500, "{rang}");
        Ok(())
    })
    .await;
}
