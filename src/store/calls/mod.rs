//! Calls: what they are, and looking them up. How one comes into the queue is in `join`, the queue in `queue`,
//! what happens to one on its way in `steps`, its end in `progress`, what the person on the line does in `sessions`.

pub(super) mod join;
mod missed;
pub(super) mod progress;
pub(super) mod queue;
pub(super) mod steps;

use std::{
    collections::{HashMap, HashSet},
    fmt,
    str::FromStr,
};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{call, call_incident, incident};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, FromQueryResult, JoinType, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
    sea_query::{Expr, ExprTrait, Query, SelectStatement, SimpleExpr, SubQueryStatement},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Entry, Error, Fact, Page, Said, Store, reader::Reader};
use crate::{
    escalation::{Calls, Position, Stage},
    id::{self, CallId, ContactId, IncidentId},
    phone::PhoneNumber,
};

/// Where a call stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallStatus {
    /// Waits to be placed.
    Pending,
    /// Claimed; `Originate` has left or is about to.
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
    /// We gave it up, since nobody needed it any more.
    Canceled,
}

impl CallStatus {
    pub(super) const LIVE: [Self; 4] = [Self::Pending, Self::Dialing, Self::Ringing, Self::Answered];
    pub(super) const ON_THE_LINE: [Self; 3] = [Self::Dialing, Self::Ringing, Self::Answered];

    /// Its name in the table and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Dialing => "dialing",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the call is not over yet.
    #[must_use]
    pub fn is_live(self) -> bool {
        Self::LIVE.contains(&self)
    }
}

impl fmt::Display for CallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CallStatus {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(serde_json::from_value(text.into())?)
    }
}

/// A call as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its identifier, and the Asterisk channel's `Uniqueid`.
    pub id: CallId,
    /// Whose line it occupies.
    pub line: String,
    /// The contact it is for; a bare number has none.
    pub contact: Option<ContactId>,
    /// Their name, or the number.
    pub to: String,
    /// The number dialled.
    pub number: PhoneNumber,
    /// Which of the contact's numbers that is, from 0.
    pub number_index: u32,
    /// Where it stands.
    pub status: CallStatus,
    /// Proof that an AGI session belongs to it.
    pub token: String,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When `Originate` left.
    pub dialed_at: Option<DateTime<Utc>>,
    /// When the far end rang.
    pub ringing_at: Option<DateTime<Utc>>,
    /// When it was answered.
    pub answered_at: Option<DateTime<Utc>>,
    /// How it ended.
    pub end: Option<(DateTime<Utc>, End)>,
    /// What was heard and pressed.
    pub heard: Heard,
    /// Whether a person has given it up.
    pub canceled: bool,
    /// The server that has placed it.
    pub node: Option<String>,
    /// Whether it is placed in a way of its own ([`Store::placing_of`]).
    pub alone: bool,
}

/// What the person on the line heard and pressed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// How much of what we had to say was played, in milliseconds.
    pub ms: i64,
    /// The alert was played to its end at least once, or a digit proved it heard.
    pub whole: bool,
    /// Every digit, in order.
    pub digits: String,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The final status.
    pub status: CallStatus,
    /// As Asterisk's.
    pub disposition: String,
    /// Q.850; 0 is none.
    pub cause: u16,
    /// Its words.
    pub cause_text: String,
    /// The SIP status of the final answer.
    pub sip_status: Option<u16>,
    /// Whether a telephone network took it, so that the attempt counts.
    pub found_route: bool,
    /// In plain words, why it did not reach anybody.
    pub failure: Option<String>,
}

/// A call that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCall {
    /// The contact and their name; `None` for a bare number.
    pub contact: Option<(ContactId, String)>,
    /// What to dial.
    pub number: PhoneNumber,
    /// Which of the contact's numbers that is, from 0.
    pub number_index: u32,
    /// For which attempt.
    pub at: Position,
    /// Whether it is placed in a way of its own: then it joins no other call, and nothing joins it.
    pub alone: bool,
    /// For how long a text is worth sending to whoever does not answer it; `None`, if they get none.
    pub text_if_missed: Option<TimeDelta>,
}

