//! Contacts and their numbers.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{contact, contact_number};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::OnConflict};

use super::{Error, Store};
use crate::{id::ContactId, phone::PhoneNumber};

/// A person who can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Their identifier.
    pub id: ContactId,
    /// What they are called; unique.
    pub name: String,
    /// The language they are spoken to in, such as `en`.
    pub language: String,
    /// Whether they are called at all.
    pub enabled: bool,
    /// Their numbers, in the order in which they are tried.
    pub numbers: Vec<PhoneNumber>,
}

/// A contact as the configuration file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedContact {
    /// What they are called: the contact of this name is made, or brought up to date.
    pub name: String,
    /// The language they are spoken to in.
    pub language: String,
    /// Whether they are called at all.
    pub enabled: bool,
    /// Their numbers, in order.
    pub numbers: Vec<PhoneNumber>,
}

impl Store {
    /// Makes these contacts, by name, or brings them up to date. Others stay as they are. Returns
    /// everybody's identifier by name.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn seed_contacts(
        &self,
        seeds: Vec<SeedContact>,
        now: DateTime<Utc>,
    ) -> Result<HashMap<String, ContactId>, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                for seed in seeds {
                    let row = contact::ActiveModel {
                        id: Set(ContactId::generate().0),
                        name: Set(seed.name.clone()),
                        language: Set(seed.language),
                        enabled: Set(seed.enabled),
                        updated_at: Set(now),
                    };
                    let update = OnConflict::column(contact::Column::Name)
                        .update_columns([
                            contact::Column::Language,
                            contact::Column::Enabled,
                            contact::Column::UpdatedAt,
                        ])
                        .to_owned();
                    contact::Entity::insert(row).on_conflict(update).exec_without_returning(tx).await?;
                    let Some(row) = contact::Entity::find().filter(contact::Column::Name.eq(seed.name)).one(tx).await?
                    else {
                        return Err(Error::Unavailable("a contact vanished while it was written".into()));
                    };
                    contact_number::Entity::delete_many()
                        .filter(contact_number::Column::ContactId.eq(row.id))
                        .exec(tx)
                        .await?;
                    for (position, number) in (0..).zip(seed.numbers) {
                        let number = contact_number::ActiveModel {
                            contact_id: Set(row.id),
                            position: Set(position),
                            number: Set(number.into()),
                        };
                        contact_number::Entity::insert(number).exec_without_returning(tx).await?;
                    }
                }
                let all = contact::Entity::find().all(tx).await?;
                Ok(all.into_iter().map(|row| (row.name, ContactId(row.id))).collect())
            })
        })
        .await
    }

    /// A contact by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contact(&self, id: ContactId) -> Result<Option<Contact>, Error> {
        let Some(row) = contact::Entity::find_by_id(id.0).one(&self.read).await? else { return Ok(None) };
        let numbers = contact_number::Entity::find()
            .filter(contact_number::Column::ContactId.eq(id.0))
            .order_by_asc(contact_number::Column::Position)
            .all(&self.read)
            .await?;
        let numbers = numbers.into_iter().filter_map(|row| PhoneNumber::try_from(row.number).ok()).collect();
        Ok(Some(Contact { id, name: row.name, language: row.language, enabled: row.enabled, numbers }))
    }
}
