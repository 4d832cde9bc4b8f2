//! Calendars in iCalendar form, read into spans of duty and holidays.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use poem::{FromRequest, Request, RequestBody, Result as PoemResult};
use poem_openapi::{
    Object, impl_apirequest_for_payload,
    payload::{ParsePayload, Payload, PlainText},
    registry::{MetaSchemaRef, Registry},
};

use super::{error::Problem, people::Lookup, text};
use crate::{
    calendar::Holiday,
    exchange::ical::{self, IcalEvent, When},
    id::OverrideId,
    oncall::{Override, OverrideKind},
    recurrence::Recurrence,
    store::{self, ImportCounts, ImportedDuty, Run, Store},
    wallclock::Zone,
};

/// How far ahead events that come again are followed.
const AHEAD: TimeDelta = TimeDelta::days(366);
/// How often one of them may come in that time.
const MOST: usize = 1000;
/// How many spans there may be in all.
const MOST_IN_ALL: usize = 10_000;

/// A calendar as it was sent.
#[derive(Debug)]
pub(super) struct Calendar(pub(super) String);

impl Payload for Calendar {
    const CONTENT_TYPE: &'static str = "text/calendar";

    fn check_content_type(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        PlainText::<String>::schema_ref()
    }

    fn register(registry: &mut Registry) {
        PlainText::<String>::register(registry);
    }
}

impl ParsePayload for Calendar {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> PoemResult<Self> {
        let bytes = Vec::<u8>::from_request(request, body).await?;
        let calendar = String::from_utf8(bytes).map_err(|_| Problem::malformed("the calendar is not UTF-8"))?;
        Ok(Self(text(calendar)))
    }
}

impl_apirequest_for_payload!(Calendar);

/// An event that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
#[oai(rename = "BadEvent")]
pub(super) struct Bad {
    /// The line of the calendar on which it begins.
    line: u64,
    /// What the calendar calls it.
    #[oai(skip_serializing_if_is_none)]
    uid: Option<String>,
    /// Its title.
    #[oai(skip_serializing_if_is_none)]
    summary: Option<String>,
    /// Why.
    reason: String,
}

/// What an import did, or would do.
#[derive(Debug, Object)]
#[oai(rename = "CalendarImport")]
pub(super) struct Report {
    /// Whether nothing was written.
    dry_run: bool,
    /// How many were not there.
    created: u64,
    /// How many were there and said something else.
    updated: u64,
    /// How many were there as they are.
    unchanged: u64,
    /// How many are no longer meant.
    deleted: u64,
    /// What was not taken.
    bad: Vec<Bad>,
}

impl Report {
    pub(super) fn new(run: Run, counts: ImportCounts, bad: Vec<Bad>) -> Self {
        let ImportCounts { created, updated, unchanged, deleted } = counts;
        Self { dry_run: run == Run::Dry, created, updated, unchanged, deleted, bad }
    }
}

/// A calendar that was read.
#[derive(Default)]
pub(super) struct ReadCalendar {
    /// When something is, of every event that was understood.
    spans: Vec<Span>,
    /// What these events are called, and those that were called off.
    pub(super) uids: HashSet<String>,
    /// Those that were called off.
    called_off: Vec<IcalEvent>,
    /// What was not understood.
    pub(super) bad: Vec<Bad>,
}

/// One time that an event happens.
#[derive(Clone, Debug)]
struct Span {
    event: Arc<IcalEvent>,
    /// Of an event that comes again: when it would have begun.
    occurrence: Option<DateTime<Utc>>,
    from: DateTime<Utc>,
    until: DateTime<Utc>,
}

/// Reads a calendar. Days, and local times without a zone, are of `zone`.
pub(super) fn read(calendar: &str, zone: Zone, now: DateTime<Utc>) -> Result<ReadCalendar, Problem> {
    let events = ical::parse_events(calendar).map_err(|error| Problem::unprocessable(error.to_string()))?;
    let mut read = ReadCalendar::default();
    let (mut order, mut by_uid) = (Vec::new(), HashMap::<String, Vec<IcalEvent>>::new());
    for event in events {
        match event {
            Err(wrong) => {
                read.bad.push(Bad { line: wrong.line, uid: None, summary: wrong.summary, reason: wrong.reason });
            }
            Ok(event) if event.uid.trim().is_empty() => read.bad.push(bad(&event, "it has no UID")),
            Ok(event) => {
                if !by_uid.contains_key(&event.uid) {
                    order.push(event.uid.clone());
                }
                by_uid.entry(event.uid.clone()).or_default().push(event);
            }
        }
    }
    for uid in order {
        let events = by_uid.remove(&uid).unwrap_or_default();
        match times(&events, zone, now) {
            Ok(spans) => {
                read.spans.extend(spans);
                read.called_off.extend(events.into_iter().filter(|event| event.cancelled));
                read.uids.insert(uid);
            }
            Err((line, reason)) => {
                let event = events.iter().find(|event| event.line == line).or(events.first());
                read.bad.extend(event.map(|event| bad(event, &reason)));
            }
        }
        if read.spans.len() > MOST_IN_ALL {
            let detail =
                format!("the calendar has more than {MOST_IN_ALL} times in the next {} days", AHEAD.num_days());
            return Err(Problem::unprocessable(detail));
        }
    }
    Ok(read)
}

