//! py-phone-caller's address book, over ours.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
    registry::{MetaMediaType, MetaRequest, MetaSchema, MetaSchemaRef},
};
use serde::Deserialize;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{DONE, Status, fields::Fields};
use crate::{
    api::{
        State, Tag, address_book,
        auth::{EditsContacts, ReadsContacts},
        body::Body,
        contacts::some,
        error::Problem,
        file::{Csv, Table},
    },
    bus::Bell,
    exchange::contacts::{Availability, ContactRow},
    id::ContactId,
    oncall,
    store::{self, Deletion, ImportOptions, ONCALL, OncallWindow},
};

/// The address book.
pub struct CompatContacts(pub State);

/// A window of duty.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CompatAvailability")]
struct Window {
    /// When it begins: local time of the schedule `oncall`, or ISO 8601 with an offset.
    #[oai(validator(max_length = 50))]
    start_at: String,
    /// When it ends.
    #[oai(validator(max_length = 50))]
    end_at: String,
    /// The lowest goes first.
    #[oai(default, validator(minimum(value = "0"), maximum(value = "1000000")))]
    #[serde(default)]
    priority: i64,
}

/// A contact as it is to be. What is left out is as it was, or empty.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "CompatContactFields")]
struct ContactFields {
    /// Their name, or their first name.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Their family name.
    #[oai(validator(max_length = 200))]
    surname: Option<String>,
    /// Their number.
    #[oai(validator(max_length = 40))]
    phone_number: String,
    /// Whether they are called at all.
    enabled: Option<bool>,
    /// Their windows of duty, and no others.
    #[oai(validator(max_items = 1000))]
    on_call_availability: Option<Vec<Window>>,
    /// Street and house.
    #[oai(validator(max_length = 1000))]
    address: Option<String>,
    /// Postal code.
    #[oai(validator(max_length = 50))]
    zip_code: Option<String>,
    /// Town.
    #[oai(validator(max_length = 200))]
    city: Option<String>,
    /// State or province.
    #[oai(validator(max_length = 200))]
    state: Option<String>,
    /// Country.
    #[oai(validator(max_length = 200))]
    country: Option<String>,
    /// Whatever else there is to say.
    #[oai(validator(max_length = 20_000))]
    annotations: Option<String>,
}

/// A contact.
#[derive(Debug, Object)]
#[oai(rename = "CompatContact")]
struct Contact {
    /// Their identifier.
    id: Uuid,
    /// Their name, or their first name.
    name: String,
    /// Their family name.
    surname: String,
    /// Their first number.
    phone_number: String,
    /// Whether they are called at all.
    enabled: bool,
    /// Their windows of duty.
    on_call_availability: Vec<Window>,
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
    /// When they were added.
    created_time: DateTime<Utc>,
}

/// A table, whatever its content type says: scripts sent it in many ways.
struct AnyTable(Table);

impl<'a> ApiExtractor<'a> for AnyTable {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];

    type ParamType = ();
    type ParamRawType = ();

    fn request_meta() -> Option<MetaRequest> {
        let schema = MetaSchemaRef::Inline(Box::new(MetaSchema::new("string")));
        let content = vec![MetaMediaType { content_type: "text/csv", schema }];
        Some(MetaRequest { description: None, content, required: true })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let bytes = <Vec<u8> as FromRequest>::from_request(request, body).await?;
        let bytes = match boundary(request.content_type().unwrap_or_default()) {
            Some(boundary) => {
                first_part(&bytes, &boundary).ok_or_else(|| Problem::malformed("the form has no file"))?.to_vec()
            }
            None => bytes,
        };
        Ok(Self(Table { bytes, charset: None }))
    }
}

/// The boundary of a form with files.
fn boundary(content_type: &str) -> Option<String> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/form-data") {
        return None;
    }
    let boundary = content_type.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?;
    Some(format!("--{}", boundary.trim_matches('"')))
}

