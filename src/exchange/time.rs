//! Points in time as files name them.

use std::{fmt, str::FromStr};

use chrono::{DateTime, NaiveDateTime, Utc};

/// A point in time in a file: with an offset it is an instant, without one it is local to a zone that the
/// file does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LocalOrInstant {
    /// On the wall clock of whoever wrote it.
    Local(NaiveDateTime),
    /// The same everywhere.
    Instant(DateTime<Utc>),
}

impl LocalOrInstant {
    /// Whether it lies before another, if that can be told without a zone.
    #[must_use]
    pub fn is_before(self, other: Self) -> Option<bool> {
        match (self, other) {
            (Self::Local(one), Self::Local(other)) => Some(one < other),
            (Self::Instant(one), Self::Instant(other)) => Some(one < other),
            _ => None,
        }
    }
}

impl FromStr for LocalOrInstant {
    type Err = String;

    /// Reads `2026-01-31 09:00`, with a `T` or a space, seconds and fractions or not, an offset or `Z` or not.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let spaced = text.trim().replacen(['T', 't'], " ", 1);
        let local = |text: &str| {
            ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
                .into_iter()
                .find_map(|format| NaiveDateTime::parse_from_str(text.trim_end(), format).ok())
        };
        let offset = |text: &str| {
            ["%Y-%m-%d %H:%M:%S%.f %#z", "%Y-%m-%d %H:%M %#z"]
                .into_iter()
                .find_map(|format| DateTime::parse_from_str(text, format).ok())
        };
        let found = match spaced.strip_suffix(['Z', 'z']) {
            Some(utc) => local(utc).map(|utc| Self::Instant(utc.and_utc())),
            None => local(&spaced).map(Self::Local).or_else(|| offset(&spaced).map(|at| Self::Instant(at.to_utc()))),
        };
        found.ok_or_else(|| format!("{text:?} is no time such as 2026-01-31 09:00:00 or 2026-01-31T09:00:00+01:00"))
    }
}

impl fmt::Display for LocalOrInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(at) => at.format("%Y-%m-%d %H:%M:%S%.f").fmt(f),
            Self::Instant(at) => at.format("%Y-%m-%dT%H:%M:%S%.fZ").fmt(f),
        }
    }
}
