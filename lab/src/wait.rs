//! How anything is waited for: until it is so, within a time, in words if it is not.

use std::{fmt::Display, time::Duration};

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Between two looks at something that cannot tell by itself.
const LOOK: Duration = Duration::from_millis(20);

/// Looks until there is something to see.
///
/// # Errors
/// If a look fails, or the time is up; `what` says what was waited for.
pub async fn until<T>(
    what: impl Display,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            bail!("{what}: not within {} s", within.as_secs_f32());
        }
        sleep(LOOK).await;
    }
}
