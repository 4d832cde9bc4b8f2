//! Text messages: send one, lists, one, give one up, send one again; and what came in.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{ReadsMessages, SendsMessages},
    body::Body,
    error::Problem,
    idempotency::Once,
    incidents::TimelineLine,
    text,
};
use crate::{
    bus::Bell,
    engine::{DirectText, Texted},
    escalation::Target,
    id::{ContactId, IncidentId, MessageId},
    phone::NotANumber,
    store::{self, MessageFilter},
};

/// Text messages.
pub struct Messages(pub State);

/// Where a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum MessageStatus {
    /// Waits to be sent, or to be sent again.
    Pending,
    /// On its way to the network.
    Sending,
    /// The network has it.
    Sent,
    /// It has arrived.
    Delivered,
    /// It was refused for good, or did not arrive.
    Failed,
    /// Nobody knows whether it was sent. It is not sent again by itself.
    Unknown,
    /// It was too late to send it.
    Expired,
    /// Given up: nobody needed it any more, or a person said so.
    Canceled,
}

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum MessageKind {
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

/// A text to be sent.
#[derive(Debug, Object, Deserialize)]
struct NewMessage {
    /// The number: E.164, or nationally for the configured country. Or a name: of a schedule (whoever is on call
    /// now), of a group, of a contact.
    #[oai(validator(max_length = 300))]
    to: String,
    /// What it says. What takes more than `sms.segments` messages is cut, with a mark.
    #[oai(validator(min_length = 1, max_length = 10_000))]
    text: String,
    /// Seconds for which it is worth sending; `sms.expires` if it is not said.
    #[oai(validator(minimum(value = "1"), maximum(value = "604800")))]
    expires: Option<u32>,
}

/// A text message.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Message {
    /// Its identifier.
    id: Uuid,
    /// The incident it is about.
    incident_id: Option<Uuid>,
    /// Whom it is for: a contact's name, or the number.
    to: String,
    /// Where it goes.
    number: String,
    /// What it is for.
    kind: MessageKind,
    /// Where it stands.
    status: MessageStatus,
    /// What it says; absent until it is sent, if it tells how things are then.
    text: Option<String>,
    /// How often it was tried.
    attempts: u32,
    /// The route that tried it last.
    route: Option<String>,
    /// How many messages it takes on its way; known once it is sent.
    segments: Option<u32>,
    /// Why it was not sent, the last time.
    failure: Option<String>,
    /// Who asked for it.
    source: Option<String>,
    /// When it was queued.
    created_at: DateTime<Utc>,
    /// When it is too late to send it.
    expires_at: DateTime<Utc>,
    /// When the network took it.
    sent_at: Option<DateTime<Utc>>,
    /// When it was known what became of it.
    ended_at: Option<DateTime<Utc>>,
    /// What happened to it, oldest first; left out of lists.
    #[oai(default, skip_serializing_if_is_empty)]
    timeline: Vec<TimelineLine>,
}

/// Messages that were queued.
#[derive(Debug, Object)]
struct QueuedMessages {
    /// One for each number.
    items: Vec<Message>,
}

/// A page of messages, newest first.
#[derive(Debug, Object)]
struct MessagePage {
    /// What is on it.
    items: Vec<Message>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

/// A text that came in.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct ReceivedMessage {
    /// Its identifier.
    id: Uuid,
    /// The route that it came by.
    route: String,
    /// Who sent it, as the network says it.
    sender: Option<String>,
    /// The contact who has this number.
    contact_id: Option<Uuid>,
    /// What it says; `[...]` where a part is missing.
    text: String,
    /// Whether no part is missing.
    whole: bool,
    /// When it came.
    received_at: DateTime<Utc>,
    /// When something was done about it.
    handled_at: Option<DateTime<Utc>>,
    /// What was done about it.
    outcome: Option<String>,
}

