//! The contact center's routes, and what a single call may ask for: how long it rings, which number is shown,
//! where in the PBX it lands.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use uuid::Uuid;

use super::{Compat, fields::Fields, phone};
use crate::{
    api::{
        State, Tag,
        auth::{PlacesCalls, ReadsCalls},
        error::Problem,
    },
    engine::DirectCall,
    escalation::{Connect, Placing},
    id::CallId,
    store::{Call, CallStatus},
};

/// Seconds that a phone rings at most, whoever asks; in the dialplan it is the same.
pub const LONGEST_RINGING: u32 = 180;

/// The contact center's routes.
pub struct Center(pub State);

/// Where a call stands.
#[derive(Debug, Object)]
#[oai(rename = "CompatCallStatus", skip_serializing_if_is_none)]
struct Standing {
    /// The call.
    call_id: Uuid,
    /// The number.
    phone_number: String,
    /// `pending`, `dialing`, `ringing`, `answered`, `busy`, `no_answer`, `failed` or `completed`. What was
    /// rejected or canceled has `failed` here.
    status: String,
    /// When it was queued.
    created_at: DateTime<Utc>,
    /// When it was placed.
    dialed_at: Option<DateTime<Utc>>,
    /// When it was answered.
    answered_at: Option<DateTime<Utc>>,
    /// When it was over.
    ended_at: Option<DateTime<Utc>>,
    /// Why it failed, in words.
    failure_reason: Option<String>,
}

#[derive(ApiResponse)]
enum Originated {
    /// Stored, and queued.
    #[oai(status = 201)]
    Originated(Json<Standing>),
}

#[OpenApi(tag = "Tag::Compat")]
impl Center {
    /// Call a number
    ///
    /// The answered channel is handed to the PBX at `context`, `extension` and `priority`, which must be in
    /// `asterisk.connect`; to the first place there, if they are not said. With `text` it is spoken instead.
    /// `POST /api/v2/calls` is what takes its place.
    #[oai(path = "/api/v2/interaction/:number", method = "post", operation_id = "compat_interaction", deprecated)]
    #[expect(clippy::too_many_arguments, reason = "one for each parameter of the query")]
    async fn interaction(
        &self,
        caller: PlacesCalls,
        /// The number.
        #[oai(validator(max_length = 40))]
        number: Path<String>,
        /// Where it lands.
        #[oai(validator(max_length = 80))]
        context: Query<Option<String>>,
        /// Where in that context.
        #[oai(validator(max_length = 80))]
        extension: Query<Option<String>>,
        /// Where in that extension.
        priority: Query<Option<u32>>,
        /// How long it rings: milliseconds, from 1000 on; below that, seconds. 5 to 180 seconds.
        timeout: Query<Option<u32>>,
        /// The number that is shown: one of `asterisk.caller_ids`.
        #[oai(validator(max_length = 40))]
        caller_id: Query<Option<String>>,
        /// What is spoken.
        #[oai(validator(max_length = 100_000))]
        text: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Originated, Problem> {
        let whole = |name: &str, in_query: Option<u32>| match (in_query, fields.get(name, None)) {
            (Some(number), _) => Ok(Some(number)),
            (None, Some(text)) => {
                text.trim().parse().map(Some).map_err(|_| Problem::malformed(format!("{name}: is no whole number")))
            }
            (None, None) => Ok(None),
        };
        let context = fields.get("context", context.0);
        let spoken = fields.get("text", text.0).map(crate::api::text);
        let connect = match (context, &spoken) {
            (None, Some(_)) => None,
            (None, None) => Some(self.0.compat.connect.first().cloned().ok_or_else(|| {
                Problem::unprocessable("text: say what is to be spoken, or context (asterisk.connect has none)")
            })?),
            (Some(context), _) => Some(Connect {
                context,
                extension: fields.get("extension", extension.0).unwrap_or_else(|| "s".to_owned()),
                priority: whole("priority", priority.0)?.unwrap_or(1),
            }),
        };
        let timeout = whole("timeout", timeout.0)?;
        let placing = placing(&self.0.compat, timeout, fields.get("caller_id", caller_id.0), connect)?;
        let text = match (&placing.connect, spoken) {
            (_, Some(text)) => text,
            (Some(connect), None) => format!("{} of the PBX", connect.context),
            (None, None) => String::new(),
        };
        let direct = DirectCall {
            to: phone::number(&self.0, "number", &number.0)?,
            text,
            attempts: 1,
            attempt_delay: 60,
            source: caller.name().to_owned(),
            schedule: None,
            placing,
        };
        let incident = phone::place(&self.0, direct).await?;
        let call = match phone::call_of(&self.0, incident).await? {
            Some(id) => self.0.store.call(id).await?,
            None => None,
        };
        let call = call.ok_or_else(|| Problem::unavailable("the call was stored and could not be queued"))?;
        Ok(Originated::Originated(Json(standing(call))))
    }

    /// Where a call stands
    #[oai(
        path = "/api/v2/interaction/:call_id/status",
        method = "get",
        operation_id = "compat_interaction_status",
        deprecated
    )]
    async fn interaction_status(&self, _caller: ReadsCalls, call_id: Path<Uuid>) -> Result<Json<Standing>, Problem> {
        self.status_of(call_id.0).await
    }

    /// Where a call stands
    #[oai(path = "/api/v2/status/:call_id", method = "get", operation_id = "compat_status", deprecated)]
    async fn status(&self, _caller: ReadsCalls, call_id: Path<Uuid>) -> Result<Json<Standing>, Problem> {
        self.status_of(call_id.0).await
    }
}

