//! `FastAGI`: what Asterisk, or somebody else, says to a server.

use std::{
    net::{Shutdown, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

use blazing_agi::{
    AGIError, AGIRequest,
    command::{AGIResponse, RawCommand},
    connection::Connection,
    handler::AGIHandler,
    router::Router,
    serve::serve,
};
use ringdown::agi::{self, Error, Settings};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};
use tokio_util::sync::CancellationToken;

use crate::table::{self, Cell, Verdict, apart, same};

/// What Asterisk 22 begins with, up to what a row adds.
const ENVIRONMENT: &str = "agi_network: yes\n\
    agi_network_script: alert\n\
    agi_request: agi://127.0.0.1:4573/alert\n\
    agi_channel: Local/1000@fakephone-00000002;1\n\
    agi_language: en\n\
    agi_type: Local\n\
    agi_uniqueid: 53634cd4\n\
    agi_version: 22.10.1\n\
    agi_callerid: 5550100\n\
    agi_calleridname: NAME\n\
    agi_callingpres: 0\n\
    agi_callingani2: 0\n\
    agi_callington: 0\n\
    agi_callingtns: 0\n\
    agi_dnid: unknown\n\
    agi_rdnis: unknown\n\
    agi_context: alert\n\
    agi_extension: s\n\
    agi_priority: 2\n\
    agi_enhanced: 0.0\n\
    agi_accountcode: \n\
    agi_threadid: 140666757129920\n\
    \n";

/// What a server understood of [`ENVIRONMENT`].
const UNDERSTOOD: &str = "53634cd4 Alarm";

/// A conversation: the environment in its reads, the answers to `WAIT FOR DIGIT` in theirs, and what a server should
/// have made of each.
struct Row {
    name: &'static str,
    environment: Vec<Vec<u8>>,
    answers: Vec<Vec<Vec<u8>>>,
    understood: &'static str,
    heard: &'static [&'static str],
}

fn environment(name: &str, replace: &[(&str, &str)]) -> Vec<u8> {
    let plain = ENVIRONMENT.replace("NAME", name);
    replace.iter().fold(plain, |text, (from, to)| text.replace(from, to)).into_bytes()
}

