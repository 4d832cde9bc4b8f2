//! What raises incidents by itself: heartbeats that did not come, reminders whose time has come.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::StreamExt;

use super::{AT_ONCE, Alert, Applied, BATCH, Engine, PolicyChoice, Raised, Times};
use crate::{
    escalation::{Actor, Event, Placing, Policy, Step, Target},
    id::IncidentId,
    store::{self, Content, Fact, Heartbeat, Member, Reminder},
};

/// A call that somebody asked for: whom, what is said, how often it is tried.
#[derive(Clone, Debug)]
pub struct DirectCall {
    /// Whom.
    pub to: Target,
    /// What is spoken.
    pub text: String,
    /// How often it is tried.
    pub attempts: u32,
    /// Seconds from one try to the next.
    pub attempt_delay: u32,
    /// Who asked for it.
    pub source: String,
    /// When, if not at once.
    pub schedule: Option<Times>,
    /// How it is placed.
    pub placing: Placing,
}

/// An alert of one text, that fires or does not.
pub(super) fn alone(summary: String, severity: String, firing: bool) -> Content {
    let member = Member {
        fingerprint: String::new(),
        summary: summary.clone(),
        severity: severity.clone(),
        firing,
        labels: BTreeMap::new(),
    };
    Content { summary, severity, members: vec![member], ..Content::default() }
}

impl Engine {
    /// Takes a direct call in: an incident with one step, one target and its own policy, so that retry,
    /// acknowledgement, timeline and proof are the same as for an alert.
    ///
    /// # Errors
    /// As [`Engine::raise`].
    pub async fn place(&self, call: DirectCall) -> Result<IncidentId, store::Error> {
        let id = IncidentId::generate();
        self.place_as(id, call).await.map(|()| id)
    }

    /// The same, under an identifier that was made before. Placed once, however often it is said, as long
    /// as it is not said at once.
    ///
    /// # Errors
    /// As [`Engine::raise`].
    pub async fn place_as(&self, id: IncidentId, call: DirectCall) -> Result<(), store::Error> {
        if self.store.incident(id).await?.is_some() {
            return Ok(());
        }
        self.place_under(id, format!("call/{id}"), call).await.map(drop)
    }

    async fn place_under(&self, id: IncidentId, dedup_key: String, call: DirectCall) -> Result<Raised, store::Error> {
        let step = Step {
            targets: vec![call.to],
            attempts: call.attempts,
            attempt_delay: TimeDelta::seconds(call.attempt_delay.into()),
            // After the last try there is nothing to wait for.
            delay: TimeDelta::seconds(1),
            ..Step::default()
        };
        let alert = Alert {
            dedup_key,
            policy: PolicyChoice::Own(Policy { steps: vec![step], placing: call.placing, ..Policy::default() }),
            source: call.source,
            content: alone(call.text, String::new(), true),
            all_over: false,
            schedule: call.schedule,
            id: Some(id),
        };
        self.raise(alert).await
    }

    /// Puts a scheduled call off, or brings it forward. [`Applied::Unchanged`] if it is no longer waiting.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn reschedule(&self, id: IncidentId, to: Times, by: &Actor) -> Result<Applied, store::Error> {
        let fact = Fact::Rescheduled { at: to.due_at, by: by.name().to_owned() };
        let event = Event::Rescheduled { due_at: to.due_at, expires_at: to.expires_at };
        self.change_state(id, |incident| {
            let waits = matches!(incident.state, crate::escalation::State::Scheduled { .. });
            waits.then(|| (event.clone(), vec![fact.clone()], None))
        })
        .await
    }

    /// Calls a scheduled call off. [`Applied::Unchanged`] if it is no longer waiting.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn call_off(&self, id: IncidentId, by: Actor) -> Result<Applied, store::Error> {
        let fact = Fact::Resolved { by: by.name().to_owned() };
        self.change_state(id, |incident| {
            let waits = matches!(incident.state, crate::escalation::State::Scheduled { .. });
            waits.then(|| (Event::Resolved { by: by.clone() }, vec![fact.clone()], None))
        })
        .await
    }

    /// A beat has come: what its absence has raised is over.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn beat(&self, heartbeat: &Heartbeat) -> Result<(), store::Error> {
        self.store.beat(heartbeat, self.clock.now()).await?;
        self.raise(missed(heartbeat, false)).await.map(drop)
    }

    /// Heartbeats that did not come.
    pub(super) async fn look_at_heartbeats(&self, now: DateTime<Utc>) -> Result<(), store::Error> {
        for heartbeat in self.store.missed_heartbeats(now).await? {
            tracing::warn!(heartbeat = %heartbeat.id, "a heartbeat did not come");
            self.raise(missed(&heartbeat, true)).await?;
            // A beat that came in between has found nothing to end: it ends it now.
            if !self.store.missed_beat_told(&heartbeat).await? {
                let beaten = self.store.heartbeat_by_id(heartbeat.id).await?;
                // Another beat, not a later one: the clock may have been set back in between.
                if beaten.is_none_or(|now| now.beat_at != heartbeat.beat_at) {
                    self.raise(missed(&heartbeat, false)).await?;
                }
            }
        }
        Ok(())
    }

    /// Reminders whose time has come.
    pub(super) async fn look_at_reminders(&self, now: DateTime<Utc>) -> Result<(), store::Error> {
        let due = self.store.due_reminders(now, BATCH).await?;
        futures_util::stream::iter(due)
            .for_each_concurrent(AT_ONCE, async |reminder| {
                if let Err(error) = self.remind(&reminder, now).await {
                    tracing::error!(reminder = %reminder.id, %error, "a reminder could not be raised; trying again");
                }
            })
            .await;
        Ok(())
    }

    /// Raises what is due of a reminder: the last of its times, if several were missed.
    async fn remind(&self, reminder: &Reminder, now: DateTime<Utc>) -> Result<(), store::Error> {
        let Some(first) = reminder.next_at else { return Ok(()) };
        let data = &reminder.data;
        let due_at = data.last_until(first, now);
        // The same time has the same incident, so that a kill in between raises it once.
        let id = IncidentId::of(due_at, reminder.id.0);
        if self.store.incident(id).await?.is_none() {
            let call = DirectCall {
                placing: Placing::default(),
                to: data.target.clone(),
                text: data.text.clone(),
                attempts: data.attempts,
                attempt_delay: data.attempt_delay,
                source: reminder.made_by.clone(),
                schedule: Some(Times { due_at, expires_at: due_at + TimeDelta::seconds(data.expires.into()) }),
            };
            self.place_under(id, format!("reminder/{id}"), call).await?;
        }
        self.store.reminder_raised(reminder, data.next_after(now)).await
    }
}

/// The alert that a heartbeat did not come, or that it came again.
fn missed(heartbeat: &Heartbeat, firing: bool) -> Alert {
    let data = &heartbeat.data;
    let mut content = alone(data.summary.clone(), data.severity.clone(), firing);
    content.labels.insert("heartbeat".into(), heartbeat.name.clone());
    Alert {
        dedup_key: heartbeat.dedup_key(),
        policy: data.policy.clone().map_or(PolicyChoice::Default, PolicyChoice::Named),
        source: format!("heartbeat {}", heartbeat.name),
        content,
        all_over: false,
        schedule: None,
        id: None,
    }
}
