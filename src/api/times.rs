//! Times in requests and answers: instants, spans, hours of the week, local times.

use chrono::{DateTime, Datelike, NaiveDateTime, SubsecRound, TimeDelta, Timelike, Utc};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use super::error::Problem;
use crate::{store, wallclock};

/// The years that can be asked about.
pub(super) const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;
/// How long a span is that has no end.
const USUAL: TimeDelta = TimeDelta::days(14);
/// The longest one.
const LONGEST: TimeDelta = TimeDelta::days(366);

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Serialize, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

/// Hours of the week, by the clock on the wall. If `to` is not after `from` they end on the next day.
#[derive(Clone, Debug, Object, Serialize, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
pub(super) struct Hours {
    /// On which days they begin.
    #[oai(validator(max_items = 7))]
    days: Vec<Day>,
    /// When they begin, such as `09:00`.
    #[oai(validator(max_length = 8))]
    from: String,
    /// When they end, such as `17:00`; `24:00` is midnight.
    #[oai(validator(max_length = 8))]
    to: String,
}

impl Hours {
    pub(super) fn read(&self, place: &str) -> Result<wallclock::Hours, String> {
        let hours = serde_json::to_value(self).and_then(serde_json::from_value);
        hours.map_err(|error| format!("{place}: {error}"))
    }

    pub(super) fn show(hours: &wallclock::Hours) -> Result<Self, store::Error> {
        Ok(serde_json::to_value(hours).and_then(serde_json::from_value)?)
    }
}

/// Reads a zone's name.
pub(super) fn zone(place: &str, name: &str) -> Result<wallclock::Zone, String> {
    name.parse().map_err(|error| format!("{place}: {error}"))
}

/// Reads a local time, such as `2026-11-23T09:00`.
pub(super) fn local(place: &str, text: &str) -> Result<NaiveDateTime, String> {
    let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let read = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text.trim(), format).ok());
    // A clock on the wall shows no leap second.
    let read = read.and_then(|local| local.with_nanosecond(0));
    read.ok_or_else(|| format!("{place}: \"{text}\" is not a local time, such as 2026-11-23T09:00"))
}

/// As short as it can be.
pub(super) fn show_local(local: NaiveDateTime) -> String {
    local.format(if local.second() == 0 { "%Y-%m-%dT%H:%M" } else { "%Y-%m-%dT%H:%M:%S" }).to_string()
}

/// An instant that the database can hold, in whole microseconds.
pub(super) fn instant(place: &str, at: DateTime<Utc>) -> Result<DateTime<Utc>, Problem> {
    if YEARS.contains(&at.year()) {
        Ok(at.trunc_subsecs(6))
    } else {
        let (first, last) = (YEARS.start(), YEARS.end());
        Err(Problem::unprocessable(format!("{place}: is not between the years {first} and {last}")))
    }
}

/// The span that a request asks about: two weeks from now, if it does not say.
pub(super) fn span(
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Problem> {
    let from = instant("from", from.unwrap_or(now))?;
    let to = instant("to", to.unwrap_or(from + USUAL))?;
    if to <= from {
        return Err(Problem::unprocessable("to: is not after `from`"));
    }
    if to - from > LONGEST {
        return Err(Problem::unprocessable(format!("to: is more than {} days after `from`", LONGEST.num_days())));
    }
    Ok((from, to))
}

/// What takes a while to compute, where it holds up nobody else.
pub(super) async fn computed<T: Send + 'static>(compute: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(compute).await;
    done.map_err(|error| store::Error::Unavailable(format!("it could not be computed: {error}")).into())
}
