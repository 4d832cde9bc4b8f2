//! The address book, schedules, calendars, silences, heartbeats and reminders; policies get versions.
//!
//! Contacts lose the uniqueness of their names, since two people may be called the same, and their
//! table is made anew: SQLite cannot take a constraint away.

use sea_orm_migration::{
    prelude::*,
    schema::*,
    sea_orm::{ConnectionTrait, DbBackend},
};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

/// What is made here, in the order in which it is made.
const TABLES: [&str; 13] = [
    "contact_term",
    "contact_group",
    "contact_group_member",
    "policy_version",
    "schedule",
    "schedule_override",
    "schedule_window",
    "calendar",
    "silence",
    "heartbeat",
    "reminder",
    "feed",
    "seed",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        renew_contacts(manager, backend).await?;
        for (table, columns) in new_columns() {
            for column in columns {
                // One by one: SQLite adds a single column in a statement.
                manager.alter_table(Table::alter().table(table).add_column(column).to_owned()).await?;
            }
        }
        for table in [
            contact_term(backend),
            contact_group(),
            contact_group_member(),
            policy_version(),
            schedule(),
            schedule_override(),
            schedule_window(),
            calendar(),
            silence(),
            heartbeat(),
            reminder(),
            feed(),
            seed(),
        ] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // What the file has made before is not made again when somebody deletes it.
        let database = manager.get_connection();
        database.execute_unprepared("INSERT INTO seed (kind, name) SELECT 'contact', name FROM contact").await?;
        database.execute_unprepared("INSERT INTO seed (kind, name) SELECT 'policy', name FROM policy").await?;
        database
            .execute_unprepared(
                "INSERT INTO policy_version (policy_id, version, document, made_by, made_at) \
                 SELECT id, 1, document, 'the configuration file', updated_at FROM policy",
            )
            .await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        // The columns stay: what the version before does not know does not trouble it.
        Ok(())
    }
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

