//! All events in the order in which they were committed, for whoever tells others about them.
//!
//! An event's identifier is made before its commit, so identifiers do not say in which order events
//! can be seen. Its sequence does: it is taken from a counter, and whoever has changed the counter holds
//! its lock until the commit is done. So once an event can be seen, so can all with a lower sequence; also
//! where several servers write to one PostgreSQL. There it is the last thing before the commit: the lock
//! is held shortly, and nobody who holds it waits for another. SQLite has one lock, taken at the beginning.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::{call_incident, event, event_counter};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Error, Fact, Store};
use crate::id::{CallId, EventId, IncidentId, ScheduleId};

/// An event, as it is told to others.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    /// Its place among all events: whoever has seen one has seen, or can see, all with a lower one.
    pub sequence: i64,
    /// Its identifier, the same as in timelines.
    pub id: EventId,
    /// When.
    pub at: DateTime<Utc>,
    /// What, for programs.
    pub kind: String,
    /// Particulars, which differ from kind to kind.
    pub data: serde_json::Value,
    /// The call it is about.
    pub call: Option<CallId>,
    /// The schedule it is about.
    pub schedule: Option<ScheduleId>,
    /// The incidents it is about: the one it names, or all that its call carries.
    pub incidents: Vec<IncidentId>,
}

impl Happened {
    /// What happened, for people; `None` if another version has written it.
    #[must_use]
    pub fn sentence(&self) -> Option<String> {
        self.fact().map(|fact| fact.sentence())
    }

    /// What happened; `None` if another version has written it.
    #[must_use]
    pub fn fact(&self) -> Option<Fact> {
        let mut data = self.data.clone();
        data.as_object_mut()?.insert("kind".into(), self.kind.clone().into());
        serde_json::from_value(data).ok()
    }
}

impl Store {
    /// The sequence of the last event; 0 before the first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn last_event(&self) -> Result<i64, Error> {
        let counter = event_counter::Entity::find_by_id(1).one(&self.read).await?;
        Ok(counter.map_or(0, |counter| counter.last))
    }

    /// At most `limit` events after the one with sequence `after`, in order, without a gap.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn events_after(&self, after: i64, limit: u64) -> Result<Vec<Happened>, Error> {
        let rows = event::Entity::find()
            .filter(event::Column::Sequence.gt(after))
            .order_by_asc(event::Column::Sequence)
            .limit(limit)
            .all(&self.read)
            .await?;
        let mut calls: Vec<Uuid> =
            rows.iter().filter(|row| row.incident_id.is_none()).filter_map(|row| row.call_id).collect();
        calls.sort_unstable();
        calls.dedup();
        let mut carried: BTreeMap<Uuid, Vec<IncidentId>> = BTreeMap::new();
        for some in calls.chunks(1000) {
            let links = call_incident::Entity::find()
                .filter(call_incident::Column::CallId.is_in(some.iter().copied()))
                .order_by_asc(call_incident::Column::Ordinal)
                .order_by_asc(call_incident::Column::IncidentId)
                .all(&self.read)
                .await?;
            for link in links {
                carried.entry(link.call_id).or_default().push(IncidentId(link.incident_id));
            }
        }
        let incidents = |row: &event::Model| match (row.incident_id, row.call_id) {
            (Some(incident), _) => vec![IncidentId(incident)],
            (None, Some(call)) => carried.get(&call).cloned().unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let happened = |row: event::Model| Happened {
            sequence: row.sequence.unwrap_or_default(),
            id: EventId(row.id),
            at: row.at,
            incidents: incidents(&row),
            kind: row.kind,
            data: row.data,
            call: row.call_id.map(CallId),
            schedule: row.schedule_id.map(ScheduleId),
        };
        Ok(rows.into_iter().map(happened).collect())
    }

    /// Changes whenever this server has committed events. Others may have, too: look now and then.
    #[must_use]
    pub fn events_written(&self) -> watch::Receiver<u64> {
        self.writer.events_written()
    }
}

