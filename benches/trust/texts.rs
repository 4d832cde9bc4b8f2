//! What texts cost beyond the modem's own time, what a second modem brings, and how soon an answer counts.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lab::{
    load::spread,
    modem::{Modem, Setup},
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    wait::until,
};
use serde_json::json;

use crate::program;

const ANA: &str = "+393339000001";
/// A real modem takes some three seconds for a text.
const REAL: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(300);
/// Answers that are timed.
const ANSWERS: usize = 20;

pub async fn run() -> Result<()> {
    for (name, takes, texts) in [("without a modem's timing", Duration::ZERO, 200), ("with it (3 s)", REAL, 10)] {
        let took = sent(1, takes, texts).await?;
        let each = took / u32::try_from(texts)?;
        let beyond = each.saturating_sub(takes);
        println!(
            "texts, {name}: {texts} in {took:.2?}, {beyond:.1?} each beyond the modem's own time (to reach: 50 ms)"
        );
    }
    let takes = Duration::from_millis(500);
    let (one, two) = (sent(1, takes, 30).await?, sent(2, takes, 30).await?);
    let ratio = one.as_secs_f64() / two.as_secs_f64();
    println!("texts, 0.5 s each: one modem {one:.2?}, two {two:.2?}, ratio {ratio:.2} (to reach: 1.9)");
    answers().await
}

struct Desk {
    server: Server,
    modems: Vec<Modem>,
    _slot: Slot,
}

async fn desk(modems: usize, takes: Duration) -> Result<Desk> {
    let slot = Slot::take()?;
    let mut plugged = Vec::new();
    let mut settings = Settings::new();
    for nth in 0..modems {
        let directory = slot.directory().join(format!("modem-{nth}"));
        std::fs::create_dir_all(&directory)?;
        let modem = Modem::start(&directory, Setup { message_takes: takes, ..Setup::default() })?;
        let name = format!("gsm{nth}");
        settings.modem(&name, modem.path()).of_modem(&name, "sent_within", 60);
        plugged.push(modem);
    }
    settings.contact("Ana", &[ANA]).policy("night", &[Step { targets: &["Ana"], delay: 3600, ..Step::default() }]);
    settings.set("sms.order", "round_robin").set("sms.per_hour", 1_000_000).set("log.level", "error");
    settings.set("server.requests_per_second", 1_000_000).set("server.requests_at_once", 1_000_000);
    let server = Server::start(program(), &slot, settings).await?;
    until("the modems take texts", PATIENCE, async || Ok(server.part_works("texts").await?.then_some(()))).await?;
    Ok(Desk { server, modems: plugged, _slot: slot })
}

/// How long so many texts take that are queued at once, from the first to the last that a modem has.
async fn sent(modems: usize, takes: Duration, texts: usize) -> Result<Duration> {
    let mut desk = desk(modems, takes).await?;
    let begin = Instant::now();
    for nth in 0..texts {
        let message = json!({ "to": ANA, "text": format!("text {nth}"), "expires": 3600 });
        desk.server.api.post("/api/v2/messages", &message).await?;
    }
    let given = || desk.modems.iter().map(|modem| modem.submitted().len()).sum::<usize>();
    while given() < texts {
        ensure!(begin.elapsed() < PATIENCE, "{} of {texts} were sent", given());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    // The last one is with the modem, and is not sent yet.
    let took = begin.elapsed() + takes;
    desk.server.stop().await?;
    Ok(took)
}

/// From the moment at which a text is there to the incident that it has taken.
async fn answers() -> Result<()> {
    let mut desk = desk(1, Duration::ZERO).await?;
    let mut took = Vec::new();
    for nth in 0..ANSWERS {
        let alert = json!({ "summary": format!("alert {nth}"), "policy": "night" });
        let answer = desk.server.api.post("/api/v2/alerts", &alert).await?;
        let id = answer["incident_id"].as_str().context("an incident")?.to_owned();
        let begin = Instant::now();
        desk.modems[0].text(ANA, "4", u16::try_from(nth)?)?;
        let taken = loop {
            let state = desk.server.api.get(&format!("/api/v2/incidents/{id}")).await?["state"].clone();
            if state == "acknowledged" || begin.elapsed() > Duration::from_secs(10) {
                break state == "acknowledged";
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        };
        if !taken {
            println!("texts, text in -> acknowledged: not measured, an answer does not acknowledge here");
            return desk.server.stop().await;
        }
        took.push(begin.elapsed().as_secs_f64() * 1000.0);
    }
    let (least, median, most) = spread(took);
    println!(
        "texts, text in -> acknowledged: {median:.0} ms ({least:.0} to {most:.0}; to reach: 200 ms beyond the modem)"
    );
    desk.server.stop().await
}
