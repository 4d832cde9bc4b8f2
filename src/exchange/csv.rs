//! Tables as comma or semicolon separated values: decoding, rows with limits, formula cells.

use std::borrow::Cow;

use csv::{Reader, ReaderBuilder, StringRecord, Terminator, WriterBuilder};
use thiserror::Error;

/// The most columns a table may have.
pub const MOST_COLUMNS: usize = 100;
/// The longest cell, in bytes.
pub const LONGEST_CELL: usize = 64 * 1024;
/// The most rows, besides the header.
pub const MOST_ROWS: usize = 100_000;

/// A row, or a cell of one, that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}{}: {reason}", .column.as_ref().map(|column| format!(", column {column}")).unwrap_or_default())]
pub struct BadRow {
    /// The line of the file on which the row begins, from 1.
    pub line: u64,
    /// The column, if it is one cell.
    pub column: Option<String>,
    /// What is wrong, in words.
    pub reason: String,
}

/// Bytes that are no text that can be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotText {
    /// A byte sequence that UTF-8 does not have.
    #[error("line {0} is not UTF-8: save it as UTF-8, or send charset=iso-8859-1")]
    NotUtf8(u64),
    /// A file saved as "Unicode".
    #[error("the file is UTF-16: save it as UTF-8")]
    Utf16,
    /// A character set that is not known here.
    #[error("charset {0:?} is not known: save it as UTF-8, or send charset=iso-8859-1 or windows-1252")]
    Charset(String),
}

/// A header that fits no table of ours.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// There is nothing.
    #[error("the file is empty: the first line must name the columns")]
    Empty,
    /// More than [`MOST_COLUMNS`].
    #[error("the header has {0} columns; {MOST_COLUMNS} are the most")]
    TooMany(usize),
    /// Columns that no table of this kind has.
    #[error("unknown columns: {}; known are: {}", .unknown.join(", "), .known.join(", "))]
    Unknown {
        /// Those found.
        unknown: Vec<String>,
        /// Those there may be.
        known: &'static [&'static str],
    },
    /// A column twice.
    #[error("column {0} stands there twice")]
    Twice(String),
    /// What cannot be done without.
    #[error("column {0} is missing")]
    Missing(&'static str),
}

/// What the code points 0x80 to 0x9F are in windows-1252, as the WHATWG's encoding standard has it: those
/// that it leaves free are control characters, as in ISO 8859-1.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’',
    '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The text of a file, without a byte order mark. Without a charset it is UTF-8. As in browsers,
/// `iso-8859-1` and its names mean windows-1252, which differs only where no text has anything.
///
/// # Errors
/// If it is not in that charset, or the charset is not known.
pub fn decode<'a>(bytes: &'a [u8], charset: Option<&str>) -> Result<Cow<'a, str>, NotText> {
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(NotText::Utf16);
    }
    let charset = charset.map(|charset| charset.trim().trim_matches('"').to_ascii_lowercase());
    match charset.as_deref() {
        None | Some("" | "utf-8" | "utf8" | "us-ascii") => {
            let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
            std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|error| {
                let before = &bytes[..error.valid_up_to()];
                NotText::NotUtf8(1 + count(b'\n', before))
            })
        }
        Some("iso-8859-1" | "iso8859-1" | "latin1" | "latin-1" | "windows-1252" | "cp1252") => {
            let decoded = bytes.iter().map(|&byte| match byte {
                0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
                byte => char::from(byte),
            });
            Ok(Cow::Owned(decoded.collect()))
        }
        Some(other) => Err(NotText::Charset(other.to_owned())),
    }
}

fn count(what: u8, bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte == what)).sum()
}

/// Characters with which a spreadsheet takes a cell for a formula.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

fn looks_like_formula(cell: &str) -> bool {
    cell.trim_start_matches('\'').starts_with(FORMULA)
}

/// A cell that no spreadsheet executes: one that looks like a formula gets a quote in front. A phone
/// number, `+` and digits, stays as it is. [`restore`] is the exact inverse.
#[must_use]
pub fn defuse(cell: &str) -> Cow<'_, str> {
    let digits = cell.strip_prefix('+').unwrap_or_default();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Those that have such a quote already get one more, or it could not be told whose the quote is.
    if looks_like_formula(cell) && !is_number { Cow::Owned(format!("'{cell}")) } else { Cow::Borrowed(cell) }
}

/// The cell that [`defuse`] made this from.
#[must_use]
pub fn restore(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|_| looks_like_formula(cell)).unwrap_or(cell)
}

/// A table, row by row.
pub(super) struct Table<'a> {
    text: &'a str,
    reader: Reader<&'a [u8]>,
    columns: Vec<String>,
    rows: usize,
    /// How far lines are counted: the byte, and the line it stands on.
    counted: (usize, u64),
}

/// A row of a table.
pub(super) struct Row<'a> {
    /// The line on which it begins.
    pub line: u64,
    columns: &'a [String],
    cells: StringRecord,
}

