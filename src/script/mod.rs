//! WHAT IS SAID: from templates to spoken text, and what the keys mean. Pure.
//!
//! One set of templates a language (`templates/LANG.j2` with one block per line); English is built
//! in. Texts come from outside: they are made speakable here and cut where listening would become
//! waiting. What was cut is said; the whole text stays with the incident. What is written in text messages
//! is in [`Texts`], in more languages: nobody has to be able to pronounce it.

mod keypad;
mod speakable;
mod texts;

use std::collections::HashMap;

use minijinja::{Environment, context};

pub use keypad::{Action, Clash, Keypad};
pub use speakable::speakable;
pub use texts::{CUT, Fitted, Text, Texts, Told};

/// Characters of one summary that are spoken.
pub const SPOKEN_CHARACTERS: usize = 300;
/// Alerts of a group that are named; of the others only the number is said.
pub const SPOKEN_MEMBERS: usize = 3;

/// The templates, as (name, source).
const ENGLISH: [(&str, &str); 20] = [
    ("alert", include_str!("templates/en/alert.txt")),
    ("menu", include_str!("templates/en/menu.txt")),
    ("acknowledged", "Acknowledged. You have taken it."),
    ("acknowledged_all", "Acknowledged. You have taken {{ count }} incidents."),
    ("escalated", "Escalated. The next person is being called."),
    ("nobody_left", "Escalated, but nobody is left to call. It stays open."),
    ("resolved", "Resolved. It is over."),
    ("wrong_key", "That key means nothing here."),
    ("enter_pin", "Please enter your PIN, and then the pound key."),
    ("pin_wrong", "That PIN is wrong."),
    ("pin_locked", "That was wrong too often. Without the PIN this cannot be done in this call."),
    ("not_stored", "That could not be stored. Please press the key again."),
    ("taken", "Taken by {{ by }}. You need do nothing."),
    ("over", "This is over. You need do nothing."),
    ("all", include_str!("templates/en/all.txt")),
    ("not_acknowledged", "Nobody has acknowledged. Goodbye."),
    ("goodbye", "Goodbye."),
    ("stand_in", include_str!("templates/en/stand_in.txt")),
    ("one_moment", "One moment, please."),
    ("try_later", "The alert cannot be acknowledged at the moment. Please look at your alerts. Goodbye."),
];

/// What is said of one incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alert<'a> {
    /// Which of the incidents of this call it is, from 1, and of how many.
    pub nth: usize,
    /// Of how many.
    pub of: usize,
    /// As the sender calls it.
    pub severity: &'a str,
    /// What it is about.
    pub summary: &'a str,
    /// The alerts of its group that fire, if there is more than the one that `summary` tells.
    pub members: Vec<&'a str>,
    /// How many more the sender left out.
    pub truncated: u32,
}

