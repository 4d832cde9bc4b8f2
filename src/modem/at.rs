//! AT commands (ITU-T V.250, 3GPP TS 27.005 and 27.007) over any byte stream, one at a time.
//!
//! What stays true, whatever the modem does:
//! - Its lines are bounded, and so is each wait for it.
//! - What it says unasked is told from answers, wherever it says it.
//! - An answer that comes too late is never taken for that of the next command: after a time-out the next
//!   command waits until the modem has answered a question that nothing else asks.
//! - No byte that ends a command, a message or a prompt can be in what a caller has us write.
//! - Of a message it is known for certain that it was sent, for certain that nothing of it has left, or it is
//!   said that neither is known. A PDU counts as given when the Ctrl-Z behind it was taken.

mod command;
mod lines;
mod refusal;

#[cfg(test)]
mod tests;

use std::{collections::VecDeque, io, time::Duration};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

pub use self::{
    command::{BadCommand, Command},
    refusal::{Reason, Refusal},
};
use self::{
    lines::{Item, Lines},
    refusal::Dials,
};
use super::pdu::Pdu;

/// Ends a prompt, and nothing is sent.
const ESCAPE: &[u8] = b"\x1b";
/// Ends a PDU, and it is sent.
const CTRL_Z: &[u8] = b"\x1a";
/// The question by which an answer is known to be the latest. Nothing else may ask it.
const QUESTION: Command = Command::fixed("AT+CMEE?");
/// How often it is asked before the modem counts as mute, and how long it has each time.
const QUESTIONS: u32 = 3;
/// Lines of one answer; the fullest SIM has 255 messages of two lines.
const RESPONSE_MAX: usize = 2048;
/// Lines unasked for that are kept until somebody takes them.
const UNSOLICITED_MAX: usize = 512;
/// Said by modems without a name before them.
const UNSOLICITED: [&str; 9] =
    ["RING", "NO CARRIER", "BUSY", "NO ANSWER", "RDY", "Call Ready", "SMS Ready", "SMS DONE", "NORMAL POWER DOWN"];

/// Why there is no answer that says `OK`.
#[derive(Debug, thiserror::Error)]
pub enum AtError {
    /// The modem says no.
    #[error("{}", .0)]
    Refused(Refusal),
    /// The modem says nothing, or does not take what is said to it.
    #[error("no answer from the modem to {command} within {within:?}")]
    TimedOut {
        /// What was said, without its values.
        command: String,
        /// How long was waited.
        within: Duration,
    },
    /// There is no modem any more.
    #[error("the modem is gone: {0}")]
    Gone(#[from] io::Error),
}

/// What became of a message.
#[derive(Debug)]
pub enum Submission {
    /// The network has it, under this reference.
    Sent {
        /// TP-MR: status reports name it.
        reference: u8,
    },
    /// Nothing of it has left.
    Refused {
        /// Why.
        why: AtError,
        /// Whether it would be refused again.
        permanent: bool,
    },
    /// It was given to the modem, and nobody knows what became of it: it must not be sent again by itself.
    Unknown {
        /// Why.
        why: AtError,
    },
}

/// What a modem says unasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsolicited {
    /// `+CMTI`, `+CDSI`: something was put into a memory.
    Stored {
        /// Which one: `SM`, `ME`, `SR`.
        memory: String,
    },
    /// `+CMT`, `+CDS`: a message or a status report, which is kept nowhere else.
    Direct(Pdu),
    /// `+CREG` and its like: the network, or what it offers, has changed.
    Registration,
    /// Anything else.
    Other(String),
}

