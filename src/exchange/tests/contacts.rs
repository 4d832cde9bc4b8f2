//! Contacts as a table.

use proptest::{collection::vec, option, prelude::*};

use super::*;
use crate::exchange::{
    contacts::{Availability, COLUMNS, ContactRow, NumberCell, read, write},
    csv::HeaderError,
};

fn good(text: &str) -> Vec<ContactRow> {
    let rows: Result<Vec<_>, _> = read(text).expect("a header").map(|row| row.map(|(_, row)| row)).collect();
    rows.unwrap_or_else(|bad| panic!("{bad}"))
}

fn only_bad(text: &str) -> BadRow {
    let rows: Vec<_> = read(text).expect("a header").collect();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].clone().expect_err("a bad row")
}

#[test]
fn the_predecessors_contacts_are_read() {
    let rows = good(include_str!("../../../tests/fixtures/exchange/contacts.csv"));
    assert_eq!(rows.len(), 4);
    let ada = ContactRow {
        id: Some("1".to_owned()),
        name: "Ada".to_owned(),
        surname: "Ferri".to_owned(),
        address: "Via Roma 1".to_owned(),
        zip_code: "00100".to_owned(),
        city: "Roma".to_owned(),
        state: "RM".to_owned(),
        country: "Italy".to_owned(),
        phone_number: Some("+393331000001".to_owned()),
        enabled: Some(true),
        created_time: Some("2024-01-15 10:30:12.123456".parse().expect("a time")),
        annotations: "Database, second floor".to_owned(),
        on_call_availability: vec![
            Availability { start_at: at("2024-03-01 08:00"), end_at: at("2024-03-08 08:00"), priority: 1 },
            Availability { start_at: at("2024-03-15 08:00"), end_at: at("2024-03-22 08:00"), priority: 2 },
        ],
        ..ContactRow::default()
    };
    assert_eq!(rows[0], ada);
    assert_eq!(rows[1].annotations, "Says \"call me twice\"");
    assert_eq!((rows[2].enabled, rows[2].annotations.as_str()), (Some(false), "First line\nsecond line"));
    assert_eq!((rows[3].surname.as_str(), rows[3].on_call_availability.len()), ("Weiß", 1));
}

#[test]
fn our_columns_are_read_in_any_order() {
    let text = "numbers;Tags;groups;name;enabled;tell_when_over;language;time_zone;email;sms_number\n\
        \"[{\"\"number\"\":\"\"+393331000001\"\",\"\"kind\"\":\"\"mobile\"\"},{\"\"number\"\":\"\"0612\"\",\"\"label\"\":\"\"desk\"\"}]\";\
        \" db ; ; on\\;call\\\\ \";night; Ada ;YES;0;it;Europe/Rome;ada@example.org;+393331000002\n";
    let ada = ContactRow {
        name: "Ada".to_owned(),
        enabled: Some(true),
        tell_when_over: Some(false),
        language: Some("it".to_owned()),
        time_zone: Some("Europe/Rome".to_owned()),
        email: Some("ada@example.org".to_owned()),
        sms_number: Some("+393331000002".to_owned()),
        numbers: vec![
            NumberCell { number: "+393331000001".to_owned(), kind: Some("mobile".to_owned()), label: None },
            NumberCell { number: "0612".to_owned(), kind: None, label: Some("desk".to_owned()) },
        ],
        tags: vec!["db".to_owned(), "on;call\\".to_owned()],
        groups: vec!["night".to_owned()],
        ..ContactRow::default()
    };
    assert_eq!(good(text), [ada]);
    let reader = read(text).expect("a header");
    assert_eq!((reader.has("tags"), reader.has("surname")), (true, false));
}

#[test]
fn truth_has_many_names() {
    let enabled = |cell: &str| good(&format!("name,phone_number,enabled\nAda,1,{cell}\n"))[0].enabled;
    for cell in ["true", "True", "TRUE", "1", "yes", "t", " T "] {
        assert_eq!(enabled(cell), Some(true), "{cell}");
    }
    for cell in ["false", "FALSE", "0", "No", "f"] {
        assert_eq!(enabled(cell), Some(false), "{cell}");
    }
    assert_eq!(enabled(""), None);
}

#[test]
fn a_bad_cell_is_named_and_the_good_rows_are_kept() {
    for (header, cells, column, reason) in [
        ("name,phone_number,enabled", "Ada,1,maybe", "enabled", "\"maybe\" is neither"),
        ("name,phone_number,tell_when_over", "Ada,1,2", "tell_when_over", "neither"),
        ("name,phone_number", " ,1", "name", "needs a name"),
        ("name,phone_number", "Ada, ", "phone_number", "needs a number"),
        ("name,numbers", "Ada,[]", "phone_number", "needs a number"),
        ("name,numbers", "Ada,+39333", "numbers", "JSON list"),
        ("name,numbers", "Ada,\"[{\"\"kind\"\":\"\"mobile\"\"}]\"", "numbers", "missing field `number`"),
        ("name,numbers", "Ada,\"[{\"\"number\"\":\"\"1\"\",\"\"pin\"\":1}]\"", "numbers", "unknown field `pin`"),
        ("name,phone_number,created_time", "Ada,1,yesterday", "created_time", "is no time"),
        ("name,phone_number,on_call_availability", "Ada,1,{}", "on_call_availability", "JSON list"),
        (
            "name,phone_number,on_call_availability",
            "Ada,1,\"[{\"\"start_at\"\":\"\"x\"\",\"\"end_at\"\":\"\"2024-03-08 08:00\"\",\"\"priority\"\":1}]\"",
            "on_call_availability",
            "\"x\" is no time",
        ),
        (
            "name,phone_number,on_call_availability",
            "Ada,1,\"[{\"\"start_at\"\":\"\"2024-03-09 08:00\"\",\"\"end_at\"\":\"\"2024-03-08 08:00\"\",\"\"priority\"\":1}]\"",
            "on_call_availability",
            "before it begins",
        ),
    ] {
        let found = only_bad(&format!("{header}\n{cells}\n"));
        assert!(bad(2, Some(column))(&found) && found.reason.contains(reason), "{cells}: {found}");
    }
    let rows: Vec<_> = read("name,phone_number\nAda,1\n,2\nBen,3\n").expect("a header").collect();
    let lines: Vec<_> = rows
        .iter()
        .map(|row| row.as_ref().map(|(line, row)| (*line, row.name.as_str())).map_err(|bad| bad.line))
        .collect();
    assert_eq!(lines, [Ok((2, "Ada")), Err(3), Ok((4, "Ben"))]);
}

