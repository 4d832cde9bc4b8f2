//! Who was on duty when the engine last looked, and when it must look again.

use chrono::{DateTime, Utc};
use entity::schedule;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::NamedDuty;
use crate::{
    id::{ContactId, EventId, MessageId, ScheduleId},
    store::{
        Error, Fact, NewMessage, Store, TimelineEvent,
        messages::queue::{Wanted, queue},
        timeline,
    },
};

/// A schedule that the engine must look at.
#[derive(Clone, Debug)]
pub struct Look {
    /// What decides who is on duty now.
    pub named: NamedDuty,
    /// Who was when it was last looked at.
    pub before: Vec<ContactId>,
    /// What it was looked at; see the table.
    revision: i64,
}

impl Store {
    /// At most `limit` schedules that must be looked at now, the most overdue first, with what decides
    /// about them until `until`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_schedules(
        &self,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<Look>, Error> {
        let rows = schedule::Entity::find()
            .filter(schedule::Column::NextLookAt.lte(now))
            .order_by_asc(schedule::Column::NextLookAt)
            .limit(limit)
            .all(&self.read)
            .await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
        let mut spans = self.spans(Some(&ids), now, until).await?;
        let look = |row: schedule::Model| {
            let before = serde_json::from_value(row.on_duty.clone())?;
            Ok(Look { revision: row.revision, named: spans.duty_of(row)?, before })
        };
        rows.into_iter().map(look).collect()
    }

    /// When the next schedule must be looked at.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_schedule_look(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let first: Option<DateTime<Utc>> = schedule::Entity::find()
            .select_only()
            .column(schedule::Column::NextLookAt)
            .filter(schedule::Column::NextLookAt.is_not_null())
            .order_by_asc(schedule::Column::NextLookAt)
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(first)
    }

    /// Writes down who is on duty and when to look again, `fact` in the schedule's timeline, and queues `notices`.
    /// Returns whether it did: not if it has been changed, or looked at by somebody else, since it was read.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn schedule_looked_at(
        &self,
        look: &Look,
        on_duty: &[ContactId],
        next: DateTime<Utc>,
        fact: Option<Fact>,
        notices: Vec<NewMessage>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let (id, revision) = (look.named.id, look.revision);
        let on_duty = serde_json::to_value(on_duty)?;
        self.write(move |tx| {
            Box::pin(async move {
                let updated = schedule::Entity::update_many()
                    .set(schedule::ActiveModel {
                        on_duty: Set(on_duty),
                        next_look_at: Set(Some(next)),
                        revision: Set(revision + 1),
                        ..Default::default()
                    })
                    .filter(schedule::Column::Id.eq(id.0))
                    .filter(schedule::Column::Revision.eq(revision))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Ok(false);
                }
                let notices = notices.into_iter().map(|message| {
                    let id = MessageId::generate();
                    Wanted { id, incident: None, message, now }
                });
                queue(tx, notices.collect()).await?;
                if let Some(fact) = fact {
                    timeline::write_of_schedule(tx, id, now, &fact).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// The timeline of a schedule, oldest first: at most `limit` lines after `after`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedule_timeline(
        &self,
        id: ScheduleId,
        after: Option<EventId>,
        limit: u64,
    ) -> Result<Vec<TimelineEvent>, Error> {
        timeline::of_schedule(&self.read, id, after, limit).await
    }
}