/// A column that is compared byte by byte, so that a prefix is a range of the index.
fn bytewise(name: &'static str, backend: DbBackend) -> ColumnDef {
    let mut column = string(name);
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

/// A person: names, numbers, and everything else an address book holds.
async fn renew_contacts(manager: &SchemaManager<'_>, backend: DbBackend) -> Result<(), DbErr> {
    let new = table("contact_new")
        .col(uuid("id").primary_key())
        .col(string("name"))
        .col(string("surname"))
        // Both in lower case: the order of lists.
        .col(bytewise("sort_name", backend))
        .col(string("language"))
        .col(string("time_zone"))
        .col(string("email"))
        .col(string_null("sms_number"))
        .col(string("address"))
        .col(string("zip_code"))
        .col(string("city"))
        .col(string("state"))
        .col(string("country"))
        .col(text("annotations"))
        .col(json("tags"))
        .col(boolean("enabled"))
        // argon2id in PHC form.
        .col(string_null("pin_hash"))
        // Wants to know when what they have taken is over.
        .col(boolean("tell_when_over"))
        // Compare-and-set for editors.
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned();
    manager.create_table(new).await?;
    let database = manager.get_connection();
    database
        .execute_unprepared(
            "INSERT INTO contact_new (id, name, surname, sort_name, language, time_zone, email, sms_number, address, \
             zip_code, city, state, country, annotations, tags, enabled, pin_hash, tell_when_over, version, \
             created_at, updated_at) \
             SELECT id, name, '', lower(name), language, 'UTC', '', NULL, '', '', '', '', '', '', '[]', enabled, NULL, \
             FALSE, 1, updated_at, updated_at FROM contact",
        )
        .await?;
    manager.drop_table(Table::drop().table("contact").to_owned()).await?;
    manager.rename_table(Table::rename().table("contact_new", "contact").to_owned()).await
}

fn new_columns() -> Vec<(&'static str, Vec<ColumnDef>)> {
    let kind = string("kind").default("").to_owned();
    let label = string("label").default("").to_owned();
    vec![
        // What sort of number it is (mobile, home, work, ...), and what its owner calls it.
        ("contact_number", vec![kind, label]),
        (
            "policy",
            vec![
                big_integer("version").default(1).to_owned(),
                // How many incidents it has paged for: whose turn it is where people take turns.
                big_integer("turns").default(0).to_owned(),
            ],
        ),
        (
            "incident",
            vec![
                uuid_null("policy_id"),
                // Which version of the policy `policy` is.
                big_integer_null("policy_version"),
                // The policy's `turns` when it was raised.
                integer("turn").default(0).to_owned(),
                // Whether silences and maintenance windows hold it: a direct call was asked for by somebody.
                boolean("hushable").default(true).to_owned(),
            ],
        ),
        // An event may be about a schedule as well: who came on duty.
        ("event", vec![uuid_null("schedule_id")]),
    ]
}

/// What a contact is found by: each word of their names in lower case, each of their numbers in digits.
/// The name that lists are ordered by stands beside it, so that a page is found without looking at
/// everybody who matches.
fn contact_term(backend: DbBackend) -> TableCreateStatement {
    table("contact_term")
        .col(bytewise("term", backend))
        .col(bytewise("sort_name", backend))
        .col(uuid("contact_id"))
        .primary_key(Index::create().col("term").col("sort_name").col("contact_id"))
        .to_owned()
}

fn contact_group() -> TableCreateStatement {
    table("contact_group")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(text("description"))
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

fn contact_group_member() -> TableCreateStatement {
    table("contact_group_member")
        .col(uuid("group_id"))
        .col(uuid("contact_id"))
        .col(integer("position"))
        .primary_key(Index::create().col("group_id").col("contact_id"))
        .to_owned()
}

/// Every version of a policy that there was; `document` is `escalation::Policy` in JSON.
fn policy_version() -> TableCreateStatement {
    table("policy_version")
        .col(uuid("policy_id"))
        .col(big_integer("version"))
        .col(json("document"))
        .col(string("made_by"))
        .col(timestamp_with_time_zone("made_at"))
        .primary_key(Index::create().col("policy_id").col("version"))
        .to_owned()
}

/// An on-call schedule; `document` is `oncall::Schedule` in JSON.
fn schedule() -> TableCreateStatement {
    table("schedule")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(text("description"))
        .col(json("document"))
        .col(big_integer("version"))
        // Who was on duty when it was last looked at, by contact id: a change is told once.
        .col(json("on_duty"))
        // When it must be looked at again.
        .col(timestamp_with_time_zone_null("next_look_at"))
        // Counts whatever may change who is on duty, overrides and windows included, and the looks at
        // it: of several servers that look at once one notes the change.
        .col(big_integer("revision"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// Replaces, adds or removes people for a span.
fn schedule_override() -> TableCreateStatement {
    table("schedule_override")
        .col(uuid("id").primary_key())
        .col(uuid("schedule_id"))
        // replace, add, remove
        .col(string("kind"))
        // Contact ids.
        .col(json("people"))
        .col(timestamp_with_time_zone("from_at"))
        .col(timestamp_with_time_zone("until_at"))
        // What it is called in the calendar that it was imported from: importing it again changes it.
        .col(string_null("uid"))
        .col(string("made_by"))
        .col(timestamp_with_time_zone("made_at"))
        .to_owned()
}

/// One-off windows of duty: of those that cover an instant the lowest priority number counts.
fn schedule_window() -> TableCreateStatement {
    table("schedule_window")
        .col(uuid("id").primary_key())
        .col(uuid("schedule_id"))
        .col(uuid("contact_id"))
        .col(timestamp_with_time_zone("from_at"))
        .col(timestamp_with_time_zone("until_at"))
        .col(integer("priority"))
        .to_owned()
}

/// Business hours and holidays; `document` is `calendar::Calendar` in JSON.
fn calendar() -> TableCreateStatement {
    table("calendar")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(json("document"))
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// Silences and maintenance windows.
fn silence() -> TableCreateStatement {
    table("silence")
        .col(uuid("id").primary_key())
        // silence, maintenance
        .col(string("kind"))
        .col(text("comment"))
        // In Alertmanager's syntax.
        .col(json("matchers"))
        // Of the first time, if it repeats.
        .col(timestamp_with_time_zone("from_at"))
        .col(timestamp_with_time_zone("until_at"))
        // Local times of what repeats are of this zone.
        .col(string("time_zone"))
        // RFC 5545.
        .col(string_null("rrule"))
        // When it begins next: what escalates then must stop.
        .col(timestamp_with_time_zone_null("begins_at"))
        .col(string("made_by"))
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// A dead man's switch; `document` is what it says and whom it pages when the beats stop.
fn heartbeat() -> TableCreateStatement {
    table("heartbeat")
        .col(uuid("id").primary_key())
        .col(string("name").unique_key())
        .col(json("document"))
        .col(big_integer("version"))
        .col(timestamp_with_time_zone_null("beat_at"))
        // When it is missed; NULL once that has been told.
        .col(timestamp_with_time_zone_null("due_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// A scheduled call that repeats; `document` is whom, what and when.
fn reminder() -> TableCreateStatement {
    table("reminder")
        .col(uuid("id").primary_key())
        .col(json("document"))
        .col(big_integer("version"))
        // The next time; NULL when there is none any more.
        .col(timestamp_with_time_zone_null("next_at"))
        .col(string("made_by"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// A secret address of a calendar: who is on call, for a schedule or for a person.
fn feed() -> TableCreateStatement {
    table("feed")
        .col(uuid("id").primary_key())
        .col(uuid_null("schedule_id"))
        .col(uuid_null("contact_id"))
        // SHA-256 of the secret, in hexadecimal.
        .col(string("token_sha256").unique_key())
        .col(timestamp_with_time_zone("created_at"))
        .to_owned()
}

/// What the configuration file has made once: it does not make it again.
fn seed() -> TableCreateStatement {
    table("seed")
        .col(string("kind"))
        .col(string("name"))
        .primary_key(Index::create().col("kind").col("name"))
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
        index("contact_by_name", "contact", &["sort_name", "id"]),
        index("contact_number_by_number", "contact_number", &["number"]),
        index("contact_term_by_contact", "contact_term", &["contact_id", "term"]),
        index("contact_group_by_contact", "contact_group_member", &["contact_id"]),
        index("schedule_next_look", "schedule", &["next_look_at"]),
        index("schedule_override_by_schedule", "schedule_override", &["schedule_id", "until_at"]),
        index("schedule_override_by_uid", "schedule_override", &["schedule_id", "uid"]),
        index("schedule_window_by_schedule", "schedule_window", &["schedule_id", "until_at"]),
        index("schedule_window_by_contact", "schedule_window", &["contact_id"]),
        index("silence_begins", "silence", &["begins_at"]),
        index("heartbeat_due", "heartbeat", &["due_at"]),
        index("reminder_next", "reminder", &["next_at"]),
        index("feed_by_schedule", "feed", &["schedule_id"]),
        index("feed_by_contact", "feed", &["contact_id"]),
        index("event_by_schedule", "event", &["schedule_id", "id"]),
    ]
}
