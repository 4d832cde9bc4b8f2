//! Every change of the clocks that is to come, in every zone there is.

use std::collections::HashSet;

use chrono::{Datelike, Offset, TimeZone, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::{oracle::agree, *};

/// The clocks of a zone change.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    pub zone: Zone,
    pub at: DateTime<Utc>,
    /// What they are ahead of UTC before and after it.
    pub before: TimeDelta,
    pub after: TimeDelta,
}

fn ahead(tz: Tz, at: DateTime<Utc>) -> TimeDelta {
    TimeDelta::seconds(tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc().into())
}

/// All changes of the clocks from 2020 to 2040 in all zones. Of those that happen at the same
/// instant, from the same offset to the same offset, and with the same offsets six days before and
/// after, one is kept: within these days the zones cannot be told apart.
pub fn transitions() -> Vec<Transition> {
    let (mut found, mut known) = (vec![], HashSet::new());
    for tz in TZ_VARIANTS {
        let (mut day, last) = (utc("2020-01-01T00:00:00Z"), utc("2041-01-01T00:00:00Z"));
        while day < last {
            let (mut same, mut other) = (day, day + TimeDelta::days(2));
            day = other;
            let (before, after) = (ahead(tz, same), ahead(tz, other));
            if before == after {
                continue;
            }
            while other - same > TimeDelta::seconds(1) {
                let middle = same + TimeDelta::seconds((other - same).num_seconds() / 2);
                if ahead(tz, middle) == before { same = middle } else { other = middle }
            }
            let around = [-6, 6].map(|days| ahead(tz, other + TimeDelta::days(days)));
            if known.insert((other, before, after, around)) {
                found.push(Transition { zone: zone(tz.name()), at: other, before, after });
            }
        }
    }
    found
}

/// Schedules that begin, hand over and end in the hour that is missing or comes twice.
fn schedules(change: &Transition) -> Vec<Duty> {
    let (one, other) = (change.at.naive_utc() + change.before, change.at.naive_utc() + change.after);
    let (first, last) = (one.min(other), one.max(other));
    let middle = first + (last - first) / 2;
    let (a, b, c) = (&[ANN, BEN, CAT][..], &[DAN, ANN][..], &[BEN][..]);
    let days = TimeDelta::days;
    let weekly = |restrictions| Layer { restrictions, ..layer(a, first - days(17), 1, Unit::Weeks) };
    vec![
        // Every hour, on the hour and not.
        duty(change.zone, vec![layer(a, first.with_minute(0).unwrap() - days(5), 1, Unit::Hours)]),
        duty(change.zone, vec![layer(a, middle - days(1) - minutes(7), 1, Unit::Hours)]),
        // Every day, inside the odd hour, as it begins and as it ends.
        duty(change.zone, vec![layer(b, middle - days(9), 1, Unit::Days)]),
        duty(
            change.zone,
            vec![
                Layer { restrictions: vec![daily(last, first)], ..layer(b, first - days(1), 1, Unit::Days) },
                layer(a, last - days(1), 1, Unit::Days),
            ],
        ),
        // Every week, with hours that begin and end inside, and a night over it.
        duty(
            change.zone,
            vec![
                weekly(vec![daily(middle, middle + minutes(300)), daily(middle - minutes(500), middle - minutes(200))]),
                Layer { restrictions: vec![daily(middle - minutes(300), middle)], ..layer(b, middle, 1, Unit::Days) },
                Layer {
                    restrictions: vec![daily(middle - minutes(1), middle)],
                    ..layer(c, middle - days(8), 1, Unit::Weeks)
                },
            ],
        ),
        duty(
            change.zone,
            vec![
                Layer {
                    restrictions: vec![daily(local("2026-01-01T22:00:00"), middle)],
                    ..layer(a, last, 12, Unit::Hours)
                },
                Layer { until: Some(change.at + minutes(20)), ..layer(b, middle - minutes(600), 5, Unit::Hours) },
            ],
        ),
    ]
}

/// Every change: five hours to each side. Every change that differs from all others in its offsets,
/// its local time of day or its day of the week: two days to each side. [`shifts`] is looked up
/// at every minute of that, [`on_call`] asked around every handoff and every eleventh minute, and
/// every minute of the four hours around such a change.
#[test]
fn every_change_of_the_clocks_from_2020_to_2040() {
    let transitions = transitions();
    let mut shapes = HashSet::new();
    for change in &transitions {
        let clock = change.at.naive_utc() + change.before;
        let is_new = shapes.insert((change.before, change.after, clock.time(), clock.weekday()));
        let around = minutes(if is_new { 2 * 1440 } else { 300 });
        let near = around.num_minutes() - 120..around.num_minutes() + 120;
        for duty in schedules(change) {
            let ask = |minute| minute % 11 == 0 || (is_new && near.contains(&minute));
            agree(&duty, change.at - around, change.at + around, ask);
        }
    }
    assert!(transitions.len() > 1000 && shapes.len() > 60, "{} {}", transitions.len(), shapes.len());
}

/// Half an hour in Lord Howe, and the 30th of December 2011, which Samoa did not have.
#[test]
fn half_an_hour_and_a_whole_day() {
    let change = |name, at: &str, before: i64, after: i64| Transition {
        zone: zone(name),
        at: utc(at),
        before: minutes(before),
        after: minutes(after),
    };
    for change in [
        change("Australia/Lord_Howe", "2026-10-03T15:30:00Z", 630, 660),
        change("Australia/Lord_Howe", "2026-04-04T15:00:00Z", 660, 630),
        change("Pacific/Apia", "2011-12-30T10:00:00Z", -600, 840),
    ] {
        let tz: Tz = change.zone.to_string().parse().unwrap();
        assert_eq!(ahead(tz, change.at - minutes(1)), change.before);
        assert_eq!(ahead(tz, change.at), change.after);
        for duty in schedules(&change) {
            agree(&duty, change.at - TimeDelta::days(3), change.at + TimeDelta::days(3), |_| true);
        }
    }
}
