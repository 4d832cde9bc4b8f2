//! The queue: what comes into it, what waits to be sent, what is claimed, alone or as one text with others, and what
//! nobody needs any more.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use entity::{message, message_segment};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Func, SimpleExpr},
};
use uuid::Uuid;

use super::{FIRST, Message, MessageKind, MessageStatus, codes, of_message, opted_out, read, status_is, to, with};
use crate::{
    escalation::Stage,
    id::{ContactId, IncidentId, MessageId},
    phone::PhoneNumber,
    store::{Error, Fact, Store, timeline, writer::Tx},
};

/// Rows in one statement: SQLite takes 32,766 values.
const ROWS: usize = 500;
/// Why a number that wants no texts gets none.
const OPTED_OUT: &str = "texts to this number are turned off";

/// A message that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewMessage {
    /// The contact and their name; `None` for a bare number.
    pub contact: Option<(ContactId, String)>,
    /// Where it goes.
    pub number: PhoneNumber,
    /// What it is for.
    pub kind: MessageKind,
    /// Of which step of its incident's policy it is.
    pub at: Stage,
    /// What it says; `None` if it is to say how things are when it is sent.
    pub body: Option<String>,
    /// Who asked for it.
    pub source: Option<String>,
    /// When it is too late to send it.
    pub expires_at: DateTime<Utc>,
}

/// A message that is wanted.
pub(in crate::store) struct Wanted {
    pub(in crate::store) id: MessageId,
    pub(in crate::store) incident: Option<IncidentId>,
    pub(in crate::store) message: NewMessage,
    pub(in crate::store) now: DateTime<Utc>,
}

/// What was queued before about an incident to a number, in a run.
type Before = (Uuid, String, Option<i32>, String, String);

