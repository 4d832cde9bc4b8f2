//! What comes in, and what it means for what is open already. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::{
    escalation::{Method, Policy},
    id::IncidentId,
    store::{Content, Fact, Member},
    triage::{Labels, Subject},
};

/// An alert, or a group of alerts, as it came in.
#[derive(Clone, Debug)]
pub struct Alert {
    /// What makes two alerts the same incident. Never the text.
    pub dedup_key: String,
    /// Which policy pages for it.
    pub policy: PolicyChoice,
    /// Who sends it.
    pub source: String,
    /// What it is about. Its members are those of this delivery only.
    pub content: Content,
    /// Everything about this key is over, members that are not mentioned included.
    pub all_over: bool,
    /// When it is to page, if not at once.
    pub schedule: Option<Times>,
    /// The identifier its incident is to have, if that is known before.
    pub id: Option<IncidentId>,
}

/// When something is to page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// When.
    pub due_at: DateTime<Utc>,
    /// When it is too late for that.
    pub expires_at: DateTime<Utc>,
}

/// Which policy pages for an alert.
#[derive(Clone, Debug)]
pub enum PolicyChoice {
    /// The default one.
    Default,
    /// The one of this name; the default one if there is none.
    Named(String),
    /// The one of this name, the default one if there is none: all its steps by this method.
    ByMethod(String, Method),
    /// One of its own, as a direct call has.
    Own(Policy),
}

/// What an alert does to an incident that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// What the incident is about now.
    pub content: Content,
    /// What the timeline says.
    pub facts: Vec<Fact>,
    /// What it means.
    pub effect: Effect,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// The same again.
    Repeated,
    /// Another alert of the group fires, or the severity rose.
    Worsened,
    /// Nothing of it fires any more.
    Resolved,
}

/// How bad a severity is. What we do not know is worse than a warning and better than critical:
/// nobody invents a severity for something harmless.
#[must_use]
pub fn rank(severity: &str) -> u8 {
    match severity.to_ascii_lowercase().as_str() {
        "" | "none" | "ok" | "debug" => 0,
        "info" | "information" | "informational" | "notice" => 1,
        "warning" | "warn" | "minor" => 2,
        "critical" | "crit" | "fatal" | "emergency" | "page" | "disaster" | "p1" => 4,
        _ => 3,
    }
}

/// What silences and routing rules look at: its labels, and those of its alerts that fire. The severity
/// counts as a label where the sender gave none of that name.
pub(super) fn subject(content: &Content) -> Subject {
    let complete = |labels: &Labels, severity: &str| {
        let mut labels = labels.clone();
        if !severity.is_empty() {
            labels.entry("severity".into()).or_insert_with(|| severity.to_owned());
        }
        labels
    };
    let firing = content.members.iter().filter(|member| member.firing);
    Subject {
        labels: complete(&content.labels, &content.severity),
        members: firing.map(|member| complete(&member.labels, &member.severity)).collect(),
    }
}

/// Adds a delivery to what is known. Order, duplicates and repeats of the same change nothing.
pub(super) fn merge(known: &Content, alert: &Alert) -> Merged {
    let mut facts = Vec::new();
    let mut worse = false;
    let mut members: BTreeMap<String, Member> =
        known.members.iter().map(|member| (member.fingerprint.clone(), member.clone())).collect();
    for member in &alert.content.members {
        let was_firing = members.get(&member.fingerprint).is_some_and(|known| known.firing);
        let about = (member.fingerprint.clone(), member.summary.clone());
        match (was_firing, member.firing) {
            (false, true) => {
                facts.push(Fact::MemberFiring { fingerprint: about.0, summary: about.1 });
                worse = true;
            }
            (true, false) => facts.push(Fact::MemberResolved { fingerprint: about.0, summary: about.1 }),
            _ => {}
        }
        members.insert(member.fingerprint.clone(), member.clone());
    }
    if alert.all_over {
        members.values_mut().for_each(|member| member.firing = false);
    }
    let severity = worst(members.values().filter(|member| member.firing), &alert.content.severity);
    worse |= rank(&severity) > rank(&known.severity);
    let over = members.values().all(|member| !member.firing);
    let content = if over {
        // What it was about is worth more in the records than the words of its end.
        Content { members: members.into_values().collect(), ..known.clone() }
    } else {
        Content { members: members.into_values().collect(), severity, ..alert.content.clone() }
    };
    let effect = match (over, worse) {
        (true, _) => Effect::Resolved,
        (false, true) => Effect::Worsened,
        (false, false) => Effect::Repeated,
    };
    Merged { content, facts, effect }
}

