//! One call, from `Originate` to its end. One task each, so that no call waits for another.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tracing::Instrument;

use super::{
    ROUTE, Shared,
    progress::{Progress, Stage},
};
use crate::{
    ami::{ActError, Action, BadHeader, Message},
    bus::Bell,
    escalation::{Connect, Placing},
    failpoint,
    id::IncidentId,
    route::cause::words,
    store::{Call, CallStatus, End},
    telemetry::trace,
};

/// What a call's task is told.
#[derive(Debug)]
pub(super) enum Step {
    /// An AMI event of this call.
    Event(Box<Message>),
    /// Nobody needs it any more.
    Cancel {
        /// Whether it should count as an attempt all the same.
        counts: bool,
        /// Whether somebody who has answered meanwhile is hung up on, too.
        listening: bool,
    },
    /// What is being spoken in it has been taken elsewhere: its session should look again.
    Interrupt(IncidentId),
    /// After a pause in AMI: the call's channels as they are now; none means that it is gone.
    Reconciled(Vec<Message>),
}

/// How long events that tell why a call ended are waited for.
const WRAP_UP: Duration = Duration::from_secs(2);
/// After the time that a phone may ring, and after a hangup that was asked for: the end is overdue.
const OVERDUE: Duration = Duration::from_secs(15);
/// How long after an end that could not be stored it is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// The longest conversation.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// How a call begins for its task.
pub(super) enum Beginning {
    /// It was claimed, and is to be placed.
    Claimed,
    /// It was under way before this process was, or its manager connection.
    Adopted(Vec<Message>),
}

struct Follow {
    shared: Arc<Shared>,
    call: Call,
    progress: Progress,
    /// What it is known as in the database.
    status: CallStatus,
    /// When `Originate` left, if it was this process that sent it.
    placed: Option<Instant>,
    deadline: Instant,
    wrap_up: Option<Instant>,
    /// The PBX does not know the call: it is lost, unless something is heard of it until then.
    vanished: Option<Instant>,
    canceled: Option<bool>,
    hangup_sent: bool,
    interrupted: HashSet<IncidentId>,
    /// How it is placed, where that is not as usual.
    placing: Placing,
}

/// Follows a call until it is over and its end is written down.
pub(super) async fn follow(shared: Arc<Shared>, call: Call, begin: Beginning, mut steps: mpsc::Receiver<Step>) {
    let placing = placing(&shared, &call).await;
    let ring = Duration::from_secs(placing.timeout.unwrap_or(shared.settings.ring_timeout).into());
    let mut this = Follow {
        progress: Progress::new(call.id.to_string()),
        status: call.status,
        placed: None,
        deadline: Instant::now() + ring + OVERDUE,
        wrap_up: None,
        vanished: None,
        canceled: None,
        hangup_sent: false,
        interrupted: HashSet::new(),
        placing,
        shared,
        call,
    };
    let placed = match begin {
        Beginning::Claimed => this.place().await,
        Beginning::Adopted(channels) => {
            this.adopt(&channels);
            Ok(())
        }
    };
    let end = match placed {
        Ok(()) => {
            let reported = this.until_over(&mut steps).await;
            this.look_again().await;
            Some(match reported {
                Reported::Yes => this.progress.end(this.canceled),
                Reported::No => this.progress.lost(this.canceled),
            })
        }
        Err(NotPlaced::Never) => None,
        Err(NotPlaced::Refused(why)) => Some(route_failed(&why)),
    };
    let bus = this.shared.bus.clone();
    if this.finish(end, &mut steps).await {
        // Only when nobody can tell it anything any more is its line free.
        drop(steps);
        bus.ring(Bell::Calls);
        bus.ring(Bell::Engine);
    }
}

/// How a call is placed. That it is not known must not keep a call from being followed, which may be up.
async fn placing(shared: &Shared, call: &Call) -> Placing {
    if !call.alone {
        return Placing::default();
    }
    match shared.store.placing_of(call.id).await {
        Ok(placing) => placing,
        Err(error) => {
            tracing::error!(call = %call.id, %error, "how a call is placed is not known: as usual");
            Placing::default()
        }
    }
}

/// Whether the PBX has told the end of a call.
enum Reported {
    Yes,
    No,
}

enum NotPlaced {
    /// It certainly did not leave.
    Never,
    /// Asterisk would not have it.
    Refused(String),
}

impl Follow {
    /// Places it, as part of the trace of what it carries.
    async fn place(&mut self) -> Result<(), NotPlaced> {
        let span = tracing::info_span!("originate", call = %self.call.id, route = ROUTE);
        if trace::is_on() {
            // Whatever is the matter with it, the call leaves.
            let parent = self.shared.store.trace_of(self.call.id).await.ok().flatten();
            trace::follow(&span, parent.as_deref());
        }
        self.place_now().instrument(span).await
    }

