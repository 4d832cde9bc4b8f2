//! What the configuration file has made once: when somebody deletes it, it stays deleted.

use entity::seed;
use sea_orm::{ActiveValue::Set, EntityTrait, sea_query::OnConflict};

use super::Error;
use crate::store::writer::Tx;

/// Whether the file makes this for the first time; it will not be the first time again.
pub(super) async fn first_time(tx: &Tx, kind: &str, name: &str) -> Result<bool, Error> {
    let row = seed::ActiveModel { kind: Set(kind.to_owned()), name: Set(name.to_owned()) };
    let nothing = OnConflict::columns([seed::Column::Kind, seed::Column::Name]).do_nothing().to_owned();
    let written = seed::Entity::insert(row).on_conflict(nothing).exec_without_returning(tx).await?;
    Ok(written == 1)
}
