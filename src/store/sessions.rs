//! What the person on the line is told and does: the part of a call that the AGI session writes.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use entity::{call, call_incident, incident};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{BinOper, Expr, ExprTrait, Query},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Error, Fact, Store,
    calls::{self, Call, CallStatus, Carried, of_call},
    messages, timeline,
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
        let Some(call) = self.call(id).await? else { return Ok(None) };
        let contact = match call.contact {
            Some(contact) => self.contact(contact).await?,
            None => None,
        };
        let pin_hash = contact.as_ref().and_then(|contact| contact.pin_hash.clone());
        let language = contact.map(|contact| contact.data.language);
        let carried = self.carried_by(id).await?;
        Ok(Some(Session { call, language, pin_hash, carried }))
    }

    /// What a call has spoken, and nobody has taken.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn undecided(&self, call: CallId) -> Result<Vec<IncidentId>, Error> {
        let escalating = Query::select()
            .column(incident::Column::Id)
            .from(incident::Entity)
            .and_where(incident::Column::State.eq("escalating"))
            .to_owned();
        let rows: Vec<Uuid> = call_incident::Entity::find()
            .select_only()
            .column(call_incident::Column::IncidentId)
            .filter(call_incident::Column::CallId.eq(call.0))
            .filter(call_incident::Column::Said.eq(Said::Unanswered.as_str()))
            .filter(call_incident::Column::IncidentId.in_subquery(escalating))
            .order_by_asc(call_incident::Column::Ordinal)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(IncidentId).collect())
    }

    /// The callee hears this incident from now on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn speaking(&self, call: &Call, incident: IncidentId, now: DateTime<Utc>) -> Result<(), Error> {
        let (id, to) = (call.id, call.to.clone());
        self.write(move |tx| {
            Box::pin(async move {
                set_said(tx, id, incident, Said::Speaking).await?;
                let entry = super::Entry {
                    incident: Some(incident),
                    call: Some(id),
                    message: None,
                    at: now,
                    fact: Fact::Speaking { to },
                };
                timeline::write(tx, vec![entry]).await
            })
        })
        .await
    }

    /// What became of an incident in a call.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn said(&self, call: CallId, incident: IncidentId, said: Said) -> Result<(), Error> {
        self.write(move |tx| Box::pin(async move { set_said(tx, call, incident, said).await })).await
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

    /// So much more was played; `whole` if the alert was heard to its end.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn heard(&self, call: CallId, ms: i64, whole: bool) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut update = call::Entity::update_many()
                    .col_expr(call::Column::HeardMs, Expr::col(call::Column::HeardMs).add(ms))
                    .filter(call::Column::Id.eq(call.0));
                if whole {
                    update = update.col_expr(call::Column::Heard, Expr::val(true));
                }
                update.exec(tx).await?;
                Ok(())
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
        let not_escalating = Query::select()
            .column(incident::Column::Id)
            .from(incident::Entity)
            .and_where(incident::Column::State.ne("escalating"))
            .to_owned();
        let answered = Query::select()
            .column(call::Column::Id)
            .from(call::Entity)
            .and_where(calls::status_in(&[CallStatus::Answered]))
            .to_owned();
        let rows: Vec<(Uuid, Uuid)> = call_incident::Entity::find()
            .select_only()
            .column(call_incident::Column::CallId)
            .column(call_incident::Column::IncidentId)
            .filter(call_incident::Column::CallId.in_subquery(answered))
            .filter(call_incident::Column::Said.eq(Said::Speaking.as_str()))
            .filter(call_incident::Column::IncidentId.in_subquery(not_escalating))
            .order_by_asc(call_incident::Column::CallId)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(|(call, incident)| (CallId(call), IncidentId(incident))).collect())
    }
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
