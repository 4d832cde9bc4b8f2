//! Alerts per second, each stored before it is answered.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::FileExt,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use lab::{
    load::{Connection, cpu, percentile, spread},
    postgres::Cluster,
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::program;

const CLIENTS: usize = 32;
const RUNS: usize = 3;
const SPAN: Duration = Duration::from_secs(4);
/// People who would be called, each about a part of the alerts.
const PEOPLE: usize = 100;
/// What a disk that is no toy takes to flush.
const SLOW: Duration = Duration::from_millis(5);

/// How long this machine's disk takes to keep a page: what any durable rate is to be read beside.
pub fn sync() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = File::create(directory.path().join("page"))?;
    let page = [1_u8; 4096];
    let mut took = Vec::new();
    for n in 0..500 {
        let begin = Instant::now();
        file.write_all_at(&page, n * 4096)?;
        file.sync_data()?;
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let (least, median, most) = spread(took);
    println!("4 KiB and fdatasync: {median:.3} ms ({least:.3} to {most:.3})");
    Ok(())
}

enum Kind {
    Sqlite,
    Postgres,
}

pub async fn run() -> Result<()> {
    for (kind, name, to_reach) in [(Kind::Sqlite, "SQLite", "8,000/s"), (Kind::Postgres, "PostgreSQL", "6,000/s")] {
        for slow in [false, true] {
            one(&kind, name, slow, if slow { "2,000/s, 12 alerts per commit" } else { to_reach }).await?;
        }
    }
    Ok(())
}

async fn one(kind: &Kind, name: &str, slow: bool, to_reach: &str) -> Result<()> {
    let slot = Slot::take()?;
    let mut settings = Settings::new();
    settings.set("log.level", "error").set("server.requests_per_second", 1_000_000);
    settings.set("server.requests_at_once", 1_000_000).set("watch.audit_every", 60);
    for n in 0..PEOPLE {
        let (person, number) = (format!("Person {n}"), format!("+393332{n:06}"));
        settings.contact(&person, &[&number]);
        settings.policy(&format!("policy {n}"), &[Step { targets: &[&person], delay: 3600, ..Step::default() }]);
    }
    let mut environment = Vec::new();
    let mut cluster = None;
    match kind {
        Kind::Sqlite if slow => {
            let library = slow_sync(&slot)?;
            environment.push(("LD_PRELOAD", library.display().to_string()));
            environment.push(("SYNC_US", SLOW.as_micros().to_string()));
        }
        Kind::Sqlite => {}
        Kind::Postgres => {
            // PostgreSQL itself knows how to wait before it flushes.
            let delay = format!("commit_delay={}", if slow { SLOW.as_micros() } else { 0 });
            let running = Cluster::start_with(&["max_connections=100", "commit_siblings=0", &delay]).await?;
            settings.set("database.url", running.database().await?);
            cluster = Some(running);
        }
    }
    let mut server = Server::start_with(program(), &slot, settings, environment).await?;
    let key = server.api.key.clone();
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let process = server.id().context("it runs")?;
    for (what, fresh) in [("new", true), ("again", false)] {
        let (mut rates, mut slowest, mut costs) = (Vec::new(), Vec::new(), Vec::new());
        let (mut shared, mut flushed) = (Vec::new(), Vec::new());
        for run in 0..RUNS {
            let commits = figures(&server).await?;
            let (before, begin) = (cpu(process)?, Instant::now());
            let mut clients = JoinSet::new();
            for client in 0..CLIENTS {
                let (address, key) = (address.clone(), key.clone());
                clients.spawn(async move {
                    let mut connection = Connection::open(&address).await?;
                    let mut took = Vec::new();
                    while begin.elapsed() < SPAN {
                        let n = if fresh { took.len() } else { took.len() % 50 };
                        let dedup = format!("{run} {client} {n}");
                        let body = json!({
                            "summary": format!("Disk {n} of machine {client} is full"),
                            "dedup_key": dedup,
                            "policy": format!("policy {}", (client * 7 + n) % PEOPLE),
                            "severity": "critical",
                            "labels": { "alertname": "DiskFull", "instance": format!("machine-{client}"), "team": "base" },
                            "details": "x".repeat(1200),
                        });
                        let one = Instant::now();
                        let (status, answer) = connection.post("/api/v2/alerts", &key, &body.to_string()).await?;
                        ensure!(status == 201 || status == 200, "{status}: {answer}");
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
            let (spent, after) = (cpu(process)? - before, figures(&server).await?);
            #[expect(clippy::cast_precision_loss, reason = "a rate")]
            let count = all.len() as f64;
            rates.push(count / begin.elapsed().as_secs_f64());
            slowest.push(percentile(&all, 0.99));
            costs.push(spent.as_secs_f64() * 1e6 / count);
            shared.push(count / (after.0 - commits.0));
            flushed.push((after.1 - commits.1) / (after.0 - commits.0) * 1000.0);
        }
        let ((l, m, h), (sl, sm, sh), (cl, cm, ch)) = (spread(rates), spread(slowest), spread(costs));
        let disk = if slow { ", 5 ms per flush" } else { "" };
        println!(
            "{what} alerts, {CLIENTS} clients, {name}{disk}: {m:.0}/s ({l:.0} to {h:.0}), p99 {sm:.1} ms ({sl:.1} to {sh:.1}), \
             own CPU {cm:.0} us ({cl:.0} to {ch:.0}), {:.1} alerts per commit of {:.1} ms; to reach: {to_reach}, p99 20 ms, 200 us",
            spread(shared).1,
            spread(flushed).1
        );
    }
    server.stop().await?;
    if let Some(cluster) = &mut cluster {
        cluster.stop().await?;
    }
    Ok(())
}

/// Commits until now, and how long they took.
async fn figures(server: &Server) -> Result<(f64, f64)> {
    let text = server.api.get("/metrics").await?;
    let text = text.as_str().context("text")?.to_owned();
    let value = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok())
            .with_context(|| name.to_owned())
    };
    let (count, sum) = ("ringdown_store_commit_duration_seconds_count", "ringdown_store_commit_duration_seconds_sum");
    Ok((value(count)?, value(sum)?))
}

/// A library that makes every flush slower.
fn slow_sync(slot: &Slot) -> Result<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/trust/slow_sync.c");
    let library = slot.directory().join("slow_sync.so");
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library).arg(source).arg("-ldl").output()?;
    std::io::stderr().write_all(&made.stderr)?;
    ensure!(made.status.success() && fs::exists(&library)?, "cc {source}");
    Ok(library)
}
