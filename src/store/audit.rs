//! The audit log: who changed what, from where, and what it was before and after.
//!
//! A line is written in the transaction of the change, so there is none without the other: everything
//! that can be edited is edited through an [`Edit`], which knows who does it. What happens to incidents
//! and calls stands in their timelines instead.
//!
//! Each line holds the digest of the one before (see [`AuditLine::digest`]): whoever alters, removes or
//! inserts one breaks the chain from there on, and whoever writes the whole chain anew ends at another
//! digest than the one that the log of the server, or an export, has seen.

use std::{fmt, net::IpAddr, ops::Deref, sync::Arc};

use chrono::{DateTime, SecondsFormat, Utc};
use entity::{
    api_key, audit, calendar, contact, contact_group, contact_group_member, contact_number, feed, heartbeat, policy,
    reminder, schedule, schedule_override, schedule_window, setting, silence, user_account, webhook,
};
use futures_util::future::BoxFuture;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Error, FeedOf, Store, routing, settings};
use crate::id::{
    CalendarId, ContactId, GroupId, HeartbeatId, KeyId, OverrideId, PolicyId, ReminderId, ScheduleId, SilenceId,
    UserId, WebhookId, WindowId,
};
use crate::store::writer::Tx;

/// Who changes something, from where, when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// What sort of actor it is.
    pub kind: ActorKind,
    /// Their name.
    pub name: String,
    /// From where.
    pub address: Option<IpAddr>,
    /// The request's identifier.
    pub request: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// A sort of actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActorKind {
    /// Somebody who has logged in.
    User,
    /// Whoever holds an API key.
    Key,
    /// Whoever runs a command on the machine.
    Command,
    /// The configuration file.
    Configuration,
}

impl ActorKind {
    /// As it is kept and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Key => "key",
            Self::Command => "command",
            Self::Configuration => "configuration",
        }
    }
}

impl Author {
    /// Whoever runs a command on the machine.
    #[must_use]
    pub fn command(name: &str, at: DateTime<Utc>) -> Self {
        Self { kind: ActorKind::Command, name: name.to_owned(), address: None, request: None, at }
    }

    /// The configuration file.
    #[must_use]
    pub fn configuration(at: DateTime<Utc>) -> Self {
        Self { kind: ActorKind::Configuration, name: "the configuration file".into(), address: None, request: None, at }
    }
}

/// A hand that edits: the store, and who it is that changes something. Made by [`Store::by`].
#[derive(Clone)]
pub struct Edit {
    store: Store,
    author: Arc<Author>,
}

impl Deref for Edit {
    type Target = Store;
    fn deref(&self) -> &Store {
        &self.store
    }
}

/// What is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Contact(ContactId),
    Group(GroupId),
    /// Many contacts at once: the line has counts instead of what they were.
    AddressBook,
    Schedule(ScheduleId),
    Override(OverrideId),
    /// Those of one schedule that were imported from a calendar.
    Overrides(ScheduleId),
    Window(WindowId),
    /// Many windows at once, likewise with counts.
    Windows,
    Calendar(CalendarId),
    Policy(PolicyId),
    RoutingRules,
    Silence(SilenceId),
    Heartbeat(HeartbeatId),
    Reminder(ReminderId),
    Feed(FeedOf),
    KillSwitch,
    Webhook(WebhookId),
    User(UserId),
    Key(KeyId),
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditLine {
    /// Its number, from 1 without a gap.
    pub seq: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// What sort of actor it was.
    pub actor_kind: String,
    /// Who.
    pub actor: String,
    /// From where.
    pub address: Option<String>,
    /// The request's identifier.
    pub request: Option<String>,
    /// `created`, `changed`, `deleted` or `imported`.
    pub action: String,
    /// The kind of thing.
    pub subject_kind: String,
    /// Which one.
    pub subject: Option<String>,
    /// What it was, in JSON.
    pub before: Option<String>,
    /// What it is, in JSON.
    pub after: Option<String>,
    /// The digest of the line before; empty for the first.
    pub previous: String,
    /// This line's own.
    pub hash: String,
}

/// Which lines are asked for.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Of this actor.
    pub actor: Option<String>,
    /// About this kind of thing.
    pub subject_kind: Option<String>,
    /// About this one.
    pub subject: Option<String>,
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

/// What became of a look at the whole chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// Every line is as it was written: how many there are, and the digest at the end.
    Whole { lines: i64, head: String },
    /// The first line that does not fit.
    Broken { seq: i64, why: &'static str },
}

impl AuditLine {
    /// SHA-256, in hexadecimal, of the JSON array of all other fields in their order, without spaces;
    /// the instant in RFC 3339, UTC, with six digits of a second.
    #[must_use]
    pub fn digest(&self) -> String {
        let fields = json!([
            self.previous,
            self.seq,
            self.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            self.actor_kind,
            self.actor,
            self.address,
            self.request,
            self.action,
            self.subject_kind,
            self.subject,
            self.before,
            self.after,
        ]);
        hex::encode(Sha256::digest(fields.to_string()))
    }
}