/// A page of texts that came in, newest first.
#[derive(Debug, Object)]
struct ReceivedPage {
    /// What is on it.
    items: Vec<ReceivedMessage>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

#[derive(ApiResponse)]
enum Created {
    /// Stored, and queued.
    #[oai(status = 201)]
    Queued(Json<QueuedMessages>),
}

#[OpenApi(prefix_path = "/api/v2/messages", tag = "Tag::Messages")]
impl Messages {
    /// Send a text message
    ///
    /// It is stored when this answers with 2xx. The number must be allowed by the destination rules.
    #[oai(path = "/", method = "post", operation_id = "send_message")]
    async fn send(
        &self,
        caller: SendsMessages,
        /// Sent again under the same key, within a day, a text is sent once and answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        message: Body<NewMessage>,
    ) -> Result<Created, Problem> {
        let NewMessage { to, text, expires } = message.0;
        let to = receiver(&self.0, "to", &to).await?;
        let id = MessageId(once.chosen().0);
        let worth = expires.map(|seconds| TimeDelta::seconds(seconds.into()));
        let ids = queue(&self.0, id, to, text, worth, caller.name()).await?;
        let mut items = Vec::with_capacity(ids.len());
        for id in ids {
            items.extend(self.0.store.message(id).await?.map(shown));
        }
        Ok(Created::Queued(Json(QueuedMessages { items })))
    }

