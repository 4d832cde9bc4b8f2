//! The PBX is restarted, stopped or killed while calls are in every state; or it is away for the whole length of a
//! policy.
//!
//! Each story is told once. `RINGDOWN_TIMES=20` tells it so many times, on the same server.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::try_join_all;
use lab::{
    settings::{Settings, Step},
    wait::until,
};
use ringdown::ami::Action;
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, Harness, LATER, SOON, story_mut};

/// Called, and does not ring yet.
const DIALED: &str = "+393331000201";
const RINGS: &str = "+393331000202";
const LISTENS: &str = "+393331000203";
/// Has just pressed the key.
const PRESSES: &str = "+393331000204";
/// Is to be called while the PBX takes no calls any more.
const LATE: &str = "+393331000205";

/// From one counted attempt to the next. Longer than what passes to another try of one that is not counted (10 s).
const ATTEMPT_DELAY: u32 = 20;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// `core restart now`: every call is hung up.
    Restart,
    /// `core stop gracefully`: it takes no new calls, and ends with the last. Then it is started again.
    Stop,
    /// SIGKILL. Then it is started again.
    Kill,
}

fn times() -> usize {
    std::env::var("RINGDOWN_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

fn everybody(settings: &mut Settings) {
    for number in [DIALED, RINGS, LISTENS, PRESSES, LATE] {
        // If an attempt is not counted that should not be, somebody waits for longer than the story does.
        let attempt_delay = if matches!(number, DIALED | LATE) { 600 } else { ATTEMPT_DELAY };
        let step = Step { targets: &[number], attempts: 10, attempt_delay, ..Step::default() };
        settings.policy(number, &[step]);
    }
    settings.set("asterisk.ring_timeout", 120).set("call.repeat", 20);
    // Several phones are looked after at once.
    settings.set("server.requests_per_second", 10_000);
}

async fn raise(h: &Harness, number: &str) -> Result<String> {
    h.post_alert(json!({ "summary": "Disk full", "policy": number })).await
}

async fn pbx_works(h: &Harness, works: bool) -> Result<()> {
    until(format!("readiness says that the PBX works: {works}"), LATER, async || {
        Ok((h.server.part_works("pbx").await? == works).then_some(()))
    })
    .await
}

fn calls_to(h: &Harness, number: &str) -> usize {
    h.telephony.net.calls().iter().filter(|call| call.number == number).count()
}

/// Somebody takes it: whoever has not yet done so by their key is called again, and then does.
async fn is_taken(h: &Harness, number: &str, id: &str, rung: usize) -> Result<()> {
    let called_again = until(format!("{number} is called again, or has taken it"), LATER, async || {
        let taken = h.incident(id).await?["state"] == "acknowledged";
        Ok(if taken { Some(false) } else { (calls_to(h, number) > rung).then_some(true) })
    })
    .await?;
    if called_again {
        h.phone(number).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
    }
    h.is(id, "acknowledged").await?;
    h.phone(number).is_hung_up().await.map(drop)
}

/// Every call has its whole life in the timeline, in order, and each attempt has one call.
fn no_gap(lines: &[Value]) -> Result<()> {
    let of = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    let (queued, attempts) = (of("call_queued"), of("attempt"));
    ensure!(queued.len() == attempts.len(), "{} calls for {} attempts", queued.len(), attempts.len());
    for call in queued {
        let of_call = lines.iter().filter(|line| line["call_id"] == call["call_id"]);
        let kinds: Vec<&str> = of_call.filter_map(|line| line["kind"].as_str()).collect();
        let place = |kind: &str| kinds.iter().position(|other| *other == kind);
        let order: Vec<usize> = ["call_queued", "dialing", "ringing", "answered", "speaking", "call_ended"]
            .into_iter()
            .filter_map(place)
            .collect();
        ensure!(order.is_sorted(), "in this order: {kinds:?}");
        for once in ["dialing", "call_ended"] {
            ensure!(kinds.iter().filter(|kind| **kind == once).count() == 1, "{once} once: {kinds:?}");
        }
    }
    ensure!(of("raised").len() == 1 && of("acknowledged").len() == 1, "raised and acknowledged once");
    Ok(())
}

/// How long after the first attempt the second began, if it did.
fn second_attempt(lines: &[Value]) -> Result<Option<TimeDelta>> {
    let mut at = Vec::new();
    for line in lines.iter().filter(|line| line["kind"] == "attempt") {
        let text = line["at"].as_str().context("an instant")?;
        at.push(text.parse::<DateTime<Utc>>()?);
    }
    Ok(at.get(1).map(|second| *second - at[0]))
}

async fn once(h: &mut Harness, fault: Fault) -> Result<()> {
    let before: Vec<usize> = [DIALED, RINGS, LISTENS, PRESSES, LATE].map(|number| calls_to(h, number)).into();
    h.phone(DIALED).will("wait:600,ring").await?;
    let dialed = raise(h, DIALED).await?;
    h.phone(DIALED).rings().await?;
    let rings = raise(h, RINGS).await?;
    h.phone(RINGS).rings().await?;
    h.told(&rings, "ringing").await?;
    let (listens, presses) = (raise(h, LISTENS).await?, raise(h, PRESSES).await?);
    h.phone(LISTENS).rings().await?.answers().await?.hears_something().await?;
    h.phone(PRESSES).rings().await?.answers().await?.hears_something().await?;
    for id in [&listens, &presses] {
        h.told(id, "speaking").await?;
    }
    h.phone(DIALED).will("ring").await?;
    h.phone(PRESSES).presses('4').await?;

    let mut incidents = vec![(DIALED, dialed), (RINGS, rings), (LISTENS, listens), (PRESSES, presses)];
    match fault {
        Fault::Restart => {
            let _console = h.telephony.pbx.tell("core restart now")?;
            pbx_works(h, false).await?;
            h.telephony.pbx.comes_back().await?;
        }
        Fault::Kill => {
            h.telephony.pbx.kill().await?;
            pbx_works(h, false).await?;
            // What a network does by itself in time.
            h.telephony.net.asterisk().console("channel request hangup all").await?;
            h.telephony.pbx.restart().await?;
        }
        Fault::Stop => {
            let _console = h.telephony.pbx.tell("core stop gracefully")?;
            until("it takes no calls any more", SOON, async || {
                Ok(h.telephony.pbx.act(Action::new("Ping")).await.is_err().then_some(()))
            })
            .await?;
            let late = raise(h, LATE).await?;
            h.told(&late, "dialing").await?;
            for (number, id) in &incidents {
                if *number != PRESSES {
                    let phone = h.phone(number);
                    if *number != LISTENS {
                        phone.answers().await?.hears_something().await?;
                    }
                    phone.presses('4').await?;
                }
                h.is(id, "acknowledged").await?;
            }
            h.telephony.pbx.ends(LATER).await?;
            pbx_works(h, false).await?;
            h.telephony.pbx.restart().await?;
            incidents.push((LATE, late));
        }
    }
    pbx_works(h, true).await?;
    let h = &*h;
    let taken = incidents.iter().zip(&before).map(async |((number, id), before)| {
        let first = usize::from(*number != LATE);
        is_taken(h, number, id, before + first).await.with_context(|| format!("the incident of {number}"))
    });
    try_join_all(taken).await?;
    for ((number, id), before) in incidents.iter().zip(before) {
        let records = h.records(id).await?;
        let lines = h.timeline(id).await?;
        let said = || format!("{number}: {:#?}", lines.iter().map(|line| &line["text"]).collect::<Vec<_>>());
        no_gap(&lines).with_context(said)?;
        let rung = records.iter().filter(|call| !call["ringing_at"].is_null()).count();
        let came = calls_to(h, number) - before;
        ensure!(came <= records.len() && rung <= came, "{came} calls, {rung} of them rang; {}", said());
        let again = second_attempt(&lines)?;
        match (*number, fault) {
            (DIALED | RINGS | LISTENS | PRESSES, Fault::Stop) => ensure!(again.is_none(), "{}", said()),
            (DIALED | LATE, _) => {
                let soon = again.context("it was tried again")? < TimeDelta::seconds(600);
                ensure!(soon && records[0]["status"] == "failed", "what never rang is not counted; {}", said());
            }
            (PRESSES, _) if again.is_none() => {}
            _ => {
                let due = again.with_context(said)? >= TimeDelta::seconds(ATTEMPT_DELAY.into());
                ensure!(due && records.len() == 2, "what rang is counted, once; {}", said());
            }
        }
    }
    Ok(())
}

async fn in_every_state(fault: Fault) {
    story_mut(everybody, async |h| {
        for words in ["manager connection is down", "a call waits", "a session broke"] {
            h.expects_error(words);
        }
        for nth in 1..=times() {
            once(h, fault).await.with_context(|| format!("time {nth} of {}", times()))?;
            eprintln!("{nth} of {}", times());
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_pbx_is_restarted_with_calls_in_every_state() {
    in_every_state(Fault::Restart).await;
}

#[tokio::test]
async fn the_pbx_is_stopped_gracefully_with_calls_in_every_state() {
    in_every_state(Fault::Stop).await;
}

#[tokio::test]
async fn the_pbx_is_killed_with_calls_in_every_state() {
    in_every_state(Fault::Kill).await;
}

#[tokio::test]
async fn an_outage_as_long_as_the_whole_policy_uses_up_nothing() {
    let short = |settings: &mut Settings| {
        let step = |target| Step { targets: target, attempts: 2, attempt_delay: 2, delay: 2 };
        settings.policy("night", &[step(&["Ana"]), step(&["Ben"])]);
        settings.set("asterisk.ring_timeout", 60);
    };
    story_mut(short, async |h| {
        h.expects_error("manager connection is down");
        h.expects_error("a call waits");
        h.telephony.pbx.kill().await?;
        pbx_works(h, false).await?;
        let id = h.raise("Disk full").await?;
        h.told(&id, "call_waits").await?;
        // Two steps of two attempts, two seconds each: all of it, and half of it once more.
        let began = tokio::time::Instant::now();
        until("the policy's whole length has passed", SOON, async || {
            let incident = h.incident(&id).await?;
            ensure!(incident["state"] == "escalating", "{incident}");
            Ok((began.elapsed() > Duration::from_secs(12)).then_some(()))
        })
        .await?;
        h.telephony.pbx.restart().await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        h.record(&id).await?;
        let lines = h.timeline(&id).await?;
        no_gap(&lines)?;
        let attempts: Vec<&Value> =
            lines.iter().filter(|line| line["kind"] == "attempt").map(|line| &line["data"]).collect();
        assert_eq!(attempts.len(), 1, "{attempts:?}");
        let place = ["round", "step", "attempt"].map(|name| attempts[0][name].as_u64());
        assert_eq!(place, [Some(1); 3], "{attempts:?}");
        assert_eq!(h.telephony.net.phone(BEN).calls().len(), 0);
        Ok(())
    })
    .await;
}