    async fn place_now(&mut self) -> Result<(), NotPlaced> {
        let action = self.originate().map_err(|error| NotPlaced::Refused(error.to_string()))?;
        metrics::counter!("ringdown_originates_total", "route" => ROUTE).increment(1);
        self.placed = Some(Instant::now());
        let answer = self.shared.ami.act(action).await;
        failpoint::reach("originate.sent");
        match answer {
            Ok(_) => Ok(()),
            Err(ActError::Disconnected) => Err(NotPlaced::Never),
            Err(ActError::Refused { message }) => Err(NotPlaced::Refused(message)),
            // It may have left: whatever comes of it comes as events, or by reconciliation.
            Err(error) => {
                tracing::warn!(call = %self.call.id, %error, "no answer to Originate");
                Ok(())
            }
        }
    }

    fn originate(&self) -> Result<Action, BadHeader> {
        let settings = &self.shared.settings;
        let id = self.call.id.to_string();
        let timeout = u64::from(self.placing.timeout.unwrap_or(settings.ring_timeout)) * 1000;
        let usual = Connect { context: settings.context.clone(), extension: "s".to_owned(), priority: 1 };
        let lands = self.placing.connect.as_deref().unwrap_or(&usual);
        let mut action = Action::new("Originate")
            .header("Channel", &settings.dial.replace("{number}", self.call.number.as_str()))?
            .header("Context", &lands.context)?
            .header("Exten", &lands.extension)?
            .header("Priority", &lands.priority.to_string())?
            .header("Timeout", &timeout.to_string())?
            .header("Async", "true")?
            .header("ChannelId", &id)?
            .variable("RINGDOWN_CALL", &id)?
            .variable("RINGDOWN_TOKEN", &self.call.token)?
            .variable("RINGDOWN_AGI", &settings.agi_url)?
            .variable("RINGDOWN_SOUNDS", &settings.sounds)?;
        if let Some(caller_id) = self.placing.caller_id.as_ref().or(settings.caller_id.as_ref()) {
            action = action.header("CallerID", caller_id)?;
        }
        Ok(action)
    }

    fn adopt(&mut self, channels: &[Message]) {
        channels.iter().for_each(|channel| self.progress.adopt(channel));
        self.vanished = None;
        if self.call.status == CallStatus::Answered {
            self.progress.answered();
            self.deadline = Instant::now() + LONGEST;
        }
    }

