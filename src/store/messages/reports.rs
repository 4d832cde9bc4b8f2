//! Status reports: which part of which message each is about, and what that makes of the message.
//!
//! A report names a reference, which a modem uses again after 256 texts, and the recipient; it may come before
//! the text is stored as sent, twice, or about somebody else's text.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{message, message_report, message_segment};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use super::{MessageStatus, Segment, number, of_message, queue::end, status_is, to, with};
use crate::{
    id::MessageId,
    store::{Error, Fact, Store, timeline, writer::Tx},
};

/// A service centre gives up after some days.
const KNOWN: TimeDelta = TimeDelta::days(7);
/// A report comes so long before its text is stored, at most.
const EARLY: TimeDelta = TimeDelta::minutes(10);
/// Parts that may be meant, the latest first: a reference is used again after 256.
const CANDIDATES: u64 = 16;
/// Digits that two spellings of a number have in common.
const DIGITS: usize = 7;

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It has arrived.
    Delivered,
    /// Another report may come.
    Trying,
    /// It will not arrive.
    Failed,
}

impl Fate {
    fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Trying => "trying",
            Self::Failed => "failed",
        }
    }

    fn of(name: &str) -> Self {
        match name {
            "delivered" => Self::Delivered,
            "failed" => Self::Failed,
            _ => Self::Trying,
        }
    }
}

/// A status report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The route that it came by.
    pub route: String,
    /// What it calls the part.
    pub reference: u8,
    /// To whom the part went, as the network writes it.
    pub number: Option<String>,
    /// What became of it.
    pub fate: Fate,
    /// The same in words.
    pub words: String,
}

impl Store {
    /// Takes a status report in. Returns whether it is about a message of ours that is known already; else it
    /// is kept, since that may come.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn status_report(&self, report: Report, now: DateTime<Utc>) -> Result<bool, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let candidates = message_segment::Entity::find()
                    .filter(message_segment::Column::Route.eq(&report.route))
                    .filter(message_segment::Column::Reference.eq(i32::from(report.reference)))
                    .filter(message_segment::Column::SentAt.gt(now - KNOWN))
                    .order_by_desc(message_segment::Column::SentAt)
                    .limit(CANDIDATES)
                    .all(tx)
                    .await?;
                let meant = |segment: &&message_segment::Model| {
                    let fits = report.number.as_deref().is_none_or(|number| same_number(number, &segment.number));
                    fits && segment.status == MessageStatus::Sent.as_str()
                };
                let again = |segment: &&message_segment::Model| {
                    let fits = report.number.as_deref().is_some_and(|number| same_number(number, &segment.number));
                    fits && segment.report.as_deref() == Some(&report.words)
                };
                match candidates.iter().find(meant) {
                    Some(segment) => apply(tx, segment, report.fate, &report.words, now).await.map(|()| true),
                    // It came twice.
                    None if candidates.iter().any(|segment| again(&segment)) => Ok(true),
                    None => keep(tx, report, now).await.map(|()| false),
                }
            })
        })
        .await
    }

    /// Forgets reports about nothing of ours that came before.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn forget_reports(&self, before: DateTime<Utc>) -> Result<u64, Error> {
        let old = message_report::Entity::delete_many().filter(message_report::Column::ReceivedAt.lt(before));
        self.write(move |tx| Box::pin(async move { Ok(old.exec(tx).await?.rows_affected) })).await
    }
}

/// Applies the report that came before its part was stored, if there is one.
pub(super) async fn apply_early(
    tx: &Tx,
    id: MessageId,
    route: &str,
    segment: Segment,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let early = message_report::Entity::find()
        .filter(message_report::Column::Route.eq(route))
        .filter(message_report::Column::Reference.eq(i32::from(segment.reference)))
        .filter(message_report::Column::ReceivedAt.gt(now - EARLY))
        .order_by_asc(message_report::Column::ReceivedAt)
        .all(tx)
        .await?;
    let key = (id.0, route.to_owned(), number(segment.ordinal));
    let Some(row) = message_segment::Entity::find_by_id(key).one(tx).await? else { return Ok(()) };
    for report in early {
        if report.number.as_deref().is_none_or(|number| same_number(number, &row.number)) {
            message_report::Entity::delete_by_id(report.id).exec(tx).await?;
            apply(tx, &row, Fate::of(&report.fate), &report.report, now).await?;
        }
    }
    settle(tx, row.message_id, route, now).await
}

