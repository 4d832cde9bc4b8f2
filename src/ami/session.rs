//! One logged-in connection until it breaks: actions out, answers and events in, pings.
//!
//! [`Traffic`] decides, [`run`] acts. Reading never waits for anything: answers go into one-shot
//! channels, events into a queue that drops, and writing is a branch of its own.

use std::{collections::HashMap, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf},
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    ActError, Settings,
    action::Action,
    connection::{ActionIds, CHUNK, Connection, Socket},
    decoder::{DecodeError, Decoder},
    message::Message,
    notices::Publisher,
};

/// Actions that wait for an answer. Further ones wait for their turn, under their own deadline.
const IN_FLIGHT_MAX: usize = 512;
/// Bytes that wait to be written; an action is about 1 kB.
const UNSENT_MAX: usize = 64 * 1024;
/// Events of one list. Asterisk has one per channel, queue member, ...
pub(super) const LIST_MAX: usize = 10_000;
/// How long a shutdown waits to say Logoff.
const LOGOFF_WITHIN: Duration = Duration::from_millis(500);

/// An action, and where its answer goes.
pub(super) struct Request {
    pub(super) action: Action,
    pub(super) reply: Reply,
}

pub(super) enum Reply {
    One(oneshot::Sender<Result<Message, ActError>>),
    List { end: &'static str, events: Vec<Message>, to: oneshot::Sender<Result<Vec<Message>, ActError>> },
}

impl Reply {
    /// Whether the asker has given up (its deadline, or its task was cancelled).
    fn is_abandoned(&self) -> bool {
        match self {
            Reply::One(to) => to.is_closed(),
            Reply::List { to, .. } => to.is_closed(),
        }
    }

    /// An asker who has given up is not an error.
    pub(super) fn fail(self, error: ActError) {
        match self {
            Reply::One(to) => drop(to.send(Err(error))),
            Reply::List { to, .. } => drop(to.send(Err(error))),
        }
    }
}

/// Why a session is over.
pub(super) enum End {
    /// As was asked for.
    Shutdown,
    /// Every client and the listener were dropped.
    Unused,
    Broken(Broken),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error("asterisk closed the connection")]
    Closed,
    #[error("reading failed: {0}")]
    Read(io::Error),
    #[error("writing failed: {0}")]
    Write(io::Error),
    #[error("unreadable: {0}")]
    Decode(#[from] DecodeError),
    #[error("no answer to a ping within {0:?}")]
    NoPong(Duration),
    #[error("the other side takes no bytes since {0:?}")]
    TakesNothing(Duration),
}

/// Until the connection breaks or is no longer wanted. Actions without an answer then fail with
/// [`ActError::Interrupted`], by their reply channels going away.
pub(super) async fn run(
    connection: Connection,
    settings: &Settings,
    ids: &mut ActionIds,
    requests: &mut mpsc::Receiver<Request>,
    notices: &Publisher,
    shutdown: &CancellationToken,
) -> End {
    let Connection { socket, mut decoder } = connection;
    let (mut reader, mut writer) = tokio::io::split(socket);
    let mut traffic = Traffic::new(settings, ids, notices, Instant::now());
    let end = match traffic.drain(&mut decoder) {
        Ok(()) => exchange(&mut reader, &mut writer, &mut decoder, &mut traffic, requests, shutdown).await,
        Err(error) => End::Broken(error.into()),
    };
    if !matches!(end, End::Broken(_)) {
        traffic.log_off();
        // Best effort: Asterisk sees the end of the connection anyhow.
        let _ = timeout(LOGOFF_WITHIN, async {
            writer.write_all(&traffic.unsent).await?;
            writer.shutdown().await
        })
        .await;
    }
    end
}

async fn exchange(
    reader: &mut ReadHalf<Box<dyn Socket>>,
    writer: &mut WriteHalf<Box<dyn Socket>>,
    decoder: &mut Decoder,
    traffic: &mut Traffic<'_>,
    requests: &mut mpsc::Receiver<Request>,
    shutdown: &CancellationToken,
) -> End {
    let mut chunk = vec![0; CHUNK];
    loop {
        let wake = traffic.next_deadline();
        // Each branch is cancel-safe: what it has not finished, it has not begun.
        tokio::select! {
            () = shutdown.cancelled() => return End::Shutdown,
            read = reader.read(&mut chunk) => match read {
                Ok(0) => return End::Broken(Broken::Closed),
                Ok(length) => {
                    decoder.push(&chunk[..length]);
                    if let Err(error) = traffic.drain(decoder) {
                        return End::Broken(error.into());
                    }
                }
                Err(error) => return End::Broken(Broken::Read(error)),
            },
            written = write(writer, &traffic.unsent), if traffic.writing_since.is_some() => match written {
                Ok(length) => traffic.written(length, Instant::now()),
                Err(error) => return End::Broken(Broken::Write(error)),
            },
            request = requests.recv(), if traffic.has_room() => match request {
                Some(request) => traffic.send(request, Instant::now()),
                None => return End::Unused,
            },
            () = sleep_until(wake) => if let Err(broken) = traffic.on_deadline(Instant::now()) {
                return End::Broken(broken);
            },
        }
    }
}

/// Writes what the other side takes of it; of nothing, flushes, as TLS may keep bytes back that it has
/// accepted. One step, so that it is cancel-safe.
async fn write(writer: &mut WriteHalf<Box<dyn Socket>>, unsent: &[u8]) -> io::Result<usize> {
    if unsent.is_empty() {
        return writer.flush().await.map(|()| 0);
    }
    match writer.write(unsent).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        length => Ok(length),
    }
}

