//! Everything that decides who is on call: a schedule, and what goes before it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{MAX_SPAN, Schedule};
use crate::id::{ContactId, OverrideId, WindowId};

/// The most people in an override: every override that covers an instant is applied there again.
pub const MAX_IN_OVERRIDE: usize = 25;

/// Everything that decides who is on call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Duty {
    /// The layers.
    pub schedule: Schedule,
    /// What goes before the layers and the windows, in any order.
    pub overrides: Vec<Override>,
    /// What goes before the layers, in any order.
    pub windows: Vec<Window>,
}

/// A change for a span of time. Overrides apply in the order in which they were made, each to what
/// the ones before it have left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Its identifier. Of two made at the same instant, the smaller one applies first.
    pub id: OverrideId,
    /// What it does with its people.
    pub kind: OverrideKind,
    /// Whom it names.
    pub people: Vec<ContactId>,
    /// When it begins.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// When it was made.
    pub made_at: DateTime<Utc>,
}

/// What an override does with its people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// They are on call too.
    Add,
    /// They are on call and nobody else. Without people: nobody is, on purpose.
    Replace,
    /// They are not on call. Nobody takes their place.
    Remove,
}

/// A one-off span of duty of one person. Of several that cover an instant the lowest priority number
/// wins, then the earliest start, then the smallest identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its identifier.
    pub id: WindowId,
    /// Whose duty it is.
    pub contact: ContactId,
    /// When it begins.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// The lower, the sooner.
    pub priority: i32,
}

pub(super) type OverrideRank = (DateTime<Utc>, OverrideId);
pub(super) type WindowRank = (i32, DateTime<Utc>, WindowId);

impl Override {
    /// What an operator must mend before this override can be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::from_iter(reversed(self.from, self.until));
        if self.until.signed_duration_since(self.from) > MAX_SPAN {
            mistakes.push("it is longer than 3 years".to_owned());
        }
        if self.people.is_empty() {
            match self.kind {
                OverrideKind::Add => mistakes.push("it adds nobody".to_owned()),
                OverrideKind::Remove => mistakes.push("it removes nobody".to_owned()),
                OverrideKind::Replace => {}
            }
        }
        if self.people.len() > MAX_IN_OVERRIDE {
            mistakes.push(format!("it names {} people, and {MAX_IN_OVERRIDE} is the most", self.people.len()));
        }
        mistakes
    }

    pub(super) fn covers(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.until
    }

    /// The smaller one applies first.
    pub(super) fn rank(&self) -> OverrideRank {
        (self.made_at, self.id)
    }
}

impl Window {
    /// What an operator must mend before this window can be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        Vec::from_iter(reversed(self.from, self.until))
    }

    pub(super) fn covers(&self, at: DateTime<Utc>) -> bool {
        self.from <= at && at < self.until
    }

    /// The smallest one wins.
    pub(super) fn rank(&self) -> WindowRank {
        (self.priority, self.from, self.id)
    }
}

fn reversed(from: DateTime<Utc>, until: DateTime<Utc>) -> Option<String> {
    let (start, end) = (from.format("%F %T UTC"), until.format("%F %T UTC"));
    if until < from {
        Some(format!("it ends at {end}, before it starts at {start}"))
    } else if until == from {
        Some(format!("it ends when it starts, at {start}"))
    } else {
        None
    }
}
