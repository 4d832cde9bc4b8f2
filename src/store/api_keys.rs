//! API keys. Only their digests are kept.

use chrono::{DateTime, Utc};
use entity::api_key;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    sea_query::{Condition, Expr},
};

use super::{Edit, Error, Store, User, audit::Subject};
use crate::{
    access::Scopes,
    id::{KeyId, UserId},
};

/// Keys of one name that may be live: the one in use, and the one that replaces it.
pub const MOST_LIVE: u64 = 2;

/// An API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its identifier.
    pub id: KeyId,
    /// What it was made with.
    pub data: ApiKeyData,
    /// When it was last used, to the minute.
    pub used_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A key as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyData {
    /// Its name.
    pub name: String,
    /// What it may do, as long as its owner may.
    pub scopes: Scopes,
    /// The policy of the alerts that it sends.
    pub policy: Option<String>,
    /// Whose it is; nobody's if it was made by a command.
    pub owner: Option<UserId>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Edit {
    /// Makes a key with this digest. `None` if two of its name are live.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn create_key(
        &self,
        data: ApiKeyData,
        sha256: String,
        now: DateTime<Utc>,
    ) -> Result<Option<KeyId>, Error> {
        let id = KeyId::generate();
        self.change(Subject::Key(id), move |tx| {
            Box::pin(async move {
                let live =
                    Condition::any().add(api_key::Column::ExpiresAt.is_null()).add(api_key::Column::ExpiresAt.gt(now));
                let there = api_key::Entity::find().filter(api_key::Column::Name.eq(&data.name)).filter(live);
                if there.count(tx).await? >= MOST_LIVE {
                    return Ok(None);
                }
                let row = api_key::ActiveModel {
                    id: Set(id.0),
                    name: Set(data.name),
                    sha256: Set(sha256),
                    scopes: Set(serde_json::to_value(data.scopes.names())?),
                    policy: Set(data.policy),
                    owner_id: Set(data.owner.map(|id| id.0)),
                    expires_at: Set(data.expires_at),
                    used_at: Set(None),
                    created_at: Set(now),
                };
                api_key::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(Some(id))
            })
        })
        .await
    }

    /// Takes a key away. Returns whether there was one.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn revoke_key(&self, id: KeyId) -> Result<bool, Error> {
        self.change(Subject::Key(id), move |tx| {
            Box::pin(async move { Ok(api_key::Entity::delete_by_id(id.0).exec(tx).await?.rows_affected == 1) })
        })
        .await
    }
}

impl Store {
    /// The key of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn key(&self, id: KeyId) -> Result<Option<ApiKey>, Error> {
        api_key::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// All keys, by name, those of one name in the order in which they were made.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn keys(&self) -> Result<Vec<ApiKey>, Error> {
        let rows = api_key::Entity::find()
            .order_by_asc(api_key::Column::Name)
            .order_by_asc(api_key::Column::Id)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// The key with this digest, and its owner, if it has one.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn key_with(&self, sha256: &str) -> Result<Option<(ApiKey, Option<User>)>, Error> {
        let row = api_key::Entity::find().filter(api_key::Column::Sha256.eq(sha256)).one(&self.read).await?;
        let Some(key) = row.map(read).transpose()? else { return Ok(None) };
        let owner = match key.data.owner {
            Some(owner) => self.user(owner).await?,
            None => None,
        };
        Ok(Some((key, owner)))
    }

    /// Notes that a key was used.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn key_used(&self, id: KeyId, at: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                api_key::Entity::update_many()
                    .col_expr(api_key::Column::UsedAt, Expr::val(at))
                    .filter(api_key::Column::Id.eq(id.0))
                    .exec(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }
}

fn read(row: api_key::Model) -> Result<ApiKey, Error> {
    let names: Vec<String> = serde_json::from_value(row.scopes)?;
    // A scope of a later version is none here.
    let known = names.iter().filter_map(|name| Scopes::parse([name.as_str()]).ok());
    Ok(ApiKey {
        id: KeyId(row.id),
        data: ApiKeyData {
            name: row.name,
            scopes: known.fold(Scopes::default(), Scopes::union),
            policy: row.policy,
            owner: row.owner_id.map(UserId),
            expires_at: row.expires_at,
        },
        used_at: row.used_at,
        created_at: row.created_at,
    })
}
