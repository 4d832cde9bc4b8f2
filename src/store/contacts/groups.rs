//! Groups of contacts.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use entity::{contact, contact_group, contact_group_member};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};
use uuid::Uuid;

use super::{ROWS, deletion, insert_all};
use crate::store::writer::Tx;
use crate::{
    escalation::Target,
    id::{ContactId, GroupId},
    store::{Deletion, Edit, Error, Store, audit::Subject},
};

/// Contacts who are called together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its identifier.
    pub id: GroupId,
    /// Everything that can be edited.
    pub data: GroupData,
    /// Counts its changes.
    pub version: i64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A group as it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupData {
    /// What it is called; unique.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who is in it, in order, each once.
    pub members: Vec<ContactId>,
}

impl Edit {
    /// Makes a group.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name, or no such contact.
    pub async fn create_group(&self, data: GroupData, now: DateTime<Utc>) -> Result<GroupId, Error> {
        let id = GroupId::generate();
        self.change(Subject::Group(id), move |tx| {
            Box::pin(async move {
                let row = contact_group::ActiveModel {
                    id: Set(id.0),
                    name: Set(data.name),
                    description: Set(data.description),
                    version: Set(1),
                    updated_at: Set(now),
                };
                contact_group::Entity::insert(row).exec_without_returning(tx).await?;
                write_members(tx, id, &data.members).await?;
                Ok(id)
            })
        })
        .await
    }

    /// Changes a group, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, another one has this name, or there is no such contact.
    pub async fn update_group(
        &self,
        id: GroupId,
        version: i64,
        data: GroupData,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        self.change(Subject::Group(id), move |tx| {
            Box::pin(async move {
                let updated = contact_group::Entity::update_many()
                    .set(contact_group::ActiveModel {
                        name: Set(data.name),
                        description: Set(data.description),
                        version: Set(version + 1),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(contact_group::Column::Id.eq(id.0))
                    .filter(contact_group::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                remove_members(tx, id).await?;
                write_members(tx, id, &data.members).await
            })
        })
        .await
    }

    /// Deletes a group, if it still is at `version` and no policy names it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is at another version.
    pub async fn delete_group(&self, id: GroupId, version: i64) -> Result<Deletion, Error> {
        self.change(Subject::Group(id), move |tx| {
            Box::pin(async move {
                let places = deletion::policies_that_name(tx, &Target::Group(id)).await?;
                if !places.is_empty() {
                    return Ok(Deletion::UsedIn(places));
                }
                let deleted = contact_group::Entity::delete_many()
                    .filter(contact_group::Column::Id.eq(id.0))
                    .filter(contact_group::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                remove_members(tx, id).await?;
                Ok(Deletion::Deleted)
            })
        })
        .await
    }
}

impl Store {
    /// A group by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn group(&self, id: GroupId) -> Result<Option<Group>, Error> {
        let row = contact_group::Entity::find_by_id(id.0).one(&self.read).await?;
        Ok(read(&self.read, row.into_iter().collect()).await?.pop())
    }

    /// The group of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn group_named(&self, name: &str) -> Result<Option<Group>, Error> {
        let row = contact_group::Entity::find().filter(contact_group::Column::Name.eq(name)).one(&self.read).await?;
        Ok(read(&self.read, row.into_iter().collect()).await?.pop())
    }

    /// All groups, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn groups(&self) -> Result<Vec<Group>, Error> {
        let rows = contact_group::Entity::find().order_by_asc(contact_group::Column::Name).all(&self.read).await?;
        read(&self.read, rows).await
    }
}

async fn remove_members(tx: &Tx, id: GroupId) -> Result<(), Error> {
    let members = contact_group_member::Entity::delete_many();
    members.filter(contact_group_member::Column::GroupId.eq(id.0)).exec(tx).await?;
    Ok(())
}

async fn write_members(tx: &Tx, id: GroupId, members: &[ContactId]) -> Result<(), Error> {
    for some in members.chunks(ROWS) {
        let ids = some.iter().map(|id| id.0);
        let there = contact::Entity::find().filter(contact::Column::Id.is_in(ids)).count(tx).await?;
        if usize::try_from(there) != Ok(some.len()) {
            return Err(Error::Conflict);
        }
    }
    let rows = (0..).zip(members).map(|(position, member)| contact_group_member::ActiveModel {
        group_id: Set(id.0),
        contact_id: Set(member.0),
        position: Set(position),
    });
    insert_all(tx, rows.collect()).await
}

async fn read(database: &impl ConnectionTrait, rows: Vec<contact_group::Model>) -> Result<Vec<Group>, Error> {
    let mut members: HashMap<Uuid, Vec<ContactId>> = HashMap::new();
    for rows in rows.chunks(ROWS) {
        let all = contact_group_member::Entity::find()
            .filter(contact_group_member::Column::GroupId.is_in(rows.iter().map(|row| row.id)))
            .order_by_asc(contact_group_member::Column::Position)
            .all(database)
            .await?;
        for row in all {
            members.entry(row.group_id).or_default().push(ContactId(row.contact_id));
        }
    }
    let group = |row: contact_group::Model| Group {
        id: GroupId(row.id),
        data: GroupData {
            name: row.name,
            description: row.description,
            members: members.remove(&row.id).unwrap_or_default(),
        },
        version: row.version,
        updated_at: row.updated_at,
    };
    Ok(rows.into_iter().map(group).collect())
}
