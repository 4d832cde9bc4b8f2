//! A message as Twilio knows it.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Twilio's name for something: two letters that say what it is, and 32 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sid(String);

impl Sid {
    /// A SID that begins with one of `kinds`; `None` if `text` is none. It may stand in a URL as it is.
    #[must_use]
    pub fn parse(text: &str, kinds: &[&str]) -> Option<Self> {
        let digits = kinds.iter().find_map(|kind| text.strip_prefix(kind))?;
        (digits.len() == 32 && digits.bytes().all(|c| c.is_ascii_hexdigit())).then(|| Self(text.to_owned()))
    }

    /// A message's.
    #[must_use]
    pub fn of_message(text: &str) -> Option<Self> {
        Self::parse(text, &["SM", "MM"])
    }

    /// As Twilio writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Twilio has it, and has yet to find a number to send it from.
    Accepted,
    /// To be sent later.
    Scheduled,
    /// It waits its turn.
    Queued,
    /// It is being handed over.
    Sending,
    /// The carrier has it.
    Sent,
    /// The telephone has it.
    Delivered,
    /// The person has read it.
    Read,
    /// Not all of its recipients have it.
    PartiallyDelivered,
    /// The carrier could not deliver it.
    Undelivered,
    /// It was never handed over.
    Failed,
    /// It was taken back before.
    Canceled,
    /// One that comes in.
    Receiving,
    /// One that came in.
    Received,
    /// One that we do not know.
    Other,
}

/// What a status means for whoever waits for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// More will follow.
    Underway,
    /// The carrier has it. Often nothing more is ever told.
    Sent,
    /// It did not arrive, and will not.
    Lost,
    /// It arrived.
    Arrived,
}

impl Status {
    /// Reads Twilio's word.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match word {
            "accepted" => Self::Accepted,
            "scheduled" => Self::Scheduled,
            "queued" => Self::Queued,
            "sending" => Self::Sending,
            "sent" => Self::Sent,
            "delivered" => Self::Delivered,
            "read" => Self::Read,
            "partially_delivered" => Self::PartiallyDelivered,
            "undelivered" => Self::Undelivered,
            "failed" => Self::Failed,
            "canceled" => Self::Canceled,
            "receiving" => Self::Receiving,
            "received" => Self::Received,
            _ => Self::Other,
        }
    }

    /// The same in our words.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Accepted | Self::Scheduled | Self::Queued => "Twilio has it",
            Self::Sending => "it is being handed over to the carrier",
            Self::Sent => "the carrier has it",
            Self::Delivered => "delivered",
            Self::Read => "read",
            Self::PartiallyDelivered => "delivered in part",
            Self::Undelivered => "the carrier could not deliver it",
            Self::Failed => "Twilio could not hand it over",
            Self::Canceled => "taken back",
            Self::Receiving | Self::Received => "it came in",
            Self::Other => "it is in a state that is not known",
        }
    }

    /// What it means.
    #[must_use]
    pub const fn fate(self) -> Fate {
        match self {
            Self::Accepted | Self::Scheduled | Self::Queued | Self::Sending | Self::Receiving | Self::Other => {
                Fate::Underway
            }
            Self::Sent => Fate::Sent,
            Self::Undelivered | Self::Failed | Self::Canceled => Fate::Lost,
            Self::Delivered | Self::Read | Self::PartiallyDelivered | Self::Received => Fate::Arrived,
        }
    }

    /// Whether it is news to whoever knows `known`. Callbacks come in any order, and twice.
    #[must_use]
    pub fn supersedes(self, known: Self) -> bool {
        self.fate() > known.fate()
    }
}

/// A message as the API shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its name.
    pub sid: Sid,
    /// Whether somebody sent it to us.
    pub is_inbound: bool,
    /// Who sent it: a number, a short code or a name.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// What it says.
    pub body: String,
    /// How far it is.
    pub status: Status,
    /// Why it did not arrive.
    pub error: Option<u32>,
    /// Of how many segments it is, once that is known.
    pub segments: Option<u32>,
    /// Pictures and the like that came with it.
    pub media: u32,
    /// When Twilio got it.
    pub created: Option<DateTime<Utc>>,
}

/// Without numbers and text.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sid, is_inbound, status, error, segments, .. } = self;
        write!(f, "Message({sid}, inbound: {is_inbound}, {status:?}, error: {error:?}, segments: {segments:?})")
    }
}

impl Message {
    /// Reads one of the API's answers; `None` if it is no message.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let text = |name: &str| value[name].as_str().unwrap_or_default();
        let at = DateTime::parse_from_rfc2822(text("date_created")).ok();
        Some(Self {
            sid: Sid::of_message(value["sid"].as_str()?)?,
            is_inbound: text("direction") == "inbound",
            from: text("from").to_owned(),
            to: text("to").to_owned(),
            body: text("body").to_owned(),
            status: Status::of(value["status"].as_str()?),
            error: number(&value["error_code"]),
            // 0 while a messaging service has not chosen a sender yet.
            segments: number(&value["num_segments"]).filter(|segments| *segments > 0),
            media: number(&value["num_media"]).unwrap_or(0),
            created: at.map(|at| at.to_utc()),
        })
    }
}

/// A number, which the API writes as one or as a text.
pub(super) fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(digits) => digits.parse().ok(),
        value => value.as_u64().and_then(|number| number.try_into().ok()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_sid_is_two_letters_and_32_digits() {
        let digits = "0123456789abcdefABCDEF0123456789";
        assert!(Sid::of_message(&format!("SM{digits}")).is_some());
        assert!(Sid::of_message(&format!("MM{digits}")).is_some());
        for text in [
            String::new(),
            "SM".to_owned(),
            format!("AC{digits}"),
            format!("SM{digits}0"),
            format!("SM{}", &digits[1..]),
            format!("SM/../{}", &digits[4..]),
            format!("sm{digits}"),
        ] {
            assert_eq!(Sid::of_message(&text), None, "{text}");
        }
    }

    #[test]
    fn a_later_status_supersedes_and_an_earlier_one_does_not() {
        let order = ["queued", "sent", "undelivered", "delivered"].map(Status::of);
        for (at, one) in order.iter().enumerate() {
            for (other_at, other) in order.iter().enumerate() {
                assert_eq!(one.supersedes(*other), at > other_at, "{one:?} {other:?}");
            }
        }
        assert!(!Status::of("sending").supersedes(Status::of("queued")), "it is no news");
        assert_eq!(Status::of("whatever comes").fate(), Fate::Underway);
    }

    #[test]
    fn a_message_is_read_whatever_it_lacks_but_its_name_and_status() {
        let sid = "SM0123456789abcdef0123456789abcdef";
        let message = Message::read(&json!({
            "sid": sid, "status": "delivered", "direction": "inbound", "num_segments": "2", "error_code": null,
            "date_created": "Thu, 24 Aug 2023 05:01:45 +0000", "from": "+15005550006", "body": "x",
        }));
        let message = message.expect("a message");
        assert_eq!((message.segments, message.error, message.is_inbound), (Some(2), None, true));
        assert_eq!(message.created.map(|at| at.timestamp()), Some(1_692_853_305));
        assert!(!format!("{message:?}").contains("5005550006"));
        assert!(Message::read(&json!({ "sid": sid, "status": "queued", "num_segments": "0" })).is_some());
        for other in [json!({}), json!(null), json!({ "sid": "x", "status": "queued" }), json!({ "sid": sid })] {
            assert_eq!(Message::read(&other), None, "{other}");
        }
    }
}
