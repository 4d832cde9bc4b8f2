//! What other systems are told: events get a sequence, webhooks and callbacks have deliveries; and
//! requests that are sent again are known by their key.

use sea_orm_migration::{prelude::*, schema::*, sea_orm::ConnectionTrait};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// What is made here, in the order in which it is made.
const TABLES: [&str; 5] = ["event_counter", "webhook", "callback", "delivery", "idempotency"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        // The order in which events were committed; NULL only inside of the transaction that writes them.
        let sequence = Table::alter().table("event").add_column(big_integer_null("sequence")).to_owned();
        manager.alter_table(sequence).await?;
        for table in [event_counter(), webhook(), callback(), delivery(), idempotency()] {
            manager.create_table(table).await?;
        }
        let database = manager.get_connection();
        database
            .execute_unprepared(
                "UPDATE event SET sequence = numbered.place \
                 FROM (SELECT id, row_number() OVER (ORDER BY id) AS place FROM event) AS numbered \
                 WHERE event.id = numbered.id",
            )
            .await?;
        database
            .execute_unprepared("INSERT INTO event_counter (id, last) SELECT 1, coalesce(max(sequence), 0) FROM event")
            .await?;
        database.execute_unprepared("INSERT INTO event_counter (id, last) SELECT 2, last FROM event_counter").await?;
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        // The column stays: what the version before does not know does not trouble it.
        Ok(())
    }
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

/// Row 1: the last sequence that was given to an event. Whoever numbers events holds its lock until
/// they are committed, so that the order of numbers is the order of commits. Row 2: up to which event
/// callbacks have been made.
fn event_counter() -> TableCreateStatement {
    table("event_counter").col(integer("id").primary_key()).col(big_integer("last")).to_owned()
}

/// Who wants to be told of what.
fn webhook() -> TableCreateStatement {
    table("webhook")
        .col(uuid("id").primary_key())
        .col(text("url"))
        .col(text("description"))
        // Kinds of events; none are all.
        .col(json("kinds"))
        // As it is: every delivery is signed with it.
        .col(string("secret"))
        .col(boolean("enabled"))
        // Up to which event deliveries have been made.
        .col(big_integer("position"))
        .col(big_integer("version"))
        .col(string("made_by"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// Where what becomes of an incident that is a direct call is told.
fn callback() -> TableCreateStatement {
    table("callback")
        .col(uuid("incident_id").primary_key())
        .col(text("url"))
        .col(timestamp_with_time_zone("created_at"))
        .to_owned()
}

/// What is to be told to somebody, and what became of it.
fn delivery() -> TableCreateStatement {
    table("delivery")
        .col(uuid("id").primary_key())
        // What goes one after the other: a webhook, or where callbacks go.
        .col(text("lane"))
        // NULL for a callback.
        .col(uuid_null("webhook_id"))
        .col(uuid("event_id"))
        .col(uuid_null("incident_id"))
        // The event's.
        .col(big_integer("sequence"))
        .col(string("kind"))
        // Of a callback: where it goes. A webhook's may change.
        .col(text_null("url"))
        // What is sent, as it is signed.
        .col(text("body"))
        // pending, delivered, dead
        .col(string("status"))
        .col(integer("tries"))
        // When it is tried (again); NULL when it is not.
        .col(timestamp_with_time_zone_null("next_at"))
        // The status of the last answer, if there was one, and what was wrong.
        .col(integer_null("answer"))
        .col(text_null("failure"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone_null("ended_at"))
        .to_owned()
}

/// Requests that may be sent again, by the digest of who sends what under which key.
fn idempotency() -> TableCreateStatement {
    table("idempotency")
        .col(string("digest").primary_key())
        // SHA-256 of the body.
        .col(string("body"))
        // What the request makes has this identifier, however often it is sent.
        .col(uuid("chosen"))
        // What the operation wants to know again if it is run again.
        .col(json_null("noted"))
        // Which server runs it, and until when nobody else does.
        .col(uuid("runner"))
        .col(timestamp_with_time_zone("lease_until"))
        // The answer, once there is one.
        .col(integer_null("status"))
        .col(json_null("answer"))
        .col(timestamp_with_time_zone("created_at"))
        .to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &'static str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(name).table(table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    vec![
        index("event_by_sequence", "event", &["sequence"]).unique().to_owned(),
        index("event_unnumbered", "event", &["id"]).and_where(Expr::col("sequence").is_null()).to_owned(),
        // An event is told to somebody once, however often a server dies over it.
        index("delivery_once", "delivery", &["lane", "event_id", "incident_id"]).unique().to_owned(),
        index("delivery_due", "delivery", &["next_at", "lane"]),
        index("delivery_by_lane", "delivery", &["lane", "sequence"]),
        index("delivery_by_webhook", "delivery", &["webhook_id", "status", "id"]),
        index("delivery_by_end", "delivery", &["status", "ended_at"]),
        index("idempotency_by_age", "idempotency", &["created_at"]),
    ]
}
