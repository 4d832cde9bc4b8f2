//! Makes a plan true, many rows in a statement.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use entity::{contact, contact_group, contact_group_member, contact_number, contact_term, schedule_window};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, Iterable, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, OnConflict},
};
use uuid::Uuid;

use super::plan::{Moves, Span, Written};
use crate::store::writer::Tx;
use crate::{
    id::{GroupId, ScheduleId, WindowId},
    store::{
        Error,
        contacts::{ROWS, columns, insert_all, number_rows, terms},
        schedules,
    },
};

/// Writes new contacts, and those that are different over what they were.
pub(super) async fn contacts(tx: &Tx, mut all: Vec<Written>, now: DateTime<Utc>) -> Result<(), Error> {
    use contact::Column;
    let changed = Column::iter().filter(|column| !matches!(column, Column::Id | Column::CreatedAt));
    let over = OnConflict::column(Column::Id).update_columns(changed).to_owned();
    while !all.is_empty() {
        let some = all.split_off(all.len().saturating_sub(ROWS));
        let old: Vec<Uuid> = some.iter().filter(|one| one.version > 1).map(|one| one.id).collect();
        if !old.is_empty() {
            let numbers = contact_number::Column::ContactId.is_in(old.iter().copied());
            contact_number::Entity::delete_many().filter(numbers).exec(tx).await?;
            let terms = contact_term::Column::ContactId.is_in(old);
            contact_term::Entity::delete_many().filter(terms).exec(tx).await?;
        }
        let (mut numbers, mut terms) = (Vec::new(), Vec::new());
        let mut rows = Vec::with_capacity(some.len());
        for Written { id, data, version, created_at, pin_hash } in some {
            numbers.extend(number_rows(id, data.numbers.clone()));
            terms.extend(terms::rows(id, &data));
            rows.push(contact::ActiveModel {
                id: Set(id),
                version: Set(version),
                created_at: Set(created_at),
                pin_hash: Set(pin_hash),
                ..columns(data, now)?
            });
        }
        contact::Entity::insert_many(rows).on_conflict(over.clone()).exec_without_returning(tx).await?;
        insert_all(tx, numbers).await?;
        insert_all(tx, terms).await?;
    }
    Ok(())
}

/// Moves contacts between groups. Whoever joins one stands behind those who are in it.
pub(super) async fn groups(tx: &Tx, all: Vec<(Uuid, Moves)>, now: DateTime<Utc>) -> Result<(), Error> {
    let named: BTreeSet<&String> = all.iter().flat_map(|(_, moves)| moves.joins.iter().chain(&moves.leaves)).collect();
    let named: Vec<&String> = named.into_iter().collect();
    let mut ids: HashMap<String, Uuid> = HashMap::new();
    for some in named.chunks(ROWS) {
        let names = some.iter().map(|name| name.as_str());
        let there = contact_group::Entity::find().filter(contact_group::Column::Name.is_in(names)).all(tx).await?;
        ids.extend(there.into_iter().map(|group| (group.name, group.id)));
    }
    touch(tx, ids.values().copied().collect(), now).await?;
    let mut new = Vec::new();
    for name in named.into_iter().filter(|name| !ids.contains_key(*name)).cloned().collect::<Vec<_>>() {
        let id = GroupId::generate().0;
        new.push(contact_group::ActiveModel {
            id: Set(id),
            name: Set(name.clone()),
            description: Set(String::new()),
            version: Set(1),
            updated_at: Set(now),
        });
        ids.insert(name, id);
    }
    insert_all(tx, new).await?;
    let mut ends = last_positions(tx, ids.values().copied().collect()).await?;
    let mut members = Vec::new();
    for (contact, Moves { joins, leaves }) in all {
        if !leaves.is_empty() {
            let left: Vec<Uuid> = leaves.iter().filter_map(|name| ids.get(name).copied()).collect();
            contact_group_member::Entity::delete_many()
                .filter(contact_group_member::Column::ContactId.eq(contact))
                .filter(contact_group_member::Column::GroupId.is_in(left))
                .exec(tx)
                .await?;
        }
        for group in joins.iter().filter_map(|name| ids.get(name).copied()) {
            let end = ends.entry(group).or_insert(-1);
            *end += 1;
            members.push(contact_group_member::ActiveModel {
                group_id: Set(group),
                contact_id: Set(contact),
                position: Set(*end),
            });
        }
    }
    insert_all(tx, members).await
}

/// Whoever edits these groups has to read them again.
async fn touch(tx: &Tx, groups: Vec<Uuid>, now: DateTime<Utc>) -> Result<(), Error> {
    for some in groups.chunks(ROWS) {
        contact_group::Entity::update_many()
            .col_expr(contact_group::Column::Version, Expr::col(contact_group::Column::Version).add(1))
            .col_expr(contact_group::Column::UpdatedAt, Expr::val(now))
            .filter(contact_group::Column::Id.is_in(some.iter().copied()))
            .exec(tx)
            .await?;
    }
    Ok(())
}

/// The place of the last one in each of these groups; none if it is empty.
async fn last_positions(tx: &Tx, groups: Vec<Uuid>) -> Result<HashMap<Uuid, i32>, Error> {
    let mut ends = HashMap::new();
    for some in groups.chunks(ROWS) {
        let rows: Vec<(Uuid, Option<i32>)> = contact_group_member::Entity::find()
            .select_only()
            .column(contact_group_member::Column::GroupId)
            .column_as(contact_group_member::Column::Position.max(), "last")
            .filter(contact_group_member::Column::GroupId.is_in(some.iter().copied()))
            .group_by(contact_group_member::Column::GroupId)
            .order_by_asc(contact_group_member::Column::GroupId)
            .into_tuple()
            .all(tx)
            .await?;
        ends.extend(rows.into_iter().filter_map(|(id, last)| Some((id, last?))));
    }
    Ok(ends)
}

/// Replaces the windows of these contacts.
pub(super) async fn windows(
    tx: &Tx,
    schedule: Uuid,
    all: Vec<(Uuid, BTreeSet<Span>)>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    for some in all.chunks(ROWS) {
        schedule_window::Entity::delete_many()
            .filter(schedule_window::Column::ScheduleId.eq(schedule))
            .filter(schedule_window::Column::ContactId.is_in(some.iter().map(|(id, _)| *id)))
            .exec(tx)
            .await?;
    }
    let rows = all.into_iter().flat_map(|(contact, spans)| spans.into_iter().map(move |span| (contact, span)));
    let row = |(contact, (from, until, priority))| schedule_window::ActiveModel {
        id: Set(WindowId::generate().0),
        schedule_id: Set(schedule),
        contact_id: Set(contact),
        from_at: Set(from),
        until_at: Set(until),
        priority: Set(priority),
    };
    insert_all(tx, rows.map(row).collect()).await?;
    schedules::touch(tx, ScheduleId(schedule), now).await.map(drop)
}
