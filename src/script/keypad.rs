//! What the keys mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Take the incident.
    Acknowledge,
    /// Pass it on.
    Escalate,
    /// Say that it is over.
    Resolve,
    /// Hear it again.
    Repeat,
    /// Go on to the next.
    Next,
}

/// Which key does what. One of `0`-`9`, `*`, `#` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keypad {
    /// Take the incident.
    pub acknowledge: char,
    /// Pass it on.
    pub escalate: char,
    /// Say that it is over.
    pub resolve: char,
    /// Hear it again.
    pub repeat: char,
    /// Go on to the next.
    pub next: char,
}

impl Default for Keypad {
    fn default() -> Self {
        Self { acknowledge: '4', escalate: '5', resolve: '6', repeat: '*', next: '#' }
    }
}

/// Why these keys cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Clash {
    /// One key, two meanings.
    #[error("key {0:?} has two meanings")]
    Twice(char),
    /// No telephone has it.
    #[error("{0:?} is no key of a telephone (0 to 9, * or #)")]
    NoKey(char),
}

impl Keypad {
    fn pairs(&self) -> [(char, Action); 5] {
        [
            (self.acknowledge, Action::Acknowledge),
            (self.escalate, Action::Escalate),
            (self.resolve, Action::Resolve),
            (self.repeat, Action::Repeat),
            (self.next, Action::Next),
        ]
    }

    /// What `key` does, if anything.
    #[must_use]
    pub fn action(&self, key: char) -> Option<Action> {
        self.pairs().into_iter().find(|(own, _)| *own == key).map(|(_, action)| action)
    }

    /// Everything that is wrong with these keys.
    #[must_use]
    pub fn clashes(&self) -> Vec<Clash> {
        let keys = self.pairs().map(|(key, _)| key);
        let mut clashes = Vec::new();
        for (nth, key) in keys.into_iter().enumerate() {
            if !(key.is_ascii_digit() || "*#".contains(key)) {
                clashes.push(Clash::NoKey(key));
            }
            if keys[..nth].contains(&key) {
                clashes.push(Clash::Twice(key));
            }
        }
        clashes
    }

    /// The keys as they are spoken, by what they do.
    pub(super) fn spoken(&self) -> BTreeMap<&'static str, String> {
        let name = |key: char| match key {
            '*' => "star".to_owned(),
            '#' => "pound".to_owned(),
            digit => digit.to_string(),
        };
        BTreeMap::from([
            ("acknowledge", name(self.acknowledge)),
            ("escalate", name(self.escalate)),
            ("resolve", name(self.resolve)),
            ("repeat", name(self.repeat)),
            ("next", name(self.next)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_has_one_meaning() {
        let keypad = Keypad::default();
        assert_eq!(keypad.action('4'), Some(Action::Acknowledge));
        assert_eq!(keypad.action('#'), Some(Action::Next));
        assert_eq!(keypad.action('1'), None);
        assert_eq!(keypad.clashes(), []);
    }

    #[test]
    fn clashes_are_told_all_at_once() {
        let keypad = Keypad { escalate: '4', repeat: 'r', ..Keypad::default() };
        assert_eq!(keypad.clashes(), [Clash::Twice('4'), Clash::NoKey('r')]);
    }
}
