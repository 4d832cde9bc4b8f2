//! The address book: contacts and their numbers.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{contact, contact_group_member, contact_number};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use super::{Error, Store, seeds};
use crate::{
    id::{ContactId, GroupId},
    phone::PhoneNumber,
};

/// A person who can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Their identifier.
    pub id: ContactId,
    /// Everything that can be edited.
    pub data: ContactData,
    /// argon2id of their PIN, in PHC form.
    pub pin_hash: Option<String>,
    /// Counts its changes.
    pub version: i64,
    /// When they were added.
    pub created_at: DateTime<Utc>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

/// What an address book holds about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactData {
    /// Their name, or their first name.
    pub name: String,
    /// Their family name; may be empty.
    pub surname: String,
    /// Their numbers, in the order in which they are tried.
    pub numbers: Vec<ContactNumber>,
    /// Where texts go; the first of `numbers` that is no extension, if it is not said.
    pub sms_number: Option<PhoneNumber>,
    /// Their e-mail address; may be empty.
    pub email: String,
    /// The language they are spoken to in, such as `en`.
    pub language: String,
    /// An IANA name.
    pub time_zone: String,
    /// Street and house.
    pub address: String,
    /// Postal code.
    pub zip_code: String,
    /// Town.
    pub city: String,
    /// State or province.
    pub state: String,
    /// Country.
    pub country: String,
    /// Whatever else there is to say.
    pub annotations: String,
    /// What they are filed under.
    pub tags: Vec<String>,
    /// Whether they are called at all.
    pub enabled: bool,
    /// Whether they want to know when what they have taken is over.
    pub tell_when_over: bool,
}

/// A number of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactNumber {
    /// The number.
    pub number: PhoneNumber,
    /// What sort of number it is, such as `mobile`, `home`, `work`; may be empty.
    pub kind: String,
    /// What its owner calls it; may be empty.
    pub label: String,
}

impl Default for ContactData {
    fn default() -> Self {
        Self {
            name: String::new(),
            surname: String::new(),
            numbers: Vec::new(),
            sms_number: None,
            email: String::new(),
            language: "en".into(),
            time_zone: "UTC".into(),
            address: String::new(),
            zip_code: String::new(),
            city: String::new(),
            state: String::new(),
            country: String::new(),
            annotations: String::new(),
            tags: Vec::new(),
            enabled: true,
            tell_when_over: false,
        }
    }
}

impl ContactData {
    /// What they are called, in full.
    #[must_use]
    pub fn full_name(&self) -> String {
        match self.surname.as_str() {
            "" => self.name.clone(),
            surname => format!("{} {surname}", self.name),
        }
    }
}

impl From<PhoneNumber> for ContactNumber {
    fn from(number: PhoneNumber) -> Self {
        Self { number, kind: String::new(), label: String::new() }
    }
}

impl Contact {
    /// What they are called, in full.
    #[must_use]
    pub fn full_name(&self) -> String {
        self.data.full_name()
    }

    /// The number of this place in their order, from 0.
    #[must_use]
    pub fn number(&self, index: u32) -> Option<&PhoneNumber> {
        self.data.numbers.get(index as usize).map(|number| &number.number)
    }

    /// Whether they can be called.
    #[must_use]
    pub fn can_be_called(&self) -> bool {
        self.data.enabled && !self.data.numbers.is_empty()
    }
}

impl Store {
    /// Makes these contacts, unless the file has made one of that name before or there is one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn seed_contacts(&self, contacts: Vec<ContactData>, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                for data in contacts {
                    let there = contact::Entity::find().filter(contact::Column::Name.eq(&data.name)).one(tx).await?;
                    if seeds::first_time(tx, "contact", &data.name).await? && there.is_none() {
                        insert(tx, ContactId::generate(), data, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// Adds a contact.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_contact(&self, data: ContactData, now: DateTime<Utc>) -> Result<ContactId, Error> {
        let id = ContactId::generate();
        self.write(move |tx| Box::pin(async move { insert(tx, id, data, now).await })).await?;
        Ok(id)
    }

    /// Changes a contact, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or is there no more.
    pub async fn update_contact(
        &self,
        id: ContactId,
        version: i64,
        data: ContactData,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(move |tx| Box::pin(async move { update(tx, id, version, data, now).await })).await
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
        read(row, numbers).map(Some)
    }

    /// The contacts of these identifiers that there are.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_by_id(&self, ids: &[ContactId]) -> Result<Vec<Contact>, Error> {
        let mut contacts = Vec::with_capacity(ids.len());
        for ids in ids.chunks(500) {
            let ids = || ids.iter().map(|id| id.0);
            let rows = contact::Entity::find().filter(contact::Column::Id.is_in(ids())).all(&self.read).await?;
            if rows.is_empty() {
                continue;
            }
            let mut numbers: HashMap<Uuid, Vec<contact_number::Model>> = HashMap::new();
            let all = contact_number::Entity::find()
                .filter(contact_number::Column::ContactId.is_in(ids()))
                .order_by_asc(contact_number::Column::Position)
                .all(&self.read)
                .await?;
            for number in all {
                numbers.entry(number.contact_id).or_default().push(number);
            }
            for row in rows {
                let numbers = numbers.remove(&row.id).unwrap_or_default();
                contacts.push(read(row, numbers)?);
            }
        }
        Ok(contacts)
    }

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

