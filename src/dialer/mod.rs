//! DIALS: queued calls become `Originate`, AMI's events become the calls' outcomes.
//!
//! A call is claimed before `Originate` leaves, so that no phone rings twice for one attempt. It does
//! not leave without passing the destination rules. While there is no way out (no manager connection,
//! calls stopped, a cap reached) it stays in the queue: that is how a step holds.
//!
//! One loop looks at the rows and hands AMI's events to one task per call (`follow`).

mod follow;
mod nodes;
mod progress;
mod record;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use self::{
    follow::{Beginning, Step, follow},
    nodes::Heart,
    record::Recorder,
};
use crate::{
    ami::{Action, Client, Message, Notice, Notices},
    bus::{Bell, Bus},
    clock::Clock,
    engine::Engine,
    escalation::{Actor, Placing},
    failpoint,
    id::CallId,
    phone::PhoneNumber,
    route::{
        Capacity,
        destination::{Dialed, Refusal, Rules},
        turns::in_turn,
    },
    store::{self, Call, CallStatus, End, Entry, Fact, Store},
    watch::Board,
};

/// The longest pause between two looks at the rows. Short, since capacity comes back without a ring.
const POLL: Duration = Duration::from_millis(500);
/// How often the PBX is asked which calls it knows.
const ROLL: Duration = Duration::from_secs(10);
/// How long a PBX that lets us in is waited for until it says that it has booted: one whose manager user has no
/// `read=system` never says so.
const BOOTS: Duration = Duration::from_secs(10);
/// Queued calls that are read at once.
const BATCH: usize = 200;
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
    /// When the last calls were placed.
    placed: Vec<DateTime<Utc>>,
    /// Why a queued call waits, as the timeline has it.
    waiting: HashMap<CallId, String>,
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

/// The caps that one pass has found reached.
#[derive(Default)]
struct Capped {
    total: bool,
    prefixes: HashSet<Option<String>>,
}

impl Capped {
    fn reached(&self, prefix: Option<&str>) -> Option<Refusal> {
        if self.total {
            Some(Refusal::TotalCap)
        } else {
            self.prefixes.contains(&prefix.map(str::to_owned)).then_some(Refusal::PrefixCap)
        }
    }

