//! Incidents: lists, one, its timeline, what can be said about it.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use poem_openapi::{
    Enum, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{ReadsIncidents, WorksIncidents},
    error::Problem,
    idempotency::Once,
};
use crate::{
    engine::Applied,
    escalation,
    id::{EventId, IncidentId},
    store::{self, IncidentFilter, TimelineEvent},
};

/// Incidents.
pub struct Incidents(pub State);

/// Where an incident stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum IncidentState {
    /// Open, and it pages nobody: there is no policy for it, or it is to stay quiet for a while.
    Held,
    /// Somebody is being called.
    Escalating,
    /// A person has taken it.
    Acknowledged,
    /// It is over.
    Resolved,
    /// All rounds went unanswered.
    Exhausted,
    /// Its time has not come.
    Scheduled,
    /// Its time was too long past when the server could have called.
    Expired,
}

/// An incident.
#[derive(Debug, Object)]
struct Incident {
    /// Its identifier.
    id: Uuid,
    /// Where it stands.
    state: IncidentState,
    /// What it is about.
    summary: String,
    /// Everything else there is to say.
    details: String,
    /// As the sender calls it.
    severity: String,
    /// What the sender attached.
    labels: HashMap<String, String>,
    /// What makes two alerts the same incident.
    dedup_key: String,
    /// The policy it escalates by.
    #[oai(skip_serializing_if_is_none)]
    policy: Option<String>,
    /// Who sent it.
    source: String,
    /// Who has taken it.
    #[oai(skip_serializing_if_is_none)]
    acknowledged_by: Option<String>,
    /// The round that runs, from 1.
    #[oai(skip_serializing_if_is_none)]
    round: Option<u32>,
    /// The step that runs, from 1.
    #[oai(skip_serializing_if_is_none)]
    step: Option<u32>,
    /// The attempt that runs, from 1.
    #[oai(skip_serializing_if_is_none)]
    attempt: Option<u32>,
    /// When something happens next if nobody says anything.
    #[oai(skip_serializing_if_is_none)]
    due_at: Option<DateTime<Utc>>,
    /// When it was raised.
    raised_at: DateTime<Utc>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// How many alerts of the group the sender left out.
    truncated: u32,
    /// The alerts of the group; left out of lists.
    #[oai(default, skip_serializing_if_is_empty)]
    members: Vec<Member>,
}

/// An alert of a group.
#[derive(Debug, Object)]
struct Member {
    /// Alertmanager's name for its labels.
    fingerprint: String,
    /// What it is about.
    summary: String,
    /// As the sender calls it.
    severity: String,
    /// Whether it still holds.
    firing: bool,
    /// What the sender attached.
    labels: HashMap<String, String>,
}

