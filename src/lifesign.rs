//! TELLS SOMEBODY OUTSIDE THAT WE LIVE: a request now and then, as long as the self-audit finds nothing.
//!
//! Whoever gets it must notice when it does not come: that is the one alarm that a dead server can still raise.

use std::time::Duration;

use reqwest::{Client, Url, redirect};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::{clock::Clock, telemetry::trace, watch::Board};

/// What an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Between two questions whether the first look has been taken.
const BEGIN: Duration = Duration::from_millis(100);

/// How the last sign of life went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    Yes,
    Failed,
    Withheld,
}

/// Sends signs of life to `url` until `shutdown`.
///
/// The address is often a secret by itself: it stands in no log.
pub async fn run(url: Url, every: Duration, board: Board, clock: Clock, shutdown: CancellationToken) {
    let client = Client::builder().redirect(redirect::Policy::none()).timeout(PATIENCE).build();
    let client = match client {
        Ok(client) => client,
        Err(error) => {
            tracing::error!(%error, "no sign of life can be sent");
            return shutdown.cancelled().await;
        }
    };
    // Before the first look there is nothing to tell, and nothing to be alarmed about.
    while !board.has_looked() {
        tokio::select! {
            () = tokio::time::sleep(BEGIN) => {}
            () = shutdown.cancelled() => return,
        }
    }
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut before = Sent::Yes;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let sent = if board.passes(clock.now()) { send(&client, &url, before).await } else { Sent::Withheld };
        let outcome = match sent {
            Sent::Yes => "sent",
            Sent::Failed => "failed",
            Sent::Withheld => "withheld",
        };
        metrics::counter!("ringdown_heartbeat_pings_total", "outcome" => outcome).increment(1);
        match (before, sent) {
            (Sent::Failed | Sent::Withheld, Sent::Yes) => tracing::info!("signs of life are sent again"),
            (Sent::Yes | Sent::Failed, Sent::Withheld) => tracing::warn!("no sign of life while something is amiss"),
            _ => {}
        }
        before = sent;
    }
}

#[tracing::instrument(name = "sign_of_life", skip_all)]
async fn send(client: &Client, url: &Url, before: Sent) -> Sent {
    let mut request = client.get(url.clone());
    if let Some(parent) = trace::current() {
        request = request.header("traceparent", parent.to_string());
    }
    let why = match request.send().await {
        Ok(answer) if answer.status().is_success() => return Sent::Yes,
        Ok(answer) => format!("it was answered with {}", answer.status()),
        Err(error) => error.without_url().to_string(),
    };
    if before != Sent::Failed {
        tracing::error!(why, "a sign of life was not taken");
    }
    Sent::Failed
}
