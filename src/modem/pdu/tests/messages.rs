//! Whole messages: vectors that others have published, fields, times, addresses, status reports.

use chrono::{DateTime, FixedOffset, TimeDelta};

use super::super::{
    Address, BadAddress, Body, Coding, Concatenation, Content, DecodeError, Deliver, Element, EncodeError, Fate,
    Incoming, Kind, Pdu, Reference, Status, StatusReport, Submit, Validity,
};

fn at(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(text).unwrap()
}

fn number(text: &str) -> Address {
    text.parse().unwrap()
}

fn deliver(hex: &str) -> Deliver {
    match Incoming::decode(&Pdu::from_hex(hex).unwrap()).unwrap() {
        Incoming::Deliver(deliver) => deliver,
        Incoming::Report(_) => panic!("a report"),
    }
}

#[test]
fn a_well_known_submit_is_written_and_read() {
    let mut submit = Submit::new(number("+46708251358"), Content::whole(Body::of("hellohello")));
    submit.validity = Some(Validity::at_most(TimeDelta::days(4)));
    let pdu = submit.encode().unwrap();
    assert_eq!(pdu.to_hex(), "0011000B916407281553F80000AA0AE8329BFD4697D9EC37");
    assert_eq!(pdu.length(), 23);
    assert_eq!(Submit::decode(&pdu).unwrap(), submit);
}

#[test]
fn a_well_known_deliver_is_read() {
    let read = deliver("07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37");
    assert_eq!(read.smsc.unwrap().to_string(), "+27381000015");
    let sender = read.sender.unwrap();
    assert_eq!((sender.kind(), sender.text()), (Kind::Subscriber, "27838890001"));
    assert_eq!(read.at, Some(at("1999-03-29T15:16:59+02:00")));
    assert_eq!(read.content.body.text().as_deref(), Some("hellohello"));
    assert!(!read.more && !read.report && !read.reply_path);
}

#[test]
fn all_that_a_submit_can_say_comes_back() {
    for validity in [
        None,
        Some(Validity::Relative(0)),
        Some(Validity::Absolute(at("2026-02-28T23:59:59-09:30"))),
        Some(Validity::Enhanced([1, 2, 3, 0, 0, 0, 0])),
    ] {
        for flags in 0..8_u8 {
            let reference = if flags & 1 == 0 { Reference::Short(200) } else { Reference::Long(60_000) };
            let submit = Submit {
                smsc: (flags & 2 != 0).then(|| number("+491710760000")),
                reference: 77,
                destination: number("22000"),
                protocol: 0x41,
                validity,
                report: flags & 1 != 0,
                reject_duplicates: flags & 2 != 0,
                reply_path: flags & 4 != 0,
                content: Content {
                    coding: Coding(0x18),
                    concatenation: (flags & 4 != 0).then_some(Concatenation { reference, total: 3, number: 2 }),
                    elements: vec![Element { id: 0x05, data: vec![0x0b, 0x84, 0x23, 0xf0] }],
                    body: Body::Ucs2("žluť 😀".encode_utf16().collect()),
                },
            };
            assert_eq!(Submit::decode(&submit.encode().unwrap()), Ok(submit));
        }
    }
}

#[test]
fn what_does_not_fit_or_is_not_what_it_says_is_refused() {
    let encode = |content| Submit::new(number("112"), content).encode().map(|_| ());
    assert_eq!(encode(Content::whole(Body::of(&"a".repeat(161)))), Err(EncodeError::TooLong));
    assert_eq!(encode(Content::whole(Body::of(&"ж".repeat(71)))), Err(EncodeError::TooLong));
    assert_eq!(encode(Content::whole(Body::Data(vec![0; 141]))), Err(EncodeError::TooLong));
    assert_eq!(encode(Content::whole(Body::Data(vec![0; 140]))), Ok(()));
    let long = |length| Element { id: 0x70, data: vec![0; length] };
    let with = |elements| Content { elements, ..Content::whole(Body::Data(Vec::new())) };
    assert_eq!(encode(with(vec![long(256)])), Err(EncodeError::TooLong));
    assert_eq!(encode(with(vec![long(200), long(200)])), Err(EncodeError::TooLong));
    assert_eq!(encode(Content { coding: Coding::UCS2, ..Content::whole(Body::of("a")) }), Err(EncodeError::Coding));
}

