//! Text messages: what they are, and looking them up. How one comes into the queue and leaves it is in `queue`,
//! what becomes of one in `progress`, which status report belongs to which in `reports`, what somebody else sends for
//! us in `sids`. What comes in is in `inbound`, what is done about it in `answers`, who wants no texts in `opted_out`,
//! what is forgotten in `retention`, and what stands for an incident in its texts in `codes`.

pub(super) mod answers;
mod codes;
mod inbound;
mod opted_out;
mod progress;
pub(super) mod queue;
mod reports;
mod retention;
mod sids;

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use entity::message;
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, SimpleExpr},
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use answers::{Claim, Told};
pub use inbound::{Inbound, InboundPart};
pub use opted_out::OptedOut;
pub use progress::Segment;
pub use queue::NewMessage;
pub use reports::{Fate, Report};
pub use sids::{Taken, TextIn};

use super::{Entry, Error, Fact, Page, Store};
use crate::{
    id::{self, ContactId, IncidentId, MessageId},
    phone::PhoneNumber,
};

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageStatus {
    /// Waits to be sent, or to be sent again.
    Pending,
    /// Claimed; a route has it or is about to.
    Sending,
    /// A route has taken all of it.
    Sent,
    /// All of it has arrived.
    Delivered,
    /// It was refused for good, or did not arrive.
    Failed,
    /// Nobody knows whether it was sent.
    Unknown,
    /// It was too late to send it.
    Expired,
    /// Given up: nobody needed it any more, or a person said so.
    Canceled,
}

impl MessageStatus {
    /// Its name in the table and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Sent => "sent",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
        }
    }
}

impl fmt::Display for MessageStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for MessageStatus {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(serde_json::from_value(text.into())?)
    }
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// An alert.
    Page,
    /// An alert about which somebody was called who did not answer.
    MissedCall,
    /// That what somebody has taken is over.
    Over,
    /// What somebody asked for.
    Direct,
    /// An answer to a text that came in.
    Answer,
    /// That somebody's shift begins or ends.
    Shift,
}

impl MessageKind {
    /// Its name in the table and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::MissedCall => "missed_call",
            Self::Over => "over",
            Self::Direct => "direct",
            Self::Answer => "answer",
            Self::Shift => "shift",
        }
    }

    /// What it is about, in words.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Page => "the alert",
            Self::MissedCall => "the call that was missed",
            Self::Over => "that it is over",
            Self::Direct => "what somebody asked for",
            Self::Answer => "an answer to a text",
            Self::Shift => "a change of shifts",
        }
    }

    /// Whether it is pointless once nobody is paged any more.
    fn pages(self) -> bool {
        matches!(self, Self::Page | Self::MissedCall)
    }

    /// What goes first, but for the first page of all. What is less urgent waits for it.
    fn priority(self) -> i32 {
        match self {
            Self::Page | Self::MissedCall | Self::Answer => 1,
            Self::Direct => 2,
            Self::Over | Self::Shift => 3,
        }
    }
}

impl FromStr for MessageKind {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Ok(serde_json::from_value(text.into())?)
    }
}

/// The first page about an incident: before anything else, and held back by no limit.
const FIRST: i32 = 0;

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Its identifier.
    pub id: MessageId,
    /// What it is about.
    pub incident: Option<IncidentId>,
    /// The contact it is for; a bare number has none.
    pub contact: Option<ContactId>,
    /// Their name, or the number.
    pub to: String,
    /// Where it goes.
    pub number: PhoneNumber,
    /// What it is for.
    pub kind: MessageKind,
    /// Whether it goes before anything else.
    pub first: bool,
    /// What it says; `None` until it is sent, if it says how things are then.
    pub body: Option<String>,
    /// Where it stands.
    pub status: MessageStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// The route that tried it last.
    pub route: Option<String>,
    /// When it is too late to send it.
    pub expires_at: DateTime<Utc>,
    /// How many messages it takes.
    pub segments: Option<u32>,
    /// Why it was not sent, the last time.
    pub failure: Option<String>,
    /// Who asked for it.
    pub source: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When all of it was taken.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was known what became of it.
    pub ended_at: Option<DateTime<Utc>>,
}

/// Which messages a list is about.
#[derive(Clone, Debug, Default)]
pub struct MessageFilter {
    /// Only in this status.
    pub status: Option<MessageStatus>,
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

impl Store {
    /// A message by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn message(&self, id: MessageId) -> Result<Option<Message>, Error> {
        message::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// A page of messages, newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn messages(&self, filter: MessageFilter, limit: u64) -> Result<Page<Message>, Error> {
        let mut query = message::Entity::find();
        if let Some(status) = filter.status {
            query = query.filter(message::Column::Status.eq(status.as_str()));
        }
        if let Some(incident) = filter.incident {
            query = query.filter(message::Column::IncidentId.eq(incident.0));
        }
        if let Some(number) = filter.number {
            query = query.filter(message::Column::Number.eq(number.as_str()));
        }
        if let Some(contact) = filter.contact {
            query = query.filter(message::Column::ContactId.eq(contact.0));
        }
        // Identifiers sort by birth: a span of time is a span of them.
        if let Some(from) = filter.from {
            query = query.filter(message::Column::Id.gte(id::first_of(from)));
        }
        if let Some(until) = filter.until {
            query = query.filter(message::Column::Id.lt(id::first_of(until)));
        }
        if let Some(before) = filter.before {
            query = query.filter(message::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(message::Column::Id).limit(limit + 1).all(&self.read).await?;
        let messages = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(messages, limit, |message| message.id.0))
    }
}

/// A message, and those that leave with it.
fn with(id: MessageId) -> Condition {
    Condition::any().add(message::Column::Id.eq(id.0)).add(message::Column::Bundle.eq(id.0))
}

/// Messages that leave by themselves, or that others leave with.
fn leads() -> Condition {
    let id = Expr::col((message::Entity, message::Column::Id));
    let leader = Expr::col((message::Entity, message::Column::Bundle)).eq(id);
    Condition::any().add(message::Column::Bundle.is_null()).add(leader)
}

fn status_is(status: MessageStatus) -> SimpleExpr {
    // As it stands in SQL: see `calls::literals`.
    Expr::col((message::Entity, message::Column::Status)).eq(Expr::Constant(status.as_str().into()))
}

/// A line of the timeline about a message, and about its incident.
fn of_message(row: &message::Model, at: DateTime<Utc>, fact: Fact) -> Entry {
    Entry { incident: row.incident_id.map(IncidentId), call: None, message: Some(MessageId(row.id)), at, fact }
}

/// Whom a message is for, as people call them.
fn to(row: &message::Model) -> String {
    row.contact_name.clone().unwrap_or_else(|| row.number.clone())
}

fn number(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn read(row: message::Model) -> Result<Message, Error> {
    let to = to(&row);
    let number = PhoneNumber::try_from(row.number)
        .map_err(|error| Error::Unavailable(format!("a stored number cannot be read: {error}")))?;
    Ok(Message {
        id: MessageId(row.id),
        incident: row.incident_id.map(IncidentId),
        contact: row.contact_id.map(ContactId),
        to,
        number,
        kind: row.kind.parse()?,
        first: row.priority == FIRST,
        body: row.body,
        status: row.status.parse()?,
        attempts: row.attempts.try_into().unwrap_or(0),
        route: row.route,
        expires_at: row.expires_at,
        segments: row.segments.and_then(|count| count.try_into().ok()),
        failure: row.failure,
        source: row.source,
        created_at: row.created_at,
        sent_at: row.sent_at,
        ended_at: row.ended_at,
    })
}
