//! Contact cards.

use super::super::{
    lines,
    vcard::{Card, CardAddress, CardNumber, NumberKind, write},
};

fn ada() -> Card {
    Card {
        uid: "ada-1".to_owned(),
        name: "Ada".to_owned(),
        surname: "Ferri".to_owned(),
        numbers: vec![
            CardNumber { number: "+393331000001".to_owned(), kind: NumberKind::Mobile },
            CardNumber { number: "+39061000001".to_owned(), kind: NumberKind::Work },
        ],
        email: Some("ada@example.org".to_owned()),
        address: Some(CardAddress {
            street: "Via Roma 1; int. 2".to_owned(),
            city: "Roma".to_owned(),
            zip_code: "00100".to_owned(),
            ..CardAddress::default()
        }),
        note: "one, two\nthree \\ four".to_owned(),
        categories: vec!["db".to_owned(), "a,b".to_owned()],
    }
}

#[test]
fn a_card_has_all_its_parts() {
    let expected = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "N:Ferri;Ada;;;",
        "FN:Ada Ferri",
        "TEL;TYPE=CELL,PREF:+393331000001",
        "TEL;TYPE=WORK,VOICE:+39061000001",
        "EMAIL;TYPE=INTERNET:ada@example.org",
        r"ADR:;;Via Roma 1\; int. 2;Roma;;00100;",
        r"NOTE:one\, two\nthree \\ four",
        r"CATEGORIES:db,a\,b",
        "UID:ada-1",
        "END:VCARD",
        "",
    ];
    assert_eq!(write([&ada()]), expected.join("\r\n"));
    assert_eq!(write([&ada(), &ada()]), [expected.join("\r\n"), expected.join("\r\n")].concat());
    assert_eq!(write([]), "");
}

#[test]
fn what_is_empty_is_left_out() {
    let number = |kind| CardNumber { number: "+1".to_owned(), kind };
    let card = Card {
        uid: "us".to_owned(),
        name: "ringdown".to_owned(),
        numbers: vec![number(NumberKind::Voice), number(NumberKind::Home)],
        ..Card::default()
    };
    let expected = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "N:;ringdown;;;",
        "FN:ringdown",
        "TEL;TYPE=VOICE,PREF:+1",
        "TEL;TYPE=HOME,VOICE:+1",
        "UID:us",
        "END:VCARD",
        "",
    ];
    assert_eq!(write([&card]), expected.join("\r\n"));
}

#[test]
fn no_text_can_begin_a_line() {
    for end in ["\r\n", "\n", "\r", "\u{2028}", "\u{85}", "\u{b}", "\u{c}"] {
        let evil = format!("Ada{end}TEL:+900{end}END:VCARD");
        let card = Card {
            uid: evil.clone(),
            name: evil.clone(),
            surname: evil.clone(),
            numbers: vec![CardNumber { number: evil.clone(), kind: NumberKind::Mobile }],
            email: Some(evil.clone()),
            address: Some(CardAddress { street: evil.clone(), country: evil.clone(), ..CardAddress::default() }),
            note: evil.clone(),
            categories: vec![evil],
        };
        let text = write([&card]);
        let unfolded = text.replace("\r\n ", "");
        let names: Vec<&str> =
            unfolded.split("\r\n").map(|line| line.split([':', ';']).next().unwrap_or_default()).collect();
        let expected = ["BEGIN", "VERSION", "N", "FN", "TEL", "EMAIL", "ADR", "NOTE", "CATEGORIES", "UID", "END", ""];
        assert_eq!(names, expected, "{end:?}: {text}");
        assert!(!unfolded.replace("\r\n", "").contains(char::is_control), "{end:?}: {text:?}");
    }
    assert_eq!(lines::escaped("a\r\nb\nc\rd\0e\tf"), "a\\nb\\nc\\nde\tf");
}

#[test]
fn long_lines_are_folded_between_characters() {
    for (text, folds) in [
        ("x".repeat(73), 0),
        ("x".repeat(74), 1),
        ("x".repeat(73 + 74), 1),
        ("x".repeat(73 + 75), 2),
        ("é".repeat(36), 0),
        ("é".repeat(37), 1),
        ("🙂".repeat(100), 5),
    ] {
        let mut out = String::new();
        lines::push(&mut out, "N", &text);
        assert_eq!(out.matches("\r\n ").count(), folds, "{out}");
        assert!(out.split("\r\n").all(|line| line.len() <= 75), "{out}");
        assert_eq!(out.replace("\r\n ", ""), format!("N:{text}\r\n"));
    }
}
