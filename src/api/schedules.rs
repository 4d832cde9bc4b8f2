//! On-call schedules: lists, one, its shifts, its timeline.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{
    Enum, Object, OpenApi,
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
    incidents::{Timeline, TimelineLine},
    people::{Lookup, Names, Person, Who},
    tagged::{Gone, Made, Standing},
    text,
    times::{self, Hours},
    version,
};
use crate::{
    bus::Bell,
    id::{ContactId, EventId, ScheduleId},
    oncall::{self, Rotation},
    store::{self, Deletion, NamedSchedule, ScheduleData},
};

/// Schedules.
pub struct Schedules(pub State);

/// Spans of time as a duty has them.
type Spans = fn(&oncall::Duty, DateTime<Utc>, DateTime<Utc>) -> Result<Vec<oncall::Shift>, oncall::SpanError>;

/// How far ahead the next change is looked for.
const AHEAD: TimeDelta = TimeDelta::days(366);

/// What the length of a shift is counted in, by the clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Unit {
    /// Sixty minutes that the clock shows.
    Hours,
    /// From one time of day to the same on the next day.
    Days,
    /// From one time of day to the same on the same day of the next week.
    Weeks,
}

/// People who take turns, and when that counts.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(deny_unknown_fields)]
#[serde(deny_unknown_fields)]
struct Layer {
    /// What people call it.
    #[oai(validator(max_length = 200))]
    name: String,
    /// Who takes part, in the order of their turns.
    #[oai(validator(max_items = 200))]
    participants: Vec<Who>,
    /// When the first shift begins: local time, such as `2026-11-23T09:00`.
    #[oai(validator(max_length = 30))]
    start: String,
    /// After how many units it is the next one's turn.
    #[oai(default = "one")]
    #[serde(default = "one")]
    every: u32,
    /// The unit.
    unit: Unit,
    /// When it counts; always, if there are none.
    #[oai(default, validator(max_items = 50))]
    #[serde(default)]
    restrictions: Vec<Hours>,
    /// From when on it does not count any more.
    #[oai(skip_serializing_if_is_none)]
    until: Option<DateTime<Utc>>,
}

fn one() -> u32 {
    1
}

/// A schedule as it is to be.
#[derive(Debug, Object, Deserialize)]
struct NewSchedule {
    /// What it is called; unique.
    #[oai(validator(max_length = 200))]
    name: String,
    /// What it is for.
    #[oai(default, validator(max_length = 10_000))]
    #[serde(default)]
    description: String,
    /// By whose clocks: an IANA name, such as `Europe/Rome`.
    #[oai(validator(max_length = 100))]
    time_zone: String,
    /// The first is the uppermost: it decides wherever it has somebody.
    #[oai(validator(max_items = 20))]
    layers: Vec<Layer>,
}

/// A schedule.
#[derive(Debug, Object)]
struct Schedule {
    /// Its identifier.
    id: Uuid,
    /// What it is called.
    name: String,
    /// What it is for.
    description: String,
    /// By whose clocks.
    time_zone: String,
    /// The first is the uppermost.
    layers: Vec<Layer>,
    /// Counts its changes.
    version: i64,
    /// When it last changed.
    updated_at: DateTime<Utc>,
}

/// Schedules, by name.
#[derive(Debug, Object)]
struct ScheduleList {
    /// All of them.
    items: Vec<Schedule>,
}

/// A span of time in which the same people are on call.
#[derive(Debug, Object)]
struct Shift {
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
    /// Who is on call; possibly nobody.
    people: Vec<Person>,
}

/// Shifts, in order.
#[derive(Debug, Object)]
struct Shifts {
    /// From when.
    from: DateTime<Utc>,
    /// Until when.
    to: DateTime<Utc>,
    /// Without holes, cut to the span.
    items: Vec<Shift>,
}

/// A span of time.
#[derive(Debug, Object)]
struct Gap {
    /// When it begins.
    from: DateTime<Utc>,
    /// The first instant after it.
    until: DateTime<Utc>,
}

