//! Calendars: business hours and holidays.

use std::collections::HashMap;

use chrono::{DateTime, NaiveDate, Utc};
use poem_openapi::{
    Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsSchedules, ReadsSchedules},
    body::Body,
    error::Problem,
    imports::{self, Report},
    tagged::{Gone, Made, Standing},
    text,
    times::{self, Hours},
    version,
};
use crate::{
    bus::Bell,
    calendar,
    id::CalendarId,
    store::{self, Deletion, ImportCounts, NamedCalendar, Run},
    wallclock::Zone,
};

/// Calendars.
pub struct Calendars(pub State);

/// How often an import tries again when somebody else changes the calendar meanwhile.
const RACES: u32 = 5;

/// Whole days on which a calendar is closed.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
struct Holiday {
    /// What it is called.
    #[oai(validator(max_length = 500))]
    name: String,
    /// The first day.
    from: NaiveDate,
    /// The last day.
    until: NaiveDate,
}

/// A calendar as it is to be.
#[derive(Debug, Object, Deserialize)]
struct NewCalendar {
    /// What it is called; unique.
    #[oai(validator(max_length = 200))]
    name: String,
    /// By whose clocks: an IANA name, such as `Europe/Rome`.
    #[oai(validator(max_length = 100))]
    time_zone: String,
    /// When it is open; always, if there are none.
    #[oai(default, validator(max_items = 100))]
    #[serde(default)]
    hours: Vec<Hours>,
    /// When it is closed nevertheless.
    #[oai(default, validator(max_items = 5000))]
    #[serde(default)]
    holidays: Vec<Holiday>,
}

/// A calendar.
#[derive(Debug, Object)]
struct Calendar {
    /// Its identifier.
    id: Uuid,
    /// What it is called.
    name: String,
    /// By whose clocks.
    time_zone: String,
    /// When it is open; always, if there are none.
    hours: Vec<Hours>,
    /// When it is closed nevertheless.
    holidays: Vec<Holiday>,
    /// Counts its changes.
    version: i64,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

/// Calendars, by name.
#[derive(Debug, Object)]
struct CalendarList {
    /// All of them.
    items: Vec<Calendar>,
}

/// Whether a calendar is open.
#[derive(Debug, Object)]
struct CalendarState {
    /// When.
    at: DateTime<Utc>,
    /// Whether it is.
    open: bool,
    /// When that changes; absent if it does not within 400 days.
    #[oai(skip_serializing_if_is_none)]
    changes_at: Option<DateTime<Utc>>,
}

#[OpenApi(prefix_path = "/api/v2/calendars", tag = "Tag::Calendars")]
impl Calendars {
    /// List calendars, by name
    #[oai(path = "/", method = "get", operation_id = "list_calendars")]
    async fn list(
        &self,
        _caller: ReadsSchedules,
        /// Only the one of this name.
        #[oai(validator(max_length = 256))]
        name: Query<Option<String>>,
    ) -> Result<Json<CalendarList>, Problem> {
        let calendars = match name.0 {
            Some(name) => self.0.store.calendar_named(&name).await?.into_iter().collect(),
            None => self.0.store.calendars().await?,
        };
        Ok(Json(CalendarList { items: calendars.into_iter().map(show).collect::<Result<_, _>>()? }))
    }

    /// Make a calendar
    #[oai(path = "/", method = "post", operation_id = "create_calendar")]
    async fn create(&self, caller: EditsSchedules, calendar: Body<NewCalendar>) -> Result<Made<Calendar>, Problem> {
        let (name, data) = read(calendar.0)?;
        let id = match self.0.by(&caller.0).create_calendar(name.clone(), data, self.0.clock.now()).await {
            Err(store::Error::Conflict) => return Err(taken(&name)),
            other => other?,
        };
        let made = self.present(id).await?;
        let etag = version::etag(made.version);
        Ok(Made::Made(Json(show(made)?), etag))
    }

    /// One calendar
    #[oai(path = "/:id", method = "get", operation_id = "get_calendar")]
    async fn get(&self, _caller: ReadsSchedules, id: Path<Uuid>) -> Result<Standing<Calendar>, Problem> {
        self.standing(CalendarId(id.0)).await
    }

    /// Change a calendar
    #[oai(path = "/:id", method = "put", operation_id = "update_calendar")]
    async fn update(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        /// The ETag that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        calendar: Body<NewCalendar>,
    ) -> Result<Standing<Calendar>, Problem> {
        let id = CalendarId(id.0);
        let expected = version::expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        let (name, data) = read(calendar.0)?;
        match self.0.by(&caller.0).update_calendar(id, expected, name.clone(), data, self.0.clock.now()).await {
            Err(store::Error::Conflict) => {
                // Whoever was faster may be so by so little that their change cannot be read yet.
                let namesake = self.0.store.calendar_named(&name).await?.filter(|other| other.id != id);
                let present = self.present(id).await?.version.max(expected + 1);
                return Err(if namesake.is_some() { taken(&name) } else { Problem::changed(present) });
            }
            other => other?,
        }
        self.0.bus.ring(Bell::Engine);
        self.standing(id).await
    }

    /// Delete a calendar
    ///
    /// Refused while a step of a policy counts only during it, or not during it.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_calendar")]
    async fn delete(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        /// The ETag that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Gone, Problem> {
        let id = CalendarId(id.0);
        let expected = version::expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        match self.0.by(&caller.0).delete_calendar(id, expected).await {
            Ok(Deletion::Deleted) => Ok(Gone::Gone),
            Ok(Deletion::UsedIn(places)) => Err(Problem::in_use("calendar", &places)),
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            Err(other) => Err(other.into()),
        }
    }