/// A modem's line.
#[derive(Debug)]
pub struct Port<S> {
    stream: S,
    lines: Lines,
    unsolicited: VecDeque<Unsolicited>,
    /// After a line that says so, a PDU comes.
    awaits_pdu: bool,
    /// Something may come that answers a command which nobody waits for any more.
    is_behind: bool,
    /// How often [`QUESTION`] was asked without an answer.
    unanswered: u32,
    /// How long a modem has to answer it.
    catch_up: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Port<S> {
    /// A line of which nothing is known: the first command catches up with it. `catch_up` is how long the modem
    /// has for that, each of three times.
    pub fn new(stream: S, catch_up: Duration) -> Self {
        Self {
            stream,
            lines: Lines::default(),
            unsolicited: VecDeque::new(),
            awaits_pdu: false,
            is_behind: true,
            unanswered: 0,
            catch_up,
        }
    }

    /// Says a command and gives the lines of its answer, without the final one.
    ///
    /// # Errors
    /// If the modem says no, says nothing, or is gone.
    pub async fn run(&mut self, command: &Command, within: Duration) -> Result<Vec<String>, AtError> {
        self.keep_up().await?;
        self.clear().await?;
        self.is_behind = true;
        let mut lines = Vec::new();
        let answered = timeout(within, async {
            self.write_line(command).await?;
            self.answer(command, None, &mut lines).await
        });
        let answer = answered.await.unwrap_or_else(|_| Err(timed_out(command, within)));
        self.is_behind = !is_final(&answer);
        answer.map(|()| lines)
    }

    /// Sends a message. `prompt_within` is for the modem, `answer_within` for the network.
    pub async fn submit(&mut self, pdu: &Pdu, prompt_within: Duration, answer_within: Duration) -> Submission {
        let command = match Command::new(format!("AT+CMGS={}", pdu.length())) {
            Ok(command) => command,
            Err(bad) => return refused(AtError::Gone(io::Error::other(bad))),
        };
        if let Err(why) = self.keep_up().await {
            return refused(why);
        }
        if let Err(why) = self.clear().await {
            return refused(why);
        }
        self.is_behind = true;
        let hex = pdu.to_hex();
        let given = timeout(prompt_within, async {
            self.write_line(&command).await?;
            self.prompt(&command).await?;
            self.stream.write_all(hex.as_bytes()).await?;
            // Until this is taken the message is not given: a PDU without its end is never sent.
            self.stream.write_all(CTRL_Z).await?;
            Ok(())
        });
        match given.await {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                self.is_behind = !matches!(why, AtError::Refused(_));
                return refused(why);
            }
            Err(_) => return refused(timed_out(&command, prompt_within)),
        }
        let mut lines = Vec::new();
        let answered = timeout(answer_within, self.answer(&command, Some(&hex), &mut lines)).await;
        let answer = answered.unwrap_or_else(|_| Err(timed_out(&command, answer_within)));
        self.is_behind = !is_final(&answer);
        let reference = lines.iter().find_map(|line| reference(line));
        match (answer, reference) {
            (Err(AtError::Refused(refusal)), _) if !refusal.may_have_left() => refused(AtError::Refused(refusal)),
            // A modem that falls silent behind this has said what there was to say.
            (_, Some(reference)) => Submission::Sent { reference },
            (Ok(()), None) => Submission::Unknown { why: AtError::Gone(io::Error::other("it gave no reference")) },
            (Err(why), None) => Submission::Unknown { why },
        }
    }

    /// Waits until the modem says something unasked. Dropping this loses nothing.
    ///
    /// # Errors
    /// If it is gone.
    pub async fn listen(&mut self) -> Result<Unsolicited, AtError> {
        loop {
            if let Some(said) = self.unsolicited.pop_front() {
                return Ok(said);
            }
            if let Item::Line(line) = self.item().await? {
                self.take_unasked(line, "");
            }
        }
    }

    /// What was said unasked meanwhile.
    pub fn unsolicited(&mut self) -> Option<Unsolicited> {
        self.unsolicited.pop_front()
    }

    /// Says something without waiting for an answer: to a modem that gives none.
    ///
    /// # Errors
    /// If it is gone, or takes nothing.
    pub async fn say(&mut self, command: &Command) -> Result<(), AtError> {
        self.is_behind = true;
        let said = timeout(self.catch_up, self.write_line(command)).await;
        said.unwrap_or_else(|_| Err(timed_out(command, self.catch_up)))
    }

