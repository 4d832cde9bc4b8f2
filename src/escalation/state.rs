//! Where an incident stands, what can happen to it, and what can be commanded. Data only.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    id::{CallId, ContactId, InboundId},
    phone::PhoneNumber,
};

/// Where an incident stands. One at a time, with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// Stored and open, but it pages nobody.
    Held {
        /// Why not.
        reason: Held,
        /// Where it goes on.
        #[serde(default)]
        at: Stage,
        /// When it is looked at again; it is kept until somebody says something if there is no such instant.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    /// Its time has not come.
    Scheduled {
        /// When it pages.
        due_at: DateTime<Utc>,
        /// When it is too late for that: nobody wants to be reminded of yesterday's meeting.
        expires_at: DateTime<Utc>,
    },
    /// Somebody is being called.
    Escalating {
        /// The attempt that runs.
        at: Position,
        /// When it is over and the next thing happens.
        due_at: DateTime<Utc>,
        /// How far the attempt is.
        #[serde(default)]
        phase: Phase,
    },
    /// A person has taken it.
    Acknowledged {
        /// Who.
        by: Actor,
        /// How far it had come.
        at: Stage,
        /// When it pages again unless it is resolved by then.
        until: Option<DateTime<Utc>>,
    },
    /// It is over.
    Resolved,
    /// All rounds went unanswered. Not the end: it still takes acknowledge, escalate, resolve.
    Exhausted {
        /// Where the policy ended.
        at: Stage,
        /// When it all begins again, if the policy says so.
        #[serde(default)]
        until: Option<DateTime<Utc>>,
    },
    /// Its time came while the server was away, and is too long past.
    Expired,
}

/// Why an incident pages nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// The alert named no policy and there is no default one.
    NoPolicy,
    /// Somebody wants to hear nothing of it for a while.
    Silence,
    /// It was announced: a maintenance window.
    Maintenance,
    /// All steps that could reach somebody are outside their calendars.
    OutsideCalendars,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Everything that belongs to it has left.
    #[default]
    Reached,
    /// Its texts have left; calls follow at the deadline.
    Texted,
    /// Nothing of it has left: it only texts, and no text leaves. At the deadline that is looked at again.
    NoWay,
}

/// A step of a round of a run. A run is one pass through the whole policy; an incident that pages
/// again begins a new one. All three count from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stage {
    /// Which run.
    pub run: u32,
    /// Which round of it. The last resort, if there is one, is a round of its own behind the others.
    pub round: u32,
    /// Which step of the round.
    pub step: u32,
}

/// One attempt of a step; attempts count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// The step.
    pub stage: Stage,
    /// Which try of it.
    pub attempt: u32,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A contact, on a call.
    Contact {
        /// Who.
        id: ContactId,
        /// Their name, as it was.
        name: String,
        /// The call they were on.
        call: CallId,
    },
    /// A contact, by a text.
    Texter {
        /// Who.
        id: ContactId,
        /// Their name, as it was.
        name: String,
        /// What they have texted.
        text: InboundId,
    },
    /// Whoever answered a bare number.
    Number {
        /// The number.
        number: PhoneNumber,
        /// The call they were on.
        call: CallId,
    },
    /// Whoever holds this API key.
    Key(String),
    /// This user, over the API.
    User(String),
    /// The system that sent the alert.
    Source(String),
}

impl Actor {
    /// The name to show and to say.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Contact { name, .. } | Self::Texter { name, .. } => name,
            Self::Key(name) | Self::User(name) | Self::Source(name) => name,
            Self::Number { number, .. } => number.as_str(),
        }
    }

    /// The call they were on, if it was one.
    #[must_use]
    pub fn call(&self) -> Option<CallId> {
        match self {
            Self::Contact { call, .. } | Self::Number { call, .. } => Some(*call),
            Self::Texter { .. } | Self::Key(_) | Self::User(_) | Self::Source(_) => None,
        }
    }

    /// The text that says so, if it was one.
    #[must_use]
    pub fn text(&self) -> Option<InboundId> {
        match self {
            Self::Texter { text, .. } => Some(*text),
            Self::Contact { .. } | Self::Number { .. } | Self::Key(_) | Self::User(_) | Self::Source(_) => None,
        }
    }

    /// Who they are in the address book.
    #[must_use]
    pub fn contact(&self) -> Option<ContactId> {
        match self {
            Self::Contact { id, .. } | Self::Texter { id, .. } => Some(*id),
            Self::Number { .. } | Self::Key(_) | Self::User(_) | Self::Source(_) => None,
        }
    }
}

