//! One AMI message: from bytes to headers. No I/O, no clock.
//!
//! A message is lines of `Name: value`; a blank line ends it. Names may repeat (`ChanVariable`,
//! `Variable`, `Output`), and their order is kept.

use std::fmt;

/// What Asterisk sent: a response or an event, with its headers in order, repeated ones kept.
#[derive(Clone)]
pub struct Message {
    text: String,
    headers: Vec<Header>,
}

/// Byte offsets into [`Message::text`]. A message is bounded far below 4 GB.
#[derive(Clone, Copy)]
struct Header {
    name: u32,
    colon: u32,
    value: u32,
    end: u32,
}

impl Message {
    /// The lines of one message, with or without the blank line that ended it.
    ///
    /// Never fails: what is not UTF-8 becomes U+FFFD, and a line without a colon is left out.
    #[must_use]
    pub fn parse(raw: &[u8]) -> Message {
        let text = String::from_utf8_lossy(raw).into_owned();
        let mut headers = Vec::with_capacity(24);
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let name = start;
            start += line.len();
            let line = line.strip_suffix('\n').unwrap_or(line);
            let line = line.strip_suffix('\r').unwrap_or(line);
            let Some(colon) = line.find(':').filter(|&colon| colon > 0) else {
                continue;
            };
            let blank = usize::from(line[colon + 1..].starts_with(' '));
            if let (Ok(name), Ok(colon), Ok(value), Ok(end)) = (
                u32::try_from(name),
                u32::try_from(name + colon),
                u32::try_from(name + colon + 1 + blank),
                u32::try_from(name + line.len()),
            ) {
                headers.push(Header { name, colon, value, end });
            }
        }
        Message { text, headers }
    }

    /// The first value under this name; upper and lower case are the same.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every value under this name, in order.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(header, _)| header.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header as (name, value), in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|header| {
            let slice = |from: u32, to: u32| &self.text[from as usize..to as usize];
            (slice(header.name, header.colon), slice(header.value, header.end))
        })
    }

    /// The event's name; `None` for a response.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        self.get("Event")
    }

    /// The `ActionID` of the action that this answers, or that this event is about.
    #[must_use]
    pub fn action_id(&self) -> Option<&str> {
        self.get("ActionID")
    }

    /// Whether this is a response that says the action was taken: `Success`, or the words that some
    /// actions have of their own (`Goodbye`, `Follows`, and `Pong` of old Asterisks).
    #[must_use]
    pub fn is_success(&self) -> bool {
        const TAKEN: [&str; 4] = ["Success", "Goodbye", "Follows", "Pong"];
        self.get("Response").is_some_and(|response| TAKEN.iter().any(|word| response.eq_ignore_ascii_case(word)))
    }
}

/// The same headers in the same order; line ends do not count.
impl PartialEq for Message {
    fn eq(&self, other: &Message) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Message {}

/// Values hold telephone numbers: not for logs above `debug`.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
