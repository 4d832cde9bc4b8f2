//! What is switched while the server runs.

use chrono::{DateTime, Utc};
use entity::setting;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};
use serde::{Deserialize, Serialize};

use super::{Error, Store};

const KILL_SWITCH: &str = "kill_switch";

/// Whether calls are stopped, by whom, since when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillSwitch {
    /// No call is placed while this holds.
    pub stopped: bool,
    /// Who switched it last.
    pub by: Option<String>,
    /// When.
    pub at: Option<DateTime<Utc>>,
}

impl Store {
    /// Where the kill switch stands.
    ///
    /// # Errors
    /// If the database does not answer: then no call may be placed either.
    pub async fn kill_switch(&self) -> Result<KillSwitch, Error> {
        let row = setting::Entity::find_by_id(KILL_SWITCH).one(&self.read).await?;
        Ok(row.map(|row| serde_json::from_value(row.value)).transpose()?.unwrap_or_default())
    }

    /// Stops all calls, or lets them go again.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn set_kill_switch(&self, switch: KillSwitch, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = setting::ActiveModel {
                    key: Set(KILL_SWITCH.into()),
                    value: Set(serde_json::to_value(&switch)?),
                    updated_at: Set(now),
                };
                let update = OnConflict::column(setting::Column::Key)
                    .update_columns([setting::Column::Value, setting::Column::UpdatedAt])
                    .to_owned();
                setting::Entity::insert(row).on_conflict(update).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }
}
