//! What the person on the line is told and does: the part of a call that the AGI session writes.

use std::{
    collections::{BTreeSet, HashMap},
    str::FromStr,
};

use chrono::{DateTime, Utc};
use entity::{call, call_incident, contact};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    sea_query::{BinOper, Expr, ExprTrait, Order, Query, SelectStatement},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Error, Fact, Store,
    calls::{self, Call, CallStatus, Carried, of_call},
    messages,
    reader::Reader,
    timeline,
};
use crate::{
    id::{CallId, InboundId, IncidentId},
    store::writer::Tx,
};

/// What became of an incident in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// Its turn has not come.
    Waiting,
    /// It is being spoken, or was when the session broke.
    Speaking,
    /// It was spoken, and nothing came of it.
    Unanswered,
    /// The callee has taken it.
    Acknowledged,
    /// The callee has passed it on.
    Escalated,
    /// The callee says that it is over.
    Resolved,
    /// The callee was told that somebody else has it, or that it is over.
    Taken,
}

/// Where something was said about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// In a call, with what became of the incident in it.
    Call(CallId, Said),
    /// In a text, which counts once.
    Text(InboundId),
}

impl Said {
    /// Its name in the table and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Speaking => "speaking",
            Self::Unanswered => "unanswered",
            Self::Acknowledged => "acknowledged",
            Self::Escalated => "escalated",
            Self::Resolved => "resolved",
            Self::Taken => "taken",
        }
    }
}

impl FromStr for Said {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(serde_json::from_value(text.into())?)
    }
}

/// A call and all that it carries, as the AGI session sees it.
#[derive(Clone, Debug)]
pub struct Session {
    /// The call.
    pub call: Call,
    /// The contact's language.
    pub language: Option<String>,
    /// What is kept of the contact's PIN, if they have one.
    pub pin_hash: Option<String>,
    /// What it carries, in the order in which it is spoken. That may be thousands: none of them is read
    /// before its turn comes.
    pub carried: Vec<Carried>,
}

impl Store {
    /// Everything a session needs to know of its call; `None` if there is no such call.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn session(&self, id: CallId) -> Result<Option<Session>, Error> {
        self.sessions.ask(id).await
    }

    /// What a call has spoken, and nobody has taken.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn undecided(&self, call: CallId) -> Result<Vec<IncidentId>, Error> {
        let rows: Vec<Uuid> = call_incident::Entity::find()
            .select_only()
            .column(call_incident::Column::IncidentId)
            .filter(call_incident::Column::CallId.eq(call.0))
            .filter(call_incident::Column::Said.eq(Said::Unanswered.as_str()))
            .filter(calls::queue::escalates())
            .order_by_asc(call_incident::Column::Ordinal)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(IncidentId).collect())
    }

    /// A key was pressed.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn digit(&self, call: CallId, digit: char, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let appended =
                    Expr::col(call::Column::Digits).binary(BinOper::Custom("||"), Expr::val(digit.to_string()));
                call::Entity::update_many()
                    .col_expr(call::Column::Digits, appended)
                    .filter(call::Column::Id.eq(call.0))
                    .exec(tx)
                    .await?;
                timeline::write(tx, vec![of_call(call, now, Fact::Digit { digit })]).await
            })
        })
        .await
    }

    /// Ends the list of what a call carries, unless something has joined it that was not spoken yet.
    /// Returns whether it ended; after that nothing joins any more.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn close_call(&self, id: CallId) -> Result<bool, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let waiting = Query::select()
                    .column(call_incident::Column::CallId)
                    .from(call_incident::Entity)
                    .and_where(call_incident::Column::CallId.eq(id.0))
                    .and_where(call_incident::Column::Said.eq(Said::Waiting.as_str()))
                    .to_owned();
                let closed = call::Entity::update_many()
                    .set(call::ActiveModel { closed: Set(true), ..Default::default() })
                    .filter(call::Column::Id.eq(id.0))
                    .filter(call::Column::Id.not_in_subquery(waiting))
                    .exec(tx)
                    .await?;
                Ok(closed.rows_affected == 1)
            })
        })
        .await
    }

    /// Calls in which something is being spoken that somebody else has taken meanwhile, or that is over.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn interrupted_calls(&self) -> Result<Vec<(CallId, IncidentId)>, Error> {
        let rows = self.read.query_all(&interrupted()).await?;
        let of =
            |row: QueryResult| Ok((CallId(row.try_get("", "call_id")?), IncidentId(row.try_get("", "incident_id")?)));
        rows.into_iter().map(of).collect()
    }
}

