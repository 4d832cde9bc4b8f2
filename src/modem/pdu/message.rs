//! The messages themselves (3GPP TS 23.040, 9.2.2): fields to octets, and octets to fields.

use chrono::{DateTime, FixedOffset};

use super::{
    Address, Coding, Content, DecodeError, EncodeError, Pdu, Status, Validity,
    reader::Reader,
    time::{read_stamp, write_stamp},
};

/// TP-MTI: what the message is, which depends on where it goes.
const TYPE: u8 = 0x03;
const DELIVER: u8 = 0x00;
const SUBMIT: u8 = 0x01;
const STATUS_REPORT: u8 = 0x02;
/// TP-RD of a SUBMIT; TP-MMS, the other way round, of the others.
const REJECT_DUPLICATES: u8 = 0x04;
const NO_MORE_MESSAGES: u8 = 0x04;
/// TP-VPF.
const VALIDITY: u8 = 0x18;
const VALIDITY_ENHANCED: u8 = 0x08;
const VALIDITY_RELATIVE: u8 = 0x10;
const VALIDITY_ABSOLUTE: u8 = 0x18;
/// TP-SRR of a SUBMIT, TP-SRI of a DELIVER.
const REPORT: u8 = 0x20;
/// TP-UDHI.
const HEADER: u8 = 0x40;
/// TP-RP.
const REPLY_PATH: u8 = 0x80;

/// A message on its way from us to the service centre.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submit {
    /// The service centre. `None`: the one that the SIM knows.
    pub smsc: Option<Address>,
    /// TP-MR. A modem puts its own.
    pub reference: u8,
    /// Who is to get it.
    pub destination: Address,
    /// TP-PID. 0 is a text from person to person.
    pub protocol: u8,
    /// How long it is worth sending. `None`: as the service centre thinks fit.
    pub validity: Option<Validity>,
    /// Whether the service centre is to report what becomes of it.
    pub report: bool,
    /// Whether it is to refuse what it has already, by reference and destination.
    pub reject_duplicates: bool,
    /// Whether the answer may go by the same service centre.
    pub reply_path: bool,
    /// What it says.
    pub content: Content,
}

/// A message that came to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The service centre.
    pub smsc: Option<Address>,
    /// Who sent it. `None`: the network does not say.
    pub sender: Option<Address>,
    /// TP-PID.
    pub protocol: u8,
    /// When the service centre got it. `None`: it wrote nonsense.
    pub at: Option<DateTime<FixedOffset>>,
    /// Whether more wait for us.
    pub more: bool,
    /// Whether the sender gets a report.
    pub report: bool,
    /// Whether the answer may go by the same service centre.
    pub reply_path: bool,
    /// What it says.
    pub content: Content,
}

/// What became of a message of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    /// The service centre.
    pub smsc: Option<Address>,
    /// TP-MR of the message.
    pub reference: u8,
    /// To whom it went.
    pub recipient: Option<Address>,
    /// When the service centre got it.
    pub submitted: Option<DateTime<FixedOffset>>,
    /// When it happened.
    pub at: Option<DateTime<FixedOffset>>,
    /// What happened.
    pub status: Status,
    /// Whether more wait for us.
    pub more: bool,
}

/// What a modem hands over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A message.
    Deliver(Deliver),
    /// A status report.
    Report(StatusReport),
}

impl Submit {
    /// A text from person to person, without a wish.
    #[must_use]
    pub fn new(destination: Address, content: Content) -> Self {
        Self {
            smsc: None,
            reference: 0,
            destination,
            protocol: 0,
            validity: None,
            report: false,
            reject_duplicates: false,
            reply_path: false,
            content,
        }
    }

    /// In octets.
    ///
    /// # Errors
    /// If the content is too long, or is not what its coding says.
    pub fn encode(&self) -> Result<Pdu, EncodeError> {
        let mut octets = Vec::with_capacity(180);
        Address::write_smsc(self.smsc.as_ref(), &mut octets);
        let validity = match self.validity {
            None => 0,
            Some(Validity::Relative(_)) => VALIDITY_RELATIVE,
            Some(Validity::Absolute(_)) => VALIDITY_ABSOLUTE,
            Some(Validity::Enhanced(_)) => VALIDITY_ENHANCED,
        };
        octets.push(
            SUBMIT
                | validity
                | flag(self.reject_duplicates, REJECT_DUPLICATES)
                | flag(self.report, REPORT)
                | flag(self.content.has_header(), HEADER)
                | flag(self.reply_path, REPLY_PATH),
        );
        octets.push(self.reference);
        self.destination.write(&mut octets);
        octets.extend([self.protocol, self.content.coding.0]);
        match self.validity {
            None => {}
            Some(Validity::Relative(length)) => octets.push(length),
            Some(Validity::Absolute(until)) => write_stamp(until, &mut octets),
            Some(Validity::Enhanced(as_it_stands)) => octets.extend(as_it_stands),
        }
        self.content.write(&mut octets)?;
        Ok(Pdu::new(octets))
    }

