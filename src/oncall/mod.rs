//! WHO IS ON CALL: schedules of layers, overrides and windows. Pure.
//!
//! At each instant there is exactly one set of people on call, possibly empty. The overrides decide
//! over the windows, the windows over the layers, and an upper layer over the ones below it. This
//! module knows no database, no telephone and no clock: it takes a [`Duty`] and an instant.
//!
//! # When the clocks change
//!
//! Shifts are handed over by the clock on the wall of the schedule's zone. A daily handoff at 09:00
//! is at 09:00 in summer and in winter, so one shift a year is an hour shorter and one an hour longer.
//!
//! - **The hour that is missing** in spring: what was to happen inside it happens at its end, when
//!   the clocks have jumped. A handoff at 02:30 is at 03:00 that night. Whoever's whole shift would
//!   have been inside that hour does not have one that day.
//! - **The hour that comes twice** in autumn: what is to happen inside it happens the first time, and
//!   not again. A handoff at 02:30 is at the first 02:30, and the new shift goes on through the second.
//!   In a rotation that hands over every hour, whoever has that hour has it twice, two hours on end.
//!
//! Nobody is called off by clocks that are put back: a shift that has begun goes on until it ends.

mod duty;
mod rotation;
mod schedule;
mod shifts;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use chrono::{DateTime, Utc};

pub use duty::{Duty, Override, OverrideKind, Window};
pub use rotation::{Rotation, Unit};
pub use schedule::{Layer, Schedule};
pub use shifts::{MAX_SPAN, Shift, SpanError, gaps, next_change, shifts};

use crate::id::ContactId;

/// The people on call at an instant, sorted, each once. Possibly nobody.
#[must_use]
pub fn on_call(duty: &Duty, at: DateTime<Utc>) -> Vec<ContactId> {
    let first_window = duty.windows.iter().filter(|window| window.covers(at)).min_by_key(|window| window.rank());
    let holder = first_window.map(|window| window.contact).or_else(|| duty.schedule.holders(at).next());
    decide(holder, overrides(duty, at).into_iter())
}

/// Whom to call first, second, and so on: the people on call, then those of the other windows in
/// their order, then those of the lower layers, each once.
///
/// Whoever an override has removed is not among them, unless a later one names them again. Whom a
/// `replace` has put out of the first place follows further down.
#[must_use]
pub fn order(duty: &Duty, at: DateTime<Utc>) -> Vec<ContactId> {
    let overrides = overrides(duty, at);
    let mut seen = HashSet::new();
    for change in &overrides {
        for person in &change.people {
            // Somebody removed has been seen already, as it were.
            match change.kind {
                OverrideKind::Remove => seen.insert(*person),
                OverrideKind::Add | OverrideKind::Replace => seen.remove(person),
            };
        }
    }
    let mut windows: Vec<&Window> = duty.windows.iter().filter(|window| window.covers(at)).collect();
    windows.sort_unstable_by_key(|window| window.rank());

    let backups = windows.into_iter().map(|window| window.contact).chain(duty.schedule.holders(at));
    on_call(duty, at).into_iter().chain(backups).filter(|person| seen.insert(*person)).collect()
}

/// The overrides of an instant, in the order in which they were made.
fn overrides(duty: &Duty, at: DateTime<Utc>) -> Vec<&Override> {
    let mut overrides: Vec<&Override> = duty.overrides.iter().filter(|change| change.covers(at)).collect();
    overrides.sort_unstable_by_key(|change| change.rank());
    overrides
}

/// What the overrides, in the order in which they were made, make of whoever has the duty.
fn decide<'a>(holder: Option<ContactId>, overrides: impl Iterator<Item = &'a Override>) -> Vec<ContactId> {
    let mut people = Vec::from_iter(holder);
    for change in overrides {
        match change.kind {
            OverrideKind::Add => people.extend(&change.people),
            OverrideKind::Replace => people.clone_from(&change.people),
            OverrideKind::Remove => people.retain(|person| !change.people.contains(person)),
        }
    }
    people.sort_unstable();
    people.dedup();
    people
}
