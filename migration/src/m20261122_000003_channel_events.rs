//! Asterisk's events of our channels, kept per call for a while; an incident knows the trace that it belongs to.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLE: &str = "channel_event";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut table = Table::create();
        table
            .table(TABLE)
            .col(uuid("id").primary_key())
            // No reference: what is written beside the calls must never fail because of them.
            .col(uuid("call_id"))
            .col(timestamp_with_time_zone("at"))
            .col(string("name"))
            .col(text_null("channel"))
            .col(json("headers"));
        manager.create_table(table).await?;
        // Where the trace stood when the incident was raised, as in the header `traceparent`.
        let column = Table::alter().table("incident").add_column(string_null("traceparent")).to_owned();
        manager.alter_table(column).await?;
        let by_call = Index::create().name("channel_event_by_call").table(TABLE).col("call_id").col("id").to_owned();
        manager.create_index(by_call).await?;
        // What is too old is found by its age.
        let by_age = Index::create().name("channel_event_by_age").table(TABLE).col("at").to_owned();
        manager.create_index(by_age).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("incident").drop_column("traceparent").to_owned()).await?;
        manager.drop_table(Table::drop().table(TABLE).to_owned()).await
    }
}
