//! What decides who is on call, read whole: for one schedule, or for many in three queries.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{schedule, schedule_override, schedule_window};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, Select};
use uuid::Uuid;

use super::spans::{read_override, read_window};
use crate::{
    id::ScheduleId,
    oncall::{Duty, Override, Window},
    store::{Error, Store},
};

/// A schedule's duty and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedDuty {
    /// The schedule's identifier.
    pub id: ScheduleId,
    /// Its name.
    pub name: String,
    /// Everything that decides who is on call by it.
    pub duty: Duty,
    /// From when it was read, the same people are on call at least until then; past, if it has been changed
    /// since the engine looked at it.
    pub next_look_at: Option<DateTime<Utc>>,
}

/// Overrides and windows by their schedule.
#[derive(Default)]
pub(super) struct Spans {
    overrides: HashMap<Uuid, Vec<Override>>,
    windows: HashMap<Uuid, Vec<Window>>,
}

impl Store {
    /// Everything that decides who is on call at the instants from `from` until `until`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn duty(&self, id: ScheduleId, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Option<Duty>, Error> {
        Ok(self.named_duty(id, from, until).await?.map(|named| named.duty))
    }

    /// As [`Store::duty`], with the schedule's name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn named_duty(
        &self,
        id: ScheduleId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<NamedDuty>, Error> {
        let Some(row) = schedule::Entity::find_by_id(id.0).one(&self.read).await? else { return Ok(None) };
        let mut spans = self.spans(Some(&[id.0]), from, until).await?;
        spans.duty_of(row).map(Some)
    }

    /// The duties of all schedules at the instants from `from` until `until`, by the schedules' names.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn duties(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Result<Vec<NamedDuty>, Error> {
        // The schedules first: what is changed in between is then known to be newer than they are.
        let rows = schedule::Entity::find().order_by_asc(schedule::Column::Name).all(&self.read).await?;
        let mut spans = self.spans(None, from, until).await?;
        rows.into_iter().map(|row| spans.duty_of(row)).collect()
    }

    /// The overrides and windows of these schedules, or of all.
    pub(super) async fn spans(
        &self,
        schedules: Option<&[Uuid]>,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Spans, Error> {
        fn of<E: EntityTrait>(column: E::Column, schedules: Option<&[Uuid]>) -> Select<E> {
            match schedules {
                Some(ids) => E::find().filter(column.is_in(ids.iter().copied())),
                None => E::find(),
            }
        }
        let mut spans = Spans::default();
        let overrides = of::<schedule_override::Entity>(schedule_override::Column::ScheduleId, schedules)
            .filter(schedule_override::Column::UntilAt.gt(from))
            .filter(schedule_override::Column::FromAt.lte(until))
            .all(&self.read)
            .await?;
        for row in overrides {
            spans.overrides.entry(row.schedule_id).or_default().push(read_override(row)?);
        }
        let windows = of::<schedule_window::Entity>(schedule_window::Column::ScheduleId, schedules)
            .filter(schedule_window::Column::UntilAt.gt(from))
            .filter(schedule_window::Column::FromAt.lte(until))
            .all(&self.read)
            .await?;
        for row in windows {
            spans.windows.entry(row.schedule_id).or_default().push(read_window(row));
        }
        Ok(spans)
    }
}

impl Spans {
    pub(super) fn duty_of(&mut self, row: schedule::Model) -> Result<NamedDuty, Error> {
        Ok(NamedDuty {
            id: ScheduleId(row.id),
            name: row.name,
            duty: Duty {
                schedule: serde_json::from_value(row.document)?,
                overrides: self.overrides.remove(&row.id).unwrap_or_default(),
                windows: self.windows.remove(&row.id).unwrap_or_default(),
            },
            next_look_at: row.next_look_at,
        })
    }
}
