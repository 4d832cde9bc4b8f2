//! What is queued joins the call that is on its way to the same person, or becomes a call.
//!
//! Whatever one commit queues is looked at together: the statements are as many for a thousand incidents
//! as for one.

use std::collections::{BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::{call, call_incident};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query, SubQueryStatement},
};
use uuid::Uuid;

use super::{CallStatus, NewCall, line, number, of_call, queue::escalates, status_in};
use crate::{
    escalation::Position,
    id::{self, CallId, ContactId, IncidentId},
    phone::PhoneNumber,
    store::{Entry, Error, Fact, Said, timeline, writer::Tx},
};

/// Rows in one statement: SQLite takes 32,766 values.
const ROWS: usize = 1000;

/// A call that is wanted about an incident.
pub(in crate::store) struct Wanted {
    pub(in crate::store) incident: IncidentId,
    pub(in crate::store) call: NewCall,
    pub(in crate::store) now: DateTime<Utc>,
    /// Whether the incident is new: then no call carries it yet.
    pub(in crate::store) new: bool,
}

/// A call that others may join.
struct Joinable {
    id: CallId,
    answered: bool,
    /// The place of the next incident.
    next: i32,
}

/// Calls that others may join, by line, the oldest first; and which incident each carries of those that
/// are asked about.
#[derive(Default)]
struct OnTheirWay {
    calls: HashMap<String, Vec<Joinable>>,
    carried: HashSet<(CallId, IncidentId)>,
}

/// Queues calls about incidents, or lets the incidents join calls that are on their way to the same people.
pub(in crate::store) async fn queue(tx: &Tx, wanted: Vec<Wanted>) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut known = on_their_way(tx, &wanted).await?;
    let (mut calls, mut carried, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for Wanted { incident, call: new, now, new: _ } in wanted {
        let contact = new.contact.as_ref().map(|(id, _)| *id);
        let to = new.contact.as_ref().map_or_else(|| new.number.as_str().to_owned(), |(_, name)| name.clone());
        let line = line(contact, &new.number);
        let OnTheirWay { calls: joinable, carried: carries } = &mut known;
        let joins = |call: &&mut Joinable| carries.insert((call.id, incident));
        let live = joinable.entry(line).or_default();
        if !new.alone
            && let Some(live) = live.iter_mut().find(joins)
        {
            carried.push(carry(live.id, incident, &new, live.next, live.answered));
            live.next = live.next.saturating_add(1);
            let (call, fact) = (Some(live.id), Fact::CallJoined { to });
            entries.push(Entry { incident: Some(incident), call, message: None, at: now, fact });
            continue;
        }
        let link = |id| carry(id, incident, &new, 0, false);
        let row = row(new.contact.clone(), &new.number, new.number_index, new.alone, now);
        let id = CallId(row.id);
        carried.push(link(id));
        entries.push(of_call(id, now, queued(&to, &new.number, new.number_index)));
        calls.push(row.into());
        if !new.alone {
            carries.insert((id, incident));
            live.push(Joinable { id, answered: false, next: 1 });
        }
    }
    insert(tx, calls, carried).await?;
    timeline::write(tx, entries).await
}

async fn on_their_way(tx: &Tx, wanted: &[Wanted]) -> Result<OnTheirWay, Error> {
    let joining = || wanted.iter().filter(|wanted| !wanted.call.alone);
    let lines: BTreeSet<String> =
        joining().map(|Wanted { call, .. }| line(call.contact.as_ref().map(|(id, _)| *id), &call.number)).collect();
    let mut known = OnTheirWay::default();
    if lines.is_empty() {
        return Ok(known);
    }
    let last = Query::select()
        .expr(Expr::col((call_incident::Entity, call_incident::Column::Ordinal)).max())
        .from(call_incident::Entity)
        .and_where(
            Expr::col((call_incident::Entity, call_incident::Column::CallId)).equals((call::Entity, call::Column::Id)),
        )
        .to_owned();
    let rows: Vec<(Uuid, String, String, Option<i32>)> = call::Entity::find()
        .select_only()
        .columns([call::Column::Id, call::Column::Line, call::Column::Status])
        .expr_as(Expr::from(SubQueryStatement::from(last)), "last")
        .filter(call::Column::Line.is_in(lines))
        .filter(status_in(&CallStatus::LIVE))
        .filter(call::Column::Alone.eq(false))
        .filter(call::Column::Closed.eq(false))
        .filter(call::Column::GivenUp.eq(false))
        .filter(call::Column::CanceledBy.is_null())
        .order_by_asc(call::Column::Id)
        .into_tuple()
        .all(tx)
        .await?;
    if rows.is_empty() {
        return Ok(known);
    }
    let old: Vec<Uuid> = joining().filter(|wanted| !wanted.new).map(|wanted| wanted.incident.0).collect();
    if !old.is_empty() {
        let carried: Vec<(Uuid, Uuid)> = call_incident::Entity::find()
            .select_only()
            .columns([call_incident::Column::CallId, call_incident::Column::IncidentId])
            .filter(call_incident::Column::CallId.is_in(rows.iter().map(|row| row.0)))
            .filter(call_incident::Column::IncidentId.is_in(old))
            .into_tuple()
            .all(tx)
            .await?;
        known.carried = carried.into_iter().map(|(call, incident)| (CallId(call), IncidentId(incident))).collect();
    }
    for (id, line, status, last) in rows {
        let answered = status == CallStatus::Answered.as_str();
        let next = last.map_or(0, |last| last.saturating_add(1));
        known.calls.entry(line).or_default().push(Joinable { id: CallId(id), answered, next });
    }
    Ok(known)
}