    /// Contacts with exactly this name, in full or without the surname.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_named(&self, name: &str) -> Result<Vec<ContactId>, Error> {
        let name = name.trim().to_lowercase();
        let rows = contact::Entity::find().filter(contact::Column::SortName.eq(&name)).all(&self.read).await?;
        Ok(rows.into_iter().map(|row| ContactId(row.id)).collect())
    }
}

async fn insert(tx: &DatabaseTransaction, id: ContactId, data: ContactData, now: DateTime<Utc>) -> Result<(), Error> {
    let numbers = data.numbers.clone();
    let row = contact::ActiveModel {
        id: Set(id.0),
        version: Set(1),
        created_at: Set(now),
        pin_hash: Set(None),
        ..columns(data, now)?
    };
    contact::Entity::insert(row).exec_without_returning(tx).await?;
    write_numbers(tx, id, numbers).await
}

async fn update(
    tx: &DatabaseTransaction,
    id: ContactId,
    version: i64,
    data: ContactData,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let numbers = data.numbers.clone();
    let updated = contact::Entity::update_many()
        .set(columns(data, now)?)
        .col_expr(contact::Column::Version, Expr::val(version + 1))
        .filter(contact::Column::Id.eq(id.0))
        .filter(contact::Column::Version.eq(version))
        .exec(tx)
        .await?;
    if updated.rows_affected != 1 {
        return Err(Error::Conflict);
    }
    contact_number::Entity::delete_many().filter(contact_number::Column::ContactId.eq(id.0)).exec(tx).await?;
    write_numbers(tx, id, numbers).await
}

fn columns(data: ContactData, now: DateTime<Utc>) -> Result<contact::ActiveModel, Error> {
    Ok(contact::ActiveModel {
        sort_name: Set(data.full_name().to_lowercase()),
        name: Set(data.name),
        surname: Set(data.surname),
        language: Set(data.language),
        time_zone: Set(data.time_zone),
        email: Set(data.email),
        sms_number: Set(data.sms_number.map(String::from)),
        address: Set(data.address),
        zip_code: Set(data.zip_code),
        city: Set(data.city),
        state: Set(data.state),
        country: Set(data.country),
        annotations: Set(data.annotations),
        tags: Set(serde_json::to_value(data.tags)?),
        enabled: Set(data.enabled),
        tell_when_over: Set(data.tell_when_over),
        updated_at: Set(now),
        ..Default::default()
    })
}

async fn write_numbers(tx: &DatabaseTransaction, id: ContactId, numbers: Vec<ContactNumber>) -> Result<(), Error> {
    for (position, number) in (0..).zip(numbers) {
        let row = contact_number::ActiveModel {
            contact_id: Set(id.0),
            position: Set(position),
            number: Set(number.number.into()),
            kind: Set(number.kind),
            label: Set(number.label),
        };
        contact_number::Entity::insert(row).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn read(row: contact::Model, numbers: Vec<contact_number::Model>) -> Result<Contact, Error> {
    let numbers = numbers.into_iter().filter_map(|row| {
        let number = PhoneNumber::try_from(row.number).ok()?;
        Some(ContactNumber { number, kind: row.kind, label: row.label })
    });
    Ok(Contact {
        id: ContactId(row.id),
        data: ContactData {
            name: row.name,
            surname: row.surname,
            numbers: numbers.collect(),
            sms_number: row.sms_number.and_then(|number| PhoneNumber::try_from(number).ok()),
            email: row.email,
            language: row.language,
            time_zone: row.time_zone,
            address: row.address,
            zip_code: row.zip_code,
            city: row.city,
            state: row.state,
            country: row.country,
            annotations: row.annotations,
            tags: serde_json::from_value(row.tags)?,
            enabled: row.enabled,
            tell_when_over: row.tell_when_over,
        },
        pin_hash: row.pin_hash,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
