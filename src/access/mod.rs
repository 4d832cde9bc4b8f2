//! WHO MAY DO WHAT (pure): roles, scopes, passwords, tokens, and how log-ins are slowed down.
//!
//! Knows neither HTTP nor the database: what is asked for comes as arguments, the time and all
//! randomness included.

pub mod address;
pub mod password;
pub mod throttle;
pub mod token;

use std::{fmt, str::FromStr};

macro_rules! scopes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Something that a credential may allow.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Scope {
            /// All there are.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it is written in settings, tokens and the API.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it is for.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii(),)+ }
            }
        }
    };
}

scopes! {
    /// Raise and resolve alerts, and send heartbeats.
    AlertsWrite = "alerts:write",
    /// See incidents, their timelines, and the stream of events.
    IncidentsRead = "incidents:read",
    /// Acknowledge, escalate and resolve incidents.
    IncidentsWrite = "incidents:write",
    /// See calls, scheduled calls and reminders.
    CallsRead = "calls:read",
    /// Place, schedule and cancel calls.
    CallsWrite = "calls:write",
    /// See text messages, those that came in included.
    MessagesRead = "messages:read",
    /// Send and cancel text messages.
    MessagesWrite = "messages:write",
    /// See the address book.
    ContactsRead = "contacts:read",
    /// Change the address book.
    ContactsWrite = "contacts:write",
    /// See schedules, calendars, and who is on call.
    SchedulesRead = "schedules:read",
    /// Change schedules and calendars.
    SchedulesWrite = "schedules:write",
    /// Replace, add or remove somebody on duty for a span of time.
    OverridesWrite = "overrides:write",
    /// See policies, routing rules, heartbeats and silences; simulate alerts.
    PoliciesRead = "policies:read",
    /// Change policies, routing rules and heartbeats.
    PoliciesWrite = "policies:write",
    /// Make and end silences.
    SilencesWrite = "silences:write",
    /// See and change webhooks.
    WebhooksWrite = "webhooks:write",
    /// Stop all calls, and let them go on.
    KillSwitchWrite = "kill_switch:write",
    /// Read metrics, readiness and this documentation.
    MetricsRead = "metrics:read",
    /// Manage users and API keys.
    AccessWrite = "access:write",
    /// Read the audit log.
    AuditRead = "audit:read",
}

/// What a person may do. Each role may do all that the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Sees everything but users, keys and the audit log.
    Viewer,
    /// Works on incidents, places calls, takes over duty, silences.
    Responder,
    /// Changes people, schedules, policies and webhooks; may stop all calls.
    Manager,
    /// Manages users and keys, reads the audit log.
    Admin,
}

impl Role {
    /// All there are, from the least to the most.
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Responder, Self::Manager, Self::Admin];

    /// As it is written in settings and the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Manager => "manager",
            Self::Admin => "admin",
        }
    }

    /// What it may do.
    #[must_use]
    pub fn scopes(self) -> Scopes {
        let least = |scope: &Scope| -> Self {
            match scope {
                Scope::IncidentsRead
                | Scope::CallsRead
                | Scope::MessagesRead
                | Scope::ContactsRead
                | Scope::SchedulesRead
                | Scope::PoliciesRead
                | Scope::MetricsRead => Self::Viewer,
                Scope::AlertsWrite
                | Scope::IncidentsWrite
                | Scope::CallsWrite
                | Scope::MessagesWrite
                | Scope::OverridesWrite
                | Scope::SilencesWrite => Self::Responder,
                Scope::ContactsWrite
                | Scope::SchedulesWrite
                | Scope::PoliciesWrite
                | Scope::WebhooksWrite
                | Scope::KillSwitchWrite => Self::Manager,
                Scope::AccessWrite | Scope::AuditRead => Self::Admin,
            }
        };
        Scope::ALL.iter().filter(|scope| least(scope) <= self).copied().collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// There is no such role, or no such scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {named:?} (there are: {there_are})")]
pub struct Unknown {
    what: &'static str,
    named: String,
    there_are: String,
}

impl FromStr for Role {
    type Err = Unknown;
    fn from_str(name: &str) -> Result<Self, Unknown> {
        Self::ALL.into_iter().find(|role| role.name() == name).ok_or_else(|| Unknown {
            what: "role",
            named: name.to_owned(),
            there_are: Self::ALL.map(Self::name).join(", "),
        })
    }
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u32);

impl Scopes {
    /// Every scope.
    #[must_use]
    pub fn all() -> Self {
        Scope::ALL.iter().copied().collect()
    }

    /// Reads names of scopes; the name of a role stands for all that it may do.
    ///
    /// # Errors
    /// If there is no such scope.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, Unknown> {
        names.into_iter().try_fold(Self::default(), |set, name| {
            if let Ok(role) = name.parse::<Role>() {
                return Ok(set.union(role.scopes()));
            }
            let scope = Scope::ALL.iter().find(|scope| scope.name() == name).ok_or_else(|| Unknown {
                what: "scope",
                named: name.to_owned(),
                there_are: Scope::ALL.iter().map(|scope| scope.name()).collect::<Vec<_>>().join(", "),
            })?;
            Ok(set.union(Self(1 << *scope as u32)))
        })
    }

    /// Whether it has this one.
    #[must_use]
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & (1 << scope as u32) != 0
    }

    /// What is in either.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all of it is in `other`.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The names, in the order of the documentation.
    #[must_use]
    pub fn names(self) -> Vec<&'static str> {
        Scope::ALL.iter().filter(|scope| self.has(**scope)).map(|scope| scope.name()).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | 1 << scope as u32))
    }
}

