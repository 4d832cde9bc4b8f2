//! `ringdown incidents [ID]`

use super::client::{Server, field, line, moment};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Show this one, with its timeline.
    id: Option<uuid::Uuid>,
    /// Only in this state: held, escalating, acknowledged, resolved, exhausted.
    #[arg(long)]
    state: Option<String>,
    /// How many at most.
    #[arg(long, default_value_t = 20)]
    limit: u32,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.id {
        Some(id) => one(&arguments.server, id).await,
        None => list(&arguments).await,
    }
}

async fn list(arguments: &Arguments) -> anyhow::Result<()> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &arguments.limit.to_string());
    if let Some(state) = &arguments.state {
        query.append_pair("state", state);
    }
    let page = arguments.server.get(&format!("/api/v2/incidents?{}", query.finish())).await?;
    if arguments.server.json {
        println!("{page:#}");
        return Ok(());
    }
    let items = page["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        println!("no incidents");
    }
    for incident in items {
        println!(
            "{}  {:<12}  {}  {}",
            field(incident, "id"),
            field(incident, "state"),
            moment(incident, "raised_at"),
            line(field(incident, "summary"), 60),
        );
    }
    Ok(())
}

async fn one(server: &Server, id: uuid::Uuid) -> anyhow::Result<()> {
    let incident = server.get(&format!("/api/v2/incidents/{id}")).await?;
    let timeline = server.get(&format!("/api/v2/incidents/{id}/timeline?limit=5000")).await?;
    if server.json {
        println!("{:#}", serde_json::json!({ "incident": incident, "timeline": timeline["items"] }));
        return Ok(());
    }
    println!("{}: {}", field(&incident, "state"), line(field(&incident, "summary"), 200));
    for event in timeline["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        println!("  {}  {}", moment(event, "at"), line(field(event, "text"), 200));
    }
    Ok(())
}
