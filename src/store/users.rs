//! Users: who logs in, and what they may do.

use chrono::{DateTime, Utc};
use entity::{contact, login, user_account};
use sea_orm::{ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder};

use super::{Edit, Error, Store, audit::Subject};
use crate::store::writer::Tx;
use crate::{
    access::Role,
    id::{ContactId, UserId},
};

/// Somebody who logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Their identifier.
    pub id: UserId,
    /// What can be edited.
    pub data: UserData,
    /// What is kept of the password, in PHC form.
    pub password_hash: String,
    /// Counts their changes.
    pub version: i64,
    /// When they were made.
    pub created_at: DateTime<Utc>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

/// A user as they are to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserData {
    /// What they log in with: unique, in lower case.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Whether they may log in at all.
    pub enabled: bool,
    /// The person of the address book that they are.
    pub contact: Option<ContactId>,
}

/// What became of a change of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// It is done.
    Done,
    /// There would be nobody left who manages users.
    LastAdmin,
    /// There is no such contact.
    NoContact,
}

impl Edit {
    /// Makes a user.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name.
    pub async fn create_user(
        &self,
        data: UserData,
        password_hash: String,
        now: DateTime<Utc>,
    ) -> Result<Option<UserId>, Error> {
        let id = UserId::generate();
        self.change(Subject::User(id), move |tx| {
            Box::pin(async move {
                if !is_contact(tx, data.contact).await? {
                    return Ok(None);
                }
                let row = user_account::ActiveModel {
                    id: Set(id.0),
                    name: Set(data.name),
                    role: Set(data.role.name().to_owned()),
                    password_hash: Set(password_hash),
                    enabled: Set(data.enabled),
                    contact_id: Set(data.contact.map(|id| id.0)),
                    version: Set(1),
                    created_at: Set(now),
                    updated_at: Set(now),
                };
                user_account::Entity::insert(row).exec_without_returning(tx).await?;
                Ok(Some(id))
            })
        })
        .await
    }

    /// Changes a user, if they still are at `version`. Whoever is disabled is logged out.
    ///
    /// # Errors
    /// [`Error::Conflict`] if they are not, or another one has this name.
    pub async fn update_user(
        &self,
        id: UserId,
        version: i64,
        data: UserData,
        now: DateTime<Utc>,
    ) -> Result<UserChange, Error> {
        self.change(Subject::User(id), move |tx| {
            Box::pin(async move {
                if !is_contact(tx, data.contact).await? {
                    return Ok(UserChange::NoContact);
                }
                let stays_admin = data.enabled && data.role == Role::Admin;
                if !stays_admin && is_last_admin(tx, id).await? {
                    return Ok(UserChange::LastAdmin);
                }
                let enabled = data.enabled;
                let updated = user_account::Entity::update_many()
                    .set(user_account::ActiveModel {
                        name: Set(data.name),
                        role: Set(data.role.name().to_owned()),
                        enabled: Set(enabled),
                        contact_id: Set(data.contact.map(|id| id.0)),
                        version: Set(version + 1),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(user_account::Column::Id.eq(id.0))
                    .filter(user_account::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                if !enabled {
                    log_out(tx, id).await?;
                }
                Ok(UserChange::Done)
            })
        })
        .await
    }

    /// Gives a user another password; they are logged out everywhere. Returns whether there is such a user.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn set_password(&self, id: UserId, password_hash: String, now: DateTime<Utc>) -> Result<bool, Error> {
        self.change(Subject::User(id), move |tx| {
            Box::pin(async move {
                let updated = user_account::Entity::update_many()
                    .set(user_account::ActiveModel {
                        password_hash: Set(password_hash),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .col_expr(
                        user_account::Column::Version,
                        sea_orm::sea_query::ExprTrait::add(
                            sea_orm::sea_query::Expr::col(user_account::Column::Version),
                            1,
                        ),
                    )
                    .filter(user_account::Column::Id.eq(id.0))
                    .exec(tx)
                    .await?;
                log_out(tx, id).await?;
                Ok(updated.rows_affected == 1)
            })
        })
        .await
    }
}

impl Store {
    /// The user of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Error> {
        Ok(user_account::Entity::find_by_id(id.0).one(&self.read).await?.and_then(read))
    }

    /// The user of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn user_named(&self, name: &str) -> Result<Option<User>, Error> {
        let name = name.to_lowercase();
        let row = user_account::Entity::find().filter(user_account::Column::Name.eq(name)).one(&self.read).await?;
        Ok(row.and_then(read))
    }

    /// All users, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn users(&self) -> Result<Vec<User>, Error> {
        let rows = user_account::Entity::find().order_by_asc(user_account::Column::Name).all(&self.read).await?;
        Ok(rows.into_iter().filter_map(read).collect())
    }
}

/// Ends all log-ins of a user.
pub(super) async fn log_out(tx: &Tx, id: UserId) -> Result<(), Error> {
    login::Entity::delete_many().filter(login::Column::UserId.eq(id.0)).exec(tx).await?;
    Ok(())
}

async fn is_contact(tx: &Tx, contact: Option<ContactId>) -> Result<bool, Error> {
    let Some(contact) = contact else { return Ok(true) };
    Ok(contact::Entity::find_by_id(contact.0).one(tx).await?.is_some())
}

async fn is_last_admin(database: &impl ConnectionTrait, id: UserId) -> Result<bool, Error> {
    let admins = || {
        user_account::Entity::find()
            .filter(user_account::Column::Role.eq(Role::Admin.name()))
            .filter(user_account::Column::Enabled.eq(true))
    };
    let is_one = admins().filter(user_account::Column::Id.eq(id.0)).count(database).await? == 1;
    Ok(is_one && admins().count(database).await? == 1)
}

/// `None` if the role is of a later version: then they may do nothing.
pub(super) fn read(row: user_account::Model) -> Option<User> {
    Some(User {
        id: UserId(row.id),
        data: UserData {
            name: row.name,
            role: row.role.parse().ok()?,
            enabled: row.enabled,
            contact: row.contact_id.map(ContactId),
        },
        password_hash: row.password_hash,
        version: row.version,
        created_at: row.created_at,
        updated_at: row.updated_at,
    })
}
