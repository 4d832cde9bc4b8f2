//! What we may say to a modem: a type that cannot hold a second command, a PDU or a key that ends one.

use std::{borrow::Cow, fmt};

/// Longest command line. Modems take some hundred characters.
const LINE_MAX: usize = 300;

/// A command line without its end: `AT` and printable ASCII. No CR, LF, ESC or Ctrl-Z can be in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Command(Cow<'static, str>);

/// A text that is no command line. Does not repeat it, for it may hold a PIN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a modem's command is AT and at most {LINE_MAX} printable ASCII characters")]
pub struct BadCommand;

const fn is_clean(text: &[u8]) -> bool {
    if text.len() < 2 || text.len() > LINE_MAX || text[0] != b'A' || text[1] != b'T' {
        return false;
    }
    let mut at = 0;
    while at < text.len() {
        if text[at] < b' ' || text[at] > b'~' {
            return false;
        }
        at += 1;
    }
    true
}

impl Command {
    /// A command that stands in the source: one that is none does not compile.
    ///
    /// # Panics
    /// If it is none; of a constant, when it is compiled.
    #[must_use]
    pub const fn fixed(text: &'static str) -> Self {
        assert!(is_clean(text.as_bytes()), "no command line");
        Self(Cow::Borrowed(text))
    }

    /// A command that is made up.
    ///
    /// # Errors
    /// If it is none.
    pub fn new(text: String) -> Result<Self, BadCommand> {
        if is_clean(text.as_bytes()) { Ok(Self(Cow::Owned(text))) } else { Err(BadCommand) }
    }

    /// As it is written, without the line's end.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// What its response lines begin with, e.g. `+CREG` of `AT+CREG?`.
    #[must_use]
    pub fn name(&self) -> &str {
        let name = &self.0[2..];
        &name[..name.find(['?', '=']).unwrap_or(name.len())]
    }
}

/// Shows no values: one of them is a PIN.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AT{}", self.name())
    }
}
