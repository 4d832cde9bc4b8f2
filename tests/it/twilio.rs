//! Messages by Twilio: sent, refused for certain, or said to be unknown; found again, listed, and told of by itself.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use lab::{
    http::{Listener, Request},
    twilio::{Fault, Twilio as Fake},
};
use ringdown::{
    clock::Clock,
    phone::PhoneNumber,
    twilio::{
        Algorithm, Blame, Content, Credentials, HEADER, Incoming, Letter, Progress, Sender, Sending, Settings, Sid,
        Signed, Sought, Status, Trouble, Twilio, callback_url, fields,
    },
};

const OURS: &str = "+15005550006";
const ANA: &str = "+4915112345678";
const BEN: &str = "+393331234567";
const TEXT: &str = "critical: disk full on db-01 😀 (17). ack 17 = taken";

fn number(text: &str) -> PhoneNumber {
    text.to_owned().try_into().expect("a number")
}

fn settings(fake: &Fake) -> Settings {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let credentials = Credentials::Token(fake.token.clone().into());
    Settings { url: fake.url(), ..Settings::new(&fake.account, credentials, Sender::Number(OURS.into())) }
}

/// Noon, which does not pass by itself.
fn noon() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-22T12:00:00Z").expect("an instant").to_utc()
}

struct Scene {
    fake: Fake,
    clock: Clock,
    twilio: Twilio,
}

impl Scene {
    async fn new() -> Result<Self> {
        let clock = Clock::manual(noon());
        let fake = Fake::start(clock.clone()).await?;
        let twilio = Twilio::new(settings(&fake))?;
        Ok(Self { fake, clock, twilio })
    }

    async fn send(&self, to: &str, body: &str) -> Sending {
        self.twilio.send(Letter { to: &number(to), body, status_callback: None, valid_for: None }).await
    }

    /// Whether it was taken after all.
    async fn finds(&self, body: &str, others: &[&Sid]) -> Result<Option<Sid>, Trouble> {
        let others: BTreeSet<Sid> = others.iter().map(|sid| (*sid).clone()).collect();
        let sought = Sought { to: &number(ANA), body, mark: None, since: noon(), others: &others };
        Ok(self.twilio.find(&sought).await?.map(|message| message.sid))
    }
}

