//! What people write, in one spelling: without case, accents, and digits of other scripts.

/// Characters of a text that are looked at. Whoever means something says it at once.
pub(super) const LOOKED_AT: usize = 400;

/// Appends a character in the one spelling: letters and ASCII digits as they are compared, a space for whatever
/// stands between words, nothing for what only decorates.
pub(super) fn push_folded(to: &mut String, c: char) {
    if let Some(digit) = digit(c) {
        to.push(digit);
        return;
    }
    // Full-width letters.
    let c = if matches!(c, '\u{ff21}'..='\u{ff3a}' | '\u{ff41}'..='\u{ff5a}') {
        char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c)
    } else {
        c
    };
    for c in c.to_lowercase() {
        match c {
            'à'..='å' | 'ā' | 'ă' | 'ą' => to.push('a'),
            'ç' | 'ć' | 'č' => to.push('c'),
            'è'..='ë' | 'ē' | 'ę' | 'ě' => to.push('e'),
            'ì'..='ï' | 'ī' | 'ı' => to.push('i'),
            'ñ' | 'ń' => to.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => to.push('o'),
            'ù'..='ü' | 'ū' | 'ű' => to.push('u'),
            'ý' | 'ÿ' => to.push('y'),
            'ś' | 'š' => to.push('s'),
            'ź' | 'ż' | 'ž' => to.push('z'),
            'ł' => to.push('l'),
            'ß' => to.push_str("ss"),
            'æ' => to.push_str("ae"),
            'œ' => to.push_str("oe"),
            'ё' => to.push('е'),
            'й' => to.push('и'),
            // Accents that stand by themselves, the frame of a key, variants of emoji, and what has no width.
            '\u{300}'..='\u{36f}' | '\u{20e3}' | '\u{fe00}'..='\u{fe0f}' | '\u{200b}'..='\u{200f}' => {}
            '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}' => {}
            c if c.is_alphanumeric() => to.push(c),
            _ => to.push(' '),
        }
    }
}

/// The digit, if it is one, of whatever script.
fn digit(c: char) -> Option<char> {
    /// Where the zeros are; nine more digits follow each.
    const ZEROS: [u32; 14] =
        [0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xff10];
    let zero = ZEROS.iter().rev().find(|zero| **zero <= u32::from(c))?;
    char::from_digit(u32::from(c) - zero, 10)
}

/// The beginning of a text in the one spelling.
pub(super) fn fold(text: &str) -> String {
    let mut folded = String::new();
    for c in text.chars().take(LOOKED_AT) {
        push_folded(&mut folded, c);
    }
    folded
}

/// The words and numbers of a folded text. `ack17` is two.
pub(super) fn tokens(folded: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for word in folded.split_whitespace() {
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let is_number = first.is_ascii_digit();
            let end = rest.find(|c: char| c.is_ascii_digit() != is_number).unwrap_or(rest.len());
            let (token, after) = rest.split_at(end);
            found.push(token);
            rest = after;
        }
    }
    found
}

/// What follows `prefix` in `text`, whatever the case and accents, if it begins with it and the word ends there.
pub(super) fn after_prefix<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let wanted = fold(prefix);
    let wanted = wanted.trim();
    let text = text.trim_start();
    let mut folded = String::new();
    for (at, c) in text.char_indices() {
        if folded == wanted && !c.is_alphanumeric() {
            return Some(&text[at..]);
        }
        if folded.len() > wanted.len() {
            return None;
        }
        push_folded(&mut folded, c);
    }
    (folded == wanted).then_some("")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling_for_all() {
        for (written, folded) in [
            ("ACK 17", "ack 17"),
            ("ＡＣＫ１７", "ack17"),
            ("٤", "4"),
            ("४", "4"),
            ("4\u{fe0f}\u{20e3}", "4"),
            ("Bestätigt", "bestatigt"),
            ("besta\u{308}tigt", "bestatigt"),
            ("GRÖẞE", "grosse"),
            ("ПРИНЯЛ! Всё", "принял  все"),
            ("следующий", "следующии"),
            ("a\u{200b}c\u{ad}k", "ack"),
            ("réglé, œuf", "regle  oeuf"),
            ("😀", " "),
            ("²", "²"),
        ] {
            assert_eq!(fold(written), folded, "{written}");
        }
        assert_eq!(tokens("ack17 18x  9"), ["ack", "17", "18", "x", "9"]);
        assert!(fold(&"x".repeat(10_000)).len() <= LOOKED_AT);
    }

    #[test]
    fn a_prefix_is_a_whole_word() {
        assert_eq!(after_prefix(" ALÄRM: disk", "alarm"), Some(": disk"));
        assert_eq!(after_prefix("alarm", "Alarm "), Some(""));
        assert_eq!(after_prefix("alarms", "alarm"), None);
        assert_eq!(after_prefix("no alarm", "alarm"), None);
        assert_eq!(after_prefix("a\u{301}larm x", "alarm"), Some(" x"));
    }
}
