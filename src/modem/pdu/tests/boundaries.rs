//! How many parts a text takes, at every length at which that changes, and where it is parted.

use super::super::{Alphabet, Body, Reference, Submit, Text, Width};

/// The lengths of the parts, in units.
fn lengths(text: &Text) -> Vec<usize> {
    text.contents(7)
        .map(|content| match content.body {
            Body::Gsm7(septets) => septets.len(),
            Body::Ucs2(units) => units.len(),
            Body::Data(_) => panic!("a text is no data"),
        })
        .collect()
}

fn split(text: &str) -> Text {
    let split = Text::split(text, 255, Width::Short);
    assert_eq!(split.parts().concat(), text, "nothing is lost");
    assert!(!split.is_cut());
    for content in split.contents(0x1234) {
        Submit::new("+4915112345678".parse().unwrap(), content).encode().expect("each part fits");
    }
    split
}

#[test]
fn gsm7_changes_at_160_and_then_at_every_153() {
    for (count, parts) in [
        (0, vec![0]),
        (1, vec![1]),
        (152, vec![152]),
        (153, vec![153]),
        (154, vec![154]),
        (159, vec![159]),
        (160, vec![160]),
        (161, vec![153, 8]),
        (305, vec![153, 152]),
        (306, vec![153, 153]),
        (307, vec![153, 153, 1]),
        (459, vec![153, 153, 153]),
        (460, vec![153, 153, 153, 1]),
    ] {
        let text = split(&"a".repeat(count));
        assert_eq!((lengths(&text), text.alphabet()), (parts, Alphabet::Gsm7), "{count}");
    }
    let long = Text::split(&"a".repeat(305), 255, Width::Long);
    assert_eq!(lengths(&long), [152, 152, 1]);
    let reference = |text: &Text| text.contents(0x1234).next().unwrap().concatenation.unwrap().reference;
    assert_eq!(reference(&long), Reference::Long(0x1234));
    assert_eq!(reference(&split(&"a".repeat(161))), Reference::Short(0x34));
}

#[test]
fn ucs2_changes_at_70_and_then_at_every_67() {
    for (count, parts) in [
        (69, vec![69]),
        (70, vec![70]),
        (71, vec![67, 4]),
        (133, vec![67, 66]),
        (134, vec![67, 67]),
        (135, vec![67, 67, 1]),
    ] {
        let text = split(&"ж".repeat(count));
        assert_eq!((lengths(&text), text.alphabet()), (parts, Alphabet::Ucs2), "{count}");
    }
    assert_eq!(lengths(&Text::split(&"ж".repeat(133), 255, Width::Long)), [66, 66, 1]);
    // One character that GSM-7 lacks is enough.
    assert_eq!(lengths(&split(&format!("{}ç", "a".repeat(70)))), [67, 4]);
}

#[test]
fn an_escape_pair_is_never_parted() {
    assert_eq!(lengths(&split(&"€".repeat(80))), [160]);
    // 76 pairs are 152: the 153rd septet stays empty.
    assert_eq!(lengths(&split(&"€".repeat(81))), [152, 10]);
    for before in 148..156 {
        let text = split(&format!("{}[{}", "a".repeat(before), "b".repeat(40)));
        assert!(text.parts().iter().all(|part| !part.is_empty()));
        let first = lengths(&text)[0];
        assert_eq!(first, if before == 152 { 152 } else { 153 }, "the bracket after {before}");
    }
}

#[test]
fn a_surrogate_pair_is_never_parted() {
    assert_eq!(lengths(&split(&"😀".repeat(35))), [70]);
    assert_eq!(lengths(&split(&"😀".repeat(36))), [66, 6]);
    for before in 60..70 {
        let text = split(&format!("{}😀{}", "ж".repeat(before), "ж".repeat(20)));
        let first = lengths(&text)[0];
        assert_eq!(first, if before == 66 { 66 } else { 67 }, "the emoji after {before}");
    }
}

#[test]
fn what_a_reader_takes_for_one_character_stays_together_unless_that_costs_a_message() {
    // A family, a flag, an accent, a skin tone: each would be parted at 67.
    for together in ["👨\u{200d}👩\u{200d}👧", "🇩🇪", "e\u{301}", "👍\u{1f3fd}", "\r\n"] {
        for before in 56..=66 {
            let text = split(&format!("{}{together}{}", "ж".repeat(before), "ж".repeat(20)));
            assert!(text.parts().iter().any(|part| part.contains(together)), "{together:?} after {before}");
        }
    }
    // Two full messages: room for everything, but not for keeping the accent with its letter.
    let full = format!("{}e\u{301}{}", "ж".repeat(66), "ж".repeat(66));
    assert_eq!(lengths(&split(&full)), [67, 67]);
    // An accent upon accents that no message could hold.
    let endless = format!("e{}", "\u{301}".repeat(300));
    assert_eq!(lengths(&split(&endless)), [67, 67, 67, 67, 33]);
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let cut = |text: &str, most| {
        let cut = Text::split(text, most, Width::Short);
        assert!(cut.is_cut() && cut.parts().len() <= most.max(1));
        for content in cut.contents(1) {
            Submit::new("112".parse().unwrap(), content).encode().expect("each part fits");
        }
        cut.parts().concat()
    };
    assert_eq!(cut(&"a".repeat(161), 1), format!("{}...", "a".repeat(157)));
    assert_eq!(cut(&"a".repeat(161), 0), format!("{}...", "a".repeat(157)));
    assert_eq!(cut(&"a".repeat(307), 2), format!("{}...", "a".repeat(303)));
    assert_eq!(cut(&"ж".repeat(71), 1), format!("{}…", "ж".repeat(69)));
    assert_eq!(cut(&"😀".repeat(36), 1), format!("{}…", "😀".repeat(34)));
    assert_eq!(cut(&"€".repeat(81), 1), format!("{}...", "€".repeat(78)));
    // What needed UCS-2 is not there any more: twice as much of the rest arrives.
    assert_eq!(cut(&format!("{}😀", "a".repeat(200)), 1), format!("{}...", "a".repeat(157)));
    assert_eq!(
        cut(&format!("{}😀{}", "a".repeat(60), "b".repeat(100)), 1),
        format!("{}😀{}…", "a".repeat(60), "b".repeat(7))
    );
    assert_eq!(Text::split(&"a".repeat(153 * 255), 9999, Width::Short).parts().len(), 255);
    assert!(Text::split(&"a".repeat(153 * 255 + 1), 9999, Width::Short).is_cut());
    assert!(!Text::split(&"a".repeat(160), 1, Width::Short).is_cut());
}
