//! Users: who logs in, and what they may do.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsAccess},
    body::Body,
    error::Problem,
    login,
    version::{etag, expected},
};
use crate::{
    access::{self, password},
    id::{ContactId, UserId},
    store::{self, UserChange, UserData},
};

/// Users.
pub struct Users(pub State);

/// What a user may do; each role may do all that the one before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Role {
    /// Sees everything but users, keys and the audit log.
    Viewer,
    /// Works on incidents, places calls, takes over duty, silences.
    Responder,
    /// Changes people, schedules, policies and webhooks; may stop all calls.
    Manager,
    /// Manages users and keys, reads the audit log.
    Admin,
}

impl From<Role> for access::Role {
    fn from(role: Role) -> Self {
        match role {
            Role::Viewer => Self::Viewer,
            Role::Responder => Self::Responder,
            Role::Manager => Self::Manager,
            Role::Admin => Self::Admin,
        }
    }
}

impl From<access::Role> for Role {
    fn from(role: access::Role) -> Self {
        match role {
            access::Role::Viewer => Self::Viewer,
            access::Role::Responder => Self::Responder,
            access::Role::Manager => Self::Manager,
            access::Role::Admin => Self::Admin,
        }
    }
}

/// A user as they are to be.
#[derive(Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct UserEdit {
    /// What they log in with: unique; letters, digits and `. _ - @ +`, all letters count as small.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What they may do.
    role: Role,
    /// Whether they may log in at all; as it is, if it is not said.
    enabled: Option<bool>,
    /// The contact that they are.
    contact: Option<Uuid>,
}

/// A user to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct NewUser {
    /// What they log in with: unique; letters, digits and `. _ - @ +`, all letters count as small.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What they may do.
    role: Role,
    /// The contact that they are.
    contact: Option<Uuid>,
    /// Their password: 12 characters at least.
    #[oai(validator(max_length = 256))]
    password: String,
}

/// A user's new password.
#[derive(Debug, Object, Deserialize)]
struct Password {
    /// 12 characters at least.
    #[oai(validator(max_length = 256))]
    password: String,
}

/// Somebody who logs in.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct User {
    /// Their identifier.
    id: Uuid,
    /// What they log in with.
    name: String,
    /// What they may do.
    role: Role,
    /// Whether they may log in at all.
    enabled: bool,
    /// The contact that they are.
    contact: Option<Uuid>,
    /// Counts their changes; the `ETag`.
    version: i64,
    /// When they were made.
    created_at: DateTime<Utc>,
    /// When they last changed.
    updated_at: DateTime<Utc>,
}

/// All users.
#[derive(Debug, Object)]
struct UserList {
    /// By name.
    items: Vec<User>,
}

