//! TRACES: one from the request that brings an alert to the key that takes it, over rows and restarts.
//!
//! What is under way in another row, another task or another life of the server is found again by its
//! `traceparent` (W3C Trace Context), which the incident keeps. Off unless an endpoint is configured: then nothing
//! here does anything.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use opentelemetry::{
    Context,
    trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider},
};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

/// What a collector's answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Saves whoever would look something up for a trace the trouble, where there is none.
static ON: AtomicBool = AtomicBool::new(false);

/// The place of a span in its trace, as it stands in the header `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(SpanContext);

impl TraceParent {
    /// Reads a header. `None` if it is none: then it is as if it had not come.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more behind it; this one has not.
        if version == "ff" || (version == "00" && parts.next().is_some()) {
            return None;
        }
        let is_hex = |text: &str, length: usize| {
            text.len() == length && text.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c))
        };
        if !(is_hex(version, 2) && is_hex(trace, 32) && is_hex(span, 16) && is_hex(flags, 2)) {
            return None;
        }
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED;
        let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
        let context = SpanContext::new(trace, span, flags, true, TraceState::default());
        context.is_valid().then_some(Self(context))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(context) = self;
        write!(f, "00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
    }
}

/// Makes `span` a child of what went before, if anything is known of it.
pub fn follow(span: &Span, parent: Option<&str>) {
    if let Some(TraceParent(context)) = parent.and_then(TraceParent::parse) {
        // Without a collector there is nothing to be a child of.
        let _ = span.set_parent(Context::new().with_remote_span_context(context));
    }
}

/// Where we are: to be kept with what goes on later, or sent with a request of ours. `None` if nothing is traced.
#[must_use]
pub fn current() -> Option<TraceParent> {
    let context = Span::current().context();
    let context = context.span().span_context().clone();
    context.is_valid().then_some(TraceParent(context))
}

/// Whether anything is traced at all.
#[must_use]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Sends spans to a collector until it is stopped.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// To the collector at `endpoint` (OTLP over HTTP), from within a tokio runtime.
    ///
    /// # Errors
    /// If it is no address.
    pub fn to(endpoint: &str) -> anyhow::Result<Self> {
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(address(endpoint))
            .with_timeout(PATIENCE)
            .with_http_client(Sender { client, runtime: Handle::current() })
            .build()?;
        ON.store(true, Ordering::Relaxed);
        let resource = Resource::builder().with_service_name("ringdown").build();
        Ok(Self(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build()))
    }

    /// Turns our spans into theirs. Only spans: what the log says stays in the log.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        let ours = filter_fn(|metadata| {
            metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with("ringdown")
        });
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("ringdown")).with_filter(ours)
    }

    /// Sends what is left, for a moment. Blocks.
    pub fn stop(self) {
        if let Err(error) = self.0.shutdown_with_timeout(Duration::from_secs(3)) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

/// `endpoint` is that of the collector, or that of its traces.
fn address(endpoint: &str) -> String {
    let base = endpoint.trim_end_matches('/');
    if base.ends_with("/v1/traces") { base.to_owned() } else { format!("{base}/v1/traces") }
}

/// The exporter runs in a thread of its own, where no request can be made; this one makes them where one can.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
}

impl HttpClient for Sender {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        let client = self.client.clone();
        let sent = self.runtime.spawn(async move {
            let answer = client.execute(request.try_into()?).await?;
            let mut response = Response::builder().status(answer.status());
            if let Some(headers) = response.headers_mut() {
                *headers = answer.headers().clone();
            }
            // What it says is for nobody here; the status tells whether it was taken.
            Ok::<_, HttpError>(response.body(Bytes::new())?)
        });
        Box::pin(async move { sent.await? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_header_that_is_one_comes_back_as_it_was() {
        assert_eq!(TraceParent::parse(GOOD).map(|parent| parent.to_string()).as_deref(), Some(GOOD));
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-comes-later";
        assert_eq!(TraceParent::parse(later).map(|parent| parent.to_string()).as_deref(), Some(GOOD));
    }

    #[test]
    fn a_header_that_is_none_counts_for_nothing() {
        for bad in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319é-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn without_a_collector_there_is_no_trace() {
        let span = tracing::info_span!("request");
        follow(&span, Some(GOOD));
        assert_eq!(span.in_scope(current), None);
    }

    #[test]
    fn an_endpoint_may_be_the_collectors_or_that_of_its_traces() {
        for endpoint in ["http://x:4318", "http://x:4318/", "http://x:4318/v1/traces"] {
            assert_eq!(address(endpoint), "http://x:4318/v1/traces");
        }
    }
}
