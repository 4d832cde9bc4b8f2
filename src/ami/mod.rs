//! Asterisk's manager interface (AMI), the client's side: connect, log in, act, listen, reconnect.
//!
//! Knows the wire and nothing else: not what a call is, not who is called. One task owns the socket;
//! `Client`s ask it to act, `Notices` tells what happens. Needs `read=call,system` and
//! `write=originate,call` in `manager.conf`; connected means that the login was answered with success.
//!
//! What stays true, whatever the other side does:
//! - Reading never waits, for a listener or for a write. What does not fit is counted and said.
//! - Every action is answered, refused or given up within its deadline.
//! - A connection that is dead, silent or unreadable is dropped and made anew.
//! - No value can become a second header or a second action.

mod action;
mod connection;
mod decoder;
mod message;
mod notices;
mod reconnect;
mod session;
mod tls;

#[cfg(test)]
mod tests;

use std::time::Duration;

use secrecy::SecretString;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::session::{Reply, Request};
pub use self::{
    action::{Action, BadHeader},
    decoder::{DecodeError, Decoder},
    message::Message,
    notices::{Notice, Notices},
    tls::Tls,
};

/// Actions that wait to be taken up by the task; further ones wait in line, under their deadline.
const REQUESTS_MAX: usize = 64;

/// Where Asterisk is, who we are there, and how long we wait.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port`, `[v6]:port`; the name is looked up at each connect. AMI's port is 5038, with TLS 5039.
    pub address: String,
    /// Default: none, plain TCP.
    pub tls: Option<Tls>,
    /// The section's name in `manager.conf`.
    pub user: String,
    /// Its `secret`.
    pub secret: SecretString,
    /// Default: [`Login::Challenge`].
    pub login: Login,
    /// The names of the events that are wanted as [`Notice::Event`]. Default: none, and Asterisk is
    /// told to send none.
    pub events: &'static [&'static str],
    /// For TCP and TLS together. Default 5 s.
    pub connect_timeout: Duration,
    /// For one action with its answer (a list with all of its events), and for the whole login. Default 5 s.
    pub action_deadline: Duration,
    /// After so long without an answer to anything a Ping is sent. Default 10 s.
    pub ping_every: Duration,
    /// A Ping without an answer for so long, or written bytes that nobody takes for so long, end the
    /// connection. Default 5 s.
    pub ping_deadline: Duration,
    /// Events that are kept for a slow listener (about 1 kB each). Default 4096.
    pub queue: usize,
}

/// How the secret is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Login {
    /// By an MD5 digest over Asterisk's challenge. Never falls back to `Plain`.
    #[default]
    Challenge,
    /// As it is: only with TLS, or on the same machine.
    Plain,
}

impl Settings {
    /// The defaults, for this user at this address.
    #[must_use]
    pub fn new(address: impl Into<String>, user: impl Into<String>, secret: SecretString) -> Settings {
        Settings {
            address: address.into(),
            tls: None,
            user: user.into(),
            secret,
            login: Login::default(),
            events: &[],
            connect_timeout: Duration::from_secs(5),
            action_deadline: Duration::from_secs(5),
            ping_every: Duration::from_secs(10),
            ping_deadline: Duration::from_secs(5),
            queue: 4096,
        }
    }
}

/// Why an action has no answer that says success.
///
/// After `Disconnected` it certainly did not happen. After `Interrupted` or `Deadline` it may have
/// happened: ask Asterisk before doing it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActError {
    /// There is no connection; the action was not sent.
    #[error("not connected to asterisk")]
    Disconnected,
    /// The action was sent, at least in part.
    #[error("the connection to asterisk broke before the answer came")]
    Interrupted,
    /// [`Settings::action_deadline`] passed.
    #[error("no answer from asterisk within the deadline")]
    Deadline,
    /// Asterisk said no.
    #[error("refused by asterisk: {message}")]
    Refused {
        /// Asterisk's own words.
        message: String,
    },
    /// The list went on and on; what came of it is dropped.
    #[error("a list of more than {} events", session::LIST_MAX)]
    TooMany,
}

/// Asks the task to act. Cheap to clone; may be dropped at any time.
#[derive(Debug, Clone)]
pub struct Client {
    requests: mpsc::Sender<Request>,
    connected: watch::Receiver<bool>,
    deadline: Duration,
}

impl Client {
    /// Sends the action and waits for its response. Send `Originate` with `Async: true`, or it holds
    /// up every other action until the phone is answered.
    ///
    /// Dropping the future before the action was sent keeps it from being sent, later it changes nothing.
    pub async fn act(&self, action: Action) -> Result<Message, ActError> {
        let (to, answer) = oneshot::channel();
        self.request(Request { action, reply: Reply::One(to) }, answer).await
    }

    /// Sends an action that is answered by a list of events, e.g. `Status` until `StatusComplete`.
    /// The event that ends the list is not part of it.
    pub async fn list(&self, action: Action, end: &'static str) -> Result<Vec<Message>, ActError> {
        let (to, answer) = oneshot::channel();
        self.request(Request { action, reply: Reply::List { end, events: Vec::new(), to } }, answer).await
    }

    /// Whether an action would be sent now.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        *self.connected.borrow() && !self.requests.is_closed()
    }

    /// Changes with the connection; its sender goes away with the task.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }

    async fn request<T>(
        &self,
        request: Request,
        answer: oneshot::Receiver<Result<T, ActError>>,
    ) -> Result<T, ActError> {
        if !self.is_connected() {
            return Err(ActError::Disconnected);
        }
        let answered = timeout(self.deadline, async {
            self.requests.send(request).await.map_err(|_| ActError::Disconnected)?;
            answer.await.unwrap_or(Err(ActError::Interrupted))
        });
        answered.await.unwrap_or(Err(ActError::Deadline))
    }
}

/// Starts the task that keeps one connection, within a tokio runtime.
///
/// `jitter` gives 0..1: it spreads the reconnects, and makes this client's `ActionID`s its own. The
/// task ends on `shutdown` (it says Logoff first), or when the [`Notices`] and all [`Client`]s are gone.
pub fn start(
    settings: Settings,
    jitter: impl Fn() -> f64 + Send + 'static,
    shutdown: CancellationToken,
) -> (Client, Notices, JoinHandle<()>) {
    let (to_task, requests) = mpsc::channel(REQUESTS_MAX);
    let (connected, is_connected) = watch::channel(false);
    let (publisher, notices) = notices::queue(settings.queue, to_task.clone());
    let client = Client { requests: to_task, connected: is_connected, deadline: settings.action_deadline };
    let task = tokio::spawn(reconnect::keep_connected(settings, jitter, requests, publisher, connected, shutdown));
    (client, notices, task)
}
