//! Overrides and windows of schedules: made, listed, taken away, imported.

use chrono::{DateTime, Utc};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsOverrides, EditsSchedules, ReadsSchedules},
    body::Body,
    error::Problem,
    imports::{self, Calendar, Report},
    people::{Lookup, Names, Person, Who},
    tagged::Gone,
    times,
};
use crate::{
    bus::Bell,
    id::{ContactId, OverrideId, ScheduleId, WindowId},
    oncall,
    store::{NamedOverride, Run},
};

/// Overrides of a schedule that are not over.
const MOST_OVERRIDES: u64 = 1000;

/// Overrides and windows.
pub struct Overrides(pub State);

/// What an override does with its people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum OverrideKind {
    /// They are on call too.
    Add,
    /// They are on call and nobody else. Without people: nobody is, on purpose.
    Replace,
    /// They are not on call. Nobody takes their place.
    Remove,
}

/// An override as it is to be.
#[derive(Debug, Object, Deserialize)]
struct NewOverride {
    /// What it does with its people.
    kind: OverrideKind,
    /// Whom it names.
    #[oai(validator(max_items = 200))]
    people: Vec<Who>,
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
}

/// A change of a schedule for a span of time. Overrides apply in the order in which they were made.
#[derive(Debug, Object)]
struct Override {
    /// Its identifier.
    id: Uuid,
    /// What it does with its people.
    kind: OverrideKind,
    /// Whom it names.
    people: Vec<Person>,
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
    /// What the calendar that it was imported from calls it.
    #[oai(skip_serializing_if_is_none)]
    uid: Option<String>,
    /// Who made it.
    made_by: String,
    /// When it was made.
    made_at: DateTime<Utc>,
}

/// Overrides, by their beginning.
#[derive(Debug, Object)]
struct OverrideList {
    /// At most as many as were asked for; ask again from the last one's beginning for more.
    items: Vec<Override>,
}

/// A window as it is to be.
#[derive(Debug, Object, Deserialize)]
struct NewWindow {
    /// Whose duty it is.
    contact: Who,
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
    /// Of the windows that cover an instant the one with the lowest number counts.
    #[oai(default)]
    #[serde(default)]
    priority: i32,
}

/// A one-off span of duty of one person: it goes before the layers, and overrides before it.
#[derive(Debug, Object)]
struct Window {
    /// Its identifier.
    id: Uuid,
    /// Whose duty it is.
    contact: Person,
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
    /// Of the windows that cover an instant the one with the lowest number counts.
    priority: i32,
}

/// Windows, by their beginning.
#[derive(Debug, Object)]
struct WindowList {
    /// At most as many as were asked for; ask again from the last one's beginning for more.
    items: Vec<Window>,
}

#[derive(poem_openapi::ApiResponse)]
enum MadeOverride {
    /// Made.
    #[oai(status = 201)]
    Made(Json<Override>),
}

#[derive(poem_openapi::ApiResponse)]
enum MadeWindow {
    /// Made.
    #[oai(status = 201)]
    Made(Json<Window>),
}

#[OpenApi(prefix_path = "/api/v2/schedules", tag = "Tag::Schedules")]
impl Overrides {
    /// Whether a schedule may have so many more overrides: each is applied at every change of all of them.
    async fn room_for(&self, schedule: ScheduleId, more: usize) -> Result<(), Problem> {
        let there = self.0.store.count_overrides(schedule, self.0.clock.now()).await?;
        if there.saturating_add(more as u64) > MOST_OVERRIDES {
            let detail = format!("the schedule has {there} overrides to come, and {MOST_OVERRIDES} are the most");
            return Err(Problem::unprocessable(detail));
        }
        Ok(())
    }

    /// List overrides, by their beginning
    #[oai(path = "/:id/overrides", method = "get", operation_id = "list_overrides")]
    async fn list(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// Those that are not over then; now, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Those that begin before.
        to: Query<Option<DateTime<Utc>>>,
        /// How many at most.
        #[oai(default = "super::default_lines", validator(minimum(value = "1"), maximum(value = "5000")))]
        limit: Query<u64>,
    ) -> Result<Json<OverrideList>, Problem> {
        let id = self.schedule(id.0).await?;
        let span = self.open_span(from.0, to.0)?;
        let overrides = self.0.store.overrides(id, span, limit.0).await?;
        let people = overrides.iter().flat_map(|one| &one.change.people).copied();
        let names = Names::of(&self.0.store, people).await?;
        Ok(Json(OverrideList { items: overrides.into_iter().map(|one| show(one, &names)).collect() }))
    }

