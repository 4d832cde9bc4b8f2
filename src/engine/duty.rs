//! Shift changes: who comes on duty and who goes off is noted, once, whichever server sees it first.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;

use super::{AT_ONCE, Engine};
use crate::{
    id::ContactId,
    oncall::{next_change, on_call},
    store::{self, Fact, Look},
};

/// How far ahead the next change is looked for.
const HORIZON: TimeDelta = TimeDelta::days(32);
/// When to look again if there is none.
const AGAIN: TimeDelta = TimeDelta::hours(24);
/// Schedules taken up in one look: what pages must not wait long for them.
const BATCH: u64 = 250;

impl Engine {
    /// Schedules on which other people may be on duty now. One that cannot be noted is logged and holds
    /// up no other.
    pub(super) async fn look_at_schedules(&self, now: DateTime<Utc>) -> Result<(), store::Error> {
        let due = self.store.due_schedules(now, now + HORIZON, BATCH).await?;
        if due.is_empty() {
            return Ok(());
        }
        let looks: Vec<(Look, Vec<ContactId>)> = due
            .into_iter()
            .map(|look| {
                let people = on_call(&look.named.duty, now);
                (look, people)
            })
            .collect();
        let mut changed: Vec<ContactId> =
            looks.iter().flat_map(|(look, people)| look.before.iter().chain(people)).copied().collect();
        changed.sort_unstable();
        changed.dedup();
        let names = self.store.full_names(&changed).await?;
        futures_util::stream::iter(looks)
            .for_each_concurrent(AT_ONCE, async |(look, people)| {
                if let Err(error) = self.note_duty(&look, &people, &names, now).await {
                    let schedule = look.named.id;
                    tracing::error!(%schedule, %error, "who is on duty could not be noted; trying again");
                }
            })
            .await;
        Ok(())
    }

    async fn note_duty(
        &self,
        look: &Look,
        people: &[ContactId],
        names: &HashMap<ContactId, String>,
        now: DateTime<Utc>,
    ) -> Result<(), store::Error> {
        // A schedule with many overrides takes its time, and nobody else is to wait for it.
        let duty = look.named.duty.clone();
        let next = tokio::task::spawn_blocking(move || next_change(&duty, now, HORIZON)).await.ok().flatten();
        let next = next.map_or(now + AGAIN, |(at, _)| at);
        let called = |people: &[ContactId]| -> Vec<String> {
            let name = |id: &ContactId| names.get(id).cloned().unwrap_or_else(|| format!("a deleted contact ({id})"));
            people.iter().map(name).collect()
        };
        let fact = (people != look.before).then(|| Fact::OnDuty {
            schedule: look.named.name.clone(),
            people: called(people),
            before: called(&look.before),
        });
        // If it was changed meanwhile, it is due again already.
        if self.store.schedule_looked_at(look, people, next, fact, now).await? {
            tracing::debug!(schedule = %look.named.id, %next, "who is on duty is noted");
        }
        Ok(())
    }
}
