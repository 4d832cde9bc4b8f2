//! Contacts: lists, one, what changes them, PINs.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Deserialize;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsContacts, ReadsContacts},
    body::Body,
    country,
    error::Problem,
    fields::{self, Reason, Wrong},
    names, version,
};
use crate::{
    id::ContactId,
    pin,
    store::{self, ContactCursor, ContactData, ContactFilter, ContactNumber, Deletion},
};

/// PINs that are hashed at once: each takes 19 MiB and a processor.
const HASHING: usize = 2;

/// Contacts.
pub struct Contacts {
    state: State,
    hashing: Arc<Semaphore>,
}

/// A number of a contact.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "ContactNumber")]
struct Number {
    /// The number: E.164, or nationally for the configured country, or an extension. Comes back as E.164.
    #[oai(validator(max_length = 40))]
    number: String,
    /// What sort of number it is, such as `mobile`, `home`, `work`.
    #[oai(default, validator(max_length = 30))]
    #[serde(default)]
    kind: String,
    /// What its owner calls it.
    #[oai(default, validator(max_length = 100))]
    #[serde(default)]
    label: String,
}

/// A contact as it is to be. What is left out is empty, or as it is said there.
#[derive(Debug, Object, Deserialize)]
struct ContactFields {
    /// Their name, or their first name.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Their family name.
    #[oai(default, validator(max_length = 200))]
    #[serde(default)]
    surname: String,
    /// Their numbers, in the order in which they are tried.
    #[oai(default, validator(max_items = 10))]
    #[serde(default)]
    numbers: Vec<Number>,
    /// Where texts go; the first of `numbers` that is no extension, if it is left out.
    #[oai(validator(max_length = 40))]
    #[serde(default)]
    sms_number: Option<String>,
    /// Their e-mail address.
    #[oai(default, validator(max_length = 254))]
    #[serde(default)]
    email: String,
    /// The language they are spoken to in (BCP 47).
    #[oai(default = "default_language", validator(max_length = 35))]
    #[serde(default = "default_language")]
    language: String,
    /// An IANA name. If it is left out, the zone of the configured country, if that has only one, else UTC.
    #[oai(validator(max_length = 64))]
    #[serde(default)]
    time_zone: Option<String>,
    /// Street and house.
    #[oai(default, validator(max_length = 1000))]
    #[serde(default)]
    address: String,
    /// Postal code.
    #[oai(default, validator(max_length = 50))]
    #[serde(default)]
    zip_code: String,
    /// Town.
    #[oai(default, validator(max_length = 200))]
    #[serde(default)]
    city: String,
    /// State or province.
    #[oai(default, validator(max_length = 200))]
    #[serde(default)]
    state: String,
    /// Country.
    #[oai(default, validator(max_length = 200))]
    #[serde(default)]
    country: String,
    /// Whatever else there is to say.
    #[oai(default, validator(max_length = 20_000))]
    #[serde(default)]
    annotations: String,
    /// What they are filed under.
    #[oai(default, validator(max_items = 50))]
    #[serde(default)]
    tags: Vec<String>,
    /// Whether they are called at all.
    #[oai(default = "default_true")]
    #[serde(default = "default_true")]
    enabled: bool,
    /// Whether they want to know when what they have taken is over.
    #[oai(default)]
    #[serde(default)]
    tell_when_over: bool,
    /// Whether they are texted when their shifts begin and end.
    #[oai(default)]
    #[serde(default)]
    tell_shifts: bool,
}

fn default_language() -> String {
    "en".into()
}

fn default_true() -> bool {
    true
}

