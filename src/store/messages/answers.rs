//! What is done about a text that came in: decided and claimed in one, carried out once, answered with the end of it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use entity::{inbound_effect, inbound_message, incident, message};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, sea_query::ExprTrait,
    sea_query::Query,
};
use serde_json::Value;
use uuid::Uuid;

use super::{MessageKind, NewMessage, queue};
use crate::{
    escalation::Stage,
    id::{ContactId, InboundId, IncidentId, MessageId},
    store::{Error, Store, writer::Tx},
};

/// Texts about incidents that are looked through for whom somebody was told of.
const LOOKED_THROUGH: u64 = 5000;

/// An incident, and the run, round and step of a text about it.
type ToldAt = (Uuid, Option<i32>, Option<i32>, Option<i32>);

/// A server that wants to act on a text.
#[derive(Clone, Debug)]
pub struct Claim {
    /// Its name.
    pub node: String,
    /// What is to be done, unless that was decided before.
    pub plan: Value,
    /// Whoever has claimed it before this and not finished is gone.
    pub stale: DateTime<Utc>,
}

/// An open incident of which somebody was told by text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Which one.
    pub incident: IncidentId,
    /// What it is called in texts.
    pub code: u32,
    /// Whether somebody has it.
    pub is_acknowledged: bool,
    /// Where it stood when they were told of it last.
    pub at: Stage,
}

impl Store {
    /// Claims a text for a server, and returns what is to be done about it: what was decided first, whoever did.
    /// `None` if it is done, or another server is about it.
    ///
    /// # Errors
    /// If the database does not take it: then nothing must be done.
    pub async fn claim_text(&self, id: InboundId, claim: Claim, now: DateTime<Utc>) -> Result<Option<Value>, Error> {
        use inbound_message::Column;
        self.write(move |tx| {
            Box::pin(async move {
                let Some(row) = inbound_message::Entity::find_by_id(id.0).one(tx).await? else { return Ok(None) };
                let is_ours = row.claimed_by.as_ref().is_none_or(|node| *node == claim.node);
                let is_free = is_ours || row.claimed_at.is_none_or(|at| at < claim.stale);
                if row.handled_at.is_some() || !is_free {
                    return Ok(None);
                }
                let plan = row.plan.unwrap_or(claim.plan);
                let update = inbound_message::ActiveModel {
                    claimed_by: Set(Some(claim.node)),
                    claimed_at: Set(Some(now)),
                    plan: Set(Some(plan.clone())),
                    ..Default::default()
                };
                let as_read = match row.claimed_at {
                    None => Column::ClaimedAt.is_null(),
                    Some(at) => Column::ClaimedAt.eq(at),
                };
                let claimed = inbound_message::Entity::update_many()
                    .set(update)
                    .filter(Column::Id.eq(id.0))
                    .filter(Column::HandledAt.is_null())
                    .filter(as_read)
                    .exec(tx)
                    .await?;
                Ok((claimed.rows_affected == 1).then_some(plan))
            })
        })
        .await
    }

    /// Everything is done about a text, and `answer` tells its sender. `false` if somebody else has done it: then
    /// they are told by that.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn text_handled(
        &self,
        id: InboundId,
        outcome: String,
        answer: Option<NewMessage>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let update = inbound_message::ActiveModel {
            handled_at: Set(Some(now)),
            outcome: Set(Some(outcome)),
            ..Default::default()
        };
        self.write(move |tx| {
            Box::pin(async move {
                let handled = inbound_message::Entity::update_many()
                    .set(update)
                    .filter(inbound_message::Column::Id.eq(id.0))
                    .filter(inbound_message::Column::HandledAt.is_null())
                    .exec(tx)
                    .await?;
                if handled.rows_affected != 1 {
                    return Ok(false);
                }
                let answer = answer.map(|message| {
                    let id = MessageId::generate();
                    queue::Wanted { id, incident: None, message, now }
                });
                queue::queue(tx, answer.into_iter().collect()).await?;
                Ok(true)
            })
        })
        .await
    }

    /// The incidents on which a text has had its effect.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn effects_of(&self, text: InboundId) -> Result<Vec<IncidentId>, Error> {
        let ids: Vec<Uuid> = inbound_effect::Entity::find()
            .select_only()
            .column(inbound_effect::Column::IncidentId)
            .filter(inbound_effect::Column::MessageId.eq(text.0))
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(ids.into_iter().map(IncidentId).collect())
    }

    /// The open incidents of which a contact, or this number, was told by text, in the order of their codes.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn told_of(&self, contact: ContactId, number: &str) -> Result<Vec<Told>, Error> {
        use message::Column;
        let open = Query::select()
            .column(incident::Column::Id)
            .from(incident::Entity)
            .and_where(incident::Column::OpenKey.is_not_null())
            .and_where(incident::Column::Code.is_not_null())
            .to_owned();
        let told: Vec<ToldAt> = message::Entity::find()
            .select_only()
            .columns([Column::IncidentId, Column::Run, Column::Round, Column::Step])
            .filter(Condition::any().add(Column::ContactId.eq(contact.0)).add(Column::Number.eq(number)))
            .filter(Column::Kind.is_in([MessageKind::Page, MessageKind::MissedCall].map(MessageKind::as_str)))
            // What has not left has told nobody.
            .filter(Column::Attempts.gt(0))
            .filter(Column::IncidentId.in_subquery(open))
            .order_by_desc(Column::Id)
            .limit(LOOKED_THROUGH)
            .into_tuple()
            .all(&self.read)
            .await?;
        let mut last = BTreeMap::new();
        for (id, run, round, step) in told {
            let natural = |value: Option<i32>| value.and_then(|value| value.try_into().ok()).unwrap_or(0);
            last.entry(id).or_insert(Stage { run: natural(run), round: natural(round), step: natural(step) });
        }
        let incidents: Vec<(Uuid, Option<i32>, String)> = incident::Entity::find()
            .select_only()
            .columns([incident::Column::Id, incident::Column::Code, incident::Column::State])
            .filter(incident::Column::Id.is_in(last.keys().copied()))
            .filter(incident::Column::OpenKey.is_not_null())
            .order_by_asc(incident::Column::Code)
            .into_tuple()
            .all(&self.read)
            .await?;
        let told = incidents.into_iter().filter_map(|(id, code, state)| {
            Some(Told {
                incident: IncidentId(id),
                code: code?.try_into().ok()?,
                is_acknowledged: state == "acknowledged",
                at: *last.get(&id)?,
            })
        });
        Ok(told.collect())
    }

    /// When this number was answered since.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn answered_since(&self, number: &str, since: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, Error> {
        let answers = message::Entity::find()
            .select_only()
            .column(message::Column::CreatedAt)
            .filter(message::Column::Number.eq(number))
            .filter(message::Column::Kind.eq(MessageKind::Answer.as_str()))
            .filter(message::Column::CreatedAt.gt(since));
        Ok(answers.into_tuple().all(&self.read).await?)
    }

    /// Whether anything was ever sent to this number, as far as is known.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn has_texted(&self, number: &str) -> Result<bool, Error> {
        let sent = message::Column::Number.eq(number).and(message::Column::Attempts.gt(0));
        Ok(message::Entity::find().filter(sent).limit(1).one(&self.read).await?.is_some())
    }
}

/// A text has its effect on an incident, for the first time.
pub(in crate::store) async fn counted(
    tx: &Tx,
    text: InboundId,
    incident: IncidentId,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let row = inbound_effect::ActiveModel { message_id: Set(text.0), incident_id: Set(incident.0), at: Set(now) };
    // A second time it is a conflict, and nothing of what came with it remains.
    inbound_effect::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
