//! One-off windows of duty as a table: the predecessor's calendar file.

use std::borrow::Cow;

use super::{
    contacts::check_span,
    csv::{BadRow, HeaderError, Row, Table, write_line},
    time::LocalOrInstant,
};

/// The columns, in the order in which they are written.
pub const COLUMNS: [&str; 6] = ["id", "name", "surname", "start_at", "end_at", "priority"];

/// A row of the table: who is on duty, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowRow {
    /// The contact's identifier; who that is, the caller knows.
    pub id: Option<String>,
    /// The contact's name.
    pub name: String,
    /// The contact's surname.
    pub surname: String,
    /// From when.
    pub start_at: LocalOrInstant,
    /// Until when.
    pub end_at: LocalOrInstant,
    /// The lowest goes first.
    pub priority: i64,
}

/// Reads windows, row by row, each with the line on which it begins.
///
/// # Errors
/// If the header does not fit; a row that does not is an item of the iterator.
pub fn read(text: &str) -> Result<Reader<'_>, HeaderError> {
    let table = Table::new(text, &COLUMNS)?;
    for column in ["start_at", "end_at", "priority"] {
        if !table.has(column) {
            return Err(HeaderError::Missing(column));
        }
    }
    if !table.has("id") && !table.has("name") {
        return Err(HeaderError::Missing("id"));
    }
    Ok(Reader(table))
}

/// See [`read`].
pub struct Reader<'a>(Table<'a>);

impl Iterator for Reader<'_> {
    type Item = Result<(u64, WindowRow), BadRow>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next_row()?.and_then(|row| Ok((row.line, window(&row)?))))
    }
}

fn window(row: &Row) -> Result<WindowRow, BadRow> {
    let time = |column| row.cell(column).parse::<LocalOrInstant>().map_err(|reason| row.bad(column, reason));
    let (start_at, end_at) = (time("start_at")?, time("end_at")?);
    check_span(start_at, end_at).map_err(|reason| row.bad("end_at", reason))?;
    let priority = row.cell("priority");
    let window = WindowRow {
        id: row.filled("id").map(str::to_owned),
        name: row.cell("name").to_owned(),
        surname: row.cell("surname").to_owned(),
        start_at,
        end_at,
        priority: priority.parse().map_err(|_| row.bad("priority", format!("{priority:?} is no whole number")))?,
    };
    if window.id.is_none() && window.name.is_empty() {
        return Err(row.bad("id", "a window needs somebody: an id or a name"));
    }
    Ok(window)
}

/// Writes the header and all rows.
pub fn write<'a>(rows: impl IntoIterator<Item = &'a WindowRow>) -> Vec<u8> {
    let mut out = Vec::new();
    write_line(&mut out, COLUMNS.map(Cow::Borrowed));
    for row in rows {
        write_line(
            &mut out,
            [
                Cow::Borrowed(row.id.as_deref().unwrap_or_default()),
                row.name.as_str().into(),
                row.surname.as_str().into(),
                row.start_at.to_string().into(),
                row.end_at.to_string().into(),
                row.priority.to_string().into(),
            ],
        );
    }
    out
}
