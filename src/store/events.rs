//! All events in the order in which they were committed, for whoever tells others about them.
//!
//! An event's identifier is made before its commit, so identifiers do not say in which order events
//! can be seen. Its sequence does: it is taken from a counter as the last thing before the commit, and
//! whoever has changed the counter holds its lock until the commit is done. So once an event can be
//! seen, so can all with a lower sequence; also where several servers write to one PostgreSQL. Being
//! the last thing, the lock is held shortly, and nobody who holds it waits for another.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::{call_incident, event, event_counter};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
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

/// Writes what a part of a transaction has to tell, as its last thing.
pub(super) async fn write(savepoint: &DatabaseTransaction, rows: Vec<event::ActiveModel>) -> Result<(), DbErr> {
    // SQLite takes 32,766 values in a statement; a storm can bring more lines than that holds.
    for chunk in rows.chunks(1000) {
        event::Entity::insert_many(chunk.to_vec()).exec_without_returning(savepoint).await?;
    }
    Ok(())
}

/// Numbers what the transaction has written, as the last thing before its commit.
pub(super) async fn number(transaction: &DatabaseTransaction) -> Result<(), DbErr> {
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
