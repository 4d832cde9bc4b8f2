//! The escalation policy: steps, targets, rounds. Data only; [`super::handle`] reads it.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::{id::ContactId, phone::PhoneNumber};

/// Whom to try, in which order, how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// How many more rounds after the first.
    #[serde(default)]
    pub repeat: u32,
    /// An acknowledged incident that is not resolved after this long pages again, in seconds.
    #[serde(default, with = "seconds::optional", skip_serializing_if = "Option::is_none")]
    pub ack_timeout: Option<TimeDelta>,
    /// The steps of one round, in order.
    pub steps: Vec<Step>,
}

/// One step: everybody in it is called at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Whom.
    pub targets: Vec<Target>,
    /// How many tries of this step, at least 1.
    pub attempts: u32,
    /// From the start of one try to the start of the next, in seconds.
    #[serde(with = "seconds")]
    pub attempt_delay: TimeDelta,
    /// From the start of the last try to the next step, in seconds.
    #[serde(with = "seconds")]
    pub delay: TimeDelta,
}

/// Whom a step names. Resolved to recipients when the step runs, not before.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A contact, by their numbers in order.
    Contact(ContactId),
    /// A bare number.
    Number(PhoneNumber),
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
