//! What refers to what: a thing that is used somewhere is not deleted.

use entity::policy;
use sea_orm::{ConnectionTrait, EntityTrait, QueryOrder};

use super::Error;
use crate::escalation::{Policy, Step};

/// What became of a wish to delete something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Deleted,
    /// It is still there: this is where it is used, in words.
    UsedIn(Vec<String>),
}

/// The policies with a step like this, in words.
pub(super) async fn policies_with<C: ConnectionTrait>(
    database: &C,
    like_this: impl Fn(&Step) -> bool,
) -> Result<Vec<String>, Error> {
    let mut places = Vec::new();
    for row in policy::Entity::find().order_by_asc(policy::Column::Name).all(database).await? {
        let policy: Policy = serde_json::from_value(row.document)?;
        if policy.all_steps().any(&like_this) {
            places.push(format!("policy \"{}\"", row.name));
        }
    }
    Ok(places)
}
