//! Escalation policies by name, their versions, and the default one.

use chrono::{DateTime, Utc};
use entity::{incident, policy, policy_version};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, sea_query::Expr};

use super::{Edit, Error, Store, audit::Subject, seeds};
use crate::store::writer::Tx;
use crate::{escalation::Policy, id::PolicyId};

/// A policy and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPolicy {
    /// Its identifier.
    pub id: PolicyId,
    /// Its name; unique.
    pub name: String,
    /// Whether it pages for alerts that nothing else names a policy for.
    pub is_default: bool,
    /// The policy.
    pub policy: Policy,
    /// Counts its versions.
    pub version: i64,
    /// Counts the incidents it has paged for.
    pub turns: i64,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// A version of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyVersion {
    /// Which, from 1.
    pub version: i64,
    /// The policy as it was then.
    pub policy: Policy,
    /// Who made it so.
    pub made_by: String,
    /// When.
    pub made_at: DateTime<Utc>,
}

/// A policy as it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyData {
    /// What it is called; unique.
    pub name: String,
    /// The policy.
    pub policy: Policy,
    /// Whether it pages for alerts that name none: then no other does.
    pub is_default: bool,
}

/// The author of what the configuration file makes.
const FILE: &str = "the configuration file";

impl Edit {
    /// Makes a policy.
    ///
    /// # Errors
    /// [`Error::Conflict`] if there is one of this name.
    pub async fn create_policy(&self, data: PolicyData, by: &str, now: DateTime<Utc>) -> Result<PolicyId, Error> {
        let (id, by) = (PolicyId::generate(), by.to_owned());
        self.change(Subject::Policy(id), move |tx| Box::pin(async move { insert(tx, id, data, &by, now).await }))
            .await?;
        Ok(id)
    }

    /// Makes a new version of a policy, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not, or another one has this name.
    pub async fn update_policy(
        &self,
        id: PolicyId,
        version: i64,
        data: PolicyData,
        by: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let by = by.to_owned();
        self.change(Subject::Policy(id), move |tx| {
            Box::pin(async move {
                let document = serde_json::to_value(&data.policy)?;
                let updated = policy::Entity::update_many()
                    .set(policy::ActiveModel {
                        name: Set(data.name),
                        is_default: Set(data.is_default),
                        document: Set(document.clone()),
                        version: Set(version + 1),
                        updated_at: Set(now),
                        ..Default::default()
                    })
                    .filter(policy::Column::Id.eq(id.0))
                    .filter(policy::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if updated.rows_affected != 1 {
                    return Err(Error::Conflict);
                }
                if data.is_default {
                    only_default(tx, id).await?;
                }
                keep_version(tx, id, version + 1, document, &by, now).await
            })
        })
        .await
    }

    /// Deletes a policy, if it still is at `version`. Open incidents keep it as it was when they were raised.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not.
    pub async fn delete_policy(&self, id: PolicyId, version: i64) -> Result<(), Error> {
        self.change(Subject::Policy(id), move |tx| {
            Box::pin(async move {
                let deleted = policy::Entity::delete_many()
                    .filter(policy::Column::Id.eq(id.0))
                    .filter(policy::Column::Version.eq(version))
                    .exec(tx)
                    .await?;
                if deleted.rows_affected == 1 { Ok(()) } else { Err(Error::Conflict) }
            })
        })
        .await
    }
}

impl Store {
    /// Makes these policies, unless the file has made one of that name before or there is one. One that
    /// is to be the default one is, if there is none yet.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn seed_policies(&self, seeds: Vec<PolicyData>, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                for seed in seeds {
                    let there = policy::Entity::find().filter(policy::Column::Name.eq(&seed.name)).one(tx).await?;
                    if seeds::first_time(tx, "policy", &seed.name).await? && there.is_none() {
                        let default = policy::Entity::find().filter(policy::Column::IsDefault.eq(true)).one(tx).await?;
                        let seed = PolicyData { is_default: seed.is_default && default.is_none(), ..seed };
                        insert(tx, PolicyId::generate(), seed, FILE, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// The policy of this name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy(&self, name: &str) -> Result<Option<NamedPolicy>, Error> {
        let row = policy::Entity::find().filter(policy::Column::Name.eq(name)).one(&self.read).await?;
        row.map(read).transpose()
    }

    /// The policy of this identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy_by_id(&self, id: PolicyId) -> Result<Option<NamedPolicy>, Error> {
        policy::Entity::find_by_id(id.0).one(&self.read).await?.map(read).transpose()
    }