/// When nobody is on call, in order.
#[derive(Debug, Object)]
struct Gaps {
    /// From when.
    from: DateTime<Utc>,
    /// Until when.
    to: DateTime<Utc>,
    /// Cut to the span.
    items: Vec<Gap>,
}

/// The next time that other people are on call.
#[derive(Debug, Object)]
struct NextChange {
    /// Who is on call now.
    people: Vec<Person>,
    /// When that changes; absent if it does not within 366 days.
    #[oai(skip_serializing_if_is_none)]
    at: Option<DateTime<Utc>>,
    /// Who is on call from then on.
    next: Vec<Person>,
}

#[OpenApi(prefix_path = "/api/v2/schedules", tag = "Tag::Schedules")]
impl Schedules {
    /// List schedules, by name
    #[oai(path = "/", method = "get", operation_id = "list_schedules")]
    async fn list(
        &self,
        _caller: ReadsSchedules,
        /// Only the one of this name.
        #[oai(validator(max_length = 256))]
        name: Query<Option<String>>,
    ) -> Result<Json<ScheduleList>, Problem> {
        let schedules = match name.0 {
            Some(name) => self.0.store.schedule_named(&name).await?.into_iter().collect(),
            None => self.0.store.schedules().await?,
        };
        Ok(Json(ScheduleList { items: self.show(schedules).await? }))
    }

    /// Make a schedule
    #[oai(path = "/", method = "post", operation_id = "create_schedule")]
    async fn create(&self, caller: EditsSchedules, schedule: Body<NewSchedule>) -> Result<Made<Schedule>, Problem> {
        let data = self.read(schedule.0).await?;
        let name = data.name.clone();
        let id = match self.0.by(&caller.0).create_schedule(data, self.0.clock.now()).await {
            Err(store::Error::Conflict) => return Err(taken(&name)),
            other => other?,
        };
        self.0.bus.ring(Bell::Engine);
        let made = self.present(id).await?;
        let etag = version::etag(made.version);
        Ok(Made::Made(Json(self.show_one(made).await?), etag))
    }

    /// One schedule
    #[oai(path = "/:id", method = "get", operation_id = "get_schedule")]
    async fn get(&self, _caller: ReadsSchedules, id: Path<Uuid>) -> Result<Standing<Schedule>, Problem> {
        self.standing(ScheduleId(id.0)).await
    }

    /// Change a schedule
    #[oai(path = "/:id", method = "put", operation_id = "update_schedule")]
    async fn update(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        /// The ETag that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        schedule: Body<NewSchedule>,
    ) -> Result<Standing<Schedule>, Problem> {
        let id = ScheduleId(id.0);
        let expected = version::expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        let data = self.read(schedule.0).await?;
        let name = data.name.clone();
        match self.0.by(&caller.0).update_schedule(id, expected, data, self.0.clock.now()).await {
            Err(store::Error::Conflict) => {
                // Whoever was faster may be so by so little that their change cannot be read yet.
                let namesake = self.0.store.schedule_named(&name).await?.filter(|other| other.id != id);
                let present = self.present(id).await?.version.max(expected + 1);
                return Err(if namesake.is_some() { taken(&name) } else { Problem::changed(present) });
            }
            other => other?,
        }
        self.0.bus.ring(Bell::Engine);
        self.standing(id).await
    }

    /// Delete a schedule, with its overrides, windows and feed
    ///
    /// Refused while a policy calls whoever is on duty by it.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_schedule")]
    async fn delete(
        &self,
        caller: EditsSchedules,
        id: Path<Uuid>,
        /// The ETag that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Gone, Problem> {
        let id = ScheduleId(id.0);
        let expected = version::expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        match self.0.by(&caller.0).delete_schedule(id, expected).await {
            Ok(Deletion::Deleted) => Ok(Gone::Gone),
            Ok(Deletion::UsedIn(places)) => Err(Problem::in_use("schedule", &places)),
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            Err(other) => Err(other.into()),
        }
    }

