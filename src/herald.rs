//! READS WHAT HAS HAPPENED, once for all who listen.
//!
//! One task reads new events from their rows and hands each, made ready to be sent, to everybody who
//! listens. Whoever cannot keep up reads the rows themselves, from where they were: a slow listener
//! holds up nobody, and nobody misses anything. Knows no HTTP.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    id::{CallId, IncidentId},
    store::{Error, Happened, Store},
};

/// Events that are kept for who is behind; further behind, they read rows.
const KEPT: usize = 1024;
/// Rows in one look.
const PAGE: u64 = 500;
/// The longest pause between two looks: other servers write too.
const POLL: Duration = Duration::from_secs(1);
/// What happens within this time goes to a listener together.
const PACE: Duration = Duration::from_millis(100);
/// Events that go to a listener together, at most.
const TOGETHER: usize = 1000;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Herald {
    store: Store,
    news: broadcast::Sender<Arc<News>>,
    /// Where the reader begins.
    begin: i64,
    places: Arc<Semaphore>,
    /// Rings when somebody begins to listen.
    listened: Arc<Notify>,
    shutdown: CancellationToken,
}

/// An event that is ready to be sent.
#[derive(Debug)]
pub struct News {
    /// Its place among all events.
    pub sequence: i64,
    /// What.
    pub kind: String,
    /// The call it is about.
    pub call: Option<CallId>,
    /// The incidents it is about.
    pub incidents: Vec<IncidentId>,
    /// All of it, as it is sent: `api` documents it.
    pub json: String,
}

/// An event as it is sent.
#[derive(Serialize)]
struct Document<'a> {
    id: Uuid,
    sequence: i64,
    at: String,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    incident: Option<Uuid>,
    incidents: Vec<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<Uuid>,
    data: &'a serde_json::Value,
}

impl News {
    /// Makes an event ready.
    #[must_use]
    pub fn new(happened: &Happened) -> Self {
        let document = Document {
            id: happened.id.0,
            sequence: happened.sequence,
            at: happened.at.to_rfc3339(),
            kind: &happened.kind,
            text: happened.sentence(),
            incident: happened.incidents.first().map(|id| id.0),
            incidents: happened.incidents.iter().map(|id| id.0).collect(),
            call: happened.call.map(|id| id.0),
            message: happened.message.map(|id| id.0),
            schedule: happened.schedule.map(|id| id.0),
            data: &happened.data,
        };
        Self {
            sequence: happened.sequence,
            kind: happened.kind.clone(),
            call: happened.call,
            incidents: happened.incidents.clone(),
            json: serde_json::to_string(&document).unwrap_or_default(),
        }
    }
}

/// Which events somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Of these kinds; of all, if there are none.
    pub kinds: Vec<String>,
    /// About this incident.
    pub incident: Option<IncidentId>,
    /// About this call.
    pub call: Option<CallId>,
}

impl Wanted {
    /// Whether this is one of them.
    #[must_use]
    pub fn takes(&self, news: &News) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&news.kind))
            && self.incident.is_none_or(|incident| news.incidents.contains(&incident))
            && self.call.is_none_or(|call| news.call == Some(call))
    }
}