    /// Replace, add or remove people for a span of time
    #[oai(path = "/:id/overrides", method = "post", operation_id = "create_override")]
    async fn create(
        &self,
        caller: EditsOverrides,
        id: Path<Uuid>,
        change: Body<NewOverride>,
    ) -> Result<MadeOverride, Problem> {
        let (schedule, new) = (self.schedule(id.0).await?, change.0);
        let people = self.found("people", &new.people).await?;
        let change = oncall::Override {
            id: OverrideId::generate(),
            kind: new.kind.into(),
            people,
            from: times::instant("from", new.from)?,
            until: times::instant("until", new.until)?,
            made_at: self.0.clock.now(),
        };
        sound(change.mistakes())?;
        self.room_for(schedule, 1).await?;
        if !self.0.by(&caller.0).add_override(schedule, change.clone(), caller.0.name()).await? {
            return Err(Problem::not_found("schedule"));
        }
        self.0.bus.ring(Bell::Engine);
        let names = Names::of(&self.0.store, change.people.iter().copied()).await?;
        let made = NamedOverride { change, uid: None, made_by: caller.0.name().to_owned() };
        Ok(MadeOverride::Made(Json(show(made, &names))))
    }

    /// Take an override away
    #[oai(path = "/:id/overrides/:override_id", method = "delete", operation_id = "delete_override")]
    async fn delete(&self, caller: EditsOverrides, id: Path<Uuid>, override_id: Path<Uuid>) -> Result<Gone, Problem> {
        let (id, one, now) = (ScheduleId(id.0), OverrideId(override_id.0), self.0.clock.now());
        self.gone(self.0.by(&caller.0).delete_override(id, one, now).await?, "override")
    }

    /// Import a calendar: each of its events becomes an override
    ///
    /// An event puts the people on call whose mail addresses are its attendees, or else whose names are its
    /// title, with commas between them; nobody else is on call meanwhile. Events that come again are followed
    /// for 366 days. Importing the same again changes nothing; an event that has changed changes its
    /// overrides, one that was called off takes them away, and what is over stays as it was. Events that
    /// cannot be understood are named, and the others taken.
    #[oai(path = "/:id/overrides/import", method = "post", operation_id = "import_overrides")]
    async fn import(
        &self,
        caller: EditsOverrides,
        id: Path<Uuid>,
        /// Only tell what would be done.
        #[oai(default)]
        dry_run: Query<bool>,
        calendar: Calendar,
    ) -> Result<Json<Report>, Problem> {
        let now = self.0.clock.now();
        let schedule = self.0.store.schedule(ScheduleId(id.0)).await?;
        let schedule = schedule.ok_or_else(|| Problem::not_found("schedule"))?;
        let zone = schedule.data.schedule.zone;
        // Rules that hardly ever happen take their time.
        let reading = tokio::task::spawn_blocking(move || imports::read(&calendar.0, zone, now)).await;
        let mut read = reading.map_err(|error| Problem::unprocessable(error.to_string()))??;
        let imported = imports::with_people(&mut read, &self.0.store).await?;
        self.room_for(schedule.id, imported.len()).await?;
        let run = if dry_run.0 { Run::Dry } else { Run::Real };
        let counts =
            self.0.by(&caller.0).import_overrides(schedule.id, imported, read.uids, caller.0.name(), now, run).await?;
        let counts = counts.ok_or_else(|| Problem::not_found("schedule"))?;
        if run == Run::Real {
            self.0.bus.ring(Bell::Engine);
        }
        Ok(Json(Report::new(run, counts, read.bad)))
    }

    /// List windows, by their beginning
    #[oai(path = "/:id/windows", method = "get", operation_id = "list_windows")]
    async fn windows(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// Those that are not over then; now, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Those that begin before.
        to: Query<Option<DateTime<Utc>>>,
        /// How many at most.
        #[oai(default = "super::default_lines", validator(minimum(value = "1"), maximum(value = "5000")))]
        limit: Query<u64>,
    ) -> Result<Json<WindowList>, Problem> {
        let id = self.schedule(id.0).await?;
        let span = self.open_span(from.0, to.0)?;
        let windows = self.0.store.windows(id, span, limit.0).await?;
        let names = Names::of(&self.0.store, windows.iter().map(|window| window.contact)).await?;
        Ok(Json(WindowList { items: windows.into_iter().map(|window| show_window(&window, &names)).collect() }))
    }

