//! Whoever talks HTTP slowly, endlessly or not at all keeps nobody's phone from ringing.

use std::{collections::VecDeque, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{
    settings::{Settings, Step},
    wait::until,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{interval, timeout},
};

use crate::harness::{ANA, Harness, SOON, story};

/// A line of a head, or a body, that nobody needs.
const ENDLESS: usize = 15 * 1024 * 1024;
/// Connections that the server keeps at once.
const MOST: u32 = 2000;
/// What a peer leaves of the files that this process may have open.
const OTHER_FILES: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_rings_and_is_understood_among_thousands_of_silent_slow_and_endless_peers() {
    let settings = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
        settings.set("server.timeout", 5).set("server.connections", MOST);
    };
    story(settings, async |h| {
        let mut peers = JoinSet::new();
        let silent = silent_peers()?;
        let address = h.server.api.base.trim_start_matches("http://").to_owned();
        let mut idle = VecDeque::new();
        for _ in 0..silent {
            idle.push_back(TcpStream::connect(&address).await.context("a silent peer")?);
        }
        // Those who have been silent for long are closed anyway; the others have to make room.
        until("no more are open than there may be", SOON, async || {
            Ok((figure(h, "ringdown_http_connections").await? <= MOST).then_some(()))
        })
        .await?;
        ensure!(
            silent < MOST as usize || figure(h, "ringdown_http_connections_closed_total").await? > 0,
            "none made room"
        );
        // And more all the time, each of which has to make room for the next.
        peers.spawn(coming(address.clone(), idle));
        for _ in 0..50 {
            peers.spawn(a_byte_at_a_time(address.clone(), "GET /healthz HTTP/1.1\r\nx-".to_owned()));
            peers.spawn(a_byte_at_a_time(address.clone(), head(h, "content-length: 5000")));
            peers.spawn(asks_and_never_reads(address.clone()));
        }

        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        // While it rings, somebody sends what has no end.
        let line = send(&address, "GET /healthz HTTP/1.1\r\nx-endless: ", &[b'a'; 4096]).await?;
        ensure!(line.is_none_or(|answer| answer.starts_with("HTTP/1.1 431")), "an endless line is not refused");
        h.phone(ANA).answers().await?;
        let chunk = [b"1000\r\n".as_slice(), &[b' '; 4096], b"\r\n"].concat();
        let known = send(&address, &head(h, "transfer-encoding: chunked"), &chunk).await?;
        ensure!(known.is_none_or(|answer| answer.starts_with("HTTP/1.1 413")), "an endless body is not refused");
        let stranger = "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";
        let stranger = send(&address, stranger, &chunk).await?;
        ensure!(stranger.is_none_or(|answer| answer.starts_with("HTTP/1.1 401")), "a stranger is not refused");

        h.phone(ANA).hears_alert("Disk full").await?;
        let other = h.post_alert(json!({ "summary": "Also full", "dedup_key": "other" })).await?;
        h.phone(ANA).presses('4').await?;
        ensure!(h.is(&id, "acknowledged").await?["acknowledged_by"] == "Ana");
        h.phone(ANA).is_hung_up().await?;
        h.says(&other, "resolve").await?;
        ensure!(h.record(&id).await?["disposition"] == "ANSWERED");

        // Whoever was slow is told, and what they had begun to say is not stored.
        let told = send_slowly(&address, &head(h, "content-length: 5000")).await?;
        ensure!(told.starts_with("HTTP/1.1 503"), "{told}");
        let page = h.server.api.get("/api/v2/incidents?limit=100").await?;
        ensure!(page["items"].as_array().map(Vec::len) == Some(2), "{page:#}");
        peers.shutdown().await;
        Ok(())
    })
    .await;
}

/// As many as this process may open, and not more than ten thousand.
fn silent_peers() -> Result<usize> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("a limit")?;
    let soft = line.split_whitespace().next().context("a number")?;
    Ok(soft.parse().unwrap_or(usize::MAX).saturating_sub(OTHER_FILES).min(10_000))
}

async fn figure(h: &Harness, name: &str) -> Result<u32> {
    let request = reqwest::Client::new().get(format!("{}/metrics", h.server.api.base)).bearer_auth(&h.server.api.key);
    let figures = request.send().await?.text().await?;
    let value = figures.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(value.context("a figure")?.parse()?)
}

/// The head of an alert from somebody who is known.
fn head(h: &Harness, length: &str) -> String {
    format!(
        "POST /api/v2/alerts HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         {length}\r\n\r\n",
        h.server.api.key
    )
}

/// Opens connections and says nothing on them; the oldest goes when the next one comes.
async fn coming(address: String, mut open: VecDeque<TcpStream>) {
    let mut pace = interval(Duration::from_millis(5));
    loop {
        pace.tick().await;
        if let Ok(stream) = TcpStream::connect(&address).await {
            open.pop_front();
            open.push_back(stream);
        }
    }
}

/// Says something, and then a byte a second; comes again when it is closed.
async fn a_byte_at_a_time(address: String, first: String) {
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
        let _ = stream.write_all(first.as_bytes()).await;
        let mut pace = interval(Duration::from_secs(1));
        loop {
            pace.tick().await;
            if stream.write_all(b"x").await.is_err() {
                break;
            }
        }
    }
}

/// Asks for much, again and again, and reads nothing of it.
async fn asks_and_never_reads(address: String) {
    loop {
        let Ok(mut stream) = TcpStream::connect(&address).await else { continue };
        let mut pace = interval(Duration::from_millis(500));
        loop {
            pace.tick().await;
            if stream.write_all(b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n").await.is_err() {
                break;
            }
        }
    }
}

/// Sends `first`, and then `more` until it is refused. Returns the answer, if there was one before the end.
async fn send(address: &str, first: &str, more: &[u8]) -> Result<Option<String>> {
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    let sending = async {
        write.write_all(first.as_bytes()).await?;
        let mut sent = 0;
        while sent < ENDLESS {
            write.write_all(more).await?;
            sent += more.len();
        }
        std::io::Result::Ok(())
    };
    let reading = async {
        let mut answer = Vec::new();
        let mut part = [0; 4096];
        while let Ok(length @ 1..) = read.read(&mut part).await {
            answer.extend_from_slice(&part[..length]);
        }
        String::from_utf8_lossy(&answer).into_owned()
    };
    let (sent, answer) = timeout(SOON, async { tokio::join!(sending, reading) }).await.context("it is not closed")?;
    ensure!(sent.is_err(), "all of it was taken");
    Ok(Some(answer).filter(|answer| !answer.is_empty()))
}

/// Sends a body slowly. Returns the answer.
async fn send_slowly(address: &str, head: &str) -> Result<String> {
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    write.write_all(head.as_bytes()).await?;
    let slowly = async {
        let mut pace = interval(Duration::from_secs(1));
        loop {
            pace.tick().await;
            let _ = write.write_all(b" ").await;
        }
    };
    let mut part = vec![0; 4096];
    let length = tokio::select! {
        () = slowly => unreachable!("it goes on"),
        length = timeout(SOON, read.read(&mut part)) => length.context("no answer")??,
    };
    Ok(String::from_utf8_lossy(&part[..length]).into_owned())
}
