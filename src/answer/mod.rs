//! WHAT A TEXT THAT CAME IN MEANS, and what is done about it. Pure.
//!
//! [`Meaning::of`] reads it, [`decide`] says which incidents it acts on, [`may_answer`] whether the sender is told,
//! and [`raises`] whether it is an alert itself. Knows nothing of modems, of Twilio, of how a contact is found by a
//! number, or of the words of a reply.
//!
//! What is read has to be understood to the end of its line: `4 people are on it` takes nothing. A number alone
//! takes nothing either, unless it is one of the keys.

mod fold;
mod rule;
#[cfg(test)]
mod tests;
mod words;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use self::rule::{Raised, Rule, raises};
use self::{
    fold::{LOOKED_AT, fold, tokens},
    words::Word,
};
use crate::id::IncidentId;

/// The most incidents that one text names; those beyond are not looked at.
const MOST_CODES: usize = 20;
/// The longest code, in digits. Longer numbers are telephone numbers and the like.
const LONGEST_CODE: usize = 6;

/// What is to be done about an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Take it.
    Acknowledge,
    /// Pass it on.
    Escalate,
    /// Say that it is over.
    Resolve,
}

/// The keys that mean the same on the telephone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys {
    /// Take it.
    pub acknowledge: char,
    /// Pass it on.
    pub escalate: char,
    /// Say that it is over.
    pub resolve: char,
}

impl Keys {
    fn verb(&self, text: &str) -> Option<Verb> {
        let mut characters = text.chars();
        let (key, rest) = (characters.next()?, characters.next());
        let pairs =
            [(self.acknowledge, Verb::Acknowledge), (self.escalate, Verb::Escalate), (self.resolve, Verb::Resolve)];
        pairs.into_iter().find(|(own, _)| *own == key && rest.is_none()).map(|(_, verb)| verb)
    }
}

/// What a text means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// Something is to be done about incidents.
    Act {
        /// What.
        verb: Verb,
        /// About which.
        which: Which,
    },
    /// No more texts to this number.
    Stop,
    /// Texts to this number again.
    Start,
    /// What can be said?
    Help,
    /// Something else.
    Unknown,
}

/// Which incidents are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// It is not said.
    Unsaid,
    /// All of them.
    All,
    /// Those with these codes, each once.
    Coded(Vec<u32>),
}

impl Meaning {
    /// Reads a text. Only its beginning is looked at.
    #[must_use]
    pub fn of(text: &str, keys: Keys) -> Self {
        let text = beginning(text);
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let first = unsigned(lines.next().unwrap_or_default());
        // Keys that are no letters or digits, and the question mark, are gone once it is folded.
        if let Some(verb) = keys.verb(first) {
            return Self::Act { verb, which: codes_of(lines) };
        }
        if !first.is_empty() && first.chars().all(|c| "?¿؟？".contains(c)) {
            return Self::Help;
        }
        let mut read = Read::default();
        let folded = fold(first);
        if tokens(&folded).into_iter().all(|token| read.token(token, keys)) {
            read.meaning(|| codes_of(lines))
        } else {
            Self::Unknown
        }
    }
}

/// As much of a text as is looked at.
fn beginning(text: &str) -> &str {
    text.char_indices().nth(LOOKED_AT).map_or(text, |(end, _)| &text[..end])
}

/// A line without what telephones and people put under it.
fn unsigned(line: &str) -> &str {
    let cut = ["--", "—", "–"].iter().filter_map(|dash| line.find(dash)).min().unwrap_or(line.len());
    line[..cut].trim()
}

/// Codes of the next lines, up to one that has something else in it.
fn codes_of<'a>(lines: impl Iterator<Item = &'a str>) -> Which {
    let mut read = Read { verb: Some(Verb::Acknowledge), ..Read::default() };
    for line in lines {
        // A plus is a telephone number's, and a signature begins with a dash.
        if line.contains('+') || line.starts_with("--") {
            break;
        }
        let folded = fold(line);
        let mut next = read.clone();
        if !tokens(&folded).into_iter().all(|token| next.code(token)) {
            break;
        }
        read = next;
    }
    read.which()
}

