//! Secret addresses under which a schedule's or a person's duties can be read. Only the secret's digest
//! is kept.

use chrono::{DateTime, Utc};
use entity::feed;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, sea_query::SimpleExpr};

use super::{Edit, Error, Store, audit::Subject};
use crate::id::{ContactId, FeedId, ScheduleId};

/// Whose duties a feed shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeedOf {
    /// All of a schedule.
    Schedule(ScheduleId),
    /// One person's, by all schedules.
    Contact(ContactId),
}

impl Edit {
    /// Gives a feed the secret with this SHA-256. The one it had before is worth nothing from then on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn renew_feed(&self, of: FeedOf, token_sha256: String, now: DateTime<Utc>) -> Result<(), Error> {
        self.change(Subject::Feed(of), move |tx| {
            Box::pin(async move {
                feed::Entity::delete_many().filter(belongs(of)).exec(tx).await?;
                let (schedule, contact) = match of {
                    FeedOf::Schedule(id) => (Some(id.0), None),
                    FeedOf::Contact(id) => (None, Some(id.0)),
                };
                let row = feed::ActiveModel {
                    id: Set(FeedId::generate().0),
                    schedule_id: Set(schedule),
                    contact_id: Set(contact),
                    token_sha256: Set(token_sha256),
                    created_at: Set(now),
                };
                feed::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Takes a feed's secret away. Returns whether it had one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn revoke_feed(&self, of: FeedOf) -> Result<bool, Error> {
        self.change(Subject::Feed(of), move |tx| {
            Box::pin(async move {
                let deleted = feed::Entity::delete_many().filter(belongs(of)).exec(tx).await?;
                Ok(deleted.rows_affected > 0)
            })
        })
        .await
    }
}

impl Store {
    /// What the secret with this SHA-256 opens.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn feed(&self, token_sha256: &str) -> Result<Option<FeedOf>, Error> {
        let row = feed::Entity::find().filter(feed::Column::TokenSha256.eq(token_sha256)).one(&self.read).await?;
        Ok(row.and_then(|row| match (row.schedule_id, row.contact_id) {
            (Some(id), _) => Some(FeedOf::Schedule(ScheduleId(id))),
            (None, Some(id)) => Some(FeedOf::Contact(ContactId(id))),
            (None, None) => None,
        }))
    }
}

pub(super) fn belongs(of: FeedOf) -> SimpleExpr {
    match of {
        FeedOf::Schedule(id) => feed::Column::ScheduleId.eq(id.0),
        FeedOf::Contact(id) => feed::Column::ContactId.eq(id.0),
    }
}
