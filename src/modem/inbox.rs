//! What a modem holds for us: handed over once, and deleted when whoever took it says that it is stored.
//!
//! Kept by its octets, not by its place: after a reconnect the places may be others, the message is the same.

use std::collections::HashMap;

use tokio::sync::mpsc;

use super::pdu::Pdu;

/// Told by whoever took a message.
type Told = (Pdu, State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Somebody has it, and has not said anything yet.
    HandedOver,
    /// It is stored: the modem's copy may go.
    Stored,
    /// It was dropped: it is handed over again.
    Dropped,
}

/// Says what became of a message: [`Stored::stored`] when it is safe, and nothing (by dropping this) if it is
/// not; then it is handed over again.
#[derive(Debug)]
pub struct Stored {
    told: Option<(mpsc::UnboundedSender<Told>, Pdu)>,
}

impl Stored {
    /// It is stored: the modem's copy may go.
    pub fn stored(mut self) {
        self.tell(State::Stored);
    }

    /// Of what the modem does not hold.
    pub(super) fn nowhere() -> Self {
        Self { told: None }
    }

    fn tell(&mut self, state: State) {
        if let Some((told, pdu)) = self.told.take() {
            // Without a worker there is nothing to delete.
            let _ = told.send((pdu, state));
        }
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        self.tell(State::Dropped);
    }
}

/// What is to be done with a message that the modem has.
#[derive(Debug)]
pub(super) enum Todo {
    HandOver(Stored),
    Wait,
    Delete,
}

#[derive(Debug)]
pub(super) struct Inbox {
    known: HashMap<Pdu, State>,
    to_us: mpsc::UnboundedSender<Told>,
    told: mpsc::UnboundedReceiver<Told>,
}

impl Inbox {
    pub(super) fn new() -> Self {
        let (to_us, told) = mpsc::unbounded_channel();
        Self { known: HashMap::new(), to_us, told }
    }

    /// Waits until somebody says something about a message. Dropping this loses nothing.
    pub(super) async fn hear(&mut self) {
        // We hold a sender ourselves: it never ends.
        if let Some(told) = self.told.recv().await {
            self.note(told);
        }
        while let Ok(told) = self.told.try_recv() {
            self.note(told);
        }
    }

    fn note(&mut self, (pdu, state): Told) {
        match state {
            State::Dropped => self.known.remove(&pdu),
            State::HandedOver | State::Stored => self.known.insert(pdu, state),
        };
    }

    pub(super) fn todo(&mut self, pdu: &Pdu) -> Todo {
        match self.known.get(pdu) {
            Some(State::HandedOver) => Todo::Wait,
            Some(State::Stored) => Todo::Delete,
            Some(State::Dropped) | None => {
                self.known.insert(pdu.clone(), State::HandedOver);
                Todo::HandOver(Stored { told: Some((self.to_us.clone(), pdu.clone())) })
            }
        }
    }

    /// Of all that the modem has: what is stored and gone from there needs not be remembered.
    pub(super) fn holds(&mut self, all: &[Pdu]) {
        self.known.retain(|pdu, state| *state == State::HandedOver || all.contains(pdu));
    }
}
