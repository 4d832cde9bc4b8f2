//! The sections of the configuration. `ringdown.example.toml` shows them all, with their defaults.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{escalation::Connect, phone::ExtensionPattern, script::Keypad};

/// HTTP.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Certificate chain and key in PEM, for HTTPS; both or none.
    pub tls_certificate: Option<PathBuf>,
    /// Its key.
    pub tls_key: Option<PathBuf>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Sites whose scripts may use the API (CORS), such as `https://board.example.org`; none by default.
    pub cors_origins: Vec<String>,
    /// Connections at once.
    pub connections: usize,
    /// Requests in a second with one credential, on average; none are refused where alerts come in.
    pub requests_per_second: u32,
    /// Requests that may come at once with one credential.
    pub requests_at_once: u32,
    /// Bytes of a request's body.
    pub body_limit: usize,
    /// Seconds that a request may take.
    pub timeout: u64,
    /// Seconds that requests and calls get to end when the server is stopped.
    pub grace: u64,
    /// Database and sounds, unless they are said to be elsewhere.
    pub data: PathBuf,
    /// The name of this server among several on one database; made at the first start and kept in `data` if
    /// it is not said. No two may have the same.
    pub node: Option<String>,
    /// Who may read `/metrics`.
    pub metrics: Access,
    /// Who may read `/docs` and `/openapi.json`.
    pub docs: Access,
    /// Who may listen to events at once.
    pub listeners: usize,
    /// Hours for which a request that comes again with its `Idempotency-Key` is known.
    pub idempotency_hours: u32,
}

/// Who may read a page that shows no alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Nobody.
    Off,
    /// Whoever asks from this machine, and whoever has a key.
    Loopback,
    /// Whoever has a key.
    Key,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls_certificate: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            cors_origins: Vec::new(),
            connections: 2000,
            requests_per_second: 100,
            requests_at_once: 500,
            body_limit: 1024 * 1024,
            timeout: 10,
            grace: 30,
            data: PathBuf::from("data"),
            node: None,
            metrics: Access::Loopback,
            docs: Access::Loopback,
            listeners: 2000,
            idempotency_hours: 24,
        }
    }
}

/// Logs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// As `tracing-subscriber` reads it: `info`, `ringdown=debug`, ...
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "ringdown=info,warn".into(), format: LogFormat::Text }
    }
}

/// Where everything is kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite:PATH` or `postgres://...`; SQLite in the data directory if it is not said.
    pub url: Option<String>,
}

/// The PBX.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asterisk {
    /// The manager interface, `host:port`.
    pub address: String,
    /// The manager user.
    pub user: String,
    /// Its secret.
    pub secret: SecretString,
    /// Whether the manager is spoken to over TLS.
    #[serde(default)]
    pub tls: bool,
    /// The certificate authority of its certificate, in PEM; the system's if it is not said.
    #[serde(default)]
    pub tls_ca: Option<PathBuf>,
    /// The name in its certificate; the host of `address` if it is not said.
    #[serde(default)]
    pub tls_name: Option<String>,
    /// Log in with the secret itself instead of a challenge.
    #[serde(default)]
    pub plain_login: bool,
    /// What to dial; `{number}` is the number, with its plus.
    #[serde(default = "default_dial")]
    pub dial: String,
    /// The context where an answered call lands.
    #[serde(default = "default_context")]
    pub context: String,
    /// The number that is shown.
    #[serde(default)]
    pub caller_id: Option<String>,
    /// Numbers that a single call may ask to be shown instead.
    #[serde(default)]
    pub caller_ids: Vec<String>,
    /// Where in the dialplan a single call may ask to land, instead of being spoken to; the first is where
    /// those land that say neither where nor what is to be spoken.
    #[serde(default)]
    pub connect: Vec<Connect>,
    /// Seconds that a phone rings.
    #[serde(default = "default_ring_timeout")]
    pub ring_timeout: u32,
    /// Calls at once.
    #[serde(default = "default_concurrent")]
    pub concurrent: u32,
    /// Calls placed in a second.
    #[serde(default = "default_per_second")]
    pub per_second: u32,
}

