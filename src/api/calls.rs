//! Calls: place one, lists, one, give one up.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{PlacesCalls, ReadsCalls},
    body::Body,
    compat,
    error::Problem,
    idempotency::Once,
    incidents::TimelineLine,
    moment,
    scheduled_calls::{quarter_of_an_hour, times},
    text,
};
use crate::{
    engine::DirectCall,
    escalation::{self, Policy, State as IncidentState, Step},
    id::{CallId, ContactId, IncidentId},
    store::{self, CallFilter, Carried},
};

/// Calls.
pub struct Calls(pub State);

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum CallStatus {
    /// Waits to be placed.
    Pending,
    /// On its way.
    Dialing,
    /// The far end rings.
    Ringing,
    /// Somebody, or something, is on the line.
    Answered,
    /// Was answered and is over.
    Completed,
    /// The line was engaged.
    Busy,
    /// It rang, and nobody came.
    NoAnswer,
    /// The person declined.
    Rejected,
    /// It could not be placed, or there is no such number.
    Failed,
    /// Given up, since nobody needed it any more.
    Canceled,
}

/// A call to be placed.
#[derive(Debug, Object, Deserialize)]
struct NewCall {
    /// The number: E.164, or nationally for the configured country, or an extension. Or a name: of a
    /// schedule (whoever is on call then), of a group, of a contact.
    #[oai(validator(max_length = 300))]
    to: String,
    /// What is spoken. With `connect` it is what the timeline calls it, and need not be said.
    #[oai(validator(max_length = 100_000))]
    text: Option<String>,
    /// How often it is tried.
    #[oai(default = "default_attempts", validator(minimum(value = "1"), maximum(value = "10")))]
    #[serde(default = "default_attempts")]
    attempts: u32,
    /// Seconds from one try to the next.
    #[oai(default = "default_attempt_delay", validator(minimum(value = "1"), maximum(value = "86400")))]
    #[serde(default = "default_attempt_delay")]
    attempt_delay: u32,
    /// When: ISO 8601 with an offset, or a local time with `time_zone`; at once, if it is not said.
    #[oai(validator(max_length = 50))]
    at: Option<String>,
    /// Where `at` holds, if it has no offset: an IANA name. A local time that does not exist is the first
    /// instant after the gap, one that exists twice the first.
    #[oai(validator(max_length = 100))]
    time_zone: Option<String>,
    /// What is done if `at` is past: refused, or placed now.
    late: Option<Late>,
    /// Where every change of the call's status is told, and of its incident's: as with webhooks, signed
    /// with the secret of `GET /api/v2/webhooks/callback-secret`. What is sent has the event's `id`,
    /// `sequence`, `at` and `kind`, the `incident`, the `call_id`, and `status` (`pending`, `dialing`,
    /// `ringing`, `answered`, `completed`, `busy`, `no_answer`, `failed`) or `incident_status`.
    #[oai(validator(min_length = 1, max_length = 2000))]
    callback_url: Option<String>,
    /// How long a phone rings, in seconds: 5 to 180; `asterisk.ring_timeout` if it is not said. From 1000 on it is
    /// taken for milliseconds, as the contact center counted them.
    #[oai(validator(minimum(value = "5"), maximum(value = "180000")))]
    timeout: Option<u32>,
    /// The number that is shown: one of `asterisk.caller_ids`; `asterisk.caller_id` if it is not said.
    #[oai(validator(max_length = 40))]
    caller_id: Option<String>,
    /// Where in the PBX's dialplan the answered call lands, instead of our speaking to it: one of
    /// `asterisk.connect`. The PBX takes it from there; that it was answered is all that was asked for.
    connect: Option<Connect>,
    /// Seconds after its time when it is too late to call, should the server be away then.
    #[oai(default = "quarter_of_an_hour", validator(minimum(value = "1"), maximum(value = "604800")))]
    #[serde(default = "quarter_of_an_hour")]
    expires: u32,
}

