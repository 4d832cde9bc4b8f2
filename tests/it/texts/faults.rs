//! What a modem, a SIM and a network do to texts, told to the end: another way sends, or it is said why not.

use anyhow::{Context, Result};
use chrono::TimeDelta;
use lab::{
    modem::{Fault, Modem, Setup},
    twilio::Twilio,
    wait::until,
};
use ringdown::{
    bus::Bus,
    clock::Clock,
    engine::{DirectText, Texted},
    escalation::{Method, Policy, Target},
    id::MessageId,
    modem,
    store::{MessageFilter, MessageStatus},
    texter::{Settings, Texter, Way},
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{Desk, texts};
use crate::{
    databases::Database,
    harness::{ANA, BEN, LATER, SOON},
    scene::{Scene, alert, number, once, texting},
};

#[tokio::test]
async fn each_class_of_refusal_fails_is_tried_again_or_is_unknown() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    // The network's, for good; the network's, for now; the service centre's, for good and for now; the SIM's.
    for (code, words) in [(1, "unassigned number"), (195, "invalid address")] {
        desk.modems[0].fails([Fault::Refuse(code)]);
        let id = desk.text(ANA, "never").await?;
        let failed = desk.is(&id, "failed").await?;
        assert_eq!(failed["failure"], format!("{words} (+CMS ERROR: {code})"));
        assert_eq!(failed["attempts"], 1);
    }
    for code in [38, 192, 322, 331, 512] {
        desk.modems[0].fails([Fault::Refuse(code)]);
        let id = desk.text(ANA, &format!("again {code}")).await?;
        assert_eq!(desk.is(&id, "sent").await?["attempts"], 2, "{code}");
    }
    for code in [332, 500] {
        desk.modems[0].fails([Fault::Refuse(code)]);
        let id = desk.text(ANA, "perhaps").await?;
        assert_eq!(desk.is(&id, "unknown").await?["attempts"], 1, "{code}");
    }
    let sent = [38, 192, 322, 331, 512].map(|code| format!("again {code}"));
    let came: Vec<String> = texts(&desk.modems[0]).into_iter().filter(|text| text.starts_with("again")).collect();
    assert_eq!(came.len(), 2 * sent.len(), "the fake keeps what it refuses, too: {came:?}");
    desk.close().await
}

#[tokio::test]
async fn without_a_network_or_with_a_wrong_pin_the_other_way_sends() -> Result<()> {
    let twilio = Twilio::start(Clock::System).await?;
    let locked = Setup { pin: Some(("2749".into(), 3)), tells_tries: false, ..Setup::default() };
    let mut desk = Desk::start(vec![Setup::default(), locked], |settings| {
        settings.twilio(&twilio, "+15005550006").of_modem("gsm2", "pin", "1111");
    })
    .await?;
    let told = until("the modem without its PIN is missed", SOON, async || {
        let parts = desk.server.api.get("/readyz").await?["parts"].to_string();
        Ok(parts.contains("not entered again").then_some(parts))
    })
    .await?;
    assert!(!told.contains("1111"), "{told}");
    let id = desk.text(ANA, "by the first modem").await?;
    assert_eq!(desk.is(&id, "sent").await?["route"], "gsm1");
    desk.modems[0].registers(2);
    until("the network is missed", SOON, async || {
        let parts = desk.server.api.get("/readyz").await?["parts"].to_string();
        Ok(parts.contains("it has no network").then_some(()))
    })
    .await?;
    let id = desk.text(ANA, "by Twilio").await?;
    assert_eq!(desk.is(&id, "sent").await?["route"], "twilio");
    desk.modems[0].registers(1);
    until("it is back", LATER, async || {
        let id = desk.text(BEN, "is it back?").await?;
        Ok((desk.is(&id, "sent").await?["route"] == "gsm1").then_some(()))
    })
    .await?;
    // However often the server is started: the SIM would lock itself at the third.
    for _ in 0..3 {
        desk.server.stop().await?;
        let before = desk.modems[1].heard().len();
        desk.server.restart().await?;
        desk.modems[1].hears("AT+CPIN?", before, SOON).await?;
        let id = desk.text(BEN, "after a start").await?;
        desk.is(&id, "sent").await?;
    }
    assert_eq!(desk.modems[1].tries_left(), 2, "it was entered once");
    desk.server.stop().await
}

#[tokio::test]
async fn a_full_sim_is_emptied_while_texts_are_sent() -> Result<()> {
    let desk = Desk::ready(vec![Setup { capacity: 3, ..Setup::default() }]).await?;
    desk.modems[0].unplug();
    desk.is_amiss().await?;
    for nth in 0..10 {
        desk.modems[0].text(BEN, &format!("came {nth}"), nth)?;
    }
    assert_eq!(desk.modems[0].holds(), (3, 7));
    let id = desk.text(ANA, "Disk full").await?;
    desk.modems[0].plug();
    desk.is(&id, "sent").await?;
    desk.modems[0].is_emptied(LATER).await?;
    let came = until("all have come", LATER, async || {
        let items = desk.server.api.get("/api/v2/received-messages").await?["items"].clone();
        Ok(items.as_array().filter(|items| items.len() == 10).cloned())
    })
    .await?;
    let mut said: Vec<&str> = came.iter().filter_map(|text| text["text"].as_str()).collect();
    said.sort_unstable();
    assert_eq!(said, (0..10).map(|nth| format!("came {nth}")).collect::<Vec<_>>());
    desk.close().await
}