impl Subject {
    /// The kind of thing, as it is kept and shown.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Contact(_) => "contact",
            Self::Group(_) => "group",
            Self::AddressBook => "address_book",
            Self::Schedule(_) => "schedule",
            Self::Override(_) => "override",
            Self::Overrides(_) => "overrides",
            Self::Window(_) => "window",
            Self::Windows => "windows",
            Self::Calendar(_) => "calendar",
            Self::Policy(_) => "policy",
            Self::RoutingRules => "routing_rules",
            Self::Silence(_) => "silence",
            Self::Heartbeat(_) => "heartbeat",
            Self::Reminder(_) => "reminder",
            Self::Feed(_) => "feed",
            Self::KillSwitch => "kill_switch",
            Self::Webhook(_) => "webhook",
            Self::User(_) => "user",
            Self::Key(_) => "key",
        }
    }

    fn id(self) -> Option<String> {
        Some(match self {
            Self::Contact(id) => id.to_string(),
            Self::Group(id) => id.to_string(),
            Self::Schedule(id) | Self::Overrides(id) => id.to_string(),
            Self::Override(id) => id.to_string(),
            Self::Window(id) => id.to_string(),
            Self::Calendar(id) => id.to_string(),
            Self::Policy(id) => id.to_string(),
            Self::Silence(id) => id.to_string(),
            Self::Heartbeat(id) => id.to_string(),
            Self::Reminder(id) => id.to_string(),
            Self::Feed(FeedOf::Schedule(id)) => id.to_string(),
            Self::Feed(FeedOf::Contact(id)) => id.to_string(),
            Self::Webhook(id) => id.to_string(),
            Self::User(id) => id.to_string(),
            Self::Key(id) => id.to_string(),
            Self::AddressBook | Self::Windows | Self::RoutingRules | Self::KillSwitch => return None,
        })
    }

    /// It as it stands, without what the server writes there by itself, and without secrets.
    async fn read(self, tx: &Tx) -> Result<Option<Value>, Error> {
        match self {
            Self::Contact(id) => {
                let Some(row) = contact::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
                let numbers = contact_number::Entity::find()
                    .filter(contact_number::Column::ContactId.eq(id.0))
                    .order_by_asc(contact_number::Column::Position)
                    .all(tx)
                    .await?;
                let mut value = shown(&row, &["sort_name"], &["pin_hash"])?;
                value["numbers"] = several(&numbers, &["contact_id", "position"])?;
                Ok(Some(value))
            }
            Self::Group(id) => {
                let Some(row) = contact_group::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
                let members = contact_group_member::Entity::find()
                    .filter(contact_group_member::Column::GroupId.eq(id.0))
                    .order_by_asc(contact_group_member::Column::Position)
                    .all(tx)
                    .await?;
                let mut value = shown(&row, &[], &[])?;
                value["members"] = members.iter().map(|member| json!(member.contact_id)).collect();
                Ok(Some(value))
            }
            Self::Schedule(id) => {
                one(schedule::Entity::find_by_id(id.0).one(tx).await?, &["on_duty", "next_look_at", "revision"], &[])
            }
            Self::Override(id) => one(schedule_override::Entity::find_by_id(id.0).one(tx).await?, &[], &[]),
            Self::Overrides(id) => {
                let rows = schedule_override::Entity::find()
                    .filter(schedule_override::Column::ScheduleId.eq(id.0))
                    .filter(schedule_override::Column::Uid.is_not_null())
                    .order_by_asc(schedule_override::Column::Id)
                    .all(tx)
                    .await?;
                Ok(Some(several(&rows, &["schedule_id", "made_at"])?))
            }
            Self::Window(id) => one(schedule_window::Entity::find_by_id(id.0).one(tx).await?, &[], &[]),
            Self::Calendar(id) => one(calendar::Entity::find_by_id(id.0).one(tx).await?, &[], &[]),
            Self::Policy(id) => one(policy::Entity::find_by_id(id.0).one(tx).await?, &["turns"], &[]),
            Self::Silence(id) => one(silence::Entity::find_by_id(id.0).one(tx).await?, &["begins_at"], &[]),
            Self::Heartbeat(id) => one(heartbeat::Entity::find_by_id(id.0).one(tx).await?, &["beat_at", "due_at"], &[]),
            Self::Reminder(id) => one(reminder::Entity::find_by_id(id.0).one(tx).await?, &["next_at"], &[]),
            Self::RoutingRules => set(tx, routing::ROUTING_RULES).await,
            Self::KillSwitch => set(tx, settings::KILL_SWITCH).await,
            Self::Feed(of) => {
                let row = feed::Entity::find().filter(super::feeds::belongs(of)).one(tx).await?;
                one(row, &["id"], &["token_sha256"])
            }
            Self::Webhook(id) => {
                let mut row = one(webhook::Entity::find_by_id(id.0).one(tx).await?, &["position"], &["secret"])?;
                // What stands behind the question mark is a secret, most likely.
                if let Some(Value::String(url)) = row.as_mut().map(|row| &mut row["url"])
                    && let Some((address, query)) = url.split_once('?')
                {
                    *url = format!("{address}?(secret {})", &hex::encode(Sha256::digest(query))[..8]);
                }
                Ok(row)
            }
            Self::User(id) => one(user_account::Entity::find_by_id(id.0).one(tx).await?, &[], &["password_hash"]),
            Self::Key(id) => one(api_key::Entity::find_by_id(id.0).one(tx).await?, &["used_at"], &["sha256"]),
            Self::AddressBook | Self::Windows => Ok(None),
        }
    }
}

