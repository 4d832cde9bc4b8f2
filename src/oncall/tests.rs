use chrono::{NaiveDateTime, TimeDelta};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::{
    id::{OverrideId, WindowId},
    wallclock::{Hours, Zone},
};

mod oracle;
mod properties;
mod stories;
mod transitions;
mod words;

const ANN: ContactId = person(1);
const BEN: ContactId = person(2);
const CAT: ContactId = person(3);
const DAN: ContactId = person(4);

const fn person(number: u128) -> ContactId {
    ContactId(Uuid::from_u128(number))
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn local(text: &str) -> NaiveDateTime {
    text.parse().unwrap()
}

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn minutes(minutes: i64) -> TimeDelta {
    TimeDelta::minutes(minutes)
}

fn hours(json: &str) -> Hours {
    serde_json::from_str(json).unwrap()
}

/// Every day of the week, from a time of day to another.
fn daily(from: NaiveDateTime, to: NaiveDateTime) -> Hours {
    let (from, to) = (from.format("%H:%M"), to.format("%H:%M"));
    hours(&format!(r#"{{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"{from}","to":"{to}"}}"#))
}

fn layer(participants: &[ContactId], start: NaiveDateTime, every: u32, unit: Unit) -> Layer {
    let rotation = Rotation { participants: participants.to_vec(), start, every, unit };
    Layer { name: "a layer".into(), rotation, restrictions: vec![], until: None }
}

fn duty(zone: Zone, layers: Vec<Layer>) -> Duty {
    Duty { schedule: Schedule { zone, layers }, ..Duty::default() }
}

fn window(number: u128, contact: ContactId, from: DateTime<Utc>, until: DateTime<Utc>, priority: i32) -> Window {
    Window { id: WindowId(Uuid::from_u128(number)), contact, from, until, priority }
}

/// An override made as the `number`th.
fn change(number: u8, kind: OverrideKind, people: &[ContactId], from: DateTime<Utc>, until: DateTime<Utc>) -> Override {
    let id = OverrideId(Uuid::from_u128(100 - u128::from(number)));
    let made_at = utc("2026-01-01T00:00:00Z") + minutes(number.into());
    Override { id, kind, people: people.to_vec(), from, until, made_at }
}

/// The shift of an instant, among shifts that follow upon each other.
fn looked_up(shifts: &[Shift], at: DateTime<Utc>) -> &[ContactId] {
    let next = shifts.partition_point(|shift| shift.from <= at);
    let shift = &shifts[next - 1];
    assert!(shift.from <= at && at < shift.until, "{at} is not in {shift:?}");
    &shift.people
}

/// Shifts fill their span, and each differs from the one before.
fn assert_is_a_rota(shifts: &[Shift], from: DateTime<Utc>, until: DateTime<Utc>) {
    assert_eq!(shifts.first().map(|shift| shift.from), Some(from));
    assert_eq!(shifts.last().map(|shift| shift.until), Some(until));
    assert!(shifts.iter().all(|shift| shift.from < shift.until), "{shifts:?}");
    for pair in shifts.windows(2) {
        assert_eq!(pair[0].until, pair[1].from, "a hole or an overlap");
        assert_ne!(pair[0].people, pair[1].people, "{pair:?}");
    }
}