impl Store {
    /// Queues a message that somebody asked for, under an identifier that was made before: once, however often
    /// it is said.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn queue_message(
        &self,
        id: MessageId,
        incident: Option<IncidentId>,
        message: NewMessage,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                if message::Entity::find_by_id(id.0).one(tx).await?.is_some() {
                    return Ok(());
                }
                queue(tx, vec![Wanted { id, incident, message, now }]).await
            })
        })
        .await
    }

    /// Messages that wait and may be sent now, what is most urgent first. `per_hour` is how many a number may
    /// get in an hour; the first page about something goes all the same.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn waiting_messages(&self, per_hour: u64, now: DateTime<Utc>, limit: u64) -> Result<Vec<Message>, Error> {
        let sent: Vec<String> = message::Entity::find()
            .select_only()
            .column(message::Column::Number)
            .filter(message::Column::ClaimedAt.gt(now - TimeDelta::hours(1)))
            .filter(status_is(MessageStatus::Pending).not())
            .group_by(message::Column::Number)
            // Those that left as one are one.
            .having(SimpleExpr::from(Func::count_distinct(texts())).gte(i64::try_from(per_hour).unwrap_or(i64::MAX)))
            .into_tuple()
            .all(&self.read)
            .await?;
        // What leaves with another is sent with it.
        let alone = Condition::any()
            .add(message::Column::Bundle.is_null())
            .add(Expr::col(message::Column::Bundle).equals(message::Column::Id));
        let mut waiting = message::Entity::find().filter(may_be_sent(now)).filter(alone);
        if !sent.is_empty() {
            let capped = message::Column::Number.is_not_in(sent);
            waiting = waiting.filter(Condition::any().add(message::Column::Priority.eq(FIRST)).add(capped));
        }
        let rows = waiting
            .order_by_asc(message::Column::Priority)
            .order_by_asc(message::Column::Id)
            .limit(limit)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// Claims a message for a route of a server, with those that leave with it: from `pending` to `sending`, once.
    /// After this it may leave.
    ///
    /// # Errors
    /// If the database does not take it: then it must not leave.
    pub async fn claim_message(
        &self,
        id: MessageId,
        (node, route): (&str, &str),
        body: String,
        now: DateTime<Utc>,
    ) -> Result<Option<Message>, Error> {
        let (node, route) = (node.to_owned(), route.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let Some(row) = message::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
                let claimed = message::Entity::update_many()
                    .set(message::ActiveModel {
                        status: Set(MessageStatus::Sending.as_str().into()),
                        attempts: Set(row.attempts.saturating_add(1)),
                        route: Set(Some(route)),
                        node: Set(Some(node)),
                        claimed_at: Set(Some(now)),
                        body: Set(Some(body)),
                        ..Default::default()
                    })
                    .filter(with(id))
                    .filter(message::Column::Attempts.eq(row.attempts))
                    .filter(may_be_sent(now))
                    .exec_with_returning(tx)
                    .await?;
                claimed.into_iter().find(|row| row.id == id.0).map(read).transpose()
            })
        })
        .await
    }

    /// Claims several that were never tried, to leave as one text: as that of the first. All of them or none.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one of them does not wait any more; or if the database does not take it.
    pub async fn claim_bundle(
        &self,
        ids: Vec<MessageId>,
        (node, route): (&str, &str),
        body: String,
        now: DateTime<Utc>,
    ) -> Result<Option<Message>, Error> {
        let (node, route) = (node.to_owned(), route.to_owned());
        self.write(move |tx| {
            Box::pin(async move {
                let Some(first) = ids.first().copied() else { return Ok(None) };
                let claimed = message::Entity::update_many()
                    .set(message::ActiveModel {
                        status: Set(MessageStatus::Sending.as_str().into()),
                        attempts: Set(1),
                        route: Set(Some(route)),
                        node: Set(Some(node)),
                        claimed_at: Set(Some(now)),
                        body: Set(Some(body)),
                        bundle: Set(Some(first.0)),
                        ..Default::default()
                    })
                    .filter(message::Column::Id.is_in(ids.iter().map(|id| id.0)))
                    .filter(message::Column::Attempts.eq(0))
                    .filter(message::Column::Bundle.is_null())
                    .filter(may_be_sent(now))
                    .exec_with_returning(tx)
                    .await?;
                // What it tells must not be told by another text as well.
                if claimed.len() != ids.len() {
                    return Err(Error::Conflict);
                }
                claimed.into_iter().find(|row| row.id == first.0).map(read).transpose()
            })
        })
        .await
    }

    /// Gives up what it is too late to send. Returns how many there were.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn expire_messages(&self, now: DateTime<Utc>) -> Result<usize, Error> {
        let late = Condition::all().add(status_is(MessageStatus::Pending)).add(message::Column::ExpiresAt.lte(now));
        // Most of the time there is none: then nothing is written.
        let some = message::Entity::find().filter(late.clone()).limit(1).one(&self.read).await?;
        if some.is_none() {
            return Ok(0);
        }
        self.write(move |tx| {
            Box::pin(async move {
                end(tx, late, MessageStatus::Expired, now, |row| Fact::TextExpired { to: to(row) }).await
            })
        })
        .await
    }

    /// How many messages wait.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn messages_waiting(&self) -> Result<u64, Error> {
        use sea_orm::PaginatorTrait;
        Ok(message::Entity::find().filter(status_is(MessageStatus::Pending)).count(&self.read).await?)
    }

    /// A person gives a message up. `false` if it does not wait any more.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn cancel_message(&self, id: MessageId, by: &str, now: DateTime<Utc>) -> Result<bool, Error> {
        let by = by.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let it = Condition::all().add(message::Column::Id.eq(id.0)).add(status_is(MessageStatus::Pending));
                let fact = |row: &message::Model| Fact::TextCanceled { to: to(row), by: Some(by.clone()) };
                Ok(end(tx, it, MessageStatus::Canceled, now, fact).await? == 1)
            })
        })
        .await
    }

    /// A person wants a message sent again that was not sent, or of which nobody knows. `false` if it is one
    /// that was, or is about to be.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn send_message_again(
        &self,
        id: MessageId,
        by: &str,
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        use MessageStatus::{Canceled, Expired, Failed, Unknown};
        let by = by.to_owned();
        self.write(move |tx| {
            Box::pin(async move {
                let again = message::ActiveModel {
                    status: Set(MessageStatus::Pending.as_str().into()),
                    not_before: Set(now),
                    expires_at: Set(expires_at),
                    ended_at: Set(None),
                    failure: Set(None),
                    route: Set(None),
                    ..Default::default()
                };
                let not_sent = [Unknown, Failed, Expired, Canceled].map(MessageStatus::as_str);
                let rows = message::Entity::update_many()
                    .set(again)
                    .filter(message::Column::Id.eq(id.0))
                    .filter(message::Column::Status.is_in(not_sent))
                    .exec_with_returning(tx)
                    .await?;
                if !rows.is_empty() {
                    alone(tx, message::Column::Id.eq(id.0).into()).await?;
                    // All of it again.
                    let parts = message_segment::Entity::delete_many();
                    parts.filter(message_segment::Column::MessageId.eq(id.0)).exec(tx).await?;
                }
                let entries = rows.iter().map(|row| {
                    let fact = Fact::TextAgain { to: to(row), by: by.clone() };
                    of_message(row, now, fact)
                });
                timeline::write(tx, entries.collect()).await?;
                Ok(!rows.is_empty())
            })
        })
        .await
    }
}