async fn set(tx: &Tx, key: &str) -> Result<Option<Value>, Error> {
    Ok(setting::Entity::find_by_id(key).one(tx).await?.map(|row| row.value))
}

fn one<M: Serialize>(row: Option<M>, without: &[&str], secret: &[&str]) -> Result<Option<Value>, Error> {
    row.map(|row| shown(&row, without, secret)).transpose()
}

fn several<M: Serialize>(rows: &[M], without: &[&str]) -> Result<Value, Error> {
    rows.iter().map(|row| shown(row, without, &[])).collect()
}

/// A row, without some columns; of a secret one a few digits of a digest, so that a change of it shows.
fn shown<M: Serialize>(row: &M, without: &[&str], secret: &[&str]) -> Result<Value, Error> {
    let mut value = serde_json::to_value(row)?;
    if let Some(columns) = value.as_object_mut() {
        columns.retain(|column, _| !without.contains(&column.as_str()));
        for column in secret {
            if let Some(Value::String(kept)) = columns.get_mut(*column) {
                *kept = format!("(secret {})", &hex::encode(Sha256::digest(kept.as_bytes()))[..8]);
            }
        }
    }
    Ok(value)
}

impl Store {
    /// The hand of `author`.
    #[must_use]
    pub fn by(&self, author: Author) -> Edit {
        Edit { store: self.clone(), author: Arc::new(author) }
    }

    /// A page of the audit log, the latest line first; `before` is where the last page ended.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn audit(&self, filter: AuditFilter, before: Option<i64>, limit: u64) -> Result<Vec<AuditLine>, Error> {
        let mut query = audit::Entity::find();
        if let Some(actor) = filter.actor {
            query = query.filter(audit::Column::Actor.eq(actor));
        }
        if let Some(kind) = filter.subject_kind {
            query = query.filter(audit::Column::SubjectKind.eq(kind));
        }
        if let Some(subject) = filter.subject {
            query = query.filter(audit::Column::SubjectId.eq(subject));
        }
        if let Some(from) = filter.from {
            query = query.filter(audit::Column::At.gte(from));
        }
        if let Some(until) = filter.until {
            query = query.filter(audit::Column::At.lt(until));
        }
        if let Some(before) = before {
            query = query.filter(audit::Column::Seq.lt(before));
        }
        let rows = query.order_by_desc(audit::Column::Seq).limit(limit).all(&self.read).await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// Lines of the audit log in their order, after `after`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn audit_after(&self, after: i64, limit: u64) -> Result<Vec<AuditLine>, Error> {
        let rows = audit::Entity::find()
            .filter(audit::Column::Seq.gt(after))
            .order_by_asc(audit::Column::Seq)
            .limit(limit)
            .all(&self.read)
            .await?;
        Ok(rows.into_iter().map(read).collect())
    }

    /// Looks at the whole chain.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn check_audit(&self) -> Result<Chain, Error> {
        // What is appended meanwhile is not looked at.
        let (lines, head) = self.audit_head().await?;
        let (mut seq, mut previous) = (0, String::new());
        while seq < lines {
            let some = self.audit_after(seq, 1000).await?;
            if some.is_empty() {
                return Ok(Chain::Broken { seq: seq + 1, why: "it is missing" });
            }
            for line in some.into_iter().take_while(|line| line.seq <= lines) {
                if line.seq != seq + 1 {
                    return Ok(Chain::Broken { seq: seq + 1, why: "it is missing" });
                }
                if line.previous != previous {
                    return Ok(Chain::Broken { seq: line.seq, why: "it does not follow the line before" });
                }
                if line.digest() != line.hash {
                    return Ok(Chain::Broken { seq: line.seq, why: "it is not as it was written" });
                }
                (seq, previous) = (line.seq, line.hash);
            }
        }
        if previous == head {
            Ok(Chain::Whole { lines, head })
        } else {
            Ok(Chain::Broken { seq: lines, why: "it is not the line that was written last" })
        }
    }

    /// How many lines the audit log has: as long as it is no longer, nobody has edited anything.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn audited(&self) -> Result<i64, Error> {
        self.audit_head().await.map(|(lines, _)| lines)
    }

    async fn audit_head(&self) -> Result<(i64, String), Error> {
        head(&self.read).await
    }
}

