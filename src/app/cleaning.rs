//! What is old goes.

use std::time::Duration;

use chrono::TimeDelta;
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::Config,
    ivr,
    speech::{Keep, Speech},
    store::Store,
};

/// So often is looked for what can go.
const EVERY: Duration = Duration::from_secs(3600);
/// A server that placed calls and was not seen for so long is forgotten.
const NODES: TimeDelta = TimeDelta::days(7);

/// How long things are kept.
pub(super) struct Old {
    sounds: Keep,
    /// Requests that were answered.
    requests: TimeDelta,
    /// Texts that were sent, and those that came in.
    texts: TimeDelta,
}

impl Old {
    pub(super) fn of(config: &Config) -> Self {
        let speech = &config.speech;
        Self {
            sounds: Keep {
                age: Duration::from_secs(speech.keep_days * 86_400),
                bytes: speech.keep_megabytes * 1024 * 1024,
            },
            requests: TimeDelta::hours(config.server.idempotency_hours.into()),
            texts: TimeDelta::days(config.sms.keep_days.into()),
        }
    }
}

/// Removes what is old, now and then, until `shutdown`.
pub(super) async fn clean(speech: Speech, store: Store, clock: Clock, old: Old, shutdown: CancellationToken) {
    let standing: Vec<String> = ivr::STANDING.iter().map(|&name| name.to_owned()).collect();
    loop {
        match speech.clean(old.sounds, clock.now().into(), &standing) {
            Ok(0) => {}
            Ok(removed) => tracing::info!(removed, "sounds were removed"),
            Err(error) => tracing::warn!(%error, "the sound directory cannot be cleaned"),
        }
        if let Err(error) = store.forget_nodes(clock.now() - NODES).await {
            tracing::warn!(%error, "servers that are long gone cannot be forgotten");
        }
        if let Err(error) = store.forget_requests(clock.now() - old.requests).await {
            tracing::warn!(%error, "old requests cannot be removed");
        }
        match store.forget_texts(clock.now() - old.texts).await {
            Ok(0) => {}
            Ok(forgotten) => tracing::info!(forgotten, "old texts were removed"),
            Err(error) => tracing::warn!(%error, "old texts cannot be removed"),
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
