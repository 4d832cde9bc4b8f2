//! A text in as few messages as it needs, and no more than are allowed (3GPP TS 23.040, 9.2.3.24.1).

use super::{Alphabet, Body, Coding, Concatenation, Content, Reference, gsm7};

/// Parts are numbered with an octet.
const PARTS_MAX: usize = 255;

/// A text, in parts that each fit in a message.
///
/// In GSM-7 if that has every character, else in UCS-2. No part ends between an escape and what it escapes,
/// or between two surrogates; nor, unless that took one more message, before an accent, in an emoji of
/// several characters or in a flag.
#[derive(Clone, PartialEq, Eq)]
pub struct Text {
    alphabet: Alphabet,
    width: Width,
    parts: Vec<String>,
    is_cut: bool,
}

/// How wide the reference of the parts is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Width {
    /// 8 bits: what every telephone understands.
    #[default]
    Short,
    /// 16 bits: one character less in a part, and no two messages mixed up so soon.
    Long,
}

impl Text {
    /// In at most so many parts (at least 1, at most 255). What is too long is cut, and a mark says so: `...`
    /// in GSM-7, `…` in UCS-2. (So a text whose rest alone needed UCS-2 may be cut in GSM-7: more of it arrives.)
    #[must_use]
    pub fn split(text: &str, at_most: usize, width: Width) -> Self {
        let most = at_most.clamp(1, PARTS_MAX);
        let alphabet = if cost(text, Alphabet::Gsm7).is_some() { Alphabet::Gsm7 } else { Alphabet::Ucs2 };
        if let Some(parts) = uncut(text, alphabet, width).filter(|parts| parts.len() <= most) {
            return Self { alphabet, width, parts, is_cut: false };
        }
        let cut = |alphabet| Some((alphabet, cut(text, alphabet, width, most)?));
        let (alphabet, parts) = cut(Alphabet::Gsm7)
            .or_else(|| cut(Alphabet::Ucs2))
            // UCS-2 has everything.
            .unwrap_or((Alphabet::Ucs2, vec![mark(Alphabet::Ucs2).to_owned()]));
        Self { alphabet, width, parts, is_cut: true }
    }

    /// In what it is written.
    #[must_use]
    pub fn alphabet(&self) -> Alphabet {
        self.alphabet
    }

    /// The parts, in order; never none.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.parts
    }

    /// Whether some of the text is missing.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// What each message says. The reference is to be another for each text to the same number; of a
    /// [`Width::Short`] one the lower half counts.
    pub fn contents(&self, reference: u16) -> impl Iterator<Item = Content> {
        let [_, low] = reference.to_be_bytes();
        let reference = match self.width {
            Width::Short => Reference::Short(low),
            Width::Long => Reference::Long(reference),
        };
        let total = u8::try_from(self.parts.len()).unwrap_or(u8::MAX);
        self.parts.iter().zip(1..).map(move |(part, number)| Content {
            coding: Coding::of(self.alphabet),
            concatenation: (total > 1).then_some(Concatenation { reference, total, number }),
            elements: Vec::new(),
            body: body(part, self.alphabet),
        })
    }
}

/// Shows no text.
impl std::fmt::Debug for Text {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { alphabet, width, parts, is_cut } = self;
        write!(f, "Text({} parts, {alphabet:?}, {width:?}, cut: {is_cut})", parts.len())
    }
}

fn body(text: &str, alphabet: Alphabet) -> Body {
    match alphabet {
        Alphabet::Gsm7 => Body::of(text),
        Alphabet::Data | Alphabet::Ucs2 => Body::Ucs2(text.encode_utf16().collect()),
    }
}

fn mark(alphabet: Alphabet) -> &'static str {
    match alphabet {
        Alphabet::Gsm7 => "...",
        Alphabet::Data | Alphabet::Ucs2 => "…",
    }
}

/// Units that one message has, if it is the only one.
fn room_alone(alphabet: Alphabet) -> usize {
    match alphabet {
        Alphabet::Gsm7 => 160,
        Alphabet::Data | Alphabet::Ucs2 => 70,
    }
}

/// Units that a part has, beside a header of 6 or 7 octets.
fn room_of_part(alphabet: Alphabet, width: Width) -> usize {
    match (alphabet, width) {
        (Alphabet::Gsm7, Width::Short) => 153,
        (Alphabet::Gsm7, Width::Long) => 152,
        (_, Width::Short) => 67,
        (_, Width::Long) => 66,
    }
}

/// Units of a text; `None` if the alphabet lacks one of its characters.
fn cost(text: &str, alphabet: Alphabet) -> Option<usize> {
    match alphabet {
        Alphabet::Gsm7 => text.chars().map(gsm7::cost).sum(),
        Alphabet::Data | Alphabet::Ucs2 => Some(text.chars().map(char::len_utf16).sum()),
    }
}

