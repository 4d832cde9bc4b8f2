//! What can become of a command.

use std::io;

/// Why a command, or a whole connection, did not do what it was to do.
///
/// After [`Closed`](Error::Closed), [`Deadline`](Error::Deadline),
/// [`Malformed`](Error::Malformed), [`TooLong`](Error::TooLong) and [`Io`](Error::Io) the
/// connection is gone and every later command answers `Closed` (or `HungUp`). After the others
/// it still works; after `HungUp` Asterisk takes only what needs no live channel: variables,
/// `VERBOSE`, some applications.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The channel is hung up: status 511, a `HANGUP` line, or -1 on a channel that is not up.
    #[error("the channel is hung up")]
    HungUp,
    /// Asterisk closed the connection, with no hangup before it.
    #[error("asterisk closed the connection")]
    Closed,
    /// No answer in time. The connection is closed, as the answer might come later and be taken
    /// for the next one's.
    #[error("asterisk did not answer in time")]
    Deadline,
    /// The file does not exist in any format the channel can play; the channel is still up.
    #[error("file {file:?} cannot be played")]
    Unplayable { file: String },
    /// Status 510.
    #[error("asterisk does not know the command")]
    UnknownCommand,
    /// Status 520, with what Asterisk says the right syntax is.
    #[error("asterisk refuses the command's syntax")]
    Usage(String),
    /// Asterisk carried the command out, and it failed; the channel is still up.
    #[error("{command} failed with result {result:?}")]
    Failed { command: &'static str, result: String },
    /// Something that is no AGI, or not at this point. The line is not part of it, as it may
    /// hold what people said or dialled.
    #[error("not AGI: {0}")]
    Malformed(&'static str),
    /// A line, a reply or an environment beyond the limits.
    #[error("longer than the limit")]
    TooLong,
    #[error("connection failed")]
    Io(#[source] io::Error),
    /// Not sent, as it could not be said, or would have said something else.
    #[error("bad argument: {0}")]
    BadArgument(&'static str),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}