/// An incident that a call carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// Which.
    pub incident: IncidentId,
    /// For which attempt.
    pub at: Position,
    /// What became of it.
    pub said: Said,
}

/// Which calls a list is about.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// Only in this status.
    pub status: Option<CallStatus>,
    /// Only about this incident.
    pub incident: Option<IncidentId>,
    /// Only to this number.
    pub number: Option<PhoneNumber>,
    /// Only to this contact.
    pub contact: Option<ContactId>,
    /// Only made then or later, to the millisecond.
    pub from: Option<DateTime<Utc>>,
    /// Only made before.
    pub until: Option<DateTime<Utc>>,
    /// Only older than this one: the page after it.
    pub before: Option<Uuid>,
}

/// Whose line a call occupies: one live call at a time.
#[must_use]
pub fn line(contact: Option<ContactId>, number: &PhoneNumber) -> String {
    contact.map_or_else(|| number.as_str().to_owned(), |id| id.to_string())
}

impl Store {
    /// Calls that are not over and have left the queue.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calls_on_the_line(&self) -> Result<Vec<Call>, Error> {
        let rows = call::Entity::find().filter(status_in(&CallStatus::ON_THE_LINE)).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// How many calls were dialled since `since`, to this prefix or in all. What no route took cost nothing and
    /// rang nowhere: it does not count, or an outage would use up the caps.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn dialed_since(&self, since: DateTime<Utc>, prefix: Option<&str>) -> Result<u32, Error> {
        let mut dialed = dialed_since(since);
        if let Some(prefix) = prefix {
            dialed = dialed.filter(call::Column::Number.starts_with(prefix));
        }
        Ok(u32::try_from(dialed.count(&self.read).await?).unwrap_or(u32::MAX))
    }

    /// The same for each of these lines.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn dialed_on(&self, lines: &[&str], since: DateTime<Utc>) -> Result<HashMap<String, u32>, Error> {
        let rows: Vec<(String, i64)> = dialed_since(since)
            .select_only()
            .column(call::Column::Line)
            .column_as(call::Column::Id.count(), "calls")
            .filter(call::Column::Line.is_in(lines.iter().copied()))
            .group_by(call::Column::Line)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|(line, calls)| (line, u32::try_from(calls).unwrap_or(u32::MAX))).collect())
    }

    /// A call by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn call(&self, id: CallId) -> Result<Option<Call>, Error> {
        call::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// What a call carries, in the order in which it is spoken.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn carried_by(&self, id: CallId) -> Result<Vec<Carried>, Error> {
        let rows = call_incident::Entity::find()
            .filter(call_incident::Column::CallId.eq(id.0))
            .order_by_asc(call_incident::Column::Ordinal)
            .all(&self.read)
            .await?;
        rows.into_iter().map(|row| read_carried(&row)).collect()
    }

    /// What each of these calls carries, in the order in which it is spoken.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn carried_by_each(&self, calls: &[CallId]) -> Result<HashMap<CallId, Vec<Carried>>, Error> {
        let rows = call_incident::Entity::find()
            .filter(call_incident::Column::CallId.is_in(calls.iter().map(|id| id.0)))
            .order_by_asc(call_incident::Column::Ordinal)
            .all(&self.read)
            .await?;
        let mut carried: HashMap<CallId, Vec<Carried>> = HashMap::with_capacity(calls.len());
        for row in rows {
            carried.entry(CallId(row.call_id)).or_default().push(read_carried(&row)?);
        }
        Ok(carried)
    }

    /// Where the trace of what a call carries stood when it was raised: the first of it that was traced.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn trace_of(&self, id: CallId) -> Result<Option<String>, Error> {
        let carried = call_incident::Entity::find()
            .filter(call_incident::Column::CallId.eq(id.0))
            .select_only()
            .column(call_incident::Column::IncidentId);
        let traced = incident::Entity::find()
            .filter(incident::Column::Id.in_subquery(carried.into_query()))
            .filter(incident::Column::Traceparent.is_not_null())
            .order_by_asc(incident::Column::Id);
        Ok(traced.one(&self.read).await?.and_then(|row| row.traceparent))
    }

    /// A page of calls, newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calls(&self, filter: CallFilter, limit: u64) -> Result<Page<Call>, Error> {
        let mut query = call::Entity::find();
        if let Some(status) = filter.status {
            query = query.filter(call::Column::Status.eq(status.as_str()));
        }
        if let Some(number) = filter.number {
            query = query.filter(call::Column::Number.eq(number.as_str()));
        }
        if let Some(incident) = filter.incident {
            query = query.filter(call::Column::Id.in_subquery(calls_of(incident)));
        }
        if let Some(contact) = filter.contact {
            query = query.filter(call::Column::ContactId.eq(contact.0));
        }
        // Identifiers sort by birth: a span of time is a span of them.
        if let Some(from) = filter.from {
            query = query.filter(call::Column::Id.gte(id::first_of(from)));
        }
        if let Some(until) = filter.until {
            query = query.filter(call::Column::Id.lt(id::first_of(until)));
        }
        if let Some(before) = filter.before {
            query = query.filter(call::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(call::Column::Id).limit(limit + 1).all(&self.read).await?;
        let calls = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(calls, limit, |call| call.id.0))
    }
}

