//! From an address to a logged-in connection: TCP, TLS, greeting, login. One try, bounded in time.

use std::{io, time::Duration};

use md5::{Digest, Md5};
use secrecy::ExposeSecret;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    Login, Settings,
    action::{Action, BadHeader},
    decoder::{DecodeError, Decoder},
    message::Message,
    tls::{self, TlsError},
};

/// What the session reads at once.
pub(super) const CHUNK: usize = 16 * 1024;

/// A byte stream, with TLS or without.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Logged in. The decoder may hold messages already that came right behind the login's answer.
pub(super) struct Connection {
    pub(super) socket: Box<dyn Socket>,
    pub(super) decoder: Decoder,
}

/// Numbers for `ActionID`s that are not used twice, under a prefix that no other client has: answers
/// go to the asking connection alone, but events repeat the `ActionID`s of everybody.
pub(super) struct ActionIds {
    prefix: String,
    last: u64,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("cannot connect: {0}")]
    Connect(io::Error),
    #[error("cannot connect: no TCP or TLS handshake within {0:?}")]
    ConnectTimeout(Duration),
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    #[error("no answer to the login within {0:?}")]
    LoginTimeout(Duration),
    #[error("the connection broke during the login: {0}")]
    Io(#[from] io::Error),
    #[error("the other side closed the connection during the login")]
    Closed,
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("the user or secret cannot be sent: {0}")]
    Unsendable(#[from] BadHeader),
    #[error("login refused: {0}")]
    Refused(String),
    #[error("login refused: the answer to Challenge has none in it")]
    NoChallenge,
    #[error("asterisk is shutting down")]
    ShuttingDown,
}

impl OpenError {
    /// Whether only a person can mend it: Asterisk is there and says no. Such tries are made more
    /// seldom, as they fill security logs and may get the address banned.
    pub(super) fn is_refusal(&self) -> bool {
        matches!(self, OpenError::Refused(_) | OpenError::NoChallenge | OpenError::Unsendable(_))
    }
}

impl ActionIds {
    /// `random`: 0..1, called twice.
    pub(super) fn new(mut random: impl FnMut() -> f64) -> ActionIds {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 24 bits first")]
        let mut word = || (random().clamp(0.0, 1.0) * f64::from(0x00ff_ffff)) as u32;
        ActionIds { prefix: format!("rd-{:06x}{:06x}-", word(), word()), last: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(super) fn text(&self, number: u64) -> String {
        format!("{}{number}", self.prefix)
    }

    /// The number, if the `ActionID` is one of ours.
    pub(super) fn number(&self, action_id: &str) -> Option<u64> {
        action_id.strip_prefix(&self.prefix)?.parse().ok()
    }
}

/// One try. TCP and TLS within `connect_timeout`, greeting and login within `action_deadline`.
pub(super) async fn open(settings: &Settings, ids: &mut ActionIds) -> Result<Connection, OpenError> {
    let socket = timeout(settings.connect_timeout, dial(settings))
        .await
        .map_err(|_| OpenError::ConnectTimeout(settings.connect_timeout))??;
    let mut connection = Connection { socket, decoder: Decoder::new(settings.events) };
    timeout(settings.action_deadline, log_in(&mut connection, settings, ids))
        .await
        .map_err(|_| OpenError::LoginTimeout(settings.action_deadline))??;
    Ok(connection)
}

async fn dial(settings: &Settings) -> Result<Box<dyn Socket>, OpenError> {
    let tcp = TcpStream::connect(&settings.address).await.map_err(OpenError::Connect)?;
    tcp.set_nodelay(true).map_err(OpenError::Connect)?;
    match &settings.tls {
        None => Ok(Box::new(tcp)),
        Some(tls) => Ok(Box::new(tls::handshake(tcp, tls, host(&settings.address)).await?)),
    }
}

/// `pbx.example:5039` -> `pbx.example`, `[::1]:5039` -> `::1`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _port)| host);
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

async fn log_in(connection: &mut Connection, settings: &Settings, ids: &mut ActionIds) -> Result<(), OpenError> {
    // Nothing is said, above all no secret, to something that is not a manager.
    while connection.decoder.greeting().is_none() {
        connection.read().await?;
        // No message can come before the first action; an error can.
        connection.decoder.next_message()?;
    }
    let login = Action::new("Login")
        .header("Username", &settings.user)?
        .header("Events", if settings.events.is_empty() { "off" } else { "on" })?;
    let login = match settings.login {
        Login::Plain => login.header("Secret", settings.secret.expose_secret())?,
        Login::Challenge => {
            let challenge = Action::new("Challenge").header("AuthType", "MD5")?;
            let answer = connection.ask(&challenge, ids).await?;
            let challenge = answer.get("Challenge").filter(|challenge| !challenge.is_empty());
            let challenge = challenge.ok_or(OpenError::NoChallenge)?;
            let key = challenge_key(challenge, settings.secret.expose_secret());
            login.header("AuthType", "MD5")?.header("Key", &key)?
        }
    };
    connection.ask(&login, ids).await?;
    Ok(())
}

/// What proves the secret without sending it: MD5 of challenge and secret, in lower-case hex.
pub(super) fn challenge_key(challenge: &str, secret: &str) -> String {
    let mut hasher = Md5::new();
    hasher.update(challenge);
    hasher.update(secret);
    hex::encode(hasher.finalize())
}

impl Connection {
    async fn read(&mut self) -> Result<(), OpenError> {
        let mut chunk = [0; 2048];
        let length = self.socket.read(&mut chunk).await?;
        if length == 0 {
            return Err(OpenError::Closed);
        }
        self.decoder.push(&chunk[..length]);
        Ok(())
    }

    /// Sends and waits for the success; anything else is a refusal.
    async fn ask(&mut self, action: &Action, ids: &mut ActionIds) -> Result<Message, OpenError> {
        let number = ids.next();
        let id = ids.text(number);
        self.socket.write_all(&action.encode(&id)).await?;
        self.socket.flush().await?;
        loop {
            while let Some(message) = self.decoder.next_message()? {
                let about_us = message.action_id().is_none_or(|answered| answered == id);
                if message.event().is_some() || !about_us {
                    continue;
                }
                if message.is_success() {
                    return Ok(message);
                }
                let reason = message.get("Message").unwrap_or("no reason given");
                // While it stops gracefully, it refuses every action and every login with these words.
                return Err(if reason.to_ascii_lowercase().contains("shutting down") {
                    OpenError::ShuttingDown
                } else {
                    OpenError::Refused(reason.to_owned())
                });
            }
            self.read().await?;
        }
    }
}
