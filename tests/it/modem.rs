//! A modem on a serial line: what is sent, what arrives, and everything that can happen to it in between.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use lab::{
    modem::{Fault, Modem as Fake, Setup},
    wait::until,
};
use ringdown::modem::{
    Modem, Notice, Registration, Sending, Settings, Sim, Stored,
    pdu::{Address, Assembled, Body, Content, Deliver, Fate, Reassembly, Status, StatusReport, Submit, Text, Width},
};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::{sync::mpsc, time::timeout};

/// A limit against hanging for ever, never what a test is about.
const SOON: Duration = Duration::from_secs(30);
const ANA: &str = "+4915112345678";

/// A modem, and ringdown's end of it.
struct Desk {
    fake: Fake,
    modem: Modem,
    notices: mpsc::Receiver<Notice>,
    _directory: TempDir,
}

impl Desk {
    fn new(setup: Setup, change: impl FnOnce(&mut Settings)) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let fake = Fake::start(directory.path(), setup).expect("a pseudo terminal");
        let mut settings = Settings::new(fake.path());
        settings.answer_within = Duration::from_secs(1);
        settings.prompt_within = Duration::from_secs(1);
        settings.sent_within = Duration::from_secs(1);
        settings.poll_every = Duration::from_millis(200);
        settings.health_every = Duration::from_millis(200);
        settings.reopen_after = (Duration::from_millis(10), Duration::from_millis(100));
        change(&mut settings);
        let (modem, notices) = Modem::start(settings);
        Self { fake, modem, notices, _directory: directory }
    }

    /// One that takes messages.
    async fn ready(setup: Setup) -> Result<Self> {
        let mut desk = Self::new(setup, |_| {});
        desk.is_up().await?;
        Ok(desk)
    }

    /// The next notice that is one of these; the others are passed over.
    async fn hears<T>(&mut self, what: &str, mut of: impl FnMut(Notice) -> Option<T>) -> Result<T> {
        let heard = timeout(SOON, async {
            while let Some(notice) = self.notices.recv().await {
                if let Some(heard) = of(notice) {
                    return Ok(heard);
                }
            }
            bail!("the notices have ended")
        });
        heard.await.with_context(|| format!("no {what}"))?
    }

    async fn is_up(&mut self) -> Result<()> {
        self.hears("Up", |notice| matches!(notice, Notice::Up).then_some(())).await
    }

    async fn is_down(&mut self) -> Result<String> {
        self.hears("Down", |notice| if let Notice::Down { why } = notice { Some(why) } else { None }).await
    }

    async fn arrives(&mut self) -> Result<(Deliver, Stored)> {
        self.hears("Arrived", |notice| match notice {
            Notice::Arrived { deliver, stored } => Some((*deliver, stored)),
            _ => None,
        })
        .await
    }

    /// Among what was noticed up to now.
    fn nothing_has_arrived(&mut self) {
        while let Ok(notice) = self.notices.try_recv() {
            assert!(!matches!(notice, Notice::Arrived { .. }), "it was handed over before");
        }
    }

    async fn is_told(&mut self) -> Result<(StatusReport, Stored)> {
        self.hears("Report", |notice| match notice {
            Notice::Report { report, stored } => Some((*report, stored)),
            _ => None,
        })
        .await
    }

    async fn sends(&self, text: &str) -> Result<Sending> {
        let mut submit = Submit::new(ANA.parse()?, Content::whole(Body::of(text)));
        submit.report = true;
        Ok(self.modem.send(&submit).await?)
    }

    /// Everything that it was given, as texts.
    fn given(&self) -> Vec<String> {
        let text = |submitted: lab::modem::Submitted| submitted.submit.content.body.text().unwrap_or_default();
        self.fake.submitted().into_iter().map(text).collect()
    }
}

fn is_refused(sending: &Sending, permanently: bool) -> bool {
    matches!(sending, Sending::Refused { permanent, .. } if *permanent == permanently)
}

