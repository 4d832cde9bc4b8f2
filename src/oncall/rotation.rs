//! A rotation: people who take turns, by the clock on the wall.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{id::ContactId, wallclock::Zone};

/// People who take turns. Shift `k` belongs to participant `k` modulo their number, and begins when
/// the clock on the wall shows `start` plus `k` times the length of a shift. Before `start` it is
/// nobody's turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Who takes part, in the order of their turns. The same person may come more than once.
    pub participants: Vec<ContactId>,
    /// When the first shift begins, in local time.
    pub start: NaiveDateTime,
    /// After how many units it is the next one's turn, at least 1.
    pub every: u32,
    /// The unit.
    pub unit: Unit,
}

/// What the length of a shift is counted in: always by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Sixty minutes that the clock shows.
    Hours,
    /// From one time of day to the same on the next day.
    Days,
    /// From one time of day to the same on the same day of the next week.
    Weeks,
}

/// One shift, `[from, until)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub who: ContactId,
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Unit {
    fn seconds(self) -> i64 {
        match self {
            Self::Hours => 3600,
            Self::Days => 24 * 3600,
            Self::Weeks => 7 * 24 * 3600,
        }
    }
}

impl Rotation {
    /// Whose turn it is. Nobody's before the start, or if the rotation cannot turn (see
    /// [`super::Schedule::mistakes`]).
    #[must_use]
    pub fn holder(&self, zone: Zone, at: DateTime<Utc>) -> Option<ContactId> {
        self.participant(self.index(zone, at)?)
    }

    /// The shifts that touch `[from, until)`, in order, cut to it. Those that fall into a gap of
    /// the local time are not there.
    pub(super) fn turns(&self, zone: Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Turn> {
        let mut turns = Vec::new();
        if self.seconds() == 0 {
            return turns;
        }
        // The start may still be to come.
        let mut shift = self.index(zone, from).unwrap_or(0);
        let mut begins = self.handoff(zone, shift);
        while let Some(begun) = begins.filter(|begun| *begun < until) {
            let Some(who) = self.participant(shift) else { break };
            shift += 1;
            begins = self.handoff(zone, shift);
            let turn = Turn { who, from: begun.max(from), until: begins.map_or(until, |ends| ends.min(until)) };
            if turn.from < turn.until {
                turns.push(turn);
            }
        }
        turns
    }

    /// The length of a shift by the clock on the wall, in seconds.
    pub(super) fn seconds(&self) -> i64 {
        i64::from(self.every) * self.unit.seconds()
    }

    /// The shift that runs: the last one that has begun.
    fn index(&self, zone: Zone, at: DateTime<Utc>) -> Option<i64> {
        if self.seconds() == 0 || at < zone.instant(self.start) {
            return None;
        }
        // By what the clock shows now. It may have been put back since a shift began, hence later
        // ones may have begun; none that it shows can be still to come.
        let shown = zone.local(at).signed_duration_since(self.start).num_seconds();
        let mut shift = shown / self.seconds();
        while self.handoff(zone, shift + 1).is_some_and(|begins| begins <= at) {
            shift += 1;
        }
        Some(shift)
    }

    /// When a shift begins. None if that is beyond the end of time.
    fn handoff(&self, zone: Zone, shift: i64) -> Option<DateTime<Utc>> {
        let after = TimeDelta::try_seconds(self.seconds().checked_mul(shift)?)?;
        self.start.checked_add_signed(after).map(|local| zone.instant(local))
    }

    fn participant(&self, shift: i64) -> Option<ContactId> {
        let turn = usize::try_from(shift).ok()?.checked_rem(self.participants.len())?;
        self.participants.get(turn).copied()
    }
}