/// What a row counts as that left: those of a bundle are one.
fn texts() -> SimpleExpr {
    Func::coalesce([Expr::col(message::Column::Bundle), Expr::col(message::Column::Id)]).into()
}

/// These, if they are part of a bundle, are so no more: each says again what it is about.
async fn alone(tx: &Tx, which: Condition) -> Result<(), Error> {
    let update = message::ActiveModel { bundle: Set(None), body: Set(None), ..Default::default() };
    let bundled =
        message::Entity::update_many().set(update).filter(which).filter(message::Column::Bundle.is_not_null());
    bundled.exec(tx).await?;
    Ok(())
}

fn may_be_sent(now: DateTime<Utc>) -> Condition {
    Condition::all()
        .add(status_is(MessageStatus::Pending))
        .add(message::Column::NotBefore.lte(now))
        .add(message::Column::ExpiresAt.gt(now))
}

/// Queues messages. What waits already about the same thing to the same number is not queued twice.
pub(in crate::store) async fn queue(tx: &Tx, wanted: Vec<Wanted>) -> Result<(), Error> {
    if wanted.is_empty() {
        return Ok(());
    }
    let mut about: Vec<Uuid> = wanted.iter().filter_map(|wanted| wanted.incident.map(|id| id.0)).collect();
    about.sort_unstable();
    about.dedup();
    let mut before: HashSet<Before> = HashSet::new();
    for some in about.chunks(ROWS) {
        codes::give(tx, some.to_vec()).await?;
        before.extend(queued_about(tx, some.to_vec()).await?);
    }
    let numbers = wanted.iter().map(|wanted| wanted.message.number.as_str().to_owned()).collect();
    let no_texts = opted_out::among(tx, numbers).await?;
    let (mut rows, mut entries) = (Vec::new(), Vec::new());
    for Wanted { id, incident, message: new, now } in wanted {
        let (number, kind) = (new.number.as_str().to_owned(), new.kind);
        let at = incident.map(|_| [new.at.run, new.at.round, new.at.step].map(super::number));
        let run = at.map(|[run, ..]| run);
        let like = |kind: MessageKind, status: &str| {
            let incident = incident.map(|id| id.0)?;
            Some((incident, number.clone(), run, kind.as_str().to_owned(), status.to_owned()))
        };
        let is_known = |kind, status| like(kind, status).is_some_and(|like| before.contains(&like));
        // One that waits says the same, and a call that is missed twice is told of once.
        if is_known(kind, WAITS) || kind == MessageKind::MissedCall && is_known(kind, GONE) {
            continue;
        }
        let is_first = kind == MessageKind::Page && incident.is_some() && !is_known(kind, GONE);
        before.extend(like(kind, WAITS));
        let unwanted = kind != MessageKind::Answer && no_texts.contains(&number);
        let row = row(id, incident, at, new, if is_first { FIRST } else { kind.priority() }, now);
        let queued = Fact::TextQueued { to: to(&row), number, about: kind.about().into() };
        entries.push(of_message(&row, now, queued));
        rows.push(if unwanted {
            let why = OPTED_OUT.to_owned();
            entries.push(of_message(&row, now, Fact::TextFailed { to: to(&row), why: why.clone() }));
            let status = MessageStatus::Failed.as_str().to_owned();
            message::Model { status, failure: Some(why), ended_at: Some(now), ..row }
        } else {
            row
        });
    }
    for some in rows.chunks(ROWS) {
        let some = some.iter().map(|row| message::ActiveModel::from(row.clone()));
        message::Entity::insert_many(some).exec_without_returning(tx).await?;
    }
    timeline::write(tx, entries).await
}

