//! Over anything at all: what is written comes back, and nothing makes it panic.

use chrono::DateTime;
use proptest::{collection::vec, option, prelude::*, sample::select};

use super::{
    super::{
        Address, Alphabet, Body, Coding, Content, Deliver, Element, Incoming, Kind, Pdu, Reassembly, Submit, Text,
        Validity, Width,
    },
    alphabet::{BASIC, EXTENDED},
};

/// Texts that lie around the boundaries, of what is awkward there.
fn texts() -> impl Strategy<Value = String> {
    let gsm7: Vec<char> = BASIC.chars().chain(EXTENDED.chars().cycle().take(60)).collect();
    let wide: Vec<char> = "aé€[ж中😀👩\u{200d}\u{301}\u{fe0f}🇩🇪שלוםمرحبا \r\n".chars().collect();
    let of = |characters: Vec<char>, most| {
        vec(select(characters), 0..most).prop_map(|characters| characters.into_iter().collect::<String>())
    };
    prop_oneof![of(gsm7, 700), of(wide, 300), any::<String>()]
}

fn widths() -> impl Strategy<Value = Width> {
    select(vec![Width::Short, Width::Long])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_text_arrives_as_it_was_written(text in texts(), width in widths(), reference in any::<u16>()) {
        let split = Text::split(&text, 255, width);
        prop_assume!(!split.is_cut());
        let fits = text.chars().all(|c| BASIC.contains(c) || EXTENDED.contains(c));
        prop_assert_eq!(split.alphabet(), if fits { Alphabet::Gsm7 } else { Alphabet::Ucs2 });
        let mut reassembly = Reassembly::default();
        let mut arrived = Vec::new();
        let now = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        for (content, part) in split.contents(reference).zip(split.parts()) {
            let submit = Submit::new("+4915112345678".parse().unwrap(), content);
            let read = Submit::decode(&submit.encode().unwrap()).unwrap();
            prop_assert_eq!(&read, &submit);
            // Each part is whole characters.
            prop_assert_eq!(read.content.body.text(), Some(part.clone()));
            arrived.extend(reassembly.add(None, &read.content, now));
        }
        prop_assert_eq!(arrived.len(), 1);
        prop_assert_eq!(arrived[0].text(), Some(text));
    }

    #[test]
    fn a_text_takes_no_more_parts_than_it_needs(text in texts(), width in widths()) {
        let split = Text::split(&text, 255, width);
        prop_assume!(!split.is_cut());
        // Greedily, character by character.
        let (alone, room) = match (split.alphabet(), width) {
            (Alphabet::Gsm7, Width::Short) => (160, 153),
            (Alphabet::Gsm7, Width::Long) => (160, 152),
            (_, Width::Short) => (70, 67),
            (_, Width::Long) => (70, 66),
        };
        let cost = |c: char| match split.alphabet() {
            Alphabet::Gsm7 => 1 + usize::from(EXTENDED.contains(c)),
            _ => c.len_utf16(),
        };
        let all: usize = text.chars().map(cost).sum();
        let mut parts = 1;
        if all > alone {
            let mut taken = 0;
            for c in text.chars() {
                if taken + cost(c) > room {
                    parts += 1;
                    taken = 0;
                }
                taken += cost(c);
            }
        }
        prop_assert_eq!(split.parts().len(), parts);
    }

    #[test]
    fn a_cut_text_is_the_beginning_and_a_mark(text in texts(), most in 0_usize..4, width in widths()) {
        let split = Text::split(&text, most, width);
        prop_assert!(split.parts().len() <= most.max(1));
        for content in split.contents(1) {
            prop_assert!(Submit::new("112".parse().unwrap(), content).encode().is_ok());
        }
        let arrived = split.parts().concat();
        if split.is_cut() {
            let mark = if split.alphabet() == Alphabet::Gsm7 { "..." } else { "…" };
            prop_assert!(text.starts_with(arrived.strip_suffix(mark).unwrap()));
        } else {
            prop_assert_eq!(arrived, text);
        }
    }

    #[test]
    fn whatever_is_asked_for_is_written_or_refused(
        elements in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..3),
        units in vec(any::<u16>(), 0..200),
        coding in any::<u8>(),
        kind in 0..3,
        year in any::<i64>(),
    ) {
        let octets: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        let content = Content {
            coding: Coding(coding),
            concatenation: None,
            elements: elements.into_iter().map(|(id, data)| Element { id, data }).collect(),
            body: match kind { 0 => Body::Ucs2(units), 1 => Body::Gsm7(octets), _ => Body::Data(octets) },
        };
        let mut submit = Submit::new("112".parse().unwrap(), content);
        submit.validity = DateTime::from_timestamp(year, 0).map(|at| Validity::Absolute(at.fixed_offset()));
        let _ = submit.encode();
    }

    #[test]
    fn whatever_comes_is_read_or_refused_and_what_is_read_can_be_written(octets in vec(any::<u8>(), 0..256)) {
        let pdu = Pdu::from_hex(&hex::encode(&octets)).unwrap();
        let _ = Submit::decode(&pdu);
        if let Ok(Incoming::Deliver(deliver)) = Incoming::decode(&pdu) {
            let _ = deliver.content.body.text();
            let _ = deliver.encode();
        }
        let _ = pdu.length();
    }

    /// Octets at random are seldom messages: these are, but for one octet.
    #[test]
    fn a_message_with_a_wrong_octet_is_read_or_refused(
        text in texts(), place in any::<prop::sample::Index>(), octet in any::<u8>(), name in option::of("[a-zA-Z]{1,11}"),
    ) {
        let content = Text::split(&text, 3, Width::Short).contents(1).last().unwrap();
        let sender = name.map(|name| Address::new(Kind::Alphanumeric, &name).unwrap());
        let deliver = Deliver {
            smsc: None, sender, protocol: 0, at: None, more: false, report: true, reply_path: false, content,
        };
        let pdu = deliver.encode().unwrap();
        prop_assert_eq!(Incoming::decode(&pdu), Ok(Incoming::Deliver(deliver)));
        let mut octets = pdu.octets().to_vec();
        let place = place.index(octets.len());
        octets[place] = octet;
        let _ = Incoming::decode(&Pdu::from_hex(&hex::encode(octets)).unwrap());
    }
}
