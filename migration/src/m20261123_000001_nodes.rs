//! Which server has placed a call, so that no other takes it for its own while that one lives.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(node()).await?;
        let column = Table::alter().table("call").add_column(string_null("node")).to_owned();
        manager.alter_table(column).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("call").drop_column("node").to_owned()).await?;
        manager.drop_table(Table::drop().table("node").to_owned()).await
    }
}

/// A server that places calls. That it lives is seen by `beats`, which it counts up every few seconds: no
/// clock is asked, so none can be wrong.
fn node() -> TableCreateStatement {
    Table::create()
        .table("node")
        // As configured, or made once in its data directory.
        .col(string("name").primary_key())
        // Made anew with each start: of two servers under one name the later one has it.
        .col(uuid("instance"))
        .col(big_integer("beats"))
        // For people, and for removing those that are long gone.
        .col(timestamp_with_time_zone("seen_at"))
        .to_owned()
}
