//! `ringdown schedules list|show|shifts`, and `ringdown override`.

use anyhow::{Context, bail};
use chrono::{DateTime, NaiveDateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::{
    client::{Server, field, line},
    oncall::{moment, people},
};
use crate::wallclock::Zone;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// All schedules.
    List {
        #[command(flatten)]
        server: Server,
    },
    /// One schedule and its layers.
    Show {
        /// Its name or identifier.
        schedule: String,
        #[command(flatten)]
        server: Server,
    },
    /// Make one of a single layer: people who take turns. More layers go in over the API.
    Add(Add),
    /// Who is on call when.
    Shifts {
        /// The schedule's name or identifier.
        schedule: String,
        /// From when: with an offset, or local time of the schedule such as 2026-11-23T09:00.
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Until when; two weeks, if it is not said.
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        #[command(flatten)]
        server: Server,
    },
}

#[derive(Debug, Args)]
struct Add {
    /// What it is called.
    name: String,
    /// The people who take turns: contacts by name or identifier, separated by commas.
    #[arg(long, value_delimiter = ',', required = true)]
    people: Vec<String>,
    /// The zone of its local times, such as Europe/Rome.
    #[arg(long, default_value = "UTC")]
    time_zone: String,
    /// How long a turn is: 12h, 1d, 2w.
    #[arg(long, default_value = "1w")]
    every: String,
    /// When the first turn begins, in local time, such as 2026-11-23T09:00; handoffs are at that time of day.
    #[arg(long, value_name = "TIME")]
    start: String,
    #[command(flatten)]
    server: Server,
}

/// What an override does with the person.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// They are on call and nobody else.
    Replace,
    /// They are on call too.
    Add,
    /// They are not on call.
    Remove,
}

#[derive(Debug, Args)]
pub(super) struct Override {
    /// The schedule's name or identifier.
    schedule: String,
    /// The contact's name or identifier.
    person: String,
    /// From when: with an offset, or local time of the schedule such as 2026-11-23T09:00.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    until: String,
    /// What it does with the person.
    #[arg(long, default_value = "replace")]
    kind: Kind,
    #[command(flatten)]
    server: Server,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.what {
        What::List { server } => list(&server).await,
        What::Show { schedule, server } => show(&schedule, &server).await,
        What::Add(arguments) => add(arguments).await,
        What::Shifts { schedule, from, to, server } => shifts(&schedule, from, to, &server).await,
    }
}

/// Makes an override.
pub(super) async fn make_override(arguments: Override) -> anyhow::Result<()> {
    let Override { schedule, person, from, until, kind, server } = arguments;
    let schedule = find(&schedule, &server).await?;
    let kind = match kind {
        Kind::Replace => "replace",
        Kind::Add => "add",
        Kind::Remove => "remove",
    };
    let person = who(&person);
    let (from, until) = (instant(&from, &schedule)?, instant(&until, &schedule)?);
    let body = json!({ "kind": kind, "people": [person], "from": from, "until": until });
    let made = server.post(&format!("/api/v2/schedules/{}/overrides", field(&schedule, "id")), Some(body)).await?;
    if server.json {
        println!("{made:#}");
    } else {
        let (name, who) = (line(field(&schedule, "name"), 60), people(&made["people"]));
        println!("{name}: {kind} {who} from {} until {}", moment(&made, "from"), moment(&made, "until"));
    }
    Ok(())
}

async fn add(arguments: Add) -> anyhow::Result<()> {
    let Add { name, people: names, time_zone, every, start, server } = arguments;
    let (every, unit) = turn(&every)?;
    let people: Vec<Value> = names.iter().map(|person| who(person.trim())).collect();
    let layer = json!({ "name": name, "participants": people, "start": start, "every": every, "unit": unit });
    let schedule = json!({ "name": name, "time_zone": time_zone, "layers": [layer] });
    let made = server.post("/api/v2/schedules", Some(schedule)).await?;
    if server.json {
        println!("{made:#}");
    } else {
        println!("{}  {}", field(&made, "id"), line(field(&made, "name"), 60));
    }
    Ok(())
}

