//! Texts that somebody else sends for us, who has a name of their own for each: which message it is, whether it was
//! taken at all, how far it is. And texts that come in by them, each once by that name.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{inbound_message, message, message_segment};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::OnConflict,
};

use super::{
    Fate, InboundPart, Message, MessageStatus, leads, number, of_message,
    reports::{apply, settle},
    status_is, to, with,
};
use crate::{
    id::MessageId,
    store::{Error, Fact, Store, timeline, writer::Tx},
    twilio,
};

/// Nobody answers a text for longer.
const ANSWERED: TimeDelta = TimeDelta::days(1);

/// Somebody has a text of ours, and says how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The route that they are.
    pub route: String,
    /// What they call it.
    pub sid: String,
    /// Which it is, if they say that, too.
    pub message: Option<MessageId>,
    /// How many messages it takes, if that is known.
    pub segments: Option<u32>,
    /// How far it is.
    pub fate: Fate,
    /// The same in words.
    pub words: String,
}

/// A text that somebody else has taken in for us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextIn {
    /// The route that they are.
    pub route: String,
    /// What they call it: it may be told more than once.
    pub sid: String,
    /// Who sent it.
    pub sender: String,
    /// What it says.
    pub body: String,
    /// When it came.
    pub at: DateTime<Utc>,
}

impl From<twilio::Fate> for Fate {
    fn from(fate: twilio::Fate) -> Self {
        match fate {
            twilio::Fate::Underway | twilio::Fate::Sent => Self::Trying,
            twilio::Fate::Lost => Self::Failed,
            twilio::Fate::Arrived => Self::Delivered,
        }
    }
}

impl Store {
    /// A route has a text, whether that was known or not: what nobody knew about is sent with it, and what waits to
    /// be tried again by it is not. Returns whether it is one of ours.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn text_taken(&self, taken: Taken, now: DateTime<Utc>) -> Result<bool, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let known = message_segment::Entity::find()
                    .filter(message_segment::Column::Sid.eq(&taken.sid))
                    .filter(message_segment::Column::Route.eq(&taken.route))
                    .one(tx)
                    .await?;
                let segment = match (known, taken.message) {
                    (Some(segment), _) => segment,
                    (None, Some(id)) => match first_told(tx, id, &taken, now).await? {
                        Some(segment) => segment,
                        None => return Ok(false),
                    },
                    (None, None) => return Ok(false),
                };
                // What is told late does not undo what is known.
                let is_news = segment.report.as_deref() != Some(&taken.words);
                if segment.status == MessageStatus::Sent.as_str() && is_news {
                    apply(tx, &segment, taken.fate, &taken.words, now).await?;
                } else {
                    settle(tx, segment.message_id, &taken.route, now).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Messages of which nobody knows whether this route has taken them, tried since then, the oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn texts_in_doubt(&self, route: &str, since: DateTime<Utc>, limit: u64) -> Result<Vec<Message>, Error> {
        let rows = message::Entity::find()
            .filter(status_is(MessageStatus::Unknown))
            .filter(message::Column::Route.eq(route))
            .filter(message::Column::ClaimedAt.gt(since))
            // What left with another is known by the other's name alone.
            .filter(leads())
            .order_by_asc(message::Column::ClaimedAt)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(super::read).collect()
    }

    /// It is certain that a message in doubt was not taken: it waits again. `false` if it is not in doubt any more.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn text_not_taken(&self, doubted: &Message, why: String, now: DateTime<Utc>) -> Result<bool, Error> {
        let (id, attempts) = (doubted.id, number(doubted.attempts));
        self.write(move |tx| {
            Box::pin(async move {
                let again = message::ActiveModel {
                    status: Set(MessageStatus::Pending.as_str().into()),
                    not_before: Set(now),
                    failure: Set(Some(why.clone())),
                    ended_at: Set(None),
                    ..Default::default()
                };
                let rows = message::Entity::update_many()
                    .set(again)
                    .filter(with(id))
                    .filter(message::Column::Attempts.eq(attempts))
                    .filter(status_is(MessageStatus::Unknown))
                    .exec_with_returning(tx)
                    .await?;
                let refused = |row: &message::Model| Fact::TextRefused {
                    to: to(row),
                    route: row.route.clone().unwrap_or_default(),
                    why: why.clone(),
                };
                timeline::write(tx, rows.iter().map(|row| of_message(row, now, refused(row))).collect()).await?;
                Ok(!rows.is_empty())
            })
        })
        .await
    }

