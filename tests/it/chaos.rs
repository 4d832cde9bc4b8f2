//! The server dies: at every place on the way of an alert, and at random moments under load. What is
//! checked is checked from outside: what it has accepted comes to an end, by the API and the rows; no
//! attempt rings a phone twice, by what the telephones saw; no line is missing in a timeline.
//!
//! `make chaos` is the last test for longer: `RINGDOWN_CHAOS_SECONDS=600 RINGDOWN_CHAOS_SEED=7`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use lab::{
    modem::{Modem, Setup},
    settings::{Settings, Step},
    slot::Slot,
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Method;
use ringdown::{clock::Clock, failpoint};
use serde_json::{Value, json};

use crate::{
    harness::{ANA, Harness, story_mut},
    texts,
};

/// From the last death on everything must come to its end within this.
const SETTLES: Duration = Duration::from_secs(150);

/// Answers and presses 4 every four seconds, as somebody does who was not heard.
const PATIENT: &str = "ring:1,answer,wait:3,press:4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww\
                       4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww4wwwwwwww,hangup";

fn patient_ana(settings: &mut Settings) {
    let step = Step { targets: &["Ana"], attempts: 5, attempt_delay: 10, delay: 10 };
    settings.policy("night", &[step]).set("asterisk.ring_timeout", 20);
}

/// Raises an alert as Alertmanager would: again and again, under the same key, until it is told 2xx.
/// Whatever the server dies of meanwhile, it is started again.
async fn raise_at_last(h: &mut Harness, alert: &Value) -> Result<String> {
    raise(h, alert, true).await?.context("an incident")
}

