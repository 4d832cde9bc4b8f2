//! Tables: characters, rows, limits, formulas, times.

use std::{borrow::Cow, fmt::Write as _};

use proptest::prelude::*;

use super::*;
use crate::exchange::{
    csv::{HeaderError, LONGEST_CELL, MOST_COLUMNS, MOST_ROWS, NotText, decode, defuse, restore},
    windows::{self, WindowRow},
};

#[test]
fn a_file_is_decoded_from_its_charset() {
    assert_eq!(decode("näme\n".as_bytes(), None), Ok(Cow::Borrowed("näme\n")));
    assert_eq!(decode(b"\xef\xbb\xbfn\xc3\xa4me", None), Ok(Cow::Borrowed("näme")));
    assert_eq!(decode(b"\xef\xbb\xbfname", Some("UTF-8")), Ok(Cow::Borrowed("name")));
    for charset in ["iso-8859-1", "ISO-8859-1", "latin1", " \"windows-1252\" "] {
        let decoded = decode(b"n\xe4me \x80 \x99 \x81", Some(charset));
        assert_eq!(decoded.as_deref(), Ok("näme € ™ \u{81}"), "{charset}");
    }
    assert_eq!(decode(b"name\n\nBj\xf6rn\n", None), Err(NotText::NotUtf8(3)));
    let words = NotText::NotUtf8(3).to_string();
    assert_eq!(words, "line 3 is not UTF-8: save it as UTF-8, or send charset=iso-8859-1");
    assert_eq!(decode(b"\xff\xfen\0a\0", None), Err(NotText::Utf16));
    assert_eq!(decode(b"\xfe\xff\0n\0a", Some("iso-8859-1")), Err(NotText::Utf16));
    assert_eq!(decode(b"name", Some("koi8-r")), Err(NotText::Charset("koi8-r".to_owned())));
}

#[test]
fn cells_that_look_like_formulas_are_defused() {
    for (cell, defused) in [
        ("=1+1", "'=1+1"),
        ("+1+1", "'+1+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\tx", "'\tx"),
        ("\rx", "'\rx"),
        ("+", "'+"),
        ("+39 333", "'+39 333"),
        ("+393331000001", "+393331000001"),
        ("+٣٩", "'+٣٩"),
        ("'=1", "''=1"),
        ("''=1", "'''=1"),
        ("'+39", "''+39"),
        ("'quoted'", "'quoted'"),
        ("a=1", "a=1"),
        ("", ""),
    ] {
        assert_eq!(defuse(cell), defused);
        assert_eq!(restore(defused), cell);
    }
    // As a spreadsheet user types it.
    assert_eq!(restore("'+393331000001"), "+393331000001");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_defused_is_harmless_and_can_be_restored(cell in "['=+@\t\r0-9x-]{0,6}|.*") {
        let defused = defuse(&cell);
        prop_assert_eq!(restore(&defused), cell.as_str());
        let number = defused.strip_prefix('+').is_some_and(|digits| digits.parse::<f64>().is_ok() && !digits.contains(['+', '-']));
        prop_assert!(number || !defused.starts_with(['=', '+', '-', '@', '\t', '\r']), "{:?}", defused);
    }
}

const HEADER: &str = "id,start_at,end_at,priority\n";

/// The ids of the good rows with their lines, and the bad rows.
fn read(text: &str) -> (Vec<(u64, String)>, Vec<BadRow>) {
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for row in windows::read(text).expect("a header") {
        match row {
            Ok((line, row)) => good.push((line, row.id.unwrap_or_default())),
            Err(row) => bad.push(row),
        }
    }
    (good, bad)
}

fn row(id: &str) -> String {
    format!("{id},2024-03-01 08:00,2024-03-02 08:00,1\n")
}

#[test]
fn each_row_is_known_by_its_line() {
    let text = format!("{HEADER}{}\n\r\n,,,\n  \n{}\"a\nb\",2024-03-01 08:00,x,1\n{}", row("1"), row("2"), row("3"));
    let (good, bad_rows) = read(&text);
    assert_eq!(good, [(2, "1".to_owned()), (7, "2".to_owned()), (10, "3".to_owned())]);
    assert_eq!((bad_rows.len(), bad(8, Some("end_at"))(&bad_rows[0])), (1, true), "{bad_rows:?}");
    assert!(bad_rows[0].to_string().starts_with("line 8, column end_at: \"x\" is no time"), "{}", bad_rows[0]);
    assert_eq!(read(&text.replace('\n', "\r\n").replace("\r\r", "\r")).0, good);
}

