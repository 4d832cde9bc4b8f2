//! What Asterisk answers, lines to [`Reply`]. No I/O.

use super::{Digit, Error};

/// One whole answer to one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Done(Outcome),
    /// 511: not on a channel that is hung up.
    Dead,
    /// 510
    Unknown,
    /// 520, the lines of the usage text joined by line feeds.
    Usage(String),
}

/// `200 result=<result> (<data>) endpos=<end>`; the last two may be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) result: String,
    pub(super) data: Option<String>,
    pub(super) end: Option<i64>,
}

impl Outcome {
    /// A result that is 0 or the code of a key; `Err` if it is neither.
    pub(super) fn digit(&self) -> Result<Option<Digit>, ()> {
        match self.result.parse::<u8>() {
            Ok(0) => Ok(None),
            Ok(code) => Digit::new(char::from(code)).map(Some).ok_or(()),
            Err(_) => Err(()),
        }
    }
}

/// Collects the lines of one answer after the other. `HANGUP` lines must be gone already.
pub(super) struct Replies {
    state: State,
    most_bytes: usize,
}

enum State {
    Start,
    /// Between `520-` and `520 `.
    Usage(String),
    /// Between `(` and `)`: the value of a variable has line feeds in it.
    Value {
        result: String,
        text: String,
    },
}

impl Replies {
    pub(super) fn new(most_bytes: usize) -> Self {
        Self { state: State::Start, most_bytes }
    }

    /// Whether the last answer is complete.
    pub(super) fn is_between(&self) -> bool {
        matches!(self.state, State::Start)
    }

    /// Takes one line, and gives the answer if it is complete with it.
    pub(super) fn line(&mut self, line: &str) -> Result<Option<Reply>, Error> {
        match std::mem::replace(&mut self.state, State::Start) {
            State::Start => self.first(line),
            State::Usage(mut text) => {
                if line.starts_with("520 ") {
                    return Ok(Some(Reply::Usage(text)));
                }
                self.append(&mut text, line)?;
                self.state = State::Usage(text);
                Ok(None)
            }
            State::Value { result, mut text } => {
                self.append(&mut text, "")?;
                self.value(result, text, line)
            }
        }
    }

    fn append(&self, text: &mut String, line: &str) -> Result<(), Error> {
        if text.len() + line.len() >= self.most_bytes {
            return Err(Error::TooLong);
        }
        text.push('\n');
        text.push_str(line);
        Ok(())
    }

    fn first(&mut self, line: &str) -> Result<Option<Reply>, Error> {
        let (code, rest) = line.split_at_checked(3).unwrap_or((line, ""));
        match (code, rest.as_bytes().first()) {
            // GOSUB announces itself this way, and answers afterwards.
            ("100", _) | ("", None) => Ok(None),
            ("200", Some(b' ')) => self.outcome(&rest[1..]),
            ("510", _) => Ok(Some(Reply::Unknown)),
            ("511", _) => Ok(Some(Reply::Dead)),
            ("520", Some(b'-')) => {
                self.state = State::Usage(rest[1..].to_owned());
                Ok(None)
            }
            ("520", _) => Ok(Some(Reply::Usage(rest.trim_start().to_owned()))),
            _ => Err(Error::Malformed("a line that is no reply")),
        }
    }

    /// `text` is what stands after `200 `.
    fn outcome(&mut self, text: &str) -> Result<Option<Reply>, Error> {
        let Some(rest) = text.strip_prefix("result=") else {
            return Err(Error::Malformed("status 200 without a result"));
        };
        let (result, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let result = result.to_owned();
        match rest.strip_prefix('(') {
            Some(line) => self.value(result, String::new(), line),
            None => Ok(Some(Reply::Done(Outcome { result, data: None, end: end_position(rest) }))),
        }
    }

    /// `text` is the value so far, `line` goes on with it. The value may hold parentheses itself,
    /// so it ends at the last one, with nothing behind it but a position.
    fn value(&mut self, result: String, mut text: String, line: &str) -> Result<Option<Reply>, Error> {
        let closing = line
            .rsplit_once(')')
            .map(|(value, rest)| (value, rest, end_position(rest)))
            .filter(|(_, rest, end)| rest.is_empty() || end.is_some());
        if text.len() + line.len() > self.most_bytes {
            return Err(Error::TooLong);
        }
        let Some((value, _, end)) = closing else {
            text.push_str(line);
            self.state = State::Value { result, text };
            return Ok(None);
        };
        text.push_str(value);
        Ok(Some(Reply::Done(Outcome { result, data: Some(text), end })))
    }
}

/// The number in `endpos=8160`; CONTROL STREAM FILE says -1 for the file's end.
fn end_position(text: &str) -> Option<i64> {
    let number = text.trim_start().strip_prefix("endpos=")?;
    number.split(' ').next()?.parse().ok()
}
