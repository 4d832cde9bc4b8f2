//! Spans of duty: one walk over everything that begins and ends, in the order of time.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    Duty, decide,
    duty::{OverrideRank, WindowRank},
    on_call,
};
use crate::id::ContactId;

/// The longest span that is computed at once: three years.
pub const MAX_SPAN: TimeDelta = TimeDelta::days(3 * 366);

/// A span of time in which the same people are on call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shift {
    /// When it begins.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// Who is on call, sorted, each once. Possibly nobody.
    pub people: Vec<ContactId>,
}

/// A span of time that cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Its end is before its beginning.
    #[error("the span ends before it begins")]
    Reversed,
    /// It is longer than [`MAX_SPAN`].
    #[error("the span is longer than 3 years")]
    TooLong,
}

/// Who is on call when, in `[from, until)`: without holes, cut to the span, and consecutive shifts
/// have different people.
///
/// # Errors
/// If the span ends before it begins, or is longer than [`MAX_SPAN`].
pub fn shifts(duty: &Duty, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Shift>, SpanError> {
    match until.signed_duration_since(from) {
        span if span < TimeDelta::zero() => Err(SpanError::Reversed),
        span if span > MAX_SPAN => Err(SpanError::TooLong),
        _ => Ok(walk(duty, from, until)),
    }
}

/// When nobody is on call in `[from, until)`.
///
/// # Errors
/// If the span ends before it begins, or is longer than [`MAX_SPAN`].
pub fn gaps(duty: &Duty, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<Shift>, SpanError> {
    let mut shifts = shifts(duty, from, until)?;
    shifts.retain(|shift| shift.people.is_empty());
    Ok(shifts)
}

/// The first instant after `after` at which other people are on call, and who they are. None if that
/// is not within `horizon` (exclusive, and at most [`MAX_SPAN`]).
#[must_use]
pub fn next_change(duty: &Duty, after: DateTime<Utc>, horizon: TimeDelta) -> Option<(DateTime<Utc>, Vec<ContactId>)> {
    let before = on_call(duty, after);
    let end = after.checked_add_signed(horizon.min(MAX_SPAN)).unwrap_or(DateTime::<Utc>::MAX_UTC);
    // Mostly it is soon: looking far ahead at once would be wasted.
    let (mut from, mut chunk) = (after, TimeDelta::days(1));
    while from < end {
        let until = from.checked_add_signed(chunk).map_or(end, |until| until.min(end));
        if let Some(shift) = walk(duty, from, until).into_iter().find(|shift| shift.people != before) {
            return Some((shift.from, shift.people));
        }
        (from, chunk) = (until, chunk * 4);
    }
    None
}

/// What begins or ends. Layers, windows and overrides go by their place in the duty.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// Who has the duty by a layer from now on.
    Layer(usize, Option<ContactId>),
    WindowBegins(usize),
    WindowEnds(usize),
    OverrideBegins(usize),
    OverrideEnds(usize),
}

/// What holds at the instant that the walk has reached.
struct Standing<'a> {
    duty: &'a Duty,
    layers: Vec<Option<ContactId>>,
    windows: BTreeSet<(WindowRank, usize)>,
    overrides: BTreeSet<(OverrideRank, usize)>,
}

impl Standing<'_> {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Layer(layer, who) => self.layers[layer] = who,
            Change::WindowBegins(window) => {
                self.windows.insert((self.duty.windows[window].rank(), window));
            }
            Change::WindowEnds(window) => {
                self.windows.remove(&(self.duty.windows[window].rank(), window));
            }
            Change::OverrideBegins(change) => {
                self.overrides.insert((self.duty.overrides[change].rank(), change));
            }
            Change::OverrideEnds(change) => {
                self.overrides.remove(&(self.duty.overrides[change].rank(), change));
            }
        }
    }

    fn people(&self) -> Vec<ContactId> {
        let window = self.windows.first().map(|(_, window)| self.duty.windows[*window].contact);
        let holder = window.or_else(|| self.layers.iter().copied().flatten().next());
        decide(holder, self.overrides.iter().map(|(_, change)| &self.duty.overrides[*change]))
    }
}

fn walk(duty: &Duty, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Shift> {
    if from >= until {
        return Vec::new();
    }
    let mut standing = Standing {
        duty,
        layers: vec![None; duty.schedule.layers.len()],
        windows: BTreeSet::new(),
        overrides: BTreeSet::new(),
    };
    let mut shifts: Vec<Shift> = Vec::new();
    let mut changes = changes(duty, from, until).into_iter().peekable();
    let mut now = from;
    loop {
        while let Some((_, change)) = changes.next_if(|(at, _)| *at == now) {
            standing.apply(change);
        }
        let people = standing.people();
        match shifts.last_mut() {
            Some(last) if last.people == people => {}
            last => {
                if let Some(last) = last {
                    last.until = now;
                }
                shifts.push(Shift { from: now, until, people });
            }
        }
        match changes.peek() {
            Some((at, _)) => now = *at,
            None => return shifts,
        }
    }
}

/// Everything that begins or ends in `[from, until)`, in order. What has begun before begins at
/// `from`.
fn changes(duty: &Duty, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, Change)> {
    let mut changes = Vec::new();
    for (index, layer) in duty.schedule.layers.iter().enumerate() {
        for turn in layer.turns(duty.schedule.zone, from, until) {
            // Where one turn ends and another begins, the end is pushed first and stays first.
            changes.push((turn.from, Change::Layer(index, Some(turn.who))));
            changes.push((turn.until, Change::Layer(index, None)));
        }
    }
    for (index, window) in duty.windows.iter().enumerate() {
        if window.from.max(from) < window.until.min(until) {
            changes.push((window.from.max(from), Change::WindowBegins(index)));
            changes.push((window.until, Change::WindowEnds(index)));
        }
    }
    for (index, change) in duty.overrides.iter().enumerate() {
        if change.from.max(from) < change.until.min(until) {
            changes.push((change.from.max(from), Change::OverrideBegins(index)));
            changes.push((change.until, Change::OverrideEnds(index)));
        }
    }
    changes.retain(|(at, _)| *at < until);
    changes.sort_by_key(|(at, _)| *at);
    changes
}
