//! The incidents of a story.

use std::time::Duration;

use lab::wait::until;
use serde_json::Value;

use super::{Harness, or_panic};

/// An acknowledgement counts within a second; the rest is for a machine that has much to do.
const SOON: Duration = Duration::from_secs(5);

/// An incident.
pub struct Incident<'h> {
    pub(super) h: &'h Harness,
    pub id: String,
}

impl Incident<'_> {
    /// As the API shows it.
    pub async fn shown(&self) -> Value {
        or_panic(self.h.server.api.get(&format!("/api/v2/incidents/{}", self.id)).await)
    }

    /// It comes to stand here, and is expected to stay.
    pub async fn is(&self, state: &str) -> Value {
        self.is_within(state, SOON).await
    }

    /// It comes to stand here, after a delay perhaps.
    pub async fn is_within(&self, state: &str, within: Duration) -> Value {
        let mut last = Value::Null;
        let reached = until(format!("the incident is {state}"), within, async || {
            last = self.shown().await;
            Ok((last["state"] == state).then(|| last.clone()))
        });
        let reached = reached.await;
        let shown = reached.unwrap_or_else(|error| panic!("{error:#}; it is {}", last["state"]));
        self.h.told().states.insert(self.id.clone(), state.to_owned());
        shown
    }

    /// A person has taken it.
    pub async fn is_acknowledged_by(&self, name: &str) {
        assert_eq!(self.is("acknowledged").await["acknowledged_by"], name);
    }

    /// All of its timeline.
    pub async fn timeline(&self) -> Vec<Value> {
        or_panic(self.h.server.api.timeline(&self.id, None).await)
    }

    /// Its timeline comes to have lines of these kinds in this order; others may stand between them.
    pub async fn went(&self, kinds: &[&str]) {
        let mut last = Vec::new();
        let went = until("its timeline", SOON, async || {
            last = self.timeline().await.iter().filter_map(|line| line["kind"].as_str().map(str::to_owned)).collect();
            let mut lines = last.iter();
            Ok(kinds.iter().all(|kind| lines.any(|line| line == kind)).then_some(()))
        });
        let went = went.await;
        went.unwrap_or_else(|_| panic!("its timeline should have, in this order, {kinds:?}; it has {last:?}"));
    }

    /// Its calls, newest first, as they are on record.
    pub async fn calls(&self) -> Vec<Value> {
        self.h.all(&format!("/api/v2/calls?incident_id={}", self.id)).await
    }

    /// Its only call, as it is on record when it is over.
    pub async fn only_call(&self) -> Value {
        let over = until("its call is over", SOON, async || {
            let calls = self.calls().await;
            Ok(calls.iter().all(|call| call.get("ended_at").is_some()).then_some(calls))
        });
        let mut calls = or_panic(over.await);
        assert_eq!(calls.len(), 1, "{calls:#?}");
        calls.remove(0)
    }
}
