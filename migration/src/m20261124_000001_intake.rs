//! What makes it cheap to take alerts in: which calls others may join, and how many incidents each carries,
//! are known without reading them; and an event stands in the indexes of what it is about, not in others.

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
        manager.create_index(by_ordinal()).await?;
        // Whoever numbers events knows which.
        manager.drop_index(Index::drop().name("event_unnumbered").table("event").to_owned()).await?;
        for (name, column) in ABOUT {
            manager.drop_index(Index::drop().name(name).table("event").to_owned()).await?;
            manager.create_index(about(name, column).and_where(Expr::col(column).is_not_null()).to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, column) in ABOUT {
            manager.drop_index(Index::drop().name(name).table("event").to_owned()).await?;
            manager.create_index(about(name, column)).await?;
        }
        let mut unnumbered = Index::create();
        unnumbered.name("event_unnumbered").table("event").col("id").and_where(Expr::col("sequence").is_null());
        manager.create_index(unnumbered.to_owned()).await?;
        manager.drop_index(Index::drop().name("call_incident_by_ordinal").table("call_incident").to_owned()).await?;
        manager.alter_table(Table::alter().table("call").drop_column("alone").to_owned()).await
    }
}

/// Most events are about one or two of them.
const ABOUT: [(&str, &str); 3] =
    [("event_by_incident", "incident_id"), ("event_by_call", "call_id"), ("event_by_schedule", "schedule_id")];

fn about(name: &'static str, column: &'static str) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table("event").col(column).col("id");
    index.to_owned()
}

fn by_ordinal() -> IndexCreateStatement {
    let mut index = Index::create();
    index.name("call_incident_by_ordinal").table("call_incident").col("call_id").col("ordinal");
    index.to_owned()
}
