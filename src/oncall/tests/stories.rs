//! Who is on call, told from case to case.

use super::{OverrideKind::*, *};

/// Ann, Ben and Cat by the week from Monday the 23rd of November 2026 at nine; above them Dan, on
/// weekdays from nine to five.
fn office() -> Duty {
    let json = format!(
        r#"{{"zone": "Europe/Rome", "layers": [
            {{"name": "day", "rotation": {{"participants": ["{DAN}"], "start": "2026-11-23T09:00:00", "every": 1, "unit": "days"}},
              "restrictions": [{{"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}}]}},
            {{"name": "week", "rotation": {{"participants": ["{ANN}", "{BEN}", "{CAT}"], "start": "2026-11-23T09:00:00", "every": 1, "unit": "weeks"}}}}
        ]}}"#
    );
    Duty { schedule: serde_json::from_str(&json).unwrap(), ..Duty::default() }
}

#[test]
fn the_upper_layer_decides_wherever_it_has_somebody() {
    let office = office();
    for (at, people) in [
        ("2026-11-23T07:59:59Z", vec![]),
        ("2026-11-23T08:00:00Z", vec![DAN, ANN]),
        ("2026-11-23T15:59:59Z", vec![DAN, ANN]),
        ("2026-11-23T16:00:00Z", vec![ANN]),
        ("2026-11-28T10:00:00Z", vec![ANN]),
        ("2026-11-30T07:59:59Z", vec![ANN]),
        ("2026-11-30T08:00:00Z", vec![DAN, BEN]),
        ("2026-12-07T16:00:00Z", vec![CAT]),
        ("2026-12-14T16:00:00Z", vec![ANN]),
        // At nine in summer as well, when it is seven by UTC.
        ("2027-06-14T06:59:59Z", vec![BEN]),
        ("2027-06-14T07:00:00Z", vec![DAN, CAT]),
    ] {
        let first: Vec<ContactId> = people.iter().copied().take(1).collect();
        assert_eq!(on_call(&office, utc(at)), first, "{at}");
        assert_eq!(order(&office, utc(at)), people, "{at}");
    }
}

#[test]
fn a_schedule_is_written_as_it_is_read() {
    let schedule = office().schedule;
    let written = serde_json::to_value(&schedule).unwrap();
    assert_eq!(written["layers"][1]["rotation"]["start"], "2026-11-23T09:00:00");
    assert_eq!(written["layers"][1]["rotation"]["unit"], "weeks");
    assert_eq!(written["layers"][1].get("until"), None);
    assert_eq!(serde_json::from_value::<Schedule>(written.clone()).unwrap(), schedule);
    // A misspelt key must not turn restrictions into none.
    let misspelt = written.to_string().replacen("restrictions", "restriction", 1);
    assert!(serde_json::from_str::<Schedule>(&misspelt).is_err());
    assert_eq!(serde_json::to_string(&[Add, Replace, Remove]).unwrap(), r#"["add","replace","remove"]"#);
}

#[test]
fn a_layer_that_is_over_leaves_the_duty_to_the_next() {
    let mut office = office();
    let until = utc("2026-11-24T10:00:00Z");
    office.schedule.layers[0].until = Some(until);
    assert_eq!(on_call(&office, until - minutes(1)), [DAN]);
    assert_eq!(on_call(&office, until), [ANN]);
}

#[test]
fn of_several_windows_the_lowest_number_then_the_earliest_start_then_the_identifier_wins() {
    let (from, hour) = (utc("2026-11-24T10:00:00Z"), minutes(60));
    let mut office = office();
    office.windows = vec![
        window(4, CAT, from - hour, from + hour, 2),
        window(3, BEN, from, from + hour, 1),
        window(2, ANN, from, from + hour, 1),
        window(1, CAT, from + minutes(10), from + hour, 1),
    ];
    assert_eq!(on_call(&office, from - hour - minutes(1)), [DAN]);
    assert_eq!(on_call(&office, from - hour), [CAT]);
    assert_eq!(order(&office, from + minutes(20)), [ANN, BEN, CAT, DAN]);
    office.windows.pop();
    office.windows.push(window(1, BEN, from - minutes(1), from + hour, 1));
    assert_eq!(order(&office, from + minutes(20)), [BEN, ANN, CAT, DAN]);
    assert_eq!(on_call(&office, from + hour - minutes(1)), [BEN]);
    assert_eq!(on_call(&office, from + hour), [DAN]);
}

#[test]
fn overrides_apply_in_the_order_in_which_they_were_made() {
    let (at, end) = (utc("2026-11-24T10:00:00Z"), utc("2026-11-24T11:00:00Z"));
    let on = |changes: &[(OverrideKind, &[ContactId])]| {
        let mut office = office();
        office.windows = vec![window(1, BEN, at, end, 0)];
        let made = (0u8..).zip(changes);
        office.overrides = made.map(|(n, (kind, people))| change(n, *kind, people, at, end)).collect();
        assert_eq!(on_call(&office, at - minutes(1)), [DAN], "not yet");
        assert_eq!(on_call(&office, end), [DAN], "not any more");
        office.overrides.reverse();
        (on_call(&office, at), order(&office, at))
    };
    assert_eq!(on(&[]), (vec![BEN], vec![BEN, DAN, ANN]));
    assert_eq!(on(&[(Add, &[ANN, BEN])]), (vec![ANN, BEN], vec![ANN, BEN, DAN]));
    assert_eq!(on(&[(Remove, &[BEN])]), (vec![], vec![DAN, ANN]));
    assert_eq!(on(&[(Remove, &[BEN, DAN])]), (vec![], vec![ANN]));
    assert_eq!(on(&[(Replace, &[CAT])]), (vec![CAT], vec![CAT, BEN, DAN, ANN]));
    assert_eq!(on(&[(Replace, &[])]), (vec![], vec![BEN, DAN, ANN]), "nobody, on purpose");
    assert_eq!(on(&[(Replace, &[]), (Add, &[CAT])]), (vec![CAT], vec![CAT, BEN, DAN, ANN]));
    assert_eq!(on(&[(Add, &[CAT]), (Replace, &[ANN])]), (vec![ANN], vec![ANN, BEN, DAN]));
    assert_eq!(on(&[(Add, &[CAT]), (Remove, &[CAT])]), (vec![BEN], vec![BEN, DAN, ANN]));
    assert_eq!(on(&[(Remove, &[BEN]), (Add, &[BEN])]), (vec![BEN], vec![BEN, DAN, ANN]));
    // Who is away stays away, whoever else takes the first place.
    assert_eq!(on(&[(Remove, &[DAN]), (Replace, &[CAT])]), (vec![CAT], vec![CAT, BEN, ANN]));
}

/// The same two overrides, told apart by their identifiers alone.
#[test]
fn of_two_overrides_made_at_once_the_smaller_identifier_applies_first() {
    let (at, end) = (utc("2026-11-24T10:00:00Z"), utc("2026-11-24T11:00:00Z"));
    let mut office = office();
    let made_at = at;
    let with_id = |id, change: Override| Override { id: OverrideId(Uuid::from_u128(id)), made_at, ..change };
    let (to_cat, to_ben) = (change(0, Replace, &[CAT], at, end), change(0, Replace, &[BEN], at, end));
    for (cat, ben, last) in [(1, 2, BEN), (2, 1, CAT)] {
        office.overrides = vec![with_id(cat, to_cat.clone()), with_id(ben, to_ben.clone())];
        assert_eq!(on_call(&office, at), [last]);
        assert_eq!(shifts(&office, at, end).unwrap().len(), 1);
        assert_eq!(shifts(&office, at, end).unwrap()[0].people, [last]);
    }
}

/// An hourly rotation of three in Rome: two to three does not exist in spring and comes twice in
/// autumn.
#[test]
fn whose_hour_is_missing_has_none_and_whose_hour_comes_twice_has_two() {
    let night =
        |start: &str| duty(zone("Europe/Rome"), vec![layer(&[ANN, BEN, CAT, DAN], local(start), 1, Unit::Hours)]);
    let rota = |duty: &Duty, from: &str, until: &str| -> Vec<(ContactId, i64)> {
        let shifts = shifts(duty, utc(from), utc(until)).unwrap();
        shifts.iter().map(|shift| (shift.people[0], (shift.until - shift.from).num_minutes())).collect()
    };
    let spring = night("2026-03-29T00:00:00");
    let said = rota(&spring, "2026-03-28T23:00:00Z", "2026-03-29T03:00:00Z");
    assert_eq!(said, [(ANN, 60), (BEN, 60), (DAN, 60), (ANN, 60)]);
    let autumn = night("2026-10-25T00:00:00");
    let said = rota(&autumn, "2026-10-24T22:00:00Z", "2026-10-25T04:00:00Z");
    assert_eq!(said, [(ANN, 60), (BEN, 60), (CAT, 120), (DAN, 60), (ANN, 60)]);
}

#[test]
fn a_handoff_in_the_missing_hour_is_at_its_end_and_one_in_the_doubled_hour_the_first_time() {
    for (start, handoff) in
        [("2026-03-28T02:30:00", "2026-03-29T01:00:00Z"), ("2026-10-24T02:30:00", "2026-10-25T00:30:00Z")]
    {
        let duty = duty(zone("Europe/Rome"), vec![layer(&[ANN, BEN], local(start), 1, Unit::Days)]);
        let handoff = utc(handoff);
        assert_eq!(on_call(&duty, handoff - minutes(1)), [ANN]);
        for minute in 0..180 {
            assert_eq!(on_call(&duty, handoff + minutes(minute)), [BEN], "{minute}");
        }
        let said = next_change(&duty, handoff - minutes(600), TimeDelta::days(1));
        assert_eq!(said, Some((handoff, vec![BEN])));
    }
}

#[test]
fn after_a_hundred_years_of_hours_it_is_still_known_at_once() {
    let start = local("2026-11-23T00:00:00");
    for name in ["UTC", "Europe/Rome", "Australia/Lord_Howe"] {
        let people: Vec<ContactId> = (1..=7).map(person).collect();
        let duty = duty(zone(name), vec![layer(&people, start, 1, Unit::Hours)]);
        for hours in [876_581, 876_582 + 24 * 180] {
            let shown = start + minutes(60 * hours) + minutes(30);
            let at = zone(name).instant(shown);
            let whose = people[usize::try_from(hours % 7).unwrap()];
            assert_eq!(on_call(&duty, at), [whose], "{name} {shown}");
            let shift = shifts(&duty, at, at + minutes(120)).unwrap();
            assert_eq!((shift[0].until, &shift[0].people[..]), (at + minutes(30), &[whose][..]), "{name} {shown}");
        }
    }
}

#[test]
fn spans_that_are_reversed_or_too_long_are_refused_and_an_empty_one_is_empty() {
    let (office, at) = (office(), utc("2026-11-23T00:00:00Z"));
    let second = TimeDelta::seconds(1);
    assert_eq!(shifts(&office, at, at - second), Err(SpanError::Reversed));
    assert_eq!(shifts(&office, at, at + MAX_SPAN + second), Err(SpanError::TooLong));
    assert_eq!(gaps(&office, at, at - second), Err(SpanError::Reversed));
    assert_eq!(shifts(&office, at, at), Ok(vec![]));
    assert!(shifts(&office, at, at + MAX_SPAN).is_ok());
    assert_eq!(SpanError::Reversed.to_string(), "the span ends before it begins");
    assert_eq!(SpanError::TooLong.to_string(), "the span is longer than 3 years");
}

#[test]
fn gaps_are_shown() {
    let mut office = office();
    office.schedule.layers.pop();
    let (from, until) = (utc("2026-11-27T12:00:00Z"), utc("2026-12-01T08:00:00Z"));
    let said = gaps(&office, from, until).unwrap();
    let spans: Vec<_> = said.iter().map(|gap| (gap.from, gap.until)).collect();
    let day = (utc("2026-11-30T16:00:00Z"), until);
    assert_eq!(spans, [(utc("2026-11-27T16:00:00Z"), utc("2026-11-30T08:00:00Z")), day]);
    assert!(said.iter().all(|gap| gap.people.is_empty()));
}

#[test]
fn the_next_change_is_found_far_ahead_and_not_beyond_the_horizon() {
    let mut office = office();
    office.schedule.layers.remove(0);
    office.schedule.layers[0].rotation.participants = vec![ANN];
    let at = utc("2026-11-24T00:00:00Z");
    assert_eq!(next_change(&office, at, TimeDelta::MAX), None, "always Ann");
    // A day ahead is as far as it looks at first.
    let day = at + TimeDelta::days(1);
    office.overrides = vec![change(0, Remove, &[ANN], day, day + minutes(1))];
    assert_eq!(next_change(&office, at, TimeDelta::MAX), Some((day, vec![])));
    let far = at + TimeDelta::days(1000);
    office.overrides = vec![change(0, Remove, &[ANN], far, far + minutes(1))];
    assert_eq!(next_change(&office, at, TimeDelta::MAX), Some((far, vec![])));
    assert_eq!(next_change(&office, at, TimeDelta::days(1000)), None);
    assert_eq!(next_change(&office, at, TimeDelta::days(1000) + minutes(1)), Some((far, vec![])));
    assert_eq!(next_change(&office, far, TimeDelta::days(1)), Some((far + minutes(1), vec![ANN])));
    assert_eq!(next_change(&office, at, TimeDelta::days(-1)), None);
}

/// A rotation that cannot turn has nobody on call, at any time there is; it does not hang.
#[test]
fn mistaken_schedules_and_the_ends_of_time_are_survived() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    for start in [NaiveDateTime::MIN, local("2026-11-23T09:00:00"), NaiveDateTime::MAX] {
        for (every, people) in [(0, &[ANN][..]), (1, &[]), (u32::MAX, &[ANN, BEN]), (1, &[ANN, BEN])] {
            for unit in [Unit::Hours, Unit::Weeks] {
                let duty = duty(zone("Asia/Tokyo"), vec![layer(people, start, every, unit)]);
                for at in [first, utc("2026-11-24T00:00:00Z"), last - minutes(600), last] {
                    let said = on_call(&duty, at);
                    let turns = every > 0 && !people.is_empty();
                    assert!(said.is_empty() || turns, "{said:?}");
                    let until = at.checked_add_signed(TimeDelta::days(1)).unwrap_or(last);
                    let shifts = shifts(&duty, at, until).unwrap();
                    assert!(at == until || shifts[0].people == said, "{shifts:?}");
                    let next = next_change(&duty, at, TimeDelta::MAX);
                    assert!(next.is_none_or(|(next, _)| next > at));
                }
            }
        }
    }
}

/// Twenty thousand windows and five layers: a year is a matter of milliseconds, and so is each of
/// its instants. The bound is far above what an unoptimised build takes and far below what looking
/// at every window at every edge would.
#[test]
fn a_year_of_twenty_thousand_windows() {
    let from = utc("2026-11-23T00:00:00Z");
    let until = from + TimeDelta::days(365);
    let mut office = office();
    let start = local("2026-11-01T00:00:00");
    office.schedule.layers.insert(
        0,
        Layer {
            restrictions: vec![daily(local("2026-01-01T01:00:00"), local("2026-01-01T05:00:00"))],
            ..layer(&[ANN, BEN, CAT], start, 1, Unit::Hours)
        },
    );
    office.schedule.layers.push(layer(&[ANN, BEN], start, 12, Unit::Hours));
    office.schedule.layers.push(layer(&[CAT, DAN], start, 1, Unit::Hours));
    let bare = std::time::Instant::now();
    let few = shifts(&office, from, until).unwrap().len();
    let bare = bare.elapsed();
    // Each 40 minutes long, one beginning every 26.
    office.windows = (0..20_000u32)
        .map(|n| {
            let begins = from + minutes(26 * i64::from(n));
            let who = person(u128::from(n % 11 + 1));
            window(n.into(), who, begins, begins + minutes(40), i32::try_from(n % 3).unwrap())
        })
        .collect();
    let many = std::time::Instant::now();
    let shifts = shifts(&office, from, until).unwrap();
    let many = many.elapsed();
    eprintln!("five layers: {few} shifts in {bare:?}; with 20,000 windows: {} in {many:?}", shifts.len());
    assert_is_a_rota(&shifts, from, until);
    assert!(few > 1500 && shifts.len() > 15_000, "{few} {}", shifts.len());
    assert!(bare.as_millis() < 2000 && many.as_millis() < 4000, "{bare:?} {many:?}");
    for shift in shifts.iter().step_by(400) {
        assert_eq!(on_call(&office, shift.from), shift.people);
    }
}
