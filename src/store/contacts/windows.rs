//! The windows of duty of the schedule `oncall`, as tables have them.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, SubsecRound, Utc};
use entity::{contact, schedule, schedule_window};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::{
    ContactData, ROWS,
    import::{ImportOptions, ImportReport, Imported, Importer, instant},
    insert_all,
};
use crate::store::writer::Tx;
use crate::{
    exchange::{LocalOrInstant, csv::BadRow},
    id::{ContactId, ScheduleId, WindowId},
    oncall::Schedule,
    store::{Edit, Error, Store, audit::Subject, schedules},
    wallclock::Zone,
};

/// The schedule that tables of contacts and of windows are about.
pub const ONCALL: &str = "oncall";

/// A window and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OncallWindow {
    /// Whose.
    pub contact: ContactId,
    /// Their name.
    pub name: String,
    /// Their surname.
    pub surname: String,
    /// When it begins.
    pub from: DateTime<Utc>,
    /// The first instant after it.
    pub until: DateTime<Utc>,
    /// The lower, the sooner.
    pub priority: i32,
}

/// A row of a table of windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowImport {
    /// The line of the file on which it begins.
    pub line: u64,
    /// Whose it is, if the file has our identifiers.
    pub id: Option<ContactId>,
    /// Their name, else.
    pub name: String,
    /// Their surname.
    pub surname: String,
    /// From when.
    pub start_at: LocalOrInstant,
    /// Until when.
    pub end_at: LocalOrInstant,
    /// The lower, the sooner.
    pub priority: i64,
}

impl Store {
    /// The windows of the schedule [`ONCALL`], those of these contacts if some are named, in order.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn oncall_windows(&self, of: Option<&[ContactId]>) -> Result<Vec<OncallWindow>, Error> {
        let Some((schedule, _)) = schedule(&self.read).await? else { return Ok(Vec::new()) };
        let mut query = schedule_window::Entity::find().filter(schedule_window::Column::ScheduleId.eq(schedule));
        if let Some(of) = of {
            query = query.filter(schedule_window::Column::ContactId.is_in(of.iter().map(|id| id.0)));
        }
        let rows = query
            .order_by_asc(schedule_window::Column::FromAt)
            .order_by_asc(schedule_window::Column::Priority)
            .order_by_asc(schedule_window::Column::Id)
            .all(&self.read)
            .await?;
        let ids: BTreeSet<Uuid> = rows.iter().map(|row| row.contact_id).collect();
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let mut names: HashMap<Uuid, (String, String)> = HashMap::new();
        for ids in ids.chunks(ROWS) {
            let ids = ids.iter().copied();
            let people = contact::Entity::find().filter(contact::Column::Id.is_in(ids)).all(&self.read).await?;
            names.extend(people.into_iter().map(|row| (row.id, (row.name, row.surname))));
        }
        let window = |row: schedule_window::Model| {
            let (name, surname) = names.get(&row.contact_id).cloned()?;
            Some(OncallWindow {
                contact: ContactId(row.contact_id),
                name,
                surname,
                from: row.from_at,
                until: row.until_at,
                priority: row.priority,
            })
        };
        Ok(rows.into_iter().filter_map(window).collect())
    }
}

impl Edit {
    /// Adds windows to the schedule [`ONCALL`], which is made if it is not there. One that is there already
    /// stays as it is.
    ///
    /// # Errors
    /// As [`Edit::import_contacts`].
    pub async fn import_windows(
        &self,
        rows: Imported<WindowImport>,
        options: ImportOptions,
        now: DateTime<Utc>,
    ) -> Result<ImportReport, Error> {
        let windows = Windows {
            now: now.trunc_subsecs(6),
            zone: options.zone,
            schedule: None,
            added: BTreeSet::new(),
            report: ImportReport::default(),
        };
        self.import(windows, rows, options).await
    }
}

/// A window of somebody.
type Window = (Uuid, DateTime<Utc>, DateTime<Utc>, i32);

/// Takes windows in.
struct Windows {
    now: DateTime<Utc>,
    zone: Zone,
    schedule: Option<Uuid>,
    /// By this file.
    added: BTreeSet<Window>,
    report: ImportReport,
}

/// Whom rows may mean.
struct People {
    ids: BTreeSet<Uuid>,
    /// By names in full, in lower case.
    named: HashMap<String, Vec<Uuid>>,
    windows: BTreeSet<Window>,
}

impl Importer for Windows {
    const SUBJECT: Subject = Subject::Windows;
    type Row = WindowImport;
    type Plan = Vec<Window>;

    async fn plan(
        &mut self,
        database: &impl ConnectionTrait,
        rows: Vec<Result<WindowImport, BadRow>>,
    ) -> Result<Vec<Window>, Error> {
        if self.schedule.is_none()
            && let Some((schedule, zone)) = schedule(database).await?
        {
            (self.schedule, self.zone) = (Some(schedule), zone);
        }
        let people = self.look_up(database, &rows).await?;
        let mut plan = Vec::new();
        for row in rows {
            match row.and_then(|row| self.window(&row, &people)) {
                Ok(window) if people.windows.contains(&window) || !self.added.insert(window) => {
                    self.report.unchanged += 1;
                }
                Ok(window) => {
                    self.report.created += 1;
                    plan.push(window);
                }
                Err(bad) => self.report.refuse(bad),
            }
        }
        Ok(plan)
    }