/// Queues a call about `which` of what `from` carried and still escalates.
pub(super) async fn hand_on(
    tx: &Tx,
    from: &call::Model,
    number: &PhoneNumber,
    index: u32,
    now: DateTime<Utc>,
    which: Condition,
) -> Result<(), Error> {
    let carried = call_incident::Entity::find()
        .filter(call_incident::Column::CallId.eq(from.id))
        .filter(which)
        .filter(escalates())
        .order_by_asc(call_incident::Column::Ordinal)
        .all(tx)
        .await?;
    if carried.is_empty() {
        return Ok(());
    }
    let contact = from.contact_id.map(ContactId).zip(from.contact_name.clone());
    let to = contact.as_ref().map_or_else(|| number.as_str().to_owned(), |(_, name)| name.clone());
    let call = row(contact, number, index, from.alone, now);
    let id = CallId(call.id);
    let mut rows = Vec::with_capacity(carried.len());
    for (ordinal, row) in (0..).zip(carried) {
        rows.push(carried_on(row, id, ordinal));
    }
    insert(tx, vec![call.into()], rows).await?;
    timeline::write(tx, vec![of_call(id, now, queued(&to, number, index))]).await
}

async fn insert(tx: &Tx, calls: Vec<call::ActiveModel>, carried: Vec<call_incident::ActiveModel>) -> Result<(), Error> {
    for some in calls.chunks(ROWS) {
        call::Entity::insert_many(some.to_vec()).exec_without_returning(tx).await?;
    }
    for some in carried.chunks(ROWS) {
        call_incident::Entity::insert_many(some.to_vec()).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn row(
    contact: Option<(ContactId, String)>,
    number: &PhoneNumber,
    index: u32,
    alone: bool,
    now: DateTime<Utc>,
) -> call::Model {
    call::Model {
        id: CallId::generate().0,
        line: line(contact.as_ref().map(|(id, _)| *id), number),
        contact_id: contact.as_ref().map(|(id, _)| id.0),
        contact_name: contact.map(|(_, name)| name),
        number: number.as_str().to_owned(),
        number_index: i32::try_from(index).unwrap_or(i32::MAX),
        status: CallStatus::Pending.as_str().into(),
        closed: false,
        token: id::token(),
        created_at: now,
        dialed_at: None,
        ringing_at: None,
        answered_at: None,
        ended_at: None,
        found_route: true,
        disposition: None,
        cause: None,
        cause_text: None,
        sip_status: None,
        failure: None,
        heard_ms: 0,
        heard: false,
        digits: String::new(),
        canceled_by: None,
        given_up: false,
        node: None,
        alone,
    }
}

fn carry(call: CallId, incident: IncidentId, new: &NewCall, ordinal: i32, late: bool) -> call_incident::ActiveModel {
    let Position { stage, attempt } = new.at;
    call_incident::ActiveModel {
        call_id: Set(call.0),
        incident_id: Set(incident.0),
        ordinal: Set(ordinal),
        run: Set(number(stage.run)),
        round: Set(number(stage.round)),
        step: Set(number(stage.step)),
        attempt: Set(number(attempt)),
        said: Set(Said::Waiting.as_str().into()),
        late: Set(late),
        text_if_missed: Set(new.text_if_missed.and_then(|worth| worth.num_seconds().try_into().ok())),
    }
}

/// What a call carried, in the call that takes its place.
fn carried_on(row: call_incident::Model, call: CallId, ordinal: i32) -> call_incident::ActiveModel {
    let said = Said::Waiting.as_str().into();
    call_incident::Model { call_id: call.0, ordinal, said, late: false, ..row }.into()
}

fn queued(to: &str, number: &PhoneNumber, index: u32) -> Fact {
    Fact::CallQueued { to: to.to_owned(), number: number.as_str().to_owned(), nth_number: index + 1 }
}
