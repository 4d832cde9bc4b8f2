//! What is written in text messages, by language, and how it is kept short.

mod languages;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use minijinja::{Environment, Error, Value, context};

use self::languages::LANGUAGES;
use super::{Action, Keypad};

/// What stands for what was cut. Three dots are in every alphabet; the one character is not.
pub const CUT: &str = "...";
/// So far from its end a text is rather cut at the end of a word.
const WORD: usize = 20;

/// An incident, as a text tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told<'a> {
    /// What it is called in answers; without it nothing can be answered.
    pub code: Option<u32>,
    /// As the sender calls it.
    pub severity: &'a str,
    /// What it is about.
    pub summary: &'a str,
    /// How many alerts it is made of; one need not be told.
    pub alerts: usize,
    /// Where more can be read; empty if that is nowhere. Never cut.
    pub link: &'a str,
}

/// A text of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// An incident pages.
    Page(Told<'a>),
    /// Several do, each with a code, and `more` that are not told of.
    Pages {
        /// Those that are told of.
        told: &'a [Told<'a>],
        /// How many more there are.
        more: usize,
    },
    /// A call about it was not answered.
    MissedCall(Told<'a>),
    /// It is over.
    Over(Told<'a>),
    /// Somebody has it.
    Taken {
        /// Who.
        by: &'a str,
        /// Which.
        told: Told<'a>,
    },
    /// Somebody's duty begins.
    ShiftBegins {
        /// What for.
        schedule: &'a str,
        /// Until when, as it is written there.
        until: &'a str,
    },
    /// Somebody's duty ends.
    ShiftEnds {
        /// What for.
        schedule: &'a str,
        /// Who is next; empty if nobody is.
        next: &'a str,
    },
    /// What was asked for is done.
    Done {
        /// What.
        action: Action,
        /// To these.
        codes: &'a [u32],
        /// Nothing open is called so.
        unknown: &'a [u32],
    },
    /// These are passed on, and nobody is left to call.
    NobodyLeft {
        /// These.
        codes: &'a [u32],
    },
    /// Which one is meant?
    Which {
        /// What for.
        action: Action,
        /// Those that it could be.
        codes: &'a [u32],
    },
    /// Nothing is open.
    NothingOpen,
    /// Nothing open is called so.
    NoSuch {
        /// So.
        codes: &'a [u32],
    },
    /// That is done on the telephone only.
    NotByText,
    /// No more texts come.
    Stopped,
    /// Texts come again.
    Started,
    /// What can be said.
    Help,
    /// It is an alert now.
    Raised,
    /// It was not understood.
    NotUnderstood,
}

/// A text that was made to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fitted {
    /// The text.
    pub text: String,
    /// Whether something of what it tells was cut.
    pub is_cut: bool,
    /// Whether it is longer all the same: nothing was left that may be cut.
    pub is_too_long: bool,
}

/// The templates of texts, ready to be used.
#[derive(Debug)]
pub struct Texts {
    languages: HashMap<&'static str, Environment<'static>>,
    keypad: Keypad,
}

impl Texts {
    /// The built-in templates, with these keys.
    ///
    /// # Errors
    /// If a template does not parse.
    pub fn new(keypad: Keypad) -> Result<Self, Error> {
        let mut languages = HashMap::new();
        for (language, lines) in LANGUAGES {
            let mut environment = Environment::new();
            for (name, source) in *lines {
                environment.add_template(name, source)?;
            }
            languages.insert(*language, environment);
        }
        Ok(Self { languages, keypad })
    }

