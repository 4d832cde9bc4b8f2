//! Incidents and their members as rows.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use entity::{incident, incident_member};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::OnConflict};
use uuid::Uuid;

use super::{Change, Content, Incident, Member, NewIncident, ROWS, is_open, state_name, turn_number};
use crate::{
    escalation,
    id::{IncidentId, PolicyId},
    store::{Error, reader::Reader, writer::Tx},
};

/// Each of these incidents; nothing for those that there are not.
pub(in crate::store) async fn read_each(
    database: Reader,
    ids: Vec<IncidentId>,
) -> Result<Vec<Option<Incident>>, Error> {
    let rows = incident::Entity::find().filter(incident::Column::Id.is_in(ids.iter().map(|id| id.0)));
    let found = with_members(&database, rows.all(&database).await?).await?;
    let found: HashMap<IncidentId, Incident> = found.into_iter().map(|incident| (incident.id, incident)).collect();
    // Two may have asked for the same one.
    Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
}

pub(super) async fn with_members(database: &Reader, rows: Vec<incident::Model>) -> Result<Vec<Incident>, Error> {
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let mut members: HashMap<Uuid, Vec<incident_member::Model>> = HashMap::new();
    let of_these = incident_member::Column::IncidentId.is_in(rows.iter().map(|row| row.id));
    let in_order = incident_member::Entity::find().filter(of_these).order_by_asc(incident_member::Column::Fingerprint);
    for member in in_order.all(database).await? {
        members.entry(member.incident_id).or_default().push(member);
    }
    let whole = |row: incident::Model| {
        let members = members.remove(&row.id).unwrap_or_default();
        read(row, members)
    };
    rows.into_iter().map(whole).collect()
}

pub(super) fn new_row(new: NewIncident, change: &Change) -> Result<incident::ActiveModel, Error> {
    let content = change.content.clone().unwrap_or_default();
    Ok(incident::ActiveModel {
        id: Set(new.id.0),
        dedup_key: Set(new.dedup_key.clone()),
        open_key: Set(is_open(&change.state).then_some(new.dedup_key)),
        policy_name: Set(new.policy_name),
        policy: Set(new.policy.map(|policy| serde_json::to_value(&policy)).transpose()?),
        source: Set(new.source),
        summary: Set(content.summary),
        details: Set(content.details),
        severity: Set(content.severity),
        labels: Set(serde_json::to_value(&content.labels)?),
        truncated: Set(content.truncated.try_into().unwrap_or(i32::MAX)),
        state: Set(state_name(&change.state).into()),
        state_document: Set(serde_json::to_value(&change.state)?),
        due_at: Set(escalation::due_at(&change.state)),
        version: Set(1),
        raised_at: Set(change.now),
        updated_at: Set(change.now),
        policy_id: Set(new.policy_id.map(|(id, _)| id.0)),
        policy_version: Set(new.policy_id.map(|(_, version)| version)),
        turn: Set(turn_number(new.turn)),
        hushable: Set(new.hushable),
        traceparent: Set(new.traceparent),
        code: Set(None),
    })
}

pub(super) async fn write_members(tx: &Tx, members: Vec<(IncidentId, Member, DateTime<Utc>)>) -> Result<(), Error> {
    // Each once, the last one counts: PostgreSQL refuses a statement that writes a row twice.
    let members: BTreeMap<(Uuid, String), (Member, DateTime<Utc>)> = members
        .into_iter()
        .map(|(incident, member, now)| ((incident.0, member.fingerprint.clone()), (member, now)))
        .collect();
    let mut rows = Vec::with_capacity(members.len());
    for ((incident, _), (member, now)) in members {
        rows.push(incident_member::ActiveModel {
            incident_id: Set(incident),
            fingerprint: Set(member.fingerprint),
            summary: Set(member.summary),
            severity: Set(member.severity),
            firing: Set(member.firing),
            labels: Set(serde_json::to_value(&member.labels)?),
            updated_at: Set(now),
        });
    }
    let update = OnConflict::columns([incident_member::Column::IncidentId, incident_member::Column::Fingerprint])
        .update_columns([
            incident_member::Column::Summary,
            incident_member::Column::Severity,
            incident_member::Column::Firing,
            incident_member::Column::Labels,
            incident_member::Column::UpdatedAt,
        ])
        .to_owned();
    for chunk in rows.chunks(ROWS) {
        incident_member::Entity::insert_many(chunk.to_vec())
            .on_conflict(update.clone())
            .exec_without_returning(tx)
            .await?;
    }
    Ok(())
}

pub(in crate::store) fn read(row: incident::Model, members: Vec<incident_member::Model>) -> Result<Incident, Error> {
    let members = members
        .into_iter()
        .map(|row| {
            Ok(Member {
                fingerprint: row.fingerprint,
                summary: row.summary,
                severity: row.severity,
                firing: row.firing,
                labels: serde_json::from_value(row.labels)?,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    Ok(Incident {
        id: IncidentId(row.id),
        dedup_key: row.dedup_key,
        policy_name: row.policy_name,
        policy: row.policy.map(serde_json::from_value).transpose()?,
        policy_id: row.policy_id.zip(row.policy_version).map(|(id, version)| (PolicyId(id), version)),
        turn: row.turn.try_into().unwrap_or(0),
        hushable: row.hushable,
        source: row.source,
        content: Content {
            summary: row.summary,
            details: row.details,
            severity: row.severity,
            labels: serde_json::from_value(row.labels)?,
            truncated: row.truncated.try_into().unwrap_or(0),
            members,
        },
        state: serde_json::from_value(row.state_document)?,
        due_at: row.due_at,
        version: row.version,
        traceparent: row.traceparent,
        raised_at: row.raised_at,
        updated_at: row.updated_at,
    })
}