/// The duties that the events of a calendar mean. Events that name nobody become bad ones.
pub(super) async fn with_people(read: &mut ReadCalendar, store: &Store) -> Result<Vec<ImportedDuty>, store::Error> {
    let addresses = read.spans.iter().flat_map(|span| span.event.attendees.iter().cloned()).collect::<HashSet<_>>();
    let by_email = store.contacts_by_email(&addresses.into_iter().collect::<Vec<_>>()).await?;
    let (mut lookup, mut imported) = (Lookup::new(store), Vec::new());
    let (mut refused, mut bads) = (HashSet::new(), Vec::new());
    for span in &read.spans {
        let event = &span.event;
        let mut found = Vec::new();
        let mut reason = None;
        for address in &event.attendees {
            match by_email.get(&address.to_lowercase()).map(Vec::as_slice).unwrap_or_default() {
                [id] => found.push(*id),
                [] => reason = Some(format!("no contact has the mail address {address}")),
                _ => reason = Some(format!("several contacts have the mail address {address}")),
            }
        }
        if found.is_empty() || reason.is_some() {
            found.clear();
            let names = event.summary.split(',').map(str::trim).filter(|name| !name.is_empty());
            let mut by_name = if event.summary.trim().is_empty() { Some("it names nobody".to_owned()) } else { None };
            for name in names {
                match lookup.named(name).await? {
                    Ok(id) => found.push(id),
                    Err(wrong) => by_name = Some(wrong),
                }
            }
            let nobody = found.is_empty().then(|| "it names nobody".to_owned());
            reason =
                by_name.or(nobody).map(|by_name| reason.map_or(by_name.clone(), |mail| format!("{mail}; {by_name}")));
        }
        let duty = ImportedDuty {
            uid: event.uid.clone(),
            occurrence: span.occurrence,
            people: found,
            from: span.from,
            until: span.until,
        };
        let wrong = reason.or_else(|| mistakes(&duty));
        match wrong {
            None => imported.push(duty),
            // Said once of an event, however often it comes.
            Some(reason) => {
                if refused.insert(event.uid.clone()) {
                    bads.push(bad(event, &reason));
                }
            }
        }
    }
    imported.retain(|duty| !refused.contains(&duty.uid));
    read.uids.retain(|uid| !refused.contains(uid));
    read.bad.extend(bads);
    Ok(imported)
}

fn mistakes(duty: &ImportedDuty) -> Option<String> {
    let as_override = Override {
        id: OverrideId::generate(),
        kind: OverrideKind::Replace,
        people: duty.people.clone(),
        from: duty.from,
        until: duty.until,
        made_at: duty.from,
    };
    let mistakes = as_override.mistakes();
    (!mistakes.is_empty()).then(|| mistakes.join("; "))
}

fn bad(event: &IcalEvent, reason: &str) -> Bad {
    Bad {
        line: event.line,
        uid: Some(event.uid.clone()).filter(|uid| !uid.is_empty()),
        summary: Some(event.summary.clone()).filter(|summary| !summary.is_empty()),
        reason: reason.to_owned(),
    }
}

type Wrong = (u64, String);

