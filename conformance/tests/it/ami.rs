//! AMI: what a manager, or something else, says to a client, and what a client says to it.

use std::{collections::BTreeMap, fs, path::Path, time::Duration};

use asterisk_manager::{AmiAction, AmiEvent, Manager, ManagerOptions};
use ringdown::ami::{self, Action, Client, Notice, Notices, Settings};
use secrecy::SecretString;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_stream::{Stream, StreamExt};
use tokio_util::sync::CancellationToken;

use crate::table::{self, Cell, Verdict, apart, same};

const BANNER: &str = "Asterisk Call Manager/11.0.0\r\n";
const SECRET: &str = "sesame";
/// Events of a burst.
const BURST: usize = 20_000;

/// Names and values, in order where the client keeps it.
type Headers = Vec<(String, String)>;

/// The manager's end: a socket on which a script is followed.
struct Pbx {
    listener: TcpListener,
}

/// The manager's end of one connection.
struct Link {
    stream: BufReader<TcpStream>,
}

impl Pbx {
    async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a socket") }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("an address").port()
    }

    /// Takes the next connection, and says nothing.
    async fn accept(&self) -> Link {
        let (stream, _) = self.listener.accept().await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Link { stream: BufReader::new(stream) }
    }

    /// Takes the next connection, up to after its login.
    async fn log_in(&self) -> Link {
        let mut link = self.accept().await;
        link.send(BANNER).await;
        while let Some(action) = link.action().await {
            link.answer(&action, "Challenge: 840415273\r\n").await;
            if value(&action, "Action") == Some("Login") {
                break;
            }
        }
        link
    }
}

impl Link {
    /// An error is what comes of a client that is gone; it is told by what the client does.
    async fn send(&mut self, text: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(text.as_ref()).await;
        let _ = self.stream.flush().await;
    }

    /// The next action; `None` at the end.
    async fn action(&mut self) -> Option<Headers> {
        let mut headers = Headers::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            match line.trim_end_matches(['\r', '\n']).split_once(": ") {
                Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
                None if line.trim().is_empty() => return Some(headers),
                None => headers.push((line, String::new())),
            }
        }
    }

    async fn answer(&mut self, action: &Headers, more: &str) {
        let id = value(action, "ActionID").unwrap_or_default();
        self.send(format!("Response: Success\r\nActionID: {id}\r\n{more}\r\n")).await;
    }
}

fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Ringdown,
    AsteriskManager,
}

impl Who {
    /// How long a row waits for something to come; within the limit of the whole row, so that it can say what did.
    fn patience(self) -> Duration {
        if self == Self::Ringdown { table::OURS / 2 } else { table::OTHERS * 3 / 4 }
    }
}

/// A client that speaks to the manager at this port.
enum Speaker {
    Ringdown { client: Client, notices: Notices },
    AsteriskManager { manager: Manager, events: Box<dyn Stream<Item = Result<AmiEvent, String>> + Send + Unpin> },
}

/// What a client tells by itself.
#[derive(Debug, PartialEq)]
enum Told {
    Event(Headers),
    Lost(u64),
    Disconnected,
}

impl Speaker {
    /// Connects, while `pbx` does what it does at a login.
    async fn log_in(who: Who, pbx: &Pbx) -> Result<(Self, Link), String> {
        let (speaker, link) = tokio::join!(Self::start(who, pbx.port()), pbx.log_in());
        Ok((speaker?, link))
    }

