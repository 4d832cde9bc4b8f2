//! Answers by text: who acts on a text that came in, what is to be done, and what it has done; texts that
//! leave as one; who has turned texts off; whether somebody is told of their shifts.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(inbound_effect()).await?;
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        let bundles = Index::create()
            .name("message_by_bundle")
            .table("message")
            .col("bundle")
            .and_where(Expr::col("bundle").is_not_null())
            .to_owned();
        manager.create_index(bundles).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("message_by_bundle").table("message").to_owned()).await?;
        for (table, column) in columns() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(name).to_owned()).await?;
        }
        manager.drop_table(Table::drop().table("inbound_effect").to_owned()).await
    }
}

/// That a text has had its effect on an incident: written with the effect, and so once.
fn inbound_effect() -> TableCreateStatement {
    Table::create()
        .table("inbound_effect")
        .col(uuid("message_id"))
        .col(uuid("incident_id"))
        .col(timestamp_with_time_zone("at"))
        .primary_key(Index::create().col("message_id").col("incident_id"))
        .to_owned()
}

fn columns() -> [(&'static str, ColumnDef); 8] {
    [
        // The server that acts on it, and since when.
        ("inbound_message", string_null("claimed_by")),
        ("inbound_message", timestamp_with_time_zone_null("claimed_at")),
        // What is to be done about it, decided once.
        ("inbound_message", json_null("plan")),
        // The step of the run that it is of: what "pass it on" means in an answer to it.
        ("message", integer_null("round")),
        ("message", integer_null("step")),
        // The one whose text says this, too: several leave as one.
        ("message", uuid_null("bundle")),
        // Who turned them off.
        ("opted_out", string_null("by")),
        // Whether they are texted when their shifts begin and end.
        ("contact", boolean("tell_shifts").default(false).to_owned()),
    ]
}
