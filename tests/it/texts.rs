//! Text messages: from an alert, or whoever asks, through a modem to a phone; and everything that can happen in
//! between. Without a PBX; what calls and texts is in `calling`.

pub mod answers;
mod calling;
mod doubt;
mod faults;
mod twilio;

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    modem::{Fault, Modem, Setup},
    server::Server,
    settings::Settings,
    slot::Slot,
    wait::until,
};
use reqwest::Method;
use ringdown::modem::pdu::{Address, Reassembly, Status, StatusReport};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, LATER, SOON};

/// Between the claim and the modem, and between the modem and the row: where a server dies here, and how many texts
/// have reached the modem by then.
pub const DIES_AT: [(&str, usize); 2] = [("text.claimed", 2), ("text.sent", 3)];

/// A server without a PBX, and its modems.
struct Desk {
    server: Server,
    modems: Vec<Modem>,
    _slot: Slot,
}

/// A modem that says what became of each text.
fn reporting() -> Setup {
    Setup { reports: Some(Status(0)), ..Setup::default() }
}

/// Modems of a story, with their links in its directory.
///
/// # Errors
/// If there is no pseudo terminal.
pub fn plugged_in(slot: &Slot, setups: Vec<Setup>) -> Result<Vec<Modem>> {
    let modem = |(nth, setup)| {
        let directory = slot.directory().join(format!("modem-{nth}"));
        std::fs::create_dir_all(&directory)?;
        Modem::start(&directory, setup)
    };
    (1..).zip(setups).map(modem).collect()
}

impl Desk {
    async fn start(setups: Vec<Setup>, change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let slot = Slot::take()?;
        let modems = plugged_in(&slot, setups)?;
        let mut settings = Settings::new();
        settings.contact("Ana", &[ANA]).contact("Ben", &[BEN]).set("numbers.country", "IT").set("sms.retry", 1);
        for (nth, modem) in (1..).zip(&modems) {
            settings.modem(&format!("gsm{nth}"), modem.path());
        }
        change(&mut settings);
        let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await?;
        let desk = Self { server, modems, _slot: slot };
        desk.policy("texts", json!([{ "targets": [{ "contact": "Ana" }], "method": "sms", "delay": 600 }])).await?;
        Ok(desk)
    }

    /// One whose modems take texts.
    async fn ready(setups: Vec<Setup>) -> Result<Self> {
        let desk = Self::start(setups, |_| {}).await?;
        desk.is_ready().await?;
        Ok(desk)
    }

    async fn is_ready(&self) -> Result<()> {
        until("the modems take texts", SOON, async || Ok(self.server.part_works("texts").await?.then_some(()))).await
    }

    async fn is_amiss(&self) -> Result<()> {
        until("a modem is missed", SOON, async || Ok((!self.server.part_works("texts").await?).then_some(()))).await
    }

    async fn policy(&self, name: &str, steps: Value) -> Result<()> {
        let policy = json!({ "name": name, "default": name == "texts", "steps": steps });
        self.server.api.post("/api/v2/policies", &policy).await.map(drop)
    }

    async fn raise(&self, summary: &str) -> Result<String> {
        let alert = json!({ "summary": summary, "severity": "critical" });
        let answer = self.server.api.post("/api/v2/alerts", &alert).await?;
        Ok(answer["incident_id"].as_str().context("an incident")?.to_owned())
    }

    async fn text(&self, to: &str, text: &str) -> Result<String> {
        self.text_within(to, text, 600).await
    }

    async fn text_within(&self, to: &str, text: &str, expires: u32) -> Result<String> {
        let message = json!({ "to": to, "text": text, "expires": expires });
        let answer = self.server.api.post("/api/v2/messages", &message).await?;
        Ok(answer["items"][0]["id"].as_str().context("a message")?.to_owned())
    }

    async fn message(&self, id: &str) -> Result<Value> {
        self.server.api.get(&format!("/api/v2/messages/{id}")).await
    }

    /// Waits until a message is in this status.
    async fn is(&self, id: &str, status: &str) -> Result<Value> {
        until(format!("the message is {status}"), LATER, async || {
            let message = self.message(id).await?;
            Ok((message["status"] == status).then_some(message))
        })
        .await
    }