    async fn start(who: Who, port: u16) -> Result<Self, String> {
        match who {
            Who::Ringdown => {
                let mut settings =
                    Settings::new(format!("127.0.0.1:{port}"), "svc", SecretString::from(SECRET.to_owned()));
                settings.events = names();
                let (client, mut notices, _task) = ami::start(settings, || 0.5, CancellationToken::new());
                match notices.next().await {
                    Some(Notice::Connected { .. }) => Ok(Self::Ringdown { client, notices }),
                    other => Err(format!("{other:?}")),
                }
            }
            Who::AsteriskManager => {
                let mut manager = Manager::new();
                let stream = manager.all_events_stream().await;
                let events = Box::new(stream.map(|event| event.map_err(|error| error.to_string())));
                let options = ManagerOptions {
                    port,
                    host: "127.0.0.1".to_owned(),
                    username: "svc".to_owned(),
                    password: SECRET.to_owned(),
                    events: true,
                };
                manager.connect_and_login(options.clone()).await.map_err(|error| error.to_string())?;
                manager.start_watchdog(options).await.map_err(|error| error.to_string())?;
                Ok(Self::AsteriskManager { manager, events })
            }
        }
    }

    /// Sends an action with these headers; what is called `Variable` is a variable.
    async fn act(&self, name: &'static str, headers: &[(&'static str, &str)]) -> Result<(), String> {
        match self {
            Self::Ringdown { client, .. } => {
                let action = action(name, headers)?;
                client.act(action).await.map(drop).map_err(|error| error.to_string())
            }
            Self::AsteriskManager { manager, .. } => {
                let action = custom(name, headers);
                manager.send_action(action).await.map(drop).map_err(|error| error.to_string())
            }
        }
    }

    /// Sends an action that a list answers. Returns how many are in it.
    async fn list(&self, name: &'static str, end: &'static str) -> Result<usize, String> {
        match self {
            Self::Ringdown { client, .. } => {
                client.list(Action::new(name), end).await.map(|list| list.len()).map_err(|error| error.to_string())
            }
            Self::AsteriskManager { manager, .. } => {
                let answer = manager.send_action(custom(name, &[])).await.map_err(|error| error.to_string())?;
                let list = answer.fields.get("CollectedEvents").ok_or("no list")?;
                Ok(list.as_array().map_or(0, Vec::len))
            }
        }
    }

    async fn told(&mut self) -> Option<Told> {
        match self {
            Self::Ringdown { notices, .. } => loop {
                match notices.next().await? {
                    Notice::Event(event) => {
                        let headers = event.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
                        return Some(Told::Event(headers.collect()));
                    }
                    Notice::Lost { events } => return Some(Told::Lost(events)),
                    Notice::Disconnected { .. } => return Some(Told::Disconnected),
                    Notice::Connected { .. } => {}
                }
            },
            Self::AsteriskManager { events, .. } => Some(match events.next().await? {
                Ok(AmiEvent::UnknownEvent { fields, .. }) => Told::Event(fields.into_iter().collect()),
                Ok(AmiEvent::InternalConnectionLost { .. }) => Told::Disconnected,
                Ok(AmiEvent::Newchannel(_)) => Told::Event(vec![("Event".to_owned(), "Newchannel".to_owned())]),
                Ok(AmiEvent::Hangup(_)) => Told::Event(vec![("Event".to_owned(), "Hangup".to_owned())]),
                Ok(AmiEvent::PeerStatus(_)) => Told::Event(vec![("Event".to_owned(), "PeerStatus".to_owned())]),
                // "channel lagged by 3"
                Err(lagged) => Told::Lost(lagged.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)),
            }),
        }
    }

    /// The next event, whatever else is told.
    async fn event(&mut self) -> Result<Headers, String> {
        loop {
            match self.told().await {
                Some(Told::Event(headers)) => return Ok(headers),
                Some(_) => {}
                None => return Err("tells nothing more".to_owned()),
            }
        }
    }
}

fn action(name: &'static str, headers: &[(&'static str, &str)]) -> Result<Action, String> {
    headers
        .iter()
        .try_fold(Action::new(name), |action, (header, value)| match (*header, value.split_once('=')) {
            ("Variable", Some((name, value))) => action.variable(name, value),
            _ => action.header(header, value),
        })
        .map_err(|error| error.to_string())
}

