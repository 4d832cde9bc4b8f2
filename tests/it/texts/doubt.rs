//! Whether Twilio has a text of which nobody knows: asked until it is certain, by a clock that is moved by hand.

use std::time::Duration;

use anyhow::Result;
use chrono::TimeDelta;
use lab::{
    twilio::{Fault, Twilio as Fake},
    wait::until,
};
use ringdown::{
    bus::Bus,
    engine::{DirectText, Texted},
    escalation::Target,
    id::MessageId,
    store::{Message, MessageStatus, Taken},
    texter::{Texter, TwilioSettings, Way},
    twilio::{Credentials, Sender, Twilio},
};
use tokio_util::sync::CancellationToken;

use crate::{
    databases::{Database, on_both_databases},
    harness::{ANA, LATER},
    scene::{Scene, number, texting},
};

on_both_databases! {
    what_was_not_taken_is_sent_again_when_that_is_certain
    while_nobody_can_be_asked_nothing_is_sent_again
    what_a_dead_server_was_about_to_send_is_sent_when_it_is_certain_that_it_was_not
    a_callback_ends_the_doubt_and_what_waits_is_not_sent_again
}

const OURS: &str = "+15005550006";
const TEXT: &str = "critical: disk full on db-01 😀";

/// A server that texts by Twilio alone. Its clock stands still.
struct Office {
    scene: Scene,
    fake: Fake,
    stop: CancellationToken,
}

impl Office {
    async fn open(database: &Database) -> Result<Self> {
        let scene = Scene::on(database).await;
        let engine = scene.engine.clone().with_texts(TimeDelta::minutes(30));
        let fake = Fake::start(scene.clock.clone()).await?;
        Ok(Self { scene: Scene { engine, ..scene }, fake, stop: CancellationToken::new() })
    }

    /// Sends from now on.
    fn begin(&self) -> Result<()> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let token = Credentials::Token(self.fake.token.clone().into());
        let plain = ringdown::twilio::Settings::new(&self.fake.account, token, Sender::Number(OURS.into()));
        let answer_within = Duration::from_millis(500);
        let account = Twilio::new(ringdown::twilio::Settings { url: self.fake.url(), answer_within, ..plain })?;
        let poll = Duration::from_millis(50);
        let used = TwilioSettings { at_once: 2, numbers: vec![OURS.into()], status_url: None, poll };
        let settings = texting("office");
        let ways = vec![Way::twilio("twilio", account, used)];
        let Scene { store, engine, clock, .. } = &self.scene;
        let texter = Texter::new(store.clone(), engine.clone(), Bus::default(), clock.clone(), ways, settings);
        tokio::spawn(texter.run(self.stop.clone()));
        Ok(())
    }

    async fn text(&self) -> MessageId {
        let to = Target::Number(number(ANA));
        let direct = DirectText { to, text: TEXT.into(), worth: None, source: "a test".into() };
        match self.scene.engine.text(MessageId::generate(), direct).await.expect("it is stored") {
            Texted::Queued(ids) => ids[0],
            other => panic!("{other:?}"),
        }
    }

    async fn message(&self, id: MessageId) -> Message {
        self.scene.store.message(id).await.expect("an answer").expect("a message")
    }

    async fn is(&self, id: MessageId, status: MessageStatus) -> Result<Message> {
        until(format!("the message is {status}"), LATER, async || {
            Ok(Some(self.message(id).await).filter(|message| message.status == status))
        })
        .await
    }

    /// How often it was given the text.
    fn given(&self) -> usize {
        self.fake.messages().iter().filter(|message| !message.is_inbound).count()
    }

    /// Waits until it was asked so often again what it has.
    async fn is_asked(&self, times: usize) -> Result<()> {
        let asked = || {
            let ours = self.fake.requests();
            ours.iter().filter(|request| request.method == "GET" && request.target.contains("To=%2B39")).count()
        };
        let before = asked();
        until("it is asked", LATER, async || Ok((asked() >= before + times).then_some(()))).await
    }
}

async fn what_was_not_taken_is_sent_again_when_that_is_certain(database: Database) {
    let office = Office::open(&database).await.expect("an office");
    office.begin().expect("it begins");
    for (sent, fault) in (1..).zip([Fault::CutBefore, Fault::HangBefore, Fault::Broken(503)]) {
        office.fake.fails([fault.clone()]);
        let id = office.text().await;
        office.is(id, MessageStatus::Unknown).await.expect("in doubt");
        // It was asked and has none; for a minute that says nothing.
        office.scene.seconds_pass(59);
        office.is_asked(2).await.expect("asked");
        assert_eq!(office.message(id).await.status, MessageStatus::Unknown, "{fault:?}");
        assert_eq!(office.given(), sent - 1, "{fault:?}");
        office.scene.seconds_pass(1);
        let message = office.is(id, MessageStatus::Sent).await.expect("sent");
        assert_eq!((message.attempts, office.given()), (2, sent), "{fault:?}");
        office.scene.seconds_pass(3600);
    }
    office.stop.cancel();
}

