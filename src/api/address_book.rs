//! The address book as files: tables in and out, contact cards.

mod export;
mod rows;

use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsContacts, ReadsContacts},
    country,
    error::Problem,
    file::{Cards, Csv, Table},
};
use crate::{
    bus::Bell,
    exchange::{
        LocalOrInstant,
        contacts::{self, ContactRow},
        csv::{self, BadRow},
        vcard, windows,
    },
    id::ContactId,
    store::{ImportOptions, ImportReport, ImportRow, Imported, OncallWindow},
    wallclock::Zone,
};

/// Rows that are handed on at once. Each such batch is a transaction, unless all or nothing is wanted.
const BATCH: usize = 500;

/// Files of the address book.
pub struct AddressBook(pub State);

/// What became of a file.
#[derive(Debug, Object)]
#[oai(rename = "ImportReport")]
pub(super) struct Report {
    /// What was not there before.
    created: u64,
    /// What was there and is different now.
    updated: u64,
    /// What was there and is as it was.
    unchanged: u64,
    /// How many rows cannot be taken.
    bad_rows: u64,
    /// The first thousand of those.
    bad: Vec<Bad>,
    /// Whether this was only tried.
    dry_run: bool,
    /// Whether what is created and updated was kept: not if it was only tried, nor if it was to be all or
    /// nothing and a row is bad.
    kept: bool,
}

/// A row that cannot be taken.
#[derive(Debug, Object)]
#[oai(rename = "BadRow")]
struct Bad {
    /// The line of the file on which it begins, from 1.
    line: u64,
    /// The column, if it is one cell.
    #[oai(skip_serializing_if_is_none)]
    column: Option<String>,
    /// What is wrong with it.
    reason: String,
}

#[OpenApi(tag = "Tag::AddressBook")]
impl AddressBook {
    /// Import contacts from a table
    ///
    /// The first line names the columns; those that the file does not have it says nothing about. A row
    /// whose `id` is known, or else whose names and any number are, changes that contact; others are new.
    /// Rows that cannot be taken are named in the report, and the good ones around them are kept, unless it
    /// is `atomic`. The same file imported twice changes nothing the second time.
    #[oai(path = "/api/v2/contacts/import", method = "post", operation_id = "import_contacts")]
    async fn import_contacts(
        &self,
        caller: EditsContacts,
        /// Only say what would happen.
        #[oai(default)]
        dry_run: Query<bool>,
        /// Keep nothing if any row is bad. Alerts wait until it is done.
        #[oai(default)]
        atomic: Query<bool>,
        /// By whose clocks the file's local times go, and the time zone of new contacts (an IANA name). The zone
        /// of the schedule `oncall` goes first; if it is left out, that of the configured country, or UTC.
        #[oai(validator(max_length = 64))]
        time_zone: Query<Option<String>>,
        table: Table,
    ) -> Result<Json<Report>, Problem> {
        imported(&self.0, &caller.0, table, self.options(dry_run.0, atomic.0, time_zone.0)?).await
    }

    /// Export all contacts as a table
    ///
    /// What is exported can be imported. Cells that a spreadsheet would execute have a quote in front.
    #[oai(path = "/api/v2/contacts/export", method = "get", operation_id = "export_contacts")]
    async fn export_contacts(&self, _caller: ReadsContacts) -> Result<Csv, Problem> {
        exported(&self.0).await
    }

    /// One contact as a card for a phone's address book (vCard 3.0)
    #[oai(path = "/api/v2/contacts/:id/vcard", method = "get", operation_id = "get_contact_card")]
    async fn card(&self, _caller: ReadsContacts, id: Path<Uuid>) -> Result<Cards, Problem> {
        let contact = self.0.store.contact(ContactId(id.0)).await?.ok_or_else(|| Problem::not_found("contact"))?;
        Ok(Cards { body: vcard::write([&export::card(&contact)]).into(), name: "contact.vcf" })
    }

    /// All contacts as cards
    #[oai(path = "/api/v2/contacts.vcf", method = "get", operation_id = "get_contact_cards")]
    async fn cards(&self, _caller: ReadsContacts) -> Result<Cards, Problem> {
        let body = export::pages(&self.0, Vec::new(), export::Form::Cards).await?;
        Ok(Cards { body, name: "contacts.vcf" })
    }

    /// The number that ringdown calls from, as a card
    ///
    /// Whoever imports it sees who calls, and can let it through while their phone is silent.
    #[oai(path = "/api/v2/caller-id.vcf", method = "get", operation_id = "get_caller_id_card")]
    async fn caller_id(&self, _caller: ReadsContacts) -> Result<Cards, Problem> {
        let number = self.0.caller_id.as_deref().ok_or_else(|| Problem::not_found("caller ID (asterisk.caller_id)"))?;
        Ok(Cards { body: vcard::write([&export::our_card(number)]).into(), name: "ringdown.vcf" })
    }

    /// Import windows of duty from a table
    ///
    /// Columns are `id` or `name` and `surname`, `start_at`, `end_at`, `priority`. They are added to the
    /// schedule `oncall`, which is made if it is not there; windows that are there already stay as they are.
    #[oai(path = "/api/v2/oncall/windows/import", method = "post", operation_id = "import_oncall_windows")]
    async fn import_windows(
        &self,
        caller: EditsContacts,
        /// Only say what would happen.
        #[oai(default)]
        dry_run: Query<bool>,
        /// Keep nothing if any row is bad. Alerts wait until it is done.
        #[oai(default)]
        atomic: Query<bool>,
        /// By whose clocks the file's local times go, if the schedule `oncall` is not there yet (an IANA name).
        #[oai(validator(max_length = 64))]
        time_zone: Query<Option<String>>,
        table: Table,
    ) -> Result<Json<Report>, Problem> {
        let options = self.options(dry_run.0, atomic.0, time_zone.0)?;
        let rows = read(table, |text, out| {
            let reader = windows::read(text).map_err(|error| error.to_string())?;
            out.take(reader.map(|row| row.map(|(line, row)| rows::window(line, row))));
            Ok(())
        });
        let report = self.0.by(&caller.0).import_windows(rows.await?, options, self.0.clock.now()).await?;
        Ok(reported(&self.0, report, options))
    }