/// What stands in the first part of a form.
fn first_part<'a>(bytes: &'a [u8], boundary: &str) -> Option<&'a [u8]> {
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let begin = find(bytes, boundary.as_bytes())? + boundary.len();
    let body = begin + find(&bytes[begin..], b"\r\n\r\n")? + 4;
    let end = body + find(&bytes[body..], format!("\r\n{boundary}").as_bytes())?;
    Some(&bytes[body..end])
}

#[OpenApi(tag = "Tag::Compat")]
impl CompatContacts {
    /// Add a contact
    ///
    /// One of the same name and number is changed.
    #[oai(path = "/contact_add", method = "post", operation_id = "compat_contact_add", deprecated)]
    async fn contact_add(&self, caller: EditsContacts, contact: Body<ContactFields>) -> Result<Json<Status>, Problem> {
        self.keep(&caller, None, contact.0).await
    }

    /// Change a contact
    #[oai(path = "/contact_modify/:id", method = "put", operation_id = "compat_contact_modify", deprecated)]
    async fn contact_modify(
        &self,
        caller: EditsContacts,
        id: Path<Uuid>,
        contact: Body<ContactFields>,
    ) -> Result<Json<Status>, Problem> {
        let id = ContactId(id.0);
        self.0.store.contact(id).await?.ok_or_else(|| Problem::not_found("contact"))?;
        self.keep(&caller, Some(id), contact.0).await
    }