/// A place in the PBX's dialplan.
#[derive(Debug, Object, Deserialize)]
#[oai(rename = "Connect")]
struct Connect {
    /// The context.
    #[oai(validator(min_length = 1, max_length = 80))]
    context: String,
    /// The extension.
    #[oai(default = "start", validator(min_length = 1, max_length = 80))]
    #[serde(default = "start")]
    extension: String,
    /// The priority.
    #[oai(default = "default_attempts", validator(minimum(value = "1"), maximum(value = "10000")))]
    #[serde(default = "default_attempts")]
    priority: u32,
}

fn start() -> String {
    "s".into()
}

/// What is done about a time that is past.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Late {
    /// It is placed now.
    Now,
}

fn default_attempts() -> u32 {
    1
}

fn default_attempt_delay() -> u32 {
    60
}

/// A call.
#[derive(Debug, Object)]
struct Call {
    /// Its identifier, and the Asterisk channel's `Uniqueid`.
    id: Uuid,
    /// The incidents it is about.
    incident_ids: Vec<Uuid>,
    /// Whom it is for: a contact's name, or the number.
    to: String,
    /// The number that is dialled.
    number: String,
    /// Which of the contact's numbers that is, from 1.
    nth_number: u32,
    /// Where it stands.
    status: CallStatus,
    /// As Asterisk's: ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION.
    #[oai(skip_serializing_if_is_none)]
    disposition: Option<String>,
    /// The hangup cause (ITU-T Q.850; 0 is none).
    #[oai(skip_serializing_if_is_none)]
    cause: Option<u16>,
    /// The hangup cause in words.
    #[oai(skip_serializing_if_is_none)]
    cause_text: Option<String>,
    /// The SIP status of the far end's answer.
    #[oai(skip_serializing_if_is_none)]
    sip_status: Option<u16>,
    /// Why it did not reach anybody.
    #[oai(skip_serializing_if_is_none)]
    failure: Option<String>,
    /// Seconds of speech that were played.
    heard_seconds: f64,
    /// The alert was played to its end at least once, or a key proved it heard.
    heard: bool,
    /// Every key that was pressed.
    digits: String,
    /// When it was queued.
    created_at: DateTime<Utc>,
    /// When it was placed.
    #[oai(skip_serializing_if_is_none)]
    dialed_at: Option<DateTime<Utc>>,
    /// When it rang.
    #[oai(skip_serializing_if_is_none)]
    ringing_at: Option<DateTime<Utc>>,
    /// When it was answered.
    #[oai(skip_serializing_if_is_none)]
    answered_at: Option<DateTime<Utc>>,
    /// When it was over.
    #[oai(skip_serializing_if_is_none)]
    ended_at: Option<DateTime<Utc>>,
    /// What happened to it, oldest first; left out of lists.
    #[oai(default, skip_serializing_if_is_empty)]
    timeline: Vec<TimelineLine>,
}

/// A call that was queued.
#[derive(Debug, Object)]
struct Queued {
    /// The call; absent until it is placed, if it waits for its time.
    #[oai(skip_serializing_if_is_none)]
    id: Option<Uuid>,
    /// When it will be placed, if it waits for its time.
    #[oai(skip_serializing_if_is_none)]
    at: Option<DateTime<Utc>>,
    /// Its incident: retry, acknowledgement, timeline and proof are the same as for an alert.
    incident_id: Uuid,
}

