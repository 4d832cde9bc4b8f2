//! TELLS OTHER SYSTEMS: webhooks, and the callbacks of direct calls.
//!
//! New events become deliveries, in order, together with how far that has come: a kill in between loses
//! nothing and makes nothing twice. Deliveries are rows, too; each lane (a webhook, or a place where
//! callbacks go) has a worker of its own while it has something due, so that a receiver that is slow or
//! away holds up nobody else. A receiver that was told and could not be noted as told is told again: it
//! knows events by their identifier. Decides nothing, calls nobody.

mod callback;
mod deliver;

use std::{collections::HashSet, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    herald::News,
    id::{IncidentId, WebhookId},
    store::{Backlog, Error, Happened, NewDelivery, Store, Webhook},
    webhook::{self, Sender},
};

/// The longest pause between two looks.
const POLL: Duration = Duration::from_secs(1);
/// What happens within this time is made into deliveries together: one commit of ours for many of others.
const TOGETHER: Duration = Duration::from_millis(50);
/// Events in one look.
const PAGE: u64 = 500;
/// Events that nobody is called back about and that are passed over with one write.
const FAR_BEHIND: i64 = 10_000;
/// Lanes at work at once.
const LANES: u64 = 512;
/// How long deliveries that are under way get when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// Old deliveries are removed so often.
const CLEANING: TimeDelta = TimeDelta::hours(1);

/// How deliveries are tried and kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What a try may take.
    pub timeout: TimeDelta,
    /// How often it is tried.
    pub tries: u32,
    /// From the first try to the second.
    pub retry: TimeDelta,
    /// How long what was delivered is known.
    pub keep: TimeDelta,
    /// How long what was given up is known.
    pub keep_dead: TimeDelta,
}

/// The notifier. Cheap to clone.
#[derive(Clone)]
pub struct Notifier {
    store: Store,
    clock: Clock,
    sender: Sender,
    settings: Settings,
}

impl Notifier {
    /// One that tells by `sender`.
    #[must_use]
    pub fn new(store: Store, clock: Clock, sender: Sender, settings: Settings) -> Self {
        Self { store, clock, sender, settings }
    }