fn custom(name: &str, headers: &[(&'static str, &str)]) -> AmiAction {
    let params = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    AmiAction::Custom { action: name.to_owned(), params, action_id: None }
}

/// The conversations that were recorded with a real Asterisk, each as bytes, without what we said.
fn recordings() -> Vec<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("tests/fixtures/ami");
    let mut files: Vec<_> =
        fs::read_dir(&directory).expect("fixtures").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    let said = |file: &Path| {
        let text = fs::read_to_string(file).expect("a recording");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("###")).collect();
        lines.join("\r\n") + "\r\n\r\n"
    };
    files.iter().map(|file| said(file)).collect()
}

/// How many events of each name a text holds.
fn count(text: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in text.lines().filter_map(|line| line.strip_prefix("Event: ")) {
        *counts.entry(name.trim().to_owned()).or_default() += 1;
    }
    counts
}

/// The names of all events there are in the recordings, and of those that the rows make up.
fn names() -> &'static [&'static str] {
    let text = recordings().concat();
    let mut names: Vec<&'static str> = count(&text).into_keys().map(|name| &*name.leak()).collect();
    names.push("Made");
    names.leak()
}

async fn every_recording(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (mut speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let text = recordings().concat();
    let expected = count(&text);
    let total: usize = expected.values().sum();
    let sending = link.send(&text);
    let listening = async {
        let mut came: BTreeMap<String, usize> = BTreeMap::new();
        while came.values().sum::<usize>() < total {
            let Ok(event) = timeout(who.patience(), speaker.event()).await else { break };
            let Ok(event) = event else { break };
            *came.entry(value(&event, "Event").unwrap_or_default().to_owned()).or_default() += 1;
        }
        came
    };
    let ((), came) = tokio::join!(sending, listening);
    if came == expected {
        return Ok(());
    }
    let missing: Vec<String> = expected
        .iter()
        .filter_map(|(name, number)| {
            let came = came.get(name).copied().unwrap_or(0);
            (came != *number).then(|| format!("{name} {came} of {number}"))
        })
        .collect();
    Err(format!("wrong: {}", missing.join(", ")))
}

/// A value with a line end must not become an action of its own.
async fn injection(who: Who, evil: &'static str) -> Verdict {
    let pbx = Pbx::new().await;
    let (speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let headers = [("Channel", "Local/1"), ("CallerID", evil)];
    let acting = speaker.act("Originate", &headers);
    let seeing = async {
        let mut seen = Vec::new();
        while let Some(action) = link.action().await {
            link.answer(&action, "").await;
            let name = value(&action, "Action").unwrap_or_default().to_owned();
            let extra = action.iter().any(|(name, _)| name == "Injected");
            seen.push(if extra { format!("{name} with a header that was in a value") } else { name });
        }
        seen
    };
    tokio::select! {
        refused = acting => {
            if refused.is_err() { return Ok(()) }
        }
        seen = seeing => return Err(format!("{seen:?}")),
    }
    let mut seen = Vec::new();
    while let Ok(Some(action)) = timeout(Duration::from_millis(200), link.action()).await {
        seen.push(value(&action, "Command").unwrap_or_default().to_owned());
    }
    Err(format!(
        "sends it as it is{}",
        if seen.is_empty() { String::new() } else { format!("; an action more: {seen:?}") }
    ))
}

async fn two_variables(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let acting = speaker.act("Originate", &[("Variable", "ONE=1"), ("Variable", "TWO=a,b")]);
    let seeing = async {
        let action = link.action().await.unwrap_or_default();
        link.answer(&action, "").await;
        action.into_iter().filter(|(name, _)| name == "Variable").map(|(_, value)| value).collect::<Vec<_>>()
    };
    let (acted, seen) = tokio::join!(acting, seeing);
    acted?;
    same(&seen, &vec!["ONE=1".to_owned(), r"TWO=a\,b".to_owned()])
}

async fn reconnects(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (_speaker, link) = Speaker::log_in(who, &pbx).await?;
    drop(link);
    timeout(who.patience(), pbx.log_in()).await.map(drop).map_err(|_| "does not come again".to_owned())
}

async fn in_flight(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let acting = timeout(who.patience(), speaker.act("Ping", &[]));
    let hanging_up = async {
        let action = link.action().await;
        drop(link);
        action
    };
    match tokio::join!(acting, hanging_up).0 {
        Ok(Err(_)) => Ok(()),
        Ok(Ok(())) => Err("says that it was answered".to_owned()),
        Err(_) => Err("waits on".to_owned()),
    }
}

async fn burst(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (mut speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let mut text = String::new();
    for number in 0..BURST {
        text.push_str(&format!("Event: Made\r\nPrivilege: call,all\r\nChannel: Local/1-{number};1\r\n\r\n"));
    }
    let listening = async {
        let (mut came, mut lost) = (0, 0);
        while came + lost < BURST as u64 {
            match timeout(who.patience(), speaker.told()).await {
                Ok(Some(Told::Event(_))) => came += 1,
                Ok(Some(Told::Lost(number))) => lost += number,
                Ok(Some(Told::Disconnected) | None) | Err(_) => break,
            }
        }
        (came, lost)
    };
    let ((), (came, lost)) = tokio::join!(link.send(text), listening);
    let all = BURST as u64;
    if came + lost == all {
        Ok(())
    } else {
        Err(format!("wrong: {came} came and {lost} were said to be lost, of {all}"))
    }
}

/// Sends this in these reads, and says what came of the next event.
async fn event(who: Who, reads: &'static [&'static [u8]], names: [&str; 2], expected: [&[&str]; 2]) -> Verdict {
    let pbx = Pbx::new().await;
    let (mut speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    for read in reads {
        link.send(read).await;
        apart().await;
    }
    let event = timeout(who.patience(), speaker.event()).await.map_err(|_| "it does not come".to_owned())??;
    for (name, expected) in names.into_iter().zip(expected) {
        let mut came: Vec<&str> =
            event.iter().filter(|(header, _)| header == name).map(|(_, value)| value.as_str()).collect();
        came.sort_unstable();
        same(&came, &expected.to_vec())?;
    }
    Ok(())
}

/// Something else listens there: it must not be told the secret.
async fn not_a_manager(who: Who, banner: &'static str) -> Verdict {
    let pbx = Pbx::new().await;
    let port = pbx.port();
    tokio::spawn(async move { Speaker::start(who, port).await.map(drop) });
    let mut link = pbx.accept().await;
    link.send(banner).await;
    let mut came = [0; 4096];
    match timeout(Duration::from_secs(1), link.stream.read(&mut came)).await {
        Err(_) | Ok(Ok(0) | Err(_)) => Ok(()),
        Ok(Ok(length)) if String::from_utf8_lossy(&came[..length]).contains(SECRET) => {
            Err("tells it the secret".to_owned())
        }
        Ok(Ok(_)) => Err("speaks to it".to_owned()),
    }
}

async fn endless(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (_speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    for _ in 0..256 {
        if link.stream.write_all(&[b'a'; 4096]).await.is_err() {
            return Ok(());
        }
    }
    let closed = timeout(who.patience(), link.stream.read(&mut [0; 16])).await;
    closed.map(drop).map_err(|_| "takes all of it, and waits for more".to_owned())
}

async fn list(who: Who) -> Verdict {
    let pbx = Pbx::new().await;
    let (speaker, mut link) = Speaker::log_in(who, &pbx).await?;
    let answering = async {
        let action = link.action().await.unwrap_or_default();
        let id = value(&action, "ActionID").unwrap_or_default();
        let begin = format!("Response: Success\r\nActionID: {id}\r\nEventList: start\r\n\r\n");
        let one = format!("Event: Status\r\nActionID: {id}\r\nUniqueid: 1\r\nVariable: A=1\r\nVariable: B=2\r\n\r\n");
        let other = format!("Event: Status\r\nActionID: {id}\r\nUniqueid: 2\r\n\r\n");
        // Of another client: it has an end as well.
        let foreign = "Event: StatusComplete\r\nActionID: foreign-1\r\n\r\n";
        let end = format!("Event: StatusComplete\r\nActionID: {id}\r\nItems: 2\r\n\r\n");
        link.send([begin.as_str(), &one, foreign, &other, &end].concat()).await;
    };
    let (list, ()) = tokio::join!(timeout(who.patience(), speaker.list("Status", "StatusComplete")), answering);
    let length = list.map_err(|_| "does not find its end".to_owned())??;
    if length == 2 { Ok(()) } else { Err(format!("wrong: {length} of 2")) }
}

#[test]
fn ours_understands_every_manager() {
    let mut cells = Vec::new();
    for (who, name) in [(Who::Ringdown, "ringdown"), (Who::AsteriskManager, "asterisk-manager 2.1.3")] {
        let ours = who == Who::Ringdown;
        macro_rules! row {
            ($row:literal, $future:expr) => {
                cells.push(Cell::new($row, name, ours, move || $future));
            };
        }
        row!("all conversations that were recorded", every_recording(who));
        row!("an action within a value", injection(who, "x\r\n\r\nAction: Command\r\nCommand: core stop now"));
        row!("a header within a value", injection(who, "x\r\nInjected: 1"));
        row!("a header within a value, by a bare LF", injection(who, "x\nInjected: 1"));
        row!("`Variable` twice, one with a comma", two_variables(who));
        row!("the manager hangs up", reconnects(who));
        row!("the manager hangs up on an action", in_flight(who));
        row!("20,000 events at once: here, or said to be lost", burst(who));
        row!(
            "an event with a header twice",
            event(
                who,
                &[b"Event: Made\r\nChanVariable: A=1\r\nChanVariable: B=2\r\nUniqueid: 1\r\n\r\n"],
                ["ChanVariable", "Uniqueid"],
                [&["A=1", "B=2"], &["1"]],
            )
        );
        row!(
            "an event in many reads, cut within CR LF and UTF-8",
            event(
                who,
                &[b"Eve", b"nt: Made\r", b"\nCallerIDName: Z\xc3", b"\xbcrich\r\nUniqueid: 1", b"\r\n\r", b"\n"],
                ["CallerIDName", "Uniqueid"],
                [&["Z\u{fc}rich"], &["1"]],
            )
        );
        row!(
            "a value with `: `, and one that is empty",
            event(
                who,
                &[b"Event: Made\r\nCallerIDName: Alarm: disk\r\nAccountCode: \r\nUniqueid: 1\r\n\r\n"],
                ["CallerIDName", "AccountCode"],
                [&["Alarm: disk"], &[""]],
            )
        );
        row!(
            "bytes that are not UTF-8",
            event(
                who,
                &[b"Event: Made\r\nCallerIDName: Z\xfcrich\r\nUniqueid: 1\r\n\r\n"],
                ["CallerIDName", "Uniqueid"],
                [&["Z\u{fffd}rich"], &["1"]],
            )
        );
        row!("something that is no manager", not_a_manager(who, "SSH-2.0-OpenSSH_9.2\r\n"));
        row!("something that says nothing", not_a_manager(who, ""));
        row!("a line of 1 MiB that does not end", endless(who));
        row!("a list, with another client's end in between", list(who));
    }
    // Row by row, ours first.
    let half = cells.len() / 2;
    let mut others: Vec<Cell> = cells.split_off(half);
    let cells = cells.into_iter().zip(others.drain(..)).flat_map(|(ours, other)| [ours, other]).collect();
    let wrong = table::fill("AMI", cells);
    assert!(wrong.is_empty(), "{wrong:#?}");
}
