//! Calendars: iCalendar (RFC 5545). Reads events, writes feeds.
//!
//! The reader is our own since it has to keep the good events of a file with a bad one in it, and the
//! writer since it must leave out control characters, which would break lines.

use chrono::{DateTime, Days, NaiveDate, NaiveDateTime, TimeDelta, Utc};
use thiserror::Error;

use super::lines::{escaped, push, unescaped};

mod value;

use value::{duration, when, whens};

/// The longest calendar that is read, in bytes.
pub const LONGEST_CALENDAR: usize = 5 * 1024 * 1024;
/// The most events that are read.
pub const MOST_EVENTS: usize = 10_000;
/// The longest line of a calendar after unfolding, in bytes.
const LONGEST_LINE: usize = 64 * 1024;

/// A point in time as calendars name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// A whole day, wherever one is.
    Date(NaiveDate),
    /// On the wall clock, of a zone by the name the calendar gives it, or of wherever one is.
    Local(NaiveDateTime, Option<String>),
    /// The same everywhere.
    Instant(DateTime<Utc>),
}

/// An event of a calendar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IcalEvent {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What identifies it; empty if the calendar does not say.
    pub uid: String,
    /// Its title; may be empty.
    pub summary: String,
    /// The mail addresses of those it is for.
    pub attendees: Vec<String>,
    /// More words; may be empty.
    pub description: String,
    /// From when.
    pub start: When,
    /// Until when, that moment or day excluded. As long as it starts if it has no length.
    pub end: When,
    /// The rule by which it comes again.
    pub rrule: Option<String>,
    /// More times at which it happens.
    pub rdates: Vec<When>,
    /// Times at which it does not happen though the rule says so.
    pub exdates: Vec<When>,
    /// If this event replaces one occurrence of another with the same `uid`: which.
    pub recurrence_id: Option<When>,
    /// Whether it has been called off.
    pub cancelled: bool,
}

/// An event that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}{}: {reason}", .summary.as_ref().map(|summary| format!(", event {summary:?}")).unwrap_or_default())]
pub struct BadEvent {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its title, if it has one.
    pub summary: Option<String>,
    /// What is wrong, in words.
    pub reason: String,
}

/// A text that is no calendar, or too large a one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotACalendar {
    /// It does not begin like one.
    #[error("this is no iCalendar file: it does not begin with BEGIN:VCALENDAR")]
    Begin,
    /// Longer than [`LONGEST_CALENDAR`].
    #[error("the calendar is larger than {LONGEST_CALENDAR} bytes")]
    TooLong,
    /// More than [`MOST_EVENTS`].
    #[error("the calendar has more than {MOST_EVENTS} events")]
    TooMany,
}

/// Reads the events of a calendar.
///
/// # Errors
/// If it is no calendar or too large; an event that is bad is an item of the list.
pub fn parse_events(text: &str) -> Result<Vec<Result<IcalEvent, BadEvent>>, NotACalendar> {
    if text.len() > LONGEST_CALENDAR {
        return Err(NotACalendar::TooLong);
    }
    let mut lines = Unfolded { lines: text.trim_start_matches('\u{feff}').lines().zip(1..).peekable() };
    let first = lines.by_ref().find(|(_, line)| !line.trim().is_empty());
    if first.is_none_or(|(_, line)| !line.trim().eq_ignore_ascii_case("BEGIN:VCALENDAR")) {
        return Err(NotACalendar::Begin);
    }
    let mut events = Vec::new();
    let mut draft: Option<Draft> = None;
    let (mut ended, mut last) = (false, 1);
    for (at, line) in lines {
        last = at;
        let (begins, ends) = (keyword(&line, "BEGIN:"), keyword(&line, "END:"));
        match &mut draft {
            None if begins.is_some_and(|name| name.eq_ignore_ascii_case("VEVENT")) => {
                if events.len() == MOST_EVENTS {
                    return Err(NotACalendar::TooMany);
                }
                draft = Some(Draft::new(at));
            }
            None => ended |= ends.is_some_and(|name| name.eq_ignore_ascii_case("VCALENDAR")),
            Some(open) => match (begins, ends) {
                // Another event, or the calendar's end, inside an event: its own end is missing.
                (Some("VEVENT"), _) | (_, Some("VCALENDAR")) => {
                    events.extend(draft.take().map(Draft::unended));
                    ended |= ends.is_some();
                    draft = begins.map(|_| Draft::new(at));
                }
                // Parts such as alarms say nothing about the event itself.
                (Some(_), _) => open.depth += 1,
                (_, Some(_)) if open.depth > 0 => open.depth -= 1,
                (_, Some(_)) => events.extend(draft.take().map(Draft::finish)),
                _ if open.depth == 0 => open.read(&line),
                _ => {}
            },
        }
    }
    events.extend(draft.take().map(Draft::unended));
    if !ended {
        let reason = "the calendar breaks off here: END:VCALENDAR is missing".to_owned();
        events.push(Err(BadEvent { line: last, summary: None, reason }));
    }
    Ok(events)
}