/// What was read of a line so far.
#[derive(Clone, Debug, Default)]
struct Read {
    verb: Option<Verb>,
    /// Stop, start or help.
    other: Option<Word>,
    codes: Vec<u32>,
    all: bool,
}

impl Read {
    /// Reads one more; `false` if it is not understood.
    fn token(&mut self, token: &str, keys: Keys) -> bool {
        if self.verb.is_none()
            && self.codes.is_empty()
            && let Some(verb) = keys.verb(token)
        {
            self.verb = Some(verb);
            return true;
        }
        let verb = match words::meaning(token) {
            Some(Word::Acknowledge) => Verb::Acknowledge,
            Some(Word::Escalate) => Verb::Escalate,
            Some(Word::Resolve) => Verb::Resolve,
            Some(other @ (Word::Stop | Word::Start | Word::Help)) => {
                return self.other.replace(other).is_none_or(|before| before == other);
            }
            _ => return self.code(token),
        };
        // Saying it twice is saying it; two different things are none.
        self.verb.replace(verb).is_none_or(|before| before == verb)
    }

    /// Reads a code, or what may stand between codes; `false` if it is something else.
    fn code(&mut self, token: &str) -> bool {
        if token.starts_with(|c: char| c.is_ascii_digit()) {
            let code = token.parse().ok().filter(|_| token.len() <= LONGEST_CODE);
            let Some(code) = code else { return false };
            if !self.codes.contains(&code) && self.codes.len() < MOST_CODES {
                self.codes.push(code);
            }
            return true;
        }
        match words::meaning(token) {
            Some(Word::All) => self.all = true,
            Some(Word::Filler) => {}
            _ => return false,
        }
        true
    }

    fn which(&self) -> Which {
        match (&*self.codes, self.all) {
            ([], false) => Which::Unsaid,
            ([], true) => Which::All,
            // Named ones are meant, whatever else is said.
            (codes, _) => Which::Coded(codes.to_vec()),
        }
    }

    /// The meaning of a whole line; `below` reads codes of the next ones.
    fn meaning(self, below: impl FnOnce() -> Which) -> Meaning {
        match (self.verb, self.other) {
            (Some(verb), None) => {
                let which = self.which();
                Meaning::Act { verb, which: if which == Which::Unsaid { below() } else { which } }
            }
            // Stopping needs nothing else; with a code it is not what it seems.
            (None, Some(other)) if self.codes.is_empty() => match other {
                Word::Stop => Meaning::Stop,
                Word::Start => Meaning::Start,
                _ => Meaning::Help,
            },
            _ => Meaning::Unknown,
        }
    }
}

/// An incident that is open and that this contact was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Which one.
    pub incident: IncidentId,
    /// What it is called in texts.
    pub code: u32,
    /// Whether somebody has it already.
    pub is_acknowledged: bool,
}

/// What `ack` means when there are several to take. Passing on and resolving always want to know which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Several {
    /// All of them.
    #[default]
    All,
    /// It is asked which.
    Ask,
}

/// What is done about a text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It is done.
    Act {
        /// What.
        verb: Verb,
        /// To these, at least one, in the order of their codes.
        on: Vec<Open>,
        /// Nothing open is called so.
        unknown: Vec<u32>,
    },
    /// It is asked which.
    Ask {
        /// What for.
        verb: Verb,
        /// The codes that it could be, ascending.
        codes: Vec<u32>,
    },
    /// It cannot be done by text: a PIN is asked for it.
    NotByText(Verb),
    /// Nothing is open that it could be done to.
    NothingOpen(Verb),
    /// Nothing open is called so.
    NoSuch(Vec<u32>),
    /// No more texts to this number.
    Stop,
    /// Texts to this number again.
    Start,
    /// What can be said.
    Help,
    /// It was not understood.
    NotUnderstood,
}

