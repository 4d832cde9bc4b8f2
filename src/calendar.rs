//! WHEN IT COUNTS: business hours and holidays. Pure.
//!
//! A calendar is open in its hours, except on its holidays. Local times that do not exist or exist
//! twice are treated as everywhere (see [`crate::wallclock`]).

#[cfg(test)]
mod tests;

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::wallclock::{Hours, Zone};

/// How far ahead [`Calendar::opens`] and [`Calendar::closes`] look.
pub const HORIZON: TimeDelta = TimeDelta::days(400);
/// The most hours a calendar may have.
pub const MAX_HOURS: usize = 100;
/// The most holidays a calendar may have.
pub const MAX_HOLIDAYS: usize = 5000;

/// Business hours and holidays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calendar {
    /// By whose clocks.
    pub zone: Zone,
    /// When it is open. None at all is always.
    #[serde(default)]
    pub hours: Vec<Hours>,
    /// When it is closed nevertheless.
    #[serde(default)]
    pub holidays: Vec<Holiday>,
}

/// Whole days on which a calendar is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holiday {
    /// What it is called.
    pub name: String,
    /// The first day.
    pub from: NaiveDate,
    /// The last day.
    pub until: NaiveDate,
}

type Span = (DateTime<Utc>, DateTime<Utc>);

impl Calendar {
    /// Whether it is open: inside any of the hours, and in no holiday.
    #[must_use]
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        self.is_open_but_for(&self.closed(), at)
    }

    /// The first instant from `at` on at which it is open, `at` itself if it is. None if it is not
    /// in the next 400 days.
    #[must_use]
    pub fn opens(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (closed, mut now) = (self.closed(), at);
        // From holiday to holiday and from start to start: each turn goes forward.
        while now.signed_duration_since(at) <= HORIZON {
            now = if let Some((_, end)) = covering(&closed, now).max_by_key(|(_, end)| *end) {
                end
            } else if self.is_open_but_for(&closed, now) {
                return Some(now);
            } else {
                // Every hours begin once a week, perhaps in a gap.
                let week = now.checked_add_days(Days::new(8))?;
                let starts = self.hours.iter().flat_map(|hours| hours.spans(self.zone, now, week));
                starts.map(|(start, _)| start).filter(|start| *start > now).min()?
            };
        }
        None
    }

    /// The first instant from `at` on at which it is closed, `at` itself if it is. None if it is not
    /// in the next 400 days.
    #[must_use]
    pub fn closes(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let (closed, mut now) = (self.closed(), at);
        while now.signed_duration_since(at) <= HORIZON {
            if !self.is_open_but_for(&closed, now) {
                return Some(now);
            }
            let spans: Vec<Span> = self.hours.iter().flat_map(|hours| hours.spans(self.zone, now, now)).collect();
            let end = covering(&spans, now).map(|(_, end)| end).max();
            let holiday = closed.iter().map(|(start, _)| *start).filter(|start| *start > now).min();
            now = end.into_iter().chain(holiday).min()?;
        }
        None
    }

    /// What an operator must mend before this calendar can be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes: Vec<String> = self.hours.iter().flat_map(Hours::mistakes).collect();
        if self.hours.len() > MAX_HOURS {
            mistakes.push(format!("there are {} hours, and {MAX_HOURS} is the most", self.hours.len()));
        }
        if self.holidays.len() > MAX_HOLIDAYS {
            mistakes.push(format!("there are {} holidays, and {MAX_HOLIDAYS} is the most", self.holidays.len()));
        }
        for Holiday { name, from, until } in &self.holidays {
            if until < from {
                mistakes.push(format!("holiday \"{name}\": it ends on {until}, before it starts on {from}"));
            }
        }
        mistakes
    }

    fn is_open_but_for(&self, closed: &[Span], at: DateTime<Utc>) -> bool {
        let in_hours = self.hours.is_empty() || self.hours.iter().any(|hours| hours.covers(self.zone, at));
        in_hours && covering(closed, at).next().is_none()
    }

    /// The holidays, from midnight to midnight.
    fn closed(&self) -> Vec<Span> {
        let midnight = |date: NaiveDate| self.zone.instant(date.and_time(NaiveTime::MIN));
        let after = |date: NaiveDate| date.succ_opt().map_or_else(|| self.zone.instant(NaiveDateTime::MAX), midnight);
        self.holidays.iter().map(|holiday| (midnight(holiday.from), after(holiday.until))).collect()
    }
}

fn covering(spans: &[Span], at: DateTime<Utc>) -> impl Iterator<Item = Span> {
    spans.iter().copied().filter(move |(start, end)| *start <= at && at < *end)
}