impl Center {
    async fn status_of(&self, id: Uuid) -> Result<Json<Standing>, Problem> {
        let call = self.0.store.call(CallId(id)).await?.ok_or_else(|| Problem::not_found("call"))?;
        Ok(Json(standing(call)))
    }
}

fn standing(call: Call) -> Standing {
    let (ended_at, end) = call.end.unzip();
    Standing {
        call_id: call.id.0,
        phone_number: call.number.as_str().to_owned(),
        status: eight(call.status).to_owned(),
        created_at: call.created_at,
        dialed_at: call.dialed_at,
        answered_at: call.answered_at,
        ended_at,
        failure_reason: end.and_then(|end| match end.status {
            CallStatus::Rejected => Some("the callee declined".to_owned()),
            _ => end.failure,
        }),
    }
}

/// A status, as one of the contact center's eight.
pub(super) fn eight(status: CallStatus) -> &'static str {
    match status {
        CallStatus::Rejected | CallStatus::Canceled => CallStatus::Failed.as_str(),
        status => status.as_str(),
    }
}

/// How a call is to be placed, if that is allowed.
pub(in crate::api) fn placing(
    allowed: &Compat,
    timeout: Option<u32>,
    caller_id: Option<String>,
    connect: Option<Connect>,
) -> Result<Placing, Problem> {
    // The contact center counts milliseconds; nobody's phone rings for a quarter of an hour.
    let timeout = timeout.map(|timeout| if timeout >= 1000 { timeout.div_ceil(1000) } else { timeout });
    if timeout.is_some_and(|seconds| !(5..=LONGEST_RINGING).contains(&seconds)) {
        return Err(Problem::unprocessable("timeout: 5 to 180 seconds"));
    }
    if let Some(number) = &caller_id
        && !allowed.caller_ids.contains(number)
    {
        return Err(Problem::unprocessable("caller_id: is none of asterisk.caller_ids"));
    }
    if let Some(place) = &connect
        && !allowed.connect.contains(place)
    {
        return Err(Problem::unprocessable(
            "connect: this context, extension and priority are not in asterisk.connect",
        ));
    }
    Ok(Placing { timeout, caller_id, connect: connect.map(Box::new) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_shown_and_landed_at_and_nothing_rings_for_ever() {
        let ivr = Connect { context: "ivr".into(), extension: "s".into(), priority: 1 };
        let allowed = Compat { caller_ids: vec!["+39055".into()], connect: vec![ivr.clone()], ..Compat::default() };
        let asked = placing(&allowed, Some(30_000), Some("+39055".into()), Some(ivr.clone())).ok().expect("allowed");
        assert_eq!(
            asked,
            Placing { timeout: Some(30), caller_id: Some("+39055".into()), connect: Some(Box::new(ivr.clone())) }
        );
        assert!(placing(&allowed, Some(20), None, None).is_ok_and(|placing| placing.timeout == Some(20)));
        for timeout in [0, 4, 181, 999, 3_600_000] {
            assert!(placing(&allowed, Some(timeout), None, None).is_err(), "{timeout}");
        }
        assert!(placing(&allowed, None, Some("+39056".into()), None).is_err());
        for other in [Connect { context: "other".into(), ..ivr.clone() }, Connect { priority: 2, ..ivr }] {
            assert!(placing(&allowed, None, None, Some(other)).is_err());
        }
    }

    #[test]
    fn there_are_eight_statuses() {
        assert_eq!((eight(CallStatus::Rejected), eight(CallStatus::Canceled)), ("failed", "failed"));
        assert_eq!((eight(CallStatus::NoAnswer), eight(CallStatus::Completed)), ("no_answer", "completed"));
    }
}