fn keyword<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let (found, rest) = line.split_at_checked(keyword.len())?;
    found.eq_ignore_ascii_case(keyword).then(|| rest.trim())
}

/// Lines put together again from their folds, with the number of the first.
struct Unfolded<I: Iterator> {
    lines: std::iter::Peekable<I>,
}

impl<'a, I: Iterator<Item = (&'a str, u64)>> Iterator for Unfolded<I> {
    type Item = (u64, String);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, at) = self.lines.next()?;
        let mut line = first.to_owned();
        while let Some((fold, _)) = self.lines.next_if(|(line, _)| line.starts_with([' ', '\t'])) {
            line.push_str(&fold[1..]);
        }
        Some((at, line))
    }
}

/// An event as far as it has been read.
struct Draft {
    line: u64,
    /// How deep in parts of the event we are.
    depth: u32,
    uid: String,
    summary: String,
    attendees: Vec<String>,
    description: String,
    start: Option<When>,
    end: Option<When>,
    duration: Option<(u64, TimeDelta)>,
    rrule: Option<String>,
    rdates: Vec<When>,
    exdates: Vec<When>,
    recurrence_id: Option<When>,
    cancelled: bool,
    /// The first thing that was wrong.
    wrong: Option<String>,
}

impl Draft {
    const fn new(line: u64) -> Self {
        Self {
            line,
            depth: 0,
            uid: String::new(),
            summary: String::new(),
            attendees: Vec::new(),
            description: String::new(),
            start: None,
            end: None,
            duration: None,
            rrule: None,
            rdates: Vec::new(),
            exdates: Vec::new(),
            recurrence_id: None,
            cancelled: false,
            wrong: None,
        }
    }

    fn read(&mut self, line: &str) {
        if line.len() > LONGEST_LINE {
            self.wrong.get_or_insert_with(|| format!("a line of more than {LONGEST_LINE} bytes"));
        } else if !line.is_empty()
            && let Err(reason) = self.property(line)
        {
            self.wrong.get_or_insert(reason);
        }
    }

    fn property(&mut self, line: &str) -> Result<(), String> {
        let Property { name, parameters, value } = Property::parse(line)?;
        let parameter = |wanted: &str| {
            parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.as_str())
        };
        let named = |error: String| format!("{name}: {error}");
        match name.to_ascii_uppercase().as_str() {
            "UID" => self.uid = unescaped(value.trim()),
            "SUMMARY" => self.summary = unescaped(value),
            "DESCRIPTION" => self.description = unescaped(value),
            "ATTENDEE" => self.attendees.extend(address(value).or_else(|| parameter("EMAIL").and_then(address))),
            "DTSTART" => self.start = Some(when(value, parameter("TZID")).map_err(named)?),
            "DTEND" => self.end = Some(when(value, parameter("TZID")).map_err(named)?),
            "DURATION" => self.duration = Some(duration(value).map_err(named)?),
            "RRULE" if self.rrule.is_some() => return Err("more than one RRULE".to_owned()),
            "RRULE" => self.rrule = Some(value.trim().to_owned()),
            "RDATE" => self.rdates.extend(whens(value, parameter("TZID")).map_err(named)?),
            "EXDATE" => self.exdates.extend(whens(value, parameter("TZID")).map_err(named)?),
            "RECURRENCE-ID" => self.recurrence_id = Some(when(value, parameter("TZID")).map_err(named)?),
            "STATUS" => self.cancelled = value.trim().eq_ignore_ascii_case("CANCELLED"),
            _ => {}
        }
        Ok(())
    }

    fn bad(self, reason: String) -> Result<IcalEvent, BadEvent> {
        Err(BadEvent { line: self.line, summary: Some(self.summary).filter(|summary| !summary.is_empty()), reason })
    }

    fn unended(self) -> Result<IcalEvent, BadEvent> {
        self.bad("END:VEVENT is missing".to_owned())
    }

    fn finish(mut self) -> Result<IcalEvent, BadEvent> {
        if let Some(reason) = self.wrong.take() {
            return self.bad(reason);
        }
        let Some(start) = self.start.take() else {
            return self.bad("DTSTART is missing".to_owned());
        };
        let end = match (self.end.take(), self.duration) {
            (Some(_), Some(_)) => Err("both DTEND and DURATION".to_owned()),
            (Some(end), None) => checked_end(&start, end),
            (None, Some((days, time))) => after(&start, days, time),
            // RFC 5545, section 3.6.1: a day without an end is that day, a moment without one a moment.
            (None, None) => after(&start, u64::from(matches!(start, When::Date(_))), TimeDelta::zero()),
        };
        match end {
            Err(reason) => self.bad(reason),
            Ok(end) => Ok(IcalEvent {
                line: self.line,
                uid: self.uid,
                summary: self.summary,
                attendees: self.attendees,
                description: self.description,
                start,
                end,
                rrule: self.rrule,
                rdates: self.rdates,
                exdates: self.exdates,
                recurrence_id: self.recurrence_id,
                cancelled: self.cancelled,
            }),
        }
    }
}

