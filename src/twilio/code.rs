//! Twilio's error codes in words, and whose fault each of them is.
//!
//! From its error dictionary (`https://www.twilio.com/docs/api/errors`): those that a text message can meet.

use super::Status;

/// Whose fault it is, and so what helps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The number's: it takes no texts, from anybody, or does not exist.
    Number,
    /// The person's, who has texted STOP to Twilio: only a START from there helps.
    Stopped,
    /// The text's.
    Text,
    /// Ours, for this destination: what the account may do there, or the number it sends from reaches.
    Reach,
    /// Ours: the account, what it may do, the number it sends from, or its balance. Every message meets it.
    Account,
    /// Nobody's for long: the same may go well later, or by another way.
    Passing,
}

impl Blame {
    /// Whether the same message to the same number would be refused again.
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        matches!(self, Self::Number | Self::Stopped | Self::Text | Self::Reach)
    }
}

use Blame::{Account, Number, Passing, Reach, Stopped, Text};

/// By code, ascending.
const CODES: &[(u32, Blame, &str)] = &[
    (10001, Account, "the account is not active"),
    (10002, Account, "a trial account may not do this"),
    (14107, Passing, "too many messages were sent at once"),
    (20003, Account, "the account SID, token or API key is wrong, or may not do this"),
    (20005, Account, "the account is not active"),
    (20006, Account, "access is denied"),
    (20008, Account, "test credentials cannot do this"),
    (20403, Account, "this account may not do this"),
    (20404, Account, "no such account or message"),
    (20429, Passing, "too many requests at once"),
    (20500, Passing, "an error within Twilio"),
    (20503, Passing, "Twilio is not available"),
    (21211, Number, "the number is not valid"),
    (21212, Account, "the number that it is to be sent from is not valid"),
    (21214, Number, "the number cannot be reached"),
    (21217, Number, "the number does not seem to be valid"),
    (21219, Reach, "a trial account may text verified numbers only"),
    (21265, Number, "the number is a short code, which takes no texts from here"),
    (21266, Number, "the number is the one that it is to be sent from"),
    (21408, Reach, "the account may not text this country (see its geographic permissions)"),
    (21601, Account, "the number that it is to be sent from cannot send texts"),
    (21602, Text, "there is no text"),
    (21603, Account, "there is no number that it is to be sent from"),
    (21604, Number, "there is no number"),
    (21605, Text, "the text is too long"),
    (21606, Account, "the number that it is to be sent from cannot send texts, or is not this account's"),
    (21607, Account, "the number that it is to be sent from cannot send texts"),
    (21608, Reach, "a trial account may text verified numbers only"),
    (21609, Account, "the address for status callbacks is not valid"),
    (21610, Stopped, "the recipient has stopped texts from here by STOP"),
    (21611, Passing, "too many messages wait to be sent from this number"),
    (21612, Reach, "this number cannot be reached from the one that it is to be sent from"),
    (21614, Number, "the number is not a mobile one"),
    (21617, Text, "the text is longer than 1600 characters"),
    (21619, Text, "there is no text"),
    (21635, Number, "the number is a landline"),
    (21659, Account, "the number that it is to be sent from is not Twilio's"),
    (21660, Account, "the number that it is to be sent from is another account's"),
    (21701, Account, "there is no such messaging service"),
    (21703, Account, "the messaging service has no number that can send this"),
    (21704, Account, "the messaging service has no numbers"),
    (21705, Account, "the messaging service is not valid"),
    (21730, Passing, "Twilio is being maintained"),
    (30001, Passing, "too many messages were waiting"),
    (30002, Account, "the account is suspended"),
    (30003, Passing, "the telephone is switched off or cannot be reached"),
    (30004, Number, "the recipient or the carrier blocks it"),
    (30005, Number, "the number is unknown, or not in service any more"),
    (30006, Number, "the number is a landline, or its carrier cannot be reached"),
    (30007, Text, "the carrier or Twilio filtered it, as if it were spam"),
    (30008, Passing, "the carrier did not take it, for an unknown reason"),
    (30009, Passing, "a segment is missing"),
    (30010, Account, "it costs more than is allowed"),
    (30017, Passing, "the carrier's network is congested"),
    (30018, Reach, "the destination's carrier wants the sender to be registered first"),
    (30022, Passing, "more than the US carriers' rate for this brand or campaign (A2P 10DLC)"),
    (30023, Passing, "more than the US carriers' daily limit for this brand (A2P 10DLC)"),
    (30024, Account, "the number that it is to be sent from is not set up with the carrier"),
    (30027, Passing, "more than T-Mobile's daily limit for this brand"),
    (30032, Account, "the toll-free number that it is to be sent from is not verified"),
    (30033, Account, "the US campaign is suspended (A2P 10DLC)"),
    (30034, Account, "the number that it is to be sent from is not registered for the US (A2P 10DLC)"),
    (30036, Passing, "it was not delivered within its time"),
    (30410, Passing, "the carrier did not answer in time"),
    (30450, Reach, "blocked by Twilio's protection against SMS pumping"),
];