    /// Delete a contact
    ///
    /// 409 while something refers to them.
    #[oai(path = "/contact_delete", method = "delete", operation_id = "compat_contact_delete", deprecated)]
    async fn contact_delete(
        &self,
        caller: EditsContacts,
        /// Their identifier.
        #[oai(validator(max_length = 40))]
        id: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Json<Status>, Problem> {
        let id = fields.need("id", id.0)?;
        let id = id.trim().parse::<Uuid>().map_err(|_| Problem::not_found("contact"))?;
        let there = self.0.store.contact(ContactId(id)).await?.ok_or_else(|| Problem::not_found("contact"))?;
        match self.0.by(&caller.0).delete_contact(there.id, there.version, self.0.clock.now()).await? {
            Deletion::Deleted => Ok(Json(DONE)),
            Deletion::UsedIn(places) => Err(Problem::in_use("contact", &some(places))),
        }
    }

    /// Who is on call now
    #[oai(path = "/contact_on_call", method = "get", operation_id = "compat_contact_on_call", deprecated)]
    async fn contact_on_call(&self, _caller: ReadsContacts) -> Result<Json<Contact>, Problem> {
        let now = self.0.clock.now();
        let nobody = || Problem::not_found("contact: nobody is on call");
        let schedule = self.0.store.schedule_named(ONCALL).await?.ok_or_else(nobody)?;
        let duty = self.0.store.duty(schedule.id, now, now).await?.ok_or_else(nobody)?;
        let first = oncall::on_call(&duty, now).into_iter().next().ok_or_else(nobody)?;
        let contact = self.0.store.contact(first).await?.ok_or_else(nobody)?;
        let mut windows: HashMap<ContactId, Vec<OncallWindow>> = HashMap::new();
        for window in self.0.store.oncall_windows(Some(&[first])).await? {
            windows.entry(window.contact).or_default().push(window);
        }
        Ok(Json(shown(contact, windows.remove(&first).unwrap_or_default())))
    }

    /// All contacts as a table
    ///
    /// Cells that a spreadsheet would execute have a quote in front.
    #[oai(path = "/contacts_export_csv", method = "get", operation_id = "compat_contacts_export", deprecated)]
    async fn export(&self, _caller: ReadsContacts) -> Result<Csv, Problem> {
        address_book::exported(&self.0).await
    }

    /// Import contacts from a table
    ///
    /// A row whose `id` is known, or else whose number and names are, changes that contact; others are new. Bad
    /// rows are named, the good ones around them are kept.
    #[oai(path = "/contacts_import_csv", method = "post", operation_id = "compat_contacts_import", deprecated)]
    async fn import(&self, caller: EditsContacts, table: AnyTable) -> Result<Json<address_book::Report>, Problem> {
        let options = ImportOptions { dry_run: false, atomic: false, zone: self.0.compat.zone };
        address_book::imported(&self.0, &caller.0, table.0, options).await
    }
}

impl CompatContacts {
    /// Takes a contact in as a row of a table, so that both do the same.
    async fn keep(
        &self,
        caller: &EditsContacts,
        id: Option<ContactId>,
        fields: ContactFields,
    ) -> Result<Json<Status>, Problem> {
        let mut columns = vec!["name", "phone_number"];
        let mut said = |column: &'static str, text: Option<String>| {
            if text.is_some() {
                columns.push(column);
            }
            text.unwrap_or_default()
        };
        let mut row = ContactRow {
            id: id.map(|id| id.to_string()),
            name: fields.name,
            surname: said("surname", fields.surname),
            address: said("address", fields.address),
            zip_code: said("zip_code", fields.zip_code),
            city: said("city", fields.city),
            state: said("state", fields.state),
            country: said("country", fields.country),
            annotations: said("annotations", fields.annotations),
            phone_number: Some(fields.phone_number),
            enabled: fields.enabled,
            ..ContactRow::default()
        };
        if let Some(windows) = fields.on_call_availability {
            columns.push("on_call_availability");
            for Window { start_at, end_at, priority } in windows {
                let wrong = |reason| Problem::unprocessable(format!("on_call_availability: {reason}"));
                let (start_at, end_at) = (start_at.parse().map_err(wrong)?, end_at.parse().map_err(wrong)?);
                row.on_call_availability.push(Availability { start_at, end_at, priority });
            }
        }
        let row = address_book::row_of(&self.0, columns, row)?;
        let (send, rows) = mpsc::channel(2);
        // There is room for both: the row, and that it is the last.
        for batch in [vec![Ok(row)], Vec::new()] {
            send.try_send(batch).map_err(|_| Problem::unavailable("the contact could not be handed on"))?;
        }
        let options = ImportOptions { dry_run: false, atomic: true, zone: self.0.compat.zone };
        let report = self.0.by(&caller.0).import_contacts(rows, options, self.0.clock.now()).await?;
        if let Some(bad) = report.told.into_iter().next() {
            return Err(Problem::unprocessable(format!("{}: {}", bad.column.unwrap_or_default(), bad.reason)));
        }
        // Somebody else may be on duty now.
        self.0.bus.ring(Bell::Engine);
        Ok(Json(DONE))
    }
}

fn shown(contact: store::Contact, windows: Vec<OncallWindow>) -> Contact {
    let data = contact.data;
    let window = |window: OncallWindow| Window {
        start_at: window.from.to_rfc3339(),
        end_at: window.until.to_rfc3339(),
        priority: window.priority.into(),
    };
    Contact {
        id: contact.id.0,
        name: data.name,
        surname: data.surname,
        phone_number: data.numbers.into_iter().next().map(|number| number.number.into()).unwrap_or_default(),
        enabled: data.enabled,
        on_call_availability: windows.into_iter().map(window).collect(),
        address: data.address,
        zip_code: data.zip_code,
        city: data.city,
        state: data.state,
        country: data.country,
        annotations: data.annotations,
        created_time: contact.created_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_in_a_form_is_found() {
        let boundary = boundary("multipart/form-data; boundary=x1").unwrap();
        let form = b"--x1\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nname,phone_number\r\n\r\n--x1--\r\n";
        assert_eq!(first_part(form, &boundary), Some(&b"name,phone_number\r\n"[..]));
        assert_eq!(first_part(b"--x1\r\nContent-Disposition: form-data", &boundary), None);
        assert!(super::boundary("text/csv").is_none());
    }
}
