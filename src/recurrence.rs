//! WHAT COMES AGAIN: recurrence rules (RFC 5545), bounded. Pure.
//!
//! A rule is expanded in local wall-clock time that knows no zone, and each occurrence is then turned into
//! an instant by the caller's `instant`. So what happens to a local time that does not exist, or exists
//! twice, is decided in one place for the whole server, and not by the library that expands. Its `UNTIL`
//! and `COUNT` are kept here too: the library would read an `UNTIL` without a zone in the server's own.
//!
//! Every answer takes a bounded time: intervals, counts and times a day are limited, the past is skipped
//! in whole periods where there is no `COUNT`, and nobody looks further than fifty years ahead.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Datelike, Days, Month, Months, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use rrule::{Frequency, NWeekday, RRule, RRuleSet, Tz, Unvalidated};
use serde::{Deserialize, Serialize};
use thiserror::Error;

#[cfg(test)]
mod tests;

/// The longest rule, in bytes.
const LONGEST: usize = 512;
/// The largest `INTERVAL`.
const MOST_INTERVAL: u16 = 1_000;
/// The largest `COUNT`: so many occurrences are walked through at every question.
const MOST_COUNT: u32 = 10_000;
/// The most occurrences on one day.
const MOST_A_DAY: usize = 100;
/// The most occurrences looked at for one answer.
const MOST_STEPS: usize = 100_000;
/// How far ahead an occurrence may lie.
const HORIZON: TimeDelta = TimeDelta::days(50 * 366);

/// A recurrence rule: the value of an `RRULE` (RFC 5545, section 3.3.10), without a start.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Recurrence {
    text: String,
    /// The rule without its end.
    rule: RRule<Unvalidated>,
    count: Option<u32>,
    until: Option<Until>,
}

/// The last moment an occurrence may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Instant(DateTime<Utc>),
    Local(NaiveDateTime),
}

/// A text that is no recurrence rule, or one that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a recurrence rule: {0}")]
pub struct NotARule(String);

