//! What ringdown's AGI and AMI cost, beside the crates that speak the same protocols. Never a test.
//!
//! Each server or client runs alone in a thread of its own; what that thread has used of the processor is
//! what the kernel says of it. Whoever asks it runs in another one. They take turns, so that whatever else the
//! machine does meets all of them.

use std::{
    fs,
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use asterisk_manager::{Manager, ManagerOptions};
use blazing_agi::{
    AGIError, AGIRequest, command::RawCommand, connection::Connection, handler::AGIHandler, router::Router,
    serve::serve,
};
use ringdown::{
    agi,
    ami::{self, Notice},
};
use secrecy::SecretString;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

const ROUNDS: usize = 5;
const SESSIONS: usize = 4000;
const AT_ONCE: usize = 8;
const COMMANDS: usize = 3;
const EVENTS: usize = 100_000;

/// As Asterisk 22 begins.
const ENVIRONMENT: &str = "agi_network: yes\nagi_network_script: alert\nagi_request: agi://127.0.0.1:4573/alert\n\
    agi_channel: Local/1000@fakephone-00000002;1\nagi_language: en\nagi_type: Local\nagi_uniqueid: 53634cd4\n\
    agi_version: 22.10.1\nagi_callerid: 5550100\nagi_calleridname: Alarm\nagi_callingpres: 0\nagi_callingani2: 0\n\
    agi_callington: 0\nagi_callingtns: 0\nagi_dnid: unknown\nagi_rdnis: unknown\nagi_context: alert\nagi_extension: s\n\
    agi_priority: 2\nagi_enhanced: 0.0\nagi_accountcode: \nagi_threadid: 140666757129920\n\n";
const EVENT: &str = "Event: Newstate\r\nPrivilege: call,all\r\nChannel: PJSIP/net-00000001\r\nChannelState: 5\r\n\
    ChannelStateDesc: Ringing\r\nCallerIDNum: 5550100\r\nCallerIDName: <unknown>\r\nConnectedLineNum: 5550199\r\n\
    ConnectedLineName: <unknown>\r\nLanguage: en\r\nAccountCode: \r\nContext: ringdown\r\nExten: s\r\nPriority: 1\r\n\
    Uniqueid: 1763660000.1\r\nLinkedid: 1763660000.0\r\n\r\n";

fn main() {
    compare("FastAGI sessions", "blazing_agi", "1.0", || [agi_session(false), agi_session(true)]);
    compare("AMI events", "asterisk-manager", "3", || [ami_events(false), ami_events(true)]);
}

/// Runs both in turns; each gives its rate per second of its own processor time.
fn compare(what: &str, peer: &str, to_reach: &str, both: impl Fn() -> [f64; 2]) {
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [one, other] = both();
        ours.push(one);
        theirs.push(other);
        ratios.push(one / other);
    }
    let ((l, m, h), (pl, pm, ph), (rl, rm, rh)) = (spread(ours), spread(theirs), spread(ratios));
    println!(
        "{what} per CPU-second: {m:.0} ({l:.0} to {h:.0}), {peer} {pm:.0} ({pl:.0} to {ph:.0}), ratio {rm:.2} \
         ({rl:.2} to {rh:.2}); to reach: {to_reach}"
    );
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (values[0], values[values.len() / 2], values[values.len() - 1])
}

/// What this thread has used of the processor.
fn used() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("the kernel counts");
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).expect("nanoseconds"))
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Runs `work` in a thread of its own until `done`; what it used.
fn measured<F: Future<Output = ()>>(
    done: Receiver<()>,
    work: impl FnOnce() -> F + Send + 'static,
) -> thread::JoinHandle<Duration> {
    thread::spawn(move || {
        let stop = CancellationToken::new();
        let ends = stop.clone();
        thread::spawn(move || {
            let _ = done.recv();
            ends.cancel();
        });
        let before = used();
        runtime().block_on(async {
            tokio::select! { () = work() => {}, () = stop.cancelled() => {} }
        });
        used() - before
    })
}

#[derive(Debug)]
struct Peer;

#[async_trait::async_trait]
impl AGIHandler for Peer {
    async fn handle(&self, connection: &mut Connection, _request: &AGIRequest) -> Result<(), AGIError> {
        for _ in 0..COMMANDS {
            connection.send_command(RawCommand::new("WAIT FOR DIGIT 1000".to_owned())).await?;
        }
        Ok(())
    }
}

