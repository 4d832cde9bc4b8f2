//! How a modem is: its SIM, its network, its signal; and what it is.

use super::pdu::Address;

/// All that is known of a modem.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Whether it takes messages now.
    pub is_up: bool,
    /// Why not.
    pub why_down: Option<String>,
    /// Its SIM.
    pub sim: Sim,
    /// Whether a network has it.
    pub registration: Registration,
    /// Received signal strength in dBm: -113 is next to none, -51 the best that a modem tells.
    pub signal_dbm: Option<i16>,
    /// The network's name.
    pub operator: Option<String>,
    /// The service centre that takes our messages.
    pub smsc: Option<Address>,
    /// Messages that the SIM has, and how many it could.
    pub storage: Option<(u16, u16)>,
    /// What it is.
    pub identity: Identification,
}

/// What it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identification {
    /// `AT+CGMI`.
    pub manufacturer: Option<String>,
    /// `AT+CGMM`.
    pub model: Option<String>,
    /// `AT+CGMR`.
    pub revision: Option<String>,
    /// `AT+CGSN`: the IMEI.
    pub serial: Option<String>,
}

/// `AT+CPIN?`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Sim {
    /// Not asked yet.
    #[default]
    Unknown,
    /// It works.
    Ready,
    /// There is none, or it is broken, in the modem's words.
    Absent(String),
    /// It wants a PIN, and gets none: see [`Health::why_down`].
    PinRequired,
    /// Too many PINs were wrong. A person with the PUK can mend it, in a telephone.
    PukRequired,
}

/// `AT+CREG?`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Registration {
    /// Not known.
    #[default]
    Unknown,
    /// It has no network, and looks for none.
    NotSearching,
    /// It looks for one.
    Searching,
    /// The network does not want this SIM.
    Denied,
    /// At home.
    Home,
    /// Abroad.
    Roaming,
}

impl Registration {
    /// By the number of 3GPP TS 27.007, 7.2.
    pub(super) fn of(stat: u8) -> Self {
        match stat {
            0 => Self::NotSearching,
            1 | 6 => Self::Home,
            2 => Self::Searching,
            3 => Self::Denied,
            5 | 7 => Self::Roaming,
            _ => Self::Unknown,
        }
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_registered(self) -> bool {
        matches!(self, Self::Home | Self::Roaming)
    }
}

/// `AT+CSQ` in dBm (3GPP TS 27.007, 8.5); from 100 on for TD-SCDMA.
pub(super) fn dbm(rssi: u8) -> Option<i16> {
    match rssi {
        0..=31 => Some(-113 + 2 * i16::from(rssi)),
        100..=191 => Some(i16::from(rssi) - 216),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signal_strength_is_in_dbm() {
        let told = [(0, -113), (1, -111), (15, -83), (31, -51), (100, -116), (191, -25)];
        assert!(told.iter().all(|(rssi, expected)| dbm(*rssi) == Some(*expected)));
        assert_eq!([32, 99, 192, 199, 255].map(dbm), [None; 5]);
    }

    #[test]
    fn only_home_and_abroad_is_a_network() {
        let registered: Vec<u8> = (0..=255).filter(|stat| Registration::of(*stat).is_registered()).collect();
        assert_eq!(registered, [1, 5, 6, 7]);
    }
}
