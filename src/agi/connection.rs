//! One connection: a command out, its reply in, never two at a time. Knows the limits of time and
//! size, takes `HANGUP` lines out wherever they stand, and stays in step when a caller gives up
//! waiting. Does not know what commands there are.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout_at},
};

use super::{
    Error, Settings,
    command::Command,
    lines::Lines,
    reply::{Outcome, Replies, Reply},
    request::{Environment, Request},
};

/// An environment or a reply of several lines may be this many times as long as one line.
const LINES_TO_WHOLE: usize = 4;

/// No limit is longer; keeps the arithmetic with instants from overflowing.
const FOREVER: Duration = Duration::from_hours(365 * 24);

/// What AGI is spoken over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Wire for T {}

pub(super) struct Connection {
    /// `None` once the connection is of no more use: a socket held is a channel held.
    wire: Option<Box<dyn Wire>>,
    lines: Lines,
    replies: Replies,
    /// Bytes of the current command that are not written yet.
    unsent: Vec<u8>,
    /// The command whose reply has not been read, and until when it may come.
    outstanding: Option<(&'static str, Instant)>,
    /// `EXEC` of an application that returns 1 is answered twice: with the result, and then,
    /// as 1 also means "wrong usage" inside of Asterisk, with a usage text.
    owed_usage: bool,
    pub(super) hung_up: bool,
    allowance: Duration,
}

impl Connection {
    /// Reads the environment. `Closed` if there is none.
    pub(super) async fn open(wire: Box<dyn Wire>, settings: &Settings) -> Result<(Self, Request), Error> {
        let most_bytes = settings.line_length.saturating_mul(LINES_TO_WHOLE);
        let mut connection = Self {
            wire: Some(wire),
            lines: Lines::new(settings.line_length),
            replies: Replies::new(most_bytes),
            unsent: Vec::new(),
            outstanding: None,
            owed_usage: false,
            hung_up: false,
            allowance: settings.command,
        };
        let mut environment = Environment::new(settings.header_count, most_bytes);
        let whole = after(settings.environment);
        let first = after(settings.first_line).min(whole);

        let mut line = within(first, connection.line()).await?;
        while !line.is_empty() {
            environment.line(&line)?;
            line = within(whole, connection.line()).await?;
        }
        let request = environment.finish()?.ok_or(Error::Closed)?;
        Ok((connection, request))
    }

    /// Sends a command and waits for its reply. `own` is the time it takes by its nature.
    ///
    /// A caller may drop the future. The reply is then still to come, and the next call waits for
    /// it first and throws it away; so the next command may take as long as this one would have.
    pub(super) async fn command(&mut self, command: Command, own: Duration) -> Result<Outcome, Error> {
        let name = command.name;
        let line = command.line()?;
        let reply = match self.exchange(name, line, own).await {
            Ok(reply) => reply,
            Err(error) => return Err(self.broken(name, error)),
        };
        tracing::trace!(command = name, ?reply, "answered");
        match reply {
            Reply::Done(outcome) => Ok(outcome),
            Reply::Dead => Err(Error::HungUp),
            Reply::Unknown => Err(Error::UnknownCommand),
            Reply::Usage(text) => Err(Error::Usage(text)),
        }
    }

    async fn exchange(&mut self, name: &'static str, line: Vec<u8>, own: Duration) -> Result<Reply, Error> {
        if let Some((given_up, until)) = self.outstanding {
            let reply = within(until, self.finish()).await?;
            tracing::debug!(command = given_up, ?reply, "answered after it was given up");
        }
        self.catch_up().await?;
        let until = after(own.saturating_add(self.allowance));
        self.unsent = line;
        self.outstanding = Some((name, until));
        within(until, self.finish()).await
    }

    /// Writes what is left of the current command and reads its reply. May be dropped at any
    /// await and called again.
    async fn finish(&mut self) -> Result<Reply, Error> {
        while !self.unsent.is_empty() {
            let wire = self.wire.as_mut().ok_or(Error::Closed)?;
            match wire.write(&self.unsent).await? {
                0 => return Err(Error::Closed),
                written => self.unsent.drain(..written),
            };
        }
        self.wire.as_mut().ok_or(Error::Closed)?.flush().await?;
        loop {
            let line = self.line().await?;
            if let Some(reply) = self.replies.line(&line)?
                && !self.is_owed(&reply)
            {
                let command = self.outstanding.take().map(|(command, _)| command);
                self.owed_usage =
                    command == Some("EXEC") && matches!(&reply, Reply::Done(outcome) if outcome.result == "1");
                self.hung_up |= reply == Reply::Dead;
                return Ok(reply);
            }
        }
    }

    /// Takes in what has come since the last reply, without waiting. Anything but `HANGUP` means
    /// that replies and commands are out of step, or that a value posed as a reply: going on could
    /// take a digit for another question's answer.
    async fn catch_up(&mut self) -> Result<(), Error> {
        let read = {
            let space = self.lines.space();
            let wire = self.wire.as_mut().ok_or(Error::Closed)?;
            let mut read = pin!(wire.read_buf(space));
            poll_fn(|context| match read.as_mut().poll(context) {
                Poll::Ready(read) => Poll::Ready(Some(read)),
                Poll::Pending => Poll::Ready(None),
            })
            .await
        };
        while let Some(line) = self.lines.next()? {
            if !self.is_hangup(&line)
                && let Some(reply) = self.replies.line(&line)?
                && !self.is_owed(&reply)
            {
                return Err(Error::Malformed("a reply that nobody waits for"));
            }
        }
        if !self.replies.is_between() && !self.owed_usage {
            return Err(Error::Malformed("a reply that nobody waits for"));
        }
        match read {
            Some(Ok(0)) => Err(Error::Closed),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(_)) | None => Ok(()),
        }
    }

    fn is_owed(&mut self, reply: &Reply) -> bool {
        matches!(reply, Reply::Usage(_)) && std::mem::take(&mut self.owed_usage)
    }

    fn is_hangup(&mut self, line: &str) -> bool {
        let hangup = line == "HANGUP";
        self.hung_up |= hangup;
        hangup
    }

    /// The next line that is not `HANGUP`. May be dropped at its await.
    async fn line(&mut self) -> Result<String, Error> {
        loop {
            while let Some(line) = self.lines.next()? {
                if !self.is_hangup(&line) {
                    return Ok(line);
                }
            }
            let wire = self.wire.as_mut().ok_or(Error::Closed)?;
            if wire.read_buf(self.lines.space()).await? == 0 {
                return Err(Error::Closed);
            }
        }
    }

    /// Every error of the exchange itself ends the connection: the next reply could not be told
    /// from this one's. After a hangup its end is nothing but the hangup.
    fn broken(&mut self, command: &'static str, error: Error) -> Error {
        self.wire = None;
        self.unsent.clear();
        tracing::debug!(command, %error, hung_up = self.hung_up, "connection is over");
        match error {
            Error::Closed if self.hung_up => Error::HungUp,
            error => error,
        }
    }
}

fn after(limit: Duration) -> Instant {
    Instant::now() + limit.min(FOREVER)
}

async fn within<T>(until: Instant, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    timeout_at(until, work).await.map_err(|_| Error::Deadline)?
}
