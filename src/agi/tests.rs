//! A scripted Asterisk on the other end of a pipe or a socket.

mod codec;
mod server;
mod session;

use std::{net::SocketAddr, time::Duration};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, DuplexStream};

use super::{Error, Session, Settings};

/// A test that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// As Asterisk 22 sent it.
const ENVIRONMENT: &str = "agi_network: yes\n\
    agi_network_script: alert?call=53634cd4&lang=de%20AT\n\
    agi_request: agi://127.0.0.1:14573/alert?call=53634cd4&lang=de%20AT\n\
    agi_channel: Local/1000@fakephone-00000002;1\n\
    agi_language: en\n\
    agi_type: Local\n\
    agi_uniqueid: 53634cd4aed14c1396742f8e94798ba5\n\
    agi_version: 22.10.1+dfsg+~cs6.17.60671434-1\n\
    agi_callerid: 5550100\n\
    agi_calleridname: Alarm: disk, Zürich\n\
    agi_callingpres: 0\n\
    agi_dnid: unknown\n\
    agi_rdnis: unknown\n\
    agi_context: alert\n\
    agi_extension: s\n\
    agi_priority: 2\n\
    agi_enhanced: 0.0\n\
    agi_accountcode: \n\
    agi_threadid: 140666757129920\n\
    agi_arg_1: one\n\
    agi_arg_2: two words\n\
    \n";

/// Asterisk's end of a connection.
struct Pbx<S> {
    stream: BufReader<S>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pbx<S> {
    fn new(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    async fn says(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).await.unwrap();
    }

    /// The next command, without its line feed; empty at the end of the connection.
    async fn hears(&mut self) -> String {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        tokio::time::timeout(PATIENCE, read).await.expect("a line").unwrap();
        assert!(!line.contains('\r'), "{line:?}");
        line.trim_end_matches('\n').to_owned()
    }

    /// Expects a command, and answers it.
    async fn on(&mut self, command: &str, reply: &str) {
        assert_eq!(self.hears().await, command);
        self.says(reply).await;
    }
}

fn peer() -> SocketAddr {
    ([127, 0, 0, 1], 40_000).into()
}

/// A session over a pipe, and the pipe's other end.
async fn session(settings: &Settings) -> (Session, Pbx<DuplexStream>) {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let mut pbx = Pbx::new(theirs);
    pbx.says(ENVIRONMENT).await;
    let session = Session::open(ours, peer(), settings).await.unwrap();
    (session, pbx)
}

/// What opening a connection gives on which `text` comes, and then its end.
async fn opened(text: &[u8]) -> Result<Session, Error> {
    let (ours, theirs) = tokio::io::duplex(64);
    let mut pbx = Pbx::new(theirs);
    let settings = Settings::default();
    let (session, ()) = tokio::join!(Session::open(ours, peer(), &settings), async {
        // The other end may go before it has heard all.
        let _ = pbx.stream.write_all(text).await;
        drop(pbx);
    });
    session
}
