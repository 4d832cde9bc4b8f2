//! The people of schedules: what they are called, and whose mail address something is.

use std::collections::HashMap;

use entity::contact;
use sea_orm::{
    ColumnTrait, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, ExprTrait, Func},
};
use uuid::Uuid;

use crate::{
    id::ContactId,
    store::{ContactData, Error, Store},
};

/// Values in one statement; SQLite takes 32,766.
const AT_ONCE: usize = 10_000;

impl Store {
    /// What these contacts are called, in full. Those that there are not are left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn full_names(&self, ids: &[ContactId]) -> Result<HashMap<ContactId, String>, Error> {
        let mut names = HashMap::with_capacity(ids.len());
        for ids in ids.chunks(AT_ONCE) {
            let rows: Vec<(Uuid, String, String)> = contact::Entity::find()
                .select_only()
                .columns([contact::Column::Id, contact::Column::Name, contact::Column::Surname])
                .filter(contact::Column::Id.is_in(ids.iter().map(|id| id.0)))
                .into_tuple()
                .all(&self.read)
                .await?;
            for (id, name, surname) in rows {
                let called = ContactData { name, surname, ..ContactData::default() };
                names.insert(ContactId(id), called.full_name());
            }
        }
        Ok(names)
    }

    /// The contacts with these mail addresses, whatever their case, by the address in lower case.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_by_email(&self, addresses: &[String]) -> Result<HashMap<String, Vec<ContactId>>, Error> {
        let mut found: HashMap<String, Vec<ContactId>> = HashMap::new();
        let addresses: Vec<String> = addresses.iter().map(|address| address.to_lowercase()).collect();
        for addresses in addresses.chunks(AT_ONCE) {
            let lower = Expr::expr(Func::lower(Expr::col(contact::Column::Email)));
            let rows: Vec<(Uuid, String)> = contact::Entity::find()
                .select_only()
                .columns([contact::Column::Id, contact::Column::Email])
                .filter(lower.is_in(addresses.iter().map(String::as_str)))
                .into_tuple()
                .all(&self.read)
                .await?;
            for (id, address) in rows {
                found.entry(address.to_lowercase()).or_default().push(ContactId(id));
            }
        }
        Ok(found)
    }
}
