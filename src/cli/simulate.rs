//! `ringdown simulate POLICY`

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::{
    client::{Server, field, line, moment},
    policies::find,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The policy, by name or identifier.
    policy: String,
    /// When the alert comes, such as 2026-12-25T03:00:00+01:00; now, if it is not said.
    #[arg(long)]
    at: Option<String>,
    /// What it is about.
    #[arg(long, default_value = "a simulated alert")]
    summary: String,
    /// As alerts have it.
    #[arg(long, default_value = "")]
    severity: String,
    /// A label, NAME=VALUE; silences look at it. May be said more than once.
    #[arg(long = "label", value_name = "NAME=VALUE")]
    labels: Vec<String>,
    /// Who answers: WHO:N acknowledges the N-th call to them, WHO:N:escalate and WHO:N:resolve say
    /// something else. May be said more than once; everybody else lets it ring.
    #[arg(long = "answer", value_name = "WHO:N[:SAYS]")]
    answers: Vec<String>,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let answers = arguments.answers.iter().map(|text| answer(text)).collect::<anyhow::Result<Vec<_>>>()?;
    let labels = arguments
        .labels
        .iter()
        .map(|label| {
            let (name, value) = label.split_once('=').with_context(|| format!("{label:?} is not NAME=VALUE"))?;
            Ok((name.to_owned(), Value::from(value)))
        })
        .collect::<anyhow::Result<serde_json::Map<_, _>>>()?;
    let mut supposed = json!({
        "summary": arguments.summary,
        "severity": arguments.severity,
        "labels": labels,
        "answers": answers,
    });
    if let Some(at) = &arguments.at {
        supposed["at"] = at.as_str().into();
    }
    let policy = find(&arguments.server, &arguments.policy).await?;
    let path = format!("/api/v2/policies/{}/simulate", field(&policy, "id"));
    let simulation = arguments.server.post(&path, Some(supposed)).await?;
    if arguments.server.json {
        println!("{simulation:#}");
        return Ok(());
    }
    for happening in simulation["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        println!("{}  {}", moment(happening, "at"), line(field(happening, "text"), 200));
        if let Some(spoken) = happening["call"]["spoken"].as_str() {
            println!("{:21}says in {}: {}", "", field(&happening["call"], "language"), line(spoken, 300));
        }
    }
    println!("it ends {}", field(&simulation, "state"));
    if simulation["cut"] == true {
        println!("(and goes on; a simulation is told for seven days or 2,000 lines)");
    }
    Ok(())
}

/// `ben:2`, `Ana Rossi:1:escalate`.
fn answer(text: &str) -> anyhow::Result<Value> {
    let mut parts = text.split(':');
    let (Some(who), nth, says, None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        bail!("{text:?} is not WHO:N[:SAYS]");
    };
    let nth: u32 = nth.unwrap_or("1").parse().with_context(|| format!("{text:?}: N is a number from 1"))?;
    let says = says.unwrap_or("acknowledge");
    if who.is_empty() || nth == 0 || !["acknowledge", "escalate", "resolve"].contains(&says) {
        bail!("{text:?} is not WHO:N[:SAYS] (SAYS is acknowledge, escalate or resolve)");
    }
    Ok(json!({ "who": who, "nth": nth, "says": says }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_they_are_written() {
        let read = |text: &str| answer(text).ok();
        assert_eq!(read("ben:2"), Some(json!({ "who": "ben", "nth": 2, "says": "acknowledge" })));
        assert_eq!(read("Ana Rossi"), Some(json!({ "who": "Ana Rossi", "nth": 1, "says": "acknowledge" })));
        assert_eq!(
            read("+393331234567:1:resolve"),
            Some(json!({ "who": "+393331234567", "nth": 1, "says": "resolve" }))
        );
        for wrong in ["", ":1", "ben:0", "ben:x", "ben:1:shout", "ben:1:resolve:now"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
