//! TWILIO, the wire: messages out over its REST API, what becomes of them, and messages in.
//!
//! Knows nothing of what a message is for, or of other ways out. Each request is made once: whether and when it
//! is made again is for whoever asked to decide, by what [`Sending`] says is certain.
//!
//! What stays true, whatever Twilio and the network do:
//! - A message is sent, refused for certain, or it is said that nobody knows: see [`Sending`]. Twilio has no way
//!   to give a message a name of ours before it takes it; whether one was taken after all is asked by
//!   [`Twilio::find`].
//! - No connection is used twice. One that the other end has closed meanwhile would make it uncertain whether a
//!   message has left.
//! - Secrets leave in one header over TLS that is checked, or stay on this machine; nothing else ever shows them.
//! - Nothing that Twilio tells us by itself is believed without its signature: see [`Signed`].

mod callback;
mod code;
mod http;
mod message;
mod settings;
mod signature;

use std::{collections::BTreeSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use reqwest::{Client, RequestBuilder, redirect};
use secrecy::ExposeSecret;

use self::http::Silence;
pub use self::{
    callback::{Fields, Incoming, LONGEST_FORM, NOTHING_TO_DO, NotACallback, Progress, callback_url, fields},
    code::{Blame, explain, told},
    message::{Fate, Message, Sid, Status},
    settings::{BadSettings, Credentials, Sender, Settings},
    signature::{Algorithm, Content, HEADER, SETTINGS_HEADER, Signed, sign},
};
use crate::phone::PhoneNumber;

/// The longest text that Twilio takes, in characters.
pub const LONGEST_TEXT: usize = 1600;
/// The longest that Twilio may keep a message that it cannot hand over, and the shortest.
const VALIDITY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(14_400));
/// So far its clock and ours may be apart, and so long it may take until a message is listed.
pub const SETTLES: TimeDelta = TimeDelta::seconds(60);
/// Messages of a page.
const PAGE: usize = 100;
/// Pages that are read at most for one question.
const PAGES: usize = 20;
/// What Twilio puts before texts of accounts that do not pay yet.
const TRIAL: &str = "Sent from your Twilio trial account - ";

/// A message to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// To whom.
    pub to: &'a PhoneNumber,
    /// What it says, at most [`LONGEST_TEXT`].
    pub body: &'a str,
    /// Where we want to be told how far it is: see [`callback_url`].
    pub status_callback: Option<&'a str>,
    /// For how long it is worth being delivered.
    pub valid_for: Option<Duration>,
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// Twilio has it.
    Sent {
        /// Its name there.
        sid: Sid,
        /// How far it is.
        status: Status,
        /// Of how many segments it is, if Twilio knows already.
        segments: Option<u32>,
    },
    /// Twilio does not take it: it may be sent another way.
    Refused {
        /// Twilio's error code.
        code: Option<u32>,
        /// In words, without numbers or texts.
        why: String,
        /// Whose fault it is, and so whether it would be refused again.
        blame: Blame,
    },
    /// It was not taken, and may be later.
    TryLater {
        /// How long we are asked to wait; [`pause`] says how long to wait anyway.
        after: Option<Duration>,
        /// Whether [`Twilio::find`] has to be asked first: it is likely, but not certain, that it was not taken.
        look_first: bool,
        /// In words, without numbers or texts.
        why: String,
    },
    /// The request may have arrived, and no answer came: it must not be sent again by itself.
    Unknown {
        /// In words, without numbers or texts.
        why: String,
    },
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Later it may be.
    #[error("{why}")]
    TryLater {
        /// How long we are asked to wait.
        after: Option<Duration>,
        /// Whether what was asked for may have happened.
        look_first: bool,
        /// In words, without numbers or texts.
        why: String,
    },
    /// It would be refused again.
    #[error("{why}")]
    Refused {
        /// Twilio's error code.
        code: Option<u32>,
        /// In words, without numbers or texts.
        why: String,
        /// Whose fault it is.
        blame: Blame,
    },
    /// An answer came that cannot be understood, or not to its end.
    #[error("{0}")]
    Unclear(String),
}

/// A message of ours that may have been taken.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// To whom.
    pub to: &'a PhoneNumber,
    /// What it says.
    pub body: &'a str,
    /// Words of it that no other message has, such as an incident's code with the message's own: by them it is
    /// known even if Twilio has put other characters in the place of some.
    pub mark: Option<&'a str>,
    /// When we first tried to send it.
    pub since: DateTime<Utc>,
    /// Messages that are others of ours.
    pub others: &'a BTreeSet<Sid>,
}

