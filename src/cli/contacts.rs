//! `ringdown contacts list|add|import|export|delete`

use std::{fs, io::Write as _, path::PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Server, field, line};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List contacts by name, all or those that a query finds.
    List {
        /// The beginnings of words of their names, or of a number.
        query: Option<String>,
        /// How many at most.
        #[arg(long, default_value_t = 50)]
        limit: u32,
        #[command(flatten)]
        server: Server,
    },
    /// Add a contact.
    Add {
        /// Their name, in full.
        name: String,
        /// Their numbers, in the order in which they are tried.
        #[arg(required = true)]
        numbers: Vec<String>,
        #[command(flatten)]
        server: Server,
    },
    /// Import a table (CSV in UTF-8). Fails if a row cannot be taken; the others are kept.
    Import {
        /// The file.
        file: PathBuf,
        /// Only say what would happen.
        #[arg(long)]
        dry_run: bool,
        /// Keep nothing if any row cannot be taken.
        #[arg(long)]
        atomic: bool,
        #[command(flatten)]
        server: Server,
    },
    /// Print all contacts as a table (CSV).
    Export {
        #[command(flatten)]
        server: Server,
    },
    /// Delete a contact that nothing refers to.
    Delete {
        /// Their identifier.
        id: uuid::Uuid,
        #[command(flatten)]
        server: Server,
    },
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<u8> {
    match arguments.command {
        Command::List { query, limit, server } => list(&server, query.as_deref(), limit).await.map(|()| 0),
        Command::Add { name, numbers, server } => add(&server, &name, &numbers).await.map(|()| 0),
        Command::Import { file, dry_run, atomic, server } => {
            let bytes = fs::read(&file).with_context(|| file.display().to_string())?;
            let path = format!("/api/v2/contacts/import?dry_run={dry_run}&atomic={atomic}");
            report(&server, &server.upload(&path, "text/csv", bytes).await?)
        }
        Command::Export { server } => {
            let table = server.download("/api/v2/contacts/export").await?;
            std::io::stdout().write_all(&table).context("standard output").map(|()| 0)
        }
        Command::Delete { id, server } => {
            server.delete(&format!("/api/v2/contacts/{id}")).await?;
            if server.json {
                println!("{:#}", json!({ "deleted": id }));
            } else {
                println!("deleted");
            }
            Ok(0)
        }
    }
}

async fn list(server: &Server, query: Option<&str>, limit: u32) -> anyhow::Result<()> {
    let mut parameters = form_urlencoded::Serializer::new(String::new());
    parameters.append_pair("limit", &limit.to_string());
    if let Some(query) = query {
        parameters.append_pair("q", query);
    }
    let page = server.get(&format!("/api/v2/contacts?{}", parameters.finish())).await?;
    if server.json {
        println!("{page:#}");
        return Ok(());
    }
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        println!("no contacts");
    }
    for contact in items {
        let numbers = contact["numbers"].as_array().map(Vec::as_slice).unwrap_or_default();
        let numbers: Vec<&str> = numbers.iter().map(|number| field(number, "number")).collect();
        let disabled = if contact["enabled"] == Value::Bool(false) { "  (disabled)" } else { "" };
        let name = line(field(contact, "full_name"), 40);
        println!("{}  {name:<40}  {}{disabled}", field(contact, "id"), numbers.join(" "));
    }
    if page["next"].is_string() {
        println!("and more: say what to look for, or --limit");
    }
    Ok(())
}

async fn add(server: &Server, name: &str, numbers: &[String]) -> anyhow::Result<()> {
    let numbers: Vec<Value> = numbers.iter().map(|number| json!({ "number": number })).collect();
    let contact = server.post("/api/v2/contacts", Some(json!({ "name": name, "numbers": numbers }))).await?;
    if server.json {
        println!("{contact:#}");
    } else {
        println!("{}  {}", field(&contact, "id"), line(field(&contact, "full_name"), 200));
    }
    Ok(())
}

/// Bad rows are a failure, whether or not the good ones were kept.
fn report(server: &Server, report: &Value) -> anyhow::Result<u8> {
    let Some(bad) = report["bad_rows"].as_u64() else { bail!("the server's answer is no report") };
    let status = u8::from(bad > 0);
    if server.json {
        println!("{report:#}");
        return Ok(status);
    }
    for row in report["bad"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let column = row["column"].as_str().map(|column| format!(", {column}")).unwrap_or_default();
        println!("line {}{}: {}", row["line"], line(&column, 50), line(field(row, "reason"), 200));
    }
    let (created, updated, unchanged) = (&report["created"], &report["updated"], &report["unchanged"]);
    let kept = if report["kept"] == Value::Bool(true) { "" } else { "; nothing was kept" };
    println!("{created} created, {updated} updated, {unchanged} unchanged, {bad} bad{kept}");
    Ok(status)
}
