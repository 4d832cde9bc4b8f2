//! What AMI's events say about one call, in whatever order they come, twice or not at all.

use std::collections::BTreeSet;

use crate::{
    ami::Message,
    id::CallId,
    route::cause::{Ending, Seen, classify, words},
    store::{CallStatus, End},
};

/// The events that tell about calls.
pub(super) const EVENTS: &[&str] =
    &["FullyBooted", "Newchannel", "Newstate", "DialState", "DialEnd", "HangupRequest", "Hangup", "OriginateResponse"];

/// What is known of a call so far.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    id: String,
    seen: Seen,
    /// The channel that `Originate` made: the one to hang up, to redirect.
    channel: Option<String>,
    /// The call's channels by `Uniqueid`: our own, a Local channel's other half, the trunk's.
    open: BTreeSet<String>,
    closed: BTreeSet<String>,
    originate_answered: bool,
    /// How telling the cause is that `seen` has.
    cause_rank: u8,
}

/// How far a call has come to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing says that it has ended.
    Live,
    /// Something says so, and more may come that tells why.
    Closing,
    /// Everything has come that will.
    Over,
}

/// The call that an event belongs to: our channel has the call's id as its `Uniqueid`, and every
/// channel that it gave birth to has it as its `Linkedid`.
pub(super) fn call_of(message: &Message) -> Option<CallId> {
    let id = ["Linkedid", "DestLinkedid", "Uniqueid"].iter().find_map(|name| message.get(name))?;
    id.split(';').next()?.parse().ok()
}

impl Progress {
    /// `id` is the `ChannelId` that was given to `Originate`.
    pub(super) fn new(id: String) -> Self {
        Self {
            id,
            seen: Seen::default(),
            channel: None,
            open: BTreeSet::new(),
            closed: BTreeSet::new(),
            originate_answered: false,
            cause_rank: 0,
        }
    }

    /// Takes an event of this call.
    pub(super) fn observe(&mut self, message: &Message) {
        match message.event() {
            Some("Newchannel") => self.channel_known(message),
            Some("Newstate") => self.new_state(message),
            Some("DialState") => {
                if matches!(message.get("DialStatus"), Some("RINGING" | "PROGRESS")) {
                    self.seen.rang = true;
                }
            }
            Some("DialEnd") => self.dial_end(message),
            Some("HangupRequest") => self.cause(message, false),
            Some("Hangup") => {
                self.channel_known(message);
                if let Some(channel) = message.get("Uniqueid") {
                    self.closed.insert(channel.to_owned());
                }
                self.cause(message, true);
            }
            Some("OriginateResponse") => self.originate_response(message),
            _ => {}
        }
    }

    /// A live channel of this call, from the answer to `Status`.
    pub(super) fn adopt(&mut self, status: &Message) {
        self.channel_known(status);
        self.originate_answered = true;
        self.new_state(status);
    }

    /// We gave the call up before it was answered.
    pub(super) fn canceled(&mut self) {
        self.seen.canceled = true;
    }

    /// The call was answered, as something other than AMI tells.
    pub(super) fn answered(&mut self) {
        self.seen.answered = true;
    }

    /// The far end rang, as something other than AMI tells.
    pub(super) fn rang(&mut self) {
        self.seen.rang = true;
    }

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// The record of a call whose end was told. A call that we gave up counts as an attempt if `counts` says so.
    pub(super) fn end(&self, counts: Option<bool>) -> End {
        self.record(classify(&self.seen), counts)
    }

    /// The record of a call whose end nobody told: what was told of it stands.
    pub(super) fn lost(&self, counts: Option<bool>) -> End {
        let why_is_known = self.cause_rank > 0 || self.seen.dial_status.is_some();
        let ending = match classify(&self.seen) {
            // What may have rung counts; what nobody saw ring does not use up the policy.
            Ending::RouteFailed if self.seen.rang && !why_is_known => Ending::NoAnswer,
            ending => ending,
        };
        End { failure: Some("its end was not reported".to_owned()), ..self.record(ending, counts) }
    }