/// A line of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// The alert itself.
    Alert(Alert<'a>),
    /// What the keys do; `next` if there is a next incident to go to.
    Menu { next: bool },
    /// 4, counted.
    Acknowledged,
    /// 4 after the list, counted.
    AcknowledgedAll { count: usize },
    /// 5, counted.
    Escalated,
    /// 5, and the policy has come to its end.
    NobodyLeft,
    /// 6, counted.
    Resolved,
    /// A key without a meaning.
    WrongKey,
    /// Before what needs a PIN.
    EnterPin,
    /// It was another one.
    PinWrong,
    /// It was another one too often.
    PinLocked,
    /// The database did not take it.
    NotStored,
    /// Somebody else has it.
    Taken { by: &'a str },
    /// It is over meanwhile.
    Over,
    /// The list is through, and so many are still open.
    All { count: usize },
    /// Silence to the end.
    NotAcknowledged,
    /// The end.
    Goodbye,
    /// Instead of an alert whose text cannot be spoken.
    StandIn,
    /// The dialplan's, while the server is away.
    OneMoment,
    /// The dialplan's, when it stays away.
    TryLater,
}

/// The templates, ready to be used.
#[derive(Debug)]
pub struct Script {
    languages: HashMap<&'static str, Environment<'static>>,
    keypad: Keypad,
}

impl Script {
    /// The built-in templates, with these keys.
    ///
    /// # Errors
    /// If a template does not parse.
    pub fn new(keypad: Keypad) -> Result<Self, minijinja::Error> {
        let mut english = Environment::new();
        for (name, source) in ENGLISH {
            english.add_template(name, source.trim_end())?;
        }
        Ok(Self { languages: HashMap::from([("en", english)]), keypad })
    }

    /// What the keys mean.
    #[must_use]
    pub fn keypad(&self) -> &Keypad {
        &self.keypad
    }

    /// The language that is spoken to somebody who wants `language`: that one, or English.
    #[must_use]
    pub fn language(&self, language: &str) -> &'static str {
        let primary = language.split(['-', '_']).next().unwrap_or_default();
        self.languages.keys().find(|known| **known == primary).copied().unwrap_or("en")
    }

    /// A line in words, ready to be spoken.
    ///
    /// # Errors
    /// If a template fails.
    pub fn text(&self, language: &str, line: &Line<'_>) -> Result<String, minijinja::Error> {
        let environment = &self.languages[self.language(language)];
        let render = |name: &str, context| environment.get_template(name)?.render(context);
        let none = context! {};
        let keys = &self.keypad;
        match line {
            Line::Alert(alert) => render("alert", alert_context(alert)),
            Line::Menu { next } => render("menu", context! { keys => keys.spoken(), next }),
            Line::Acknowledged => render("acknowledged", none),
            Line::AcknowledgedAll { count } => render("acknowledged_all", context! { count }),
            Line::Escalated => render("escalated", none),
            Line::NobodyLeft => render("nobody_left", none),
            Line::Resolved => render("resolved", none),
            Line::WrongKey => render("wrong_key", none),
            Line::EnterPin => render("enter_pin", none),
            Line::PinWrong => render("pin_wrong", none),
            Line::PinLocked => render("pin_locked", none),
            Line::NotStored => render("not_stored", none),
            Line::Taken { by } => render("taken", context! { by => speakable(by) }),
            Line::Over => render("over", none),
            Line::All { count } => render("all", context! { keys => keys.spoken(), count }),
            Line::NotAcknowledged => render("not_acknowledged", none),
            Line::Goodbye => render("goodbye", none),
            Line::StandIn => render("stand_in", context! { keys => keys.spoken() }),
            Line::OneMoment => render("one_moment", none),
            Line::TryLater => render("try_later", none),
        }
    }

    /// The lines that are the same in every call: rendered at start, so that they are never waited for.
    #[must_use]
    pub fn standing_lines() -> Vec<Line<'static>> {
        vec![
            Line::StandIn,
            Line::OneMoment,
            Line::TryLater,
            Line::Acknowledged,
            Line::Escalated,
            Line::NobodyLeft,
            Line::Resolved,
            Line::WrongKey,
            Line::EnterPin,
            Line::PinWrong,
            Line::PinLocked,
            Line::NotStored,
            Line::Over,
            Line::NotAcknowledged,
            Line::Goodbye,
            Line::Menu { next: false },
            Line::Menu { next: true },
        ]
    }
}

fn alert_context(alert: &Alert<'_>) -> minijinja::Value {
    let summary = cut(&speakable(alert.summary));
    let named: Vec<String> = alert.members.iter().take(SPOKEN_MEMBERS).map(|member| cut(&speakable(member))).collect();
    let named = if alert.members.len() > 1 { named } else { Vec::new() };
    let unnamed = alert.members.len().saturating_sub(SPOKEN_MEMBERS) + alert.truncated as usize;
    context! {
        nth => alert.nth,
        of => alert.of,
        severity => speakable(alert.severity),
        summary => if summary.is_empty() { "An alert without words".to_owned() } else { summary },
        members => named,
        firing => alert.members.len() + alert.truncated as usize,
        unnamed,
    }
}