/// Messages that came in.
#[derive(Clone, Debug)]
pub struct Inbox {
    /// The oldest first, each once.
    pub messages: Vec<Message>,
    /// Whether these are all. If not, there are older ones that were not read: too many have come at once.
    pub is_whole: bool,
}

/// An account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Twilio {
    client: Client,
    settings: Settings,
    /// The API's address, without a slash at its end.
    base: String,
}

impl Twilio {
    /// An account by these settings. Nothing is asked yet.
    ///
    /// # Errors
    /// If they cannot be right.
    pub fn new(settings: Settings) -> Result<Self, BadSettings> {
        let url = settings.check()?;
        let mut client = Client::builder()
            .redirect(redirect::Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(settings.connect_within)
            .timeout(settings.answer_within)
            .user_agent(concat!("ringdown/", env!("CARGO_PKG_VERSION")));
        if url.scheme() == "http" {
            // What may not leave this machine does not leave it by a proxy either.
            client = client.no_proxy();
        }
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { client: client.build()?, settings, base })
    }

    /// Gives Twilio a message, once.
    ///
    /// Dropping the future before its end leaves it unknown whether it was sent.
    pub async fn send(&self, letter: Letter<'_>) -> Sending {
        let refused = |blame, why: &str| Sending::Refused { code: None, why: why.to_owned(), blame };
        if letter.to.is_extension() {
            return refused(Blame::Number, "an extension takes no texts");
        }
        if letter.body.trim().is_empty() {
            return refused(Blame::Text, "there is no text");
        }
        if letter.body.chars().nth(LONGEST_TEXT).is_some() {
            return refused(Blame::Text, "the text is longer than 1600 characters");
        }
        let request = self.client.post(format!("{}.json", self.messages()));
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(self.form(letter));
        match http::ask(self.known(request), self.settings.largest_answer).await {
            Err(Silence::NotAsked(why)) => Sending::TryLater { after: None, look_first: false, why },
            Err(Silence::Unclear(why)) => Sending::Unknown { why },
            Ok(answer) => match (answer.trouble(), &answer.body) {
                (Some(trouble), _) => trouble.into(),
                (None, Err(why)) => Sending::Unknown { why: why.clone() },
                (None, Ok(body)) => match Message::read(body) {
                    None => Sending::Unknown { why: "the answer is no message".to_owned() },
                    Some(message) => sent(&message),
                },
            },
        }
    }

    fn form(&self, letter: Letter<'_>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("To", letter.to.as_str()).append_pair("Body", letter.body);
        match &self.settings.sender {
            Sender::Number(number) => form.append_pair("From", number),
            Sender::Service(sid) => form.append_pair("MessagingServiceSid", sid),
        };
        if let Some(url) = letter.status_callback {
            form.append_pair("StatusCallback", url);
        }
        if let Some(valid) = letter.valid_for {
            let seconds = valid.clamp(VALIDITY.0, VALIDITY.1).as_secs();
            form.append_pair("ValidityPeriod", &seconds.to_string());
        }
        form.finish()
    }

    /// How far a message is.
    ///
    /// # Errors
    /// If that could not be learnt.
    pub async fn status(&self, sid: &Sid) -> Result<Message, Trouble> {
        let answer = self.get(&format!("{}/{sid}.json", self.messages())).await?;
        Message::read(&answer).ok_or_else(|| Trouble::Unclear("the answer is no message".to_owned()))
    }

    /// Whether it answers us, and knows who we are.
    ///
    /// # Errors
    /// If it does not.
    pub async fn answers(&self) -> Result<(), Trouble> {
        self.get(&format!("{}.json?PageSize=1", self.messages())).await.map(drop)
    }

    /// Whether Twilio has taken a message after all, of which nobody knew. Only what [`SETTLES`] has passed for
    /// is certain not to be there.
    ///
    /// # Errors
    /// If that could not be learnt.
    pub async fn find(&self, sought: &Sought<'_>) -> Result<Option<Message>, Trouble> {
        let listed = self.list(sought.to.as_str(), sought.since).await?;
        let found = listed.messages.into_iter().find(|message| sought.is(message));
        if found.is_none() && !listed.is_whole {
            return Err(Trouble::Unclear("there are too many messages to this number to be certain".to_owned()));
        }
        Ok(found)
    }

