//! Calls per second, whole: from the row that waits to the row that says how it ended, beside the bare
//! limit of Asterisk in the same run.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{
    asterisk::Telephony,
    load::{Connection, cpu, spread},
    server::Server,
    settings::Settings,
    slot::Slot,
    wait::until,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::{
    program,
    raw::{self, Answers},
};

const RUNS: usize = 3;

struct Shape {
    name: &'static str,
    dial: &'static str,
    answers: Answers,
    window: usize,
    to_reach: f64,
}

const SHAPES: [Shape; 3] = [
    Shape {
        name: "hang-up, Local, window 50",
        dial: "Local/{number}@bench-short/n",
        answers: Answers::HangUp,
        window: 50,
        to_reach: 0.65,
    },
    Shape {
        name: "0.1 s of speech, Local, window 10",
        dial: "Local/{number}@bench-speech/n",
        answers: Answers::Speech,
        window: 10,
        to_reach: 0.95,
    },
    Shape {
        name: "0.1 s of speech, SIP, window 40",
        dial: "PJSIP/{number}@net",
        answers: Answers::Speech,
        window: 40,
        to_reach: 0.8,
    },
];

pub async fn run() -> Result<()> {
    for shape in &SHAPES {
        one(shape).await?;
    }
    Ok(())
}