    /// Who is on call when
    #[oai(path = "/:id/shifts", method = "get", operation_id = "list_shifts")]
    async fn shifts(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// From when; from now, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Until when, at most 366 days later; two weeks, if it is not said.
        to: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<Shifts>, Problem> {
        let (from, to) = times::span(from.0, to.0, self.0.clock.now())?;
        let shifts = self.compute(ScheduleId(id.0), from, to, oncall::shifts).await?;
        let names = Names::of(&self.0.store, shifts.iter().flat_map(|shift| &shift.people).copied()).await?;
        let show =
            |shift: oncall::Shift| Shift { from: shift.from, until: shift.until, people: names.people(&shift.people) };
        Ok(Json(Shifts { from, to, items: shifts.into_iter().map(show).collect() }))
    }

    /// When nobody is on call
    #[oai(path = "/:id/gaps", method = "get", operation_id = "list_gaps")]
    async fn gaps(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// From when; from now, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Until when, at most 366 days later; two weeks, if it is not said.
        to: Query<Option<DateTime<Utc>>>,
    ) -> Result<Json<Gaps>, Problem> {
        let (from, to) = times::span(from.0, to.0, self.0.clock.now())?;
        let gaps = self.compute(ScheduleId(id.0), from, to, oncall::gaps).await?;
        let items = gaps.into_iter().map(|gap| Gap { from: gap.from, until: gap.until }).collect();
        Ok(Json(Gaps { from, to, items }))
    }

    /// When other people are on call next, and who
    #[oai(path = "/:id/next-change", method = "get", operation_id = "get_next_change")]
    async fn next_change(&self, _caller: ReadsSchedules, id: Path<Uuid>) -> Result<Json<NextChange>, Problem> {
        let now = self.0.clock.now();
        let duty = self.0.store.duty(ScheduleId(id.0), now, now + AHEAD).await?;
        let duty = duty.ok_or_else(|| Problem::not_found("schedule"))?;
        let (people, next) =
            times::computed(move || (oncall::on_call(&duty, now), oncall::next_change(&duty, now, AHEAD))).await?;
        let (at, next) = next.map_or((None, Vec::new()), |(at, next)| (Some(at), next));
        let names = Names::of(&self.0.store, people.iter().chain(&next).copied()).await?;
        Ok(Json(NextChange { people: names.people(&people), at, next: names.people(&next) }))
    }

    /// Who came on duty and who went off, oldest first
    #[oai(path = "/:id/timeline", method = "get", operation_id = "get_schedule_timeline")]
    async fn timeline(
        &self,
        _caller: ReadsSchedules,
        id: Path<Uuid>,
        /// Only what came after this line.
        after: Query<Option<Uuid>>,
        /// How many lines at most.
        #[oai(default = "super::default_lines", validator(minimum(value = "1"), maximum(value = "5000")))]
        limit: Query<u64>,
    ) -> Result<Json<Timeline>, Problem> {
        let id = self.present(ScheduleId(id.0)).await?.id;
        let lines = self.0.store.schedule_timeline(id, after.0.map(EventId), limit.0).await?;
        Ok(Json(Timeline { items: lines.into_iter().map(TimelineLine::from).collect() }))
    }
}

impl Schedules {
    async fn present(&self, id: ScheduleId) -> Result<NamedSchedule, Problem> {
        self.0.store.schedule(id).await?.ok_or_else(|| Problem::not_found("schedule"))
    }

    async fn standing(&self, id: ScheduleId) -> Result<Standing<Schedule>, Problem> {
        let schedule = self.present(id).await?;
        let etag = version::etag(schedule.version);
        Ok(Standing::Standing(Json(self.show_one(schedule).await?), etag))
    }

    async fn compute(
        &self,
        id: ScheduleId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
        what: Spans,
    ) -> Result<Vec<oncall::Shift>, Problem> {
        let duty = self.0.store.duty(id, from, to).await?.ok_or_else(|| Problem::not_found("schedule"))?;
        let shifts = times::computed(move || what(&duty, from, to)).await?;
        shifts.map_err(|error| Problem::unprocessable(error.to_string()))
    }