    /// Export the windows of duty of the schedule `oncall` as a table
    #[oai(path = "/api/v2/oncall/windows/export", method = "get", operation_id = "export_oncall_windows")]
    async fn export_windows(&self, _caller: ReadsContacts) -> Result<Csv, Problem> {
        let windows = self.0.store.oncall_windows(None).await?;
        let rows: Vec<windows::WindowRow> = windows.into_iter().map(row).collect();
        Ok(Csv { body: windows::write(&rows).into(), name: "oncall-windows.csv" })
    }
}

fn row(window: OncallWindow) -> windows::WindowRow {
    windows::WindowRow {
        id: Some(window.contact.to_string()),
        name: window.name,
        surname: window.surname,
        start_at: LocalOrInstant::Instant(window.from),
        end_at: LocalOrInstant::Instant(window.until),
        priority: window.priority.into(),
    }
}

impl AddressBook {
    fn options(&self, dry_run: bool, atomic: bool, zone: Option<String>) -> Result<ImportOptions, Problem> {
        let zone = zone.filter(|zone| !zone.is_empty()).map(|zone| zone.parse::<Zone>()).transpose();
        let zone = zone.map_err(|error| Problem::unprocessable(format!("time_zone: {error}")))?;
        let zone = zone.unwrap_or_else(|| country::zone(self.0.plan.country()));
        Ok(ImportOptions { dry_run, atomic, zone })
    }
}

/// Takes a table of contacts in.
pub(super) async fn imported(
    state: &State,
    caller: &Caller,
    table: Table,
    options: ImportOptions,
) -> Result<Json<Report>, Problem> {
    let reading = state.clone();
    let rows = read(table, move |text, out| {
        let reader = contacts::read(text).map_err(|error| error.to_string())?;
        let columns = rows::Columns::of(&reader);
        out.take(reader.map(|row| row.and_then(|(line, row)| rows::contact(&reading, &columns, line, row))));
        Ok(())
    });
    let report = state.by(caller).import_contacts(rows.await?, options, state.clock.now()).await?;
    Ok(reported(state, report, options))
}

/// All contacts as a table.
pub(super) async fn exported(state: &State) -> Result<Csv, Problem> {
    let mut header = Vec::new();
    contacts::write_header(&mut header);
    let body = export::pages(state, header, export::Form::Table).await?;
    Ok(Csv { body, name: "contacts.csv" })
}

/// One row, as the store takes it; what stands in no column of `columns`, it says nothing about.
pub(super) fn row_of(state: &State, columns: Vec<&'static str>, row: ContactRow) -> Result<ImportRow, Problem> {
    rows::contact(state, &rows::Columns::named(columns), 1, row)
        .map_err(|bad| Problem::unprocessable(format!("{}: {}", bad.column.unwrap_or_default(), bad.reason)))
}

fn reported(state: &State, report: ImportReport, options: ImportOptions) -> Json<Report> {
    if report.kept {
        // Somebody else may be on duty now.
        state.bus.ring(Bell::Engine);
    }
    let bad = |BadRow { line, column, reason }| Bad { line, column, reason };
    Json(Report {
        created: report.created,
        updated: report.updated,
        unchanged: report.unchanged,
        bad_rows: report.bad,
        bad: report.told.into_iter().map(bad).collect(),
        dry_run: options.dry_run,
        kept: report.kept,
    })
}

/// Where rows go, some at a time.
struct Out<T> {
    rows: mpsc::Sender<Vec<Result<T, BadRow>>>,
    opened: Option<oneshot::Sender<Result<(), String>>>,
}

impl<T> Out<T> {
    /// Hands on all rows, and that this is all. Stops if nobody wants them any more.
    fn take(&mut self, rows: impl Iterator<Item = Result<T, BadRow>>) {
        if let Some(opened) = self.opened.take() {
            drop(opened.send(Ok(())));
        }
        let mut batch = Vec::with_capacity(BATCH);
        for row in rows {
            batch.push(row);
            if batch.len() == BATCH {
                let full = std::mem::replace(&mut batch, Vec::with_capacity(BATCH));
                if self.rows.blocking_send(full).is_err() {
                    return;
                }
            }
        }
        if !batch.is_empty() && self.rows.blocking_send(batch).is_err() {
            return;
        }
        // An empty batch is the end.
        drop(self.rows.blocking_send(Vec::new()));
    }
}

/// Reads a table away from the tasks that answer requests, as fast as its rows are taken.
async fn read<T: Send + 'static>(
    table: Table,
    read: impl FnOnce(&str, &mut Out<T>) -> Result<(), String> + Send + 'static,
) -> Result<Imported<T>, Problem> {
    let (send, rows) = mpsc::channel(1);
    let (opened, is_open) = oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let mut out = Out { rows: send, opened: Some(opened) };
        let done = csv::decode(&table.bytes, table.charset.as_deref()).map_err(|error| error.to_string());
        let done = done.and_then(|text| read(&text, &mut out));
        if let (Err(reason), Some(opened)) = (done, out.opened.take()) {
            drop(opened.send(Err(reason)));
        }
    });
    match is_open.await {
        Ok(Ok(())) => Ok(rows),
        Ok(Err(reason)) => Err(Problem::malformed(reason)),
        Err(_) => Err(Problem::malformed("the table cannot be read")),
    }
}
