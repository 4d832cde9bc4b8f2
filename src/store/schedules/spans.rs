//! Overrides and windows, one by one.

use chrono::{DateTime, Utc};
use entity::{schedule_override, schedule_window};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{imports::uid_of, touch};
use crate::{
    id::{ContactId, OverrideId, ScheduleId, WindowId},
    oncall::{Override, OverrideKind, Window},
    store::{Edit, Error, Store, audit::Subject},
};

/// An override, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOverride {
    /// The override.
    pub change: Override,
    /// What the calendar that it was imported from calls it.
    pub uid: Option<String>,
    /// Who made it.
    pub made_by: String,
}

impl Edit {
    /// Adds an override. Returns whether there is such a schedule.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn add_override(&self, schedule: ScheduleId, change: Override, by: &str) -> Result<bool, Error> {
        let by = by.to_owned();
        self.change(Subject::Override(change.id), move |tx| {
            Box::pin(async move {
                if !touch(tx, schedule, change.made_at).await? {
                    return Ok(false);
                }
                let row = override_row(schedule, &change, None, by)?;
                schedule_override::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Takes an override away. Returns whether there was one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn delete_override(
        &self,
        schedule: ScheduleId,
        id: OverrideId,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        self.change(Subject::Override(id), move |tx| {
            Box::pin(async move {
                let deleted = schedule_override::Entity::delete_many()
                    .filter(schedule_override::Column::Id.eq(id.0))
                    .filter(schedule_override::Column::ScheduleId.eq(schedule.0))
                    .exec(tx)
                    .await?;
                Ok(deleted.rows_affected == 1 && touch(tx, schedule, now).await?)
            })
        })
        .await
    }

    /// Adds a window. Returns whether there is such a schedule.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn add_window(&self, schedule: ScheduleId, window: Window, now: DateTime<Utc>) -> Result<bool, Error> {
        self.change(Subject::Window(window.id), move |tx| {
            Box::pin(async move {
                if !touch(tx, schedule, now).await? {
                    return Ok(false);
                }
                let row = schedule_window::ActiveModel {
                    id: Set(window.id.0),
                    schedule_id: Set(schedule.0),
                    contact_id: Set(window.contact.0),
                    from_at: Set(window.from),
                    until_at: Set(window.until),
                    priority: Set(window.priority),
                };
                schedule_window::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Takes a window away. Returns whether there was one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn delete_window(&self, schedule: ScheduleId, id: WindowId, now: DateTime<Utc>) -> Result<bool, Error> {
        self.change(Subject::Window(id), move |tx| {
            Box::pin(async move {
                let deleted = schedule_window::Entity::delete_many()
                    .filter(schedule_window::Column::Id.eq(id.0))
                    .filter(schedule_window::Column::ScheduleId.eq(schedule.0))
                    .exec(tx)
                    .await?;
                Ok(deleted.rows_affected == 1 && touch(tx, schedule, now).await?)
            })
        })
        .await
    }
}

impl Store {
    /// How many overrides of a schedule are not over at `now`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn count_overrides(&self, schedule: ScheduleId, now: DateTime<Utc>) -> Result<u64, Error> {
        let open = schedule_override::Entity::find()
            .filter(schedule_override::Column::ScheduleId.eq(schedule.0))
            .filter(schedule_override::Column::UntilAt.gt(now));
        Ok(open.count(&self.read).await?)
    }

    /// The overrides of a schedule that touch the time from `from` until `until`, or all later ones if it
    /// has no end: at most `limit`, by their beginning.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn overrides(
        &self,
        schedule: ScheduleId,
        (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
        limit: u64,
    ) -> Result<Vec<NamedOverride>, Error> {
        let mut query = schedule_override::Entity::find()
            .filter(schedule_override::Column::ScheduleId.eq(schedule.0))
            .filter(schedule_override::Column::UntilAt.gt(from));
        if let Some(until) = until {
            query = query.filter(schedule_override::Column::FromAt.lt(until));
        }
        let rows = query
            .order_by_asc(schedule_override::Column::FromAt)
            .order_by_asc(schedule_override::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        let named = |row: schedule_override::Model| {
            let uid = row.uid.as_deref().map(|key| uid_of(key).to_owned());
            let made_by = row.made_by.clone();
            Ok(NamedOverride { change: read_override(row)?, uid, made_by })
        };
        rows.into_iter().map(named).collect()
    }

    /// The windows of a schedule; see [`Store::overrides`].
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn windows(
        &self,
        schedule: ScheduleId,
        (from, until): (DateTime<Utc>, Option<DateTime<Utc>>),
        limit: u64,
    ) -> Result<Vec<Window>, Error> {
        let mut query = schedule_window::Entity::find()
            .filter(schedule_window::Column::ScheduleId.eq(schedule.0))
            .filter(schedule_window::Column::UntilAt.gt(from));
        if let Some(until) = until {
            query = query.filter(schedule_window::Column::FromAt.lt(until));
        }
        let rows = query
            .order_by_asc(schedule_window::Column::FromAt)
            .order_by_asc(schedule_window::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(read_window).collect())
    }
}

pub(super) fn override_row(
    schedule: ScheduleId,
    change: &Override,
    uid: Option<String>,
    by: String,
) -> Result<schedule_override::ActiveModel, Error> {
    Ok(schedule_override::ActiveModel {
        id: Set(change.id.0),
        schedule_id: Set(schedule.0),
        kind: Set(kind_name(change.kind).to_owned()),
        people: Set(serde_json::to_value(&change.people)?),
        from_at: Set(change.from),
        until_at: Set(change.until),
        uid: Set(uid),
        made_by: Set(by),
        made_at: Set(change.made_at),
    })
}

fn kind_name(kind: OverrideKind) -> &'static str {
    match kind {
        OverrideKind::Add => "add",
        OverrideKind::Replace => "replace",
        OverrideKind::Remove => "remove",
    }
}

pub(super) fn read_override(row: schedule_override::Model) -> Result<Override, Error> {
    let people: Vec<ContactId> = serde_json::from_value(row.people)?;
    Ok(Override {
        id: OverrideId(row.id),
        kind: serde_json::from_value(row.kind.into())?,
        people,
        from: row.from_at,
        until: row.until_at,
        made_at: row.made_at,
    })
}

pub(super) fn read_window(row: schedule_window::Model) -> Window {
    Window {
        id: WindowId(row.id),
        contact: ContactId(row.contact_id),
        from: row.from_at,
        until: row.until_at,
        priority: row.priority,
    }
}