fn dialed_since(since: DateTime<Utc>) -> Select<call::Entity> {
    let dialed = call::Entity::find().filter(call::Column::DialedAt.gt(since));
    dialed.filter(call::Column::FoundRoute.eq(true))
}

/// A call, as far as a round of one of its incidents asks.
#[derive(FromQueryResult)]
struct OfRound {
    incident_id: Uuid,
    status: String,
    found_route: bool,
    ended_at: Option<DateTime<Utc>>,
    run: i32,
    round: i32,
}

/// What became of the calls of one round of each of these incidents, and when the last of them ended.
pub(super) async fn of_rounds(
    db: &Reader,
    stages: &HashMap<IncidentId, Stage>,
) -> Result<HashMap<IncidentId, (Calls, Option<DateTime<Utc>>)>, Error> {
    if stages.is_empty() {
        return Ok(HashMap::new());
    }
    let carries = call_incident::Entity::belongs_to(call::Entity);
    let carries = carries.from(call_incident::Column::CallId).to(call::Column::Id);
    let rows: Vec<OfRound> = call::Entity::find()
        .select_only()
        .columns([call::Column::Status, call::Column::FoundRoute, call::Column::EndedAt])
        .columns([call_incident::Column::IncidentId, call_incident::Column::Run, call_incident::Column::Round])
        .join_rev(JoinType::InnerJoin, carries.into())
        .filter(call_incident::Column::IncidentId.is_in(stages.keys().map(|id| id.0)))
        .into_model()
        .all(db)
        .await?;
    let mut of_each: HashMap<IncidentId, Vec<OfRound>> = HashMap::with_capacity(stages.len());
    for row in rows {
        of_each.entry(IncidentId(row.incident_id)).or_default().push(row);
    }
    Ok(of_each.into_iter().filter_map(|(id, rows)| Some((id, of_round(&rows, *stages.get(&id)?)))).collect())
}

fn of_round(rows: &[OfRound], stage: Stage) -> (Calls, Option<DateTime<Utc>>) {
    if rows.iter().any(|row| CallStatus::LIVE.iter().any(|live| live.as_str() == row.status)) {
        return (Calls::Live, None);
    }
    let of_the_round = (number(stage.run), number(stage.round));
    let of_the_round: Vec<_> = rows.iter().filter(|row| (row.run, row.round) == of_the_round).collect();
    let nothing_left = !of_the_round.is_empty() && of_the_round.iter().all(|row| !row.found_route);
    let ended = of_the_round.iter().filter_map(|row| row.ended_at).max();
    (if nothing_left { Calls::NoWayOut } else { Calls::Placed }, ended)
}

/// The calls that live and carry the incident of the row outside: looked up for each, as in `queue`.
pub(super) fn live_of_incident() -> SelectStatement {
    let of = |column: call_incident::Column| Expr::col((call_incident::Entity, column));
    let status = Query::select()
        .column((call::Entity, call::Column::Status))
        .from(call::Entity)
        .and_where(Expr::col((call::Entity, call::Column::Id)).eq(of(call_incident::Column::CallId)))
        .to_owned();
    Query::select()
        .expr(Expr::val(1))
        .from(call_incident::Entity)
        .and_where(of(call_incident::Column::IncidentId).equals((incident::Entity, incident::Column::Id)))
        .and_where(Expr::from(SubQueryStatement::from(status)).is_in(literals(&CallStatus::LIVE)))
        .to_owned()
}

