//! A GSM modem, the wire: messages out, messages and status reports in, over AT commands on a serial line.
//!
//! Three layers: [`pdu`] is octets and texts, [`at`] commands and answers, and here is the modem as a thing that
//! is plugged in, unplugged, mute, full or without a network. Knows nothing of what a message is for, who gets
//! it, or of other modems. One task owns the line; [`Modem`] asks it to send, [`Notice`]s tell what happens.
//!
//! What stays true, whatever the modem does:
//! - A message is sent, refused for certain, or it is said that nobody knows: see [`Sending`].
//! - What arrives is deleted from the modem only when whoever took it says that it is stored; until then it is
//!   handed over again after every restart. So the modem is emptied, and never full for long.
//! - A modem that is unplugged, or mute, is opened anew, by its path, until it is there again.
//! - A SIM's PIN is entered once. One that was not accepted is never entered again by this process, and none
//!   when the SIM says that only one try is left.

pub mod at;
mod device;
mod health;
mod inbox;
pub mod pdu;
mod sim;
mod worker;

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::{
    health::{Health, Identification, Registration, Sim},
    inbox::Stored,
};
use self::{
    pdu::{Address, Deliver, EncodeError, Pdu, StatusReport, Submit},
    worker::Request,
};

/// Messages that wait to be sent; further ones wait in line for a place.
const REQUESTS_MAX: usize = 64;
/// Notices that wait to be taken. What arrives beyond stays in the modem.
const NOTICES_MAX: usize = 1024;

/// Where a modem is, what its SIM needs, and how long we wait.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A name that stays when it is plugged in again: of `/dev/serial/by-id`, or a link that udev makes.
    pub path: PathBuf,
    /// Bits per second. Of no meaning for most that are on USB.
    pub baud: u32,
    /// The SIM's, 4 to 8 digits, if it has one.
    pub pin: Option<SecretString>,
    /// A file that knows across starts which PINs were not accepted; without one that is known until the process ends.
    pub wrong_pins: Option<PathBuf>,
    /// The service centre, if not the one that the SIM knows.
    pub smsc: Option<Address>,
    /// For the answer to a command, of the modem alone.
    pub answer_within: Duration,
    /// For the modem to want the PDU, and to take it.
    pub prompt_within: Duration,
    /// For the network to take the message. When it has passed nobody knows whether it did.
    pub sent_within: Duration,
    /// Between two looks for what has arrived; the modem tells by itself, unless it does not.
    pub poll_every: Duration,
    /// Between two questions about network and signal.
    pub health_every: Duration,
    /// Before it is opened anew; doubled each time up to the second.
    pub reopen_after: (Duration, Duration),
}

impl Settings {
    /// The defaults, for the modem at this path.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            baud: 115_200,
            pin: None,
            wrong_pins: None,
            smsc: None,
            answer_within: Duration::from_secs(10),
            prompt_within: Duration::from_secs(10),
            // The network itself may take 35 to 45 s for one try (3GPP TS 24.011, TR1M), and there are slow modems.
            sent_within: Duration::from_secs(120),
            poll_every: Duration::from_secs(15),
            health_every: Duration::from_secs(30),
            reopen_after: (Duration::from_millis(500), Duration::from_secs(30)),
        }
    }
}

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sending {
    /// The network has it.
    Sent {
        /// Status reports name it, beside the recipient.
        reference: u8,
    },
    /// Nothing of it has left: it may be sent again, or another way.
    Refused {
        /// In words, without numbers or texts.
        why: String,
        /// Whether it would be refused again: it is the message's fault, or the number's.
        permanent: bool,
    },
    /// The modem was given it, and no final answer came: it may have left, so it must not be sent again by itself.
    Unknown {
        /// In words, without numbers or texts.
        why: String,
    },
}

/// What happens with a modem.
#[derive(Debug)]
pub enum Notice {
    /// It is there, and takes messages.
    Up,
    /// It is not, and why.
    Down {
        /// In words.
        why: String,
    },
    /// A message came. One part of a longer one is one; [`pdu::Reassembly`] puts them together.
    Arrived {
        /// The message.
        deliver: Box<Deliver>,
        /// To be told when it is safe.
        stored: Stored,
    },
    /// Something became of a message of ours, or of one that we do not know.
    Report {
        /// What.
        report: Box<StatusReport>,
        /// To be told when it is safe.
        stored: Stored,
    },
    /// Something came that is no message.
    Unreadable {
        /// As it came.
        pdu: Pdu,
        /// Why it is none.
        why: String,
        /// To be told when it is safe.
        stored: Stored,
    },
    /// Its health is another than before.
    Health(Box<Health>),
}

/// Asks the task to send. Cheap to clone; the task ends when all are dropped, after what it is just sending.
#[derive(Clone, Debug)]
pub struct Modem {
    requests: mpsc::Sender<Request>,
    health: watch::Receiver<Health>,
}

impl Modem {
    /// Starts the task that keeps the modem open, within a tokio runtime. The notices end with it.
    #[must_use]
    pub fn start(settings: Settings) -> (Self, mpsc::Receiver<Notice>) {
        let (requests, asked) = mpsc::channel(REQUESTS_MAX);
        let (to_listener, notices) = mpsc::channel(NOTICES_MAX);
        let (to_health, health) = watch::channel(Health::default());
        tokio::spawn(worker::keep_open(settings, asked, to_listener, to_health));
        (Self { requests, health }, notices)
    }

    /// Sends a message, when those before it are sent. Without a modem it is refused at once.
    ///
    /// Dropping the future before its turn keeps it from being sent, later it changes nothing.
    ///
    /// # Errors
    /// If it cannot be written as octets: it is too long for one message.
    pub async fn send(&self, submit: &Submit) -> Result<Sending, EncodeError> {
        let pdu = submit.encode()?;
        let (to, answer) = oneshot::channel();
        if self.requests.send(Request { pdu, to }).await.is_err() {
            return Ok(Sending::Refused { why: "the modem was closed".to_owned(), permanent: false });
        }
        // The task answers whatever it takes, unless it is torn down.
        let torn_down = Sending::Unknown { why: "the modem's task has ended".to_owned() };
        Ok(answer.await.unwrap_or(torn_down))
    }

    /// How it is.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    /// Changes with its health.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Health> {
        self.health.clone()
    }
}
