//! ringdown's HTTP API, as any program would use it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

/// The API of one server, with a key.
#[derive(Clone, Debug)]
pub struct Api {
    client: Client,
    /// `http://host:port`
    pub base: String,
    /// The key that is shown.
    pub key: String,
}

impl Api {
    /// For the server at `base`.
    ///
    /// # Errors
    /// If there is no HTTP client to be had.
    pub fn new(base: impl Into<String>, key: impl Into<String>) -> Result<Self> {
        // The client wants to know who would do TLS, though nothing here is encrypted.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder().no_proxy().timeout(Duration::from_secs(15)).build()?;
        Ok(Self { client, base: base.into(), key: key.into() })
    }

    /// Asks, and gives whatever is answered.
    ///
    /// # Errors
    /// If nothing is answered.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        self.ask_with(method, path, &[], body).await
    }

    /// As [`Api::ask`], with these headers besides.
    ///
    /// # Errors
    /// If nothing is answered.
    pub async fn ask_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value)> {
        let mut request = self.client.request(method, format!("{}{path}", self.base)).bearer_auth(&self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status();
        let text = answer.text().await?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    /// What is at `path`.
    ///
    /// # Errors
    /// If it does not say 2xx.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.ok(Method::GET, path, None).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// If it does not say 2xx.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.ok(Method::POST, path, Some(body)).await
    }

    /// Puts `body` at `path`.
    ///
    /// # Errors
    /// If it does not say 2xx.
    pub async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.ok(Method::PUT, path, Some(body)).await
    }

    /// Sends a file to `path`.
    ///
    /// # Errors
    /// If it does not say 2xx.
    pub async fn upload(&self, path: &str, media_type: &str, body: String) -> Result<Value> {
        let request = self.client.post(format!("{}{path}", self.base)).bearer_auth(&self.key);
        let answer = request.header("content-type", media_type).body(body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path}: {status}: {text}");
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// The lines of an incident's timeline after `after`, oldest first.
    ///
    /// # Errors
    /// If it does not say 2xx.
    pub async fn timeline(&self, incident: &str, after: Option<&str>) -> Result<Vec<Value>> {
        let after = after.map_or_else(String::new, |id| format!("?after={id}"));
        let answer = self.get(&format!("/api/v2/incidents/{incident}/timeline{after}")).await?;
        Ok(answer["items"].as_array().cloned().unwrap_or_default())
    }

    async fn ok(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, answer) = self.ask(method.clone(), path, body).await?;
        if !status.is_success() {
            bail!("{method} {path}: {status}: {answer}");
        }
        Ok(answer)
    }
}
