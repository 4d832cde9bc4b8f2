//! One call under our control: each method is one AGI command, sent and answered.

use std::{fmt, net::SocketAddr, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    Digit, Digits, Error, Request, Settings,
    command::{self, Command},
    connection::Connection,
    reply::Outcome,
};

/// One `FastAGI` connection, which is one call. Dropping it closes the connection, and Asterisk goes
/// on in the dialplan; a session kept after the hangup keeps Asterisk from letting the channel go.
///
/// A method's future may be dropped (in a `select!`). Asterisk can't be told to stop, so the
/// command goes on over there; the next method waits until its reply has come, and throws it
/// away, a digit in it included.
///
/// Keys pressed while no command runs are lost in Asterisk.
pub struct Session {
    connection: Connection,
    request: Request,
    peer: SocketAddr,
    playback: Duration,
    streamed: u64,
}

/// How the playing of a file ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streamed {
    /// The key that ended it; `None` if the file was played to its end.
    pub digit: Option<Digit>,
    /// Where it ended, in samples at the file's own rate: 8,000 or 16,000 a second.
    pub end: u64,
}

/// How the playing of a file with [`Controls`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controlled {
    /// The key that ended it; `None` if the file was played to its end.
    pub digit: Option<Digit>,
    /// Where in the file it ended; `None` if it was played to its end.
    pub end: Option<Duration>,
}

/// The keys with which the listener moves in a file. They win over the keys that end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Controls {
    /// How far one press moves.
    pub skip: Duration,
    pub forward: Option<Digit>,
    pub rewind: Option<Digit>,
    pub pause: Option<Digit>,
    /// Where to begin.
    pub start: Duration,
}

impl Default for Controls {
    /// Three seconds with `#` forward and `*` back, as in Asterisk; no pause.
    fn default() -> Self {
        Self {
            skip: Duration::from_secs(3),
            forward: Digit::new('#'),
            rewind: Digit::new('*'),
            pause: None,
            start: Duration::ZERO,
        }
    }
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The keys without the `#` that ends the input.
    pub digits: String,
    /// The time ran out before the last digit or `#`.
    pub timed_out: bool,
}

/// `ast_channel_state`, as `CHANNEL STATUS` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelState {
    Down,
    Reserved,
    OffHook,
    Dialing,
    Ring,
    Ringing,
    /// Answered.
    Up,
    Busy,
    DialingOffHook,
    PreRing,
}

