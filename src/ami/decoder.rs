//! A stream of bytes into AMI messages, bounded. No I/O, no clock.
//!
//! However the bytes are split over reads, the messages and the error are the same. Lines end in
//! CR LF or in LF.

use super::message::Message;

/// Longest line in bytes, without its LF. Asterisk's own lines stay under a few kB.
const LINE_MAX: usize = 64 * 1024;
/// Most bytes of one message.
const MESSAGE_MAX: usize = 512 * 1024;
/// Most header lines of one message.
const HEADERS_MAX: usize = 2000;

const GREETING: &[u8] = b"Asterisk Call Manager/";

/// Takes bytes, gives the greeting and messages.
///
/// An event whose name is not wanted, and that carries no `ActionID`, is passed over without
/// building a [`Message`]: on a busy PBX that is nearly all of the traffic. One with an `ActionID`
/// is always given, since it may be part of an answer.
pub struct Decoder {
    wanted: &'static [&'static str],
    buffer: Vec<u8>,
    /// Where the current message, and its current line, begin in the buffer.
    message: usize,
    line: usize,
    /// Up to where no line end was found.
    scanned: usize,
    headers: usize,
    greeting: Option<String>,
    unwanted: bool,
    failed: Option<DecodeError>,
}

/// Why the stream cannot be read on. Nothing after it can be trusted: close the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is something else that listens there.
    #[error("the other side is not an Asterisk manager: its first line is not \"Asterisk Call Manager/..\"")]
    Greeting,
    /// A line that does not end.
    #[error("a line longer than {LINE_MAX} bytes")]
    Line,
    /// A message that does not end.
    #[error("a message longer than {MESSAGE_MAX} bytes")]
    Message,
    /// A message of very many small lines.
    #[error("a message of more than {HEADERS_MAX} headers")]
    Headers,
}

impl Decoder {
    /// `wanted`: the names of the events that somebody wants.
    #[must_use]
    pub fn new(wanted: &'static [&'static str]) -> Decoder {
        Decoder {
            wanted,
            buffer: Vec::new(),
            message: 0,
            line: 0,
            scanned: 0,
            headers: 0,
            greeting: None,
            unwanted: false,
            failed: None,
        }
    }

    /// Takes the next bytes of the stream, of any number. Call [`Decoder::next_message`] until it gives
    /// `None` in between, or the buffer grows.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        self.buffer.drain(..self.message);
        self.line -= self.message;
        self.scanned -= self.message;
        self.message = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// What the other side called itself, e.g. `Asterisk Call Manager/11.0.0`, once it has.
    #[must_use]
    pub fn greeting(&self) -> Option<&str> {
        self.greeting.as_deref()
    }

    /// The next whole message; `None` when more bytes are needed. After an error always that error.
    pub fn next_message(&mut self) -> Result<Option<Message>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.scan().inspect_err(|&error| {
            self.failed = Some(error);
            self.buffer = Vec::new();
        })
    }

    fn scan(&mut self) -> Result<Option<Message>, DecodeError> {
        loop {
            let newline = self.buffer[self.scanned..].iter().position(|&byte| byte == b'\n');
            let end = newline.map_or(self.buffer.len(), |at| self.scanned + at);
            // The lower of both limits is the error, wherever the reads were split.
            let (line_limit, message_limit) = (self.line + LINE_MAX, self.message + MESSAGE_MAX);
            if end > line_limit.min(message_limit) {
                return Err(if line_limit <= message_limit { DecodeError::Line } else { DecodeError::Message });
            }
            if newline.is_none() {
                self.scanned = end;
                return Ok(None);
            }
            let line = &self.buffer[self.line..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let blank = line.is_empty();
            if self.greeting.is_none() {
                if !line.starts_with(GREETING) {
                    return Err(DecodeError::Greeting);
                }
                self.greeting = Some(String::from_utf8_lossy(line).into_owned());
                self.end_message(end);
            } else if !blank {
                self.headers += 1;
                if self.headers > HEADERS_MAX {
                    return Err(DecodeError::Headers);
                }
                if self.headers == 1 {
                    self.unwanted = value_of(line, b"Event").is_some_and(|event| {
                        !self.wanted.iter().any(|name| name.as_bytes().eq_ignore_ascii_case(event))
                    });
                } else if self.unwanted && value_of(line, b"ActionID").is_some() {
                    self.unwanted = false;
                }
                self.line = end + 1;
                self.scanned = self.line;
            } else {
                let whole = self.message..self.line;
                let build = self.headers > 0 && !self.unwanted;
                self.end_message(end);
                if build {
                    return Ok(Some(Message::parse(&self.buffer[whole])));
                }
            }
        }
    }

    fn end_message(&mut self, newline: usize) {
        self.message = newline + 1;
        self.line = self.message;
        self.scanned = self.message;
        self.headers = 0;
        self.unwanted = false;
    }
}

/// The value, if the line's header has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":").filter(|_| head.eq_ignore_ascii_case(name))?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}
