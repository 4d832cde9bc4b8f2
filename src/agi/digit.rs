//! Keys of a telephone, and sets of them.

use std::fmt;

/// Every key Asterisk may report, in the order of the bits of [`Digits`].
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// One DTMF key: `0` to `9`, `*`, `#`, and the `A` to `D` that only some telephones have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digit(u8);

impl Digit {
    /// The key with this label, or `None` if no telephone has such a key.
    #[must_use]
    pub fn new(key: char) -> Option<Self> {
        let byte = u8::try_from(key).ok()?;
        KEYS.contains(&byte).then_some(Self(byte))
    }

    #[must_use]
    pub fn as_char(self) -> char {
        char::from(self.0)
    }

    fn bit(self) -> u16 {
        KEYS.iter().position(|key| *key == self.0).map_or(0, |index| 1 << index)
    }
}

impl fmt::Display for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_char())
    }
}

impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digit({})", self.as_char())
    }
}

/// A set of keys: which ones end a command early.
///
/// Asterisk throws a key away that is pressed while a file plays and is not in the command's
/// set, so [`Digits::ALL`] is what a menu wants.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Digits(u16);

impl Digits {
    pub const NONE: Self = Self(0);
    /// The twelve keys of an ordinary telephone, `0123456789*#`.
    pub const ALL: Self = Self(0x0fff);

    #[must_use]
    pub fn contains(self, digit: Digit) -> bool {
        self.0 & digit.bit() != 0
    }
}

impl From<Digit> for Digits {
    fn from(digit: Digit) -> Self {
        Self(digit.bit())
    }
}

impl FromIterator<Digit> for Digits {
    fn from_iter<I: IntoIterator<Item = Digit>>(digits: I) -> Self {
        Self(digits.into_iter().fold(0, |set, digit| set | digit.bit()))
    }
}

/// As the wire has it: the keys one after the other.
impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        KEYS.iter().map(|key| Digit(*key)).filter(|digit| self.contains(*digit)).try_for_each(|digit| digit.fmt(f))
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digits({self})")
    }
}