    /// From octets.
    ///
    /// # Errors
    /// If they are no such message.
    pub fn decode(pdu: &Pdu) -> Result<Self, DecodeError> {
        let mut from = Reader::new(pdu.octets());
        let smsc = Address::read_smsc(&mut from)?;
        let first = from.octet()?;
        if first & TYPE != SUBMIT {
            return Err(DecodeError::Type(first & TYPE));
        }
        let reference = from.octet()?;
        let destination = Address::read(&mut from)?.ok_or(DecodeError::NoDestination)?;
        let protocol = from.octet()?;
        let coding = Coding(from.octet()?);
        let validity = match first & VALIDITY {
            VALIDITY_RELATIVE => Some(Validity::Relative(from.octet()?)),
            VALIDITY_ABSOLUTE => read_stamp(from.array()?).map(Validity::Absolute),
            VALIDITY_ENHANCED => Some(Validity::Enhanced(from.array()?)),
            _ => None,
        };
        Ok(Self {
            smsc,
            reference,
            destination,
            protocol,
            validity,
            report: first & REPORT != 0,
            reject_duplicates: first & REJECT_DUPLICATES != 0,
            reply_path: first & REPLY_PATH != 0,
            content: Content::read(coding, first & HEADER != 0, &mut from)?,
        })
    }
}

impl Deliver {
    /// In octets: what a service centre does.
    ///
    /// # Errors
    /// If the content is too long, or is not what its coding says.
    pub fn encode(&self) -> Result<Pdu, EncodeError> {
        let mut octets = Vec::with_capacity(180);
        Address::write_smsc(self.smsc.as_ref(), &mut octets);
        octets.push(
            DELIVER
                | flag(!self.more, NO_MORE_MESSAGES)
                | flag(self.report, REPORT)
                | flag(self.content.has_header(), HEADER)
                | flag(self.reply_path, REPLY_PATH),
        );
        write_somebody(self.sender.as_ref(), &mut octets);
        octets.extend([self.protocol, self.content.coding.0]);
        write_some_time(self.at, &mut octets);
        self.content.write(&mut octets)?;
        Ok(Pdu::new(octets))
    }

    fn read(smsc: Option<Address>, first: u8, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let sender = Address::read(from)?;
        let protocol = from.octet()?;
        let coding = Coding(from.octet()?);
        Ok(Self {
            smsc,
            sender,
            protocol,
            at: read_stamp(from.array()?),
            more: first & NO_MORE_MESSAGES == 0,
            report: first & REPORT != 0,
            reply_path: first & REPLY_PATH != 0,
            content: Content::read(coding, first & HEADER != 0, from)?,
        })
    }
}

impl StatusReport {
    /// In octets: what a service centre does.
    #[must_use]
    pub fn encode(&self) -> Pdu {
        let mut octets = Vec::with_capacity(40);
        Address::write_smsc(self.smsc.as_ref(), &mut octets);
        octets.extend([STATUS_REPORT | flag(!self.more, NO_MORE_MESSAGES), self.reference]);
        write_somebody(self.recipient.as_ref(), &mut octets);
        write_some_time(self.submitted, &mut octets);
        write_some_time(self.at, &mut octets);
        octets.push(self.status.0);
        Pdu::new(octets)
    }

    fn read(smsc: Option<Address>, first: u8, from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        // What may follow the status tells nothing that we ask.
        Ok(Self {
            smsc,
            reference: from.octet()?,
            recipient: Address::read(from)?,
            submitted: read_stamp(from.array()?),
            at: read_stamp(from.array()?),
            status: Status(from.octet()?),
            more: first & NO_MORE_MESSAGES == 0,
        })
    }
}

impl Incoming {
    /// From octets.
    ///
    /// # Errors
    /// If they are neither.
    pub fn decode(pdu: &Pdu) -> Result<Self, DecodeError> {
        let mut from = Reader::new(pdu.octets());
        let smsc = Address::read_smsc(&mut from)?;
        let first = from.octet()?;
        match first & TYPE {
            DELIVER => Deliver::read(smsc, first, &mut from).map(Self::Deliver),
            STATUS_REPORT => StatusReport::read(smsc, first, &mut from).map(Self::Report),
            other => Err(DecodeError::Type(other)),
        }
    }
}

fn flag(is_set: bool, bit: u8) -> u8 {
    if is_set { bit } else { 0 }
}

fn write_somebody(address: Option<&Address>, to: &mut Vec<u8>) {
    match address {
        Some(address) => address.write(to),
        None => to.extend([0, 0x80]),
    }
}

fn write_some_time(at: Option<DateTime<FixedOffset>>, to: &mut Vec<u8>) {
    match at {
        Some(at) => write_stamp(at, to),
        None => to.extend([0; 7]),
    }
}
