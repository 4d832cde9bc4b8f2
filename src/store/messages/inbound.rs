//! What comes in: stored before the modem hears that it may forget it, whoever sent it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::{contact, contact_number, inbound_message, inbound_part, message};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use uuid::Uuid;

use crate::{
    id::{ContactId, InboundId},
    store::{Entry, Error, Fact, Page, Store, timeline, writer::Tx},
};

/// A part of a text that came in; most texts are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundPart {
    /// What makes it this one: it may be handed over more than once.
    pub digest: String,
    /// The route that it came by.
    pub route: String,
    /// Who sent it, as the network says it.
    pub sender: Option<String>,
    /// What the parts of a longer text have in common.
    pub series: Option<String>,
    /// Which one it is, from 1.
    pub number: u8,
    /// Of how many.
    pub total: u8,
    /// As it came.
    pub body: Vec<u8>,
}

/// A text that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    /// Its identifier.
    pub id: InboundId,
    /// The route that it came by.
    pub route: String,
    /// Who sent it, as the network says it.
    pub sender: Option<String>,
    /// The contact who has this number.
    pub contact: Option<ContactId>,
    /// What it says.
    pub body: String,
    /// Whether no part is missing.
    pub whole: bool,
    /// When it came.
    pub received_at: DateTime<Utc>,
    /// When something was done about it, and what.
    pub handled: Option<(DateTime<Utc>, String)>,
    /// What is to be done about it, once that is decided.
    pub plan: Option<serde_json::Value>,
}

/// Puts the parts of a text together, by their numbers, of so many.
pub type Join = fn(&BTreeMap<u8, Vec<u8>>, u8) -> String;

