//! What is old is forgotten: texts that were sent or not, and texts that came in. What timelines say of them stays.

use chrono::{DateTime, Utc};
use entity::{inbound_effect, inbound_message, inbound_part, incident, message, message_segment};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{ExprTrait, Query},
};
use uuid::Uuid;

use super::MessageStatus;
use crate::{
    id,
    store::{Error, Store},
};

/// Rows that are removed in one write, so that no other waits for long.
const AT_ONCE: u64 = 500;

impl Store {
    /// Forgets texts from before that neither wait nor are about something that is open, and texts that came in
    /// before and were acted on. Returns how many there were.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn forget_texts(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let mut forgotten = 0;
        loop {
            let some = self.forget_some_sent(before).await? + self.forget_some_received(before).await?;
            forgotten += some;
            if some < AT_ONCE {
                return Ok(forgotten);
            }
        }
    }

    async fn forget_some_sent(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let open = Query::select()
            .column(incident::Column::Id)
            .from(incident::Entity)
            .and_where(incident::Column::OpenKey.is_not_null())
            .to_owned();
        let waits = [MessageStatus::Pending, MessageStatus::Sending].map(MessageStatus::as_str);
        let about_nothing_open = Condition::any()
            .add(message::Column::IncidentId.is_null())
            .add(message::Column::IncidentId.in_subquery(open).not());
        let ids: Vec<Uuid> = message::Entity::find()
            .select_only()
            .column(message::Column::Id)
            .filter(message::Column::Id.lt(id::first_of(before)))
            .filter(message::Column::Status.is_not_in(waits))
            .filter(about_nothing_open)
            .order_by_asc(message::Column::Id)
            .limit(AT_ONCE)
            .into_tuple()
            .all(&self.read)
            .await?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                let of_these = message_segment::Column::MessageId.is_in(ids.clone());
                message_segment::Entity::delete_many().filter(of_these).exec(tx).await?;
                // One that is sent again meanwhile is kept.
                let gone = message::Entity::delete_many()
                    .filter(message::Column::Id.is_in(ids))
                    .filter(message::Column::Status.is_not_in(waits));
                Ok(gone.exec(tx).await?.rows_affected)
            })
        })
        .await
    }

    async fn forget_some_received(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let ids: Vec<Uuid> = inbound_message::Entity::find()
            .select_only()
            .column(inbound_message::Column::Id)
            .filter(inbound_message::Column::Id.lt(id::first_of(before)))
            .filter(inbound_message::Column::HandledAt.is_not_null())
            .order_by_asc(inbound_message::Column::Id)
            .limit(AT_ONCE)
            .into_tuple()
            .all(&self.read)
            .await?;
        if ids.is_empty() {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                let parts = inbound_part::Column::MessageId.is_in(ids.clone());
                inbound_part::Entity::delete_many().filter(parts).exec(tx).await?;
                let effects = inbound_effect::Column::MessageId.is_in(ids.clone());
                inbound_effect::Entity::delete_many().filter(effects).exec(tx).await?;
                let gone = inbound_message::Entity::delete_many().filter(inbound_message::Column::Id.is_in(ids));
                Ok(gone.exec(tx).await?.rows_affected)
            })
        })
        .await
    }
}
