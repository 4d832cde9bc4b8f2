use chrono::Datelike;
use proptest::prelude::*;

use super::*;

fn calendar(json: &str) -> Calendar {
    serde_json::from_str(json).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn office() -> Calendar {
    calendar(
        r#"{
            "zone": "Europe/Rome",
            "hours": [
                {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "13:00"},
                {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "13:00", "to": "18:00"},
                {"days": ["sat"], "from": "22:00", "to": "02:30"}
            ],
            "holidays": [
                {"name": "Christmas", "from": "2026-12-25", "until": "2026-12-26"},
                {"name": "Winter", "from": "2026-12-26", "until": "2027-01-06"}
            ]
        }"#,
    )
}

#[test]
fn a_year_of_an_office() {
    for (at, opens, closes) in [
        // A Monday in November, an hour ahead of UTC; lunch does not close it.
        ("2026-11-23T07:59:59Z", "2026-11-23T08:00:00Z", "2026-11-23T07:59:59Z"),
        ("2026-11-23T08:00:00Z", "2026-11-23T08:00:00Z", "2026-11-23T17:00:00Z"),
        ("2026-11-23T17:00:00Z", "2026-11-24T08:00:00Z", "2026-11-23T17:00:00Z"),
        // Over Christmas and on, to the Thursday after Epiphany.
        ("2026-12-24T17:00:00Z", "2027-01-07T08:00:00Z", "2026-12-24T17:00:00Z"),
        // A Saturday night whose end does not exist, and one whose end comes twice.
        ("2026-03-28T22:00:00Z", "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z"),
        ("2026-10-24T21:00:00Z", "2026-10-24T21:00:00Z", "2026-10-25T00:30:00Z"),
    ] {
        assert_eq!(office().opens(utc(at)), Some(utc(opens)), "{at}");
        assert_eq!(office().closes(utc(at)), Some(utc(closes)), "{at}");
        assert_eq!(office().is_open(utc(at)), at == opens, "{at}");
    }
}

