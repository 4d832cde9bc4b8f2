//! What somebody who sends texts for us calls each of them.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "message_segment";
const BY_SID: &str = "message_segment_by_sid";
const UNDER_WAY: &str = "message_segment_under_way";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // NULL where a modem sent it.
        let sid = Table::alter().table(TABLE).add_column(string_null("sid")).to_owned();
        manager.alter_table(sid).await?;
        let by_sid = Index::create().name(BY_SID).table(TABLE).col("sid").to_owned();
        manager.create_index(by_sid).await?;
        // What is asked after until it is known what became of it.
        let under_way = Index::create()
            .name(UNDER_WAY)
            .table(TABLE)
            .col("route")
            .col("sent_at")
            .and_where(Expr::col("sid").is_not_null().and(Expr::col("status").eq("sent")))
            .to_owned();
        manager.create_index(under_way).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for name in [UNDER_WAY, BY_SID] {
            manager.drop_index(Index::drop().name(name).table(TABLE).to_owned()).await?;
        }
        manager.alter_table(Table::alter().table(TABLE).drop_column("sid").to_owned()).await
    }
}