/// The worst severity of what fires; `fallback` if no member tells one.
fn worst<'a>(firing: impl Iterator<Item = &'a Member>, fallback: &str) -> String {
    firing
        .map(|member| member.severity.as_str())
        .filter(|severity| !severity.is_empty())
        .max_by_key(|severity| rank(severity))
        .unwrap_or(fallback)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(fingerprint: &str, severity: &str, firing: bool) -> Member {
        Member {
            fingerprint: fingerprint.into(),
            summary: format!("{fingerprint} is bad"),
            severity: severity.into(),
            firing,
            labels: BTreeMap::new(),
        }
    }

    fn content(members: Vec<Member>) -> Content {
        let severity = worst(members.iter().filter(|member| member.firing), "");
        Content { summary: "disk".into(), members, severity, ..Content::default() }
    }

    fn alert(members: Vec<Member>) -> Alert {
        Alert {
            dedup_key: "k".into(),
            policy: PolicyChoice::Default,
            source: "test".into(),
            content: content(members),
            all_over: false,
            schedule: None,
            id: None,
        }
    }

    #[test]
    fn the_same_again_changes_nothing_in_whatever_order() {
        let known = content(vec![member("a", "warning", true), member("b", "warning", true)]);
        let again = merge(&known, &alert(vec![member("b", "warning", true), member("a", "warning", true)]));
        assert_eq!(again.effect, Effect::Repeated);
        assert_eq!(again.content, known);
        assert_eq!(again.facts, []);
    }

    #[test]
    fn a_member_that_is_not_mentioned_still_fires() {
        let known = content(vec![member("a", "warning", true), member("b", "warning", true)]);
        let partly = merge(&known, &alert(vec![member("a", "warning", false)]));
        assert_eq!(partly.effect, Effect::Repeated);
        assert_eq!(partly.content.members, [member("a", "warning", false), member("b", "warning", true)]);
        let over = merge(&partly.content, &alert(vec![member("b", "warning", false)]));
        assert_eq!(over.effect, Effect::Resolved);
    }

    #[test]
    fn a_new_member_one_that_fires_again_and_a_higher_severity_are_worse() {
        let known = content(vec![member("a", "warning", true), member("b", "warning", false)]);
        assert_eq!(merge(&known, &alert(vec![member("c", "info", true)])).effect, Effect::Worsened);
        assert_eq!(merge(&known, &alert(vec![member("b", "warning", true)])).effect, Effect::Worsened);
        assert_eq!(merge(&known, &alert(vec![member("a", "critical", true)])).effect, Effect::Worsened);
        assert_eq!(merge(&known, &alert(vec![member("a", "info", true)])).effect, Effect::Repeated);
    }

    #[test]
    fn all_over_ends_members_that_are_not_mentioned_too() {
        let known = content(vec![member("a", "warning", true), member("b", "warning", true)]);
        let mut end = alert(vec![member("a", "warning", false)]);
        end.all_over = true;
        let merged = merge(&known, &end);
        assert_eq!(merged.effect, Effect::Resolved);
        assert!(merged.content.members.iter().all(|member| !member.firing));
        assert_eq!(merged.content.summary, known.summary);
    }
}
