//! How long people wait: from the alert to the call, from the lead-in to the first word, from the key to
//! the word that it counted.

use std::{
    collections::{HashMap, HashSet},
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab::{
    load::{percentile, spread},
    server::Server,
    settings::{Settings, Step},
};
use ringdown::ami::{self, Notice};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use crate::{calls::pbx, program};

const AT_ONCE: usize = 100;

pub async fn run() -> Result<()> {
    to_originate().await?;
    at_once().await
}

fn people(settings: &mut Settings, dial: &str) {
    for n in 0..AT_ONCE {
        let (person, number) = (format!("Person {n}"), format!("+3933390{n:05}"));
        settings.contact(&person, &[&number]);
        settings.policy(&format!("policy {n}"), &[Step { targets: &[&person], delay: 3600, ..Step::default() }]);
    }
    settings.set("asterisk.dial", dial).set("asterisk.per_second", 1000).set("asterisk.concurrent", 150);
    settings.set("log.level", "error").set("watch.keep_events_days", 0);
    settings.set("server.requests_per_second", 1_000_000).set("server.requests_at_once", 1_000_000);
}

/// From the first byte of the request to `Originate` on the wire.
async fn to_originate() -> Result<()> {
    let (slot, mut telephony) = pbx().await?;
    let mut settings = Settings::new();
    settings.pbx(&telephony.pbx);
    people(&mut settings, "Local/{number}@bench-speech/n");
    let (address, seen) = tapped(telephony.pbx.ami.clone()).await?;
    settings.set("asterisk.address", address);
    let mut server = Server::start(program(), &slot, settings).await?;
    let mut took = Vec::new();
    for n in 0..AT_ONCE {
        let known = lock(&seen).len();
        let begin = Instant::now();
        let alert = json!({ "summary": format!("alert {n}"), "policy": format!("policy {n}") });
        server.api.post("/api/v2/alerts", &alert).await?;
        while lock(&seen).len() == known {
            ensure!(begin.elapsed() < Duration::from_secs(10), "no Originate");
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
        took.push((lock(&seen)[known] - begin).as_secs_f64() * 1000.0);
        // Idle again.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let (least, median, most) = spread(took);
    println!("alert posted, Originate leaves, idle: median {median:.1} ms ({least:.1} to {most:.1}); to reach: 5 ms");
    server.stop().await?;
    telephony.stop().await
}

fn lock(seen: &Mutex<Vec<Instant>>) -> std::sync::MutexGuard<'_, Vec<Instant>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A way to the manager on which one sees when an `Originate` goes by.
async fn tapped(to: String) -> Result<(String, Arc<Mutex<Vec<Instant>>>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let (address, seen) = (listener.local_addr()?.to_string(), Arc::new(Mutex::new(Vec::new())));
    let told = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&to).await else { continue };
            let _ = (near.set_nodelay(true), far.set_nodelay(true));
            let (mut from_ringdown, mut to_ringdown) = near.into_split();
            let (mut from_pbx, mut to_pbx) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_pbx, &mut to_ringdown).await });
            let told = Arc::clone(&told);
            tokio::spawn(async move {
                let mut buffer = vec![0; 65536];
                while let Ok(read @ 1..) = from_ringdown.read(&mut buffer).await {
                    let originates = buffer[..read].windows(17).filter(|part| *part == b"Action: Originate");
                    told.lock().unwrap_or_else(PoisonError::into_inner).extend(originates.map(|_| Instant::now()));
                    if to_pbx.write_all(&buffer[..read]).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    Ok((address, seen))
}

/// A hundred calls at once, each spoken to and acknowledged. When a command begins and ends, Asterisk says
/// (`AGIExecStart`, `AGIExecEnd`).
async fn at_once() -> Result<()> {
    let (slot, mut telephony) = pbx().await?;
    let mut settings = Settings::new();
    settings.pbx(&telephony.pbx);
    people(&mut settings, "Local/{number}@bench-press/n");
    let mut server = Server::start(program(), &slot, settings).await?;
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let mut watched = ami::Settings::new(&telephony.pbx.ami, "lab", telephony.pbx.secret.clone().into());
    watched.events = &["AGIExecStart", "AGIExecEnd", "DTMFEnd"];
    watched.queue = 100_000;
    let (client, mut notices, _link) = ami::start(watched, rand::random, stop.clone());
    let mut connected = client.watch();
    connected.wait_for(|connected| *connected).await.context("the manager")?;
    let mut posts = JoinSet::new();
    for n in 0..AT_ONCE {
        let api = server.api.clone();
        posts.spawn(async move {
            let alert =
                json!({ "summary": format!("The disk of machine {n} is full"), "policy": format!("policy {n}") });
            api.post("/api/v2/alerts", &alert).await
        });
    }
    while let Some(posted) = posts.join_next().await {
        posted??;
    }
    // By channel: the end of the lead-in, a key, the end of the alert by it.
    let (mut waited, mut keys, mut pressed) = (HashMap::new(), HashSet::new(), HashMap::new());
    let (mut first_words, mut confirmed) = (Vec::new(), Vec::new());
    while confirmed.len() < AT_ONCE {
        let notice = tokio::time::timeout(Duration::from_secs(60), notices.next()).await;
        let notice = notice.with_context(|| format!("{} first words, {} keys", first_words.len(), confirmed.len()))?;
        let Some(Notice::Event(event)) = notice else { continue };
        let (channel, command) = (event.get("Uniqueid").unwrap_or_default(), event.get("Command").unwrap_or_default());
        let now = Instant::now();
        match (event.event(), command.split(' ').next()) {
            (Some("AGIExecEnd"), Some("WAIT")) => {
                waited.insert(channel.to_owned(), now);
            }
            (Some("DTMFEnd"), _) => {
                keys.insert(channel.to_owned());
            }
            (Some("AGIExecEnd"), Some("STREAM")) if keys.remove(channel) => {
                pressed.insert(channel.to_owned(), now);
            }
            (Some("AGIExecStart"), Some("STREAM")) => {
                if let Some(since) = pressed.remove(channel) {
                    confirmed.push((now - since).as_secs_f64() * 1000.0);
                } else if let Some(since) = waited.remove(channel) {
                    first_words.push((now - since).as_secs_f64() * 1000.0);
                }
            }
            _ => {}
        }
    }
    first_words.sort_by(f64::total_cmp);
    confirmed.sort_by(f64::total_cmp);
    println!(
        "lead-in over, first word, {AT_ONCE} calls at once: median {:.1} ms, p99 {:.1} ms; to reach: 50 ms, 300 ms",
        percentile(&first_words, 0.5),
        percentile(&first_words, 0.99)
    );
    println!(
        "key, acknowledged in the store and the word of it begins, {AT_ONCE} calls at once: median {:.1} ms, p99 {:.1} ms; \
         to reach: p99 50 ms",
        percentile(&confirmed, 0.5),
        percentile(&confirmed, 0.99)
    );
    server.stop().await?;
    telephony.stop().await
}
