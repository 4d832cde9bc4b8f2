//! TEXTS: queued messages leave by a way out, what comes in is stored, and acted on.
//!
//! A message is claimed before its way is asked to send it, so that none is sent twice: a server that dies in
//! between leaves it `sending`, and makes it `unknown` when it comes back. What was refused is tried again, by
//! another way if there is one; what nobody knows about is sent again only if a person wants it.
//!
//! Each way has workers of its own, so that two send twice as fast; `order` says which sends what. What is most
//! urgent goes first: the first page about an incident before anything else.

mod answers;
mod inbound;
mod order;
mod standing;
mod twilio;
mod way;
mod words;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{task::JoinSet, time::MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use self::way::Outcome;
pub use self::{answers::Answers, order::Order, twilio::Settings as TwilioSettings, way::Way, words::Words};
use crate::{
    bus::{Bell, Bus},
    clock::Clock,
    engine::Engine,
    failpoint,
    id::{ContactId, MessageId},
    phone::NumberingPlan,
    route::destination::Rules,
    store::{self, Message, MessageKind, Store},
    watch::Board,
};

/// The longest pause between two looks at the rows.
const POLL: Duration = Duration::from_secs(1);
/// Messages that are looked at in one go.
const BATCH: u64 = 100;
/// The longest pause between two tries.
const LONGEST: TimeDelta = TimeDelta::minutes(5);
/// No text takes so long: whoever was sending it is gone.
const STUCK: TimeDelta = TimeDelta::minutes(30);
/// Reports about what is not ours are kept so long.
const STRAYS: TimeDelta = TimeDelta::days(1);

/// How texts are sent.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which way sends what.
    pub order: Order,
    /// Messages that one text may take.
    pub segments: u8,
    /// What they say.
    pub words: Arc<Words>,
    /// Texts to one number in any hour.
    pub per_hour: u32,
    /// Whether the network is asked what became of each.
    pub reports: bool,
    /// From a refused try to the next; then twice as long each time.
    pub retry: TimeDelta,
    /// How answers are understood.
    pub answers: Answers,
    /// How numbers are read.
    pub plan: NumberingPlan,
    /// Where texts may go.
    pub rules: Rules,
    /// Who wants to know how the ways are.
    pub watch: Board,
    /// The name of this server.
    pub node: String,
    /// How long what is being sent may take when the server stops.
    pub grace: Duration,
}

/// What the workers share.
struct Shared {
    store: Store,
    engine: Engine,
    bus: Bus,
    clock: Clock,
    settings: Settings,
}

/// The texter.
pub struct Texter {
    shared: Arc<Shared>,
    ways: Vec<Way>,
}

impl Texter {
    /// A texter with these ways out, in order.
    #[must_use]
    pub fn new(store: Store, engine: Engine, bus: Bus, clock: Clock, ways: Vec<Way>, settings: Settings) -> Self {
        Self { shared: Arc::new(Shared { store, engine, bus, clock, settings }), ways }
    }

    /// Sends texts until `shutdown`. What is being sent then gets some time to be over.
    pub async fn run(mut self, shutdown: CancellationToken) {
        if !self.begin(&shutdown).await {
            return;
        }
        let (mut workers, mut listeners) = (JoinSet::new(), JoinSet::new());
        for way in &mut self.ways {
            let name = way.name().to_owned();
            let now = self.shared.clock.now();
            self.shared.settings.watch.way_is(&name, false, "is being opened".into(), now);
            if let Some(notices) = way.take_notices() {
                listeners.spawn(inbound::listen(Arc::clone(&self.shared), name, notices));
            }
        }
        let ways: Arc<[Way]> = self.ways.into();
        for place in 0..ways.len() {
            for _ in 0..ways[place].at_once() {
                let worker = Worker { shared: Arc::clone(&self.shared), ways: Arc::clone(&ways), place };
                workers.spawn(worker.run(shutdown.clone()));
            }
            listeners.spawn(twilio::tend(Arc::clone(&self.shared), Arc::clone(&ways), place));
        }
        listeners.spawn(sweep(Arc::clone(&self.shared), shutdown.clone()));
        listeners.spawn(answers::run(Arc::clone(&self.shared), shutdown.clone()));
        shutdown.cancelled().await;
        let done = async { while workers.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shared.settings.grace, done).await.is_err() {
            tracing::warn!("a text is still being sent: whether it was will not be known");
        }
    }