/// What is being spoken in a call that somebody else has taken meanwhile, or that is over.
pub(super) fn interrupted() -> SelectStatement {
    let answered = Query::select()
        .column(call::Column::Id)
        .from(call::Entity)
        .and_where(calls::status_in(&[CallStatus::Answered]))
        .to_owned();
    Query::select()
        .column(call_incident::Column::CallId)
        .column(call_incident::Column::IncidentId)
        .from(call_incident::Entity)
        .and_where(Expr::col(call_incident::Column::CallId).in_subquery(answered))
        .and_where(call_incident::Column::Said.eq(Said::Speaking.as_str()))
        .and_where(calls::queue::state_of_carried().ne("escalating"))
        .order_by(call_incident::Column::CallId, Order::Asc)
        .to_owned()
}

/// The session of each of these calls; nothing for those that there are not.
pub(super) async fn read(database: Reader, ids: Vec<CallId>) -> Result<Vec<Option<Session>>, Error> {
    let ids_of = || ids.iter().map(|id| id.0);
    let calls = call::Entity::find().filter(call::Column::Id.is_in(ids_of())).all(&database).await?;
    let people: BTreeSet<Uuid> = calls.iter().filter_map(|call| call.contact_id).collect();
    let mut of_people: HashMap<Uuid, (String, Option<String>)> = HashMap::new();
    if !people.is_empty() {
        let rows: Vec<(Uuid, String, Option<String>)> = contact::Entity::find()
            .select_only()
            .columns([contact::Column::Id, contact::Column::Language, contact::Column::PinHash])
            .filter(contact::Column::Id.is_in(people))
            .into_tuple()
            .all(&database)
            .await?;
        of_people.extend(rows.into_iter().map(|(id, language, pin_hash)| (id, (language, pin_hash))));
    }
    let mut carried: HashMap<Uuid, Vec<Carried>> = HashMap::new();
    let rows = call_incident::Entity::find()
        .filter(call_incident::Column::CallId.is_in(ids_of()))
        .order_by_asc(call_incident::Column::Ordinal);
    for row in rows.all(&database).await? {
        carried.entry(row.call_id).or_default().push(calls::read_carried(&row)?);
    }
    let mut sessions = HashMap::with_capacity(calls.len());
    for row in calls {
        let (language, pin_hash) = row.contact_id.and_then(|id| of_people.get(&id)).cloned().unzip();
        let call = calls::read(row)?;
        let carried = carried.remove(&call.id.0).unwrap_or_default();
        sessions.insert(call.id, Session { call, language, pin_hash: pin_hash.flatten(), carried });
    }
    // Two may have asked for the same one.
    Ok(ids.iter().map(|id| sessions.get(id).cloned()).collect())
}

/// Notes what became of an incident in a call, as part of a larger change.
/// What was said has counted: that stands where it was said.
pub(super) async fn counted(tx: &Tx, saying: Saying, incident: IncidentId, now: DateTime<Utc>) -> Result<(), Error> {
    match saying {
        Saying::Call(call, said) => set_said(tx, call, incident, said).await,
        Saying::Text(text) => messages::answers::counted(tx, text, incident, now).await,
    }
}

async fn set_said(tx: &Tx, call: CallId, incident: IncidentId, said: Said) -> Result<(), Error> {
    call_incident::Entity::update_many()
        .set(call_incident::ActiveModel { said: Set(said.as_str().into()), ..Default::default() })
        .filter(call_incident::Column::CallId.eq(call.0))
        .filter(call_incident::Column::IncidentId.eq(incident.0))
        .exec(tx)
        .await?;
    Ok(())
}