/// As [`raise_at_last`], or until the server has died if it is not to be revived: then `None`.
async fn raise(h: &mut Harness, alert: &Value, revive: bool) -> Result<Option<String>> {
    let since = Instant::now();
    loop {
        if let Ok(id) = h.post_alert(alert.clone()).await {
            return Ok(Some(id));
        }
        if revive {
            h.server.revive()?;
        } else if !h.server.still_runs() {
            return Ok(None);
        }
        ensure!(since.elapsed() < SETTLES, "{alert} is not taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Waits until every incident is in a state that is its last, and no call is under way.
async fn settled(h: &mut Harness, ids: &BTreeSet<String>) -> Result<()> {
    let since = Instant::now();
    let mut open = ids.clone();
    while !open.is_empty() {
        ensure!(since.elapsed() < SETTLES, "these have not come to an end: {open:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        h.server.revive()?;
        for id in open.clone() {
            let Ok(incident) = h.incident(&id).await else { break };
            if matches!(incident["state"].as_str(), Some("acknowledged" | "resolved" | "exhausted")) {
                open.remove(&id);
            }
        }
    }
    for id in ids {
        h.records(id).await?;
    }
    Ok(())
}

/// What must be so of each incident, whatever died on its way.
async fn is_whole(h: &Harness, id: &str) -> Result<BTreeMap<String, usize>> {
    let (calls, lines) = (h.records(id).await?, h.timeline(id).await?);
    let kinds: Vec<&str> = lines.iter().filter_map(|line| line["kind"].as_str()).collect();
    let count = |kind: &str| kinds.iter().filter(|found| **found == kind).count();
    ensure!(count("raised") == 1, "{id} was raised {} times: {kinds:?}", count("raised"));
    let last = h.incident(id).await?;
    let state = last["state"].as_str().unwrap_or_default().to_owned();
    ensure!(count(&state) > 0, "{id} is {state}, and its timeline does not say so: {kinds:?}");
    // Every call: queued, dialled, over; each once, in that order.
    for call in &calls {
        let of_call: Vec<&str> = lines
            .iter()
            .filter(|line| line["call_id"] == call["id"])
            .filter_map(|line| line["kind"].as_str())
            .filter(|kind| ["call_queued", "call_joined", "dialing", "call_ended"].contains(kind))
            .collect();
        let begins = matches!(of_call.first(), Some(&("call_queued" | "call_joined")));
        let placed = call["dialed_at"].is_string();
        let dialed = of_call.iter().filter(|kind| **kind == "dialing").count();
        ensure!(begins && of_call.last() == Some(&"call_ended"), "call {} has a gap: {of_call:?}", call["id"]);
        ensure!((dialed > 0) == placed, "call {}: {of_call:?}, {call}", call["id"]);
    }
    let mut placed = BTreeMap::new();
    for call in calls.iter().filter(|call| call["dialed_at"].is_string()) {
        *placed.entry(call["number"].as_str().context("a number")?.to_owned()).or_default() += 1;
    }
    Ok(placed)
}

/// No phone rang more often than it was to be dialled.
fn no_phone_rang_twice(h: &Harness, placed: &BTreeMap<String, usize>) -> Result<()> {
    let mut rang: BTreeMap<String, usize> = BTreeMap::new();
    for call in h.telephony.net.calls() {
        *rang.entry(call.number).or_default() += 1;
    }
    for (number, times) in &rang {
        let dialed = placed.get(number).copied().unwrap_or(0);
        ensure!(*times <= dialed, "{number} rang {times} times, and was to be dialled {dialed} times");
    }
    h.expects_these_calls(rang);
    Ok(())
}

async fn dies_at(place: &str) {
    story_mut(patient_ana, async |h| {
        // Whoever dies leaves errors behind: half a call, a cut connection.
        h.expects_error("");
        h.telephony.net.phone(ANA).program(PATIENT).await?;
        h.server.kill().await?;
        h.server.restart_to_die_at(place).await?;
        let alert = json!({ "summary": "Disk full", "dedup_key": "disk" });
        raise(h, &alert, false).await?;
        let since = Instant::now();
        while h.server.still_runs() {
            ensure!(since.elapsed() < SETTLES, "it does not die at {place}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        h.server.restart().await?;
        // Whoever was not told 2xx sends it again; so do those who were, now and then.
        let id = raise_at_last(h, &alert).await?;
        settled(h, &BTreeSet::from([id.clone()])).await?;
        assert_eq!(h.incident(&id).await?["state"], "acknowledged");
        let placed = is_whole(h, &id).await?;
        no_phone_rang_twice(h, &placed)?;
        Ok(())
    })
    .await;
}

/// One test for each place, and none left out.
macro_rules! dies_at {
    ($($name:ident $place:literal)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                dies_at($place).await;
            }
        )*

        #[test]
        fn the_server_dies_at_every_place() {
            let here = [$($place),*].map(|place| place.split(':').next());
            for place in failpoint::ALL {
                let about_texts = texts::DIES_AT.iter().any(|(there, _)| there == place)
                    || texts::answers::DIES_AT.contains(place);
                assert!(about_texts || here.contains(&Some(place)), "{place}");
            }
        }
    };
}

dies_at! {
    dies_when_an_alert_has_come_in "alert.taken"
    // Start and readiness take some commits of their own.
    dies_before_a_commit "commit.before:9"
    dies_after_a_commit "commit.after:10"
    dies_when_an_alert_is_stored "alert.stored"
    dies_when_a_call_is_claimed "call.claimed"
    dies_when_originate_has_left "originate.sent"
    dies_when_the_phone_rings "call.ringing"
    dies_when_the_session_begins "session.began"
    dies_when_the_alert_is_spoken "alert.speaking"
    dies_when_a_key_is_pressed "key.read"
    dies_when_a_key_is_stored "key.stored"
    dies_when_a_key_is_confirmed "key.confirmed"
    dies_when_the_call_is_over "call.over"
    dies_when_its_outcome_is_stored "outcome.stored"
}

fn number_of(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// What people do who are called in the night, and how many of each.
const HABITS: [(&str, usize); 6] = [
    (PATIENT, 6),
    ("ring", 2),
    ("busy", 1),
    ("decline", 1),
    ("ring:1,answer,wait:2,hangup", 1),
    ("ring:1,answer,wait:8,hangup", 1),
];

/// Those who are called last, and answer.
const LAST: [&str; 3] = ["+393332000097", "+393332000098", "+393332000099"];
/// Numbers of scheduled calls, each for one.
fn scheduled_number(n: usize) -> String {
    format!("+39333300{n:04}")
}

#[tokio::test]
async fn whatever_is_accepted_comes_to_an_end_however_often_the_server_is_killed() {
    let seconds = number_of("RINGDOWN_CHAOS_SECONDS", 20);
    let mut random = StdRng::seed_from_u64(number_of("RINGDOWN_CHAOS_SEED", 1));
    let people: Vec<(String, String, &str)> = HABITS
        .iter()
        .flat_map(|(habit, count)| std::iter::repeat_n(*habit, *count))
        .enumerate()
        .map(|(n, habit)| (format!("Person {n}"), format!("+393332{n:06}"), habit))
        .collect();
    let slot = Slot::take().expect("a slot");
    let slow = Setup { message_takes: Duration::from_millis(100), ..Setup::default() };
    let modem = texts::plugged_in(&slot, vec![slow]).expect("a modem").remove(0);
    let path = modem.path().to_owned();
    let setup = |settings: &mut Settings| {
        for number in LAST {
            settings.contact(number, &[number]);
        }
        settings.set("asterisk.ring_timeout", 5).set("call.repeat", 1);
        settings.modem("gsm", &path).set("sms.per_hour", 10_000).set("sms.retry", 1);
        settings
            .set("destinations.per_contact", 10_000)
            .set("destinations.per_prefix", 100_000)
            .set("destinations.total", 100_000);
        for ((name, number, _), last) in people.iter().zip(LAST.iter().cycle()) {
            settings.contact(name, &[number]);
            let first = Step { targets: &[name], attempts: 2, attempt_delay: 2, delay: 2 };
            let last = Step { targets: &[last], attempts: 3, attempt_delay: 5, delay: 5 };
            settings.policy_with(name, 2, &[first, last]);
        }
    };
    story_mut(setup, async |h| {
        h.expects_error("");
        for (_, number, habit) in &people {
            h.telephony.net.phone(number).program(habit).await?;
        }
        for number in LAST {
            h.telephony.net.phone(number).program(PATIENT).await?;
        }
        let (begin, mut ids, mut scheduled, mut deaths) = (Instant::now(), BTreeSet::new(), Vec::new(), 0);
        let mut texted = Vec::new();
        let mut dies = begin + Duration::from_millis(random.random_range(500..6000));
        let mut n = 0;
        while begin.elapsed() < Duration::from_secs(seconds) {
            n += 1;
            if n % 8 == 0 {
                let number = scheduled_number(scheduled.len());
                h.telephony.net.phone(&number).program(PATIENT).await?;
                ids.insert(schedule(h, &number).await?);
                scheduled.push(number);
            } else {
                let (name, ..) = &people[random.random_range(0..people.len())];
                let alert = json!({ "summary": format!("Alert {n}"), "policy": name, "dedup_key": format!("key {n}") });
                ids.insert(raise_at_last(h, &alert).await?);
            }
            if n % 2 == 0 {
                texted.push((text(h, n).await?, format!("Text {n}")));
            }
            // Pulled out now and then, and put back after a while.
            match random.random_range(0..20) {
                0 => modem.unplug(),
                1..=5 => modem.plug(),
                _ => {}
            }
            if Instant::now() >= dies {
                h.server.kill().await?;
                deaths += 1;
                dies = Instant::now() + Duration::from_millis(random.random_range(500..6000));
                // In the midst of its start, too.
                h.server.revive()?;
            }
            tokio::time::sleep(Duration::from_millis(random.random_range(50..600))).await;
        }
        h.server.revive()?;
        modem.plug();
        settled(h, &ids).await?;
        let unknown = no_text_came_twice(h, &modem, &texted).await?;
        let mut placed: BTreeMap<String, usize> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        for id in &ids {
            is_whole(h, id).await?;
            // A call that carries several incidents is one.
            for call in h.records(id).await?.iter().filter(|call| call["dialed_at"].is_string()) {
                if seen.insert(call["id"].to_string()) {
                    *placed.entry(call["number"].as_str().context("a number")?.to_owned()).or_default() += 1;
                }
            }
        }
        no_phone_rang_twice(h, &placed)?;
        for number in &scheduled {
            let rang = h.telephony.net.phone(number).calls().len();
            ensure!(rang == 1, "the scheduled call to {number} rang {rang} times");
        }
        println!(
            "{deaths} deaths in {seconds} s; {} incidents came to their end, {} of them scheduled calls; {} calls rang; \
             {} texts, {unknown} of them unknown",
            ids.len(),
            scheduled.len(),
            h.telephony.net.calls().len(),
            texted.len()
        );
        Ok(())
    })
    .await;
}

/// Has a text sent; asks again under the same key until it is accepted. Returns its identifier.
async fn text(h: &mut Harness, n: u32) -> Result<String> {
    let message = json!({ "to": ANA, "text": format!("Text {n}"), "expires": 3600 });
    let (since, key) = (Instant::now(), format!("text-{n}"));
    loop {
        let headers = [("idempotency-key", &*key)];
        let asked = h.server.api.ask_with(Method::POST, "/api/v2/messages", &headers, Some(&message)).await;
        if let Ok((status, answer)) = asked {
            if status.is_success() {
                return Ok(answer["items"][0]["id"].as_str().context("a message")?.to_owned());
            }
            ensure!(status.is_server_error() || status == 409, "{status}: {answer}");
        }
        h.server.revive()?;
        ensure!(since.elapsed() < SETTLES, "text {n} is not taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Every text is sent, once, or nobody knows whether it was. Returns of how many nobody does.
async fn no_text_came_twice(h: &mut Harness, modem: &Modem, texted: &[(String, String)]) -> Result<usize> {
    let (since, mut unknown) = (Instant::now(), 0);
    for (id, _) in texted {
        loop {
            ensure!(since.elapsed() < SETTLES, "the text {id} has not come to an end");
            h.server.revive()?;
            let asked = h.server.api.get(&format!("/api/v2/messages/{id}")).await;
            match asked.as_ref().ok().and_then(|message| message["status"].as_str()) {
                Some("sent" | "delivered") => break,
                Some("unknown") => {
                    unknown += 1;
                    break;
                }
                Some("pending" | "sending") | None => tokio::time::sleep(Duration::from_millis(200)).await,
                Some(_) => anyhow::bail!("this was lost: {asked:?}"),
            }
        }
    }
    let came = texts::texts(modem);
    for (id, text) in texted {
        let status = h.server.api.get(&format!("/api/v2/messages/{id}")).await?["status"].clone();
        let times = came.iter().filter(|came| *came == text).count();
        ensure!(times <= 1 && (times == 1 || status == "unknown"), "{text:?} is {status}, and came {times} times");
    }
    Ok(unknown)
}

/// Has a call placed in some seconds; asks again under the same key until it is accepted.
async fn schedule(h: &mut Harness, number: &str) -> Result<String> {
    let at = Clock::System.now() + TimeDelta::seconds(4);
    let call = json!({ "to": number, "text": "Backup failed", "at": at, "late": "now" });
    let since = Instant::now();
    loop {
        let headers = [("idempotency-key", number)];
        if let Ok((status, answer)) = h.server.api.ask_with(Method::POST, "/api/v2/calls", &headers, Some(&call)).await
        {
            if status.is_success() {
                return Ok(answer["incident_id"].as_str().context("an incident")?.to_owned());
            }
            ensure!(status.is_server_error() || status == 409, "{status}: {answer}");
        }
        h.server.revive()?;
        ensure!(since.elapsed() < SETTLES, "the call to {number} is not taken");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
