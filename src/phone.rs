//! `PhoneNumber`: parsed once at the edge, right ever after.
//!
//! Knows numbering plans (through libphonenumber's data), nothing of routes or of who may be called.

use std::fmt;

use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumberFormat, PhoneNumberType, Region};
use serde::{Deserialize, Serialize};

/// A number that can be dialled: E.164 (`+` and 7 to 15 digits) or an extension of the PBX
/// (2 to 6 digits). Nothing but digits and one leading `+` can be in it, so it may stand in a
/// dial string as it is.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PhoneNumber(String);

/// Why a text is no number that we may dial.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotANumber {
    /// Longer than any number with its punctuation.
    #[error("longer than {MAX_INPUT} characters")]
    TooLong,
    /// A character that no written phone number has.
    #[error("has a character that is not part of a phone number")]
    Character,
    /// Not a number of any numbering plan; national numbers are read with the configured country.
    #[error(
        "is not a valid phone number (write it as + country code number, or nationally for the configured country)"
    )]
    Invalid,
}

const MAX_INPUT: usize = 40;

/// How numbers are read: the country of national spellings and the PBX's own extensions.
#[derive(Clone, Debug, Default)]
pub struct NumberingPlan {
    country: Option<Region>,
    code: Option<String>,
    extensions: Vec<ExtensionPattern>,
}

/// A pattern of internal numbers, as Asterisk writes them without the underscore: digits, `X`
/// (0-9), `Z` (1-9), `N` (2-9). 2 to 6 positions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ExtensionPattern(String);

impl NumberingPlan {
    /// `country` is an ISO 3166 code of two letters, such as `IT`.
    ///
    /// # Errors
    /// If the country is not known.
    pub fn new(country: Option<&str>, extensions: Vec<ExtensionPattern>) -> Result<Self, String> {
        let code = country;
        let country = match country {
            None => None,
            Some(code) => Some(
                Region::try_from(code)
                    .ok()
                    .filter(|region| PHONE_NUMBER_UTIL.get_country_code_for_region(*region).is_some())
                    .ok_or_else(|| format!("unknown country {code:?} (two letters, such as IT)"))?,
            ),
        };
        let code = country.and(code).map(str::to_ascii_uppercase);
        Ok(Self { country, code, extensions })
    }

    /// The country of national spellings: ISO 3166, two letters.
    #[must_use]
    pub fn country(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Reads a number as people write it: `+39 055 12345`, `0039...`, `(055) 12345`, an extension.
    ///
    /// # Errors
    /// [`NotANumber`] if it cannot be dialled, whatever the reason.
    pub fn parse(&self, text: &str) -> Result<PhoneNumber, NotANumber> {
        let text = text.trim();
        if text.len() > MAX_INPUT {
            return Err(NotANumber::TooLong);
        }
        if !text.chars().all(|c| c.is_ascii_digit() || "+ ()-./".contains(c)) {
            return Err(NotANumber::Character);
        }
        if self.extensions.iter().any(|pattern| pattern.matches(text)) {
            return Ok(PhoneNumber(text.to_owned()));
        }
        // `00` is how most of the world writes the `+`; libphonenumber knows it only from inside a country.
        let international = text.strip_prefix("00").map(|rest| format!("+{rest}"));
        let text = international.as_deref().unwrap_or(text);
        let parsed = PHONE_NUMBER_UTIL.parse(text, self.country).map_err(|_| NotANumber::Invalid)?;
        if !parsed.is_valid() {
            return Err(NotANumber::Invalid);
        }
        PhoneNumber::try_from(parsed.format_as(PhoneNumberFormat::E164).into_owned()).map_err(|_| NotANumber::Invalid)
    }
}

impl ExtensionPattern {
    /// Whether `number` is one of the internal numbers meant.
    #[must_use]
    pub fn matches(&self, number: &str) -> bool {
        number.len() == self.0.len()
            && self.0.bytes().zip(number.bytes()).all(|(pattern, digit)| match pattern {
                b'X' => digit.is_ascii_digit(),
                b'Z' => matches!(digit, b'1'..=b'9'),
                b'N' => matches!(digit, b'2'..=b'9'),
                literal => literal == digit,
            })
    }
}

impl TryFrom<String> for ExtensionPattern {
    type Error = String;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let well_formed =
            (2..=6).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_digit() || b"XZN".contains(&c));
        if well_formed {
            Ok(Self(text))
        } else {
            Err(format!("{text:?} is not an extension pattern (2 to 6 of 0-9 X Z N)"))
        }
    }
}

impl From<ExtensionPattern> for String {
    fn from(pattern: ExtensionPattern) -> Self {
        pattern.0
    }
}

/// What libphonenumber's data says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tariff {
    /// What a person's phone costs.
    Ordinary,
    /// Premium rate: the callee earns.
    Premium,
    /// Satellite networks and other international services (+870, +881, +882, +883, ...).
    Satellite,
}