impl Session {
    /// Reads the environment from any stream, within the limits of `settings`. An end of the
    /// stream before there is one, or an empty one, is [`Error::Closed`].
    pub async fn open<S>(stream: S, peer: SocketAddr, settings: &Settings) -> Result<Self, Error>
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let (connection, request) = Connection::open(Box::new(stream), settings).await?;
        Ok(Self { connection, request, peer, playback: settings.playback, streamed: 0 })
    }

    #[must_use]
    pub fn request(&self) -> &Request {
        &self.request
    }

    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// How much the last [`Session::stream_file`] played, in samples, also when it ended in a hangup.
    #[must_use]
    pub fn last_streamed(&self) -> u64 {
        self.streamed
    }

    /// Whether Asterisk has said that the channel is hung up, as far as has been read: every
    /// command reads up to its reply.
    #[must_use]
    pub fn hung_up(&self) -> bool {
        self.connection.hung_up
    }

    /// Answers the channel; nothing happens if it is up already.
    pub async fn answer(&mut self) -> Result<(), Error> {
        // Some channel drivers wait for the far end here, up to half a second.
        let outcome = self.ask(Command::new("ANSWER"), Duration::ZERO).await?;
        self.done("ANSWER", &outcome).await
    }

    /// Plays a file until its end or until a key of `escape`.
    ///
    /// `file` is an absolute path or one below Asterisk's sounds, WITHOUT extension. It may take
    /// up to [`Settings::playback`].
    pub async fn stream_file(&mut self, file: &str, escape: Digits) -> Result<Streamed, Error> {
        self.streamed = 0;
        let command = Command::new("STREAM FILE").arg(file_name(file)?)?.arg(&escape.to_string())?;
        let outcome = self.ask(command, self.playback).await?;
        self.streamed = outcome.end.and_then(|end| end.try_into().ok()).unwrap_or_default();
        let digit = self.played("STREAM FILE", file, &outcome).await?;
        Ok(Streamed { digit, end: self.streamed })
    }

    /// Plays a file in which the listener can move, until its end or until a key of `escape`.
    /// With its pauses and rewinds it may take up to [`Settings::playback`].
    pub async fn control_stream_file(
        &mut self,
        file: &str,
        escape: Digits,
        controls: Controls,
    ) -> Result<Controlled, Error> {
        // An empty argument would mean Asterisk's own default, so "none" is a key nobody has.
        let key = |digit: Option<Digit>| digit.map_or("X".to_owned(), |digit| digit.to_string());
        let command = Command::new("CONTROL STREAM FILE")
            .arg(file_name(file)?)?
            .arg(&escape.to_string())?
            .number(command::milliseconds(controls.skip))
            .arg(&key(controls.forward))?
            .arg(&key(controls.rewind))?
            .arg(&key(controls.pause))?
            .number(command::milliseconds(controls.start));
        let outcome = self.ask(command, self.playback).await?;
        let digit = self.played("CONTROL STREAM FILE", file, &outcome).await?;
        let end = outcome.end.and_then(|end| end.try_into().ok()).map(Duration::from_millis);
        Ok(Controlled { digit, end })
    }

    /// Plays a file (whose name may not hold `&`, which would join two) and collects up to `max`
    /// digits, or fewer ended by `#`. Pressing a key stops the file.
    ///
    /// `timeout` is for each digit, from the end of the file on; none at all would mean
    /// Asterisk's own default, so it is at least a millisecond.
    pub async fn get_data(&mut self, file: &str, timeout: Duration, max: u8) -> Result<Data, Error> {
        if file.contains('&') {
            return Err(Error::BadArgument("& in the name of a file"));
        }
        if max == 0 {
            return Err(Error::BadArgument("no digits to collect"));
        }
        let timeout = command::milliseconds(timeout).max(1);
        let command = Command::new("GET DATA").arg(file_name(file)?)?.number(timeout).number(max.into());
        let typing = Duration::from_millis(timeout).saturating_mul(u32::from(max) + 1);
        let outcome = self.ask(command, self.playback.saturating_add(typing)).await?;
        if !outcome.result.chars().all(|key| Digit::new(key).is_some()) {
            return Err(self.unplayable("GET DATA", file, &outcome).await);
        }
        Ok(Data { timed_out: outcome.data.as_deref() == Some("timeout"), digits: outcome.result })
    }

    /// Waits for any one key; `None` if none came in time.
    pub async fn wait_for_digit(&mut self, timeout: Duration) -> Result<Option<Digit>, Error> {
        let timeout = command::milliseconds(timeout);
        let command = Command::new("WAIT FOR DIGIT").number(timeout);
        let outcome = self.ask(command, Duration::from_millis(timeout)).await?;
        self.pressed("WAIT FOR DIGIT", &outcome).await
    }

    /// Says digits one by one (`*` and `#` too, but not first), until a key of `escape`.
    pub async fn say_digits(&mut self, digits: &str, escape: Digits) -> Result<Option<Digit>, Error> {
        let sayable = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'*' | b'#');
        if !digits.starts_with(|first: char| first.is_ascii_digit()) || !digits.bytes().all(sayable) {
            return Err(Error::BadArgument("not digits"));
        }
        let command = Command::new("SAY DIGITS").arg(digits)?.arg(&escape.to_string())?;
        let outcome = self.ask(command, self.playback).await?;
        self.pressed("SAY DIGITS", &outcome).await
    }

    /// Runs a dialplan application, up to [`Settings::playback`], and gives what it returns: 0
    /// or more.
    ///
    /// Arguments may not hold `,`, `"`, `\` or parentheses that do not match, since applications
    /// don't agree on how to quote them. Keys pressed meanwhile are lost.
    pub async fn exec(&mut self, application: &str, args: &[&str]) -> Result<i32, Error> {
        let command =
            Command::new("EXEC").arg(command::plain_name(application)?)?.arg(&command::application_arguments(args)?)?;
        let outcome = self.ask(command, self.playback).await?;
        match outcome.result.parse() {
            Ok(result) if result >= 0 => Ok(result),
            _ => Err(self.failed("EXEC", &outcome).await),
        }
    }

    /// Sets a channel variable. Works on a channel that is hung up, too.
    pub async fn set_variable(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let command = Command::new("SET VARIABLE").arg(command::plain_name(name)?)?.arg(value)?;
        let outcome = self.ask(command, Duration::ZERO).await?;
        self.done("SET VARIABLE", &outcome).await
    }

    /// A channel variable's value; `None` if it is not set. Works on a channel that is hung up,
    /// too.
    pub async fn get_variable(&mut self, name: &str) -> Result<Option<String>, Error> {
        let command = Command::new("GET VARIABLE").arg(command::plain_name(name)?)?;
        Ok(value(self.ask(command, Duration::ZERO).await?))
    }

    /// A dialplan expression, as in `${CHANNEL(state)}`, evaluated on a channel: this one, or the
    /// one with that name. What is not set is empty; `None` is for a channel that does not exist.
    ///
    /// Expressions can call any function: nothing from outside may come into one.
    pub async fn get_full_variable(
        &mut self,
        expression: &str,
        channel: Option<&str>,
    ) -> Result<Option<String>, Error> {
        let mut command = Command::new("GET FULL VARIABLE").arg(expression)?;
        if let Some(channel) = channel {
            command = command.arg(channel)?;
        }
        Ok(value(self.ask(command, Duration::ZERO).await?))
    }

    /// The state of this channel; [`Error::HungUp`] if it has none any more.
    pub async fn channel_status(&mut self) -> Result<ChannelState, Error> {
        let outcome = self.ask(Command::new("CHANNEL STATUS"), Duration::ZERO).await?;
        Ok(match outcome.result.as_str() {
            "0" => ChannelState::Down,
            "1" => ChannelState::Reserved,
            "2" => ChannelState::OffHook,
            "3" => ChannelState::Dialing,
            "4" => ChannelState::Ring,
            "5" => ChannelState::Ringing,
            "6" => ChannelState::Up,
            "7" => ChannelState::Busy,
            "8" => ChannelState::DialingOffHook,
            "9" => ChannelState::PreRing,
            _ => {
                return Err(Error::Failed { command: "CHANNEL STATUS", result: outcome.result });
            }
        })
    }

    /// Writes to Asterisk's console, at a level of 1 (most often shown) to 4.
    pub async fn verbose(&mut self, text: &str, level: u8) -> Result<(), Error> {
        if !(1..=4).contains(&level) {
            return Err(Error::BadArgument("verbose levels are 1 to 4"));
        }
        let command = Command::new("VERBOSE").arg(text)?.number(level.into());
        let outcome = self.ask(command, Duration::ZERO).await?;
        self.done("VERBOSE", &outcome).await
    }

    /// Hangs the channel up; nothing happens if it is already.
    pub async fn hangup(&mut self) -> Result<(), Error> {
        if self.hung_up() {
            return Ok(());
        }
        let outcome = match self.ask(Command::new("HANGUP"), Duration::ZERO).await {
            Ok(outcome) => outcome,
            Err(Error::HungUp) => return Ok(()),
            Err(error) => return Err(error),
        };
        self.done("HANGUP", &outcome).await?;
        self.connection.hung_up = true;
        Ok(())
    }

    async fn ask(&mut self, command: Command, own: Duration) -> Result<Outcome, Error> {
        self.connection.command(command, own).await
    }

    /// For commands whose result is 0 or 1 when it worked.
    async fn done(&mut self, command: &'static str, outcome: &Outcome) -> Result<(), Error> {
        match outcome.result.as_str() {
            "0" | "1" => Ok(()),
            _ => Err(self.failed(command, outcome).await),
        }
    }

    /// For commands whose result is 0 or a key.
    async fn pressed(&mut self, command: &'static str, outcome: &Outcome) -> Result<Option<Digit>, Error> {
        match outcome.digit() {
            Ok(digit) => Ok(digit),
            Err(()) => Err(self.failed(command, outcome).await),
        }
    }

    /// The same for commands that play a file.
    async fn played(&mut self, command: &'static str, file: &str, outcome: &Outcome) -> Result<Option<Digit>, Error> {
        match outcome.digit() {
            Ok(digit) => Ok(digit),
            Err(()) => Err(self.unplayable(command, file, outcome).await),
        }
    }

    async fn unplayable(&mut self, command: &'static str, file: &str, outcome: &Outcome) -> Error {
        match self.failed(command, outcome).await {
            Error::Failed { result, .. } if result == "-1" => Error::Unplayable { file: file.to_owned() },
            error => error,
        }
    }

    /// A result of -1 means that the callee has hung up or that something is wrong with the
    /// command, and the `HANGUP` line that would tell may trail by tens of milliseconds or not
    /// come at all. Asterisk notices a hangup before it takes the next command, so that asking for
    /// the state settles it.
    async fn failed(&mut self, command: &'static str, outcome: &Outcome) -> Error {
        if self.hung_up() {
            return Error::HungUp;
        }
        match self.channel_status().await {
            Ok(ChannelState::Up) if !self.hung_up() => Error::Failed { command, result: outcome.result.clone() },
            Ok(_) => Error::HungUp,
            Err(error) => error,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("peer", &self.peer)
            .field("uniqueid", &self.request.uniqueid())
            .field("hung_up", &self.hung_up())
            .finish_non_exhaustive()
    }
}

fn file_name(file: &str) -> Result<&str, Error> {
    if file.is_empty() {
        return Err(Error::BadArgument("no file"));
    }
    Ok(file)
}

/// `200 result=1 (value)`, or `200 result=0` if there is none.
fn value(outcome: Outcome) -> Option<String> {
    match outcome.result.as_str() {
        "1" => outcome.data,
        _ => None,
    }
}