fn checked_end(start: &When, end: When) -> Result<When, String> {
    let backwards = match (start, &end) {
        (When::Date(start), When::Date(end)) => end < start,
        (When::Date(_), _) | (_, When::Date(_)) => {
            return Err("DTSTART and DTEND must both be days, or both times".to_owned());
        }
        (When::Instant(start), When::Instant(end)) => end < start,
        (When::Local(start, zone), When::Local(end, other)) => zone == other && end < start,
        // In different zones: the caller can tell, when it knows them.
        _ => false,
    };
    if backwards { Err("it ends before it begins".to_owned()) } else { Ok(end) }
}

/// Days on the calendar, then hours, minutes and seconds.
fn after(start: &When, days: u64, time: TimeDelta) -> Result<When, String> {
    let end = match start {
        When::Date(_) if !time.is_zero() => return Err("a DURATION in hours on an event of whole days".to_owned()),
        When::Date(date) => date.checked_add_days(Days::new(days)).map(When::Date),
        When::Local(at, zone) => {
            let end = at.checked_add_days(Days::new(days)).and_then(|at| at.checked_add_signed(time));
            end.map(|end| When::Local(end, zone.clone()))
        }
        When::Instant(at) => {
            let end = at.checked_add_days(Days::new(days)).and_then(|at| at.checked_add_signed(time));
            end.map(When::Instant)
        }
    };
    end.ok_or_else(|| "its end is too far in the future".to_owned())
}

/// A mail address, with `mailto:` in front or without.
fn address(value: &str) -> Option<String> {
    let value = value.trim();
    let address = keyword(value, "mailto:").unwrap_or(value);
    let is_one = address.contains('@') && !address.contains(':');
    is_one.then(|| address.to_owned())
}

/// A line: its name, parameters and value.
struct Property<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, String)>,
    value: &'a str,
}

impl<'a> Property<'a> {
    fn parse(line: &'a str) -> Result<Self, String> {
        let broken = || format!("{:?} is no line of a calendar", line.chars().take(40).collect::<String>());
        let end = line.find([';', ':']).ok_or_else(broken)?;
        let (name, mut rest) = line.split_at(end);
        let mut parameters = Vec::new();
        while let Some(parameter) = rest.strip_prefix(';') {
            let (key, value) = parameter.split_once('=').ok_or_else(broken)?;
            let mut quoted = false;
            let end = value
                .find(|c| {
                    quoted ^= c == '"';
                    !quoted && (c == ';' || c == ':')
                })
                .ok_or_else(broken)?;
            parameters.push((key, value[..end].replace('"', "")));
            rest = &value[end..];
        }
        Ok(Self { name, parameters, value: rest.strip_prefix(':').ok_or_else(broken)? })
    }
}

/// An event of a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedEvent {
    /// What identifies it, the same each time the feed is written.
    pub uid: String,
    /// Its title.
    pub summary: String,
    /// From when.
    pub from: DateTime<Utc>,
    /// Until when.
    pub until: DateTime<Utc>,
    /// More words, or none.
    pub description: String,
}

/// Writes a calendar to subscribe to. `zone` is the IANA name of the zone in which it is best shown, and
/// `stamp` when this was written.
pub fn write_calendar(
    name: &str,
    zone: &str,
    events: impl IntoIterator<Item = FeedEvent>,
    stamp: DateTime<Utc>,
) -> String {
    let mut out = String::new();
    let utc = |at: DateTime<Utc>| at.format("%Y%m%dT%H%M%SZ").to_string();
    push(&mut out, "BEGIN", "VCALENDAR");
    push(&mut out, "VERSION", "2.0");
    push(&mut out, "PRODID", "-//ringdown//ringdown//EN");
    push(&mut out, "CALSCALE", "GREGORIAN");
    push(&mut out, "METHOD", "PUBLISH");
    push(&mut out, "X-WR-CALNAME", &escaped(name));
    push(&mut out, "X-WR-TIMEZONE", &escaped(zone));
    // How often to look again, as the standard has it (RFC 7986) and as it was done before.
    push(&mut out, "REFRESH-INTERVAL;VALUE=DURATION", "PT15M");
    push(&mut out, "X-PUBLISHED-TTL", "PT15M");
    for event in events {
        push(&mut out, "BEGIN", "VEVENT");
        push(&mut out, "UID", &escaped(&event.uid));
        push(&mut out, "DTSTAMP", &utc(stamp));
        push(&mut out, "DTSTART", &utc(event.from));
        push(&mut out, "DTEND", &utc(event.until));
        push(&mut out, "SUMMARY", &escaped(&event.summary));
        if !event.description.is_empty() {
            push(&mut out, "DESCRIPTION", &escaped(&event.description));
        }
        push(&mut out, "END", "VEVENT");
    }
    push(&mut out, "END", "VCALENDAR");
    out
}
