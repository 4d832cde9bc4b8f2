//! Shift changes: who comes on duty and who goes off is noted, once, whichever server sees it first; and they are
//! told by text, if they want to be.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;

use super::{AT_ONCE, Engine};
use crate::{
    bus::Bell,
    escalation::Stage,
    id::ContactId,
    oncall::{next_change, on_call},
    script::Text,
    store::{self, Fact, Look, MessageKind, NewMessage},
    wallclock::Zone,
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
        let notices = self.shift_notices(look, people, next.as_ref(), names, now).await?;
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
        if self.store.schedule_looked_at(look, people, next, fact, notices, now).await? {
            tracing::debug!(schedule = %look.named.id, %next, "who is on duty is noted");
            self.bus.ring(Bell::Texts);
        }
        Ok(())
    }

    /// Texts to those whose shift begins or ends now, and who want to know. `next` is the next change, and who is on
    /// duty after it.
    async fn shift_notices(
        &self,
        look: &Look,
        people: &[ContactId],
        next: Option<&(DateTime<Utc>, Vec<ContactId>)>,
        names: &HashMap<ContactId, String>,
        now: DateTime<Utc>,
    ) -> Result<Vec<NewMessage>, store::Error> {
        let (Some(words), Some(worth)) = (&self.notices, self.texts) else { return Ok(Vec::new()) };
        let comes = |id: &&ContactId| !look.before.contains(id);
        let goes = |id: &&ContactId| !people.contains(id);
        let changed: Vec<ContactId> =
            people.iter().filter(comes).chain(look.before.iter().filter(goes)).copied().collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let who: Vec<&str> = people.iter().filter_map(|id| names.get(id)).map(String::as_str).collect();
        let after = who.join(", ");
        let schedule = look.named.name.as_str();
        let mut notices = Vec::new();
        for contact in self.store.contacts_by_id(&changed).await? {
            let Some(number) = contact.text_number().filter(|_| contact.data.tell_shifts && contact.data.enabled)
            else {
                continue;
            };
            let zone = contact.data.time_zone.parse().unwrap_or(Zone::UTC);
            let ends = next.filter(|(_, after)| !after.contains(&contact.id));
            let until = ends.map_or_else(String::new, |(at, _)| zone.local(*at).format("%Y-%m-%d %H:%M").to_string());
            let text = if people.contains(&contact.id) {
                Text::ShiftBegins { schedule, until: &until }
            } else {
                Text::ShiftEnds { schedule, next: &after }
            };
            match words.text(&contact.data.language, &text) {
                Ok(body) => notices.push(NewMessage {
                    number: number.clone(),
                    contact: Some((contact.id, contact.full_name())),
                    kind: MessageKind::Shift,
                    at: Stage::default(),
                    body: Some(body),
                    source: None,
                    expires_at: now + worth,
                }),
                Err(error) => tracing::error!(%error, "a change of shifts cannot be told by text"),
            }
        }
        Ok(notices)
    }
}
