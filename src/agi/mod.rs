//! `FastAGI`, the server: Asterisk connects when a call is answered, and asks what to do with it.
//!
//! Bytes to lines (`lines`), lines to a [`Request`] (`request`) and to replies (`reply`),
//! commands to lines (`command`); one exchange at a time over one connection (`connection`), as
//! methods of a [`Session`] (`session`). None of the first four does I/O.
//!
//! AGI has no passwords and no TLS: whoever may connect may pose as Asterisk. Hence
//! [`Settings::allow`]; and the handler must know the call that a request names. Asterisk says at once
//! what it wants: when there are too many connections, the one that has said nothing for longest makes
//! room, so that nobody keeps calls out by opening connections.
//!
//! This module knows neither incidents nor what is said in a call.

mod command;
mod connection;
mod digit;
mod error;
mod lines;
mod reply;
mod request;
mod session;

#[cfg(test)]
mod tests;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    future::Future,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use ipnet::IpNet;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{self, JoinError, JoinSet},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    digit::{Digit, Digits},
    error::Error,
    request::Request,
    session::{ChannelState, Controlled, Controls, Data, Session, Streamed},
};

/// Who may connect, how often, and how long anything may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Networks that may connect. Nobody may if it is empty. Default: the machine itself.
    pub allow: Vec<IpNet>,
    /// Connections at one time, which is calls at one time. Default: 2,048.
    pub connections: usize,
    /// The same for one address, which is one PBX. Default: 1,024.
    pub connections_per_address: usize,
    /// Lines of an environment. Asterisk sends 22 and one for each argument. Default: 256.
    pub header_count: usize,
    /// Bytes of one line of an environment or reply; four times as many for all the lines of one
    /// environment or one reply. Default: 16,384.
    pub line_length: usize,
    /// From the connection to the first line. Default: 5 s.
    pub first_line: Duration,
    /// From the connection to the end of the environment. Default: 10 s.
    pub environment: Duration,
    /// What a command may take beyond what it plays or waits itself. Default: 5 s.
    pub command: Duration,
    /// The longest file, saying or application. Default: 10 min.
    pub playback: Duration,
    /// After shutdown, what running sessions get before they are cut off. Default: 30 s.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: vec![
                IpNet::new_assert([127, 0, 0, 0].into(), 8),
                IpNet::new_assert(std::net::Ipv6Addr::LOCALHOST.into(), 128),
            ],
            connections: 2048,
            connections_per_address: 1024,
            header_count: 256,
            line_length: 16 * 1024,
            first_line: Duration::from_secs(5),
            environment: Duration::from_secs(10),
            command: Duration::from_secs(5),
            playback: Duration::from_secs(600),
            drain: Duration::from_secs(30),
        }
    }
}

/// Runs `handler` on every connection that comes with a valid environment, until `shutdown`; then
/// takes no more, and returns when all have ended, at the latest after [`Settings::drain`].
///
/// A connection that is not allowed, or one too many where all others are calls, is closed before a
/// byte is read: Asterisk's dialplan goes on at once. Dropping the future cuts off every session.
pub async fn run<H, F>(listener: TcpListener, settings: Settings, handler: H, shutdown: CancellationToken)
where
    H: Fn(Session) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    // Shared, so that the listening socket closes when the loop below lets go of it.
    let listener = Arc::new(listener);
    let accept = move || {
        let listener = Arc::clone(&listener);
        async move { listener.accept().await.map(|(stream, _)| stream) }
    };
    serve(accept, settings, handler, shutdown).await;
}

/// [`run`] with any source of connections: a listener can't be made to fail at will.
async fn serve<A, L, H, F>(accept: A, settings: Settings, handler: H, shutdown: CancellationToken)
where
    A: Fn() -> L,
    L: Future<Output = io::Result<TcpStream>>,
    H: Fn(Session) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let settings = Arc::new(settings);
    let mut sessions = Sessions::default();
    let refusals = Refusals::default();
    let mut failures = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.cancelled() => break,
            Some(ended) = sessions.tasks.join_next_with_id() => {
                sessions.ended(ended);
                continue;
            }
            accepted = accept() => accepted,
        };
        match accepted.and_then(|stream| Ok((stream.peer_addr()?, stream))) {
            Ok((peer, stream)) => {
                failures = 0;
                let address = peer.ip().to_canonical();
                match sessions.admit(address, &settings) {
                    Ok(room) => {
                        if let Room::Made { of } = room {
                            refusals.count(of, &"said nothing while others waited for its place");
                        }
                        let (settings, handler, refusals) = (Arc::clone(&settings), handler.clone(), refusals.clone());
                        sessions.start(address, |place| async move {
                            // Commands are single small writes, and each waits for its reply.
                            let _ = stream.set_nodelay(true);
                            let opened = tokio::select! {
                                () = place.cancelled() => return,
                                opened = Session::open(stream, peer, &settings) => opened,
                            };
                            // From here on it is a call, which makes room for nobody.
                            drop(place);
                            match opened {
                                Ok(session) => handler(session).await,
                                // A health check, or the PBX gave up.
                                Err(Error::Closed) => {
                                    tracing::debug!(%address, "FastAGI connection without environment");
                                }
                                Err(error) => refusals.count(address, &error),
                            }
                        });
                    }
                    Err(reason) => refusals.count(address, &reason),
                }
            }
            Err(error) => {
                failures += 1;
                let pause = back_off(&error, failures);
                if !pause.is_zero() {
                    tracing::error!(%error, ?pause, "cannot accept FastAGI connections");
                }
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = sleep(pause) => {}
                }
            }
        }
    }
    drop(accept);
    sessions.drain(settings.drain).await;
}

