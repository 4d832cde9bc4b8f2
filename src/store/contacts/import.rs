//! Imports: rows of a file, some at a time, become contacts.
//!
//! Nothing here holds a whole file. Rows come through a channel, a few hundred at a time; each such batch
//! is planned with a handful of queries and written with a handful of statements, in a transaction of its
//! own unless all or nothing is wanted.

mod plan;
mod write;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, SubsecRound, Utc};
use sea_orm::ConnectionTrait;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{ContactData, ContactNumber};
use crate::store::writer::Tx;
use crate::{
    exchange::{LocalOrInstant, contacts::Availability, csv::BadRow},
    id::ContactId,
    phone::PhoneNumber,
    store::{
        Author, Edit, Error,
        audit::{self, Subject},
    },
    wallclock::Zone,
};

/// Rows of a file, a few hundred at a time, in its order. An empty batch ends it: a channel that is closed
/// before is a file that broke off.
pub type Imported<T> = mpsc::Receiver<Vec<Result<T, BadRow>>>;

/// The most bad rows that are told one by one.
const TOLD: usize = 1000;

/// How an import is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Nothing is written: the report says what would be.
    pub dry_run: bool,
    /// Nothing is kept if any row is bad. Every other write waits until it is done.
    pub atomic: bool,
    /// Whose clocks show the local times of the file, if the schedule does not exist yet.
    pub zone: Zone,
}

/// What became of the rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// What was not there before.
    pub created: u64,
    /// What was there and is different now.
    pub updated: u64,
    /// What was there and is as it was.
    pub unchanged: u64,
    /// How many rows could not be taken.
    pub bad: u64,
    /// The first thousand of those.
    pub told: Vec<BadRow>,
    /// Whether what is created and updated was kept.
    pub kept: bool,
}

impl ImportReport {
    pub(super) fn refuse(&mut self, row: BadRow) {
        self.bad += 1;
        if self.told.len() < TOLD {
            self.told.push(row);
        }
    }
}

/// A row of a table of contacts. `None` is what the file says nothing about: what is there stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "most fields are those of a contact")]
pub struct ImportRow {
    /// The line of the file on which it begins.
    pub line: u64,
    /// The contact that is meant, if the file has our identifiers.
    pub id: Option<ContactId>,
    pub name: String,
    pub surname: Option<String>,
    /// Of a contact that is new here.
    pub created_at: Option<LocalOrInstant>,
    /// The number that is tried first.
    pub first_number: Option<PhoneNumber>,
    /// All the others.
    pub numbers: Option<Vec<ContactNumber>>,
    pub sms_number: Option<Option<PhoneNumber>>,
    pub email: Option<String>,
    pub language: Option<String>,
    pub time_zone: Option<String>,
    pub address: Option<String>,
    pub zip_code: Option<String>,
    pub city: Option<String>,
    pub state: Option<String>,
    pub country: Option<String>,
    pub annotations: Option<String>,
    pub tags: Option<Vec<String>>,
    pub enabled: Option<bool>,
    pub tell_when_over: Option<bool>,
    pub tell_shifts: Option<bool>,
    /// The groups they are in, and no others; those that there are not are made.
    pub groups: Option<Vec<String>>,
    /// Their windows of duty, and no others.
    pub windows: Option<Vec<Availability>>,
}

impl ImportRow {
    /// Every number in it.
    fn all_numbers(&self) -> impl Iterator<Item = &PhoneNumber> {
        let others = self.numbers.iter().flatten().map(|number| &number.number);
        self.first_number.iter().chain(others)
    }

    /// Writes what the row says over what there is.
    pub fn apply(&self, data: &mut ContactData) {
        fn set<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        data.name.clone_from(&self.name);
        set(&mut data.surname, self.surname.as_ref());
        set(&mut data.sms_number, self.sms_number.as_ref());
        set(&mut data.email, self.email.as_ref());
        set(&mut data.language, self.language.as_ref());
        set(&mut data.time_zone, self.time_zone.as_ref());
        set(&mut data.address, self.address.as_ref());
        set(&mut data.zip_code, self.zip_code.as_ref());
        set(&mut data.city, self.city.as_ref());
        set(&mut data.state, self.state.as_ref());
        set(&mut data.country, self.country.as_ref());
        set(&mut data.annotations, self.annotations.as_ref());
        set(&mut data.tags, self.tags.as_ref());
        set(&mut data.enabled, self.enabled.as_ref());
        set(&mut data.tell_when_over, self.tell_when_over.as_ref());
        set(&mut data.tell_shifts, self.tell_shifts.as_ref());
        self.apply_numbers(&mut data.numbers);
    }

    /// A file that knows one number of each contact says nothing about the others.
    fn apply_numbers(&self, numbers: &mut Vec<ContactNumber>) {
        match (&self.numbers, &self.first_number) {
            (Some(all), first) => {
                let first = first.iter().filter(|first| all.iter().all(|number| number.number != **first));
                *numbers = first.cloned().map(ContactNumber::from).chain(all.iter().cloned()).collect();
            }
            (None, Some(first)) if numbers.iter().all(|number| number.number != *first) => match numbers.first_mut() {
                Some(there) => there.number = first.clone(),
                None => numbers.push(first.clone().into()),
            },
            (None, _) => {}
        }
    }
}

