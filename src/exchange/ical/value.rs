//! Values of iCalendar: dates, times, durations (RFC 5545, section 3.3).

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, TimeDelta};

use super::When;

/// A day, a local time or an instant. Which of them, the value itself shows, whatever `VALUE` says.
pub(super) fn when(value: &str, zone: Option<&str>) -> Result<When, String> {
    let value = value.trim();
    let wrong = || format!("{value:?} is neither a day such as 20260131 nor a time such as 20260131T090000");
    let (date, time) = match value.split_once('T') {
        None => (value, None),
        Some((date, time)) => (date, Some(time)),
    };
    // Of a fixed width: else the parts could borrow digits from each other.
    let digits = |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let date =
        Some(date).filter(|date| digits(date, 8)).and_then(|date| NaiveDate::parse_from_str(date, "%Y%m%d").ok());
    let date = date.ok_or_else(wrong)?;
    let Some(time) = time else { return Ok(When::Date(date)) };
    let (time, utc) = time.strip_suffix('Z').map_or((time, false), |time| (time, true));
    let time =
        Some(time).filter(|time| digits(time, 6)).and_then(|time| NaiveTime::parse_from_str(time, "%H%M%S").ok());
    let at = NaiveDateTime::new(date, time.ok_or_else(wrong)?);
    Ok(if utc { When::Instant(at.and_utc()) } else { When::Local(at, zone.map(str::to_owned)) })
}

/// Several, parted by commas.
pub(super) fn whens(values: &str, zone: Option<&str>) -> Result<Vec<When>, String> {
    values.split(',').map(|value| when(value, zone)).collect()
}

/// A length of time: days on the calendar, and hours, minutes and seconds beside them.
pub(super) fn duration(value: &str) -> Result<(u64, TimeDelta), String> {
    let text = value.trim();
    let wrong = || format!("{text:?} is no length of time such as PT12H or P1D");
    if text.starts_with('-') {
        return Err(format!("{text:?} is negative"));
    }
    let rest = text.strip_prefix('+').unwrap_or(text).strip_prefix('P').ok_or_else(wrong)?;
    let (days, time) = rest.split_once('T').map_or((rest, None), |(days, time)| (days, Some(time)));
    let (weeks_and_days, seconds) = (parts(days, "WD"), time.map_or(Some(vec![]), |time| parts(time, "HMS")));
    let (Some(days), Some(times)) = (weeks_and_days, seconds) else { return Err(wrong()) };
    if (days.is_empty() && times.is_empty()) || (time.is_some() && times.is_empty()) {
        return Err(wrong());
    }
    let total = |parts: &[(char, u32)]| -> u64 {
        let length = |unit| match unit {
            'W' => 7,
            'H' => 3_600,
            'M' => 60,
            _ => 1,
        };
        parts.iter().map(|&(unit, count)| u64::from(count) * length(unit)).sum()
    };
    Ok((total(&days), TimeDelta::seconds(total(&times).cast_signed())))
}

/// Numbers with their units, each at most once and in the order of `units`.
fn parts(mut text: &str, mut units: &str) -> Option<Vec<(char, u32)>> {
    let mut parts = Vec::new();
    while !text.is_empty() {
        let end = text.find(|c: char| !c.is_ascii_digit())?;
        let unit = text[end..].chars().next()?;
        let at = units.find(unit)?;
        let count = text[..end].parse().ok()?;
        parts.push((unit, count));
        units = &units[at + 1..];
        text = &text[end + 1..];
    }
    Some(parts)
}