fn default_dial() -> String {
    "Local/{number}@ringdown-out/n".into()
}

fn default_context() -> String {
    "ringdown".into()
}

const fn default_ring_timeout() -> u32 {
    30
}

const fn default_concurrent() -> u32 {
    20
}

const fn default_per_second() -> u32 {
    5
}

/// The FastAGI server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agi {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where the PBX finds it; `agi://` and `listen` if it is not said.
    pub url: Option<String>,
    /// Who may connect.
    pub allow: Vec<IpNet>,
    /// Connections at once.
    pub connections: usize,
}

impl Default for Agi {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4573)),
            url: None,
            allow: vec![
                IpNet::V4(ipnet::Ipv4Net::new_assert([127, 0, 0, 0].into(), 8)),
                IpNet::V6(ipnet::Ipv6Net::new_assert(std::net::Ipv6Addr::LOCALHOST, 128)),
            ],
            connections: 1000,
        }
    }
}

/// Speech.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Speech {
    /// The espeak-ng program.
    pub program: PathBuf,
    /// Words per minute.
    pub rate: u32,
    /// Seconds after which it is killed.
    pub deadline: u64,
    /// Programs that run at once.
    pub at_once: usize,
    /// Where the sounds are kept; `sounds` in the data directory if it is not said.
    pub directory: Option<PathBuf>,
    /// The same directory as the PBX sees it, if it sees it elsewhere.
    pub directory_on_pbx: Option<PathBuf>,
    /// 16 kHz, for trunks that carry it.
    pub wideband: bool,
    /// Days after which a sound that was not used is removed.
    pub keep_days: u64,
    /// Megabytes of sounds that are kept.
    pub keep_megabytes: u64,
}

impl Default for Speech {
    fn default() -> Self {
        Self {
            program: "espeak-ng".into(),
            rate: 150,
            deadline: 10,
            at_once: 4,
            directory: None,
            directory_on_pbx: None,
            wideband: false,
            keep_days: 14,
            keep_megabytes: 512,
        }
    }
}

/// What happens on the line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Call {
    /// Milliseconds from the answer to the first word: a hand needs time to reach an ear.
    pub lead_in: u64,
    /// How many times the alert is spoken.
    pub repeat: u32,
    /// Milliseconds of waiting for a key after each time.
    pub wait: u64,
    /// Whether whoever has a PIN is asked for it before they acknowledge, too. Before they resolve they
    /// always are.
    pub pin_to_acknowledge: bool,
    /// What the keys do.
    pub keys: Keypad,
}

impl Default for Call {
    fn default() -> Self {
        Self { lead_in: 500, repeat: 3, wait: 4000, pin_to_acknowledge: false, keys: Keypad::default() }
    }
}

/// How numbers are written.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Numbers {
    /// The country of numbers without a country code, as two letters.
    pub country: Option<String>,
    /// Internal numbers that may be dialled, as Asterisk patterns without the underscore.
    pub extensions: Vec<ExtensionPattern>,
}

/// What may be dialled.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Destinations {
    /// Prefixes in E.164. Nothing else is dialled.
    pub allow: Vec<String>,
    /// Prefixes of premium-rate and satellite numbers that are dialled all the same.
    pub allow_premium: Vec<String>,
    /// Calls in any hour to one contact.
    pub per_contact: u32,
    /// Calls in any hour to one of the prefixes.
    pub per_prefix: u32,
    /// Calls in any hour in all.
    pub total: u32,
}

impl Default for Destinations {
    fn default() -> Self {
        Self { allow: Vec::new(), allow_premium: Vec::new(), per_contact: 60, per_prefix: 600, total: 1000 }
    }
}

/// How Alertmanager's groups become incidents.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alertmanager {
    /// One incident per group, or per alert.
    pub per: Per,
}

/// What becomes one incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// A group.
    #[default]
    Group,
    /// Each alert of it.
    Alert,
}

