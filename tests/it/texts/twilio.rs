//! Twilio beside modems: which of them sends, how far a text is, what comes in; and each once, whatever happens.

use anyhow::{Context, Result, ensure};
use lab::{
    modem::{Fault as ModemFault, Setup},
    settings::Settings,
    twilio::{Fault, Stored, Twilio},
    wait::until,
};
use reqwest::Method;
use ringdown::{
    clock::Clock,
    twilio::{Algorithm, HEADER, sign},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{Desk, arrived, texts};
use crate::harness::{ANA, BEN, LATER, SOON};

const OURS: &str = "+15005550006";

/// A desk with these modems and an account of Twilio's.
async fn desk(modems: Vec<Setup>, change: impl FnOnce(&mut Settings)) -> Result<(Desk, Twilio)> {
    let twilio = Twilio::start(Clock::System).await?;
    let desk = Desk::start(modems, |settings| {
        settings.twilio(&twilio, OURS);
        change(settings);
    })
    .await?;
    desk.is_ready().await?;
    Ok((desk, twilio))
}

/// What it was given, each as often as it was.
fn given(twilio: &Twilio) -> Vec<(String, String)> {
    let ours = twilio.messages().into_iter().filter(|message| !message.is_inbound);
    ours.map(|message| (message.to, message.body)).collect()
}

fn only(twilio: &Twilio) -> Result<Stored> {
    let mut messages = twilio.messages();
    ensure!(messages.len() == 1, "{} messages", messages.len());
    messages.pop().context("a message")
}

impl Desk {
    async fn came_in(&self, count: usize) -> Result<Vec<Value>> {
        until(format!("{count} text(s) have come in"), LATER, async || {
            let page = self.server.api.get("/api/v2/received-messages").await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            let handled = items.iter().all(|text| text["handled_at"].is_string());
            Ok((items.len() == count && handled).then_some(items))
        })
        .await
    }

    /// Whether this way is told to take texts.
    async fn way(&self, name: &str, is_up: bool) -> Result<()> {
        let line = format!("ringdown_text_route_up{{route=\"{name}\"}} {}", u8::from(is_up));
        until(format!("the figures say {line}"), LATER, async || {
            let figures = self.server.api.get("/metrics").await?;
            Ok(figures.as_str().unwrap_or_default().contains(&line).then_some(()))
        })
        .await
    }
}

#[tokio::test]
async fn without_its_modem_a_text_goes_by_twilio_and_by_the_modem_again_when_it_is_back() -> Result<()> {
    let (desk, twilio) = desk(vec![Setup::default()], |_| {}).await?;
    let id = desk.text(ANA, "by the modem").await?;
    assert_eq!(desk.is(&id, "sent").await?["route"], "gsm1");
    desk.modems[0].unplug();
    desk.way("gsm1", false).await?;
    let id = desk.text(ANA, "by Twilio").await?;
    let sent = desk.is(&id, "sent").await?;
    assert_eq!((&sent["route"], &sent["attempts"]), (&json!("twilio"), &json!(1)));
    let message = only(&twilio)?;
    assert_eq!((&*message.to, &*message.from, &*message.body), (ANA, OURS, "by Twilio"));
    assert!(!message.fields.iter().any(|(name, _)| name == "StatusCallback"), "it cannot reach us: {message:?}");
    desk.modems[0].plug();
    desk.way("gsm1", true).await?;
    // Refused by the modem's network, it is Twilio's at once.
    desk.modems[0].fails([ModemFault::Refuse(38)]);
    let id = desk.text(ANA, "refused").await?;
    let sent = desk.is(&id, "sent").await?;
    assert_eq!((&sent["route"], &sent["attempts"]), (&json!("twilio"), &json!(2)), "{sent}");
    let id = desk.text(ANA, "by the modem again").await?;
    assert_eq!(desk.is(&id, "sent").await?["route"], "gsm1");
    // Which keeps what its network refused.
    assert_eq!(texts(&desk.modems[0]), ["by the modem", "refused", "by the modem again"]);
    assert_eq!(given(&twilio).len(), 2);
    desk.close().await
}

#[tokio::test]
async fn an_account_that_would_refuse_every_text_is_told_of_loudly_and_the_modem_sends() -> Result<()> {
    let (desk, twilio) = desk(vec![Setup::default()], |settings| {
        settings.set("sms.ways", vec!["twilio", "gsm1"]);
    })
    .await?;
    let id = desk.text(ANA, "by Twilio").await?;
    assert_eq!(desk.is(&id, "sent").await?["route"], "twilio");
    twilio.fails([Fault::Refuse(30002, "Account suspended".into())]);
    for (text, attempts) in [("the first", 2), ("the next", 1)] {
        let id = desk.text(ANA, text).await?;
        let sent = desk.is(&id, "sent").await?;
        assert_eq!((&sent["route"], &sent["attempts"]), (&json!("gsm1"), &json!(attempts)), "{text}");
    }
    let readiness = desk.server.api.get("/readyz").await?;
    let told = readiness["parts"].to_string();
    assert!(told.contains("the account is suspended (Twilio's error 30002)"), "{told}");
    assert!(!desk.server.part_works("texts").await?);
    // One that the text or the number is to blame for says nothing about the account.
    assert_eq!(given(&twilio).len(), 1);
    let mut desk = desk;
    desk.server.stop().await?;
    let errors = desk.server.errors();
    assert!(errors.iter().any(|line| line.contains("Twilio would refuse every text")), "{errors:#?}");
    Ok(())
}

#[tokio::test]
async fn what_is_the_numbers_fault_fails_in_words_and_is_not_tried_again() -> Result<()> {
    let (desk, twilio) = desk(Vec::new(), |_| {}).await?;
    twilio.stops(BEN);
    let id = desk.text(BEN, "x").await?;
    let failed = desk.is(&id, "failed").await?;
    let why = "the recipient has stopped texts from here by STOP (Twilio's error 21610), HTTP 400";
    assert_eq!((&failed["failure"], &failed["attempts"]), (&json!(why), &json!(1)));
    twilio.fails([Fault::Refuse(21408, "Permission to send an SMS has not been enabled for the region".into())]);
    let id = desk.text(ANA, "x").await?;
    desk.is(&id, "failed").await?;
    // Neither says that the account is amiss.
    let id = desk.text(ANA, "y").await?;
    desk.is(&id, "sent").await?;
    desk.close().await
}

#[tokio::test]
async fn with_the_internet_gone_everything_goes_by_the_modem() -> Result<()> {
    let (desk, twilio) = desk(vec![Setup::default()], |settings| {
        settings.set("sms.ways", vec!["twilio", "gsm1"]);
    })
    .await?;
    // Nobody is there any more.
    drop(twilio);
    desk.way("twilio", false).await?;
    for text in ["one", "two"] {
        let id = desk.text(ANA, text).await?;
        let sent = desk.is(&id, "sent").await?;
        assert_eq!((&sent["route"], &sent["attempts"]), (&json!("gsm1"), &json!(1)));
    }
    assert_eq!(texts(&desk.modems[0]), ["one", "two"]);
    desk.close().await
}

#[tokio::test]
async fn too_many_at_once_wait_as_long_as_they_are_told_or_go_by_the_modem() -> Result<()> {
    let (alone, twilio) = desk(Vec::new(), |_| {}).await?;
    twilio.fails([Fault::TooMany(Some(2)), Fault::TooMany(None)]);
    let id = alone.text(ANA, "patient").await?;
    let sent = alone.is(&id, "sent").await?;
    assert_eq!((&sent["route"], &sent["attempts"]), (&json!("twilio"), &json!(3)));
    assert_eq!(given(&twilio), [(ANA.to_owned(), "patient".to_owned())]);
    alone.close().await?;

    let (desk, twilio) = desk(vec![Setup::default()], |settings| {
        settings.set("sms.ways", vec!["twilio", "gsm1"]);
    })
    .await?;
    twilio.fails([Fault::TooMany(Some(3600))]);
    for attempts in [2, 1] {
        let id = desk.text(ANA, "hasty").await?;
        let sent = desk.is(&id, "sent").await?;
        assert_eq!((&sent["route"], &sent["attempts"]), (&json!("gsm1"), &json!(attempts)));
    }
    assert!(given(&twilio).is_empty());
    desk.close().await
}

#[tokio::test]
async fn side_by_side_a_modem_and_twilio_share_the_work() -> Result<()> {
    let slow = Setup { message_takes: std::time::Duration::from_millis(200), ..Setup::default() };
    let (desk, twilio) = desk(vec![slow], |settings| {
        settings.set("sms.order", "round_robin");
    })
    .await?;
    desk.modems[0].is_emptied(SOON).await?;
    let mut ids = Vec::new();
    for nth in 0..20 {
        ids.push(desk.text(BEN, &format!("{nth}")).await?);
    }
    for id in &ids {
        desk.is(id, "sent").await?;
    }
    let (by_modem, by_twilio) = (arrived(&desk.modems[0]), given(&twilio));
    assert!(!by_modem.is_empty() && !by_twilio.is_empty(), "{by_modem:?} {by_twilio:?}");
    let mut all: Vec<u32> = by_modem.iter().chain(&by_twilio).filter_map(|(_, text)| text.parse().ok()).collect();
    all.sort_unstable();
    assert_eq!(all, (0..20).collect::<Vec<_>>(), "each once");
    desk.close().await
}

#[tokio::test]
async fn texts_arrive_by_twilio_as_they_were_written() -> Result<()> {
    let (desk, twilio) = desk(Vec::new(), |_| {}).await?;
    let long: String = "Disk full on db-1. ".repeat(22).chars().take(400).collect();
    let written = [&*long, "_@$[]{}\\|~^€", "Ölstand zu niedrig – prüfen 😀👍🏽🇩🇪", "a=b&c%20+d\r\nOK\r\n"];
    for (nth, text) in written.iter().enumerate() {
        let id = desk.text(ANA, text).await?;
        desk.is(&id, "sent").await?;
        assert_eq!(given(&twilio)[nth], (ANA.to_owned(), (*text).to_owned()));
    }
    // What is too long is cut where a modem cuts it.
    let id = desk.text(ANA, &"x".repeat(2000)).await?;
    desk.is(&id, "sent").await?;
    let (_, cut) = given(&twilio).pop().context("a text")?;
    assert!(cut.ends_with("x...") && cut.len() == 3 * 153, "{cut}");
    desk.close().await
}

#[tokio::test]
async fn how_far_a_text_is_is_asked_where_nobody_can_tell_us() -> Result<()> {
    let (desk, twilio) = desk(Vec::new(), |_| {}).await?;
    let mut ids = Vec::new();
    for text in ["arrives", "does not"] {
        let id = desk.text(ANA, text).await?;
        desk.is(&id, "sent").await?;
        ids.push(id);
    }
    let sids: Vec<String> = twilio.messages().into_iter().map(|message| message.sid).collect();
    twilio.becomes(&sids[0], "sent", None).await?;
    twilio.becomes(&sids[0], "delivered", None).await?;
    twilio.becomes(&sids[1], "undelivered", Some(30005)).await?;
    desk.is(&ids[0], "delivered").await?;
    let failed = desk.is(&ids[1], "failed").await?;
    let why = "it did not arrive: the number is unknown, or not in service any more (Twilio's error 30005)";
    assert_eq!(failed["failure"], why);
    desk.close().await
}

#[tokio::test]
async fn what_twilio_tells_by_itself_counts_once_and_only_with_its_signature() -> Result<()> {
    let (desk, twilio) = desk(Vec::new(), |settings| {
        settings.twilio_tells();
    })
    .await?;
    let id = desk.text(ANA, "arrives").await?;
    desk.is(&id, "sent").await?;
    let message = only(&twilio)?;
    // Late, early, twice.
    for status in ["sent", "delivered", "delivered", "sent"] {
        assert_eq!(twilio.becomes(&message.sid, status, None).await?, Some(204));
    }
    let delivered = desk.is(&id, "delivered").await?;
    let kinds = delivered["timeline"].as_array().context("lines")?.iter().filter_map(|line| line["kind"].as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["text_queued", "text_sent", "text_delivered"]);

    let inbound = format!("{}/api/v2/twilio/inbound", desk.server.api.base);
    assert_eq!(twilio.tell_text(&inbound, ANA, OURS, "4\n😀 +&=").await?, 200);
    desk.came_in(1).await?;
    // Not Twilio's, not for this address, not this text.
    let status = message.fields.iter().find(|(name, _)| name == "StatusCallback").context("a callback")?.1.clone();
    let fields: Vec<(String, String)> =
        [("MessageSid", "SM0123456789abcdef0123456789abcdef"), ("From", BEN), ("To", OURS), ("Body", "4")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec();
    let signed = |secret: &str, url: &str| sign(&SecretString::from(secret), Algorithm::HmacSha1, url, &fields);
    for (signature, body) in [
        (String::new(), "4"),
        ("not base64!".to_owned(), "4"),
        (signed("another", &inbound), "4"),
        (signed(&twilio.token, &status), "4"),
        (signed(&twilio.token, &inbound), "5"),
    ] {
        let form = [("MessageSid", "SM0123456789abcdef0123456789abcdef"), ("From", BEN), ("To", OURS), ("Body", body)];
        assert_eq!(post(&inbound, &signature, &form).await?, 403, "{signature}");
    }
    let form = [("MessageSid", "SM0123456789abcdef0123456789abcdef"), ("From", BEN), ("To", OURS), ("Body", "4")];
    // The very same request again is the same text.
    for _ in 0..2 {
        assert_eq!(post(&inbound, &signed(&twilio.token, &inbound), &form).await?, 200);
    }
    assert_eq!(post(&inbound, &signed(&twilio.token, &inbound), &[("Body", &"x".repeat(70_000))]).await?, 413);
    let came = desk.came_in(2).await?;
    assert_eq!((&came[1]["text"], &came[1]["sender"]), (&json!("4\n😀 +&="), &json!(ANA)));
    assert_eq!((&came[0]["text"], &came[0]["route"]), (&json!("4"), &json!("twilio")));
    let figures = desk.server.api.get("/metrics").await?;
    assert!(figures.as_str().unwrap_or_default().contains("ringdown_twilio_refused_total 5"), "{figures}");
    desk.close().await
}

/// Posts a form, and returns the status of the answer.
async fn post(url: &str, signature: &str, form: &[(&str, &str)]) -> Result<u16> {
    let body = reqwest::Url::parse_with_params("http://x", form)?.query().unwrap_or_default().to_owned();
    let request = reqwest::Client::builder().no_proxy().build()?.request(Method::POST, url);
    let request = request.header(HEADER, signature).header("content-type", "application/x-www-form-urlencoded");
    Ok(request.body(body).send().await?.status().as_u16())
}

#[tokio::test]
async fn without_an_account_there_is_nothing_that_twilio_could_tell() -> Result<()> {
    let desk = Desk::ready(vec![Setup::default()]).await?;
    for path in ["status", "inbound"] {
        let url = format!("{}/api/v2/twilio/{path}", desk.server.api.base);
        assert_eq!(post(&url, "", &[("MessageSid", "x"), ("From", ANA), ("To", OURS), ("Body", "4")]).await?, 404);
    }
    desk.close().await
}

#[tokio::test]
async fn what_comes_in_is_asked_for_and_kept_once_also_if_it_is_told_too() -> Result<()> {
    let (mut desk, twilio) = desk(Vec::new(), |settings| {
        settings.twilio_tells().set("twilio.poll", 1);
    })
    .await?;
    let id = desk.text(ANA, "Disk full").await?;
    desk.is(&id, "sent").await?;
    twilio.text(ANA, OURS, "asked for");
    let inbound = format!("{}/api/v2/twilio/inbound", desk.server.api.base);
    assert_eq!(twilio.tell_text(&inbound, "+393339999999", OURS, "told, and asked for").await?, 200);
    let came = desk.came_in(2).await?;
    let known: Vec<bool> = came.iter().map(|text| text["contact_id"].is_string()).collect();
    assert_eq!(known.iter().filter(|known| **known).count(), 1, "{came:?}");
    // What comes while the server is away is read when it is back, and nothing twice.
    desk.server.kill().await?;
    twilio.text(BEN, OURS, "meanwhile");
    desk.server.restart().await?;
    let came = desk.came_in(3).await?;
    assert_eq!(came[0]["text"], "meanwhile");
    twilio.text(BEN, OURS, "later");
    desk.came_in(4).await?;
    desk.server.stop().await
}

#[tokio::test]
async fn what_nobody_answered_is_found_out_by_asking_and_never_sent_twice() -> Result<()> {
    let (desk, twilio) = desk(vec![Setup::default()], |settings| {
        settings.set("sms.ways", vec!["twilio", "gsm1"]);
    })
    .await?;
    for (nth, fault) in
        (1..).zip([Fault::CutAfter, Fault::CutWithin, Fault::HangAfter, Fault::Garble, Fault::BrokenAfter(502)])
    {
        desk.way("twilio", true).await?;
        twilio.fails([fault.clone()]);
        let text = format!("Disk full {nth}");
        let id = desk.text(ANA, &text).await?;
        let sent = desk.is(&id, "sent").await?;
        assert_eq!((&sent["route"], &sent["attempts"]), (&json!("twilio"), &json!(1)), "{fault:?}: {sent}");
        let all: Vec<_> = given(&twilio).into_iter().chain(arrived(&desk.modems[0])).collect();
        assert_eq!(all.iter().filter(|(_, given)| *given == text).count(), 1, "{fault:?}: {all:?}");
    }
    desk.close().await
}

#[tokio::test]
async fn killed_in_the_middle_what_twilio_has_is_not_given_to_it_again() -> Result<()> {
    let (mut desk, twilio) = desk(Vec::new(), |_| {}).await?;
    desk.server.stop().await?;
    desk.server.restart_to_die_at("text.sent").await?;
    let id = desk.text(ANA, "Disk full").await?;
    until("it dies", SOON, async || Ok((!desk.server.still_runs()).then_some(()))).await?;
    desk.server.restart().await?;
    let sent = desk.is(&id, "sent").await?;
    let kinds = sent["timeline"].as_array().context("lines")?.iter().filter_map(|line| line["kind"].as_str());
    assert_eq!(kinds.collect::<Vec<_>>(), ["text_queued", "text_unknown", "text_sent"]);
    assert_eq!(only(&twilio)?.body, "Disk full");
    desk.server.stop().await
}
