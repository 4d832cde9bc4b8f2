//! What whoever watches the server asks: how much is open, what is late, what is not as it should be.

use chrono::{DateTime, Utc};
use entity::{call, incident};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, Select,
    prelude::Json, sea_query::Expr,
};
use uuid::Uuid;

use super::{CallStatus, Error, Store, calls, incidents::waits_for_no_call};
use crate::{
    escalation::State,
    id::{CallId, IncidentId},
};

/// How much there is of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Incidents that are not over, by the name of their state.
    pub open: Vec<(String, u64)>,
    /// Those that are held since there is no policy for them.
    pub without_policy: u64,
    /// Those whose deadline has come.
    pub due: u64,
    /// The most overdue deadline.
    pub oldest_due: Option<DateTime<Utc>>,
    /// Calls that are not over, by status.
    pub calls: Vec<(String, u64)>,
}

/// An open incident as its row has it: twice, since what the engine finds is not what it reads.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenIncident {
    /// Its identifier.
    pub id: IncidentId,
    /// The state's name, by which it is found.
    pub name: String,
    /// The deadline by which it is found.
    pub due_at: Option<DateTime<Utc>>,
    /// Where it stands; `None` if that cannot be read.
    pub state: Option<State>,
    /// Whether a call about it lives, which its deadline waits for.
    pub in_call: bool,
}

/// A call that has left the queue and is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveCall {
    /// Its identifier.
    pub id: CallId,
    /// When it left.
    pub dialed_at: Option<DateTime<Utc>>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// The server that has placed it.
    pub node: Option<String>,
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    state: String,
    due_at: Option<DateTime<Utc>>,
    state_document: Json,
    in_call: bool,
}

#[derive(FromQueryResult)]
struct Count {
    name: String,
    count: i64,
}

impl Store {
    /// How much there is of what.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn figures(&self, now: DateTime<Utc>) -> Result<Figures, Error> {
        let open = || incident::Entity::find().filter(incident::Column::OpenKey.is_not_null());
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        let named = |rows: Vec<Count>| rows.into_iter().map(|row| (row.name, count(row.count))).collect();
        let by_state = open()
            .select_only()
            .column_as(incident::Column::State, "name")
            .column_as(incident::Column::Id.count(), "count")
            .group_by(incident::Column::State);
        let live = CallStatus::LIVE.iter().map(|status| status.as_str());
        let by_status = call::Entity::find()
            .filter(call::Column::Status.is_in(live))
            .select_only()
            .column_as(call::Column::Status, "name")
            .column_as(call::Column::Id.count(), "count")
            .group_by(call::Column::Status);
        let without_policy =
            open().filter(incident::Column::State.eq("held")).filter(incident::Column::Policy.is_null());
        let due = || incident::Entity::find().filter(incident::Column::DueAt.lte(now)).filter(waits_for_no_call());
        Ok(Figures {
            open: named(self.models(by_state).await?),
            without_policy: without_policy.count(&self.read).await?,
            due: due().count(&self.read).await?,
            oldest_due: self.next_due().await?.filter(|at| *at <= now),
            calls: named(self.models(by_status).await?),
        })
    }

    /// Open incidents, the oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn open_incidents(&self, limit: u64) -> Result<Vec<OpenIncident>, Error> {
        let query = incident::Entity::find()
            .filter(incident::Column::OpenKey.is_not_null())
            .select_only()
            .columns([
                incident::Column::Id,
                incident::Column::State,
                incident::Column::DueAt,
                incident::Column::StateDocument,
            ])
            .column_as(Expr::exists(calls::live_of_incident()), "in_call")
            .order_by_asc(incident::Column::Id)
            .limit(limit);
        let rows: Vec<Row> = self.models(query).await?;
        let read = |row: Row| OpenIncident {
            id: IncidentId(row.id),
            name: row.state,
            due_at: row.due_at,
            state: serde_json::from_value(row.state_document).ok(),
            in_call: row.in_call,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    /// Calls that have left the queue and are not over.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn live_calls(&self) -> Result<Vec<LiveCall>, Error> {
        let rows = call::Entity::find().filter(calls::status_in(&CallStatus::ON_THE_LINE)).all(&self.read).await?;
        let read = |row: call::Model| LiveCall {
            id: CallId(row.id),
            dialed_at: row.dialed_at,
            answered_at: row.answered_at,
            node: row.node,
        };
        Ok(rows.into_iter().map(read).collect())
    }

    async fn models<E: EntityTrait, T: FromQueryResult + Send + Sync + Unpin>(
        &self,
        query: Select<E>,
    ) -> Result<Vec<T>, DbErr> {
        query.into_model::<T>().all(&self.read).await
    }
}
