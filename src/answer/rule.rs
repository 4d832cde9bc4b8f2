//! A text that comes in may raise an alert, if a rule says so.

use serde::{Deserialize, Serialize};

use super::fold::{after_prefix, fold};

/// The longest summary of such an alert, in characters. The whole text is kept with the message.
const LONGEST: usize = 1000;

/// Which texts raise an alert. All that is said has to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rule {
    /// Senders: numbers or names as they come; a `*` at the end stands for whatever follows. Anybody if empty.
    pub from: Vec<String>,
    /// The text begins with this word or these; they do not become part of the alert.
    pub begins: Option<String>,
    /// The text has this in it.
    pub contains: Option<String>,
    /// The policy that pages, by name; the routing rules say if it is not said.
    pub policy: Option<String>,
    /// The alert's severity.
    pub severity: Option<String>,
}

/// What a text raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raised<'a> {
    /// Which rule, from 0.
    pub rule: usize,
    /// What the alert is about.
    pub summary: String,
    /// As the rule has it.
    pub policy: Option<&'a str>,
    /// As the rule has it.
    pub severity: Option<&'a str>,
}

impl Rule {
    /// What is wrong with it, if anything.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let is_void = |text: &Option<String>| text.as_ref().is_some_and(|text| fold(text).trim().is_empty());
        if is_void(&self.begins) || is_void(&self.contains) {
            Some("begins and contains have letters or digits, or are not said")
        } else if self.from.iter().any(|from| from.trim().is_empty()) {
            Some("a sender is a number, a name or *")
        } else if self.from.is_empty() && self.begins.is_none() && self.contains.is_none() {
            Some("it would raise an alert for every text: say from, begins or contains")
        } else {
            None
        }
    }

    fn takes<'a>(&self, from: &str, body: &'a str) -> Option<&'a str> {
        let is_from = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => fold(from).starts_with(&fold(beginning)),
            None => fold(from) == fold(pattern),
        };
        let is_welcome = self.from.is_empty() || self.from.iter().any(is_from);
        // Within a short text, as far as it is looked at.
        let has = self.contains.as_ref().is_none_or(|part| fold(body).contains(fold(part).trim()));
        let rest = self.begins.as_ref().map_or(Some(body), |prefix| after_prefix(body, prefix));
        rest.filter(|_| is_welcome && has)
    }
}

/// The alert that a text raises, by the first rule that takes it. A rule with a fault takes nothing.
#[must_use]
pub fn raises<'a>(rules: &'a [Rule], from: &str, body: &str) -> Option<Raised<'a>> {
    rules.iter().enumerate().filter(|(_, rule)| rule.fault().is_none()).find_map(|(nth, rule)| {
        let rest = rule.takes(from, body)?;
        let said = rest.trim_matches(|c: char| c.is_whitespace() || ":,;.-!".contains(c));
        // A prefix alone is an alert too.
        let said = if said.is_empty() { body.trim() } else { said };
        let summary = said.chars().take(LONGEST).collect();
        Some(Raised { rule: nth, summary, policy: rule.policy.as_deref(), severity: rule.severity.as_deref() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(from: &[&str], begins: Option<&str>, contains: Option<&str>) -> Rule {
        let from = from.iter().map(|from| (*from).to_owned()).collect();
        let [begins, contains] = [begins, contains].map(|text| text.map(str::to_owned));
        Rule { from, begins, contains, policy: Some("water".into()), severity: None }
    }

    #[test]
    fn the_first_rule_that_takes_a_text_raises_it() {
        let rules = [
            rule(&["+4915112345678", "PUMPE*"], None, Some("störung")),
            rule(&[], Some("ALARM"), None),
            rule(&["*"], Some("alarm 2"), None),
        ];
        for (from, body, raised) in [
            ("+4915112345678", "Stoerung 3", None),
            ("+4915112345678", "STÖRUNG Pumpe 3", Some((0, "STÖRUNG Pumpe 3"))),
            ("Pumpe 7", "storung", Some((0, "storung"))),
            ("+4915112345679", "Störung", None),
            ("+1", "alarm: water rises!", Some((1, "water rises"))),
            ("", "Alarm", Some((1, "Alarm"))),
            ("+1", "alarming", None),
            ("+1", "no alarm", None),
            ("+1", "", None),
            ("+1", "alarm 2", Some((1, "2"))),
        ] {
            let told = raises(&rules, from, body);
            assert_eq!(told.as_ref().map(|told| (told.rule, &*told.summary)), raised, "{from} {body}");
        }
        assert_eq!(
            raises(&rules, "", &format!("alarm {}", "x".repeat(10_000))).map(|told| told.summary.len()),
            Some(LONGEST)
        );
    }

    #[test]
    fn a_rule_that_would_take_everything_or_nothing_has_a_fault() {
        assert!(Rule::default().fault().is_some());
        assert!(rule(&[], Some(" !"), None).fault().is_some());
        assert!(rule(&["x"], None, Some("")).fault().is_some());
        assert!(rule(&["", "x"], None, None).fault().is_some());
        assert!(rule(&["*"], None, None).fault().is_none());
        assert_eq!(raises(&[Rule::default()], "+1", "x"), None);
    }
}
