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
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use tokio::sync::watch;
use uuid::Uuid;

use super::{Error, Fact, Store};
use crate::id::{CallId, EventId, IncidentId, MessageId, ScheduleId};

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
    /// The text message it is about.
    pub message: Option<MessageId>,
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
            message: row.message_id.map(MessageId),
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
pub(super) enum Numbers {
    /// Nobody else writes to a SQLite database meanwhile: each is written with its number. What the counter says
    /// after what was counted here, once something was; and the last number by now.
    AtOnce { counted: Option<i64>, first: i64, last: i64 },
    /// All at the end: these.
    AtTheEnd(Vec<Uuid>),
}

/// What [`Numbers`] knew before a part of the transaction.
pub(super) enum Mark {
    AtOnce { counted: Option<i64>, first: i64, last: i64 },
    AtTheEnd(usize),
}

impl Numbers {
    pub(super) fn of(transaction: &DatabaseTransaction) -> Self {
        match transaction.get_database_backend() {
            DbBackend::Sqlite => Self::AtOnce { counted: None, first: 0, last: 0 },
            _ => Self::AtTheEnd(Vec::new()),
        }
    }

    /// Whether there are events.
    pub(super) fn any(&self) -> bool {
        match self {
            Self::AtOnce { first, last, .. } => last > first,
            Self::AtTheEnd(ids) => !ids.is_empty(),
        }
    }

    /// Writes what a part of the transaction has to tell, as its last thing.
    pub(super) async fn write(
        &mut self,
        part: &DatabaseTransaction,
        mut rows: Vec<event::ActiveModel>,
    ) -> Result<(), DbErr> {
        if rows.is_empty() {
            return Ok(());
        }
        match self {
            Self::AtOnce { counted, first, last } => {
                if counted.is_none() {
                    // The first part counts its own; what others add is counted at the end.
                    let count = i64::try_from(rows.len()).unwrap_or_default();
                    let after = count_up(part, count).await?;
                    (*counted, *first, *last) = (Some(after), after - count, after - count);
                }
                for row in &mut rows {
                    *last += 1;
                    row.sequence = Set(Some(*last));
                }
            }
            Self::AtTheEnd(ids) => ids.extend(rows.iter().filter_map(|row| row.id.try_as_ref().copied())),
        }
        // SQLite takes 32,766 values in a statement; a storm can bring more lines than that holds.
        for chunk in rows.chunks(1000) {
            event::Entity::insert_many(chunk.to_vec()).exec_without_returning(part).await?;
        }
        Ok(())
    }

    /// Where it stands, for [`Numbers::undo`].
    pub(super) fn mark(&self) -> Mark {
        match self {
            Self::AtOnce { counted, first, last } => Mark::AtOnce { counted: *counted, first: *first, last: *last },
            Self::AtTheEnd(ids) => Mark::AtTheEnd(ids.len()),
        }
    }

    /// The part was undone: it is as it was then.
    pub(super) fn undo(&mut self, mark: Mark) {
        match (self, mark) {
            (this @ Self::AtOnce { .. }, Mark::AtOnce { counted, first, last }) => {
                *this = Self::AtOnce { counted, first, last };
            }
            (Self::AtTheEnd(ids), Mark::AtTheEnd(count)) => ids.truncate(count),
            _ => {}
        }
    }

    /// As the last thing before the commit.
    pub(super) async fn finish(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        match self {
            Self::AtOnce { counted: Some(counted), last, .. } if counted != last => {
                match count_up(transaction, last - counted).await? {
                    after if after == *last => Ok(()),
                    _ => Err(DbErr::Custom("the counter of events is not what it was".into())),
                }
            }
            Self::AtOnce { .. } => Ok(()),
            Self::AtTheEnd(ids) if ids.is_empty() => Ok(()),
            Self::AtTheEnd(ids) => {
                let count = i64::try_from(ids.len()).unwrap_or_default();
                let after = count_up(transaction, count).await?;
                number(transaction, ids, after - count).await
            }
        }
    }
}

/// Counts so many events more. Returns the number of the last one.
async fn count_up(transaction: &DatabaseTransaction, count: i64) -> Result<i64, DbErr> {
    let counter = Query::update()
        .table(event_counter::Entity)
        .value(event_counter::Column::Last, Expr::col(event_counter::Column::Last).add(count))
        .and_where(Expr::col(event_counter::Column::Id).eq(1))
        .returning_col(event_counter::Column::Last)
        .to_owned();
    let counted = transaction.query_one(&counter).await?.map(|row| row.try_get("", "last")).transpose()?;
    counted.ok_or_else(|| DbErr::Custom("there is no counter of events".into()))
}

/// Numbers events from the one after `last`, on PostgreSQL.
async fn number(transaction: &DatabaseTransaction, ids: &[Uuid], last: i64) -> Result<(), DbErr> {
    for (ids, chunk) in ids.chunks(1000).zip(0_i64..) {
        let list: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let (list, last) = (list.join(","), last + chunk * 1000);
        transaction
            .execute_unprepared(&format!(
                "UPDATE event SET sequence = {last} + fresh.place \
                 FROM unnest('{{{list}}}'::uuid[]) WITH ORDINALITY AS fresh (id, place) WHERE event.id = fresh.id"
            ))
            .await?;
    }
    Ok(())
}
