//! Silences and maintenance windows: spans of time in which what they match does not page.

use std::cmp::Reverse;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Labels, Matcher, Subject};
use crate::id::SilenceId;

/// What kind of quiet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuietKind {
    /// Somebody does not want to hear of certain alerts. Without a matcher it silences nothing: it
    /// would silence everything by a slip.
    Silence,
    /// Work on something is planned. Without a matcher it is work on everything.
    Maintenance,
}

/// A silence or a maintenance window, its times worked out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Which one.
    pub id: SilenceId,
    /// Of which kind.
    pub kind: QuietKind,
    /// What it matches: all of them must accept.
    pub matchers: Vec<Matcher>,
    /// When: from an instant, up to but without another. In any order; those that are empty or the wrong
    /// way round count for nothing.
    pub spans: Vec<(DateTime<Utc>, DateTime<Utc>)>,
}

impl Quiet {
    fn covers(&self, of: &Subject, member: &Labels) -> bool {
        let speaks = self.kind == QuietKind::Maintenance || !self.matchers.is_empty();
        speaks && of.member_matches(&self.matchers, member)
    }
}

/// Until when an incident stays quiet, and which silence or window is the one that ends then; none if it
/// may page now.
///
/// It is quiet while every alert that fires is covered by one or the other; without such alerts, while
/// its common labels are. Spans that overlap or touch are followed to the end. Looks at each span once
/// per alert.
#[must_use]
pub fn quiet_until(
    quiets: &[Quiet],
    of: &Subject,
    now: DateTime<Utc>,
) -> Option<(SilenceId, QuietKind, DateTime<Utc>)> {
    let mut spans: Vec<Span> = quiets
        .iter()
        .enumerate()
        .flat_map(|(quiet, Quiet { spans, .. })| spans.iter().map(move |&(from, until)| Span { from, until, quiet }))
        // No more than a short cut: those that are over, and those that are none, do not lengthen a chain.
        .filter(|span| span.until > now)
        .collect();
    // Of those that end together the one that began first is named, then the first in the list.
    spans.sort_by_key(|span| (span.from, Reverse(span.until), span.quiet));

    let itself = [Labels::new()];
    let members = if of.members.is_empty() { &itself[..] } else { &of.members };
    let mut first: Option<Span> = None;
    for member in members {
        let covering: Vec<bool> = quiets.iter().map(|quiet| quiet.covers(of, member)).collect();
        let end = last_of_chain(spans.iter().filter(|span| covering[span.quiet]), now)?;
        if first.is_none_or(|first| end.until < first.until) {
            first = Some(end);
        }
    }
    let Span { until, quiet, .. } = first?;
    Some((quiets[quiet].id, quiets[quiet].kind, until))
}

#[derive(Clone, Copy)]
struct Span {
    from: DateTime<Utc>,
    until: DateTime<Utc>,
    /// Its place in the list of quiets.
    quiet: usize,
}

/// The span with which an unbroken chain that covers `now` ends. Takes the spans by when they begin.
fn last_of_chain<'a>(spans: impl Iterator<Item = &'a Span>, now: DateTime<Utc>) -> Option<Span> {
    let mut last: Option<Span> = None;
    for span in spans {
        let reached = last.map_or(now, |last| last.until);
        if span.from > reached {
            break;
        }
        if span.until > reached {
            last = Some(*span);
        }
    }
    last
}