    /// The policy that pages for alerts that name none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn default_policy(&self) -> Result<Option<NamedPolicy>, Error> {
        let row = policy::Entity::find().filter(policy::Column::IsDefault.eq(true)).one(&self.read).await?;
        row.map(read).transpose()
    }

    /// All policies, by name.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policies(&self) -> Result<Vec<NamedPolicy>, Error> {
        let rows = policy::Entity::find().order_by_asc(policy::Column::Name).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// Whether an incident was raised under this policy since `since`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy_used_since(&self, id: PolicyId, since: DateTime<Utc>) -> Result<bool, Error> {
        let Some(name) = self.policy_name(id).await? else { return Ok(false) };
        let used = incident::Entity::find()
            .filter(incident::Column::PolicyName.eq(name))
            .filter(incident::Column::RaisedAt.gt(since))
            .one(&self.read)
            .await?;
        Ok(used.is_some())
    }

    /// What a policy was before, the newest version first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn policy_versions(&self, id: PolicyId) -> Result<Vec<PolicyVersion>, Error> {
        let rows = policy_version::Entity::find()
            .filter(policy_version::Column::PolicyId.eq(id.0))
            .order_by_desc(policy_version::Column::Version)
            .all(&self.read)
            .await?;
        let version = |row: policy_version::Model| {
            Ok(PolicyVersion {
                version: row.version,
                policy: serde_json::from_value(row.document)?,
                made_by: row.made_by,
                made_at: row.made_at,
            })
        };
        rows.into_iter().map(version).collect()
    }
}

/// Takes the next turn of a policy in which people take turns, as part of raising an incident. `false`, if
/// somebody else has taken it.
pub(super) async fn take_turn(tx: &Tx, id: PolicyId, turn: i64) -> Result<bool, Error> {
    let updated = policy::Entity::update_many()
        .col_expr(policy::Column::Turns, Expr::val(turn + 1))
        .filter(policy::Column::Id.eq(id.0))
        .filter(policy::Column::Turns.eq(turn))
        .exec(tx)
        .await?;
    Ok(updated.rows_affected == 1)
}

async fn insert(tx: &Tx, id: PolicyId, data: PolicyData, by: &str, now: DateTime<Utc>) -> Result<(), Error> {
    let document = serde_json::to_value(&data.policy)?;
    let row = policy::ActiveModel {
        id: Set(id.0),
        name: Set(data.name),
        is_default: Set(data.is_default),
        document: Set(document.clone()),
        updated_at: Set(now),
        version: Set(1),
        turns: Set(0),
    };
    policy::Entity::insert(row).exec_without_returning(tx).await?;
    if data.is_default {
        only_default(tx, id).await?;
    }
    keep_version(tx, id, 1, document, by, now).await
}

async fn only_default(tx: &Tx, id: PolicyId) -> Result<(), Error> {
    policy::Entity::update_many()
        .col_expr(policy::Column::IsDefault, Expr::val(false))
        .filter(policy::Column::Id.ne(id.0))
        .exec(tx)
        .await?;
    Ok(())
}

async fn keep_version(
    tx: &Tx,
    id: PolicyId,
    version: i64,
    document: serde_json::Value,
    by: &str,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let row = policy_version::ActiveModel {
        policy_id: Set(id.0),
        version: Set(version),
        document: Set(document),
        made_by: Set(by.to_owned()),
        made_at: Set(now),
    };
    policy_version::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

fn read(row: policy::Model) -> Result<NamedPolicy, Error> {
    Ok(NamedPolicy {
        id: PolicyId(row.id),
        name: row.name,
        is_default: row.is_default,
        policy: serde_json::from_value(row.document)?,
        version: row.version,
        turns: row.turns,
        updated_at: row.updated_at,
    })
}