/// Cuts a text at the end of a word and says that it goes on.
fn cut(text: &str) -> String {
    match text.char_indices().nth(SPOKEN_CHARACTERS) {
        None => text.to_owned(),
        Some((end, _)) => {
            let words = text[..end].rsplit_once(' ').map_or(&text[..end], |(words, _)| words);
            format!("{words}. The text goes on; this is its beginning")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script() -> Script {
        Script::new(Keypad::default()).expect("the built-in templates parse")
    }

    fn said(line: &Line<'_>) -> String {
        script().text("en", line).expect("the built-in templates render")
    }

    #[test]
    fn the_words_that_matter_come_first_and_twice() {
        let text = said(&Line::Alert(Alert {
            nth: 1,
            of: 1,
            severity: "critical",
            summary: "disk full on db-01",
            members: vec!["disk full on db-01"],
            truncated: 0,
        }));
        assert!(text.starts_with("critical. disk full on db 01."), "{text}");
        assert_eq!(text.matches("disk full on db 01").count(), 2, "{text}");
        assert!(!text.contains("incidents"), "{text}");
    }

    #[test]
    fn a_storm_says_how_many_and_a_group_names_a_few() {
        let members: Vec<String> = (1..=5).map(|n| format!("host {n} down")).collect();
        let text = said(&Line::Alert(Alert {
            nth: 1,
            of: 3,
            severity: "",
            summary: "InstanceDown",
            members: members.iter().map(String::as_str).collect(),
            truncated: 7,
        }));
        assert!(text.starts_with("3 incidents. The first: Instance Down."), "{text}");
        assert!(text.contains("12 alerts"), "{text}");
        assert!(text.contains("host 3 down") && !text.contains("host 4 down"), "{text}");
        assert!(text.contains("and 9 more"), "{text}");
        let second = said(&Line::Alert(Alert { nth: 2, of: 3, summary: "x", ..Alert::default() }));
        assert!(second.starts_with("Incident 2 of 3: x."), "{second}");
    }

    #[test]
    fn a_text_of_any_length_is_spoken_up_to_a_limit_that_says_so() {
        let long = "disk full ".repeat(2000);
        let text = said(&Line::Alert(Alert { nth: 1, of: 1, summary: &long, ..Alert::default() }));
        assert!(text.contains("The text goes on"), "{text}");
        assert!(text.len() < 1000, "{}", text.len());
    }

    #[test]
    fn an_alert_without_a_speakable_character_is_still_announced() {
        let text = said(&Line::Alert(Alert { nth: 1, of: 1, summary: "🔥🔥", ..Alert::default() }));
        assert!(text.contains("An alert without words"), "{text}");
    }

    #[test]
    fn what_comes_from_outside_is_text_and_never_a_template() {
        let text = said(&Line::Alert(Alert { nth: 1, of: 1, summary: "{{ 6 * 7 }} ${SHELL(id)}", ..Alert::default() }));
        assert!(!text.contains("42"), "{text}");
    }

    #[test]
    fn every_line_of_ours_renders_and_the_menu_names_the_configured_keys() {
        for line in Script::standing_lines() {
            assert!(!said(&line).is_empty(), "{line:?}");
        }
        assert_eq!(
            said(&Line::Menu { next: true }),
            "Press 4 to acknowledge, 5 to escalate, 6 to resolve, star to repeat, pound for the next incident."
        );
        assert!(said(&Line::All { count: 3 }).contains("Press 4 to take all 3"));
    }

    #[test]
    fn an_unknown_language_is_spoken_to_in_english() {
        assert_eq!(script().language("en-GB"), "en");
        assert_eq!(script().language("tlh"), "en");
    }
}
