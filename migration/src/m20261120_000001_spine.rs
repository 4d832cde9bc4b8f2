//! Contacts, policies, incidents, calls and their timelines.
//!
//! Instants are UTC with microseconds. Enumerations are their names in text, so that a person with
//! a database shell can read them.

use sea_orm_migration::{prelude::*, schema::*};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            contact(),
            contact_number(),
            policy(),
            incident(),
            incident_member(),
            call(),
            call_incident(),
            event(),
            setting(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [
            "setting",
            "event",
            "call_incident",
            "call",
            "incident_member",
            "incident",
            "policy",
            "contact_number",
            "contact",
        ] {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

/// A person who can be called.
fn contact() -> TableCreateStatement {
    table("contact")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(string("language"))
        .col(boolean("enabled"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// Their numbers, E.164 or extension, in the order in which they are tried.
fn contact_number() -> TableCreateStatement {
    table("contact_number")
        .col(uuid("contact_id"))
        .col(integer("position"))
        .col(string("number"))
        .primary_key(Index::create().col("contact_id").col("position"))
        .to_owned()
}

/// An escalation policy; `document` is `escalation::Policy` in JSON.
fn policy() -> TableCreateStatement {
    table("policy")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(boolean("is_default"))
        .col(json("document"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// What is kept open until acknowledged or resolved.
fn incident() -> TableCreateStatement {
    table("incident")
        .col(uuid("id").primary_key())
        .col(text("dedup_key"))
        // The same key while the incident is open, NULL once it is resolved: at most one open per key.
        .col(text_null("open_key").unique_key())
        // As it was named when raised; an incident that pages nobody, and a direct call, have none.
        .col(string_null("policy_name"))
        // The policy itself as it was when raised: `escalation::Policy` in JSON.
        .col(json_null("policy"))
        .col(string("source"))
        .col(text("summary"))
        .col(text("details"))
        .col(string("severity"))
        .col(json("labels"))
        // Alerts of the group that the sender left out.
        .col(integer("truncated"))
        // The name of the state; `state_document` is `escalation::State` in JSON, whole.
        .col(string("state"))
        .col(json("state_document"))
        // When the engine must look at it again.
        .col(timestamp_with_time_zone_null("due_at"))
        // Compare-and-set: whoever changes the row names the version that was read.
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("raised_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// An alert of a group, by Alertmanager's fingerprint; a generic alert has one with an empty one.
fn incident_member() -> TableCreateStatement {
    table("incident_member")
        .col(uuid("incident_id"))
        .col(string("fingerprint"))
        .col(text("summary"))
        .col(string("severity"))
        .col(boolean("firing"))
        .col(json("labels"))
        .col(timestamp_with_time_zone("updated_at"))
        .primary_key(Index::create().col("incident_id").col("fingerprint"))
        .to_owned()
}

/// One attempt to reach one number by phone.
fn call() -> TableCreateStatement {
    table("call")
        .col(uuid("id").primary_key())
        // Whose line it occupies: the contact's id, or the bare number. One live call per line.
        .col(string("line"))
        .col(uuid_null("contact_id"))
        .col(string_null("contact_name"))
        .col(string("number"))
        // Which of the contact's numbers it is.
        .col(integer("number_index"))
        .col(string("status"))
        // No further incident may join it.
        .col(boolean("closed"))
        // Proof that an AGI session belongs to it.
        .col(string("token"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone_null("dialed_at"))
        .col(timestamp_with_time_zone_null("ringing_at"))
        .col(timestamp_with_time_zone_null("answered_at"))
        .col(timestamp_with_time_zone_null("ended_at"))
        // False when no route took it: the attempt does not count.
        .col(boolean("found_route"))
        // As Asterisk's: ANSWERED, NO ANSWER, BUSY, FAILED, CONGESTION.
        .col(string_null("disposition"))
        // ITU-T Q.850 in number and words.
        .col(integer_null("cause"))
        .col(string_null("cause_text"))
        // The SIP status of the final answer.
        .col(integer_null("sip_status"))
        // In plain words, why it did not reach anybody.
        .col(text_null("failure"))
        // How much of what we had to say was played, in milliseconds.
        .col(big_integer("heard_ms"))
        // The alert itself was played to its end at least once, or a digit proved it heard.
        .col(boolean("heard"))
        // Every digit pressed, in order.
        .col(text("digits"))
        // Who gave it up, if somebody did.
        .col(string_null("canceled_by"))
        // Whoever is being called need not be any more, and is hung up on unless they have answered.
        .col(boolean("given_up"))
        .to_owned()
}

/// Which incidents a call is about, for which attempt of each, and what became of it.
fn call_incident() -> TableCreateStatement {
    table("call_incident")
        .col(uuid("call_id"))
        .col(uuid("incident_id"))
        // The order in which they are spoken.
        .col(integer("ordinal"))
        .col(integer("run"))
        .col(integer("round"))
        .col(integer("step"))
        .col(integer("attempt"))
        .col(string("said"))
        // It joined when somebody was on the line already: no number of incidents that they heard counts it.
        .col(boolean("late"))
        .primary_key(Index::create().col("call_id").col("incident_id"))
        .to_owned()
}

/// The timeline. An event is about an incident, about a call (and so about each of its incidents), or both.
fn event() -> TableCreateStatement {
    table("event")
        .col(uuid("id").primary_key())
        .col(uuid_null("incident_id"))
        .col(uuid_null("call_id"))
        .col(timestamp_with_time_zone("at"))
        .col(string("kind"))
        .col(json("data"))
        .to_owned()
}

/// What is switched while the server runs, such as the kill switch.
fn setting() -> TableCreateStatement {
    table("setting")
        .col(string("key").primary_key())
        .col(json("value"))
        .col(timestamp_with_time_zone("updated_at"))
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
        // The engine's tick.
        index("incident_due", "incident", &["due_at"]),
        // Lists, newest first.
        index("incident_by_state", "incident", &["state", "id"]),
        index("incident_by_policy", "incident", &["policy_name", "id"]),
        index("incident_by_key", "incident", &["dedup_key", "id"]),
        // The dialer's claim, its watchdog, the live calls.
        index("call_by_status", "call", &["status", "id"]),
        // A contact's calls.
        index("call_by_line", "call", &["line", "status"]),
        // One call on a line, however many servers claim at the same instant.
        index("call_on_the_line", "call", &["line"])
            .unique()
            .and_where(Expr::col("status").is_in(["dialing", "ringing", "answered"]))
            .to_owned(),
        index("call_by_number", "call", &["number", "id"]),
        // The caps per hour.
        index("call_by_dialed_at", "call", &["dialed_at"]),
        index("call_incident_by_incident", "call_incident", &["incident_id", "run", "round"]),
        index("event_by_incident", "event", &["incident_id", "id"]),
        index("event_by_call", "event", &["call_id", "id"]),
    ]
}