impl Edit {
    /// Changes `subject`, and writes down what it was and what it became, if that is not the same.
    pub(super) async fn change<T, F>(&self, subject: Subject, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let author = Arc::clone(&self.author);
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let before = subject.read(tx).await?;
                    let value = work(tx).await?;
                    let after = subject.read(tx).await?;
                    if before != after {
                        append(tx, &author, subject, before, after).await?;
                    }
                    Ok(value)
                })
            })
            .await
    }

    /// Who edits.
    pub(super) fn author(&self) -> Arc<Author> {
        Arc::clone(&self.author)
    }
}

/// Writes a line, as part of the change that it is about: without the one there is not the other.
pub(super) async fn append(
    tx: &Tx,
    author: &Author,
    subject: Subject,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), Error> {
    let written = write(tx, author, subject, before, after).await;
    if let Err(error) = &written {
        metrics::counter!("ringdown_audit_failures_total").increment(1);
        tracing::error!(%error, "a change could not be written to the audit log, and was not made");
    }
    written
}

async fn write(
    tx: &Tx,
    author: &Author,
    subject: Subject,
    before: Option<Value>,
    after: Option<Value>,
) -> Result<(), Error> {
    let action = match (&subject, &before, &after) {
        (Subject::AddressBook | Subject::Windows | Subject::Overrides(_), ..) => "imported",
        (_, None, _) => "created",
        (_, Some(_), None) => "deleted",
        (_, Some(_), Some(_)) => "changed",
    };
    // First of all the lock: of two servers that append at once the second waits here.
    let lock = Query::update()
        .table("audit_head")
        .value("seq", Expr::col("seq").add(1))
        .and_where(Expr::col("id").eq(1))
        .to_owned();
    tx.execute(&lock).await?;
    let (seq, previous) = head(tx).await?;
    let mut line = AuditLine {
        seq,
        at: author.at,
        actor_kind: author.kind.name().to_owned(),
        actor: author.name.clone(),
        address: author.address.map(|address| address.to_string()),
        request: author.request.clone(),
        action: action.to_owned(),
        subject_kind: subject.kind().to_owned(),
        subject: subject.id(),
        before: before.map(|value| value.to_string()),
        after: after.map(|value| value.to_string()),
        previous,
        hash: String::new(),
    };
    line.hash = line.digest();
    let end = Query::update()
        .table("audit_head")
        .value("hash", line.hash.clone())
        .and_where(Expr::col("id").eq(1))
        .to_owned();
    tx.execute(&end).await?;
    audit::Entity::insert(row(line)).exec_without_returning(tx).await?;
    Ok(())
}

async fn head(database: &impl ConnectionTrait) -> Result<(i64, String), Error> {
    let query = Query::select().column("seq").column("hash").from("audit_head").to_owned();
    let row =
        database.query_one(&query).await?.ok_or_else(|| Error::Unavailable("the audit log has no head".into()))?;
    Ok((row.try_get("", "seq")?, row.try_get("", "hash")?))
}

fn row(line: AuditLine) -> audit::ActiveModel {
    audit::ActiveModel {
        seq: Set(line.seq),
        at: Set(line.at),
        actor_kind: Set(line.actor_kind),
        actor: Set(line.actor),
        address: Set(line.address),
        request_id: Set(line.request),
        action: Set(line.action),
        subject_kind: Set(line.subject_kind),
        subject_id: Set(line.subject),
        before: Set(line.before),
        after: Set(line.after),
        previous: Set(line.previous),
        hash: Set(line.hash),
    }
}

fn read(row: audit::Model) -> AuditLine {
    AuditLine {
        seq: row.seq,
        at: row.at,
        actor_kind: row.actor_kind,
        actor: row.actor,
        address: row.address,
        request: row.request_id,
        action: row.action,
        subject_kind: row.subject_kind,
        subject: row.subject_id,
        before: row.before,
        after: row.after,
        previous: row.previous,
        hash: row.hash,
    }
}

impl fmt::Display for AuditLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seq, at, actor, action, subject_kind, .. } = self;
        write!(f, "{seq} {} {actor} {action} {subject_kind}", at.format("%F %T"))?;
        self.subject.iter().try_for_each(|subject| write!(f, " {subject}"))
    }
}
