//! Rows of a file as the store takes them.

use uuid::Uuid;

use super::super::{
    State,
    fields::{self, Wrong},
};
use crate::{
    exchange::{
        contacts::{COLUMNS, ContactRow, NumberCell, Reader},
        csv::BadRow,
        windows::WindowRow,
    },
    id::ContactId,
    store::{ContactData, ContactNumber, ImportRow, WindowImport},
};

/// Which columns a file has: what it does not have it says nothing about.
pub(super) struct Columns(Vec<&'static str>);

impl Columns {
    pub(super) fn of(reader: &Reader) -> Self {
        Self(COLUMNS.into_iter().filter(|column| reader.has(column)).collect())
    }

    /// These.
    pub(super) fn named(columns: Vec<&'static str>) -> Self {
        Self(columns)
    }

    /// What stands in a column, if there is one.
    fn said<T>(&self, column: &str, value: T) -> Option<T> {
        self.0.contains(&column).then_some(value)
    }
}

/// A contact, if everything in its row can be taken.
pub(super) fn contact(state: &State, columns: &Columns, line: u64, row: ContactRow) -> Result<ImportRow, BadRow> {
    taken(state, columns, line, row).map_err(|Wrong { field, reason }| BadRow {
        line,
        column: Some(field),
        reason: reason.to_string(),
    })
}

fn taken(state: &State, columns: &Columns, line: u64, row: ContactRow) -> Result<ImportRow, Wrong> {
    let one = |column: &str, text: Option<String>| text.map(|text| fields::number(state, column, &text)).transpose();
    let numbers = row.numbers.into_iter().enumerate().map(|(at, NumberCell { number, kind, label })| {
        let number = fields::number(state, &format!("numbers[{at}].number"), &number)?;
        let plain = |text: Option<String>| text.unwrap_or_default().trim().to_owned();
        Ok(ContactNumber { number, kind: plain(kind), label: plain(label) })
    });
    let numbers = numbers.collect::<Result<Vec<_>, Wrong>>()?;
    for group in &row.groups {
        fields::line("groups", group, 200)?;
    }
    let import = ImportRow {
        line,
        id: row.id.and_then(|id| id.parse::<Uuid>().ok()).map(ContactId),
        name: row.name,
        surname: columns.said("surname", row.surname),
        created_at: row.created_time,
        first_number: one("phone_number", row.phone_number)?,
        numbers: columns.said("numbers", numbers),
        sms_number: columns.said("sms_number", one("sms_number", row.sms_number)?),
        email: columns.said("email", row.email.unwrap_or_default()),
        language: row.language,
        time_zone: row.time_zone,
        address: columns.said("address", row.address),
        zip_code: columns.said("zip_code", row.zip_code),
        city: columns.said("city", row.city),
        state: columns.said("state", row.state),
        country: columns.said("country", row.country),
        annotations: columns.said("annotations", row.annotations),
        tags: columns.said("tags", row.tags),
        enabled: row.enabled,
        tell_when_over: row.tell_when_over,
        tell_shifts: row.tell_shifts,
        groups: columns.said("groups", row.groups),
        windows: columns.said("on_call_availability", row.on_call_availability),
    };
    let mut data = ContactData::default();
    import.apply(&mut data);
    // What was brought into its usual form goes on in that form.
    let data = fields::checked(data)?;
    Ok(ImportRow {
        name: data.name,
        surname: import.surname.map(|_| data.surname),
        email: import.email.map(|_| data.email),
        language: import.language.map(|_| data.language),
        address: import.address.map(|_| data.address),
        annotations: import.annotations.map(|_| data.annotations),
        tags: import.tags.map(|_| data.tags),
        ..import
    })
}

/// A window; whose it is, is for the store to say.
pub(super) fn window(line: u64, row: WindowRow) -> WindowImport {
    WindowImport {
        line,
        id: row.id.and_then(|id| id.parse::<Uuid>().ok()).map(ContactId),
        name: row.name,
        surname: row.surname,
        start_at: row.start_at,
        end_at: row.end_at,
        priority: row.priority,
    }
}
