//! Contacts as a table: the predecessor's columns and ours.
//!
//! In `tags` and `groups` names are parted by semicolons; a semicolon or a backslash in a name has a
//! backslash in front. Cells lose the blanks around them, but for `address` and `annotations`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    csv::{BadRow, HeaderError, Row, Table, write_line},
    time::LocalOrInstant,
};

/// The columns, in the order in which they are written: first the predecessor's thirteen.
pub const COLUMNS: [&str; 22] = [
    "id",
    "name",
    "surname",
    "address",
    "zip_code",
    "city",
    "state",
    "country",
    "phone_number",
    "enabled",
    "created_time",
    "annotations",
    "on_call_availability",
    "language",
    "time_zone",
    "email",
    "sms_number",
    "numbers",
    "tags",
    "groups",
    "tell_when_over",
    "tell_shifts",
];

/// A row of the table. What is empty in the file is an empty text, none or an empty list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are what their column is called")]
pub struct ContactRow {
    /// Ours, the predecessor's number, or anybody's.
    pub id: Option<String>,
    pub name: String,
    pub surname: String,
    pub address: String,
    pub zip_code: String,
    pub city: String,
    pub state: String,
    pub country: String,
    /// As it stands there, not normalised.
    pub phone_number: Option<String>,
    /// None if the cell is empty or the column is missing.
    pub enabled: Option<bool>,
    pub created_time: Option<LocalOrInstant>,
    pub annotations: String,
    pub on_call_availability: Vec<Availability>,
    pub language: Option<String>,
    pub time_zone: Option<String>,
    pub email: Option<String>,
    pub sms_number: Option<String>,
    /// More numbers, in the order in which they are tried.
    pub numbers: Vec<NumberCell>,
    pub tags: Vec<String>,
    pub groups: Vec<String>,
    pub tell_when_over: Option<bool>,
    pub tell_shifts: Option<bool>,
}

/// A one-off window of duty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Availability {
    /// From when.
    pub start_at: LocalOrInstant,
    /// Until when.
    pub end_at: LocalOrInstant,
    /// The lowest goes first.
    pub priority: i64,
}

/// A number of a contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberCell {
    /// As it stands there, not normalised.
    pub number: String,
    /// Such as `mobile`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
}

/// [`Availability`] as the predecessor writes it.
#[derive(Serialize, Deserialize)]
struct AvailabilityCell<'a> {
    start_at: Cow<'a, str>,
    end_at: Cow<'a, str>,
    priority: i64,
}

/// Reads contacts, row by row, each with the line on which it begins.
///
/// # Errors
/// If the header does not fit; a row that does not is an item of the iterator.
pub fn read(text: &str) -> Result<Reader<'_>, HeaderError> {
    let table = Table::new(text, &COLUMNS)?;
    if !table.has("name") {
        return Err(HeaderError::Missing("name"));
    }
    if !table.has("phone_number") && !table.has("numbers") {
        return Err(HeaderError::Missing("phone_number"));
    }
    Ok(Reader(table))
}

/// See [`read`].
pub struct Reader<'a>(Table<'a>);

impl Reader<'_> {
    /// Whether the file has a column: what it does not have it says nothing about.
    #[must_use]
    pub fn has(&self, column: &str) -> bool {
        self.0.has(column)
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<(u64, ContactRow), BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next_row()?.and_then(|row| Ok((row.line, contact(&row)?))))
    }
}

fn contact(row: &Row) -> Result<ContactRow, BadRow> {
    let text = |column| row.cell(column).to_owned();
    let filled = |column| row.filled(column).map(str::to_owned);
    let contact = ContactRow {
        id: filled("id"),
        name: text("name"),
        surname: text("surname"),
        address: row.raw("address").to_owned(),
        zip_code: text("zip_code"),
        city: text("city"),
        state: text("state"),
        country: text("country"),
        phone_number: filled("phone_number"),
        enabled: truth(row, "enabled")?,
        created_time: row
            .filled("created_time")
            .map(str::parse)
            .transpose()
            .map_err(|reason: String| row.bad("created_time", reason))?,
        annotations: row.raw("annotations").to_owned(),
        on_call_availability: availability(row)?,
        language: filled("language"),
        time_zone: filled("time_zone"),
        email: filled("email"),
        sms_number: filled("sms_number"),
        numbers: list(row, "numbers")?,
        tags: split(row.cell("tags")),
        groups: split(row.cell("groups")),
        tell_when_over: truth(row, "tell_when_over")?,
        tell_shifts: truth(row, "tell_shifts")?,
    };
    if contact.name.is_empty() {
        return Err(row.bad("name", "a contact needs a name"));
    }
    if contact.phone_number.is_none() && contact.numbers.is_empty() {
        return Err(row.bad("phone_number", "a contact needs a number"));
    }
    Ok(contact)
}

