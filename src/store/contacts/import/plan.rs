//! What becomes of some rows: who is meant by each, and what is different.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use chrono::{DateTime, Utc};
use entity::{contact_number, schedule_window};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use uuid::Uuid;

use super::{Contacts, ImportReport, ImportRow, Importer, instant, write};
use crate::store::writer::Tx;
use crate::{
    exchange::{contacts::Availability, csv::BadRow},
    id::ContactId,
    phone::PhoneNumber,
    store::{
        Contact, ContactData, Error,
        contacts::{ROWS, load, memberships::groups_of, windows},
    },
    wallclock::Zone,
};

/// A window of duty: from, until, priority.
pub(super) type Span = (DateTime<Utc>, DateTime<Utc>, i32);

/// What is to be written.
#[derive(Default)]
pub(super) struct Plan {
    pub contacts: Vec<Written>,
    /// Who gets into and out of which groups, by name.
    pub groups: Vec<(Uuid, Moves)>,
    /// The windows of those whose windows are different.
    pub windows: Vec<(Uuid, BTreeSet<Span>)>,
}

/// A contact as they are to be.
pub(super) struct Written {
    pub id: Uuid,
    pub data: ContactData,
    /// 1 for a new one.
    pub version: i64,
    pub created_at: DateTime<Utc>,
    pub pin_hash: Option<String>,
}

/// Which groups somebody joins and leaves.
#[derive(Default)]
pub(super) struct Moves {
    pub joins: Vec<String>,
    pub leaves: Vec<String>,
}

/// What is known of those whom some rows may mean.
struct Known {
    contacts: HashMap<Uuid, Contact>,
    groups: HashMap<Uuid, Vec<String>>,
    windows: HashMap<Uuid, BTreeSet<Span>>,
}

/// Whom a row means.
enum Meant {
    There(Uuid),
    New(Uuid),
}

impl Importer for Contacts {
    const SUBJECT: super::Subject = super::Subject::AddressBook;
    type Row = ImportRow;
    type Plan = Plan;

    async fn plan(
        &mut self,
        database: &impl ConnectionTrait,
        rows: Vec<Result<ImportRow, BadRow>>,
    ) -> Result<Plan, Error> {
        let known = self.look_up(database, &rows).await?;
        let mut plan = Plan::default();
        for row in rows {
            if let Err(bad) = row.and_then(|row| self.decide(&row, &known, &mut plan)) {
                self.report.refuse(bad);
            }
        }
        Ok(plan)
    }

    async fn write(&mut self, tx: &Tx, plan: Plan) -> Result<(), Error> {
        write::contacts(tx, plan.contacts, self.now).await?;
        write::groups(tx, plan.groups, self.now).await?;
        if plan.windows.is_empty() {
            return Ok(());
        }
        let schedule = match self.schedule {
            Some(schedule) => schedule,
            None => windows::make_schedule(tx, self.zone, self.now).await?,
        };
        self.schedule = Some(schedule);
        write::windows(tx, schedule, plan.windows, self.now).await
    }

    fn report(&self) -> &ImportReport {
        &self.report
    }
}

impl Contacts {
    async fn look_up(
        &mut self,
        database: &impl ConnectionTrait,
        rows: &[Result<ImportRow, BadRow>],
    ) -> Result<Known, Error> {
        let rows = || rows.iter().flatten();
        let mut ids: HashSet<Uuid> = rows().filter_map(|row| Some(row.id?.0)).collect();
        let numbers: BTreeSet<&str> = rows().flat_map(ImportRow::all_numbers).map(PhoneNumber::as_str).collect();
        let numbers: Vec<&str> = numbers.into_iter().collect();
        for numbers in numbers.chunks(ROWS) {
            let theirs = contact_number::Entity::find()
                .filter(contact_number::Column::Number.is_in(numbers.iter().copied()))
                .all(database)
                .await?;
            ids.extend(theirs.into_iter().map(|row| row.contact_id));
        }
        let ids: Vec<Uuid> = ids.into_iter().collect();
        let contacts: HashMap<Uuid, Contact> =
            load(database, &ids).await?.into_iter().map(|contact| (contact.id.0, contact)).collect();
        let groups =
            if rows().any(|row| row.groups.is_some()) { groups_of(database, &ids).await? } else { HashMap::new() };
        let mut known = Known { contacts, groups, windows: HashMap::new() };
        if rows().any(|row| row.windows.is_some()) {
            if self.schedule.is_none()
                && let Some((schedule, zone)) = windows::schedule(database).await?
            {
                (self.schedule, self.zone) = (Some(schedule), zone);
            }
            if let Some(schedule) = self.schedule {
                known.windows = spans(database, schedule, &ids).await?;
            }
        }
        Ok(known)
    }

