//! How a modem says no, in words: final result codes (ITU-T V.250), `+CME ERROR` (3GPP TS 27.007, 9.2) and
//! `+CMS ERROR` (3GPP TS 27.005, 3.2.5).

use std::fmt;

/// A final result that is not `OK`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `ERROR`, without a reason.
    Error,
    /// `+CME ERROR`: of the equipment.
    Equipment(Reason),
    /// `+CMS ERROR`: of messages. Up to 127 it is the network's, up to 255 the service centre's, then the modem's.
    Message(Reason),
    /// Another final result, as `NO CARRIER`.
    Other(&'static str),
}

/// By number or, from modems that speak, by words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A number of the tables.
    Code(u16),
    /// The modem's own words.
    Words(String),
}

/// Final results besides `OK` and those with a reason.
const OTHERS: [&str; 4] = ["COMMAND NOT SUPPORT", "COMMAND NOT SUPPORTED", "TOO MANY PARAMETERS", "NO DIALTONE"];
/// The end of a telephone call: final for a command that dials, and else news about one that we do not make.
const OF_CALLS: [&str; 4] = ["NO CARRIER", "BUSY", "NO ANSWER", "DELAYED"];

impl Refusal {
    /// What a final line says: `None` if it is no final line, or `OK`.
    pub(super) fn of(line: &str, dials: Dials) -> Option<Self> {
        if line == "ERROR" {
            return Some(Self::Error);
        }
        if let Some(reason) = line.strip_prefix("+CME ERROR:") {
            return Some(Self::Equipment(Reason::of(reason)));
        }
        if let Some(reason) = line.strip_prefix("+CMS ERROR:") {
            return Some(Self::Message(Reason::of(reason)));
        }
        let of_calls = if dials == Dials::Yes { &OF_CALLS[..] } else { &[] };
        OTHERS.iter().chain(of_calls).find(|other| **other == line).map(|other| Self::Other(other))
    }

    /// Whether the same message, sent again, would be refused again: it is the message's fault, or the number's. That
    /// a PDU cannot be read (304) is the fault of neither: the modem has been restarted, or the line was cut in it.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        matches!(
            self,
            Self::Message(Reason::Code(
                1 | 8 | 10 | 21 | 28..=30 | 50 | 69 | 95..=99 | 111 | 128..=159 | 160..=191 | 195..=199,
            ))
        )
    }

    /// Whether the message may have left nevertheless: the modem does not know, or has waited in vain.
    #[must_use]
    pub fn may_have_left(&self) -> bool {
        matches!(self, Self::Message(Reason::Code(332 | 500)))
    }

    /// Whether the SIM has no room for what arrives.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Message(Reason::Code(22 | 208 | 211 | 320 | 322)))
    }
}

impl Reason {
    fn of(text: &str) -> Self {
        let text = text.trim();
        text.parse().map_or_else(|_| Self::Words(text.to_owned()), Self::Code)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error => f.write_str("the modem says ERROR"),
            Self::Equipment(Reason::Code(code)) => write!(f, "{} (+CME ERROR: {code})", equipment(*code)),
            Self::Message(Reason::Code(code)) => write!(f, "{} (+CMS ERROR: {code})", message(*code)),
            Self::Equipment(Reason::Words(words)) => write!(f, "the modem says +CME ERROR: {words}"),
            Self::Message(Reason::Words(words)) => write!(f, "the modem says +CMS ERROR: {words}"),
            Self::Other(other) => write!(f, "the modem says {other}"),
        }
    }
}

/// Whether a command makes a telephone call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dials {
    Yes,
    No,
}

