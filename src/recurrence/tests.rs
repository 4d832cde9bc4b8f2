//! What comes again when, checked against walking day by day.

use std::time::{Duration, Instant};

use chrono::LocalResult;
use chrono_tz::Europe::Rome;
use proptest::{collection::btree_set, prelude::*, sample::select};

use super::*;

fn rule(text: &str) -> Recurrence {
    Recurrence::new(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a local time")
}

fn utc(text: &str) -> DateTime<Utc> {
    local(text).and_utc()
}

/// A missing local time is the first instant after the gap, a doubled one the first of the two.
fn in_rome(local: NaiveDateTime) -> DateTime<Utc> {
    match local.and_local_timezone(Rome) {
        LocalResult::Single(at) | LocalResult::Ambiguous(at, _) => at.to_utc(),
        // The only gaps that these tests meet are from 2:00 to 3:00.
        LocalResult::None => in_rome(local.date().and_hms_opt(3, 0, 0).expect("a time")),
    }
}

/// The first occurrences after the start's day began, as local times without seconds.
fn first(text: &str, start: &str, count: usize) -> Vec<String> {
    let from = local(start).and_utc() - TimeDelta::days(2);
    let found = rule(text).between(local(start), |at| at.and_utc(), from, DateTime::<Utc>::MAX_UTC, count);
    found.iter().map(|at| at.format("%Y-%m-%d %H:%M").to_string()).collect()
}

#[test]
fn rules_are_expanded_as_the_rfc_says() {
    for (text, start, expected) in [
        ("FREQ=DAILY", "2026-01-02 09:00", ["2026-01-02 09:00", "2026-01-03 09:00", "2026-01-04 09:00"]),
        ("FREQ=DAILY;INTERVAL=10", "2026-01-02 09:00", ["2026-01-02 09:00", "2026-01-12 09:00", "2026-01-22 09:00"]),
        ("FREQ=DAILY;BYHOUR=8,20", "2026-01-02 09:30", ["2026-01-02 20:30", "2026-01-03 08:30", "2026-01-03 20:30"]),
        ("FREQ=HOURLY;INTERVAL=6", "2026-01-02 09:00", ["2026-01-02 09:00", "2026-01-02 15:00", "2026-01-02 21:00"]),
        // 2 January 2026 is a Friday.
        ("FREQ=WEEKLY", "2026-01-02 09:00", ["2026-01-02 09:00", "2026-01-09 09:00", "2026-01-16 09:00"]),
        ("FREQ=WEEKLY;BYDAY=MO,SA", "2026-01-02 09:00", ["2026-01-03 09:00", "2026-01-05 09:00", "2026-01-10 09:00"]),
        (
            "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR",
            "2026-01-02 09:00",
            ["2026-01-02 09:00", "2026-01-12 09:00", "2026-01-16 09:00"],
        ),
        (
            "FREQ=WEEKLY;INTERVAL=2;WKST=SU;BYDAY=SU,FR",
            "2026-01-02 09:00",
            ["2026-01-02 09:00", "2026-01-11 09:00", "2026-01-16 09:00"],
        ),
        // The first of the week's two days is the Monday, in the first week too.
        (
            "FREQ=WEEKLY;BYDAY=MO,FR;BYSETPOS=1",
            "2026-01-02 09:00",
            ["2026-01-05 09:00", "2026-01-12 09:00", "2026-01-19 09:00"],
        ),
        ("FREQ=MONTHLY", "2026-01-31 09:00", ["2026-01-31 09:00", "2026-03-31 09:00", "2026-05-31 09:00"]),
        (
            "FREQ=MONTHLY;BYMONTHDAY=-1",
            "2026-01-15 09:00",
            ["2026-01-31 09:00", "2026-02-28 09:00", "2026-03-31 09:00"],
        ),
        ("FREQ=MONTHLY;BYDAY=1MO", "2026-01-15 09:00", ["2026-02-02 09:00", "2026-03-02 09:00", "2026-04-06 09:00"]),
        ("FREQ=MONTHLY;BYDAY=-1FR", "2026-01-15 09:00", ["2026-01-30 09:00", "2026-02-27 09:00", "2026-03-27 09:00"]),
        (
            "FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1",
            "2026-01-15 09:00",
            ["2026-01-30 09:00", "2026-02-27 09:00", "2026-03-31 09:00"],
        ),
        ("FREQ=MONTHLY;INTERVAL=5", "2026-01-15 09:00", ["2026-01-15 09:00", "2026-06-15 09:00", "2026-11-15 09:00"]),
        ("FREQ=YEARLY", "2024-02-29 09:00", ["2024-02-29 09:00", "2028-02-29 09:00", "2032-02-29 09:00"]),
        ("FREQ=YEARLY;BYMONTH=3,9", "2026-04-10 09:00", ["2026-09-10 09:00", "2027-03-10 09:00", "2027-09-10 09:00"]),
        ("FREQ=YEARLY;BYYEARDAY=-1", "2026-04-10 09:00", ["2026-12-31 09:00", "2027-12-31 09:00", "2028-12-31 09:00"]),
        (
            "FREQ=YEARLY;BYMONTH=11;BYDAY=4TH",
            "2026-01-01 09:00",
            ["2026-11-26 09:00", "2027-11-25 09:00", "2028-11-23 09:00"],
        ),
    ] {
        assert_eq!(first(text, start, 3), expected, "{text}");
    }
}

#[test]
fn count_and_until_end_it() {
    let until = |text| first(text, "2026-01-02 09:00", 100);
    assert_eq!(until("FREQ=DAILY;COUNT=2"), ["2026-01-02 09:00", "2026-01-03 09:00"]);
    // What would have been before the start in its first week is not counted.
    assert_eq!(until("FREQ=WEEKLY;BYDAY=TH,SA;COUNT=2"), ["2026-01-03 09:00", "2026-01-08 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260103"), ["2026-01-02 09:00", "2026-01-03 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260103T090000"), ["2026-01-02 09:00", "2026-01-03 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260103T085959"), ["2026-01-02 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260103T090000Z"), ["2026-01-02 09:00", "2026-01-03 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260103T085959Z"), ["2026-01-02 09:00"]);
    assert_eq!(until("FREQ=DAILY;UNTIL=20260101"), Vec::<String>::new());

    // A local end is local, and an instant is an instant: 9:00 in Rome is 8:00 UTC.
    let rome = |text| {
        rule(text).between(local("2026-01-02 09:00"), in_rome, utc("2026-01-01 00:00"), utc("2027-01-01 00:00"), 9)
    };
    assert_eq!(rome("FREQ=DAILY;UNTIL=20260103T090000").len(), 2);
    assert_eq!(rome("FREQ=DAILY;UNTIL=20260103T080000Z").len(), 2);
    assert_eq!(rome("FREQ=DAILY;UNTIL=20260103T075959Z").len(), 1);

    // Long after the beginning a count still counts from there.
    let last = utc("2026-01-02 09:00") + TimeDelta::days(999);
    let counted = rule("FREQ=DAILY;COUNT=1000");
    let next = |after| counted.next_after(local("2026-01-02 09:00"), |at| at.and_utc(), after);
    assert_eq!(next(last - TimeDelta::seconds(1)), Some(last));
    assert_eq!(next(last), None);
}

#[test]
fn next_is_later_and_the_start_is_the_first() {
    let weekly = rule("FREQ=WEEKLY");
    let next = |after| weekly.next_after(local("2026-01-02 09:00"), in_rome, utc(after));
    assert_eq!(next("1999-01-01 00:00"), Some(utc("2026-01-02 08:00")));
    assert_eq!(next("2026-01-02 07:59"), Some(utc("2026-01-02 08:00")));
    assert_eq!(next("2026-01-02 08:00"), Some(utc("2026-01-09 08:00")));
    assert_eq!(next("2026-07-01 00:00"), Some(utc("2026-07-03 07:00")));
    // Seconds are kept, what is finer than they is not.
    let start = local("2026-01-02 09:00") + TimeDelta::milliseconds(7_900);
    let found = weekly.next_after(start, |at| at.and_utc(), utc("2026-01-01 00:00"));
    assert_eq!(found, Some(utc("2026-01-02 09:00") + TimeDelta::seconds(7)));

    let between = |from, until, limit| weekly.between(local("2026-01-02 09:00"), in_rome, utc(from), utc(until), limit);
    assert_eq!(between("2026-01-02 08:00", "2026-01-16 08:00", 9), [utc("2026-01-02 08:00"), utc("2026-01-09 08:00")]);
    assert_eq!(between("2026-01-02 08:01", "2026-01-16 08:01", 9), [utc("2026-01-09 08:00"), utc("2026-01-16 08:00")]);
    assert_eq!(between("2026-01-02 08:01", "2026-01-16 08:01", 1), [utc("2026-01-09 08:00")]);
    assert!(between("2026-01-16 08:01", "2026-01-02 08:01", 9).is_empty());
}

#[test]
fn a_missing_hour_happens_after_the_gap_and_a_doubled_one_happens_once() {
    let rome = |text, start, from, until| rule(text).between(local(start), in_rome, utc(from), utc(until), 99);
    // In Rome 2:00 to 3:00 does not exist on 29 March 2026, and exists twice on 25 October.
    assert_eq!(
        rome("FREQ=DAILY", "2026-03-01 02:30", "2026-03-28 00:00", "2026-03-31 00:00"),
        [utc("2026-03-28 01:30"), utc("2026-03-29 01:00"), utc("2026-03-30 00:30")]
    );
    assert_eq!(
        rome("FREQ=DAILY", "2026-03-01 02:30", "2026-10-24 00:00", "2026-10-27 00:00"),
        [utc("2026-10-24 00:30"), utc("2026-10-25 00:30"), utc("2026-10-26 01:30")]
    );
    // Two local times of the gap and the one behind it are one instant.
    assert_eq!(
        rome("FREQ=DAILY;BYHOUR=2,3;BYMINUTE=0,30", "2026-03-01 00:00", "2026-03-29 00:00", "2026-03-29 12:00"),
        [utc("2026-03-29 01:00"), utc("2026-03-29 01:30")]
    );
    assert_eq!(
        rome("FREQ=HOURLY", "2026-03-01 00:00", "2026-10-24 22:00", "2026-10-25 03:00"),
        ["2026-10-24 22:00", "2026-10-24 23:00", "2026-10-25 00:00", "2026-10-25 02:00"].map(utc)
    );
    // The gap's instant is not found again from itself.
    let next = rule("FREQ=DAILY;BYHOUR=2;BYMINUTE=0,30").next_after(
        local("2026-03-01 00:00"),
        in_rome,
        utc("2026-03-29 01:00"),
    );
    assert_eq!(next, Some(utc("2026-03-30 00:00")));
}

#[test]
fn what_is_no_rule_or_too_much_of_one_is_refused_in_words() {
    for (text, what) in [
        ("", "not of the form NAME=value"),
        ("DAILY", "not of the form NAME=value"),
        ("INTERVAL=2", "FREQ"),
        ("FREQ=FORTNIGHTLY", "FORTNIGHTLY"),
        ("FREQ=SECONDLY", "too often"),
        ("FREQ=MINUTELY", "too often"),
        ("FREQ=DAILY;FREQ=WEEKLY", "duplicate"),
        ("FREQ=DAILY;COLOUR=RED", "COLOUR"),
        ("FREQ=DAILY\nDTSTART:20260101T000000Z", "not"),
        ("DTSTART:20260101T000000Z\nRRULE:FREQ=DAILY", "not"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=1001", "INTERVAL"),
        ("FREQ=DAILY;INTERVAL=-1", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT=0"),
        ("FREQ=DAILY;COUNT=10001", "10000"),
        ("FREQ=DAILY;COUNT=2;COUNT=3", "twice"),
        ("FREQ=DAILY;COUNT=2;UNTIL=20260101", "exclude"),
        ("FREQ=DAILY;UNTIL=tomorrow", "UNTIL=TOMORROW"),
        ("FREQ=DAILY;UNTIL=20260231", "UNTIL"),
        ("FREQ=DAILY;BYDAY=2MO", "FREQ=MONTHLY or YEARLY"),
        ("FREQ=MONTHLY;BYDAY=xMO", "\"XMO\""),
        ("FREQ=MONTHLY;BYDAY=éMO", "has no meaning"),
        ("FREQ=MONTHLY;BYDAY=0MO", "\"0MO\""),
        ("FREQ=MONTHLY;BYDAY=54MO", "\"54MO\""),
        ("FREQ=MONTHLY;BYDAY=M", "\"M\""),
        ("FREQ=MONTHLY;BYDAY=", "\"\""),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "\"0\""),
        ("FREQ=MONTHLY;BYMONTHDAY=32", "32"),
        ("FREQ=YEARLY;BYWEEKNO=0", "\"0\""),
        ("FREQ=WEEKLY;BYMONTHDAY=3", "BYMONTHDAY"),
        ("FREQ=DAILY;BYSETPOS=1", "BYSETPOS"),
        ("FREQ=DAILY;BYHOUR=24", "24"),
        ("FREQ=YEARLY;BYHOUR=0,1,2,3,4;BYMINUTE=0,1,2,3,4;BYSECOND=0,1,2,3,4", "125 times a day"),
        ("FREQ=HOURLY;BYMINUTE=0,10,20,30,40", "120 times a day"),
    ] {
        let error = Recurrence::new(text).expect_err(text).to_string();
        assert!(error.contains(what) && error.starts_with("not a recurrence rule: "), "{text}: {error}");
    }
    let long = format!("FREQ=YEARLY;BYYEARDAY={}", vec!["123"; 200].join(","));
    assert!(Recurrence::new(&long).expect_err("too long").to_string().contains("longer than 512"));
    for text in [
        "FREQ=HOURLY;BYMINUTE=0,15,30,45",
        "FREQ=DAILY;INTERVAL=1000",
        // What is left out counts once.
        &format!("FREQ=DAILY;BYMINUTE={}", (0..60).map(|minute| minute.to_string()).collect::<Vec<_>>().join(",")),
        "FREQ=HOURLY;BYSECOND=0,20,40",
        // A hundred times a day, and 512 bytes.
        "FREQ=DAILY;BYHOUR=1,2,3,4,5;BYMINUTE=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20",
        &format!("FREQ=YEARLY;BYYEARDAY=12,{}123", "123,".repeat(121)),
        "FREQ=DAILY;COUNT=10000",
        "FREQ=MONTHLY;BYDAY=+1MO,-4SU",
    ] {
        rule(text);
    }
}

#[test]
fn it_is_kept_as_its_text() {
    let weekly: Recurrence =
        serde_json::from_str(r#"" rrule:freq=weekly;byday=mo; ""#.to_ascii_uppercase().as_str()).expect("a rule");
    assert_eq!(weekly.to_string(), "FREQ=WEEKLY;BYDAY=MO");
    assert_eq!(serde_json::to_string(&weekly).expect("text"), r#""FREQ=WEEKLY;BYDAY=MO""#);
    assert_eq!("freq=weekly;byday=mo".parse(), Ok(weekly.clone()));
    assert_ne!(weekly, rule("FREQ=WEEKLY;BYDAY=TU"));
    assert!(serde_json::from_str::<Recurrence>(r#""FREQ=MINUTELY""#).is_err());
}

#[test]
fn every_answer_takes_a_bounded_time() {
    let now = utc("2026-01-01 00:00");
    let busy = "BYHOUR=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23;BYMINUTE=0,15,30,45";
    for (text, start, expected) in [
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=MONTHLY;BYMONTH=2;BYMONTHDAY=30".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=HOURLY;BYMONTH=2;BYMONTHDAY=30".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=HOURLY;INTERVAL=24;BYHOUR=1".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=MONTHLY;INTERVAL=12;BYMONTH=3".to_owned(), "2020-01-01 09:00", None),
        // More than fifty years ahead.
        ("FREQ=YEARLY;INTERVAL=100".to_owned(), "2020-01-01 09:00", None),
        ("FREQ=YEARLY;INTERVAL=1000".to_owned(), "0026-01-01 09:00", Some("2026-01-01 09:00")),
        ("FREQ=HOURLY".to_owned(), "1826-01-01 00:30", Some("2026-01-01 00:30")),
        ("FREQ=DAILY".to_owned(), "0001-01-01 09:00", Some("2026-01-01 09:00")),
        (format!("FREQ=DAILY;{busy}"), "1826-01-01 00:30", Some("2026-01-01 00:15")),
        (format!("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;{busy}"), "1826-01-01 00:30", Some("2026-01-01 00:15")),
        (format!("FREQ=YEARLY;BYDAY=MO,TU,WE,TH,FR,SA,SU;{busy}"), "1826-01-01 00:30", Some("2026-01-01 00:15")),
        ("FREQ=HOURLY;COUNT=10000".to_owned(), "1976-01-01 00:30", None),
        ("FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30;COUNT=10000".to_owned(), "1976-01-01 00:30", None),
    ] {
        let begun = Instant::now();
        let found = rule(&text).next_after(local(start), |at| at.and_utc(), now);
        let took = begun.elapsed();
        assert_eq!(found, expected.map(utc), "{text}");
        assert!(took < Duration::from_secs(3), "{text} took {took:?}");
        println!("{took:>12.1?} {}", &text[..text.len().min(60)]);
    }
    // Years the library does not know, and instants at the end of time.
    let daily = rule("FREQ=DAILY");
    assert_eq!(daily.next_after(NaiveDateTime::MAX, |at| at.and_utc(), now), None);
    assert_eq!(daily.next_after(local("2026-01-01 09:00"), |at| at.and_utc(), DateTime::<Utc>::MAX_UTC), None);
    assert!(daily.next_after(NaiveDateTime::MIN, |at| at.and_utc(), DateTime::<Utc>::MIN_UTC).is_some());
    let all = rule("FREQ=HOURLY").between(
        local("2026-01-01 09:00"),
        |at| at.and_utc(),
        now,
        DateTime::<Utc>::MAX_UTC,
        usize::MAX,
    );
    assert_eq!(all.len(), MOST_STEPS);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    /// Walks day by day: whatever weekly rule, it occurs on a day of its weekdays, in a week that is a
    /// whole number of intervals from the first.
    #[test]
    fn weekly_rules_are_found_by_walking_day_by_day(
        start in 0..2_000i64,
        minute in 0..1440i64,
        interval in 1..5i64,
        days in btree_set(0..7usize, 0..4),
        sunday_first in any::<bool>(),
        asked in -30..3_000i64,
    ) {
        const NAMES: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
        let start = local("2022-01-01 00:00") + TimeDelta::days(start) + TimeDelta::minutes(minute);
        let mut text = format!("FREQ=WEEKLY;INTERVAL={interval};WKST={}", if sunday_first { "SU" } else { "MO" });
        if !days.is_empty() {
            text += &format!(";BYDAY={}", days.iter().map(|day| NAMES[*day]).collect::<Vec<_>>().join(","));
        }
        let from = in_rome(start) + TimeDelta::days(asked) + TimeDelta::hours(asked % 24);
        let until = from + TimeDelta::days(100);

        // The number of a date's week, counted from some week long ago: 1 January 1 was a Monday.
        let week = |at: NaiveDateTime| (i64::from(chrono::Datelike::num_days_from_ce(&at.date())) - 1 + i64::from(sunday_first)).div_euclid(7);
        let on_a_day = |at: NaiveDateTime| {
            if days.is_empty() { at.weekday() == start.weekday() } else { days.contains(&(at.weekday().num_days_from_monday() as usize)) }
        };
        let walked: Vec<_> = (0..4_000)
            .map(|day| start + TimeDelta::days(day))
            .filter(|at| on_a_day(*at) && (week(*at) - week(start)) % interval == 0)
            .map(in_rome)
            .filter(|at| (from..until).contains(at))
            .collect();
        prop_assert_eq!(rule(&text).between(start, in_rome, from, until, 1_000), walked, "{} from {}", text, start);
    }

    /// Skipping the past changes nothing: asked from the beginning, the same comes out.
    #[test]
    fn what_is_skipped_is_only_the_past(
        text in select(vec![
            "FREQ=HOURLY;INTERVAL=7", "FREQ=HOURLY;INTERVAL=5;BYHOUR=3,4,5;BYMINUTE=10,20", "FREQ=DAILY;INTERVAL=3",
            "FREQ=DAILY;INTERVAL=2;BYDAY=MO,TH;BYHOUR=1,2;BYSETPOS=2", "FREQ=WEEKLY;INTERVAL=3;BYDAY=MO,FR;BYSETPOS=-1",
            "FREQ=MONTHLY;INTERVAL=5", "FREQ=MONTHLY;BYDAY=MO,SU;BYSETPOS=3", "FREQ=YEARLY", "FREQ=YEARLY;INTERVAL=3;BYMONTH=2",
            "FREQ=YEARLY;BYWEEKNO=1,53;BYDAY=MO,SU", "FREQ=YEARLY;BYDAY=20MO,-1SU",
        ]),
        start in 0..40_000i64,
        asked in 0..60_000i64,
    ) {
        let start = local("2019-12-20 00:17") + TimeDelta::hours(start);
        let from = start.and_utc() + TimeDelta::hours(asked);
        let until = from + TimeDelta::days(800);
        let rule = rule(text);
        let all = rule.between(start, |at| at.and_utc(), start.and_utc(), until, usize::MAX);
        let later: Vec<_> = all.into_iter().filter(|at| *at >= from).collect();
        prop_assert_eq!(rule.between(start, |at| at.and_utc(), from, until, usize::MAX), later, "{} from {}", text, start);
    }
}
