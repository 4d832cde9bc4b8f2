//! Which calls others may join, and how many incidents each carries, known without reading them.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // Placed in a way of its own: nothing joins it.
        let alone = boolean("alone").default(false).to_owned();
        manager.alter_table(Table::alter().table("call").add_column(alone).to_owned()).await?;
        manager
            .get_connection()
            .execute_unprepared(
                "UPDATE call SET alone = TRUE \
                 WHERE status IN ('pending', 'dialing', 'ringing', 'answered') AND EXISTS ( \
                 SELECT 1 FROM call_incident JOIN incident ON incident.id = call_incident.incident_id \
                 WHERE call_incident.call_id = call.id AND CAST(incident.policy AS TEXT) LIKE '%\"placing\"%')",
            )
            .await?;
        manager.create_index(by_ordinal()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("call_incident_by_ordinal").table("call_incident").to_owned()).await?;
        manager.alter_table(Table::alter().table("call").drop_column("alone").to_owned()).await
    }
}

fn by_ordinal() -> IndexCreateStatement {
    let mut index = Index::create();
    index.name("call_incident_by_ordinal").table("call_incident").col("call_id").col("ordinal");
    index.to_owned()
}
