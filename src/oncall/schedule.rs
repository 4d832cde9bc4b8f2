//! A schedule: layers of rotations, one above the other.

use std::collections::HashSet;

use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};

use super::rotation::{Rotation, Turn, Unit};
use crate::{
    id::ContactId,
    wallclock::{Hours, Zone},
};

/// The most layers a schedule may have.
pub const MAX_LAYERS: usize = 20;
/// The most people a rotation may have, and an override.
pub const MAX_PARTICIPANTS: usize = 200;
/// The most restrictions a layer may have.
pub const MAX_RESTRICTIONS: usize = 50;
/// In which years a rotation may start.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

/// Who is on call when nothing else says so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// By whose clocks.
    pub zone: Zone,
    /// The first is the uppermost: it decides wherever it has somebody.
    pub layers: Vec<Layer>,
}

/// A rotation, and when it counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// What people call it.
    pub name: String,
    /// Who takes turns.
    pub rotation: Rotation,
    /// When it counts. None at all is always.
    #[serde(default)]
    pub restrictions: Vec<Hours>,
    /// The first instant at which it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
}

impl Schedule {
    /// What an operator must mend before this schedule can be used. Layers that overlap are no
    /// mistake: the upper one decides.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.layers.len() > MAX_LAYERS {
            mistakes.push(format!("there are {} layers, and {MAX_LAYERS} is the most", self.layers.len()));
        }
        let mut names = HashSet::new();
        for (index, layer) in self.layers.iter().enumerate() {
            if layer.name.trim().is_empty() {
                mistakes.push(format!("layer {}, counted from the top, has no name", index + 1));
            } else if !names.insert(&layer.name) {
                mistakes.push(format!("two layers are called \"{}\"", layer.name));
            }
            let wrong = layer.mistakes(self.zone).into_iter();
            mistakes.extend(wrong.map(|what| format!("layer \"{}\": {what}", layer.name)));
        }
        mistakes
    }

    /// Who has the duty by each layer that has somebody, from the top.
    pub(super) fn holders(&self, at: DateTime<Utc>) -> impl Iterator<Item = ContactId> {
        self.layers.iter().filter_map(move |layer| layer.holder(self.zone, at))
    }
}

impl Layer {
    fn holder(&self, zone: Zone, at: DateTime<Utc>) -> Option<ContactId> {
        let is_over = self.until.is_some_and(|until| until <= at);
        let counts = self.restrictions.is_empty() || self.restrictions.iter().any(|hours| hours.covers(zone, at));
        if is_over || !counts { None } else { self.rotation.holder(zone, at) }
    }

    /// Who has the duty by this layer from when until when, in order, cut to `[from, until)`.
    pub(super) fn turns(&self, zone: Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<Turn> {
        let until = self.until.map_or(until, |end| end.min(until));
        let turns = self.rotation.turns(zone, from, until);
        if self.restrictions.is_empty() {
            return turns;
        }
        let spans = self.counts(zone, from, until);
        let mut cut = Vec::new();
        // Both are in order and free of overlaps: whichever ends first is done with.
        let (mut turns, mut spans) = (turns.into_iter().peekable(), spans.into_iter().peekable());
        while let (Some(turn), Some((start, end))) = (turns.peek().copied(), spans.peek().copied()) {
            let both = Turn { who: turn.who, from: turn.from.max(start), until: turn.until.min(end) };
            if both.from < both.until {
                cut.push(both);
            }
            if turn.until <= end {
                turns.next();
            } else {
                spans.next();
            }
        }
        cut
    }

    /// When the restrictions let it count: in order, without overlaps.
    fn counts(&self, zone: Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<(DateTime<Utc>, DateTime<Utc>)> {
        let mut spans: Vec<_> = self.restrictions.iter().flat_map(|hours| hours.spans(zone, from, until)).collect();
        spans.sort_unstable();
        let mut merged: Vec<(DateTime<Utc>, DateTime<Utc>)> = Vec::new();
        for (start, end) in spans {
            match merged.last_mut() {
                Some((_, last)) if start <= *last => *last = end.max(*last),
                _ => merged.push((start, end)),
            }
        }
        merged
    }

    fn mistakes(&self, zone: Zone) -> Vec<String> {
        let Rotation { participants, start, every, unit } = &self.rotation;
        let mut mistakes = Vec::new();
        if participants.is_empty() {
            mistakes.push("nobody takes part".to_owned());
        }
        if participants.len() > MAX_PARTICIPANTS {
            mistakes.push(format!("{} people take part, and {MAX_PARTICIPANTS} is the most", participants.len()));
        }
        let (most, units) = match unit {
            Unit::Hours => (8784, "hours"),
            Unit::Days => (366, "days"),
            Unit::Weeks => (53, "weeks"),
        };
        if *every == 0 {
            mistakes.push(format!("its shifts are 0 {units} long"));
        }
        if *every > most {
            mistakes.push(format!("its shifts are {every} {units} long, and {most} is the most"));
        }
        if !YEARS.contains(&start.year()) {
            let (first, last) = (YEARS.start(), YEARS.end());
            mistakes.push(format!("it starts in the year {}, which is not between {first} and {last}", start.year()));
        }
        if let Some(until) = self.until.filter(|until| *until <= zone.instant(*start)) {
            let (end, start) = (zone.local(until).format("%F %T"), start.format("%F %T"));
            mistakes.push(format!("it ends at {end}, and starts only at {start}"));
        }
        if self.restrictions.len() > MAX_RESTRICTIONS {
            let number = self.restrictions.len();
            mistakes.push(format!("there are {number} restrictions, and {MAX_RESTRICTIONS} is the most"));
        }
        mistakes.extend(self.restrictions.iter().flat_map(Hours::mistakes));
        mistakes
    }
}
