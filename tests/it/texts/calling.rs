//! Texts and calls about the same thing.

use anyhow::{Context, Result, ensure};
use lab::{
    modem::{Modem, Setup},
    wait::until,
};
use serde_json::{Value, json};

use super::{arrived, plugged_in, texts};
use crate::harness::{ANA, Harness, LATER, SOON, story_on};

/// A story with a modem, and a policy of one step to Ana by this method.
async fn with_a_modem(step: Value, tell: impl AsyncFnOnce(&Harness, &Modem) -> Result<()>) {
    let slot = lab::slot::Slot::take().expect("a slot");
    let modem = plugged_in(&slot, vec![Setup::default()]).expect("a modem").remove(0);
    let path = modem.path().to_owned();
    story_on(
        |settings, _| {
            settings.modem("gsm", &path);
        },
        async |h| {
            until("the modem takes texts", SOON, async || Ok(h.server.part_works("texts").await?.then_some(())))
                .await?;
            let mut step = step;
            step["targets"] = json!([{ "contact": "Ana" }]);
            let policy = json!({ "name": "night", "default": true, "steps": [step] });
            h.server.api.post("/api/v2/policies", &policy).await?;
            tell(h, &modem).await
        },
    )
    .await;
}

async fn texted(modem: &Modem, count: usize) -> Result<Vec<String>> {
    until(format!("{count} text(s)"), LATER, async || Ok((texts(modem).len() == count).then(|| texts(modem)))).await
}

fn place(kinds: &[String], kind: &str) -> Result<usize> {
    kinds.iter().position(|told| told == kind).with_context(|| format!("no {kind} in {kinds:?}"))
}

#[tokio::test]
async fn a_text_and_if_nobody_takes_it_a_call() {
    with_a_modem(json!({ "method": "sms_then_call", "wait": 3, "delay": 60 }), async |h, modem| {
        let id = h.raise("Disk full").await?;
        assert_eq!(arrived_of(modem, 1).await?[0].0, ANA);
        assert!(!h.kinds(&id).await?.contains(&"call_queued".to_owned()), "the call waits");
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        let kinds = h.kinds(&id).await?;
        ensure!(place(&kinds, "text_sent")? < place(&kinds, "attempt")?, "{kinds:?}");
        h.record(&id).await?;
        assert_eq!(texts(modem).len(), 1);
        // Taken within the wait, nobody is called.
        let id = h.raise("Fan stopped").await?;
        texted(modem, 2).await?;
        h.says(&id, "acknowledge").await?;
        let state = h.is(&id, "acknowledged").await?;
        ensure!(state["due_at"].is_null(), "{state}");
        assert!(!h.kinds(&id).await?.contains(&"call_queued".to_owned()));
        Ok(())
    })
    .await;
}

async fn arrived_of(modem: &Modem, count: usize) -> Result<Vec<(String, String)>> {
    texted(modem, count).await?;
    Ok(arrived(modem))
}

#[tokio::test]
async fn a_call_and_a_text_at_once() {
    with_a_modem(json!({ "method": "call_and_sms", "delay": 60 }), async |h, modem| {
        let id = h.raise("Disk full").await?;
        texted(modem, 1).await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        h.record(&id).await?;
        assert_eq!(texts(modem).len(), 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn whoever_misses_the_call_gets_a_text_once_and_the_word_that_it_is_over() {
    let step = json!({ "text_if_missed": true, "attempts": 2, "attempt_delay": 8, "delay": 60 });
    with_a_modem(step, async |h, modem| {
        let contact = h.server.api.get("/api/v2/contacts?q=Ana").await?["items"][0].clone();
        let id = contact["id"].as_str().context("an id")?;
        let edit = json!({ "name": "Ana", "numbers": [{ "number": ANA }], "tell_when_over": true });
        let (status, answer) = h
            .server
            .api
            .ask_with(reqwest::Method::PUT, &format!("/api/v2/contacts/{id}"), &[("if-match", "*")], Some(&edit))
            .await?;
        ensure!(status.is_success(), "{answer}");

        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.declines().await?;
        let said = texted(modem, 1).await?;
        assert!(said[0].starts_with("Missed call. #1 Disk full. Reply 4 1"), "{said:?}");
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        h.records(&id).await?;
        h.says(&id, "resolve").await?;
        let said = texted(modem, 2).await?;
        assert_eq!(said[1], "It is over: #1 Disk full");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn taken_by_text_while_the_phone_rings_it_stops_ringing() {
    with_a_modem(json!({ "method": "call_and_sms", "delay": 60 }), async |h, modem| {
        let id = h.raise("Disk full").await?;
        texted(modem, 1).await?;
        h.phone(ANA).rings().await?;
        modem.text(ANA, "4", 1)?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        let record = h.record(&id).await?;
        ensure!(record["status"] == "canceled", "{record}");
        let time = |value: &Value| value.as_str().and_then(|at| at.parse::<chrono::DateTime<chrono::Utc>>().ok());
        let lines = h.timeline(&id).await?;
        let taken = lines.iter().find(|line| line["kind"] == "acknowledged").context("it is taken")?;
        let took = time(&record["ended_at"]).context("an end")? - time(&taken["at"]).context("an instant")?;
        ensure!(took < chrono::TimeDelta::seconds(1), "it rang on for {took}");
        texted(modem, 2).await?;
        assert_eq!(texts(modem)[1], "Done: you have taken #1.");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn with_every_way_gone_the_call_does_not_wait_for_a_text_that_does_not_leave() {
    with_a_modem(json!({ "method": "sms_then_call", "wait": 600, "delay": 60 }), async |h, modem| {
        modem.unplug();
        until("it is said that no text leaves", LATER, async || {
            let parts = h.server.api.get("/readyz").await?["parts"].to_string();
            Ok(parts.contains("no text leaves").then_some(()))
        })
        .await?;
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        h.record(&id).await?;
        // What waited is not needed any more.
        modem.plug();
        until("the modem takes texts", LATER, async || Ok(h.server.part_works("texts").await?.then_some(()))).await?;
        let kinds = h.kinds(&id).await?;
        ensure!(place(&kinds, "text_queued")? < place(&kinds, "text_canceled")?, "{kinds:?}");
        assert!(texts(modem).is_empty());
        Ok(())
    })
    .await;
}