#[tokio::test]
async fn texts_arrive_as_they_were_written() -> Result<()> {
    let desk = Desk::ready(Setup::default()).await?;
    let long = "Disk full on db-1. ".repeat(22);
    for (nth, text) in (0..).zip([
        "Disk full",
        &long[..400],
        "_@$[]{}\\|~^€",
        "Ölstand zu niedrig – prüfen 😀👍🏽🇩🇪",
        &"😀".repeat(100),
        "שלום עולם",
        "e\u{301}te\u{301}",
        "line\r\nline\u{1a}\u{1b} +CMTI: \"SM\",1\r\nOK\r\n",
        "",
    ]) {
        let before = desk.fake.submitted().len();
        let split = Text::split(text, 10, Width::Short);
        for content in split.contents(nth) {
            let sending = desk.modem.send(&Submit::new(ANA.parse()?, content)).await?;
            assert!(matches!(sending, Sending::Sent { .. }), "{sending:?}");
        }
        let mut reassembly = Reassembly::default();
        let mut arrived = Vec::new();
        for submitted in &desk.fake.submitted()[before..] {
            assert_eq!(submitted.submit.destination.to_string(), ANA);
            arrived.extend(reassembly.add(None, &submitted.submit.content, chrono::DateTime::UNIX_EPOCH));
        }
        assert_eq!(arrived.len(), 1);
        assert_eq!(arrived[0].text().as_deref(), Some(text));
    }
    Ok(())
}