    /// After a time-out: leaves a prompt, if there is one, and passes over everything up to the answer to a
    /// question that only we ask. A modem answers in order.
    async fn keep_up(&mut self) -> Result<(), AtError> {
        if !self.is_behind {
            return Ok(());
        }
        self.awaits_pdu = false;
        for _ in 0..QUESTIONS {
            let before = self.unanswered;
            let caught_up = timeout(self.catch_up, async {
                self.stream.write_all(ESCAPE).await?;
                // Ends what an escape was the beginning of, if the modem had no prompt.
                self.stream.write_all(b"\r").await?;
                self.unanswered += 1;
                self.write_line(&QUESTION).await?;
                self.pass_over().await
            });
            match caught_up.await {
                // What it has not answered in all that time, while it answered others, it has not heard.
                Ok(Ok(())) | Err(_) if self.unanswered <= before => {
                    self.unanswered = 0;
                    self.is_behind = false;
                    return Ok(());
                }
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(gone)) => return Err(gone),
            }
        }
        Err(timed_out(&QUESTION, self.catch_up * QUESTIONS))
    }

    /// What has come before a command is said does not answer it.
    async fn clear(&mut self) -> Result<(), AtError> {
        // One that never ends is nothing that one could wait for the end of.
        for _ in 0..RESPONSE_MAX {
            // No time at all: what is there is taken, and nothing is waited for.
            match timeout(Duration::ZERO, self.item()).await {
                Err(_) => break,
                Ok(Ok(Item::Line(line))) => self.take_unasked(line, ""),
                Ok(Ok(Item::Prompt)) => {}
                Ok(Err(gone)) => return Err(gone),
            }
        }
        Ok(())
    }

    /// Up to the end of the last answer to the question.
    async fn pass_over(&mut self) -> Result<(), AtError> {
        let mut is_answer = false;
        while self.unanswered > 0 {
            match self.item().await? {
                // It had still to come: what we said before it was not heard as an escape.
                Item::Prompt => self.stream.write_all(ESCAPE).await?,
                Item::Line(line) if line.starts_with("+CMEE:") => is_answer = true,
                Item::Line(line) if is_answer && line == "OK" => {
                    is_answer = false;
                    self.unanswered -= 1;
                }
                // Only what certainly answers nothing is kept.
                Item::Line(line) => self.take_unasked(line, QUESTION.name()),
            }
        }
        Ok(())
    }

    async fn write_line(&mut self, command: &Command) -> Result<(), AtError> {
        // In one piece, for modems that listen badly. Not flushed: of a serial port that blocks the thread.
        let line = format!("{}\r", command.text());
        self.stream.write_all(line.as_bytes()).await?;
        Ok(())
    }

    async fn item(&mut self) -> Result<Item, AtError> {
        let mut chunk = [0; 1024];
        loop {
            if let Some(item) = self.lines.next() {
                return Ok(item);
            }
            let length = self.stream.read(&mut chunk).await?;
            if length == 0 {
                return Err(AtError::Gone(io::ErrorKind::UnexpectedEof.into()));
            }
            self.lines.push(&chunk[..length]);
        }
    }

    /// The lines of an answer, up to its end; those that came, if that does not come.
    async fn answer(
        &mut self,
        command: &Command,
        echo: Option<&str>,
        response: &mut Vec<String>,
    ) -> Result<(), AtError> {
        let dials = if command.text().starts_with("ATD") { Dials::Yes } else { Dials::No };
        loop {
            let Item::Line(line) = self.item().await? else { continue };
            if line == command.text() || echo == Some(&line) {
                continue;
            }
            if self.is_unasked(&line, command.name()) {
                self.take_unasked(line, command.name());
                continue;
            }
            // What announced a PDU was followed by none.
            self.awaits_pdu = false;
            if line == "OK" {
                return Ok(());
            } else if let Some(refusal) = Refusal::of(&line, dials) {
                return Err(AtError::Refused(refusal));
            } else if response.len() < RESPONSE_MAX {
                response.push(line);
            }
        }
    }

    /// Waits for the modem to want the PDU.
    async fn prompt(&mut self, command: &Command) -> Result<(), AtError> {
        loop {
            let line = match self.item().await? {
                Item::Prompt => return Ok(()),
                Item::Line(line) => line,
            };
            if let Some(refusal) = Refusal::of(&line, Dials::No) {
                return Err(AtError::Refused(refusal));
            }
            self.take_unasked(line, command.name());
        }
    }

    /// Whether a line answers no command of this name.
    fn is_unasked(&self, line: &str, name: &str) -> bool {
        if self.awaits_pdu && Pdu::from_hex(line).is_ok() {
            return true;
        }
        if UNSOLICITED.contains(&line) && !(name.starts_with('D') && line != "RING") {
            return true;
        }
        let Some((theirs, values)) = named(line) else { return false };
        if theirs != name {
            return !matches!(theirs, "+CME ERROR" | "+CMS ERROR");
        }
        // `+CREG: 1` and `+CREG: 1,"00C3"` are news, `+CREG: 0,1` is an answer.
        let mut values = values.split(',');
        name.ends_with("REG") && values.nth(1).is_none_or(|second| second.trim().starts_with('"'))
    }

    /// Keeps what was said unasked; an answer to nobody is passed over.
    fn take_unasked(&mut self, line: String, name: &str) {
        if !self.is_unasked(&line, name) {
            self.awaits_pdu = false;
            return;
        }
        if std::mem::take(&mut self.awaits_pdu)
            && let Ok(pdu) = Pdu::from_hex(&line)
        {
            self.keep(Unsolicited::Direct(pdu));
            return;
        }
        let said = match named(&line) {
            Some(("+CMT" | "+CDS", _)) => {
                self.awaits_pdu = true;
                return;
            }
            Some(("+CMTI" | "+CDSI", values)) => {
                let memory = values.split(',').next().unwrap_or_default().trim().trim_matches('"');
                Unsolicited::Stored { memory: memory.to_owned() }
            }
            Some(("+CREG" | "+CGREG" | "+CEREG", _)) => Unsolicited::Registration,
            _ => Unsolicited::Other(line),
        };
        self.keep(said);
    }

    fn keep(&mut self, said: Unsolicited) {
        if self.unsolicited.len() < UNSOLICITED_MAX {
            self.unsolicited.push_back(said);
        }
    }
}

/// `+NAME: values`, with any of the signs that makers begin their own with.
fn named(line: &str) -> Option<(&str, &str)> {
    let (name, values) = line.split_once(':')?;
    name.starts_with(['+', '^', '*', '$', '#', '%', '_', '&']).then_some((name.trim_end(), values.trim()))
}

fn reference(line: &str) -> Option<u8> {
    let ("+CMGS", values) = named(line)? else { return None };
    values.split(',').next()?.trim().parse().ok()
}

/// Whether nothing more comes.
fn is_final(answer: &Result<(), AtError>) -> bool {
    matches!(answer, Ok(()) | Err(AtError::Refused(_)))
}

fn refused(why: AtError) -> Submission {
    let permanent = matches!(&why, AtError::Refused(refusal) if refusal.is_permanent());
    Submission::Refused { why, permanent }
}

fn timed_out(command: &Command, within: Duration) -> AtError {
    AtError::TimedOut { command: format!("{command:?}"), within }
}
