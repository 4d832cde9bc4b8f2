//! What becomes of calls that nobody answers, and of a policy that nobody answers.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::settings::{Settings, Step};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, CAL, Harness, story};

fn ana_then_ben(settings: &mut Settings) {
    let step = |targets| Step { targets, delay: 7, ..Step::default() };
    settings.policy("night", &[step(&["Ana"]), step(&["Ben"])]);
}

/// Ana's phone does this; then Ben acknowledges. Returns the record of Ana's call.
async fn ana_does(h: &Harness, steps: &str) -> Result<Value> {
    h.phone(ANA).will(steps).await?;
    let id = h.raise("Disk full").await?;
    h.phone(ANA).rings().await?;
    h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
    assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Ben");
    let mut calls = h.records(&id).await?;
    ensure!(calls.len() == 2, "{} calls instead of two: {calls:#?}", calls.len());
    Ok(calls.remove(0))
}

/// What the record of a call that failed says.
struct Told {
    status: &'static str,
    disposition: &'static str,
    cause: u16,
    sip_status: Option<u16>,
}

async fn ends(steps: &str, told: Told) {
    story(ana_then_ben, async |h| {
        let call = ana_does(h, steps).await?;
        assert_eq!(call["status"], told.status, "{call:#}");
        assert_eq!(call["disposition"], told.disposition, "{call:#}");
        assert_eq!(call["cause"], told.cause, "{call:#}");
        assert_eq!(call["sip_status"], json!(told.sip_status), "{call:#}");
        assert_eq!((&call["heard"], &call["digits"]), (&json!(false), &json!("")), "{call:#}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn busy() {
    ends("busy", Told { status: "busy", disposition: "BUSY", cause: 17, sip_status: Some(486) }).await;
}

#[tokio::test]
async fn no_answer() {
    ends("ring", Told { status: "no_answer", disposition: "NO ANSWER", cause: 19, sip_status: None }).await;
}

#[tokio::test]
async fn declined() {
    ends("ring:0.5,decline", Told { status: "rejected", disposition: "FAILED", cause: 21, sip_status: Some(603) })
        .await;
}

#[tokio::test]
async fn wrong_number() {
    ends("unallocated", Told { status: "failed", disposition: "FAILED", cause: 1, sip_status: Some(404) }).await;
}

#[tokio::test]
async fn refused_by_the_trunk() {
    ends("forbidden", Told { status: "failed", disposition: "FAILED", cause: 21, sip_status: Some(403) }).await;
}

#[tokio::test]
async fn congestion() {
    ends("congestion", Told { status: "failed", disposition: "CONGESTION", cause: 34, sip_status: Some(503) }).await;
}

/// Ana and Ben, tried quickly, over a way out that does not work.
fn over(dial: &'static str) -> impl FnOnce(&mut Settings) {
    move |settings| {
        let step = |targets| Step { targets, delay: 2, ..Step::default() };
        settings.set("asterisk.dial", dial).policy("night", &[step(&["Ana"]), step(&["Ben"])]);
        settings.set("asterisk.ring_timeout", 10);
    }
}

/// An outage uses up nothing: the round is gone through again, and not counted.
async fn outage(dial: &'static str, cause: u16, sip_status: Option<u16>) {
    story(over(dial), async |h| {
        let id = h.raise("Disk full").await?;
        h.told(&id, "round_not_counted").await?;
        let incident = h.incident(&id).await?;
        assert_eq!((&incident["state"], &incident["round"]), (&json!("escalating"), &json!(1)), "{incident:#}");
        h.says(&id, "resolve").await?;
        let calls = h.records(&id).await?;
        ensure!(calls.len() >= 2, "Ana and Ben were tried: {calls:#?}");
        for (call, to) in calls.iter().zip(["Ana", "Ben"]) {
            assert_eq!((&call["to"], &call["status"]), (&json!(to), &json!("failed")), "{call:#}");
            assert_eq!((&call["cause"], &call["sip_status"]), (&json!(cause), &json!(sip_status)), "{call:#}");
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_trunk_uses_up_nothing() {
    outage("Local/{number}@dead-out/n", 18, Some(408)).await;
}

#[tokio::test]
async fn an_unknown_endpoint_uses_up_nothing() {
    outage("Local/{number}@unknown-out/n", 27, None).await;
}

#[tokio::test]
async fn a_channel_that_never_came_about_uses_up_nothing() {
    outage("PJSIP/{number}@nowhere", 0, None).await;
}

#[tokio::test]
async fn an_outage_uses_up_no_cap_either() {
    let capped = |settings: &mut Settings| {
        over("Local/{number}@unknown-out/n")(settings);
        settings.set("destinations.per_contact", 2);
    };
    story(capped, async |h| {
        let id = h.raise("Disk full").await?;
        h.told_times(&id, "round_not_counted", 4).await?;
        assert_eq!(h.incident(&id).await?["state"], "escalating");
        h.says(&id, "resolve").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn who_waits_at_a_cap_is_in_nobodys_way() {
    const DIA: &str = "+393332000001";
    let capped = |settings: &mut Settings| {
        settings.contact("Dia", &[DIA]).set("destinations.allow", vec!["+393331", "+393332"]);
        settings.set("destinations.per_prefix", 1);
        for name in ["Ana", "Ben", "Dia"] {
            settings.policy(name, &[Step { targets: &[name], delay: 60, ..Step::default() }]);
        }
    };
    story(capped, async |h| {
        h.expects_error("a call waits");
        let alert = |name: &str| json!({ "summary": "Disk full", "policy": name });
        let first = h.post_alert(alert("Ana")).await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&first, "acknowledged").await?;
        let second = h.post_alert(alert("Ben")).await?;
        let waits = h.told(&second, "call_waits").await?;
        assert!(waits["text"].as_str().is_some_and(|text| text.contains("per_prefix")), "{waits}");
        let third = h.post_alert(alert("Dia")).await?;
        h.phone(DIA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&third, "acknowledged").await?;
        h.says(&second, "resolve").await?;
        assert_eq!(h.record(&second).await?["status"], "canceled");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_trunk_dialled_without_the_dialplan_works_as_well() {
    let direct = |settings: &mut Settings| {
        ana_then_ben(settings);
        settings.set("asterisk.dial", "PJSIP/{number}@net");
    };
    story(direct, async |h| {
        let call = ana_does(h, "busy").await?;
        assert_eq!((&call["status"], &call["cause"], &call["sip_status"]), (&json!("busy"), &json!(17), &json!(486)));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_contacts_second_number_is_tried_in_the_same_attempt() {
    let two_numbers = |settings: &mut Settings| {
        settings.contact("Dia", &[ANA, BEN]);
        settings.policy("night", &[Step { targets: &["Dia"], delay: 60, ..Step::default() }]);
    };
    story(two_numbers, async |h| {
        h.phone(ANA).will("busy").await?;
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Dia");
        let calls = h.records(&id).await?;
        let numbers: Vec<(&Value, &Value)> = calls.iter().map(|call| (&call["number"], &call["nth_number"])).collect();
        assert_eq!(numbers, [(&json!(ANA), &json!(1)), (&json!(BEN), &json!(2))]);
        assert_eq!(h.kinds(&id).await?.iter().filter(|kind| *kind == "attempt").count(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn three_people_in_two_steps_and_two_rounds_until_nobody_is_left_and_then_anew() {
    let policy = |settings: &mut Settings| {
        let steps = [
            Step { targets: &["Ana", "Ben"], attempts: 2, attempt_delay: 1, delay: 1 },
            Step { targets: &["Cal"], delay: 1, ..Step::default() },
        ];
        settings.policy_with("night", 1, &steps);
    };
    story(policy, async |h| {
        for number in [ANA, BEN, CAL] {
            h.phone(number).will("busy").await?;
        }
        let delivery: Value =
            serde_json::from_str(include_str!("../fixtures/alertmanager/prom353-am033-firing-grouped.json"))?;
        let id = h.alertmanager(&delivery).await?;
        for _ in 0..4 {
            h.phone(ANA).rings().await?;
            h.phone(BEN).rings().await?;
        }
        for _ in 0..2 {
            h.phone(CAL).rings().await?;
        }
        h.is(&id, "exhausted").await?;
        let attempts: Vec<Value> =
            h.timeline(&id).await?.into_iter().filter(|line| line["kind"] == "attempt").collect();
        let proof: Vec<String> = attempts.iter().map(|line| line["text"].as_str().unwrap_or("-").to_owned()).collect();
        assert_eq!(
            proof,
            [
                "round 1, step 1, attempt 1: calling Ana, Ben",
                "round 1, step 1, attempt 2: calling Ana, Ben",
                "round 1, step 2, attempt 1: calling Cal",
                "round 2, step 1, attempt 1: calling Ana, Ben",
                "round 2, step 1, attempt 2: calling Ana, Ben",
                "round 2, step 2, attempt 1: calling Cal",
            ]
        );
        assert_eq!(h.records(&id).await?.len(), 10);

        // The same group comes again: it is still not taken care of.
        assert_eq!(h.alertmanager(&delivery).await?, id);
        h.told(&id, "pages_again").await?;
        h.phone(ANA).rings().await?;
        h.phone(BEN).rings().await?;
        h.says(&id, "acknowledge").await?;
        h.is(&id, "acknowledged").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn taken_over_the_api_while_another_phone_rings() {
    let both = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana", "Ben"], delay: 60, ..Step::default() }]);
        settings.set("asterisk.ring_timeout", 60);
    };
    story(both, async |h| {
        let id = h.raise("Disk full").await?;
        let (ana, ben) = (h.phone(ANA), h.phone(BEN));
        ana.rings().await?;
        ben.rings().await?.answers().await?.hears_something().await?;
        let taken = Instant::now();
        h.says(&id, "acknowledge").await?;
        ana.is_hung_up().await?;
        ensure!(taken.elapsed() < Duration::from_secs(1), "Ana's phone rang on for {:?}", taken.elapsed());
        // Whoever listens hears who took it, and the call ends.
        ben.hears_line(&ringdown::script::Line::Taken { by: "lab" }).await?;
        ben.is_hung_up().await?;
        let calls = h.records(&id).await?;
        let statuses: Vec<(&Value, &Value)> = calls.iter().map(|call| (&call["to"], &call["status"])).collect();
        assert_eq!(statuses, [(&json!("Ana"), &json!("canceled")), (&json!("Ben"), &json!("completed"))]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_call_that_a_person_gives_up_ends_and_the_policy_goes_on() {
    story(ana_then_ben, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        let calls = h.server.api.get(&format!("/api/v2/calls?incident_id={id}")).await?;
        let call = calls["items"][0]["id"].as_str().expect("an id");
        h.server.api.post(&format!("/api/v2/calls/{call}/cancel"), &json!({})).await?;
        h.phone(ANA).is_hung_up().await?;
        h.phone(BEN).rings().await?;
        h.says(&id, "acknowledge").await?;
        h.phone(BEN).is_hung_up().await?;
        assert_eq!(h.records(&id).await?[0]["status"], "canceled");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn while_calls_are_stopped_they_wait_and_are_placed_afterwards() {
    story(ana_then_ben, async |h| {
        h.expects_error("a call waits");
        h.server.api.put("/api/v2/kill-switch", &json!({ "stopped": true })).await?;
        let id = h.raise("Disk full").await?;
        let waits = h.told(&id, "call_waits").await?;
        assert!(waits["text"].as_str().is_some_and(|text| text.contains("kill switch")), "{waits}");
        h.server.api.put("/api/v2/kill-switch", &json!({ "stopped": false })).await?;
        h.phone(ANA).rings().await?;
        // And those that ring are hung up.
        h.server.api.put("/api/v2/kill-switch", &json!({ "stopped": true })).await?;
        h.phone(ANA).is_hung_up().await?;
        h.says(&id, "resolve").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_number_is_called_and_hears_its_text() {
    story(ana_then_ben, async |h| {
        let body = json!({ "to": "333 1000003", "text": "The tea is ready" });
        let placed = {
            // National numbers are read with the configured country only.
            let refused = h.server.api.ask(reqwest::Method::POST, "/api/v2/calls", Some(&body)).await?;
            assert_eq!(refused.0, reqwest::StatusCode::UNPROCESSABLE_ENTITY);
            h.server.api.post("/api/v2/calls", &json!({ "to": CAL, "text": "The tea is ready" })).await?
        };
        let id = placed["incident_id"].as_str().expect("an id");
        let cal = h.phone(CAL);
        cal.rings().await?.answers().await?;
        cal.hears_alert("The tea is ready").await?;
        cal.presses('4').await?;
        assert_eq!(h.is(id, "acknowledged").await?["acknowledged_by"], CAL);
        cal.is_hung_up().await?;
        assert_eq!(cal.incoming()?.caller, "+390551234567", "the number that is shown");
        Ok(())
    })
    .await;
}