impl Recurrence {
    /// Reads a rule such as `FREQ=WEEKLY;BYDAY=MO,FR`; an `RRULE:` in front is passed over.
    ///
    /// # Errors
    /// If it is no rule of RFC 5545, more frequent than hourly or than a hundred times a day, or has an
    /// interval over 1,000 or a count over 10,000.
    pub fn new(text: &str) -> Result<Self, NotARule> {
        let text = text.trim();
        let text = text.strip_prefix("RRULE:").unwrap_or(text).trim_end_matches(';').to_ascii_uppercase();
        if text.len() > LONGEST {
            return Err(NotARule(format!("longer than {LONGEST} bytes")));
        }
        let (mut count, mut until, mut kept) = (None, None, Vec::new());
        for part in text.split(';') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(NotARule(format!("{part:?} is not of the form NAME=value")));
            };
            match name {
                "COUNT" if count.is_none() => count = Some(read_count(value)?),
                "UNTIL" if until.is_none() => until = Some(read_until(value)?),
                "COUNT" | "UNTIL" => return Err(NotARule(format!("{name} stands there twice"))),
                _ => {
                    check_part(name, value)?;
                    kept.push(part);
                }
            }
        }
        if count.is_some() && until.is_some() {
            return Err(NotARule("COUNT and UNTIL exclude each other".to_owned()));
        }
        let rule: RRule<Unvalidated> = kept.join(";").parse().map_err(|error| refused(&error))?;
        let rule = Self { text, rule, count, until };
        rule.check_bounds()?;
        // Whether the parts go together is only checked with a start; the start makes no difference to it.
        rule.rule.clone().validate(Tz::UTC.from_utc_datetime(&any_start())).map_err(|error| refused(&error))?;
        Ok(rule)
    }

    /// The rule as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn check_bounds(&self) -> Result<(), NotARule> {
        let rule = &self.rule;
        if matches!(rule.get_freq(), Frequency::Minutely | Frequency::Secondly) {
            return Err(NotARule(format!("FREQ={} is too often; HOURLY is the most frequent", rule.get_freq())));
        }
        if rule.get_interval() == 0 || rule.get_interval() > MOST_INTERVAL {
            return Err(NotARule(format!("INTERVAL must be from 1 to {MOST_INTERVAL}")));
        }
        let numbered = rule.get_by_weekday().iter().any(|day| matches!(day, NWeekday::Nth(..)));
        if numbered && !matches!(rule.get_freq(), Frequency::Yearly | Frequency::Monthly) {
            return Err(NotARule("a BYDAY with a number needs FREQ=MONTHLY or YEARLY".to_owned()));
        }
        // The library would only see what the start added to the rule.
        let others = [rule.get_by_hour().len(), rule.get_by_minute().len(), rule.get_by_second().len()];
        let picks = !rule.get_by_set_pos().is_empty();
        if picks && !has_days(rule) && rule.get_by_month().is_empty() && others == [0; 3] {
            return Err(NotARule("BYSETPOS needs another BY part to pick from".to_owned()));
        }
        let hours = match (rule.get_by_hour().len(), rule.get_freq()) {
            (0, Frequency::Hourly) => 24,
            (hours, _) => hours.max(1),
        };
        let times = hours * rule.get_by_minute().len().max(1) * rule.get_by_second().len().max(1);
        if times > MOST_A_DAY {
            return Err(NotARule(format!("{times} times a day is more than {MOST_A_DAY}")));
        }
        Ok(())
    }

    /// The first occurrence after an instant, for a recurrence that starts at a local time. `start`
    /// itself is the first occurrence if the rule includes it. `instant` says which instant a local
    /// time is, and must never go backwards.
    ///
    /// None if there is no more, or none within fifty years.
    #[must_use]
    pub fn next_after(
        &self,
        start: NaiveDateTime,
        instant: impl Fn(NaiveDateTime) -> DateTime<Utc>,
        after: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        self.occurrences(start, instant, after).find(|at| *at > after)
    }

    /// The occurrences from an instant up to but without another, at most `limit` of them, the earliest
    /// first; see [`Self::next_after`].
    #[must_use]
    pub fn between(
        &self,
        start: NaiveDateTime,
        instant: impl Fn(NaiveDateTime) -> DateTime<Utc>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: usize,
    ) -> Vec<DateTime<Utc>> {
        let occurrences = self.occurrences(start, instant, from).skip_while(|at| *at < from);
        occurrences.take_while(|at| *at < until).take(limit).collect()
    }

    /// All occurrences that matter to somebody who asks about `from` and later, and perhaps some before.
    fn occurrences(
        &self,
        start: NaiveDateTime,
        instant: impl Fn(NaiveDateTime) -> DateTime<Utc>,
        from: DateTime<Utc>,
    ) -> impl Iterator<Item = DateTime<Utc>> {
        let start = start.with_nanosecond(0).unwrap_or(start);
        let (count, until) = (self.count, self.until);
        let horizon = from.checked_add_signed(HORIZON).unwrap_or(DateTime::<Utc>::MAX_UTC);
        let mut last = None;
        self.expand(start, from)
            .take(MOST_STEPS)
            // The period in which the recurrence starts has a part before the start.
            .filter(move |local| *local >= start)
            .take(count.map_or(usize::MAX, |count| count as usize))
            .map(move |local| (local, instant(local)))
            .take_while(move |(local, at)| {
                let ended = match until {
                    Some(Until::Instant(until)) => *at > until,
                    Some(Until::Local(until)) => *local > until,
                    None => false,
                };
                !ended && *at <= horizon
            })
            .map(|(_, at)| at)
            // Several local times of a gap are the same instant.
            .filter(move |at| last.replace(*at) != Some(*at))
    }

    /// The local times the rule names, from the beginning of the period in which it starts, or from some
    /// later period if nothing before `from` counts.
    fn expand(&self, start: NaiveDateTime, from: DateTime<Utc>) -> impl Iterator<Item = NaiveDateTime> + use<> {
        let rule = self.with_days_of(start);
        let first = match rule.get_freq() {
            Frequency::Yearly => start.with_day(1).and_then(|day| day.with_month(1)),
            Frequency::Monthly => start.with_day(1),
            // Else the library's first week would begin on the start's day, and BYSETPOS count from there.
            Frequency::Weekly => {
                start.checked_sub_days(Days::new(start.weekday().days_since(rule.get_week_start()).into()))
            }
            _ => Some(start),
        };
        let mut begin = first.unwrap_or(start);
        if self.count.is_none() {
            begin = self.skipped(begin, from);
        }
        let begin = Tz::UTC.from_utc_datetime(&begin);
        // Fails only for years that the library does not know: nothing occurs there.
        let dates = rule.validate(begin).ok().map(|rule| RRuleSet::new(begin).rrule(rule).limit().into_iter());
        dates.into_iter().flatten().map(|at| at.naive_utc())
    }

    /// The rule with the days that it leaves to its start written out, so that it can be expanded from
    /// the beginning of any period.
    fn with_days_of(&self, start: NaiveDateTime) -> RRule<Unvalidated> {
        let rule = self.rule.clone();
        let day = i8::try_from(start.day()).unwrap_or(1);
        match rule.get_freq() {
            _ if has_days(&rule) => rule,
            Frequency::Weekly => rule.by_weekday(vec![NWeekday::Every(start.weekday())]),
            Frequency::Monthly => rule.by_month_day(vec![day]),
            Frequency::Yearly if rule.get_by_month().is_empty() => {
                let month = u8::try_from(start.month()).ok().and_then(|month| Month::try_from(month).ok());
                rule.by_month(month.as_slice()).by_month_day(vec![day])
            }
            Frequency::Yearly => rule.by_month_day(vec![day]),
            _ => rule,
        }
    }

    /// The beginning of a later period, so that all that is left out lies before `from`.
    fn skipped(&self, begin: NaiveDateTime, from: DateTime<Utc>) -> NaiveDateTime {
        let interval = self.rule.get_interval();
        // No zone is a day away from UTC.
        let Some(until) = from.naive_utc().checked_sub_days(Days::new(1)).filter(|until| *until > begin) else {
            return begin;
        };
        let unit = match self.rule.get_freq() {
            Frequency::Hourly => TimeDelta::hours(1),
            Frequency::Daily => TimeDelta::days(1),
            Frequency::Weekly => TimeDelta::weeks(1),
            frequency => {
                let period = u32::from(interval) * if frequency == Frequency::Yearly { 12 } else { 1 };
                let months = |at: NaiveDateTime| at.year() * 12 + i32::try_from(at.month0()).unwrap_or_default();
                let past = u32::try_from(months(until) - months(begin)).unwrap_or_default();
                return begin.checked_add_months(Months::new(past / period * period)).unwrap_or(begin);
            }
        };
        let period = (unit * interval.into()).num_seconds();
        begin + TimeDelta::seconds((until - begin).num_seconds() / period * period)
    }
}

