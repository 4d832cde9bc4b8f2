//! Calls that somebody asks for, as py-phone-caller took them.

use chrono::{DateTime, Utc};
use poem_openapi::{ApiResponse, OpenApi, param::Query, payload::Json};

use super::{DONE, Status, fields::Fields};
use crate::{
    api::{
        State, Tag,
        auth::{PlacesCalls, SendsMessages},
        error::Problem,
        messages, moment, scheduled_calls,
    },
    engine::DirectCall,
    escalation::{Placing, Policy, Step, Target},
    id::{IncidentId, MessageId},
    oncall,
    phone::NotANumber,
    store::{CallFilter, ONCALL},
};

/// Calls that somebody asks for.
pub struct Phone(pub State);

/// Seconds after its time when a scheduled call is too late.
const EXPIRES: u32 = 900;

#[derive(ApiResponse)]
enum Placed {
    /// Stored, and queued.
    #[oai(status = 200)]
    Placed(
        Json<Status>,
        /// The call, if there is one already: its last part is what these routes take as `asterisk_chan`.
        #[oai(header = "Location")]
        String,
    ),
}

#[OpenApi(tag = "Tag::Compat")]
impl Phone {
    /// Call a number and speak a text
    ///
    /// Fields stand in the query, in a form or in JSON. It is stored when this answers; `POST /api/v2/calls` is
    /// what takes its place.
    #[oai(path = "/place_call", method = "post", operation_id = "compat_place_call", deprecated)]
    async fn place_call(
        &self,
        caller: PlacesCalls,
        /// The number, with or without `+` or `00`; `oncall` is whoever is on call now.
        #[oai(validator(max_length = 300))]
        phone: Query<Option<String>>,
        /// What is spoken.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        /// Whether it is the next person in the on-call order who is called.
        backup_callee: Query<Option<bool>>,
        fields: Fields,
    ) -> Result<Placed, Problem> {
        let truth = |text: String| matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes");
        let backup = backup_callee.0.or_else(|| fields.get("backup_callee", None).map(truth)).unwrap_or(false);
        let to = self.callee(&fields.need("phone", phone.0)?, backup).await?;
        self.place(&caller, to, fields.message(message.0)?, None).await
    }

    /// Call a number and speak a text
    ///
    /// As `/place_call`: every call is queued.
    #[oai(path = "/call_to_queue", method = "post", operation_id = "compat_call_to_queue", deprecated)]
    async fn call_to_queue(
        &self,
        caller: PlacesCalls,
        /// The number, with or without `+` or `00`; `oncall` is whoever is on call now.
        #[oai(validator(max_length = 300))]
        phone: Query<Option<String>>,
        /// What is spoken.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Placed, Problem> {
        let to = self.callee(&fields.need("phone", phone.0)?, false).await?;
        self.place(&caller, to, fields.message(message.0)?, None).await
    }