/// What can happen to an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Its deadline has come.
    Due {
        /// What became of the calls of the round that runs.
        calls: Calls,
    },
    /// A person takes it.
    Acknowledged {
        /// Who.
        by: Actor,
    },
    /// A person passes it on. Counts only if the incident still stands where it was said.
    Escalated {
        /// Where it stood when it was said.
        at: Stage,
        /// The call in which it was said. Whoever still listens passes on what nobody has taken: they
        /// do not overturn what somebody else has said meanwhile.
        call: Option<CallId>,
    },
    /// No call of this attempt found a route: waiting for it to be answered is pointless.
    NoWayOut {
        /// The attempt.
        at: Position,
    },
    /// It is over.
    Resolved {
        /// Who says so.
        by: Actor,
    },
    /// The same alert came again: opens an exhausted incident anew.
    Repeated,
    /// It got worse (another alert of the group fires, the severity rose): an acknowledged one pages again.
    Worsened,
    /// A silence or a maintenance window was made, changed or taken back.
    HushChanged,
    /// It is to page at another time.
    Rescheduled {
        /// When.
        due_at: DateTime<Utc>,
        /// When it is too late for that.
        expires_at: DateTime<Utc>,
    },
}

impl Event {
    /// Its name, for whoever follows what is decided.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Due { .. } => "due",
            Self::Acknowledged { .. } => "acknowledged",
            Self::Escalated { .. } => "escalated",
            Self::NoWayOut { .. } => "no_way_out",
            Self::Resolved { .. } => "resolved",
            Self::Repeated => "repeated",
            Self::Worsened => "worsened",
            Self::HushChanged => "hush_changed",
            Self::Rescheduled { .. } => "rescheduled",
        }
    }
}

/// What became of a round's calls so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Calls {
    /// One is still waiting, ringing or being spoken to.
    Live,
    /// All are over, and at least one of them reached a telephone network.
    Placed,
    /// All are over, and none found a route: an outage, which must not use up the policy.
    NoWayOut,
}

/// Whom to call: what a target resolves to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipient {
    /// A contact, by their numbers in order.
    Contact(ContactId),
    /// A bare number.
    Number(PhoneNumber),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Call them, for this attempt.
    Call {
        /// Whom.
        to: Recipient,
        /// For which attempt.
        at: Position,
        /// Whether they get a text if they do not answer.
        text_if_missed: bool,
    },
    /// Text them, for this attempt.
    Text {
        /// Whom.
        to: Recipient,
        /// For which attempt.
        at: Position,
    },
    /// Whoever is being called about it need not be any more.
    CancelCalls,
    /// Tell whoever had taken it that somebody else has ended it, if they want to know.
    TellOver {
        /// Whom.
        to: ContactId,
    },
    /// Write this in the timeline.
    Note(Note),
}

/// What the timeline tells beside the state itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// A step had nobody to call and was passed over.
    NobodyToCall {
        /// Which.
        at: Stage,
    },
    /// A step is outside its calendars and was passed over.
    OutsideCalendar {
        /// Which.
        at: Stage,
    },
    /// A step only texts, and there is no way to send texts: it was passed over.
    NoWayToText {
        /// Which.
        at: Stage,
    },
    /// No call of the round found a route: the round is gone through again and not counted.
    RoundNotCounted {
        /// Which.
        round: u32,
    },
    /// It pages nobody for the time being.
    Held {
        /// Why not.
        reason: Held,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// What held it is over: it pages now.
    NoLongerHeld,
    /// The policy ended, and begins again.
    BeginsAgain {
        /// When.
        at: DateTime<Utc>,
    },
    /// Everybody has been tried: the last resort is called.
    LastResort,
    /// Its time is too long past: nobody is called.
    TooLate {
        /// When it should have paged.
        due_at: DateTime<Utc>,
    },
    /// It pages at another time.
    Rescheduled {
        /// When.
        due_at: DateTime<Utc>,
    },
}

/// How it is with texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Texts {
    /// There is no way to send any.
    Never,
    /// There is one, and it has been away for long: they would wait.
    Wait,
    /// They leave.
    Leave,
}

/// That something is to stay quiet for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hush {
    /// Why.
    pub reason: Held,
    /// Until when, as things are now.
    pub until: DateTime<Utc>,
}

/// How a calendar stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whether it is open now.
    pub open: bool,
    /// When that changes, if ever.
    pub changes: Option<DateTime<Utc>>,
}

/// How long a deadline that found a call alive is put off before it looks again.
pub const OVERTIME: TimeDelta = TimeDelta::seconds(2);
/// How soon the next attempt comes after one that found no route.
pub const DETOUR: TimeDelta = TimeDelta::seconds(10);
