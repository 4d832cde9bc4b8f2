//! `ringdown silence MATCHER... --for 2h`

use anyhow::{Context, bail};
use chrono::{DateTime, TimeDelta, Utc};
use clap::Args;
use serde_json::json;

use super::client::{Server, field};
use crate::clock::Clock;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What labels must be, in Alertmanager's syntax, such as 'severity="warning"'. All must match.
    #[arg(required = true)]
    matchers: Vec<String>,
    /// How long from now: 30m, 2h, 1d.
    #[arg(long = "for", default_value = "1h")]
    lasts: String,
    /// Why.
    #[arg(long, default_value = "")]
    comment: String,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let from: DateTime<Utc> = Clock::System.now();
    let until = from + span(&arguments.lasts)?;
    let silence = json!({
        "matchers": arguments.matchers,
        "comment": arguments.comment,
        "from": from.to_rfc3339(),
        "until": until.to_rfc3339(),
    });
    let made = arguments.server.post("/api/v2/silences", Some(silence)).await?;
    if arguments.server.json {
        println!("{made:#}");
    } else {
        println!("{}  silent until {}", field(&made, "id"), field(&made, "until"));
    }
    Ok(())
}

/// `30m`, `2h`, `1d`.
fn span(text: &str) -> anyhow::Result<TimeDelta> {
    let (number, unit) = text.split_at(text.len() - text.chars().last().map_or(0, char::len_utf8));
    let number: i64 = number.parse().with_context(|| format!("{text:?} is no span (30m, 2h, 1d)"))?;
    let span = match unit {
        "m" => TimeDelta::try_minutes(number),
        "h" => TimeDelta::try_hours(number),
        "d" => TimeDelta::try_days(number),
        _ => None,
    };
    match span {
        Some(span) if span > TimeDelta::zero() && span <= TimeDelta::days(366) => Ok(span),
        _ => bail!("{text:?} is no span of at most a year (30m, 2h, 1d)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_they_are_written() {
        assert_eq!(span("30m").ok(), Some(TimeDelta::minutes(30)));
        assert_eq!(span("2h").ok(), Some(TimeDelta::hours(2)));
        assert_eq!(span("1d").ok(), Some(TimeDelta::days(1)));
        for wrong in ["", "m", "30", "0m", "-1h", "1y", "9999999999999d", "1µ"] {
            assert!(span(wrong).is_err(), "{wrong:?}");
        }
    }
}