    fn record(&self, ending: Ending, counts: Option<bool>) -> End {
        let (cause, sip_status) = (self.seen.cause, self.sip_status());
        let status = match ending {
            Ending::Answered => CallStatus::Completed,
            Ending::Busy => CallStatus::Busy,
            Ending::NoAnswer => CallStatus::NoAnswer,
            Ending::Rejected => CallStatus::Rejected,
            Ending::NumberWrong | Ending::RouteFailed => CallStatus::Failed,
            Ending::Canceled => CallStatus::Canceled,
        };
        let sip = sip_status.map_or_else(String::new, |status| format!(" (SIP {status})"));
        let failure = match ending {
            Ending::NumberWrong => Some(format!("there is no such number{sip}")),
            Ending::RouteFailed => Some(format!("the route did not take it{sip}: {}", words(cause))),
            Ending::Canceled => Some("nobody needed it any more".to_owned()),
            Ending::Answered | Ending::Busy | Ending::NoAnswer | Ending::Rejected => None,
        };
        End {
            status,
            disposition: ending.disposition(cause).to_owned(),
            cause,
            cause_text: words(cause).to_owned(),
            sip_status,
            found_route: counts.unwrap_or_else(|| ending.found_route()),
            failure,
        }
    }

    /// The SIP status that the far end sent. What Asterisk makes up for a call that we gave up is none.
    fn sip_status(&self) -> Option<u16> {
        self.seen.sip_status.filter(|_| !self.seen.timed_out && !self.seen.canceled && !self.seen.answered)
    }

    pub(super) fn stage(&self) -> Stage {
        let all_closed = !self.open.is_empty() && self.open.iter().all(|channel| self.closed.contains(channel));
        let own_closed = self.closed.contains(&self.id);
        let failed = self.originate_answered && !self.seen.answered && self.channel.is_none();
        if all_closed && own_closed && self.originate_answered {
            Stage::Over
        } else if own_closed || failed || (self.originate_answered && self.seen.timed_out) {
            Stage::Closing
        } else {
            Stage::Live
        }
    }

    fn channel_known(&mut self, message: &Message) {
        self.seen.channel = true;
        let Some(unique) = message.get("Uniqueid") else { return };
        self.open.insert(unique.to_owned());
        if unique == self.id {
            self.channel = message.get("Channel").map(str::to_owned);
        }
    }

    fn new_state(&mut self, message: &Message) {
        let own = message.get("Uniqueid") == Some(&self.id);
        match message.get("ChannelState") {
            // AST_STATE_RINGING: the far end rings.
            Some("5") => self.seen.rang = true,
            // AST_STATE_UP.
            Some("6") if own => self.seen.answered = true,
            _ => {}
        }
    }

    fn dial_end(&mut self, message: &Message) {
        let Some(status) = message.get("DialStatus") else { return };
        let own = message.get("DestUniqueid") == Some(&self.id);
        match status {
            "ANSWER" if own => self.seen.answered = true,
            "ANSWER" => {}
            // The outer half of a Local channel says NOANSWER whatever happened to the inner one.
            status if !own || self.seen.dial_status.is_none() => self.seen.dial_status = Some(status.to_owned()),
            _ => {}
        }
    }

    fn originate_response(&mut self, message: &Message) {
        self.originate_answered = true;
        if message.get("Response") == Some("Success") {
            self.seen.answered = true;
        } else if message.get("Reason") == Some("3") {
            self.seen.timed_out = true;
        }
    }

    /// Keeps the cause that tells most: one with a SIP status, then one that is more than a normal clearing.
    fn cause(&mut self, message: &Message, hangup: bool) {
        let number = |name: &str| message.get(name).and_then(|value| value.parse::<u16>().ok());
        let cause = number("Cause").unwrap_or(0);
        let sip = number("TechCause").filter(|status| (100..700).contains(status));
        let rank = match (sip, cause) {
            (Some(_), _) => 4,
            _ if !hangup => 0,
            (None, 0) => 1,
            (None, 16) => 2,
            (None, _) => 3,
        };
        if rank > self.cause_rank {
            self.cause_rank = rank;
            self.seen.cause = cause;
            self.seen.sip_status = sip;
        }
    }
}

#[cfg(test)]
mod tests;