/// All of it, in as few parts as it needs.
fn uncut(text: &str, alphabet: Alphabet, width: Width) -> Option<Vec<String>> {
    if cost(text, alphabet)? <= room_alone(alphabet) {
        return Some(vec![text.to_owned()]);
    }
    let room = room_of_part(alphabet, width);
    let kindly = fill(&clusters(text), alphabet, usize::MAX, |_| room)?;
    let tightly = fill(&characters(text), alphabet, usize::MAX, |_| room)?;
    Some(if kindly.len() > tightly.len() { tightly } else { kindly })
}

/// As much of it as goes in so many parts, with the mark. `None` if the alphabet lacks a character of that.
fn cut(text: &str, alphabet: Alphabet, width: Width, most: usize) -> Option<Vec<String>> {
    let room = if most == 1 { room_alone(alphabet) } else { room_of_part(alphabet, width) };
    let mark = mark(alphabet);
    let room_at_the_end = room - cost(mark, alphabet)?;
    let mut parts = fill(&clusters(text), alphabet, most, |nth| if nth + 1 == most { room_at_the_end } else { room })?;
    parts.last_mut()?.push_str(mark);
    Some(parts)
}

/// Puts pieces into at most so many parts, in order, until all are in or one has no room. A piece that
/// has room in no part is taken to pieces. `None` if the alphabet lacks a character of what went in.
fn fill(pieces: &[&str], alphabet: Alphabet, most: usize, room: impl Fn(usize) -> usize + Copy) -> Option<Vec<String>> {
    let mut parts = vec![String::new()];
    let mut taken = 0;
    for piece in pieces {
        let whole = cost(piece, alphabet)?;
        let loose = if whole > room(parts.len()) { characters(piece) } else { vec![*piece] };
        for piece in loose {
            let cost = cost(piece, alphabet)?;
            if taken + cost > room(parts.len() - 1) {
                if parts.len() == most {
                    return Some(parts);
                }
                parts.push(String::new());
                taken = 0;
            }
            parts.last_mut()?.push_str(piece);
            taken += cost;
        }
    }
    Some(parts)
}

fn characters(text: &str) -> Vec<&str> {
    text.split_inclusive(|_| true).collect()
}

/// What a reader takes for one character, as far as a few ranges tell.
fn clusters(text: &str) -> Vec<&str> {
    let mut clusters = Vec::new();
    let mut begin = 0;
    let mut before = None;
    // Two regional indicators are a flag.
    let mut regional = 0;
    for (at, character) in text.char_indices() {
        let is_regional = ('\u{1f1e6}'..='\u{1f1ff}').contains(&character);
        let holds_on = extends(character)
            || before == Some(ZERO_WIDTH_JOINER)
            || (before, character) == (Some('\r'), '\n')
            || (is_regional && regional % 2 == 1);
        if at > 0 && !holds_on {
            clusters.push(&text[begin..at]);
            begin = at;
        }
        regional = if is_regional { regional + 1 } else { 0 };
        before = Some(character);
    }
    clusters.push(&text[begin..]);
    clusters
}

const ZERO_WIDTH_JOINER: char = '\u{200d}';

/// Whether it belongs to the character before: accents, vowel signs, variation selectors, skin tones, tags.
fn extends(character: char) -> bool {
    const RANGES: [(char, char); 34] = [
        ('\u{300}', '\u{36f}'),
        ('\u{483}', '\u{489}'),
        ('\u{591}', '\u{5bd}'),
        ('\u{5bf}', '\u{5bf}'),
        ('\u{5c1}', '\u{5c2}'),
        ('\u{5c4}', '\u{5c5}'),
        ('\u{610}', '\u{61a}'),
        ('\u{64b}', '\u{65f}'),
        ('\u{670}', '\u{670}'),
        ('\u{6d6}', '\u{6dc}'),
        ('\u{6df}', '\u{6e4}'),
        ('\u{6e7}', '\u{6e8}'),
        ('\u{6ea}', '\u{6ed}'),
        ('\u{900}', '\u{903}'),
        ('\u{93a}', '\u{93c}'),
        ('\u{93e}', '\u{94f}'),
        ('\u{951}', '\u{957}'),
        ('\u{981}', '\u{983}'),
        ('\u{9bc}', '\u{9bc}'),
        ('\u{9be}', '\u{9cd}'),
        ('\u{e31}', '\u{e31}'),
        ('\u{e34}', '\u{e3a}'),
        ('\u{e47}', '\u{e4e}'),
        ('\u{1ab0}', '\u{1aff}'),
        ('\u{1dc0}', '\u{1dff}'),
        ('\u{200c}', ZERO_WIDTH_JOINER),
        ('\u{20d0}', '\u{20ff}'),
        ('\u{302a}', '\u{302f}'),
        ('\u{3099}', '\u{309a}'),
        ('\u{fe00}', '\u{fe0f}'),
        ('\u{fe20}', '\u{fe2f}'),
        ('\u{1f3fb}', '\u{1f3ff}'),
        ('\u{e0020}', '\u{e007f}'),
        ('\u{e0100}', '\u{e01ef}'),
    ];
    RANGES.iter().any(|(first, last)| (*first..=*last).contains(&character))
}
