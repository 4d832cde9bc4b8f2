//! Speaks HTTP to the server, and shows what it answers.

use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::Value;

/// What a request may take.
const SHORT: Duration = Duration::from_secs(15);
/// The same, if a file is sent or fetched.
const LONG: Duration = Duration::from_secs(600);

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

    /// Deletes what is there, whatever its version.
    pub(super) async fn delete(&self, path: &str) -> anyhow::Result<()> {
        let request = self.request(Method::DELETE, path, SHORT)?.header("if-match", "*");
        sent(request).await.map(drop)
    }

    /// Sends a file, which may be large.
    pub(super) async fn upload(&self, path: &str, media_type: &str, bytes: Vec<u8>) -> anyhow::Result<Value> {
        let request = self.request(Method::POST, path, LONG)?.header("content-type", media_type).body(bytes);
        answer(sent(request).await?).await
    }

    /// Fetches a file.
    pub(super) async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let response = sent(self.request(Method::GET, path, LONG)?).await?;
        Ok(response.bytes().await.context("the answer broke off")?.to_vec())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let mut request = self.request(method, path, SHORT)?;
        if let Some(body) = body {
            request = request.json(&body);
        }
        answer(sent(request).await?).await
    }

    fn request(&self, method: Method, path: &str, timeout: Duration) -> anyhow::Result<RequestBuilder> {
        let client = Client::builder().timeout(timeout).build().context("HTTP client")?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        Ok(client.request(method, url).bearer_auth(&self.key))
    }
}

/// Sends a request; what is no success is an error in the server's words.
async fn sent(request: RequestBuilder) -> anyhow::Result<Response> {
    let (client, request) = request.build_split();
    let request = request.context("the request")?;
    let url = request.url().clone();
    let response = client.execute(request).await.with_context(|| format!("{url} does not answer"))?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let text = response.text().await.context("the answer broke off")?;
    let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    bail!("{status}: {}", value["detail"].as_str().unwrap_or("no reason given"))
}

async fn answer(response: Response) -> anyhow::Result<Value> {
    let text = response.text().await.context("the answer broke off")?;
    Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
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
