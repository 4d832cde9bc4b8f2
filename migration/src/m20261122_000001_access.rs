//! Who may do what: users and their log-ins, API keys, and the audit log.

use sea_orm_migration::{prelude::*, schema::*, sea_orm::ConnectionTrait};

/// See the module.
#[derive(DeriveMigrationName)]
pub struct Migration;

const TABLES: [&str; 5] = ["user_account", "login", "api_key", "audit", "audit_head"];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in [user_account(), login(), api_key(), audit(), audit_head()] {
            manager.create_table(table).await?;
        }
        for index in indexes() {
            manager.create_index(index).await?;
        }
        // The chain begins with a digest of nothing.
        let first = "INSERT INTO audit_head (id, seq, hash) VALUES (1, 0, '')";
        manager.get_connection().execute_unprepared(first).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            manager.drop_table(Table::drop().table(table).to_owned()).await?;
        }
        Ok(())
    }
}

fn table(name: &'static str) -> TableCreateStatement {
    Table::create().table(name).to_owned()
}

/// Whoever logs in.
fn user_account() -> TableCreateStatement {
    table("user_account")
        .col(uuid("id").primary_key())
        // In lower case.
        .col(string("name").unique_key())
        // viewer, responder, manager, admin
        .col(string("role"))
        // argon2id in PHC form.
        .col(string("password_hash"))
        .col(boolean("enabled"))
        // The person of the address book that they are.
        .col(uuid_null("contact_id"))
        .col(big_integer("version"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("updated_at"))
        .to_owned()
}

/// A log-in: access tokens name it, and are worth nothing once it is gone.
fn login() -> TableCreateStatement {
    table("login")
        .col(uuid("id").primary_key())
        .col(uuid("user_id"))
        // SHA-256 of the refresh token, in hexadecimal, as all digests here.
        // Whoever comes with another one of the same log-in has copied it, or was copied from.
        .col(string("refresh_sha256"))
        // Names of scopes: it never allows more than was asked for first.
        .col(json("scopes"))
        .col(string_null("address"))
        .col(timestamp_with_time_zone("created_at"))
        .col(timestamp_with_time_zone("used_at"))
        .col(timestamp_with_time_zone("expires_at"))
        .to_owned()
}

/// An API key. Two of one name may be live, so that one can be replaced without a gap.
fn api_key() -> TableCreateStatement {
    table("api_key")
        .col(uuid("id").primary_key())
        .col(string("name"))
        .col(string("sha256").unique_key())
        // Names of scopes.
        .col(json("scopes"))
        // The policy of the alerts that it sends.
        .col(string_null("policy"))
        // It may do no more than they may.
        .col(uuid_null("owner_id"))
        .col(timestamp_with_time_zone_null("expires_at"))
        .col(timestamp_with_time_zone_null("used_at"))
        .col(timestamp_with_time_zone("created_at"))
        .to_owned()
}

/// Who changed what; each row holds the digest of the one before.
fn audit() -> TableCreateStatement {
    table("audit")
        .col(big_integer("seq").primary_key())
        .col(timestamp_with_time_zone("at"))
        // user, key, command, configuration
        .col(string("actor_kind"))
        .col(string("actor"))
        .col(string_null("address"))
        .col(string_null("request_id"))
        // created, changed, deleted, imported
        .col(string("action"))
        .col(string("subject_kind"))
        .col(string_null("subject_id"))
        // JSON, as text: the digest is of these very characters.
        .col(text_null("before"))
        .col(text_null("after"))
        .col(string("previous"))
        .col(string("hash"))
        .to_owned()
}

/// Where the chain ends: one row, which whoever appends locks first.
fn audit_head() -> TableCreateStatement {
    table("audit_head").col(integer("id").primary_key()).col(big_integer("seq")).col(string("hash")).to_owned()
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
        index("login_by_user", "login", &["user_id"]),
        index("login_expires", "login", &["expires_at"]),
        index("api_key_by_name", "api_key", &["name"]),
        index("audit_by_subject", "audit", &["subject_kind", "subject_id", "seq"]),
        index("audit_by_actor", "audit", &["actor", "seq"]),
    ]
}