/// A connection that broke before it was accepted says nothing about the next one. All else
/// (file descriptors, memory) needs time.
fn back_off(error: &io::Error, failures: u32) -> Duration {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, NotConnected};
    match error.kind() {
        // Not even these for ever without a pause.
        ConnectionAborted | ConnectionReset | Interrupted | NotConnected if failures < 100 => Duration::ZERO,
        _ => Duration::from_millis(10 << failures.min(7)).min(Duration::from_secs(1)),
    }
}

/// The connections there are.
#[derive(Default)]
struct Sessions {
    tasks: JoinSet<()>,
    addresses: HashMap<task::Id, IpAddr>,
    /// Those that may not have said yet what they want, the oldest first. One that has, or has ended,
    /// has let go of its token.
    strangers: VecDeque<(IpAddr, Weak<CancellationToken>)>,
}

/// Where a new connection finds its place.
enum Room {
    /// There was one.
    Free,
    /// Somebody from there had to go.
    Made { of: IpAddr },
}

impl Sessions {
    fn admit(&mut self, address: IpAddr, settings: &Settings) -> Result<Room, &'static str> {
        if !settings.allow.iter().any(|net| net.contains(&address)) {
            return Err("address not allowed");
        }
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.ended(ended);
        }
        let of_address = self.addresses.values().filter(|other| **other == address);
        if of_address.count() >= settings.connections_per_address {
            return self.make_room(Some(address)).ok_or("too many connections from one address");
        }
        if self.addresses.len() >= settings.connections {
            return self.make_room(None).ok_or("too many connections");
        }
        Ok(Room::Free)
    }

    /// Sends the oldest stranger away, of one address if it is given.
    fn make_room(&mut self, from: Option<IpAddr>) -> Option<Room> {
        self.strangers.retain(|(_, place)| place.strong_count() > 0);
        let oldest = self.strangers.iter().position(|(of, _)| from.is_none_or(|from| from == *of))?;
        let (of, place) = self.strangers.remove(oldest)?;
        // Whoever says what they want at this very moment stays all the same: there is one more then.
        if let Some(place) = place.upgrade() {
            place.cancel();
        }
        Some(Room::Made { of })
    }

    fn start<F>(&mut self, address: IpAddr, session: impl FnOnce(Arc<CancellationToken>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let place = Arc::new(CancellationToken::new());
        if self.strangers.len() > 2 * self.addresses.len() {
            self.strangers.retain(|(_, place)| place.strong_count() > 0);
        }
        self.strangers.push_back((address, Arc::downgrade(&place)));
        let task = self.tasks.spawn(session(place));
        self.addresses.insert(task.id(), address);
    }

    fn ended(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "FastAGI handler panicked");
                }
                error.id()
            }
        };
        self.addresses.remove(&id);
    }

    async fn drain(mut self, limit: Duration) {
        let all = async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.ended(ended);
            }
        };
        if timeout(limit, all).await.is_err() {
            let sessions = self.tasks.len();
            tracing::warn!(sessions, "cutting off FastAGI sessions at shutdown");
            self.tasks.shutdown().await;
        }
    }
}

/// Connections turned away, told about at most every ten seconds: a flood must not fill the log.
#[derive(Clone, Default)]
struct Refusals(Arc<Mutex<Untold>>);

#[derive(Default)]
struct Untold {
    connections: u64,
    told: Option<Instant>,
}

impl Refusals {
    const EVERY: Duration = Duration::from_secs(10);

    fn count(&self, address: IpAddr, reason: &dyn fmt::Display) {
        let mut untold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        untold.connections += 1;
        if untold.told.is_none_or(|told| told.elapsed() >= Self::EVERY) {
            tracing::warn!(%address, %reason, connections = untold.connections, "FastAGI refused");
            *untold = Untold { connections: 0, told: Some(Instant::now()) };
        }
    }
}