    /// The messages that came to this number of ours since then, but those that are known already.
    ///
    /// # Errors
    /// If they could not be listed.
    pub async fn inbound(
        &self,
        to: &str,
        since: DateTime<Utc>,
        is_known: impl Fn(&Sid) -> bool,
    ) -> Result<Inbox, Trouble> {
        let mut listed = self.list(to, since).await?;
        // One that is just coming in has no text yet.
        listed.messages.retain(|message| {
            message.is_inbound && message.status != Status::Receiving && message.to == to && !is_known(&message.sid)
        });
        Ok(listed)
    }

    /// Everything to a number that Twilio got since then, the oldest first. Newer messages that come while the pages
    /// are read push others onto the next page: each is told once.
    async fn list(&self, to: &str, since: DateTime<Utc>) -> Result<Inbox, Trouble> {
        // By Twilio's clock it may have been earlier. What has no date is not older.
        let is_old = |message: &Message| message.created.is_some_and(|created| created < since - SETTLES);
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("To", to)
            .append_pair("PageSize", &PAGE.to_string())
            .finish();
        let mut url = format!("{}.json?{query}", self.messages());
        let mut seen = BTreeSet::new();
        let mut messages = Vec::new();
        let mut is_whole = false;
        for _ in 0..PAGES {
            let page = self.get(&url).await?;
            let listed = page["messages"].as_array();
            let listed = listed.ok_or_else(|| Trouble::Unclear("the answer is no list of messages".to_owned()))?;
            let listed: Vec<Message> = listed.iter().filter_map(Message::read).collect();
            // A page that is old throughout is followed by older ones.
            let is_past = !listed.is_empty() && listed.iter().all(is_old);
            messages.extend(
                listed
                    .into_iter()
                    .filter(|message| !is_old(message))
                    .filter(|message| seen.insert(message.sid.clone())),
            );
            match page["next_page_uri"].as_str() {
                Some(next) if !is_past => url = self.next(next)?,
                _ => {
                    is_whole = true;
                    break;
                }
            }
        }
        messages.sort_by_key(|message| message.created);
        Ok(Inbox { messages, is_whole })
    }

    /// The URL of the next page. Our secrets go nowhere but to our own account's messages, whatever an answer says.
    fn next(&self, path: &str) -> Result<String, Trouble> {
        let ours = format!("/2010-04-01/Accounts/{}/Messages.json?", self.settings.account);
        if path.starts_with(&ours) && !path.contains(char::is_whitespace) {
            Ok(format!("{}{path}", self.base))
        } else {
            Err(Trouble::Unclear("the next page is said to be somewhere else".to_owned()))
        }
    }

    fn messages(&self) -> String {
        format!("{}/2010-04-01/Accounts/{}/Messages", self.base, self.settings.account)
    }

    fn known(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.settings.credentials {
            Credentials::Token(token) => request.basic_auth(&self.settings.account, Some(token.expose_secret())),
            Credentials::Key { sid, secret } => request.basic_auth(sid, Some(secret.expose_secret())),
        }
    }

    async fn get(&self, url: &str) -> Result<serde_json::Value, Trouble> {
        let answer = http::ask(self.known(self.client.get(url)), self.settings.largest_answer).await;
        // Who only asks may ask again.
        let answer = answer.map_err(|silence| match silence {
            Silence::NotAsked(why) | Silence::Unclear(why) => Trouble::TryLater { after: None, look_first: false, why },
        })?;
        match answer.trouble() {
            Some(trouble) => Err(trouble),
            None => answer.body.map_err(Trouble::Unclear),
        }
    }
}

fn sent(message: &Message) -> Sending {
    // Told at once that it will not be: it is as if it had been refused.
    if message.status.fate() == Fate::Lost {
        let blame = message.error.and_then(explain).map_or(Blame::Passing, |(blame, _)| blame);
        return Sending::Refused { code: message.error, why: code::words(message.error, ""), blame };
    }
    Sending::Sent { sid: message.sid.clone(), status: message.status, segments: message.segments }
}

impl From<Trouble> for Sending {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::TryLater { after, look_first, why } => Self::TryLater { after, look_first, why },
            Trouble::Refused { code, why, blame } => Self::Refused { code, why, blame },
            Trouble::Unclear(why) => Self::Unknown { why },
        }
    }
}

