//! Bytes to lines: bounded memory, and no byte looked at twice. No I/O.

use super::Error;

/// How many bytes are asked of the socket at a time.
const CHUNK: usize = 4096;

pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Everything before this has been handed out.
    start: usize,
    /// No line feed between `start` and here.
    scanned: usize,
    /// The longest line, without its line feed.
    limit: usize,
}

impl Lines {
    pub(super) fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, limit }
    }

    /// Where the next bytes go: append to it, nothing else.
    ///
    /// Whoever asks again and again without taking the lines out has no bound on memory.
    pub(super) fn space(&mut self) -> &mut Vec<u8> {
        self.buffer.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.buffer.reserve(CHUNK);
        &mut self.buffer
    }

    /// The next complete line without its ending; bytes that are not UTF-8 become U+FFFD.
    pub(super) fn next(&mut self) -> Result<Option<String>, Error> {
        let found = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n');
        let end = found.map_or(self.buffer.len(), |offset| self.scanned + offset);
        if end - self.start > self.limit {
            return Err(Error::TooLong);
        }
        if found.is_none() {
            self.scanned = end;
            return Ok(None);
        }
        let line = &self.buffer[self.start..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = String::from_utf8_lossy(line).into_owned();
        self.start = end + 1;
        self.scanned = self.start;
        Ok(Some(line))
    }
}
