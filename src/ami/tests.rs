//! The real protocol over loopback sockets, with a manager that follows a script.

mod link;
mod lists;
mod login;
mod queue;
mod wire;

use std::{future::Future, time::Duration};

use secrecy::SecretString;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use super::{Client, Message, Notice, Notices, Settings, connection::Socket, start};

const BANNER: &str = "Asterisk Call Manager/11.0.0";

/// A limit against hanging for ever, never what a test is about.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future).await.expect("within a minute")
}

/// One client under test, and the socket at which it looks for Asterisk.
struct Lab {
    listener: TcpListener,
    client: Client,
    notices: Notices,
    task: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Lab {
    /// No deadline passes by itself, unless the test sets one.
    async fn new(change: impl FnOnce(&mut Settings)) -> Lab {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let mut settings = Settings::new(address, "svc", SecretString::from("sesame"));
        let patience = Duration::from_secs(300);
        settings.connect_timeout = patience;
        settings.action_deadline = patience;
        settings.ping_every = patience;
        settings.ping_deadline = patience;
        settings.events = &["Hangup", "OriginateResponse"];
        change(&mut settings);
        let shutdown = CancellationToken::new();
        let (client, notices, task) = start(settings, || 0.5, shutdown.clone());
        Lab { listener, client, notices, task, shutdown }
    }

    /// Takes the next connection, and says nothing on it.
    async fn accept(&self) -> Peer {
        let (stream, _) = soon(self.listener.accept()).await.unwrap();
        Peer::new(stream)
    }

    /// Takes the next connection up to where the client says that it is connected.
    async fn connected(&mut self) -> Peer {
        let mut peer = self.accept().await;
        peer.log_in().await;
        assert_eq!(self.notice().await, Notice::Connected { banner: BANNER.to_owned() });
        peer
    }

    async fn notice(&mut self) -> Notice {
        soon(self.notices.next()).await.expect("a notice")
    }

    async fn disconnected(&mut self) -> String {
        match self.notice().await {
            Notice::Disconnected { reason } => reason,
            other => panic!("{other:?} instead of Disconnected"),
        }
    }

    async fn event(&mut self) -> Message {
        match self.notice().await {
            Notice::Event(message) => message,
            other => panic!("{other:?} instead of an event"),
        }
    }
}

/// The manager's end of one connection.
struct Peer {
    stream: BufReader<Box<dyn Socket>>,
}

impl Peer {
    fn new(stream: impl Socket + 'static) -> Peer {
        Peer { stream: BufReader::new(Box::new(stream)) }
    }

    /// Sends as it stands, but for line ends: LF becomes CR LF.
    async fn send(&mut self, text: &str) {
        self.stream.write_all(text.replace('\n', "\r\n").as_bytes()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    async fn greet(&mut self) {
        self.send(&format!("{BANNER}\n")).await;
    }

    /// The next action; `None` once the client has closed.
    async fn action(&mut self) -> Option<Message> {
        let mut raw = Vec::new();
        loop {
            let before = raw.len();
            match soon(self.stream.read_until(b'\n', &mut raw)).await {
                Ok(0) | Err(_) => {
                    assert!(raw.is_empty(), "half an action: {}", String::from_utf8_lossy(&raw));
                    return None;
                }
                Ok(_) if &raw[before..] == b"\r\n" => return Some(Message::parse(&raw)),
                Ok(_) => {}
            }
        }
    }

    async fn expect(&mut self, name: &str) -> Message {
        let action = self.action().await.expect("an action");
        assert_eq!(action.get("Action"), Some(name), "{action:?}");
        action
    }

    /// `lines` go under the `ActionID` of the action.
    async fn answer(&mut self, action: &Message, lines: &str) {
        let (first, rest) = lines.split_once('\n').unwrap_or((lines, ""));
        let id = action.action_id().unwrap();
        self.send(&format!("{first}\nActionID: {id}\n{rest}\n\n")).await;
    }

    async fn log_in(&mut self) {
        self.greet().await;
        let challenge = self.expect("Challenge").await;
        self.answer(&challenge, "Response: Success\nChallenge: 840415273").await;
        let login = self.expect("Login").await;
        self.answer(&login, "Response: Success\nMessage: Authentication accepted").await;
    }

    /// Whatever came until the client closed.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = soon(self.stream.read_to_end(&mut rest)).await;
        String::from_utf8_lossy(&rest).into_owned()
    }
}
