//! iCalendar.

use chrono::{NaiveDate, TimeDelta};
use icalendar::Component;
use proptest::prelude::*;

use super::*;
use crate::exchange::ical::{
    BadEvent, FeedEvent, IcalEvent, LONGEST_CALENDAR, MOST_EVENTS, NotACalendar, When, parse_events, write_calendar,
};

fn calendar(inside: &str) -> String {
    format!("BEGIN:VCALENDAR\nVERSION:2.0\n{inside}\nEND:VCALENDAR\n")
}

fn events(inside: &str) -> Vec<Result<IcalEvent, BadEvent>> {
    parse_events(&calendar(inside)).expect("a calendar")
}

/// The only event of a calendar, made of these lines.
fn event(lines: &str) -> Result<IcalEvent, BadEvent> {
    let mut found = events(&format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT"));
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn date(text: &str) -> When {
    When::Date(NaiveDate::parse_from_str(text, "%Y-%m-%d").expect("a date"))
}

fn rome(text: &str) -> When {
    When::Local(local(text), Some("Europe/Rome".to_owned()))
}

#[test]
fn a_calendar_is_read() {
    let text = include_str!("../../../tests/fixtures/exchange/calendar.ics");
    let found = parse_events(text).expect("a calendar");
    assert_eq!(found.len(), 5);
    let good = |at: usize| found[at].clone().unwrap_or_else(|bad| panic!("{bad}"));
    let liberation = IcalEvent {
        line: 13,
        uid: "holiday-1@example.org".to_owned(),
        summary: "Festa della Liberazione".to_owned(),
        attendees: vec![],
        description: String::new(),
        start: date("2024-04-25"),
        end: date("2024-04-26"),
        rrule: None,
        rdates: vec![],
        exdates: vec![],
        recurrence_id: None,
        cancelled: false,
    };
    assert_eq!(good(0), liberation);
    let republic = good(1);
    assert_eq!((republic.start, republic.end), (date("2024-06-02"), date("2024-06-03")));
    assert_eq!(republic.rrule.as_deref(), Some("FREQ=YEARLY"));
    assert_eq!(
        republic.description,
        "A description that is long enough to be folded, with an umlaut (ü) and a\nsecond line"
    );
    let duty = good(2);
    assert_eq!((duty.start, duty.end), (rome("2024-03-01 08:00"), rome("2024-03-08 08:00")));
    assert_eq!(duty.exdates, [rome("2024-03-15 08:00"), rome("2024-03-29 08:00")]);
    assert_eq!(duty.attendees, ["ada@example.org", "ben@example.org"]);
    // The alarm inside has a description too, and it is not the event's.
    assert_eq!((duty.summary.as_str(), duty.description.as_str()), ("On duty: Ada; Ben", ""));
    let broken = found[3].clone().expect_err("a day that does not exist");
    assert_eq!((broken.line, broken.summary.as_deref()), (45, Some("A day that does not exist")));
    assert!(
        broken.to_string().starts_with("line 45, event \"A day that does not exist\": DTSTART: \"20240231T080000Z\""),
        "{broken}"
    );
    let off = good(4);
    assert_eq!((off.start, off.end), (When::Instant(utc("2024-03-02 08:00")), When::Instant(utc("2024-03-02 20:00"))));
    assert_eq!((off.cancelled, good(0).cancelled), (true, false));
    // Line ends make no difference.
    assert_eq!(parse_events(&text.replace("\r\n", "\n")), Ok(found));
}

#[test]
fn times_and_lengths_are_read() {
    let instant = |text| When::Instant(utc(text));
    let floating = |text| When::Local(local(text), None);
    for (lines, start, end) in [
        ("DTSTART:20240301T080000Z\nDTEND:20240301T200000Z", instant("2024-03-01 08:00"), instant("2024-03-01 20:00")),
        ("DTSTART:20240301T080000\nDURATION:PT12H", floating("2024-03-01 08:00"), floating("2024-03-01 20:00")),
        (
            "dtstart;tzid=\"Europe/Rome\":20240301T080000\nDURATION:P1DT1H30M",
            rome("2024-03-01 08:00"),
            rome("2024-03-02 09:30"),
        ),
        ("DTSTART:20240301T080000Z\nDURATION:+P2W", instant("2024-03-01 08:00"), instant("2024-03-15 08:00")),
        (
            "DTSTART:20240301T080000Z\nDURATION:PT90S",
            instant("2024-03-01 08:00"),
            When::Instant(utc("2024-03-01 08:01") + TimeDelta::seconds(30)),
        ),
        ("DTSTART;VALUE=DATE:20240301\nDURATION:P3D", date("2024-03-01"), date("2024-03-04")),
        ("DTSTART;VALUE=DATE:20240301", date("2024-03-01"), date("2024-03-02")),
        ("DTSTART:20240301 \nDURATION: P3D ", date("2024-03-01"), date("2024-03-04")),
        // No length is a length.
        ("DTSTART:20240301\nDTEND:20240301", date("2024-03-01"), date("2024-03-01")),
        ("DTSTART:20240301T080000Z\nDTEND:20240301T080000Z", instant("2024-03-01 08:00"), instant("2024-03-01 08:00")),
        ("DTSTART:20240301T080000\nDTEND:20240301T080000", floating("2024-03-01 08:00"), floating("2024-03-01 08:00")),
        ("DTSTART:20240301T080000\nDTEND:20240301T070000Z", floating("2024-03-01 08:00"), instant("2024-03-01 07:00")),
        ("DTSTART:20240301", date("2024-03-01"), date("2024-03-02")),
        ("DTSTART:20240301T080000Z", instant("2024-03-01 08:00"), instant("2024-03-01 08:00")),
        ("DTSTART;TZID=Europe/Rome:20240301T080000Z", instant("2024-03-01 08:00"), instant("2024-03-01 08:00")),
        // Different zones: whether it is backwards cannot be told here.
        (
            "DTSTART;TZID=Europe/Rome:20240301T080000\nDTEND;TZID=Asia/Tokyo:20240301T070000",
            rome("2024-03-01 08:00"),
            When::Local(local("2024-03-01 07:00"), Some("Asia/Tokyo".to_owned())),
        ),
    ] {
        let event = event(lines).unwrap_or_else(|bad| panic!("{lines}: {bad}"));
        assert_eq!((event.start, event.end), (start, end), "{lines}");
    }
}

#[test]
fn what_is_wrong_with_an_event_is_said() {
    for (lines, reason) in [
        ("SUMMARY:x", "DTSTART is missing"),
        ("DTSTART:tomorrow", "DTSTART: \"tomorrow\" is neither a day"),
        ("DTSTART:2024031", "DTSTART"),
        ("DTSTART:2024 3 1", "DTSTART"),
        ("DTSTART:20240301T08000", "DTSTART"),
        ("DTSTART:20240301T8 0 0 ", "DTSTART"),
        ("DTSTART:20240301T0800", "DTSTART"),
        ("DTSTART:20240301T256000Z", "DTSTART"),
        ("DTSTART:20240301T080000Z\nDTEND:x", "DTEND"),
        ("DTSTART:20240301T080000Z\nDTEND:20240301T075959Z", "ends before it begins"),
        ("DTSTART:20240302\nDTEND:20240301", "ends before it begins"),
        ("DTSTART:20240301T080000\nDTEND:20240301T070000", "ends before it begins"),
        ("DTSTART:20240301\nDTEND:20240302T080000Z", "both be days"),
        ("DTSTART:20240301T080000Z\nDTEND:20240301T090000Z\nDURATION:PT1H", "both DTEND and DURATION"),
        ("DTSTART:20240301\nDURATION:PT1H", "whole days"),
        ("DTSTART:20240301\nDURATION:-P1D", "negative"),
        ("DTSTART:20240301\nDURATION:P1H", "no length of time"),
        ("DTSTART:20240301\nDURATION:P", "no length of time"),
        ("DTSTART:20240301\nDURATION:P1DT", "no length of time"),
        ("DTSTART:20240301\nDURATION:P1D1D", "no length of time"),
        ("DTSTART:20240301\nDURATION:PT1S1H", "no length of time"),
        ("DTSTART:20240301\nDURATION:P9999999999D", "no length of time"),
        ("DTSTART:20240301\nDURATION:P999999999W", "too far in the future"),
        ("DTSTART:20240301\nEXDATE:20240301,x", "EXDATE: \"x\""),
        ("DTSTART:20240301\nRDATE;VALUE=PERIOD:20240301T080000Z/PT1H", "RDATE"),
        ("DTSTART:20240301\nRECURRENCE-ID:x", "RECURRENCE-ID"),
        ("DTSTART:20240301\nRRULE:FREQ=DAILY\nRRULE:FREQ=WEEKLY", "more than one RRULE"),
        ("DTSTART:20240301\nwhat is this", "\"what is this\" is no line of a calendar"),
        ("DTSTART;TZID:20240301T080000", "no line of a calendar"),
        ("DTSTART;TZID=\"Europe:20240301T080000", "no line of a calendar"),
    ] {
        let bad = event(lines).expect_err(lines);
        assert!(bad.line == 3 && bad.reason.contains(reason), "{lines}: {bad}");
    }
    assert_eq!(event("DTSTART:x").expect_err("no day").summary, None);
    let long = event(&format!("DTSTART:20240301\nDESCRIPTION:{}", "x".repeat(65_536))).expect_err("too long");
    assert!(long.reason.contains("more than 65536 bytes"), "{long}");
}

#[test]
fn the_rest_of_an_event_is_read() {
    let event = event(
        "UID:a\\,b\nDTSTART:20240301\nRDATE:20240305,20240306\nRDATE:20240309\nRECURRENCE-ID;TZID=Europe/Rome:20240301T080000\n\
         ATTENDEE:urn:uuid:1\nATTENDEE:ben\nATTENDEE: mailto: ada@example.org \nATTENDEE;EMAIL=ben@example.org:urn:uuid:2\nSTATUS:CONFIRMED\nX-OTHER;X=\"a;b:c\":d",
    )
    .expect("an event");
    assert_eq!(event.uid, "a,b");
    assert_eq!(event.rdates, [date("2024-03-05"), date("2024-03-06"), date("2024-03-09")]);
    assert_eq!(event.recurrence_id, Some(rome("2024-03-01 08:00")));
    assert_eq!(event.attendees, ["ada@example.org", "ben@example.org"]);
    assert!(!event.cancelled);
}

#[test]
fn good_events_survive_bad_ones() {
    let lines = |inside: &str| -> Vec<_> {
        events(inside)
            .into_iter()
            .map(|event| event.map(|event| event.line).map_err(|bad| (bad.line, bad.reason)))
            .collect()
    };
    let missing = || "END:VEVENT is missing".to_owned();
    let good = "BEGIN:VEVENT\nDTSTART:20240301\nEND:VEVENT";
    assert_eq!(lines(&format!("{good}\n\n{good}")), [Ok(3), Ok(7)]);
    assert_eq!(lines(&format!("BEGIN:VEVENT\nDTSTART:20240301\n{good}")), [Err((3, missing())), Ok(5)]);
    assert_eq!(lines(&format!("{good}\nBEGIN:VEVENT\nDTSTART:20240301")), [Ok(3), Err((6, missing()))]);
    assert_eq!(lines("BEGIN:VTODO\nDTSTART:x\nEND:VTODO"), []);
    // Deep nesting is no danger, nor are parts that are never ended.
    let deep = "BEGIN:X\n".repeat(100_000) + &"END:X\n".repeat(100_000);
    assert_eq!(lines(&format!("BEGIN:VEVENT\nDTSTART:20240301\n{deep}END:VEVENT")), [Ok(3)]);
    assert_eq!(lines(&format!("BEGIN:VEVENT\nBEGIN:VALARM\n{good}")), [Err((3, missing())), Ok(5)]);

    // Blanks at the end of a line.
    let found = events("BEGIN:VEVENT \nUID:a \nDTSTART:20240301\n\nRRULE: FREQ=DAILY \nSTATUS:cancelled \nEND:VEVENT ");
    let event = found[0].as_ref().expect("an event");
    assert_eq!((event.uid.as_str(), event.rrule.as_deref(), event.cancelled), ("a", Some("FREQ=DAILY"), true));

    // A download that broke off.
    let cut = calendar(good).replace("END:VCALENDAR\n", "");
    let found = parse_events(&cut).expect("a calendar");
    assert_eq!(found[0].as_ref().map(|event| event.line), Ok(3));
    assert!(found[1].as_ref().is_err_and(|bad| bad.line == 5 && bad.reason.contains("breaks off")), "{found:?}");
    assert_eq!(found.len(), 2);
}

#[test]
fn what_is_no_calendar_or_too_much_of_one_is_refused() {
    for text in ["", "\n\n", "<html>", "BEGIN:VCARD\n", "BEGIN:VEVENT\nDTSTART:20240301\nEND:VEVENT\n"] {
        assert_eq!(parse_events(text), Err(NotACalendar::Begin), "{text}");
    }
    assert_eq!(parse_events("\u{feff}\n begin:vcalendar\r\nend:vcalendar"), Ok(vec![]));
    let many = |count| {
        parse_events(&calendar(&"BEGIN:VEVENT\nDTSTART:20240301\nEND:VEVENT\n".repeat(count)))
            .map(|events| events.len())
    };
    assert_eq!((many(MOST_EVENTS), many(MOST_EVENTS + 1)), (Ok(10_000), Err(NotACalendar::TooMany)));
    let long = |length: usize| parse_events(&format!("{}{}", calendar(""), "\n".repeat(length - calendar("").len())));
    assert_eq!((long(LONGEST_CALENDAR), long(LONGEST_CALENDAR + 1)), (Ok(vec![]), Err(NotACalendar::TooLong)));
}

fn shift(summary: &str) -> FeedEvent {
    FeedEvent {
        uid: "shift-1".to_owned(),
        summary: summary.to_owned(),
        from: utc("2024-03-01 07:00"),
        until: utc("2024-03-08 07:00"),
        description: String::new(),
    }
}

#[test]
fn a_feed_is_written_as_the_rfc_has_it() {
    let text = write_calendar("Duty, night", "Europe/Rome", [shift("Ada; Ben")], utc("2024-02-01 12:00"));
    let expected = [
        "BEGIN:VCALENDAR",
        "VERSION:2.0",
        "PRODID:-//ringdown//ringdown//EN",
        "CALSCALE:GREGORIAN",
        "METHOD:PUBLISH",
        r"X-WR-CALNAME:Duty\, night",
        "X-WR-TIMEZONE:Europe/Rome",
        "REFRESH-INTERVAL;VALUE=DURATION:PT15M",
        "X-PUBLISHED-TTL:PT15M",
        "BEGIN:VEVENT",
        "UID:shift-1",
        "DTSTAMP:20240201T120000Z",
        "DTSTART:20240301T070000Z",
        "DTEND:20240308T070000Z",
        r"SUMMARY:Ada\; Ben",
        "END:VEVENT",
        "END:VCALENDAR",
        "",
    ];
    assert_eq!(text, expected.join("\r\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// By our own reader and by somebody else's.
    #[test]
    fn a_feed_is_read_back(summary in "([a-z ,;:\\\\\"\n]|é|🙂){0,90}", description in "([a-zN,;:\\\\\"\n]|é){1,90}", name in "[a-z;,\\\\]{1,9}") {
        let event = FeedEvent { description: description.clone(), ..shift(&summary) };
        let text = write_calendar(&name, "Europe/Rome", [event.clone(), event], utc("2024-02-01 12:00"));
        prop_assert!(text.split("\r\n").all(|line| line.len() <= 75 && !line.contains(['\r', '\n'])), "{}", text);

        let ours: Vec<IcalEvent> = parse_events(&text).expect("a calendar").into_iter().collect::<Result<_, _>>().expect("events");
        prop_assert_eq!(ours.len(), 2);
        prop_assert_eq!((&ours[0].summary, &ours[0].description, ours[0].uid.as_str()), (&summary, &description, "shift-1"));
        prop_assert_eq!((&ours[1].start, &ours[1].end), (&When::Instant(utc("2024-03-01 07:00")), &When::Instant(utc("2024-03-08 07:00"))));

        let theirs: icalendar::Calendar = text.parse().expect("a calendar");
        prop_assert_eq!(theirs.get_name(), Some(name.as_str()));
        let first = theirs.events().next().expect("an event");
        prop_assert_eq!((first.get_summary(), first.get_description()), (Some(summary.as_str()), Some(description.as_str())));
        prop_assert_eq!(first.get_start(), Some(utc("2024-03-01 07:00").into()));
        prop_assert_eq!(theirs.events().count(), 2);
    }

    #[test]
    fn no_calendar_makes_it_panic(lines in proptest::collection::vec(proptest::sample::select(vec!["BEGIN:VEVENT", "END:VEVENT", "BEGIN:VALARM", "END:VALARM", "END:VCALENDAR", "DTSTART:20240301", "DTSTART;", "DTSTART;=", "DTSTART;A=\"", ":", " fold", "é", "DURATION:PT", "DURATION:P1é"]), 0..12), text in ".{0,40}") {
        let calendar = format!("BEGIN:VCALENDAR\nVERSION:2.0\n{}\n{text}", lines.join("\n"));
        let begun = lines.iter().filter(|line| **line == "BEGIN:VEVENT").count();
        // One for each that began, and one for an end that is missing.
        prop_assert!(parse_events(&calendar).expect("a calendar").len() <= begun + 1);
    }
}