    /// List text messages, newest first
    #[oai(path = "/", method = "get", operation_id = "list_messages")]
    #[expect(clippy::too_many_arguments, reason = "they are what can be asked for")]
    async fn list(
        &self,
        _caller: ReadsMessages,
        /// Only in this status.
        status: Query<Option<MessageStatus>>,
        /// Only about this incident.
        incident_id: Query<Option<Uuid>>,
        /// Only to this number.
        #[oai(validator(max_length = 40))]
        number: Query<Option<String>>,
        /// Only to this contact.
        contact: Query<Option<Uuid>>,
        /// Only made then or later.
        from: Query<Option<DateTime<Utc>>>,
        /// Only made before.
        until: Query<Option<DateTime<Utc>>>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<MessagePage>, Problem> {
        let number = number.0.map(|text| self.0.plan.parse(&text)).transpose();
        let filter = MessageFilter {
            status: status.0.map(Into::into),
            incident: incident_id.0.map(IncidentId),
            number: number.map_err(|error| Problem::number("number", &error))?,
            contact: contact.0.map(ContactId),
            from: from.0,
            until: until.0,
            before: cursor.0,
        };
        let page = self.0.store.messages(filter, limit.0).await?;
        Ok(Json(MessagePage { items: page.items.into_iter().map(shown).collect(), next: page.next }))
    }

    /// One text message
    #[oai(path = "/:id", method = "get", operation_id = "get_message")]
    async fn get(&self, _caller: ReadsMessages, id: Path<Uuid>) -> Result<Json<Message>, Problem> {
        let message = self.one(MessageId(id.0)).await?;
        let timeline = self.0.store.message_timeline(message.id).await?;
        let timeline = timeline.into_iter().map(TimelineLine::from).collect();
        Ok(Json(Message { timeline, ..shown(message) }))
    }

    /// Give a text message up
    ///
    /// Only while it waits: what is on its way cannot be held back.
    #[oai(path = "/:id/cancel", method = "post", operation_id = "cancel_message")]
    async fn cancel(
        &self,
        caller: SendsMessages,
        /// Sent again under the same key, within a day, it is answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Message>, Problem> {
        let known = self.one(MessageId(id.0)).await?;
        let canceled = self.0.store.cancel_message(known.id, caller.name(), self.0.clock.now()).await?;
        // Begun before, it may be this that has given it up.
        if !(canceled || once.again() && known.status == store::MessageStatus::Canceled) {
            return Err(Problem::conflict(format!("the message does not wait any more: {}", known.status)));
        }
        Ok(Json(shown(self.one(known.id).await?)))
    }

    /// Send a text message again
    ///
    /// One that failed, expired or was given up; or one of which nobody knows whether it was sent: then it may
    /// arrive twice.
    #[oai(path = "/:id/resend", method = "post", operation_id = "resend_message")]
    async fn resend(
        &self,
        caller: SendsMessages,
        /// Sent again under the same key, within a day, it is answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        id: Path<Uuid>,
    ) -> Result<Json<Message>, Problem> {
        let known = self.one(MessageId(id.0)).await?;
        let Some(worth) = self.0.engine.texts() else { return Err(no_way()) };
        let now = self.0.clock.now();
        let again = self.0.store.send_message_again(known.id, caller.name(), now + worth, now).await?;
        if !(again || once.again()) {
            return Err(Problem::conflict(format!("the message is not one that was not sent: {}", known.status)));
        }
        self.0.bus.ring(Bell::Texts);
        Ok(Json(shown(self.one(known.id).await?)))
    }
}

/// Texts that came in.
pub struct ReceivedMessages(pub State);

#[OpenApi(prefix_path = "/api/v2/received-messages", tag = "Tag::Messages")]
impl ReceivedMessages {
    /// List texts that came in, newest first
    ///
    /// From whomever: those whom nobody knows are shown, and never answered.
    #[oai(path = "/", method = "get", operation_id = "list_received_messages")]
    async fn list(
        &self,
        _caller: ReadsMessages,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<ReceivedPage>, Problem> {
        let page = self.0.store.inbound_texts(cursor.0, limit.0).await?;
        Ok(Json(ReceivedPage { items: page.items.into_iter().map(received).collect(), next: page.next }))
    }
}

impl Messages {
    async fn one(&self, id: MessageId) -> Result<store::Message, Problem> {
        self.0.store.message(id).await?.ok_or_else(|| Problem::not_found("message"))
    }
}

/// Whom a number or a name means. What could break out of a line of commands is no number, wherever it stands.
pub(super) async fn receiver(state: &State, field: &str, to: &str) -> Result<Target, Problem> {
    if to.chars().any(char::is_control) {
        return Err(Problem::number(field, &NotANumber::Character));
    }
    state.whoever(field, to).await
}

/// Queues a text under an identifier.
pub(super) async fn queue(
    state: &State,
    id: MessageId,
    to: Target,
    body: String,
    worth: Option<TimeDelta>,
    source: &str,
) -> Result<Vec<MessageId>, Problem> {
    let body = text(body);
    if body.trim().is_empty() {
        return Err(Problem::malformed("text: is empty"));
    }
    let direct = DirectText { to, text: body, worth, source: source.to_owned() };
    match state.engine.text(id, direct).await? {
        Texted::Queued(ids) => Ok(ids),
        Texted::NoWay => Err(no_way()),
        Texted::Nobody => Err(Problem::unprocessable("to: nobody meant has a number that texts can go to")),
    }
}

fn no_way() -> Problem {
    Problem::unprocessable(
        "there is no way to send texts: neither a modem ([[modems]]) nor Twilio ([twilio]) is configured",
    )
}

fn shown(message: store::Message) -> Message {
    Message {
        id: message.id.0,
        incident_id: message.incident.map(|id| id.0),
        to: message.to,
        number: message.number.as_str().to_owned(),
        kind: message.kind.into(),
        status: message.status.into(),
        text: message.body,
        attempts: message.attempts,
        route: message.route,
        segments: message.segments,
        failure: message.failure,
        source: message.source,
        created_at: message.created_at,
        expires_at: message.expires_at,
        sent_at: message.sent_at,
        ended_at: message.ended_at,
        timeline: Vec::new(),
    }
}

fn received(text: store::Inbound) -> ReceivedMessage {
    let (handled_at, outcome) = text.handled.unzip();
    ReceivedMessage {
        id: text.id.0,
        route: text.route,
        sender: text.sender,
        contact_id: text.contact.map(|id| id.0),
        text: text.body,
        whole: text.whole,
        received_at: text.received_at,
        handled_at,
        outcome,
    }
}

/// The names of the store and of the document, one by one.
macro_rules! names {
    ($ours:ident: $($name:ident),*) => {
        impl From<store::$ours> for $ours {
            fn from(name: store::$ours) -> Self {
                match name { $(store::$ours::$name => Self::$name),* }
            }
        }

        impl From<$ours> for store::$ours {
            fn from(name: $ours) -> Self {
                match name { $($ours::$name => Self::$name),* }
            }
        }
    };
}

names!(MessageStatus: Pending, Sending, Sent, Delivered, Failed, Unknown, Expired, Canceled);
names!(MessageKind: Page, MissedCall, Over, Direct, Answer, Shift);