#[tokio::test]
async fn a_number_with_a_carriage_return_is_none() {
    for bad in ["+4915112345678\r", "112\r\nAT+CPBW=1", "112\u{1a}", "11\u{1b}2", "112\"", ""] {
        assert!(bad.parse::<Address>().is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn a_message_is_never_given_when_the_modem_goes_before_the_pdu() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.fails([Fault::UnplugAtPrompt]);
    let sending = desk.sends("one").await?;
    assert!(is_refused(&sending, false), "{sending:?}");
    desk.is_down().await?;
    let sending = desk.sends("two").await?;
    assert!(is_refused(&sending, false), "it is not there: {sending:?}");
    assert!(!desk.modem.health().is_up);
    desk.fake.plug();
    desk.is_up().await?;
    assert!(matches!(desk.sends("three").await?, Sending::Sent { .. }));
    assert_eq!(desk.given(), ["three"]);
    Ok(())
}

#[tokio::test]
async fn a_message_is_unknown_and_not_sent_again_when_the_modem_goes_after_the_pdu() -> Result<()> {
    for fault in [Fault::UnplugAfterPdu, Fault::StopInLine] {
        let mut desk = Desk::ready(Setup::default()).await?;
        desk.fake.fails([fault]);
        let sending = desk.sends("one").await?;
        assert!(matches!(sending, Sending::Unknown { .. }), "{fault:?}: {sending:?}");
        desk.is_down().await?;
        desk.fake.plug();
        desk.is_up().await?;
        assert!(matches!(desk.sends("two").await?, Sending::Sent { .. }));
        assert_eq!(desk.given(), ["one", "two"], "{fault:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_mute_modem_is_restarted_and_what_it_had_is_unknown() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.fails([Fault::MuteAfterPdu]);
    let sending = desk.sends("one").await?;
    assert!(matches!(sending, Sending::Unknown { .. }), "{sending:?}");
    let why = desk.is_down().await?;
    assert!(why.contains("no answer from the modem"), "{why}");
    desk.is_up().await?;
    desk.fake.hears("AT+CFUN=1,1", 0, SOON).await?;
    assert!(matches!(desk.sends("two").await?, Sending::Sent { .. }));
    assert_eq!(desk.given(), ["one", "two"]);
    Ok(())
}

#[tokio::test]
async fn a_modem_that_falls_silent_while_nobody_sends_is_restarted() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.is_mute();
    desk.is_down().await?;
    desk.is_up().await?;
    // One that says nothing to the command has no message of ours.
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.fails([Fault::MuteAtCommand]);
    let sending = desk.sends("one").await?;
    assert!(is_refused(&sending, false), "{sending:?}");
    desk.is_up().await?;
    assert_eq!(desk.given(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn each_refusal_is_for_certain_but_those_that_say_nothing() -> Result<()> {
    let desk = Desk::ready(Setup::default()).await?;
    for (code, permanently, words) in [
        (1, true, "unassigned number"),
        (10, true, "call barred"),
        (17, false, "network failure"),
        (38, false, "network out of order"),
        (42, false, "congestion"),
        (111, true, "protocol error"),
        (192, false, "service centre busy"),
        (195, true, "invalid address"),
        (208, false, "SIM storage full"),
        (302, false, "operation not allowed"),
        // What it got was not what was sent, as on a line on which somebody else was cut off.
        (304, false, "invalid PDU mode parameter"),
        (310, false, "SIM not inserted"),
        (322, false, "memory full"),
        (330, false, "service centre's address unknown"),
        (331, false, "no network service"),
        (512, false, "an error that has no name"),
    ] {
        desk.fake.fails([Fault::Refuse(code)]);
        let sending = desk.sends("no").await?;
        let expected = format!("{words} (+CMS ERROR: {code})");
        assert_eq!(sending, Sending::Refused { why: expected, permanent: permanently });
    }
    for code in [332, 500] {
        desk.fake.fails([Fault::Refuse(code)]);
        assert!(matches!(desk.sends("perhaps").await?, Sending::Unknown { .. }), "{code}");
    }
    assert!(matches!(desk.sends("yes").await?, Sending::Sent { .. }));
    assert!(desk.modem.health().is_up);
    Ok(())
}

#[tokio::test]
async fn a_full_sim_is_emptied_and_everything_arrives() -> Result<()> {
    let mut desk = Desk::ready(Setup { capacity: 3, ..Setup::default() }).await?;
    desk.fake.unplug();
    desk.is_down().await?;
    let long = "I am on my way, give me half an hour. ".repeat(12);
    desk.fake.text(ANA, &long, 7)?;
    for nth in 0..10 {
        desk.fake.text(ANA, &format!("text {nth} 😀"), nth)?;
    }
    assert_eq!(desk.fake.holds(), (3, 10));
    desk.fake.plug();
    let mut reassembly = Reassembly::default();
    let mut texts = Vec::new();
    while texts.len() < 11 {
        let (deliver, stored) = desk.arrives().await?;
        let whole = reassembly.add(deliver.sender.as_ref(), &deliver.content, chrono::DateTime::UNIX_EPOCH);
        texts.extend(whole.iter().filter_map(Assembled::text));
        stored.stored();
    }
    assert!(texts.contains(&long));
    for nth in 0..10 {
        assert_eq!(texts.iter().filter(|text| **text == format!("text {nth} 😀")).count(), 1, "{nth}");
    }
    desk.fake.is_emptied(SOON).await
}

#[tokio::test]
async fn what_is_not_stored_stays_in_the_sim_and_comes_again() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.text(ANA, "ack", 1)?;
    let (first, stored) = desk.arrives().await?;
    assert_eq!(first.content.body.text().as_deref(), Some("ack"));
    // Whoever took it has not said anything yet: it is there, and not handed over twice.
    let looked = desk.fake.heard().len();
    for _ in 0..3 {
        desk.fake.hears("AT+CMGL", desk.fake.heard().len(), SOON).await?;
    }
    assert!(!desk.fake.heard()[looked..].iter().any(|heard| heard.starts_with("AT+CMGD")));
    desk.nothing_has_arrived();
    // The one who had it fails: it comes again, and after a reconnect no third time.
    drop(stored);
    let (again, stored) = desk.arrives().await?;
    assert_eq!(again, first);
    desk.fake.unplug();
    desk.is_down().await?;
    stored.stored();
    desk.fake.plug();
    desk.is_up().await?;
    desk.fake.is_emptied(SOON).await?;
    desk.nothing_has_arrived();
    // Another ringdown would have been handed it.
    desk.fake.text(ANA, "left", 1)?;
    let (_, unstored) = desk.arrives().await?;
    let Desk { fake, modem, mut notices, _directory } = desk;
    drop((modem, unstored));
    while timeout(SOON, notices.recv()).await?.is_some() {}
    let (_modem, mut notices) = Modem::start(Settings::new(fake.path()));
    loop {
        if let Notice::Arrived { deliver, .. } = timeout(SOON, notices.recv()).await?.context("a notice")? {
            assert_eq!(deliver.content.body.text().as_deref(), Some("left"));
            return Ok(());
        }
    }
}

fn with_pin(pin: &str) -> impl FnOnce(&mut Settings) {
    move |settings| settings.pin = Some(SecretString::from(pin))
}

fn locked(tries: u8, tells_tries: bool) -> Setup {
    Setup { pin: Some(("2749".to_owned(), tries)), tells_tries, ..Setup::default() }
}

#[tokio::test]
async fn the_right_pin_is_entered_each_time_the_sim_wants_it() -> Result<()> {
    let mut desk = Desk::new(locked(2, true), with_pin("2749"));
    desk.is_up().await?;
    assert_eq!((desk.modem.health().sim, desk.fake.tries_left()), (Sim::Ready, 3));
    desk.fake.unplug();
    desk.is_down().await?;
    desk.fake.plug();
    desk.is_up().await?;
    assert!(matches!(desk.sends("one").await?, Sending::Sent { .. }));
    Ok(())
}

#[tokio::test]
async fn a_wrong_pin_is_entered_once_and_never_again() -> Result<()> {
    for tells_tries in [true, false] {
        let mut desk = Desk::new(locked(3, tells_tries), with_pin("1111"));
        let why = desk.is_down().await?;
        assert!(why.contains("did not accept the PIN") && !why.contains("1111"), "{why}");
        let why = desk.is_down().await?;
        assert!(why.contains("not entered again"), "{why}");
        assert_eq!(desk.modem.health().sim, Sim::PinRequired);
        for _ in 0..3 {
            desk.fake.unplug();
            let gone = desk.fake.heard().len();
            desk.fake.plug();
            desk.fake.hears("AT+CPIN?", gone, SOON).await?;
        }
        // Nor by another task in this process.
        let Desk { fake, modem, notices, _directory } = desk;
        drop((modem, notices));
        let mut settings = Settings::new(fake.path());
        with_pin("1111")(&mut settings);
        let (_modem, mut notices) = Modem::start(settings);
        let down = timeout(SOON, notices.recv()).await?;
        assert!(matches!(&down, Some(Notice::Down { why }) if why.contains("not entered again")), "{down:?}");
        assert_eq!(fake.tries_left(), 2);
        assert_eq!(fake.heard().iter().filter(|heard| heard.starts_with("AT+CPIN=")).count(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn the_last_try_belongs_to_a_person() -> Result<()> {
    for (tries, pin, says) in [
        (1, "2749", "one more try only"),
        (0, "2749", "PUK"),
        (3, "27", "4 to 8 digits"),
        (3, "27\"9", "4 to 8 digits"),
        (3, "2749\r", "4 to 8 digits"),
    ] {
        let mut desk = Desk::new(locked(tries, true), with_pin(pin));
        let why = desk.is_down().await?;
        assert!(why.contains(says), "{why}");
        assert!(is_refused(&desk.sends("one").await?, false));
        assert_eq!(desk.fake.tries_left(), tries);
        assert!(!desk.fake.heard().iter().any(|heard| heard.starts_with("AT+CPIN=")));
    }
    let mut desk = Desk::new(locked(3, true), |_| {});
    assert!(desk.is_down().await?.contains("none is configured"));
    Ok(())
}

#[tokio::test]
async fn without_a_network_a_message_is_refused_and_the_health_says_so() -> Result<()> {
    let desk = Desk::ready(Setup::default()).await?;
    let mut health = desk.modem.watch();
    {
        let health = timeout(SOON, health.wait_for(|health| health.is_up)).await??;
        assert_eq!((health.registration, health.signal_dbm), (Registration::Home, Some(-73)));
        assert_eq!((health.operator.as_deref(), health.storage), (Some("Ringnet"), Some((0, 20))));
        assert_eq!(health.smsc.as_ref().map(ToString::to_string).as_deref(), Some("+491710760000"));
        assert_eq!(health.identity.model.as_deref(), Some("Simulated"));
        assert_eq!(health.identity.serial.as_deref(), Some("490154203237518"));
    }
    desk.fake.receives(99);
    desk.fake.registers(2);
    let searching = |health: &ringdown::modem::Health| {
        health.registration == Registration::Searching && health.signal_dbm.is_none() && health.operator.is_none()
    };
    timeout(SOON, health.wait_for(searching)).await??;
    assert!(is_refused(&desk.sends("one").await?, false));
    desk.fake.registers(5);
    timeout(SOON, health.wait_for(|health| health.registration == Registration::Roaming)).await??;
    assert!(matches!(desk.sends("two").await?, Sending::Sent { .. }));
    Ok(())
}

#[tokio::test]
async fn a_report_comes_after_its_message_and_one_about_an_unknown_message_harms_nobody() -> Result<()> {
    for stores_reports in [true, false] {
        let setup = Setup { reports: Some(Status(0)), service: 1, stores_reports, ..Setup::default() };
        let mut desk = Desk::ready(setup).await?;
        desk.fake.fails([Fault::ReportFirst]);
        for text in ["one", "two"] {
            let Sending::Sent { reference } = desk.sends(text).await? else { bail!("{text} was not sent") };
            let (report, stored) = desk.is_told().await?;
            assert_eq!((report.reference, report.status.fate()), (reference, Fate::Delivered));
            assert_eq!(report.recipient.map(|recipient| recipient.to_string()).as_deref(), Some(ANA));
            stored.stored();
        }
        desk.fake.reports(&StatusReport {
            smsc: None,
            reference: 201,
            recipient: None,
            submitted: None,
            at: None,
            status: Status(0x46),
            more: false,
        });
        let (report, stored) = desk.is_told().await?;
        assert_eq!((report.reference, report.status.name()), (201, "validity period expired"));
        stored.stored();
        desk.fake.is_emptied(SOON).await?;
        assert!(matches!(desk.sends("three").await?, Sending::Sent { .. }));
        let acknowledged = desk.fake.heard().iter().any(|heard| heard == "AT+CNMA");
        assert_eq!(acknowledged, !stores_reports, "what is told directly is acknowledged");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_said_unasked_disturbs_no_message() -> Result<()> {
    let desk = Desk::ready(Setup::default()).await?;
    for nth in 0..20 {
        desk.fake.says("\r\n^RSSI:17\r\n\r\nRING\r\n\r\n+CLIP: \"112\",129\r\n+CDS: 25\r\n\r\nNO CARRIER\r\n");
        assert!(matches!(desk.sends(&format!("{nth}")).await?, Sending::Sent { .. }));
        desk.fake.says("\u{0}\u{1}\u{2}ÿÿ+CM\r\n> \r\nnonsense\r\n");
    }
    assert_eq!(desk.given().len(), 20);
    Ok(())
}

#[tokio::test]
async fn nonsense_in_the_sim_is_handed_over_as_such() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.arrives(ringdown::modem::pdu::Pdu::from_hex("00040B91")?);
    let (why, stored) = desk
        .hears("Unreadable", |notice| match notice {
            Notice::Unreadable { why, stored, .. } => Some((why, stored)),
            _ => None,
        })
        .await?;
    assert_eq!(why, "the PDU ends in the middle of a field");
    stored.stored();
    desk.fake.is_emptied(SOON).await
}

#[tokio::test]
async fn a_modem_that_has_restarted_by_itself_is_told_everything_again() -> Result<()> {
    let mut desk = Desk::ready(Setup::default()).await?;
    desk.fake.plug();
    assert!(desk.is_down().await?.contains("restarted"));
    desk.is_up().await?;
    assert!(matches!(desk.sends("one").await?, Sending::Sent { .. }));
    Ok(())
}

#[tokio::test]
async fn the_configured_service_centre_is_set_and_nobody_else_can_open_the_line() -> Result<()> {
    let mut desk = Desk::new(Setup::default(), |settings| settings.smsc = "+491722270333".parse().ok());
    desk.is_up().await?;
    assert_eq!(desk.modem.health().smsc.map(|smsc| smsc.to_string()).as_deref(), Some("+491722270333"));
    let (second, mut notices) = Modem::start(Settings::new(desk.fake.path()));
    let down = timeout(SOON, notices.recv()).await?;
    assert!(matches!(&down, Some(Notice::Down { why }) if why.contains("cannot open")), "{down:?}");
    assert!(is_refused(&second.send(&Submit::new(ANA.parse()?, Content::whole(Body::of("x")))).await?, false));
    until("the first one works on", SOON, async || {
        Ok(matches!(desk.sends("one").await?, Sending::Sent { .. }).then_some(()))
    })
    .await
}

#[tokio::test]
async fn two_modems_do_not_wait_for_each_other() -> Result<()> {
    let slow = Desk::ready(Setup { message_takes: Duration::from_millis(800), ..Setup::default() }).await?;
    let quick = Desk::ready(Setup::default()).await?;
    let mut sends = std::pin::pin!(slow.sends("slow"));
    tokio::select! {
        biased;
        sent = &mut sends => bail!("it was not slow: {sent:?}"),
        sent = async {
            until("the slow one has it", SOON, async || Ok((!slow.given().is_empty()).then_some(()))).await?;
            quick.sends("quick").await
        } => assert!(matches!(sent?, Sending::Sent { .. })),
    }
    assert!(matches!(sends.await?, Sending::Sent { .. }));
    Ok(())
}
