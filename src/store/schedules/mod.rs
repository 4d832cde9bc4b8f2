//! On-call schedules: layers, overrides and windows.
//!
//! Whatever may change who is on duty has the engine look at the schedule, in the same transaction.

mod duties;
mod imports;
mod looks;
mod people;
mod spans;

use chrono::{DateTime, Utc};
use entity::{feed, schedule, schedule_override, schedule_window};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder,
    sea_query::{Expr, ExprTrait},
};

pub use duties::NamedDuty;
pub use imports::{ImportCounts, ImportedDuty, Run};
pub use looks::Look;
pub use spans::NamedOverride;

use super::{Deletion, Edit, Error, Store, audit::Subject, uses};
use crate::store::writer::Tx;
use crate::{escalation::Target, id::ScheduleId, oncall::Schedule};

/// A schedule and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedSchedule {
    /// Its identifier.
    pub id: ScheduleId,
    /// What can be edited.
    pub data: ScheduleData,
    /// Counts its changes; those of its overrides and windows are not among them.
    pub version: i64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A schedule as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleData {
    /// What it is called; unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// The schedule.
    pub schedule: Schedule,
}

impl Edit {
    /// Makes a schedule.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name.
    pub async fn create_schedule(&self, data: ScheduleData, now: DateTime<Utc>) -> Result<ScheduleId, Error> {
        let id = ScheduleId::generate();
        self.change(Subject::Schedule(id), move |tx| {
            Box::pin(async move {
                let row = schedule::ActiveModel {
                    id: Set(id.0),
                    name: Set(data.name),
                    description: Set(data.description),
                    document: Set(serde_json::to_value(&data.schedule)?),
                    version: Set(1),
                    on_duty: Set(serde_json::json!([])),
                    next_look_at: Set(Some(now)),
                    revision: Set(1),
                    updated_at: Set(now),
                };
                schedule::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a schedule, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or another one has this name.
    pub async fn update_schedule(
        &self,
        id: ScheduleId,
        version: i64,
        data: ScheduleData,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Schedule(id), move |tx| {
            Box::pin(async move {
                let updated = schedule::Entity::update_many()
                    .set(schedule::ActiveModel {
                        name: Set(data.name),
                        description: Set(data.description),
                        document: Set(serde_json::to_value(&data.schedule)?),
                        version: Set(version + 1),
                        next_look_at: Set(Some(now)),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .col_expr(schedule::Column::Revision, Expr::col(schedule::Column::Revision).add(1))
                    .filter(schedule::Column::Id.eq(id.0))
                    .filter(schedule::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }

    /// Deletes a schedule with its overrides, windows and feed, if it still is at `version` and no policy
    /// calls whoever is on duty by it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is at another version.
    pub async fn delete_schedule(&self, id: ScheduleId, version: i64) -> Result<Deletion, Error> {
        self.change(Subject::Schedule(id), move |tx| {
            Box::pin(async move {
                let places = uses::policies_with(tx, |step| step.targets.contains(&Target::Schedule(id))).await?;
                if !places.is_empty() {
                    return Ok(Deletion::UsedIn(places));
                }
                let deleted = schedule::Entity::delete_many()
                    .filter(schedule::Column::Id.eq(id.0))
                    .filter(schedule::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                let of_it = schedule_override::Column::ScheduleId.eq(id.0);
                schedule_override::Entity::delete_many().filter(of_it).exec(tx).await?;
                let of_it = schedule_window::Column::ScheduleId.eq(id.0);
                schedule_window::Entity::delete_many().filter(of_it).exec(tx).await?;
                feed::Entity::delete_many().filter(feed::Column::ScheduleId.eq(id.0)).exec(tx).await?;
                Ok(Deletion::Deleted)
            })
        })
        .await
    }
}

impl Store {
    /// The schedule of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedule(&self, id: ScheduleId) -> Result<Option<NamedSchedule>, Error> {
        schedule::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// The schedule of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedule_named(&self, name: &str) -> Result<Option<NamedSchedule>, Error> {
        let row = schedule::Entity::find().filter(schedule::Column::Name.eq(name)).one(&self.read).await?;
        row.map(read).transpose()
    }

    /// All schedules, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedules(&self) -> Result<Vec<NamedSchedule>, Error> {
        let rows = schedule::Entity::find().order_by_asc(schedule::Column::Name).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// Where a schedule is used, in words.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedule_used_in(&self, id: ScheduleId) -> Result<Vec<String>, Error> {
        uses::policies_with(&self.read, |step| step.targets.contains(&Target::Schedule(id))).await
    }
}

/// Has the engine look at a schedule, as part of a change of its overrides or windows. Returns whether
/// there is such a schedule.
pub(super) async fn touch(tx: &Tx, id: ScheduleId, now: DateTime<Utc>) -> Result<bool, Error> {
    let touched = schedule::Entity::update_many()
        .col_expr(schedule::Column::NextLookAt, Expr::val(now))
        .col_expr(schedule::Column::Revision, Expr::col(schedule::Column::Revision).add(1))
        .filter(schedule::Column::Id.eq(id.0))
        .exec(tx)
        .await?;
    Ok(touched.rows_affected == 1)
}

fn read(row: schedule::Model) -> Result<NamedSchedule, Error> {
    Ok(NamedSchedule {
        id: ScheduleId(row.id),
        data: ScheduleData {
            name: row.name,
            description: row.description,
            schedule: serde_json::from_value(row.document)?,
        },
        version: row.version,
        updated_at: row.updated_at,
    })
}
