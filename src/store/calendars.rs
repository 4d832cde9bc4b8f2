//! Calendars: business hours and holidays.

use chrono::{DateTime, Utc};
use entity::calendar;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Deletion, Edit, Error, Store, audit::Subject, uses};
use crate::{calendar::Calendar, escalation::Step, id::CalendarId};

/// A calendar and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedCalendar {
    /// Its identifier.
    pub id: CalendarId,
    /// Its name; unique.
    pub name: String,
    /// The calendar.
    pub data: Calendar,
    /// Counts its changes.
    pub version: i64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl Edit {
    /// Makes a calendar.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name.
    pub async fn create_calendar(&self, name: String, data: Calendar, now: DateTime<Utc>) -> Result<CalendarId, Error> {
        let id = CalendarId::generate();
        self.change(Subject::Calendar(id), move |tx| {
            Box::pin(async move {
                let row = calendar::ActiveModel {
                    id: Set(id.0),
                    name: Set(name),
                    document: Set(serde_json::to_value(&data)?),
                    version: Set(1),
                    updated_at: Set(now),
                };
                calendar::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a calendar, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or another one has this name.
    pub async fn update_calendar(
        &self,
        id: CalendarId,
        version: i64,
        name: String,
        data: Calendar,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Calendar(id), move |tx| {
            Box::pin(async move {
                let updated = calendar::Entity::update_many()
                    .set(calendar::ActiveModel {
                        name: Set(name),
                        document: Set(serde_json::to_value(&data)?),
                        version: Set(version + 1),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(calendar::Column::Id.eq(id.0))
                    .filter(calendar::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }

    /// Deletes a calendar, if it still is at `version` and no policy has a step that it counts for.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is at another version.
    pub async fn delete_calendar(&self, id: CalendarId, version: i64) -> Result<Deletion, Error> {
        self.change(Subject::Calendar(id), move |tx| {
            Box::pin(async move {
                let places = uses::policies_with(tx, |step| counts_for(id, step)).await?;
                if !places.is_empty() {
                    return Ok(Deletion::UsedIn(places));
                }
                let deleted = calendar::Entity::delete_many()
                    .filter(calendar::Column::Id.eq(id.0))
                    .filter(calendar::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected == 1 { Ok(Deletion::Deleted) } else { Err(Error::Conflict) }
            })
        })
        .await
    }
}

impl Store {
    /// Where a calendar is used, in words.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendar_used_in(&self, id: CalendarId) -> Result<Vec<String>, Error> {
        uses::policies_with(&self.read, |step| counts_for(id, step)).await
    }

    /// The calendar of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendar(&self, id: CalendarId) -> Result<Option<NamedCalendar>, Error> {
        calendar::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// The calendar of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendar_named(&self, name: &str) -> Result<Option<NamedCalendar>, Error> {
        let row = calendar::Entity::find().filter(calendar::Column::Name.eq(name)).one(&self.read).await?;
        row.map(read).transpose()
    }

    /// All calendars, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendars(&self) -> Result<Vec<NamedCalendar>, Error> {
        let rows = calendar::Entity::find().order_by_asc(calendar::Column::Name).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }
}

fn counts_for(id: CalendarId, step: &Step) -> bool {
    [step.only_during, step.not_during].contains(&Some(id))
}

fn read(row: calendar::Model) -> Result<NamedCalendar, Error> {
    Ok(NamedCalendar {
        id: CalendarId(row.id),
        name: row.name,
        data: serde_json::from_value(row.document)?,
        version: row.version,
        updated_at: row.updated_at,
    })
}
