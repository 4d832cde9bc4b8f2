//! On-call schedules: layers, overrides and windows.

use chrono::{DateTime, Utc};
use entity::{schedule, schedule_override, schedule_window};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Error, Store};
use crate::{
    id::{ContactId, OverrideId, ScheduleId, WindowId},
    oncall::{Duty, Override, Window},
};

impl Store {
    /// Everything that decides who is on call at the instants from `from` until `until`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn duty(&self, id: ScheduleId, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Option<Duty>, Error> {
        let Some(row) = schedule::Entity::find_by_id(id.0).one(&self.read).await? else { return Ok(None) };
        let overrides = schedule_override::Entity::find()
            .filter(schedule_override::Column::ScheduleId.eq(id.0))
            .filter(schedule_override::Column::UntilAt.gt(from))
            .filter(schedule_override::Column::FromAt.lte(until))
            .order_by_asc(schedule_override::Column::MadeAt)
            .all(&self.read)
            .await?;
        let windows = schedule_window::Entity::find()
            .filter(schedule_window::Column::ScheduleId.eq(id.0))
            .filter(schedule_window::Column::UntilAt.gt(from))
            .filter(schedule_window::Column::FromAt.lte(until))
            .all(&self.read)
            .await?;
        Ok(Some(Duty {
            schedule: serde_json::from_value(row.document)?,
            overrides: overrides.into_iter().map(read_override).collect::<Result<_, _>>()?,
            windows: windows.into_iter().map(read_window).collect(),
        }))
    }
}

fn read_override(row: schedule_override::Model) -> Result<Override, Error> {
    Ok(Override {
        id: OverrideId(row.id),
        kind: serde_json::from_value(row.kind.into())?,
        people: serde_json::from_value(row.people)?,
        from: row.from_at,
        until: row.until_at,
        made_at: row.made_at,
    })
}

fn read_window(row: schedule_window::Model) -> Window {
    Window {
        id: WindowId(row.id),
        contact: ContactId(row.contact_id),
        from: row.from_at,
        until: row.until_at,
        priority: row.priority,
    }
}