    async fn write(&mut self, tx: &Tx, plan: Vec<Window>) -> Result<(), Error> {
        if plan.is_empty() {
            return Ok(());
        }
        let schedule = match self.schedule {
            Some(schedule) => schedule,
            None => make_schedule(tx, self.zone, self.now).await?,
        };
        self.schedule = Some(schedule);
        let row = |(contact, from, until, priority)| schedule_window::ActiveModel {
            id: Set(WindowId::generate().0),
            schedule_id: Set(schedule),
            contact_id: Set(contact),
            from_at: Set(from),
            until_at: Set(until),
            priority: Set(priority),
        };
        insert_all(tx, plan.into_iter().map(row).collect()).await?;
        schedules::touch(tx, ScheduleId(schedule), self.now).await.map(drop)
    }

    fn report(&self) -> &ImportReport {
        &self.report
    }
}

impl Windows {
    async fn look_up(
        &self,
        database: &impl ConnectionTrait,
        rows: &[Result<WindowImport, BadRow>],
    ) -> Result<People, Error> {
        let rows = || rows.iter().flatten();
        let ids: BTreeSet<Uuid> = rows().filter_map(|row| Some(row.id?.0)).collect();
        let names: BTreeSet<String> = rows().map(full_name).collect();
        let mut people = People { ids: BTreeSet::new(), named: HashMap::new(), windows: BTreeSet::new() };
        for ids in ids.into_iter().collect::<Vec<_>>().chunks(ROWS) {
            let ids = contact::Column::Id.is_in(ids.iter().copied());
            let there = contact::Entity::find().filter(ids).all(database).await?;
            people.ids.extend(there.into_iter().map(|row| row.id));
        }
        for names in names.into_iter().collect::<Vec<_>>().chunks(ROWS) {
            let names = contact::Column::SortName.is_in(names.iter().map(String::as_str));
            for row in contact::Entity::find().filter(names).all(database).await? {
                people.named.entry(row.sort_name).or_default().push(row.id);
            }
        }
        if let Some(schedule) = self.schedule {
            let everybody: BTreeSet<Uuid> = people.ids.iter().chain(people.named.values().flatten()).copied().collect();
            for ids in everybody.into_iter().collect::<Vec<_>>().chunks(ROWS) {
                let there = schedule_window::Entity::find()
                    .filter(schedule_window::Column::ScheduleId.eq(schedule))
                    .filter(schedule_window::Column::ContactId.is_in(ids.iter().copied()))
                    .all(database)
                    .await?;
                let windows = there.into_iter().map(|row| (row.contact_id, row.from_at, row.until_at, row.priority));
                people.windows.extend(windows);
            }
        }
        Ok(people)
    }

    fn window(&self, row: &WindowImport, people: &People) -> Result<Window, BadRow> {
        let bad = |column: &str, reason: String| BadRow { line: row.line, column: Some(column.to_owned()), reason };
        let contact = match row.id.filter(|id| people.ids.contains(&id.0)) {
            Some(id) => id.0,
            None => match people.named.get(&full_name(row)).map(Vec::as_slice).unwrap_or_default() {
                [id] => *id,
                [] => return Err(bad("name", "there is no such contact".to_owned())),
                several => return Err(bad("name", format!("{} contacts are called that: give the id", several.len()))),
            },
        };
        let (from, until) = (instant(row.start_at, self.zone), instant(row.end_at, self.zone));
        let (from, until, priority) = span(from, until, row.priority).map_err(|reason| bad("end_at", reason))?;
        Ok((contact, from, until, priority))
    }
}

fn full_name(row: &WindowImport) -> String {
    let data = ContactData { name: row.name.clone(), surname: row.surname.clone(), ..ContactData::default() };
    data.full_name().to_lowercase()
}

/// A window that can be.
pub(super) fn span(
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    priority: i64,
) -> Result<(DateTime<Utc>, DateTime<Utc>, i32), String> {
    if until <= from {
        return Err(format!("it ends ({}) before it begins ({})", until.format("%F %T UTC"), from.format("%F %T UTC")));
    }
    let priority = i32::try_from(priority).map_err(|_| format!("{priority} is no priority"))?;
    Ok((from, until, priority))
}

/// The schedule, and by whose clocks it goes.
pub(super) async fn schedule(database: &impl ConnectionTrait) -> Result<Option<(Uuid, Zone)>, Error> {
    let row = schedule::Entity::find().filter(schedule::Column::Name.eq(ONCALL)).one(database).await?;
    let Some(row) = row else { return Ok(None) };
    let document: Schedule = serde_json::from_value(row.document)?;
    Ok(Some((row.id, document.zone)))
}

/// Makes it, without layers.
pub(super) async fn make_schedule(tx: &Tx, zone: Zone, now: DateTime<Utc>) -> Result<Uuid, Error> {
    let id = ScheduleId::generate().0;
    let row = schedule::ActiveModel {
        id: Set(id),
        name: Set(ONCALL.to_owned()),
        description: Set(String::new()),
        document: Set(serde_json::to_value(Schedule { zone, layers: Vec::new() })?),
        version: Set(1),
        on_duty: Set(serde_json::json!([])),
        next_look_at: Set(Some(now)),
        revision: Set(1),
        updated_at: Set(now),
    };
    schedule::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
}