    /// Whether a calendar is open
    #[oai(path = "/:id/state", method = "get", operation_id = "get_calendar_state")]
    async fn state(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// When; now, if it is not said.
        at: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<CalendarState>, Problem> {
        let at = times::instant("at", at.0.unwrap_or_else(|| self.0.clock.now()))?;
        let calendar = self.present(CalendarId(id.0)).await?.data;
        let open = calendar.is_open(at);
        let changes_at = times::computed(move || if open { calendar.closes(at) } else { calendar.opens(at) }).await?;
        Ok(Json(CalendarState { at, open, changes_at }))
    }

    /// Import holidays from a calendar
    ///
    /// Each event of whole days becomes a holiday, called as its title; those that come again, as often as
    /// they do in the next 366 days. A holiday of the same name that begins on the same day is the same:
    /// importing again changes nothing. Events that were called off are taken away. Events that cannot be
    /// understood are named, and the others taken.
    #[oai(path = "/:id/holidays/import", method = "post", operation_id = "import_holidays")]
    async fn import(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        /// Only tell what would be done.
        #[oai(default)]
        dry_run: Query<bool>,
        calendar: imports::Calendar,
    ) -> Result<Json<Report>, Problem> {
        let (id, now) = (CalendarId(id.0), self.0.clock.now());
        let run = if dry_run.0 { Run::Dry } else { Run::Real };
        for _ in 0..RACES {
            let mut named = self.present(id).await?;
            let read = imports::holidays(&calendar.0, named.data.zone, now)?;
            let counts = merge(&mut named.data.holidays, &read);
            let mistakes = named.data.mistakes();
            if !mistakes.is_empty() {
                return Err(Problem::unprocessable(mistakes.join("; ")));
            }
            let changed = ImportCounts { unchanged: 0, ..counts } != ImportCounts::default();
            if run == Run::Real && changed {
                match self.0.by(&caller.0).update_calendar(id, named.version, named.name, named.data, now).await {
                    Err(store::Error::Conflict) => continue,
                    other => other?,
                }
                self.0.bus.ring(Bell::Engine);
            }
            return Ok(Json(Report::new(run, counts, read.bad)));
        }
        Err(store::Error::Conflict.into())
    }
}

impl Calendars {
    async fn present(&self, id: CalendarId) -> Result<NamedCalendar, Problem> {
        self.0.store.calendar(id).await?.ok_or_else(|| Problem::not_found("calendar"))
    }

    async fn standing(&self, id: CalendarId) -> Result<Standing<Calendar>, Problem> {
        let calendar = self.present(id).await?;
        let etag = version::etag(calendar.version);
        Ok(Standing::Standing(Json(show(calendar)?), etag))
    }
}

/// Reads what is sent, and finds everything that is wrong with it.
fn read(new: NewCalendar) -> Result<(String, calendar::Calendar), Problem> {
    let mut mistakes = Vec::new();
    let name = text(new.name).trim().to_owned();
    if name.is_empty() {
        mistakes.push("name: is empty".to_owned());
    }
    let zone = times::zone("time_zone", &new.time_zone).unwrap_or_else(|wrong| {
        mistakes.push(wrong);
        Zone::UTC
    });
    let mut hours = Vec::with_capacity(new.hours.len());
    for (nth, one) in new.hours.iter().enumerate() {
        match one.read(&format!("hours[{nth}]")) {
            Ok(one) => hours.push(one),
            Err(wrong) => mistakes.push(wrong),
        }
    }
    let holidays = new.holidays.into_iter();
    let holidays = holidays.map(|Holiday { name, from, until }| calendar::Holiday { name: text(name), from, until });
    let data = calendar::Calendar { zone, hours, holidays: holidays.collect() };
    mistakes.extend(data.mistakes());
    if mistakes.is_empty() { Ok((name, data)) } else { Err(Problem::unprocessable(mistakes.join("; "))) }
}

fn show(named: NamedCalendar) -> Result<Calendar, store::Error> {
    let holidays = named.data.holidays.into_iter();
    let holidays = holidays.map(|calendar::Holiday { name, from, until }| Holiday { name, from, until });
    Ok(Calendar {
        id: named.id.0,
        name: named.name,
        time_zone: named.data.zone.to_string(),
        hours: named.data.hours.iter().map(Hours::show).collect::<Result<_, _>>()?,
        holidays: holidays.collect(),
        version: named.version,
        updated_at: named.updated_at,
    })
}

/// Puts imported holidays among those that are there.
fn merge(there: &mut Vec<calendar::Holiday>, read: &imports::Holidays) -> ImportCounts {
    let mut report = ImportCounts::default();
    let key = |holiday: &calendar::Holiday| (holiday.name.clone(), holiday.from);
    let mut places: HashMap<(String, NaiveDate), usize> =
        there.iter().enumerate().map(|(place, holiday)| (key(holiday), place)).collect();
    for holiday in &read.holidays {
        match places.get(&key(holiday)) {
            None => {
                places.insert(key(holiday), there.len());
                there.push(holiday.clone());
                report.created += 1;
            }
            Some(place) if there[*place] == *holiday => report.unchanged += 1,
            Some(place) => {
                there[*place].clone_from(holiday);
                report.updated += 1;
            }
        }
    }
    let before = there.len();
    there.retain(|holiday| !read.called_off.contains(&key(holiday)));
    report.deleted = u64::try_from(before - there.len()).unwrap_or(u64::MAX);
    there.sort_by_key(|holiday| holiday.from);
    report
}

fn taken(name: &str) -> Problem {
    Problem::conflict(format!("there is a calendar called \"{name}\" already"))
}
