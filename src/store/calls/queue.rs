//! The queue: what waits to be placed, who joins what, and what nobody needs any more.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{call, call_incident, incident};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{Alias, Expr, ExprTrait, Query, SelectStatement},
};
use uuid::Uuid;

use super::{Call, CallStatus, NewCall, line, number, of_call, read, read_carried, set_status, status_in};
use crate::store::writer::Tx;
use crate::{
    escalation::{Placing, Policy, Position},
    id::{self, CallId, ContactId, IncidentId, PolicyId},
    phone::PhoneNumber,
    store::{Entry, Error, Fact, Said, Store, timeline},
};

impl Store {
    /// How a call is placed, where that is not as usual: as it was asked for what it carries.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn placing_of(&self, id: CallId) -> Result<Placing, Error> {
        let incidents = alone(&self.read, id.0).await?;
        Ok(placings(&self.read, &incidents).await?.into_iter().next().unwrap_or_default())
    }

    /// Calls that wait and may be placed, and under which policy: about something that still escalates, to
    /// somebody who is not on the line already. Oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn waiting_calls(&self) -> Result<Vec<(CallId, Option<PolicyId>)>, Error> {
        let rows: Vec<(Uuid, Option<Uuid>)> = with_policy()
            .column(call::Column::Id)
            .column(incident::Column::PolicyId)
            .filter(call::Column::Status.eq(CallStatus::Pending.as_str()))
            .filter(line_is_free())
            .filter(still_needed())
            .order_by_asc(call::Column::Id)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|(call, policy)| (CallId(call), policy.map(PolicyId))).collect())
    }

    /// How many calls are on the line under each policy.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policies_on_the_line(&self) -> Result<HashMap<Option<PolicyId>, u32>, Error> {
        let rows: Vec<Option<Uuid>> = with_policy()
            .column(incident::Column::PolicyId)
            .filter(status_in(&CallStatus::ON_THE_LINE))
            .into_tuple()
            .all(&self.read)
            .await?;
        let mut calls = HashMap::new();
        for policy in rows {
            *calls.entry(policy.map(PolicyId)).or_default() += 1;
        }
        Ok(calls)
    }

    /// Those of these calls that wait still, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn pending_among(&self, ids: &[CallId]) -> Result<Vec<Call>, Error> {
        let rows = call::Entity::find()
            .filter(call::Column::Id.is_in(ids.iter().map(|id| id.0)))
            .filter(call::Column::Status.eq(CallStatus::Pending.as_str()))
            .order_by_asc(call::Column::Id)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Claims a call for a server: from `pending` to `dialing`, once. After this `Originate` may leave.
    ///
    /// # Errors
    /// If the database does not take it: then it must not leave.
    pub async fn claim_call(&self, call: &Call, node: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let (id, to, number) = (call.id, call.to.clone(), call.number.as_str().to_owned());
        let node = node.to_owned();
        let claimed = self
            .write(move |tx| {
                Box::pin(async move {
                    let claimed = call::Entity::update_many()
                        .set(call::ActiveModel {
                            status: Set(CallStatus::Dialing.as_str().into()),
                            dialed_at: Set(Some(now)),
                            node: Set(Some(node)),
                            ..Default::default()
                        })
                        .filter(call::Column::Id.eq(id.0))
                        .filter(call::Column::Status.eq(CallStatus::Pending.as_str()))
                        .filter(line_is_free())
                        .filter(still_needed())
                        .exec(tx)
                        .await?;
                    if claimed.rows_affected == 1 {
                        timeline::write(tx, vec![of_call(id, now, Fact::Dialing { to, number })]).await?;
                    }
                    Ok(claimed.rows_affected == 1)
                })
            })
            .await;
        match claimed {
            // Another server has placed a call on the same line at this instant.
            Err(Error::Conflict) => Ok(false),
            claimed => claimed,
        }
    }

    /// Undoes a claim: `Originate` has certainly not left.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn unclaim_call(&self, id: CallId) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let update = call::ActiveModel {
                    status: Set(CallStatus::Pending.as_str().into()),
                    dialed_at: Set(None),
                    node: Set(None),
                    ..Default::default()
                };
                set_status(tx, id, update, &[CallStatus::Dialing]).await.map(drop)
            })
        })
        .await
    }

    /// Calls that nobody needs any more and nobody is listening to, and those that a person gave up.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn unneeded_calls(&self) -> Result<Vec<Call>, Error> {
        let unanswered = status_in(&[CallStatus::Pending, CallStatus::Dialing, CallStatus::Ringing]);
        let left_behind = Condition::any().add(still_needed().not()).add(call::Column::GivenUp.eq(true));
        let unneeded = Condition::all().add(unanswered).add(left_behind);
        let canceled = Condition::all().add(status_in(&CallStatus::LIVE)).add(call::Column::CanceledBy.is_not_null());
        let rows = call::Entity::find().filter(Condition::any().add(unneeded).add(canceled)).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }
}

