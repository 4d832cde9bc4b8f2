//! The listener over loopback sockets.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{ENVIRONMENT, PATIENCE, Pbx};
use crate::agi::{Error, Session, Settings, run, serve};

/// A running server whose sessions wait for a digit and do what it says.
struct Server {
    address: std::net::SocketAddr,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
}

impl Server {
    async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        // Who is refused must not be taken for somebody who was let in and said nothing.
        let settings = Settings { first_line: Duration::MAX, environment: Duration::MAX, ..settings };
        let running = tokio::spawn(run(listener, settings, obey, shutdown.clone()));
        Self { address, shutdown, running }
    }

    async fn connect(&self) -> Pbx<TcpStream> {
        Pbx::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// A call that is in its handler.
    async fn call(&self) -> Pbx<TcpStream> {
        let mut pbx = self.connect().await;
        pbx.says(ENVIRONMENT).await;
        assert_eq!(pbx.hears().await, "WAIT FOR DIGIT 60000");
        pbx
    }
}

/// `0` panics, anything else hangs up.
async fn obey(mut session: Session) {
    let digit = session.wait_for_digit(Duration::from_secs(60)).await;
    match digit.map(|digit| digit.map(super::super::digit::Digit::as_char)) {
        Ok(Some('0')) => panic!("told to"),
        Ok(_) => session.hangup().await.unwrap(),
        Err(Error::Closed | Error::HungUp) => {}
        Err(error) => panic!("{error}"),
    }
}

async fn hang_up(mut pbx: Pbx<TcpStream>) {
    pbx.says("200 result=49\n").await;
    pbx.on("HANGUP", "200 result=1\n").await;
    assert_closed(&mut pbx).await;
}

async fn assert_closed(pbx: &mut Pbx<TcpStream>) {
    use tokio::io::AsyncReadExt;
    // Closed with bytes unread is a reset.
    let mut byte = [0];
    let read = tokio::time::timeout(PATIENCE, pbx.stream.read(&mut byte)).await;
    match read.expect("the end of the connection") {
        Ok(read) => assert_eq!(read, 0),
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
    }
}

#[tokio::test]
async fn the_limits_of_connections() {
    for settings in [
        Settings { connections: 2, ..Settings::default() },
        Settings { connections_per_address: 2, ..Settings::default() },
    ] {
        let server = Server::start(settings).await;
        let first = server.call().await;
        let second = server.call().await;
        for _ in 0..3 {
            assert_closed(&mut server.connect().await).await;
        }
        hang_up(first).await;
        // The place is free once the server has seen the end of the session.
        let third = loop {
            let mut pbx = server.connect().await;
            pbx.says(ENVIRONMENT).await;
            use tokio::io::AsyncBufReadExt;
            let mut line = String::new();
            if matches!(pbx.stream.read_line(&mut line).await, Ok(read) if read > 0) {
                break pbx;
            }
        };
        hang_up(second).await;
        hang_up(third).await;
    }
}

#[tokio::test]
async fn the_limit_per_address_is_per_address() {
    let settings = Settings { connections_per_address: 1, ..Settings::default() };
    let server = Server::start(settings).await;
    let first = server.call().await;
    assert_closed(&mut server.connect().await).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = Pbx::new(socket.connect(server.address).await.unwrap());
    other.says(ENVIRONMENT).await;
    assert_eq!(other.hears().await, "WAIT FOR DIGIT 60000");
    hang_up(first).await;
    hang_up(other).await;
}

/// A connection that says nothing, and one that says it a byte at a time, keep no call out; a call is never sent
/// away.
#[tokio::test]
async fn whoever_has_not_said_what_they_want_makes_room_the_oldest_first() {
    for settings in [
        Settings { connections: 3, ..Settings::default() },
        Settings { connections_per_address: 3, ..Settings::default() },
    ] {
        let server = Server::start(settings).await;
        let bystander = server.call().await;
        let mut silent = server.connect().await;
        let mut slow = server.connect().await;
        slow.says("agi_network: y").await;
        // In the order in which they came.
        let first = server.call().await;
        assert_closed(&mut silent).await;
        slow.says("es\nagi_network_sc").await;
        let second = server.call().await;
        assert_closed(&mut slow).await;
        assert_closed(&mut server.connect().await).await;
        for pbx in [bystander, first, second] {
            hang_up(pbx).await;
        }
    }
}

#[tokio::test]
async fn strangers_of_one_address_make_no_room_for_another() {
    let settings = Settings { connections: 3, connections_per_address: 2, ..Settings::default() };
    let server = Server::start(settings).await;
    let mut silent = server.connect().await;
    let first = server.call().await;
    let other = |address: &str| {
        let (socket, address) = (tokio::net::TcpSocket::new_v4().unwrap(), format!("{address}:0"));
        socket.bind(address.parse().unwrap()).unwrap();
        async { Pbx::new(socket.connect(server.address).await.unwrap()) }
    };
    let mut theirs = other("127.0.0.2").await;
    // Two of this address: its own stranger goes, however old the others are.
    let second = server.call().await;
    assert_closed(&mut silent).await;
    theirs.says(ENVIRONMENT).await;
    assert_eq!(theirs.hears().await, "WAIT FOR DIGIT 60000");
    for pbx in [first, second, theirs] {
        hang_up(pbx).await;
    }
}

