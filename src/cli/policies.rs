//! `ringdown policies list|show|add`

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{Server, field};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the policies.
    List(List),
    /// Show one, as the API has it.
    Show(Show),
    /// Make one.
    Add(Add),
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(super) struct Show {
    /// Its name or identifier.
    policy: String,
    #[command(flatten)]
    server: Server,
}

#[derive(Debug, Args)]
pub(super) struct Add {
    /// What alerts call it.
    name: String,
    /// A step: targets separated by commas, each contact:NAME, group:NAME, schedule:NAME or a number;
    /// then, if you like, `;attempts=2;attempt_delay=60;delay=300;only_during=CALENDAR;not_during=CALENDAR`.
    /// Say it once for each step, in order.
    #[arg(long = "step", required = true)]
    steps: Vec<String>,
    /// How many more rounds after the first.
    #[arg(long, default_value_t = 0)]
    repeat: u32,
    /// It pages for alerts that nothing else names a policy for.
    #[arg(long)]
    default: bool,
    /// Seconds after which what was acknowledged and not resolved pages again.
    #[arg(long)]
    ack_timeout: Option<u32>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(&arguments.server).await,
        Command::Show(arguments) => {
            println!("{:#}", find(&arguments.server, &arguments.policy).await?);
            Ok(())
        }
        Command::Add(arguments) => add(arguments).await,
    }
}

async fn list(server: &Server) -> anyhow::Result<()> {
    let policies = server.get("/api/v2/policies").await?;
    if server.json {
        println!("{policies:#}");
        return Ok(());
    }
    for policy in policies["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let default = if policy["default"] == true { "  (default)" } else { "" };
        println!("{}  {}{default}", field(policy, "id"), field(policy, "name"));
        for (nth, step) in (1..).zip(policy["steps"].as_array().map(Vec::as_slice).unwrap_or_default()) {
            let targets = step["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names: Vec<&str> = targets.iter().map(|target| field(target, "name")).collect();
            println!("    {nth}. {} ({} x, {} s)", names.join(", "), step["attempts"], step["delay"]);
        }
    }
    Ok(())
}

async fn add(arguments: Add) -> anyhow::Result<()> {
    let steps = arguments.steps.iter().map(|text| step(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut policy = json!({
        "name": arguments.name,
        "default": arguments.default,
        "repeat": arguments.repeat,
        "steps": steps,
    });
    if let Some(seconds) = arguments.ack_timeout {
        policy["ack_timeout"] = seconds.into();
    }
    let made = arguments.server.post("/api/v2/policies", Some(policy)).await?;
    if arguments.server.json {
        println!("{made:#}");
    } else {
        println!("{}  {}", field(&made, "id"), field(&made, "name"));
    }
    Ok(())
}

/// The policy of this name or identifier.
pub(super) async fn find(server: &Server, policy: &str) -> anyhow::Result<Value> {
    let policies = server.get("/api/v2/policies").await?;
    let items = policies["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    let found = items.iter().find(|item| item["id"] == policy || item["name"] == policy);
    found.cloned().with_context(|| format!("there is no policy {policy:?}"))
}

/// `schedule:primary,contact:Ana Rossi;attempts=2;delay=120`
fn step(text: &str) -> anyhow::Result<Value> {
    let mut parts = text.split(';');
    let targets: Vec<Value> = parts
        .next()
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|target| !target.is_empty())
        .map(|target| match target.split_once(':') {
            Some((kind @ ("contact" | "group" | "schedule" | "number"), name)) => Ok(json!({ kind: name.trim() })),
            Some((kind, _)) => bail!("{kind:?} is no kind of target (contact, group, schedule, number)"),
            None => Ok(json!({ "number": target })),
        })
        .collect::<anyhow::Result<_>>()?;
    if targets.is_empty() {
        bail!("{text:?} names nobody");
    }
    let mut step = json!({ "targets": targets });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').with_context(|| format!("{part:?} is not NAME=VALUE"))?;
        step[name] = match name {
            "attempts" | "attempt_delay" | "delay" | "wait" => {
                let number: u32 = value.parse().with_context(|| format!("{part:?}: not a number"))?;
                number.into()
            }
            "only_during" | "not_during" | "method" => value.into(),
            "round_robin" => (value == "true" || value == "yes").into(),
            other => bail!("a step has no {other:?}"),
        };
    }
    Ok(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_read_as_it_is_written() {
        let read = |text: &str| step(text).ok();
        let expected = json!({
            "targets": [{ "schedule": "primary" }, { "contact": "Ana Rossi" }, { "number": "+39 055 1" }],
            "attempts": 2,
            "only_during": "work",
        });
        assert_eq!(read("schedule:primary, contact:Ana Rossi,+39 055 1;attempts=2; only_during=work"), Some(expected));
        for wrong in
            ["", ";attempts=2", "person:Ana", "contact:Ana;attempts", "contact:Ana;attempts=x", "contact:Ana;x=1"]
        {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