impl PhoneNumber {
    /// The number as it is dialled: `+393331234567`, or an extension's digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is an internal number of the PBX.
    #[must_use]
    pub fn is_extension(&self) -> bool {
        !self.0.starts_with('+')
    }

    /// The digits after the country code; an extension's own digits.
    #[must_use]
    pub fn national(&self) -> String {
        match PHONE_NUMBER_UTIL.parse(&self.0, None) {
            Ok(parsed) => rlibphonenumber::get_national_significant_number_owned(&parsed),
            Err(_) => self.0.trim_start_matches('+').to_owned(),
        }
    }

    /// What a call to it is likely to cost.
    #[must_use]
    pub fn tariff(&self) -> Tariff {
        // Global services (ITU-T E.164 Annex A and E.164.1): mobile satellite and international networks.
        const SATELLITE: [&str; 6] = ["+870", "+878", "+881", "+882", "+883", "+888"];
        if SATELLITE.iter().any(|prefix| self.0.starts_with(prefix)) {
            return Tariff::Satellite;
        }
        if self.0.starts_with("+979") {
            return Tariff::Premium;
        }
        match PHONE_NUMBER_UTIL.parse(&self.0, None).map(|parsed| PHONE_NUMBER_UTIL.get_number_type(&parsed)) {
            Ok(PhoneNumberType::PremiumRate) => Tariff::Premium,
            _ => Tariff::Ordinary,
        }
    }

    /// The number with all but its first and last digits hidden, for logs: `+39*******67`.
    #[must_use]
    pub fn masked(&self) -> String {
        let (first, last) = (if self.is_extension() { 0 } else { 3 }, self.0.len() - 2);
        self.0.char_indices().map(|(i, c)| if i < first || i >= last { c } else { '*' }).collect()
    }
}

impl TryFrom<String> for PhoneNumber {
    type Error = NotANumber;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let (digits, lengths) = match text.strip_prefix('+') {
            Some(digits) => (digits, 7..=15),
            None => (text.as_str(), 2..=6),
        };
        if lengths.contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit()) {
            Ok(Self(text))
        } else {
            Err(NotANumber::Invalid)
        }
    }
}

impl From<PhoneNumber> for String {
    fn from(number: PhoneNumber) -> Self {
        number.0
    }
}

/// Masked: a number in a log line by accident gives nobody away.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn italy() -> NumberingPlan {
        NumberingPlan::new(Some("IT"), vec![ExtensionPattern("8XXX".into())]).expect("a known country")
    }

    #[test]
    fn national_and_international_spellings_are_one_number() {
        for text in ["+39 333 1234567", "0039 333-123.45.67", "(333) 1234567", " 333/1234567 "] {
            assert_eq!(italy().parse(text).map(String::from), Ok("+393331234567".to_owned()), "{text}");
        }
        assert_eq!(italy().parse("+44 20 7183 8750").map(String::from), Ok("+442071838750".to_owned()));
    }

    #[test]
    fn what_could_break_out_of_a_dial_string_is_no_number() {
        for text in [
            "9200@net&PJSIP/9300",
            "Local/1@x",
            "sip:9200@127.0.0.1",
            "9200;x=y",
            "+39 055\r\nAction: x",
            "9200%40x",
            "",
            "+",
            "abc",
            "+39 333 1234567,30",
            "\u{0663}\u{0663}\u{0663}1234567",
            "+393331234567\0",
        ] {
            assert!(italy().parse(text).is_err(), "{text:?}");
        }
        assert_eq!(italy().parse(&"1".repeat(41)), Err(NotANumber::TooLong));
        assert_eq!(italy().parse("+39 055 (12)"), Err(NotANumber::Invalid));
    }

    #[test]
    fn extensions_are_numbers_only_where_the_pattern_says_so() {
        assert!(italy().parse("8123").is_ok_and(|n| n.is_extension()));
        assert!(italy().parse("7123").is_err());
        assert!(NumberingPlan::default().parse("8123").is_err());
        assert!(ExtensionPattern::try_from("8.".to_owned()).is_err());
    }

    #[test]
    fn tariffs_that_make_toll_fraud_pay_are_known() {
        let plan = italy();
        assert_eq!(plan.parse("+39 899 123456").map(|n| n.tariff()), Ok(Tariff::Premium));
        assert_eq!(plan.parse("+1 900 234 5678").map(|n| n.tariff()), Ok(Tariff::Premium));
        assert_eq!(plan.parse("+881 612 345 678").map(|n| n.tariff()), Ok(Tariff::Satellite));
        assert_eq!(plan.parse("+39 333 1234567").map(|n| n.tariff()), Ok(Tariff::Ordinary));
    }

    #[test]
    fn a_masked_number_keeps_its_ends_only() {
        assert_eq!(italy().parse("+393331234567").map(|n| n.masked()), Ok("+39********67".to_owned()));
        assert_eq!(format!("{:?}", PhoneNumber("8123".into())), "**23");
    }
}
