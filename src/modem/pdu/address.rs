//! Addresses (3GPP TS 23.040, 9.1.2.5): of a sender, of a recipient, of a service centre.
//!
//! A number is semi-octets, the first digit in the lower half; a name (`"Bank"` as a sender) is packed GSM-7.

use std::{fmt, str::FromStr};

use super::{DecodeError, gsm7, reader::Reader};

/// Most digits: ten octets' worth.
const DIGITS_MAX: usize = 20;
/// Most septets of a name: ten octets' worth.
const NAME_MAX: usize = 11;
/// The digits, by semi-octet; 15 fills up an odd count.
const DIGITS: &[u8; 15] = b"0123456789*#abc";
/// Those of them that we write: no network has telephones with the letters.
const WRITTEN: &[u8] = b"0123456789*#";
const FILLER: u8 = 0xf;
/// ISDN/telephone numbering plan (E.164): the plan of all numbers that we write.
const PLAN_ISDN: u8 = 1;

/// Who sent a message, or is to get it. Cannot hold what is not an address: only digits, `*` and `#` in a
/// number, at most 20; only GSM-7 in a name, at most 11 septets. The numbering plan is not kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    kind: Kind,
    text: String,
}

/// Type of number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// As dialled: the network knows what it is. A short code is one too.
    Unknown,
    /// With its country code, without a plus.
    International,
    /// Without its country code.
    National,
    /// Of the network's own.
    NetworkSpecific,
    /// A subscriber's, without area code.
    Subscriber,
    /// A name.
    Alphanumeric,
    /// An abbreviated number.
    Abbreviated,
    /// Kept for an extension.
    Reserved,
}

/// Why a text is no address, in words that do not repeat it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// Nothing is nobody.
    #[error("an address has at least one digit")]
    Empty,
    /// More than fits.
    #[error("an address has at most {DIGITS_MAX} digits, a name at most {NAME_MAX} GSM-7 characters")]
    TooLong,
    /// A space, a line end, a letter in a number; what GSM-7 lacks in a name.
    #[error("an address has a character that cannot be sent")]
    Character,
}

impl Kind {
    fn bits(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::International => 1,
            Self::National => 2,
            Self::NetworkSpecific => 3,
            Self::Subscriber => 4,
            Self::Alphanumeric => 5,
            Self::Abbreviated => 6,
            Self::Reserved => 7,
        }
    }

    fn of(octet: u8) -> Self {
        match octet >> 4 & 7 {
            0 => Self::Unknown,
            1 => Self::International,
            2 => Self::National,
            3 => Self::NetworkSpecific,
            4 => Self::Subscriber,
            5 => Self::Alphanumeric,
            6 => Self::Abbreviated,
            _ => Self::Reserved,
        }
    }
}

impl Address {
    /// An address of this kind. An international number may be written with its plus.
    ///
    /// # Errors
    /// If it cannot be one: a carriage return, a space or a letter in a number is refused, not taken out.
    pub fn new(kind: Kind, text: &str) -> Result<Self, BadAddress> {
        let text = match kind {
            Kind::International => text.strip_prefix('+').unwrap_or(text),
            _ => text,
        };
        if text.is_empty() {
            return Err(BadAddress::Empty);
        }
        let (length, most) = if kind == Kind::Alphanumeric {
            (gsm7::encode(text).ok_or(BadAddress::Character)?.len(), NAME_MAX)
        } else if text.bytes().all(|byte| WRITTEN.contains(&byte)) {
            (text.len(), DIGITS_MAX)
        } else {
            return Err(BadAddress::Character);
        };
        if length > most {
            return Err(BadAddress::TooLong);
        }
        Ok(Self { kind, text: text.to_owned() })
    }

    /// What it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The number without a plus, or the name.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The octet that says what it is, and the octets of the address.
    fn octets(&self) -> (u8, Vec<u8>) {
        if self.kind == Kind::Alphanumeric {
            let septets = gsm7::encode(&self.text).unwrap_or_default();
            return (0x80 | self.kind.bits() << 4, gsm7::pack(&septets, 0));
        }
        let digit = |byte: &u8| DIGITS.iter().position(|digit| digit == byte);
        let digits: Vec<u8> =
            self.text.as_bytes().iter().filter_map(digit).filter_map(|place| u8::try_from(place).ok()).collect();
        let octets = digits.chunks(2).map(|pair| pair.get(1).unwrap_or(&FILLER) << 4 | pair[0]);
        (0x80 | self.kind.bits() << 4 | PLAN_ISDN, octets.collect())
    }

    /// As TP-OA, TP-DA and TP-RA: the length counts semi-octets.
    pub(super) fn write(&self, to: &mut Vec<u8>) {
        let (kind, octets) = self.octets();
        let semi_octets = if self.kind == Kind::Alphanumeric {
            (gsm7::encode(&self.text).unwrap_or_default().len() * 7).div_ceil(4)
        } else {
            self.text.len()
        };
        // At most 20 each.
        to.push(u8::try_from(semi_octets).unwrap_or(u8::MAX));
        to.push(kind);
        to.extend(octets);
    }

    /// The reverse of [`Address::write`]. `None` where the sender is nobody.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let semi_octets = usize::from(from.octet()?);
        let kind = Kind::of(from.octet()?);
        let octets = from.octets(semi_octets.div_ceil(2))?;
        Ok(Self::parse(kind, octets, semi_octets))
    }

    /// As a service centre's address: the length counts octets, that of the kind among them.
    pub(super) fn write_smsc(smsc: Option<&Self>, to: &mut Vec<u8>) {
        let Some(smsc) = smsc else {
            // The one that the SIM knows.
            to.push(0);
            return;
        };
        let (kind, octets) = smsc.octets();
        to.push(u8::try_from(octets.len() + 1).unwrap_or(u8::MAX));
        to.push(kind);
        to.extend(octets);
    }

    /// The reverse of [`Address::write_smsc`].
    pub(super) fn read_smsc(from: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        let length = usize::from(from.octet()?);
        let Some(octets) = length.checked_sub(1) else { return Ok(None) };
        let kind = Kind::of(from.octet()?);
        Ok(Self::parse(kind, from.octets(octets)?, octets * 2))
    }

    fn parse(kind: Kind, octets: &[u8], semi_octets: usize) -> Option<Self> {
        let text = if kind == Kind::Alphanumeric {
            let mut septets = gsm7::unpack(octets, 0, semi_octets * 4 / 7);
            // Seven characters leave seven bits of their octets free. Networks that count whole octets make an
            // eighth of them, an @ that nobody wrote.
            if semi_octets.is_multiple_of(14) && septets.last() == Some(&0) {
                septets.pop();
            }
            gsm7::decode(&septets)
        } else {
            let halves = octets.iter().flat_map(|octet| [octet & 0xf, octet >> 4]);
            let digits = halves.take(semi_octets).filter_map(|half| DIGITS.get(usize::from(half)));
            digits.map(|digit| char::from(*digit)).collect()
        };
        // What somebody else wrote may be longer than we would write it.
        (!text.is_empty()).then_some(Self { kind, text })
    }
}

/// As people write numbers: `+` and digits is international, digits alone are as dialled (a short code is such).
impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let kind = if text.starts_with('+') { Kind::International } else { Kind::Unknown };
        Self::new(kind, text)
    }
}

/// As people write it: an international number with its plus.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == Kind::International {
            f.write_str("+")?;
        }
        f.write_str(&self.text)
    }
}

/// Shows no number: a log is no telephone book.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("kind", &self.kind).finish_non_exhaustive()
    }
}