#[test]
fn commas_or_semicolons_part_the_cells() {
    let text = "id;\"start_at\";end_at;priority\n1;2024-03-01 08:00;2024-03-02 08:00;1\n";
    assert_eq!(read(text).0, [(2, "1".to_owned())]);
    assert_eq!(
        read("ID , Start_At,END_AT,priority,\n1,2024-03-01 08:00,2024-03-02 08:00,1,\n").0,
        [(2, "1".to_owned())]
    );
    let text = format!("\u{feff}{HEADER}{}", row("1"));
    assert_eq!(read(&decode(text.as_bytes(), None).expect("text")).0, [(2, "1".to_owned())]);
}

#[test]
fn a_header_that_does_not_fit_is_refused() {
    let refused = |text: &str| windows::read(text).err();
    assert_eq!(refused(""), Some(HeaderError::Empty));
    assert_eq!(refused("\n\n"), Some(HeaderError::Empty));
    assert_eq!(refused("id,start_at,end_at\n"), Some(HeaderError::Missing("priority")));
    assert_eq!(refused("start_at,end_at,priority\n"), Some(HeaderError::Missing("id")));
    assert_eq!(refused("id,start_at,end_at,priority,ID\n"), Some(HeaderError::Twice("id".to_owned())));
    let unknown = refused("id,colour,start_at,end_at,priority,size\n").expect("unknown columns").to_string();
    assert_eq!(unknown, "unknown columns: colour, size; known are: id, name, surname, start_at, end_at, priority");
    assert_eq!(refused(&"x,".repeat(299)), Some(HeaderError::TooMany(300)));
    let blank = |count: usize| refused(&format!("id,start_at,end_at,priority{}\n", ",".repeat(count - 4)));
    assert_eq!((blank(MOST_COLUMNS), blank(MOST_COLUMNS + 1)), (None, Some(HeaderError::TooMany(101))));
}

#[test]
fn an_enormous_cell_costs_its_row_and_no_other() {
    let huge = "x".repeat(10 << 20);
    let (good, bad_rows) =
        read(&format!("{HEADER}{}\"{huge}\n\",2024-03-01 08:00,2024-03-02 08:00,1\n{}", row("1"), row("2")));
    assert_eq!(good, [(2, "1".to_owned()), (5, "2".to_owned())]);
    assert!(bad(3, Some("id"))(&bad_rows[0]) && bad_rows[0].reason.contains("10485761 bytes"), "{bad_rows:?}");
    let cell = |length| read(&format!("{HEADER}{}", row(&"x".repeat(length)))).0.len();
    assert_eq!((cell(LONGEST_CELL), cell(LONGEST_CELL + 1)), (1, 0));
}

#[test]
fn a_quote_that_is_never_closed_is_named() {
    let (good, bad_rows) = read(&format!("{HEADER}{}\"2,2024-03-01 08:00,2024-03-02 08:00,1\n{}", row("1"), row("3")));
    assert_eq!(good, [(2, "1".to_owned())]);
    assert!(bad(3, Some("id"))(&bad_rows[0]) && bad_rows[0].reason.contains("never closed"), "{bad_rows:?}");
    // Closed, with quotes inside, at the end of the file.
    let (good, _) = read(&format!("{HEADER}\"a\n\"\"b\"\"\",2024-03-01 08:00,2024-03-02 08:00,1"));
    assert_eq!(good, [(2, "a\n\"b\"".to_owned())]);
}

#[test]
fn cells_may_be_missing_but_not_nameless() {
    let (good, bad_rows) =
        read(&format!("{HEADER}1,2024-03-01 08:00\n{}, \n{},x\n", row("2").trim_end(), row("3").trim_end()));
    assert_eq!(good, [(3, "2".to_owned())]);
    assert_eq!(bad_rows.len(), 2);
    assert!(bad(2, Some("end_at"))(&bad_rows[0]), "{bad_rows:?}");
    assert!(bad(4, Some("5"))(&bad_rows[1]) && bad_rows[1].reason.contains("no name"), "{bad_rows:?}");
}