/// 3GPP TS 27.007, 9.2.
fn equipment(code: u16) -> &'static str {
    match code {
        0 => "phone failure",
        1 => "no connection to phone",
        2 => "phone-adaptor link reserved",
        3 => "operation not allowed",
        4 => "operation not supported",
        5 => "PH-SIM PIN required",
        6 => "PH-FSIM PIN required",
        7 => "PH-FSIM PUK required",
        10 => "SIM not inserted",
        11 => "SIM PIN required",
        12 => "SIM PUK required",
        13 => "SIM failure",
        14 => "SIM busy",
        15 => "SIM wrong",
        16 => "incorrect password",
        17 => "SIM PIN2 required",
        18 => "SIM PUK2 required",
        20 => "memory full",
        21 => "invalid index",
        22 => "not found",
        23 => "memory failure",
        24 => "text string too long",
        25 => "invalid characters in text string",
        26 => "dial string too long",
        27 => "invalid characters in dial string",
        30 => "no network service",
        31 => "network timeout",
        32 => "network not allowed, emergency calls only",
        40 => "network personalisation PIN required",
        41 => "network personalisation PUK required",
        42 => "network subset personalisation PIN required",
        43 => "network subset personalisation PUK required",
        44 => "service provider personalisation PIN required",
        45 => "service provider personalisation PUK required",
        46 => "corporate personalisation PIN required",
        47 => "corporate personalisation PUK required",
        48 => "hidden key required",
        49 => "EAP method not supported",
        50 => "incorrect parameters",
        51 => "command implemented but currently disabled",
        52 => "command aborted by user",
        53 => "not attached to network due to restricted mode",
        54 => "modem not allowed, only emergency calls",
        55 => "operation not allowed because of restricted mode",
        56 => "fixed dial number only allowed",
        57 => "temporarily out of service",
        58 => "language or alphabet not supported",
        59 => "unexpected data value",
        60 => "system failure",
        61 => "data missing",
        62 => "call barred",
        63 => "message waiting indication subscription failure",
        100 => "unknown",
        103 => "illegal mobile station",
        106 => "illegal mobile equipment",
        107 => "GPRS services not allowed",
        111 => "network not allowed",
        112 => "location area not allowed",
        113 => "roaming not allowed in this location area",
        132 => "service option not supported",
        133 => "requested service option not subscribed",
        134 => "service option temporarily out of order",
        148 => "unspecified GPRS error",
        149 => "PDP authentication failure",
        150 => "invalid mobile class",
        _ => "an error of the equipment that has no name",
    }
}

/// 3GPP TS 27.005, 3.2.5, with 24.011 (E.2) up to 127 and 23.040 (9.2.3.22) up to 255.
fn message(code: u16) -> &'static str {
    match code {
        1 => "unassigned number",
        8 => "operator determined barring",
        10 => "call barred",
        17 => "network failure",
        21 => "message transfer rejected",
        22 => "congestion, or no memory left",
        27 => "destination out of service",
        28 => "unidentified subscriber",
        29 => "facility rejected",
        30 => "unknown subscriber",
        38 => "network out of order",
        41 => "temporary failure",
        42 => "congestion",
        47 => "resources unavailable",
        50 => "requested facility not subscribed",
        69 => "requested facility not implemented",
        81 => "invalid message transfer reference",
        95 => "invalid message",
        96 => "invalid mandatory information",
        97 => "message type not implemented",
        98 => "message not compatible with the protocol state",
        99 => "information element not implemented",
        111 => "protocol error",
        127 => "interworking",
        128 => "telematic interworking not supported",
        129 => "short message type 0 not supported",
        130 => "cannot replace the message",
        143 => "unspecified error of the protocol identifier",
        144 => "alphabet not supported",
        145 => "message class not supported",
        159 => "unspecified error of the data coding scheme",
        160 => "command cannot be actioned",
        161 => "command not supported",
        175 => "unspecified error of the command",
        176 => "PDU not supported",
        192 => "service centre busy",
        193 => "no service centre subscription",
        194 => "service centre system failure",
        195 => "invalid address",
        196 => "destination barred",
        197 => "rejected as a duplicate",
        198 => "validity period format not supported",
        199 => "validity period not supported",
        208 => "SIM storage full",
        209 => "no message storage on the SIM",
        210 => "error in the modem",
        211 => "memory capacity exceeded",
        212 => "SIM application toolkit busy",
        213 => "SIM data download error",
        224..=254 => "an error of the application",
        255 => "unspecified error",
        300 => "modem failure",
        301 => "message service of the modem reserved",
        302 => "operation not allowed",
        303 => "operation not supported",
        304 => "invalid PDU mode parameter",
        305 => "invalid text mode parameter",
        310 => "SIM not inserted",
        311 => "SIM PIN required",
        312 => "PH-SIM PIN required",
        313 => "SIM failure",
        314 => "SIM busy",
        315 => "SIM wrong",
        316 => "SIM PUK required",
        317 => "SIM PIN2 required",
        318 => "SIM PUK2 required",
        320 => "memory failure",
        321 => "invalid memory index",
        322 => "memory full",
        330 => "service centre's address unknown",
        331 => "no network service",
        332 => "network timeout",
        340 => "no acknowledgement expected",
        500 => "unknown error",
        _ => "an error that has no name",
    }
}