/// The name of a user as it is kept: no two that look the same.
///
/// # Errors
/// Why it may not be one, in words.
pub fn user_name(name: &str) -> Result<String, &'static str> {
    let name = name.trim();
    let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-@+".contains(&c);
    if name.is_empty() || name.len() > 200 || !name.bytes().all(plain) {
        return Err("has letters from a to z, digits and . _ - @ + only, one to 200 of them");
    }
    Ok(name.to_ascii_lowercase())
}

/// Secrets shorter than this can be guessed.
pub const SHORTEST_SECRET: usize = 16;

/// What stands in examples, and nobody should run with.
const PLACEHOLDERS: [&str; 8] = ["change", "secret", "password", "example", "placeholder", "xxxx", "12345678", "your-"];

/// Why nobody should run with `secret`, if it is shorter than `shortest` characters or stands in examples.
#[must_use]
pub fn weak_secret(secret: &str, shortest: usize) -> Option<String> {
    let lower = secret.to_lowercase();
    let different = secret.chars().collect::<std::collections::BTreeSet<_>>().len();
    let mut reasons = Vec::new();
    if PLACEHOLDERS.iter().any(|placeholder| lower.contains(placeholder)) {
        reasons.push("looks like a placeholder (make one with `openssl rand -hex 32`)".to_owned());
    }
    if secret.chars().count() < shortest {
        reasons.push(format!("shorter than {shortest} characters"));
    } else if different < 6 {
        reasons.push("has the same few characters again and again".into());
    }
    (!reasons.is_empty()).then(|| reasons.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_more_than_the_one_before() {
        for pair in Role::ALL.windows(2) {
            let (less, more) = (pair[0].scopes(), pair[1].scopes());
            assert!(less.is_within(more) && !more.is_within(less), "{pair:?}");
        }
        assert_eq!(Role::Admin.scopes(), Scopes::all());
        // A viewer changes nothing.
        assert!(Role::Viewer.scopes().names().iter().all(|name| name.ends_with(":read")));
        for scope in [Scope::AccessWrite, Scope::AuditRead] {
            assert!(!Role::Manager.scopes().has(scope));
        }
        for scope in [Scope::ContactsWrite, Scope::PoliciesWrite, Scope::KillSwitchWrite] {
            assert!(!Role::Responder.scopes().has(scope));
        }
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for &scope in Scope::ALL {
            let read = Scopes::parse([scope.name()]).unwrap();
            assert_eq!(read.names(), [scope.name()]);
            assert!(read.has(scope));
            assert!(!scope.meaning().is_empty());
        }
        for role in Role::ALL {
            assert_eq!(role.name().parse(), Ok(role));
            assert_eq!(Scopes::parse([role.name()]).unwrap(), role.scopes());
        }
        let error = Scopes::parse(["alerts:write", "alerts:wrote"]).unwrap_err().to_string();
        assert!(error.contains("\"alerts:wrote\"") && error.contains("alerts:write,"), "{error}");
        assert!("Admin".parse::<Role>().is_err());
        assert!(Scopes::parse([]).unwrap().is_empty());
    }

    #[test]
    fn no_two_names_look_the_same() {
        assert_eq!(user_name(" Ben.O@example.org "), Ok("ben.o@example.org".into()));
        for wrong in ["", "a b", "adm\u{456}n", "admin\u{200b}", "\u{202e}adm", "\u{ff21}dmin", "a\0"] {
            assert!(user_name(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn weak_secrets_are_told() {
        for weak in
            ["", "short", "change-me-change-me-change-me", "My-Secret-0123456789-abcdef", "aaaaaaaaaaaaaaaaaaaaaaaa"]
        {
            assert!(weak_secret(weak, 16).is_some(), "{weak:?}");
        }
        assert_eq!(weak_secret("0f5c1d7ae9b24836", 16), None);
        assert!(weak_secret("0f5c1d7ae9b24836", 32).is_some());
    }
}
