//! The address book: contacts and their numbers.

mod deletion;
mod groups;
mod import;
mod memberships;
mod search;
mod terms;
mod trouble;
mod windows;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{contact, contact_number};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, Query},
};
use uuid::Uuid;

pub use groups::{Group, GroupData};
pub use import::{ImportOptions, ImportReport, ImportRow, Imported};
pub use search::{ContactCursor, ContactFilter, ContactPage, NotACursor};
pub use windows::{ONCALL, OncallWindow, WindowImport};

use super::{Edit, Error, Store, audit::Subject, reader::Reader, seeds};
use crate::store::writer::Tx;
use crate::{id::ContactId, phone::PhoneNumber};

/// Rows in one statement: a database takes so and so many values at once.
const ROWS: usize = 500;
/// The most numbers a contact may have.
pub const MOST_NUMBERS: usize = 10;

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
    /// Whether they are texted when their shifts begin and end.
    pub tell_shifts: bool,
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
            tell_shifts: false,
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

    /// Where texts to them go.
    #[must_use]
    pub fn text_number(&self) -> Option<&PhoneNumber> {
        let mut numbers = self.data.numbers.iter().map(|number| &number.number);
        self.data.sms_number.as_ref().or_else(|| numbers.find(|number| !number.is_extension()))
    }

    /// Whether they can be called.
    #[must_use]
    pub fn can_be_called(&self) -> bool {
        self.data.enabled && !self.data.numbers.is_empty()
    }
}