/// The routes of the predecessors.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Compat {
    /// Where their local times hold (an IANA name); that of the country of `numbers` if it is not said, or UTC.
    pub time_zone: Option<String>,
    /// Seconds from the text to the call on `/sms_before_call`.
    pub sms_wait: u32,
}

impl Default for Compat {
    fn default() -> Self {
        Self { time_zone: None, sms_wait: 120 }
    }
}

/// How it watches itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Watch {
    /// Seconds between two looks of the self-audit.
    pub audit_every: u64,
    /// What is asked as long as the self-audit finds nothing; somebody there must notice when it is not.
    pub heartbeat_url: Option<String>,
    /// Seconds between two such requests.
    pub heartbeat_every: u64,
    /// Days for which Asterisk's events of our channels are kept; 0 keeps none.
    pub keep_events_days: u32,
}

impl Default for Watch {
    fn default() -> Self {
        Self { audit_every: 15, heartbeat_url: None, heartbeat_every: 60, keep_events_days: 30 }
    }
}

/// Where traces go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// A collector that takes OTLP over HTTP; nothing is traced if it is not said.
    pub otlp_endpoint: Option<String>,
}

/// How other systems are told of events.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Addresses that may be told though they are not public.
    pub allow: Vec<IpNet>,
    /// Seconds that a receiver has to answer.
    pub timeout: u64,
    /// How often it is tried to tell somebody of an event.
    pub tries: u32,
    /// Seconds from the first try to the second; then twice as long each time, an hour at most.
    pub retry: u32,
    /// Days for which is known what was delivered.
    pub keep_days: u32,
    /// Days for which is known what could not be delivered.
    pub keep_dead_days: u32,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { allow: Vec::new(), timeout: 10, tries: 12, retry: 5, keep_days: 7, keep_dead_days: 90 }
    }
}

/// Who may use the API.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Who it is, in the timeline.
    pub name: String,
    /// SHA-256 of the key, in hexadecimal: the key itself is nowhere but with whoever uses it.
    pub sha256: String,
    /// What it may do: names of scopes, or of a role for all that it may do.
    pub scopes: Vec<String>,
    /// The policy that pages for the alerts it sends, unless they name one.
    #[serde(default)]
    pub policy: Option<String>,
}

/// Log-ins and access tokens.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// The first signs, both are accepted. Without any, one is made in the data directory.
    #[serde(skip_serializing)]
    pub secrets: Vec<SecretString>,
    /// Who makes the tokens, and whom they are for: `iss` and `aud`.
    pub issuer: String,
    /// Minutes that an access token lives.
    pub minutes: u32,
    /// Days that a log-in lasts without the password.
    pub login_days: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { secrets: Vec::new(), issuer: "ringdown".into(), minutes: 30, login_days: 30 }
    }
}

/// A person.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What they are called; unique.
    pub name: String,
    /// Their numbers, in the order in which they are tried.
    pub numbers: Vec<String>,
    /// The language they are spoken to in.
    #[serde(default = "default_language")]
    pub language: String,
    /// Whether they are called.
    #[serde(default = "default_true")]
    pub enabled: bool,
}

fn default_language() -> String {
    "en".into()
}

const fn default_true() -> bool {
    true
}

/// An escalation policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What alerts call it; unique.
    pub name: String,
    /// Whether it pages for alerts that name none.
    #[serde(default)]
    pub default: bool,
    /// How many more rounds after the first.
    #[serde(default)]
    pub repeat: u32,
    /// Seconds after which what was acknowledged and not resolved pages again.
    #[serde(default)]
    pub ack_timeout: Option<u32>,
    /// The steps.
    pub steps: Vec<Step>,
}

/// A step of a policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Contacts by name, or numbers.
    pub targets: Vec<String>,
    /// How many tries.
    #[serde(default = "default_attempts")]
    pub attempts: u32,
    /// Seconds from one try to the next.
    #[serde(default = "default_delay")]
    pub attempt_delay: u32,
    /// Seconds from the last try to the next step.
    #[serde(default = "default_delay")]
    pub delay: u32,
}

const fn default_attempts() -> u32 {
    1
}

const fn default_delay() -> u32 {
    60
}