    /// Reads what is sent, and finds everything that is wrong with it.
    async fn read(&self, new: NewSchedule) -> Result<ScheduleData, Problem> {
        let mut people = Lookup::new(&self.0.store);
        let mut mistakes = Vec::new();
        let name = text(new.name).trim().to_owned();
        if name.is_empty() {
            mistakes.push("name: is empty".to_owned());
        }
        let zone = times::zone("time_zone", &new.time_zone).unwrap_or_else(|wrong| {
            mistakes.push(wrong);
            crate::wallclock::Zone::UTC
        });
        let mut layers = Vec::with_capacity(new.layers.len());
        for (nth, layer) in new.layers.into_iter().enumerate() {
            let place = format!("layers[{nth}]");
            let unknown = people.mistakes.len();
            let participants = people.find(&format!("{place}.participants"), &layer.participants).await?;
            let start = times::local(&format!("{place}.start"), &layer.start);
            let restrictions = layer.restrictions.iter().enumerate();
            let restrictions: Result<Vec<_>, String> =
                restrictions.map(|(nth, hours)| hours.read(&format!("{place}.restrictions[{nth}]"))).collect();
            // Of people who are not found it is said that they are not, and not that nobody takes part.
            let all_found = people.mistakes.len() == unknown;
            match (start, restrictions) {
                (Ok(start), Ok(restrictions)) if all_found => layers.push(oncall::Layer {
                    name: text(layer.name).trim().to_owned(),
                    rotation: Rotation { participants, start, every: layer.every, unit: layer.unit.into() },
                    restrictions,
                    until: layer.until.map(|until| times::instant(&format!("{place}.until"), until)).transpose()?,
                }),
                (start, restrictions) => mistakes.extend(start.err().into_iter().chain(restrictions.err())),
            }
        }
        mistakes.append(&mut people.mistakes);
        let schedule = oncall::Schedule { zone, layers };
        mistakes.extend(schedule.mistakes());
        if mistakes.is_empty() {
            Ok(ScheduleData { name, description: text(new.description), schedule })
        } else {
            Err(Problem::unprocessable(mistakes.join("; ")))
        }
    }

    async fn show_one(&self, schedule: NamedSchedule) -> Result<Schedule, Problem> {
        let id = schedule.id;
        self.show(vec![schedule]).await?.pop().ok_or_else(|| Problem::not_found(&format!("schedule {id}")))
    }

    async fn show(&self, schedules: Vec<NamedSchedule>) -> Result<Vec<Schedule>, store::Error> {
        let layers = schedules.iter().flat_map(|schedule| &schedule.data.schedule.layers);
        let people = layers.flat_map(|layer| &layer.rotation.participants).copied();
        let names = Names::of(&self.0.store, people).await?;
        let show = |named: NamedSchedule| {
            let oncall::Schedule { zone, layers } = named.data.schedule;
            let layers = layers.into_iter().map(|layer| show_layer(layer, &names)).collect::<Result<_, _>>()?;
            Ok(Schedule {
                id: named.id.0,
                name: named.data.name,
                description: named.data.description,
                time_zone: zone.to_string(),
                layers,
                version: named.version,
                updated_at: named.updated_at,
            })
        };
        schedules.into_iter().map(show).collect()
    }
}

fn show_layer(layer: oncall::Layer, names: &Names) -> Result<Layer, store::Error> {
    let Rotation { participants, start, every, unit } = layer.rotation;
    Ok(Layer {
        name: layer.name,
        participants: participants.into_iter().map(|id: ContactId| names.who(id)).collect(),
        start: times::show_local(start),
        every,
        unit: unit.into(),
        restrictions: layer.restrictions.iter().map(Hours::show).collect::<Result<_, _>>()?,
        until: layer.until,
    })
}

fn taken(name: &str) -> Problem {
    Problem::conflict(format!("there is a schedule called \"{name}\" already"))
}

impl From<Unit> for oncall::Unit {
    fn from(unit: Unit) -> Self {
        match unit {
            Unit::Hours => Self::Hours,
            Unit::Days => Self::Days,
            Unit::Weeks => Self::Weeks,
        }
    }
}

impl From<oncall::Unit> for Unit {
    fn from(unit: oncall::Unit) -> Self {
        match unit {
            oncall::Unit::Hours => Self::Hours,
            oncall::Unit::Days => Self::Days,
            oncall::Unit::Weeks => Self::Weeks,
        }
    }
}
