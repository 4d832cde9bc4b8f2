//! The ways out that texts take, and how each sends one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::{
    Shared, inbound,
    standing::Standing,
    twilio::{Settings as Use, TwilioWay},
};
use crate::{
    failpoint,
    id::MessageId,
    modem::{
        Health, Modem, Sending, Settings,
        pdu::{Address, Submit, Text, Validity, Width},
    },
    store::{self, Message, Segment},
    twilio::Twilio,
};

/// Between two tries to write down what has happened already.
const AGAIN: Duration = Duration::from_secs(1);

/// A way out.
#[derive(Debug)]
pub enum Way {
    /// A GSM modem.
    Modem(ModemWay),
    /// An account of Twilio's.
    Twilio(Box<TwilioWay>),
}

/// Changes with whether a way takes texts.
pub(super) enum Changes {
    Modem(watch::Receiver<Health>),
    Twilio(watch::Receiver<Standing>),
}

/// A GSM modem and its name.
#[derive(Debug)]
pub struct ModemWay {
    name: String,
    modem: Modem,
    notices: Option<inbound::Notices>,
}

/// What became of a text.
pub(super) enum Outcome {
    /// It is sent, and written down as sent.
    Sent,
    /// Nothing, or not all of it, has left: it may be tried again.
    Refused { why: String, permanent: bool },
    /// It may have left.
    Unknown { why: String },
}

impl Way {
    /// A modem of this name. Opened from now on.
    #[must_use]
    pub fn modem(name: &str, settings: Settings) -> Self {
        let (modem, notices) = Modem::start(settings);
        Self::Modem(ModemWay { name: name.to_owned(), modem, notices: Some(notices) })
    }

    /// An account of Twilio's by this name. Asked nothing yet.
    #[must_use]
    pub fn twilio(name: &str, twilio: Twilio, settings: Use) -> Self {
        Self::Twilio(Box::new(TwilioWay::new(name, twilio, settings)))
    }

    /// Its name, which rows and figures bear.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Modem(way) => &way.name,
            Self::Twilio(way) => &way.name,
        }
    }

    /// How many texts it takes at once.
    pub(super) fn at_once(&self) -> usize {
        match self {
            Self::Modem(_) => 1,
            Self::Twilio(way) => way.settings.at_once.max(1),
        }
    }

    /// Whether it takes texts now.
    pub(super) fn is_up(&self, now: DateTime<Utc>) -> bool {
        match self {
            Self::Modem(way) => works(&way.modem.health()),
            Self::Twilio(way) => way.is_up(now),
        }
    }

    /// Changes with whether it takes texts.
    pub(super) fn watch(&self) -> Changes {
        match self {
            Self::Modem(way) => Changes::Modem(way.modem.watch()),
            Self::Twilio(way) => Changes::Twilio(way.watch()),
        }
    }

    /// What happens with it, if it tells by itself; once.
    pub(super) fn take_notices(&mut self) -> Option<inbound::Notices> {
        match self {
            Self::Modem(way) => way.notices.take(),
            Self::Twilio(_) => None,
        }
    }

    /// Sends a text that was claimed for it.
    pub(super) async fn send(&self, shared: &Shared, message: &Message) -> Outcome {
        match self {
            Self::Modem(way) => way.send(shared, message).await,
            Self::Twilio(way) => way.send(shared, message).await,
        }
    }
}

impl Changes {
    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        // Whoever has gone changes no more: then there is the poll.
        let _ = match self {
            Self::Modem(health) => health.changed().await,
            Self::Twilio(standing) => standing.changed().await,
        };
    }
}

/// Whether a modem takes texts that the network gets.
pub(super) fn works(health: &Health) -> bool {
    health.is_up && health.registration.is_registered()
}

impl ModemWay {
    async fn send(&self, shared: &Shared, message: &Message) -> Outcome {
        let refused = |why: String| Outcome::Refused { why, permanent: true };
        let Ok(address) = message.number.as_str().parse::<Address>() else {
            return refused("no text can be sent to such a number".into());
        };
        let taken = match shared.store.segments_taken(message.id, &self.name).await {
            Ok(taken) => taken,
            Err(error) => return Outcome::Refused { why: error.to_string(), permanent: false },
        };
        let text =
            Text::split(message.body.as_deref().unwrap_or_default(), shared.settings.segments.into(), Width::Short);
        let total = u32::try_from(text.parts().len()).unwrap_or(u32::MAX);
        for (ordinal, content) in (1..).zip(text.contents(reference(message.id))) {
            // What was taken before is with the phone already, and waits for the rest.
            if taken.contains(&ordinal) {
                continue;
            }
            let now = shared.clock.now();
            let mut submit = Submit::new(address.clone(), content);
            submit.report = shared.settings.reports;
            submit.validity = Some(Validity::at_most((message.expires_at - now).max(TimeDelta::minutes(5))));
            match self.modem.send(&submit).await {
                Err(error) => return refused(error.to_string()),
                Ok(Sending::Refused { why, permanent }) => return Outcome::Refused { why, permanent },
                Ok(Sending::Unknown { why }) => return Outcome::Unknown { why },
                Ok(Sending::Sent { reference }) => {
                    failpoint::reach("text.sent");
                    let segment = Segment { ordinal, total, reference };
                    self.write_down(shared, message, segment).await;
                }
            }
        }
        Outcome::Sent
    }

    /// It has left: as long as that is not written down nothing else is sent by this way.
    async fn write_down(&self, shared: &Shared, message: &Message, segment: Segment) {
        while let Err(error) = self.try_write_down(shared, message, segment).await {
            tracing::error!(message = %message.id, %error, "that a text was sent cannot be stored; trying again");
            tokio::time::sleep(AGAIN).await;
        }
    }

    async fn try_write_down(&self, shared: &Shared, message: &Message, segment: Segment) -> Result<(), store::Error> {
        shared.store.segment_sent(message, &self.name, segment, shared.clock.now()).await
    }
}

/// What the parts of a text have in common: another for each text, the same for each try.
fn reference(id: MessageId) -> u16 {
    // The last bits of a UUIDv7 are random.
    u16::try_from(id.0.as_u128() & 0xffff).unwrap_or_default()
}
