//! Identifiers: UUIDv7 newtypes, so that one kind is never taken for another and rows sort by birth.
//!
//! The only place that makes a UUID.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier. Sorts after every one made a millisecond or more before.
            #[expect(clippy::disallowed_methods, reason = "the one place that makes identifiers")]
            #[must_use]
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id! {
    /// An incident: what is kept open until acknowledged or resolved.
    IncidentId
}
id! {
    /// A call: one attempt to reach one number by phone. It is the Asterisk channel's `Uniqueid`
    /// too: fixed length, so that none is a prefix of another (Asterisk refuses that).
    CallId
}
id! {
    /// A message: one text to one number, of one or more segments.
    MessageId
}
id! {
    /// A text that came in.
    InboundId
}
id! {
    /// A contact: a person and their numbers.
    ContactId
}
id! {
    /// An escalation policy.
    PolicyId
}
id! {
    /// A group of contacts.
    GroupId
}
id! {
    /// An on-call schedule.
    ScheduleId
}
id! {
    /// An override of a schedule.
    OverrideId
}
id! {
    /// A one-off window of duty, with a priority.
    WindowId
}
id! {
    /// A calendar: business hours and holidays.
    CalendarId
}
id! {
    /// A silence or a maintenance window.
    SilenceId
}
id! {
    /// A heartbeat: a dead man's switch.
    HeartbeatId
}
id! {
    /// A reminder: a scheduled call that repeats.
    ReminderId
}
id! {
    /// A secret address under which a calendar can be read.
    FeedId
}
id! {
    /// A user: somebody who logs in.
    UserId
}
id! {
    /// A log-in, for as long as it lasts.
    LoginId
}
id! {
    /// An API key.
    KeyId
}
id! {
    /// A webhook: somebody who is told of events.
    WebhookId
}
id! {
    /// What is told to somebody of one event.
    DeliveryId
}
id! {
    /// One line of a timeline.
    EventId
}

impl IncidentId {
    /// The identifier of what comes of `cause` at an instant: always the same one, sorted by that instant
    /// among the others (`UUIDv7`, RFC 9562, 5.7, with a digest in the place of the random bits).
    #[must_use]
    pub fn of(at: DateTime<Utc>, cause: Uuid) -> Self {
        let digest = Sha256::new().chain_update(cause.as_bytes()).chain_update(at.timestamp_micros().to_be_bytes());
        let mut bytes = [0; 10];
        bytes.copy_from_slice(&digest.finalize()[..10]);
        let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or_default();
        Self(uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid())
    }
}

impl MessageId {
    /// The identifier of the message of this place among those that came of one request, of which `first` is
    /// the first: always the same one.
    #[must_use]
    pub fn after(first: Self, place: usize) -> Self {
        let digest = Sha256::new().chain_update(first.0.as_bytes()).chain_update(place.to_be_bytes()).finalize();
        let mut bytes = *first.0.as_bytes();
        // The instant and the version are kept.
        bytes[9..].copy_from_slice(&digest[..7]);
        Self(Uuid::from_bytes(bytes))
    }
}

/// 128 random bits in hexadecimal: proof that a `FastAGI` session belongs to a call of ours.
#[must_use]
pub fn token() -> String {
    hex::encode(rand::random::<[u8; 16]>())
}

/// What no identifier that was made at `at` or later, to the millisecond, sorts before (RFC 9562, 5.7).
#[must_use]
pub fn first_of(at: DateTime<Utc>) -> Uuid {
    let milliseconds = u128::try_from(at.timestamp_millis()).unwrap_or(0) & 0xffff_ffff_ffff;
    Uuid::from_u128(milliseconds << 80)
}

/// The identifier of an access token.
#[expect(clippy::disallowed_methods, reason = "the one place that makes identifiers")]
#[must_use]
pub fn token_id() -> Uuid {
    Uuid::now_v7()
}

/// 256 random bits in hexadecimal: a secret that somebody else is given.
#[must_use]
pub fn secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_of_a_request_are_always_the_same_and_as_old_as_the_first() {
        let first = MessageId::generate();
        let (one, other) = (MessageId::after(first, 1), MessageId::after(first, 2));
        assert_eq!(one, MessageId::after(first, 1));
        assert!(one != other && one != first && one != MessageId::after(MessageId::generate(), 1));
        assert_eq!((one.0.get_version_num(), one.0.get_timestamp()), (7, first.0.get_timestamp()));
    }

    #[test]
    fn what_comes_of_the_same_cause_at_the_same_time_is_the_same() {
        let at = |second| DateTime::from_timestamp(second, 0).expect("an instant");
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        assert_eq!(IncidentId::of(at(5), one), IncidentId::of(at(5), one));
        assert_ne!(IncidentId::of(at(5), one), IncidentId::of(at(5), other));
        assert_ne!(IncidentId::of(at(5), one), IncidentId::of(at(6), one));
        assert!(IncidentId::of(at(1_900_000_000), one) > IncidentId::of(at(1_800_000_000), other));
        assert_eq!(IncidentId::of(at(5), one).0.get_version_num(), 7);
    }
}
