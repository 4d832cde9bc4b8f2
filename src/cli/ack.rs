//! `ringdown ack ID`

use clap::Args;

use super::client::{Server, field};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The incident.
    id: uuid::Uuid,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let incident = arguments.server.post(&format!("/api/v2/incidents/{}/acknowledge", arguments.id), None).await?;
    if arguments.server.json {
        println!("{incident:#}");
    } else {
        match incident["acknowledged_by"].as_str() {
            Some(by) => println!("acknowledged by {by}"),
            None => println!("it is {}", field(&incident, "state")),
        }
    }
    Ok(())
}
