//! Figures of the API, on SQLite: `make bench`. Never a test: it judges nothing.
//!
//! The server is the program itself, on loopback; what asks it is bare HTTP over kept connections, in the
//! same machine, so that it costs what it measures some of the two. Beside each rate stands that of
//! `/healthz` in the same run: a request that asks nothing of the database or of a key.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab::{
    load::{Connection, memory, percentile, spread},
    server::Server,
    settings::Settings,
    slot::Slot,
};
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const CLIENTS: usize = 32;
const CALLS: u64 = 1_000_000;
const LISTENERS: usize = 1000;
const RUNS: usize = 5;

#[tokio::main]
async fn main() -> Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("figures of the API; load {}", load.trim());
    reading().await?;
    listening().await
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ringdown"))
}

fn settings() -> Settings {
    let mut settings = Settings::new();
    settings.set("log.level", "error").set("server.requests_per_second", 1_000_000);
    settings.set("server.requests_at_once", 1_000_000);
    settings
}

/// Requests in a second by all clients at once, and the 99th percentile of one in milliseconds.
async fn rate(address: &str, key: &str, path: &str) -> Result<(f64, f64)> {
    const SPAN: Duration = Duration::from_secs(3);
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let (address, key, path) = (address.to_owned(), key.to_owned(), path.to_owned());
        clients.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            let (begin, mut took) = (Instant::now(), Vec::new());
            while begin.elapsed() < SPAN {
                let one = Instant::now();
                let (status, _) = connection.get(&path, &key).await?;
                ensure!(status == 200, "{path}: {status}");
                took.push(one.elapsed().as_secs_f64() * 1000.0);
            }
            Ok(took)
        });
    }
    let mut all = Vec::new();
    while let Some(took) = clients.join_next().await {
        all.extend(took??);
    }
    all.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    Ok((all.len() as f64 / SPAN.as_secs_f64(), percentile(&all, 0.99)))
}

/// One call by many clients; pages of lists among a million calls.
async fn reading() -> Result<()> {
    let slot = Slot::take()?;
    let mut server = Server::start(program(), &slot, settings()).await?;
    let database = slot.directory().join("ringdown/data/ringdown.db");
    fill(&database).await?;
    let address = server.api.base.trim_start_matches("http://").to_owned();
    // A key of the database, as most are.
    let made = json!({ "name": "bench", "scopes": ["viewer"] });
    let key = server.api.post("/api/v2/keys", &made).await?["secret"].as_str().context("a key")?.to_owned();
    let page = server.api.get("/api/v2/calls?limit=1&status=busy").await?;
    let one = page["items"][0]["id"].as_str().context("a call")?.to_owned();
    let (mut rates, mut slowest, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (bare, _) = rate(&address, &key, "/healthz").await?;
        let (asked, p99) = rate(&address, &key, &format!("/api/v2/calls/{one}")).await?;
        rates.push(asked);
        slowest.push(p99);
        ratios.push(asked / bare);
    }
    let ((l, m, h), (sl, sm, sh), (rl, rm, rh)) = (spread(rates), spread(slowest), spread(ratios));
    println!(
        "GET of one call with a key, {CLIENTS} clients: {m:.0}/s ({l:.0} to {h:.0}), p99 {sm:.1} ms ({sl:.1} to {sh:.1}); to reach: 10,000/s, p99 10 ms"
    );
    println!("  of the rate of /healthz in the same run: {rm:.2} ({rl:.2} to {rh:.2})");

    // Pages of 50: the first, and from somewhere in the middle of a million.
    let middle = server.api.get("/api/v2/calls?limit=1&until=2026-03-01T00:00:00Z").await?;
    let cursor = middle["items"][0]["id"].as_str().context("a call")?.to_owned();
    let call = &middle["items"][0];
    let number = call["number"].as_str().context("a number")?.replace('+', "%2B");
    let incident = call["incident_ids"][0].as_str().context("an incident")?.to_owned();
    let contact = "00000000-0000-7000-8000-0000000000c8";
    let mut connection = Connection::open(&address).await?;
    for (what, query) in [
        ("by nothing", String::new()),
        ("by time", "&from=2026-02-01T00:00:00Z&until=2026-02-02T00:00:00Z".to_owned()),
        ("by number", format!("&number={number}")),
        ("by contact", format!("&contact={contact}")),
        ("by status", "&status=no_answer".to_owned()),
        ("by incident", format!("&incident_id={incident}")),
        ("by status and time", "&status=busy&from=2026-02-01T00:00:00Z&until=2026-02-02T00:00:00Z".to_owned()),
    ] {
        let mut took = Vec::new();
        let mut items = 0;
        for n in 0..100 {
            let from = if n % 2 == 0 { String::new() } else { format!("&cursor={cursor}") };
            let begin = Instant::now();
            let (status, body) = connection.get(&format!("/api/v2/calls?limit=50{query}{from}"), &key).await?;
            took.push(begin.elapsed().as_secs_f64() * 1000.0);
            ensure!(status == 200, "{what}: {status}: {body}");
            items = items.max(body.matches("\"number\":").count());
        }
        took.sort_by(f64::total_cmp);
        let (median, p99) = (percentile(&took, 0.5), percentile(&took, 0.99));
        println!(
            "page of {items} calls of 1,000,000 {what}: median {median:.1} ms, p99 {p99:.1} ms; to reach: p99 20 ms"
        );
    }
    server.stop().await
}

