//! Heartbeats: dead man's switches.

use chrono::{DateTime, TimeDelta, Utc};
use entity::heartbeat;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde::{Deserialize, Serialize};

use super::{Edit, Error, Store, audit::Subject};
use crate::id::HeartbeatId;

/// A heartbeat as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Its identifier.
    pub id: HeartbeatId,
    /// Its name; unique.
    pub name: String,
    /// What can be edited beside it.
    pub data: HeartbeatData,
    /// Counts its changes; beats are none.
    pub version: i64,
    /// The last beat.
    pub beat_at: Option<DateTime<Utc>>,
    /// When it is missed; `None` once that has been told, until the next beat.
    pub due_at: Option<DateTime<Utc>>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// How often it must come, and what is said when it does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeartbeatData {
    /// Seconds from one beat to the next.
    pub interval: u32,
    /// Seconds that a beat may be late.
    pub grace: u32,
    /// The name of the policy that pages; routing rules and the default one decide if it is not said.
    pub policy: Option<String>,
    /// As alerts have it.
    pub severity: String,
    /// What is spoken.
    pub summary: String,
}

impl HeartbeatData {
    /// When a beat after `at` is missed.
    #[must_use]
    pub fn missed_at(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        at + TimeDelta::seconds(i64::from(self.interval) + i64::from(self.grace))
    }
}

impl Heartbeat {
    /// What makes its alerts one incident.
    #[must_use]
    pub fn dedup_key(&self) -> String {
        format!("heartbeat/{}", self.id)
    }
}

impl Edit {
    /// Makes a heartbeat. It is expected from now on.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name.
    pub async fn create_heartbeat(
        &self,
        name: String,
        data: HeartbeatData,
        now: DateTime<Utc>,
    ) -> Result<HeartbeatId, Error> {
        let id = HeartbeatId::generate();
        self.change(Subject::Heartbeat(id), move |tx| {
            Box::pin(async move {
                let row = heartbeat::ActiveModel {
                    id: Set(id.0),
                    name: Set(name),
                    document: Set(serde_json::to_value(&data)?),
                    version: Set(1),
                    beat_at: Set(None),
                    due_at: Set(Some(data.missed_at(now))),
                    updated_at: Set(now),
                };
                heartbeat::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a heartbeat, if it still is at `version`. It is expected anew from now on.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or another one has this name.
    pub async fn update_heartbeat(
        &self,
        id: HeartbeatId,
        version: i64,
        name: String,
        data: HeartbeatData,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Heartbeat(id), move |tx| {
            Box::pin(async move {
                let updated = heartbeat::Entity::update_many()
                    .set(heartbeat::ActiveModel {
                        name: Set(name),
                        document: Set(serde_json::to_value(&data)?),
                        version: Set(version + 1),
                        due_at: Set(Some(data.missed_at(now))),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(heartbeat::Column::Id.eq(id.0))
                    .filter(heartbeat::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }

    /// Deletes a heartbeat, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn delete_heartbeat(&self, id: HeartbeatId, version: i64) -> Result<(), Error> {
        self.change(Subject::Heartbeat(id), move |tx| {
            Box::pin(async move {
                let deleted = heartbeat::Entity::delete_many()
                    .filter(heartbeat::Column::Id.eq(id.0))
                    .filter(heartbeat::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }
}

impl Store {
    /// A beat has come.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn beat(&self, heartbeat: &Heartbeat, now: DateTime<Utc>) -> Result<(), Error> {
        let (id, due) = (heartbeat.id, heartbeat.data.missed_at(now));
        self.write(move |tx| {
            Box::pin(async move {
                heartbeat::Entity::update_many()
                    .set(heartbeat::ActiveModel {
                        beat_at: Set(Some(now)),
                        due_at: Set(Some(due)),
                        ..Default::default()
                    })
                    .filter(heartbeat::Column::Id.eq(id.0))
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// That a beat was missed has been told. Returns false if one has come meanwhile.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn missed_beat_told(&self, heartbeat: &Heartbeat) -> Result<bool, Error> {
        let (id, due) = (heartbeat.id, heartbeat.due_at);
        self.write(move |tx| {
            Box::pin(async move {
                let updated = heartbeat::Entity::update_many()
                    .set(heartbeat::ActiveModel { due_at: Set(None), ..Default::default() })
                    .filter(heartbeat::Column::Id.eq(id.0))
                    .filter(heartbeat::Column::DueAt.eq(due))
                    .exec(tx)
                    .await?;
                Ok(updated.rows_affected == 1)
            })
        })
        .await
    }

    /// A heartbeat by its name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heartbeat(&self, name: &str) -> Result<Option<Heartbeat>, Error> {
        let row = heartbeat::Entity::find().filter(heartbeat::Column::Name.eq(name)).one(&self.read).await?;
        row.map(read).transpose()
    }

    /// A heartbeat by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heartbeat_by_id(&self, id: HeartbeatId) -> Result<Option<Heartbeat>, Error> {
        heartbeat::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// All heartbeats, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heartbeats(&self) -> Result<Vec<Heartbeat>, Error> {
        let rows = heartbeat::Entity::find().order_by_asc(heartbeat::Column::Name).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// Heartbeats that are missed and of which that has not been told.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn missed_heartbeats(&self, now: DateTime<Utc>) -> Result<Vec<Heartbeat>, Error> {
        let rows =
            heartbeat::Entity::find().filter(heartbeat::Column::DueAt.lte(now)).limit(1000).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// When the next of them is due.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_missed_heartbeat(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let first = heartbeat::Entity::find()
            .filter(heartbeat::Column::DueAt.is_not_null())
            .order_by_asc(heartbeat::Column::DueAt)
            .one(&self.read)
            .await?;
        Ok(first.and_then(|row| row.due_at))
    }
}

fn read(row: heartbeat::Model) -> Result<Heartbeat, Error> {
    Ok(Heartbeat {
        id: HeartbeatId(row.id),
        name: row.name,
        data: serde_json::from_value(row.document)?,
        version: row.version,
        beat_at: row.beat_at,
        due_at: row.due_at,
        updated_at: row.updated_at,
    })
}
