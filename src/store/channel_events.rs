//! Asterisk's events of our channels, per call: what the telephone network said, for a while.

use chrono::{DateTime, Utc};
use entity::channel_event;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Error, Page, Store};
use crate::id::{CallId, EventId};

/// An event of a channel of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    /// Its identifier; they sort as the events came.
    pub id: EventId,
    /// The call whose channel it is.
    pub call: CallId,
    /// When it came.
    pub at: DateTime<Utc>,
    /// Its name, as Asterisk's.
    pub name: String,
    /// The channel's name.
    pub channel: Option<String>,
    /// What else it said, as an object of texts.
    pub headers: serde_json::Value,
}

/// Which of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChannelEventFilter {
    /// Only of this call.
    pub call: Option<CallId>,
    /// Not before.
    pub from: Option<DateTime<Utc>>,
    /// Before.
    pub to: Option<DateTime<Utc>>,
    /// Only those after this one: the next page.
    pub after: Option<Uuid>,
}

impl Store {
    /// Keeps events, in one statement.
    ///
    /// # Errors
    /// If the database does not take them.
    pub async fn keep_channel_events(&self, events: Vec<ChannelEvent>) -> Result<(), Error> {
        let rows: Vec<_> = events
            .into_iter()
            .map(|event| channel_event::ActiveModel {
                id: Set(event.id.0),
                call_id: Set(event.call.0),
                at: Set(event.at),
                name: Set(event.name),
                channel: Set(event.channel),
                headers: Set(event.headers),
            })
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            Box::pin(async move {
                channel_event::Entity::insert_many(rows).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// A page of events, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn channel_events(&self, filter: ChannelEventFilter, limit: u64) -> Result<Page<ChannelEvent>, Error> {
        let mut query = channel_event::Entity::find();
        if let Some(call) = filter.call {
            query = query.filter(channel_event::Column::CallId.eq(call.0));
        }
        if let Some(from) = filter.from {
            query = query.filter(channel_event::Column::At.gte(from));
        }
        if let Some(to) = filter.to {
            query = query.filter(channel_event::Column::At.lt(to));
        }
        if let Some(after) = filter.after {
            query = query.filter(channel_event::Column::Id.gt(after));
        }
        let rows = query.order_by_asc(channel_event::Column::Id).limit(limit + 1).all(&self.read).await?;
        let read = |row: channel_event::Model| ChannelEvent {
            id: EventId(row.id),
            call: CallId(row.call_id),
            at: row.at,
            name: row.name,
            channel: row.channel,
            headers: row.headers,
        };
        Ok(Page::cut(rows.into_iter().map(read).collect(), limit, |event| event.id.0))
    }

    /// Removes events that came before `before`, at most `limit`. Returns how many.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn remove_channel_events(&self, before: DateTime<Utc>, limit: u64) -> Result<u64, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let ids: Vec<Uuid> = channel_event::Entity::find()
                    .select_only()
                    .column(channel_event::Column::Id)
                    .filter(channel_event::Column::At.lt(before))
                    .order_by_asc(channel_event::Column::At)
                    .limit(limit)
                    .into_tuple()
                    .all(tx)
                    .await?;
                if ids.is_empty() {
                    return Ok(0);
                }
                let old = channel_event::Entity::delete_many().filter(channel_event::Column::Id.is_in(ids));
                Ok(old.exec(tx).await?.rows_affected)
            })
        })
        .await
    }
}
