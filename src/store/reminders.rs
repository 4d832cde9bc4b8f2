//! Reminders: scheduled calls that repeat.

use chrono::{DateTime, NaiveDateTime, Utc};
use entity::reminder;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Edit, Error, Page, Store, audit::Subject};
use crate::{escalation::Target, id::ReminderId, recurrence::Recurrence, wallclock::Zone};

/// A reminder as it stands.
#[derive(Clone, Debug)]
pub struct Reminder {
    /// Its identifier.
    pub id: ReminderId,
    /// What can be edited.
    pub data: ReminderData,
    /// Counts its changes; what comes of it is none.
    pub version: i64,
    /// The next time; `None` when there is none any more.
    pub next_at: Option<DateTime<Utc>>,
    /// Who made it.
    pub made_by: String,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Whom it calls, what is said, and when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReminderData {
    /// Whom.
    pub target: Target,
    /// What is spoken.
    pub text: String,
    /// How often each time is tried.
    pub attempts: u32,
    /// Seconds from one try to the next.
    pub attempt_delay: u32,
    /// Seconds after its time when it is too late to call.
    pub expires: u32,
    /// The first time, in local time.
    pub start: NaiveDateTime,
    /// Where that local time holds.
    pub zone: Zone,
    /// How it repeats.
    pub recurrence: Recurrence,
}

impl ReminderData {
    /// The first time after `after`.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.recurrence.next_after(self.start, |local| self.zone.instant(local), after)
    }

    /// The last time up to `now`, from `first` on, which is one.
    #[must_use]
    pub fn last_until(&self, first: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        // What was missed for months was missed: only the newest matters, and looking for it is bounded.
        let from = first.max(now - chrono::TimeDelta::days(8));
        let upto = now + chrono::TimeDelta::microseconds(1);
        let times = self.recurrence.between(self.start, |local| self.zone.instant(local), from, upto, 10_000);
        times.last().copied().unwrap_or(first)
    }
}

impl Edit {
    /// Makes a reminder.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_reminder(
        &self,
        data: ReminderData,
        next: Option<DateTime<Utc>>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<ReminderId, Error> {
        let id = ReminderId::generate();
        self.create_reminder_as(id, data, next, by, now).await.map(|()| id)
    }

    /// The same, under an identifier that was made before.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one with this identifier.
    pub async fn create_reminder_as(
        &self,
        id: ReminderId,
        data: ReminderData,
        next: Option<DateTime<Utc>>,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let by = by.to_owned();
        self.change(Subject::Reminder(id), move |tx| {
            Box::pin(async move {
                let row = reminder::ActiveModel {
                    id: Set(id.0),
                    document: Set(serde_json::to_value(&data)?),
                    version: Set(1),
                    next_at: Set(next),
                    made_by: Set(by),
                    updated_at: Set(now),
                };
                reminder::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Changes a reminder, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn update_reminder(
        &self,
        id: ReminderId,
        version: i64,
        data: ReminderData,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Reminder(id), move |tx| {
            Box::pin(async move {
                let updated = reminder::Entity::update_many()
                    .set(reminder::ActiveModel {
                        document: Set(serde_json::to_value(&data)?),
                        version: Set(version + 1),
                        next_at: Set(next),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(reminder::Column::Id.eq(id.0))
                    .filter(reminder::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }

    /// Deletes a reminder, if it still is at `version`. Calls that have come of it go on.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn delete_reminder(&self, id: ReminderId, version: i64) -> Result<(), Error> {
        self.change(Subject::Reminder(id), move |tx| {
            Box::pin(async move {
                let deleted = reminder::Entity::delete_many()
                    .filter(reminder::Column::Id.eq(id.0))
                    .filter(reminder::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }
}

impl Store {
    /// What was due has been raised; `next` comes next. Nothing if it has been changed meanwhile.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn reminder_raised(&self, reminder: &Reminder, next: Option<DateTime<Utc>>) -> Result<(), Error> {
        let (id, version) = (reminder.id, reminder.version);
        self.write(move |tx| {
            Box::pin(async move {
                reminder::Entity::update_many()
                    .set(reminder::ActiveModel { next_at: Set(next), ..Default::default() })
                    .filter(reminder::Column::Id.eq(id.0))
                    .filter(reminder::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// A reminder by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn reminder(&self, id: ReminderId) -> Result<Option<Reminder>, Error> {
        reminder::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// A page of reminders, the newest first, from behind `before` on.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn reminders(&self, before: Option<Uuid>, limit: u64) -> Result<Page<Reminder>, Error> {
        let mut query = reminder::Entity::find();
        if let Some(before) = before {
            query = query.filter(reminder::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(reminder::Column::Id).limit(limit + 1).all(&self.read).await?;
        let reminders = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(reminders, limit, |reminder| reminder.id.0))
    }

    /// Reminders whose time has come.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_reminders(&self, now: DateTime<Utc>, limit: u64) -> Result<Vec<Reminder>, Error> {
        let due = reminder::Entity::find().filter(reminder::Column::NextAt.lte(now));
        let rows = due.order_by_asc(reminder::Column::NextAt).limit(limit).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// When the next of them is due.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_reminder(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let first = reminder::Entity::find()
            .filter(reminder::Column::NextAt.is_not_null())
            .order_by_asc(reminder::Column::NextAt)
            .one(&self.read)
            .await?;
        Ok(first.and_then(|row| row.next_at))
    }
}

fn read(row: reminder::Model) -> Result<Reminder, Error> {
    Ok(Reminder {
        id: ReminderId(row.id),
        data: serde_json::from_value(row.document)?,
        version: row.version,
        next_at: row.next_at,
        made_by: row.made_by,
        updated_at: row.updated_at,
    })
}