impl Sought<'_> {
    fn is(&self, message: &Message) -> bool {
        let text = message.body.strip_prefix(TRIAL).unwrap_or(&message.body);
        let is_marked = self.mark.is_some_and(|mark| !mark.is_empty() && text.contains(mark));
        !message.is_inbound
            && message.to == self.to.as_str()
            && !self.others.contains(&message.sid)
            && (text.trim() == self.body.trim() || is_marked)
    }
}

/// How long to wait after the try with this number (from 1): as long as asked, and else from a second on twice as
/// long each time, a minute at most; by up to a quarter more or less (`chance`, 0 to 1), so that not all who wait
/// come back at once.
#[must_use]
pub fn pause(asked: Option<Duration>, tries: u32, chance: f64) -> Duration {
    const LONGEST: Duration = Duration::from_secs(60);
    let doubled = Duration::from_secs(1_u64 << tries.saturating_sub(1).min(6)).min(LONGEST);
    let ours = doubled.mul_f64(1.0 + (chance.clamp(0.0, 1.0) - 0.5) / 2.0);
    asked.map_or(ours, |asked| asked.max(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef";

    fn settings() -> Settings {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let sender = Sender::Number("+15005550006".into());
        Settings::new(format!("AC{DIGITS}"), Credentials::Token("topsecret".into()), sender)
    }

    #[test]
    fn nothing_shows_a_secret() {
        let twilio = Twilio::new(settings()).expect("an account");
        assert!(!format!("{twilio:?}").contains("topsecret"));
        let key = Credentials::Key { sid: format!("SK{DIGITS}"), secret: "topsecret".into() };
        assert!(!format!("{key:?}").contains("topsecret"));
        let request = twilio.known(twilio.client.get("http://localhost/"));
        assert!(!format!("{request:?}").contains("dG9wc2VjcmV0"), "{request:?}");
    }

    #[test]
    fn the_next_page_is_our_own_accounts() {
        let twilio = Twilio::new(settings()).expect("an account");
        let good = format!("/2010-04-01/Accounts/AC{DIGITS}/Messages.json?Page=1");
        assert_eq!(twilio.next(&good), Ok(format!("https://api.twilio.com{good}")));
        for bad in ["//evil.example/x", "https://evil.example/", "@evil.example/", ".evil.example/", "/", ""] {
            assert!(twilio.next(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pause_is_as_long_as_asked_or_longer_and_doubles_up_to_a_minute() {
        let seconds =
            |asked: Option<u64>, tries, chance| pause(asked.map(Duration::from_secs), tries, chance).as_secs_f64();
        assert_eq!(
            [1, 2, 3, 6, 7, 8, u32::MAX].map(|tries| seconds(None, tries, 0.5)),
            [1., 2., 4., 32., 60., 60., 60.]
        );
        assert_eq!([0.0, 1.0].map(|chance| seconds(None, 1, chance)), [0.75, 1.25]);
        assert_eq!(seconds(Some(30), 1, 0.5), 30.0);
        assert_eq!(seconds(Some(1), 3, 0.5), 4.0);
        assert_eq!(seconds(None, 0, f64::MAX), 1.25);
    }

    #[test]
    fn a_message_of_ours_is_known_by_its_words() {
        let to: PhoneNumber = "+4915112345678".to_owned().try_into().expect("a number");
        let sid = |n: u32| Sid::of_message(&format!("SM{n:032}")).expect("a SID");
        let message = |n, to: &str, body: &str| Message {
            sid: sid(n),
            is_inbound: false,
            from: String::new(),
            to: to.to_owned(),
            body: body.to_owned(),
            status: Status::Sent,
            error: None,
            segments: None,
            media: 0,
            created: None,
        };
        let others = BTreeSet::from([sid(9)]);
        let sought = Sought {
            to: &to,
            body: "disk full\n",
            mark: Some("ack 17/2"),
            since: DateTime::UNIX_EPOCH,
            others: &others,
        };
        let number = to.as_str();
        assert!(sought.is(&message(1, number, "disk full")));
        assert!(sought.is(&message(1, number, "Sent from your Twilio trial account - disk full")));
        assert!(sought.is(&message(1, number, "d1sk full, ack 17/2")), "by its mark");
        assert!(!sought.is(&message(1, number, "disk full again")));
        assert!(!sought.is(&message(9, number, "disk full")), "it is another's");
        assert!(!sought.is(&message(1, "+4915112345679", "disk full")));
        assert!(!sought.is(&Message { is_inbound: true, ..message(1, number, "disk full") }));
        assert!(!Sought { mark: Some(""), ..sought }.is(&message(1, number, "x")));
    }
}