    /// The only message about an incident.
    async fn about(&self, incident: &str) -> Result<String> {
        let messages = self.messages(&format!("?incident_id={incident}")).await?;
        ensure!(messages.len() == 1, "{messages:#?}");
        Ok(messages[0]["id"].as_str().context("a message")?.to_owned())
    }

    async fn messages(&self, query: &str) -> Result<Vec<Value>> {
        let page = self.server.api.get(&format!("/api/v2/messages{query}")).await?;
        Ok(page["items"].as_array().cloned().unwrap_or_default())
    }

    async fn kinds(&self, incident: &str) -> Result<Vec<String>> {
        let lines = self.server.api.timeline(incident, None).await?;
        Ok(lines.iter().filter_map(|line| line["kind"].as_str().map(str::to_owned)).collect())
    }

    async fn close(mut self) -> Result<()> {
        self.server.stop().await?;
        let mut errors = self.server.errors();
        // Without a PBX it says so.
        errors.retain(|line| !line.contains("no PBX is configured"));
        ensure!(errors.is_empty(), "the log has errors:\n{}", errors.join("\n"));
        Ok(())
    }
}

/// What has arrived by a modem: to whom, and what.
fn arrived(modem: &Modem) -> Vec<(String, String)> {
    let mut parts = Reassembly::default();
    let mut texts = Vec::new();
    for submitted in modem.submitted() {
        let to = submitted.submit.destination;
        let whole = parts.add(Some(&to), &submitted.submit.content, chrono::DateTime::UNIX_EPOCH);
        let told = format!("+{}", to.text());
        texts.extend(whole.iter().map(|whole| (told.clone(), whole.text().unwrap_or_default())));
    }
    texts
}

/// The texts that have arrived by a modem, in order.
pub fn texts(modem: &Modem) -> Vec<String> {
    arrived(modem).into_iter().map(|(_, text)| text).collect()
}

#[tokio::test]
async fn a_step_that_texts_reaches_the_phone_and_is_told_of() -> Result<()> {
    let desk = Desk::ready(vec![reporting()]).await?;
    let id = desk.raise("Disk full on db-01").await?;
    let message = desk.about(&id).await?;
    let delivered = desk.is(&message, "delivered").await?;
    let said = "#1 critical: Disk full on db-01. Reply 4 1 = take, 5 1 = pass on, 6 1 = over";
    assert_eq!(arrived(&desk.modems[0]), [(ANA.to_owned(), said.to_owned())]);
    assert_eq!(
        (&delivered["text"], &delivered["route"], &delivered["segments"]),
        (&json!(said), &json!("gsm1"), &json!(1))
    );
    assert_eq!(
        (&delivered["to"], &delivered["kind"], &delivered["attempts"]),
        (&json!("Ana"), &json!("page"), &json!(1))
    );
    let kinds = desk.kinds(&id).await?;
    assert_eq!(kinds, ["raised", "texting", "text_queued", "text_sent", "text_delivered"]);
    let own: Vec<&str> =
        delivered["timeline"].as_array().context("lines")?.iter().filter_map(|line| line["kind"].as_str()).collect();
    assert_eq!(own, ["text_queued", "text_sent", "text_delivered"]);
    // Nobody is left out of the next one's code.
    let other = desk.raise("Fan stopped").await?;
    desk.is(&desk.about(&other).await?, "delivered").await?;
    assert!(texts(&desk.modems[0])[1].starts_with("#2 critical: Fan stopped. "));
    desk.close().await
}

#[tokio::test]
async fn texts_arrive_as_they_were_written() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    let long: String = "Disk full on db-1. ".repeat(22).chars().take(400).collect();
    let written = [&*long, "_@$[]{}\\|~^€", "Ölstand zu niedrig – prüfen 😀👍🏽🇩🇪", "line\r\nline\u{1a}\u{1b}OK\r\n"];
    for (nth, text) in written.iter().enumerate() {
        let id = desk.text(ANA, text).await?;
        desk.is(&id, "sent").await?;
        assert_eq!(texts(&desk.modems[0])[nth], *text);
    }
    assert_eq!(desk.messages("").await?.last().context("a message")?["segments"], 3);
    // What is too long for `sms.segments` messages ends with a mark.
    let id = desk.text(ANA, &"x".repeat(1000)).await?;
    assert_eq!(desk.is(&id, "sent").await?["segments"], 3);
    let cut = texts(&desk.modems[0]).pop().context("a text")?;
    assert!(cut.ends_with("x...") && cut.len() == 3 * 153, "{cut}");
    desk.close().await
}

