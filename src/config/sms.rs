//! Text messages, the order of the ways that send them, and modems.

use std::{fs, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    answer::{Rule, Several},
    modem::pdu::Address,
};

/// How texts are sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sms {
    /// Which way sends what.
    pub order: Order,
    /// The names of the ways, the first one first; the modems in their order and then Twilio if none are named.
    pub ways: Vec<String>,
    /// Messages that one text may take; what is longer is cut.
    pub segments: u8,
    /// Where more can be read about an incident, `{id}` for which; it stands in the texts about it.
    pub link: Option<String>,
    /// Seconds for which a text is worth sending.
    pub expires: u32,
    /// Texts to one number in any hour; the first about an incident goes all the same.
    pub per_hour: u32,
    /// Answers to one number in any hour: two machines that answer each other stop.
    pub answers_per_hour: u16,
    /// What an answer that names no incident takes when there are several: all, or it is asked which.
    pub several: Several,
    /// Which texts that come in raise an alert.
    pub alerts: Vec<Rule>,
    /// Whether the network is asked to report what became of a text.
    pub reports: bool,
    /// Days for which texts are kept, those that were sent and those that came in.
    pub keep_days: u32,
    /// Seconds from a refused try to the next; then twice as long each time, five minutes at most.
    pub retry: u32,
}

/// Which way sends what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// The first one that works; the next one, if it does not or did not take the text.
    #[default]
    Failover,
    /// All that work, side by side.
    RoundRobin,
}

impl Default for Sms {
    fn default() -> Self {
        Self {
            order: Order::Failover,
            ways: Vec::new(),
            segments: 3,
            link: None,
            expires: 1800,
            per_hour: 30,
            answers_per_hour: 10,
            several: Several::All,
            alerts: Vec::new(),
            reports: true,
            keep_days: 90,
            retry: 5,
        }
    }
}

/// A GSM modem.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Modem {
    /// What it is called; unique, and the same after it is replaced by another one.
    pub name: String,
    /// Its serial line.
    pub path: PathBuf,
    /// Bits per second.
    #[serde(default = "default_baud")]
    pub baud: u32,
    /// The SIM's PIN.
    #[serde(default)]
    pub pin: Option<SecretString>,
    /// A file that holds it instead.
    #[serde(default)]
    pub pin_file: Option<PathBuf>,
    /// The service centre, if not the one that the SIM knows.
    #[serde(default)]
    pub smsc: Option<String>,
    /// Seconds that the modem has to answer.
    #[serde(default = "default_answer")]
    pub answer_within: u64,
    /// Seconds that the network has to take a text; after that nobody knows whether it did.
    #[serde(default = "default_sent")]
    pub sent_within: u64,
}

const fn default_baud() -> u32 {
    115_200
}

const fn default_answer() -> u64 {
    10
}

const fn default_sent() -> u64 {
    120
}

/// What is longer leaves no room for anything else in a text.
const LONGEST_LINK: usize = 100;

pub(super) fn check(sms: &Sms, modems: &mut [Modem], wrong: &mut impl FnMut(String)) {
    if !(1..=10).contains(&sms.segments) {
        wrong("sms.segments: 1 to 10".into());
    }
    if !(60..=604_800).contains(&sms.expires) {
        wrong("sms.expires: 60 to 604800 seconds".into());
    }
    if !(1..=3650).contains(&sms.keep_days) {
        wrong("sms.keep_days: 1 to 3650".into());
    }
    if sms.per_hour == 0 || sms.retry == 0 {
        wrong("sms: per_hour and retry are 1 at least".into());
    }
    for (nth, rule) in (1..).zip(&sms.alerts) {
        if let Some(fault) = rule.fault() {
            wrong(format!("sms.alerts, number {nth}: {fault}"));
        }
    }
    let is_link = |link: &String| {
        super::check::is_address(link) && link.len() <= LONGEST_LINK && !link.contains(char::is_whitespace)
    };
    if !sms.link.as_ref().is_none_or(is_link) {
        wrong(format!("sms.link: is no http:// or https:// address of at most {LONGEST_LINK} characters"));
    }
    let mut paths = Vec::new();
    for modem in modems {
        let place = format!("modems: {}", modem.name);
        if paths.contains(&modem.path) {
            wrong(format!("{place}: {} belongs to another modem", modem.path.display()));
        }
        paths.push(modem.path.clone());
        if !modem.path.is_absolute() {
            wrong(format!("{place}: path is no absolute one, such as /dev/serial/by-id/..."));
        }
        if modem.baud == 0 || modem.answer_within == 0 || modem.sent_within == 0 {
            wrong(format!("{place}: baud, answer_within and sent_within are 1 at least"));
        }
        read_pin(modem, &place, wrong);
        if modem.smsc.as_deref().is_some_and(|smsc| !smsc.starts_with('+') || smsc.parse::<Address>().is_err()) {
            wrong(format!("{place}: smsc is no number such as +393492000200"));
        }
    }
}

/// Whether `ways` names each way once, or none.
pub(super) fn check_order(sms: &Sms, ways: &[&str], wrong: &mut impl FnMut(String)) {
    let (mut named, mut there): (Vec<&str>, Vec<&str>) = (sms.ways.iter().map(|name| &**name).collect(), ways.to_vec());
    named.sort_unstable();
    there.sort_unstable();
    if !named.is_empty() && named != there {
        wrong(format!("sms.ways: names each way once: {}", ways.join(", ")));
    }
}

fn read_pin(modem: &mut Modem, place: &str, wrong: &mut impl FnMut(String)) {
    if let Some(file) = &modem.pin_file {
        if modem.pin.is_some() {
            wrong(format!("{place}: pin and pin_file are one too many"));
        }
        match fs::read_to_string(file) {
            Ok(pin) => modem.pin = Some(pin.trim().to_owned().into()),
            Err(error) => wrong(format!("{place}: pin_file {}: {error}", file.display())),
        }
    }
    let is_pin = |pin: &str| (4..=8).contains(&pin.len()) && pin.bytes().all(|c| c.is_ascii_digit());
    if modem.pin.as_ref().is_some_and(|pin| !is_pin(pin.expose_secret())) {
        wrong(format!("{place}: the PIN is not 4 to 8 digits"));
    }
}
