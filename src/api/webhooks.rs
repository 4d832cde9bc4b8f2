//! Webhooks: who is told of events, what became of it, and what is told again.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsWebhooks},
    body::Body,
    error::Problem,
    text,
    version::{etag, expected},
};
use crate::{
    id::{self, DeliveryId, WebhookId},
    store::{self, DeliveryFilter, WebhookData},
};

/// Each of them looks at every event.
const MOST: u64 = 100;

/// Webhooks.
pub struct Webhooks(pub State);

/// Who is told of what.
#[derive(Clone, Debug, Object, Deserialize)]
struct WebhookEdit {
    /// Where: http or https, without user name and password. Its addresses must be public, or allowed by
    /// `webhooks.allow` of the configuration; redirects are not followed.
    #[oai(validator(min_length = 1, max_length = 2000))]
    url: String,
    /// What for.
    #[oai(default, validator(max_length = 2000))]
    #[serde(default)]
    description: String,
    /// Of which kinds of events, as in `kind` of an event; of all, if there are none.
    #[oai(default, validator(max_items = 100, max_length = 64, pattern = "^[a-z_]+$"))]
    #[serde(default)]
    kinds: Vec<String>,
    /// Whether it is told anything. What happens while it is not is not told later.
    #[oai(default = "yes")]
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// A webhook.
#[derive(Debug, Object)]
#[oai(rename = "Subscription")]
struct Webhook {
    /// Its identifier.
    id: Uuid,
    /// Counts its changes; also the ETag.
    version: i64,
    /// Who made it.
    made_by: String,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// Who is told of what.
    #[oai(flatten)]
    webhook: WebhookEdit,
    /// Signs what is sent. Shown once, when it is made: here and never again.
    #[oai(skip_serializing_if_is_none)]
    secret: Option<String>,
}

/// Webhooks, the newest first.
#[derive(Debug, Object)]
struct WebhookList {
    /// All of them, at most 100.
    items: Vec<Webhook>,
}

/// The secret that signs callbacks.
#[derive(Debug, Object)]
struct CallbackSecret {
    /// It signs what callbacks send, as a webhook's signs what that is sent.
    secret: String,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum DeliveryStatus {
    /// It is to be tried, or tried again.
    Pending,
    /// The receiver said 2xx.
    Delivered,
    /// Given up after `webhooks.tries`; it can be replayed.
    Dead,
}

/// What is told of one event.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Delivery {
    /// Its identifier.
    id: Uuid,
    /// The event, also in `X-Ringdown-Event-Id`.
    event_id: Uuid,
    /// The event's place among all.
    sequence: i64,
    /// What kind of event it is.
    kind: String,
    /// The incident that a callback is about.
    incident: Option<Uuid>,
    /// Where a callback goes.
    url: Option<String>,
    /// Where it stands.
    status: DeliveryStatus,
    /// How often it was tried since it was made or replayed.
    tries: u32,
    /// When it is tried next.
    next_at: Option<DateTime<Utc>>,
    /// The HTTP status of the last answer.
    answer: Option<u16>,
    /// What was wrong the last time.
    failure: Option<String>,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// When it was delivered or given up.
    ended_at: Option<DateTime<Utc>>,
}

/// A page of deliveries, newest first.
#[derive(Debug, Object)]
struct DeliveryPage {
    /// What is on it.
    items: Vec<Delivery>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

/// What is told again.
#[derive(Debug, Object)]
struct Replayed {
    /// How many deliveries.
    replayed: u64,
}

#[derive(ApiResponse)]
enum Created {
    /// Made. The secret is shown here and never again.
    #[oai(status = 201)]
    Created(
        Json<Webhook>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// As it is.
    #[oai(status = 200)]
    Found(
        Json<Webhook>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Deleted, and its deliveries with it.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(prefix_path = "/api/v2/webhooks", tag = "Tag::Webhooks")]
impl Webhooks {
    /// List webhooks
    #[oai(path = "/", method = "get", operation_id = "list_webhooks")]
    async fn list(&self, _caller: EditsWebhooks) -> Result<Json<WebhookList>, Problem> {
        let webhooks = self.0.store.webhooks().await?;
        Ok(Json(WebhookList { items: webhooks.into_iter().map(Webhook::from).collect() }))
    }

    /// Have somebody told of events
    ///
    /// From now on each event is sent as a POST with the event in JSON, the same as in the stream of
    /// events, with `X-Ringdown-Event-Id`, `X-Ringdown-Timestamp` (seconds since 1970) and
    /// `X-Ringdown-Signature`: `v1=` and the HMAC-SHA256 with the secret, in hexadecimal, of the timestamp,
    /// a full stop and the body. It is sent at least once, in order but for what is tried again, until
    /// somebody says 2xx; after `webhooks.tries` it is kept as dead.
    #[oai(path = "/", method = "post", operation_id = "create_webhook")]
    async fn create(&self, caller: EditsWebhooks, webhook: Body<WebhookEdit>) -> Result<Created, Problem> {
        let data = self.read(webhook.0).await?;
        if self.0.store.webhook_count().await? >= MOST {
            return Err(Problem::conflict(format!("there are {MOST} webhooks already")));
        }
        let secret = id::secret();
        let id = self.0.by(&caller).create_webhook(data, secret.clone(), caller.name(), self.0.clock.now()).await?;
        let webhook = self.present(id).await?;
        let tag = etag(webhook.version);
        Ok(Created::Created(Json(Webhook { secret: Some(secret), ..webhook.into() }), tag))
    }

    /// One webhook
    #[oai(path = "/:id", method = "get", operation_id = "get_webhook")]
    async fn get(&self, _caller: EditsWebhooks, id: Path<Uuid>) -> Result<Found, Problem> {
        let webhook = self.present(WebhookId(id.0)).await?;
        let tag = etag(webhook.version);
        Ok(Found::Found(Json(webhook.into()), tag))
    }

    /// Change a webhook
    #[oai(path = "/:id", method = "put", operation_id = "update_webhook")]
    async fn update(
        &self,
        caller: EditsWebhooks,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        webhook: Body<WebhookEdit>,
    ) -> Result<Found, Problem> {
        let id = WebhookId(id.0);
        let version = expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        let data = self.read(webhook.0).await?;
        self.change(&caller, id, version, data, None).await
    }

    /// Give a webhook a new secret
    ///
    /// It signs whatever is sent from now on, also what is tried again.
    #[oai(path = "/:id/secret", method = "post", operation_id = "rotate_webhook_secret")]
    async fn rotate(
        &self,
        caller: EditsWebhooks,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Found, Problem> {
        let id = WebhookId(id.0);
        let present = self.present(id).await?;
        let version = expected(if_match.0.as_deref(), present.version)?;
        self.change(&caller, id, version, present.data, Some(id::secret())).await
    }

    /// Delete a webhook
    #[oai(path = "/:id", method = "delete", operation_id = "delete_webhook")]
    async fn delete(
        &self,
        caller: EditsWebhooks,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let id = WebhookId(id.0);
        let version = expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        match self.0.by(&caller).delete_webhook(id, version).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            deleted => Ok(deleted.map(|()| Deleted::Deleted)?),
        }
    }

    /// What a webhook was told, newest first
    #[oai(path = "/:id/deliveries", method = "get", operation_id = "list_deliveries")]
    async fn deliveries(
        &self,
        _caller: EditsWebhooks,
        id: Path<Uuid>,
        /// Only in this status.
        status: Query<Option<DeliveryStatus>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<DeliveryPage>, Problem> {
        let id = self.present(WebhookId(id.0)).await?.id;
        self.page(Some(id), status.0, limit.0, cursor.0).await
    }

    /// Try a dead delivery again
    #[oai(path = "/:id/deliveries/:delivery/replay", method = "post", operation_id = "replay_delivery")]
    async fn replay(
        &self,
        _caller: EditsWebhooks,
        id: Path<Uuid>,
        /// The delivery.
        delivery: Path<Uuid>,
    ) -> Result<Json<Replayed>, Problem> {
        let id = self.present(WebhookId(id.0)).await?.id;
        self.again(Some(id), DeliveryId(delivery.0)).await
    }

    /// Try all dead deliveries of a webhook again
    #[oai(path = "/:id/replay", method = "post", operation_id = "replay_webhook")]
    async fn replay_all(&self, _caller: EditsWebhooks, id: Path<Uuid>) -> Result<Json<Replayed>, Problem> {
        let id = self.present(WebhookId(id.0)).await?.id;
        let replayed = self.0.store.replay(Some(id), None, self.0.clock.now()).await?;
        Ok(Json(Replayed { replayed }))
    }

    /// The secret that signs callbacks of calls
    ///
    /// One for the whole server; made when it is first needed.
    #[oai(path = "/callback-secret", method = "get", operation_id = "get_callback_secret")]
    async fn callback_secret(&self, _caller: EditsWebhooks) -> Result<Json<CallbackSecret>, Problem> {
        let secret = self.0.store.callback_secret(id::secret(), self.0.clock.now()).await?;
        Ok(Json(CallbackSecret { secret }))
    }

    /// What callbacks of calls were told, newest first
    #[oai(path = "/callbacks/deliveries", method = "get", operation_id = "list_callback_deliveries")]
    async fn callback_deliveries(
        &self,
        _caller: EditsWebhooks,
        /// Only in this status.
        status: Query<Option<DeliveryStatus>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<DeliveryPage>, Problem> {
        self.page(None, status.0, limit.0, cursor.0).await
    }

    /// Try a dead delivery of a callback again
    #[oai(path = "/callbacks/deliveries/:delivery/replay", method = "post", operation_id = "replay_callback_delivery")]
    async fn replay_callback(
        &self,
        _caller: EditsWebhooks,
        /// The delivery.
        delivery: Path<Uuid>,
    ) -> Result<Json<Replayed>, Problem> {
        self.again(None, DeliveryId(delivery.0)).await
    }
}

impl Webhooks {
    async fn present(&self, id: WebhookId) -> Result<store::Webhook, Problem> {
        self.0.store.webhook(id).await?.ok_or_else(|| Problem::not_found("webhook"))
    }

    async fn read(&self, edit: WebhookEdit) -> Result<WebhookData, Problem> {
        self.0.receiver("url", &edit.url).await?;
        let mut kinds = edit.kinds;
        kinds.sort_unstable();
        kinds.dedup();
        Ok(WebhookData { url: edit.url, description: text(edit.description), kinds, enabled: edit.enabled })
    }

    async fn change(
        &self,
        caller: &Caller,
        id: WebhookId,
        version: i64,
        data: WebhookData,
        secret: Option<String>,
    ) -> Result<Found, Problem> {
        match self.0.by(caller).update_webhook(id, version, data, secret.clone(), self.0.clock.now()).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            updated => {
                updated?;
                let webhook = self.present(id).await?;
                let tag = etag(webhook.version);
                Ok(Found::Found(Json(Webhook { secret, ..webhook.into() }), tag))
            }
        }
    }

    async fn page(
        &self,
        webhook: Option<WebhookId>,
        status: Option<DeliveryStatus>,
        limit: u64,
        before: Option<Uuid>,
    ) -> Result<Json<DeliveryPage>, Problem> {
        let filter = DeliveryFilter { webhook, status: status.map(Into::into), before };
        let page = self.0.store.deliveries(filter, limit).await?;
        Ok(Json(DeliveryPage { items: page.items.into_iter().map(Delivery::from).collect(), next: page.next }))
    }

    async fn again(&self, webhook: Option<WebhookId>, id: DeliveryId) -> Result<Json<Replayed>, Problem> {
        let there = self.0.store.delivery(id).await?.filter(|delivery| delivery.webhook == webhook);
        let there = there.ok_or_else(|| Problem::not_found("delivery"))?;
        match self.0.store.replay(webhook, Some(id), self.0.clock.now()).await? {
            0 => Err(Problem::conflict(format!("the delivery is not dead: it is {}", there.status))),
            replayed => Ok(Json(Replayed { replayed })),
        }
    }
}

impl State {
    /// Whether `url` may be told of events.
    pub(super) async fn receiver(&self, field: &str, url: &str) -> Result<(), Problem> {
        let Some(sender) = &self.sender else { return Ok(()) };
        sender.check(url).await.map_err(|refused| Problem::unprocessable(format!("{field}: {refused}")))
    }
}

impl From<store::Webhook> for Webhook {
    fn from(webhook: store::Webhook) -> Self {
        let data = webhook.data;
        Self {
            id: webhook.id.0,
            version: webhook.version,
            made_by: webhook.made_by,
            updated_at: webhook.updated_at,
            webhook: WebhookEdit {
                url: data.url,
                description: data.description,
                kinds: data.kinds,
                enabled: data.enabled,
            },
            secret: None,
        }
    }
}

impl From<store::Delivery> for Delivery {
    fn from(delivery: store::Delivery) -> Self {
        Self {
            id: delivery.id.0,
            event_id: delivery.event.0,
            sequence: delivery.sequence,
            kind: delivery.kind,
            incident: delivery.incident.map(|id| id.0),
            url: delivery.url,
            status: match delivery.status {
                store::DeliveryStatus::Pending => DeliveryStatus::Pending,
                store::DeliveryStatus::Delivered => DeliveryStatus::Delivered,
                store::DeliveryStatus::Dead => DeliveryStatus::Dead,
            },
            tries: delivery.tries,
            next_at: delivery.next_at,
            answer: delivery.answer,
            failure: delivery.failure,
            created_at: delivery.created_at,
            ended_at: delivery.ended_at,
        }
    }
}

impl From<DeliveryStatus> for store::DeliveryStatus {
    fn from(status: DeliveryStatus) -> Self {
        match status {
            DeliveryStatus::Pending => Self::Pending,
            DeliveryStatus::Delivered => Self::Delivered,
            DeliveryStatus::Dead => Self::Dead,
        }
    }
}
