//! The data coding scheme (3GPP TS 23.038, 4): what a message's octets are, and what is to be done with it.

/// TP-DCS, as it stands in the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coding(pub u8);

/// What the octets of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Alphabet {
    /// The GSM 7 bit default alphabet.
    Gsm7,
    /// Data, or a compressed text.
    Data,
    /// UTF-16, big-endian. (UCS-2 in name; telephones have sent surrogates in it for decades.)
    Ucs2,
}

/// Where a telephone is to put a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 0: shown at once, and not kept. A "flash" message.
    Immediate,
    /// 1: kept in the telephone.
    Phone,
    /// 2: kept on the SIM.
    Sim,
    /// 3: for an attached device.
    Terminal,
}

/// That messages wait elsewhere, say in a mailbox, or no longer do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Whether any wait.
    pub active: bool,
    /// Where.
    pub of: Mailbox,
    /// Whether this message may be thrown away when that is shown.
    pub discard: bool,
}

/// What waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mailbox {
    /// Voice mail.
    Voice,
    /// Fax.
    Fax,
    /// Electronic mail.
    Email,
    /// Something else.
    Other,
}

impl Coding {
    /// GSM-7 without a class.
    pub const GSM7: Self = Self(0x00);
    /// 8-bit data without a class.
    pub const DATA: Self = Self(0x04);
    /// UCS-2 without a class.
    pub const UCS2: Self = Self(0x08);

    /// The plain coding of this alphabet.
    #[must_use]
    pub fn of(alphabet: Alphabet) -> Self {
        match alphabet {
            Alphabet::Gsm7 => Self::GSM7,
            Alphabet::Data => Self::DATA,
            Alphabet::Ucs2 => Self::UCS2,
        }
    }

    /// The plain coding of this alphabet, with a class.
    #[must_use]
    pub fn with_class(alphabet: Alphabet, class: Class) -> Self {
        let class = match class {
            Class::Immediate => 0,
            Class::Phone => 1,
            Class::Sim => 2,
            Class::Terminal => 3,
        };
        Self(Self::of(alphabet).0 | 0x10 | class)
    }

    /// What the octets are. Reserved codings are to be taken as GSM-7.
    #[must_use]
    pub fn alphabet(self) -> Alphabet {
        match self.0 >> 4 {
            0x0..=0x7 if self.is_compressed() => Alphabet::Data,
            0x0..=0x7 => match self.0 >> 2 & 3 {
                1 => Alphabet::Data,
                2 => Alphabet::Ucs2,
                _ => Alphabet::Gsm7,
            },
            0xe => Alphabet::Ucs2,
            0xf if self.0 & 4 != 0 => Alphabet::Data,
            _ => Alphabet::Gsm7,
        }
    }

    /// Whether the text is compressed (3GPP TS 23.042), which nobody does.
    #[must_use]
    pub fn is_compressed(self) -> bool {
        self.0 & 0xa0 == 0x20
    }

    /// Where the message is to be put, if it says so.
    #[must_use]
    pub fn class(self) -> Option<Class> {
        let has_one = match self.0 >> 4 {
            0x0..=0x7 => self.0 & 0x10 != 0,
            0xf => true,
            _ => false,
        };
        has_one.then_some(match self.0 & 3 {
            0 => Class::Immediate,
            1 => Class::Phone,
            2 => Class::Sim,
            _ => Class::Terminal,
        })
    }

    /// Whether it is to be deleted by itself when it was read.
    #[must_use]
    pub fn deletes_itself(self) -> bool {
        self.0 & 0xc0 == 0x40
    }

    /// Whether it is about messages that wait elsewhere.
    #[must_use]
    pub fn waiting(self) -> Option<Waiting> {
        let discard = match self.0 >> 4 {
            0xc => true,
            0xd | 0xe => false,
            _ => return None,
        };
        let of = match self.0 & 3 {
            0 => Mailbox::Voice,
            1 => Mailbox::Fax,
            2 => Mailbox::Email,
            _ => Mailbox::Other,
        };
        Some(Waiting { active: self.0 & 8 != 0, of, discard })
    }
}