    /// Turns what happens into rows until the call is over.
    async fn until_over(&mut self, steps: &mut mpsc::Receiver<Step>) -> Reported {
        loop {
            self.write_down().await;
            match self.progress.stage() {
                Stage::Over => return Reported::Yes,
                Stage::Closing => {
                    self.wrap_up.get_or_insert(Instant::now() + WRAP_UP);
                }
                Stage::Live => {}
            }
            let until = [self.wrap_up, self.vanished].into_iter().flatten().fold(self.deadline, Instant::min);
            tokio::select! {
                step = steps.recv() => match step {
                    Some(step) => self.step(step).await,
                    // The dialer is gone: the next one will find the row and reconcile it.
                    None => std::future::pending().await,
                },
                () = sleep_until(until) => {
                    if self.wrap_up.is_some_and(|at| at <= Instant::now()) {
                        return Reported::Yes;
                    }
                    if self.vanished.is_some_and(|at| at <= Instant::now()) {
                        tracing::warn!(call = %self.call.id, "the call ended while its manager connection was down");
                        return Reported::No;
                    }
                    if self.is_given_up().await {
                        return Reported::No;
                    }
                }
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Event(message) => {
                self.progress.observe(&message);
                self.vanished = None;
                if self.canceled.is_some() {
                    self.hang_up().await;
                }
            }
            // They have just answered: they hear from their session what has become of it.
            Step::Cancel { listening: false, .. } if self.progress.seen().answered => {}
            Step::Cancel { counts, .. } => {
                if self.canceled.is_none() {
                    self.canceled = Some(counts);
                    if !self.progress.seen().answered {
                        self.progress.canceled();
                    }
                    self.deadline = Instant::now() + OVERDUE;
                }
                self.hang_up().await;
            }
            Step::Interrupt(incident) => self.interrupt(incident).await,
            // It may be about to come about, or its last events on their way: they get their time.
            Step::Reconciled(channels) if channels.is_empty() => {
                self.vanished.get_or_insert(Instant::now() + WRAP_UP);
            }
            Step::Reconciled(channels) => self.adopt(&channels),
        }
    }

    /// What the AGI session has written down meanwhile: it may know of an answer that no event told.
    async fn look_again(&mut self) {
        if self.progress.seen().answered {
            return;
        }
        match self.shared.store.call(self.call.id).await {
            Ok(Some(call)) => {
                if call.answered_at.is_some() {
                    self.progress.answered();
                }
                if call.ringing_at.is_some() {
                    self.progress.rang();
                }
                self.call = call;
            }
            Ok(None) => {}
            Err(error) => tracing::error!(call = %self.call.id, %error, "a call cannot be read again"),
        }
    }

    /// What the events say, as rows. Each is idempotent, and the AGI session may have been faster.
    async fn write_down(&mut self) {
        let (store, now) = (&self.shared.store, self.shared.clock.now());
        let seen = self.progress.seen();
        let written = if seen.answered && self.status != CallStatus::Answered {
            self.deadline = Instant::now() + LONGEST;
            self.status = CallStatus::Answered;
            if let Some(placed) = self.placed.take() {
                metrics::histogram!("ringdown_answer_seconds", "route" => ROUTE).record(placed.elapsed());
            }
            store.call_answered(&self.call, now).await
        } else if seen.rang && self.status == CallStatus::Dialing {
            self.status = CallStatus::Ringing;
            let written = store.call_rings(&self.call, now).await;
            failpoint::reach("call.ringing");
            written
        } else {
            return;
        };
        if let Err(error) = written {
            tracing::error!(call = %self.call.id, %error, "a call's progress could not be stored");
        }
    }

    async fn hang_up(&mut self) {
        if self.hangup_sent {
            return;
        }
        // Its channel is not known yet: it will be, by the next event.
        let Some(channel) = self.progress.channel() else { return };
        // 16, normal clearing: without it the far end is told no cause at all.
        let action = Action::new("Hangup").header("Channel", channel).and_then(|action| action.header("Cause", "16"));
        let Ok(action) = action else { return };
        self.hangup_sent = true;
        if let Err(error) = self.shared.ami.act(action).await {
            // Gone already, most likely; else the watchdog asks again.
            tracing::debug!(call = %self.call.id, %error, "hangup was not done");
        }
    }

    /// Makes the channel begin again in the dialplan: its AGI session ends, and the new one sees what has changed.
    async fn interrupt(&mut self, incident: IncidentId) {
        if self.placing.connect.is_some() {
            // It is not we who speak to them.
            return;
        }
        if !self.interrupted.insert(incident) {
            return;
        }
        let Some(channel) = self.progress.channel() else { return };
        let action = Action::new("Redirect")
            .header("Channel", channel)
            .and_then(|action| action.header("Context", &self.shared.settings.context))
            .and_then(|action| action.header("Exten", "s"))
            .and_then(|action| action.header("Priority", "1"));
        let Ok(action) = action else { return };
        if let Err(error) = self.shared.ami.act(action).await {
            tracing::warn!(call = %self.call.id, %error, "a listener could not be interrupted; trying again");
            self.interrupted.remove(&incident);
        }
    }

    /// The watchdog: asks for the hangup, and after that gives the call up.
    async fn is_given_up(&mut self) -> bool {
        if self.canceled.is_some() || self.hangup_sent {
            tracing::error!(call = %self.call.id, "the end of a call was never reported; giving it up");
            return true;
        }
        tracing::error!(call = %self.call.id, "a call is overdue; hanging up");
        self.deadline = Instant::now() + OVERDUE;
        self.hang_up().await;
        self.hangup_sent = true;
        false
    }

    /// Writes the end down, however long the database is away: nobody else knows how the call went.
    /// Returns whether that was done.
    async fn finish(self, end: Option<End>, steps: &mut mpsc::Receiver<Step>) -> bool {
        let Self { shared, call, placing, .. } = self;
        failpoint::reach("call.over");
        loop {
            let ended = match &end {
                None => shared.unclaim(&call).await,
                Some(end) => shared.end(&call, end, &placing).await,
            };
            failpoint::reach("outcome.stored");
            let Err(error) = ended else { return true };
            tracing::error!(call = %call.id, %error, "a call's end could not be stored; trying again");
            // What comes meanwhile is of no interest; that nothing can come any more, is: the dialer has stopped,
            // and the next one finds the row.
            let stopped = async { while steps.recv().await.is_some() {} };
            if tokio::time::timeout(AGAIN, stopped).await.is_ok() {
                return false;
            }
        }
    }
}

/// The end of a call that Asterisk would not even try.
pub(super) fn route_failed(why: &str) -> End {
    End {
        status: CallStatus::Failed,
        disposition: "FAILED".to_owned(),
        cause: 0,
        cause_text: words(0).to_owned(),
        sip_status: None,
        found_route: false,
        failure: Some(format!("the PBX refused it: {why}")),
    }
}
