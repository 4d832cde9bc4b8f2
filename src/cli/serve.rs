//! `ringdown serve`

use std::io::IsTerminal;

use anyhow::Context;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{
    app,
    config::{Config, Log, LogFormat},
};

pub(super) async fn run(config: Config) -> anyhow::Result<()> {
    log_to_stderr(&config.log)?;
    let metrics = PrometheusBuilder::new()
        // From a millisecond to ten seconds: what a commit, a request, a sentence of speech takes.
        .set_buckets(&[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
        .context("metrics")?
        .install_recorder()
        .context("metrics")?;
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
    app::run(config, Some(metrics), shutdown).await
}

fn log_to_stderr(log: &Log) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&log.level).context("log.level")?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}