#[tokio::test]
async fn unplugged_before_it_has_the_text_the_second_modem_sends_it() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default(), Setup::default()]).await?;
    for fault in [Fault::UnplugAtPrompt, Fault::MuteAtCommand, Fault::Refuse(38)] {
        let before = texts(&desk.modems[1]).len();
        desk.is_ready().await?;
        desk.modems[0].fails([fault]);
        let id = desk.text(ANA, "Disk full").await?;
        let sent = desk.is(&id, "sent").await?;
        assert_eq!((&sent["route"], &sent["attempts"]), (&json!("gsm2"), &json!(2)), "{fault:?}: {sent}");
        assert_eq!(texts(&desk.modems[1]).len(), before + 1, "{fault:?}");
        desk.modems[0].plug();
    }
    // With the first one gone altogether the second is asked at once.
    desk.is_ready().await?;
    desk.modems[0].unplug();
    desk.is_amiss().await?;
    let id = desk.text(ANA, "Fan stopped").await?;
    let sent = desk.is(&id, "sent").await?;
    assert_eq!((&sent["route"], &sent["attempts"]), (&json!("gsm2"), &json!(1)));
    desk.close().await
}

#[tokio::test]
async fn without_a_final_answer_it_is_unknown_and_sent_again_only_if_a_person_says_so() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default(), Setup::default()]).await?;
    for (sent, fault) in (1..).zip([Fault::UnplugAfterPdu, Fault::StopInLine, Fault::MuteAfterPdu]) {
        desk.is_ready().await?;
        desk.modems[0].fails([fault]);
        let id = desk.text(ANA, "Disk full").await?;
        let unknown = desk.is(&id, "unknown").await?;
        assert_eq!((&unknown["route"], &unknown["attempts"]), (&json!("gsm1"), &json!(1)), "{fault:?}");
        desk.modems[0].plug();
        // What comes after it is sent; it is not.
        desk.is_ready().await?;
        let next = desk.text(BEN, "Fan stopped").await?;
        desk.is(&next, "sent").await?;
        let all: Vec<String> = desk.modems.iter().flat_map(texts).collect();
        assert_eq!(all.iter().filter(|text| *text == "Disk full").count(), sent * 2 - 1, "{fault:?}: {all:?}");
        desk.server.api.post(&format!("/api/v2/messages/{id}/resend"), &json!({})).await?;
        desk.is(&id, "sent").await?;
        let all: Vec<String> = desk.modems.iter().flat_map(texts).collect();
        assert_eq!(all.iter().filter(|text| *text == "Disk full").count(), sent * 2, "{fault:?}");
        let (status, _) =
            desk.server.api.ask(Method::POST, &format!("/api/v2/messages/{id}/resend"), Some(&json!({}))).await?;
        assert_eq!(status, 409, "what was sent is not sent again");
    }
    desk.close().await
}

#[tokio::test]
async fn killed_in_the_middle_it_is_unknown_and_not_sent_twice() -> Result<()> {
    let slow = Setup { message_takes: Duration::from_secs(2), ..Setup::default() };
    let mut desk = Desk::ready(vec![slow]).await?;
    let id = desk.text(ANA, "Disk full").await?;
    until("the modem has it", SOON, async || Ok((desk.modems[0].submitted().len() == 1).then_some(()))).await?;
    let waits = desk.text(BEN, "Fan stopped").await?;
    desk.server.kill().await?;
    desk.server.restart().await?;
    let unknown = desk.is(&id, "unknown").await?;
    assert!(unknown["failure"].as_str().is_some_and(|why| why.contains("stopped while")), "{unknown}");
    // Nothing that waited is lost, and what was claimed is not sent again.
    desk.is(&waits, "sent").await?;
    assert_eq!(texts(&desk.modems[0]), ["Disk full", "Fan stopped"]);

    for (place, came) in DIES_AT {
        desk.server.stop().await?;
        desk.server.restart_to_die_at(place).await?;
        let id = desk.text(ANA, place).await?;
        until("it dies", SOON, async || Ok((!desk.server.still_runs()).then_some(()))).await?;
        desk.server.restart().await?;
        desk.is(&id, "unknown").await?;
        desk.is_ready().await?;
        assert_eq!(desk.modems[0].submitted().len(), came, "{place}");
    }
    // It died twice, and said nothing of it.
    desk.server.stop().await
}

