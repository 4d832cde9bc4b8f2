//! Deleting a contact, unless something refers to them: who is told that says where.

use chrono::{DateTime, Utc};
use entity::{
    contact, contact_group, contact_group_member, contact_number, contact_term, feed, policy, reminder, schedule,
    schedule_override, schedule_window,
};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{
    escalation::{OnExhausted, Policy, Target},
    id::ContactId,
    oncall::Schedule,
    store::{Deletion, Edit, Error, Store, audit::Subject},
};

impl Edit {
    /// Deletes a contact, if they still are at `version` and nothing refers to them.
    ///
    /// # Errors
    /// [`Error::Conflict`] if they are at another version, or there no more.
    pub async fn delete_contact(&self, id: ContactId, version: i64, now: DateTime<Utc>) -> Result<Deletion, Error> {
        self.change(Subject::Contact(id), move |tx| {
            Box::pin(async move {
                let there = contact::Entity::find_by_id(id.0)
                    .filter(contact::Column::Version.eq(version))
                    .lock_exclusive()
                    .one(tx)
                    .await?;
                if there.is_none() {
                    return Err(Error::Conflict);
                }
                let places = where_used(tx, id, now).await?;
                if !places.is_empty() {
                    return Ok(Deletion::UsedIn(places));
                }
                contact_number::Entity::delete_many()
                    .filter(contact_number::Column::ContactId.eq(id.0))
                    .exec(tx)
                    .await?;
                contact_term::Entity::delete_many().filter(contact_term::Column::ContactId.eq(id.0)).exec(tx).await?;
                schedule_window::Entity::delete_many()
                    .filter(schedule_window::Column::ContactId.eq(id.0))
                    .exec(tx)
                    .await?;
                feed::Entity::delete_many().filter(feed::Column::ContactId.eq(id.0)).exec(tx).await?;
                contact::Entity::delete_by_id(id.0).exec(tx).await?;
                Ok(Deletion::Deleted)
            })
        })
        .await
    }
}

impl Store {
    /// Where a contact is used, in words: groups, policies, and what is on or to come of schedules.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn where_used(&self, id: ContactId, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
        where_used(&self.read, id, now).await
    }
}

async fn where_used(database: &impl ConnectionTrait, id: ContactId, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let mut places = groups_with(database, id).await?;
    places.extend(policies_that_name(database, &Target::Contact(id)).await?);
    places.extend(schedules_with(database, id, now).await?);
    let reminders = reminder::Entity::find().filter(reminder::Column::NextAt.is_not_null()).all(database).await?;
    if reminders.iter().any(|row| mentions(&row.document, id.0)) {
        places.push("a scheduled call".to_owned());
    }
    Ok(places)
}

async fn groups_with(database: &impl ConnectionTrait, id: ContactId) -> Result<Vec<String>, Error> {
    let memberships = contact_group_member::Entity::find()
        .filter(contact_group_member::Column::ContactId.eq(id.0))
        .all(database)
        .await?;
    let groups = contact_group::Entity::find()
        .filter(contact_group::Column::Id.is_in(memberships.into_iter().map(|row| row.group_id)))
        .order_by_asc(contact_group::Column::Name)
        .all(database)
        .await?;
    Ok(groups.into_iter().map(|group| format!("group {}", group.name)).collect())
}

/// The places in policies that have this target.
pub(super) async fn policies_that_name(database: &impl ConnectionTrait, target: &Target) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for row in policy::Entity::find().order_by_asc(policy::Column::Name).all(database).await? {
        let policy: Policy = serde_json::from_value(row.document)?;
        for (nth, step) in (1..).zip(&policy.steps) {
            if step.targets.contains(target) {
                places.push(format!("policy {}, step {nth}", row.name));
            }
        }
        if let Some(OnExhausted::LastResort(step)) = &policy.on_exhausted
            && step.targets.contains(target)
        {
            places.push(format!("policy {}, last resort", row.name));
        }
    }
    Ok(places)
}

async fn schedules_with(
    database: &impl ConnectionTrait,
    id: ContactId,
    now: DateTime<Utc>,
) -> Result<Vec<String>, Error> {
    let overrides =
        schedule_override::Entity::find().filter(schedule_override::Column::UntilAt.gt(now)).all(database).await?;
    let windows = schedule_window::Entity::find()
        .filter(schedule_window::Column::ContactId.eq(id.0))
        .filter(schedule_window::Column::UntilAt.gt(now))
        .order_by_asc(schedule_window::Column::FromAt)
        .all(database)
        .await?;
    let mut places = Vec::new();
    for row in schedule::Entity::find().order_by_asc(schedule::Column::Name).all(database).await? {
        let document: Schedule = serde_json::from_value(row.document)?;
        let until = |at: DateTime<Utc>| document.zone.local(at).format("%F %R");
        for layer in document.layers.iter().filter(|layer| layer.rotation.participants.contains(&id)) {
            places.push(format!("schedule {}, layer {}", row.name, layer.name));
        }
        for one in overrides.iter().filter(|one| one.schedule_id == row.id && mentions(&one.people, id.0)) {
            places.push(format!("schedule {}, override until {}", row.name, until(one.until_at)));
        }
        for one in windows.iter().filter(|one| one.schedule_id == row.id) {
            places.push(format!("schedule {}, window until {}", row.name, until(one.until_at)));
        }
    }
    Ok(places)
}

/// Whether a document has this identifier anywhere.
fn mentions(document: &serde_json::Value, id: Uuid) -> bool {
    match document {
        serde_json::Value::String(text) => text.parse() == Ok(id),
        serde_json::Value::Array(items) => items.iter().any(|item| mentions(item, id)),
        serde_json::Value::Object(fields) => fields.values().any(|value| mentions(value, id)),
        _ => false,
    }
}
