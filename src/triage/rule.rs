//! Routing rules: the first enabled one that matches says which policy pages.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Matcher, Op, Subject};
use crate::id::PolicyId;

/// One routing rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// What people call it.
    pub name: String,
    /// All of them must accept; none means everything.
    #[serde(default)]
    pub matchers: Vec<Matcher>,
    /// The policy that pages.
    pub policy: PolicyId,
    /// The severity the incident gets, whatever the alert says; none leaves the alert's.
    #[serde(default)]
    pub severity: Option<String>,
    /// A disabled rule is passed over.
    #[serde(default = "enabled")]
    pub enabled: bool,
}

const fn enabled() -> bool {
    true
}

impl Rule {
    fn matches(&self, of: &Subject) -> bool {
        super::matches(&self.matchers, &of.labels)
            || of.members.iter().any(|member| of.member_matches(&self.matchers, member))
    }
}

/// The first enabled rule that matches the common labels or those of any alert that fires.
#[must_use]
pub fn choose<'a>(rules: &'a [Rule], of: &Subject) -> Option<&'a Rule> {
    rules.iter().find(|rule| rule.enabled && rule.matches(of))
}

/// Why a rule can never match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// An earlier rule takes everything it could take.
    Taken {
        /// The earlier rule's name.
        by: String,
        /// Whether that one takes every alert there is.
        everything: bool,
    },
    /// Two of its own matchers exclude each other.
    Contradiction(Box<(Matcher, Matcher)>),
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken { by, everything: true } => write!(f, "rule {by:?} stands before it and takes everything"),
            Self::Taken { by, everything: false } => {
                write!(f, "rule {by:?} stands before it and takes everything it could match")
            }
            Self::Contradiction(pair) => {
                let (one, other) = pair.as_ref();
                write!(f, "no label can satisfy both {one} and {other}")
            }
        }
    }
}

/// The enabled rules that can never match, by their place in the list, and why. Whoever is named here is
/// useless for certain; that nobody is named proves nothing, since what two regular expressions have
/// in common is not worked out.
#[must_use]
pub fn never_matches(rules: &[Rule]) -> Vec<(usize, Why)> {
    let enabled = || rules.iter().enumerate().filter(|(_, rule)| rule.enabled);
    enabled()
        .filter_map(|(at, rule)| {
            if let Some((one, other)) = contradiction(&rule.matchers) {
                return Some((at, Why::Contradiction(Box::new((one.clone(), other.clone())))));
            }
            let (_, earlier) = enabled()
                .take_while(|(before, _)| *before < at)
                .find(|(_, earlier)| earlier.matchers.iter().all(|matcher| is_implied(matcher, &rule.matchers)))?;
            Some((at, Why::Taken { by: earlier.name.clone(), everything: earlier.matchers.is_empty() }))
        })
        .collect()
}

/// Whether whatever satisfies `by` satisfies the matcher too.
fn is_implied(matcher: &Matcher, by: &[Matcher]) -> bool {
    by.iter().any(|other| {
        other == matcher
            || (other.name() == matcher.name() && other.op() == Op::Equal && matcher.accepts(other.value()))
    })
}

/// Two matchers that no value of their label satisfies both.
fn contradiction(matchers: &[Matcher]) -> Option<(&Matcher, &Matcher)> {
    matchers.iter().enumerate().find_map(|(at, one)| {
        let other = matchers[at + 1..].iter().find(|other| one.name() == other.name() && exclude(one, other))?;
        Some((one, other))
    })
}

fn exclude(one: &Matcher, other: &Matcher) -> bool {
    match (one.op(), other.op()) {
        (Op::Equal, _) => !other.accepts(one.value()),
        (_, Op::Equal) => !one.accepts(other.value()),
        (Op::Matches, Op::MatchesNot) | (Op::MatchesNot, Op::Matches) => one.value() == other.value(),
        _ => false,
    }
}
