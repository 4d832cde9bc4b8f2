//! How a call comes to its end: it is given up, or over; and what follows from that.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::{call, call_incident};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};
use uuid::Uuid;

use super::{
    CallStatus, End, calls_of, join::hand_on, missed, of_call, queue::needed_by_another, read, set_status,
    set_statuses, status_in,
};
use crate::store::writer::Tx;
use crate::{
    id::{CallId, IncidentId},
    phone::PhoneNumber,
    store::{Error, Fact, Said, Store, timeline},
};

impl Store {
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
                    end_in(tx, id, end, now).await?;
                }
                Ok(true)
            })
        })
        .await
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
        .filter(status_in(&[CallStatus::Pending]))
        .filter(call::Column::Id.in_subquery(calls_of(incident)))
        .filter(needed_by_another(incident).not())
        .into_tuple()
        .all(tx)
        .await?;
    for id in ids {
        end_in(tx, CallId(id), End::not_needed(), now).await?;
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

async fn end_in(tx: &Tx, id: CallId, end: End, now: DateTime<Utc>) -> Result<(), Error> {
    end_all(tx, vec![Ending { call: id, end, next: None, at: now }]).await.map(drop)
}

/// The end of a call.
#[derive(Clone, Debug)]
pub(in crate::store) struct Ending {
    pub(in crate::store) call: CallId,
    pub(in crate::store) end: End,
    /// What is dialled in its stead, in the same attempt, about what it carried and still escalates.
    pub(in crate::store) next: Option<(PhoneNumber, u32)>,
    pub(in crate::store) at: DateTime<Utc>,
}

/// Ends calls. Says of each whether it was live until now; one that was not stays as it is.
pub(in crate::store) async fn end_all(tx: &Tx, endings: Vec<Ending>) -> Result<Vec<bool>, Error> {
    let ids = || endings.iter().map(|ending| ending.call.0);
    let rows = call::Entity::find().filter(call::Column::Id.is_in(ids())).all(tx).await?;
    let mut rows: HashMap<Uuid, call::Model> = rows.into_iter().map(|row| (row.id, row)).collect();
    // How most calls end is how the others do, too: they share a statement.
    let mut alike: Vec<(&Ending, Vec<Uuid>)> = Vec::new();
    for ending in &endings {
        match alike.iter_mut().find(|(like, _)| (&like.end, like.at) == (&ending.end, ending.at)) {
            Some((_, calls)) => calls.push(ending.call.0),
            None => alike.push((ending, vec![ending.call.0])),
        }
    }
    let mut ended = HashSet::new();
    for (Ending { end, at, .. }, calls) in alike {
        let update = call::ActiveModel {
            status: Set(end.status.as_str().into()),
            ended_at: Set(Some(*at)),
            closed: Set(true),
            found_route: Set(end.found_route),
            disposition: Set(Some(end.disposition.clone())),
            cause: Set(Some(end.cause.into())),
            cause_text: Set(Some(end.cause_text.clone())),
            sip_status: Set(end.sip_status.map(i32::from)),
            failure: Set(end.failure.clone()),
            ..Default::default()
        };
        ended.extend(set_statuses(tx, calls, update, &CallStatus::LIVE).await?);
    }
    let unspoken = with_unspoken(tx, &ended).await?;
    let mut results = Vec::with_capacity(endings.len());
    for Ending { call: id, end, next, at } in endings {
        // Each once, also if its end was told twice in one breath.
        let row = rows.remove(&id.0).filter(|row| ended.contains(&row.id));
        results.push(row.is_some());
        if let Some(row) = row {
            after_end(tx, row, end, next, at, unspoken.contains(&id.0)).await?;
        }
    }
    Ok(results)
}

/// Those of these calls that were joined by something while somebody was on the line, and did not speak it any more.
async fn with_unspoken(tx: &Tx, calls: &HashSet<Uuid>) -> Result<HashSet<Uuid>, Error> {
    if calls.is_empty() {
        return Ok(HashSet::new());
    }
    let of_these = call_incident::Column::CallId.is_in(calls.iter().copied());
    let query = call_incident::Entity::find().select_only().column(call_incident::Column::CallId);
    let ids: Vec<Uuid> = query.filter(of_these).filter(unspoken()).into_tuple().all(tx).await?;
    Ok(ids.into_iter().collect())
}

fn unspoken() -> Condition {
    Condition::all()
        .add(call_incident::Column::Late.eq(true))
        .add(call_incident::Column::Said.eq(Said::Waiting.as_str()))
}

/// What follows from the end of a call that was as in `row` until now.
async fn after_end(
    tx: &Tx,
    row: call::Model,
    end: End,
    next: Option<(PhoneNumber, u32)>,
    now: DateTime<Utc>,
    has_unspoken: bool,
) -> Result<(), Error> {
    let given_up = row.given_up || row.canceled_by.is_some();
    let call = read(row.clone())?;
    let status = end.status;
    let fact = Fact::CallEnded {
        to: call.to.clone(),
        status: status.to_string(),
        disposition: end.disposition,
        cause: end.cause,
        cause_text: end.cause_text,
        sip_status: end.sip_status,
        heard_ms: call.heard.ms,
        heard: call.heard.whole,
        digits: call.heard.digits,
        failure: end.failure,
    };
    timeline::write(tx, vec![of_call(call.id, now, fact)]).await?;
    if next.is_none() && missed(status) && !given_up {
        missed::text(tx, &row, now).await?;
    }
    // Whoever need not be called need not be called on another number either.
    if let Some((number, index)) = next
        && !given_up
    {
        hand_on(tx, &row, &number, index, now, Condition::all()).await?;
    } else if call.answered_at.is_some() && has_unspoken {
        // What joined while somebody was on the line and was not spoken any more was not an attempt.
        hand_on(tx, &row, &call.number, call.number_index, now, unspoken()).await?;
    }
    Ok(())
}