#[tokio::test]
async fn killed_while_a_modem_reports_or_takes_nothing_is_lost() -> Result<()> {
    // Before the command, at the prompt, after the PDU: what was not given is sent, what was is asked of a person.
    let mut desk = Desk::ready(vec![Setup::default()]).await?;
    for (fault, status) in [(Fault::MuteAtCommand, "unknown"), (Fault::MuteAfterPdu, "unknown")] {
        desk.is_ready().await?;
        let (heard, had) = (desk.modems[0].heard().len(), desk.modems[0].submitted().len());
        desk.modems[0].fails([fault]);
        let id = desk.text(ANA, &format!("{fault:?}")).await?;
        let waits = desk.text(BEN, &format!("behind {fault:?}")).await?;
        desk.modems[0].hears("AT+CMGS=", heard, SOON).await?;
        desk.server.kill().await?;
        desk.modems[0].unplug();
        desk.modems[0].plug();
        desk.server.restart().await?;
        desk.is(&id, status).await?;
        desk.is(&waits, "sent").await?;
        let given = desk.modems[0].submitted().len() - had;
        assert!(given <= 2, "{fault:?}: {given}");
    }
    desk.server.stop().await
}

/// An hour passes while the modem is away and a thousand texts are queued.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_texts_when_a_modem_comes_back_after_an_hour() -> Result<()> {
    let database = Database::sqlite();
    let scene = Scene::on(&database).await;
    let engine = scene.engine.clone().with_texts(TimeDelta::minutes(30));
    let scene = Scene { engine, ..scene };
    let directory = tempfile::tempdir()?;
    let fake = Modem::start(directory.path(), Setup::default())?;
    fake.unplug();
    let settings = Settings { per_hour: 2000, reports: false, ..texting("scene") };
    let ways = vec![Way::modem("gsm", modem::Settings::new(fake.path()))];
    let stop = CancellationToken::new();
    let texter =
        Texter::new(scene.store.clone(), scene.engine.clone(), Bus::default(), scene.clock.clone(), ways, settings);
    let running = tokio::spawn(texter.run(stop.clone()));

    let text = async |text: String, worth: TimeDelta| {
        let to = Target::Number(number(BEN));
        let direct = DirectText { to, text, worth: Some(worth), source: "a test".into() };
        match scene.engine.text(MessageId::generate(), direct).await.expect("it is stored") {
            Texted::Queued(ids) => ids[0],
            other => panic!("{other:?}"),
        }
    };
    // Every second of them is worth sending for half an hour, the others for two.
    for nth in 0..1000 {
        let minutes = if nth % 2 == 0 { 30 } else { 120 };
        text(format!("{nth}"), TimeDelta::minutes(minutes)).await;
    }
    scene.seconds_pass(3600);
    let mut policy: Policy = once(&[Target::Number(number(ANA))]);
    policy.steps[0].method = Method::Sms;
    scene.policy("night", policy, true).await;
    for nth in 0..3 {
        scene.raise(alert(&format!("page {nth}"))).await;
    }
    fake.plug();
    let status = async |status| {
        let filter = MessageFilter { status: Some(status), ..MessageFilter::default() };
        scene.store.messages(filter, 2000).await.expect("an answer").items.len()
    };
    until("all that is in time is sent", LATER, async || Ok((status(MessageStatus::Sent).await == 503).then_some(())))
        .await?;
    assert_eq!(status(MessageStatus::Expired).await, 500);
    let said = texts(&fake);
    // The three pages waited for the same number: they leave as one.
    assert_eq!(said.len(), 501);
    let pages = ["#1", "#2", "#3"].iter().all(|code| said[0].contains(code));
    assert!(pages && said[0].contains("the disk is full"), "first pages go first: {:?}", &said[..2]);
    let in_time: Vec<String> = (0..1000).filter(|nth| nth % 2 == 1).map(|nth| format!("{nth}")).collect();
    assert_eq!(said[1..], in_time, "and the others in their order, each once");
    stop.cancel();
    running.await.context("the texter ends")?;
    Ok(())
}

#[tokio::test]
async fn with_every_way_gone_for_long_that_is_said_and_a_way_back_goes_on() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    desk.modems[0].unplug();
    until("it is said that no text leaves", LATER, async || {
        let parts = desk.server.api.get("/readyz").await?["parts"].to_string();
        Ok(parts.contains("no text leaves").then_some(()))
    })
    .await?;
    // The step only texts, once, and would be over in a moment.
    desk.policy("once", json!([{ "targets": [{ "contact": "Ana" }], "method": "sms", "delay": 1 }])).await?;
    let alert = json!({ "summary": "Disk full", "policy": "once" });
    let answer = desk.server.api.post("/api/v2/alerts", &alert).await?;
    let id = answer["incident_id"].as_str().context("an incident")?.to_owned();
    until("it is held", SOON, async || Ok(desk.kinds(&id).await?.contains(&"no_way_to_text".to_owned()).then_some(())))
        .await?;
    assert!(desk.messages("").await?.is_empty());
    assert_eq!(desk.server.api.get(&format!("/api/v2/incidents/{id}")).await?["state"], "escalating");
    desk.modems[0].plug();
    until("it is texted", LATER, async || Ok((texts(&desk.modems[0]).len() == 1).then_some(()))).await?;
    until("then it is exhausted", LATER, async || {
        let state = desk.server.api.get(&format!("/api/v2/incidents/{id}")).await?["state"].clone();
        Ok((state == "exhausted").then_some(()))
    })
    .await?;
    let kinds = desk.kinds(&id).await?;
    assert_eq!(kinds, ["raised", "no_way_to_text", "texting", "text_queued", "text_sent", "exhausted"]);
    desk.close().await
}
