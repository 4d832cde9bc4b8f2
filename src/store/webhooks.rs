//! Webhooks: who wants to be told of which events, and how far that has come.

use chrono::{DateTime, Utc};
use entity::{delivery, event_counter, webhook};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::{Edit, Error, NewDelivery, Store, audit::Subject, deliveries};
use crate::id::WebhookId;
use crate::store::writer::Tx;

/// A webhook as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: WebhookId,
    /// What can be edited.
    pub data: WebhookData,
    /// Signs what it is told. Kept as it is, since every delivery needs it.
    pub secret: String,
    /// Up to which event deliveries have been made.
    pub position: i64,
    /// Counts its changes.
    pub version: i64,
    /// Who made it.
    pub made_by: String,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Who is told of what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookData {
    /// Where.
    pub url: String,
    /// What for.
    pub description: String,
    /// Of which kinds of events; of all, if there are none.
    pub kinds: Vec<String>,
    /// Whether it is told anything.
    pub enabled: bool,
}

impl Edit {
    /// Makes a webhook, which is told of what happens from now on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_webhook(
        &self,
        data: WebhookData,
        secret: String,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<WebhookId, Error> {
        let (id, by) = (WebhookId::generate(), by.to_owned());
        self.change(Subject::Webhook(id), move |tx| {
            Box::pin(async move {
                let row = webhook::ActiveModel {
                    id: Set(id.0),
                    url: Set(data.url),
                    description: Set(data.description),
                    kinds: Set(serde_json::to_value(&data.kinds)?),
                    secret: Set(secret),
                    enabled: Set(data.enabled),
                    position: Set(last(tx).await?),
                    version: Set(1),
                    made_by: Set(by),
                    updated_at: Set(now),
                };
                webhook::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a webhook, if it still is at `version`; its secret too, if there is a new one. What happened
    /// while it was disabled is not told.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn update_webhook(
        &self,
        id: WebhookId,
        version: i64,
        data: WebhookData,
        secret: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Webhook(id), move |tx| {
            Box::pin(async move {
                let Some(before) = webhook::Entity::find_by_id(id.0).one(tx).await? else {
                    return Err(Error::Conflict);
                };
                let mut update = webhook::ActiveModel {
                    url: Set(data.url),
                    description: Set(data.description),
                    kinds: Set(serde_json::to_value(&data.kinds)?),
                    enabled: Set(data.enabled),
                    version: Set(version + 1),
                    updated_at: Set(now),
                    ..Default::default()
                };
                if let Some(secret) = secret {
                    update.secret = Set(secret);
                }
                if data.enabled && !before.enabled {
                    update.position = Set(last(tx).await?);
                }
                let updated = webhook::Entity::update_many()
                    .set(update)
                    .filter(webhook::Column::Id.eq(id.0))
                    .filter(webhook::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }

    /// Deletes a webhook and its deliveries, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn delete_webhook(&self, id: WebhookId, version: i64) -> Result<(), Error> {
        self.change(Subject::Webhook(id), move |tx| {
            Box::pin(async move {
                let deleted = webhook::Entity::delete_many()
                    .filter(webhook::Column::Id.eq(id.0))
                    .filter(webhook::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                delivery::Entity::delete_many().filter(delivery::Column::WebhookId.eq(id.0)).exec(tx).await?;
                Ok(())
            })
        })
        .await
    }
}

impl Store {
    /// A webhook by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn webhook(&self, id: WebhookId) -> Result<Option<Webhook>, Error> {
        webhook::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// All webhooks, the newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, Error> {
        let rows = webhook::Entity::find().order_by_desc(webhook::Column::Id).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// How many webhooks there are.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn webhook_count(&self) -> Result<u64, Error> {
        Ok(webhook::Entity::find().count(&self.read).await?)
    }

    /// Makes the deliveries of the events up to `position`, which the webhook has not been told of.
    ///
    /// # Errors
    /// [`Error::Conflict`] if another server has done it, or it has been changed meanwhile.
    pub async fn spool(&self, webhook: &Webhook, position: i64, new: Vec<NewDelivery>) -> Result<(), Error> {
        let (id, version, before) = (webhook.id, webhook.version, webhook.position);
        self.write(move |tx| {
            Box::pin(async move {
                let updated = webhook::Entity::update_many()
                    .set(webhook::ActiveModel { position: Set(position), ..Default::default() })
                    .filter(webhook::Column::Id.eq(id.0))
                    .filter(webhook::Column::Version.eq(version))
                    .filter(webhook::Column::Position.eq(before))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                deliveries::insert(tx, new).await
            })
        })
        .await
    }
}

async fn last(tx: &Tx) -> Result<i64, Error> {
    Ok(event_counter::Entity::find_by_id(1).one(tx).await?.map_or(0, |counter| counter.last))
}

fn read(row: webhook::Model) -> Result<Webhook, Error> {
    Ok(Webhook {
        id: WebhookId(row.id),
        data: WebhookData {
            url: row.url,
            description: row.description,
            kinds: serde_json::from_value(row.kinds)?,
            enabled: row.enabled,
        },
        secret: row.secret,
        position: row.position,
        version: row.version,
        made_by: row.made_by,
        updated_at: row.updated_at,
    })
}