/// A contact.
#[derive(Debug, Object)]
pub(super) struct Contact {
    /// Their identifier.
    id: Uuid,
    /// Their name, or their first name.
    name: String,
    /// Their family name; may be empty.
    surname: String,
    /// Both.
    full_name: String,
    /// Their numbers, in the order in which they are tried.
    numbers: Vec<Number>,
    /// Where texts go, if it is not the first of `numbers` that is no extension.
    #[oai(skip_serializing_if_is_none)]
    sms_number: Option<String>,
    /// Their e-mail address; may be empty.
    email: String,
    /// The language they are spoken to in.
    language: String,
    /// An IANA name.
    time_zone: String,
    /// Street and house.
    address: String,
    /// Postal code.
    zip_code: String,
    /// Town.
    city: String,
    /// State or province.
    state: String,
    /// Country.
    country: String,
    /// Whatever else there is to say.
    annotations: String,
    /// What they are filed under.
    tags: Vec<String>,
    /// The names of the groups they are in; it is the groups that are edited.
    groups: Vec<String>,
    /// Whether they are called at all.
    enabled: bool,
    /// Whether they want to know when what they have taken is over.
    tell_when_over: bool,
    /// Whether they are texted when their shifts begin and end.
    tell_shifts: bool,
    /// Whether they have a PIN.
    has_pin: bool,
    /// When they were added.
    created_at: DateTime<Utc>,
    /// When they last changed.
    updated_at: DateTime<Utc>,
    /// Counts their changes; it is the ETag.
    version: i64,
}

/// A page of contacts, by name.
#[derive(Debug, Object)]
struct ContactList {
    /// Who is on it.
    items: Vec<Contact>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<String>,
}

/// A PIN.
#[derive(Object, Deserialize)]
#[oai(rename = "ContactPin")]
struct Pin {
    /// 4 to 12 digits; those that are guessed first are refused.
    #[oai(validator(max_length = 12))]
    pin: String,
}

#[derive(ApiResponse)]
enum One {
    /// As it stands.
    #[oai(status = 200)]
    Found(Json<Contact>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum Created {
    /// Stored.
    #[oai(status = 201)]
    Stored(Json<Contact>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
pub(super) enum Deleted {
    /// It is gone.
    #[oai(status = 204)]
    Gone,
}

#[OpenApi(prefix_path = "/api/v2/contacts", tag = "Tag::AddressBook")]
impl Contacts {
    /// List contacts, by name
    #[oai(path = "/", method = "get", operation_id = "list_contacts")]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn list(
        &self,
        _caller: ReadsContacts,
        /// Each word begins a word of their names, or their e-mail address; digits begin one of their numbers.
        #[oai(validator(max_length = 200))]
        q: Query<Option<String>>,
        /// Only who is filed under this.
        #[oai(validator(max_length = 50))]
        tag: Query<Option<String>>,
        /// Only who is in this group: its identifier or its name.
        #[oai(validator(max_length = 200))]
        group: Query<Option<String>>,
        /// Only who is, or is not, called at all.
        enabled: Query<Option<bool>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        #[oai(validator(max_length = 4000))]
        cursor: Query<Option<String>>,
    ) -> Result<Json<ContactList>, Problem> {
        let store = &self.state.store;
        let group = match &group.0 {
            Some(text) => Some(names::group(&self.state.store, "group", text).await?),
            None => None,
        };
        let plain = |text: Option<String>| text.map(super::text);
        let filter = ContactFilter { prefix: plain(q.0), tag: plain(tag.0), group, enabled: enabled.0 };
        let cursor = cursor.0.map(|text| text.parse::<ContactCursor>()).transpose();
        let cursor = cursor.map_err(|error| Problem::malformed(format!("cursor: {error}")))?;
        let page = store.contacts(&filter, cursor.as_ref(), limit.0).await?;
        let next = page.next.map(|next| next.to_string());
        Ok(Json(ContactList { items: shown(&self.state, page.items).await?, next }))
    }

    /// Add a contact
    #[oai(path = "/", method = "post", operation_id = "create_contact")]
    async fn create(&self, caller: EditsContacts, contact: Body<ContactFields>) -> Result<Created, Problem> {
        let data = self.data(contact.0)?;
        let id = self.state.by(&caller.0).create_contact(data, self.state.clock.now()).await?;
        let (contact, etag) = self.one(id).await?;
        Ok(Created::Stored(contact, etag))
    }

    /// One contact
    #[oai(path = "/:id", method = "get", operation_id = "get_contact")]
    async fn get(&self, _caller: ReadsContacts, id: Path<Uuid>) -> Result<One, Problem> {
        self.found(ContactId(id.0)).await
    }

    /// Change a contact
    ///
    /// Everything that can be edited is replaced by what is sent.
    #[oai(path = "/:id", method = "put", operation_id = "update_contact")]
    async fn update(
        &self,
        caller: EditsContacts,
        id: Path<Uuid>,
        /// The ETag that was read, or `*`.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        contact: Body<ContactFields>,
    ) -> Result<One, Problem> {
        let id = ContactId(id.0);
        let version = version::expected(if_match.0.as_deref(), self.there(id).await?.version)?;
        let data = self.data(contact.0)?;
        let updated = self.state.by(&caller.0).update_contact(id, version, data, self.state.clock.now()).await;
        self.unless_changed(id, updated).await?;
        self.found(id).await
    }

    /// Delete a contact
    ///
    /// Refused with 409 while a group, a policy, a schedule or a scheduled call refers to them.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_contact")]
    async fn delete(
        &self,
        caller: EditsContacts,
        id: Path<Uuid>,
        /// The ETag that was read, or `*`.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let id = ContactId(id.0);
        let version = version::expected(if_match.0.as_deref(), self.there(id).await?.version)?;
        let deleted = self.state.by(&caller.0).delete_contact(id, version, self.state.clock.now()).await;
        match self.unless_changed(id, deleted).await? {
            Deletion::Deleted => Ok(Deleted::Gone),
            Deletion::UsedIn(places) => Err(Problem::in_use("contact", &some(places))),
        }
    }

    /// Give a contact a PIN
    ///
    /// It is kept as an argon2id hash, and never shown again.
    #[oai(path = "/:id/pin", method = "put", operation_id = "set_contact_pin")]
    async fn set_pin(&self, caller: EditsContacts, id: Path<Uuid>, pin: Body<Pin>) -> Result<One, Problem> {
        let id = ContactId(id.0);
        self.there(id).await?;
        let pin = pin.0.pin;
        if let Some(mistake) = pin::mistake(&pin) {
            return Err(Problem::unprocessable(format!("pin: {mistake}")));
        }
        let salt = rand::random();
        // The permit goes along: whoever gives up waiting does not make room before the work is done.
        let permit = Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| hashing("it is closed"))?;
        let hash = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pin::hash(&pin, salt)
        });
        let hash = hash.await.map_err(|_| hashing("it broke off"))?.map_err(|error| hashing(&error))?;
        self.keep_pin(&caller.0, id, Some(hash)).await
    }

