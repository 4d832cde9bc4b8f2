//! What things are called: from a name to an identifier, and back.

use entity::{calendar, contact_group, policy, schedule};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{Error, Store};
use crate::{
    escalation::Target,
    id::{CalendarId, GroupId, PolicyId, ScheduleId},
};

impl Store {
    /// The group of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn group_named(&self, name: &str) -> Result<Option<GroupId>, Error> {
        let found = contact_group::Entity::find().filter(contact_group::Column::Name.eq(name)).one(&self.read).await?;
        Ok(found.map(|row| GroupId(row.id)))
    }

    /// The schedule of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn schedule_named(&self, name: &str) -> Result<Option<ScheduleId>, Error> {
        let found = schedule::Entity::find().filter(schedule::Column::Name.eq(name)).one(&self.read).await?;
        Ok(found.map(|row| ScheduleId(row.id)))
    }

    /// The calendar of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendar_named(&self, name: &str) -> Result<Option<CalendarId>, Error> {
        let found = calendar::Entity::find().filter(calendar::Column::Name.eq(name)).one(&self.read).await?;
        Ok(found.map(|row| CalendarId(row.id)))
    }

    /// What a policy is called; `None` if there is none of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy_name(&self, id: PolicyId) -> Result<Option<String>, Error> {
        Ok(policy::Entity::find_by_id(id.0).one(&self.read).await?.map(|row| row.name))
    }

    /// What a calendar is called; `None` if there is none of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calendar_name(&self, id: CalendarId) -> Result<Option<String>, Error> {
        Ok(calendar::Entity::find_by_id(id.0).one(&self.read).await?.map(|row| row.name))
    }

    /// What a target is called; `None` if it is there no more.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn target_name(&self, target: &Target) -> Result<Option<String>, Error> {
        Ok(match target {
            Target::Number(number) => Some(number.as_str().to_owned()),
            Target::Contact(id) => self.contact(*id).await?.map(|contact| contact.full_name()),
            Target::Group(id) => contact_group::Entity::find_by_id(id.0).one(&self.read).await?.map(|row| row.name),
            Target::Schedule(id) => schedule::Entity::find_by_id(id.0).one(&self.read).await?.map(|row| row.name),
        })
    }
}
