//! Overrides from a calendar: importing the same again changes nothing.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::schedule_override;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{
    spans::{override_row, read_override},
    touch,
};
use crate::{
    id::{ContactId, OverrideId, ScheduleId},
    oncall::{Override, OverrideKind},
    store::{Edit, Error, audit::Subject},
};

/// Somebody's duty as a calendar has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedDuty {
    /// What the calendar calls the event.
    pub uid: String,
    /// Which occurrence of an event that comes again: when it would have begun.
    pub occurrence: Option<DateTime<Utc>>,
    /// Whose duty.
    pub people: Vec<ContactId>,
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
}

/// Whether something is done or only tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Nothing is written.
    Dry,
    /// It is written.
    Real,
}

/// What an import did, or would do: how many overrides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Were not there.
    pub created: u64,
    /// Were there and said something else.
    pub updated: u64,
    /// Were there as they are.
    pub unchanged: u64,
    /// Are no longer meant.
    pub deleted: u64,
}

impl Edit {
    /// Makes the overrides of the events called `uids` what `imported` says. What is over is left as it was.
    /// None if there is no such schedule.
    ///
    /// # Errors
    /// If the database does not take it: then nothing of it is done.
    pub async fn import_overrides(
        &self,
        schedule: ScheduleId,
        imported: Vec<ImportedDuty>,
        uids: HashSet<String>,
        by: &str,
        now: DateTime<Utc>,
        run: Run,
    ) -> Result<Option<ImportCounts>, Error> {
        let by = by.to_owned();
        self.change(Subject::Overrides(schedule), move |tx| {
            Box::pin(async move {
                // First, so that two imports at once come one after the other.
                if run == Run::Real && !touch(tx, schedule, now).await? {
                    return Ok(None);
                }
                let rows = schedule_override::Entity::find()
                    .filter(schedule_override::Column::ScheduleId.eq(schedule.0))
                    .filter(schedule_override::Column::Uid.is_not_null())
                    .all(tx)
                    .await?;
                let mut there: HashMap<String, Override> = HashMap::new();
                for row in rows {
                    let key = row.uid.clone().unwrap_or_default();
                    if uids.contains(uid_of(&key)) {
                        there.insert(key, read_override(row)?);
                    }
                }
                let (mut report, mut new) = (ImportCounts::default(), Vec::new());
                let (mut changed, mut gone) = (Vec::new(), Vec::new());
                for one in imported {
                    let key = key(&one);
                    let ImportedDuty { mut people, from, until, .. } = one;
                    people.sort_unstable();
                    people.dedup();
                    let kind = OverrideKind::Replace;
                    let wanted = Override { id: OverrideId::generate(), kind, people, from, until, made_at: now };
                    match there.remove(&key) {
                        None => new.push((key, wanted)),
                        Some(old) if (&old.people, old.from, old.until) == (&wanted.people, from, until) => {
                            report.unchanged += 1;
                        }
                        Some(old) => changed.push((key, Override { id: old.id, ..wanted })),
                    }
                }
                gone.extend(there.into_values().filter(|old| old.until > now).map(|old| old.id));
                let count = |items: usize| u64::try_from(items).unwrap_or(u64::MAX);
                report.created = count(new.len());
                report.updated = count(changed.len());
                report.deleted = count(gone.len());
                if run == Run::Dry {
                    return Ok(Some(report));
                }
                let rows =
                    new.iter().map(|(key, change)| override_row(schedule, change, Some(key.clone()), by.clone()));
                let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
                for chunk in rows.chunks(1000) {
                    schedule_override::Entity::insert_many(chunk.to_vec()).exec_without_returning(tx).await?;
                }
                for (key, change) in changed {
                    let mut row = override_row(schedule, &change, Some(key), by.clone())?;
                    row.id = Set(change.id.0);
                    schedule_override::Entity::update(row).exec(tx).await?;
                }
                for ids in gone.chunks(10_000) {
                    let ids = ids.iter().map(|id| id.0);
                    let those = schedule_override::Column::Id.is_in(ids);
                    schedule_override::Entity::delete_many().filter(those).exec(tx).await?;
                }
                Ok(Some(report))
            })
        })
        .await
    }
}

/// What an override is found by: which occurrence, a sign that no instant has in it, and the event's name.
fn key(imported: &ImportedDuty) -> String {
    let occurrence = imported.occurrence.map(|at| at.format("%Y%m%dT%H%M%SZ").to_string());
    format!("{}#{}", occurrence.unwrap_or_default(), imported.uid)
}

/// The event's name in such a key.
pub(super) fn uid_of(key: &str) -> &str {
    key.split_once('#').map_or(key, |(_, uid)| uid)
}
