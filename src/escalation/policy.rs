//! The escalation policy: steps, targets, rounds. Data only; [`super::handle`] reads it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{
    id::{CalendarId, ContactId, GroupId, ScheduleId},
    phone::PhoneNumber,
};

/// Whom to try, in which order, how often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many more rounds after the first.
    #[serde(default)]
    pub repeat: u32,
    /// An acknowledged incident that is not resolved after this long pages again, in seconds.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub ack_timeout: Option<TimeDelta>,
    /// What is done when all rounds went unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_exhausted: Option<OnExhausted>,
    /// Whether open incidents go on by the policy as it is edited, not as it was when they were raised.
    #[serde(default, skip_serializing_if = "is_false")]
    pub follow_edits: bool,
    /// The steps of one round, in order.
    pub steps: Vec<Step>,
    /// How its calls are placed; only what somebody asks for directly says anything.
    #[serde(default, skip_serializing_if = "Placing::is_usual")]
    pub placing: Placing,
}

/// How a call is placed and what becomes of it once it is answered, where that is not as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placing {
    /// Seconds that the phone rings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<u32>,
    /// The number that is shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller_id: Option<String>,
    /// Where the PBX takes the answered channel, instead of our speaking to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Box<Connect>>,
}

/// A place in the PBX's dialplan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connect {
    /// The context.
    pub context: String,
    /// The extension; `s`, if it is not said.
    #[serde(default = "start")]
    pub extension: String,
    /// The priority; 1, if it is not said.
    #[serde(default = "first")]
    pub priority: u32,
}

fn start() -> String {
    "s".into()
}

const fn first() -> u32 {
    1
}

impl Placing {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What is done when all rounds went unanswered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnExhausted {
    /// One more step, once.
    LastResort(Step),
    /// Everything again, after so many seconds, for ever.
    Repeat {
        /// From the end of one pass to the beginning of the next, in seconds.
        #[serde(with = "seconds")]
        every: TimeDelta,
    },
}

/// One step: everybody in it is called at once, unless they take turns.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whom.
    pub targets: Vec<Target>,
    /// By which means.
    #[serde(default, skip_serializing_if = "Method::is_call")]
    pub method: Method,
    /// How many tries of this step, at least 1.
    pub attempts: u32,
    /// From the start of one try to the start of the next, in seconds.
    #[serde(with = "seconds")]
    pub attempt_delay: TimeDelta,
    /// From the start of the last try to the next step, in seconds.
    #[serde(with = "seconds")]
    pub delay: TimeDelta,
    /// It counts only while this calendar is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only_during: Option<CalendarId>,
    /// It does not count while this calendar is open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_during: Option<CalendarId>,
    /// One person at a time: each incident, and each try, begins with the one after the last.
    #[serde(default, skip_serializing_if = "is_false")]
    pub round_robin: bool,
    /// Whoever does not answer the call gets a text.
    #[serde(default, skip_serializing_if = "is_false")]
    pub text_if_missed: bool,
}

/// By which means people are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A phone call.
    #[default]
    Call,
    /// A text message.
    Sms,
    /// A text message, and a call if nobody has taken it after `wait` seconds.
    SmsThenCall {
        /// From the text to the call, in seconds.
        #[serde(with = "seconds")]
        wait: TimeDelta,
    },
    /// Both at once.
    CallAndSms,
}

impl Method {
    fn is_call(&self) -> bool {
        matches!(self, Self::Call)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// Whom a step names. Resolved to recipients when the step runs, not before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A contact, by their numbers in order.
    Contact(ContactId),
    /// Everybody in a group.
    Group(GroupId),
    /// Whoever is on call then.
    Schedule(ScheduleId),
    /// A bare number.
    Number(PhoneNumber),
}

impl Policy {
    /// How many rounds there are, the last resort included.
    pub(super) fn rounds(&self) -> u32 {
        let last_resort = matches!(self.on_exhausted, Some(OnExhausted::LastResort(_)));
        self.repeat.saturating_add(1).saturating_add(last_resort.into())
    }

    /// The steps of a round.
    pub(super) fn steps_of(&self, round: u32) -> &[Step] {
        match &self.on_exhausted {
            Some(OnExhausted::LastResort(step)) if round > self.repeat => std::slice::from_ref(step),
            _ => &self.steps,
        }
    }

    /// The same people by other means: all steps, by `method`. It stays so, whoever edits the policy.
    #[must_use]
    pub fn by_method(mut self, method: &Method) -> Self {
        let last_resort = match &mut self.on_exhausted {
            Some(OnExhausted::LastResort(step)) => Some(step),
            _ => None,
        };
        for step in self.steps.iter_mut().chain(last_resort) {
            step.method = method.clone();
        }
        self.follow_edits = false;
        self
    }

    /// Whether people take turns in it anywhere.
    #[must_use]
    pub fn takes_turns(&self) -> bool {
        self.all_steps().any(|step| step.round_robin)
    }

    /// Every step there is, the last resort included.
    pub fn all_steps(&self) -> impl Iterator<Item = &Step> {
        let last_resort = match &self.on_exhausted {
            Some(OnExhausted::LastResort(step)) => Some(step),
            _ => None,
        };
        self.steps.iter().chain(last_resort)
    }
}

/// Durations as whole seconds.
mod seconds {
    use chrono::TimeDelta;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(value.num_seconds())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        u32::deserialize(deserializer).map(|seconds| TimeDelta::seconds(seconds.into()))
    }

    pub(super) mod optional {
        use super::{Deserialize, Deserializer, Serializer, TimeDelta};

        #[expect(clippy::ref_option, reason = "serde's signature")]
        pub(in super::super) fn serialize<S: Serializer>(
            value: &Option<TimeDelta>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            match value {
                Some(value) => super::serialize(value, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<TimeDelta>, D::Error> {
            Option::<u32>::deserialize(deserializer)
                .map(|seconds| seconds.map(|seconds| TimeDelta::seconds(seconds.into())))
        }
    }
}
