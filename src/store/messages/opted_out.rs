//! Numbers that want no texts: whoever answers "stop" gets none any more. Calls go on.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use entity::opted_out;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};

use crate::{
    phone::PhoneNumber,
    store::{Contact, Entry, Error, Fact, Store, contacts, timeline, writer::Tx},
};

/// A number that wants no texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptedOut {
    /// The number.
    pub number: PhoneNumber,
    /// Who turned them off.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

impl Store {
    /// Sends no texts to this number any more. Returns whether there were some until now.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn opt_out(&self, number: &PhoneNumber, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let (number, by) = (number.as_str().to_owned(), by.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let row =
                    opted_out::ActiveModel { number: Set(number.clone()), at: Set(now), by: Set(Some(by.clone())) };
                let once = OnConflict::column(opted_out::Column::Number).do_nothing().to_owned();
                let new = opted_out::Entity::insert(row).on_conflict(once).exec_without_returning(tx).await? > 0;
                if new {
                    let to = whose(tx, &number).await?;
                    note(tx, Fact::TextsOff { to, by }, now).await?;
                }
                Ok(new)
            })
        })
        .await
    }

    /// Sends texts to this number again. Returns whether there were none.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn opt_in(&self, number: &PhoneNumber, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let (number, by) = (number.as_str().to_owned(), by.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let were_off = opted_out::Entity::delete_by_id(number.clone()).exec(tx).await?.rows_affected > 0;
                if were_off {
                    let to = whose(tx, &number).await?;
                    note(tx, Fact::TextsOn { to, by }, now).await?;
                }
                Ok(were_off)
            })
        })
        .await
    }

    /// Contacts who want no texts at the number that theirs go to.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_without_texts(&self, limit: u64) -> Result<Vec<Contact>, Error> {
        let numbers: Vec<PhoneNumber> = self.opted_out().await?.into_iter().map(|opted_out| opted_out.number).collect();
        let mut contacts = Vec::new();
        if !numbers.is_empty() {
            let written: Vec<String> = numbers.iter().map(|number| number.as_str().to_owned()).collect();
            contacts = contacts::of_numbers(&self.read, written, limit).await?;
            contacts.retain(|contact| contact.text_number().is_some_and(|number| numbers.contains(number)));
        }
        Ok(contacts)
    }

    /// The numbers that want no texts, those of last first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn opted_out(&self) -> Result<Vec<OptedOut>, Error> {
        let rows = opted_out::Entity::find().order_by_desc(opted_out::Column::At).all(&self.read).await?;
        let read = |row: opted_out::Model| {
            let number = PhoneNumber::try_from(row.number).ok()?;
            Some(OptedOut { number, by: row.by.unwrap_or_default(), at: row.at })
        };
        Ok(rows.into_iter().filter_map(read).collect())
    }

    /// Whether this number wants no texts.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn is_opted_out(&self, number: &str) -> Result<bool, Error> {
        Ok(opted_out::Entity::find_by_id(number.to_owned()).one(&self.read).await?.is_some())
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

/// Who has a number, as people call them; else the number.
async fn whose(tx: &Tx, number: &str) -> Result<String, Error> {
    let contact = super::inbound::whose(tx, number).await?;
    Ok(contact.map_or_else(|| number.to_owned(), |contact| contact.name))
}

async fn note(tx: &Tx, fact: Fact, now: DateTime<Utc>) -> Result<(), Error> {
    timeline::write(tx, vec![Entry { incident: None, call: None, message: None, at: now, fact }]).await
}