async fn while_nobody_can_be_asked_nothing_is_sent_again(database: Database) {
    let office = Office::open(&database).await.expect("an office");
    office.begin().expect("it begins");
    office.fake.fails([Fault::HangAfter]);
    let id = office.text().await;
    until("it has it", LATER, async || Ok((office.given() == 1).then_some(()))).await.expect("it has it");
    office.fake.is_silent(true);
    office.is(id, MessageStatus::Unknown).await.expect("in doubt");
    let asked = office.fake.requests().len();
    for _ in 0..3 {
        office.scene.seconds_pass(600);
        let more = office.fake.requests().len() + 1;
        until("it is asked", LATER, async || Ok((office.fake.requests().len() >= more).then_some(())))
            .await
            .expect("asked");
    }
    assert!(office.fake.requests().len() > asked);
    assert_eq!((office.message(id).await.status, office.given()), (MessageStatus::Unknown, 1));
    office.fake.is_silent(false);
    let message = office.is(id, MessageStatus::Sent).await.expect("found");
    assert_eq!((message.attempts, office.given()), (1, 1));
    office.stop.cancel();
}

async fn what_a_dead_server_was_about_to_send_is_sent_when_it_is_certain_that_it_was_not(database: Database) {
    let office = Office::open(&database).await.expect("an office");
    let id = office.text().await;
    let claim = office.scene.store.claim_message(id, ("office", "twilio"), TEXT.into(), office.scene.now());
    claim.await.expect("an answer").expect("it waits");
    office.scene.seconds_pass(10);
    office.begin().expect("it begins");
    office.is(id, MessageStatus::Unknown).await.expect("in doubt");
    office.is_asked(2).await.expect("asked");
    assert_eq!(office.given(), 0);
    office.scene.seconds_pass(60);
    office.is(id, MessageStatus::Sent).await.expect("sent");
    assert_eq!(office.given(), 1);
    office.stop.cancel();
}

async fn a_callback_ends_the_doubt_and_what_waits_is_not_sent_again(database: Database) {
    let office = Office::open(&database).await.expect("an office");
    let (store, now) = (&office.scene.store, office.scene.now());
    let told = |id, sid: &str, fate, words: &str| Taken {
        route: "twilio".into(),
        sid: sid.into(),
        message: Some(id),
        segments: None,
        fate,
        words: words.into(),
    };
    use ringdown::store::Fate::{Delivered, Failed, Trying};
    // Told before the answer came, and before it is stored as sent.
    let early = office.text().await;
    store.claim_message(early, ("office", "twilio"), TEXT.into(), now).await.expect("an answer").expect("it waits");
    assert!(store.text_taken(told(early, "SM1", Delivered, "delivered"), now).await.expect("stored"));
    assert!(store.text_taken(told(early, "SM1", Trying, "Twilio has it"), now).await.expect("stored"));
    assert_eq!(office.message(early).await.status, MessageStatus::Delivered);
    // Told of one that is in doubt.
    let doubted = office.text().await;
    let claimed = store.claim_message(doubted, ("office", "twilio"), TEXT.into(), now).await.expect("an answer");
    store.message_unknown(doubted, "silence".into(), now).await.expect("stored");
    assert!(store.text_taken(told(doubted, "SM2", Trying, "Twilio has it"), now).await.expect("stored"));
    assert_eq!(office.message(doubted).await.status, MessageStatus::Sent);
    let claimed = claimed.expect("it waited");
    assert!(!store.text_not_taken(&claimed, "no".into(), now).await.expect("an answer"), "it is no doubt any more");
    assert!(store.text_taken(told(doubted, "SM2", Failed, "unreachable"), now).await.expect("stored"));
    let failed = office.message(doubted).await;
    let why = failed.failure.as_deref();
    assert_eq!((failed.status, why), (MessageStatus::Failed, Some("it did not arrive: unreachable")));
    // Told of one that waits to be sent again, since it was believed not to be there.
    let waits = office.text().await;
    store.claim_message(waits, ("office", "twilio"), TEXT.into(), now).await.expect("an answer").expect("it waits");
    store.message_refused(waits, "too many".into(), now, now).await.expect("stored");
    assert!(store.text_taken(told(waits, "SM3", Trying, "Twilio has it"), now).await.expect("stored"));
    assert_eq!(office.message(waits).await.status, MessageStatus::Sent);
    // About nothing of ours.
    let nobody = MessageId::generate();
    assert!(!store.text_taken(told(nobody, "SM4", Trying, "x"), now).await.expect("an answer"));
    // What is sent by another way now stays so.
    let other = office.text().await;
    store.claim_message(other, ("office", "gsm"), TEXT.into(), now).await.expect("an answer").expect("it waits");
    assert!(store.text_taken(told(other, "SM5", Delivered, "delivered"), now).await.expect("stored"));
    assert_eq!(office.message(other).await.status, MessageStatus::Sending);
    office.begin().expect("it begins");
    office.is(other, MessageStatus::Unknown).await.expect("its modem is not here");
    assert_eq!(office.given(), 0);
    office.stop.cancel();
}