/// The state of one session; knows no socket.
struct Traffic<'a> {
    settings: &'a Settings,
    ids: &'a mut ActionIds,
    notices: &'a Publisher,
    in_flight: HashMap<u64, Reply>,
    unsent: Vec<u8>,
    /// Since when the other side has taken no bytes, while there are some to write or to flush.
    writing_since: Option<Instant>,
    ping: Option<(u64, Instant)>,
    /// When an action of ours was last answered. Events do not count: a manager whose actions hang
    /// may well go on sending those.
    answered: Instant,
}

impl<'a> Traffic<'a> {
    fn new(settings: &'a Settings, ids: &'a mut ActionIds, notices: &'a Publisher, now: Instant) -> Traffic<'a> {
        Traffic {
            settings,
            ids,
            notices,
            in_flight: HashMap::new(),
            unsent: Vec::new(),
            writing_since: None,
            ping: None,
            answered: now,
        }
    }

    fn has_room(&mut self) -> bool {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            self.in_flight.retain(|_, reply| !reply.is_abandoned());
        }
        self.in_flight.len() < IN_FLIGHT_MAX && self.unsent.len() < UNSENT_MAX
    }

    fn send(&mut self, request: Request, now: Instant) {
        // Its deadline passed while it waited for its turn: it was told so, and must not happen now.
        if request.reply.is_abandoned() {
            return;
        }
        let number = self.write(&request.action, now);
        self.in_flight.insert(number, request.reply);
    }

    fn write(&mut self, action: &Action, now: Instant) -> u64 {
        let number = self.ids.next();
        self.unsent.extend_from_slice(&action.encode(&self.ids.text(number)));
        self.writing_since.get_or_insert(now);
        number
    }

    /// After the last byte comes a flush, which is told as 0.
    fn written(&mut self, length: usize, now: Instant) {
        self.unsent.drain(..length);
        self.writing_since = (length > 0).then_some(now);
    }

    fn log_off(&mut self) {
        self.write(&Action::new("Logoff"), Instant::now());
    }

    fn next_deadline(&self) -> Instant {
        let ping = match self.ping {
            Some((_, sent)) => after(sent, self.settings.ping_deadline),
            None => after(self.answered, self.settings.ping_every),
        };
        let write = self.writing_since.map(|since| after(since, self.settings.ping_deadline));
        write.map_or(ping, |write| write.min(ping))
    }

    fn on_deadline(&mut self, now: Instant) -> Result<(), Broken> {
        let limit = self.settings.ping_deadline;
        if self.writing_since.is_some_and(|since| after(since, limit) <= now) {
            return Err(Broken::TakesNothing(limit));
        }
        match self.ping {
            Some((_, sent)) if after(sent, limit) <= now => return Err(Broken::NoPong(limit)),
            None if after(self.answered, self.settings.ping_every) <= now => {
                self.in_flight.retain(|_, reply| !reply.is_abandoned());
                let number = self.write(&Action::new("Ping"), now);
                self.ping = Some((number, now));
            }
            _ => {}
        }
        Ok(())
    }

    /// Every message that is there.
    fn drain(&mut self, decoder: &mut Decoder) -> Result<(), DecodeError> {
        while let Some(message) = decoder.next_message()? {
            self.receive(message);
        }
        Ok(())
    }

    fn receive(&mut self, message: Message) {
        let number = message.action_id().and_then(|id| self.ids.number(id));
        let Some(event) = message.event() else {
            return match number {
                Some(number) => self.answer(number, message),
                None => tracing::debug!(?message, "ami: an answer to no action of ours"),
            };
        };
        // An OriginateResponse carries the ActionID of its Originate, but is no part of its answer.
        if let Some(number) = number
            && matches!(self.in_flight.get(&number), Some(Reply::List { .. }))
        {
            self.collect(number, message);
        } else if self.settings.events.iter().any(|name| name.eq_ignore_ascii_case(event)) {
            self.notices.event(message);
        }
    }

    fn answer(&mut self, number: u64, message: Message) {
        self.answered = Instant::now();
        if self.ping.is_some_and(|(ping, _)| ping == number) {
            self.ping = None;
            return;
        }
        match self.in_flight.remove(&number) {
            // The asker may have given up meanwhile: so be it.
            Some(Reply::One(to)) => {
                drop(to.send(if message.is_success() { Ok(message) } else { Err(refusal(&message)) }));
            }
            // The events follow.
            Some(list @ Reply::List { .. }) if message.is_success() => drop(self.in_flight.insert(number, list)),
            Some(list @ Reply::List { .. }) => list.fail(refusal(&message)),
            None => tracing::debug!(number, "ami: an answer after its deadline"),
        }
    }

    fn collect(&mut self, number: u64, event: Message) {
        let Some(Reply::List { end, mut events, to }) = self.in_flight.remove(&number) else {
            return;
        };
        if event.event().is_some_and(|name| name.eq_ignore_ascii_case(end)) {
            let cancelled = event.get("EventList").is_some_and(|state| state.eq_ignore_ascii_case("cancelled"));
            drop(to.send(if cancelled { Err(refusal(&event)) } else { Ok(events) }));
        } else if to.is_closed() {
            // Given up: the rest of the list finds nobody and goes the same way.
        } else if events.len() == LIST_MAX {
            drop(to.send(Err(ActError::TooMany)));
        } else {
            events.push(event);
            self.in_flight.insert(number, Reply::List { end, events, to });
        }
    }
}

/// A setting of "never" must not end the task by an overflow.
fn after(start: Instant, wait: Duration) -> Instant {
    const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);
    start + wait.min(NEVER)
}

fn refusal(message: &Message) -> ActError {
    ActError::Refused { message: message.get("Message").unwrap_or("no reason given").to_owned() }
}
