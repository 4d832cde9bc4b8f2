//! What happens to a call on its way: it rings, is answered, is given up, ends. Each step is
//! idempotent and never goes back: events come in any order, and from more than one source.

use chrono::{DateTime, Utc};
use entity::{call, call_incident};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{
    Call, CallStatus, End, calls_of, join::hand_on, missed, of_call, queue::needed_by_another, read, set_status,
    status_in,
};
use crate::store::writer::Tx;
use crate::{
    id::{CallId, IncidentId},
    phone::PhoneNumber,
    store::{Error, Fact, Said, Store, timeline},
};

impl Store {
    /// The far end rings. Nothing if that is known, or the call is further on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn call_rings(&self, call: &Call, now: DateTime<Utc>) -> Result<(), Error> {
        let (id, to) = (call.id, call.to.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let update = call::ActiveModel {
                    status: Set(CallStatus::Ringing.as_str().into()),
                    ringing_at: Set(Some(now)),
                    ..Default::default()
                };
                if set_status(tx, id, update, &[CallStatus::Dialing]).await? {
                    timeline::write(tx, vec![of_call(id, now, Fact::Ringing { to })]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// The far end answered. Nothing if that is known. The AGI session and the AMI event both say
    /// so, in either order.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn call_answered(&self, call: &Call, now: DateTime<Utc>) -> Result<(), Error> {
        let (id, to) = (call.id, call.to.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let update = call::ActiveModel {
                    status: Set(CallStatus::Answered.as_str().into()),
                    answered_at: Set(Some(now)),
                    ..Default::default()
                };
                if set_status(tx, id, update, &[CallStatus::Dialing, CallStatus::Ringing]).await? {
                    timeline::write(tx, vec![of_call(id, now, Fact::Answered { to })]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// A person gives a call up. A queued one is over at once, one under way is the dialer's to hang
    /// up. Returns false if it was over already.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn cancel_call(&self, id: CallId, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let by = by.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let update = call::ActiveModel { canceled_by: Set(Some(by.clone())), ..Default::default() };
                if !set_status(tx, id, update, &CallStatus::LIVE).await? {
                    return Ok(false);
                }
                timeline::write(tx, vec![of_call(id, now, Fact::CallCanceled { by: by.clone() })]).await?;
                let pending = call::Entity::find_by_id(id.0).filter(status_in(&[CallStatus::Pending])).one(tx).await?;
                if pending.is_some() {
                    let end = End { failure: Some(format!("canceled by {by}")), ..End::not_needed() };
                    end_in(tx, id, end, None, now).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// The call is over. `next` is dialled in its stead, in the same attempt, about what it carried
    /// and still escalates. Returns false, and changes nothing, if its end is known already.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn end_call(
        &self,
        id: CallId,
        end: End,
        next: Option<(PhoneNumber, u32)>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        self.write(move |tx| Box::pin(async move { end_in(tx, id, end, next, now).await })).await
    }
}

impl End {
    /// The end of a call that had not been placed when nobody needed it any more.
    #[must_use]
    pub fn not_needed() -> Self {
        Self {
            status: CallStatus::Canceled,
            disposition: "NO ANSWER".into(),
            cause: 0,
            cause_text: "never placed".into(),
            sip_status: None,
            found_route: true,
            failure: Some("nobody needed it any more".into()),
        }
    }
}

/// Gives up the calls about `incident` that nobody has answered yet and no other incident needs: those
/// that wait are over, those that ring are marked for the dialer to hang up.
pub(in crate::store) async fn give_up(tx: &Tx, incident: IncidentId, now: DateTime<Utc>) -> Result<(), Error> {
    let ids: Vec<Uuid> = call::Entity::find()
        .select_only()
        .column(call::Column::Id)
        .filter(call::Column::Status.eq(CallStatus::Pending.as_str()))
        .filter(call::Column::Id.in_subquery(calls_of(incident)))
        .filter(needed_by_another(incident).not())
        .into_tuple()
        .all(tx)
        .await?;
    for id in ids {
        end_in(tx, CallId(id), End::not_needed(), None, now).await?;
    }
    call::Entity::update_many()
        .set(call::ActiveModel { given_up: Set(true), ..Default::default() })
        .filter(status_in(&[CallStatus::Dialing, CallStatus::Ringing]))
        .filter(call::Column::Id.in_subquery(calls_of(incident)))
        .filter(needed_by_another(incident).not())
        .exec(tx)
        .await?;
    Ok(())
}

/// Whether somebody could have answered, and has not.
fn missed(status: CallStatus) -> bool {
    matches!(status, CallStatus::NoAnswer | CallStatus::Busy | CallStatus::Rejected | CallStatus::Failed)
}

async fn end_in(
    tx: &Tx,
    id: CallId,
    end: End,
    next: Option<(PhoneNumber, u32)>,
    now: DateTime<Utc>,
) -> Result<bool, Error> {
    let Some(row) = call::Entity::find_by_id(id.0).one(tx).await? else { return Ok(false) };
    let update = call::ActiveModel {
        status: Set(end.status.as_str().into()),
        ended_at: Set(Some(now)),
        closed: Set(true),
        found_route: Set(end.found_route),
        disposition: Set(Some(end.disposition.clone())),
        cause: Set(Some(end.cause.into())),
        cause_text: Set(Some(end.cause_text.clone())),
        sip_status: Set(end.sip_status.map(i32::from)),
        failure: Set(end.failure.clone()),
        ..Default::default()
    };
    if !set_status(tx, id, update, &CallStatus::LIVE).await? {
        return Ok(false);
    }
    let given_up = row.given_up || row.canceled_by.is_some();
    let call = read(row.clone())?;
    let fact = Fact::CallEnded {
        to: call.to.clone(),
        status: end.status.to_string(),
        disposition: end.disposition,
        cause: end.cause,
        cause_text: end.cause_text,
        sip_status: end.sip_status,
        heard_ms: call.heard.ms,
        heard: call.heard.whole,
        digits: call.heard.digits,
        failure: end.failure,
    };
    timeline::write(tx, vec![of_call(id, now, fact)]).await?;
    if next.is_none() && missed(end.status) && !given_up {
        missed::text(tx, &row, now).await?;
    }
    // Whoever need not be called need not be called on another number either.
    if let Some((number, index)) = next
        && !given_up
    {
        hand_on(tx, &row, &number, index, now, Condition::all()).await?;
    } else if call.answered_at.is_some() {
        // What joined while somebody was on the line and was not spoken any more was not an attempt.
        let unspoken = Condition::all()
            .add(call_incident::Column::Late.eq(true))
            .add(call_incident::Column::Said.eq(Said::Waiting.as_str()));
        hand_on(tx, &row, &call.number, call.number_index, now, unspoken).await?;
    }
    Ok(true)
}
