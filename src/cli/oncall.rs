//! `ringdown oncall [SCHEDULE]`

use clap::Args;
use serde_json::Value;

use super::client::{Server, field, line};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only by this schedule: its name or identifier.
    schedule: Option<String>,
    /// When, such as 2026-11-23T09:00:00+01:00; now, if it is not said.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(at) = &arguments.at {
        query.append_pair("at", at);
    }
    if let Some(schedule) = &arguments.schedule {
        query.append_pair("schedule", schedule);
    }
    let answer = arguments.server.get(&format!("/api/v2/oncall?{}", query.finish())).await?;
    if arguments.server.json {
        println!("{answer:#}");
        return Ok(());
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        println!("no schedules");
    }
    for item in items {
        let until = match item["until"].as_str() {
            Some(_) => format!("until {}, then {}", moment(item, "until"), people(&item["next"])),
            None => "for the next 32 days at least".to_owned(),
        };
        println!("{:<24}  {}  ({until})", line(field(&item["schedule"], "name"), 60), people(&item["people"]));
    }
    Ok(())
}

/// Names, `nobody` if there are none.
pub(super) fn people(people: &Value) -> String {
    let people = people.as_array().map(Vec::as_slice).unwrap_or_default();
    let names: Vec<String> = people.iter().map(|person| line(field(person, "name"), 60)).collect();
    if names.is_empty() { "nobody".to_owned() } else { names.join(", ") }
}

/// An instant to the minute: `2026-11-20 09:28 UTC`.
pub(super) fn moment(value: &Value, name: &str) -> String {
    field(value, name).get(..16).map_or_else(|| "-".to_owned(), |at| format!("{} UTC", at.replace('T', " ")))
}
