//! Numbers that want no texts: whoever answers "stop" gets none any more. Calls go on.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use entity::opted_out;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect, sea_query::OnConflict};

use crate::{
    phone::PhoneNumber,
    store::{Contact, Error, Store, contacts, writer::Tx},
};

impl Store {
    /// Sends no texts to this number any more.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn opt_out(&self, number: &PhoneNumber, now: DateTime<Utc>) -> Result<(), Error> {
        let row = opted_out::ActiveModel { number: Set(number.as_str().to_owned()), at: Set(now) };
        self.write(move |tx| {
            Box::pin(async move {
                let once = OnConflict::column(opted_out::Column::Number).do_nothing().to_owned();
                opted_out::Entity::insert(row).on_conflict(once).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Sends texts to this number again. Returns whether there were none.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn opt_in(&self, number: &PhoneNumber) -> Result<bool, Error> {
        let number = number.as_str().to_owned();
        self.write(move |tx| {
            Box::pin(async move { Ok(opted_out::Entity::delete_by_id(number).exec(tx).await?.rows_affected > 0) })
        })
        .await
    }

    /// Contacts who want no texts at the number that theirs go to.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_without_texts(&self, limit: u64) -> Result<Vec<Contact>, Error> {
        let numbers = self.opted_out().await?;
        let mut contacts = Vec::new();
        if !numbers.is_empty() {
            let written: Vec<String> = numbers.iter().map(|number| number.as_str().to_owned()).collect();
            contacts = contacts::of_numbers(&self.read, written, limit).await?;
            contacts.retain(|contact| contact.text_number().is_some_and(|number| numbers.contains(number)));
        }
        Ok(contacts)
    }

    /// The numbers that want no texts.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn opted_out(&self) -> Result<Vec<PhoneNumber>, Error> {
        let rows = opted_out::Entity::find().all(&self.read).await?;
        Ok(rows.into_iter().filter_map(|row| PhoneNumber::try_from(row.number).ok()).collect())
    }
}

/// Those of these numbers that want no texts.
pub(super) async fn among(tx: &Tx, numbers: Vec<String>) -> Result<HashSet<String>, Error> {
    let rows: Vec<String> = opted_out::Entity::find()
        .select_only()
        .column(opted_out::Column::Number)
        .filter(opted_out::Column::Number.is_in(numbers))
        .into_tuple()
        .all(tx)
        .await?;
    Ok(rows.into_iter().collect())
}
