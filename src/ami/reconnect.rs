//! Keeps one connection: opens it, hands it to the session, waits, opens it again.

use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    ActError, Settings,
    connection::{self, ActionIds, OpenError},
    notices::Publisher,
    session::{self, End, Request},
};

/// The first wait before a new connection, and the longest.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// The same for a login that was refused.
const REFUSED_FIRST: Duration = Duration::from_secs(5);
const REFUSED_MAX: Duration = Duration::from_secs(30);
/// A connection that held for so long was a good one. One that breaks at once after the login is
/// counted as a failure, or the login would be repeated five times a second.
const STEADY: Duration = Duration::from_secs(5);

/// Until the shutdown, or until nobody is left who could ask or listen.
pub(super) async fn keep_connected(
    settings: Settings,
    jitter: impl Fn() -> f64 + Send + 'static,
    mut requests: mpsc::Receiver<Request>,
    notices: Publisher,
    connected: watch::Sender<bool>,
    shutdown: CancellationToken,
) {
    let mut ids = ActionIds::new(&jitter);
    let mut failures = 0_u32;
    let mut said = None;
    loop {
        let opened = tokio::select! {
            () = shutdown.cancelled() => break,
            () = refuse(&mut requests) => break,
            opened = connection::open(&settings, &mut ids) => opened,
        };
        let wait = match opened {
            Ok(connection) => {
                let since = Instant::now();
                said = None;
                // The state first: whoever hears the news may act on it at once.
                connected.send_replace(true);
                notices.connected(connection.decoder.greeting().unwrap_or_default().to_owned());
                let end = session::run(connection, &settings, &mut ids, &mut requests, &notices, &shutdown).await;
                connected.send_replace(false);
                let End::Broken(broken) = end else {
                    notices.disconnected("closed by ringdown".to_owned());
                    break;
                };
                notices.disconnected(broken.to_string());
                if since.elapsed() >= STEADY {
                    failures = 0;
                }
                backoff(failures, jitter())
            }
            Err(error) => {
                let reason = error.to_string();
                if said.as_ref() != Some(&reason) {
                    notices.disconnected(reason.clone());
                    said = Some(reason);
                }
                wait_after(&error, failures, jitter())
            }
        };
        failures = failures.saturating_add(1);
        tracing::debug!(address = settings.address, ?wait, "ami: not connected");
        tokio::select! {
            () = shutdown.cancelled() => break,
            () = refuse(&mut requests) => break,
            () = sleep(wait) => {}
        }
    }
    requests.close();
    refuse(&mut requests).await;
}

/// While there is no connection every action fails at once. Ends when nobody is left who could ask.
async fn refuse(requests: &mut mpsc::Receiver<Request>) {
    while let Some(request) = requests.recv().await {
        request.reply.fail(ActError::Disconnected);
    }
}

/// How long to wait after a failed try, after so many failures before it. A refusal takes longer.
pub(super) fn wait_after(error: &OpenError, failures: u32, jitter: f64) -> Duration {
    if error.is_refusal() { spread(REFUSED_FIRST, REFUSED_MAX, failures, jitter) } else { backoff(failures, jitter) }
}

/// 200 ms, doubled each time up to 10 s, of which the jitter (0..1) leaves at least half.
pub(super) fn backoff(failures: u32, jitter: f64) -> Duration {
    spread(BACKOFF_FIRST, BACKOFF_MAX, failures, jitter)
}

fn spread(first: Duration, most: Duration, failures: u32, jitter: f64) -> Duration {
    let whole = first.saturating_mul(2_u32.saturating_pow(failures)).min(most);
    whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}