#[tokio::test]
async fn when_a_modem_comes_back_what_is_late_is_not_sent_and_first_pages_go_first() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    desk.modems[0].unplug();
    desk.is_amiss().await?;
    let mut late = Vec::new();
    for nth in 0..20 {
        late.push(desk.text_within(BEN, &format!("late {nth}"), 1).await?);
        desk.text(BEN, &format!("in time {nth}")).await?;
    }
    let page = desk.about(&desk.raise("Disk full").await?).await?;
    for id in &late {
        desk.is(id, "expired").await?;
    }
    desk.modems[0].plug();
    desk.is(&page, "sent").await?;
    until("all that is in time is sent", LATER, async || {
        Ok((desk.messages("?status=sent&limit=100").await?.len() == 21).then_some(()))
    })
    .await?;
    let said = texts(&desk.modems[0]);
    assert!(said[0].starts_with("#1 critical: Disk full"), "{said:?}");
    let in_time: Vec<String> = (0..20).map(|nth| format!("in time {nth}")).collect();
    assert_eq!(said[1..], in_time, "and the others in their order");
    desk.close().await
}

#[tokio::test]
async fn a_report_makes_it_delivered_or_failed_whenever_it_comes() -> Result<()> {
    let desk = Desk::ready(vec![reporting()]).await?;
    // Before the modem says that it has sent it.
    desk.modems[0].fails([Fault::ReportFirst]);
    let early = desk.text(ANA, "early").await?;
    desk.is(&early, "delivered").await?;
    // A text of several messages has arrived when all of them have.
    let long = desk.text(ANA, &"long ".repeat(80)).await?;
    assert_eq!(desk.is(&long, "delivered").await?["segments"], 3);
    desk.close().await
}

#[tokio::test]
async fn a_report_is_about_the_text_that_it_names_or_about_none() -> Result<()> {
    let report = |reference: u8, number: &str, status: u8| -> Result<StatusReport> {
        Ok(StatusReport {
            smsc: None,
            reference,
            recipient: Some(number.parse::<Address>()?),
            submitted: None,
            at: None,
            status: Status(status),
            more: false,
        })
    };
    let desk = Desk::ready(vec![Setup::default()]).await?;
    let gone = desk.text(ANA, "gone").await?;
    let next = desk.text(ANA, "next").await?;
    desk.is(&gone, "sent").await?;
    desk.is(&next, "sent").await?;
    // What the modem counts from.
    let first = 1;
    // About nothing of ours, about somebody else's of the same reference, one that keeps trying, then one that has given up.
    desk.modems[0].reports(&report(200, BEN, 0)?);
    desk.modems[0].reports(&report(first, BEN, 0x46)?);
    desk.modems[0].reports(&report(first, ANA, 0x30)?);
    desk.modems[0].is_emptied(SOON).await?;
    assert_eq!(desk.message(&gone).await?["status"], "sent");
    desk.modems[0].reports(&report(first, ANA, 0x46)?);
    let failed = desk.is(&gone, "failed").await?;
    assert_eq!(failed["failure"], "it did not arrive: validity period expired");
    assert_eq!(desk.message(&next).await?["status"], "sent");
    desk.close().await
}

