//! One struct of settings: defaults, then the file, then the environment, then secrets from files.
//!
//! Checked once, all mistakes told at once; what comes out cannot be wrong afterwards. The sections
//! are documented where they are used by operators: in `ringdown.example.toml`.

mod check;
mod sections;
mod sms;
mod twilio;

use std::{env, fmt, fs, path::Path};

use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
    value::Dict,
};
use serde::{Serialize, de::DeserializeOwned};

pub use sections::*;
pub use sms::{Modem, Order, Sms};
pub use twilio::Twilio;

use crate::phone::NumberingPlan;

/// Everything that can be set.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// HTTP.
    pub server: Server,
    /// Logs.
    pub log: Log,
    /// Where everything is kept.
    pub database: Database,
    /// The PBX; without it calls wait.
    pub asterisk: Option<Asterisk>,
    /// The FastAGI server.
    pub agi: Agi,
    /// Speech.
    pub speech: Speech,
    /// What happens on the line.
    pub call: Call,
    /// How texts are sent.
    pub sms: Sms,
    /// The modems that send them, in order.
    pub modems: Vec<Modem>,
    /// The account of Twilio's that sends them, too.
    pub twilio: Option<Twilio>,
    /// How numbers are written.
    pub numbers: Numbers,
    /// What may be dialled.
    pub destinations: Destinations,
    /// How Alertmanager's groups become incidents.
    pub alertmanager: Alertmanager,
    /// The routes of the predecessors.
    pub compat: Compat,
    /// How it watches itself.
    pub watch: Watch,
    /// Where traces go.
    pub telemetry: Telemetry,
    /// How other systems are told of events.
    pub webhooks: Webhooks,
    /// Who may use the API.
    pub api_keys: Vec<ApiKey>,
    /// Log-ins and access tokens.
    pub tokens: Tokens,
    /// People, made once, by name.
    pub contacts: Vec<Contact>,
    /// Policies, likewise.
    pub policies: Vec<Policy>,
    /// How numbers are read, made from `numbers`.
    pub plan: NumberingPlan,
}

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes(pub Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "the configuration has {} mistake(s):", self.0.len())?;
        self.0.iter().try_for_each(|mistake| writeln!(f, "  - {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

const SECTIONS: [&str; 21] = [
    "server",
    "log",
    "database",
    "asterisk",
    "agi",
    "speech",
    "call",
    "sms",
    "modems",
    "twilio",
    "numbers",
    "destinations",
    "alertmanager",
    "compat",
    "watch",
    "telemetry",
    "webhooks",
    "api_keys",
    "tokens",
    "contacts",
    "policies",
];

impl Config {
    /// Reads `file`, if one is given, and the environment over it.
    ///
    /// # Errors
    /// Everything that is wrong with them, at once.
    pub fn load(file: Option<&Path>) -> Result<Self, Mistakes> {
        let mut figment = Figment::new();
        let mut mistakes = Vec::new();
        if let Some(file) = file {
            match fs::read_to_string(file) {
                Ok(text) => figment = figment.merge(Toml::string(&text)),
                Err(error) => mistakes.push(format!("{}: {error}", file.display())),
            }
        }
        // Only names with a section: RINGDOWN_CONFIG and the like are no settings.
        figment = figment.merge(Env::prefixed("RINGDOWN_").filter(is_setting).split("__"));
        figment = secrets_from_files(figment, &mut mistakes);
        Self::from_figment(&figment, mistakes)
    }

    /// Reads a configuration from TOML alone.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_toml(text: &str) -> Result<Self, Mistakes> {
        Self::from_figment(&Figment::new().merge(Toml::string(text)), Vec::new())
    }

    fn from_figment(figment: &Figment, mut mistakes: Vec<String>) -> Result<Self, Mistakes> {
        match figment.extract::<Dict>() {
            Ok(all) => mistakes.extend(
                all.keys()
                    .filter(|key| !SECTIONS.contains(&key.as_str()))
                    .map(|key| format!("there is no section `{key}` (there are: {})", SECTIONS.join(", "))),
            ),
            Err(error) => mistakes.push(error.to_string()),
        }
        // Section by section, so that one mistake does not hide those behind it.
        let read = &mut mistakes;
        let mut config = Self {
            server: section(figment, "server", read),
            log: section(figment, "log", read),
            database: section(figment, "database", read),
            asterisk: optional(figment, "asterisk", read),
            agi: section(figment, "agi", read),
            speech: section(figment, "speech", read),
            call: section(figment, "call", read),
            sms: section(figment, "sms", read),
            modems: optional(figment, "modems", read).unwrap_or_default(),
            twilio: optional(figment, "twilio", read),
            numbers: section(figment, "numbers", read),
            destinations: section(figment, "destinations", read),
            alertmanager: section(figment, "alertmanager", read),
            compat: section(figment, "compat", read),
            watch: section(figment, "watch", read),
            telemetry: section(figment, "telemetry", read),
            webhooks: section(figment, "webhooks", read),
            api_keys: optional(figment, "api_keys", read).unwrap_or_default(),
            tokens: section(figment, "tokens", read),
            contacts: optional(figment, "contacts", read).unwrap_or_default(),
            policies: optional(figment, "policies", read).unwrap_or_default(),
            plan: NumberingPlan::default(),
        };
        check::check(&mut config, &mut mistakes);
        if mistakes.is_empty() { Ok(config) } else { Err(Mistakes(mistakes)) }
    }
}

/// A section over its defaults.
fn section<T: Default + Serialize + DeserializeOwned>(figment: &Figment, name: &str, mistakes: &mut Vec<String>) -> T {
    let whole = Figment::from(Serialized::default(name, T::default())).merge(figment);
    whole.extract_inner(name).unwrap_or_else(|error| {
        mistakes.extend(error.into_iter().map(|error| told(name, &error)));
        T::default()
    })
}

/// A section that may be missing.
fn optional<T: DeserializeOwned>(figment: &Figment, name: &str, mistakes: &mut Vec<String>) -> Option<T> {
    if figment.find_value(name).is_err() {
        return None;
    }
    figment.extract_inner(name).map_err(|error| mistakes.extend(error.into_iter().map(|e| told(name, &e)))).ok()
}

/// A mistake with its place. figment puts the section behind what is inside it.
fn told(section: &str, error: &figment::Error) -> String {
    let inside = error.path.iter().filter(|part| *part != section).map(String::as_str);
    let path: Vec<&str> = std::iter::once(section).chain(inside).collect();
    format!("{}: {}", path.join("."), error.kind)
}

/// Whether a variable, without its `RINGDOWN_`, is a setting: it names a section, and is not the name
/// of a file with a secret.
fn is_setting(key: &figment::value::UncasedStr) -> bool {
    let key = key.as_str().to_ascii_lowercase();
    key.contains("__")
        && !SECRETS.iter().chain(&SECRET_LISTS).any(|(variable, _)| variable.to_ascii_lowercase().ends_with(&key))
}

/// Settings that can be given as the name of a file, by the variable that names it.
const SECRETS: [(&str, &str); 5] = [
    ("RINGDOWN_ASTERISK__SECRET_FILE", "asterisk.secret"),
    ("RINGDOWN_DATABASE__URL_FILE", "database.url"),
    ("RINGDOWN_WATCH__HEARTBEAT_URL_FILE", "watch.heartbeat_url"),
    ("RINGDOWN_TWILIO__TOKEN_FILE", "twilio.token"),
    ("RINGDOWN_TWILIO__KEY_SECRET_FILE", "twilio.key_secret"),
];

/// The same for several secrets, one in a line.
const SECRET_LISTS: [(&str, &str); 1] = [("RINGDOWN_TOKENS__SECRETS_FILE", "tokens.secrets")];

/// `RINGDOWN_ASTERISK__SECRET_FILE=/run/secrets/ami` sets `asterisk.secret` to what stands in that file.
fn secrets_from_files(mut figment: Figment, mistakes: &mut Vec<String>) -> Figment {
    for (variable, key) in SECRETS {
        let Ok(path) = env::var(variable) else { continue };
        match fs::read_to_string(&path) {
            Ok(secret) => figment = figment.merge((key, secret.trim_end_matches(['\r', '\n']))),
            Err(error) => mistakes.push(format!("{variable}: {path}: {error}")),
        }
    }
    for (variable, key) in SECRET_LISTS {
        let Ok(path) = env::var(variable) else { continue };
        match fs::read_to_string(&path) {
            Ok(text) => {
                let secrets: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
                figment = figment.merge((key, secrets));
            }
            Err(error) => mistakes.push(format!("{variable}: {path}: {error}")),
        }
    }
    figment
}

#[cfg(test)]
mod tests;