#[test]
fn every_kind_of_address_comes_back() {
    let same = |address: Address| {
        let mut submit = Submit::new(address.clone(), Content::whole(Body::of("")));
        submit.smsc = (address.kind() != Kind::Alphanumeric).then(|| address.clone());
        let read = Submit::decode(&submit.encode().unwrap()).unwrap();
        assert_eq!((read.destination, read.smsc), (address, submit.smsc));
    };
    for digits in ["1", "12", "112", "22000", "4915112345678", "12345678901234567890", "*100#", "#31#49"] {
        for kind in [
            Kind::Unknown,
            Kind::International,
            Kind::National,
            Kind::NetworkSpecific,
            Kind::Subscriber,
            Kind::Abbreviated,
            Kind::Reserved,
        ] {
            same(Address::new(kind, digits).unwrap());
        }
    }
    for name in ["A", "Bank", "Ringdow", "Ringdown", "Design@Home", "€€€€€", "a\u{e4}\u{f6}\u{fc}"] {
        same(Address::new(Kind::Alphanumeric, name).unwrap());
    }
}

#[test]
fn a_name_is_read_however_its_length_was_counted() {
    // "Ringdow" as 13 semi-octets, and as 14, where an eighth septet of zero bits looks like an @.
    for length in ["0D", "0E"] {
        let read = deliver(&format!("0004{length}D0D2B4FB4C7EDF0100000000000000000000"));
        assert_eq!(read.sender.unwrap().text(), "Ringdow");
        assert_eq!(read.at, None, "the 0th of a 0th month is no day");
    }
}

#[test]
fn what_is_no_number_is_refused_and_not_mended() {
    for (text, why) in [
        ("", BadAddress::Empty),
        ("+", BadAddress::Empty),
        ("+4915112345678\r", BadAddress::Character),
        ("+49151\n12345678", BadAddress::Character),
        ("112\u{1a}", BadAddress::Character),
        ("\u{1b}112", BadAddress::Character),
        ("112\"", BadAddress::Character),
        ("+49 151", BadAddress::Character),
        ("++49151", BadAddress::Character),
        ("Bank", BadAddress::Character),
        ("abc", BadAddress::Character),
        ("٠١٢", BadAddress::Character),
        ("123456789012345678901", BadAddress::TooLong),
    ] {
        assert_eq!(text.parse::<Address>(), Err(why), "{text:?}");
    }
    assert_eq!(Address::new(Kind::Alphanumeric, "twelve chars"), Err(BadAddress::TooLong));
    assert_eq!(Address::new(Kind::Alphanumeric, "€€€€€€"), Err(BadAddress::TooLong));
    assert_eq!(Address::new(Kind::Alphanumeric, "Баня"), Err(BadAddress::Character));
}

#[test]
fn time_stamps_keep_their_zone() {
    for text in [
        "2026-11-21T22:17:51+01:00",
        "2026-02-28T00:00:00+00:00",
        "2024-02-29T23:59:59-03:30",
        "2089-12-31T12:34:56+05:45",
        "1990-01-01T00:00:00-12:00",
        "2026-06-01T06:07:08+14:00",
    ] {
        let report = StatusReport {
            smsc: None,
            reference: 255,
            recipient: Some(number("+4915112345678")),
            submitted: Some(at(text)),
            at: Some(at("2026-01-01T00:00:01+00:00")),
            status: Status(0),
            more: true,
        };
        assert_eq!(Incoming::decode(&report.encode()), Ok(Incoming::Report(report)), "{text}");
    }
    // Nobody's zone is a third of a quarter: the instant stays.
    let odd = at("2026-06-01T06:07:08+05:53");
    let report = StatusReport {
        smsc: None,
        reference: 0,
        recipient: None,
        submitted: Some(odd),
        at: None,
        status: Status(0x46),
        more: false,
    };
    let Ok(Incoming::Report(read)) = Incoming::decode(&report.encode()) else { panic!("a report") };
    assert_eq!((read.submitted, read.recipient, read.at), (Some(odd), None, None));
}