    fn remember(&mut self, refusal: Refusal, prefix: Option<String>) {
        match refusal {
            Refusal::TotalCap => self.total = true,
            _ => drop(self.prefixes.insert(prefix)),
        }
    }
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
            placed: Vec::new(),
            waiting: HashMap::new(),
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
                () = ear.rung() => self.pass().await,
                _ = poll.tick() => self.pass().await,
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
        let calls = self.ours().await?;
        let orphans = calls.iter().any(|call| !self.live.contains_key(&call.id));
        if self.shared.ami.is_connected() && (orphans || !self.reconciled) {
            self.reconcile().await;
        }
        Ok(())
    }

    /// Looks at the rows once: what nobody needs, what must be interrupted, what can be placed.
    async fn pass(&mut self) {
        self.live.retain(|_, steps| !steps.is_closed());
        match self.try_pass().await {
            Ok(()) => self.shared.settings.watch.dialer_beats(self.shared.clock.now()),
            Err(error) => tracing::error!(%error, "the dialer cannot look at the calls; trying again"),
        }
    }

    async fn try_pass(&mut self) -> Result<(), store::Error> {
        let store = self.shared.store.clone();
        let stopped = store.kill_switch().await?.stopped;
        self.look_for_orphans().await?;
        for call in store.unneeded_calls().await? {
            let cancel = Step::Cancel { counts: true, listening: call.canceled };
            self.give_up(&call, cancel).await?;
        }
        if stopped {
            for call in self.ours().await? {
                self.give_up(&call, Step::Cancel { counts: false, listening: true }).await?;
            }
        }
        for (call, incident) in store.interrupted_calls().await? {
            if let Some(steps) = self.live.get(&call) {
                let _ = steps.try_send(Step::Interrupt(incident));
            }
        }
        self.place(stopped).await
    }

    async fn give_up(&mut self, call: &Call, cancel: Step) -> Result<(), store::Error> {
        if call.status == CallStatus::Pending {
            self.shared.store.end_call(call.id, End::not_needed(), None, self.shared.clock.now()).await?;
            self.waiting.remove(&call.id);
        } else if let Some(steps) = self.live.get(&call.id) {
            let _ = steps.try_send(cancel);
        }
        Ok(())
    }

    async fn place(&mut self, stopped: bool) -> Result<(), store::Error> {
        let no_way_out = if stopped {
            Some("calls are stopped (kill switch)".to_owned())
        } else if !self.reconciled || !self.shared.ami.is_connected() {
            Some("the PBX cannot be reached".to_owned())
        } else {
            self.heart.barred().map(|barred| barred.to_string())
        };
        // Whoever waits for a PBX that starts need not be told so: it takes seconds.
        if no_way_out.is_none() && (self.is_booting() || self.room(true) == 0) {
            return Ok(());
        }
        let waiting = self.shared.store.waiting_calls().await?;
        metrics::gauge!("ringdown_calls_waiting").set(u32::try_from(waiting.len()).unwrap_or(u32::MAX));
        let up = self.shared.store.policies_on_the_line().await?;
        // Whoever waits at a cap must not stand in the way of whoever does not: all are looked at.
        let mut capped = Capped::default();
        for turns in in_turn(&waiting, &up).chunks(BATCH) {
            let ids: Vec<CallId> = turns.iter().map(|turn| turn.call).collect();
            let calls = self.shared.store.pending_among(&ids).await?;
            let mut calls: HashMap<CallId, Call> = calls.into_iter().map(|call| (call.id, call)).collect();
            let turns = turns.iter().filter_map(|turn| Some((calls.remove(&turn.call)?, turn.first))).collect();
            match &no_way_out {
                Some(why) => self.all_wait(turns, why).await?,
                None if self.place_some(turns, &mut capped).await? => {}
                None => break,
            }
        }
        Ok(())
    }

    /// Whether the PBX is not yet to be trusted with a call: it lets managers in before its channel drivers are up.
    fn is_booting(&mut self) -> bool {
        let Some(until) = self.boots else { return false };
        if Instant::now() < until {
            return true;
        }
        self.boots = None;
        tracing::warn!("the PBX does not say whether it is fully booted: its manager user has no read=system");
        false
    }

    /// How many calls may be placed now: the `first` of a policy, or any.
    fn room(&mut self, first: bool) -> u32 {
        let now = self.shared.clock.now();
        self.placed.retain(|at| *at > now - TimeDelta::seconds(1));
        let capacity = self.shared.settings.capacity;
        let kept = if first { 0 } else { capacity.reserve() };
        let taken = u32::try_from(self.live.len()).unwrap_or(u32::MAX).saturating_add(kept);
        capacity.free(taken, &self.placed, now)
    }

    async fn all_wait(&mut self, calls: Vec<(Call, bool)>, why: &str) -> Result<(), store::Error> {
        for (call, _) in calls {
            self.waits(&call, why.to_owned()).await?;
        }
        Ok(())
    }

    /// Places what can be placed of these. Returns false when no more fit on the route.
    async fn place_some(&mut self, calls: Vec<(Call, bool)>, capped: &mut Capped) -> Result<bool, store::Error> {
        for (call, first) in calls {
            if self.room(first) == 0 {
                // Whoever comes after this is no first one either.
                return Ok(false);
            }
            let now = self.shared.clock.now();
            let prefix = self.shared.settings.rules.prefix(&call.number).map(str::to_owned);
            let allowed = match capped.reached(prefix.as_deref()) {
                Some(refusal) => Err(refusal),
                None => self.allowed(&call, now).await?,
            };
            match allowed {
                Ok(()) => {}
                Err(refusal @ (Refusal::PrefixCap | Refusal::TotalCap)) => {
                    capped.remember(refusal, prefix);
                    self.waits(&call, refusal.to_string()).await?;
                    continue;
                }
                Err(refusal) => {
                    tracing::error!(call = %call.id, %refusal, "a call was refused by the destination rules");
                    self.shared.refuse(&call, refusal).await?;
                    continue;
                }
            }
            if self.shared.store.claim_call(&call, self.heart.own(), now).await? {
                failpoint::reach("call.claimed");
                self.waiting.remove(&call.id);
                self.placed.push(now);
                (self.prepare)(call.id);
                self.follow(Call { status: CallStatus::Dialing, ..call }, Beginning::Claimed);
            }
        }
        Ok(true)
    }

    async fn allowed(&self, call: &Call, now: DateTime<Utc>) -> Result<Result<(), Refusal>, store::Error> {
        let rules = &self.shared.settings.rules;
        if let Err(refusal) = rules.check(&call.number) {
            return Ok(Err(refusal));
        }
        let hour_ago = now - TimeDelta::hours(1);
        let counts = self.shared.store.dialed_since(hour_ago, &call.line, rules.prefix(&call.number)).await?;
        let dialed = Dialed { contact: counts.line, prefix: counts.prefix, total: counts.total };
        Ok(rules.check_caps(dialed))
    }

    /// Says once in the timeline, and in the log, why a call waits.
    async fn waits(&mut self, call: &Call, why: String) -> Result<(), store::Error> {
        if self.waiting.get(&call.id) == Some(&why) {
            return Ok(());
        }
        tracing::error!(call = %call.id, %why, "a call waits");
        let entry = Entry {
            incident: None,
            call: Some(call.id),
            message: None,
            at: self.shared.clock.now(),
            fact: Fact::CallWaits { why: why.clone() },
        };
        self.shared.store.note(vec![entry]).await?;
        if self.waiting.len() > 10_000 {
            self.waiting.clear();
        }
        self.waiting.insert(call.id, why);
        Ok(())
    }

    fn follow(&mut self, call: Call, begin: Beginning) -> mpsc::Sender<Step> {
        let (to_task, steps) = mpsc::channel(STEPS);
        self.live.insert(call.id, to_task.clone());
        self.tasks.spawn(follow(Arc::clone(&self.shared), call, begin, steps));
        to_task
    }
}

