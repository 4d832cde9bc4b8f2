//! Which numbers may be dialled at all: default deny, and emergency numbers never.

use crate::phone::{PhoneNumber, Tariff};

/// What may be dialled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Prefixes in E.164, such as `+39` or `+3933`. A number that begins with none is refused.
    pub allow: Vec<String>,
    /// Prefixes of premium-rate and satellite numbers that may be dialled all the same.
    pub allow_premium: Vec<String>,
    /// Calls per hour.
    pub caps: Caps,
}

/// Limits against loops and fraud, each over the last 60 minutes. What is over one is not dialled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// To one contact, or to one bare number.
    pub per_contact: u32,
    /// To one of the allowed prefixes.
    pub per_prefix: u32,
    /// In all.
    pub total: u32,
}

/// What was dialled in the last 60 minutes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialed {
    /// To this contact.
    pub contact: u32,
    /// To the allowed prefix this number falls under.
    pub prefix: u32,
    /// In all.
    pub total: u32,
}

/// Why a number is not dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is an emergency number.
    #[error("emergency numbers are never dialled")]
    Emergency,
    /// No allowed prefix fits.
    #[error("no allowed prefix fits the number (destinations.allow)")]
    NotAllowed,
    /// Premium rate, and not listed.
    #[error("premium-rate numbers are blocked unless listed (destinations.allow_premium)")]
    Premium,
    /// Satellite or another global service, and not listed.
    #[error("satellite numbers are blocked unless listed (destinations.allow_premium)")]
    Satellite,
    /// The contact's cap.
    #[error("the contact's cap of calls per hour is reached (destinations.caps.per_contact)")]
    ContactCap,
    /// The prefix's cap.
    #[error("the prefix's cap of calls per hour is reached (destinations.caps.per_prefix)")]
    PrefixCap,
    /// The cap over everything.
    #[error("the cap of calls per hour is reached (destinations.caps.total)")]
    TotalCap,
}

impl Rules {
    /// Whether `number` may be dialled at all, now or later.
    ///
    /// # Errors
    /// The first rule that forbids it.
    pub fn check(&self, number: &PhoneNumber) -> Result<(), Refusal> {
        if is_emergency(number) {
            return Err(Refusal::Emergency);
        }
        if number.is_extension() {
            // Only what the configured pattern matches is ever parsed as an extension.
            return Ok(());
        }
        let listed = self.allow_premium.iter().any(|prefix| number.as_str().starts_with(prefix));
        match number.tariff() {
            _ if listed => Ok(()),
            Tariff::Premium => Err(Refusal::Premium),
            Tariff::Satellite => Err(Refusal::Satellite),
            Tariff::Ordinary if self.prefix(number).is_some() => Ok(()),
            Tariff::Ordinary => Err(Refusal::NotAllowed),
        }
    }

    /// Whether it may be dialled now, after what was dialled in the last hour.
    ///
    /// # Errors
    /// The first cap that is reached.
    pub fn check_caps(&self, dialed: Dialed) -> Result<(), Refusal> {
        if dialed.contact >= self.caps.per_contact {
            Err(Refusal::ContactCap)
        } else if dialed.prefix >= self.caps.per_prefix {
            Err(Refusal::PrefixCap)
        } else if dialed.total >= self.caps.total {
            Err(Refusal::TotalCap)
        } else {
            Ok(())
        }
    }

    /// The longest allowed prefix that `number` begins with.
    #[must_use]
    pub fn prefix(&self, number: &PhoneNumber) -> Option<&str> {
        self.allow
            .iter()
            .chain(&self.allow_premium)
            .map(String::as_str)
            .filter(|prefix| number.as_str().starts_with(prefix))
            .max_by_key(|prefix| prefix.len())
    }
}

/// Whether it would ring at an emergency service, as it is or after its country code. A server that
/// calls one by mistake keeps a line from somebody who needs it.
fn is_emergency(number: &PhoneNumber) -> bool {
    let digits = number.as_str().trim_start_matches('+');
    let national = number.national();
    // What may get an outside line, or spells an international call.
    ["", "0", "00", "000", "9"].iter().any(|outside| {
        [digits, &*national].iter().any(|spelling| spelling.strip_prefix(outside).is_some_and(is_emergency_code))
    })
}

