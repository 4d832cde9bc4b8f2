//! One condition on one label, in the syntax Alertmanager users write: `severity=~"critical|page"`.
//!
//! The grammar is that of Alertmanager's UTF-8 matchers (0.27 and later, `matcher/parse` in its
//! documentation): names and values are bare words or stand in double quotes. Inside quotes a
//! backslash before anything but `"`, `\` and `n` stays a backslash, as in its classic grammar, so
//! that `"\d+"` means what everybody means by it.

use std::{fmt, str::FromStr};

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Labels;

/// The most matchers in one list.
pub const MOST_MATCHERS: usize = 50;
/// The longest matcher: name and value together, in bytes.
pub const LONGEST_MATCHER: usize = 1024;
/// How much memory one compiled regular expression, and its cache, may take, in bytes.
const REGEX_SIZE: usize = 1 << 16;

/// How a value is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// `=`: the value itself.
    Equal,
    /// `!=`: any other value.
    NotEqual,
    /// `=~`: a value that the regular expression matches from end to end.
    Matches,
    /// `!~`: a value that it does not.
    MatchesNot,
}

impl Op {
    const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Matches => "=~",
            Self::MatchesNot => "!~",
        }
    }
}

/// A condition on one label, as text `name op value`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Matcher {
    name: String,
    op: Op,
    value: String,
    /// The value compiled, for the two operators that need it.
    regex: Option<Regex>,
}

/// A text that is no matcher, or no list of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("character {at}: {what}")]
pub struct NotAMatcher {
    /// Where, counting characters from 1.
    pub at: usize,
    /// What is wrong there.
    pub what: String,
}

impl Matcher {
    /// A matcher from its parts.
    ///
    /// # Errors
    /// If the name is empty, name and value are too long, or the value is no regular expression though
    /// the operator asks for one; in words.
    pub fn new(name: impl Into<String>, op: Op, value: impl Into<String>) -> Result<Self, String> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() {
            return Err("a label's name is missing".to_owned());
        }
        if name.len() + value.len() > LONGEST_MATCHER {
            return Err(format!("longer than {LONGEST_MATCHER} bytes"));
        }
        let regex = match op {
            Op::Equal | Op::NotEqual => None,
            Op::Matches | Op::MatchesNot => Some(anchored(&value)?),
        };
        Ok(Self { name, op, value, regex })
    }

    /// The label it looks at.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it compares.
    #[must_use]
    pub const fn op(&self) -> Op {
        self.op
    }

    /// What it compares with: a value or a regular expression.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Whether it accepts this value of its label; a missing label is `""`.
    #[must_use]
    pub fn accepts(&self, value: &str) -> bool {
        let found = self.regex.as_ref().map_or(self.value == value, |regex| regex.is_match(value));
        found == matches!(self.op, Op::Equal | Op::Matches)
    }

    /// Whether it accepts these labels.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        self.accepts(labels.get(&self.name).map_or("", String::as_str))
    }
}

/// The expression with both ends tied to the ends of the value.
fn anchored(pattern: &str) -> Result<Regex, String> {
    let build = |pattern: &str| {
        let built = RegexBuilder::new(pattern).size_limit(REGEX_SIZE).dfa_size_limit(REGEX_SIZE).build();
        built.map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            // The last line is the reason; those before it draw the pattern with a caret.
            error => {
                let words = error.to_string();
                let reason = words.lines().next_back().unwrap_or_default().trim_start_matches("error: ").to_owned();
                format!("not a regular expression: {reason}")
            }
        })
    };
    // By itself first: `a)|(b` would be one only inside the group, and slip out of the anchors there.
    build(pattern)?;
    build(&format!("^(?:{pattern})$"))
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = !self.name.starts_with(|c: char| c.is_ascii_digit())
            && self.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if plain {
            f.write_str(&self.name)?;
        } else {
            quote(f, &self.name)?;
        }
        f.write_str(self.op.symbol())?;
        quote(f, &self.value)
    }
}

fn quote(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

impl FromStr for Matcher {
    type Err = NotAMatcher;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut reader = Reader::new(text);
        let matcher = reader.matcher()?;
        reader.skip_space();
        match reader.peek() {
            None => Ok(matcher),
            Some(c) => Err(reader.wrong(format!("unexpected {c:?} after the matcher"))),
        }
    }
}