/// What a code means, if it is a known one.
#[must_use]
pub fn explain(code: u32) -> Option<(Blame, &'static str)> {
    let at = CODES.binary_search_by_key(&code, |(code, ..)| *code).ok()?;
    CODES.get(at).map(|(_, blame, words)| (*blame, *words))
}

/// How far a message is, in words.
#[must_use]
pub fn told(status: Status, error: Option<u32>) -> String {
    match error.filter(|code| *code > 0) {
        Some(code) => words(Some(code), ""),
        None => status.words().to_owned(),
    }
}

/// The longest that is told of Twilio's own words, in characters.
const LONGEST: usize = 200;
/// So many digits in a row, or more, may be a telephone number.
const DIGITS: usize = 5;

/// Words for whoever reads a log: ours if we have some, else Twilio's, without numbers and control characters.
pub(super) fn words(code: Option<u32>, theirs: &str) -> String {
    if let Some((code, (_, words))) = code.and_then(|code| Some((code, explain(code)?))) {
        return format!("{words} (Twilio's error {code})");
    }
    let theirs = without_numbers(theirs);
    match (code, &*theirs) {
        (Some(code), "") => format!("Twilio's error {code}"),
        (Some(code), theirs) => format!("{theirs} (Twilio's error {code})"),
        (None, "") => "no reason was given".to_owned(),
        (None, theirs) => theirs.to_owned(),
    }
}

fn without_numbers(text: &str) -> String {
    let mut kept = String::new();
    let mut digits = String::new();
    for c in text.chars().take(LONGEST).map(|c| if c.is_control() { ' ' } else { c }).chain(Some('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        kept.push_str(if digits.len() < DIGITS { &digits } else { "..." });
        digits.clear();
        kept.push(c);
    }
    kept.pop();
    kept.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_found_and_stands_once() {
        assert!(CODES.is_sorted_by(|(one, ..), (next, ..)| one < next));
        for (code, blame, words) in CODES {
            assert_eq!(explain(*code), Some((*blame, *words)));
        }
        for code in [0, 21210, 30000, u32::MAX] {
            assert_eq!(explain(code), None);
        }
    }

    #[test]
    fn the_codes_that_matter_are_blamed_on_whom_they_should_be() {
        let blame = |code| explain(code).map(|(blame, _)| blame);
        assert_eq!(blame(21211), Some(Number));
        assert_eq!(blame(21614), Some(Number));
        assert_eq!(blame(21408), Some(Reach));
        assert_eq!(blame(21610), Some(Stopped));
        assert_eq!(blame(21612), Some(Reach));
        assert_eq!(blame(30002), Some(Account));
        assert_eq!(blame(30003), Some(Passing));
        assert_eq!(blame(30007), Some(Text));
        assert_eq!(blame(30032), Some(Account));
        assert_eq!(blame(30034), Some(Account));
        assert!([Number, Stopped, Text, Reach].iter().all(|blame| blame.is_permanent()));
        assert!(!Account.is_permanent() && !Passing.is_permanent());
    }

    #[test]
    fn twilios_own_words_are_told_without_numbers() {
        assert_eq!(words(Some(21211), "'To' +15005550001"), "the number is not valid (Twilio's error 21211)");
        assert_eq!(words(Some(1), "bad +15005550001\r\n, 10 of 1234"), "bad +...  , 10 of 1234 (Twilio's error 1)");
        assert_eq!(words(None, "call 4915112345678"), "call ...");
        assert_eq!(words(Some(7), " "), "Twilio's error 7");
        assert_eq!(words(None, ""), "no reason was given");
        assert!(words(None, &"x".repeat(9999)).len() <= LONGEST);
    }
}