/// Whether the rule says itself on which days it occurs, or in which weeks.
fn has_days(rule: &RRule<Unvalidated>) -> bool {
    !(rule.get_by_weekday().is_empty()
        && rule.get_by_month_day().is_empty()
        && rule.get_by_year_day().is_empty()
        && rule.get_by_week_no().is_empty())
}

fn any_start() -> NaiveDateTime {
    DateTime::UNIX_EPOCH.naive_utc()
}

fn refused(error: &rrule::RRuleError) -> NotARule {
    let words = error.to_string();
    NotARule(words.split_once(": ").map_or(words.as_str(), |(_, reason)| reason).to_owned())
}

fn read_count(value: &str) -> Result<u32, NotARule> {
    let count = value.parse().ok().filter(|count| (1..=MOST_COUNT).contains(count));
    count.ok_or_else(|| NotARule(format!("COUNT={value} must be from 1 to {MOST_COUNT}")))
}

/// A date means the whole of that day.
fn read_until(value: &str) -> Result<Until, NotARule> {
    let local = |value: &str| NaiveDateTime::parse_from_str(value, "%Y%m%dT%H%M%S");
    let until = match value.strip_suffix('Z') {
        Some(utc) => local(utc).map(|utc| Until::Instant(utc.and_utc())),
        None if value.len() == 8 => NaiveDate::parse_from_str(value, "%Y%m%d")
            .map(|date| Until::Local(date.and_time(chrono::NaiveTime::MIN) + TimeDelta::seconds(86_399))),
        None => local(value).map(Until::Local),
    };
    until.map_err(|_| NotARule(format!("UNTIL={value} is neither 20261231 nor 20261231T235959, nor that with a Z")))
}

/// What the library would take and read as something else.
fn check_part(name: &str, value: &str) -> Result<(), NotARule> {
    let wrong = |item: &str| NotARule(format!("{item:?} has no meaning in {name}"));
    for item in value.split(',') {
        match name {
            "BYDAY" | "BYWEEKDAY" => {
                let (number, day) = item.split_at_checked(item.len().saturating_sub(2)).unwrap_or_default();
                let numbered =
                    number.is_empty() || number.parse::<i16>().is_ok_and(|number| (1..=53).contains(&number.abs()));
                if !numbered || !["MO", "TU", "WE", "TH", "FR", "SA", "SU"].contains(&day) {
                    return Err(wrong(item));
                }
            }
            "BYMONTHDAY" | "BYYEARDAY" | "BYWEEKNO" if item.parse() == Ok(0) => return Err(wrong(item)),
            _ => {}
        }
    }
    Ok(())
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Recurrence {}

impl fmt::Display for Recurrence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Recurrence {
    type Err = NotARule;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl TryFrom<String> for Recurrence {
    type Error = NotARule;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text)
    }
}

impl From<Recurrence> for String {
    fn from(rule: Recurrence) -> Self {
        rule.text
    }
}