/// A page of calls, newest first.
#[derive(Debug, Object)]
struct CallPage {
    /// What is on it.
    items: Vec<Call>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

#[derive(ApiResponse)]
enum Created {
    /// Stored, and queued.
    #[oai(status = 201)]
    Queued(Json<Queued>),
}

#[OpenApi(prefix_path = "/api/v2/calls", tag = "Tag::Calls")]
impl Calls {
    /// Call a number and speak a text
    ///
    /// It is stored when this answers with 2xx. The number must be allowed by the destination rules. With
    /// `at` it is placed then: once, also if the server is away for a while around that time.
    #[oai(path = "/", method = "post", operation_id = "place_call")]
    async fn place(
        &self,
        caller: PlacesCalls,
        /// Sent again under the same key, within a day, a call is placed once and answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        call: Body<NewCall>,
    ) -> Result<Created, Problem> {
        let (call, incident) = (call.0, once.chosen());
        if once.again()
            && let Some(placed) = self.0.store.incident(incident).await?
        {
            let at = match placed.state {
                IncidentState::Scheduled { due_at, .. } => Some(due_at),
                _ => None,
            };
            return self.queued(incident, at).await;
        }
        let to = self.0.whoever("to", &call.to).await?;
        let alone = Policy { steps: vec![Step { targets: vec![to.clone()], ..Step::default() }], ..Policy::default() };
        if !self.0.engine.unreachable(&alone).await?.is_empty() {
            let detail = format!("to: nobody of {:?} can be called (no number, disabled, or nobody on call)", call.to);
            return Err(Problem::unprocessable(detail));
        }
        let spoken = match (&call.text, &call.connect) {
            (Some(text), _) if text.trim().is_empty() => return Err(Problem::malformed("text: is empty")),
            (Some(spoken), _) => text(spoken.clone()),
            (None, Some(connect)) => format!("{} of the PBX", connect.context),
            (None, None) => return Err(Problem::malformed("missing field `text`")),
        };
        let connect = call.connect.map(|connect| escalation::Connect {
            context: connect.context,
            extension: connect.extension,
            priority: connect.priority,
        });
        let placing = compat::placing(&self.0.compat, call.timeout, call.caller_id, connect)?;
        if let Some(url) = &call.callback_url {
            self.0.receiver("callback_url", url).await?;
        }
        let at = call.at.as_deref().map(|at| moment::instant("at", at, call.time_zone.as_deref())).transpose()?;
        let at = match (at, call.late) {
            (Some(at), late) if at <= self.0.clock.now() => match late {
                Some(Late::Now) => None,
                None => return Err(Problem::unprocessable("at: is past (say late=now to have it placed now)")),
            },
            (at, _) => at,
        };
        if let Some(url) = call.callback_url {
            // Before the incident: what becomes of it is told from its first moment on.
            self.0.store.call_back(incident, url, self.0.clock.now()).await?;
        }
        let direct = DirectCall {
            to,
            text: spoken,
            placing,
            attempts: call.attempts,
            attempt_delay: call.attempt_delay,
            source: caller.name().to_owned(),
            schedule: at.map(|at| times(at, call.expires)),
        };
        self.0.engine.place_as(incident, direct).await?;
        self.queued(incident, at).await
    }

