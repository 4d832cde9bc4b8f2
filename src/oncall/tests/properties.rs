//! What holds whatever the schedule, the overrides, the windows and the clocks.

use super::{oracle::agree, *};

/// Changes of the clocks of every kind, and a day without any.
const CHANGES: [(&str, &str); 9] = [
    ("Europe/Rome", "2026-03-29T01:00:00Z"),
    ("Europe/Rome", "2026-10-25T01:00:00Z"),
    ("America/New_York", "2026-11-01T06:00:00Z"),
    ("America/Havana", "2026-03-08T05:00:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
    ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
    ("Antarctica/Troll", "2026-10-25T01:00:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00:00Z"),
    ("Asia/Kolkata", "2026-08-01T00:00:00Z"),
];

fn someone() -> impl Strategy<Value = ContactId> {
    (1..6u128).prop_map(person)
}

fn quarters(range: std::ops::Range<i64>) -> impl Strategy<Value = TimeDelta> {
    range.prop_map(|quarters| minutes(15 * quarters))
}

fn some_hours() -> impl Strategy<Value = Hours> {
    let days = prop::collection::vec(0..7u8, 1..7);
    (days, quarters(0..96), quarters(0..96)).prop_map(|(days, from, to)| Hours {
        days: days.into_iter().map(|day| chrono::Weekday::try_from(day).unwrap().into()).collect(),
        from: chrono::NaiveTime::MIN + from,
        to: chrono::NaiveTime::MIN + to,
    })
}

/// A layer that starts up to eight days before an instant, or up to a day after it.
fn some_layer(around: NaiveDateTime, at: DateTime<Utc>) -> impl Strategy<Value = Layer> {
    let every = prop_oneof![
        (1..30u32).prop_map(|every| (every, Unit::Hours)),
        (1..4u32).prop_map(|every| (every, Unit::Days)),
        (1..3u32).prop_map(|every| (every, Unit::Weeks)),
    ];
    let until = prop::option::weighted(0.2, quarters(-150..150));
    (
        prop::collection::vec(someone(), 1..5),
        quarters(-800..100),
        every,
        prop::collection::vec(some_hours(), 0..3),
        until,
    )
        .prop_map(move |(participants, start, (every, unit), restrictions, until)| Layer {
            restrictions,
            until: until.map(|until| at + until),
            ..layer(&participants, around + start, every, unit)
        })
}

/// Few made at different times, so that the identifier decides as well.
fn some_override(at: DateTime<Utc>) -> impl Strategy<Value = Override> {
    let kind = prop::sample::select(vec![OverrideKind::Add, OverrideKind::Replace, OverrideKind::Remove]);
    (kind, prop::collection::vec(someone(), 0..4), quarters(-200..200), quarters(0..200), 0..3i64, 1..100u128).prop_map(
        move |(kind, people, from, length, made, id)| Override {
            id: OverrideId(Uuid::from_u128(id)),
            kind,
            people,
            from: at + from,
            until: at + from + length,
            made_at: at + minutes(made),
        },
    )
}

fn some_window(at: DateTime<Utc>) -> impl Strategy<Value = Window> {
    (someone(), quarters(-200..200), quarters(0..150), -1..2i32, 1..100u128).prop_map(
        move |(contact, from, length, priority, id)| window(id, contact, at + from, at + from + length, priority),
    )
}

/// Anything at all around a change of the clocks.
fn some_duty() -> impl Strategy<Value = (Duty, DateTime<Utc>)> {
    prop::sample::select(&CHANGES[..]).prop_flat_map(|(name, at)| {
        let (zone, at) = (zone(name), utc(at));
        let layers = prop::collection::vec(some_layer(zone.local(at), at), 0..4);
        let overrides = prop::collection::vec(some_override(at), 0..6);
        let windows = prop::collection::vec(some_window(at), 0..6);
        (layers, overrides, windows).prop_map(move |(layers, overrides, windows)| {
            // Two things with one identifier cannot be told apart.
            let mut ids = HashSet::new();
            let overrides = overrides.into_iter().filter(|change| ids.insert(change.id.0)).collect();
            let windows = windows.into_iter().filter(|window| ids.insert(window.id.0)).collect();
            (Duty { schedule: Schedule { zone, layers }, overrides, windows }, at)
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_watchman_says_the_same((duty, at) in some_duty()) {
        agree(&duty, at - TimeDelta::days(2), at + TimeDelta::days(2), |minute| minute % 4 == 0);
    }

    /// However a span is cut, its parts say what the whole says.
    #[test]
    fn parts_say_what_the_whole_says((duty, at) in some_duty(), a in quarters(-190..190), b in quarters(-190..190), odd in 0..900i64) {
        let (from, until) = (at - TimeDelta::days(2), at + TimeDelta::days(2));
        let whole = shifts(&duty, from, until).unwrap();
        let (a, b) = (at + a.min(b), at + a.max(b) + TimeDelta::seconds(odd));
        let part = shifts(&duty, a, b).unwrap();
        if a == b {
            prop_assert!(part.is_empty());
            return Ok(());
        }
        assert_is_a_rota(&part, a, b);
        for shift in &part {
            prop_assert_eq!(looked_up(&whole, shift.from), &shift.people);
        }
        let inside = whole.iter().filter(|shift| shift.from < b && a < shift.until).count();
        prop_assert_eq!(part.len(), inside);

        let nobody: Vec<Shift> = part.into_iter().filter(|shift| shift.people.is_empty()).collect();
        prop_assert_eq!(gaps(&duty, a, b).unwrap(), nobody);
    }

    #[test]
    fn the_next_change_is_the_next_shift((duty, at) in some_duty(), after in quarters(-400..400), days in 0..40i64) {
        let (after, horizon) = (at + after, TimeDelta::days(days));
        let shifts = shifts(&duty, after, after + horizon).unwrap();
        let next = shifts.get(1).map(|shift| (shift.from, shift.people.clone()));
        prop_assert_eq!(next_change(&duty, after, horizon), next);
    }

    #[test]
    fn the_order_begins_with_whoever_is_on_call_and_names_nobody_twice((duty, at) in some_duty(), after in quarters(-200..200)) {
        let (on_call, order) = (on_call(&duty, at + after), order(&duty, at + after));
        prop_assert!(order.starts_with(&on_call));
        prop_assert!(on_call.is_sorted_by(|a, b| a < b));
        let each: HashSet<_> = order.iter().collect();
        prop_assert_eq!(each.len(), order.len());
    }

    /// The order in which overrides and windows are given says nothing.
    #[test]
    fn what_lies_in_which_order_is_the_same((duty, at) in some_duty(), after in quarters(-200..200)) {
        let mut turned = duty.clone();
        turned.overrides.reverse();
        turned.windows.reverse();
        prop_assert_eq!(order(&turned, at + after), order(&duty, at + after));
        let span = (at - TimeDelta::days(2), at + TimeDelta::days(2));
        prop_assert_eq!(shifts(&turned, span.0, span.1), shifts(&duty, span.0, span.1));
    }
}
