//! Silences and maintenance windows: when they hold, and what that means for what is open.

use chrono::{DateTime, TimeDelta, Utc};

use super::Engine;
use crate::{
    escalation::Event,
    store::{self, Silence, SilenceData},
    triage::Quiet,
};

/// Times of one silence that are looked at: those that may follow each other without a pause.
const TIMES: usize = 100;
/// How far ahead they are looked for.
const AHEAD: TimeDelta = TimeDelta::days(32);

impl Engine {
    /// Silences that begin, end or have changed: what escalates may have to stop, what was held may page.
    pub(super) async fn look_at_silences(&self, now: DateTime<Utc>) -> Result<(), store::Error> {
        let due = self.store.due_silences(now).await?;
        if due.is_empty() {
            return Ok(());
        }
        for id in self.store.hushable_incidents().await? {
            self.change_state(id, |_| Some((Event::HushChanged, Vec::new(), None))).await?;
        }
        for silence in due {
            self.store.silence_looked_at(&silence, next_beginning(&silence.data, now)).await?;
        }
        Ok(())
    }
}

/// What may be quiet at the instants from `from` until `until`.
pub(super) fn quiets(silences: &[Silence], from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Quiet> {
    let still = |silence: &&Silence| silence.data.recurrence.is_some() || silence.data.until > from;
    let quiet = |silence: &Silence| Quiet {
        id: silence.id,
        kind: silence.data.kind,
        spans: spans(&silence.data, from, until + AHEAD),
        matchers: silence.data.matchers.clone(),
    };
    silences.iter().filter(still).map(quiet).collect()
}

/// When open incidents must be looked at because of a silence that was made or changed now: at once, if
/// it holds now.
#[must_use]
pub fn first_look(data: &SilenceData, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let holds = spans(data, now, now).iter().any(|(from, until)| *from <= now && now < *until);
    if holds { Some(now) } else { next_beginning(data, now) }
}

fn next_beginning(data: &SilenceData, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match &data.recurrence {
        None => (data.from > now).then_some(data.from),
        Some(rule) => rule.next_after(data.zone.local(data.from), |local| data.zone.instant(local), now),
    }
}

/// When a silence holds, as far as that touches the time from `from` until `until`.
fn spans(data: &SilenceData, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
    let Some(rule) = &data.recurrence else { return vec![(data.from, data.until)] };
    let length = data.until - data.from;
    let (start, zone) = (data.zone.local(data.from), data.zone);
    let beginnings = rule.between(start, |local| zone.instant(local), from - length, until, TIMES);
    beginnings.into_iter().map(|beginning| (beginning, beginning + length)).collect()
}
