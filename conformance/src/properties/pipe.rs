//! Asterisk's end of a conversation that is known beforehand, cut into reads at will.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Cut;

/// The session's end. What follows a command comes once that command was written, and then the stream ends.
pub(super) struct Pipe(Arc<Mutex<State>>);

/// Whoever drives the session.
pub(super) struct End(Arc<Mutex<State>>);

struct State {
    /// What can be read now.
    now: VecDeque<u8>,
    /// What follows each command to come.
    later: VecDeque<Vec<u8>>,
    cut: Cut,
    /// All that is left comes in one piece: see [`End::arrive`].
    together: bool,
    /// The environment comes, before any command.
    opening: bool,
    /// Nothing was left when it was last asked.
    told: bool,
}

impl Pipe {
    pub(super) fn new(parts: &[&[u8]], cut: Cut) -> (Self, End) {
        let mut later: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let now = later.pop_front().unwrap_or_default().into();
        let state = Arc::new(Mutex::new(State { now, later, cut, together: false, opening: true, told: false }));
        (Self(Arc::clone(&state)), End(state))
    }
}

impl End {
    /// The session was opened: what is left came right behind the environment, in one piece. So does what follows the
    /// first line after a command, for that may be its answer. (When something comes, before or after the next
    /// command, decides what it means; how it is cut must not.)
    pub(super) fn arrive(&self) {
        lock(&self.0).together = true;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        let left = state.now.len();
        if left == 0 && !state.told {
            // Nothing has come yet, for whoever only looks; the stream has ended, for whoever waits.
            state.told = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let mut count = if state.together { left } else { state.cut.next(left) };
        let line = state.now.iter().position(|byte| *byte == b'\n').filter(|_| !state.together && !state.opening);
        if let Some(end) = line
            && count < left
            && count > end
        {
            count = end + 1;
        }
        state.together |= line.is_some_and(|end| count > end);
        for byte in state.now.drain(..count.min(buffer.remaining())) {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        (state.together, state.opening, state.told) = (false, false, false);
        if bytes.ends_with(b"\n") {
            let next = state.later.pop_front().unwrap_or_default();
            state.now.extend(next);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
