//! What time it is. The only place that asks the system.
//!
//! Everything that decides takes `now` as an argument; whoever acts holds a [`Clock`].

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

/// A source of the present instant.
#[derive(Clone, Debug, Default)]
pub enum Clock {
    /// The machine's clock.
    #[default]
    System,
    /// A clock that stands still until it is moved: for tests in which hours pass.
    Manual(Arc<Mutex<DateTime<Utc>>>),
}

impl Clock {
    /// A clock that shows `at` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(at: DateTime<Utc>) -> Self {
        Self::Manual(Arc::new(Mutex::new(at)))
    }

    /// The present instant, in whole microseconds: what both databases can hold.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match self {
            Self::System => {
                #[expect(clippy::disallowed_methods, reason = "the one place that asks the system for the time")]
                let now = Utc::now();
                whole_microseconds(now)
            }
            Self::Manual(at) => *at.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Moves a manual clock. The system's clock is not ours to move: a call on it changes nothing.
    pub fn advance(&self, by: TimeDelta) {
        if let Self::Manual(at) = self {
            *at.lock().unwrap_or_else(PoisonError::into_inner) += by;
        }
    }
}

fn whole_microseconds(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}