/// A line of the timeline about everything the call carries.
pub(super) fn of_call(call: CallId, at: DateTime<Utc>, fact: Fact) -> Entry {
    Entry { incident: None, call: Some(call), message: None, at, fact }
}

/// Changes a call if it is in one of `from`.
pub(super) async fn set_status(
    tx: &impl ConnectionTrait,
    id: CallId,
    update: call::ActiveModel,
    from: &[CallStatus],
) -> Result<bool, Error> {
    let updated = call::Entity::update_many()
        .set(update)
        .filter(call::Column::Id.eq(id.0))
        .filter(status_in(from))
        .exec(tx)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// The same for many: says which were changed.
pub(super) async fn set_statuses(
    tx: &impl ConnectionTrait,
    ids: Vec<Uuid>,
    update: call::ActiveModel,
    from: &[CallStatus],
) -> Result<HashSet<Uuid>, Error> {
    let mut query = call::Entity::update_many()
        .set(update)
        .filter(call::Column::Id.is_in(ids))
        .filter(status_in(from))
        .into_query();
    query.returning_col(call::Column::Id);
    let changed = tx.query_all(&query).await?;
    changed.into_iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

pub(super) fn status_in(statuses: &[CallStatus]) -> SimpleExpr {
    Expr::col((call::Entity, call::Column::Status)).is_in(literals(statuses))
}

/// As they stand in SQL, not as values that are bound: there is an index of the calls on the line, and where a
/// statement may be about the same ones SQLite plans it anew whenever other values are bound.
fn literals(statuses: &[CallStatus]) -> impl Iterator<Item = Expr> {
    statuses.iter().map(|status| Expr::Constant(status.as_str().into()))
}

/// The calls that carry an incident.
fn calls_of(incident: IncidentId) -> SelectStatement {
    Query::select()
        .column(call_incident::Column::CallId)
        .from(call_incident::Entity)
        .and_where(call_incident::Column::IncidentId.eq(incident.0))
        .to_owned()
}

fn number(value: u32) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

pub(super) fn read_carried(row: &call_incident::Model) -> Result<Carried, Error> {
    let natural = |value: i32| u32::try_from(value).unwrap_or(0);
    let stage = Stage { run: natural(row.run), round: natural(row.round), step: natural(row.step) };
    Ok(Carried {
        incident: IncidentId(row.incident_id),
        at: Position { stage, attempt: natural(row.attempt) },
        said: row.said.parse()?,
    })
}

pub(super) fn read(row: call::Model) -> Result<Call, Error> {
    let number = PhoneNumber::try_from(row.number)
        .map_err(|_| Error::Unavailable("a stored number cannot be dialled".into()))?;
    let status: CallStatus = row.status.parse()?;
    let end = row.ended_at.map(|at| {
        let end = End {
            status,
            disposition: row.disposition.unwrap_or_default(),
            cause: row.cause.and_then(|cause| cause.try_into().ok()).unwrap_or(0),
            cause_text: row.cause_text.unwrap_or_default(),
            sip_status: row.sip_status.and_then(|status| status.try_into().ok()),
            found_route: row.found_route,
            failure: row.failure,
        };
        (at, end)
    });
    Ok(Call {
        id: CallId(row.id),
        line: row.line,
        contact: row.contact_id.map(ContactId),
        to: row.contact_name.unwrap_or_else(|| number.as_str().to_owned()),
        number,
        number_index: row.number_index.try_into().unwrap_or(0),
        status,
        token: row.token,
        created_at: row.created_at,
        dialed_at: row.dialed_at,
        ringing_at: row.ringing_at,
        answered_at: row.answered_at,
        end,
        heard: Heard { ms: row.heard_ms, whole: row.heard, digits: row.digits },
        canceled: row.canceled_by.is_some(),
        node: row.node,
        alone: row.alone,
    })
}
