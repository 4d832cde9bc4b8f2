//! Instants as people write them: ISO 8601 with an offset, or a local time and its zone.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

use super::{error::Problem, times};
use crate::wallclock::Zone;

/// The instant that `text` means; `zone` is where local times hold.
pub(super) fn instant(field: &str, text: &str, zone: Option<&str>) -> Result<DateTime<Utc>, Problem> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text.trim()) {
        return times::instant(field, at.with_timezone(&Utc));
    }
    let local = local(field, text)?;
    match zone {
        Some(zone) => times::instant(field, self::zone("time_zone", zone)?.instant(local)),
        None => Err(Problem::unprocessable(format!("{field}: give an offset (such as +01:00 or Z), or time_zone"))),
    }
}

/// A local time: `2026-11-23T09:00`, with seconds or without.
pub(super) fn local(field: &str, text: &str) -> Result<NaiveDateTime, Problem> {
    let text = text.trim();
    let formats = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"];
    let read = formats.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    read.filter(|local| times::YEARS.contains(&local.year())).ok_or_else(|| {
        Problem::unprocessable(format!(
            "{field}: {text:?} is no time (write 2026-11-23T09:00:00+01:00, or without offset)"
        ))
    })
}

/// A time zone by its IANA name.
pub(super) fn zone(field: &str, name: &str) -> Result<Zone, Problem> {
    times::zone(field, name).map_err(Problem::unprocessable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_counts_and_a_local_time_needs_its_zone() {
        let at = |text: &str, zone| instant("at", text, zone).ok().map(|at| at.to_rfc3339());
        let nine = Some("2026-11-23T08:00:00+00:00".to_owned());
        assert_eq!(at("2026-11-23T09:00:00+01:00", None), nine);
        assert_eq!(at("2026-11-23T09:00:00+01:00", Some("Asia/Tokyo")), nine, "the offset counts");
        assert_eq!(at("2026-11-23T09:00", Some("Europe/Rome")), nine);
        assert_eq!(at("2026-11-23 09:00:00", Some("Europe/Rome")), nine);
        for (text, zone) in [
            ("2026-11-23T09:00", None),
            ("tomorrow", Some("UTC")),
            ("2026-02-30T09:00", Some("UTC")),
            ("9999-12-31T23:59:59Z", None),
            ("+262142-12-31T23:59:59", Some("UTC")),
        ] {
            assert_eq!(at(text, zone), None, "{text}");
        }
        assert_eq!(at("2026-11-23T09:00", Some("Europe/Nowhere")), None);
    }
}
