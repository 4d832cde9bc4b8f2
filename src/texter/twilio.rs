//! An account of Twilio's as a way out, and in.
//!
//! Twilio takes no name of ours for a message, so an answer that is lost leaves it in doubt whether it has one. Such a
//! message is `unknown`, and Twilio is asked: what it has is sent, and what it certainly has not, a minute later, may be
//! sent again. While it cannot be asked, nobody knows, and nothing is sent again. A server that dies in the middle
//! leaves a message in the very same doubt.
//!
//! Where Twilio can reach this server it tells how far messages are and what came in (`api`). It is asked all the
//! same, and otherwise often: so no public address is needed, and what was told twice is known by its name there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Notify, watch};

use super::{
    Shared,
    standing::{Heard, Standing},
    way::{Outcome, Way},
};
use crate::{
    bus::Bell,
    failpoint,
    id::MessageId,
    modem::pdu::{Text, Width},
    store::{self, Message, Taken, TextIn},
    twilio::{self, Blame, Letter, SETTLES, Sending, Sid, Sought, Trouble, Twilio, callback_url, pause},
};

/// Between two tries to write down what has happened already.
const AGAIN: Duration = Duration::from_secs(1);
/// The shortest time in which Twilio may hand a message over.
const VALID: TimeDelta = TimeDelta::minutes(1);
/// What is in doubt is asked after so often, and so long.
const DOUBTFUL: Duration = Duration::from_secs(10);
const DOUBT: TimeDelta = TimeDelta::hours(4);
/// Messages that are asked after in one go, and for how long after they were sent.
const BATCH: u64 = 50;
const REPORTED: TimeDelta = TimeDelta::days(1);

/// How an account is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Messages that it is given at once.
    pub at_once: usize,
    /// Numbers of ours that answers come to.
    pub numbers: Vec<String>,
    /// Where it tells how far messages are, if it can reach us.
    pub status_url: Option<String>,
    /// How often it is asked.
    pub poll: Duration,
}

/// An account and its name.
#[derive(Debug)]
pub struct TwilioWay {
    pub(super) name: String,
    twilio: Twilio,
    pub(super) settings: Settings,
    standing: watch::Sender<Standing>,
    /// Rings when it is to be asked at once.
    look: Notify,
}

/// What was asked before.
#[derive(Default)]
struct Asked {
    /// Since when texts may have come in that are not here.
    since: Option<DateTime<Utc>>,
    /// Those that were listed the last time.
    seen: BTreeSet<Sid>,
    /// When it is asked again how far a message is.
    next: BTreeMap<String, DateTime<Utc>>,
}

/// Why a look was not finished.
enum Halt {
    Twilio(Trouble),
    Store(store::Error),
}

impl From<Trouble> for Halt {
    fn from(trouble: Trouble) -> Self {
        Self::Twilio(trouble)
    }
}

impl From<store::Error> for Halt {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl TwilioWay {
    pub(super) fn new(name: &str, twilio: Twilio, settings: Settings) -> Self {
        let standing = watch::Sender::new(Standing::default());
        Self { name: name.to_owned(), twilio, settings, standing, look: Notify::new() }
    }

    pub(super) fn is_up(&self, now: DateTime<Utc>) -> bool {
        self.standing.borrow().is_up(now)
    }

