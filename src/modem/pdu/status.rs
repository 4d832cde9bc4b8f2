//! What became of a message, by a status report: TP-ST (3GPP TS 23.040, 9.2.3.15).

/// TP-ST, as it stands in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

/// What it means for whoever sent the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is over, and went well.
    Delivered,
    /// The service centre keeps trying; another report may come.
    StillTrying,
    /// It is over: sent again, it would fail again.
    FailedForGood,
    /// It is over, and the service centre has given up; sent again, it may arrive.
    GivenUp,
}

impl Status {
    /// What it means. A reserved one is to be taken as "service rejected" (0x63).
    #[must_use]
    pub fn fate(self) -> Fate {
        match self.0 {
            0x00..=0x02 | 0x10..=0x1f => Fate::Delivered,
            0x20..=0x25 | 0x30..=0x3f => Fate::StillTrying,
            0x40..=0x49 | 0x50..=0x5f => Fate::FailedForGood,
            _ => Fate::GivenUp,
        }
    }

    /// In the words of the specification.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self.0 {
            0x00 => "received by the SME",
            0x01 => "forwarded to the SME, but delivery cannot be confirmed",
            0x02 => "replaced by the service centre",
            0x20 | 0x60 => "congestion",
            0x21 | 0x61 => "SME busy",
            0x22 | 0x62 => "no response from the SME",
            0x23 | 0x63 => "service rejected",
            0x24 | 0x44 | 0x64 => "quality of service not available",
            0x25 | 0x65 => "error in the SME",
            0x40 => "remote procedure error",
            0x41 => "incompatible destination",
            0x42 => "connection rejected by the SME",
            0x43 => "not obtainable",
            0x45 => "no interworking available",
            0x46 => "validity period expired",
            0x47 => "deleted by the sender",
            0x48 => "deleted by the service centre's administration",
            0x49 => "the message does not exist",
            0x10..=0x1f | 0x30..=0x3f | 0x50..=0x5f | 0x70..=0x7f => "of the service centre's own",
            _ => "reserved",
        }
    }
}