/// What is done about a text from a contact for whom these are open. `barred`: what wants a PIN, and so cannot be
/// done by text, whose sender proves little.
#[must_use]
pub fn decide(meaning: &Meaning, open: &[Open], several: Several, barred: &[Verb]) -> Decision {
    let (verb, which) = match meaning {
        Meaning::Act { verb, which } => (*verb, which),
        Meaning::Stop => return Decision::Stop,
        Meaning::Start => return Decision::Start,
        Meaning::Help => return Decision::Help,
        Meaning::Unknown => return Decision::NotUnderstood,
    };
    if barred.contains(&verb) {
        return Decision::NotByText(verb);
    }
    let mut open = open.to_vec();
    open.sort_by_key(|open| open.code);
    open.dedup_by_key(|open| open.code);
    // What somebody has is not taken again, unless it is named.
    let candidates =
        || open.iter().copied().filter(|open| verb != Verb::Acknowledge || !open.is_acknowledged).collect::<Vec<_>>();
    let act = |on, unknown| Decision::Act { verb, on, unknown };
    match which {
        Which::Coded(codes) => {
            let (known, unknown): (Vec<u32>, Vec<u32>) =
                codes.iter().partition(|code| open.iter().any(|open| open.code == **code));
            if known.is_empty() {
                return Decision::NoSuch(unknown);
            }
            act(open.iter().copied().filter(|open| known.contains(&open.code)).collect(), unknown)
        }
        Which::All | Which::Unsaid => {
            let candidates = candidates();
            let takes_all = *which == Which::All || (verb == Verb::Acknowledge && several == Several::All);
            match &*candidates {
                [] => Decision::NothingOpen(verb),
                [_] => act(candidates, Vec::new()),
                _ if takes_all => act(candidates, Vec::new()),
                _ => Decision::Ask { verb, codes: candidates.iter().map(|open| open.code).collect() },
            }
        }
    }
}

/// Automatic replies that one number gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// At most so many.
    pub most: usize,
    /// Within this time.
    pub within: TimeDelta,
}

impl Default for Limit {
    fn default() -> Self {
        Self { most: 10, within: TimeDelta::hours(1) }
    }
}

/// Why a text is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// No contact has this number.
    UnknownSender,
    /// It is no number that could be answered: a short code, a name, or none.
    NoNumber,
    /// It looks as if a machine had written it, and it means nothing to us.
    Automatic,
    /// The number has had enough replies.
    Enough,
}

/// Whether a text is answered. What it means is done in any case, unless the sender is unknown.
///
/// `replies`: when this number was last sent automatic replies; those still ahead, by a clock that was set back, count.
///
/// # Errors
/// If it is not.
pub fn may_answer(
    from: &str,
    is_known: bool,
    text: &str,
    meaning: &Meaning,
    replies: &[DateTime<Utc>],
    now: DateTime<Utc>,
    limit: Limit,
) -> Result<(), Silence> {
    if !is_number(from) {
        return Err(Silence::NoNumber);
    }
    if !is_known {
        return Err(Silence::UnknownSender);
    }
    if *meaning == Meaning::Unknown && looks_automatic(text) {
        return Err(Silence::Automatic);
    }
    let recent = replies.iter().filter(|at| **at > now - limit.within).count();
    if recent < limit.most { Ok(()) } else { Err(Silence::Enough) }
}

/// Whether a sender is a telephone number, in full: what a person can have.
#[must_use]
pub fn is_number(from: &str) -> bool {
    let digits = from.strip_prefix('+').unwrap_or_default();
    (7..=15).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_digit())
}

/// Whether a text looks as if nobody had written it.
#[must_use]
pub fn looks_automatic(text: &str) -> bool {
    let folded = fold(text);
    words::looks_automatic(&folded.split_whitespace().collect::<Vec<_>>().join(" "))
}
