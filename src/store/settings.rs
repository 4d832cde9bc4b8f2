//! What is switched while the server runs.

use chrono::{DateTime, Utc};
use entity::setting;
use sea_orm::{
    ActiveValue::Set,
    EntityTrait,
    sea_query::{Expr, ExprTrait, OnConflict, Query, SubQueryStatement},
};
use serde::{Deserialize, Serialize};

use super::{Edit, Error, Store, audit::Subject};
use crate::store::writer::Tx;

pub(super) const KILL_SWITCH: &str = "kill_switch";
const PING: &str = "ping";

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

impl Edit {
    /// Stops all calls, or lets them go again.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn set_kill_switch(&self, switch: KillSwitch, now: DateTime<Utc>) -> Result<(), Error> {
        let value = serde_json::to_value(&switch)?;
        self.change(Subject::KillSwitch, move |tx| Box::pin(async move { put(tx, KILL_SWITCH, value, now).await }))
            .await
    }
}

impl Store {
    /// Where the kill switch stands.
    ///
    /// # Errors
    /// If the database does not answer: then no call may be placed either.
    pub async fn kill_switch(&self) -> Result<KillSwitch, Error> {
        let row = setting::Entity::find_by_id(KILL_SWITCH).one(&self.read).await?;
        read_kill_switch(row.map(|row| row.value))
    }

    /// What was written by the last look at whether the database keeps anything.
    pub(super) async fn last_ping(&self) -> Result<Option<String>, Error> {
        let row = setting::Entity::find_by_id(PING).one(&self.read).await?;
        Ok(row.map(|row| serde_json::from_value(row.value)).transpose()?)
    }

    pub(super) async fn set_ping(&self, token: &str, now: DateTime<Utc>) -> Result<(), Error> {
        self.set(PING, token.into(), now).await
    }

    async fn set(&self, key: &'static str, value: serde_json::Value, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| Box::pin(async move { put(tx, key, value, now).await })).await
    }
}

/// Writes a setting, as part of a larger change.
pub(super) async fn put(tx: &Tx, key: &str, value: serde_json::Value, now: DateTime<Utc>) -> Result<(), Error> {
    let row = setting::ActiveModel { key: Set(key.into()), value: Set(value), updated_at: Set(now) };
    let update = OnConflict::column(setting::Column::Key)
        .update_columns([setting::Column::Value, setting::Column::UpdatedAt])
        .to_owned();
    setting::Entity::insert(row).on_conflict(update).exec_without_returning(tx).await?;
    Ok(())
}

/// The kill switch, as part of a larger question.
pub(super) fn kill_switch() -> Expr {
    let this = Expr::col(setting::Column::Key).eq(KILL_SWITCH);
    let value = Query::select().column(setting::Column::Value).from(setting::Entity).and_where(this).to_owned();
    SubQueryStatement::from(value).into()
}

pub(super) fn read_kill_switch(value: Option<serde_json::Value>) -> Result<KillSwitch, Error> {
    Ok(value.map(serde_json::from_value).transpose()?.unwrap_or_default())
}
