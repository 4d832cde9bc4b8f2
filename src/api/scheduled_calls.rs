//! Scheduled calls: what waits for its time, put off and called off.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{PlacesCalls, ReadsCalls},
    body::Body,
    error::Problem,
    moment,
};
use crate::{
    engine::{Applied, Times},
    escalation,
    id::IncidentId,
    store::{self, IncidentFilter},
};

/// Scheduled calls.
pub struct ScheduledCalls(pub State);

/// A call that waits for its time.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct ScheduledCall {
    /// Its incident's identifier.
    incident_id: Uuid,
    /// When it is placed.
    at: DateTime<Utc>,
    /// When it is too late for that.
    expires_at: DateTime<Utc>,
    /// What is spoken.
    text: String,
    /// Who asked for it.
    source: String,
}

/// A page of them, newest first.
#[derive(Debug, Object)]
struct ScheduledCallPage {
    /// What is on it.
    items: Vec<ScheduledCall>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

/// Another time.
#[derive(Debug, Object, Deserialize)]
struct Reschedule {
    /// When: ISO 8601 with an offset, or a local time with `time_zone`.
    #[oai(validator(max_length = 50))]
    at: String,
    /// Where `at` holds, if it has no offset.
    #[oai(validator(max_length = 100))]
    time_zone: Option<String>,
    /// Seconds after its time when it is too late to call.
    #[oai(default = "quarter_of_an_hour", validator(minimum(value = "1"), maximum(value = "604800")))]
    #[serde(default = "quarter_of_an_hour")]
    expires: u32,
}

/// How late a call may be unless it is said otherwise, in seconds.
pub(super) fn quarter_of_an_hour() -> u32 {
    900
}

#[derive(ApiResponse)]
enum CalledOff {
    /// It will not be placed.
    #[oai(status = 204)]
    CalledOff,
}

#[OpenApi(prefix_path = "/api/v2/scheduled-calls", tag = "Tag::Calls")]
impl ScheduledCalls {
    /// List calls that wait for their time
    #[oai(path = "/", method = "get", operation_id = "list_scheduled_calls")]
    async fn list(
        &self,
        _caller: ReadsCalls,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<ScheduledCallPage>, Problem> {
        let filter = IncidentFilter { state: Some("scheduled".into()), before: cursor.0, ..IncidentFilter::default() };
        let page = self.0.store.incidents(filter, limit.0).await?;
        Ok(Json(ScheduledCallPage { items: page.items.into_iter().filter_map(shown).collect(), next: page.next }))
    }

    /// One call that waits for its time
    #[oai(path = "/:id", method = "get", operation_id = "get_scheduled_call")]
    async fn get(&self, _caller: ReadsCalls, id: Path<Uuid>) -> Result<Json<ScheduledCall>, Problem> {
        let incident = self.0.store.incident(IncidentId(id.0)).await?;
        incident.and_then(shown).map(Json).ok_or_else(|| Problem::not_found("scheduled call"))
    }

    /// Put a call off, or bring it forward
    ///
    /// 409 if its time has come meanwhile.
    #[oai(path = "/:id", method = "put", operation_id = "reschedule_call")]
    async fn reschedule(
        &self,
        caller: PlacesCalls,
        id: Path<Uuid>,
        to: Body<Reschedule>,
    ) -> Result<Json<ScheduledCall>, Problem> {
        let due_at = moment::instant("at", &to.0.at, to.0.time_zone.as_deref())?;
        if due_at <= self.0.clock.now() {
            return Err(Problem::unprocessable("at: is past"));
        }
        let times = times(due_at, to.0.expires);
        match self.0.engine.reschedule(IncidentId(id.0), times, &caller.0.actor()).await? {
            Applied::Changed(incident) => {
                shown(*incident).map(Json).ok_or_else(|| Problem::not_found("scheduled call"))
            }
            Applied::Unchanged(incident) => Err(too_late(&incident)),
            Applied::Unknown => Err(Problem::not_found("scheduled call")),
        }
    }

    /// Call a call off
    ///
    /// 409 if its time has come meanwhile.
    #[oai(path = "/:id", method = "delete", operation_id = "cancel_scheduled_call")]
    async fn call_off(&self, caller: PlacesCalls, id: Path<Uuid>) -> Result<CalledOff, Problem> {
        match self.0.engine.call_off(IncidentId(id.0), caller.0.actor()).await? {
            Applied::Changed(_) => Ok(CalledOff::CalledOff),
            Applied::Unchanged(incident) => Err(too_late(&incident)),
            Applied::Unknown => Err(Problem::not_found("scheduled call")),
        }
    }
}

/// From when on, and until when it may be late.
pub(super) fn times(due_at: DateTime<Utc>, expires: u32) -> Times {
    Times { due_at, expires_at: due_at + TimeDelta::seconds(expires.into()) }
}

fn too_late(incident: &store::Incident) -> Problem {
    Problem::conflict(format!("it does not wait any more: it is {}", incident.state_name()))
}

fn shown(incident: store::Incident) -> Option<ScheduledCall> {
    let escalation::State::Scheduled { due_at, expires_at } = incident.state else { return None };
    Some(ScheduledCall {
        incident_id: incident.id.0,
        at: due_at,
        expires_at,
        text: incident.content.summary,
        source: incident.source,
    })
}