    /// What this server was about to send when it died may have left. Until that is written down nothing is sent.
    async fn begin(&self, shutdown: &CancellationToken) -> bool {
        while !shutdown.is_cancelled() {
            let Shared { store, clock, settings, .. } = &*self.shared;
            let now = clock.now();
            match store.messages_left_behind(Some(&settings.node), now - STUCK, now).await {
                Ok(0) => return true,
                Ok(messages) => {
                    tracing::warn!(
                        messages,
                        "texts were being sent when the server died: whether they were is unknown"
                    );
                    return true;
                }
                Err(error) => tracing::error!(%error, "what was being sent is not known; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(POLL) => {}
                () = shutdown.cancelled() => {}
            }
        }
        false
    }
}

/// Looks now and then at what comes of time alone.
async fn sweep(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(POLL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = try_sweep(&shared).await {
            tracing::error!(%error, "the texts that wait cannot be looked at; trying again");
        }
    }
}

async fn try_sweep(shared: &Shared) -> Result<(), store::Error> {
    let (store, now) = (&shared.store, shared.clock.now());
    let expired = store.expire_messages(now).await?;
    if expired > 0 {
        tracing::warn!(expired, "texts were not sent in time");
        let expired = u64::try_from(expired).unwrap_or(u64::MAX);
        metrics::counter!("ringdown_texts_total", "route" => "", "outcome" => "expired").increment(expired);
    }
    let waiting = u32::try_from(store.messages_waiting().await?).unwrap_or(u32::MAX);
    metrics::gauge!("ringdown_texts_waiting").set(waiting);
    store.messages_left_behind(None, now - STUCK, now).await?;
    store.take_what_is_incomplete(now - inbound::PATIENCE, inbound::join, now).await?;
    store.forget_reports(now - STRAYS).await?;
    Ok(())
}

/// A page that was never tried.
fn is_new(message: &Message) -> bool {
    message.kind == MessageKind::Page && message.body.is_none() && message.attempts == 0
}

/// In which language somebody is written to.
async fn language(store: &Store, contact: Option<ContactId>) -> Result<String, store::Error> {
    let contact = match contact {
        Some(id) => store.contact(id).await?,
        None => None,
    };
    Ok(contact.map_or_else(|| words::LANGUAGE.to_owned(), |contact| contact.data.language))
}

/// Sends by one of the ways.
struct Worker {
    shared: Arc<Shared>,
    ways: Arc<[Way]>,
    place: usize,
}

impl Worker {
    async fn run(self, shutdown: CancellationToken) {
        let mut ear = self.shared.bus.listen(Bell::Texts);
        let mut changes = self.way().watch();
        while !shutdown.is_cancelled() {
            match self.send_one().await {
                Ok(true) => continue,
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "the texts that wait cannot be looked at; trying again"),
            }
            tokio::select! {
                () = ear.rung() => {}
                () = changes.next() => {}
                () = tokio::time::sleep(POLL) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    fn way(&self) -> &Way {
        &self.ways[self.place]
    }

    /// Sends what is most urgent of what is to go this way. `false` if there is nothing.
    async fn send_one(&self) -> Result<bool, store::Error> {
        let Shared { store, clock, settings, .. } = &*self.shared;
        let now = clock.now();
        let up: Vec<bool> = self.ways.iter().map(|way| way.is_up(now)).collect();
        if !up[self.place] {
            return Ok(false);
        }
        let waiting = store.waiting_messages(settings.per_hour.into(), clock.now(), BATCH).await?;
        for message in &waiting {
            let refused = message.route.as_deref().and_then(|name| self.ways.iter().position(|way| way.name() == name));
            if !settings.order.chooses(self.place, &up, refused) {
                continue;
            }
            let Some((body, ids)) = self.says(message, &waiting).await? else { continue };
            let by = (&*settings.node, self.way().name());
            let claimed = match ids.len() {
                1 => store.claim_message(message.id, by, body, clock.now()).await?,
                _ => match store.claim_bundle(ids, by, body, clock.now()).await {
                    // One of them has gone meanwhile: what is left is told anew.
                    Err(store::Error::Conflict) => return Ok(true),
                    claimed => claimed?,
                },
            };
            let Some(message) = claimed else { continue };
            failpoint::reach("text.claimed");
            self.send(&message, &up).await;
            return Ok(true);
        }
        Ok(false)
    }

    /// What a message says: what it was to say, or how things are now; and for which messages. A page tells of what
    /// waits for the same number, too, so that a storm is a few texts.
    async fn says(
        &self,
        message: &Message,
        waiting: &[Message],
    ) -> Result<Option<(String, Vec<MessageId>)>, store::Error> {
        let alone = vec![message.id];
        if let Some(body) = &message.body {
            return Ok(Some((body.clone(), alone)));
        }
        let Shared { store, settings, .. } = &*self.shared;
        let Some(id) = message.incident else { return Ok(None) };
        let Some(incident) = store.incident(id).await? else { return Ok(None) };
        let code = store.code_of(id).await?;
        let language = language(store, message.contact).await?;
        let with = |other: &&Message| other.id != message.id && other.number == message.number && is_new(other);
        if let (true, Some(code)) = (is_new(message), code) {
            let mut ids = alone.clone();
            let mut all = vec![(incident.content.clone(), code)];
            for other in waiting.iter().filter(with).take(words::MOST - 1) {
                let Some(id) = other.incident else { continue };
                if let (Some(incident), Some(code)) = (store.incident(id).await?, store.code_of(id).await?) {
                    ids.push(other.id);
                    all.push((incident.content, code));
                }
            }
            if let Some((text, count)) = settings.words.several(&language, &all) {
                ids.truncate(count);
                return Ok(Some((text, ids)));
            }
        }
        Ok(Some((settings.words.about(message.kind, &language, id, &incident.content, code), alone)))
    }

    async fn send(&self, message: &Message, up: &[bool]) {
        let Shared { bus, clock, settings, .. } = &*self.shared;
        let outcome = match settings.rules.check(&message.number) {
            Err(refusal) => Outcome::Refused { why: refusal.to_string(), permanent: true },
            Ok(()) => self.way().send(&self.shared, message).await,
        };
        let now = clock.now();
        let name = match &outcome {
            Outcome::Sent => "sent",
            Outcome::Refused { .. } => "refused",
            Outcome::Unknown { .. } => "unknown",
        };
        let route = self.way().name().to_owned();
        metrics::counter!("ringdown_texts_total", "route" => route.clone(), "outcome" => name).increment(1);
        if let (Outcome::Sent, Ok(took)) = (&outcome, (now - message.created_at).to_std()) {
            metrics::histogram!("ringdown_text_seconds", "route" => route).record(took);
        }
        self.write_down(message.id, &outcome, self.next(message, &outcome, up, now)).await;
        // What was refused may go another way at once.
        bus.ring(Bell::Texts);
    }

    /// When what was refused is tried again; `None` if it would be refused again by every way.
    fn next(&self, message: &Message, outcome: &Outcome, up: &[bool], now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let ways = u32::try_from(up.iter().filter(|up| **up).count().max(1)).unwrap_or(1);
        let (round, others_left) = (message.attempts / ways, !message.attempts.is_multiple_of(ways));
        let permanent = matches!(outcome, Outcome::Refused { permanent: true, .. });
        let barred = self.shared.settings.rules.check(&message.number).is_err();
        if others_left && !barred {
            return Some(now);
        }
        let pause = self.shared.settings.retry * 2_i32.pow(round.saturating_sub(1).min(10));
        (!permanent).then(|| now + pause.min(LONGEST))
    }

    async fn write_down(&self, id: MessageId, outcome: &Outcome, next: Option<DateTime<Utc>>) {
        let Shared { store, clock, .. } = &*self.shared;
        loop {
            let now = clock.now();
            let written = match outcome {
                Outcome::Sent => Ok(()),
                Outcome::Unknown { why } => store.message_unknown(id, why.clone(), now).await,
                Outcome::Refused { why, .. } => match next {
                    Some(next) => store.message_refused(id, why.clone(), next, now).await,
                    None => store.message_failed(id, why.clone(), now).await,
                },
            };
            match written {
                Ok(()) => return,
                Err(error) => {
                    tracing::error!(message = %id, %error, "what became of a text cannot be stored; trying again");
                    tokio::time::sleep(POLL).await;
                }
            }
        }
    }
}