    /// Tells until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut written = self.store.events_written();
        let mut lanes = JoinSet::new();
        let mut at_work: HashSet<String> = HashSet::new();
        let mut cleaned: Option<DateTime<Utc>> = None;
        while !shutdown.is_cancelled() {
            let more = self.look(&mut lanes, &mut at_work, &shutdown).await.unwrap_or_else(|error| {
                tracing::error!(%error, "events cannot be made into deliveries, or these cannot be read; trying again");
                false
            });
            let now = self.clock.now();
            if cleaned.is_none_or(|cleaned| now - cleaned >= CLEANING) {
                cleaned = Some(now);
                self.clean(now).await;
            }
            if more {
                continue;
            }
            tokio::select! {
                _ = written.changed() => {}
                Some(ended) = lanes.join_next(), if !lanes.is_empty() => {
                    match ended {
                        Ok(lane) => drop(at_work.remove(&lane)),
                        Err(error) => {
                            // Which one it was is not known: all that have no worker get one.
                            tracing::error!(%error, "a delivery failed in an unforeseen way");
                            sleep(POLL).await;
                        }
                    }
                }
                () = sleep(POLL) => {}
                () = shutdown.cancelled() => {}
            }
            sleep(TOGETHER).await;
        }
        // What is under way may end; what does not is tried again after its lease.
        let _ = tokio::time::timeout(GRACE, async { while lanes.join_next().await.is_some() {} }).await;
    }

    /// Makes deliveries of new events, and has someone at work on all that are due. Returns whether there may be more
    /// events.
    async fn look(
        &self,
        lanes: &mut JoinSet<String>,
        at_work: &mut HashSet<String>,
        shutdown: &CancellationToken,
    ) -> Result<bool, Error> {
        let backlog = self.store.backlog(self.clock.now()).await?;
        let spooled = self.spool_since(backlog).await;
        let told = backlog.webhooks || backlog.callbacks;
        if backlog.deliveries || told {
            self.start_lanes(lanes, at_work, shutdown).await?;
        }
        spooled
    }

    /// Makes deliveries of a page of new events for everybody. Returns whether there may be more.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn spool(&self) -> Result<bool, Error> {
        let backlog = self.store.backlog(self.clock.now()).await?;
        self.spool_since(backlog).await
    }

    async fn spool_since(&self, backlog: Backlog) -> Result<bool, Error> {
        let mut more = false;
        if backlog.webhooks {
            for webhook in self.store.webhooks().await? {
                if webhook.data.enabled && webhook.position < backlog.last {
                    more |= self.spool_webhook(&webhook).await?;
                }
            }
        }
        let behind = backlog.last - backlog.callbacks_until;
        if backlog.callbacks && behind > 0 {
            more |= self.spool_callbacks(backlog.callbacks_until).await?;
        } else if behind > FAR_BEHIND {
            // A callback is stored before what it is about: none of these events has one.
            not_by_another(self.store.spool_callbacks(backlog.callbacks_until, backlog.last, Vec::new()).await)?;
        }
        Ok(more)
    }

    async fn spool_webhook(&self, webhook: &Webhook) -> Result<bool, Error> {
        let page = self.store.events_after(webhook.position, PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let (now, kinds) = (self.clock.now(), &webhook.data.kinds);
        let wanted = page.iter().filter(|happened| kinds.is_empty() || kinds.contains(&happened.kind));
        let new = wanted.map(|happened| NewDelivery {
            lane: lane(webhook.id),
            webhook: Some(webhook.id),
            event: happened.id,
            incident: None,
            sequence: happened.sequence,
            kind: happened.kind.clone(),
            url: None,
            body: News::new(happened).json,
            at: now,
        });
        not_by_another(self.store.spool(webhook, last.sequence, new.collect()).await)?;
        Ok(page.len() as u64 == PAGE)
    }

    async fn spool_callbacks(&self, position: i64) -> Result<bool, Error> {
        let page = self.store.events_after(position, PAGE).await?;
        let Some(last) = page.last() else { return Ok(false) };
        let mut incidents: Vec<IncidentId> = page.iter().flat_map(|happened| happened.incidents.clone()).collect();
        incidents.sort_unstable();
        incidents.dedup();
        let urls = self.store.callbacks(&incidents).await?;
        let now = self.clock.now();
        let mut new = Vec::new();
        for happened in &page {
            for (incident, url) in happened.incidents.iter().filter_map(|id| Some((*id, urls.get(id)?))) {
                new.extend(new_callback(happened, incident, url, now));
            }
        }
        not_by_another(self.store.spool_callbacks(position, last.sequence, new).await)?;
        Ok(page.len() as u64 == PAGE)
    }

    async fn start_lanes(
        &self,
        lanes: &mut JoinSet<String>,
        at_work: &mut HashSet<String>,
        shutdown: &CancellationToken,
    ) -> Result<(), Error> {
        if lanes.is_empty() {
            at_work.clear();
        }
        let room = LANES.saturating_sub(at_work.len() as u64);
        if room == 0 {
            return Ok(());
        }
        for lane in self.store.due_lanes(self.clock.now(), LANES).await? {
            if at_work.insert(lane.clone()) {
                lanes.spawn(self.clone().work(lane, shutdown.clone()));
            }
        }
        Ok(())
    }

    async fn clean(&self, now: DateTime<Utc>) {
        let (delivered, dead) = (now - self.settings.keep, now - self.settings.keep_dead);
        match self.store.remove_deliveries(delivered, dead).await {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "old deliveries were removed"),
            Err(error) => tracing::warn!(%error, "old deliveries cannot be removed"),
        }
    }
}

/// What a webhook is told goes one after the other.
fn lane(webhook: WebhookId) -> String {
    format!("webhook/{webhook}")
}

/// A callback about `incident`, if what happened is something it is told of.
fn new_callback(happened: &Happened, incident: IncidentId, url: &str, now: DateTime<Utc>) -> Option<NewDelivery> {
    let origin = webhook::origin(url).ok()?;
    Some(NewDelivery {
        lane: format!("callback/{origin}"),
        webhook: None,
        event: happened.id,
        incident: Some(incident),
        sequence: happened.sequence,
        kind: happened.kind.clone(),
        url: Some(url.to_owned()),
        body: callback::body(happened, incident)?,
        at: now,
    })
}

/// Another server that was faster is no failure.
fn not_by_another(done: Result<(), Error>) -> Result<(), Error> {
    match done {
        Err(Error::Conflict) => Ok(()),
        other => other,
    }
}
