//! WHICH POLICY, OR NONE: matchers, routing rules, silences. Pure.
//!
//! An alert carries labels. [`Matcher`]s (Alertmanager's syntax) pick alerts by them; [`choose`] asks an
//! ordered list of [`Rule`]s which escalation policy pages, and [`quiet_until`] whether silences and
//! maintenance windows keep the incident from paging, and until when. What a policy is, when a
//! maintenance window repeats and what an incident is are not known here: only labels, spans and ids.

mod matcher;
mod rule;
mod silence;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub use matcher::{LONGEST_MATCHER, MOST_MATCHERS, Matcher, NotAMatcher, Op, parse_matchers};
pub use rule::{Rule, Why, choose, never_matches};
pub use silence::{Quiet, QuietKind, quiet_until};

/// Labels of an alert: name to value. A label that is missing is the same as an empty one.
pub type Labels = BTreeMap<String, String>;

/// What is to be routed or silenced: an incident, by the labels of its alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The labels all its alerts have in common.
    pub labels: Labels,
    /// The labels of each alert that fires. Laid over the common ones; empty if there is just the incident.
    pub members: Vec<Labels>,
}

/// Whether all the matchers accept the labels. No matchers accept everything.
#[must_use]
pub fn matches(matchers: &[Matcher], labels: &Labels) -> bool {
    matchers.iter().all(|matcher| matcher.matches(labels))
}

impl Subject {
    /// Whether all the matchers accept a member's labels, laid over the common ones.
    fn member_matches(&self, matchers: &[Matcher], member: &Labels) -> bool {
        matchers.iter().all(|matcher| {
            let value = member.get(matcher.name()).or_else(|| self.labels.get(matcher.name()));
            matcher.accepts(value.map_or("", String::as_str))
        })
    }
}
