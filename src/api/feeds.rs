//! Duties as calendars to subscribe to, under secret addresses.
//!
//! Calendar programs send no credential: whoever knows the address may read. It is shown once; only its
//! digest is kept, and it is masked in the log.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::Path,
    payload::{Json, PlainText},
};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsContacts, EditsSchedules},
    error::Problem,
    people::Names,
    tagged::Gone,
    times,
};
use crate::{
    exchange::ical::{self, FeedEvent},
    id::{self, ContactId, ScheduleId},
    oncall::{self, Duty, Shift},
    store::{FeedOf, NamedDuty},
};

/// Feeds.
pub struct Feeds(pub State);

/// What a feed shows, from today: so many days back, and so many ahead.
const BACK: Days = Days::new(30);
const AHEAD: Days = Days::new(181);

/// A secret address.
#[derive(Debug, Object)]
struct Feed {
    /// Where the calendar is, on this server. It is shown this once.
    path: String,
}

#[derive(ApiResponse)]
enum MadeFeed {
    /// Made; the address before it is worth nothing any more.
    #[oai(status = 201)]
    Made(Json<Feed>),
}

#[derive(ApiResponse)]
enum CalendarFile {
    /// A calendar (RFC 5545).
    #[oai(status = 200, content_type = "text/calendar; charset=utf-8")]
    Calendar(PlainText<String>),
}

#[OpenApi(tag = "Tag::Schedules")]
impl Feeds {
    /// Make or renew the secret address of a schedule's calendar
    #[oai(path = "/api/v2/schedules/:id/feed", method = "post", operation_id = "renew_schedule_feed")]
    async fn renew_schedule(&self, caller: EditsSchedules, id: Path<Uuid>) -> Result<MadeFeed, Problem> {
        self.renew(&caller.0, FeedOf::Schedule(ScheduleId(id.0))).await
    }

    /// Revoke the secret address of a schedule's calendar
    #[oai(path = "/api/v2/schedules/:id/feed", method = "delete", operation_id = "revoke_schedule_feed")]
    async fn revoke_schedule(&self, caller: EditsSchedules, id: Path<Uuid>) -> Result<Gone, Problem> {
        self.revoke(&caller.0, FeedOf::Schedule(ScheduleId(id.0))).await
    }

    /// Make or renew the secret address of a contact's calendar: their duties by all schedules
    #[oai(path = "/api/v2/contacts/:id/feed", method = "post", operation_id = "renew_contact_feed")]
    async fn renew_contact(&self, caller: EditsContacts, id: Path<Uuid>) -> Result<MadeFeed, Problem> {
        self.renew(&caller.0, FeedOf::Contact(ContactId(id.0))).await
    }

    /// Revoke the secret address of a contact's calendar
    #[oai(path = "/api/v2/contacts/:id/feed", method = "delete", operation_id = "revoke_contact_feed")]
    async fn revoke_contact(&self, caller: EditsContacts, id: Path<Uuid>) -> Result<Gone, Problem> {
        self.revoke(&caller.0, FeedOf::Contact(ContactId(id.0))).await
    }

    /// A calendar under its secret address
    ///
    /// Needs no credential: the address is one.
    #[oai(path = "/feeds/:file", method = "get", operation_id = "get_feed")]
    async fn get(
        &self,
        /// The secret, and `.ics`.
        file: Path<String>,
    ) -> Result<CalendarFile, Problem> {
        let token = file.0.strip_suffix(".ics").ok_or_else(unknown)?;
        let of = self.0.store.feed(&digest(token)).await?.ok_or_else(unknown)?;
        let now = self.0.clock.now();
        let (from, until) = shown(now);
        let calendar = match of {
            FeedOf::Schedule(id) => self.of_schedule(id, from, until, now).await?,
            FeedOf::Contact(id) => self.of_contact(id, from, until, now).await?,
        };
        Ok(CalendarFile::Calendar(PlainText(calendar.ok_or_else(unknown)?)))
    }
}

impl Feeds {
    async fn renew(&self, caller: &Caller, of: FeedOf) -> Result<MadeFeed, Problem> {
        self.exists(of).await?;
        let token = id::secret();
        self.0.by(caller).renew_feed(of, digest(&token), self.0.clock.now()).await?;
        Ok(MadeFeed::Made(Json(Feed { path: format!("/feeds/{token}.ics") })))
    }

