//! `ringdown serve`

use std::io::IsTerminal;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{EnvFilter, Layer, fmt, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{
    app,
    config::{Config, Log, LogFormat},
    telemetry::{self, trace::Traces},
};

/// Its number on x86, ARM, RISC-V and POWER.
const SIGXFSZ: i32 = 25;

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    let traces = config.telemetry.otlp_endpoint.as_deref().map(Traces::to).transpose().context("telemetry")?;
    log_to_stderr(&config.log, traces.as_ref())?;
    let metrics = telemetry::install().context("metrics")?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        // Asked twice: at once.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(130);
    });
    // A write beyond a limit of file size fails like one to a full disk, instead of killing us.
    let _too_large = signal(SignalKind::from_raw(SIGXFSZ))?;
    let ran = app::run(config, Some(metrics), shutdown).await;
    if let Some(traces) = traces {
        let _ = tokio::task::spawn_blocking(|| traces.stop()).await;
    }
    ran
}

/// The log to standard error, and spans to the collector, if there is one. What the one leaves out the other may have.
fn log_to_stderr(log: &Log, traces: Option<&Traces>) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let lines = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().boxed(),
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(traces.map(Traces::layer)).init();
    Ok(())
}