    /// List calls, newest first
    #[oai(path = "/", method = "get", operation_id = "list_calls")]
    #[expect(clippy::too_many_arguments, reason = "they are what can be asked for")]
    async fn list(
        &self,
        _caller: ReadsCalls,
        /// Only in this status.
        status: Query<Option<CallStatus>>,
        /// Only about this incident.
        incident_id: Query<Option<Uuid>>,
        /// Only to this number.
        #[oai(validator(max_length = 40))]
        number: Query<Option<String>>,
        /// Only to this contact.
        contact: Query<Option<Uuid>>,
        /// Only made then or later.
        from: Query<Option<DateTime<Utc>>>,
        /// Only made before.
        until: Query<Option<DateTime<Utc>>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<CallPage>, Problem> {
        let number = number.0.map(|text| self.0.plan.parse(&text)).transpose();
        let filter = CallFilter {
            status: status.0.map(Into::into),
            incident: incident_id.0.map(IncidentId),
            number: number.map_err(|error| Problem::number("number", &error))?,
            contact: contact.0.map(ContactId),
            from: from.0,
            until: until.0,
            before: cursor.0,
        };
        let page = self.0.store.calls(filter, limit.0).await?;
        let ids: Vec<CallId> = page.items.iter().map(|call| call.id).collect();
        let mut carried = self.0.store.carried_by_each(&ids).await?;
        let items = page.items.into_iter().map(|call| {
            let carried = carried.remove(&call.id).unwrap_or_default();
            shown(call, carried)
        });
        Ok(Json(CallPage { items: items.collect(), next: page.next }))
    }

    /// One call
    #[oai(path = "/:id", method = "get", operation_id = "get_call")]
    async fn get(&self, _caller: ReadsCalls, id: Path<Uuid>) -> Result<Json<Call>, Problem> {
        let Some(call) = self.0.store.call(CallId(id.0)).await? else { return Err(Problem::not_found("call")) };
        let timeline = self.0.store.call_timeline(call.id).await?;
        let mut call = self.shown(call).await?;
        call.timeline = timeline.into_iter().map(TimelineLine::from).collect();
        Ok(Json(call))
    }

    /// Give a call up
    ///
    /// It is hung up if it is under way. The incident goes on: this attempt was one without an answer.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancel_call")]
    async fn cancel(
        &self,
        caller: PlacesCalls,
        /// Sent again under the same key, within a day, it is answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Call>, Problem> {
        let id = CallId(id.0);
        let known = self.0.store.call(id).await?.ok_or_else(|| Problem::not_found("call"))?;
        let canceled = self.0.store.cancel_call(id, caller.name(), self.0.clock.now()).await?;
        // Begun before, it may be this that has ended it.
        if !(canceled || once.again() && known.status == store::CallStatus::Canceled) {
            return Err(Problem::conflict(format!("the call is over: {}", known.status)));
        }
        self.0.bus.ring(crate::bus::Bell::Calls);
        let call = self.0.store.call(id).await?.ok_or_else(|| Problem::not_found("call"))?;
        Ok(Json(self.shown(call).await?))
    }
}

impl Calls {
    async fn queued(&self, incident: IncidentId, at: Option<DateTime<Utc>>) -> Result<Created, Problem> {
        let filter = CallFilter { incident: Some(incident), ..CallFilter::default() };
        let calls = self.0.store.calls(filter, 1).await?;
        let id = calls.items.first().map(|call| call.id.0);
        Ok(Created::Queued(Json(Queued { id, at, incident_id: incident.0 })))
    }

    async fn shown(&self, call: store::Call) -> Result<Call, Problem> {
        let carried = self.0.store.carried_by(call.id).await?;
        Ok(shown(call, carried))
    }
}

fn shown(call: store::Call, carried: Vec<Carried>) -> Call {
    let (ended_at, end) = call.end.unzip();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a conversation")]
    let heard_seconds = call.heard.ms as f64 / 1000.0;
    Call {
        id: call.id.0,
        incident_ids: carried.into_iter().map(|carried| carried.incident.0).collect(),
        to: call.to,
        number: call.number.as_str().to_owned(),
        nth_number: call.number_index + 1,
        status: call.status.into(),
        disposition: end.as_ref().map(|end| end.disposition.clone()),
        cause: end.as_ref().map(|end| end.cause),
        cause_text: end.as_ref().map(|end| end.cause_text.clone()),
        sip_status: end.as_ref().and_then(|end| end.sip_status),
        failure: end.and_then(|end| end.failure),
        heard_seconds,
        heard: call.heard.whole,
        digits: call.heard.digits,
        created_at: call.created_at,
        dialed_at: call.dialed_at,
        ringing_at: call.ringing_at,
        answered_at: call.answered_at,
        ended_at,
        timeline: Vec::new(),
    }
}

/// The statuses of the store and of the document, name by name.
macro_rules! statuses {
    ($($name:ident),*) => {
        impl From<store::CallStatus> for CallStatus {
            fn from(status: store::CallStatus) -> Self {
                match status { $(store::CallStatus::$name => Self::$name),* }
            }
        }

        impl From<CallStatus> for store::CallStatus {
            fn from(status: CallStatus) -> Self {
                match status { $(CallStatus::$name => Self::$name),* }
            }
        }
    };
}

statuses!(Pending, Dialing, Ringing, Answered, Completed, Busy, NoAnswer, Rejected, Failed, Canceled);
