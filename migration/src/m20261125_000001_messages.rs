//! Text messages: what is to be sent and what became of it, what came in, and who wants none.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let new = [
            message(),
            message_segment(),
            message_report(),
            inbound_part(),
            inbound_message(),
            opted_out(),
            incident_code(),
        ];
        for table in new {
            manager.create_table(table).await?;
        }
        for (table, column) in columns() {
            manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        let first = Query::insert()
            .into_table("incident_code")
            .columns(["id", "last"])
            .values_panic([1.into(), 0.into()])
            .to_owned();
        manager.execute(first).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table) in [("incident_open_code", "incident"), ("event_by_message", "event")] {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        for (table, column) in columns() {
            let name = column.get_column_name();
            manager.alter_table(Table::alter().table(table).drop_column(name).to_owned()).await?;
        }
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

const TABLES: [&str; 7] =
    ["incident_code", "opted_out", "inbound_message", "inbound_part", "message_report", "message_segment", "message"];

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

/// A text that is to be sent to one number.
fn message() -> TableCreateStatement {
    table("message")
        .col(uuid("id").primary_key())
        // What it is about; a text that somebody asked for is about nothing.
        .col(uuid_null("incident_id"))
        // Which run of the incident's policy it is of: the first page of each goes before anything else.
        .col(integer_null("run"))
        .col(uuid_null("contact_id"))
        .col(string_null("contact_name"))
        // E.164.
        .col(string("number"))
        // page, missed_call, over, direct, answer.
        .col(string("kind"))
        // What has the lowest goes first; 0 is held back by no limit.
        .col(integer("priority"))
        // NULL until it is sent: it then says how things are.
        .col(text_null("body"))
        // pending sending sent delivered failed unknown expired canceled
        .col(string("status"))
        // How often it was tried, and by which route the last time.
        .col(integer("attempts"))
        .col(string_null("route"))
        // Who was about to send it, since when.
        .col(string_null("node"))
        .col(timestamp_with_time_zone_null("claimed_at"))
        .col(timestamp_with_time_zone("not_before"))
        .col(timestamp_with_time_zone("expires_at"))
        // How many messages it takes; known once it is sent.
        .col(integer_null("segments"))
        // Why it was not sent, the last time.
        .col(text_null("failure"))
        // Who asked for it.
        .col(string_null("source"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone_null("sent_at"))
        .col(timestamp_with_time_zone_null("ended_at"))
        .to_owned()
}

/// A part of a text that a route has taken.
fn message_segment() -> TableCreateStatement {
    table("message_segment")
        .col(uuid("message_id"))
        .col(string("route"))
        // From 1.
        .col(integer("ordinal"))
        // What status reports call it (TP-MR), beside the number; used again after 256 texts.
        .col(integer("reference"))
        .col(string("number"))
        .col(timestamp_with_time_zone("sent_at"))
        // sent delivered failed
        .col(string("status"))
        // What the last status report says, in words.
        .col(string_null("report"))
        .col(timestamp_with_time_zone_null("reported_at"))
        .primary_key(Index::create().col("message_id").col("route").col("ordinal"))
        .to_owned()
}

/// A status report that belongs to nothing we know: it came before its message was stored as sent, or it is
/// about somebody else's.
fn message_report() -> TableCreateStatement {
    table("message_report")
        .col(uuid("id").primary_key())
        .col(string("route"))
        .col(integer("reference"))
        .col(string_null("number"))
        // delivered trying failed
        .col(string("fate"))
        .col(string("report"))
        .col(timestamp_with_time_zone("received_at"))
        .to_owned()
}

/// A part of a text that came in, as it came. Its digest is what makes it one: a modem hands the same part
/// over again until it hears that it is stored.
fn inbound_part() -> TableCreateStatement {
    table("inbound_part")
        .col(string("digest").primary_key())
        .col(string("route"))
        .col(string_null("sender"))
        // What the parts of a longer text have in common; NULL for a text that is whole.
        .col(string_null("series"))
        .col(integer("number"))
        .col(integer("total"))
        // As it came: a character may begin in one part and end in the next.
        .col(binary("body"))
        .col(timestamp_with_time_zone("received_at"))
        // The text that it became part of.
        .col(uuid_null("message_id"))
        .to_owned()
}

/// A text that came in.
fn inbound_message() -> TableCreateStatement {
    table("inbound_message")
        .col(uuid("id").primary_key())
        .col(string("route"))
        // As the network says it; NULL if it does not.
        .col(string_null("sender"))
        .col(uuid_null("contact_id"))
        .col(text("body"))
        // Whether no part is missing.
        .col(boolean("whole"))
        .col(timestamp_with_time_zone("received_at"))
        // When something was done about it, and what.
        .col(timestamp_with_time_zone_null("handled_at"))
        .col(text_null("outcome"))
        .to_owned()
}

/// A number that wants no texts.
fn opted_out() -> TableCreateStatement {
    table("opted_out").col(string("number").primary_key()).col(timestamp_with_time_zone("at")).to_owned()
}

/// One row: the code that was given to an incident last.
fn incident_code() -> TableCreateStatement {
    table("incident_code").col(integer("id").primary_key()).col(big_integer("last")).to_owned()
}

fn columns() -> [(&'static str, ColumnDef); 3] {
    [
        // What stands for it in texts; it has one once it is texted about.
        ("incident", integer_null("code")),
        // Whoever does not answer the call gets a text, worth sending for so many seconds; none if it is NULL.
        ("call_incident", integer_null("text_if_missed")),
        ("event", uuid_null("message_id")),
    ]
}

fn index(name: &'static str, table: &'static str, columns: &[&'static str]) -> IndexCreateStatement {
    let mut index = Index::create();
    index.name(name).table(table);
    for column in columns {
        index.col(*column);
    }
    index.to_owned()
}

fn indexes() -> Vec<IndexCreateStatement> {
    let unique = |mut index: IndexCreateStatement| index.unique().to_owned();
    vec![
        index("message_waiting", "message", &["priority", "id"])
            .and_where(Expr::col("status").eq("pending"))
            .to_owned(),
        index("message_under_way", "message", &["claimed_at"]).and_where(Expr::col("status").eq("sending")).to_owned(),
        index("message_by_incident", "message", &["incident_id", "id"]),
        index("message_by_contact", "message", &["contact_id", "id"]),
        index("message_by_number", "message", &["number", "id"]),
        index("message_by_sending", "message", &["claimed_at", "number"]),
        index("message_segment_by_reference", "message_segment", &["route", "reference", "sent_at"]),
        index("message_report_by_reference", "message_report", &["route", "reference", "received_at"]),
        index("inbound_part_by_series", "inbound_part", &["series"])
            .and_where(Expr::col("message_id").is_null())
            .to_owned(),
        index("inbound_message_unhandled", "inbound_message", &["id"])
            .and_where(Expr::col("handled_at").is_null())
            .to_owned(),
        unique(index("incident_open_code", "incident", &["code"]))
            .and_where(Expr::col("open_key").is_not_null())
            .to_owned(),
        index("event_by_message", "event", &["message_id", "id"])
            .and_where(Expr::col("message_id").is_not_null())
            .to_owned(),
    ]
}
