//! Which account of Twilio's, and what of it can be right.

use std::{net::IpAddr, time::Duration};

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::Sid;

/// By whom we are known.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The account's own token.
    Token(SecretString),
    /// A key of the account, which can be withdrawn.
    Key {
        /// `SK...`
        sid: String,
        /// What proves it.
        secret: SecretString,
    },
}

/// Whom a message is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sender {
    /// A number, a short code, or a name where those are allowed.
    Number(String),
    /// A messaging service chooses: `MG...`.
    Service(String),
}

/// Which account, and how long we wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `AC...`
    pub account: String,
    /// By whom we are known.
    pub credentials: Credentials,
    /// Whom messages are from.
    pub sender: Sender,
    /// Where the API is. Plain HTTP on this machine only.
    pub url: String,
    /// For a connection.
    pub connect_within: Duration,
    /// For an answer. When it has passed nobody knows whether a message was taken.
    pub answer_within: Duration,
    /// Bytes of an answer that are read.
    pub largest_answer: usize,
}

impl Settings {
    /// Where the API is, if all of it can be right.
    pub(super) fn check(&self) -> Result<Url, BadSettings> {
        Sid::parse(&self.account, &["AC"]).ok_or(BadSettings::Account)?;
        check_credentials(&self.credentials)?;
        check_sender(&self.sender)?;
        checked_url(&self.url).ok_or(BadSettings::Url)
    }

    /// Whether all of it can be right.
    ///
    /// # Errors
    /// What cannot.
    pub fn verify(&self) -> Result<(), BadSettings> {
        self.check().map(drop)
    }

    /// The defaults for an account.
    #[must_use]
    pub fn new(account: impl Into<String>, credentials: Credentials, sender: Sender) -> Self {
        Self {
            account: account.into(),
            credentials,
            sender,
            url: "https://api.twilio.com".to_owned(),
            connect_within: Duration::from_secs(10),
            answer_within: Duration::from_secs(20),
            largest_answer: 1024 * 1024,
        }
    }
}

/// Why there can be no account by these settings.
#[derive(Debug, thiserror::Error)]
pub enum BadSettings {
    /// It is no SID of an account.
    #[error("the account is AC and 32 hexadecimal digits")]
    Account,
    /// It is no key, or it has no secret.
    #[error("the API key is SK and 32 hexadecimal digits, with a secret; a token is not empty")]
    Credentials,
    /// Nobody can be the sender.
    #[error(
        "the sender is +, country code and number, a short code, a name of at most 11 letters, or MG and 32 hexadecimal digits"
    )]
    Sender,
    /// It is no URL by which the API could be.
    #[error("the URL begins with https:// (http:// on this machine only), and has no user, query or fragment")]
    Url,
    /// There is no HTTP client to be had.
    #[error("no HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

fn check_credentials(credentials: &Credentials) -> Result<(), BadSettings> {
    let is_good = match credentials {
        Credentials::Token(token) => !token.expose_secret().is_empty(),
        Credentials::Key { sid, secret } => Sid::parse(sid, &["SK"]).is_some() && !secret.expose_secret().is_empty(),
    };
    if is_good { Ok(()) } else { Err(BadSettings::Credentials) }
}

fn check_sender(sender: &Sender) -> Result<(), BadSettings> {
    let is_good = match sender {
        Sender::Service(sid) => Sid::parse(sid, &["MG"]).is_some(),
        Sender::Number(text) => match text.strip_prefix('+') {
            Some(digits) => (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()),
            None if text.bytes().all(|c| c.is_ascii_digit()) => (3..=8).contains(&text.len()),
            None => {
                text.len() <= 11
                    && text.bytes().all(|c| c.is_ascii_alphanumeric() || b" +-_&".contains(&c))
                    && text.bytes().any(|c| c.is_ascii_alphabetic())
            }
        },
    };
    if is_good { Ok(()) } else { Err(BadSettings::Sender) }
}

fn checked_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    let is_here = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    let is_safe = url.scheme() == "https" || (url.scheme() == "http" && is_here);
    let is_bare = url.query().is_none() && url.fragment().is_none();
    (is_safe && is_bare && url.username().is_empty() && url.password().is_none()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGITS: &str = "0123456789abcdef0123456789abcdef";

    fn settings() -> Settings {
        let sender = Sender::Number("+15005550006".into());
        Settings::new(format!("AC{DIGITS}"), Credentials::Token("topsecret".into()), sender)
    }

    #[test]
    fn what_cannot_be_right_is_refused_before_anything_is_asked() {
        assert!(settings().check().is_ok());
        for account in ["", "AC", "AC0123/../../x", "SM0123456789abcdef0123456789abcdef"] {
            let settings = Settings { account: account.into(), ..settings() };
            assert!(matches!(settings.check(), Err(BadSettings::Account)), "{account}");
        }
        for credentials in [
            Credentials::Token("".into()),
            Credentials::Key { sid: "SK1".into(), secret: "x".into() },
            Credentials::Key { sid: format!("SK{DIGITS}"), secret: "".into() },
        ] {
            let settings = Settings { credentials, ..settings() };
            assert!(matches!(settings.check(), Err(BadSettings::Credentials)));
        }
        for (text, is_good) in [
            ("+4915112345678", true),
            ("12345", true),
            ("Ringdown", true),
            ("Ring down 2", true),
            ("", false),
            ("+", false),
            ("+49x", false),
            ("12", false),
            ("Ringdown is it", false),
            ("Ring\r\ndown", false),
        ] {
            let settings = Settings { sender: Sender::Number(text.into()), ..settings() };
            assert_eq!(settings.check().is_ok(), is_good, "{text:?}");
        }
        let service = Settings { sender: Sender::Service("MG1".into()), ..settings() };
        assert!(matches!(service.check(), Err(BadSettings::Sender)));
    }

    #[test]
    fn secrets_leave_over_tls_or_stay_on_this_machine() {
        for (url, is_good) in [
            ("https://api.twilio.com", true),
            ("https://api.twilio.com/", true),
            ("https://api.ie1.twilio.com:8443/below", true),
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080/", true),
            ("http://localhost:1", true),
            ("http://api.twilio.com", false),
            ("http://10.0.0.1", false),
            ("http://127.0.0.1.example.com", false),
            ("https://user@api.twilio.com", false),
            ("https://api.twilio.com/?x", false),
            ("https://api.twilio.com/#x", false),
            ("ftp://api.twilio.com", false),
            ("api.twilio.com", false),
            ("", false),
        ] {
            assert_eq!(Settings { url: url.into(), ..settings() }.check().is_ok(), is_good, "{url}");
        }
    }
}