/// Two or three digits that begin with 0 or 1 are an emergency service somewhere in the world (15 17
/// 18 061 110 112 118 119 190 ...), and so are 911 and its neighbours. The whole block is barred, in
/// every country: the dialplan bars the same one.
fn is_emergency_code(digits: &str) -> bool {
    match digits.as_bytes() {
        [b'0' | b'1', _] | [b'0' | b'1', _, _] => true,
        [b'9', b'1', b'1' | b'2' | b'3' | b'9'] | [b'9', b'8', b'8'] | [b'9', b'9', _] => true,
        digits => digits == b"1122",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::phone::{ExtensionPattern, NumberingPlan};

    fn number(text: &str) -> PhoneNumber {
        PhoneNumber::try_from(text.to_owned()).expect("a dialable number")
    }

    fn rules() -> Rules {
        Rules {
            allow: vec!["+39".into(), "+4930".into()],
            allow_premium: vec!["+8816".into()],
            caps: Caps { per_contact: 3, per_prefix: 5, total: 7 },
        }
    }

    #[test]
    fn a_country_that_is_not_listed_is_refused() {
        assert_eq!(rules().check(&number("+393331234567")), Ok(()));
        assert_eq!(rules().check(&number("+493012345678")), Ok(()));
        assert_eq!(rules().check(&number("+498912345678")), Err(Refusal::NotAllowed));
        assert_eq!(rules().check(&number("+442071838750")), Err(Refusal::NotAllowed));
        assert_eq!(Rules::default().check(&number("+393331234567")), Err(Refusal::NotAllowed));
    }

    #[test]
    fn premium_and_satellite_numbers_need_a_listing_of_their_own() {
        assert_eq!(rules().check(&number("+39899123456")), Err(Refusal::Premium));
        assert_eq!(rules().check(&number("+870773123456")), Err(Refusal::Satellite));
        assert_eq!(rules().check(&number("+881612345678")), Ok(()));
    }

    #[test]
    fn emergency_numbers_are_never_dialled_in_any_spelling() {
        let everything = Rules { allow: vec!["+".into()], allow_premium: vec!["+".into()], ..rules() };
        for text in ["112", "911", "999", "000", "118", "0112", "00112", "000112"] {
            if let Ok(number) = PhoneNumber::try_from(text.to_owned()) {
                assert_eq!(everything.check(&number), Err(Refusal::Emergency), "{text}");
            }
        }
        // Whatever spelling gets through the parser is refused by the rule, or is no number at all.
        let plan =
            NumberingPlan::new(Some("IT"), vec![ExtensionPattern::try_from("XXX".to_owned()).expect("well formed")])
                .expect("a known country");
        for text in
            ["112", "1 1 2", "+112", "00112", "+39112", "+39 112", "0039112", "911", "+1911", "+1 911", "+44999"]
        {
            match plan.parse(text) {
                Ok(number) => assert_eq!(everything.check(&number), Err(Refusal::Emergency), "{text}"),
                Err(_) => continue,
            }
        }
    }

    #[test]
    fn an_emergency_code_is_barred_bare_behind_a_prefix_and_behind_a_country_code() {
        let bare = "01 06 15 17 18 19 000 061 100 112 199 911 912 913 919 988 990 999 1122";
        let behind_a_prefix = "0112 00112 000112 9112 9911 01122";
        for text in bare.split(' ').chain(behind_a_prefix.split(' ')) {
            assert!(is_emergency(&number(text)), "{text}");
        }
        for text in "921 987 980 989 20 9200 8112 1123 +393331234567 +4930112112 +391123456789".split(' ') {
            assert!(!is_emergency(&number(text)), "{text}");
        }
    }

    #[test]
    fn an_extension_may_be_dialled_unless_it_is_an_emergency_number() {
        let nothing = Rules::default();
        assert_eq!(nothing.check(&number("8123")), Ok(()));
        assert_eq!(nothing.check(&number("112")), Err(Refusal::Emergency));
        let listed = Rules { allow: vec!["1".into()], allow_premium: vec!["1".into()], ..rules() };
        assert_eq!(listed.check(&number("112")), Err(Refusal::Emergency), "not even if it is listed");
    }

    #[test]
    fn each_cap_stops_at_its_own_figure() {
        let rules = rules();
        assert_eq!(rules.check_caps(Dialed { contact: 2, prefix: 4, total: 6 }), Ok(()));
        assert_eq!(rules.check_caps(Dialed { contact: 3, ..Dialed::default() }), Err(Refusal::ContactCap));
        assert_eq!(rules.check_caps(Dialed { contact: 4, prefix: 6, total: 8 }), Err(Refusal::ContactCap));
        assert_eq!(rules.check_caps(Dialed { prefix: 5, ..Dialed::default() }), Err(Refusal::PrefixCap));
        assert_eq!(rules.check_caps(Dialed { total: 7, ..Dialed::default() }), Err(Refusal::TotalCap));
    }

    #[test]
    fn the_longest_prefix_counts() {
        let rules = Rules { allow: vec!["+39".into(), "+3933".into()], ..Rules::default() };
        assert_eq!(rules.prefix(&number("+393331234567")), Some("+3933"));
        assert_eq!(rules.prefix(&number("+390551234567")), Some("+39"));
        assert_eq!(rules.prefix(&number("8123")), None);
    }
}