#[derive(ApiResponse)]
enum Created {
    /// It is made.
    #[oai(status = 201)]
    Created(Json<User>, #[oai(header = "ETag")] String, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum Found {
    /// As it stands.
    #[oai(status = 200)]
    Found(Json<User>, #[oai(header = "ETag")] String),
}

#[derive(ApiResponse)]
enum Done {
    /// It is done.
    #[oai(status = 204)]
    Done,
}

#[OpenApi(prefix_path = "/api/v2/users", tag = "Tag::Access")]
impl Users {
    /// All users.
    #[oai(path = "/", method = "get", operation_id = "list_users")]
    async fn list(&self, _caller: EditsAccess) -> Result<Json<UserList>, Problem> {
        let items = self.0.store.users().await?.into_iter().map(shown).collect();
        Ok(Json(UserList { items }))
    }

    /// Make a user.
    ///
    /// Nobody can make one who may do more than they may themselves.
    #[oai(path = "/", method = "post", operation_id = "create_user")]
    async fn create(&self, caller: EditsAccess, user: Body<NewUser>) -> Result<Created, Problem> {
        let NewUser { name, role, contact, password } = user.0;
        let data = data(UserEdit { name, role, enabled: None, contact }, true, &caller.0)?;
        let hash = login::hash(&self.0, "password", password, &data.name).await?;
        let made = self.0.by(&caller.0).create_user(data, hash, self.0.clock.now()).await.map_err(taken)?;
        let id = made.ok_or_else(no_contact)?;
        let user = self.user(id).await?;
        let location = format!("/api/v2/users/{id}");
        Ok(Created::Created(Json(user), etag(1), location))
    }

    /// One user.
    #[oai(path = "/:id", method = "get", operation_id = "get_user")]
    async fn get(&self, _caller: EditsAccess, id: Path<Uuid>) -> Result<Found, Problem> {
        let user = self.user(UserId(id.0)).await?;
        let tag = etag(user.version);
        Ok(Found::Found(Json(user), tag))
    }

    /// Change a user.
    ///
    /// Whoever is disabled is logged out at once, and the keys they own stop working. The last admin stays one.
    #[oai(path = "/:id", method = "put", operation_id = "update_user")]
    async fn update(
        &self,
        caller: EditsAccess,
        id: Path<Uuid>,
        /// The ETag that was read, or `*`.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        user: Body<UserEdit>,
    ) -> Result<Found, Problem> {
        let id = UserId(id.0);
        let there = self.there(id, &caller.0).await?;
        let version = expected(if_match.0.as_deref(), there.version)?;
        let data = data(user.0, there.data.enabled, &caller.0)?;
        let name_changes = data.name != there.data.name;
        match self.0.by(&caller.0).update_user(id, version, data, self.0.clock.now()).await {
            Ok(UserChange::Done) => {}
            Ok(UserChange::LastAdmin) => {
                return Err(Problem::conflict("this is the last admin: nobody could manage users any more"));
            }
            Ok(UserChange::NoContact) => return Err(no_contact()),
            Err(store::Error::Conflict) => {
                let now = self.user(id).await?.version;
                return Err(if now == version && name_changes {
                    taken(store::Error::Conflict)
                } else {
                    Problem::changed(now)
                });
            }
            Err(error) => return Err(error.into()),
        }
        self.0.access.forget();
        let user = self.user(id).await?;
        let tag = etag(user.version);
        Ok(Found::Found(Json(user), tag))
    }

    /// Give a user another password.
    ///
    /// They are logged out everywhere.
    #[oai(path = "/:id/password", method = "put", operation_id = "set_user_password")]
    async fn set_password(
        &self,
        caller: EditsAccess,
        id: Path<Uuid>,
        password: Body<Password>,
    ) -> Result<Done, Problem> {
        let id = UserId(id.0);
        let there = self.there(id, &caller.0).await?;
        let hash = login::hash(&self.0, "password", password.0.password, &there.data.name).await?;
        self.0.by(&caller.0).set_password(id, hash, self.0.clock.now()).await?;
        self.0.access.forget();
        Ok(Done::Done)
    }
}

impl Users {
    async fn user(&self, id: UserId) -> Result<User, Problem> {
        Ok(shown(self.0.store.user(id).await?.ok_or_else(|| Problem::not_found("user"))?))
    }

    /// A user whom the caller may change: one who may do no more than they may.
    async fn there(&self, id: UserId, caller: &Caller) -> Result<store::User, Problem> {
        let user = self.0.store.user(id).await?.ok_or_else(|| Problem::not_found("user"))?;
        within(user.data.role, caller)?;
        Ok(user)
    }
}

/// Nobody gives away, or takes over, what they may not do themselves.
fn within(role: access::Role, caller: &Caller) -> Result<(), Problem> {
    if role.scopes().is_within(caller.principal.scopes) {
        return Ok(());
    }
    Err(Problem::forbidden_detail(format!("the role {role} may do more than this credential")))
}

fn data(edit: UserEdit, enabled: bool, caller: &Caller) -> Result<UserData, Problem> {
    let role = access::Role::from(edit.role);
    within(role, caller)?;
    let name = access::user_name(&edit.name).map_err(|why| Problem::unprocessable(format!("name: {why}")))?;
    Ok(UserData { name, role, enabled: edit.enabled.unwrap_or(enabled), contact: edit.contact.map(ContactId) })
}

fn no_contact() -> Problem {
    Problem::unprocessable("contact: there is no such contact")
}

fn taken(error: store::Error) -> Problem {
    match error {
        store::Error::Conflict => Problem::conflict("name: another user has this name"),
        error => error.into(),
    }
}

fn shown(user: store::User) -> User {
    User {
        id: user.id.0,
        name: user.data.name,
        role: user.data.role.into(),
        enabled: user.data.enabled,
        contact: user.data.contact.map(|id| id.0),
        version: user.version,
        created_at: user.created_at,
        updated_at: user.updated_at,
    }
}

/// A password for somebody who has none yet: easy to copy, and nobody guesses it.
#[must_use]
pub fn first_password() -> String {
    const DIGITS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 20] = rand::random();
    let text: Vec<String> = bytes
        .chunks(5)
        .map(|chunk| chunk.iter().map(|byte| char::from(DIGITS[usize::from(byte & 31)])).collect())
        .collect();
    let password = text.join("-");
    debug_assert!(password::mistake(&password, "").is_none() || password.len() == 23);
    password
}