/// What decides about rows and writes what it has decided.
pub(super) trait Importer: Sized + Send + 'static {
    type Row: Send + 'static;
    type Plan: Send;

    /// Decides what becomes of some rows, counting what it decides.
    fn plan(
        &mut self,
        database: &impl ConnectionTrait,
        rows: Vec<Result<Self::Row, BadRow>>,
    ) -> impl Future<Output = Result<Self::Plan, Error>> + Send;

    /// What its lines in the audit log are about.
    const SUBJECT: Subject;

    /// Makes it true.
    fn write(&mut self, tx: &Tx, plan: Self::Plan) -> impl Future<Output = Result<(), Error>> + Send;

    fn report(&self) -> &ImportReport;
}

impl Edit {
    /// Takes contacts in: those that are known by their identifier, else by one of their numbers and their
    /// names, are changed, the others are made.
    ///
    /// # Errors
    /// If the database does not take it, or the file breaks off. Batches before that are kept, unless it is
    /// atomic: the same file can be imported again.
    pub async fn import_contacts(
        &self,
        rows: Imported<ImportRow>,
        options: ImportOptions,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, Error> {
        let now = now.trunc_subsecs(6);
        let contacts = Contacts {
            now,
            zone: options.zone,
            schedule: None,
            lines: HashMap::new(),
            made: HashMap::new(),
            report: ImportReport::default(),
        };
        self.import(contacts, rows, options).await
    }

    pub(super) async fn import<I: Importer>(
        &self,
        mut importer: I,
        mut rows: Imported<I::Row>,
        options: ImportOptions,
    ) -> Result<ImportReport, Error> {
        if options.atomic && !options.dry_run {
            return self.import_all_or_nothing(importer, rows).await;
        }
        while let Some(batch) = next(&mut rows).await? {
            importer = if options.dry_run {
                importer.plan(&self.read, batch).await?;
                importer
            } else {
                let author = self.author();
                self.write(move |tx| {
                    Box::pin(async move {
                        let before = (importer.report().created, importer.report().updated);
                        let plan = importer.plan(tx, batch).await?;
                        importer.write(tx, plan).await?;
                        note(tx, &author, I::SUBJECT, importer.report(), before).await?;
                        Ok(importer)
                    })
                })
                .await?
            };
        }
        let report = importer.report().clone();
        let kept = !options.dry_run && report.created + report.updated > 0;
        Ok(ImportReport { kept, ..report })
    }

    async fn import_all_or_nothing<I: Importer>(
        &self,
        mut importer: I,
        mut rows: Imported<I::Row>,
    ) -> Result<ImportReport, Error> {
        // What is undone gives nothing back, so the report of it goes round the outside.
        let undone = Arc::new(Mutex::new(None));
        let author = self.author();
        let slot = Arc::clone(&undone);
        let done = self.write(move |tx| {
            Box::pin(async move {
                while let Some(batch) = next(&mut rows).await? {
                    let plan = importer.plan(tx, batch).await?;
                    importer.write(tx, plan).await?;
                }
                let report = importer.report().clone();
                if report.bad > 0 {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
                    return Err(Error::Conflict);
                }
                note(tx, &author, I::SUBJECT, &report, (0, 0)).await?;
                let kept = report.created + report.updated > 0;
                Ok(ImportReport { kept, ..report })
            })
        });
        let done = done.await;
        let undone = undone.lock().unwrap_or_else(PoisonError::into_inner).take();
        undone.map_or(done, Ok)
    }
}

/// Writes down how many were made and changed since `before`.
async fn note(
    tx: &Tx,
    author: &Author,
    subject: Subject,
    report: &ImportReport,
    before: (u64, u64),
) -> Result<(), Error> {
    let (created, updated) = (report.created - before.0, report.updated - before.1);
    if created + updated == 0 {
        return Ok(());
    }
    let counts = serde_json::json!({ "created": created, "updated": updated });
    audit::append(tx, author, subject, None, Some(counts)).await
}

/// The next batch; none is the end.
async fn next<T>(rows: &mut Imported<T>) -> Result<Option<Vec<Result<T, BadRow>>>, Error> {
    let batch = rows.recv().await.ok_or_else(|| Error::Unavailable("the file broke off".into()))?;
    Ok(Some(batch).filter(|batch| !batch.is_empty()))
}

/// A point in time of a file, to the precision that both databases keep.
pub(super) fn instant(at: LocalOrInstant, zone: Zone) -> DateTime<Utc> {
    let at = match at {
        LocalOrInstant::Local(local) => zone.instant(local),
        LocalOrInstant::Instant(at) => at,
    };
    at.trunc_subsecs(6)
}

/// Takes contacts in.
struct Contacts {
    now: DateTime<Utc>,
    /// Of local times, until the schedule says another one.
    zone: Zone,
    /// The schedule that windows go to, once it is known.
    schedule: Option<Uuid>,
    /// On which line of the file a contact stands.
    lines: HashMap<Uuid, u64>,
    /// Who was made by this file, by a digest of a number and the names.
    made: HashMap<u64, Uuid>,
    report: ImportReport,
}