#[test]
fn a_header_needs_a_name_and_a_number() {
    assert_eq!(read("phone_number\n").err(), Some(HeaderError::Missing("name")));
    assert_eq!(read("name,surname\n").err(), Some(HeaderError::Missing("phone_number")));
    assert!(read("name,numbers\n").is_ok());
    assert!(
        read("name,phone_number,shoe_size\n")
            .err()
            .expect("unknown")
            .to_string()
            .starts_with("unknown columns: shoe_size;")
    );
}

#[test]
fn lists_may_be_empty_in_several_ways() {
    for cell in ["", "[]", "null", "None"] {
        assert_eq!(
            good(&format!("name,phone_number,on_call_availability\nAda,1,{cell}\n"))[0].on_call_availability,
            []
        );
    }
}

#[test]
fn what_is_written_is_safe_in_a_spreadsheet_and_readable_by_the_predecessor() {
    let row = ContactRow {
        name: "=HYPERLINK(\"http://example.org\")".to_owned(),
        phone_number: Some("+393331000001".to_owned()),
        annotations: "-1".to_owned(),
        enabled: Some(true),
        ..ContactRow::default()
    };
    let text = String::from_utf8(write([&row])).expect("text");
    let expected = format!(
        "{}\r\n,\"'=HYPERLINK(\"\"http://example.org\"\")\",,,,,,,+393331000001,true,,'-1,,,,,,,,,,\r\n",
        COLUMNS.join(",")
    );
    assert_eq!(text, expected);
    assert!(COLUMNS.join(",").starts_with(
        "id,name,surname,address,zip_code,city,state,country,phone_number,enabled,created_time,annotations,on_call_availability,"
    ));
    assert_eq!(good(&text), [row]);
}

/// Texts that are trouble in some format or other.
fn nasty() -> impl Strategy<Value = String> {
    "([=+@'\",; \\\\\t\r\n\0a-]|é|\u{2028}|🙂){0,8}|[^;]{0,8}"
}

fn trimmed() -> impl Strategy<Value = String> {
    nasty().prop_map(|text| text.trim().to_owned())
}

fn filled() -> impl Strategy<Value = Option<String>> {
    option::of(trimmed()).prop_map(|text| text.filter(|text| !text.is_empty()))
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(trimmed(), 0..3).prop_map(|names| names.into_iter().filter(|name| !name.is_empty()).collect())
}

fn moment() -> impl Strategy<Value = LocalOrInstant> {
    (any::<bool>(), 0..4_000_000_000_000i64).prop_map(|(local, millis)| {
        let at = DateTime::from_timestamp_millis(millis).expect("an instant");
        if local { LocalOrInstant::Local(at.naive_utc()) } else { LocalOrInstant::Instant(at) }
    })
}

fn contact() -> impl Strategy<Value = ContactRow> {
    let window = (moment(), any::<i64>()).prop_map(|(start_at, priority)| {
        let later = chrono::TimeDelta::seconds(1);
        let end_at = match start_at {
            LocalOrInstant::Local(at) => LocalOrInstant::Local(at + later),
            LocalOrInstant::Instant(at) => LocalOrInstant::Instant(at + later),
        };
        Availability { start_at, end_at, priority }
    });
    let number = (nasty(), option::of(nasty()), option::of(nasty())).prop_map(|(number, kind, label)| NumberCell {
        number,
        kind,
        label,
    });
    let truth = || option::of(any::<bool>());
    (
        (
            filled(),
            trimmed().prop_map(|name| format!("x{name}").trim().to_owned()),
            trimmed(),
            nasty(),
            trimmed(),
            trimmed(),
            trimmed(),
            trimmed(),
        ),
        (filled(), truth(), option::of(moment()), nasty(), vec(window, 0..3)),
        (filled(), filled(), filled(), filled(), vec(number, 1..3), names(), names(), truth(), truth()),
    )
        .prop_map(|(person, duty, ours)| {
            let (id, name, surname, address, zip_code, city, state, country) = person;
            let (phone_number, enabled, created_time, annotations, on_call_availability) = duty;
            let (language, time_zone, email, sms_number, numbers, tags, groups, tell_when_over, tell_shifts) = ours;
            ContactRow {
                id,
                name,
                surname,
                address,
                zip_code,
                city,
                state,
                country,
                phone_number,
                enabled,
                created_time,
                annotations,
                on_call_availability,
                language,
                time_zone,
                email,
                sms_number,
                numbers,
                tags,
                groups,
                tell_when_over,
                tell_shifts,
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back(rows in vec(contact(), 0..3)) {
        let text = String::from_utf8(write(&rows)).expect("text");
        prop_assert_eq!(good(&text), rows, "{}", text);
    }
}