    /// Take a contact's PIN away
    #[oai(path = "/:id/pin", method = "delete", operation_id = "delete_contact_pin")]
    async fn delete_pin(&self, caller: EditsContacts, id: Path<Uuid>) -> Result<One, Problem> {
        self.keep_pin(&caller.0, ContactId(id.0), None).await
    }
}

fn hashing(reason: &str) -> store::Error {
    store::Error::Unavailable(format!("the PIN was not hashed: {reason}"))
}

impl Contacts {
    pub(super) fn new(state: State) -> Self {
        Self { state, hashing: Arc::new(Semaphore::new(HASHING)) }
    }

    async fn there(&self, id: ContactId) -> Result<store::Contact, Problem> {
        self.state.store.contact(id).await?.ok_or_else(|| Problem::not_found("contact"))
    }

    async fn one(&self, id: ContactId) -> Result<(Json<Contact>, String), Problem> {
        let there = self.there(id).await?;
        let etag = version::etag(there.version);
        let contact = shown(&self.state, vec![there]).await?.pop().ok_or_else(|| Problem::not_found("contact"))?;
        Ok((Json(contact), etag))
    }

    async fn found(&self, id: ContactId) -> Result<One, Problem> {
        let (contact, etag) = self.one(id).await?;
        Ok(One::Found(contact, etag))
    }

    /// Somebody else may have been faster since the version was looked at.
    async fn unless_changed<T>(&self, id: ContactId, done: Result<T, store::Error>) -> Result<T, Problem> {
        match done {
            Err(store::Error::Conflict) => Err(Problem::changed(self.there(id).await?.version)),
            done => Ok(done?),
        }
    }

