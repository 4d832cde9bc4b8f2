//! A GSM modem that is not there: AT commands in PDU mode on a pseudo terminal, a SIM, a network, and faults.
//!
//! It reads PDUs with ringdown's own decoder, so ringdown against it proves no encoding: that others' programs
//! (gammu) can use it, and read the same, is tested. Its path is a link that stays when it is unplugged
//! and plugged in again, as udev's are.

mod at;
mod pty;
mod state;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result};
use ringdown::modem::pdu::{Address, Deliver, Pdu, Status, StatusReport, Submit, Text, Width};
use tokio::task::JoinHandle;

use crate::wait::until;

use self::state::State;

/// How it is to begin with. Whatever changes later is changed by a method.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The SIM's PIN, and how many tries it allows.
    pub pin: Option<(String, u8)>,
    /// Whether it says how many tries are left.
    pub tells_tries: bool,
    /// Messages that the SIM holds.
    pub capacity: usize,
    /// How long the network takes for one message. A real one takes some three seconds.
    pub message_takes: Duration,
    /// What the network reports, if it is asked to.
    pub reports: Option<Status>,
    /// 1 if what is told directly has to be acknowledged.
    pub service: u8,
    /// Whether it can store status reports, or only tell them.
    pub stores_reports: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            pin: None,
            tells_tries: true,
            capacity: 20,
            message_takes: Duration::ZERO,
            reports: None,
            service: 0,
            stores_reports: true,
        }
    }
}

/// What goes wrong with the next message that it is to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It says nothing any more, from the command on.
    MuteAtCommand,
    /// It is unplugged when it has asked for the PDU.
    UnplugAtPrompt,
    /// It is unplugged when it has the PDU.
    UnplugAfterPdu,
    /// It says nothing any more when it has the PDU, until it is restarted.
    MuteAfterPdu,
    /// It is unplugged in the middle of the line that says that the message was sent.
    StopInLine,
    /// The network, or it, says no by this `+CMS ERROR`.
    Refuse(u16),
    /// What became of the message is reported before it says that it was sent.
    ReportFirst,
}

/// A message that it was given, whatever became of it then.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// As it came.
    pub pdu: Pdu,
    /// What it says.
    pub submit: Submit,
}

/// A modem. Gone when it is dropped.
pub struct Modem {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    serving: JoinHandle<()>,
}

impl Modem {
    /// Plugs one in, with a link to it in this directory.
    ///
    /// # Errors
    /// If there is no pseudo terminal.
    pub fn start(directory: &Path, setup: Setup) -> Result<Self> {
        let path = directory.join("modem");
        let state = Arc::new(Mutex::new(State::new(setup)));
        let first = pty::Line::open(&path).context("a pseudo terminal")?;
        let serving = tokio::spawn(pty::serve(Some(first), path.clone(), Arc::clone(&state)));
        Ok(Self { path, state, serving })
    }

    /// Where it is. Nothing is there while it is unplugged.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Pulls it out. What it holds, it keeps.
    pub fn unplug(&self) {
        self.state().is_plugged = false;
    }

    /// Plugs it in again: it begins anew, with its SIM locked.
    pub fn plug(&self) {
        let mut state = self.state();
        state.restart();
        state.is_plugged = true;
    }

    /// What goes wrong with the next messages, one each.
    pub fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// It says nothing any more, until it is restarted.
    pub fn is_mute(&self) {
        self.state().is_mute = true;
    }

    /// Its network: a number of `+CREG`, 1 at home, 2 searching.
    pub fn registers(&self, stat: u8) {
        let mut state = self.state();
        state.registration = stat;
        state.say(format!("\r\n+CREG: {stat}\r\n"));
    }

    /// Its signal: a number of `+CSQ`.
    pub fn receives(&self, rssi: u8) {
        self.state().signal = rssi;
    }

    /// It says this, whoever listens.
    pub fn says(&self, text: &str) {
        self.state().say(text.to_owned());
    }

    /// Somebody sends a text, in as many messages as it needs. The network keeps what the SIM has no room for.
    ///
    /// # Errors
    /// If the sender cannot be one.
    pub fn text(&self, from: &str, text: &str, reference: u16) -> Result<()> {
        let sender: Address = from.parse()?;
        for content in Text::split(text, 255, Width::Short).contents(reference) {
            let deliver = Deliver {
                smsc: Some("+491710760000".parse()?),
                sender: Some(sender.clone()),
                protocol: 0,
                at: Some(state::stamp()),
                more: false,
                report: false,
                reply_path: false,
                content,
            };
            self.arrives(deliver.encode()?);
        }
        Ok(())
    }

    /// This arrives from the network.
    pub fn arrives(&self, pdu: Pdu) {
        self.state().arrives(pdu);
    }

    /// A status report arrives, about whatever it is.
    pub fn reports(&self, report: &StatusReport) {
        self.state().reports(report.encode());
    }

    /// Every message that it was given, in order.
    #[must_use]
    pub fn submitted(&self) -> Vec<Submitted> {
        self.state().submitted.clone()
    }

    /// Every command that it heard, in order.
    #[must_use]
    pub fn heard(&self) -> Vec<String> {
        self.state().heard.clone()
    }

    /// How many messages its SIM has, and how many more the network keeps for it.
    #[must_use]
    pub fn holds(&self) -> (usize, usize) {
        let state = self.state();
        (state.memory.iter().flatten().count(), state.network.len())
    }

    /// How many tries its PIN has left.
    #[must_use]
    pub fn tries_left(&self) -> u8 {
        self.state().tries
    }

    /// Waits until a command was heard that begins so, after the first so many.
    ///
    /// # Errors
    /// If it is not heard in time.
    pub async fn hears(&self, beginning: &str, after: usize, within: Duration) -> Result<()> {
        until(format!("the modem hears {beginning}"), within, async || {
            Ok(self.heard().iter().skip(after).any(|heard| heard.starts_with(beginning)).then_some(()))
        })
        .await
    }

    /// Waits until the SIM holds nothing, and the network nothing for it.
    ///
    /// # Errors
    /// If it is not emptied in time.
    pub async fn is_emptied(&self, within: Duration) -> Result<()> {
        until("the SIM is emptied", within, async || Ok((self.holds() == (0, 0)).then_some(()))).await
    }
}

impl Drop for Modem {
    fn drop(&mut self) {
        self.serving.abort();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// What is to be done, in order.
type Steps = VecDeque<Step>;

/// What it does about what it heard.
#[derive(Debug)]
enum Step {
    Say(Vec<u8>),
    Wait(Duration),
    Unplug,
}
