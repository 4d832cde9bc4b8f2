//! Deliveries: what is to be told to somebody, and what became of it.

use std::{fmt, str::FromStr};

use chrono::{DateTime, Utc};
use entity::delivery;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{Error, Page, Store};
use crate::id::{DeliveryId, EventId, IncidentId, WebhookId};
use crate::store::writer::Tx;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryStatus {
    /// It is to be tried, or tried again.
    Pending,
    /// The receiver has it.
    Delivered,
    /// Given up; it can be replayed.
    Dead,
}

/// What is told to somebody of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its identifier.
    pub id: DeliveryId,
    /// What goes one after the other.
    pub lane: String,
    /// Whose it is; `None` for a callback.
    pub webhook: Option<WebhookId>,
    /// The event that is told.
    pub event: EventId,
    /// The incident that a callback is about.
    pub incident: Option<IncidentId>,
    /// The event's place among all.
    pub sequence: i64,
    /// What kind of event it is.
    pub kind: String,
    /// Where a callback goes.
    pub url: Option<String>,
    /// What is sent.
    pub body: String,
    /// Where it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next.
    pub next_at: Option<DateTime<Utc>>,
    /// The status of the last answer.
    pub answer: Option<u16>,
    /// What was wrong the last time.
    pub failure: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    pub ended_at: Option<DateTime<Utc>>,
}

/// A delivery to be made.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// What goes one after the other.
    pub lane: String,
    /// Whose it is; `None` for a callback.
    pub webhook: Option<WebhookId>,
    /// The event that is told.
    pub event: EventId,
    /// The incident that a callback is about.
    pub incident: Option<IncidentId>,
    /// The event's place among all.
    pub sequence: i64,
    /// What kind of event it is.
    pub kind: String,
    /// Where a callback goes.
    pub url: Option<String>,
    /// What is sent.
    pub body: String,
    /// Now.
    pub at: DateTime<Utc>,
}

/// Which deliveries a list is about.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Of this webhook; callbacks, if it is not said.
    pub webhook: Option<WebhookId>,
    /// Only in this status.
    pub status: Option<DeliveryStatus>,
    /// Only older than this one.
    pub before: Option<Uuid>,
}

impl DeliveryStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

impl fmt::Display for DeliveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for DeliveryStatus {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::Pending, Self::Delivered, Self::Dead];
        let found = known.into_iter().find(|status| status.name() == name);
        found.ok_or_else(|| Error::Unavailable(format!("a delivery has the unknown status {name:?}")))
    }
}

