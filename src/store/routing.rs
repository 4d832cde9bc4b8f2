//! The routing rules: one ordered list, changed as a whole.

use chrono::{DateTime, Utc};
use entity::setting;
use sea_orm::EntityTrait;
use serde::{Deserialize, Serialize};

use super::{Edit, Error, Store, audit::Subject, settings};
use crate::triage::Rule;

pub(super) const ROUTING_RULES: &str = "routing_rules";

/// The list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoutingRules {
    /// Counts its changes; 0 before the first.
    pub version: i64,
    /// The first one that matches counts.
    pub rules: Vec<Rule>,
}

impl Edit {
    /// Puts `rules` in the place of those that were there at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if somebody else has changed them since.
    pub async fn set_routing_rules(&self, version: i64, rules: Vec<Rule>, now: DateTime<Utc>) -> Result<(), Error> {
        self.change(Subject::RoutingRules, move |tx| {
            Box::pin(async move {
                let row = setting::Entity::find_by_id(ROUTING_RULES).one(tx).await?;
                let there: RoutingRules =
                    row.map(|row| serde_json::from_value(row.value)).transpose()?.unwrap_or_default();
                if there.version != version {
                    return Err(Error::Conflict);
                }
                let rules = RoutingRules { version: version + 1, rules };
                settings::put(tx, ROUTING_RULES, serde_json::to_value(&rules)?, now).await
            })
        })
        .await
    }
}

impl Store {
    /// The routing rules.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn routing_rules(&self) -> Result<RoutingRules, Error> {
        let row = setting::Entity::find_by_id(ROUTING_RULES).one(&self.read).await?;
        Ok(row.map(|row| serde_json::from_value(row.value)).transpose()?.unwrap_or_default())
    }
}
