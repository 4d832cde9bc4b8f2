//! One trace from the request to the key, over rows and a restart.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use lab::{
    settings::{Settings, Step},
    wait::until,
};
use opentelemetry_proto::tonic::{collector::trace::v1::ExportTraceServiceRequest, trace::v1::Span};
use prost::Message;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::harness::{ANA, Harness, LATER, story_mut};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "b7ad6b7169203331";

/// Takes spans, as an OpenTelemetry collector does.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let this = Self { url, spans: Arc::default() };
        let spans = this.spans.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let body = body(&mut socket).await.unwrap_or_default();
                let request = ExportTraceServiceRequest::decode(&*body).expect("spans");
                let came = request.resource_spans.into_iter().flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
                spans.lock().expect("spans").extend(came);
                let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
            }
        });
        this
    }

    /// The spans of our trace.
    fn spans(&self) -> Vec<Span> {
        let spans = self.spans.lock().expect("spans");
        spans.iter().filter(|span| hex::encode(&span.trace_id) == TRACE).cloned().collect()
    }

    /// Waits until our trace has spans with all these names.
    async fn has(&self, names: &[&str]) -> Result<()> {
        until(format!("spans {names:?}"), LATER, async || {
            let spans = self.spans();
            Ok(names.iter().all(|name| spans.iter().any(|span| span.name == *name)).then_some(()))
        })
        .await
    }
}

/// The body of a POST to /v1/traces.
async fn body(socket: &mut TcpStream) -> Result<Vec<u8>> {
    let (mut request, mut bytes) = (Vec::new(), [0; 65_536]);
    loop {
        if let Some(end) = request.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:")).context("a length")?;
            let whole = end + 4 + length.trim().parse::<usize>()?;
            if request.len() >= whole {
                return Ok(request[end + 4..whole].to_vec());
            }
        }
        let length = socket.read(&mut bytes).await?;
        anyhow::ensure!(length > 0, "the request ended early");
        request.extend_from_slice(&bytes[..length]);
    }
}

async fn raise_traced(h: &Harness) -> Result<String> {
    let request = reqwest::Client::new().post(format!("{}/api/v2/alerts", h.server.api.base));
    let request = request.bearer_auth(&h.server.api.key).header("traceparent", format!("00-{TRACE}-{SPAN}-01"));
    let answer: Value = request.json(&json!({ "summary": "Disk full on db-01" })).send().await?.json().await?;
    Ok(answer["incident_id"].as_str().context("an incident")?.to_owned())
}

#[tokio::test]
async fn one_trace_leads_from_the_request_to_the_key_over_a_restart() {
    let collector = Collector::start().await;
    let url = collector.url.clone();
    let ana = move |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
        settings.set("asterisk.ring_timeout", 60).set("telemetry.otlp_endpoint", url.as_str());
    };
    story_mut(ana, async |h| {
        let id = raise_traced(h).await?;
        h.phone(ANA).rings().await?;
        collector.has(&["request", "escalation", "originate"]).await?;
        h.server.kill().await?;
        h.server.restart().await?;
        h.phone(ANA).answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        collector.has(&["agi", "digit"]).await?;
        until("the acknowledgement's span", LATER, async || {
            Ok((collector.spans().iter().filter(|span| span.name == "escalation").count() >= 2).then_some(()))
        })
        .await?;

        let spans = collector.spans();
        let span = |name: &str| spans.iter().find(|span| span.name == name).expect("a span");
        assert_eq!(hex::encode(&span("request").parent_span_id), SPAN, "the sender's span is the first");
        let mut known: BTreeSet<String> = spans.iter().map(|span| hex::encode(&span.span_id)).collect();
        known.insert(SPAN.to_owned());
        for span in &spans {
            assert!(known.contains(&hex::encode(&span.parent_span_id)), "{} hangs in the air", span.name);
        }
        assert_eq!(span("digit").parent_span_id, span("agi").span_id);
        let shown = format!("{spans:?}");
        for private in [ANA, "Ana", "Disk full"] {
            assert!(!shown.contains(private), "{private} stands in a span");
        }
        Ok(())
    })
    .await;
}
