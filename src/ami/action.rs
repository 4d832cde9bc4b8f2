//! One AMI action: from headers to bytes, so that no value can become a second header, a second
//! action or a second channel variable. No I/O, no clock.
//!
//! Asterisk takes a bare LF as a line end too, and cuts a line at a NUL: CR, LF and NUL are refused
//! everywhere. It throws away a line over about 1 kB and an action of over 128 headers without an
//! answer that could be told apart, so both are refused here.

use std::fmt;

/// Longest header line in bytes, without its line end. Asterisk 22 reads 1024 with it.
const LINE_MAX: usize = 1000;
/// Most headers of one action, `Action` and `ActionID` among them. Asterisk 22 takes 128.
const HEADERS_MAX: usize = 120;

/// An action to be sent. Its `ActionID` is put on by the connection.
#[derive(Clone)]
pub struct Action {
    name: &'static str,
    /// Finished header lines, CR LF and all.
    lines: String,
    headers: usize,
}

/// Why a header was not put on an action. Never repeats the value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    /// A name that is no header name, or that the connection sets itself.
    #[error("{0:?} is not a header name that a caller may set")]
    Name(&'static str),
    /// A variable that could be a dialplan function, or a second variable.
    #[error("a channel variable's name must be of A-Z, 0-9 and _")]
    VariableName,
    /// A value that could begin a new line, or hide its end.
    #[error("the value of {0} contains a line end or a NUL")]
    Control(&'static str),
    /// A line that Asterisk would throw away.
    #[error("the line of {0} is longer than the 1000 bytes that Asterisk takes")]
    TooLong(&'static str),
    /// An action that Asterisk would throw away.
    #[error("more headers than Asterisk takes in one action")]
    TooMany,
}

impl Action {
    /// An action by the name that Asterisk has for it, e.g. `Originate`.
    #[must_use]
    pub fn new(name: &'static str) -> Action {
        Action { name, lines: String::new(), headers: 2 }
    }

    /// The name that it was made with.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Adds `name: value`.
    ///
    /// `Action` and `ActionID` are set by the connection, `Variable` by [`Action::variable`].
    pub fn header(self, name: &'static str, value: &str) -> Result<Action, BadHeader> {
        const TAKEN: [&str; 3] = ["Action", "ActionID", "Variable"];
        let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if name.is_empty() || !name.bytes().all(token) || TAKEN.iter().any(|taken| taken.eq_ignore_ascii_case(name)) {
            return Err(BadHeader::Name(name));
        }
        self.line(name, value)
    }

    /// Adds `Variable: name=value`, so that the channel gets exactly this one variable with exactly
    /// this value.
    ///
    /// The name is kept to `[A-Z0-9_]+`, for `GLOBAL(X)` or `CHANNEL(x)` would run a dialplan function.
    /// In the value every character that means something to Asterisk's argument splitter
    /// (`__ast_app_separate_args`: comma, quote, backslash, parentheses, brackets), and `;`, which
    /// separated in other versions, stands behind a backslash, which the splitter takes off again.
    pub fn variable(self, name: &str, value: &str) -> Result<Action, BadHeader> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        if name.is_empty() || !name.bytes().all(allowed) {
            return Err(BadHeader::VariableName);
        }
        let mut pair = String::with_capacity(name.len() + 1 + value.len() + 8);
        pair.push_str(name);
        pair.push('=');
        for character in value.chars() {
            if matches!(character, ',' | '"' | '\\' | ';' | '(' | ')' | '[' | ']') {
                pair.push('\\');
            }
            pair.push(character);
        }
        self.line("Variable", &pair)
    }

    fn line(mut self, name: &'static str, value: &str) -> Result<Action, BadHeader> {
        if value.contains(['\r', '\n', '\0']) {
            return Err(BadHeader::Control(name));
        }
        if name.len() + ": ".len() + value.len() > LINE_MAX {
            return Err(BadHeader::TooLong(name));
        }
        if self.headers == HEADERS_MAX {
            return Err(BadHeader::TooMany);
        }
        self.headers += 1;
        for part in [name, ": ", value, "\r\n"] {
            self.lines.push_str(part);
        }
        Ok(self)
    }

    /// The bytes of the whole action, under this `ActionID` (the connection's own, never a caller's).
    #[must_use]
    pub fn encode(&self, action_id: &str) -> Vec<u8> {
        format!("Action: {}\r\nActionID: {action_id}\r\n{}\r\n", self.name, self.lines).into_bytes()
    }
}

/// Shows no values: they hold secrets and telephone numbers.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Action").field("name", &self.name).field("headers", &self.headers).finish_non_exhaustive()
    }
}
