//! Silences and maintenance windows.

use chrono::{DateTime, Utc};
use entity::silence;
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{Edit, Error, Store, audit::Subject};
use crate::{
    id::SilenceId,
    recurrence::Recurrence,
    triage::{Matcher, QuietKind},
    wallclock::Zone,
};

/// A silence or a maintenance window as it stands.
#[derive(Clone, Debug)]
pub struct Silence {
    /// Its identifier.
    pub id: SilenceId,
    /// What can be edited.
    pub data: SilenceData,
    /// Who made it.
    pub made_by: String,
    /// Counts its changes.
    pub version: i64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What is to stay quiet, and when.
#[derive(Clone, Debug)]
pub struct SilenceData {
    /// Of which kind it is.
    pub kind: QuietKind,
    /// Why.
    pub comment: String,
    /// What it matches.
    pub matchers: Vec<Matcher>,
    /// From when on; the first time, if it repeats.
    pub from: DateTime<Utc>,
    /// Until when; the first time, if it repeats.
    pub until: DateTime<Utc>,
    /// What local times are meant by the rule.
    pub zone: Zone,
    /// How it repeats.
    pub recurrence: Option<Recurrence>,
}

impl Edit {
    /// Makes a silence. The engine looks at what it means for open incidents at `look_at`.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_silence(
        &self,
        data: SilenceData,
        by: &str,
        look_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<SilenceId, Error> {
        let (id, by) = (SilenceId::generate(), by.to_owned());
        self.change(Subject::Silence(id), move |tx| {
            Box::pin(async move {
                let row = silence::ActiveModel {
                    id: Set(id.0),
                    made_by: Set(by),
                    version: Set(1),
                    ..columns(data, look_at, now)?
                };
                silence::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a silence, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn update_silence(
        &self,
        id: SilenceId,
        version: i64,
        data: SilenceData,
        look_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Silence(id), move |tx| {
            Box::pin(async move {
                let changed = silence::ActiveModel { version: Set(version + 1), ..columns(data, look_at, now)? };
                let updated = silence::Entity::update_many()
                    .set(changed)
                    .filter(silence::Column::Id.eq(id.0))
                    .filter(silence::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }
}

impl Store {
    /// The engine has looked at what a silence means, and looks again at `next`. Nothing if it has been
    /// changed meanwhile: then it is looked at anyway.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn silence_looked_at(&self, silence: &Silence, next: Option<DateTime<Utc>>) -> Result<(), Error> {
        let (id, version) = (silence.id, silence.version);
        self.write(move |tx| {
            Box::pin(async move {
                silence::Entity::update_many()
                    .set(silence::ActiveModel { begins_at: Set(next), ..Default::default() })
                    .filter(silence::Column::Id.eq(id.0))
                    .filter(silence::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// A silence by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn silence(&self, id: SilenceId) -> Result<Option<Silence>, Error> {
        silence::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// Silences that are not over at `at`, and those that repeat; all there ever were if there is no
    /// such instant. The latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn silences(&self, at: Option<DateTime<Utc>>) -> Result<Vec<Silence>, Error> {
        let mut query = silence::Entity::find();
        if let Some(at) = at {
            let still = Condition::any().add(silence::Column::UntilAt.gt(at)).add(silence::Column::Rrule.is_not_null());
            query = query.filter(still);
        }
        let rows = query.order_by_desc(silence::Column::Id).limit(10_000).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// Silences that the engine must look at.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_silences(&self, now: DateTime<Utc>) -> Result<Vec<Silence>, Error> {
        let rows = silence::Entity::find().filter(silence::Column::BeginsAt.lte(now)).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// When the next of them is due.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_silence(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let first = silence::Entity::find()
            .filter(silence::Column::BeginsAt.is_not_null())
            .order_by_asc(silence::Column::BeginsAt)
            .one(&self.read)
            .await?;
        Ok(first.and_then(|row| row.begins_at))
    }
}

fn columns(
    data: SilenceData,
    look_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<silence::ActiveModel, Error> {
    Ok(silence::ActiveModel {
        kind: Set(kind_name(data.kind).into()),
        comment: Set(data.comment),
        matchers: Set(serde_json::to_value(&data.matchers)?),
        from_at: Set(data.from),
        until_at: Set(data.until),
        time_zone: Set(data.zone.to_string()),
        rrule: Set(data.recurrence.map(String::from)),
        begins_at: Set(look_at),
        updated_at: Set(now),
        ..Default::default()
    })
}

fn kind_name(kind: QuietKind) -> &'static str {
    match kind {
        QuietKind::Silence => "silence",
        QuietKind::Maintenance => "maintenance",
    }
}

fn read(row: silence::Model) -> Result<Silence, Error> {
    let unreadable = |what: &str| Error::Unavailable(format!("a stored silence has {what} that cannot be read"));
    Ok(Silence {
        id: SilenceId(row.id),
        data: SilenceData {
            kind: serde_json::from_value(row.kind.into())?,
            comment: row.comment,
            matchers: serde_json::from_value(row.matchers)?,
            from: row.from_at,
            until: row.until_at,
            zone: row.time_zone.parse().map_err(|_| unreadable("a time zone"))?,
            recurrence: row.rrule.map(|rule| rule.parse()).transpose().map_err(|_| unreadable("a rule"))?,
        },
        made_by: row.made_by,
        version: row.version,
        updated_at: row.updated_at,
    })
}