/// So many calls in a row, all of one server and one Asterisk, each with 0.1 s of speech.
pub async fn in_a_row() -> Result<()> {
    const BLOCK: usize = 2000;
    const WINDOW: usize = 50;
    let wanted = std::env::var("RINGDOWN_BENCH_CALLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let (slot, mut telephony) = pbx().await?;
    let mut server = serve(&slot, &telephony, "Local/{number}@bench-speech/n", WINDOW).await?;
    server.api.put("/api/v2/kill-switch", &json!({ "stopped": false })).await?;
    let process = server.id().context("it runs")?;
    let (mut done, before, begin) = (0, cpu(process)?, Instant::now());
    while done < wanted {
        queue(&server, BLOCK).await?;
        done += BLOCK;
        completed(&server, done).await?;
    }
    let (took, spent) = (begin.elapsed().as_secs_f64(), (cpu(process)? - before).as_secs_f64());
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let count = done as f64;
    println!(
        "{done} whole calls in a row, all of them completed, {:.0}/s, own CPU {:.2} ms a call; to reach: 100,000",
        count / took,
        spent * 1000.0 / count
    );
    server.stop().await?;
    telephony.stop().await
}

async fn one(shape: &Shape) -> Result<()> {
    let (mut rates, mut raws, mut ratios, mut costs) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let calls = 1000;
    for _ in 0..RUNS {
        // Asterisk's memory and time per call grow with the calls it has made: a new one for each pair.
        let (slot, mut telephony) = pbx().await?;
        let limit = raw::rate(&telephony.pbx, shape.dial, shape.answers, calls, shape.window).await?;
        let mut server = serve(&slot, &telephony, shape.dial, shape.window).await?;
        let process = server.id().context("it runs")?;
        queue(&server, calls).await?;
        let (before, begin) = (cpu(process)?, Instant::now());
        server.api.put("/api/v2/kill-switch", &json!({ "stopped": false })).await?;
        completed(&server, calls).await?;
        #[expect(clippy::cast_precision_loss, reason = "a rate")]
        let count = calls as f64;
        let rate = count / begin.elapsed().as_secs_f64();
        costs.push((cpu(process)? - before).as_secs_f64() * 1000.0 / count);
        rates.push(rate);
        raws.push(limit);
        ratios.push(rate / limit);
        server.stop().await?;
        // An Asterisk that has lost a call of the bare generator does not end by itself.
        telephony.pbx.kill().await?;
        drop(telephony);
    }
    let ((l, m, h), (rl, rm, rh), (ql, qm, qh), (cl, cm, ch)) =
        (spread(rates), spread(raws), spread(ratios), spread(costs));
    println!(
        "calls, {}: {m:.0}/s ({l:.0} to {h:.0}), bare Asterisk {rm:.0}/s ({rl:.0} to {rh:.0}), ratio {qm:.2} \
         ({ql:.2} to {qh:.2}), own CPU {cm:.2} ms a call ({cl:.2} to {ch:.2}); to reach: {}, 1 ms",
        shape.name, shape.to_reach
    );
    Ok(())
}

/// Calls that come one by one, as on a usual night: each is over long before the next.
pub async fn trickle() -> Result<()> {
    const CALLS: usize = 60;
    const EVERY: Duration = Duration::from_millis(500);
    let (slot, mut telephony) = pbx().await?;
    let mut server = serve(&slot, &telephony, "Local/{number}@bench-speech/n", 10).await?;
    server.api.put("/api/v2/kill-switch", &json!({ "stopped": false })).await?;
    let process = server.id().context("it runs")?;
    let idle = cpu(process)?;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (before, begin) = (cpu(process)?, Instant::now());
    let idle = (before - idle).as_secs_f64() / 10.0;
    let mut next = tokio::time::interval(EVERY);
    for n in 0..CALLS {
        next.tick().await;
        let call = json!({ "to": format!("+3933390{n:05}"), "text": "The disk is full." });
        server.api.post("/api/v2/calls", &call).await?;
    }
    next.tick().await;
    // What it uses when nothing happens is not the calls'. Nor is what asking it costs: it is asked afterwards.
    let spent = (cpu(process)? - before).as_secs_f64() - idle * begin.elapsed().as_secs_f64();
    completed(&server, CALLS).await?;
    #[expect(clippy::cast_precision_loss, reason = "a mean")]
    let each = spent * 1000.0 / CALLS as f64;
    println!(
        "own CPU of a whole call that comes alone: {each:.2} ms, beside {:.1} ms a second when nothing happens; to reach: 3 ms",
        idle * 1000.0
    );
    server.stop().await?;
    telephony.stop().await
}

pub async fn pbx() -> Result<(Slot, Telephony)> {
    let slot = Slot::take()?;
    let telephony = Telephony::start(&slot).await?;
    Ok((slot, telephony))
}

/// A server with its calls stopped.
pub async fn serve(slot: &Slot, telephony: &Telephony, dial: &str, window: usize) -> Result<Server> {
    let mut settings = Settings::new();
    settings.pbx(&telephony.pbx).set("asterisk.dial", dial).set("call.lead_in", 0).set("call.repeat", 1);
    settings.set("asterisk.per_second", 10_000).set("asterisk.concurrent", i64::try_from(window)?);
    settings.set("destinations.per_contact", 1_000_000).set("destinations.per_prefix", 1_000_000);
    settings.set("destinations.total", 1_000_000).set("watch.keep_events_days", 0);
    settings.set("server.requests_per_second", 1_000_000).set("server.requests_at_once", 1_000_000);
    settings.set("log.level", "error");
    let server = Server::start(program(), slot, settings).await?;
    server.api.put("/api/v2/kill-switch", &json!({ "stopped": true })).await?;
    Ok(server)
}

/// Asks for so many calls, which wait.
async fn queue(server: &Server, calls: usize) -> Result<()> {
    let (key, address) = (server.api.key.clone(), server.api.base.trim_start_matches("http://").to_owned());
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (key, address) = (key.clone(), address.clone());
        clients.spawn(async move {
            let mut connection = Connection::open(&address).await?;
            for n in (client..calls).step_by(8) {
                let call = json!({ "to": format!("+3933390{n:05}"), "text": "The disk is full." });
                let (status, answer) = connection.post("/api/v2/calls", &key, &call.to_string()).await?;
                ensure!(status < 300, "{status}: {answer}");
            }
            Ok(())
        });
    }
    while let Some(done) = clients.join_next().await {
        done??;
    }
    Ok(())
}

/// Waits until so many calls are over, all of them completed.
async fn completed(server: &Server, calls: usize) -> Result<()> {
    until(format!("{calls} calls"), Duration::from_secs(300), async || {
        let text = server.api.get("/metrics").await?;
        let (mut done, mut other) = (0, 0);
        for line in text.as_str().unwrap_or_default().lines().filter(|line| line.starts_with("ringdown_calls_total{")) {
            let count: usize = line.rsplit(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0);
            if line.contains("completed") { done += count } else { other += count }
        }
        ensure!(other == 0, "{other} calls have failed");
        if done < calls {
            // Asking is not what is measured.
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok((done >= calls).then_some(()))
    })
    .await
}
