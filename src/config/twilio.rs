//! An account of Twilio's that sends texts.

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use crate::twilio::{Credentials, Sender, Settings};

/// An account.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Twilio {
    /// What it is called, as the modems are.
    #[serde(default = "default_name")]
    pub name: String,
    /// `AC...`
    pub account: String,
    /// The account's token. It signs what Twilio tells us, and is our credential if there is no key.
    #[serde(default)]
    pub token: Option<SecretString>,
    /// A key of the account, `SK...`, which can be withdrawn alone.
    #[serde(default)]
    pub key: Option<String>,
    /// What proves it.
    #[serde(default)]
    pub key_secret: Option<SecretString>,
    /// The number, short code or name that texts are from.
    #[serde(default)]
    pub from: Option<String>,
    /// Or the messaging service that chooses one, `MG...`.
    #[serde(default)]
    pub service: Option<String>,
    /// The numbers that answers come to, if that is not `from`.
    #[serde(default)]
    pub numbers: Vec<String>,
    /// Where the API is.
    #[serde(default = "default_url")]
    pub url: String,
    /// Where Twilio reaches this server, if it can.
    #[serde(default)]
    pub public_url: Option<String>,
    /// Seconds between two questions; 10 if Twilio cannot reach this server, else 60.
    #[serde(default)]
    pub poll: Option<u64>,
    /// Texts that it is given at once.
    #[serde(default = "default_at_once")]
    pub at_once: usize,
    /// Seconds that it has to answer; after that it is asked whether it has the text.
    #[serde(default = "default_answer")]
    pub answer_within: u64,
}

fn default_name() -> String {
    "twilio".into()
}

fn default_url() -> String {
    "https://api.twilio.com".into()
}

const fn default_at_once() -> usize {
    4
}

const fn default_answer() -> u64 {
    20
}

impl Twilio {
    /// The account, as the wire wants it.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let credentials = match (&self.key, &self.key_secret) {
            (Some(sid), Some(secret)) => Credentials::Key { sid: sid.clone(), secret: secret.clone() },
            _ => Credentials::Token(self.token.clone().unwrap_or_default()),
        };
        let sender = match &self.service {
            Some(service) => Sender::Service(service.clone()),
            None => Sender::Number(self.from.clone().unwrap_or_default()),
        };
        let within = Duration::from_secs(self.answer_within);
        let connect_within = within.min(Duration::from_secs(10));
        let plain = Settings::new(&self.account, credentials, sender);
        Settings { url: self.url.clone(), connect_within, answer_within: within, ..plain }
    }

    /// The numbers that answers come to.
    #[must_use]
    pub fn numbers(&self) -> Vec<String> {
        match &self.from {
            Some(from) if self.numbers.is_empty() && from.starts_with('+') => vec![from.clone()],
            _ => self.numbers.clone(),
        }
    }

    /// How often it is asked.
    #[must_use]
    pub fn poll(&self) -> Duration {
        Duration::from_secs(self.poll.unwrap_or(if self.public_url.is_some() { 60 } else { 10 }))
    }
}

pub(super) fn check(twilio: &Twilio, wrong: &mut impl FnMut(String)) {
    if let Err(error) = twilio.settings().verify() {
        wrong(format!("twilio: {error}"));
    }
    if twilio.key.is_some() != twilio.key_secret.is_some() {
        wrong("twilio: key and key_secret go together".into());
    }
    if twilio.from.is_some() == twilio.service.is_some() {
        wrong("twilio: either from or service".into());
    }
    let is_number = |number: &String| {
        number.strip_prefix('+').is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|c| c.is_ascii_digit()))
    };
    if !twilio.numbers.iter().all(is_number) {
        wrong("twilio.numbers: are numbers such as +393331234567".into());
    }
    if let Some(url) = &twilio.public_url {
        let is_url = reqwest::Url::parse(url).is_ok_and(|url| {
            ["http", "https"].contains(&url.scheme())
                && url.has_host()
                && url.query().is_none()
                && url.fragment().is_none()
        });
        if !is_url {
            wrong("twilio.public_url: is no http:// or https:// address without a query".into());
        }
        if twilio.token.is_none() {
            wrong("twilio: public_url needs token, by which Twilio signs".into());
        }
    }
    if !(1..=3600).contains(&twilio.poll().as_secs()) || !(1..=120).contains(&twilio.answer_within) {
        wrong("twilio: poll is 1 to 3600 seconds, answer_within 1 to 120".into());
    }
    if !(1..=50).contains(&twilio.at_once) {
        wrong("twilio.at_once: 1 to 50".into());
    }
}
