//! Groups of contacts.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsContacts, ReadsContacts},
    body::Body,
    contacts::{Deleted, some},
    error::Problem,
    fields, names, version,
};
use crate::{
    id::GroupId,
    store::{self, Deletion, GroupData},
};

/// Groups.
pub struct Groups(pub State);

/// A group as it is to be.
#[derive(Debug, Object, Deserialize)]
struct GroupFields {
    /// What it is called; unique.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What it is for.
    #[oai(default, validator(max_length = 5000))]
    #[serde(default)]
    description: String,
    /// Who is in it, in order: identifiers, or names in full that only one contact has.
    #[oai(default, validator(max_items = 1000))]
    #[serde(default)]
    members: Vec<String>,
}

/// A group.
#[derive(Debug, Object)]
struct Group {
    /// Its identifier.
    id: Uuid,
    /// What it is called.
    name: String,
    /// What it is for.
    description: String,
    /// Who is in it, in order: identifiers of contacts.
    members: Vec<Uuid>,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// Counts its changes; it is the ETag.
    version: i64,
}

/// All groups, by name.
#[derive(Debug, Object)]
struct GroupList {
    /// All of them.
    items: Vec<Group>,
}

#[derive(ApiResponse)]
enum One {
    /// As it stands.
    #[oai(status = 200)]
    Found(Json<Group>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum Created {
    /// Stored.
    #[oai(status = 201)]
    Stored(Json<Group>, #[oai(header = "ETag")] String),
}

#[OpenApi(prefix_path = "/api/v2/groups", tag = "Tag::AddressBook")]
impl Groups {
    /// List groups, by name
    #[oai(path = "/", method = "get", operation_id = "list_groups")]
    async fn list(&self, _caller: ReadsContacts) -> Result<Json<GroupList>, Problem> {
        let groups = self.0.store.groups().await?;
        Ok(Json(GroupList { items: groups.into_iter().map(Group::from).collect() }))
    }

    /// Make a group
    #[oai(path = "/", method = "post", operation_id = "create_group")]
    async fn create(&self, caller: EditsContacts, group: Body<GroupFields>) -> Result<Created, Problem> {
        let data = self.data(group.0).await?;
        let made = match self.0.by(&caller.0).create_group(data.clone(), self.0.clock.now()).await {
            Err(store::Error::Conflict) => return Err(self.clash(&data, None).await?),
            made => made?,
        };
        let there = self.there(made).await?;
        let etag = version::etag(there.version);
        Ok(Created::Stored(Json(there.into()), etag))
    }

    /// One group
    #[oai(path = "/:id", method = "get", operation_id = "get_group")]
    async fn get(&self, _caller: ReadsContacts, id: Path<Uuid>) -> Result<One, Problem> {
        self.found(GroupId(id.0)).await
    }

    /// Change a group
    ///
    /// Everything that can be edited is replaced by what is sent.
    #[oai(path = "/:id", method = "put", operation_id = "update_group")]
    async fn update(
        &self,
        caller: EditsContacts,
        id: Path<Uuid>,
        /// The ETag that was read, or `*`.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        group: Body<GroupFields>,
    ) -> Result<One, Problem> {
        let id = GroupId(id.0);
        let version = version::expected(if_match.0.as_deref(), self.there(id).await?.version)?;
        let data = self.data(group.0).await?;
        match self.0.by(&caller.0).update_group(id, version, data.clone(), self.0.clock.now()).await {
            Err(store::Error::Conflict) => {
                let there = self.there(id).await?;
                if there.version != version {
                    return Err(Problem::changed(there.version));
                }
                Err(self.clash(&data, Some(id)).await?)
            }
            updated => {
                updated?;
                self.found(id).await
            }
        }
    }

    /// Delete a group
    ///
    /// Refused with 409 while a policy refers to it. Its members stay.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_group")]
    async fn delete(
        &self,
        caller: EditsContacts,
        id: Path<Uuid>,
        /// The ETag that was read, or `*`.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let id = GroupId(id.0);
        let version = version::expected(if_match.0.as_deref(), self.there(id).await?.version)?;
        match self.0.by(&caller.0).delete_group(id, version).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.there(id).await?.version)),
            Err(error) => Err(error.into()),
            Ok(Deletion::Deleted) => Ok(Deleted::Gone),
            Ok(Deletion::UsedIn(places)) => Err(Problem::in_use("group", &some(places))),
        }
    }
}

impl Groups {
    async fn there(&self, id: GroupId) -> Result<store::Group, Problem> {
        self.0.store.group(id).await?.ok_or_else(|| Problem::not_found("group"))
    }

    async fn found(&self, id: GroupId) -> Result<One, Problem> {
        let there = self.there(id).await?;
        let etag = version::etag(there.version);
        Ok(One::Found(Json(there.into()), etag))
    }

    async fn data(&self, fields: GroupFields) -> Result<GroupData, Problem> {
        let name = fields.name.trim().to_owned();
        fields::line("name", &name, 200)?;
        if name.is_empty() {
            return Err(Problem::unprocessable("name: is empty"));
        }
        let mut members = Vec::with_capacity(fields.members.len());
        for (at, text) in fields.members.iter().enumerate() {
            let field = format!("members[{at}]");
            let id = names::contact(&self.0.store, &field, text).await?;
            if members.contains(&id) {
                return Err(Problem::unprocessable(format!("{field}: stands there twice")));
            }
            members.push(id);
        }
        Ok(GroupData { name, description: super::text(fields.description), members })
    }

    /// Why a group could not be stored: its name, or a member who was deleted meanwhile.
    async fn clash(&self, data: &GroupData, own: Option<GroupId>) -> Result<Problem, Problem> {
        let named = self.0.store.group_named(&data.name).await?.map(|group| group.id);
        Ok(if named.is_some() && named != own {
            Problem::conflict(format!("name: there is a group {:?} already", data.name))
        } else {
            Problem::conflict("a contact, or the group, was changed at the same moment: try again")
        })
    }
}

impl From<store::Group> for Group {
    fn from(group: store::Group) -> Self {
        Self {
            id: group.id.0,
            name: group.data.name,
            description: group.data.description,
            members: group.data.members.into_iter().map(|id| id.0).collect(),
            updated_at: group.updated_at,
            version: group.version,
        }
    }
}