impl Store {
    /// Lanes that have something due, at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_lanes(&self, now: DateTime<Utc>, limit: u64) -> Result<Vec<String>, Error> {
        let lanes = delivery::Entity::find()
            .select_only()
            .column(delivery::Column::Lane)
            .filter(delivery::Column::NextAt.lte(now))
            .group_by(delivery::Column::Lane)
            .order_by_asc(delivery::Column::Lane)
            .limit(limit)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(lanes)
    }

    /// What is due in a lane, in the order in which it happened.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_deliveries(&self, lane: &str, now: DateTime<Utc>, limit: u64) -> Result<Vec<Delivery>, Error> {
        let rows = delivery::Entity::find()
            .filter(delivery::Column::Lane.eq(lane))
            .filter(delivery::Column::NextAt.lte(now))
            .order_by_asc(delivery::Column::Sequence)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Takes a delivery to try it; nobody else does until `lease`. False if somebody else has taken it.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn claim_delivery(&self, delivery: &Delivery, lease: DateTime<Utc>) -> Result<bool, Error> {
        let (id, tries) = (delivery.id, number(delivery.tries));
        self.write(move |tx| {
            Box::pin(async move {
                let updated = delivery::Entity::update_many()
                    .set(delivery::ActiveModel {
                        tries: Set(tries.saturating_add(1)),
                        next_at: Set(Some(lease)),
                        ..Default::default()
                    })
                    .filter(delivery::Column::Id.eq(id.0))
                    .filter(delivery::Column::Tries.eq(tries))
                    .filter(delivery::Column::Status.eq(DeliveryStatus::Pending.name()))
                    .exec(tx)
                    .await?;
                Ok(updated.rows_affected == 1)
            })
        })
        .await
    }

    /// The receiver has it.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn delivered(&self, id: DeliveryId, answer: u16, now: DateTime<Utc>) -> Result<(), Error> {
        let update = delivery::ActiveModel {
            status: Set(DeliveryStatus::Delivered.name().into()),
            next_at: Set(None),
            answer: Set(Some(answer.into())),
            failure: Set(None),
            ended_at: Set(Some(now)),
            ..Default::default()
        };
        self.update_delivery(id, update).await
    }

    /// It failed: it is tried again at `next`, or given up.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn delivery_failed(
        &self,
        id: DeliveryId,
        answer: Option<u16>,
        failure: String,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let status = if next.is_some() { DeliveryStatus::Pending } else { DeliveryStatus::Dead };
        let update = delivery::ActiveModel {
            status: Set(status.name().into()),
            next_at: Set(next),
            answer: Set(answer.map(i32::from)),
            failure: Set(Some(failure)),
            ended_at: Set(next.is_none().then_some(now)),
            ..Default::default()
        };
        self.update_delivery(id, update).await
    }

    /// It is not tried before `next`, and that is nobody's fault.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn put_off_delivery(&self, id: DeliveryId, next: DateTime<Utc>) -> Result<(), Error> {
        self.update_delivery(id, delivery::ActiveModel { next_at: Set(Some(next)), ..Default::default() }).await
    }

    async fn update_delivery(&self, id: DeliveryId, update: delivery::ActiveModel) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let only = delivery::Entity::update_many().set(update).filter(delivery::Column::Id.eq(id.0));
                only.filter(delivery::Column::Status.eq(DeliveryStatus::Pending.name())).exec(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Tries again what was given up: one delivery, or all of a webhook (or all callbacks). Returns how many.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn replay(
        &self,
        webhook: Option<WebhookId>,
        only: Option<DeliveryId>,
        now: DateTime<Utc>,
    ) -> Result<u64, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut update = delivery::Entity::update_many()
                    .set(delivery::ActiveModel {
                        status: Set(DeliveryStatus::Pending.name().into()),
                        tries: Set(0),
                        next_at: Set(Some(now)),
                        ended_at: Set(None),
                        ..Default::default()
                    })
                    .filter(delivery::Column::Status.eq(DeliveryStatus::Dead.name()));
                update = match webhook {
                    Some(id) => update.filter(delivery::Column::WebhookId.eq(id.0)),
                    None => update.filter(delivery::Column::WebhookId.is_null()),
                };
                if let Some(id) = only {
                    update = update.filter(delivery::Column::Id.eq(id.0));
                }
                Ok(update.exec(tx).await?.rows_affected)
            })
        })
        .await
    }

    /// A delivery by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn delivery(&self, id: DeliveryId) -> Result<Option<Delivery>, Error> {
        delivery::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// A page of deliveries, the newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn deliveries(&self, filter: DeliveryFilter, limit: u64) -> Result<Page<Delivery>, Error> {
        let mut query = match filter.webhook {
            Some(id) => delivery::Entity::find().filter(delivery::Column::WebhookId.eq(id.0)),
            None => delivery::Entity::find().filter(delivery::Column::WebhookId.is_null()),
        };
        if let Some(status) = filter.status {
            query = query.filter(delivery::Column::Status.eq(status.name()));
        }
        if let Some(before) = filter.before {
            query = query.filter(delivery::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(delivery::Column::Id).limit(limit + 1).all(&self.read).await?;
        let deliveries = rows.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(deliveries, limit, |delivery| delivery.id.0))
    }

    /// Removes what was delivered before one instant, and what was given up before another.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn remove_deliveries(&self, delivered: DateTime<Utc>, dead: DateTime<Utc>) -> Result<u64, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let mut removed = 0;
                for (status, before) in [(DeliveryStatus::Delivered, delivered), (DeliveryStatus::Dead, dead)] {
                    let old = delivery::Entity::delete_many()
                        .filter(delivery::Column::Status.eq(status.name()))
                        .filter(delivery::Column::EndedAt.lt(before));
                    removed += old.exec(tx).await?.rows_affected;
                }
                Ok(removed)
            })
        })
        .await
    }
}

/// Makes deliveries as part of a larger change.
pub(super) async fn insert(tx: &Tx, new: Vec<NewDelivery>) -> Result<(), Error> {
    let rows: Vec<delivery::ActiveModel> = new
        .into_iter()
        .map(|new| delivery::ActiveModel {
            id: Set(DeliveryId::generate().0),
            lane: Set(new.lane),
            webhook_id: Set(new.webhook.map(|id| id.0)),
            event_id: Set(new.event.0),
            incident_id: Set(new.incident.map(|id| id.0)),
            sequence: Set(new.sequence),
            kind: Set(new.kind),
            url: Set(new.url),
            body: Set(new.body),
            status: Set(DeliveryStatus::Pending.name().into()),
            tries: Set(0),
            next_at: Set(Some(new.at)),
            answer: Set(None),
            failure: Set(None),
            created_at: Set(new.at),
            ended_at: Set(None),
        })
        .collect();
    for chunk in rows.chunks(500) {
        delivery::Entity::insert_many(chunk.to_vec()).exec_without_returning(tx).await?;
    }
    Ok(())
}

fn number(tries: u32) -> i32 {
    i32::try_from(tries).unwrap_or(i32::MAX)
}

fn read(row: delivery::Model) -> Result<Delivery, Error> {
    Ok(Delivery {
        id: DeliveryId(row.id),
        lane: row.lane,
        webhook: row.webhook_id.map(WebhookId),
        event: EventId(row.event_id),
        incident: row.incident_id.map(IncidentId),
        sequence: row.sequence,
        kind: row.kind,
        url: row.url,
        body: row.body,
        status: row.status.parse()?,
        tries: u32::try_from(row.tries).unwrap_or(0),
        next_at: row.next_at,
        answer: row.answer.and_then(|answer| u16::try_from(answer).ok()),
        failure: row.failure,
        created_at: row.created_at,
        ended_at: row.ended_at,
    })
}