impl Herald {
    /// One that tells `listeners` at once, at most, of what happens from now on. They are sent away at
    /// `shutdown`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn new(store: Store, listeners: usize, shutdown: CancellationToken) -> Result<Self, Error> {
        let begin = store.last_event().await?;
        Ok(Self { begin, places: Arc::new(Semaphore::new(listeners)), shutdown, ..Self::nowhere(store) })
    }

    /// One that tells nobody anything.
    #[must_use]
    pub fn nowhere(store: Store) -> Self {
        Self {
            store,
            news: broadcast::Sender::new(KEPT),
            begin: 0,
            places: Arc::new(Semaphore::new(0)),
            listened: Arc::default(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Somebody who hears of what is `wanted`: from the event after `after`, or from now on. `None` if
    /// too many listen already.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn listen(&self, wanted: Wanted, after: Option<i64>) -> Result<Option<Listener>, Error> {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return Ok(None) };
        // Before the rows are looked at, so that nothing falls in between.
        let news = self.news.subscribe();
        self.listened.notify_one();
        let position = match after {
            Some(after) => after,
            None => self.store.last_event().await?,
        };
        Ok(Some(Listener {
            store: self.store.clone(),
            news,
            wanted,
            position,
            behind: true,
            ready: VecDeque::new(),
            told_at: None,
            shutdown: self.shutdown.clone(),
            _place: place,
        }))
    }

    /// Reads and tells until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut written = self.store.events_written();
        let mut position = self.begin;
        while !shutdown.is_cancelled() {
            match self.look(position).await {
                Ok((read, more)) => {
                    position = read;
                    if more {
                        continue;
                    }
                }
                Err(error) => tracing::error!(%error, "what has happened cannot be read; trying again"),
            }
            // While nobody listens, what is written is nobody's news.
            let listened = self.news.receiver_count() > 0;
            tokio::select! {
                _ = written.changed(), if listened => {}
                () = self.listened.notified() => {}
                () = sleep(POLL) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Tells what happened after `position`. Returns up to where, and whether there may be more.
    async fn look(&self, position: i64) -> Result<(i64, bool), Error> {
        // In this order: whoever comes after the count reads rows up to `last` themselves.
        let last = self.store.last_event().await?;
        if self.news.receiver_count() == 0 || last <= position {
            return Ok((last.max(position), false));
        }
        let page = self.store.events_after(position, PAGE).await?;
        let read = page.last().map_or(position, |happened| happened.sequence);
        for happened in &page {
            // Nobody may be listening any more: that is all right.
            let _ = self.news.send(Arc::new(News::new(happened)));
        }
        Ok((read, page.len() as u64 == PAGE))
    }
}

/// Somebody who listens.
pub struct Listener {
    store: Store,
    news: broadcast::Receiver<Arc<News>>,
    wanted: Wanted,
    /// The last event that was looked at.
    position: i64,
    /// Whether rows must be read to catch up.
    behind: bool,
    ready: VecDeque<Arc<News>>,
    told_at: Option<Instant>,
    shutdown: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// What has happened since the last time, in order: at least one event, and whatever else there is.
    /// Comes at most ten times a second. `None` once the server stops.
    pub async fn next(&mut self) -> Option<Vec<Arc<News>>> {
        let shutdown = self.shutdown.clone();
        tokio::select! {
            () = shutdown.cancelled() => None,
            together = self.gather() => together,
        }
    }

    async fn gather(&mut self) -> Option<Vec<Arc<News>>> {
        if let Some(told_at) = self.told_at {
            sleep_until(told_at + PACE).await;
        }
        loop {
            self.take_what_is_there().await?;
            if !self.ready.is_empty() {
                self.told_at = Some(Instant::now());
                return Some(self.ready.drain(..).collect());
            }
            match self.news.recv().await {
                Ok(news) => self.take(news),
                Err(broadcast::error::RecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn take_what_is_there(&mut self) -> Option<()> {
        while self.ready.len() < TOGETHER {
            if self.behind {
                match self.store.events_after(self.position, PAGE).await {
                    Ok(page) => {
                        self.behind = page.len() as u64 == PAGE;
                        page.iter().for_each(|happened| self.take(Arc::new(News::new(happened))));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a listener cannot catch up; trying again");
                        sleep(POLL).await;
                    }
                }
                continue;
            }
            match self.news.try_recv() {
                Ok(news) => self.take(news),
                Err(broadcast::error::TryRecvError::Lagged(_)) => self.behind = true,
                Err(broadcast::error::TryRecvError::Empty) => break,
                Err(broadcast::error::TryRecvError::Closed) => return None,
            }
        }
        Some(())
    }

    fn take(&mut self, news: Arc<News>) {
        if news.sequence > self.position {
            self.position = news.sequence;
            if self.wanted.takes(&news) {
                self.ready.push_back(news);
            }
        }
    }
}
