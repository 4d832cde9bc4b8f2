//! The GSM 7 bit default alphabet with its extension table (3GPP TS 23.038, 6.2.1), and its packing (6.1.2).
//!
//! A character is one septet, or two: an escape and one of the extension table.

/// What leads to the extension table, for one character.
pub(super) const ESCAPE: u8 = 0x1b;

/// 6.2.1, by septet. The escape's place is held by a character that is never looked up.
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', // 0x00
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{1b}', 'Æ', 'æ', 'ß', 'É', // 0x10
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', // 0x20
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', // 0x30
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', // 0x40
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', // 0x50
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', // 0x60
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à', // 0x70
];

/// 6.2.1.1, what follows an escape.
const EXTENSION: [(u8, char); 10] = [
    (0x0a, '\u{0c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2f, '\\'),
    (0x3c, '['),
    (0x3d, '~'),
    (0x3e, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

/// The septets of a character: `(None, septet)`, or `(Some(ESCAPE), septet)`. `None` if GSM-7 lacks it.
pub(super) fn septets_of(character: char) -> Option<(Option<u8>, u8)> {
    if let Some((septet, _)) = EXTENSION.iter().find(|(_, extended)| *extended == character) {
        return Some((Some(ESCAPE), *septet));
    }
    let place = BASIC.iter().position(|basic| *basic == character)?;
    let septet = u8::try_from(place).ok()?;
    (septet != ESCAPE).then_some((None, septet))
}

/// How many septets a character takes, if GSM-7 has it.
pub(super) fn cost(character: char) -> Option<usize> {
    septets_of(character).map(|(escape, _)| 1 + usize::from(escape.is_some()))
}

/// A text in septets; `None` if GSM-7 lacks one of its characters.
pub(super) fn encode(text: &str) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len());
    for character in text.chars() {
        let (escape, septet) = septets_of(character)?;
        septets.extend(escape);
        septets.push(septet);
    }
    Some(septets)
}

/// The text of septets. An escape before what the extension table lacks shows the basic character, as 6.2.1.1
/// wants it; an escape before another, or before nothing, is a space.
pub(super) fn decode(septets: &[u8]) -> String {
    let mut text = String::with_capacity(septets.len());
    let mut septets = septets.iter().map(|septet| septet & 0x7f);
    while let Some(septet) = septets.next() {
        if septet != ESCAPE {
            text.push(BASIC[usize::from(septet)]);
            continue;
        }
        text.push(match septets.next() {
            None | Some(ESCAPE) => ' ',
            Some(second) => EXTENSION
                .iter()
                .find(|(extended, _)| *extended == second)
                .map_or(BASIC[usize::from(second)], |(_, character)| *character),
        });
    }
    text
}

/// Packs septets into octets, the first one into the lowest bits, after so many zero bits (0 to 6): those
/// that fill up a header to a whole septet.
pub(super) fn pack(septets: &[u8], fill_bits: usize) -> Vec<u8> {
    let mut octets = vec![0; (fill_bits + septets.len() * 7).div_ceil(8)];
    for (nth, septet) in septets.iter().enumerate() {
        let bit = fill_bits + nth * 7;
        let spread = u16::from(septet & 0x7f) << (bit % 8);
        let [low, high] = spread.to_le_bytes();
        octets[bit / 8] |= low;
        if high != 0 {
            octets[bit / 8 + 1] |= high;
        }
    }
    octets
}

/// The reverse of [`pack`]: so many septets, or as many as there are.
pub(super) fn unpack(octets: &[u8], fill_bits: usize, count: usize) -> Vec<u8> {
    let there = (octets.len() * 8).saturating_sub(fill_bits) / 7;
    (0..count.min(there))
        .map(|nth| {
            let bit = fill_bits + nth * 7;
            let high = octets.get(bit / 8 + 1).copied().unwrap_or_default();
            let both = u16::from_le_bytes([octets[bit / 8], high]);
            let [septet, _] = (both >> (bit % 8)).to_le_bytes();
            septet & 0x7f
        })
        .collect()
}
