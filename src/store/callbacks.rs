//! Callbacks: where what becomes of a direct call is told.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{callback, delivery, event_counter, setting, webhook};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict, Query, SelectStatement, SubQueryStatement},
};

use super::{Error, NewDelivery, Store, deliveries, settings};
use crate::id::IncidentId;

/// What others are still to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// The sequence of the last event.
    pub last: i64,
    /// Up to which event callbacks have been made.
    pub callbacks_until: i64,
    /// Whether any incident has a callback.
    pub callbacks: bool,
    /// Whether any webhook is enabled.
    pub webhooks: bool,
    /// Whether a delivery is due.
    pub deliveries: bool,
}

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

    /// What others are still to be told of.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn backlog(&self, now: DateTime<Utc>) -> Result<Backlog, Error> {
        let counter = |id: i32| {
            let this = Expr::col(event_counter::Column::Id).eq(id);
            let last = Query::select()
                .column(event_counter::Column::Last)
                .from(event_counter::Entity)
                .and_where(this)
                .to_owned();
            Expr::from(SubQueryStatement::from(last))
        };
        let any = |mut rows: SelectStatement| Expr::exists(rows.expr(Expr::val(1)).to_owned());
        let webhooks =
            Query::select().from(webhook::Entity).and_where(Expr::col(webhook::Column::Enabled).eq(true)).to_owned();
        let due =
            Query::select().from(delivery::Entity).and_where(Expr::col(delivery::Column::NextAt).lte(now)).to_owned();
        let question = Query::select()
            .expr_as(counter(1), "last")
            .expr_as(counter(POSITION), "callbacks_until")
            .expr_as(any(Query::select().from(callback::Entity).to_owned()), "callbacks")
            .expr_as(any(webhooks), "webhooks")
            .expr_as(any(due), "deliveries")
            .to_owned();
        let Some(row) = self.read.query_one(&question).await? else { return Err(Error::stopped()) };
        Ok(Backlog {
            last: row.try_get("", "last")?,
            callbacks_until: row.try_get("", "callbacks_until")?,
            callbacks: row.try_get("", "callbacks")?,
            webhooks: row.try_get("", "webhooks")?,
            deliveries: row.try_get("", "deliveries")?,
        })
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
