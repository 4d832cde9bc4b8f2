//! The parts of a longer message that came to us, put together: in any order, twice, or not all of them.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Address, Body, Content, Reference};

/// Where a part is missing.
const GAP: &str = "[...]";

/// Messages of which not all has come, and, for what comes twice, those of which it has.
#[derive(Debug)]
pub struct Reassembly {
    /// The oldest first.
    known: Vec<Known>,
    most: usize,
    patience: TimeDelta,
}

#[derive(Debug)]
struct Known {
    sender: Option<Address>,
    reference: Reference,
    total: u8,
    since: DateTime<Utc>,
    parts: BTreeMap<u8, Body>,
}

/// A message as whole as it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assembled {
    /// Who sent it.
    pub sender: Option<Address>,
    /// Its parts by their numbers.
    pub parts: BTreeMap<u8, Body>,
    /// How many it should have.
    pub total: u8,
}

impl Default for Reassembly {
    /// Of 64 messages, for a day.
    fn default() -> Self {
        Self::new(64, TimeDelta::days(1))
    }
}

impl Reassembly {
    /// Of at most so many messages at once (at least 1), each for so long.
    #[must_use]
    pub fn new(most: usize, patience: TimeDelta) -> Self {
        Self { known: Vec::new(), most: most.max(1), patience }
    }

    /// Takes what came. Gives what is whole by it, and what will not become whole any more.
    pub fn add(&mut self, sender: Option<&Address>, content: &Content, now: DateTime<Utc>) -> Vec<Assembled> {
        let mut done = self.expire(now);
        let Some(part) = content.concatenation else {
            let parts = BTreeMap::from([(1, content.body.clone())]);
            done.push(Assembled { sender: sender.cloned(), parts, total: 1 });
            return done;
        };
        let same = |known: &Known| {
            known.sender.as_ref() == sender && known.reference == part.reference && known.total == part.total
        };
        let mut place = self.known.iter().position(same);
        if let Some(at) = place {
            match self.known[at].parts.get(&part.number) {
                Some(body) if *body == content.body => return done,
                // The sender has begun anew with its references.
                Some(_) => {
                    done.extend(self.known.remove(at).given_up());
                    place = None;
                }
                None => {}
            }
        }
        let at = place.unwrap_or_else(|| {
            done.extend(self.make_room());
            self.known.push(Known {
                sender: sender.cloned(),
                reference: part.reference,
                total: part.total,
                since: now,
                parts: BTreeMap::new(),
            });
            self.known.len() - 1
        });
        let known = &mut self.known[at];
        known.parts.insert(part.number, content.body.clone());
        if known.is_whole() {
            done.push(known.assembled());
        }
        done
    }

    /// Gives what has waited too long for the rest.
    pub fn expire(&mut self, now: DateTime<Utc>) -> Vec<Assembled> {
        let patience = self.patience;
        self.known.extract_if(.., |known| now - known.since > patience).filter_map(Known::given_up).collect()
    }

    /// What is whole is only remembered, so it goes first.
    fn make_room(&mut self) -> Option<Assembled> {
        if self.known.len() < self.most {
            return None;
        }
        let at = self.known.iter().position(Known::is_whole).unwrap_or(0);
        self.known.remove(at).given_up()
    }
}

impl Known {
    fn is_whole(&self) -> bool {
        self.parts.len() == usize::from(self.total)
    }

    fn assembled(&self) -> Assembled {
        Assembled { sender: self.sender.clone(), parts: self.parts.clone(), total: self.total }
    }

    /// What is whole was given already.
    fn given_up(self) -> Option<Assembled> {
        (!self.is_whole()).then(|| self.assembled())
    }
}

impl Assembled {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.parts.len() == usize::from(self.total)
    }

    /// The text, with `[...]` where a part is missing. `None` if there is none in it.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        // A character may begin in one part and end in the next.
        let mut runs: Vec<Option<Body>> = Vec::new();
        for number in 1..=self.total {
            match (runs.last_mut(), self.parts.get(&number)) {
                (Some(Some(Body::Gsm7(run))), Some(Body::Gsm7(part))) => run.extend(part),
                (Some(Some(Body::Ucs2(run))), Some(Body::Ucs2(part))) => run.extend(part),
                (Some(None), None) => {}
                (_, part) => runs.push(part.cloned()),
            }
        }
        let texts = runs.iter().map(|run| match run {
            Some(body) => body.text(),
            None => Some(GAP.to_owned()),
        });
        texts.collect()
    }
}
