//! Short messages as octets (3GPP TS 23.040) and their alphabets (3GPP TS 23.038). Pure: no I/O, no clock.
//!
//! [`Text`] says in how many parts a text goes and what stands in each; [`Submit`] makes a part a [`Pdu`].
//! [`Incoming`] reads what a modem hands over: messages ([`Deliver`]), whose parts [`Reassembly`] puts
//! together, and what became of ours ([`StatusReport`]).
//!
//! Nothing that one can say makes the encoder panic, nothing that comes the decoder. National language
//! shift tables (23.038, 6.2.1.2) are not read: a text that needs them shows the default alphabet's characters.

mod address;
mod coding;
mod content;
mod gsm7;
mod message;
mod reader;
mod reassembly;
mod status;
mod text;
mod time;

#[cfg(test)]
mod tests;

use std::fmt;

pub use self::{
    address::{Address, BadAddress, Kind},
    coding::{Alphabet, Class, Coding, Mailbox, Waiting},
    content::{Body, Concatenation, Content, Element, Reference},
    message::{Deliver, Incoming, StatusReport, Submit},
    reassembly::{Assembled, Reassembly},
    status::{Fate, Status},
    text::{Text, Width},
    time::Validity,
};

/// Most octets of a PDU that we read: the longest address of a service centre and the longest TPDU.
const OCTETS_MAX: usize = 256;

/// A message in octets, the service centre's address first, as `AT+CMGS` and `AT+CMGL` have it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pdu(Vec<u8>);

/// Why a message cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// See [`Text`], which makes parts that fit.
    #[error("the content does not fit in one message")]
    TooLong,
    /// Say, septets under a coding that says UCS-2.
    #[error("the content is not what its data coding scheme says")]
    Coding,
}

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too soon.
    #[error("the PDU ends in the middle of a field")]
    Short,
    /// They do not end.
    #[error("the PDU is longer than a message can be")]
    Long,
    /// They are not in hexadecimal.
    #[error("the PDU is not hexadecimal")]
    Hex,
    /// TP-MTI is another.
    #[error("the PDU is of another type, {0}")]
    Type(u8),
    /// A message of ours to nobody.
    #[error("the PDU has no destination")]
    NoDestination,
}

impl Pdu {
    fn new(octets: Vec<u8>) -> Self {
        Self(octets)
    }

    /// From what a modem writes.
    ///
    /// # Errors
    /// If it is not hexadecimal, or too long.
    pub fn from_hex(text: &str) -> Result<Self, DecodeError> {
        let octets = hex::decode(text).map_err(|_| DecodeError::Hex)?;
        if octets.len() > OCTETS_MAX { Err(DecodeError::Long) } else { Ok(Self(octets)) }
    }

    /// As a modem wants it.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode_upper(&self.0)
    }

    /// All of it.
    #[must_use]
    pub fn octets(&self) -> &[u8] {
        &self.0
    }

    /// The length that `AT+CMGS` wants: without the service centre's address.
    #[must_use]
    pub fn length(&self) -> usize {
        let smsc = self.0.first().map_or(0, |length| 1 + usize::from(*length));
        self.0.len().saturating_sub(smsc)
    }
}

/// Shows neither numbers nor texts.
impl fmt::Debug for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pdu({} octets)", self.0.len())
    }
}
