//! A call that nobody answered: whoever it was for gets a text, where the step says so.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{call, call_incident};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::queue::escalates;
use crate::{
    escalation::Stage,
    id::{ContactId, IncidentId, MessageId},
    phone::PhoneNumber,
    store::{
        Error, MessageKind, NewMessage, contacts,
        messages::queue::{self, Wanted},
        writer::Tx,
    },
};

fn stage(row: &call_incident::Model) -> Stage {
    let natural = |value: i32| u32::try_from(value).unwrap_or(0);
    Stage { run: natural(row.run), round: natural(row.round), step: natural(row.step) }
}

/// Queues the texts about what `call` carried and still escalates.
pub(super) async fn text(tx: &Tx, call: &call::Model, now: DateTime<Utc>) -> Result<(), Error> {
    let carried = call_incident::Entity::find()
        .filter(call_incident::Column::CallId.eq(call.id))
        .filter(call_incident::Column::TextIfMissed.is_not_null())
        .filter(escalates())
        .order_by_asc(call_incident::Column::Ordinal)
        .all(tx)
        .await?;
    if carried.is_empty() {
        return Ok(());
    }
    let number = match call.contact_id {
        Some(id) => contacts::text_number(tx, ContactId(id)).await?,
        None => PhoneNumber::try_from(call.number.clone()).ok().filter(|number| !number.is_extension()),
    };
    let Some(number) = number else { return Ok(()) };
    let wanted = carried.into_iter().map(|row| {
        let message = NewMessage {
            contact: call.contact_id.map(ContactId).zip(call.contact_name.clone()),
            number: number.clone(),
            kind: MessageKind::MissedCall,
            at: stage(&row),
            body: None,
            source: None,
            expires_at: now + TimeDelta::seconds(row.text_if_missed.unwrap_or(0).into()),
        };
        Wanted { id: MessageId::generate(), incident: Some(IncidentId(row.incident_id)), message, now }
    });
    queue::queue(tx, wanted.collect()).await
}