    /// Put one person on call for a span of time
    #[oai(path = "/:id/windows", method = "post", operation_id = "create_window")]
    async fn create_window(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        window: Body<NewWindow>,
    ) -> Result<MadeWindow, Problem> {
        let (schedule, new) = (self.schedule(id.0).await?, window.0);
        let people = self.found("contact", std::slice::from_ref(&new.contact)).await?;
        let contact = people.first().copied().ok_or_else(|| Problem::unprocessable("contact: names nobody"))?;
        let window = oncall::Window {
            id: WindowId::generate(),
            contact,
            from: times::instant("from", new.from)?,
            until: times::instant("until", new.until)?,
            priority: new.priority,
        };
        sound(window.mistakes())?;
        if !self.0.by(&caller.0).add_window(schedule, window.clone(), self.0.clock.now()).await? {
            return Err(Problem::not_found("schedule"));
        }
        self.0.bus.ring(Bell::Engine);
        let names = Names::of(&self.0.store, [contact]).await?;
        Ok(MadeWindow::Made(Json(show_window(&window, &names))))
    }

    /// Take a window away
    #[oai(path = "/:id/windows/:window_id", method = "delete", operation_id = "delete_window")]
    async fn delete_window(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        window_id: Path<Uuid>,
    ) -> Result<Gone, Problem> {
        let (id, one, now) = (ScheduleId(id.0), WindowId(window_id.0), self.0.clock.now());
        self.gone(self.0.by(&caller.0).delete_window(id, one, now).await?, "window")
    }
}

impl Overrides {
    async fn schedule(&self, id: Uuid) -> Result<ScheduleId, Problem> {
        let schedule = self.0.store.schedule(ScheduleId(id)).await?;
        schedule.map(|schedule| schedule.id).ok_or_else(|| Problem::not_found("schedule"))
    }

    fn open_span(
        &self,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<(DateTime<Utc>, Option<DateTime<Utc>>), Problem> {
        let from = times::instant("from", from.unwrap_or_else(|| self.0.clock.now()))?;
        Ok((from, to.map(|to| times::instant("to", to)).transpose()?))
    }

    async fn found(&self, place: &str, people: &[Who]) -> Result<Vec<ContactId>, Problem> {
        let mut lookup = Lookup::new(&self.0.store);
        let found = lookup.find(place, people).await?;
        sound(lookup.mistakes)?;
        Ok(found)
    }

    fn gone(&self, was_there: bool, what: &str) -> Result<Gone, Problem> {
        if !was_there {
            return Err(Problem::not_found(what));
        }
        self.0.bus.ring(Bell::Engine);
        Ok(Gone::Gone)
    }
}

fn sound(mistakes: Vec<String>) -> Result<(), Problem> {
    if mistakes.is_empty() { Ok(()) } else { Err(Problem::unprocessable(mistakes.join("; "))) }
}

fn show(one: NamedOverride, names: &Names) -> Override {
    Override {
        id: one.change.id.0,
        kind: one.change.kind.into(),
        people: names.people(&one.change.people),
        from: one.change.from,
        until: one.change.until,
        uid: one.uid,
        made_by: one.made_by,
        made_at: one.change.made_at,
    }
}

fn show_window(window: &oncall::Window, names: &Names) -> Window {
    Window {
        id: window.id.0,
        contact: Person { id: window.contact.0, name: names.name(window.contact) },
        from: window.from,
        until: window.until,
        priority: window.priority,
    }
}

impl From<OverrideKind> for oncall::OverrideKind {
    fn from(kind: OverrideKind) -> Self {
        match kind {
            OverrideKind::Add => Self::Add,
            OverrideKind::Replace => Self::Replace,
            OverrideKind::Remove => Self::Remove,
        }
    }
}

impl From<oncall::OverrideKind> for OverrideKind {
    fn from(kind: oncall::OverrideKind) -> Self {
        match kind {
            oncall::OverrideKind::Add => Self::Add,
            oncall::OverrideKind::Replace => Self::Replace,
            oncall::OverrideKind::Remove => Self::Remove,
        }
    }
}
