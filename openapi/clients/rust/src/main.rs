//! Raises an alert, waits until a phone rings, takes it, and prints what happened: with the client that
//! progenitor makes of openapi.json. `RINGDOWN_URL` and `RINGDOWN_KEY` say where, and who asks.

use std::{env, error::Error, time::Duration};

use reqwest::header::{AUTHORIZATION, HeaderMap};
use ringdown_client::{Client, types};
use uuid::Uuid;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, format!("Bearer {}", env::var("RINGDOWN_KEY")?).parse()?);
    let http = reqwest::Client::builder().default_headers(headers).no_proxy().build()?;
    let client = Client::new_with_client(&env::var("RINGDOWN_URL")?, http);

    let severity: types::NewAlertSeverity = "critical".parse()?;
    let alert = types::NewAlert::builder().summary("Disk full on db-01").severity(severity);
    let raised = client.raise_alert().body(alert).send().await?.into_inner();
    let id: Uuid = raised.incident_id.as_deref().ok_or("no incident")?.parse()?;

    let rings = async {
        loop {
            let calls = client.list_calls().incident_id(id).send().await?.into_inner();
            if calls.items.iter().any(|call| call.status == types::CallStatus::Ringing) {
                return Ok::<_, Box<dyn Error>>(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), rings).await.map_err(|_| "no phone rings")??;

    client.acknowledge_incident().id(id).send().await?;
    let taken = client.get_incident().id(id).send().await?.into_inner();
    if taken.state != types::IncidentState::Acknowledged {
        return Err(format!("it is {}", taken.state).into());
    }
    let timeline = client.get_incident_timeline().id(id).send().await?.into_inner();
    let kinds: Vec<&str> = timeline.items.iter().map(|line| line.kind.as_str()).collect();
    println!("{}", serde_json::json!({ "incident": id, "timeline": kinds }));
    Ok(())
}