/// Of a message before: whether it waits still.
const WAITS: &str = "waits";
const GONE: &str = "gone";

async fn queued_about(tx: &Tx, incidents: Vec<Uuid>) -> Result<Vec<Before>, Error> {
    let rows: Vec<Before> = message::Entity::find()
        .select_only()
        .columns([
            message::Column::IncidentId,
            message::Column::Number,
            message::Column::Run,
            message::Column::Kind,
            message::Column::Status,
        ])
        .filter(message::Column::IncidentId.is_in(incidents))
        .into_tuple()
        .all(tx)
        .await?;
    let waits = |status: &str| if status == MessageStatus::Pending.as_str() { WAITS } else { GONE };
    Ok(rows
        .into_iter()
        .map(|(incident, number, run, kind, status)| (incident, number, run, kind, waits(&status).to_owned()))
        .collect())
}

fn row(
    id: MessageId,
    incident: Option<IncidentId>,
    at: Option<[i32; 3]>,
    new: NewMessage,
    priority: i32,
    now: DateTime<Utc>,
) -> message::Model {
    let (contact_id, contact_name) = new.contact.map(|(id, name)| (id.0, name)).unzip();
    message::Model {
        id: id.0,
        incident_id: incident.map(|id| id.0),
        run: at.map(|[run, ..]| run),
        contact_id,
        contact_name,
        number: new.number.as_str().to_owned(),
        kind: new.kind.as_str().into(),
        priority,
        body: new.body,
        status: MessageStatus::Pending.as_str().into(),
        attempts: 0,
        route: None,
        node: None,
        claimed_at: None,
        not_before: now,
        expires_at: new.expires_at,
        segments: None,
        failure: None,
        source: new.source,
        created_at: now,
        sent_at: None,
        ended_at: None,
        round: at.map(|[_, round, _]| round),
        step: at.map(|[.., step]| step),
        bundle: None,
    }
}

/// Gives up what waits about an incident, but for what is told when it is over.
pub(in crate::store) async fn give_up(tx: &Tx, incident: IncidentId, now: DateTime<Utc>) -> Result<(), Error> {
    let pages = [MessageKind::Page, MessageKind::MissedCall].into_iter().filter(|kind| kind.pages());
    let waiting = Condition::all()
        .add(message::Column::IncidentId.eq(incident.0))
        .add(message::Column::Kind.is_in(pages.map(MessageKind::as_str)))
        .add(status_is(MessageStatus::Pending));
    end(tx, waiting, MessageStatus::Canceled, now, |row| Fact::TextCanceled { to: to(row), by: None }).await?;
    Ok(())
}

/// Ends those that fit, and says so. Returns how many there were.
pub(super) async fn end(
    tx: &Tx,
    which: Condition,
    status: MessageStatus,
    now: DateTime<Utc>,
    fact: impl Fn(&message::Model) -> Fact,
) -> Result<usize, Error> {
    let ended =
        message::ActiveModel { status: Set(status.as_str().into()), ended_at: Set(Some(now)), ..Default::default() };
    let rows = message::Entity::update_many().set(ended).filter(which).exec_with_returning(tx).await?;
    // Those that were to leave with one of them, and still wait, leave by themselves.
    let carriers: Vec<Uuid> = rows.iter().filter(|row| row.bundle == Some(row.id)).map(|row| row.id).collect();
    if !carriers.is_empty() {
        let left = message::Column::Bundle.is_in(carriers).and(status_is(MessageStatus::Pending));
        alone(tx, left.into()).await?;
    }
    timeline::write(tx, rows.iter().map(|row| of_message(row, now, fact(row))).collect()).await?;
    Ok(rows.len())
}