    /// What a route calls the other texts to the number of this one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn sids_of_others(&self, route: &str, message: &Message) -> Result<BTreeSet<String>, Error> {
        let sids: Vec<Option<String>> = message_segment::Entity::find()
            .select_only()
            .column(message_segment::Column::Sid)
            .filter(message_segment::Column::Route.eq(route))
            .filter(message_segment::Column::Number.eq(message.number.as_str()))
            .filter(message_segment::Column::MessageId.ne(message.id.0))
            .filter(message_segment::Column::Sid.is_not_null())
            .filter(message_segment::Column::SentAt.gt(message.created_at - ANSWERED))
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(sids.into_iter().flatten().collect())
    }

    /// What a route calls the texts that it was given since then, and when; those of which it is not known yet
    /// whether they have arrived, the latest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn sids_under_way(
        &self,
        route: &str,
        since: DateTime<Utc>,
        limit: u64,
    ) -> Result<Vec<(String, DateTime<Utc>)>, Error> {
        let rows: Vec<(Option<String>, DateTime<Utc>)> = message_segment::Entity::find()
            .select_only()
            .columns([message_segment::Column::Sid, message_segment::Column::SentAt])
            .filter(message_segment::Column::Route.eq(route))
            .filter(message_segment::Column::SentAt.gt(since))
            .filter(message_segment::Column::Sid.is_not_null())
            .filter(message_segment::Column::Status.eq(MessageStatus::Sent.as_str()))
            .order_by_desc(message_segment::Column::SentAt)
            .limit(limit)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().filter_map(|(sid, at)| Some((sid?, at))).collect())
    }

    /// Takes a text in. Nothing, if it is here already.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn take_text_in(&self, text: TextIn) -> Result<(), Error> {
        let whole = |parts: &BTreeMap<u8, Vec<u8>>, _total: u8| {
            parts.values().map(|part| String::from_utf8_lossy(part).into_owned()).collect()
        };
        // PostgreSQL cannot hold NUL.
        let sender = Some(text.sender.replace('\0', "")).filter(|sender| !sender.is_empty());
        let part = InboundPart {
            digest: text.sid,
            route: text.route,
            sender,
            series: None,
            number: 1,
            total: 1,
            body: text.body.into_bytes(),
        };
        self.take_in(part, whole, text.at).await
    }

    /// Since when texts may have come in by a route that are not here: since the last that is, or since something
    /// was first sent by it; a day at most. `now`, if neither was.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn heard_until(&self, route: &str, now: DateTime<Utc>) -> Result<DateTime<Utc>, Error> {
        let last: Option<DateTime<Utc>> = inbound_message::Entity::find()
            .select_only()
            .column(inbound_message::Column::ReceivedAt)
            .filter(inbound_message::Column::Route.eq(route))
            .order_by_desc(inbound_message::Column::Id)
            .into_tuple()
            .one(&self.read)
            .await?;
        let since = match last {
            Some(last) => Some(last),
            None => {
                message_segment::Entity::find()
                    .select_only()
                    .column(message_segment::Column::SentAt)
                    .filter(message_segment::Column::Route.eq(route))
                    .order_by_asc(message_segment::Column::SentAt)
                    .into_tuple()
                    .one(&self.read)
                    .await?
            }
        };
        Ok(since.map_or(now, |since| since.clamp(now - ANSWERED, now)))
    }
}

/// It is heard of for the first time that a route has this message.
async fn first_told(
    tx: &Tx,
    id: MessageId,
    taken: &Taken,
    now: DateTime<Utc>,
) -> Result<Option<message_segment::Model>, Error> {
    let Some(row) = message::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
    let segment = message_segment::Model {
        message_id: id.0,
        route: taken.route.clone(),
        // It is one to whoever sends it, however many messages it takes.
        ordinal: 1,
        reference: 0,
        number: row.number,
        sent_at: now,
        status: MessageStatus::Sent.as_str().into(),
        report: None,
        reported_at: None,
        sid: Some(taken.sid.clone()),
    };
    use message_segment::Column;
    let again = OnConflict::columns([Column::MessageId, Column::Route, Column::Ordinal])
        .update_columns([Column::Sid, Column::SentAt, Column::Status, Column::Report, Column::ReportedAt])
        .to_owned();
    let new = message_segment::ActiveModel::from(segment.clone());
    message_segment::Entity::insert(new).on_conflict(again).exec_without_returning(tx).await?;
    let segments = taken.segments.unwrap_or(1);
    let update = message::ActiveModel {
        status: Set(MessageStatus::Sent.as_str().into()),
        segments: Set(Some(number(segments))),
        failure: Set(None),
        sent_at: Set(Some(now)),
        ended_at: Set(None),
        ..Default::default()
    };
    let not_known = [MessageStatus::Sending, MessageStatus::Unknown, MessageStatus::Pending];
    let rows = message::Entity::update_many()
        .set(update)
        .filter(with(id))
        .filter(message::Column::Route.eq(&taken.route))
        .filter(message::Column::Status.is_in(not_known.map(MessageStatus::as_str)))
        .exec_with_returning(tx)
        .await?;
    let fact = |row| Fact::TextSent { to: to(row), route: taken.route.clone(), segments };
    timeline::write(tx, rows.iter().map(|row| of_message(row, now, fact(row))).collect()).await?;
    Ok(Some(segment))
}
