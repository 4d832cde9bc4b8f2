//! Places at which a test makes the server die, as by a power cut. Not in release builds: there
//! [`reach`] is nothing.
//!
//! `RINGDOWN_DIES_AT=call.claimed` dies there the first time, `RINGDOWN_DIES_AT=commit.after:7` the
//! seventh. Nothing is flushed, closed or told.

/// Every place, in the order in which an alert comes by on its way to a person.
pub const ALL: &[&str] = &[
    "alert.taken",
    "commit.before",
    "commit.after",
    "alert.stored",
    "call.claimed",
    "originate.sent",
    "call.ringing",
    "session.began",
    "alert.speaking",
    "key.read",
    "key.stored",
    "key.confirmed",
    "call.over",
    "outcome.stored",
    "text.claimed",
    "text.sent",
    "answer.claimed",
    "answer.done",
];

/// A place that was reached.
#[cfg(not(debug_assertions))]
pub const fn reach(_place: &'static str) {}

/// A place that was reached.
#[cfg(debug_assertions)]
pub fn reach(place: &'static str) {
    use std::sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    };
    static DIES_AT: LazyLock<Option<(String, u32)>> = LazyLock::new(|| {
        let told = std::env::var("RINGDOWN_DIES_AT").ok()?;
        let (place, time) = told.split_once(':').unwrap_or((&told, "1"));
        assert!(ALL.contains(&place), "RINGDOWN_DIES_AT: there is no place {place:?}");
        Some((place.to_owned(), time.parse().ok()?))
    });
    static TIMES: AtomicU32 = AtomicU32::new(0);
    debug_assert!(ALL.contains(&place), "{place} does not stand in the list");
    if let Some((dies_at, time)) = &*DIES_AT
        && dies_at == place
        && TIMES.fetch_add(1, Ordering::Relaxed) + 1 == *time
    {
        std::process::abort();
    }
}