    /// Call a number later
    ///
    /// Placed once, also if the server is away for a while around that time. A time that is past is refused.
    #[oai(path = "/schedule_call", method = "post", operation_id = "compat_schedule_call", deprecated)]
    async fn schedule_call(
        &self,
        caller: PlacesCalls,
        /// The number, with or without `+` or `00`; `oncall` is whoever is on call then.
        #[oai(validator(max_length = 300))]
        phone: Query<Option<String>>,
        /// What is spoken.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        /// When: local time in `compat.time_zone` (`2026-11-23 09:00`), or ISO 8601 with an offset.
        #[oai(validator(max_length = 50))]
        scheduled_at: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Placed, Problem> {
        self.schedule(&caller, phone.0, message.0, scheduled_at.0, &fields).await
    }

    /// Call a number later
    ///
    /// As `/schedule_call`.
    #[oai(path = "/scheduled_call", method = "post", operation_id = "compat_scheduled_call", deprecated)]
    async fn scheduled_call(
        &self,
        caller: PlacesCalls,
        /// The number, with or without `+` or `00`; `oncall` is whoever is on call then.
        #[oai(validator(max_length = 300))]
        phone: Query<Option<String>>,
        /// What is spoken.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        /// When: local time in `compat.time_zone` (`2026-11-23 09:00`), or ISO 8601 with an offset.
        #[oai(validator(max_length = 50))]
        scheduled_at: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Placed, Problem> {
        self.schedule(&caller, phone.0, message.0, scheduled_at.0, &fields).await
    }

    /// Send a text message
    ///
    /// Fields stand in the query, in a form or in JSON. It is stored when this answers; `POST /api/v2/messages` is
    /// what takes its place.
    #[oai(path = "/send_sms", method = "post", operation_id = "compat_send_sms", deprecated)]
    async fn send_sms(
        &self,
        caller: SendsMessages,
        /// The number, with or without `+` or `00`; `oncall` is whoever is on call now.
        #[oai(validator(max_length = 300))]
        phone: Query<Option<String>>,
        /// What it says.
        #[oai(validator(max_length = 100_000))]
        message: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Placed, Problem> {
        let phone = fields.need("phone", phone.0)?;
        if phone.chars().any(char::is_control) {
            return Err(Problem::number("phone", &NotANumber::Character));
        }
        let (to, message) = (self.callee(&phone, false).await?, fields.message(message.0)?);
        let id = MessageId::generate();
        messages::queue(&self.0, id, to, message, None, caller.name()).await?;
        Ok(Placed::Placed(Json(DONE), format!("/api/v2/messages/{id}")))
    }
}

impl Phone {
    async fn schedule(
        &self,
        caller: &PlacesCalls,
        phone: Option<String>,
        message: Option<String>,
        scheduled_at: Option<String>,
        fields: &Fields,
    ) -> Result<Placed, Problem> {
        let to = self.callee(&fields.need("phone", phone)?, false).await?;
        let at = offset_mended(&fields.need("scheduled_at", scheduled_at)?);
        let zone = self.0.compat.zone.to_string();
        let at = moment::instant("scheduled_at", &at, Some(&zone))?;
        if at <= self.0.clock.now() {
            return Err(Problem::unprocessable("scheduled_at: is past"));
        }
        self.place(caller, to, fields.message(message)?, Some(at)).await
    }

    /// Whom a number, or `oncall`, means.
    async fn callee(&self, phone: &str, backup: bool) -> Result<Target, Problem> {
        if backup {
            return self.backup().await;
        }
        if phone.trim().eq_ignore_ascii_case(ONCALL) {
            let schedule = self.0.store.schedule_named(ONCALL).await?;
            let schedule = schedule.ok_or_else(|| Problem::unprocessable("phone: there is no schedule \"oncall\""))?;
            return Ok(Target::Schedule(schedule.id));
        }
        number(&self.0, "phone", phone)
    }

    /// The next person in the on-call order.
    async fn backup(&self) -> Result<Target, Problem> {
        let now = self.0.clock.now();
        let nobody = || Problem::unprocessable("backup_callee: nobody stands behind whoever is on call");
        let schedule = self.0.store.schedule_named(ONCALL).await?.ok_or_else(nobody)?;
        let duty = self.0.store.duty(schedule.id, now, now).await?.ok_or_else(nobody)?;
        let order = oncall::order(&duty, now);
        let mut can_be_called = Vec::new();
        for contact in self.0.store.contacts_by_id(&order).await? {
            if contact.can_be_called() {
                can_be_called.push(contact.id);
            }
        }
        let next = order.into_iter().skip(1).find(|id| can_be_called.contains(id));
        next.map(Target::Contact).ok_or_else(nobody)
    }

    async fn place(
        &self,
        caller: &PlacesCalls,
        to: Target,
        message: String,
        at: Option<DateTime<Utc>>,
    ) -> Result<Placed, Problem> {
        let direct = DirectCall {
            to,
            text: message,
            attempts: 1,
            attempt_delay: 60,
            source: caller.name().to_owned(),
            schedule: at.map(|at| scheduled_calls::times(at, EXPIRES)),
            placing: Placing::default(),
        };
        let incident = place(&self.0, direct).await?;
        let location = match call_of(&self.0, incident).await? {
            Some(call) => format!("/api/v2/calls/{call}"),
            None => format!("/api/v2/incidents/{incident}"),
        };
        Ok(Placed::Placed(Json(DONE), location))
    }
}

/// A number that may be called. A plus sign that came as a blank, as it does in a query, is one again.
pub(super) fn number(state: &State, field: &str, text: &str) -> Result<Target, Problem> {
    let mended = match text.strip_prefix(' ') {
        Some(digits) if digits.starts_with(|c: char| c.is_ascii_digit()) => format!("+{digits}"),
        _ => text.to_owned(),
    };
    let number = state.plan.parse(mended.trim()).map_err(|error| Problem::number(field, &error))?;
    state.rules.check(&number).map_err(|refusal| Problem::refused(field, refusal))?;
    Ok(Target::Number(number))
}

/// An offset whose plus sign came as a blank, as it does in a query: `2026-11-23T09:00:00 01:00`.
fn offset_mended(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((instant, offset)) if instant.contains('T') && offset.contains(':') => format!("{instant}+{offset}"),
        _ => text.to_owned(),
    }
}

/// Places a call to somebody who can be reached.
pub(super) async fn place(state: &State, direct: DirectCall) -> Result<IncidentId, Problem> {
    let alone =
        Policy { steps: vec![Step { targets: vec![direct.to.clone()], ..Step::default() }], ..Policy::default() };
    if !state.engine.unreachable(&alone).await?.is_empty() {
        let detail = "phone: nobody can be called (no number, disabled, or nobody on call)";
        return Err(Problem::unprocessable(detail));
    }
    Ok(state.engine.place(direct).await?)
}

/// The call about an incident, if it is queued.
pub(super) async fn call_of(state: &State, incident: IncidentId) -> Result<Option<crate::id::CallId>, Problem> {
    let filter = CallFilter { incident: Some(incident), ..CallFilter::default() };
    Ok(state.store.calls(filter, 1).await?.items.first().map(|call| call.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_keeps_its_plus_sign() {
        assert_eq!(offset_mended("2026-11-23T09:00:00 01:00"), "2026-11-23T09:00:00+01:00");
        assert_eq!(offset_mended("2026-11-23 09:00"), "2026-11-23 09:00");
        assert_eq!(offset_mended("2026-11-23T09:00:00+01:00"), "2026-11-23T09:00:00+01:00");
    }
}
