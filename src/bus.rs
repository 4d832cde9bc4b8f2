//! Wake-ups: "there may be work". They carry no information; whoever is woken looks at the state.
//!
//! In process. A ring that nobody hears costs latency, nothing else, since every worker polls anyway.

use std::sync::Arc;

use tokio::sync::watch;

/// The bells of one process. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Bus {
    bells: Arc<Bells>,
}

#[derive(Debug, Default)]
struct Bells {
    engine: watch::Sender<u64>,
    calls: watch::Sender<u64>,
    texts: watch::Sender<u64>,
    inbound: watch::Sender<u64>,
}

/// Who is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bell {
    /// An incident has changed, or its calls have ended: the engine may have something due.
    Engine,
    /// Calls were queued, or are no longer needed: the dialer may have something to do.
    Calls,
    /// Texts were queued: whoever sends them may have something to do.
    Texts,
    /// A text has come in: whoever acts on those may have something to do.
    Inbound,
}

/// Somebody's ear. Take it before looking for work, so that no ring falls in between.
#[derive(Debug)]
pub struct Listener(watch::Receiver<u64>);

impl Bus {
    /// Rings. Many rings between two looks are one.
    pub fn ring(&self, bell: Bell) {
        self.bell(bell).send_modify(|count| *count = count.wrapping_add(1));
    }

    /// An ear for `bell`, which hears what is rung from now on.
    #[must_use]
    pub fn listen(&self, bell: Bell) -> Listener {
        Listener(self.bell(bell).subscribe())
    }

    fn bell(&self, bell: Bell) -> &watch::Sender<u64> {
        match bell {
            Bell::Engine => &self.bells.engine,
            Bell::Calls => &self.bells.calls,
            Bell::Texts => &self.bells.texts,
            Bell::Inbound => &self.bells.inbound,
        }
    }
}

impl Listener {
    /// Returns once it has been rung since the last time. Safe to cancel.
    pub async fn rung(&mut self) {
        if self.0.changed().await.is_err() {
            // The bus is gone: nothing will ever ring. The worker's own poll and its shutdown remain.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ring_before_the_wait_is_heard_once() {
        let bus = Bus::default();
        let mut ear = bus.listen(Bell::Calls);
        bus.ring(Bell::Calls);
        bus.ring(Bell::Calls);
        ear.rung().await;
        assert!(futures_util::FutureExt::now_or_never(ear.rung()).is_none(), "two rings are one");
        bus.ring(Bell::Engine);
        assert!(futures_util::FutureExt::now_or_never(ear.rung()).is_none(), "another bell is not ours");
    }
}