#[test]
fn more_rows_than_the_limit_are_left_out() {
    let mut text = HEADER.to_owned();
    for n in 0..MOST_ROWS + 2 {
        write!(text, "{}", row(&n.to_string())).expect("a text");
    }
    let (good, bad_rows) = read(&text);
    assert_eq!(good.len(), MOST_ROWS);
    assert_eq!(bad_rows.len(), 1);
    assert!(bad(100_002, None)(&bad_rows[0]) && bad_rows[0].reason.contains("more than 100000 rows"), "{bad_rows:?}");
}

#[test]
fn times_are_local_or_instants() {
    let parsed = |text: &str| text.parse::<LocalOrInstant>();
    for text in ["2024-03-01 08:00", "2024-03-01T08:00", " 2024-03-01 08:00:00 ", "2024-03-01t08:00:00.000000"] {
        assert_eq!(parsed(text), Ok(at("2024-03-01 08:00")), "{text}");
    }
    for text in [
        "2024-03-01T08:00Z ",
        "2024-03-01 08:00:00.0 z",
        "2024-03-01T09:00+01:00",
        "2024-03-01 09:00:00 +0100",
        "2024-03-01 03:00:00-05",
    ] {
        assert_eq!(parsed(text), Ok(LocalOrInstant::Instant(utc("2024-03-01 08:00"))), "{text}");
    }
    for text in [
        "",
        "soon",
        "2024-03-01",
        "2024-02-30 08:00",
        "2024-03-01 25:00",
        "01/03/2024 08:00",
        "2024-03-01 08:00 Europe/Rome",
    ] {
        assert!(parsed(text).expect_err(text).contains("is no time"), "{text}");
    }
    for text in ["2024-03-01 08:00:00", "2024-03-01 08:00:00.500", "2024-03-01T08:00:00Z"] {
        assert_eq!(parsed(text).expect("a time").to_string(), text);
    }
}

#[test]
fn the_predecessors_calendar_is_read_and_written() {
    let text = include_str!("../../../tests/fixtures/exchange/calendar.csv");
    let rows: Vec<(u64, WindowRow)> =
        windows::read(text).expect("a header").collect::<Result<_, _>>().expect("good rows");
    let second = WindowRow {
        id: Some("4".to_owned()),
        name: "Jürgen".to_owned(),
        surname: "Weiß".to_owned(),
        start_at: at("2024-03-08 08:00"),
        end_at: at("2024-03-15 08:00"),
        priority: 1,
    };
    assert_eq!((rows.len(), &rows[1]), (4, &(3, second)));
    let written = windows::write(rows.iter().map(|(_, row)| row));
    assert_eq!(String::from_utf8(written).expect("text"), text);
}

#[test]
fn a_window_needs_somebody_a_length_and_a_priority() {
    for (row, column) in [
        (",2024-03-01 08:00,2024-03-02 08:00,1", "id"),
        ("1,2024-03-01 08:00,2024-03-01 08:00,1", "end_at"),
        ("1,2024-03-01 08:00,2024-02-28 08:00,1", "end_at"),
        ("1,2024-03-01 08:00Z,2024-03-01 09:00+01,1", "end_at"),
        ("1,x,2024-02-28 08:00,1", "start_at"),
        ("1,2024-03-01 08:00,2024-03-02 08:00,", "priority"),
        ("1,2024-03-01 08:00,2024-03-02 08:00,1.5", "priority"),
    ] {
        let (good, bad_rows) = read(&format!("{HEADER}{row}\n"));
        assert!(good.is_empty() && bad(2, Some(column))(&bad_rows[0]), "{row}: {bad_rows:?}");
    }
    // One local, the other an instant: only who knows the zone can tell.
    assert_eq!(read(&format!("{HEADER}1,2024-03-01 08:00,2024-02-28 08:00Z,-7\n")).0.len(), 1);
}
