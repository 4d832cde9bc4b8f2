//! How often the rows are looked at. A look costs the more the more calls wait, and each of them rings for the next
//! one: it is followed by a rest that is as long as some of it.

use std::time::Duration;

use tokio::time::Instant;

/// The shortest rest.
const BREATH: Duration = Duration::from_millis(20);
/// The longest.
const LONGEST: Duration = Duration::from_millis(500);
/// The rest, in looks.
const LOOKS: u32 = 9;

/// When the next look is to be.
pub(super) struct Pace {
    asked: bool,
    next: Instant,
}

impl Pace {
    /// At once.
    pub(super) fn new() -> Self {
        Self { asked: true, next: Instant::now() }
    }

    /// Whether the rest is over.
    pub(super) fn is_time(&self) -> bool {
        Instant::now() >= self.next
    }

    /// There may be something to see.
    pub(super) fn ask(&mut self) {
        self.asked = true;
    }

    /// Whether there may be something that was not looked at.
    pub(super) fn is_asked(&self) -> bool {
        self.asked
    }

    /// When the rest is over.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A look that began then is over now.
    pub(super) fn looked(&mut self, began: Instant) {
        self.asked = false;
        let now = Instant::now();
        self.next = now + ((now - began) * LOOKS).clamp(BREATH, LONGEST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_is_followed_by_a_rest_of_its_own_length() {
        let mut pace = Pace::new();
        assert!(pace.is_time() && pace.is_asked());
        let began = Instant::now();
        pace.looked(began);
        assert!(!pace.is_time() && !pace.is_asked());
        assert_eq!(pace.next(), began + BREATH);
        tokio::time::advance(BREATH).await;
        assert!(pace.is_time());
        let began = Instant::now();
        tokio::time::advance(Duration::from_millis(10)).await;
        pace.looked(began);
        assert_eq!(pace.next(), began + Duration::from_millis(100));
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        pace.looked(began);
        assert_eq!(pace.next(), began + Duration::from_millis(1500), "and not for ever");
        pace.ask();
        assert!(pace.is_asked() && !pace.is_time());
    }
}
