//! Escalation policies by name, and the default one.

use chrono::{DateTime, Utc};
use entity::policy;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter,
    sea_query::{Expr, OnConflict},
};

use super::{Error, Store};
use crate::{escalation::Policy, id::PolicyId};

/// A policy and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPolicy {
    /// Its name; unique.
    pub name: String,
    /// The policy.
    pub policy: Policy,
}

/// A policy as the configuration file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedPolicy {
    /// The policy of this name is made, or brought up to date.
    pub name: String,
    /// The policy.
    pub policy: Policy,
    /// Whether it pages for alerts that name none.
    pub is_default: bool,
}

impl Store {
    /// Makes these policies, by name, or brings them up to date. Others stay, but if one of these is
    /// the default one, none of the others is.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn seed_policies(&self, seeds: Vec<SeedPolicy>, now: DateTime<Utc>) -> Result<(), Error> {
        self.write(move |tx| {
            Box::pin(async move {
                if seeds.iter().any(|seed| seed.is_default) {
                    policy::Entity::update_many()
                        .col_expr(policy::Column::IsDefault, Expr::val(false))
                        .exec(tx)
                        .await?;
                }
                for seed in seeds {
                    let row = policy::ActiveModel {
                        id: Set(PolicyId::generate().0),
                        name: Set(seed.name),
                        is_default: Set(seed.is_default),
                        document: Set(serde_json::to_value(&seed.policy)?),
                        updated_at: Set(now),
                    };
                    let update = OnConflict::column(policy::Column::Name)
                        .update_columns([
                            policy::Column::IsDefault,
                            policy::Column::Document,
                            policy::Column::UpdatedAt,
                        ])
                        .to_owned();
                    policy::Entity::insert(row).on_conflict(update).exec_without_returning(tx).await?;
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

    /// The policy that pages for alerts that name none.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn default_policy(&self) -> Result<Option<NamedPolicy>, Error> {
        let row = policy::Entity::find().filter(policy::Column::IsDefault.eq(true)).one(&self.read).await?;
        row.map(read).transpose()
    }
}

fn read(row: policy::Model) -> Result<NamedPolicy, Error> {
    Ok(NamedPolicy { name: row.name, policy: serde_json::from_value(row.document)? })
}