#[test]
fn a_validity_is_never_longer_than_asked_for_and_never_none() {
    for (asked, octet, minutes) in [
        (0, 0, 5),
        (5, 0, 5),
        (9, 0, 5),
        (10, 1, 10),
        (720, 143, 720),
        (749, 143, 720),
        (750, 144, 750),
        (1440, 167, 1440),
        (2 * 1440, 168, 2 * 1440),
        (30 * 1440, 196, 30 * 1440),
        (5 * 7 * 1440, 197, 5 * 7 * 1440),
        (9_999_999, 255, 63 * 7 * 1440),
    ] {
        let validity = Validity::at_most(TimeDelta::minutes(asked));
        assert_eq!(validity, Validity::Relative(octet), "{asked}");
        assert_eq!(validity.length(), Some(TimeDelta::minutes(minutes)));
    }
}

#[test]
fn every_status_means_one_thing() {
    for (octet, fate, name) in [
        (0x00, Fate::Delivered, "received by the SME"),
        (0x01, Fate::Delivered, "forwarded to the SME, but delivery cannot be confirmed"),
        (0x1f, Fate::Delivered, "of the service centre's own"),
        (0x20, Fate::StillTrying, "congestion"),
        (0x30, Fate::StillTrying, "of the service centre's own"),
        (0x46, Fate::FailedForGood, "validity period expired"),
        (0x5f, Fate::FailedForGood, "of the service centre's own"),
        (0x62, Fate::GivenUp, "no response from the SME"),
        (0x7f, Fate::GivenUp, "of the service centre's own"),
        // 9.2.3.15: reserved ones are service rejected.
        (0x03, Fate::GivenUp, "reserved"),
        (0x2f, Fate::GivenUp, "reserved"),
        (0x4a, Fate::GivenUp, "reserved"),
        (0xff, Fate::GivenUp, "reserved"),
    ] {
        assert_eq!((Status(octet).fate(), Status(octet).name()), (fate, name), "{octet:#04x}");
    }
}

#[test]
fn a_header_that_cannot_be_right_costs_no_text() {
    let text = |header: &str, rest: &str| {
        let octets = header.len() / 2 + rest.len() / 2;
        deliver(&format!("004403911121000862111222222220{octets:02X}{header}{rest}")).content
    };
    // Part 3 of 2, part 0, an element that is longer than the header.
    for header in ["050003AA0203", "050003AA0200", "050003AA0000", "0500FFAA0201"] {
        let content = text(header, "0041");
        assert_eq!((content.concatenation, content.body.text().as_deref()), (None, Some("A")), "{header}");
    }
    let content = text("050003AA0201", "0041");
    assert!(content.concatenation.is_some());
}

#[test]
fn what_ends_too_soon_is_an_error_at_every_octet() {
    let whole = "07917283010010F5040BC87238880900F10000993092516195800AE8329BFD4697D9EC37";
    for end in (0..whole.len()).step_by(2) {
        assert_eq!(Incoming::decode(&Pdu::from_hex(&whole[..end]).unwrap()), Err(DecodeError::Short), "{end}");
    }
    assert_eq!(Pdu::from_hex("0G"), Err(DecodeError::Hex));
    assert_eq!(Pdu::from_hex("000"), Err(DecodeError::Hex));
    assert_eq!(Pdu::from_hex(&"00".repeat(257)), Err(DecodeError::Long));
    assert_eq!(Incoming::decode(&Pdu::from_hex("0001").unwrap()), Err(DecodeError::Type(1)));
    assert_eq!(Incoming::decode(&Pdu::from_hex("0003").unwrap()), Err(DecodeError::Type(3)));
}