    /// A PIN is not part of what editors see, so no version is asked for.
    async fn keep_pin(&self, caller: &Caller, id: ContactId, hash: Option<String>) -> Result<One, Problem> {
        for _ in 0..5 {
            let version = self.there(id).await?.version;
            let kept = self.state.by(caller).set_contact_pin(id, version, hash.clone(), self.state.clock.now()).await;
            match kept {
                Err(store::Error::Conflict) => {}
                kept => {
                    kept?;
                    return self.found(id).await;
                }
            }
        }
        Err(Problem::conflict("others change this contact all the time: try again"))
    }

    fn data(&self, fields: ContactFields) -> Result<ContactData, Problem> {
        let mut numbers = Vec::with_capacity(fields.numbers.len());
        for (at, Number { number, kind, label }) in fields.numbers.into_iter().enumerate() {
            let number = fields::number(&self.state, &format!("numbers[{at}].number"), &number)?;
            numbers.push(ContactNumber { number, kind: kind.trim().to_owned(), label: label.trim().to_owned() });
        }
        let sms_number = fields.sms_number.filter(|text| !text.is_empty());
        let sms_number = sms_number.map(|text| fields::number(&self.state, "sms_number", &text)).transpose()?;
        let time_zone = fields.time_zone.filter(|zone| !zone.is_empty());
        let time_zone = time_zone.unwrap_or_else(|| country::zone(self.state.plan.country()).to_string());
        let data = fields::checked(ContactData {
            name: fields.name,
            surname: fields.surname,
            numbers,
            sms_number,
            email: fields.email,
            language: fields.language,
            time_zone,
            address: fields.address,
            zip_code: fields.zip_code,
            city: fields.city,
            state: fields.state,
            country: fields.country,
            annotations: fields.annotations,
            tags: fields.tags,
            enabled: fields.enabled,
            tell_when_over: fields.tell_when_over,
            tell_shifts: fields.tell_shifts,
        });
        Ok(data?)
    }
}

/// The first places where something is used: there may be hundreds.
pub(super) fn some(mut places: Vec<String>) -> Vec<String> {
    const SHOWN: usize = 10;
    if places.len() > SHOWN {
        let more = format!("{} more", places.len() - SHOWN);
        places.truncate(SHOWN);
        places.push(more);
    }
    places
}

async fn shown(state: &State, contacts: Vec<store::Contact>) -> Result<Vec<Contact>, Problem> {
    let ids: Vec<ContactId> = contacts.iter().map(|contact| contact.id).collect();
    let mut groups = state.store.groups_of(&ids).await?;
    let show = |contact: store::Contact| {
        let groups = groups.remove(&contact.id).unwrap_or_default();
        Contact::new(contact, groups)
    };
    Ok(contacts.into_iter().map(show).collect())
}

impl Contact {
    fn new(contact: store::Contact, groups: Vec<String>) -> Self {
        let full_name = contact.full_name();
        let data = contact.data;
        let number = |ContactNumber { number, kind, label }| Number { number: number.into(), kind, label };
        Self {
            id: contact.id.0,
            name: data.name,
            surname: data.surname,
            full_name,
            numbers: data.numbers.into_iter().map(number).collect(),
            sms_number: data.sms_number.map(String::from),
            email: data.email,
            language: data.language,
            time_zone: data.time_zone,
            address: data.address,
            zip_code: data.zip_code,
            city: data.city,
            state: data.state,
            country: data.country,
            annotations: data.annotations,
            tags: data.tags,
            groups,
            enabled: data.enabled,
            tell_when_over: data.tell_when_over,
            tell_shifts: data.tell_shifts,
            has_pin: contact.pin_hash.is_some(),
            created_at: contact.created_at,
            updated_at: contact.updated_at,
            version: contact.version,
        }
    }
}

impl From<Wrong> for Problem {
    fn from(Wrong { field, reason }: Wrong) -> Self {
        match reason {
            Reason::NotANumber(error) => Self::number(&field, &error),
            Reason::Refused(refusal) => Self::refused(&field, refusal),
            Reason::Other(reason) => Self::unprocessable(format!("{field}: {reason}")),
        }
    }
}
