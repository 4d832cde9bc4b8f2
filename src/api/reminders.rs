//! Reminders: calls that come again and again.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{PlacesCalls, ReadsCalls},
    body::Body,
    error::Problem,
    idempotency::Once,
    moment,
    scheduled_calls::quarter_of_an_hour,
    targets::Target,
    text,
    version::{etag, expected},
};
use crate::{
    bus::Bell,
    id::ReminderId,
    recurrence::Recurrence,
    store::{self, ReminderData},
};

/// Reminders.
pub struct Reminders(pub State);

/// Whom it calls, what is said, and when.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct ReminderEdit {
    /// Whom.
    to: Target,
    /// What is spoken.
    #[oai(validator(min_length = 1, max_length = 10_000))]
    text: String,
    /// The first time, in local time: `2026-11-23T09:00`.
    #[oai(validator(max_length = 50))]
    start: String,
    /// Where that local time holds, an IANA name. A local time that does not exist is the first instant
    /// after the gap, one that exists twice the first.
    #[oai(validator(max_length = 100))]
    time_zone: String,
    /// How it repeats: RFC 5545, such as `FREQ=WEEKLY;BYDAY=MO`.
    #[oai(validator(min_length = 1, max_length = 500))]
    rrule: String,
    /// How often each time is tried.
    #[oai(default = "once", validator(minimum(value = "1"), maximum(value = "10")))]
    #[serde(default = "once")]
    attempts: u32,
    /// Seconds from one try to the next.
    #[oai(default = "minute", validator(minimum(value = "1"), maximum(value = "86400")))]
    #[serde(default = "minute")]
    attempt_delay: u32,
    /// Seconds after its time when it is too late to call.
    #[oai(default = "quarter_of_an_hour", validator(minimum(value = "1"), maximum(value = "604800")))]
    #[serde(default = "quarter_of_an_hour")]
    expires: u32,
}

fn once() -> u32 {
    1
}

fn minute() -> u32 {
    60
}

/// A reminder.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Reminder {
    /// Its identifier.
    id: Uuid,
    /// Counts its changes; also the ETag.
    version: i64,
    /// The next time; absent when there is none any more.
    next_at: Option<DateTime<Utc>>,
    /// Who made it.
    made_by: String,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// What it says.
    #[oai(flatten)]
    reminder: ReminderEdit,
}

/// A page of reminders, newest first.
#[derive(Debug, Object)]
struct ReminderPage {
    /// What is on it.
    items: Vec<Reminder>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

#[derive(ApiResponse)]
enum Created {
    /// Made.
    #[oai(status = 201)]
    Created(
        Json<Reminder>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// As it is.
    #[oai(status = 200)]
    Found(
        Json<Reminder>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Deleted. Calls that have come of it go on.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(prefix_path = "/api/v2/reminders", tag = "Tag::Calls")]
impl Reminders {
    /// List reminders, newest first
    #[oai(path = "/", method = "get", operation_id = "list_reminders")]
    async fn list(
        &self,
        _caller: ReadsCalls,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<ReminderPage>, Problem> {
        let page = self.0.store.reminders(cursor.0, limit.0).await?;
        let mut items = Vec::new();
        for reminder in page.items {
            items.push(self.show(reminder).await?);
        }
        Ok(Json(ReminderPage { items, next: page.next }))
    }

    /// Make a reminder
    #[oai(path = "/", method = "post", operation_id = "create_reminder")]
    async fn create(
        &self,
        caller: PlacesCalls,
        /// Sent again under the same key, within a day, a reminder is made once and answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        reminder: Body<ReminderEdit>,
    ) -> Result<Created, Problem> {
        let id = ReminderId(once.chosen().0);
        if !once.again() || self.0.store.reminder(id).await?.is_none() {
            let data = self.read(reminder.0).await?;
            let now = self.0.clock.now();
            let next = next_time(&data, now).await?;
            self.0.by(&caller).create_reminder_as(id, data, next, caller.name(), now).await?;
            self.0.bus.ring(Bell::Engine);
        }
        let reminder = self.present(id).await?;
        let tag = etag(reminder.version);
        Ok(Created::Created(Json(self.show(reminder).await?), tag))
    }

    /// One reminder
    #[oai(path = "/:id", method = "get", operation_id = "get_reminder")]
    async fn get(&self, _caller: ReadsCalls, id: Path<Uuid>) -> Result<Found, Problem> {
        self.found(ReminderId(id.0)).await
    }

    /// Change a reminder
    #[oai(path = "/:id", method = "put", operation_id = "update_reminder")]
    async fn update(
        &self,
        caller: PlacesCalls,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        reminder: Body<ReminderEdit>,
    ) -> Result<Found, Problem> {
        let id = ReminderId(id.0);
        let version = expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        let data = self.read(reminder.0).await?;
        let now = self.0.clock.now();
        let next = next_time(&data, now).await?;
        match self.0.by(&caller.0).update_reminder(id, version, data, next, now).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            updated => {
                updated?;
                self.0.bus.ring(Bell::Engine);
                self.found(id).await
            }
        }
    }

    /// Delete a reminder
    #[oai(path = "/:id", method = "delete", operation_id = "delete_reminder")]
    async fn delete(
        &self,
        caller: PlacesCalls,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let id = ReminderId(id.0);
        let version = expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        match self.0.by(&caller.0).delete_reminder(id, version).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            deleted => Ok(deleted.map(|()| Deleted::Deleted)?),
        }
    }
}

/// When it comes next. Looking for a rule that never does takes its time.
async fn next_time(data: &ReminderData, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Problem> {
    let data = data.clone();
    let next = tokio::task::spawn_blocking(move || data.next_after(now)).await.ok().flatten();
    if next.is_some() { Ok(next) } else { Err(Problem::unprocessable("rrule: this never comes again")) }
}

impl Reminders {
    async fn present(&self, id: ReminderId) -> Result<store::Reminder, Problem> {
        self.0.store.reminder(id).await?.ok_or_else(|| Problem::not_found("reminder"))
    }

    async fn found(&self, id: ReminderId) -> Result<Found, Problem> {
        let reminder = self.present(id).await?;
        let tag = etag(reminder.version);
        Ok(Found::Found(Json(self.show(reminder).await?), tag))
    }

    async fn read(&self, edit: ReminderEdit) -> Result<ReminderData, Problem> {
        let recurrence: Recurrence =
            edit.rrule.parse().map_err(|error| Problem::unprocessable(format!("rrule: {error}")))?;
        if edit.text.trim().is_empty() {
            return Err(Problem::unprocessable("text: is empty"));
        }
        Ok(ReminderData {
            target: self.0.target("to", &edit.to).await?,
            text: text(edit.text),
            attempts: edit.attempts,
            attempt_delay: edit.attempt_delay,
            expires: edit.expires,
            start: moment::local("start", &edit.start)?,
            zone: moment::zone("time_zone", &edit.time_zone)?,
            recurrence,
        })
    }

    async fn show(&self, reminder: store::Reminder) -> Result<Reminder, Problem> {
        let data = reminder.data;
        Ok(Reminder {
            id: reminder.id.0,
            version: reminder.version,
            next_at: reminder.next_at,
            made_by: reminder.made_by,
            updated_at: reminder.updated_at,
            reminder: ReminderEdit {
                to: self.0.show_target(&data.target).await?,
                text: data.text,
                start: data.start.format("%Y-%m-%dT%H:%M:%S").to_string(),
                time_zone: data.zone.to_string(),
                rrule: data.recurrence.into(),
                attempts: data.attempts,
                attempt_delay: data.attempt_delay,
                expires: data.expires,
            },
        })
    }
}
