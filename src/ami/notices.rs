//! The queue between the connection's task and whoever listens: bounded, and putting in never waits,
//! so that a slow listener cannot stop the reading. (Asterisk throws out a client that does not read.)

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, mpsc};

use super::{message::Message, session::Request};

/// Connected and Disconnected that are kept for a listener who does not listen. Of more, the first
/// and the latest are kept: those between are history that has been overtaken.
const CHANGES_MAX: usize = 64;

/// What the connection tells of its own accord, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Logged in. Events were missed before it, there is no replay: ask for the live channels (`Status`).
    Connected {
        /// As Asterisk greets, e.g. `Asterisk Call Manager/11.0.0`.
        banner: String,
    },
    /// The connection went, or could not be made. Comes again only if the reason changes.
    Disconnected {
        /// In words, for an operator.
        reason: String,
    },
    /// An event by one of the names in [`super::Settings::events`].
    Event(Message),
    /// So many events were dropped here, as the queue was full: ask for the live channels (`Status`).
    Lost {
        /// How many.
        events: u64,
    },
}

/// The listening end. Once it and all [`super::Client`]s are dropped, the connection is closed.
pub struct Notices {
    queue: Arc<Queue>,
    /// Keeps the task from thinking that nobody is left, when only the clients have gone.
    _keeps_open: mpsc::Sender<Request>,
}

/// The task's end.
pub(super) struct Publisher {
    queue: Arc<Queue>,
    capacity: usize,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Default)]
struct State {
    notices: VecDeque<Notice>,
    events: usize,
    changes: usize,
    /// Since the queue was full, until half of it has been taken: one `Lost` instead of one per event.
    overflowing: bool,
    task_ended: bool,
    listener_gone: bool,
}

/// A queue for `capacity` events (at least one).
pub(super) fn queue(capacity: usize, keeps_open: mpsc::Sender<Request>) -> (Publisher, Notices) {
    let queue = Arc::new(Queue::default());
    let publisher = Publisher { queue: Arc::clone(&queue), capacity: capacity.max(1) };
    (publisher, Notices { queue, _keeps_open: keeps_open })
}

impl Notices {
    /// The next notice; `None` once the task has ended and all were taken. Cancel-safe.
    pub async fn next(&mut self) -> Option<Notice> {
        loop {
            {
                let mut state = self.queue.lock();
                if let Some(notice) = state.notices.pop_front() {
                    match notice {
                        Notice::Event(_) => state.events -= 1,
                        Notice::Connected { .. } | Notice::Disconnected { .. } => state.changes -= 1,
                        Notice::Lost { .. } => {}
                    }
                    return Some(notice);
                }
                if state.task_ended {
                    return None;
                }
            }
            // There is one listener, and a ring that comes before the waiting is kept.
            self.queue.ready.notified().await;
        }
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.listener_gone = true;
        state.notices.clear();
    }
}

impl Publisher {
    pub(super) fn connected(&self, banner: String) {
        self.change(Notice::Connected { banner });
    }

    pub(super) fn disconnected(&self, reason: String) {
        self.change(Notice::Disconnected { reason });
    }

    pub(super) fn event(&self, message: Message) {
        let mut state = self.queue.lock();
        if state.listener_gone {
            return;
        }
        state.overflowing =
            if state.overflowing { state.events > self.capacity / 2 } else { state.events >= self.capacity };
        if state.overflowing {
            state.lose_one();
        } else {
            state.events += 1;
            state.notices.push_back(Notice::Event(message));
        }
        drop(state);
        self.queue.ready.notify_one();
    }

    fn change(&self, notice: Notice) {
        let mut state = self.queue.lock();
        if state.listener_gone {
            return;
        }
        if state.changes == CHANGES_MAX {
            state.forget_second_change();
        }
        state.changes += 1;
        state.notices.push_back(notice);
        drop(state);
        self.queue.ready.notify_one();
    }
}

/// However the task ends, the listener hears of it.
impl Drop for Publisher {
    fn drop(&mut self) {
        self.queue.lock().task_ended = true;
        self.queue.ready.notify_one();
    }
}

impl Queue {
    /// Nothing under the lock can panic half-way, so a poisoned one is as good.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Counts on a `Lost` behind the last event, if there is one, so that they stay bounded too.
    fn lose_one(&mut self) {
        for notice in self.notices.iter_mut().rev() {
            match notice {
                Notice::Lost { events } => {
                    *events += 1;
                    return;
                }
                Notice::Event(_) => break,
                Notice::Connected { .. } | Notice::Disconnected { .. } => {}
            }
        }
        self.notices.push_back(Notice::Lost { events: 1 });
    }

    fn forget_second_change(&mut self) {
        let is_change = |notice: &Notice| matches!(notice, Notice::Connected { .. } | Notice::Disconnected { .. });
        let second = self.notices.iter().enumerate().filter(|(_, notice)| is_change(notice)).nth(1);
        if let Some((at, _)) = second {
            self.notices.remove(at);
            self.changes -= 1;
        }
    }
}
