//! The queue: what waits to be placed, and what nobody needs any more.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::{call, call_incident, incident};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
    Select,
    sea_query::{Alias, Expr, ExprTrait, Order, Query, SelectStatement, SubQueryStatement},
};
use uuid::Uuid;

use super::{Call, CallStatus, literals, of_call, read, set_status, status_in};
use crate::{
    escalation::{Placing, Policy},
    id::{CallId, IncidentId, PolicyId},
    store::{Error, Fact, KillSwitch, Store, sessions, settings, timeline},
};

/// Of each policy and beginning of a number so many calls are looked at.
const TURNS: i64 = 200;
/// A call's place among those.
const NTH: &str =
    r#"ROW_NUMBER() OVER (PARTITION BY "incident"."policy_id", SUBSTR("call"."number", 1, 5) ORDER BY "call"."id")"#;

/// What is to be done about calls, at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glance {
    /// Whether calls are stopped.
    pub kill_switch: KillSwitch,
    /// Whether one under way is not needed any more, or was given up by a person.
    pub unneeded: bool,
    /// Whether something is being spoken that is over, or taken.
    pub interrupted: bool,
    /// Whether one waits to be placed.
    pub waiting: bool,
}

/// Calls that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// The first of them, and their policies.
    pub calls: Vec<(CallId, Option<PolicyId>)>,
    /// How many there are.
    pub of: i64,
}