fn row(name: &'static str, answers: &[&[&str]], heard: &'static [&'static str]) -> Row {
    let answers = answers.iter().map(|reads| reads.iter().map(|read| read.as_bytes().to_vec()).collect()).collect();
    Row { name, environment: vec![environment("Alarm", &[])], answers, understood: UNDERSTOOD, heard }
}

fn opening(name: &'static str, environment: Vec<u8>, understood: &'static str) -> Row {
    Row { environment: vec![environment], understood, ..row(name, &[&["200 result=49\n"]], &["1"]) }
}

/// Recorded from Asterisk 22, but for where they are cut.
const DEAD: &str = "511 Command Not Permitted on a dead channel or intercept routine\n";
const UNKNOWN: &str = "510 Invalid or unknown command\n";
const USAGE: [&str; 3] = [
    "520-Invalid command syntax.  Proper usage follows:\n",
    "Usage: WAIT FOR DIGIT <timeout>\n\tWaits up to 'timeout' milliseconds for channel to receive a DTMF digit.\n",
    "520 End of proper usage.\n",
];

fn conversations() -> Vec<Row> {
    let umlaut = environment("Zürich", &[]);
    let middle = umlaut.iter().position(|byte| *byte == 0xc3).expect("two bytes") + 1;
    let digit: &[&str] = &["200 result=49\n"];
    vec![
        row("a digit, and none", &[digit, &["200 result=0\n"]], &["1", "none"]),
        row("`511` after a hangup", &[&[DEAD]], &["hung up"]),
        row("`510`, and the next reply is the next command's", &[&[UNKNOWN], digit], &["unknown command", "1"]),
        row("`520-` over three lines, and the next reply", &[&USAGE, digit], &["usage", "1"]),
        row("`HANGUP` before a reply", &[&["HANGUP\n200 result=49\n"], &[DEAD]], &["1", "hung up"]),
        row("`HANGUP` by itself, then `511`", &[digit, &["HANGUP\n", DEAD]], &["1", "hung up"]),
        row("a reply split before its line feed", &[&["200 result=4", "9\n"], &["200 result=0\n"]], &["1", "none"]),
        row("a reply byte by byte", &[&["2", "00 ", "result=", "4", "9", "\n"], digit], &["1", "1"]),
        opening("a value with spaces", environment("Alarm: disk, full", &[]), "53634cd4 Alarm: disk, full"),
        opening("an empty value", environment("", &[]), "53634cd4 -"),
        opening(
            "an `agi_*` that does not exist yet",
            environment("Alarm", &[("agi_dnid", "agi_future: 1\nagi_dnid")]),
            UNDERSTOOD,
        ),
        opening(
            "one variable fewer than there are today",
            environment("Alarm", &[("agi_callingtns: 0\n", "")]),
            UNDERSTOOD,
        ),
        opening(
            "`agi_arg_1` with spaces and `: `",
            environment("Alarm", &[("agi_threadid", "agi_arg_1: two: words\nagi_threadid")]),
            UNDERSTOOD,
        ),
        opening(
            "a line feed in a caller's name, and no ASCII at byte 3",
            environment("Alarm\nabürich", &[]),
            UNDERSTOOD,
        ),
        opening(
            "a URL longer than a route",
            environment("Alarm", &[("4573/alert", "4573/alert/de/at"), ("script: alert", "script: alert/de/at")]),
            UNDERSTOOD,
        ),
        Row {
            environment: vec![umlaut[..middle].to_vec(), umlaut[middle..].to_vec()],
            understood: "53634cd4 Zürich",
            ..row("a UTF-8 character over two reads", &[digit], &["1"])
        },
        opening("bytes that are not UTF-8", latin1(), "53634cd4 Z\u{fffd}rich"),
    ]
}

fn latin1() -> Vec<u8> {
    let mut bytes = environment("Z!rich", &[]);
    if let Some(mark) = bytes.iter_mut().find(|byte| **byte == b'!') {
        *mark = 0xfc;
    }
    bytes
}

#[derive(Clone, Copy, PartialEq)]
enum Speaker {
    Ringdown,
    BlazingAgi,
}

const SPEAKERS: [(Speaker, &str); 2] = [(Speaker::Ringdown, "ringdown"), (Speaker::BlazingAgi, "blazing_agi 0.3.1")];

impl Speaker {
    /// How long a row waits for something to come; within the limit of the whole row, so that it can say what did.
    fn patience(self) -> Duration {
        if self == Self::Ringdown { table::OURS / 2 } else { table::OTHERS * 3 / 4 }
    }

    /// Serves until the end; tells what it understood of each connection, one command after the other.
    async fn serve(self, listener: TcpListener, told: UnboundedSender<String>) {
        match self {
            Self::Ringdown => {
                let limit = Duration::from_millis(500);
                let settings = Settings { first_line: limit, environment: limit, ..Settings::default() };
                agi::run(listener, settings, move |session| ringdown(session, told.clone()), CancellationToken::new())
                    .await;
            }
            Self::BlazingAgi => {
                let handler = || BlazingAgi(told.clone());
                let router = Router::new().route("/alert", handler()).fallback(handler());
                if let Err(error) = serve(listener, router).await {
                    let _ = told.send(format!("stops: {error}"));
                }
            }
        }
    }
}

async fn ringdown(mut session: agi::Session, told: UnboundedSender<String>) {
    let request = session.request();
    let _ = told.send(format!("{} {}", request.uniqueid(), request.caller_name().unwrap_or("-")));
    loop {
        let heard = match session.wait_for_digit(Duration::from_secs(1)).await {
            Ok(Some(digit)) => digit.to_string(),
            Ok(None) => "none".to_owned(),
            Err(Error::HungUp) => "hung up".to_owned(),
            Err(Error::UnknownCommand) => "unknown command".to_owned(),
            Err(Error::Usage(_)) => "usage".to_owned(),
            Err(error) => {
                let _ = told.send(error.to_string());
                return;
            }
        };
        let _ = told.send(heard);
    }
}

#[derive(Debug)]
struct BlazingAgi(UnboundedSender<String>);

#[async_trait::async_trait]
impl AGIHandler for BlazingAgi {
    async fn handle(&self, connection: &mut Connection, request: &AGIRequest) -> Result<(), AGIError> {
        let name = Some(request.variables.calleridname.as_str()).filter(|name| !name.is_empty()).unwrap_or("-");
        let _ = self.0.send(format!("{} {name}", request.variables.uniqueid));
        loop {
            let heard = match connection.send_command(RawCommand::new("WAIT FOR DIGIT 1000".to_owned())).await {
                Ok(AGIResponse::Ok(answer)) => match answer.result.parse::<u8>() {
                    Ok(0) => "none".to_owned(),
                    Ok(code) if code.is_ascii_graphic() => char::from(code).to_string(),
                    _ => format!("result {:?}", answer.result),
                },
                Ok(AGIResponse::DeadChannel) => "hung up".to_owned(),
                Ok(AGIResponse::Invalid) => "unknown command".to_owned(),
                Ok(AGIResponse::EndUsage) => "usage".to_owned(),
                Err(error) => {
                    let _ = self.0.send(error.to_string());
                    return Err(error);
                }
            };
            let _ = self.0.send(heard);
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a socket")
}

/// Asterisk's part: opens, and answers what it is asked, as long as it is asked. Keeps the connection.
async fn asterisk(address: SocketAddr, row: &Row) -> std::io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    for read in &row.environment {
        stream.write_all(read).await?;
        apart().await;
    }
    for answer in &row.answers {
        let mut command = String::new();
        if stream.read_line(&mut command).await? == 0 {
            break;
        }
        for read in answer {
            stream.write_all(read).await?;
            apart().await;
        }
    }
    Ok(stream)
}

async fn conversation(speaker: Speaker, row: &Row) -> Verdict {
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    let (to, mut told) = unbounded_channel();
    tokio::spawn(speaker.serve(listener, to));
    understands(address, row, &mut told, speaker.patience()).await
}

async fn understands(
    address: SocketAddr,
    row: &Row,
    told: &mut UnboundedReceiver<String>,
    patience: Duration,
) -> Verdict {
    let talk = asterisk(address, row);
    let listen = async {
        let mut came = Vec::new();
        while came.len() <= row.heard.len() {
            match tokio::time::timeout(patience, told.recv()).await {
                Ok(Some(line)) => came.push(line),
                Ok(None) | Err(_) => {
                    came.push("nothing more".to_owned());
                    break;
                }
            }
        }
        came
    };
    let (_stream, came) = tokio::join!(talk, listen);
    let expected: Vec<String> =
        std::iter::once(row.understood).chain(row.heard.iter().copied()).map(str::to_owned).collect();
    same(&came, &expected)
}

/// Somebody connects and says nothing.
async fn silent(speaker: Speaker) -> Verdict {
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    tokio::spawn(speaker.serve(listener, unbounded_channel().0));
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let closed = tokio::time::timeout(speaker.patience(), stream.read(&mut [0; 16])).await;
    closed.map(drop).map_err(|_| "keeps the connection".to_owned())
}

/// Somebody sends a line that does not end, as fast as it is taken.
async fn endless(speaker: Speaker) -> Verdict {
    const LENGTH: usize = 1024 * 1024;
    let listener = listener().await;
    let address = listener.local_addr().expect("an address");
    tokio::spawn(speaker.serve(listener, unbounded_channel().0));
    let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    for _ in 0..LENGTH / 4096 {
        if stream.write_all(&[b'a'; 4096]).await.is_err() {
            return Ok(());
        }
    }
    let closed = tokio::time::timeout(speaker.patience(), stream.read(&mut [0; 16])).await;
    closed.map(drop).map_err(|_| "takes all of it, and waits for more".to_owned())
}

/// Connections cannot be accepted, as when no file descriptor is free: a server tries on. (That it takes the next
/// one when it can again is a test of `ringdown::agi`: this socket cannot be brought back.)
async fn failed_accept(speaker: Speaker) -> Verdict {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
    listener.set_nonblocking(true).expect("a socket");
    // The same socket, so that it can be made to fail from here.
    let socket = std::net::TcpStream::from(OwnedFd::from(listener.try_clone().expect("a socket")));
    let serving = speaker.serve(TcpListener::from_std(listener).expect("a listener"), unbounded_channel().0);
    socket.shutdown(Shutdown::Both).expect("it listens");
    let ended = tokio::time::timeout(Duration::from_millis(500), serving).await;
    if ended.is_err() { Ok(()) } else { Err("the server ends".to_owned()) }
}

#[test]
fn ours_understands_every_conversation() {
    let mut cells = Vec::new();
    for (nth, row) in conversations().iter().enumerate() {
        for (speaker, name) in SPEAKERS {
            let ours = speaker == Speaker::Ringdown;
            cells.push(Cell::new(row.name, name, ours, move || async move {
                conversation(speaker, &conversations()[nth]).await
            }));
        }
    }
    for (speaker, name) in SPEAKERS {
        let ours = speaker == Speaker::Ringdown;
        cells.push(Cell::new("a peer that says nothing", name, ours, move || silent(speaker)));
        cells.push(Cell::new("a line of 1 MiB that does not end", name, ours, move || endless(speaker)));
        cells.push(Cell::new("a failed `accept`", name, ours, move || failed_accept(speaker)));
    }
    let wrong = table::fill("AGI", cells);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