impl Shared {
    /// Writes a call's end down, has its next number dialled, and tells the engine if it found no route.
    async fn end(&self, call: &Call, end: &End, placing: &Placing) -> Result<(), store::Error> {
        if let (CallStatus::Completed, Some(connect)) = (end.status, &placing.connect) {
            // They were handed to the PBX, which is all that was asked for.
            for carried in self.store.carried_by(call.id).await? {
                self.engine.resolve(carried.incident, Actor::Source(format!("the PBX ({})", connect.context))).await?;
            }
        }
        let next = match end.status {
            CallStatus::Busy | CallStatus::NoAnswer | CallStatus::Rejected => self.next_number(call).await?,
            CallStatus::Failed if end.found_route => self.next_number(call).await?,
            _ => None,
        };
        if !self.store.end_call(call.id, end.clone(), next, self.clock.now()).await? {
            return Ok(());
        }
        tracing::info!(call = %call.id, status = %end.status, cause = end.cause, "call is over");
        metrics::counter!("ringdown_calls_total", "route" => ROUTE, "outcome" => end.status.as_str()).increment(1);
        if end.found_route {
            if end.status == CallStatus::Failed {
                // Somebody must mend the address book; the record and the timeline say which number it was.
                tracing::warn!(call = %call.id, contact = ?call.contact, nth = call.number_index + 1, "there is no such number");
                metrics::counter!("ringdown_wrong_numbers_total").increment(1);
            }
            return Ok(());
        }
        metrics::counter!("ringdown_calls_without_route_total", "route" => ROUTE).increment(1);
        for carried in self.store.carried_by(call.id).await? {
            self.engine.found_no_route(carried.incident, carried.at).await?;
        }
        Ok(())
    }

    async fn refuse(&self, call: &Call, refusal: Refusal) -> Result<(), store::Error> {
        metrics::counter!("ringdown_calls_refused_total").increment(1);
        let now = self.clock.now();
        let fact = Fact::CallRefused { to: call.to.clone(), why: refusal.to_string() };
        self.store.note(vec![Entry { incident: None, call: Some(call.id), message: None, at: now, fact }]).await?;
        let end = End {
            cause_text: "never placed".to_owned(),
            found_route: true,
            failure: Some(refusal.to_string()),
            ..follow::route_failed("")
        };
        // Within the contact's cap the next number is no better.
        let next = if refusal == Refusal::ContactCap { None } else { self.next_number(call).await? };
        self.store.end_call(call.id, end, next, now).await?;
        self.bus.ring(Bell::Calls);
        self.bus.ring(Bell::Engine);
        Ok(())
    }

    /// The call never left: it goes back to the queue.
    async fn unclaim(&self, call: &Call) -> Result<(), store::Error> {
        self.store.unclaim_call(call.id).await
    }

    /// The contact's next number after the one that was tried.
    async fn next_number(&self, call: &Call) -> Result<Option<(PhoneNumber, u32)>, store::Error> {
        let Some(id) = call.contact else { return Ok(None) };
        let Some(contact) = self.store.contact(id).await?.filter(|contact| contact.data.enabled) else {
            return Ok(None);
        };
        let index = call.number_index + 1;
        Ok(contact.number(index).map(|number| (number.clone(), index)))
    }
}