async fn keep(tx: &Tx, report: Report, now: DateTime<Utc>) -> Result<(), Error> {
    let row = message_report::ActiveModel {
        id: Set(crate::id::EventId::generate().0),
        route: Set(report.route),
        reference: Set(report.reference.into()),
        number: Set(report.number),
        fate: Set(report.fate.as_str().into()),
        report: Set(report.words),
        received_at: Set(now),
    };
    message_report::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

pub(super) async fn apply(
    tx: &Tx,
    segment: &message_segment::Model,
    fate: Fate,
    words: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let status = match fate {
        Fate::Delivered => MessageStatus::Delivered,
        Fate::Trying => MessageStatus::Sent,
        Fate::Failed => MessageStatus::Failed,
    };
    message_segment::Entity::update_many()
        .set(message_segment::ActiveModel {
            status: Set(status.as_str().into()),
            report: Set(Some(words.to_owned())),
            reported_at: Set(Some(now)),
            ..Default::default()
        })
        .filter(message_segment::Column::MessageId.eq(segment.message_id))
        .filter(message_segment::Column::Route.eq(&segment.route))
        .filter(message_segment::Column::Ordinal.eq(segment.ordinal))
        .exec(tx)
        .await?;
    settle(tx, segment.message_id, &segment.route, now).await
}

/// What its parts make of a message that was sent: delivered with the last of them, failed with the first.
pub(super) async fn settle(tx: &Tx, id: Uuid, route: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let parts = message_segment::Entity::find()
        .filter(message_segment::Column::MessageId.eq(id))
        .filter(message_segment::Column::Route.eq(route))
        .all(tx)
        .await?;
    let are = |status: MessageStatus| parts.iter().filter(move |part| part.status == status.as_str());
    let sent = Condition::all()
        .add(with(MessageId(id)))
        .add(message::Column::Route.eq(route))
        .add(status_is(MessageStatus::Sent));
    if let Some(failed) = are(MessageStatus::Failed).next() {
        let why = format!("it did not arrive: {}", failed.report.as_deref().unwrap_or("nobody says why"));
        let update = message::ActiveModel {
            status: Set(MessageStatus::Failed.as_str().into()),
            failure: Set(Some(why.clone())),
            ended_at: Set(Some(now)),
            ..Default::default()
        };
        let rows = message::Entity::update_many().set(update).filter(sent).exec_with_returning(tx).await?;
        let fact = |row| Fact::TextFailed { to: to(row), why: why.clone() };
        return timeline::write(tx, rows.iter().map(|row| of_message(row, now, fact(row))).collect()).await;
    }
    let delivered = i32::try_from(are(MessageStatus::Delivered).count()).unwrap_or(i32::MAX);
    // Whoever sends it for us tells of all of it at once.
    let told_at_once = are(MessageStatus::Delivered).any(|part| part.sid.is_some());
    let delivered = if told_at_once { i32::MAX } else { delivered };
    let all = sent.add(message::Column::Segments.lte(delivered));
    end(tx, all, MessageStatus::Delivered, now, |row| Fact::TextDelivered { to: to(row) }).await?;
    Ok(())
}

/// Whether two spellings are the same number: with or without its country, with or without a plus.
fn same_number(one: &str, other: &str) -> bool {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let (one, other) = (digits(one), digits(other));
    let (one, other) = (one.trim_start_matches('0'), other.trim_start_matches('0'));
    let (short, long) = if one.len() < other.len() { (one, other) } else { (other, one) };
    short == long || (short.len() >= DIGITS && long.ends_with(short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_however_the_network_writes_it() {
        for other in ["+393331234567", "393331234567", "00393331234567", "3331234567", "03331234567"] {
            assert!(same_number("+393331234567", other) && same_number(other, "+393331234567"), "{other}");
        }
        for other in ["+393331234568", "34567", "", "+3933312345670"] {
            assert!(!same_number("+393331234567", other), "{other}");
        }
    }
}
