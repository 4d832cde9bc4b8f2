//! Everything that can be wrong with a configuration that could be read.

use std::collections::HashSet;

use secrecy::ExposeSecret;

use super::{Asterisk, Config, Policy, Watch, sms, twilio};
use crate::{
    access::{SHORTEST_SECRET, Scopes, token, weak_secret},
    phone::{NumberingPlan, PhoneNumber},
    route::destination::{Caps, Rules},
};

pub(super) fn check(config: &mut Config, mistakes: &mut Vec<String>) {
    let mut wrong = |mistake: String| mistakes.push(mistake);
    match NumberingPlan::new(config.numbers.country.as_deref(), config.numbers.extensions.clone()) {
        Ok(plan) => config.plan = plan,
        Err(error) => wrong(format!("numbers.country: {error}")),
    }
    for (name, prefixes) in
        [("allow", &config.destinations.allow), ("allow_premium", &config.destinations.allow_premium)]
    {
        for prefix in prefixes {
            let digits = prefix.strip_prefix('+').unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
                wrong(format!("destinations.{name}: {prefix:?} is no prefix of E.164 numbers (such as +39)"));
            }
        }
    }
    for clash in config.call.keys.clashes() {
        wrong(format!("call.keys: {clash}"));
    }
    if config.call.repeat == 0 {
        wrong("call.repeat: an alert is spoken once at least".into());
    }
    if config.server.tls_certificate.is_some() != config.server.tls_key.is_some() {
        wrong("server: tls_certificate and tls_key go together".into());
    }
    if let Some(url) = &config.database.url
        && !["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme))
    {
        wrong("database.url: begins with sqlite: or postgres://".into());
    }
    check_watch(&config.watch, &mut wrong);
    sms::check(&config.sms, &mut config.modems, &mut wrong);
    if let Some(account) = &config.twilio {
        twilio::check(account, &mut wrong);
    }
    unique("modems and twilio", config.ways_of_texts().into_iter(), &mut wrong);
    sms::check_order(&config.sms, &config.ways_of_texts(), &mut wrong);
    if let Some(zone) = &config.compat.time_zone
        && let Err(error) = zone.parse::<crate::wallclock::Zone>()
    {
        wrong(format!("compat.time_zone: {error}"));
    }
    if !(1..=86_400).contains(&config.compat.sms_wait) {
        wrong("compat.sms_wait: 1 to 86400 seconds".into());
    }
    if config.telemetry.otlp_endpoint.as_deref().is_some_and(|url| !is_address(url)) {
        wrong("telemetry.otlp_endpoint: is no http:// or https:// address".into());
    }
    if let Some(asterisk) = &config.asterisk {
        check_asterisk(asterisk, &mut wrong);
    }
    let webhooks = &config.webhooks;
    if webhooks.tries == 0 || webhooks.retry == 0 || !(1..=60).contains(&webhooks.timeout) {
        wrong("webhooks: tries and retry are 1 at least, timeout is 1 to 60 seconds".into());
    }
    if config.server.idempotency_hours == 0 {
        wrong("server.idempotency_hours: 1 at least".into());
    }
    for key in &config.api_keys {
        if key.sha256.len() != 64 || hex::decode(&key.sha256).is_err() {
            wrong(format!("api_keys: sha256 of {:?} is not 64 hexadecimal digits", key.name));
        }
        match Scopes::parse(key.scopes.iter().map(String::as_str)) {
            Ok(scopes) if scopes.is_empty() => wrong(format!(
                "api_keys: scopes of {:?} are none: say what it may do, such as [\"alerts:write\"], or a role",
                key.name
            )),
            Ok(_) => {}
            Err(error) => wrong(format!("api_keys: scopes of {:?}: {error}", key.name)),
        }
    }
    check_tokens(config, &mut wrong);
    check_origins(config, &mut wrong);
    unique("api_keys", config.api_keys.iter().map(|key| &*key.name), &mut wrong);
    unique("contacts", config.contacts.iter().map(|contact| &*contact.name), &mut wrong);
    unique("policies", config.policies.iter().map(|policy| &*policy.name), &mut wrong);
    let rules = config.rules();
    for contact in &config.contacts {
        for number in &contact.numbers {
            check_number(&config.plan, &rules, number, &format!("contacts: {}", contact.name), &mut wrong);
        }
    }
    if config.policies.iter().filter(|policy| policy.default).count() > 1 {
        wrong("policies: more than one is the default".into());
    }
    for policy in &config.policies {
        check_policy(config, &rules, policy, &mut wrong);
    }
}

