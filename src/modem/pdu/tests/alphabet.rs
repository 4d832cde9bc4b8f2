//! The alphabet, its packing, and the data coding scheme.

use super::super::{
    Alphabet, Class, Coding, Mailbox, Waiting,
    gsm7::{cost, decode, encode, pack, unpack},
};

/// All that GSM-7 has, as 23.038 lists it, without the escape.
pub(super) const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?\
    ¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
pub(super) const EXTENDED: &str = "\u{0c}^{}\\[~]|€";

#[test]
fn every_character_takes_its_septets_and_comes_back() {
    assert_eq!((BASIC.chars().count(), EXTENDED.chars().count()), (127, 10));
    for (characters, septets) in [(BASIC, 1), (EXTENDED, 2)] {
        for character in characters.chars() {
            let text = character.to_string();
            assert_eq!(cost(character), Some(septets), "{character:?}");
            assert_eq!(decode(&encode(&text).unwrap()), text);
        }
    }
    for lacking in "çÀâ‘’“”–…\t\u{1b}\u{0}😀Ж`".chars() {
        assert_eq!(cost(lacking), None, "{lacking:?}");
    }
}

#[test]
fn the_places_in_the_tables_are_the_specifications() {
    // The escape has the place between.
    for (character, place) in BASIC.chars().zip((0..0x1b).chain(0x1c..)) {
        assert_eq!(encode(&character.to_string()), Some(vec![place]), "{character:?}");
    }
    for (character, septets) in [
        ('@', vec![0x00]),
        ('$', vec![0x02]),
        ('Ç', vec![0x09]),
        ('\n', vec![0x0a]),
        ('Δ', vec![0x10]),
        ('_', vec![0x11]),
        ('Ξ', vec![0x1a]),
        ('É', vec![0x1f]),
        ('¤', vec![0x24]),
        ('¡', vec![0x40]),
        ('§', vec![0x5f]),
        ('¿', vec![0x60]),
        ('à', vec![0x7f]),
        ('€', vec![0x1b, 0x65]),
        ('[', vec![0x1b, 0x3c]),
        ('\u{0c}', vec![0x1b, 0x0a]),
    ] {
        assert_eq!(encode(&character.to_string()), Some(septets), "{character:?}");
    }
}

#[test]
fn an_escape_that_leads_nowhere_is_no_end_of_the_text() {
    assert_eq!(decode(&[0x1b]), " ");
    assert_eq!(decode(&[0x1b, 0x1b, 0x41]), " A");
    // 6.2.1.1: what the extension table lacks is shown as in the basic one.
    assert_eq!(decode(&[0x1b, 0x41, 0x42]), "AB");
}

#[test]
fn septets_are_packed_as_everybody_packs_them() {
    let septets = encode("hellohello").unwrap();
    let octets = pack(&septets, 0);
    assert_eq!(hex::encode_upper(&octets), "E8329BFD4697D9EC37");
    assert_eq!(unpack(&octets, 0, 10), septets);
    for fill in 0..7 {
        for count in 0..=17 {
            let septets: Vec<u8> = (0..count).map(|nth: u8| nth.wrapping_mul(37) & 0x7f).collect();
            let octets = pack(&septets, fill);
            assert_eq!(octets.len(), (fill + septets.len() * 7).div_ceil(8));
            assert_eq!(unpack(&octets, fill, septets.len()), septets);
        }
    }
    assert_eq!(unpack(&[0xff], 0, 5), [0x7f], "no more than there is");
}

#[test]
fn all_groups_of_codings_are_told_apart() {
    for (octet, alphabet, class) in [
        (0x00, Alphabet::Gsm7, None),
        (0x04, Alphabet::Data, None),
        (0x08, Alphabet::Ucs2, None),
        (0x0c, Alphabet::Gsm7, None),
        (0x10, Alphabet::Gsm7, Some(Class::Immediate)),
        (0x15, Alphabet::Data, Some(Class::Phone)),
        (0x1a, Alphabet::Ucs2, Some(Class::Sim)),
        (0x03, Alphabet::Gsm7, None),
        (0x20, Alphabet::Data, None),
        (0x28, Alphabet::Data, None),
        (0x40, Alphabet::Gsm7, None),
        (0x58, Alphabet::Ucs2, Some(Class::Immediate)),
        (0x60, Alphabet::Data, None),
        (0x80, Alphabet::Gsm7, None),
        (0xb4, Alphabet::Gsm7, None),
        (0xc8, Alphabet::Gsm7, None),
        (0xd0, Alphabet::Gsm7, None),
        (0xe8, Alphabet::Ucs2, None),
        (0xf0, Alphabet::Gsm7, Some(Class::Immediate)),
        (0xf7, Alphabet::Data, Some(Class::Terminal)),
    ] {
        let coding = Coding(octet);
        assert_eq!((coding.alphabet(), coding.class()), (alphabet, class), "{octet:#04x}");
    }
    assert_eq!(Coding::with_class(Alphabet::Ucs2, Class::Immediate), Coding(0x18));
    assert!(Coding(0x20).is_compressed() && Coding(0x60).is_compressed() && !Coding(0xe0).is_compressed());
    assert!(Coding(0x48).deletes_itself() && !Coding(0x08).deletes_itself() && !Coding(0xc8).deletes_itself());
    let voice = Waiting { active: true, of: Mailbox::Voice, discard: true };
    assert_eq!(Coding(0xc8).waiting(), Some(voice));
    assert_eq!(Coding(0xd2).waiting(), Some(Waiting { active: false, of: Mailbox::Email, discard: false }));
    assert_eq!(Coding(0xe9).waiting(), Some(Waiting { active: true, of: Mailbox::Fax, discard: false }));
    assert_eq!(Coding(0x08).waiting(), None);
}
