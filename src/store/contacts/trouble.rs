//! Contacts that nobody can call.

use entity::{contact, contact_number};
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{ExprTrait, Query},
};

use super::{Contact, read};
use crate::{
    id::ContactId,
    store::{Error, Store},
};

impl Store {
    /// Enabled contacts without a number, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_without_number(&self, limit: u64) -> Result<Vec<Contact>, Error> {
        let with_number =
            Query::select().column(contact_number::Column::ContactId).from(contact_number::Entity).to_owned();
        let rows = contact::Entity::find()
            .filter(contact::Column::Enabled.eq(true))
            .filter(contact::Column::Id.not_in_subquery(with_number))
            .order_by_asc(contact::Column::SortName)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(|row| read(row, Vec::new())).collect()
    }

    /// Enabled contacts with a number that begins with none of `prefixes` and is no extension, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_with_numbers_outside(&self, prefixes: &[String], limit: u64) -> Result<Vec<Contact>, Error> {
        let mut outside = contact_number::Entity::find().filter(contact_number::Column::Number.starts_with("+"));
        for prefix in prefixes {
            outside = outside.filter(contact_number::Column::Number.starts_with(prefix).not());
        }
        let rows = outside.limit(limit).all(&self.read).await?;
        let ids: Vec<ContactId> = rows.into_iter().map(|row| ContactId(row.contact_id)).collect();
        let contacts = self.contacts_by_id(&ids).await?;
        Ok(contacts.into_iter().filter(|contact| contact.data.enabled).collect())
    }
}