/// Queues a call about an incident, or lets the incident join the call that is on its way to the same person.
pub(in crate::store) async fn queue(
    tx: &Tx,
    incident: IncidentId,
    new: NewCall,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let contact = new.contact.as_ref().map(|(id, _)| *id);
    let line = line(contact, &new.number);
    let to = new.contact.as_ref().map_or_else(|| new.number.as_str().to_owned(), |(_, name)| name.clone());
    let carries_it = Query::select()
        .column(call_incident::Column::CallId)
        .from(call_incident::Entity)
        .and_where(call_incident::Column::IncidentId.eq(incident.0))
        .to_owned();
    let live = call::Entity::find()
        .filter(call::Column::Line.eq(&*line))
        .filter(status_in(&CallStatus::LIVE))
        .filter(call::Column::Closed.eq(false))
        .filter(call::Column::GivenUp.eq(false))
        .filter(call::Column::CanceledBy.is_null())
        .filter(call::Column::Id.not_in_subquery(carries_it))
        .order_by_asc(call::Column::Id)
        .all(tx)
        .await?;
    if let Some(live) = joinable(tx, incident, live).await? {
        let ordinal = call_incident::Entity::find().filter(call_incident::Column::CallId.eq(live.id)).count(tx).await?;
        let late = live.status == CallStatus::Answered.as_str();
        carry(tx, CallId(live.id), incident, new.at, i32::try_from(ordinal).unwrap_or(i32::MAX), late).await?;
        let entry =
            Entry { incident: Some(incident), call: Some(CallId(live.id)), at: now, fact: Fact::CallJoined { to } };
        return timeline::write(tx, vec![entry]).await;
    }
    let id = insert(tx, new.contact.clone(), &new.number, new.number_index, now).await?;
    carry(tx, id, incident, new.at, 0, false).await?;
    timeline::write(tx, vec![of_call(id, now, queued(&to, &new.number, new.number_index))]).await
}

/// The first of these calls that an incident may join: neither is to be placed in a way of its own.
async fn joinable(tx: &Tx, incident: IncidentId, live: Vec<call::Model>) -> Result<Option<call::Model>, Error> {
    if live.is_empty() || !is_usual(tx, &[incident]).await? {
        return Ok(None);
    }
    for call in live {
        if is_usual(tx, &alone(tx, call.id).await?).await? {
            return Ok(Some(call));
        }
    }
    Ok(None)
}

/// What a call carries, if it is one incident alone: of several, none is to be placed in a way of its own.
async fn alone(db: &impl ConnectionTrait, call: Uuid) -> Result<Vec<IncidentId>, Error> {
    let rows = call_incident::Entity::find().filter(call_incident::Column::CallId.eq(call)).limit(2).all(db).await?;
    if rows.len() > 1 {
        return Ok(Vec::new());
    }
    Ok(rows.into_iter().map(|row| IncidentId(row.incident_id)).collect())
}

/// How calls about these incidents are placed, where that is not as usual.
async fn placings(db: &impl ConnectionTrait, incidents: &[IncidentId]) -> Result<Vec<Placing>, Error> {
    if incidents.is_empty() {
        return Ok(Vec::new());
    }
    let rows = incident::Entity::find()
        .filter(incident::Column::Id.is_in(incidents.iter().map(|id| id.0)))
        .order_by_asc(incident::Column::Id)
        .all(db)
        .await?;
    let mut placings = Vec::new();
    for policy in rows.into_iter().filter_map(|row| row.policy) {
        let policy: Policy = serde_json::from_value(policy)?;
        placings.push(policy.placing);
    }
    placings.retain(|placing| !placing.is_usual());
    Ok(placings)
}

/// Whether calls about these incidents are like others, so that they may be one call.
async fn is_usual(db: &impl ConnectionTrait, incidents: &[IncidentId]) -> Result<bool, Error> {
    Ok(placings(db, incidents).await?.is_empty())
}

/// Queues a call about `which` of what `from` carried and still escalates.
pub(super) async fn hand_on(
    tx: &Tx,
    from: CallId,
    contact: Option<(ContactId, String)>,
    number: &PhoneNumber,
    index: u32,
    now: DateTime<Utc>,
    which: Condition,
) -> Result<(), Error> {
    let carried = call_incident::Entity::find()
        .filter(call_incident::Column::CallId.eq(from.0))
        .filter(which)
        .filter(call_incident::Column::IncidentId.in_subquery(escalating()))
        .order_by_asc(call_incident::Column::Ordinal)
        .all(tx)
        .await?;
    if carried.is_empty() {
        return Ok(());
    }
    let to = contact.as_ref().map_or_else(|| number.as_str().to_owned(), |(_, name)| name.clone());
    let id = insert(tx, contact, number, index, now).await?;
    for (ordinal, row) in (0..).zip(carried) {
        let carried = read_carried(&row)?;
        carry(tx, id, carried.incident, carried.at, ordinal, false).await?;
    }
    timeline::write(tx, vec![of_call(id, now, queued(&to, number, index))]).await
}

