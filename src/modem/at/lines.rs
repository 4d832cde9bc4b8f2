//! Bytes to lines and prompts. No I/O.
//!
//! A line ends with CR or LF; empty ones are nothing. A prompt is a `>` where a line would begin: no line that a
//! modem says begins so. Control characters, which an echo may repeat, are left out.

/// Longest line that is kept; a PDU has 352 digits. What is longer is thrown away, whole.
const LINE_MAX: usize = 2048;

/// What a modem says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// A line, not empty, without its end.
    Line(String),
    /// That it waits for a PDU.
    Prompt,
}

#[derive(Debug, Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
    read: usize,
    line: Vec<u8>,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.read);
        self.read = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// The next item, if there is a whole one.
    pub(super) fn next(&mut self) -> Option<Item> {
        while let Some(byte) = self.pending.get(self.read).copied() {
            self.read += 1;
            match byte {
                b'\r' | b'\n' => {
                    let line = std::mem::take(&mut self.line);
                    let text = String::from_utf8_lossy(&line);
                    let text = text.trim();
                    if !text.is_empty() && line.len() <= LINE_MAX {
                        return Some(Item::Line(text.to_owned()));
                    }
                }
                b'>' if self.line.iter().all(|byte| *byte == b' ') => {
                    self.line.clear();
                    return Some(Item::Prompt);
                }
                0..b' ' | 0x7f => {}
                // One more than fits tells that it does not.
                _ if self.line.len() > LINE_MAX => {}
                _ => self.line.push(byte),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_an_end_takes_no_more_memory_than_the_longest() {
        let mut lines = Lines::default();
        for _ in 0..1000 {
            lines.push(&[b'x'; 1024]);
            assert_eq!(lines.next(), None);
        }
        assert!(lines.line.len() <= LINE_MAX + 1 && lines.pending.len() <= 1024);
        lines.push(b"\r\nOK\r\n");
        assert_eq!(lines.next(), Some(Item::Line("OK".to_owned())), "what was too long is nothing");
    }
}
