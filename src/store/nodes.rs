//! The servers that place calls, and whose a call is.

use chrono::{DateTime, Utc};
use entity::{call, node};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::{CallStatus, Error, Store, calls::status_in};
use crate::id::CallId;

/// A server that places calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, which its calls bear.
    pub name: String,
    /// Grows as long as it lives.
    pub beats: i64,
}

impl Store {
    /// Takes the name for this server. Whoever had it, has it no longer.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn take_node(&self, name: &str, instance: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
        let row =
            node::ActiveModel { name: Set(name.to_owned()), instance: Set(instance), beats: Set(0), seen_at: Set(now) };
        let taken = OnConflict::column(node::Column::Name)
            .update_columns([node::Column::Instance, node::Column::SeenAt])
            .value(node::Column::Beats, Expr::col((node::Entity, node::Column::Beats)).add(1))
            .to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                node::Entity::insert(row).on_conflict(taken).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Says that this server lives. Returns false if another one has its name.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn node_beats(&self, name: &str, instance: Uuid, now: DateTime<Utc>) -> Result<bool, Error> {
        let beat = node::Entity::update_many()
            .col_expr(node::Column::Beats, Expr::col(node::Column::Beats).add(1))
            .col_expr(node::Column::SeenAt, Expr::val(now))
            .filter(node::Column::Name.eq(name))
            .filter(node::Column::Instance.eq(instance));
        self.write(move |tx| Box::pin(async move { Ok(beat.exec(tx).await?.rows_affected == 1) })).await
    }

    /// All servers that place calls, or did.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn nodes(&self) -> Result<Vec<Node>, Error> {
        let rows = node::Entity::find().all(&self.read).await?;
        Ok(rows.into_iter().map(|row| Node { name: row.name, beats: row.beats }).collect())
    }

    /// Forgets servers that were last seen before.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn forget_nodes(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let old = node::Entity::delete_many().filter(node::Column::SeenAt.lt(before));
        self.write(move |tx| Box::pin(async move { Ok(old.exec(tx).await?.rows_affected) })).await
    }

    /// Takes over a call that `from` has placed. Returns false if it is over, or another server was faster.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn adopt_call(&self, id: CallId, from: Option<&str>, node: &str) -> Result<bool, Error> {
        let (from, to) = (from.map(str::to_owned), node.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let whose = match from {
                    Some(from) => call::Column::Node.eq(from),
                    None => call::Column::Node.is_null(),
                };
                let adopted = call::Entity::update_many()
                    .set(call::ActiveModel { node: Set(Some(to)), ..Default::default() })
                    .filter(call::Column::Id.eq(id.0))
                    .filter(status_in(&CallStatus::ON_THE_LINE))
                    .filter(whose)
                    .exec(tx)
                    .await?;
                Ok(adopted.rows_affected == 1)
            })
        })
        .await
    }
}
