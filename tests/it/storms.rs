//! Thousands of alerts in a minute: the caps hold, whoever else is called is called at once, and memory is bounded.

use std::{
    collections::BTreeMap,
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use lab::{
    phone::Incoming,
    settings::{Settings, Step},
    wait::until,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    harness::{ANA, BEN, Harness, story},
    watch::sql,
};

/// Who sends them at once.
const SENDERS: usize = 32;
/// For thousands of alerts in a debug build, beside others.
const STORM: Duration = Duration::from_secs(150);
/// The promise is ten seconds; a machine that has much else to do gets more.
const SPOKEN: Duration = Duration::from_secs(30);
/// What the server may hold in memory at its worst, in KiB: a debug build is larger than what people run.
const MEMORY: u64 = 300 * 1024;

/// How many alerts: `RINGDOWN_STORM=10000` for the whole of it, which takes a quiet machine.
fn alerts() -> usize {
    env::var("RINGDOWN_STORM").ok().and_then(|text| text.parse().ok()).unwrap_or(100)
}

fn person(n: usize) -> (String, String) {
    (format!("person {n}"), format!("+39333300{n:04}"))
}

/// Senders at full speed; each alert until it is taken.
struct Storm {
    taken: Arc<AtomicUsize>,
    began: Instant,
    senders: Vec<tokio::task::JoinHandle<Result<()>>>,
}

impl Storm {
    fn begin(h: &Harness) -> Self {
        let (next, taken) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let senders = (0..SENDERS).map(|_| {
            let (api, next, taken) = (h.server.api.clone(), Arc::clone(&next), Arc::clone(&taken));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::SeqCst);
                    if n >= alerts() {
                        return Ok(());
                    }
                    let alert =
                        json!({ "summary": format!("machine {n}"), "dedup_key": n.to_string(), "policy": "storm" });
                    loop {
                        let (status, answer) = api.ask(Method::POST, "/api/v2/alerts", Some(&alert)).await?;
                        if status == StatusCode::CREATED {
                            break;
                        }
                        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {answer}");
                    }
                    taken.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        Self { senders: senders.collect(), taken, began: Instant::now() }
    }

    /// A part of it is in.
    async fn rages(&self) -> Result<()> {
        let least = alerts() / 5;
        until("a fifth is in", STORM, async || Ok((self.taken.load(Ordering::SeqCst) >= least).then_some(()))).await
    }

    async fn ends(self) -> Result<Duration> {
        for sender in self.senders {
            sender.await??;
        }
        Ok(self.began.elapsed())
    }
}

/// An alert of another policy, in the middle of it: from its sending to its first word.
async fn another_is_spoken(h: &Harness) -> Result<Duration> {
    let sent = Instant::now();
    let id = h.post_alert(json!({ "summary": "Rack on fire", "policy": "other" })).await?;
    let ben = h.phone(BEN);
    ben.rings().await?.answers().await?.hears_something().await?;
    let first = ben.incoming()?.sounds.first().map(|(at, _)| *at).context("a sound")?;
    ben.hears_alert("Rack on fire").await?;
    ben.presses('4').await?;
    h.is(&id, "acknowledged").await?;
    ben.is_hung_up().await?;
    Ok(first.duration_since(sent))
}

/// What the server has held in memory at its worst, in KiB.
fn memory(h: &Harness) -> Result<u64> {
    let id = h.server.id().context("it runs")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    peak.context("VmHWM")
}

/// No more calls leave, and nobody needs those that wait.
async fn stop_calls(h: &Harness) -> Result<Vec<Incoming>> {
    h.server.api.put("/api/v2/kill-switch", &json!({ "stopped": true })).await?;
    // One by one, as people would, it takes longer than the storm.
    let database = format!("sqlite:{}/data/ringdown.db", h.server.directory().display());
    sql(&database, "UPDATE incident SET state = 'resolved'").await;
    until("nobody is on the line", STORM, async || {
        Ok((h.telephony.pbx.channels().await? == 0 && h.telephony.net.calls().iter().all(|call| !call.is_live()))
            .then_some(()))
    })
    .await?;
    Ok(h.telephony.net.calls())
}

/// By number, in the order in which they came.
fn by_number(calls: &[Incoming]) -> BTreeMap<&str, Vec<&Incoming>> {
    let mut by_number: BTreeMap<&str, Vec<&Incoming>> = BTreeMap::new();
    for call in calls {
        by_number.entry(&call.number).or_default().push(call);
    }
    by_number
}

/// Most calls that were up at any moment.
fn most_at_once(calls: &[&Incoming]) -> usize {
    let up = |at: Instant| {
        calls.iter().filter(move |call: &&&Incoming| call.came <= at && call.ended.is_none_or(|(end, _)| at < end))
    };
    calls.iter().map(|call| up(call.came).count()).max().unwrap_or(0)
}

fn settings(settings: &mut Settings) {
    settings.policy("other", &[Step { targets: &["Ben"], delay: 3600, ..Step::default() }]);
    settings.set("asterisk.ring_timeout", 5).set("asterisk.per_second", 5).set("log.level", "warn");
    settings.set("destinations.per_contact", 2).set("server.timeout", 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_for_one_person_is_one_call_and_holds_up_nobody() {
    let one = |chosen: &mut Settings| {
        settings(chosen);
        chosen.policy("storm", &[Step { targets: &["Ana"], delay: 3600, ..Step::default() }]);
        chosen.set("asterisk.concurrent", 4);
    };
    story(one, async |h| {
        h.expects_error("calls are stopped");
        h.expects_error("the self-audit has found something");
        let storm = Storm::begin(h);
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?.hears_something().await?;
        storm.rages().await?;
        let spoken = another_is_spoken(h).await?;
        let whole = storm.ends().await?;
        // What has come meanwhile has joined her call, and she is still told one after the other.
        ana.presses('4').await?;
        until("she takes one", STORM, async || {
            let page = h.server.api.get("/api/v2/incidents?state=acknowledged&limit=10").await?;
            let taken = page["items"]
                .as_array()
                .map_or(0, |items| items.iter().filter(|incident| incident["acknowledged_by"] == "Ana").count());
            Ok((taken >= 1).then_some(()))
        })
        .await?;
        let peak = memory(h)?;
        let calls = stop_calls(h).await?;
        println!(
            "{} alerts for one in {whole:.1?}; another's first word after {spoken:.1?}; {} MiB",
            alerts(),
            peak / 1024
        );
        ensure!(by_number(&calls)[ANA].len() == 1, "she was called {} times", by_number(&calls)[ANA].len());
        ensure!(spoken < SPOKEN, "the other was spoken after {spoken:?}");
        ensure!(peak < MEMORY, "{peak} KiB");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_for_five_hundred_keeps_to_the_caps_and_lets_another_pass() {
    const TOTAL: usize = 12;
    const AT_ONCE: usize = 6;
    let many = |chosen: &mut Settings| {
        settings(chosen);
        for n in 0..500 {
            let (name, number) = person(n);
            chosen.contact(&name, &[&number]);
        }
        chosen.set("asterisk.concurrent", AT_ONCE as i64).set("destinations.total", TOTAL as i64);
    };
    story(many, async |h| {
        h.expects_error("a call waits");
        h.expects_error("calls are stopped");
        h.expects_error("the self-audit has found something");
        let api = &h.server.api;
        let members: Vec<String> = (0..500).map(|n| person(n).0).collect();
        api.post("/api/v2/groups", &json!({ "name": "everybody", "members": members })).await?;
        let step = json!({ "targets": [{ "group": "everybody" }], "round_robin": true, "delay": 3600 });
        api.post("/api/v2/policies", &json!({ "name": "storm", "steps": [step] })).await?;
        let storm = Storm::begin(h);
        storm.rages().await?;
        let spoken = another_is_spoken(h).await?;
        let whole = storm.ends().await?;
        // All that may be called in an hour are called, and then no more, however many wait.
        let net = &h.telephony.net;
        net.wait("all calls that may", STORM, |calls| (calls.len() >= TOTAL).then_some(())).await?;
        until("the others wait", STORM, async || {
            let log = fs::read_to_string(h.server.log())?;
            Ok(log.contains("a call waits").then_some(()))
        })
        .await?;
        let peak = memory(h)?;
        let calls = stop_calls(h).await?;
        println!(
            "{} alerts for 500 in {whole:.1?}; another's first word after {spoken:.1?}; {} MiB",
            alerts(),
            peak / 1024
        );
        ensure!(calls.len() == TOTAL, "{} calls in an hour", calls.len());
        ensure!(most_at_once(&calls.iter().collect::<Vec<_>>()) <= AT_ONCE);
        for (number, calls) in by_number(&calls) {
            ensure!(calls.len() <= 2, "{number} was called {} times", calls.len());
            ensure!(most_at_once(&calls) == 1, "{number} was called while on the line");
            // They are what this story expects.
            for _ in calls.iter().filter(|_| number != BEN) {
                h.phone(number).rings().await?;
            }
        }
        ensure!(spoken < SPOKEN, "the other was spoken after {spoken:?}");
        ensure!(peak < MEMORY, "{peak} KiB");
        Ok(())
    })
    .await;
}
