//! DEPARTS: which of the calls that wait leave now.
//!
//! All that wait are looked at now and then, and put in turn. As lines become free the next ones leave in that
//! order, which is no more than a hint: what has become of a call since is asked before it is claimed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

use super::{Dialer, follow::Beginning};
use crate::{
    failpoint,
    id::CallId,
    route::{
        destination::{Dialed, Refusal},
        turns::{Turn, in_turn},
    },
    store::{self, Call, CallStatus, Entry, Fact, Store},
};

/// Queued calls that are read at once.
const BATCH: usize = 200;
/// For so long what was dialled within the hour is believed, with what has left here since added. Other servers may
/// pass a cap by what they place meanwhile.
const BELIEF: Duration = Duration::from_secs(1);
/// Calls whose reason to wait is remembered.
const TOLD: usize = 10_000;

/// What is known of the calls that wait.
#[derive(Default)]
pub(super) struct Departures {
    /// Whose turn it is, as of the last look.
    turns: VecDeque<Turn<CallId>>,
    /// When the last calls were placed.
    placed: Vec<DateTime<Utc>>,
    /// Why a call waits, as the timeline has it.
    told: HashMap<CallId, String>,
    tally: Tally,
}

/// How many calls were dialled within the hour: to each prefix, and under `None` in all.
#[derive(Default)]
struct Tally {
    asked: Option<Instant>,
    dialed: HashMap<Option<String>, u32>,
}

impl Departures {
    /// Nothing is in the queue.
    pub(super) fn none_wait(&mut self) {
        metrics::gauge!("ringdown_calls_waiting").set(0);
        self.turns.clear();
    }

    /// It is over, and waits no longer.
    pub(super) fn forget(&mut self, call: CallId) {
        self.told.remove(&call);
    }
}

impl Tally {
    /// Asks anew, if it is time. Only while none is about to leave: what was added is not among the rows yet.
    fn renew(&mut self) {
        if self.asked.is_none_or(|asked| asked.elapsed() >= BELIEF) {
            self.dialed.clear();
            self.asked = Some(Instant::now());
        }
    }

    async fn dialed(&mut self, store: &Store, prefix: Option<&str>, now: DateTime<Utc>) -> Result<u32, store::Error> {
        let key = prefix.map(str::to_owned);
        if let Some(known) = self.dialed.get(&key) {
            return Ok(*known);
        }
        let dialed = store.dialed_since(now - TimeDelta::hours(1), prefix).await?;
        self.dialed.insert(key, dialed);
        Ok(dialed)
    }

    fn add(&mut self, prefix: Option<&str>) {
        let keys: HashSet<Option<&str>> = [None, prefix].into();
        for key in keys {
            *self.dialed.entry(key.map(str::to_owned)).or_default() += 1;
        }
    }
}

impl Dialer {
    /// Looks at all calls that wait, and lets those leave that can.
    pub(super) async fn look_at_queue(&mut self, stopped: bool) -> Result<(), store::Error> {
        let no_way_out = self.no_way_out(stopped);
        // Whoever waits for a PBX that starts need not be told so: it takes seconds.
        if no_way_out.is_none() && (self.is_booting() || self.room(true) == 0) {
            return Ok(());
        }
        let waiting = self.shared.store.waiting_calls().await?;
        metrics::gauge!("ringdown_calls_waiting").set(u32::try_from(waiting.of).unwrap_or(u32::MAX));
        let waiting = waiting.calls;
        let up = if waiting.is_empty() { HashMap::new() } else { self.shared.store.policies_on_the_line().await? };
        self.departures.turns = in_turn(&waiting, &up).into();
        match no_way_out {
            None => self.depart().await,
            Some(why) => {
                let all: Vec<CallId> = self.departures.turns.drain(..).map(|turn| turn.call).collect();
                for calls in all.chunks(BATCH) {
                    self.wait(calls.iter().map(|call| (*call, why.clone())).collect()).await?;
                }
                Ok(())
            }
        }
    }

    /// A line may have become free: the next of those that were found waiting leave.
    pub(super) async fn fill(&mut self) -> Result<(), store::Error> {
        if self.departures.turns.is_empty() || self.room(true) == 0 {
            return Ok(());
        }
        let stopped = self.shared.store.kill_switch().await?.stopped;
        if self.no_way_out(stopped).is_some() || self.is_booting() {
            return Ok(());
        }
        self.depart().await
    }