#[tokio::test]
async fn two_modems_side_by_side_share_the_work() -> Result<()> {
    let slow = || Setup { message_takes: Duration::from_millis(200), ..Setup::default() };
    let desk = Desk::start(vec![slow(), slow()], |settings| {
        settings.set("sms.order", "round_robin");
    })
    .await?;
    desk.is_ready().await?;
    for nth in 0..20 {
        desk.text(BEN, &format!("{nth}")).await?;
    }
    until("all are sent", LATER, async || {
        Ok((desk.messages("?status=sent&limit=100").await?.len() == 20).then_some(()))
    })
    .await?;
    let shares = [texts(&desk.modems[0]), texts(&desk.modems[1])];
    assert!(shares.iter().all(|share| share.len() >= 8), "{shares:?}");
    let mut all: Vec<u32> = shares.concat().iter().filter_map(|text| text.parse().ok()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "each once");
    desk.close().await
}

#[tokio::test]
async fn what_nobody_needs_any_more_is_given_up_but_for_the_word_that_it_is_over() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    desk.modems[0].unplug();
    desk.is_amiss().await?;
    let id = desk.raise("Disk full").await?;
    let page = desk.about(&id).await?;
    let direct = desk.text(BEN, "by hand").await?;
    desk.server.api.post(&format!("/api/v2/incidents/{id}/acknowledge"), &json!({})).await?;
    desk.is(&page, "canceled").await?;
    assert!(desk.kinds(&id).await?.contains(&"text_canceled".to_owned()));
    let canceled = desk.text(BEN, "never mind").await?;
    desk.server.api.post(&format!("/api/v2/messages/{canceled}/cancel"), &json!({})).await?;
    let (status, problem) =
        desk.server.api.ask(Method::POST, &format!("/api/v2/messages/{canceled}/cancel"), Some(&json!({}))).await?;
    assert_eq!(status, 409, "{problem}");
    desk.modems[0].plug();
    desk.is(&direct, "sent").await?;
    assert_eq!(texts(&desk.modems[0]), ["by hand"]);
    assert_eq!(desk.message(&page).await?["status"], "canceled");
    desk.close().await
}

#[tokio::test]
async fn what_cannot_be_a_number_is_refused_and_what_may_not_be_texted_too() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    let api = &desk.server.api;
    for to in ["+393331000001\rAT+CMGD=1", "+393331000001\r", "+39333\n1000001", "112", "+442071838750", "nobody"] {
        for (path, body) in [
            ("/api/v2/messages", json!({ "to": to, "text": "x" })),
            ("/send_sms", json!({ "phone": to, "message": "x" })),
        ] {
            let (status, problem) = api.ask(Method::POST, path, Some(&body)).await?;
            assert_eq!(status, 422, "{path} {to:?}: {problem}");
        }
    }
    assert!(desk.messages("").await?.is_empty() && desk.modems[0].submitted().is_empty());
    // The predecessor's shape, and the number as people write it.
    let answer = api.post("/send_sms", &json!({ "phone": "0039 333 1000001", "message": "a & b #1" })).await?;
    assert_eq!(answer, json!({ "status": 200 }));
    let id = desk.messages("").await?[0]["id"].as_str().context("a message")?.to_owned();
    desk.is(&id, "sent").await?;
    assert_eq!(arrived(&desk.modems[0]), [(ANA.to_owned(), "a & b #1".to_owned())]);
    // Sent again under the same key it is the same one.
    let body = json!({ "to": "Ben", "text": "once" });
    let mut ids = Vec::new();
    for _ in 0..2 {
        let key = [("idempotency-key", "k-1")];
        let (status, answer) = api.ask_with(Method::POST, "/api/v2/messages", &key, Some(&body)).await?;
        assert_eq!(status, 201, "{answer}");
        ids.push(answer["items"][0]["id"].clone());
    }
    assert_eq!(ids[0], ids[1]);
    desk.is(ids[0].as_str().context("an id")?, "sent").await?;
    assert_eq!(texts(&desk.modems[0]), ["a & b #1", "once"]);
    desk.close().await
}

