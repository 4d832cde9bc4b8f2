//! What a story needs: a PBX, a telephone network, ringdown between them, and words to tell it with.
//!
//! A story fails on any call or event that it did not expect: when it closes, every phone must have
//! been called as often as the story said, nothing may be left on the line, and the log may have no
//! error that the story did not allow. A story that fails shows its timelines, what went over AMI and
//! AGI, and the ends of the logs.

mod phone;
pub mod receiver;
mod report;

use std::{
    collections::BTreeMap,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;
use lab::{asterisk::Telephony, server::Server, settings::Settings, slot::Slot, voice::Voice, wait::until};
pub use phone::StoryPhone;
use ringdown::{clock::Clock, store::Author};
use serde_json::{Value, json};

/// The people of the stories.
pub const ANA: &str = "+393331000001";
pub const BEN: &str = "+393331000002";
pub const CAL: &str = "+393331000003";

/// Long enough for whatever is on its way on a machine that has much else to do.
pub const SOON: Duration = Duration::from_secs(30);
/// For a whole conversation.
pub const LATER: Duration = Duration::from_secs(90);

/// Whoever changes something directly in a store.
pub fn author() -> Author {
    Author::command("tests", Clock::System.now())
}

/// Everything that runs.
pub struct Harness {
    pub slot: Slot,
    pub telephony: Telephony,
    pub server: Server,
    pub voice: Voice,
    /// How often each number was called, as the story told it.
    expected: Mutex<BTreeMap<String, usize>>,
    /// What errors in the log are part of the story.
    allowed: Mutex<Vec<String>>,
    /// All incidents that the story raised.
    incidents: Mutex<Vec<String>>,
}

/// Tells a story: starts everything, configured by `settings`; shows what happened if it fails.
pub async fn story(settings: impl FnOnce(&mut Settings), tell: impl AsyncFnOnce(&Harness) -> Result<()>) {
    story_mut(settings, async |harness| tell(harness).await).await;
}

/// A story in which parts are killed and come back.
pub async fn story_mut(settings: impl FnOnce(&mut Settings), tell: impl AsyncFnOnce(&mut Harness) -> Result<()>) {
    story_on(|chosen, _| settings(chosen), tell).await;
}

/// A story whose settings depend on the PBX.
pub async fn story_on(
    settings: impl FnOnce(&mut Settings, &Telephony),
    tell: impl AsyncFnOnce(&mut Harness) -> Result<()>,
) {
    let mut harness = Harness::start(settings).await.expect("everything starts");
    let told = AssertUnwindSafe(tell(&mut harness)).catch_unwind().await;
    let outcome = match told {
        Ok(Ok(())) => harness.close().await,
        Ok(Err(error)) => Err(error),
        Err(panic) => Err(anyhow::anyhow!("{}", report::panic_text(panic.as_ref()))),
    };
    if let Err(error) = outcome {
        report::print(&harness).await;
        panic!("{error:#}");
    }
}

impl Harness {
    async fn start(change: impl FnOnce(&mut Settings, &Telephony)) -> Result<Self> {
        let slot = Slot::take()?;
        let telephony = Telephony::start(&slot).await?;
        let mut settings = Settings::new();
        settings.pbx(&telephony.pbx).set("asterisk.ring_timeout", 5).set("call.wait", 2000).set("call.repeat", 2);
        settings.set("asterisk.per_second", 50).set("asterisk.concurrent", 150);
        settings.contact("Ana", &[ANA]).contact("Ben", &[BEN]).contact("Cal", &[CAL]);
        change(&mut settings, &telephony);
        let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await?;
        let voice = Voice::open(&slot.directory().join("voice"))?;
        Ok(Self {
            slot,
            telephony,
            server,
            voice,
            expected: Mutex::default(),
            allowed: Mutex::default(),
            incidents: Mutex::default(),
        })
    }

    /// A phone, by its number.
    pub fn phone<'a>(&'a self, number: &'a str) -> StoryPhone<'a> {
        StoryPhone { harness: self, number }
    }

    /// The story expects errors with these words in the log.
    pub fn expects_error(&self, words: &str) {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner).push(words.to_owned());
    }

    /// The story has checked these calls itself: so many to each number.
    pub fn expects_these_calls(&self, calls: BTreeMap<String, usize>) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = calls;
    }

    /// Raises an alert with this summary. Returns its incident.
    pub async fn raise(&self, summary: &str) -> Result<String> {
        self.post_alert(json!({ "summary": summary })).await
    }

    /// Posts a generic alert. Returns its incident.
    pub async fn post_alert(&self, alert: Value) -> Result<String> {
        let answer = self.server.api.post("/api/v2/alerts", &alert).await?;
        Ok(self.remember(&answer))
    }

    /// Posts what Alertmanager would. Returns the incident of the first result.
    pub async fn alertmanager(&self, delivery: &Value) -> Result<String> {
        let answer = self.server.api.post("/api/v2/alerts/alertmanager", delivery).await?;
        Ok(self.remember(&answer["results"][0]))
    }

    fn remember(&self, answer: &Value) -> String {
        let id = answer["incident_id"].as_str().unwrap_or_default().to_owned();
        let mut incidents = self.incidents.lock().unwrap_or_else(PoisonError::into_inner);
        if !id.is_empty() && !incidents.contains(&id) {
            incidents.push(id.clone());
        }
        id
    }

    /// An incident as it stands.
    pub async fn incident(&self, id: &str) -> Result<Value> {
        self.server.api.get(&format!("/api/v2/incidents/{id}")).await
    }

    /// Waits until an incident is in this state.
    pub async fn is(&self, id: &str, state: &str) -> Result<Value> {
        let what = format!("the incident is {state}");
        until(what, LATER, async || {
            let incident = self.incident(id).await?;
            Ok((incident["state"] == state).then_some(incident))
        })
        .await
    }

    /// Says something about an incident over the API: `acknowledge`, `escalate`, `resolve`.
    pub async fn says(&self, id: &str, what: &str) -> Result<Value> {
        self.server.api.post(&format!("/api/v2/incidents/{id}/{what}"), &json!({})).await
    }

    /// An incident's timeline.
    pub async fn timeline(&self, id: &str) -> Result<Vec<Value>> {
        self.server.api.timeline(id, None).await
    }

    /// The kinds of a timeline's lines, in order.
    pub async fn kinds(&self, id: &str) -> Result<Vec<String>> {
        let lines = self.timeline(id).await?;
        Ok(lines.iter().filter_map(|line| line["kind"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until the timeline has a line of this kind. Returns it.
    pub async fn told(&self, id: &str, kind: &str) -> Result<Value> {
        self.told_times(id, kind, 1).await
    }

    /// Waits until the timeline has so many lines of this kind. Returns the last.
    pub async fn told_times(&self, id: &str, kind: &str, times: usize) -> Result<Value> {
        until(format!("{times} line(s) {kind:?} in the timeline"), LATER, async || {
            let lines = self.timeline(id).await?;
            Ok(lines.into_iter().filter(|line| line["kind"] == kind).nth(times - 1))
        })
        .await
    }

    /// The calls about an incident, oldest first, once all of them are over.
    pub async fn records(&self, id: &str) -> Result<Vec<Value>> {
        until("all calls are over", LATER, async || {
            let page = self.server.api.get(&format!("/api/v2/calls?limit=500&incident_id={id}")).await?;
            let mut calls = page["items"].as_array().cloned().unwrap_or_default();
            calls.reverse();
            let over = |call: &Value| !call["ended_at"].is_null();
            Ok((!calls.is_empty() && calls.iter().all(over)).then_some(calls))
        })
        .await
    }

    /// The only call about an incident, once it is over.
    pub async fn record(&self, id: &str) -> Result<Value> {
        let records = self.records(id).await?;
        ensure!(records.len() == 1, "{} calls instead of one: {records:#?}", records.len());
        Ok(records[0].clone())
    }

    /// Ends everything, and checks that nothing happened beside the story.
    async fn close(&mut self) -> Result<()> {
        until("nothing is left on the line", SOON, async || {
            let channels = self.telephony.pbx.channels().await?;
            Ok((channels == 0).then_some(()))
        })
        .await?;
        until("every call has an end", SOON, async || {
            let page = self.server.api.get("/api/v2/calls?limit=500").await?;
            let calls = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
            Ok(calls.iter().all(|call| !call["ended_at"].is_null()).then_some(()))
        })
        .await?;
        self.server.stop().await?;
        self.telephony.stop().await?;

        let mut came: BTreeMap<String, usize> = BTreeMap::new();
        for call in self.telephony.net.calls() {
            *came.entry(call.number).or_default() += 1;
        }
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner).clone();
        ensure!(came == expected, "these phones were called: {came:?}, and not: {expected:?}");
        let allowed = self.allowed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut errors = self.server.errors();
        errors.retain(|line| !allowed.iter().any(|words| line.contains(words)));
        if !errors.is_empty() {
            bail!("the log has errors:\n{}", errors.join("\n"));
        }
        Ok(())
    }

    fn expect_call(&self, number: &str) -> usize {
        let mut expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = expected.entry(number.to_owned()).or_default();
        *calls += 1;
        *calls - 1
    }

    fn last_call(&self, number: &str) -> Result<usize> {
        let expected = self.expected.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = expected.get(number).copied().unwrap_or(0);
        calls.checked_sub(1).with_context(|| format!("the story has not said that {number} rings"))
    }
}
