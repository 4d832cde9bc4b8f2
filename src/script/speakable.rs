//! Makes text that machines write fit to be read out: host names, addresses, identifiers, symbols.

/// `text` in words that a speech engine reads as a person would. Letters of every script stay;
/// what has no sound is left out.
#[must_use]
pub fn speakable(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for token in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if token.contains("://") {
            // Nobody writes down an address that is read out.
            words.push("a link".to_owned());
        } else {
            words.push(token_words(token));
        }
    }
    squeeze(&words.join(" "))
}

fn token_words(token: &str) -> String {
    let characters: Vec<char> = token.chars().collect();
    let at = |index: Option<usize>| index.and_then(|index| characters.get(index)).copied();
    let word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    // A name has letters around its dots, an address has three of them; a number has one dot.
    let dots = token.trim_end_matches(['.', ',', ';', ':']).matches('.').count();
    let mut spoken = String::with_capacity(token.len());
    for (index, &c) in characters.iter().enumerate() {
        let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
        match c {
            '.' if word(before) && word(after) => {
                let decimal = dots == 1 && digit(before) && digit(after);
                spoken.push_str(if decimal { "." } else { " dot " });
            }
            ':' if word(before) && digit(after) => {
                // 10.0.0.1:9100 and db:5432 are ports, 12:30 is a time.
                let time = dots == 0 && digit(before);
                spoken.push_str(if time { ":" } else { " port " });
            }
            '-' if digit(after) && !word(before) => spoken.push_str(" minus "),
            '-' | '_' => spoken.push(' '),
            '/' => spoken.push_str(" slash "),
            '\\' => spoken.push_str(" backslash "),
            '&' => spoken.push_str(" and "),
            '+' => spoken.push_str(" plus "),
            '=' => spoken.push_str(" equals "),
            '<' => spoken.push_str(" less than "),
            '>' => spoken.push_str(" greater than "),
            '%' => spoken.push_str(" percent "),
            '@' => spoken.push_str(" at "),
            '#' => spoken.push_str(" number "),
            '$' => spoken.push_str(" dollar "),
            '°' => spoken.push_str(" degrees "),
            '.' | ',' | ';' | ':' | '!' | '?' | '\'' | '’' => spoken.push(c),
            c if c.is_alphanumeric() || is_mark(c) => {
                // InstanceDown is two words.
                if c.is_uppercase() && before.is_some_and(char::is_lowercase) {
                    spoken.push(' ');
                }
                spoken.push(c);
            }
            _ => spoken.push(' '),
        }
    }
    spoken
}

/// Marks that belong to the letter before them (combining accents, vowel signs).
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{65f}' | '\u{900}'..='\u{dff}')
}

fn squeeze(text: &str) -> String {
    let spaced = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let spoken = spaced.trim_matches(|c: char| !c.is_alphanumeric() && c != '.');
    if spoken.chars().any(char::is_alphanumeric) {
        spoken.trim_end_matches(['.', ' ']).to_owned()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_names_are_read_as_people_read_them() {
        for (written, spoken) in [
            ("InstanceDown", "Instance Down"),
            ("db-01.prod.example.com", "db 01 dot prod dot example dot com"),
            ("127.0.0.1:9100 down", "127 dot 0 dot 0 dot 1 port 9100 down"),
            ("postgres:5432", "postgres port 5432"),
            ("at 12:30, load 3.5", "at 12:30, load 3.5"),
            ("disk_usage > 95% on /var/lib", "disk usage greater than 95 percent on slash var slash lib"),
            ("see https://wiki/x?a=b&c", "see a link"),
            ("job=\"dead\"", "job equals dead"),
            ("temperature -3 °C", "temperature minus 3 degrees C"),
            ("Disk full on h1 äöü", "Disk full on h1 äöü"),
            ("диск полон", "диск полон"),
            ("CPU 100%", "CPU 100 percent"),
            ("end.", "end"),
        ] {
            assert_eq!(speakable(written), spoken, "{written}");
        }
    }

    #[test]
    fn what_has_no_sound_is_left_out() {
        assert_eq!(speakable("🔥 fire 🔥"), "fire");
        assert_eq!(speakable("\u{0}\r\n\t"), "");
        assert_eq!(speakable("&#+\"';|${}"), "and number plus '; dollar");
        assert_eq!(speakable("...!!!"), "");
    }
}
