//! Command lines: what we say, so quoted that Asterisk reads back what was meant. No I/O.
//!
//! Asterisk (`parse_args` in `res_agi.c`) splits at spaces and tabs outside double quotes; a
//! backslash makes the next character literal, inside quotes and outside. There is no way to say
//! a line feed.

use std::time::Duration;

use super::Error;

/// Asterisk reads commands into a buffer, of 8,192 bytes in version 22 and 2,048 before, of which one is its terminator.
/// What goes beyond is not cut off but taken for the next command, so the rest of a long text would be carried out.
pub(super) const LONGEST: usize = 2047;

/// Milliseconds are a C `int` over there.
const LONGEST_WAIT: u128 = i32::MAX as u128;

#[derive(Debug)]
pub(super) struct Command {
    /// The command itself, for errors and logs: never an argument.
    pub(super) name: &'static str,
    line: String,
}

impl Command {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name, line: name.to_owned() }
    }

    /// Appends one argument, quoted.
    pub(super) fn arg(mut self, text: &str) -> Result<Self, Error> {
        if text.contains(['\r', '\n', '\0']) {
            return Err(Error::BadArgument("line feed or NUL in an argument"));
        }
        self.line.push_str(" \"");
        for character in text.chars() {
            if matches!(character, '"' | '\\') {
                self.line.push('\\');
            }
            self.line.push(character);
        }
        self.line.push('"');
        Ok(self)
    }

    /// Appends one number.
    pub(super) fn number(mut self, number: u64) -> Self {
        self.line.push(' ');
        self.line.push_str(&number.to_string());
        self
    }

    /// The bytes to send.
    pub(super) fn line(mut self) -> Result<Vec<u8>, Error> {
        self.line.push('\n');
        if self.line.len() > LONGEST {
            return Err(Error::BadArgument("command longer than Asterisk reads"));
        }
        Ok(self.line.into_bytes())
    }
}

/// The name of an application or of a channel variable, which may begin with underscores. Asterisk would
/// take a variable with parentheses for a function, and call it.
pub(super) fn plain_name(name: &str) -> Result<&str, Error> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let digit_first = name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || digit_first || !name.bytes().all(plain) {
        return Err(Error::BadArgument("not a name"));
    }
    Ok(name)
}

/// The one string an application gets: its arguments joined by commas.
///
/// Applications split it again each in its own way, so there is no quoting that all of them
/// understand: what could move a boundary is refused.
pub(super) fn application_arguments(args: &[&str]) -> Result<String, Error> {
    for arg in args {
        if arg.contains([',', '"', '\\']) || !balanced(arg) {
            return Err(Error::BadArgument("character with a meaning to EXEC"));
        }
    }
    Ok(args.join(","))
}

/// Asterisk does not split inside parentheses and brackets.
fn balanced(text: &str) -> bool {
    let mut open = Vec::new();
    text.chars().all(|character| match character {
        '(' => {
            open.push(')');
            true
        }
        '[' => {
            open.push(']');
            true
        }
        ')' | ']' => open.pop() == Some(character),
        _ => true,
    }) && open.is_empty()
}

/// Whole milliseconds, rounded up: a wait that is short is none that is endless or nothing.
pub(super) fn milliseconds(time: Duration) -> u64 {
    let rounded = time.as_nanos().div_ceil(1_000_000).min(LONGEST_WAIT);
    u64::try_from(rounded).unwrap_or(u64::MAX)
}