async fn insert(
    tx: &Tx,
    contact: Option<(ContactId, String)>,
    number: &PhoneNumber,
    index: u32,
    now: DateTime<Utc>,
) -> Result<CallId, Error> {
    let id = CallId::generate();
    let row = call::ActiveModel {
        id: Set(id.0),
        line: Set(line(contact.as_ref().map(|(id, _)| *id), number)),
        contact_id: Set(contact.as_ref().map(|(id, _)| id.0)),
        contact_name: Set(contact.map(|(_, name)| name)),
        number: Set(number.as_str().to_owned()),
        number_index: Set(i32::try_from(index).unwrap_or(i32::MAX)),
        status: Set(CallStatus::Pending.as_str().into()),
        closed: Set(false),
        token: Set(id::token()),
        created_at: Set(now),
        dialed_at: Set(None),
        ringing_at: Set(None),
        answered_at: Set(None),
        ended_at: Set(None),
        found_route: Set(true),
        disposition: Set(None),
        cause: Set(None),
        cause_text: Set(None),
        sip_status: Set(None),
        failure: Set(None),
        heard_ms: Set(0),
        heard: Set(false),
        digits: Set(String::new()),
        canceled_by: Set(None),
        given_up: Set(false),
        node: Set(None),
    };
    call::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(id)
}

async fn carry(
    tx: &Tx,
    call: CallId,
    incident: IncidentId,
    at: Position,
    ordinal: i32,
    late: bool,
) -> Result<(), Error> {
    let row = call_incident::ActiveModel {
        call_id: Set(call.0),
        incident_id: Set(incident.0),
        ordinal: Set(ordinal),
        run: Set(number(at.stage.run)),
        round: Set(number(at.stage.round)),
        step: Set(number(at.stage.step)),
        attempt: Set(number(at.attempt)),
        said: Set(Said::Waiting.as_str().into()),
        late: Set(late),
    };
    call_incident::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

fn queued(to: &str, number: &PhoneNumber, index: u32) -> Fact {
    Fact::CallQueued { to: to.to_owned(), number: number.as_str().to_owned(), nth_number: index + 1 }
}

/// Calls with the first incident that each carries, whose policy counts as the call's.
fn with_policy() -> Select<call::Entity> {
    let carried = call_incident::Entity::belongs_to(call::Entity);
    let carried = carried.from(call_incident::Column::CallId).to(call::Column::Id);
    let first = call_incident::Entity::belongs_to(incident::Entity);
    let first = first.from(call_incident::Column::IncidentId).to(incident::Column::Id);
    call::Entity::find()
        .select_only()
        .join_rev(JoinType::InnerJoin, carried.into())
        .join(JoinType::InnerJoin, first.into())
        .filter(call_incident::Column::Ordinal.eq(0))
}

fn escalating() -> SelectStatement {
    Query::select()
        .column(incident::Column::Id)
        .from(incident::Entity)
        .and_where(incident::Column::State.eq("escalating"))
        .to_owned()
}

/// That something the call carries still escalates.
fn still_needed() -> Condition {
    Condition::all().add(Expr::exists(needing_it()))
}

/// That something else it carries still escalates. `incident` itself may have gone on to other people.
pub(super) fn needed_by_another(incident: IncidentId) -> Condition {
    let another = Expr::col((incident::Entity, incident::Column::Id)).ne(incident.0);
    Condition::all().add(Expr::exists(needing_it().and_where(another).to_owned()))
}

/// What a call carries and what still escalates.
fn needing_it() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(call_incident::Entity)
        .inner_join(
            incident::Entity,
            Expr::col((incident::Entity, incident::Column::Id))
                .equals((call_incident::Entity, call_incident::Column::IncidentId)),
        )
        .and_where(
            Expr::col((call_incident::Entity, call_incident::Column::CallId)).equals((call::Entity, call::Column::Id)),
        )
        .and_where(Expr::col((incident::Entity, incident::Column::State)).eq("escalating"))
        .to_owned()
}

/// That no other call is on the line of the same person.
fn line_is_free() -> Condition {
    let other = Alias::new("other");
    let column = |column: call::Column| Expr::col((Alias::new("other"), column));
    let busy = Query::select()
        .expr(Expr::val(1))
        .from_as(call::Entity, other)
        .and_where(column(call::Column::Line).equals((call::Entity, call::Column::Line)))
        .and_where(column(call::Column::Status).is_in(CallStatus::ON_THE_LINE.iter().map(|status| status.as_str())))
        .to_owned();
    Condition::all().add(Expr::exists(busy).not())
}