#[tokio::test]
async fn how_the_modems_are_is_told_and_measured() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    desk.modems[0].unplug();
    desk.is_amiss().await?;
    let state = desk.server.api.get("/readyz").await?;
    assert!(state["ready"] == true && state["degraded"] == true, "{state}");
    let figures = async || {
        let figures = desk.server.api.get("/metrics").await?;
        Ok::<_, anyhow::Error>(figures.as_str().unwrap_or_default().to_owned())
    };
    assert!(figures().await?.contains("ringdown_modem_up{modem=\"gsm1\"} 0"));
    desk.modems[0].plug();
    desk.is_ready().await?;
    let id = desk.text(ANA, "x").await?;
    desk.is(&id, "sent").await?;
    let told = figures().await?;
    for line in [
        "ringdown_modem_up{modem=\"gsm1\"} 1",
        "ringdown_modem_signal_dbm{modem=\"gsm1\"} -",
        "ringdown_texts_total{route=\"gsm1\",outcome=\"sent\"} 1",
        "ringdown_text_seconds_count{route=\"gsm1\"} 1",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    // A step that only texts is none that reaches nobody.
    let items = desk.server.api.get("/api/v2/readiness").await?["items"].clone();
    assert!(!items.to_string().contains("step_reaches_nobody"), "{items}");
    desk.close().await
}

#[tokio::test]
async fn the_predecessors_routes_text() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    desk.policy("compat", json!([{ "targets": [{ "contact": "Ben" }], "delay": 600 }])).await?;
    for (path, calls) in [("/sms_only", false), ("/sms_before_call", false), ("/call_and_sms", true)] {
        let alert = json!({
            "version": "4", "status": "firing", "receiver": "x", "groupKey": path, "groupLabels": {},
            "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
            "alerts": [{
                "status": "firing", "labels": {}, "annotations": { "summary": format!("by {path}") },
                "fingerprint": "f",
                "startsAt": "2026-11-21T22:00:00Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "",
            }],
        });
        assert_eq!(desk.server.api.post(path, &alert).await?, json!({ "status": "200" }));
        let sent = format!("by {path}");
        until("it is sent", SOON, async || {
            let said = arrived(&desk.modems[0]);
            Ok(said.iter().any(|(to, text)| to == BEN && text.contains(&sent)).then_some(()))
        })
        .await?;
        let incident = desk.server.api.get("/api/v2/incidents?limit=1").await?["items"][0]["id"].clone();
        let kinds = desk.kinds(incident.as_str().context("an id")?).await?;
        assert_eq!(kinds.contains(&"attempt".to_owned()), calls, "{path}: {kinds:?}");
    }
    desk.close().await
}

#[tokio::test]
async fn what_comes_in_is_kept_once_whoever_sent_it() -> Result<()> {
    let mut desk = Desk::ready(vec![Setup::default()]).await?;
    let long = "Everything is on fire. ".repeat(20);
    desk.modems[0].text(ANA, "4", 1)?;
    desk.modems[0].text("+393339999999", &long, 2)?;
    desk.modems[0].text(BEN, "Ja 😀 wird gemacht", 3)?;
    let came = until("all have come", LATER, async || {
        let page = desk.server.api.get("/api/v2/received-messages").await?;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let handled = items.iter().filter(|text| text["handled_at"].is_string()).count();
        Ok((items.len() == 3 && handled == 3).then_some(items))
    })
    .await?;
    desk.modems[0].is_emptied(SOON).await?;
    let known: Vec<bool> = came.iter().rev().map(|text| text["contact_id"].is_string()).collect();
    let said: Vec<&str> = came.iter().rev().filter_map(|text| text["text"].as_str()).collect();
    assert_eq!((said, known), (vec!["4", &*long, "Ja 😀 wird gemacht"], vec![true, false, true]));
    assert!(came.iter().all(|text| text["whole"] == true));
    // What is handed over again is known, and not answered again.
    until("those who are known are answered", SOON, async || Ok((desk.modems[0].submitted().len() == 2).then_some(())))
        .await?;
    desk.server.kill().await?;
    desk.modems[0].text(ANA, "4", 1)?;
    desk.server.restart().await?;
    desk.modems[0].is_emptied(SOON).await?;
    let page = desk.server.api.get("/api/v2/received-messages").await?;
    assert_eq!(page["items"].as_array().map(Vec::len), Some(3), "{page}");
    assert_eq!(desk.modems[0].submitted().len(), 2);
    desk.server.stop().await
}