impl Store {
    /// Takes a part in. With the last one there is a text. Nothing, if it is here already.
    ///
    /// # Errors
    /// If the database does not take it: then it must not be forgotten elsewhere.
    pub async fn take_in(&self, part: InboundPart, join: Join, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let row = inbound_part::ActiveModel {
                    digest: Set(part.digest.clone()),
                    route: Set(part.route.clone()),
                    sender: Set(part.sender.clone()),
                    series: Set(part.series.clone()),
                    number: Set(part.number.into()),
                    total: Set(part.total.into()),
                    body: Set(part.body),
                    received_at: Set(now),
                    message_id: Set(None),
                };
                let once = OnConflict::column(inbound_part::Column::Digest).do_nothing().to_owned();
                let new = inbound_part::Entity::insert(row).on_conflict(once).exec_without_returning(tx).await?;
                if new == 0 {
                    return Ok(());
                }
                let with_it = match &part.series {
                    Some(series) => inbound_part::Column::Series.eq(series),
                    None => inbound_part::Column::Digest.eq(&part.digest),
                };
                let parts = waiting(tx, with_it.into()).await?;
                let is_whole = by_number(&parts).len() == usize::from(part.total);
                if is_whole { text_of(tx, &parts, join, now).await } else { Ok(()) }
            })
        })
        .await
    }

    /// Makes texts of parts that came before and whose others have not come since.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn take_what_is_incomplete(
        &self,
        before: DateTime<Utc>,
        join: Join,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let old = Condition::all()
            .add(inbound_part::Column::MessageId.is_null())
            .add(inbound_part::Column::ReceivedAt.lt(before));
        let Some(first) = inbound_part::Entity::find().filter(old).one(&self.read).await? else { return Ok(()) };
        self.write(move |tx| {
            Box::pin(async move {
                let parts = waiting(tx, inbound_part::Column::Series.eq(first.series).into()).await?;
                if parts.is_empty() { Ok(()) } else { text_of(tx, &parts, join, now).await }
            })
        })
        .await
    }

    /// Texts about which nothing was done yet, the oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn unhandled_texts(&self, limit: u64) -> Result<Vec<Inbound>, Error> {
        let rows = inbound_message::Entity::find()
            .filter(inbound_message::Column::HandledAt.is_null())
            .order_by_asc(inbound_message::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// A page of what came in, newest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn inbound_texts(&self, before: Option<Uuid>, limit: u64) -> Result<Page<Inbound>, Error> {
        let mut query = inbound_message::Entity::find();
        if let Some(before) = before {
            query = query.filter(inbound_message::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(inbound_message::Column::Id).limit(limit + 1).all(&self.read).await?;
        Ok(Page::cut(rows.into_iter().map(read).collect(), limit, |text: &Inbound| text.id.0))
    }
}

async fn waiting(tx: &Tx, which: Condition) -> Result<Vec<inbound_part::Model>, Error> {
    let parts = inbound_part::Entity::find().filter(which).filter(inbound_part::Column::MessageId.is_null());
    Ok(parts.order_by_asc(inbound_part::Column::ReceivedAt).all(tx).await?)
}

/// Each once: the latest of those that say they are the same.
fn by_number(parts: &[inbound_part::Model]) -> BTreeMap<u8, Vec<u8>> {
    parts.iter().filter_map(|part| Some((u8::try_from(part.number).ok()?, part.body.clone()))).collect()
}

async fn text_of(tx: &Tx, parts: &[inbound_part::Model], join: Join, now: DateTime<Utc>) -> Result<(), Error> {
    let Some(first) = parts.first() else { return Ok(()) };
    let (by_number, total) = (by_number(parts), u8::try_from(first.total).unwrap_or(u8::MAX));
    let id = InboundId::generate();
    let contact = match &first.sender {
        Some(sender) => whose(tx, sender).await?,
        None => None,
    };
    // PostgreSQL cannot hold it.
    let body = join(&by_number, total).replace('\0', "\u{2400}");
    let row = inbound_message::ActiveModel {
        id: Set(id.0),
        route: Set(first.route.clone()),
        sender: Set(first.sender.clone()),
        contact_id: Set(contact.as_ref().map(|contact| contact.id)),
        body: Set(body),
        whole: Set(by_number.len() == usize::from(total)),
        received_at: Set(now),
        handled_at: Set(None),
        outcome: Set(None),
        claimed_by: Set(None),
        claimed_at: Set(None),
        plan: Set(None),
    };
    inbound_message::Entity::insert(row).exec_without_returning(tx).await?;
    inbound_part::Entity::update_many()
        .col_expr(inbound_part::Column::MessageId, Expr::val(id.0))
        .filter(inbound_part::Column::Digest.is_in(parts.iter().map(|part| part.digest.clone())))
        .exec(tx)
        .await?;
    let from = contact.map_or_else(|| "somebody unknown".to_owned(), |contact| contact.name);
    let fact = Fact::TextReceived { from };
    timeline::write(tx, vec![Entry { incident: None, call: None, message: None, at: now, fact }]).await
}

/// The contact who has this number. Of several who share it, the one who was texted there last.
pub(super) async fn whose(tx: &Tx, number: &str) -> Result<Option<contact::Model>, Error> {
    let mut ids: Vec<Uuid> = contact_number::Entity::find()
        .select_only()
        .column(contact_number::Column::ContactId)
        .filter(contact_number::Column::Number.eq(number))
        .into_tuple()
        .all(tx)
        .await?;
    ids.sort_unstable();
    ids.dedup();
    let known = Condition::any().add(contact::Column::Id.is_in(ids)).add(contact::Column::SmsNumber.eq(number));
    let mut contacts = contact::Entity::find().filter(known).all(tx).await?;
    if contacts.len() < 2 {
        return Ok(contacts.pop());
    }
    let last: Option<Option<Uuid>> = message::Entity::find()
        .select_only()
        .column(message::Column::ContactId)
        .filter(message::Column::Number.eq(number))
        .filter(message::Column::ContactId.is_in(contacts.iter().map(|contact| contact.id)))
        .order_by_desc(message::Column::Id)
        .into_tuple()
        .one(tx)
        .await?;
    Ok(contacts.into_iter().find(|contact| Some(contact.id) == last.flatten()))
}

fn read(row: inbound_message::Model) -> Inbound {
    Inbound {
        id: InboundId(row.id),
        route: row.route,
        sender: row.sender,
        contact: row.contact_id.map(ContactId),
        body: row.body,
        whole: row.whole,
        received_at: row.received_at,
        handled: row.handled_at.map(|at| (at, row.outcome.unwrap_or_default())),
        plan: row.plan,
    }
}