    fn decide(&mut self, row: &ImportRow, known: &Known, plan: &mut Plan) -> Result<(), BadRow> {
        let meant = self.who(row, known)?;
        let windows = row.windows.as_deref().map(|windows| spans_of(windows, self.zone)).transpose();
        let windows = windows.map_err(|reason| bad(row, "on_call_availability", reason))?;
        let (id, before) = match meant {
            Meant::There(id) => (id, known.contacts.get(&id)),
            Meant::New(id) => (id, None),
        };
        self.lines.insert(id, row.line);
        let mut data = match before {
            Some(there) => there.data.clone(),
            None => ContactData { time_zone: self.zone.to_string(), ..ContactData::default() },
        };
        row.apply(&mut data);
        if data.numbers.len() > super::super::MOST_NUMBERS {
            let reason = format!("{} are the most numbers a contact may have", super::super::MOST_NUMBERS);
            return Err(bad(row, "numbers", reason));
        }
        let moves = moves(row, known.groups.get(&id).map(Vec::as_slice).unwrap_or_default());
        let none = BTreeSet::new();
        let windows = windows.filter(|windows| windows != known.windows.get(&id).unwrap_or(&none));

        let is_different = before.is_none_or(|there| there.data != data);
        if before.is_none() {
            self.report.created += 1;
            self.made.extend(row.all_numbers().map(|number| (digest(number, row), id)));
        } else if is_different || moves.is_some() || windows.is_some() {
            self.report.updated += 1;
        } else {
            self.report.unchanged += 1;
        }
        if is_different {
            let created = row.created_at.map(|at| instant(at, self.zone)).filter(|at| *at < self.now);
            plan.contacts.push(Written {
                id,
                data,
                version: before.map_or(1, |there| there.version + 1),
                created_at: before.map_or(created.unwrap_or(self.now), |there| there.created_at),
                pin_hash: before.and_then(|there| there.pin_hash.clone()),
            });
        }
        plan.groups.extend(moves.map(|moves| (id, moves)));
        plan.windows.extend(windows.map(|windows| (id, windows)));
        Ok(())
    }

    /// By the identifier, else by the names and any of the numbers.
    fn who(&self, row: &ImportRow, known: &Known) -> Result<Meant, BadRow> {
        let taken = |line: &u64| bad(row, "id", format!("this is the same contact as on line {line}"));
        if let Some(id) = row.id
            && known.contacts.contains_key(&id.0)
        {
            return self.lines.get(&id.0).map_or(Ok(Meant::There(id.0)), |line| Err(taken(line)));
        }
        let fits = |contact: &&Contact| {
            let is_called = |theirs: &str, ours: &str| theirs.to_lowercase() == ours.to_lowercase();
            is_called(&contact.data.name, &row.name)
                && is_called(&contact.data.surname, row.surname.as_deref().unwrap_or_default())
                && row.all_numbers().any(|number| contact.data.numbers.iter().any(|theirs| theirs.number == *number))
        };
        let (named, mut free): (Vec<Uuid>, Vec<Uuid>) = known
            .contacts
            .values()
            .filter(fits)
            .map(|contact| contact.id.0)
            .partition(|id| self.lines.contains_key(id));
        match (free.pop(), free.len()) {
            (Some(id), 0) => return Ok(Meant::There(id)),
            (Some(_), _) => {
                return Err(bad(row, "name", "several contacts have these names and this number: give the id"));
            }
            (None, _) => {}
        }
        // An identifier of its own makes it somebody else, whatever they have in common.
        if let Some(ContactId(id)) = row.id {
            return self.lines.get(&id).map_or(Ok(Meant::New(id)), |line| Err(taken(line)));
        }
        let made = row.all_numbers().filter_map(|number| self.made.get(&digest(number, row)));
        match named.iter().chain(made).find_map(|id| self.lines.get(id)) {
            Some(line) => Err(taken(line)),
            None => Ok(Meant::New(ContactId::generate().0)),
        }
    }
}

fn bad(row: &ImportRow, column: &str, reason: impl Into<String>) -> BadRow {
    BadRow { line: row.line, column: Some(column.to_owned()), reason: reason.into() }
}

fn digest(number: &PhoneNumber, row: &ImportRow) -> u64 {
    let mut hasher = DefaultHasher::new();
    (number, row.name.to_lowercase(), row.surname.as_deref().unwrap_or_default().to_lowercase()).hash(&mut hasher);
    hasher.finish()
}

/// None if the row leaves somebody where they are.
fn moves(row: &ImportRow, before: &[String]) -> Option<Moves> {
    let named: BTreeSet<&String> = row.groups.as_ref()?.iter().collect();
    let moves = Moves {
        joins: named.iter().filter(|name| !before.contains(name)).map(|name| (*name).clone()).collect(),
        leaves: before.iter().filter(|name| !named.contains(name)).cloned().collect(),
    };
    (!moves.joins.is_empty() || !moves.leaves.is_empty()).then_some(moves)
}

fn spans_of(windows: &[Availability], zone: Zone) -> Result<BTreeSet<Span>, String> {
    let span = |window: &Availability| {
        windows::span(instant(window.start_at, zone), instant(window.end_at, zone), window.priority)
    };
    windows.iter().map(span).collect()
}

/// The windows of each of these contacts.
async fn spans(
    database: &impl ConnectionTrait,
    schedule: Uuid,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, BTreeSet<Span>>, Error> {
    let mut spans: HashMap<Uuid, BTreeSet<Span>> = HashMap::new();
    for ids in ids.chunks(ROWS) {
        let rows = schedule_window::Entity::find()
            .filter(schedule_window::Column::ScheduleId.eq(schedule))
            .filter(schedule_window::Column::ContactId.is_in(ids.iter().copied()))
            .all(database)
            .await?;
        for row in rows {
            spans.entry(row.contact_id).or_default().insert((row.from_at, row.until_at, row.priority));
        }
    }
    Ok(spans)
}
