//! What AMI's events say about one call, in whatever order they come, twice or not at all.

use std::collections::BTreeSet;

use crate::{ami::Message, id::CallId, route::cause::Seen};

/// The events that tell about calls.
pub(super) const EVENTS: &[&str] =
    &["Newchannel", "Newstate", "DialState", "DialEnd", "HangupRequest", "Hangup", "OriginateResponse"];

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

    pub(super) fn seen(&self) -> &Seen {
        &self.seen
    }

    pub(super) fn channel(&self) -> Option<&str> {
        self.channel.as_deref()
    }

    /// The SIP status that the far end sent. What Asterisk makes up for a call that we gave up is none.
    pub(super) fn sip_status(&self) -> Option<u16> {
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
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        ami::Decoder,
        route::cause::{Ending, classify},
    };

    /// What each recording of real Asterisk traffic ends in.
    const RECORDINGS: &[(&str, Ending)] = &[
        ("bad-localnoctx", Ending::RouteFailed),
        ("bad-noendpoint", Ending::RouteFailed),
        ("bad-notech", Ending::RouteFailed),
        ("bad-unreachable", Ending::RouteFailed),
        ("local-ack", Ending::Answered),
        ("local-busy", Ending::Busy),
        ("local-cause34", Ending::RouteFailed),
        ("local-congestion", Ending::RouteFailed),
        ("local-hangup_mid", Ending::Answered),
        ("local-invalid", Ending::RouteFailed),
        ("local-noanswer", Ending::NoAnswer),
        ("local-nodtmf", Ending::Answered),
        ("local-rejected", Ending::Rejected),
        ("net-absent480", Ending::NoAnswer),
        ("net-ack", Ending::Answered),
        ("net-busy", Ending::Busy),
        ("net-congestion", Ending::RouteFailed),
        ("net-dest502", Ending::RouteFailed),
        ("net-earlymedia", Ending::NoAnswer),
        ("net-earlythenans", Ending::Answered),
        ("net-hangup_mid", Ending::Answered),
        ("net-invalid484", Ending::NumberWrong),
        ("net-invalid_ext", Ending::NumberWrong),
        ("net-netfail38", Ending::RouteFailed),
        ("net-noans480", Ending::NoAnswer),
        ("net-noanswer", Ending::NoAnswer),
        ("net-nodtmf", Ending::Answered),
        ("net-rejected403", Ending::RouteFailed),
        ("net-ring2", Ending::Answered),
        ("net-unalloc404", Ending::NumberWrong),
        ("sipp-183", Ending::Answered),
        ("sipp-2833", Ending::Answered),
        ("sipp-404", Ending::NumberWrong),
        ("sipp-408", Ending::RouteFailed),
        ("sipp-480", Ending::NoAnswer),
        ("sipp-500", Ending::RouteFailed),
        ("sipp-503", Ending::RouteFailed),
        ("sipp-answer", Ending::Answered),
        ("sipp-busy", Ending::Busy),
        ("sipp-hangup", Ending::Answered),
        ("sipp-info", Ending::Answered),
        ("sipp-noanswer", Ending::NoAnswer),
        ("sipp-reject", Ending::Rejected),
        // Nobody replied in any way until our own time was up: a trunk that swallows calls.
        ("sipp-silent", Ending::RouteFailed),
    ];

    struct Recording {
        id: String,
        events: Vec<Message>,
    }

    /// Reads a recording in pieces of `split` bytes.
    fn recording(name: &str, split: usize) -> Recording {
        let path = format!("{}/tests/fixtures/ami/{name}.txt", env!("CARGO_MANIFEST_DIR"));
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let id = text.split("'ChannelId': '").nth(1).and_then(|rest| rest.split('\'').next()).expect("a ChannelId");
        let greeting = ["Asterisk Call Manager/11.0.0"];
        let lines = greeting.into_iter().chain(text.lines().filter(|line| !line.starts_with("###")));
        let wire: String = lines.flat_map(|line| [line, "\r\n"]).collect();
        let mut decoder = Decoder::new(EVENTS);
        let mut events = Vec::new();
        for piece in wire.as_bytes().chunks(split) {
            decoder.push(piece);
            while let Some(message) = decoder.next_message().expect("a recording of real traffic") {
                events.push(message);
            }
        }
        events.retain(|message| message.event().is_some() && call_of(message).is_some());
        Recording { id: id.to_owned(), events }
    }

    fn play<'a>(id: &str, events: impl IntoIterator<Item = &'a Message>) -> Progress {
        let mut progress = Progress::new(id.to_owned());
        events.into_iter().for_each(|message| progress.observe(message));
        progress
    }

    #[test]
    fn every_recording_leads_to_the_right_outcome_however_its_bytes_are_split() {
        for (name, ending) in RECORDINGS {
            for split in [1, 7, 100_000] {
                let Recording { id, events } = recording(name, split);
                let progress = play(&id, &events);
                assert_eq!(classify(progress.seen()), *ending, "{name}: {progress:?}");
                assert_ne!(progress.stage(), Stage::Live, "{name}: {progress:?}");
            }
        }
    }

    #[test]
    fn no_recording_is_left_out() {
        let directory = format!("{}/tests/fixtures/ami", env!("CARGO_MANIFEST_DIR"));
        // These two are answered with an error at once: there is no call.
        let refused = ["bad-destctx", "bad-destexten"];
        for file in fs::read_dir(directory).expect("the recordings") {
            let name = file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned();
            let known = RECORDINGS.iter().any(|(recording, _)| *recording == name) || refused.contains(&&*name);
            assert!(known, "{name} stands in no table");
        }
    }

    #[test]
    fn backwards_and_twice_the_events_say_the_same() {
        for (name, ending) in RECORDINGS {
            let Recording { id, events } = recording(name, 100_000);
            let backwards = play(&id, events.iter().rev());
            assert_eq!(classify(backwards.seen()), *ending, "{name} backwards: {backwards:?}");
            let twice = play(&id, events.iter().chain(&events));
            assert_eq!(classify(twice.seen()), *ending, "{name} twice");
            assert_eq!(play(&id, &events).sip_status(), backwards.sip_status(), "{name}");
        }
    }

    #[test]
    fn a_call_is_over_when_its_last_channel_and_the_answer_to_originate_are_in_whichever_comes_last() {
        let Recording { id, events } = recording("net-busy", 100_000);
        for last in 0..events.len() {
            let mut order = events.clone();
            let held_back = order.remove(last);
            let mut progress = play(&id, &order);
            let needed = matches!(held_back.event(), Some("Hangup" | "OriginateResponse"));
            assert_eq!(progress.stage() == Stage::Over, !needed, "without {:?}", held_back.event());
            progress.observe(&held_back);
            assert_eq!(progress.stage(), Stage::Over);
        }
    }
}
