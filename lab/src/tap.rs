//! Everything that a PBX says over its manager interface, AGI traffic included, written to a file: what
//! a failing test shows, and where a test looks for what ringdown did on the wire.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use ringdown::ami::Message;
use tokio::{
    fs::File,
    io::{AsyncWriteExt, copy},
    net::TcpStream,
    task::JoinHandle,
};

/// A recording that goes on until it is dropped.
pub struct Tap {
    file: PathBuf,
    task: JoinHandle<()>,
}

/// What is about the making of calls, in the order in which a reader wants the headers.
const HEADERS: [&str; 17] = [
    "Channel",
    "Uniqueid",
    "ChannelStateDesc",
    "DialStatus",
    "Response",
    "Reason",
    "Cause",
    "Cause-txt",
    "TechCause",
    "Exten",
    "Command",
    "ResultCode",
    "Result",
    "Digit",
    "Direction",
    "AppData",
    "ActionID",
];

impl Tap {
    /// Logs in as user `lab`, and writes down what comes.
    pub(crate) async fn start(ami: &str, secret: &str, file: &Path) -> Result<Self> {
        let mut socket = TcpStream::connect(ami).await?;
        let login = format!("Action: Login\r\nUsername: lab\r\nSecret: {secret}\r\nEvents: on\r\n\r\n");
        socket.write_all(login.as_bytes()).await?;
        let mut to = File::create(file).await.with_context(|| file.display().to_string())?;
        let task = tokio::spawn(async move {
            // It ends with the PBX; what was said until then is in the file.
            let _ = copy(&mut socket, &mut to).await;
            let _ = to.flush().await;
        });
        Ok(Self { file: file.to_owned(), task })
    }

    /// The file, as it came over the wire.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// What was said until now.
    #[must_use]
    pub fn messages(&self) -> Vec<Message> {
        let text = fs::read_to_string(&self.file).unwrap_or_default();
        let blocks = text.split("\r\n\r\n").filter(|block| !block.is_empty());
        blocks.map(|block| Message::parse(block.as_bytes())).collect()
    }

    /// The same for people: a line an event, without what tells nothing about calls.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        const BORING: [&str; 8] = [
            "VarSet",
            "Newexten",
            "RTCPSent",
            "RTCPReceived",
            "NewConnectedLine",
            "FullyBooted",
            "SuccessfulAuth",
            "RequestBadFormat",
        ];
        let told = self.messages().into_iter().filter(|message| message.event().is_some_and(|e| !BORING.contains(&e)));
        told.map(|message| line(&message)).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn line(message: &Message) -> String {
    let time = message.get("Timestamp").unwrap_or_default();
    let mut line = format!("{time} {}", message.event().unwrap_or_default());
    for name in HEADERS {
        if let Some(value) = message.get(name).filter(|value| !value.is_empty()) {
            line.push_str(&format!(" {name}={value}"));
        }
    }
    line
}
