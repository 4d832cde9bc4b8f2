//! ringdown's migrations. Append-only: one that has been released is never edited. Each runs on
//! SQLite and on PostgreSQL.

pub use sea_orm_migration::MigratorTrait;
use sea_orm_migration::{MigrationTrait, async_trait};

mod m20261120_000001_spine;
mod m20261121_000001_people_and_time;
mod m20261122_000001_access;
mod m20261122_000002_telling;
mod m20261122_000003_channel_events;
mod m20261122_000005_call_lists;
mod m20261123_000001_nodes;
mod m20261124_000001_intake;
mod m20261125_000001_messages;
mod m20261126_000001_answers;
mod m20261126_000002_sids;

/// All migrations, oldest first.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261120_000001_spine::Migration),
            Box::new(m20261121_000001_people_and_time::Migration),
            Box::new(m20261122_000001_access::Migration),
            Box::new(m20261122_000002_telling::Migration),
            Box::new(m20261122_000003_channel_events::Migration),
            Box::new(m20261122_000005_call_lists::Migration),
            Box::new(m20261123_000001_nodes::Migration),
            Box::new(m20261124_000001_intake::Migration),
            Box::new(m20261125_000001_messages::Migration),
            Box::new(m20261126_000001_answers::Migration),
            Box::new(m20261126_000002_sids::Migration),
        ]
    }
}