/// A million calls of a year, to a thousand contacts, each about an incident of its own.
async fn fill(database: &Path) -> Result<()> {
    let connection = Database::connect(format!("sqlite://{}", database.display())).await?;
    let id = |kind: &str| format!("unhex(printf('%012x7000{kind}%012x', 1767225600000 + n * 31536, n))");
    let numbers =
        format!("WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})", CALLS - 1);
    connection
        .execute_unprepared(&format!(
            "INSERT INTO call (id, line, contact_id, contact_name, number, number_index, status, closed, token, created_at, \
             dialed_at, ended_at, found_route, disposition, heard_ms, heard, digits, given_up) {numbers} \
             SELECT {}, 'line' || n, unhex(printf('00000000000070008000%012x', n % 1000)), 'Nr ' || (n % 1000), \
             printf('+39333%07d', n % 1000), 0, \
             CASE n % 4 WHEN 0 THEN 'completed' WHEN 1 THEN 'busy' WHEN 2 THEN 'no_answer' ELSE 'failed' END, 1, '', \
             strftime('%Y-%m-%d %H:%M:%f+00:00', 1767225600 + n * 31.536, 'unixepoch'), NULL, \
             strftime('%Y-%m-%d %H:%M:%f+00:00', 1767225600 + n * 31.536, 'unixepoch'), 1, 'BUSY', 0, 0, '', 0 FROM numbers",
            id("8000")
        ))
        .await?;
    connection
        .execute_unprepared(&format!(
            "INSERT INTO call_incident (call_id, incident_id, ordinal, run, round, step, attempt, said, late) {numbers} \
             SELECT {}, {}, 0, 0, 0, 0, 0, 'taken', 0 FROM numbers",
            id("8000"),
            id("9000")
        ))
        .await?;
    Ok(())
}

/// From the commit of an event to a thousand listeners.
async fn listening() -> Result<()> {
    let slot = Slot::take()?;
    let mut server = Server::start(program(), &slot, settings()).await?;
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let before = memory(server.id().context("it runs")?)?;
    let (heard, mut ears) = tokio::sync::mpsc::unbounded_channel::<Instant>();
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 0..LISTENERS {
        let mut stream = TcpStream::connect(&address).await?;
        let request = format!(
            "GET /api/v2/events?kinds=raised HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {}\r\n\r\n",
            server.api.key
        );
        stream.write_all(request.as_bytes()).await?;
        let (heard, stop) = (heard.clone(), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut buffer = vec![0; 4096];
            while !stop.load(Ordering::Relaxed) {
                let Ok(read) = stream.read(&mut buffer).await else { return };
                if read == 0 {
                    return;
                }
                if buffer[..read].windows(13).any(|part| part == b"event: raised")
                    && heard.send(Instant::now()).is_err()
                {
                    return;
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    let after = memory(server.id().context("it runs")?)?;
    let mut took = Vec::new();
    for n in 0..20 {
        server.api.post("/api/v2/alerts", &json!({ "summary": format!("alert {n}") })).await?;
        // The answer comes after the commit: what was heard before it counts as nothing.
        let answered = Instant::now();
        for _ in 0..LISTENERS {
            let at = tokio::time::timeout(Duration::from_secs(10), ears.recv()).await?.context("a listener")?;
            took.push(at.saturating_duration_since(answered).as_secs_f64() * 1000.0);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    took.sort_by(f64::total_cmp);
    #[expect(clippy::cast_precision_loss, reason = "kibibytes")]
    let each = (after.saturating_sub(before)) as f64 / LISTENERS as f64;
    println!(
        "an event to {LISTENERS} listeners: median {:.1} ms, p99 {:.1} ms after the answer to whoever raised it; {each:.0} KiB each; \
         to reach: p99 50 ms, 40 KiB",
        percentile(&took, 0.5),
        percentile(&took, 0.99)
    );
    stop.store(true, Ordering::Relaxed);
    server.kill().await
}