#[tokio::test]
async fn only_allowed_addresses_get_in() {
    for (allow, allowed) in [
        (vec![], false),
        (vec!["10.0.0.0/8".parse().unwrap()], false),
        (vec!["::1/128".parse().unwrap()], false),
        (vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()], true),
        (Settings::default().allow, true),
    ] {
        let server = Server::start(Settings { allow, ..Settings::default() }).await;
        if allowed {
            hang_up(server.call().await).await;
        } else {
            assert_closed(&mut server.connect().await).await;
        }
    }
}

/// On a socket for both families an IPv4 address comes as an IPv6 one.
#[tokio::test]
async fn an_address_mapped_into_ipv6_is_still_allowed() {
    let Ok(listener) = TcpListener::bind("[::]:0").await else {
        return; // A machine without IPv6.
    };
    let port = listener.local_addr().unwrap().port();
    let shutdown = CancellationToken::new();
    tokio::spawn(run(listener, Settings::default(), obey, shutdown));
    let mut pbx = Pbx::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    pbx.says(ENVIRONMENT).await;
    assert_eq!(pbx.hears().await, "WAIT FOR DIGIT 60000");
    hang_up(pbx).await;
}

#[tokio::test]
async fn a_panic_or_nonsense_harms_nobody_else() {
    let server = Server::start(Settings { connections: 3, ..Settings::default() }).await;
    let bystander = server.call().await;
    for _ in 0..5 {
        let mut pbx = server.call().await;
        pbx.says("200 result=48\n").await;
        assert_closed(&mut pbx).await;
        let mut pbx = server.connect().await;
        pbx.says("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_closed(&mut pbx).await;
        // The server may see the ends of these only after the next one has come.
        while server.running.is_finished() || !frees(&server).await {}
    }
    hang_up(bystander).await;
    assert!(!server.running.is_finished());
}

/// Whether a call gets through now.
async fn frees(server: &Server) -> bool {
    use tokio::io::AsyncBufReadExt;
    assert!(!server.running.is_finished());
    let mut pbx = server.connect().await;
    pbx.says(ENVIRONMENT).await;
    let mut line = String::new();
    let through = matches!(pbx.stream.read_line(&mut line).await, Ok(read) if read > 0);
    if through {
        hang_up(pbx).await;
    }
    through
}

#[tokio::test]
async fn shutdown_stops_accepting_and_waits_for_sessions() {
    let server = Server::start(Settings::default()).await;
    let first = server.call().await;
    let second = server.call().await;
    server.shutdown.cancel();
    // The listening socket is gone as soon as a connection is refused.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    hang_up(first).await;
    tokio::task::yield_now().await;
    assert!(!server.running.is_finished());
    hang_up(second).await;
    server.running.await.unwrap();
}

#[tokio::test]
async fn shutdown_waits_no_longer_than_it_may() {
    let settings = Settings { drain: Duration::from_millis(50), ..Settings::default() };
    let server = Server::start(settings).await;
    let mut call = server.call().await;
    server.shutdown.cancel();
    server.running.await.unwrap();
    assert_closed(&mut call).await;
}

#[tokio::test]
async fn dropping_the_server_cuts_every_session_off() {
    let server = Server::start(Settings::default()).await;
    let mut call = server.call().await;
    server.running.abort();
    assert_closed(&mut call).await;
    assert!(server.running.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_failing_accept_never_stops_the_server() {
    const EMFILE: i32 = 24;
    // A real socket pair, so that a real stream can follow after the failures.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (streams, incoming) = mpsc::channel::<TcpStream>(1);
    let incoming = Arc::new(Mutex::new(incoming));
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let accept = move || {
        let (incoming, attempt) = (Arc::clone(&incoming), counted.fetch_add(1, Ordering::Relaxed));
        async move {
            match attempt {
                0..50 => Err(io::Error::from_raw_os_error(EMFILE)),
                50..100 => Err(io::ErrorKind::ConnectionAborted.into()),
                _ => match incoming.lock().await.recv().await {
                    Some(stream) => Ok(stream),
                    None => std::future::pending().await,
                },
            }
        }
    };
    let shutdown = CancellationToken::new();
    let done = Arc::new(Notify::new());
    let handler = {
        let done = Arc::clone(&done);
        move |session: Session| {
            let done = Arc::clone(&done);
            async move {
                assert_eq!(session.request().path(), "/alert");
                done.notify_one();
            }
        }
    };
    let start = tokio::time::Instant::now();
    let running = tokio::spawn(serve(accept, Settings::default(), handler, shutdown.clone()));
    let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let mut pbx = Pbx::new(client.unwrap());
    pbx.says(ENVIRONMENT).await;
    streams.send(accepted.unwrap().0).await.unwrap();
    done.notified().await;
    // It paused between the attempts, and gave up none.
    assert!(start.elapsed() > Duration::from_secs(40), "{:?}", start.elapsed());
    assert!(attempts.load(Ordering::Relaxed) >= 101);
    shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_interrupts_the_pause_after_a_failure() {
    let accept = || async { Err(io::Error::from_raw_os_error(24)) };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(serve(accept, Settings::default(), obey, shutdown.clone()));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    shutdown.cancel();
    let start = tokio::time::Instant::now();
    running.await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(10));
}