/// Half an hour a week: all but a week lies between.
#[test]
fn it_opens_in_a_week() {
    let weekly = calendar(r#"{"zone": "UTC", "hours": [{"days": ["mon"], "from": "09:00", "to": "09:30"}]}"#);
    assert_eq!(weekly.opens(utc("2026-11-23T09:30:00Z")), Some(utc("2026-11-30T09:00:00Z")));
    // The holiday takes one Monday away, too.
    let closed =
        Holiday { name: "Monday".into(), from: "2026-11-30".parse().unwrap(), until: "2026-11-30".parse().unwrap() };
    let weekly = Calendar { holidays: vec![closed], ..weekly };
    assert_eq!(weekly.opens(utc("2026-11-23T09:30:00Z")), Some(utc("2026-12-07T09:00:00Z")));
}

#[test]
fn a_holiday_cuts_hours_off_at_midnight() {
    let always = calendar(
        r#"{"zone": "America/Havana", "holidays": [{"name": "one", "from": "2026-03-08", "until": "2026-03-08"}]}"#,
    );
    // Midnight of that day does not exist in Havana: the day begins at one.
    let (start, end) = (utc("2026-03-08T05:00:00Z"), utc("2026-03-09T04:00:00Z"));
    let second = TimeDelta::seconds(1);
    assert!(always.is_open(start - second) && !always.is_open(start));
    assert!(!always.is_open(end - second) && always.is_open(end));
    assert_eq!(always.closes(start - second), Some(start));
    assert_eq!(always.opens(start), Some(end));
    assert_eq!(always.closes(end), None, "it never closes again");
}

#[test]
fn what_is_further_than_400_days_is_never() {
    let year =
        calendar(r#"{"zone": "UTC", "holidays": [{"name": "long", "from": "2026-01-01", "until": "2027-02-04"}]}"#);
    let begins = utc("2026-01-01T00:00:00Z");
    assert_eq!(year.opens(begins), Some(begins + TimeDelta::days(400)));
    assert_eq!(year.opens(begins - TimeDelta::seconds(1)), Some(begins - TimeDelta::seconds(1)));
    assert_eq!(year.closes(begins - TimeDelta::days(400)), Some(begins));
    assert_eq!(year.closes(begins - TimeDelta::days(401)), None);
    let longer = Holiday { until: "2027-02-05".parse().unwrap(), ..year.holidays[0].clone() };
    let longer = Calendar { holidays: vec![longer], ..year };
    assert_eq!(longer.opens(begins), None);
    assert_eq!(longer.opens(begins + TimeDelta::days(1)), Some(begins + TimeDelta::days(401)));

    let never = calendar(r#"{"zone": "UTC", "hours": [{"days": [], "from": "09:00", "to": "10:00"}]}"#);
    assert_eq!((never.opens(begins), never.closes(begins)), (None, Some(begins)));
}

/// 5000 holidays, one on every weekday, and 100 hours: still no noticeable time.
#[test]
fn the_worst_calendar_answers() {
    let first: NaiveDate = "2026-01-01".parse().unwrap();
    let day = |n| first.checked_add_days(Days::new(n)).unwrap();
    let holidays = (0..5000).map(|n| Holiday { name: n.to_string(), from: day(n), until: day(n) }).collect();
    let hours = office().hours[0].clone();
    let worst = Calendar { zone: Zone::UTC, hours: vec![hours; 100], holidays };
    assert_eq!(worst.mistakes(), [""; 0]);
    assert_eq!(worst.opens(utc("2026-01-01T00:00:00Z")), None);
    assert_eq!(worst.opens(utc("2039-09-01T00:00:00Z")), Some(utc("2039-09-12T09:00:00Z")));
}

#[test]
fn the_ends_of_time_are_survived() {
    let edge = Holiday { name: "all".into(), from: NaiveDate::MIN, until: NaiveDate::MAX };
    for holidays in [vec![], vec![edge]] {
        let calendar = Calendar { holidays, ..office() };
        for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
            let (opens, closes) = (calendar.opens(at), calendar.closes(at));
            assert!(opens.is_none_or(|opens| opens >= at) && closes.is_none_or(|closes| closes >= at));
        }
    }
}

#[test]
fn mistakes_are_named() {
    assert_eq!(office().mistakes(), [""; 0]);
    let mut wrong = office();
    wrong.hours[0].days.clear();
    wrong.holidays[1].until = "2026-12-25".parse().unwrap();
    assert_eq!(
        wrong.mistakes(),
        [
            "the hours 09:00 to 13:00 are on no day of the week",
            "holiday \"Winter\": it ends on 2026-12-25, before it starts on 2026-12-26",
        ]
    );
    let office = office();
    let many = Calendar {
        hours: vec![office.hours[1].clone(); 101],
        holidays: vec![office.holidays[0].clone(); 5001],
        ..office
    };
    assert_eq!(
        many.mistakes(),
        ["there are 101 hours, and 100 is the most", "there are 5001 holidays, and 5000 is the most"]
    );
    assert!(serde_json::from_str::<Calendar>(r#"{"zone": "UTC", "holiday": []}"#).is_err());
}

fn some_hours() -> impl Strategy<Value = Hours> {
    let days = prop::collection::vec(0..7u8, 1..4)
        .prop_map(|days| days.into_iter().map(|day| chrono::Weekday::try_from(day).unwrap().into()).collect());
    let time = || (0..48u32).prop_map(|half| NaiveTime::from_hms_opt(half / 2, half % 2 * 30, 0).unwrap());
    (days, time(), time()).prop_map(|(days, from, to)| Hours { days, from, to })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    /// A porter who looks at the clock on the wall every minute, crosses off the days, and never
    /// turns a page back: what the clock has shown has been.
    #[test]
    fn the_porter_says_the_same(
        hours in prop::collection::vec(some_hours(), 0..4),
        holidays in prop::collection::vec((-4i64..5, 0i64..3), 0..3),
        (name, jump) in prop::sample::select(vec![
            ("Europe/Rome", "2026-03-29T01:00:00Z"), ("Europe/Rome", "2026-10-25T01:00:00Z"),
            ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"), ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
            ("Pacific/Apia", "2011-12-30T10:00:00Z"), ("America/Havana", "2026-11-01T05:00:00Z"),
            ("America/Havana", "2026-03-08T05:00:00Z"),
        ]),
    ) {
        let (zone, jump): (Zone, _) = (name.parse().unwrap(), utc(jump));
        let today = zone.local(jump).date();
        let holidays: Vec<Holiday> = holidays.into_iter().map(|(after, length)| {
            let from = today + TimeDelta::days(after);
            Holiday { name: String::new(), from, until: from + TimeDelta::days(length) }
        }).collect();
        let calendar = Calendar { zone, hours, holidays };

        let (from, minutes) = (jump - TimeDelta::days(4), 9 * 1440);
        let mut latest = NaiveDateTime::MIN;
        let mut seen = vec![];
        for minute in -1440..minutes {
            let at = from + TimeDelta::minutes(minute);
            latest = latest.max(zone.local(at));
            let inside = |hours: &Hours| [0, 1].into_iter().any(|ago| {
                let date = latest.date() - TimeDelta::days(ago);
                let over_midnight = TimeDelta::days(i64::from(hours.to <= hours.from));
                let listed = hours.days.contains(&date.weekday().into());
                listed && (date.and_time(hours.from)..date.and_time(hours.to) + over_midnight).contains(&latest)
            });
            let free = calendar.holidays.iter().any(|day| (day.from..=day.until).contains(&latest.date()));
            if minute >= 0 {
                seen.push((at, !free && (calendar.hours.is_empty() || calendar.hours.iter().any(inside))));
            }
        }
        // Backwards, so that the next opening and the next closing are known.
        let (mut opens, mut closes) = (None, None);
        for (index, (at, open)) in seen.into_iter().enumerate().rev() {
            *(if open { &mut opens } else { &mut closes }) = Some(at);
            prop_assert_eq!(calendar.is_open(at), open, "{}", at);
            if index % 37 == 0 {
                let end = from + TimeDelta::minutes(minutes);
                let known = |said: Option<DateTime<Utc>>| said.filter(|said| *said < end);
                prop_assert_eq!(known(calendar.opens(at)), opens, "{}", at);
                prop_assert_eq!(known(calendar.closes(at)), closes, "{}", at);
            }
        }
    }
}
