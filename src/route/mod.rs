//! WHICH WAY OUT, and whether at all: pure rules about numbers, capacity and causes.
//!
//! Knows no database and no Asterisk; what has been dialled and what came back are arguments.

pub mod cause;
pub mod destination;
pub mod turns;

use chrono::{DateTime, TimeDelta, Utc};

/// How much a route may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Calls at once, from the first `Originate` to the hangup.
    pub concurrent: u32,
    /// Calls placed within any second.
    pub per_second: u32,
}

impl Capacity {
    /// Calls at once that are kept for policies that have none up: a storm must not take every line. Whoever has
    /// fewer than four lines has none to spare.
    #[must_use]
    pub fn reserve(&self) -> u32 {
        if self.concurrent < 4 { 0 } else { self.concurrent.div_ceil(10) }
    }

    /// How many calls may be placed now, given how many are live and when the last ones were placed.
    #[must_use]
    pub fn free(&self, live: u32, placed: &[DateTime<Utc>], now: DateTime<Utc>) -> u32 {
        let second_ago = now - TimeDelta::seconds(1);
        let recent = placed.iter().filter(|at| **at > second_ago && **at <= now).count();
        let recent = u32::try_from(recent).unwrap_or(u32::MAX);
        self.concurrent.saturating_sub(live).min(self.per_second.saturating_sub(recent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_bounded_by_calls_at_once_and_by_calls_per_second() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid instant");
        let capacity = Capacity { concurrent: 10, per_second: 3 };
        assert_eq!(capacity.free(0, &[], now), 3);
        assert_eq!(capacity.free(9, &[], now), 1);
        assert_eq!(capacity.free(12, &[], now), 0);
        let placed = [now - TimeDelta::milliseconds(1000), now - TimeDelta::milliseconds(999), now];
        assert_eq!(capacity.free(2, &placed, now), 1);
        // A clock that was set back leaves instants in the future behind: they do not count.
        assert_eq!(capacity.free(0, &[now + TimeDelta::minutes(10); 5], now), 3);
        let reserves = [1, 3, 4, 10, 11, 150].map(|concurrent| Capacity { concurrent, per_second: 3 }.reserve());
        assert_eq!(reserves, [0, 0, 1, 1, 2, 15]);
    }
}
