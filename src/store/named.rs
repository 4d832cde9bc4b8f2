//! What things are called, by their identifiers.

use entity::{calendar, contact_group, policy, schedule};
use sea_orm::EntityTrait;

use super::{Error, Store};
use crate::{
    escalation::Target,
    id::{CalendarId, PolicyId},
};

impl Store {
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