    async fn revoke(&self, caller: &Caller, of: FeedOf) -> Result<Gone, Problem> {
        self.exists(of).await?;
        if self.0.by(caller).revoke_feed(of).await? { Ok(Gone::Gone) } else { Err(Problem::not_found("feed")) }
    }

    async fn exists(&self, of: FeedOf) -> Result<(), Problem> {
        let store = &self.0.store;
        let (exists, what) = match of {
            FeedOf::Schedule(id) => (store.schedule(id).await?.is_some(), "schedule"),
            FeedOf::Contact(id) => (store.contact(id).await?.is_some(), "contact"),
        };
        if exists { Ok(()) } else { Err(Problem::not_found(what)) }
    }

    async fn of_schedule(
        &self,
        id: ScheduleId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, Problem> {
        let Some(named) = self.0.store.named_duty(id, from, until).await? else { return Ok(None) };
        let NamedDuty { name, duty, .. } = named;
        let zone = duty.schedule.zone;
        let shifts = times::computed(move || oncall::shifts(&duty, from, until)).await?.unwrap_or_default();
        let names = Names::of(&self.0.store, shifts.iter().flat_map(|shift| &shift.people).copied()).await?;
        let events = shifts.into_iter().filter(|shift| !shift.people.is_empty()).map(|shift| {
            let people: Vec<String> = shift.people.iter().map(|id| names.name(*id)).collect();
            event(id, &shift, people.join(", "), format!("on call: {name}"))
        });
        Ok(Some(ical::write_calendar(&name, &zone.to_string(), events, now)))
    }

    async fn of_contact(
        &self,
        id: ContactId,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Option<String>, Problem> {
        let Some(contact) = self.0.store.contact(id).await? else { return Ok(None) };
        let mut duties = self.0.store.duties(from, until).await?;
        duties.retain(|named| names_them(&named.duty, id));
        let events = times::computed(move || {
            let mut events = Vec::new();
            for NamedDuty { id: schedule, name, duty, .. } in duties {
                let shifts = oncall::shifts(&duty, from, until).unwrap_or_default();
                let own = own(shifts, id);
                events.extend(own.iter().map(|shift| event(schedule, shift, name.clone(), String::new())));
            }
            events
        })
        .await?;
        let name = format!("On call: {}", contact.full_name());
        Ok(Some(ical::write_calendar(&name, &contact.data.time_zone, events, now)))
    }
}

/// The one answer to whatever is no secret address.
fn unknown() -> Problem {
    Problem::not_found("feed")
}

fn digest(token: &str) -> String {
    hex::encode(Sha256::digest(token.as_bytes()))
}

/// Whole days: else what began before would be a new event at every look.
fn shown(now: DateTime<Utc>) -> (DateTime<Utc>, DateTime<Utc>) {
    let today = now.date_naive().and_time(NaiveTime::MIN).and_utc();
    let from = today.checked_sub_days(BACK).unwrap_or(today);
    (from, today.checked_add_days(AHEAD).unwrap_or(today + TimeDelta::days(1)))
}

fn event(schedule: ScheduleId, shift: &Shift, summary: String, description: String) -> FeedEvent {
    FeedEvent {
        uid: format!("{schedule}-{}@ringdown", shift.from.timestamp()),
        summary,
        from: shift.from,
        until: shift.until,
        description,
    }
}

fn names_them(duty: &Duty, id: ContactId) -> bool {
    duty.schedule.layers.iter().any(|layer| layer.rotation.participants.contains(&id))
        || duty.overrides.iter().any(|change| change.people.contains(&id))
        || duty.windows.iter().any(|window| window.contact == id)
}

/// The shifts of one person, whoever else is on call meanwhile.
fn own(shifts: Vec<Shift>, id: ContactId) -> Vec<Shift> {
    let mut own: Vec<Shift> = Vec::new();
    for shift in shifts.into_iter().filter(|shift| shift.people.contains(&id)) {
        match own.last_mut() {
            Some(last) if last.until == shift.from => last.until = shift.until,
            _ => own.push(shift),
        }
    }
    own
}
