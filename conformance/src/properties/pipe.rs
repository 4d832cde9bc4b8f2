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
    /// Between two commands: all that is left has arrived, and nothing more is coming.
    between: bool,
}

impl Pipe {
    pub(super) fn new(parts: &[&[u8]], cut: Cut) -> (Self, End) {
        let mut later: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let now = later.pop_front().unwrap_or_default().into();
        let state = Arc::new(Mutex::new(State { now, later, cut, between: false }));
        (Self(Arc::clone(&state)), End(state))
    }
}

impl End {
    /// A command was answered: what is left came right behind the answer, in one piece. (When it comes decides what
    /// it means; how it is cut must not.)
    pub(super) fn arrive(&self) {
        lock(&self.0).between = true;
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for Pipe {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        let left = state.now.len();
        let count = match (state.between, left) {
            (true, 0) => return Poll::Pending,
            (true, _) => left,
            (false, _) => state.cut.next(left),
        };
        let count = count.min(buffer.remaining());
        for byte in state.now.drain(..count) {
            buffer.put_slice(&[byte]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        state.between = false;
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