impl Edit {
    /// Adds a contact.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_contact(&self, data: ContactData, now: DateTime<Utc>) -> Result<ContactId, Error> {
        let id = ContactId::generate();
        self.change(Subject::Contact(id), move |tx| Box::pin(async move { insert(tx, id, data, now).await })).await?;
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
        self.change(Subject::Contact(id), move |tx| Box::pin(async move { update(tx, id, version, data, now).await }))
            .await
    }

    /// Sets what is kept of a contact's PIN, or takes it away, if the contact still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or is there no more.
    pub async fn set_contact_pin(
        &self,
        id: ContactId,
        version: i64,
        hash: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Contact(id), move |tx| {
            Box::pin(async move {
                let updated = contact::Entity::update_many()
                    .set(contact::ActiveModel {
                        pin_hash: Set(hash),
                        version: Set(version + 1),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(contact::Column::Id.eq(id.0))
                    .filter(contact::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
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

    /// A contact by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contact(&self, id: ContactId) -> Result<Option<Contact>, Error> {
        Ok(load(&self.read, &[id.0]).await?.pop())
    }

    /// The contacts of these identifiers that there are.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn contacts_by_id(&self, ids: &[ContactId]) -> Result<Vec<Contact>, Error> {
        let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
        load(&self.read, &ids).await
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

async fn insert(tx: &Tx, id: ContactId, data: ContactData, now: DateTime<Utc>) -> Result<(), Error> {
    let (numbers, terms) = (data.numbers.clone(), terms::rows(id.0, &data).collect());
    let row = contact::ActiveModel {
        id: Set(id.0),
        version: Set(1),
        created_at: Set(now),
        pin_hash: Set(None),
        ..columns(data, now)?
    };
    contact::Entity::insert(row).exec_without_returning(tx).await?;
    insert_all(tx, terms).await?;
    insert_all(tx, number_rows(id.0, numbers).collect()).await
}

async fn update(tx: &Tx, id: ContactId, version: i64, data: ContactData, now: DateTime<Utc>) -> Result<(), Error> {
    let updated = contact::Entity::update_many()
        .set(columns(data.clone(), now)?)
        .col_expr(contact::Column::Version, Expr::val(version + 1))
        .filter(contact::Column::Id.eq(id.0))
        .filter(contact::Column::Version.eq(version))
        .exec(tx)
        .await?;
    if updated.rows_affected != 1 {
        return Err(Error::Conflict);
    }
    terms::renew(tx, id.0, &data).await?;
    contact_number::Entity::delete_many().filter(contact_number::Column::ContactId.eq(id.0)).exec(tx).await?;
    insert_all(tx, number_rows(id.0, data.numbers).collect()).await
}

fn columns(data: ContactData, now: DateTime<Utc>) -> Result<contact::ActiveModel, Error> {
    Ok(contact::ActiveModel {
        sort_name: Set(terms::sort_name(&data)),
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
        tell_shifts: Set(data.tell_shifts),
        updated_at: Set(now),
        ..Default::default()
    })
}

fn number_rows(id: Uuid, numbers: Vec<ContactNumber>) -> impl Iterator<Item = contact_number::ActiveModel> {
    (0..).zip(numbers).map(move |(position, number)| contact_number::ActiveModel {
        contact_id: Set(id),
        position: Set(position),
        number: Set(number.number.into()),
        kind: Set(number.kind),
        label: Set(number.label),
    })
}

/// Inserts rows, many in a statement.
async fn insert_all<A>(tx: &Tx, rows: Vec<A>) -> Result<(), Error>
where
    A: sea_orm::ActiveModelTrait + Send,
    <A::Entity as EntityTrait>::Model: IntoActiveModel<A>,
{
    let mut rows = rows.into_iter();
    loop {
        let some: Vec<A> = rows.by_ref().take(ROWS).collect();
        if some.is_empty() {
            return Ok(());
        }
        A::Entity::insert_many(some).exec_without_returning(tx).await?;
    }
}

/// The contacts of these identifiers that there are, in any order.
/// Contacts who have one of these numbers, for calls or for texts.
pub(super) async fn of_numbers(database: &Reader, numbers: Vec<String>, limit: u64) -> Result<Vec<Contact>, Error> {
    let theirs = Query::select()
        .column(contact_number::Column::ContactId)
        .from(contact_number::Entity)
        .and_where(contact_number::Column::Number.is_in(numbers.clone()))
        .to_owned();
    let either =
        Condition::any().add(contact::Column::Id.in_subquery(theirs)).add(contact::Column::SmsNumber.is_in(numbers));
    let rows = contact::Entity::find().filter(either).order_by_asc(contact::Column::SortName).limit(limit);
    read_all(database, rows.all(database).await?).await
}

/// Where texts to a contact go.
pub(super) async fn text_number(tx: &Tx, id: ContactId) -> Result<Option<PhoneNumber>, Error> {
    Ok(load(tx, &[id.0]).await?.pop().and_then(|contact| contact.text_number().cloned()))
}

async fn load(database: &impl ConnectionTrait, ids: &[Uuid]) -> Result<Vec<Contact>, Error> {
    let mut contacts = Vec::with_capacity(ids.len());
    for ids in ids.chunks(ROWS) {
        let ids = ids.iter().copied();
        let rows = contact::Entity::find().filter(contact::Column::Id.is_in(ids)).all(database).await?;
        contacts.extend(read_all(database, rows).await?);
    }
    Ok(contacts)
}

/// Contacts with their numbers, in the order of their rows.
async fn read_all(database: &impl ConnectionTrait, rows: Vec<contact::Model>) -> Result<Vec<Contact>, Error> {
    let mut numbers: HashMap<Uuid, Vec<contact_number::Model>> = HashMap::new();
    for rows in rows.chunks(ROWS) {
        let all = contact_number::Entity::find()
            .filter(contact_number::Column::ContactId.is_in(rows.iter().map(|row| row.id)))
            .order_by_asc(contact_number::Column::Position)
            .all(database)
            .await?;
        for number in all {
            numbers.entry(number.contact_id).or_default().push(number);
        }
    }
    let contact = |row: contact::Model| {
        let numbers = numbers.remove(&row.id).unwrap_or_default();
        read(row, numbers)
    };
    rows.into_iter().map(contact).collect()
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
            tell_shifts: row.tell_shifts,
        },
        pin_hash: row.pin_hash,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
