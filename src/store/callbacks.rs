//! Callbacks: where what becomes of a direct call is told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{callback, event_counter, setting};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::{Error, NewDelivery, Store, deliveries, settings};
use crate::id::IncidentId;

const SECRET: &str = "callback_secret";
/// Which counter says up to which event callbacks have been made.
const POSITION: i32 = 2;

impl Store {
    /// What becomes of this incident, which may not exist yet, is told at `url`.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn call_back(&self, incident: IncidentId, url: String, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = callback::ActiveModel { incident_id: Set(incident.0), url: Set(url), created_at: Set(now) };
                let same =
                    OnConflict::column(callback::Column::IncidentId).update_column(callback::Column::Url).to_owned();
                callback::Entity::insert(row).on_conflict(same).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Where callbacks about these incidents go; those that have none are left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn callbacks(&self, incidents: &[IncidentId]) -> Result<HashMap<IncidentId, String>, Error> {
        let mut found = HashMap::new();
        for some in incidents.chunks(1000) {
            let rows = callback::Entity::find()
                .filter(callback::Column::IncidentId.is_in(some.iter().map(|id| id.0)))
                .all(&self.read)
                .await?;
            found.extend(rows.into_iter().map(|row| (IncidentId(row.incident_id), row.url)));
        }
        Ok(found)
    }

    /// Up to which event callbacks have been made.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn callback_position(&self) -> Result<i64, Error> {
        let counter = event_counter::Entity::find_by_id(POSITION).one(&self.read).await?;
        Ok(counter.map_or(0, |counter| counter.last))
    }

    /// Makes the callbacks of the events after `before`, up to `position`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another server has done it.
    pub async fn spool_callbacks(&self, before: i64, position: i64, new: Vec<NewDelivery>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let updated = event_counter::Entity::update_many()
                    .col_expr(event_counter::Column::Last, Expr::val(position))
                    .filter(event_counter::Column::Id.eq(POSITION))
                    .filter(event_counter::Column::Last.eq(before))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                deliveries::insert(tx, new).await
            })
        })
        .await
    }

    /// The secret that signs callbacks: `fresh`, unless there is one already.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn callback_secret(&self, fresh: String, now: DateTime<Utc>) -> Result<String, Error> {
        if let Some(row) = setting::Entity::find_by_id(SECRET).one(&self.read).await? {
            return Ok(serde_json::from_value(row.value)?);
        }
        self.write(move |tx| {
            Box::pin(async move {
                match setting::Entity::find_by_id(SECRET).one(tx).await? {
                    Some(row) => Ok(serde_json::from_value(row.value)?),
                    None => settings::put(tx, SECRET, fresh.clone().into(), now).await.map(|()| fresh),
                }
            })
        })
        .await
    }
}