fn check_tokens(config: &Config, wrong: &mut impl FnMut(String)) {
    let tokens = &config.tokens;
    if tokens.secrets.len() > 2 {
        wrong("tokens.secrets: two at most: the one that signs, and the one before it".into());
    }
    for (nth, secret) in (1..).zip(&tokens.secrets) {
        if let Some(why) = weak_secret(secret.expose_secret(), token::SHORTEST_SECRET) {
            wrong(format!("tokens.secrets, number {nth}: {why}"));
        }
    }
    if tokens.issuer.trim().is_empty() {
        wrong("tokens.issuer: is empty".into());
    }
    if !(1..=1440).contains(&tokens.minutes) {
        wrong("tokens.minutes: 1 to 1440".into());
    }
    if !(1..=365).contains(&tokens.login_days) {
        wrong("tokens.login_days: 1 to 365".into());
    }
}

fn check_origins(config: &Config, wrong: &mut impl FnMut(String)) {
    let server = &config.server;
    for origin in &server.cors_origins {
        let host = ["https://", "http://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '*', ' ', '@'])) {
            wrong(format!("server.cors_origins: {origin:?} is no origin (such as https://board.example.org)"));
        }
    }
    if server.node.as_ref().is_some_and(|node| node.is_empty() || node.len() > 255) {
        wrong("server.node: 1 to 255 characters".into());
    }
    if server.connections == 0 || server.requests_per_second == 0 || server.requests_at_once == 0 {
        wrong("server: connections, requests_per_second and requests_at_once are 1 at least".into());
    }
}

pub(super) fn is_address(url: &str) -> bool {
    reqwest::Url::parse(url).is_ok_and(|url| ["http", "https"].contains(&url.scheme()) && url.has_host())
}

fn check_watch(watch: &Watch, wrong: &mut impl FnMut(String)) {
    // What it is stands nowhere: it is a secret, most likely.
    if watch.heartbeat_url.as_deref().is_some_and(|url| !is_address(url)) {
        wrong("watch.heartbeat_url: is no http:// or https:// address".into());
    }
    for (name, seconds) in [("audit_every", watch.audit_every), ("heartbeat_every", watch.heartbeat_every)] {
        if !(1..=3600).contains(&seconds) {
            wrong(format!("watch.{name}: 1 to 3600 seconds"));
        }
    }
    if watch.keep_events_days > 3650 {
        wrong("watch.keep_events_days: at most 3650".into());
    }
}

fn check_asterisk(asterisk: &Asterisk, wrong: &mut impl FnMut(String)) {
    let secret = asterisk.secret.expose_secret();
    if let Some(why) = weak_secret(secret, SHORTEST_SECRET) {
        wrong(format!("asterisk.secret: {why}"));
    }
    if asterisk.dial.matches("{number}").count() != 1 || asterisk.dial.contains(['\r', '\n', '\0', ',', '&']) {
        wrong("asterisk.dial: has {number} once, and no comma or ampersand".into());
    }
    if !asterisk.context.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c)) {
        wrong("asterisk.context: letters, digits, - and _ only".into());
    }
    if let Some(caller_id) = &asterisk.caller_id
        && !caller_id.bytes().all(|c| c.is_ascii_digit() || c == b'+')
    {
        wrong("asterisk.caller_id: digits and a leading + only".into());
    }
    for number in &asterisk.caller_ids {
        if number.is_empty() || !number.bytes().all(|c| c.is_ascii_digit() || c == b'+') {
            wrong(format!("asterisk.caller_ids: {number:?} is not digits and a leading +"));
        }
    }
    for connect in &asterisk.connect {
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c));
        let extension = connect.extension.trim_matches(['+', '*', '#']);
        if !plain(&connect.context) || !plain(extension) || connect.priority == 0 {
            wrong(format!("asterisk.connect: {connect:?} is no place in a dialplan"));
        }
    }
    if !(5..=300).contains(&asterisk.ring_timeout) {
        wrong("asterisk.ring_timeout: 5 to 300 seconds".into());
    }
    if asterisk.concurrent == 0 || asterisk.per_second == 0 {
        wrong("asterisk: concurrent and per_second are 1 at least".into());
    }
}

