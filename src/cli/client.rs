//! Speaks HTTP to the server, and shows what it answers.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Client, Method, Response};
use serde_json::Value;

/// Which server, with which key, shown how.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// Where the server is.
    #[arg(long, env = "RINGDOWN_URL", default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An API key.
    #[arg(long, env = "RINGDOWN_KEY", hide_env_values = true)]
    key: String,
    /// Print what the server answers, for machines.
    #[arg(long)]
    pub(super) json: bool,
}

impl Server {
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub(super) async fn post(&self, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, body).await
    }

    pub(super) async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.ask(Method::PUT, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let client = Client::builder().timeout(Duration::from_secs(15)).build().context("HTTP client")?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let mut request = client.request(method, &url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("{url} does not answer"))?;
        answer(response).await
    }
}

async fn answer(response: Response) -> anyhow::Result<Value> {
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    if !status.is_success() {
        bail!("{status}: {}", value["detail"].as_str().unwrap_or("no reason given"));
    }
    Ok(value)
}

/// A field as text, `-` if it is missing.
pub(super) fn field<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or("-")
}

/// A text's first line, fit for a terminal: no control characters, at most `width` characters.
pub(super) fn line(text: &str, width: usize) -> String {
    text.lines().next().unwrap_or_default().chars().filter(|c| !c.is_control()).take(width).collect()
}

/// An instant to the second: `2026-11-20 09:28:53`.
pub(super) fn moment(value: &Value, name: &str) -> String {
    field(value, name).get(..19).unwrap_or("-").replace('T', " ")
}