fn agi_session(peer: bool) -> f64 {
    let (say, done) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("an address");
    let server = measured(done, move || async move {
        let listener = TcpListener::from_std(listener).expect("a socket");
        if peer {
            let _ = serve(listener, Router::new().route("/alert", Peer)).await;
        } else {
            let talk = async |mut session: agi::Session| {
                for _ in 0..COMMANDS {
                    if session.wait_for_digit(Duration::from_secs(1)).await.is_err() {
                        return;
                    }
                }
            };
            agi::run(
                listener,
                agi::Settings::default(),
                move |session| Box::pin(talk(session)),
                CancellationToken::new(),
            )
            .await;
        }
    });
    runtime().block_on(async {
        let mut callers = JoinSet::new();
        for _ in 0..AT_ONCE {
            callers.spawn(async move {
                for _ in 0..SESSIONS / AT_ONCE {
                    let stream = TcpStream::connect(address).await.expect("a connection");
                    stream.set_nodelay(true).expect("a socket");
                    let mut stream = BufReader::new(stream);
                    stream.write_all(ENVIRONMENT.as_bytes()).await.expect("a peer");
                    for _ in 0..COMMANDS {
                        let mut line = String::new();
                        stream.read_line(&mut line).await.expect("a command");
                        assert!(line.starts_with("WAIT FOR DIGIT"), "{line}");
                        stream.write_all(b"200 result=0\n").await.expect("a peer");
                    }
                    let mut rest = String::new();
                    let _ = stream.read_line(&mut rest).await;
                }
            });
        }
        while let Some(ended) = callers.join_next().await {
            ended.expect("a caller");
        }
    });
    drop(say);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let sessions = SESSIONS as f64;
    sessions / server.join().expect("a server").as_secs_f64()
}

fn ami_events(peer: bool) -> f64 {
    let (say, done) = channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.set_nonblocking(true).expect("a socket");
    let port = listener.local_addr().expect("an address").port();
    let client = measured(done, move || async move {
        if peer {
            // Large enough to lose nothing.
            let mut manager = Manager::new_with_buffer(2 * EVENTS);
            let mut events = manager.all_events_stream().await;
            let options = ManagerOptions {
                port,
                host: "127.0.0.1".to_owned(),
                username: "svc".to_owned(),
                password: "sesame".to_owned(),
                events: true,
            };
            manager.connect_and_login(options).await.expect("a login");
            for _ in 0..EVENTS {
                events.next().await.expect("an event").expect("none is lost");
            }
        } else {
            let mut settings =
                ami::Settings::new(format!("127.0.0.1:{port}"), "svc", SecretString::from("sesame".to_owned()));
            settings.events = &["Newstate"];
            settings.queue = 2 * EVENTS;
            let (_client, mut notices, _link) = ami::start(settings, || 0.5, CancellationToken::new());
            let mut seen = 0;
            while seen < EVENTS {
                match notices.next().await.expect("a notice") {
                    Notice::Event(_) => seen += 1,
                    Notice::Connected { .. } => {}
                    other => panic!("{other:?}"),
                }
            }
        }
    });
    runtime().block_on(async {
        let listener = TcpListener::from_std(listener).expect("a socket");
        let (stream, _) = listener.accept().await.expect("a client");
        let mut stream = BufReader::new(stream);
        stream.write_all(b"Asterisk Call Manager/11.0.0\r\n").await.expect("a client");
        loop {
            let (mut id, mut action) = (String::new(), String::new());
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await.expect("an action");
                match line.trim_end().split_once(": ") {
                    Some((name, value)) if name.eq_ignore_ascii_case("ActionID") => value.clone_into(&mut id),
                    Some((name, value)) if name.eq_ignore_ascii_case("Action") => value.clone_into(&mut action),
                    Some(_) => {}
                    None => break,
                }
            }
            let more = if action == "Challenge" { "Challenge: 1234\r\n" } else { "" };
            let answer = format!("Response: Success\r\nActionID: {id}\r\n{more}\r\n");
            stream.write_all(answer.as_bytes()).await.expect("a client");
            if action.eq_ignore_ascii_case("Login") {
                break;
            }
        }
        let burst = EVENT.repeat(1000);
        for _ in 0..EVENTS / 1000 {
            stream.write_all(burst.as_bytes()).await.expect("a client");
        }
        // It is open until the client has read all of it.
        let mut rest = String::new();
        while stream.read_line(&mut rest).await.is_ok_and(|read| read > 0) {}
    });
    drop(say);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let events = EVENTS as f64;
    events / client.join().expect("a client").as_secs_f64()
}
