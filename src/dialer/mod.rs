//! DIALS: queued calls become `Originate`, AMI's events become the calls' outcomes.
//!
//! A call is claimed before `Originate` leaves, so that no phone rings twice for one attempt. It does
//! not leave without passing the destination rules. While there is no way out (no manager connection,
//! calls stopped, a cap reached) it stays in the queue: that is how a step holds.
//!
//! One loop looks at the rows (`pace`), lets calls leave (`depart`) and hands AMI's events to one task per call
//! (`follow`), which writes down what becomes of it (`outcome`).

mod depart;
mod follow;
mod nodes;
mod outcome;
mod pace;
mod progress;
mod record;

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, sleep_until},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    depart::Departures,
    follow::{Beginning, Step, follow},
    nodes::Heart,
    pace::Pace,
    record::Recorder,
};
use crate::{
    ami::{Action, Client, Message, Notice, Notices},
    bus::{Bell, Bus},
    clock::Clock,
    engine::Engine,
    id::CallId,
    route::{Capacity, destination::Rules},
    store::{self, Call, CallStatus, End, Store},
    watch::Board,
};

/// The longest pause between two looks at the rows. Short, since capacity comes back without a ring.
const POLL: Duration = Duration::from_millis(500);
/// How often calls that wait and nobody needs are taken out of the queue.
const SWEEP: Duration = Duration::from_secs(1);
/// How often the PBX is asked which calls it knows.
const ROLL: Duration = Duration::from_secs(10);
/// How long a PBX that lets us in is waited for until it says that it has booted: one whose manager user has no
/// `read=system` never says so.
const BOOTS: Duration = Duration::from_secs(10);
/// Steps that may wait for one call's task. A call has some forty events.
const STEPS: usize = 256;

/// The way out that calls take, as the figures name it.
const ROUTE: &str = "asterisk";

/// The events that the manager connection should deliver.
pub const EVENTS: &[&str] = progress::EVENTS;

/// How calls are placed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What to dial, with `{number}` in it.
    pub dial: String,
    /// Where an answered call lands.
    pub context: String,
    /// The number that is shown.
    pub caller_id: Option<String>,
    /// Seconds that a phone rings.
    pub ring_timeout: u32,
    /// How many calls, how fast.
    pub capacity: Capacity,
    /// What may be dialled.
    pub rules: Rules,
    /// Where the PBX finds our FastAGI server.
    pub agi_url: String,
    /// The sound directory, as the PBX sees it.
    pub sounds: String,
    /// Who wants to know that it works, and which calls the PBX knows.
    pub watch: Board,
    /// Whether Asterisk's events of our channels are kept.
    pub keep_events: bool,
    /// The name of this server, which its calls bear: the same after a restart, and no other's.
    pub node: String,
    /// This server since it was started.
    pub instance: Uuid,
}

/// Prepares what will be said in a call, while its phone rings.
pub type Prepare = Arc<dyn Fn(CallId) + Send + Sync>;

/// What the loop and the calls' tasks share.
struct Shared {
    store: Store,
    engine: Engine,
    bus: Bus,
    clock: Clock,
    ami: Client,
    settings: Settings,
}

/// The dialer.
pub struct Dialer {
    shared: Arc<Shared>,
    notices: Notices,
    prepare: Prepare,
    live: HashMap<CallId, mpsc::Sender<Step>>,
    departures: Departures,
    pace: Pace,
    /// When calls without a task were last looked for, and those that wait and nobody needs.
    orphans: Option<Instant>,
    swept: Option<Instant>,
    tasks: TaskTracker,
    /// The rows were compared with the live channels since the connection came up, and no event was
    /// missed since. Nothing is placed before that: a call that has no channel yet would be taken for lost.
    reconciled: bool,
    /// The PBX lets us in, and has not said yet that all of it is up: until then it is given time.
    boots: Option<Instant>,
    /// A manager connection was up before.
    connected_before: bool,
    recorder: Recorder,
    heart: Heart,
}

impl Dialer {
    /// A dialer on this manager connection.
    #[must_use]
    pub fn new(
        store: Store,
        engine: Engine,
        bus: Bus,
        clock: Clock,
        (ami, notices): (Client, Notices),
        settings: Settings,
        prepare: Prepare,
    ) -> Self {
        let recorder = Recorder::start(&store, settings.keep_events);
        let heart = Heart::new(&settings.node, settings.instance);
        let shared = Arc::new(Shared { store, engine, bus, clock, ami, settings });
        Self {
            shared,
            notices,
            prepare,
            live: HashMap::new(),
            departures: Departures::default(),
            pace: Pace::new(),
            orphans: None,
            swept: None,
            tasks: TaskTracker::new(),
            reconciled: false,
            boots: None,
            connected_before: false,
            recorder,
            heart,
        }
    }