fn check_policy(config: &Config, rules: &Rules, policy: &Policy, wrong: &mut impl FnMut(String)) {
    let place = format!("policies: {}", policy.name);
    if policy.steps.is_empty() {
        wrong(format!("{place}: has no steps, so it can reach nobody"));
    }
    for (nth, step) in (1..).zip(&policy.steps) {
        let place = format!("{place}, step {nth}");
        if step.attempts == 0 || step.attempt_delay == 0 || step.delay == 0 {
            wrong(format!("{place}: attempts, attempt_delay and delay are 1 at least"));
        }
        if step.targets.is_empty() {
            wrong(format!("{place}: has no targets"));
        }
        for target in &step.targets {
            match config.contacts.iter().find(|contact| contact.name == *target) {
                Some(contact) if contact.numbers.is_empty() => {
                    wrong(format!("{place}: {target} has no number"));
                }
                Some(contact) if !contact.enabled => wrong(format!("{place}: {target} is disabled")),
                Some(_) => {}
                None if target.starts_with('+') || target.bytes().all(|c| c.is_ascii_digit()) => {
                    check_number(&config.plan, rules, target, &place, wrong);
                }
                None => wrong(format!("{place}: there is no contact {target:?} in the file")),
            }
        }
    }
}

fn check_number(plan: &NumberingPlan, rules: &Rules, text: &str, place: &str, wrong: &mut impl FnMut(String)) {
    match plan.parse(text) {
        Err(error) => wrong(format!("{place}: {text:?} {error}")),
        Ok(number) => {
            if let Err(refusal) = rules.check(&number) {
                wrong(format!("{place}: {text:?} cannot be called: {refusal}"));
            }
        }
    }
}

fn unique<'a>(section: &str, names: impl Iterator<Item = &'a str>, wrong: &mut impl FnMut(String)) {
    let mut seen = HashSet::new();
    for name in names {
        if name.trim().is_empty() {
            wrong(format!("{section}: a name is empty"));
        }
        if !seen.insert(name) {
            wrong(format!("{section}: {name:?} stands there twice"));
        }
    }
}

impl Config {
    /// The destination rules.
    #[must_use]
    pub fn rules(&self) -> Rules {
        let destinations = &self.destinations;
        Rules {
            allow: destinations.allow.clone(),
            allow_premium: destinations.allow_premium.clone(),
            caps: Caps {
                per_contact: destinations.per_contact,
                per_prefix: destinations.per_prefix,
                total: destinations.total,
            },
        }
    }

    /// The names of the ways that texts have: the modems', as they stand there, and Twilio's.
    #[must_use]
    pub fn ways_of_texts(&self) -> Vec<&str> {
        let modems = self.modems.iter().map(|modem| &*modem.name);
        modems.chain(self.twilio.as_ref().map(|twilio| &*twilio.name)).collect()
    }

    /// The database, as it was set or in the data directory.
    #[must_use]
    pub fn database_url(&self) -> String {
        self.database
            .url
            .clone()
            .unwrap_or_else(|| format!("sqlite:{}", self.server.data.join("ringdown.db").display()))
    }

    /// Where the PBX finds our FastAGI server.
    #[must_use]
    pub fn agi_url(&self) -> String {
        self.agi.url.clone().unwrap_or_else(|| format!("agi://{}", self.agi.listen))
    }
}

impl super::Contact {
    /// Their numbers, read with `plan`. What could not be read was told as a mistake before.
    #[must_use]
    pub fn numbers(&self, plan: &NumberingPlan) -> Vec<PhoneNumber> {
        self.numbers.iter().filter_map(|text| plan.parse(text).ok()).collect()
    }
}