/// The times of the events of one name: the event itself, and changed occurrences of it.
fn times(events: &[IcalEvent], zone: Zone, now: DateTime<Utc>) -> Result<Vec<Span>, Wrong> {
    let mut whole = events.iter().filter(|event| event.recurrence_id.is_none());
    let event = match (whole.next(), whole.next()) {
        (Some(event), None) => event,
        (Some(_), Some(other)) => return Err((other.line, "another event has the same UID".to_owned())),
        (None, _) => {
            let line = events.first().map_or(0, |event| event.line);
            return Err((line, "it changes an occurrence of an event that is not in this calendar".to_owned()));
        }
    };
    if event.cancelled {
        return Ok(Vec::new());
    }
    let wrong = |reason: String| (event.line, reason);
    let (own_zone, start) = local(&event.start, zone).map_err(wrong)?;
    let (end_zone, end) = local(&event.end, zone).map_err(wrong)?;
    // By the clock on the wall: a night shift ends in the morning, however long the night was.
    let length = own_zone.local(end_zone.instant(end)) - start;
    let shared = Arc::new(event.clone());
    let span = |from: DateTime<Utc>, occurrence| Span {
        event: Arc::clone(&shared),
        occurrence,
        from,
        until: own_zone.local(from).checked_add_signed(length).map_or(from, |end| own_zone.instant(end)),
    };
    let comes_again = event.rrule.is_some() || !event.rdates.is_empty();
    if !comes_again {
        return Ok(vec![Span { until: end_zone.instant(end), ..span(own_zone.instant(start), None) }]);
    }
    let (first, last) = (now - length.max(TimeDelta::zero()), now + AHEAD);
    let mut beginnings = match &event.rrule {
        Some(rule) => {
            let rule = Recurrence::new(rule).map_err(|error| wrong(error.to_string()))?;
            rule.between(start, |local| own_zone.instant(local), first, last, MOST + 1)
        }
        None => vec![own_zone.instant(start)],
    };
    for more in &event.rdates {
        let (zone, local) = local(more, zone).map_err(wrong)?;
        beginnings.push(zone.instant(local));
    }
    let mut but_not = HashSet::new();
    for except in &event.exdates {
        let (its_zone, at) = local(except, zone).map_err(wrong)?;
        match (except, &event.start) {
            // A day, of something that begins at a time of day: whatever begins on it.
            (When::Date(day), When::Local(..) | When::Instant(_)) => {
                but_not.extend(beginnings.iter().copied().filter(|begins| own_zone.local(*begins).date() == *day));
            }
            _ => {
                but_not.insert(its_zone.instant(at));
            }
        }
    }
    beginnings.retain(|begins| first <= *begins && *begins < last && !but_not.contains(begins));
    beginnings.sort_unstable();
    beginnings.dedup();
    if beginnings.len() > MOST {
        return Err(wrong(format!("it comes more than {MOST} times in the next {} days", AHEAD.num_days())));
    }
    let mut spans: HashMap<DateTime<Utc>, Span> =
        beginnings.into_iter().map(|begins| (begins, span(begins, Some(begins)))).collect();
    for changed in events.iter().filter(|event| event.recurrence_id.is_some()) {
        let wrong = |reason: String| (changed.line, reason);
        let Some(id) = &changed.recurrence_id else { continue };
        let (id_zone, id) = local(id, zone).map_err(wrong)?;
        let occurrence = id_zone.instant(id);
        spans.remove(&occurrence);
        if !changed.cancelled {
            let (from_zone, from) = local(&changed.start, zone).map_err(wrong)?;
            let (until_zone, until) = local(&changed.end, zone).map_err(wrong)?;
            let (from, until) = (from_zone.instant(from), until_zone.instant(until));
            if until > now && from < last {
                spans.insert(
                    occurrence,
                    Span { event: Arc::new(changed.clone()), occurrence: Some(occurrence), from, until },
                );
            }
        }
    }
    let mut spans: Vec<Span> = spans.into_values().collect();
    spans.sort_unstable_by_key(|span| (span.from, span.occurrence));
    Ok(spans)
}

/// A point in time by the clock on the wall, and on which wall.
fn local(when: &When, zone: Zone) -> Result<(Zone, NaiveDateTime), String> {
    Ok(match when {
        When::Date(day) => (zone, day.and_time(NaiveTime::MIN)),
        When::Local(at, None) => (zone, *at),
        When::Local(at, Some(name)) => (name.parse().map_err(|error| format!("{error}"))?, *at),
        When::Instant(at) => (Zone::UTC, at.naive_utc()),
    })
}

/// Holidays that were read.
#[derive(Default)]
pub(super) struct Holidays {
    /// Those that are.
    pub(super) holidays: Vec<Holiday>,
    /// Those that were called off: their names and first days.
    pub(super) called_off: HashSet<(String, NaiveDate)>,
    /// What was not understood.
    pub(super) bad: Vec<Bad>,
}

/// Reads the holidays of a calendar: its events of whole days.
pub(super) fn holidays(calendar: &str, zone: Zone, now: DateTime<Utc>) -> Result<Holidays, Problem> {
    let mut found = Holidays::default();
    let read = read(calendar, zone, now)?;
    found.bad = read.bad;
    for event in read.called_off {
        if let When::Date(from) = event.start {
            found.called_off.insert((event.summary.trim().to_owned(), from));
        }
    }
    let mut refused = HashSet::new();
    for span in read.spans {
        let (When::Date(_), When::Date(_)) = (&span.event.start, &span.event.end) else {
            // Said once of an event, however often it comes.
            if refused.insert(span.event.uid.clone()) {
                found.bad.push(bad(&span.event, "it is not an event of whole days"));
            }
            continue;
        };
        let from = zone.local(span.from).date();
        // The calendar's end is the day after the last.
        let last = zone.local(span.until).date().pred_opt().filter(|last| *last >= from).unwrap_or(from);
        found.holidays.push(Holiday { name: span.event.summary.trim().to_owned(), from, until: last });
    }
    Ok(found)
}