/// `12h`, `1d`, `2w`.
fn turn(text: &str) -> anyhow::Result<(u32, &'static str)> {
    let wrong = || format!("{text:?} is no turn (12h, 1d, 2w)");
    let unit = match text.chars().last() {
        Some('h') => "hours",
        Some('d') => "days",
        Some('w') => "weeks",
        _ => bail!(wrong()),
    };
    let every = text[..text.len() - 1].parse().with_context(wrong)?;
    Ok((every, unit))
}

/// A contact by name or identifier.
fn who(person: &str) -> Value {
    match person.parse::<uuid::Uuid>() {
        Ok(id) => json!({ "id": id }),
        Err(_) => json!({ "name": person }),
    }
}

async fn list(server: &Server) -> anyhow::Result<()> {
    let answer = server.get("/api/v2/schedules").await?;
    if server.json {
        println!("{answer:#}");
        return Ok(());
    }
    let items = answer["items"].as_array().map(Vec::as_slice).unwrap_or_default();
    if items.is_empty() {
        println!("no schedules");
    }
    for schedule in items {
        let layers = schedule["layers"].as_array().map_or(0, Vec::len);
        let (id, name) = (field(schedule, "id"), line(field(schedule, "name"), 60));
        println!("{id}  {name:<24}  {}  layers: {layers}", field(schedule, "time_zone"));
    }
    Ok(())
}

async fn show(schedule: &str, server: &Server) -> anyhow::Result<()> {
    let schedule = find(schedule, server).await?;
    if server.json {
        println!("{schedule:#}");
        return Ok(());
    }
    println!("{} ({})", line(field(&schedule, "name"), 60), field(&schedule, "time_zone"));
    for layer in schedule["layers"].as_array().map(Vec::as_slice).unwrap_or_default() {
        println!("  {}: {}", line(field(layer, "name"), 60), people(&layer["participants"]));
        let (every, unit, start) = (&layer["every"], field(layer, "unit"), field(layer, "start"));
        println!("    the next one's turn every {every} {unit}, from {start} on");
        for hours in layer["restrictions"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let days = hours["days"].as_array().map(Vec::as_slice).unwrap_or_default();
            let days: Vec<&str> = days.iter().filter_map(Value::as_str).collect();
            println!("    only {} from {} to {}", days.join(" "), field(hours, "from"), field(hours, "to"));
        }
    }
    Ok(())
}

async fn shifts(schedule: &str, from: Option<String>, to: Option<String>, server: &Server) -> anyhow::Result<()> {
    let schedule = find(schedule, server).await?;
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, time) in [("from", from), ("to", to)] {
        if let Some(time) = time {
            query.append_pair(name, &instant(&time, &schedule)?);
        }
    }
    let path = format!("/api/v2/schedules/{}/shifts?{}", field(&schedule, "id"), query.finish());
    let answer = server.get(&path).await?;
    if server.json {
        println!("{answer:#}");
        return Ok(());
    }
    for shift in answer["items"].as_array().map(Vec::as_slice).unwrap_or_default() {
        println!("{} - {}  {}", moment(shift, "from"), moment(shift, "until"), people(&shift["people"]));
    }
    Ok(())
}

/// The schedule of this name or identifier, as the server shows it.
async fn find(schedule: &str, server: &Server) -> anyhow::Result<Value> {
    if let Ok(id) = schedule.parse::<uuid::Uuid>() {
        return server.get(&format!("/api/v2/schedules/{id}")).await;
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("name", schedule);
    let answer = server.get(&format!("/api/v2/schedules?{}", query.finish())).await?;
    match answer["items"].as_array().and_then(|items| items.first()) {
        Some(schedule) => Ok(schedule.clone()),
        None => bail!("there is no schedule called \"{schedule}\" (ringdown schedules list)"),
    }
}

/// A time as the server takes it. One without an offset is local to the schedule.
fn instant(time: &str, schedule: &Value) -> anyhow::Result<String> {
    let at = match time.parse::<DateTime<Utc>>() {
        Ok(at) => at,
        Err(_) => {
            let formats = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S"];
            let local = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(time, format).ok());
            let local = local.with_context(|| {
                format!("\"{time}\" is not a time, such as 2026-11-23T09:00 or 2026-11-23T09:00:00+01:00")
            })?;
            let zone: Zone = field(schedule, "time_zone").parse()?;
            zone.instant(local)
        }
    };
    Ok(at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true))
}
