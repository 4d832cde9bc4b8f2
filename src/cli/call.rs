//! `ringdown call NUMBER TEXT`

use clap::Args;
use serde_json::json;

use super::client::{Server, field};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The number, as you would write it.
    number: String,
    /// What is spoken.
    text: String,
    /// How often it is tried.
    #[arg(long, default_value_t = 1)]
    attempts: u32,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let body = json!({ "to": arguments.number, "text": arguments.text, "attempts": arguments.attempts });
    let call = arguments.server.post("/api/v2/calls", Some(body)).await?;
    if arguments.server.json {
        println!("{call:#}");
    } else {
        println!(
            "call {} is queued; follow it with: ringdown incidents {}",
            field(&call, "id"),
            field(&call, "incident_id")
        );
    }
    Ok(())
}