impl<'a> Table<'a> {
    /// Reads the header. Columns may stand in any order and may be missing, but all have to be known.
    pub(super) fn new(text: &'a str, known: &'static [&'static str]) -> Result<Self, HeaderError> {
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .has_headers(false)
            .delimiter(delimiter(text))
            .from_reader(text.as_bytes());
        let mut header = StringRecord::new();
        // Reading from memory that is UTF-8 with any number of cells cannot fail: this and no more is an end.
        if !reader.read_record(&mut header).unwrap_or(false) {
            return Err(HeaderError::Empty);
        }
        if header.len() > MOST_COLUMNS {
            return Err(HeaderError::TooMany(header.len()));
        }
        let columns: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
        // A nameless column is no harm as long as nothing stands in it.
        let named = || columns.iter().filter(|name| !name.is_empty());
        let unknown: Vec<String> = named().filter(|name| !known.contains(&name.as_str())).cloned().collect();
        if !unknown.is_empty() {
            return Err(HeaderError::Unknown { unknown, known });
        }
        if let Some(twice) = named().find(|name| named().filter(|other| other == name).count() > 1) {
            return Err(HeaderError::Twice(twice.clone()));
        }
        Ok(Self { text, reader, columns, rows: 0, counted: (0, 1) })
    }

    /// Whether the header has a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.columns.iter().any(|name| name == column)
    }

    /// The next row that is not empty.
    pub(super) fn next_row(&mut self) -> Option<Result<Row<'_>, BadRow>> {
        let mut cells = StringRecord::new();
        let (begin, line) = loop {
            let begin = self.position();
            if self.rows > MOST_ROWS || !self.reader.read_record(&mut cells).unwrap_or(false) {
                return None;
            }
            if cells.iter().any(|cell| !cell.trim().is_empty()) {
                break (begin, self.line_at(begin));
            }
        };
        self.rows += 1;
        if self.rows > MOST_ROWS {
            let reason = format!("the file has more than {MOST_ROWS} rows; this one and those behind it are left out");
            return Some(Err(BadRow { line, column: None, reason }));
        }
        Some(match self.refusal(begin, &cells) {
            Some((column, reason)) => Err(BadRow { line, column, reason }),
            None => Ok(Row { line, columns: &self.columns, cells }),
        })
    }

    /// Why a row cannot be taken, whatever it means.
    fn refusal(&self, begin: usize, cells: &StringRecord) -> Option<(Option<String>, String)> {
        let name = |at: usize| match self.columns.get(at) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => (at + 1).to_string(),
        };
        // A quote that is never closed takes all that follows into its cell.
        let end = self.position();
        if end == self.text.len()
            && count(b'"', &self.text.as_bytes()[begin..end]) % 2 == 1
            && let Some(at) = cells.iter().position(|cell| cell.contains('\n'))
        {
            return Some((Some(name(at)), "the quote that opens this cell is never closed".to_owned()));
        }
        for (at, cell) in cells.iter().enumerate() {
            if cell.len() > LONGEST_CELL {
                let reason = format!("{} bytes are more than the {LONGEST_CELL} a cell may have", cell.len());
                return Some((Some(name(at)), reason));
            }
            if self.columns.get(at).is_none_or(String::is_empty) && !cell.trim().is_empty() {
                return Some((Some(name(at)), "the header has no name for this cell's column".to_owned()));
            }
        }
        None
    }

    fn position(&self) -> usize {
        usize::try_from(self.reader.position().byte()).unwrap_or(usize::MAX).min(self.text.len())
    }

    /// The line of what begins at or, after line ends, behind a byte. Asked for rising bytes only.
    fn line_at(&mut self, byte: usize) -> u64 {
        let bytes = self.text.as_bytes();
        let blank = bytes[byte..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let (from, line) = self.counted;
        let to = (byte + blank).max(from);
        self.counted = (to, line + count(b'\n', &bytes[from..to]));
        self.counted.1
    }
}

/// Whether the header's names are parted by commas or semicolons.
fn delimiter(text: &str) -> u8 {
    let (mut commas, mut semicolons, mut quoted) = (0, 0, false);
    for byte in text.trim_start().bytes() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => break,
            b',' if !quoted => commas += 1,
            b';' if !quoted => semicolons += 1,
            _ => {}
        }
    }
    if semicolons > commas { b';' } else { b',' }
}

impl Row<'_> {
    /// A cell as it was before it was defused; empty if the column is missing or the row is too short.
    pub(super) fn raw(&self, column: &str) -> &str {
        let at = self.columns.iter().position(|name| name == column);
        restore(at.and_then(|at| self.cells.get(at)).unwrap_or_default())
    }

    /// A cell without the blanks around it.
    pub(super) fn cell(&self, column: &str) -> &str {
        self.raw(column).trim()
    }

    /// The same, none if it is empty.
    pub(super) fn filled(&self, column: &str) -> Option<&str> {
        Some(self.cell(column)).filter(|cell| !cell.is_empty())
    }

    pub(super) fn bad(&self, column: &str, reason: impl Into<String>) -> BadRow {
        BadRow { line: self.line, column: Some(column.to_owned()), reason: reason.into() }
    }
}

/// Appends one line, its cells defused and quoted where needed.
pub(super) fn write_line<'a>(out: &mut Vec<u8>, cells: impl IntoIterator<Item = Cow<'a, str>>) {
    let mut writer = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(out);
    // Writing to memory cannot fail.
    let _ = writer.write_record(cells.into_iter().map(|cell| defuse(&cell).into_owned()));
}
