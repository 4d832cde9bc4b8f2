//! Log-ins: for how long somebody stays logged in without the password.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use entity::{login, user_account};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};

use super::{Error, Store, users};
use crate::store::writer::Tx;
use crate::{
    access::Scopes,
    id::{LoginId, UserId},
};

/// What a refresh token was good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The log-in goes on, with the next refresh token.
    Login { user: users::User, scopes: Scopes },
    /// The token was used before: somebody has copied it. The log-in is over for both.
    Copied,
    /// There is no such log-in, it is over, or the user may not log in any more.
    Unknown,
}

/// A new log-in.
#[derive(Clone, Debug)]
pub struct NewLogin {
    /// Its identifier.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// SHA-256 of the refresh token.
    pub refresh_sha256: String,
    /// What it allows.
    pub scopes: Scopes,
    /// From where.
    pub address: Option<IpAddr>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// Opens a log-in.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn open_login(&self, new: NewLogin, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                // Here, so that nobody needs to remember it elsewhere.
                login::Entity::delete_many().filter(login::Column::ExpiresAt.lte(now)).exec(tx).await?;
                let row = login::ActiveModel {
                    id: Set(new.id.0),
                    user_id: Set(new.user.0),
                    refresh_sha256: Set(new.refresh_sha256),
                    scopes: Set(serde_json::to_value(new.scopes.names())?),
                    address: Set(new.address.map(|address| address.to_string())),
                    created_at: Set(now),
                    used_at: Set(now),
                    expires_at: Set(new.expires_at),
                };
                login::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(())
            })
        })
        .await
    }

    /// Lets a log-in go on with another refresh token. Each is good once (RFC 9700, 4.14.2): whoever comes
    /// with an earlier one ends the log-in.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn renew_login(
        &self,
        id: LoginId,
        refresh_sha256: String,
        next_sha256: String,
        now: DateTime<Utc>,
    ) -> Result<Renewed, Error> {
        self.write(move |tx| {
            Box::pin(async move {
                let Some(row) = login::Entity::find_by_id(id.0).one(tx).await? else { return Ok(Renewed::Unknown) };
                if row.refresh_sha256 != refresh_sha256 {
                    login::Entity::delete_by_id(id.0).exec(tx).await?;
                    return Ok(Renewed::Copied);
                }
                let user = user(tx, row.user_id).await?;
                let Some(user) = user.filter(|user| user.data.enabled && row.expires_at > now) else {
                    return Ok(Renewed::Unknown);
                };
                login::Entity::update_many()
                    .set(login::ActiveModel {
                        refresh_sha256: Set(next_sha256),
                        used_at: Set(now),
                        ..Default::default()
                    })
                    .filter(login::Column::Id.eq(id.0))
                    .exec(tx)
                    .await?;
                let names: Vec<String> = serde_json::from_value(row.scopes)?;
                let scopes = Scopes::parse(names.iter().map(String::as_str)).unwrap_or_default();
                Ok(Renewed::Login { user, scopes })
            })
        })
        .await
    }

    /// Ends a log-in.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn end_login(&self, id: LoginId) -> Result<bool, Error> {
        let deleted = self.write(move |tx| {
            Box::pin(async move { Ok(login::Entity::delete_by_id(id.0).exec(tx).await?.rows_affected) })
        });
        Ok(deleted.await? > 0)
    }

    /// Who is logged in by this log-in, if it stands and they may log in.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn logged_in(&self, id: LoginId, now: DateTime<Utc>) -> Result<Option<users::User>, Error> {
        let Some(row) = login::Entity::find_by_id(id.0).one(&self.read).await?.filter(|row| row.expires_at > now)
        else {
            return Ok(None);
        };
        let user = self.user(UserId(row.user_id)).await?;
        Ok(user.filter(|user| user.data.enabled))
    }
}

async fn user(tx: &Tx, id: uuid::Uuid) -> Result<Option<users::User>, Error> {
    Ok(user_account::Entity::find_by_id(id).one(tx).await?.and_then(users::read))
}
