//! `ringdown stop-calls`

use clap::Args;
use serde_json::json;

use super::client::Server;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Let calls go again.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let switch = arguments.server.put("/api/v2/kill-switch", json!({ "stopped": !arguments.resume })).await?;
    if arguments.server.json {
        println!("{switch:#}");
    } else if arguments.resume {
        println!("calls may leave again; those that wait are placed now");
    } else {
        println!("all calls are stopped; alerts are kept, and calls wait until: ringdown stop-calls --resume");
    }
    Ok(())
}