fn truth(row: &Row, column: &str) -> Result<Option<bool>, BadRow> {
    match row.cell(column).to_ascii_lowercase().as_str() {
        "" => Ok(None),
        "true" | "t" | "yes" | "1" => Ok(Some(true)),
        "false" | "f" | "no" | "0" => Ok(Some(false)),
        other => Err(row.bad(column, format!("{other:?} is neither true nor false"))),
    }
}

/// A cell that holds a list in JSON.
fn list<'r, T: Deserialize<'r>>(row: &'r Row, column: &str) -> Result<Vec<T>, BadRow> {
    // An empty list by the names it has in the languages such files come from.
    let cell = row.filled(column).filter(|cell| !["null", "None", "NULL"].contains(cell));
    let parsed = cell.map_or_else(|| Ok(Vec::new()), serde_json::from_str);
    parsed.map_err(|error| row.bad(column, format!("not the JSON list that should stand here: {error}")))
}

fn availability(row: &Row) -> Result<Vec<Availability>, BadRow> {
    const COLUMN: &str = "on_call_availability";
    let cells: Vec<AvailabilityCell> = list(row, COLUMN)?;
    let windows = cells.iter().map(|cell| {
        let (start_at, end_at) = (cell.start_at.parse()?, cell.end_at.parse()?);
        check_span(start_at, end_at)?;
        Ok(Availability { start_at, end_at, priority: cell.priority })
    });
    windows.collect::<Result<_, String>>().map_err(|reason| row.bad(COLUMN, reason))
}

/// What ends has to begin first, as far as that can be told.
pub(super) fn check_span(start: LocalOrInstant, end: LocalOrInstant) -> Result<(), String> {
    match start.is_before(end) {
        Some(false) => Err(format!("it ends ({end}) before it begins ({start})")),
        _ => Ok(()),
    }
}

/// The names in a cell, without the blanks around them; empty ones count for nothing.
fn split(cell: &str) -> Vec<String> {
    let (mut names, mut name) = (Vec::new(), String::new());
    let mut chars = cell.chars();
    while let Some(c) = chars.next() {
        match c {
            ';' => names.push(std::mem::take(&mut name)),
            '\\' => name.push(chars.next().unwrap_or(c)),
            c => name.push(c),
        }
    }
    names.push(name);
    names.iter().map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn join(names: &[String]) -> String {
    let escaped = names.iter().map(|name| name.replace('\\', "\\\\").replace(';', "\\;"));
    escaped.collect::<Vec<_>>().join(";")
}

/// Writes the header and all rows; see [`write_header`] and [`write_row`] to do it piece by piece.
pub fn write<'a>(rows: impl IntoIterator<Item = &'a ContactRow>) -> Vec<u8> {
    let mut out = Vec::new();
    write_header(&mut out);
    for row in rows {
        write_row(&mut out, row);
    }
    out
}

/// Appends the header.
pub fn write_header(out: &mut Vec<u8>) {
    write_line(out, COLUMNS.map(Cow::Borrowed));
}

/// Appends a row.
pub fn write_row(out: &mut Vec<u8>, row: &ContactRow) {
    let text = |text: &'_ Option<String>| Cow::Owned(text.clone().unwrap_or_default());
    let truth = |value: Option<bool>| Cow::Borrowed(value.map_or("", |value| if value { "true" } else { "false" }));
    let windows: Vec<_> = row
        .on_call_availability
        .iter()
        .map(|window| AvailabilityCell {
            start_at: window.start_at.to_string().into(),
            end_at: window.end_at.to_string().into(),
            priority: window.priority,
        })
        .collect();
    write_line(
        out,
        [
            text(&row.id),
            row.name.as_str().into(),
            row.surname.as_str().into(),
            row.address.as_str().into(),
            row.zip_code.as_str().into(),
            row.city.as_str().into(),
            row.state.as_str().into(),
            row.country.as_str().into(),
            text(&row.phone_number),
            truth(row.enabled),
            row.created_time.map(|at| at.to_string()).unwrap_or_default().into(),
            row.annotations.as_str().into(),
            json(&windows),
            text(&row.language),
            text(&row.time_zone),
            text(&row.email),
            text(&row.sms_number),
            json(&row.numbers),
            join(&row.tags).into(),
            join(&row.groups).into(),
            truth(row.tell_when_over),
            truth(row.tell_shifts),
        ],
    );
}

/// Lists of texts and numbers always have a JSON form.
fn json<T: Serialize>(list: &[T]) -> Cow<'static, str> {
    if list.is_empty() { Cow::Borrowed("") } else { Cow::Owned(serde_json::to_string(list).unwrap_or_default()) }
}
