//! What the server needs: memory, the time it takes to start, the time of a look at what is due.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lab::{
    load::{memory, spread},
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    wait::until,
};
use ringdown::{bus::Bus, clock::Clock, engine::Engine, store::Store};
use sea_orm::{ConnectionTrait, Database};
use serde_json::json;

use crate::{calls::pbx, program};

const LIVE: usize = 100;
const OPEN: u64 = 1_000_000;

pub async fn run() -> Result<()> {
    start().await?;
    live_calls().await?;
    tick().await
}

/// From the start of the process to `/readyz`, on a database that is there already.
async fn start() -> Result<()> {
    let slot = Slot::take()?;
    let mut server = Server::start(program(), &slot, Settings::new()).await?;
    let mut took = Vec::new();
    for _ in 0..10 {
        server.stop().await?;
        let begin = Instant::now();
        server.restart().await?;
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let (least, median, most) = spread(took);
    println!(
        "start to ready: median {median:.0} ms ({least:.0} to {most:.0}, looked at every 50 ms at most); to reach: 500 ms"
    );
    #[expect(clippy::cast_precision_loss, reason = "mebibytes")]
    let idle = memory(server.id().context("it runs")?)? as f64 / 1024.0;
    println!("memory, idle: {idle:.1} MiB; to reach: 40 MiB");
    server.stop().await
}

/// What each call needs while somebody listens.
async fn live_calls() -> Result<()> {
    let (slot, mut telephony) = pbx().await?;
    let mut settings = Settings::new();
    settings.pbx(&telephony.pbx).set("asterisk.dial", "Local/{number}@bench-stay/n");
    settings.set("asterisk.per_second", 1000).set("asterisk.concurrent", 150).set("call.repeat", 10);
    for n in 0..LIVE {
        let (person, number) = (format!("Person {n}"), format!("+3933390{n:05}"));
        settings.contact(&person, &[&number]);
        settings.policy(&format!("policy {n}"), &[Step { targets: &[&person], delay: 3600, ..Step::default() }]);
    }
    let mut server = Server::start(program(), &slot, settings).await?;
    let process = server.id().context("it runs")?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = memory(process)?;
    for n in 0..LIVE {
        let alert = json!({ "summary": format!("The disk of machine {n} is full"), "policy": format!("policy {n}") });
        server.api.post("/api/v2/alerts", &alert).await?;
    }
    until("all are spoken to", Duration::from_secs(60), async || {
        let page = server.api.get("/api/v2/calls?status=answered&limit=500").await?;
        Ok((page["items"].as_array().map_or(0, Vec::len) == LIVE).then_some(()))
    })
    .await?;
    tokio::time::sleep(Duration::from_secs(3)).await;
    #[expect(clippy::cast_precision_loss, reason = "kibibytes")]
    let each = memory(process)?.saturating_sub(before) as f64 / LIVE as f64;
    println!("memory of a live call, {LIVE} at once: {each:.0} KiB; to reach: 64 KiB");
    server.stop().await?;
    telephony.stop().await
}

/// One look at what is due among a million open incidents, none of which is.
async fn tick() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("ringdown.db");
    let store = Store::open(&format!("sqlite:{}", file.display())).await?;
    let database = Database::connect(format!("sqlite://{}", file.display())).await?;
    let later = "2099-01-01 00:00:00.000000+00:00";
    database
        .execute_unprepared(&format!(
            "INSERT INTO incident (id, dedup_key, open_key, source, summary, details, severity, labels, truncated, state, \
             state_document, due_at, version, raised_at, updated_at, turn, hushable) \
             WITH RECURSIVE numbers(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {}) \
             SELECT unhex(printf('%012x70008000%012x', 1767225600000 + n, n)), 'key ' || n, 'key ' || n, 'bench', \
             'Disk full', '', 'critical', '{{}}', 0, 'acknowledged', \
             json('{{}}'), '{later}', 1, '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00', 0, 1 FROM numbers",
            OPEN - 1
        ))
        .await?;
    let engine = Engine::new(store, Bus::default(), Clock::System);
    engine.tick().await?;
    let mut took = Vec::new();
    for _ in 0..200 {
        let begin = Instant::now();
        engine.tick().await?;
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let (least, median, most) = spread(took);
    println!(
        "one tick among {OPEN} open incidents, none due: median {median:.2} ms ({least:.2} to {most:.2}); to reach: 1 ms"
    );
    Ok(())
}
