//! Requests that may be sent again: what each one makes, and what it was answered.
//!
//! A row is there before the work begins. It holds the identifier of whatever the request makes, so that
//! who runs it again after a crash finds what was made instead of making another.

use chrono::{DateTime, Utc};
use entity::idempotency;
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, sea_query::OnConflict};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Error, Store};
use crate::id::IncidentId;

/// A request, by digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Of who sends what under which key, in hexadecimal.
    pub digest: String,
    /// Of its body, in hexadecimal.
    pub body: String,
    /// Which server runs it.
    pub runner: Uuid,
}

/// What to do about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Run it; what it makes has this identifier. `noted` is what it has noted before, if it was begun
    /// before.
    Run {
        /// What it makes.
        chosen: IncidentId,
        /// It was begun before, and ended nobody knows how.
        again: bool,
        /// See [`Store::note_for_retry`].
        noted: Option<serde_json::Value>,
    },
    /// It was answered: say the same.
    Answered(KeptAnswer),
    /// Another server runs it.
    Running,
    /// The key belongs to another body.
    OtherBody,
}

/// An answer that is given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Headers that belong to it.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

impl Store {
    /// Takes a request up, unless it was answered or another server runs it. `lease` is until when it
    /// belongs to the one that runs it; one that has died leaves it to others then. With SQLite there is
    /// one server: whatever another one has begun it has left behind.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn admit(&self, request: Request, now: DateTime<Utc>, lease: DateTime<Utc>) -> Result<Admission, Error> {
        let alone = self.read.get_database_backend() == sea_orm::DbBackend::Sqlite;
        self.write(move |tx| {
            Box::pin(async move {
                let chosen = IncidentId::generate();
                let row = idempotency::ActiveModel {
                    digest: Set(request.digest.clone()),
                    body: Set(request.body.clone()),
                    chosen: Set(chosen.0),
                    noted: Set(None),
                    runner: Set(request.runner),
                    lease_until: Set(lease),
                    status: Set(None),
                    answer: Set(None),
                    created_at: Set(now),
                };
                let nothing = OnConflict::column(idempotency::Column::Digest).do_nothing().to_owned();
                let inserted = idempotency::Entity::insert(row).on_conflict(nothing).exec_without_returning(tx).await?;
                if inserted == 1 {
                    return Ok(Admission::Run { chosen, again: false, noted: None });
                }
                let known = idempotency::Entity::find_by_id(&request.digest).one(tx).await?;
                let Some(known) = known else { return Err(Error::Conflict) };
                if known.body != request.body {
                    return Ok(Admission::OtherBody);
                }
                if let Some(answer) = known.answer {
                    return Ok(Admission::Answered(serde_json::from_value(answer)?));
                }
                if !alone && known.runner != request.runner && known.lease_until > now {
                    return Ok(Admission::Running);
                }
                // Of several that find it left behind one takes it up.
                let taken = idempotency::Entity::update_many()
                    .set(idempotency::ActiveModel {
                        runner: Set(request.runner),
                        lease_until: Set(lease),
                        ..Default::default()
                    })
                    .filter(idempotency::Column::Digest.eq(&request.digest))
                    .filter(idempotency::Column::Runner.eq(known.runner))
                    .filter(idempotency::Column::LeaseUntil.eq(known.lease_until))
                    .exec(tx)
                    .await?;
                match taken.rows_affected {
                    1 => Ok(Admission::Run { chosen: IncidentId(known.chosen), again: true, noted: known.noted }),
                    _ => Ok(Admission::Running),
                }
            })
        })
        .await
    }

    /// What the operation wants to know again, should it be run again. What was noted first stays.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn note_for_retry(&self, digest: String, noted: serde_json::Value) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                idempotency::Entity::update_many()
                    .set(idempotency::ActiveModel { noted: Set(Some(noted)), ..Default::default() })
                    .filter(idempotency::Column::Digest.eq(digest))
                    .filter(idempotency::Column::Noted.is_null())
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// It was answered.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn keep_answer(&self, digest: String, answer: KeptAnswer) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                idempotency::Entity::update_many()
                    .set(idempotency::ActiveModel {
                        status: Set(Some(answer.status.into())),
                        answer: Set(Some(serde_json::to_value(&answer)?)),
                        ..Default::default()
                    })
                    .filter(idempotency::Column::Digest.eq(digest))
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    /// Forgets requests that came before `before`.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn forget_requests(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let old = idempotency::Entity::delete_many().filter(idempotency::Column::CreatedAt.lt(before));
                Ok(old.exec(tx).await?.rows_affected)
            })
        })
        .await
    }
}