/// A page of incidents, newest first.
#[derive(Debug, Object)]
struct IncidentPage {
    /// What is on it.
    items: Vec<Incident>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

/// A line of a timeline.
#[derive(Debug, Object)]
pub(super) struct TimelineLine {
    /// Its identifier; send the last one as `after` for what came since.
    id: Uuid,
    /// When it happened.
    at: DateTime<Utc>,
    /// What happened, for programs.
    kind: String,
    /// What happened, for people.
    text: String,
    /// The call it is about.
    #[oai(skip_serializing_if_is_none)]
    call_id: Option<Uuid>,
    /// The text message it is about.
    #[oai(skip_serializing_if_is_none)]
    message_id: Option<Uuid>,
    /// Particulars, which differ from kind to kind.
    data: serde_json::Value,
}

/// A part of a timeline, oldest first.
#[derive(Debug, Object)]
pub(super) struct Timeline {
    /// Its lines.
    pub(super) items: Vec<TimelineLine>,
}

#[OpenApi(prefix_path = "/api/v2/incidents", tag = "Tag::Incidents")]
impl Incidents {
    /// List incidents, newest first
    #[oai(path = "/", method = "get", operation_id = "list_incidents")]
    async fn list(
        &self,
        _caller: ReadsIncidents,
        /// Only in this state.
        state: Query<Option<IncidentState>>,
        /// Only of this policy.
        #[oai(validator(max_length = 256))]
        policy: Query<Option<String>>,
        /// Only with this key.
        #[oai(validator(max_length = 1024))]
        dedup_key: Query<Option<String>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<IncidentPage>, Problem> {
        let filter = IncidentFilter {
            state: state.0.map(|state| state_name(state).to_owned()),
            policy: policy.0,
            dedup_key: dedup_key.0,
            before: cursor.0,
        };
        let page = self.0.store.incidents(filter, limit.0).await?;
        Ok(Json(IncidentPage { items: page.items.into_iter().map(Incident::from).collect(), next: page.next }))
    }

    /// One incident
    #[oai(path = "/:id", method = "get", operation_id = "get_incident")]
    async fn get(&self, _caller: ReadsIncidents, id: Path<Uuid>) -> Result<Json<Incident>, Problem> {
        let incident = self.0.store.incident(IncidentId(id.0)).await?;
        incident.map(|incident| Json(incident.into())).ok_or_else(|| Problem::not_found("incident"))
    }

    /// What was tried, heard and pressed, oldest first
    #[oai(path = "/:id/timeline", method = "get", operation_id = "get_incident_timeline")]
    async fn timeline(
        &self,
        _caller: ReadsIncidents,
        id: Path<Uuid>,
        /// Only what came after this line.
        after: Query<Option<Uuid>>,
        /// How many lines at most.
        #[oai(default = "super::default_lines", validator(minimum(value = "1"), maximum(value = "5000")))]
        limit: Query<u64>,
    ) -> Result<Json<Timeline>, Problem> {
        let id = IncidentId(id.0);
        if self.0.store.incident(id).await?.is_none() {
            return Err(Problem::not_found("incident"));
        }
        let lines = self.0.store.timeline(id, after.0.map(EventId), limit.0).await?;
        Ok(Json(Timeline { items: lines.into_iter().map(TimelineLine::from).collect() }))
    }

    /// Take it: nobody else is called about it
    #[oai(path = "/:id/acknowledge", method = "post", operation_id = "acknowledge_incident")]
    async fn acknowledge(
        &self,
        caller: WorksIncidents,
        /// Sent again under the same key, within a day, it counts once and is answered the same.
        #[oai(name = "Idempotency-Key")]
        _once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Incident>, Problem> {
        said(self.0.engine.acknowledge(IncidentId(id.0), caller.0.actor()).await?)
    }

    /// Pass it on to the next step
    #[oai(path = "/:id/escalate", method = "post", operation_id = "escalate_incident")]
    async fn escalate(
        &self,
        caller: WorksIncidents,
        /// Sent again under the same key, within a day, it counts once and is answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Incident>, Problem> {
        let id = IncidentId(id.0);
        let at = match self.0.store.incident(id).await?.filter(|_| once.has_key()) {
            // Where it stood the first time: said again after a crash, it passes on what it has passed on.
            Some(incident) => Some(once.noted(&self.0.store, escalation::stage(&incident.state)).await?),
            None => None,
        };
        said(self.0.engine.escalate(id, at, caller.0.actor()).await?)
    }

    /// Say that it is over
    #[oai(path = "/:id/resolve", method = "post", operation_id = "resolve_incident")]
    async fn resolve(
        &self,
        caller: WorksIncidents,
        /// Sent again under the same key, within a day, it counts once and is answered the same.
        #[oai(name = "Idempotency-Key")]
        _once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Incident>, Problem> {
        said(self.0.engine.resolve(IncidentId(id.0), caller.0.actor()).await?)
    }
}

/// What was said twice counts once, and is no mistake.
fn said(applied: Applied) -> Result<Json<Incident>, Problem> {
    match applied {
        Applied::Changed(incident) | Applied::Unchanged(incident) => Ok(Json((*incident).into())),
        Applied::Unknown => Err(Problem::not_found("incident")),
    }
}

fn state_name(state: IncidentState) -> &'static str {
    match state {
        IncidentState::Held => "held",
        IncidentState::Escalating => "escalating",
        IncidentState::Acknowledged => "acknowledged",
        IncidentState::Resolved => "resolved",
        IncidentState::Exhausted => "exhausted",
        IncidentState::Scheduled => "scheduled",
        IncidentState::Expired => "expired",
    }
}

impl From<store::Incident> for Incident {
    fn from(incident: store::Incident) -> Self {
        use escalation::State;
        let (state, by, at) = match &incident.state {
            State::Held { .. } => (IncidentState::Held, None, None),
            State::Escalating { at, .. } => (IncidentState::Escalating, None, Some(*at)),
            State::Acknowledged { by, .. } => (IncidentState::Acknowledged, Some(by.name().to_owned()), None),
            State::Resolved => (IncidentState::Resolved, None, None),
            State::Exhausted { .. } => (IncidentState::Exhausted, None, None),
            State::Scheduled { .. } => (IncidentState::Scheduled, None, None),
            State::Expired => (IncidentState::Expired, None, None),
        };
        let content = incident.content;
        Self {
            id: incident.id.0,
            state,
            summary: content.summary,
            details: content.details,
            severity: content.severity,
            labels: content.labels.into_iter().collect(),
            dedup_key: incident.dedup_key,
            policy: incident.policy_name,
            source: incident.source,
            acknowledged_by: by,
            round: at.map(|at| at.stage.round + 1),
            step: at.map(|at| at.stage.step + 1),
            attempt: at.map(|at| at.attempt),
            due_at: escalation::due_at(&incident.state),
            raised_at: incident.raised_at,
            updated_at: incident.updated_at,
            truncated: content.truncated,
            members: content.members.into_iter().map(Member::from).collect(),
        }
    }
}

impl From<store::Member> for Member {
    fn from(member: store::Member) -> Self {
        Self {
            fingerprint: member.fingerprint,
            summary: member.summary,
            severity: member.severity,
            firing: member.firing,
            labels: member.labels.into_iter().collect(),
        }
    }
}

impl From<TimelineEvent> for TimelineLine {
    fn from(event: TimelineEvent) -> Self {
        let text = event.entry.fact.sentence();
        let mut data = serde_json::to_value(&event.entry.fact).unwrap_or_default();
        let kind = data.as_object_mut().and_then(|fields| fields.remove("kind"));
        Self {
            id: event.id.0,
            at: event.entry.at,
            kind: kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default(),
            text,
            call_id: event.entry.call.map(|id| id.0),
            message_id: event.entry.message.map(|id| id.0),
            data,
        }
    }
}