    /// The language that is written to somebody who wants `language`: that one, or English.
    #[must_use]
    pub fn language(&self, language: &str) -> &'static str {
        let primary = language.split(['-', '_']).next().unwrap_or_default().to_lowercase();
        self.languages.keys().find(|known| **known == primary).copied().unwrap_or("en")
    }

    /// A text, whole.
    ///
    /// # Errors
    /// If a template fails.
    pub fn text(&self, language: &str, text: &Text<'_>) -> Result<String, Error> {
        self.render(language, text, usize::MAX)
    }

    /// A text of at most `most` segments, as `segments` counts them. What comes from outside is cut for it, never the
    /// codes, nor how to answer.
    ///
    /// # Errors
    /// If a template fails.
    pub fn fitted(
        &self,
        language: &str,
        text: &Text<'_>,
        most: usize,
        segments: impl Fn(&str) -> usize,
    ) -> Result<Fitted, Error> {
        let whole = self.render(language, text, usize::MAX)?;
        if segments(&whole) <= most {
            return Ok(Fitted { text: whole, is_cut: false, is_too_long: false });
        }
        // A longer part never makes fewer segments: the longest that fits is between one that does and one that
        // does not. No part is longer than the text.
        let (mut fits, mut exceeds) = (0, whole.chars().count());
        while exceeds - fits > 1 {
            let middle = fits + (exceeds - fits) / 2;
            if segments(&self.render(language, text, middle)?) <= most {
                fits = middle;
            } else {
                exceeds = middle;
            }
        }
        let text = self.render(language, text, fits)?;
        Ok(Fitted { is_cut: text != whole, is_too_long: segments(&text) > most, text })
    }

    /// A text in which each part from outside has at most so many characters.
    fn render(&self, language: &str, text: &Text<'_>, longest: usize) -> Result<String, Error> {
        let environment = &self.languages[self.language(language)];
        let line = |name: &str, context: Value| environment.get_template(name)?.render(context);
        let free = |text: &str| cut(&tidy(text), longest);
        let none = context! {};
        let keys = context! {
            take => key(self.keypad.acknowledge, "ack"),
            pass => key(self.keypad.escalate, "esc"),
            end => key(self.keypad.resolve, "done"),
        };
        let how = |code: u32| line("how", context! { code, ..keys.clone() });
        let told = |told: &Told<'_>| {
            let summary = free(told.summary);
            let summary = if summary.is_empty() { line("no_words", context! {})? } else { summary };
            let code = told.code.map_or_else(String::new, |code| format!("#{code} "));
            let severity = free(told.severity);
            let severity = if severity.is_empty() { severity } else { format!("{severity}: ") };
            let alerts = match told.alerts {
                0 | 1 => String::new(),
                count => format!(" ({})", line("alerts", context! { count })?),
            };
            Ok::<_, Error>(format!("{code}{severity}{summary}{alerts}"))
        };
        let page = |incident: &Told<'_>| {
            let how = incident.code.map(how).transpose()?.map_or_else(String::new, |how| format!(". {how}"));
            let link = if incident.link.is_empty() { String::new() } else { format!("\n{}", incident.link) };
            Ok::<_, Error>(format!("{}{how}{link}", told(incident)?))
        };
        match text {
            Text::Page(incident) => page(incident),
            Text::Pages { told: [], .. } => line("nothing_open", none),
            Text::Pages { told: incidents, more } => {
                let all: Vec<String> = incidents.iter().map(told).collect::<Result<_, _>>()?;
                let code = incidents.iter().find_map(|incident| incident.code);
                let (count, all, how) = (incidents.len() + more, all.join("; "), how(code.unwrap_or_default())?);
                line("pages", context! { count, all, more, how, ..keys.clone() })
            }
            Text::MissedCall(incident) => line("missed", context! { page => page(incident)? }),
            Text::Over(incident) => line("over", context! { told => told(incident)? }),
            Text::Taken { by, told: incident } => line("taken", context! { by => free(by), told => told(incident)? }),
            Text::ShiftBegins { schedule, until } => {
                line("shift_begins", context! { schedule => free(schedule), until => free(until) })
            }
            Text::ShiftEnds { schedule, next } => {
                line("shift_ends", context! { schedule => free(schedule), next => free(next) })
            }
            Text::Done { action, codes, unknown } => {
                let done = line(done(*action), context! { codes => listed(codes) })?;
                if unknown.is_empty() {
                    return Ok(done);
                }
                Ok(format!("{done} {}", line("no_such", context! { codes => listed(unknown) })?))
            }
            Text::Which { action, codes } => {
                let key = match action {
                    Action::Escalate => keys.get_attr("pass")?,
                    Action::Resolve => keys.get_attr("end")?,
                    _ => keys.get_attr("take")?,
                };
                line("which", context! { key, codes => listed(codes), code => codes.first() })
            }
            Text::NobodyLeft { codes } => line("nobody_left", context! { codes => listed(codes) }),
            Text::NothingOpen => line("nothing_open", none),
            Text::NoSuch { codes } => line("no_such", context! { codes => listed(codes) }),
            Text::NotByText => line("not_by_text", none),
            Text::Stopped => line("stopped", none),
            Text::Started => line("started", none),
            Text::Help => line("help", keys.clone()),
            Text::Raised => line("raised", none),
            Text::NotUnderstood => Ok(format!("{} {}", line("not_understood", none)?, line("help", keys.clone())?)),
        }
    }
}

/// A key as it is written in an answer: one that is no digit by a word, since it is easily lost.
fn key(key: char, word: &str) -> String {
    if key.is_ascii_digit() { key.to_string() } else { word.to_owned() }
}

fn done(action: Action) -> &'static str {
    match action {
        Action::Escalate => "done_escalate",
        Action::Resolve => "done_resolve",
        _ => "done_acknowledge",
    }
}

fn listed(codes: &[u32]) -> String {
    codes.iter().map(|code| format!("#{code}")).collect::<Vec<_>>().join(", ")
}

/// One line, without what a telephone would not show.
fn tidy(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most so many characters and the mark. What would not be shorter by it is not cut.
fn cut(text: &str, longest: usize) -> String {
    if text.chars().nth(longest.saturating_add(CUT.len())).is_none() {
        return text.to_owned();
    }
    let Some((mut end, _)) = text.char_indices().nth(longest) else { return text.to_owned() };
    // A character is not parted from its accents, nor an emoji from what belongs to it.
    while end > 0 && (belongs_to_former(&text[end..]) || text[..end].ends_with('\u{200d}')) {
        end = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
    }
    let kept = &text[..end];
    let kept = match kept.rsplit_once(' ') {
        Some((words, last)) if !text[end..].starts_with(' ') && last.chars().count() < WORD => words,
        _ => kept,
    };
    format!("{}{CUT}", kept.trim_end())
}

fn belongs_to_former(rest: &str) -> bool {
    rest.starts_with(|c| {
        matches!(c, '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{1f3fb}'..='\u{1f3ff}')
    })
}
