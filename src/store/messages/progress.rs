//! What becomes of a message that was claimed. Each step is told once, and none goes back.

use chrono::{DateTime, Utc};
use entity::{message, message_segment};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, sea_query::OnConflict};

use super::{Message, MessageStatus, number, of_message, reports, status_is, to, with};
use crate::{
    id::MessageId,
    store::{Error, Fact, Store, timeline, writer::Tx},
};

/// A part of a message that a route has taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which one it is, from 1.
    pub ordinal: u32,
    /// Of how many.
    pub total: u32,
    /// What status reports call it.
    pub reference: u8,
}

impl Store {
    /// Which parts of a message its route has taken already, in tries before.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn segments_taken(&self, id: MessageId, route: &str) -> Result<Vec<u32>, Error> {
        let rows = message_segment::Entity::find()
            .filter(message_segment::Column::MessageId.eq(id.0))
            .filter(message_segment::Column::Route.eq(route))
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().filter_map(|row| row.ordinal.try_into().ok()).collect())
    }

    /// A route has taken a part of a message. With the last one it is sent.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn segment_sent(
        &self,
        message: &Message,
        route: &str,
        segment: Segment,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let (id, route) = (message.id, route.to_owned());
        let row = message_segment::ActiveModel {
            message_id: Set(id.0),
            route: Set(route.clone()),
            ordinal: Set(number(segment.ordinal)),
            reference: Set(segment.reference.into()),
            number: Set(message.number.as_str().to_owned()),
            sent_at: Set(now),
            status: Set(MessageStatus::Sent.as_str().into()),
            report: Set(None),
            reported_at: Set(None),
            sid: Set(None),
        };
        self.write(move |tx| {
            Box::pin(async move {
                use message_segment::Column;
                let again = OnConflict::columns([Column::MessageId, Column::Route, Column::Ordinal])
                    .update_columns([
                        Column::Reference,
                        Column::SentAt,
                        Column::Status,
                        Column::Report,
                        Column::ReportedAt,
                    ])
                    .to_owned();
                message_segment::Entity::insert(row).on_conflict(again).exec_without_returning(tx).await?;
                if segment.ordinal == segment.total {
                    sent(tx, id, &route, segment.total, now).await?;
                }
                reports::apply_early(tx, id, &route, segment, now).await
            })
        })
        .await
    }

    /// A route did not take a message: it is tried again at `next`.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn message_refused(
        &self,
        id: MessageId,
        why: String,
        next: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let update = message::ActiveModel {
            status: Set(MessageStatus::Pending.as_str().into()),
            not_before: Set(next),
            failure: Set(Some(why.clone())),
            ..Default::default()
        };
        self.after_sending(id, update, now, move |row| Fact::TextRefused {
            to: to(row),
            route: row.route.clone().unwrap_or_default(),
            why: why.clone(),
        })
        .await
    }

    /// A message will not be sent, and why.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn message_failed(&self, id: MessageId, why: String, now: DateTime<Utc>) -> Result<(), Error> {
        let update = message::ActiveModel {
            status: Set(MessageStatus::Failed.as_str().into()),
            failure: Set(Some(why.clone())),
            ended_at: Set(Some(now)),
            ..Default::default()
        };
        self.after_sending(id, update, now, move |row| Fact::TextFailed { to: to(row), why: why.clone() }).await
    }

    /// Nobody knows whether a message was sent.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn message_unknown(&self, id: MessageId, why: String, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| Box::pin(async move { unknown(tx, with(id), why, now).await.map(drop) })).await
    }

    /// What this server was about to send when it died, and what any server has been sending since before
    /// `stuck`: nobody knows whether it was sent. Returns how many there were.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn messages_left_behind(
        &self,
        node: Option<&str>,
        stuck: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<usize, Error> {
        let mut which = Condition::any().add(message::Column::ClaimedAt.lt(stuck));
        if let Some(node) = node {
            which = which.add(message::Column::Node.eq(node));
        }
        let left = Condition::all().add(status_is(MessageStatus::Sending)).add(which.clone());
        if message::Entity::find().filter(left).one(&self.read).await?.is_none() {
            return Ok(0);
        }
        let why = "the server stopped while it was being sent".to_owned();
        self.write(move |tx| Box::pin(async move { unknown(tx, which, why, now).await })).await
    }

    async fn after_sending(
        &self,
        id: MessageId,
        update: message::ActiveModel,
        now: DateTime<Utc>,
        fact: impl Fn(&message::Model) -> Fact + Send + Sync + 'static,
    ) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let rows = message::Entity::update_many()
                    .set(update)
                    .filter(with(id))
                    .filter(status_is(MessageStatus::Sending))
                    .exec_with_returning(tx)
                    .await?;
                timeline::write(tx, rows.iter().map(|row| of_message(row, now, fact(row))).collect()).await
            })
        })
        .await
    }
}

async fn unknown(tx: &Tx, which: Condition, why: String, now: DateTime<Utc>) -> Result<usize, Error> {
    let update = message::ActiveModel {
        status: Set(MessageStatus::Unknown.as_str().into()),
        failure: Set(Some(why.clone())),
        ended_at: Set(Some(now)),
        ..Default::default()
    };
    let rows = message::Entity::update_many()
        .set(update)
        .filter(status_is(MessageStatus::Sending))
        .filter(which)
        .exec_with_returning(tx)
        .await?;
    let entries = rows.iter().map(|row| {
        let route = row.route.clone().unwrap_or_default();
        of_message(row, now, Fact::TextUnknown { to: to(row), route, why: why.clone() })
    });
    timeline::write(tx, entries.collect()).await?;
    Ok(rows.len())
}

async fn sent(tx: &Tx, id: MessageId, route: &str, segments: u32, now: DateTime<Utc>) -> Result<(), Error> {
    let update = message::ActiveModel {
        status: Set(MessageStatus::Sent.as_str().into()),
        segments: Set(Some(number(segments))),
        failure: Set(None),
        sent_at: Set(Some(now)),
        ..Default::default()
    };
    let rows = message::Entity::update_many()
        .set(update)
        .filter(with(id))
        .filter(status_is(MessageStatus::Sending))
        .exec_with_returning(tx)
        .await?;
    let fact = |row| Fact::TextSent { to: to(row), route: route.to_owned(), segments };
    timeline::write(tx, rows.iter().map(|row| of_message(row, now, fact(row))).collect()).await
}
