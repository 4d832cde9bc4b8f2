//! ringdown's configuration, as a test or the demo wants it.

use std::{net::SocketAddr, path::Path};

use anyhow::Result;
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::{asterisk::Asterisk, parts, secret::secret, twilio::Twilio};

/// A `ringdown.toml` in the making.
#[derive(Clone, Debug)]
pub struct Settings {
    table: Table,
    /// Whether Twilio reaches the server.
    is_reached: bool,
    /// The key of the API's user `lab`.
    pub key: String,
}

/// A step of a policy.
#[derive(Clone, Debug)]
pub struct Step<'a> {
    /// Contacts or numbers.
    pub targets: &'a [&'a str],
    /// How many tries.
    pub attempts: u32,
    /// Seconds from one try to the next.
    pub attempt_delay: u32,
    /// Seconds from the last try to the next step.
    pub delay: u32,
}

impl Default for Step<'_> {
    fn default() -> Self {
        Self { targets: &[], attempts: 1, attempt_delay: 60, delay: 60 }
    }
}

impl Settings {
    /// Loopback, Italian numbers, and short waits: what all tests have in common.
    #[must_use]
    pub fn new() -> Self {
        let key = secret();
        let mut this = Self { table: Table::new(), is_reached: false, key };
        let sha256 = hex::encode(Sha256::digest(this.key.as_bytes()));
        this.push(
            "api_keys",
            [("name", "lab".into()), ("sha256", sha256.into()), ("scopes", Value::from(vec!["admin"]))],
        );
        this.set("destinations.allow", vec!["+39"]);
        this.set("log.level", "info,ringdown=debug");
        this.set("log.format", "json");
        this.set("server.grace", 2);
        this
    }

    /// Sets `section.key`.
    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        let (section, key) = key.split_once('.').unwrap_or(("server", key));
        let section = self.table.entry(section).or_insert_with(|| Table::new().into());
        if let Value::Table(section) = section {
            section.insert(key.to_owned(), value.into());
        }
        self
    }

    /// A person with these numbers.
    pub fn contact(&mut self, name: &str, numbers: &[&str]) -> &mut Self {
        self.push("contacts", [("name", name.into()), ("numbers", numbers.to_vec().into())])
    }

    /// A policy of these steps; the first one is the default.
    pub fn policy(&mut self, name: &str, steps: &[Step<'_>]) -> &mut Self {
        self.policy_with(name, 0, steps)
    }

    /// A policy with so many more rounds after the first.
    pub fn policy_with(&mut self, name: &str, repeat: u32, steps: &[Step<'_>]) -> &mut Self {
        let steps: Vec<Value> = steps
            .iter()
            .map(|step| {
                Table::from_iter([
                    ("targets".to_owned(), step.targets.to_vec().into()),
                    ("attempts".to_owned(), step.attempts.into()),
                    ("attempt_delay".to_owned(), step.attempt_delay.into()),
                    ("delay".to_owned(), step.delay.into()),
                ])
                .into()
            })
            .collect();
        let default = !self.table.contains_key("policies");
        self.push(
            "policies",
            [("name", name.into()), ("default", default.into()), ("repeat", repeat.into()), ("steps", steps.into())],
        )
    }

    /// The PBX that it calls through.
    pub fn pbx(&mut self, pbx: &Asterisk) -> &mut Self {
        self.set("asterisk.address", pbx.ami.as_str())
            .set("asterisk.user", "ringdown")
            .set("asterisk.secret", pbx.secret.as_str())
            .set("asterisk.caller_id", "+390551234567")
    }

    /// A modem that sends texts.
    pub fn modem(&mut self, name: &str, path: &Path) -> &mut Self {
        let path = path.to_string_lossy().into_owned();
        // Short: nothing here is slow, and what does not answer shall be noticed soon.
        let (answer, sent): (i64, i64) = (2, 3);
        self.push(
            "modems",
            [
                ("name", name.into()),
                ("path", path.into()),
                ("answer_within", answer.into()),
                ("sent_within", sent.into()),
            ],
        )
    }

    /// Sets something of the modem of this name.
    pub fn of_modem(&mut self, name: &str, key: &str, value: impl Into<Value>) -> &mut Self {
        let value = value.into();
        let modems = self.table.get_mut("modems").and_then(Value::as_array_mut).into_iter().flatten();
        for modem in modems.filter_map(Value::as_table_mut).filter(|modem| modem["name"].as_str() == Some(name)) {
            modem.insert(key.to_owned(), value.clone());
        }
        self
    }

    /// The account of Twilio's that sends texts from this number, and is asked every second.
    pub fn twilio(&mut self, twilio: &Twilio, from: &str) -> &mut Self {
        let (answer, poll): (i64, i64) = (2, 1);
        self.set("twilio.account", twilio.account.as_str())
            .set("twilio.token", twilio.token.as_str())
            .set("twilio.url", twilio.url())
            .set("twilio.from", from)
            .set("twilio.answer_within", answer)
            .set("twilio.poll", poll)
    }

    /// Twilio reaches the server, and is asked as good as never.
    pub fn twilio_tells(&mut self) -> &mut Self {
        self.is_reached = true;
        self.set("twilio.poll", 3600)
    }

    /// Texts that begin so raise a critical alert under this policy.
    pub fn alert_texts(&mut self, begins: &str, policy: &str) -> &mut Self {
        let rule = [("begins", begins), ("severity", "critical"), ("policy", policy)];
        let rule = Table::from_iter(rule.map(|(key, value)| (key.to_owned(), value.into())));
        self.set("sms.alerts", vec![Value::Table(rule)])
    }

    /// A context of the PBX that calls may ask to land in.
    pub fn connect(&mut self, context: &str) -> &mut Self {
        let place = Table::from_iter([("context".to_owned(), context.into())]);
        self.set("asterisk.connect", vec![Value::Table(place)])
    }

    /// Where it listens, keeps its data, and finds espeak-ng, unless another engine is set.
    pub(crate) fn place(&mut self, http: SocketAddr, agi: SocketAddr, data: &Path) -> Result<&mut Self> {
        self.set("server.listen", http.to_string())
            .set("server.data", data.to_string_lossy().as_ref())
            .set("agi.listen", agi.to_string());
        if self.is_reached {
            self.set("twilio.public_url", format!("http://{http}"));
        }
        let chosen = self.table.get("speech").is_some_and(|speech| speech.get("program").is_some());
        if !chosen {
            self.set("speech.program", parts::espeak()?.to_string_lossy().as_ref());
        }
        Ok(self)
    }

    /// The file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        self.table.to_string()
    }

    fn push<const N: usize>(&mut self, list: &str, fields: [(&str, Value); N]) -> &mut Self {
        let entry = Table::from_iter(fields.map(|(name, value)| (name.to_owned(), value)));
        let list = self.table.entry(list).or_insert_with(|| Vec::<Value>::new().into());
        if let Value::Array(list) = list {
            list.push(entry.into());
        }
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ringdown_takes_what_we_write() {
        let mut settings = Settings::new();
        settings
            .contact("Ana", &["+393331234567"])
            .policy("default", &[Step { targets: &["Ana"], delay: 5, ..Step::default() }])
            .set("call.repeat", 2);
        let read = ringdown::config::Config::from_toml(&settings.to_toml()).expect("no mistakes");
        assert_eq!(read.call.repeat, 2);
        assert!(read.policies[0].default && read.contacts[0].name == "Ana");
    }
}
