//! What a message says: its user data with their header (3GPP TS 23.040, 9.2.3.16 and 9.2.3.24).

use super::{Alphabet, Coding, DecodeError, EncodeError, gsm7, reader::Reader};

/// Most octets of user data, header and all; 160 septets.
pub(super) const OCTETS_MAX: usize = 140;
const SEPTETS_MAX: usize = OCTETS_MAX * 8 / 7;

/// Information elements: parts of a longer message, by a reference of 8 or 16 bits.
const CONCATENATED_8: u8 = 0x00;
const CONCATENATED_16: u8 = 0x08;

/// The user data of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// What the octets are, and what is to be done with them.
    pub coding: Coding,
    /// Which part of a longer message it is, if it is one.
    pub concatenation: Option<Concatenation>,
    /// What else its header has, in its order.
    pub elements: Vec<Element>,
    /// The text or data.
    pub body: Body,
}

/// Which part of which message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concatenation {
    /// The same in all parts.
    pub reference: Reference,
    /// How many parts there are.
    pub total: u8,
    /// Which one it is: 1 to `total`.
    pub number: u8,
}

/// What the parts of a message have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// 8 bits: a part has 153 septets, or 67 units of UCS-2.
    Short(u8),
    /// 16 bits: a part has 152 septets, or 66 units of UCS-2.
    Long(u16),
}

/// An information element of a header that we do not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its identifier.
    pub id: u8,
    /// Its data.
    pub data: Vec<u8>,
}

/// The text or data, in the units in which it is sent: a part may end within a character, as careless
/// senders cut them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// Septets of GSM-7.
    Gsm7(Vec<u8>),
    /// Units of UTF-16.
    Ucs2(Vec<u16>),
    /// No text.
    Data(Vec<u8>),
}

impl Body {
    /// This text, in GSM-7 if that has all of it.
    #[must_use]
    pub fn of(text: &str) -> Self {
        gsm7::encode(text).map_or_else(|| Self::Ucs2(text.encode_utf16().collect()), Self::Gsm7)
    }

    /// As text; what is no character is `U+FFFD`. `None` of data.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Gsm7(septets) => Some(gsm7::decode(septets)),
            Self::Ucs2(units) => Some(String::from_utf16_lossy(units)),
            Self::Data(_) => None,
        }
    }

    /// What it is made of.
    #[must_use]
    pub fn alphabet(&self) -> Alphabet {
        match self {
            Self::Gsm7(_) => Alphabet::Gsm7,
            Self::Ucs2(_) => Alphabet::Ucs2,
            Self::Data(_) => Alphabet::Data,
        }
    }
}

/// Shows no text.
impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, length) = match self {
            Self::Gsm7(septets) => ("Gsm7", septets.len()),
            Self::Ucs2(units) => ("Ucs2", units.len()),
            Self::Data(octets) => ("Data", octets.len()),
        };
        write!(f, "{name}({length})")
    }
}

impl Content {
    /// All of a body, without a header.
    #[must_use]
    pub fn whole(body: Body) -> Self {
        Self { coding: Coding::of(body.alphabet()), concatenation: None, elements: Vec::new(), body }
    }

    /// Whether there is a header: TP-UDHI.
    pub(super) fn has_header(&self) -> bool {
        self.concatenation.is_some() || !self.elements.is_empty()
    }

    fn header(&self) -> Result<Vec<u8>, EncodeError> {
        if !self.has_header() {
            return Ok(Vec::new());
        }
        let mut header = vec![0];
        if let Some(Concatenation { reference, total, number }) = self.concatenation {
            match reference {
                Reference::Short(reference) => header.extend([CONCATENATED_8, 3, reference]),
                Reference::Long(reference) => {
                    let [high, low] = reference.to_be_bytes();
                    header.extend([CONCATENATED_16, 4, high, low]);
                }
            }
            header.extend([total, number]);
        }
        for Element { id, data } in &self.elements {
            header.extend([*id, u8::try_from(data.len()).map_err(|_| EncodeError::TooLong)?]);
            header.extend(data);
        }
        header[0] = u8::try_from(header.len() - 1).map_err(|_| EncodeError::TooLong)?;
        Ok(header)
    }

    /// TP-UDL and TP-UD.
    pub(super) fn write(&self, to: &mut Vec<u8>) -> Result<(), EncodeError> {
        if self.coding.alphabet() != self.body.alphabet() {
            return Err(EncodeError::Coding);
        }
        let header = self.header()?;
        let (length, most) = match &self.body {
            Body::Gsm7(septets) => ((header.len() * 8).div_ceil(7) + septets.len(), SEPTETS_MAX),
            Body::Ucs2(units) => (header.len() + units.len() * 2, OCTETS_MAX),
            Body::Data(octets) => (header.len() + octets.len(), OCTETS_MAX),
        };
        if length > most {
            return Err(EncodeError::TooLong);
        }
        to.push(u8::try_from(length).map_err(|_| EncodeError::TooLong)?);
        to.extend(&header);
        match &self.body {
            Body::Gsm7(septets) => to.extend(gsm7::pack(septets, fill_bits(header.len()))),
            Body::Ucs2(units) => to.extend(units.iter().flat_map(|unit| unit.to_be_bytes())),
            Body::Data(octets) => to.extend(octets),
        }
        Ok(())
    }

    /// The reverse.
    pub(super) fn read(coding: Coding, has_header: bool, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let length = usize::from(from.octet()?);
        let alphabet = coding.alphabet();
        let octets = match alphabet {
            Alphabet::Gsm7 => from.octets((length * 7).div_ceil(8))?,
            Alphabet::Data | Alphabet::Ucs2 => from.octets(length)?,
        };
        let (header, rest) = if has_header {
            let header_length = usize::from(*octets.first().ok_or(DecodeError::Short)?) + 1;
            octets.split_at_checked(header_length).ok_or(DecodeError::Short)?
        } else {
            octets.split_at(0)
        };
        let body = match alphabet {
            Alphabet::Gsm7 => {
                let septets = length.saturating_sub((header.len() * 8).div_ceil(7));
                Body::Gsm7(gsm7::unpack(rest, fill_bits(header.len()), septets))
            }
            Alphabet::Ucs2 => {
                Body::Ucs2(rest.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
            }
            Alphabet::Data => Body::Data(rest.to_vec()),
        };
        let mut content = Self { coding, concatenation: None, elements: Vec::new(), body };
        content.read_header(header.get(1..).unwrap_or_default());
        Ok(content)
    }

    /// What of it cannot be right is left out, as 9.2.3.24 wants it: the text is worth more than its header.
    fn read_header(&mut self, mut header: &[u8]) {
        while let [id, length, rest @ ..] = header {
            let Some((data, rest)) = rest.split_at_checked(usize::from(*length)) else { return };
            header = rest;
            let found = match (*id, data) {
                (CONCATENATED_8, [reference, total, number]) => Some((Reference::Short(*reference), *total, *number)),
                (CONCATENATED_16, [high, low, total, number]) => {
                    Some((Reference::Long(u16::from_be_bytes([*high, *low])), *total, *number))
                }
                _ => None,
            };
            match found {
                // 9.2.3.24.1: a part that cannot be is no part. Of two that can be, the last one counts.
                Some((reference, total, number)) if (1..=total).contains(&number) => {
                    self.concatenation = Some(Concatenation { reference, total, number });
                }
                Some(_) => {}
                None => self.elements.push(Element { id: *id, data: data.to_vec() }),
            }
        }
    }
}

/// What fills up a header of so many octets to a whole septet.
fn fill_bits(header: usize) -> usize {
    (header * 8).next_multiple_of(7) - header * 8
}