/// Numbers the events of one transaction.
#[derive(Clone, Copy)]
pub(super) enum Numbers {
    /// Nobody else writes to a SQLite database meanwhile: each is written with its number. The last one
    /// before this transaction, and the last one by now.
    AtOnce { before: i64, last: i64 },
    /// All at the end.
    AtTheEnd { any: bool },
}

impl Numbers {
    /// `last` is the last number of the transaction before, if that is known.
    pub(super) async fn begin(transaction: &DatabaseTransaction, last: Option<i64>) -> Result<Self, DbErr> {
        if transaction.get_database_backend() != DbBackend::Sqlite {
            return Ok(Self::AtTheEnd { any: false });
        }
        let last = match last {
            Some(last) => last,
            None => event_counter::Entity::find_by_id(1).one(transaction).await?.map_or(0, |counter| counter.last),
        };
        Ok(Self::AtOnce { before: last, last })
    }

    /// Whether there were events.
    pub(super) fn any(&self) -> bool {
        match self {
            Self::AtOnce { before, last } => last > before,
            Self::AtTheEnd { any } => *any,
        }
    }

    /// The last number, if it is known.
    pub(super) fn last(&self) -> Option<i64> {
        match self {
            Self::AtOnce { last, .. } => Some(*last),
            Self::AtTheEnd { .. } => None,
        }
    }

    /// Writes what a part of the transaction has to tell, as its last thing. If that part is undone, go on
    /// with what was there before.
    pub(super) async fn write(
        &mut self,
        part: &DatabaseTransaction,
        mut rows: Vec<event::ActiveModel>,
    ) -> Result<(), DbErr> {
        match self {
            Self::AtOnce { last, .. } => {
                for row in &mut rows {
                    *last += 1;
                    row.sequence = Set(Some(*last));
                }
            }
            Self::AtTheEnd { any } => *any |= !rows.is_empty(),
        }
        insert(part, rows).await
    }

    /// As the last thing before the commit.
    pub(super) async fn finish(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        match self {
            _ if !self.any() => Ok(()),
            Self::AtTheEnd { .. } => number(transaction).await,
            Self::AtOnce { before, last } => {
                let update = event_counter::Entity::update_many()
                    .col_expr(event_counter::Column::Last, Expr::val(*last))
                    .filter(event_counter::Column::Id.eq(1))
                    .filter(event_counter::Column::Last.eq(*before));
                if update.exec(transaction).await?.rows_affected == 1 {
                    return Ok(());
                }
                Err(DbErr::Custom("another program has written events to this database meanwhile".into()))
            }
        }
    }
}

async fn insert(part: &DatabaseTransaction, rows: Vec<event::ActiveModel>) -> Result<(), DbErr> {
    // SQLite takes 32,766 values in a statement; a storm can bring more lines than that holds.
    for chunk in rows.chunks(1000) {
        event::Entity::insert_many(chunk.to_vec()).exec_without_returning(part).await?;
    }
    Ok(())
}

/// Numbers what the transaction has written, as the last thing before its commit.
async fn number(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
    transaction
        .execute_unprepared(
            "UPDATE event_counter SET last = last + (SELECT count(*) FROM event WHERE sequence IS NULL) WHERE id = 1",
        )
        .await?;
    // Identifiers of one server grow as they are made: within a transaction they are in order.
    transaction
        .execute_unprepared(
            "UPDATE event SET sequence = numbered.place \
             FROM (SELECT fresh.id AS id, \
             counter.last - count(*) OVER () + row_number() OVER (ORDER BY fresh.id) AS place \
             FROM event AS fresh, event_counter AS counter WHERE counter.id = 1 AND fresh.sequence IS NULL) AS numbered \
             WHERE event.sequence IS NULL AND event.id = numbered.id",
        )
        .await?;
    Ok(())
}