    /// Why no call at all can leave.
    fn no_way_out(&self, stopped: bool) -> Option<String> {
        if stopped {
            Some("calls are stopped (kill switch)".to_owned())
        } else if !self.reconciled || !self.shared.ami.is_connected() {
            Some("the PBX cannot be reached".to_owned())
        } else {
            self.heart.barred().map(|barred| barred.to_string())
        }
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
    fn room(&mut self, first: bool) -> usize {
        let now = self.shared.clock.now();
        self.departures.placed.retain(|at| *at > now - TimeDelta::seconds(1));
        let capacity = self.shared.settings.capacity;
        let kept = if first { 0 } else { capacity.reserve() };
        let taken = u32::try_from(self.live.len()).unwrap_or(u32::MAX).saturating_add(kept);
        capacity.free(taken, &self.departures.placed, now) as usize
    }

    /// Lets calls leave until there is no room, or none waits.
    async fn depart(&mut self) -> Result<(), store::Error> {
        let mut left = true;
        loop {
            let (first, any) = (self.room(true), self.room(false));
            let Some(turn) = self.departures.turns.front() else { return Ok(()) };
            let room = if turn.first { first } else { any };
            if room == 0 {
                // Whoever comes after this is no first one either.
                return Ok(());
            }
            // Whoever waits at a cap must not stand in the way of whoever does not: then many are looked at.
            let turns = if left { room.min(BATCH) } else { BATCH }.min(self.departures.turns.len());
            let turns = self.departures.turns.drain(..turns).collect();
            left = self.place(turns, first, any).await? > 0;
        }
    }

    /// Places what can be placed of these. Returns how many that were.
    async fn place(
        &mut self,
        mut turns: VecDeque<Turn<CallId>>,
        first: usize,
        any: usize,
    ) -> Result<usize, store::Error> {
        let store = self.shared.store.clone();
        let now = self.shared.clock.now();
        self.departures.tally.renew();
        let ids: Vec<CallId> = turns.iter().map(|turn| turn.call).collect();
        let calls = store.pending_among(&ids).await?;
        let lines: Vec<&str> = calls.iter().map(|call| call.line.as_str()).collect();
        let dialed = store.dialed_on(&lines, now - TimeDelta::hours(1)).await?;
        let mut calls: HashMap<CallId, Call> = calls.into_iter().map(|call| (call.id, call)).collect();
        let (mut leaving, mut capped, mut lines) = (Vec::new(), Vec::new(), HashSet::new());
        while let Some(turn) = turns.pop_front() {
            if leaving.len() >= if turn.first { first } else { any } {
                turns.push_front(turn);
                break;
            }
            let Some(call) = calls.remove(&turn.call) else { continue };
            if !lines.insert(call.line.clone()) {
                // Of two for one line the second waits until that is free.
                continue;
            }
            let on_line = dialed.get(&call.line).copied().unwrap_or(0);
            match self.allowed(&call, on_line, now).await? {
                Ok(()) => leaving.push(call),
                Err(refusal @ (Refusal::PrefixCap | Refusal::TotalCap)) => capped.push((call.id, refusal.to_string())),
                Err(refusal) => {
                    tracing::error!(call = %call.id, %refusal, "a call was refused by the destination rules");
                    self.shared.refuse(&call, refusal).await?;
                }
            }
        }
        turns.append(&mut self.departures.turns);
        self.departures.turns = turns;
        self.wait(capped).await?;
        if leaving.is_empty() {
            return Ok(0);
        }
        let claimed = store.claim_calls(&leaving, self.heart.own(), now).await?;
        failpoint::reach("call.claimed");
        for call in leaving.into_iter().filter(|call| claimed.contains(&call.id)) {
            self.departures.told.remove(&call.id);
            self.departures.placed.push(now);
            (self.prepare)(call.id);
            self.follow(Call { status: CallStatus::Dialing, dialed_at: Some(now), ..call }, Beginning::Claimed);
        }
        Ok(claimed.len())
    }

    /// Whether a call may leave by the destination rules. If it may, it counts.
    async fn allowed(
        &mut self,
        call: &Call,
        on_line: u32,
        now: DateTime<Utc>,
    ) -> Result<Result<(), Refusal>, store::Error> {
        let Self { shared, departures, .. } = self;
        let rules = &shared.settings.rules;
        if let Err(refusal) = rules.check(&call.number) {
            return Ok(Err(refusal));
        }
        let prefix = rules.prefix(&call.number);
        let total = departures.tally.dialed(&shared.store, None, now).await?;
        let prefixed = match prefix {
            Some(_) => departures.tally.dialed(&shared.store, prefix, now).await?,
            None => 0,
        };
        let allowed = rules.check_caps(Dialed { contact: on_line, prefix: prefixed, total });
        if allowed.is_ok() {
            departures.tally.add(prefix);
        }
        Ok(allowed)
    }

    /// Says once in the timeline, and in the log, why calls wait.
    async fn wait(&mut self, mut calls: Vec<(CallId, String)>) -> Result<(), store::Error> {
        let told = &mut self.departures.told;
        calls.retain(|(call, why)| told.get(call) != Some(why));
        if calls.is_empty() {
            return Ok(());
        }
        let at = self.shared.clock.now();
        let entry = |(call, why): &(CallId, String)| {
            tracing::error!(%call, %why, "a call waits");
            Entry { incident: None, call: Some(*call), message: None, at, fact: Fact::CallWaits { why: why.clone() } }
        };
        self.shared.store.note(calls.iter().map(entry).collect()).await?;
        if told.len() > TOLD {
            told.clear();
        }
        told.extend(calls);
        Ok(())
    }
}