fn sid_of(sending: Sending) -> Sid {
    match sending {
        Sending::Sent { sid, .. } => sid,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_sent_as_it_was_written_and_asked_after() -> Result<()> {
    let scene = Scene::new().await?;
    let letter = Letter {
        to: &number(ANA),
        body: TEXT,
        status_callback: Some("http://127.0.0.1:1/x?message=m-1"),
        valid_for: Some(Duration::from_secs(600)),
    };
    let Sending::Sent { sid, status, segments } = scene.twilio.send(letter).await else { panic!("not sent") };
    assert_eq!((status, segments), (Status::Queued, Some(1)));
    let stored = &scene.fake.messages()[0];
    assert_eq!((&*stored.sid, &*stored.to, &*stored.from, &*stored.body), (sid.as_str(), ANA, OURS, TEXT));
    for (name, value) in [("StatusCallback", "http://127.0.0.1:1/x?message=m-1"), ("ValidityPeriod", "600")] {
        assert!(stored.fields.contains(&(name.to_owned(), value.to_owned())), "{:?}", stored.fields);
    }
    assert_eq!(scene.twilio.status(&sid).await?.status, Status::Queued);
    scene.fake.becomes(sid.as_str(), "undelivered", Some(30005)).await.expect_err("nobody is there");
    let message = scene.twilio.status(&sid).await?;
    assert_eq!((message.status, message.error), (Status::Undelivered, Some(30005)));
    let gone = Sid::of_message("SM00000000000000000000000000000000").expect("a SID");
    assert!(matches!(scene.twilio.status(&gone).await, Err(Trouble::Refused { code: Some(20404), .. })));
    Ok(())
}

#[tokio::test]
async fn a_key_of_the_account_and_a_messaging_service_do_as_well() -> Result<()> {
    let scene = Scene::new().await?;
    let service = "MG0123456789abcdef0123456789abcdef";
    let (sid, secret) = scene.fake.key.clone();
    let twilio = Twilio::new(Settings {
        credentials: Credentials::Key { sid, secret: secret.into() },
        sender: Sender::Service(service.into()),
        ..settings(&scene.fake)
    })?;
    let letter = Letter { to: &number(ANA), body: TEXT, status_callback: None, valid_for: None };
    sid_of(twilio.send(letter).await);
    assert_eq!(scene.fake.messages()[0].from, service);
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_whose_fault_it_is() -> Result<()> {
    let scene = Scene::new().await?;
    scene.fake.stops(BEN);
    let refused = |code, blame, words: &str| (Some(code), blame, words.to_owned());
    let of = |sending| match sending {
        Sending::Refused { code, why, blame } => (code, blame, why),
        other => panic!("{other:?}"),
    };
    let stopped = refused(
        21610,
        Blame::Stopped,
        "the recipient has stopped texts from here by STOP (Twilio's error 21610), HTTP 400",
    );
    assert_eq!(of(scene.send(BEN, TEXT).await), stopped);
    scene.fake.fails([
        Fault::Refuse(21614, format!("{ANA} is not a mobile number")),
        Fault::Refuse(21408, "Permission to send an SMS has not been enabled for the region".into()),
        Fault::Refuse(98765, format!("Something about {ANA}\r\n")),
        Fault::FailAtOnce(30034),
        Fault::Redirect("https://evil.example/".into()),
    ]);
    let (code, blame, why) = of(scene.send(ANA, TEXT).await);
    assert_eq!((code, blame), (Some(21614), Blame::Number), "{why}");
    let (code, blame, why) = of(scene.send(ANA, TEXT).await);
    assert_eq!((code, blame), (Some(21408), Blame::Reach), "{why}");
    let (code, blame, why) = of(scene.send(ANA, TEXT).await);
    assert_eq!((code, blame), (Some(98765), Blame::Account), "{why}");
    assert_eq!(why, "Something about +... (Twilio's error 98765), HTTP 400");
    let (code, blame, why) = of(scene.send(ANA, TEXT).await);
    assert_eq!((code, blame), (Some(30034), Blame::Account), "{why}");
    let (code, blame, why) = of(scene.send(ANA, TEXT).await);
    assert_eq!((code, blame), (None, Blame::Account), "{why}");
    let wrong = Settings { credentials: Credentials::Token("another".into()), ..settings(&scene.fake) };
    let letter = Letter { to: &number(ANA), body: TEXT, status_callback: None, valid_for: None };
    let (code, blame, why) = of(Twilio::new(wrong)?.send(letter).await);
    assert_eq!((code, blame), (Some(20003), Blame::Account), "{why}");
    Ok(())
}

#[tokio::test]
async fn what_twilio_would_refuse_for_certain_is_not_even_asked() -> Result<()> {
    let scene = Scene::new().await?;
    for (to, body, blame) in [
        ("8123", TEXT.to_owned(), Blame::Number),
        (ANA, " \n".to_owned(), Blame::Text),
        (ANA, "ж".repeat(1601), Blame::Text),
    ] {
        assert!(matches!(scene.send(to, &body).await, Sending::Refused { blame: told, .. } if told == blame));
    }
    assert!(scene.fake.requests().is_empty());
    sid_of(scene.send(ANA, &"ж".repeat(1600)).await);
    Ok(())
}

#[tokio::test]
async fn when_it_is_too_much_or_broken_later_is_better() -> Result<()> {
    let scene = Scene::new().await?;
    scene.fake.fails([Fault::TooMany(Some(7)), Fault::TooMany(None), Fault::Broken(503), Fault::Broken(500)]);
    scene.fake.fails([Fault::Refuse(21611, "queue".into())]);
    let seconds = Duration::from_secs;
    for (asked, look) in [(Some(seconds(7)), false), (None, false), (None, true), (None, true), (None, false)] {
        match scene.send(ANA, TEXT).await {
            Sending::TryLater { after, look_first, .. } => assert_eq!((after, look_first), (asked, look)),
            other => panic!("{other:?}"),
        }
    }
    assert!(scene.fake.messages().is_empty());
    assert_eq!(scene.fake.requests().len(), 5, "each is asked once");
    assert_eq!(scene.finds(TEXT, &[]).await, Ok(None));
    sid_of(scene.send(ANA, TEXT).await);
    Ok(())
}

#[tokio::test]
async fn without_a_connection_it_is_certain_that_nothing_left() -> Result<()> {
    let scene = Scene::new().await?;
    let nobody = Settings { url: "http://127.0.0.1:1".into(), ..settings(&scene.fake) };
    let letter = Letter { to: &number(ANA), body: TEXT, status_callback: None, valid_for: None };
    match Twilio::new(nobody)?.send(letter).await {
        Sending::TryLater { look_first: false, why, .. } => assert!(!why.contains(ANA), "{why}"),
        other => panic!("{other:?}"),
    }
    Ok(())
}

/// Sends while this fails, and says whether it is known to have arrived.
async fn unknown(fault: Fault, is_taken: bool) -> Result<()> {
    let scene = Scene::new().await?;
    let patient = settings(&scene.fake);
    let twilio = Twilio::new(Settings { answer_within: Duration::from_millis(400), largest_answer: 4096, ..patient })?;
    // Another with the same words, which is known.
    let known = sid_of(scene.send(ANA, TEXT).await);
    let what = format!("{fault:?}");
    scene.fake.fails([fault]);
    let letter = Letter { to: &number(ANA), body: TEXT, status_callback: None, valid_for: None };
    match twilio.send(letter).await {
        Sending::Unknown { why } => assert!(!why.contains("4915") && !why.contains("http:"), "{why}"),
        Sending::TryLater { look_first: true, .. } => {}
        other => panic!("{what}: {other:?}"),
    }
    assert_eq!(scene.fake.requests().len(), 2, "{what}: it is asked once");
    assert_eq!(scene.fake.messages().len(), if is_taken { 2 } else { 1 }, "{what}");
    let found = scene.finds(TEXT, &[&known]).await?;
    ensure!(found.is_some() == is_taken, "{what}: {found:?}");
    assert_ne!(found, Some(known));
    Ok(())
}

#[tokio::test]
async fn what_nobody_knows_is_said_to_be_unknown_and_found_out_by_asking() -> Result<()> {
    for fault in [
        Fault::CutAfter,
        Fault::CutWithin,
        Fault::HangAfter,
        Fault::Garble,
        Fault::Flood(5000),
        Fault::Flood(3000),
        Fault::BrokenAfter(502),
        Fault::BrokenAfter(504),
    ] {
        unknown(fault, true).await?;
    }
    for fault in [Fault::CutBefore, Fault::HangBefore] {
        unknown(fault, false).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_message_is_found_among_many_and_those_before_it_are_not_taken_for_it() -> Result<()> {
    let scene = Scene::new().await?;
    // The day before, the same words.
    scene.clock.advance(TimeDelta::hours(-20));
    sid_of(scene.send(ANA, TEXT).await);
    scene.clock.advance(TimeDelta::hours(20));
    assert_eq!(scene.finds(TEXT, &[]).await, Ok(None));
    let sent = sid_of(scene.send(ANA, TEXT).await);
    sid_of(scene.send(BEN, TEXT).await);
    for nth in 0..250 {
        sid_of(scene.send(ANA, &format!("another {nth}")).await);
    }
    scene.fake.text(ANA, OURS, TEXT);
    let before = scene.fake.requests().len();
    assert_eq!(scene.finds(TEXT, &[]).await, Ok(Some(sent.clone())));
    assert_eq!(scene.fake.requests().len() - before, 3, "pages of a hundred");
    assert_eq!(scene.finds(TEXT, &[&sent]).await, Ok(None));
    assert_eq!(scene.finds("never sent", &[]).await, Ok(None));
    Ok(())
}

#[tokio::test]
async fn too_many_to_be_certain_is_not_taken_for_a_no() -> Result<()> {
    let scene = Scene::new().await?;
    let sent = sid_of(scene.send(ANA, TEXT).await);
    for nth in 0..2000 {
        scene.fake.text("+15005550001", ANA, &format!("another {nth}"));
    }
    assert!(matches!(scene.finds(TEXT, &[]).await, Err(Trouble::Unclear(_))));
    let inbox = scene.twilio.inbound(ANA, noon(), |_| false).await?;
    assert_eq!((inbox.messages.len(), inbox.is_whole), (2000, false));
    assert_eq!(scene.twilio.status(&sent).await?.sid, sent);
    Ok(())
}

#[tokio::test]
async fn what_came_in_is_read_page_by_page_each_once_and_in_order() -> Result<()> {
    let scene = Scene::new().await?;
    scene.clock.advance(TimeDelta::hours(-2));
    scene.fake.text(ANA, OURS, "too old");
    scene.clock.advance(TimeDelta::hours(2));
    let mut texts = Vec::new();
    for nth in 0..230 {
        texts.push(format!("ack {nth}"));
        scene.fake.text(ANA, OURS, &texts[nth]);
        scene.clock.advance(TimeDelta::seconds(1));
    }
    scene.fake.text(ANA, "+15005550007", "another number of ours");
    sid_of(scene.send(ANA, "ours").await);
    for _ in 0..2 {
        scene.fake.text_between_pages(BEN, OURS, "while pages are read");
    }
    let inbox = scene.twilio.inbound(OURS, noon(), |_| false).await?;
    assert!(inbox.is_whole);
    let read: Vec<&str> = inbox.messages.iter().map(|message| &*message.body).collect();
    assert_eq!(read, texts, "those that come meanwhile are read the next time");
    let known: BTreeSet<Sid> = inbox.messages.into_iter().map(|message| message.sid).collect();
    let inbox = scene.twilio.inbound(OURS, noon(), |sid| known.contains(sid)).await?;
    let read: Vec<(&str, &str)> = inbox.messages.iter().map(|message| (&*message.from, &*message.body)).collect();
    assert_eq!(read, [(BEN, "while pages are read"); 2]);
    Ok(())
}

#[tokio::test]
async fn a_question_that_is_not_answered_is_a_question_for_later() -> Result<()> {
    let scene = Scene::new().await?;
    let nobody = Twilio::new(Settings { url: "http://127.0.0.1:1".into(), ..settings(&scene.fake) })?;
    assert!(matches!(nobody.inbound(OURS, noon(), |_| false).await, Err(Trouble::TryLater { .. })));
    let wrong = Settings { credentials: Credentials::Token("another".into()), ..settings(&scene.fake) };
    let told = Twilio::new(wrong)?.inbound(OURS, noon(), |_| false).await;
    assert!(matches!(told, Err(Trouble::Refused { code: Some(20003), blame: Blame::Account, .. })));
    let tiny = Twilio::new(Settings { largest_answer: 10, ..settings(&scene.fake) })?;
    assert!(matches!(tiny.inbound(OURS, noon(), |_| false).await, Err(Trouble::Unclear(_))));
    Ok(())
}

/// What a callback says, if it is signed with this token and came to this URL.
fn believed(got: &Request, url: &str, token: &str) -> Option<Vec<(String, String)>> {
    let fields = fields(&got.body).expect("a form");
    let signed = Signed {
        url,
        content: Content::Form(&fields),
        signature: got.header(HEADER).unwrap_or_default(),
        algorithm: Algorithm::HmacSha1,
    };
    signed.is_by(&[token.to_owned().into()]).then_some(fields)
}

#[tokio::test]
async fn what_twilio_tells_by_itself_is_believed_by_its_signature_only() -> Result<()> {
    let scene = Scene::new().await?;
    let listener = Listener::start().await?;
    let url = callback_url(&format!("{}/sms/status", listener.url()), "m-1 & 2");
    let letter = Letter { to: &number(ANA), body: TEXT, status_callback: Some(&url), valid_for: None };
    let sid = sid_of(scene.twilio.send(letter).await);
    assert_eq!(scene.fake.becomes(sid.as_str(), "delivered", None).await?, Some(204));
    assert_eq!(scene.fake.becomes(sid.as_str(), "failed", Some(30003)).await?, Some(204));
    let inbound = format!("{}/sms/in", listener.url());
    scene.fake.tell_text(&inbound, BEN, OURS, "ack 17\n😀 +&=").await?;
    let got = listener.gets(3).await?;
    let query = got[0].target.split_once('?').expect("a query").1;
    for (got, (status, error)) in got.iter().zip([(Status::Delivered, None), (Status::Failed, Some(30003))]) {
        assert_eq!(believed(got, &url, "another"), None);
        assert_eq!(believed(got, &inbound, &scene.fake.token), None);
        let fields = believed(got, &url, &scene.fake.token).expect("it is signed");
        let progress = Progress::read(query, &fields)?;
        assert_eq!(progress, Progress { sid: sid.clone(), mark: Some("m-1 & 2".into()), status, error });
    }
    let fields = believed(&got[2], &inbound, &scene.fake.token).expect("it is signed");
    let incoming = Incoming::read(&fields)?;
    assert_eq!((&*incoming.from, &*incoming.to, &*incoming.body), (BEN, OURS, "ack 17\n😀 +&="));
    let mut forged = got[2].clone();
    forged.body = String::from_utf8(forged.body)?.replace("39333", "39334").into_bytes();
    assert_eq!(believed(&forged, &inbound, &scene.fake.token), None);
    Ok(())
}