    /// Places calls until `shutdown`. Calls that are under way then stay up: the next process adopts them.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let mut ear = self.shared.bus.listen(Bell::Calls);
        // An interval, not a sleep: a stream of events must not put the next look off for ever.
        let mut poll = tokio::time::interval(POLL);
        let mut roll = tokio::time::interval(ROLL);
        roll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let beating = self.heart.clone().run(self.shared.store.clone(), self.shared.clock.clone(), shutdown.clone());
        self.tasks.spawn(beating);
        loop {
            tokio::select! {
                // In this order: a look at a long queue takes its time, and rings for the next one. What happened
                // to calls must not wait behind one look each.
                biased;
                () = shutdown.cancelled() => return self.recorder.stop().await,
                notice = self.notices.next() => match notice {
                    Some(notice) => self.notice(notice).await,
                    None => return,
                },
                _ = roll.tick() => self.call_the_roll(),
                () = sleep_until(self.pace.next()), if self.pace.is_asked() => self.pass().await,
                () = ear.rung() => self.look().await,
                _ = poll.tick() => self.look().await,
            }
        }
    }

    /// Tells whoever watches which of our calls the PBX knows. Beside the loop: it may take its time.
    fn call_the_roll(&self) {
        let (shared, asked) = (Arc::clone(&self.shared), self.shared.clock.now());
        if !shared.ami.is_connected() {
            return;
        }
        self.tasks.spawn(async move {
            match shared.ami.list(Action::new("Status"), "StatusComplete").await {
                Ok(channels) => {
                    let calls = channels.iter().filter_map(progress::call_of).collect();
                    shared.settings.watch.pbx_knows(asked, calls);
                }
                Err(error) => tracing::debug!(%error, "the live channels are not known"),
            }
        });
    }

    async fn notice(&mut self, notice: Notice) {
        match notice {
            Notice::Event(message) if message.event() == Some("FullyBooted") => {
                self.boots = None;
                self.pass().await;
            }
            Notice::Event(message) => {
                let Some(id) = progress::call_of(&message) else { return };
                self.recorder.record(id, &message, self.shared.clock.now());
                // A task that does not keep up with its own call's events loses some, and finds out by reconciliation.
                if let Some(steps) = self.live.get(&id) {
                    let _ = steps.try_send(Step::Event(Box::new(message)));
                }
            }
            Notice::Connected { banner } => {
                tracing::info!(%banner, "manager connection is up");
                metrics::gauge!("ringdown_ami_connected").set(1);
                if std::mem::replace(&mut self.connected_before, true) {
                    metrics::counter!("ringdown_ami_reconnects_total").increment(1);
                }
                self.boots = Some(Instant::now() + BOOTS);
                self.reconcile().await;
                self.pass().await;
            }
            Notice::Disconnected { reason } => {
                tracing::error!(%reason, "manager connection is down: no call can be placed");
                self.reconciled = false;
                metrics::gauge!("ringdown_ami_connected").set(0);
            }
            Notice::Lost { events } => {
                tracing::warn!(events, "manager events were lost; asking for the live channels");
                metrics::counter!("ringdown_ami_events_lost_total").increment(events);
                self.reconcile().await;
            }
        }
    }

    /// Compares the calls that should be up with the channels that are.
    async fn reconcile(&mut self) {
        self.live.retain(|_, steps| !steps.is_closed());
        self.reconciled = false;
        let channels = match self.shared.ami.list(Action::new("Status"), "StatusComplete").await {
            Ok(channels) => channels,
            Err(error) => return tracing::warn!(%error, "the live channels are not known; asking again"),
        };
        let mut by_call: HashMap<CallId, Vec<Message>> = HashMap::new();
        for channel in channels {
            if let Some(id) = progress::call_of(&channel) {
                by_call.entry(id).or_default().push(channel);
            }
        }
        if let Err(error) = self.adopt(by_call).await {
            return tracing::error!(%error, "the calls under way are not known");
        }
        self.reconciled = true;
    }

    /// Tells each call's task which channels it has; calls without a task get one.
    async fn adopt(&mut self, mut channels: HashMap<CallId, Vec<Message>>) -> Result<(), store::Error> {
        for call in self.ours().await? {
            let channels = channels.remove(&call.id).unwrap_or_default();
            if let Some(steps) = self.live.get(&call.id) {
                let _ = steps.send(Step::Reconciled(channels)).await;
                continue;
            }
            let (from, own) = (call.node.as_deref(), self.heart.own());
            if from == Some(own) || self.shared.store.adopt_call(call.id, from, own).await? {
                tracing::info!(call = %call.id, from, alive = !channels.is_empty(), "adopting a call");
                let steps = self.follow(call, Beginning::Adopted(Vec::new()));
                let _ = steps.send(Step::Reconciled(channels)).await;
            }
        }
        Ok(())
    }

    /// The calls under way that this server follows: its own, those of servers that live no longer.
    async fn ours(&self) -> Result<Vec<Call>, store::Error> {
        let mut calls = self.shared.store.calls_on_the_line().await?;
        calls.retain(|call| self.live.contains_key(&call.id) || self.heart.follows(call.node.as_deref()));
        Ok(calls)
    }

    /// A call that has a row and no task: its end could not be stored when it came.
    async fn look_for_orphans(&mut self) -> Result<(), store::Error> {
        if self.reconciled && self.orphans.is_some_and(|looked| looked.elapsed() < POLL) {
            return Ok(());
        }
        let calls = self.ours().await?;
        // Only once they are known: if they cannot be read, that is to be seen at each look.
        self.orphans = Some(Instant::now());
        let orphans = calls.iter().any(|call| !self.live.contains_key(&call.id));
        if self.shared.ami.is_connected() && (orphans || !self.reconciled) {
            self.reconcile().await;
        }
        Ok(())
    }

    /// Looks at the rows if it is time, else as soon as it is. Lines that are free are used meanwhile.
    async fn look(&mut self) {
        if self.pace.is_time() {
            return self.pass().await;
        }
        self.pace.ask();
        self.live.retain(|_, steps| !steps.is_closed());
        if let Err(error) = self.fill().await {
            tracing::error!(%error, "the dialer cannot place the next calls; trying again");
        }
    }

    /// Looks at the rows once: what nobody needs, what must be interrupted, what can be placed.
    async fn pass(&mut self) {
        let began = Instant::now();
        self.live.retain(|_, steps| !steps.is_closed());
        match self.try_pass().await {
            Ok(()) => self.shared.settings.watch.dialer_beats(self.shared.clock.now()),
            Err(error) => tracing::error!(%error, "the dialer cannot look at the calls; trying again"),
        }
        self.pace.looked(began);
    }

    async fn try_pass(&mut self) -> Result<(), store::Error> {
        let store = self.shared.store.clone();
        let glance = store.glance().await?;
        let stopped = glance.kill_switch.stopped;
        self.look_for_orphans().await?;
        // Those that wait and nobody needs cannot leave: they may stay for a while.
        let sweeps = self.swept.is_none_or(|swept| swept.elapsed() >= SWEEP);
        if glance.unneeded || (sweeps && glance.waiting) {
            for call in store.unneeded_calls().await? {
                let cancel = Step::Cancel { counts: true, listening: call.canceled };
                self.give_up(&call, cancel).await?;
            }
            self.swept = Some(Instant::now());
        }
        if stopped {
            for call in self.ours().await? {
                self.give_up(&call, Step::Cancel { counts: false, listening: true }).await?;
            }
        }
        if glance.interrupted {
            for (call, incident) in store.interrupted_calls().await? {
                if let Some(steps) = self.live.get(&call) {
                    let _ = steps.try_send(Step::Interrupt(incident));
                }
            }
        }
        if glance.waiting {
            self.look_at_queue(stopped).await
        } else {
            self.departures.none_wait();
            Ok(())
        }
    }

    async fn give_up(&mut self, call: &Call, cancel: Step) -> Result<(), store::Error> {
        if call.status == CallStatus::Pending {
            self.shared.store.end_call(call.id, End::not_needed(), None, self.shared.clock.now()).await?;
            self.departures.forget(call.id);
        } else if let Some(steps) = self.live.get(&call.id) {
            let _ = steps.try_send(cancel);
        }
        Ok(())
    }

    fn follow(&mut self, call: Call, begin: Beginning) -> mpsc::Sender<Step> {
        let (to_task, steps) = mpsc::channel(STEPS);
        self.live.insert(call.id, to_task.clone());
        self.tasks.spawn(follow(Arc::clone(&self.shared), call, begin, steps));
        to_task
    }
}
