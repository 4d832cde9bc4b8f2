//! A real Alertmanager that posts to ringdown.

use std::{collections::BTreeMap, fs, time::Duration};

use anyhow::Result;
use reqwest::Method;
use ringdown::clock::Clock;
use serde_json::json;

use crate::{
    api::Api,
    parts,
    process::{Launch, Process},
    slot::Slot,
    wait::until,
};

const READY: Duration = Duration::from_secs(30);

/// A running Alertmanager.
pub struct Alertmanager {
    api: Api,
    process: Process,
}

/// Labels or annotations.
pub type Labels<'a> = [(&'a str, &'a str)];

impl Alertmanager {
    /// Starts one that groups by `alertname` and posts each group to `ringdown`, a second after it began
    /// and two seconds after it changed.
    ///
    /// # Errors
    /// If it was not fetched, or does not come up.
    pub async fn start(slot: &Slot, ringdown: &Api) -> Result<Self> {
        let url = format!("{}/api/v2/alerts/alertmanager", ringdown.base);
        Self::start_with(slot, &url, Some(&ringdown.key)).await
    }

    /// The same, which posts to `url`, with a key as bearer if there is one.
    ///
    /// # Errors
    /// As [`Alertmanager::start`].
    pub async fn start_with(slot: &Slot, url: &str, key: Option<&str>) -> Result<Self> {
        let directory = slot.directory().join("alertmanager");
        fs::create_dir(&directory)?;
        let file = directory.join("alertmanager.yml");
        fs::write(&file, configuration(url, key))?;
        let address = format!("127.0.0.1:{}", slot.port());
        let launch = Launch {
            name: "Alertmanager",
            program: parts::alertmanager()?,
            arguments: vec![
                format!("--config.file={}", file.display()).into(),
                format!("--storage.path={}", directory.join("data").display()).into(),
                format!("--web.listen-address={address}").into(),
                // Alone: no cluster.
                "--cluster.listen-address=".into(),
            ],
            environment: Vec::new(),
            log: directory.join("alertmanager.log"),
            user: None,
        };
        let process = Process::start(&launch)?;
        let mut this = Self { api: Api::new(format!("http://{address}"), "")?, process };
        let (api, process) = (&this.api, &mut this.process);
        until("Alertmanager is ready", READY, async || {
            process.still_runs()?;
            Ok(api.get("/-/ready").await.ok())
        })
        .await?;
        Ok(this)
    }

    /// An alert begins to fire, or goes on.
    ///
    /// # Errors
    /// If Alertmanager does not take it.
    pub async fn fire(&self, labels: &Labels<'_>, annotations: &Labels<'_>) -> Result<()> {
        self.post(labels, annotations, None).await
    }

    /// It is over.
    ///
    /// # Errors
    /// If Alertmanager does not take it.
    pub async fn resolve(&self, labels: &Labels<'_>) -> Result<()> {
        self.post(labels, &[], Some(Clock::System.now().to_rfc3339())).await
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        self.process.stop(Duration::from_secs(10)).await.map(drop)
    }

    async fn post(&self, labels: &Labels<'_>, annotations: &Labels<'_>, ends_at: Option<String>) -> Result<()> {
        let map = |pairs: &Labels<'_>| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let mut alert = json!({ "labels": map(labels), "annotations": map(annotations) });
        if let Some(ends_at) = ends_at {
            alert["endsAt"] = ends_at.into();
        }
        let (status, answer) = self.api.ask(Method::POST, "/api/v2/alerts", Some(&json!([alert]))).await?;
        anyhow::ensure!(status.is_success(), "Alertmanager: {status}: {answer}");
        Ok(())
    }
}

fn configuration(url: &str, key: Option<&str>) -> String {
    let bearer = key.map_or_else(String::new, |key| {
        format!(
            "        http_config:
          authorization:
            type: Bearer
            credentials: {key}
"
        )
    });
    format!(
        "route:
  receiver: ringdown
  group_by: [alertname]
  group_wait: 1s
  group_interval: 2s
  repeat_interval: 1h
receivers:
  - name: ringdown
    webhook_configs:
      - url: {url}
        send_resolved: true
{bearer}"
    )
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn what_fires_is_posted_with_the_key() {
        let slot = Slot::take().unwrap();
        let receiver = TcpListener::bind(("127.0.0.1", slot.port())).await.unwrap();
        let ringdown = Api::new(format!("http://{}", receiver.local_addr().unwrap()), "the-key").unwrap();
        let mut alertmanager = Alertmanager::start(&slot, &ringdown).await.unwrap();
        alertmanager.fire(&[("alertname", "DiskFull")], &[("summary", "disk full on db-01")]).await.unwrap();
        let (mut socket, _) = receiver.accept().await.unwrap();
        let mut request = String::new();
        while !request.contains("disk full on db-01") {
            let mut bytes = [0; 4096];
            let length = socket.read(&mut bytes).await.unwrap();
            assert!(length > 0, "{request}");
            request.push_str(&String::from_utf8_lossy(&bytes[..length]));
        }
        assert!(request.starts_with("POST /api/v2/alerts/alertmanager HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("Bearer the-key"), "{request}");
        socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        alertmanager.resolve(&[("alertname", "DiskFull")]).await.unwrap();
        alertmanager.stop().await.unwrap();
    }
}