    pub(super) fn watch(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    pub(super) async fn send(&self, shared: &Shared, message: &Message) -> Outcome {
        // A modem would cut it so.
        let most = shared.settings.segments.into();
        let text = Text::split(message.body.as_deref().unwrap_or_default(), most, Width::Short).parts().concat();
        let callback = self.settings.status_url.as_ref().map(|url| callback_url(url, &message.id.to_string()));
        let left = (message.expires_at - shared.clock.now()).max(VALID);
        let letter = Letter {
            to: &message.number,
            body: &text,
            status_callback: callback.as_deref(),
            valid_for: left.to_std().ok(),
        };
        match self.twilio.send(letter).await {
            Sending::Sent { sid, status, segments } => {
                failpoint::reach("text.sent");
                self.hears(shared, Heard::Taken);
                let told = self.taken(&sid, Some(message.id), status, None, segments);
                self.write_down(shared, told).await;
                Outcome::Sent
            }
            Sending::Refused { why, blame, .. } => {
                if blame == Blame::Account {
                    self.hears(shared, Heard::Refusal { why: why.clone() });
                }
                Outcome::Refused { why, permanent: blame.is_permanent() }
            }
            Sending::TryLater { after, look_first: true, why } => {
                self.rests(shared, message.id, after, &why);
                Outcome::Unknown { why }
            }
            Sending::Unknown { why } => {
                self.rests(shared, message.id, None, &why);
                Outcome::Unknown { why }
            }
            Sending::TryLater { after, look_first: false, why } => {
                self.rests(shared, message.id, after, &why);
                Outcome::Refused { why, permanent: false }
            }
        }
    }

    /// Gives it nothing for a while, so that what comes next goes another way; longer each time, until it has taken
    /// a text. Whether it answers at all, and whether it has this one, is asked at once.
    fn rests(&self, shared: &Shared, id: MessageId, asked: Option<Duration>, why: &str) {
        let times = self.standing.borrow().times();
        let wait = TimeDelta::from_std(pause(asked, times + 1, chance(id))).unwrap_or(VALID);
        self.hears(shared, Heard::Busy { why: why.to_owned(), wait });
        self.look.notify_one();
    }

    fn taken(
        &self,
        sid: &Sid,
        message: Option<MessageId>,
        status: twilio::Status,
        error: Option<u32>,
        segments: Option<u32>,
    ) -> Taken {
        Taken {
            route: self.name.clone(),
            sid: sid.as_str().to_owned(),
            message,
            segments,
            fate: status.fate().into(),
            words: twilio::told(status, error),
        }
    }

    /// It has left: as long as that is not written down nothing else is sent in its place.
    async fn write_down(&self, shared: &Shared, taken: Taken) {
        while let Err(error) = shared.store.text_taken(taken.clone(), shared.clock.now()).await {
            tracing::error!(route = self.name, %error, "that a text was sent cannot be stored; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn hears(&self, shared: &Shared, heard: Heard) {
        let now = shared.clock.now();
        let is_refusal = matches!(heard, Heard::Refusal { .. });
        self.standing.send_modify(|standing| *standing = std::mem::take(standing).after(heard, now));
        self.show(shared, is_refusal);
    }

    /// Says how it is, wherever that is asked.
    fn show(&self, shared: &Shared, is_refusal: bool) {
        let now = shared.clock.now();
        let (is_up, detail) = {
            let standing = self.standing.borrow();
            (standing.is_up(now), standing.detail(now))
        };
        if is_refusal {
            tracing::error!(route = self.name, why = detail, "Twilio would refuse every text");
        }
        if shared.settings.watch.way_is(&self.name, is_up, detail.clone(), now) {
            match is_up {
                true => tracing::info!(route = self.name, "Twilio takes texts"),
                false => tracing::warn!(route = self.name, why = detail, "Twilio takes no texts"),
            }
            // What waits may go now, or another way.
            shared.bus.ring(Bell::Texts);
        }
    }

    /// Asks what it knows, for ever.
    async fn tend(&self, shared: &Shared) {
        let (mut asked, mut failures) = (Asked::default(), 0_u32);
        loop {
            let wait = match self.ask(shared, &mut asked).await {
                Ok(in_doubt) => {
                    failures = 0;
                    if in_doubt { self.settings.poll.min(DOUBTFUL) } else { self.settings.poll }
                }
                Err(Halt::Store(error)) => {
                    tracing::error!(route = self.name, %error, "what Twilio says cannot be stored; trying again");
                    AGAIN
                }
                Err(Halt::Twilio(trouble)) => {
                    failures += 1;
                    self.hears(shared, Heard::Silence { why: trouble.to_string() });
                    let after = match trouble {
                        Trouble::TryLater { after, .. } => after,
                        Trouble::Refused { .. } | Trouble::Unclear(_) => None,
                    };
                    pause(after, failures, 0.5).min(self.settings.poll.max(DOUBTFUL))
                }
            };
            // A rest may be over.
            self.show(shared, false);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.look.notified() => {}
            }
        }
    }

    /// Asks what came in, whether it has what is in doubt, and how far the others are. Returns whether something
    /// stays in doubt.
    async fn ask(&self, shared: &Shared, asked: &mut Asked) -> Result<bool, Halt> {
        self.ask_what_came_in(shared, asked).await?;
        self.hears(shared, Heard::Answer);
        let in_doubt = self.ask_after_what_is_in_doubt(shared).await?;
        self.ask_how_far(shared, &mut asked.next).await?;
        Ok(in_doubt)
    }

    async fn ask_what_came_in(&self, shared: &Shared, asked: &mut Asked) -> Result<(), Halt> {
        let began = shared.clock.now();
        if self.settings.numbers.is_empty() {
            return Ok(self.twilio.answers().await?);
        }
        let since = match asked.since {
            Some(since) => since,
            None => shared.store.heard_until(&self.name, began).await?,
        };
        let mut seen = BTreeSet::new();
        for number in &self.settings.numbers {
            let inbox = self.twilio.inbound(number, since, |_| false).await?;
            if !inbox.is_whole {
                tracing::error!(route = self.name, "so many texts have come in that the oldest of them were not read");
            }
            for message in inbox.messages {
                seen.insert(message.sid.clone());
                if asked.seen.contains(&message.sid) {
                    continue;
                }
                // Where they are told of, too, that is where they are counted.
                if self.settings.status_url.is_none() {
                    metrics::counter!("ringdown_texts_received_total").increment(1);
                }
                let at = message.created.unwrap_or(began).min(began);
                let sid = message.sid.as_str().to_owned();
                let text = TextIn { route: self.name.clone(), sid, sender: message.from, body: message.body, at };
                shared.store.take_text_in(text).await?;
                shared.bus.ring(Bell::Inbound);
            }
        }
        (asked.seen, asked.since) = (seen, Some(began));
        Ok(())
    }

    async fn ask_after_what_is_in_doubt(&self, shared: &Shared) -> Result<bool, Halt> {
        let now = shared.clock.now();
        let mut in_doubt = false;
        for message in shared.store.texts_in_doubt(&self.name, now - DOUBT, BATCH).await? {
            let others = shared.store.sids_of_others(&self.name, &message).await?;
            let others = others.iter().filter_map(|sid| Sid::of_message(sid)).collect();
            let most = shared.settings.segments.into();
            let text = Text::split(message.body.as_deref().unwrap_or_default(), most, Width::Short).parts().concat();
            let sought =
                Sought { to: &message.number, body: &text, mark: None, since: message.created_at, others: &others };
            let asked_at = shared.clock.now();
            let found = match self.twilio.find(&sought).await {
                // That it cannot be known about this one says nothing about others.
                Err(Trouble::Unclear(why)) => {
                    tracing::warn!(message = %message.id, why, "whether Twilio has a text cannot be known");
                    in_doubt = true;
                    continue;
                }
                found => found?,
            };
            match found {
                Some(found) => {
                    let taken = self.taken(&found.sid, Some(message.id), found.status, found.error, found.segments);
                    shared.store.text_taken(taken, shared.clock.now()).await?;
                    tracing::info!(message = %message.id, "Twilio has the text that was in doubt");
                }
                None if message.ended_at.is_some_and(|gave_up| gave_up + SETTLES <= asked_at) => {
                    let why = "it was not taken, as was asked later".to_owned();
                    shared.store.text_not_taken(&message, why, shared.clock.now()).await?;
                    shared.bus.ring(Bell::Texts);
                }
                None => in_doubt = true,
            }
        }
        Ok(in_doubt)
    }

    async fn ask_how_far(&self, shared: &Shared, next: &mut BTreeMap<String, DateTime<Utc>>) -> Result<(), Halt> {
        let now = shared.clock.now();
        let poll = TimeDelta::from_std(self.settings.poll).unwrap_or(REPORTED);
        let under_way = shared.store.sids_under_way(&self.name, now - REPORTED, BATCH).await?;
        next.retain(|sid, _| under_way.iter().any(|(other, _)| other == sid));
        for (sid, sent_at) in under_way {
            // Less and less often: most that is not known after a minute never is.
            let pause = poll.max((now - sent_at) / 4);
            let first = if self.settings.status_url.is_some() { sent_at + poll } else { sent_at };
            if now < *next.entry(sid.clone()).or_insert(first) {
                continue;
            }
            next.insert(sid.clone(), now + pause);
            let Some(sid) = Sid::of_message(&sid) else { continue };
            match self.twilio.status(&sid).await {
                Ok(message) => {
                    let taken = self.taken(&sid, None, message.status, message.error, message.segments);
                    shared.store.text_taken(taken, shared.clock.now()).await?;
                }
                // It was deleted there.
                Err(Trouble::Refused { code: Some(20404), .. }) => drop(next.insert(sid.to_string(), now + REPORTED)),
                Err(Trouble::Unclear(_)) => {}
                Err(trouble) => return Err(trouble.into()),
            }
        }
        Ok(())
    }
}

/// Asks the way of this place what it knows, for ever.
pub(super) async fn tend(shared: Arc<Shared>, ways: Arc<[Way]>, place: usize) {
    if let Way::Twilio(way) = &ways[place] {
        way.tend(&shared).await;
    }
}

/// Another for each message, so that not all of them come back at once.
fn chance(id: MessageId) -> f64 {
    // The last bits of a UUIDv7 are random.
    f64::from(id.0.as_bytes()[15]) / 255.0
}
