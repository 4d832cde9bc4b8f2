//! Who is in which group.

use std::collections::HashMap;

use entity::{contact_group, contact_group_member};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::ROWS;
use crate::{
    id::{ContactId, GroupId},
    store::{Error, Store},
};

impl Store {
    /// Who is in a group, in its order.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn group_members(&self, id: GroupId) -> Result<Vec<ContactId>, Error> {
        let rows = contact_group_member::Entity::find()
            .filter(contact_group_member::Column::GroupId.eq(id.0))
            .order_by_asc(contact_group_member::Column::Position)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|row| ContactId(row.contact_id)).collect())
    }

    /// The names of the groups that each of these contacts is in, by name. Who is in none is left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn groups_of(&self, contacts: &[ContactId]) -> Result<HashMap<ContactId, Vec<String>>, Error> {
        let ids: Vec<Uuid> = contacts.iter().map(|id| id.0).collect();
        let groups = groups_of(&self.read, &ids).await?;
        Ok(groups.into_iter().map(|(id, groups)| (ContactId(id), groups)).collect())
    }
}

/// The names of the groups of each of these contacts, by name.
pub(super) async fn groups_of(
    database: &impl ConnectionTrait,
    contacts: &[Uuid],
) -> Result<HashMap<Uuid, Vec<String>>, Error> {
    let mut groups: HashMap<Uuid, Vec<String>> = HashMap::new();
    for ids in contacts.chunks(ROWS) {
        let rows = contact_group_member::Entity::find()
            .filter(contact_group_member::Column::ContactId.is_in(ids.iter().copied()))
            .all(database)
            .await?;
        if rows.is_empty() {
            continue;
        }
        let named = contact_group::Entity::find()
            .filter(contact_group::Column::Id.is_in(rows.iter().map(|row| row.group_id)))
            .all(database)
            .await?;
        let names: HashMap<Uuid, String> = named.into_iter().map(|group| (group.id, group.name)).collect();
        for row in rows {
            groups.entry(row.contact_id).or_default().extend(names.get(&row.group_id).cloned());
        }
    }
    groups.values_mut().for_each(|names| names.sort_unstable());
    Ok(groups)
}