impl TryFrom<String> for Matcher {
    type Error = NotAMatcher;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Matcher> for String {
    fn from(matcher: Matcher) -> Self {
        matcher.to_string()
    }
}

/// Reads a list of matchers, with braces around it or without: `{alertname="Disk", host=~"db.*"}`.
///
/// # Errors
/// If it is no such list or has more than [`MOST_MATCHERS`]; says where and what.
pub fn parse_matchers(text: &str) -> Result<Vec<Matcher>, NotAMatcher> {
    let mut reader = Reader::new(text);
    let mut matchers = Vec::new();
    reader.skip_space();
    let braces = reader.take('{');
    loop {
        reader.skip_space();
        match reader.peek() {
            // Also after a comma: Alertmanager lets the last one stand.
            None | Some('}') => break,
            Some(_) if matchers.len() == MOST_MATCHERS => {
                return Err(reader.wrong(format!("more than {MOST_MATCHERS} matchers")));
            }
            Some(_) => matchers.push(reader.matcher()?),
        }
        reader.skip_space();
        if !reader.take(',') {
            break;
        }
    }
    if braces && !reader.take('}') {
        return Err(reader.wrong("expected a comma or the closing brace"));
    }
    reader.skip_space();
    match reader.peek() {
        None => Ok(matchers),
        Some('}') => Err(reader.wrong("a closing brace without an opening one")),
        Some(c) if braces => Err(reader.wrong(format!("unexpected {c:?} after the closing brace"))),
        Some(c) => Err(reader.wrong(format!("expected a comma, not {c:?}"))),
    }
}

/// A place in a text.
struct Reader<'a> {
    text: &'a str,
    byte: usize,
}

impl<'a> Reader<'a> {
    const fn new(text: &'a str) -> Self {
        Self { text, byte: 0 }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.byte..].chars().next()
    }

    fn advance(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.byte += c.len_utf8();
        Some(c)
    }

    fn take(&mut self, wanted: char) -> bool {
        let there = self.peek() == Some(wanted);
        if there {
            self.byte += wanted.len_utf8();
        }
        there
    }

    fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.advance();
        }
    }

    fn wrong(&self, what: impl Into<String>) -> NotAMatcher {
        self.wrong_at(self.byte, what)
    }

    fn wrong_at(&self, byte: usize, what: impl Into<String>) -> NotAMatcher {
        NotAMatcher { at: self.text[..byte].chars().count() + 1, what: what.into() }
    }

    fn matcher(&mut self) -> Result<Matcher, NotAMatcher> {
        self.skip_space();
        let begin = self.byte;
        let name = self.word("a label's name")?;
        self.skip_space();
        let op = self.operator()?;
        self.skip_space();
        let value_at = self.byte;
        let value = self.word("a value (\"\" is the empty one)")?;
        Matcher::new(name, op, value).map_err(|what| {
            let regex = what.contains("regular expression");
            self.wrong_at(if regex { value_at } else { begin }, what)
        })
    }

    fn operator(&mut self) -> Result<Op, NotAMatcher> {
        let begin = self.byte;
        let op = match (self.advance(), self.peek()) {
            (Some('='), Some('~')) => Op::Matches,
            (Some('='), _) => return Ok(Op::Equal),
            (Some('!'), Some('=')) => Op::NotEqual,
            (Some('!'), Some('~')) => Op::MatchesNot,
            _ => return Err(self.wrong_at(begin, "expected one of =, !=, =~, !~")),
        };
        self.advance();
        Ok(op)
    }

    /// A bare or quoted word.
    fn word(&mut self, what: &str) -> Result<String, NotAMatcher> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let begin = self.byte;
        while self.peek().is_some_and(|c| !c.is_whitespace() && !"{}!=~,\\\"'`".contains(c)) {
            self.advance();
        }
        if self.byte > begin {
            // What must not stand in a bare word must not follow it either, or `a=b"c"` would be a riddle.
            return match self.peek() {
                Some(c @ ('"' | '\\' | '\'' | '`' | '~' | '{')) => {
                    Err(self.wrong(format!("{c:?} needs double quotes around the whole word")))
                }
                _ => Ok(self.text[begin..self.byte].to_owned()),
            };
        }
        Err(match self.peek() {
            Some(c) if c != '}' && c != ',' => {
                self.wrong(format!("expected {what}, not {c:?}; put double quotes around it if it is meant"))
            }
            _ => self.wrong(format!("expected {what}")),
        })
    }

    fn quoted(&mut self) -> Result<String, NotAMatcher> {
        let begin = self.byte;
        self.advance();
        let mut word = String::new();
        while let Some(c) = self.advance() {
            match c {
                '"' => return Ok(word),
                '\\' => match self.peek() {
                    Some(escaped @ ('"' | '\\')) => {
                        word.push(escaped);
                        self.advance();
                    }
                    Some('n') => {
                        word.push('\n');
                        self.advance();
                    }
                    _ => word.push('\\'),
                },
                c => word.push(c),
            }
        }
        Err(self.wrong_at(begin, "the quote that opens here is never closed"))
    }
}