impl Store {
    /// How a call is placed, where that is not as usual: as it was asked for what it carries.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn placing_of(&self, id: CallId) -> Result<Placing, Error> {
        let its_own = Query::select()
            .column((call_incident::Entity, call_incident::Column::IncidentId))
            .from(call_incident::Entity)
            .inner_join(
                call::Entity,
                Expr::col((call_incident::Entity, call_incident::Column::CallId))
                    .equals((call::Entity, call::Column::Id)),
            )
            .and_where(Expr::col((call::Entity, call::Column::Id)).eq(id.0))
            .and_where(Expr::col((call::Entity, call::Column::Alone)).eq(true))
            .to_owned();
        let policy: Option<Option<serde_json::Value>> = incident::Entity::find()
            .select_only()
            .column(incident::Column::Policy)
            .filter(incident::Column::Id.in_subquery(its_own))
            .into_tuple()
            .one(&self.read)
            .await?;
        let policy: Option<Policy> = policy.flatten().map(serde_json::from_value).transpose()?;
        Ok(policy.map(|policy| policy.placing).unwrap_or_default())
    }

    /// Calls that wait and may be placed, and under which policy: about something that still escalates, to
    /// somebody who is not on the line already. Oldest first; of each policy and each beginning of a number the
    /// oldest few hundred, so that many at a cap stand in the way of none to another country.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn waiting_calls(&self) -> Result<Waiting, Error> {
        let all = with_policy()
            .column(call::Column::Id)
            .column(incident::Column::PolicyId)
            .column_as(Expr::cust(NTH), "nth")
            .column_as(Expr::cust("COUNT(*) OVER ()"), "waiting")
            .filter(status_in(&[CallStatus::Pending]))
            .filter(line_is_free())
            .filter(still_needed())
            .into_query();
        let first = Query::select()
            .columns(["id", "policy_id", "waiting"])
            .from_subquery(all, "turn")
            .and_where(Expr::col("nth").lte(TURNS))
            .order_by("id", Order::Asc)
            .to_owned();
        let mut waiting = Waiting::default();
        for row in self.read.query_all(&first).await? {
            let policy: Option<Uuid> = row.try_get("", "policy_id")?;
            waiting.of = row.try_get("", "waiting")?;
            waiting.calls.push((CallId(row.try_get("", "id")?), policy.map(PolicyId)));
        }
        Ok(waiting)
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
            .filter(status_in(&[CallStatus::Pending]))
            .order_by_asc(call::Column::Id)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Claims calls for a server: each from `pending` to `dialing`, once. After this `Originate` may leave for
    /// those that come back.
    ///
    /// # Errors
    /// If the database does not take it: then none may leave.
    pub async fn claim_calls(&self, calls: &[Call], node: &str, now: DateTime<Utc>) -> Result<HashSet<CallId>, Error> {
        match self.claim(calls, node, now).await {
            // Another call is on one of these lines at this instant: on which, is found one by one.
            Err(Error::Conflict) if calls.len() > 1 => {
                let mut claimed = HashSet::new();
                for call in calls {
                    match self.claim(std::slice::from_ref(call), node, now).await {
                        Err(Error::Conflict) => {}
                        one => claimed.extend(one?),
                    }
                }
                Ok(claimed)
            }
            Err(Error::Conflict) => Ok(HashSet::new()),
            claimed => claimed,
        }
    }

    async fn claim(&self, calls: &[Call], node: &str, now: DateTime<Utc>) -> Result<HashSet<CallId>, Error> {
        let claim = Query::update()
            .table(call::Entity)
            .value(call::Column::Status, CallStatus::Dialing.as_str())
            .value(call::Column::DialedAt, now)
            .value(call::Column::Node, node)
            .and_where(call::Column::Id.is_in(calls.iter().map(|call| call.id.0)))
            .and_where(status_in(&[CallStatus::Pending]))
            .cond_where(line_is_free())
            .cond_where(still_needed())
            .returning_col(call::Column::Id)
            .to_owned();
        let mut dialing: HashMap<CallId, Fact> = calls
            .iter()
            .map(|call| (call.id, Fact::Dialing { to: call.to.clone(), number: call.number.as_str().to_owned() }))
            .collect();
        self.write(move |tx| {
            Box::pin(async move {
                let mut claimed = HashSet::new();
                for row in tx.query_all(&claim).await? {
                    claimed.insert(CallId(row.try_get("", "id")?));
                }
                dialing.retain(|id, _| claimed.contains(id));
                let mut entries: Vec<_> = dialing.into_iter().map(|(id, fact)| of_call(id, now, fact)).collect();
                entries.sort_by_key(|entry| entry.call);
                timeline::write(tx, entries).await?;
                Ok(claimed)
            })
        })
        .await
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

    /// What is to be done about calls: one question instead of one for each.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn glance(&self) -> Result<Glance, Error> {
        let any = |calls: Select<call::Entity>| {
            let calls = calls.select_only().expr(Expr::val(1));
            Expr::exists(calls.into_query())
        };
        let unanswered = status_in(&[CallStatus::Dialing, CallStatus::Ringing]);
        let left_behind = Condition::any().add(still_needed().not()).add(call::Column::GivenUp.eq(true));
        let canceled = status_in(&CallStatus::ON_THE_LINE).and(call::Column::CanceledBy.is_not_null());
        let unneeded = Condition::any().add(Condition::all().add(unanswered).add(left_behind)).add(canceled);
        let question = Query::select()
            .expr_as(settings::kill_switch(), "kill_switch")
            .expr_as(any(call::Entity::find().filter(unneeded)), "unneeded")
            .expr_as(Expr::exists(sessions::interrupted()), "interrupted")
            .expr_as(any(call::Entity::find().filter(status_in(&[CallStatus::Pending]))), "waiting")
            .to_owned();
        let row = self.read.query_one(&question).await?.ok_or_else(Error::stopped)?;
        Ok(Glance {
            kill_switch: settings::read_kill_switch(row.try_get("", "kill_switch")?)?,
            unneeded: row.try_get("", "unneeded")?,
            interrupted: row.try_get("", "interrupted")?,
            waiting: row.try_get("", "waiting")?,
        })
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

/// That something the call carries still escalates.
fn still_needed() -> Condition {
    Condition::all().add(Expr::exists(needing_it()))
}

/// That something else it carries still escalates. `incident` itself may have gone on to other people.
pub(super) fn needed_by_another(incident: IncidentId) -> Condition {
    let another = Expr::col((call_incident::Entity, call_incident::Column::IncidentId)).ne(incident.0);
    Condition::all().add(Expr::exists(needing_it().and_where(another).to_owned()))
}

/// What a call carries and what still escalates.
fn needing_it() -> SelectStatement {
    Query::select()
        .expr(Expr::val(1))
        .from(call_incident::Entity)
        .and_where(
            Expr::col((call_incident::Entity, call_incident::Column::CallId)).equals((call::Entity, call::Column::Id)),
        )
        .and_where(escalates())
        .to_owned()
}

/// That the incident which a call carries still escalates.
pub(in crate::store) fn escalates() -> Expr {
    state_of_carried().eq("escalating")
}

/// The state of the incident which a call carries: looked up for each, and never joined. SQLite begins a join of the
/// two at all that escalate, which takes each look at n calls n times n steps.
pub(in crate::store) fn state_of_carried() -> Expr {
    let its = Expr::col((call_incident::Entity, call_incident::Column::IncidentId));
    let state = Query::select()
        .column((incident::Entity, incident::Column::State))
        .from(incident::Entity)
        .and_where(Expr::col((incident::Entity, incident::Column::Id)).eq(its))
        .to_owned();
    SubQueryStatement::from(state).into()
}

/// That no other call is on the line of the same person.
fn line_is_free() -> Condition {
    let other = Alias::new("other");
    let column = |column: call::Column| Expr::col((Alias::new("other"), column));
    let busy = Query::select()
        .expr(Expr::val(1))
        .from_as(call::Entity, other)
        .and_where(column(call::Column::Line).equals((call::Entity, call::Column::Line)))
        .and_where(column(call::Column::Status).is_in(literals(&CallStatus::ON_THE_LINE)))
        .to_owned();
    Condition::all().add(Expr::exists(busy).not())
}
