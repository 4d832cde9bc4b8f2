//! API keys: made, shown once, revoked.

use chrono::{DateTime, Utc};
use poem_openapi::{ApiResponse, Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsAccess, Whose},
    body::Body,
    error::Problem,
    login, name,
};
use crate::{
    access::Scopes,
    id::{self, KeyId, UserId},
    store::{self, ApiKeyData},
};

/// API keys.
pub struct Keys(pub State);

/// What every key begins with, so that whoever finds one knows what it is.
const PREFIX: &str = "rd_";

/// A key to be made.
#[derive(Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct NewKey {
    /// Its name, in timelines and the audit log. Two of a name may be live, so that one can be replaced.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Names of scopes, or of a role for all that it may do.
    #[oai(validator(min_items = 1, max_items = 50))]
    scopes: Vec<String>,
    /// The policy that pages for the alerts it sends, unless they name one.
    #[oai(validator(min_length = 1, max_length = 200))]
    policy: Option<String>,
    /// The user whose it is: it may do no more than they may, and ends when they are disabled. Whoever
    /// makes it, if that is a user.
    owner: Option<Uuid>,
    /// When it ends; never if it is not said.
    expires_at: Option<DateTime<Utc>>,
}

/// An API key.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Key {
    /// Its identifier.
    id: Uuid,
    /// Its name.
    name: String,
    /// What it may do, as long as its owner may.
    scopes: Vec<String>,
    /// The policy that pages for the alerts it sends.
    policy: Option<String>,
    /// The user whose it is.
    owner: Option<Uuid>,
    /// When it ends.
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    used_at: Option<DateTime<Utc>>,
    /// When it was made.
    created_at: DateTime<Utc>,
}

/// A key that was made.
#[derive(Debug, Object)]
struct MadeKey {
    /// The key itself, shown this once: only its digest is kept.
    secret: String,
    /// What was made.
    key: Key,
}

/// All keys of the database; those of the configuration are not among them.
#[derive(Debug, Object)]
struct KeyList {
    /// By name.
    items: Vec<Key>,
}

#[derive(ApiResponse)]
enum Created {
    /// It is made.
    #[oai(status = 201)]
    Created(Json<MadeKey>, #[oai(header = "Location")] String),
}

#[derive(ApiResponse)]
enum Gone {
    /// It is worth nothing any more.
    #[oai(status = 204)]
    Gone,
}

#[OpenApi(prefix_path = "/api/v2/keys", tag = "Tag::Access")]
impl Keys {
    /// All API keys.
    #[oai(path = "/", method = "get", operation_id = "list_keys")]
    async fn list(&self, _caller: EditsAccess) -> Result<Json<KeyList>, Problem> {
        Ok(Json(KeyList { items: self.0.store.keys().await?.into_iter().map(shown).collect() }))
    }

    /// Make an API key.
    ///
    /// Nobody can make one that may do more than they may themselves.
    #[oai(path = "/", method = "post", operation_id = "create_key")]
    async fn create(&self, caller: EditsAccess, key: Body<NewKey>) -> Result<Created, Problem> {
        let key = key.0;
        let caller = caller.0;
        let now = self.0.clock.now();
        let scopes = Scopes::parse(key.scopes.iter().map(String::as_str))
            .map_err(|error| Problem::unprocessable(format!("scopes: {error}")))?;
        if !scopes.is_within(caller.principal.scopes) {
            return Err(Problem::forbidden_detail("scopes: they allow more than this credential does"));
        }
        if key.expires_at.is_some_and(|at| at <= now) {
            return Err(Problem::unprocessable("expires_at: is past"));
        }
        let owner = match (key.owner.map(UserId), caller.principal.identity) {
            (Some(owner), _) => Some(owner),
            (None, Whose::User(user, _) | Whose::Key(_, Some(user))) => Some(user),
            (None, Whose::Configured | Whose::Key(_, None)) => None,
        };
        if let Some(owner) = owner
            && self.0.store.user(owner).await?.is_none()
        {
            return Err(Problem::unprocessable("owner: there is no such user"));
        }
        let (secret, data) = (
            format!("{PREFIX}{}", id::secret()),
            ApiKeyData {
                name: name("name", &key.name)?,
                scopes,
                policy: key.policy,
                owner,
                expires_at: key.expires_at,
            },
        );
        let made = self.0.by(&caller).create_key(data, login::digest(&secret), now).await?;
        let id = made.ok_or_else(|| {
            Problem::conflict("name: two keys of this name are live: revoke one, or give this one another name")
        })?;
        let key = self.key(id).await?;
        Ok(Created::Created(Json(MadeKey { secret, key }), format!("/api/v2/keys/{id}")))
    }

    /// One API key.
    #[oai(path = "/:id", method = "get", operation_id = "get_key")]
    async fn get(&self, _caller: EditsAccess, id: Path<Uuid>) -> Result<Json<Key>, Problem> {
        Ok(Json(self.key(KeyId(id.0)).await?))
    }

    /// Revoke an API key.
    #[oai(path = "/:id", method = "delete", operation_id = "revoke_key")]
    async fn revoke(&self, caller: EditsAccess, id: Path<Uuid>) -> Result<Gone, Problem> {
        let key = self.0.store.key(KeyId(id.0)).await?.ok_or_else(|| Problem::not_found("key"))?;
        if !key.data.scopes.is_within(caller.principal.scopes) {
            return Err(Problem::forbidden_detail("this key allows more than this credential does"));
        }
        if !self.0.by(&caller.0).revoke_key(KeyId(id.0)).await? {
            return Err(Problem::not_found("key"));
        }
        self.0.access.forget();
        Ok(Gone::Gone)
    }
}

impl Keys {
    async fn key(&self, id: KeyId) -> Result<Key, Problem> {
        Ok(shown(self.0.store.key(id).await?.ok_or_else(|| Problem::not_found("key"))?))
    }
}

fn shown(key: store::ApiKey) -> Key {
    Key {
        id: key.id.0,
        name: key.data.name,
        scopes: key.data.scopes.names().into_iter().map(str::to_owned).collect(),
        policy: key.data.policy,
        owner: key.data.owner.map(|id| id.0),
        expires_at: key.data.expires_at,
        used_at: key.used_at,
        created_at: key.created_at,
    }
}
