//! LOCAL TIME: zones, and what becomes of local times that do not exist or exist twice. Pure.
//!
//! When the clocks go forward, a stretch of local time is missing: whatever was to happen inside it
//! happens at the first instant after it. When the clocks go back, a stretch comes twice: whatever is
//! to happen inside it happens the first time, and not again. So a later local time never happens
//! before an earlier one, and nothing happens twice or not at all.

use std::{fmt, str::FromStr};

use chrono::{
    DateTime, Datelike, Days, LocalResult, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Utc,
    Weekday,
};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

/// A time zone of the IANA database, such as `Europe/Rome`. Written and read by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(Tz);

/// A name that no zone of the IANA database has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone \"{0}\" (an IANA name, such as Europe/Rome)")]
pub struct UnknownZone(String);

/// No zone is further from UTC than this, and none has ever jumped by more, in seconds.
const DAY: i64 = 86_400;

impl Zone {
    /// Universal time.
    pub const UTC: Self = Self(Tz::UTC);

    /// The instant at which a local time happens. One that does not exist happens at the first
    /// instant after the gap, one that exists twice happens the first time: so the result never
    /// decreases when `local` grows.
    #[must_use]
    pub fn instant(self, local: NaiveDateTime) -> DateTime<Utc> {
        match self.0.from_local_datetime(&local) {
            LocalResult::Single(at) => at.to_utc(),
            LocalResult::Ambiguous(one, other) => one.min(other).to_utc(),
            LocalResult::None => self.after_gap(local),
        }
    }

    /// What the clocks of the zone show. Within a day of the end of what can be represented (the
    /// year 262142) they show universal time.
    #[must_use]
    pub fn local(self, at: DateTime<Utc>) -> NaiveDateTime {
        let utc = at.naive_utc();
        let offset = self.0.offset_from_utc_datetime(&utc).fix();
        utc.checked_add_offset(offset).unwrap_or(utc)
    }

    /// The first instant at which the clocks have passed `local`, which they never show. Clocks jump
    /// at whole seconds, so halving a span of seconds finds it exactly, however long the gap.
    fn after_gap(self, local: NaiveDateTime) -> DateTime<Utc> {
        let shown_as_utc = local.and_utc().timestamp();
        let (mut before, mut after) = (shown_as_utc - DAY, shown_as_utc + DAY);
        while after - before > 1 {
            let middle = before + (after - before) / 2;
            // What cannot be represented lies beyond one of the two ends of time.
            let has_passed = DateTime::from_timestamp(middle, 0).map_or(middle > 0, |at| self.local(at) >= local);
            if has_passed {
                after = middle;
            } else {
                before = middle;
            }
        }
        let end_of_time = if after < 0 { DateTime::<Utc>::MIN_UTC } else { DateTime::<Utc>::MAX_UTC };
        DateTime::from_timestamp(after, 0).unwrap_or(end_of_time)
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        name.parse().map(Self).map_err(|_| UnknownZone(name.to_owned()))
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;
    fn try_from(name: String) -> Result<Self, Self::Error> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.name())
    }
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl From<Weekday> for Day {
    fn from(day: Weekday) -> Self {
        match day {
            Weekday::Mon => Self::Mon,
            Weekday::Tue => Self::Tue,
            Weekday::Wed => Self::Wed,
            Weekday::Thu => Self::Thu,
            Weekday::Fri => Self::Fri,
            Weekday::Sat => Self::Sat,
            Weekday::Sun => Self::Sun,
        }
    }
}

/// Hours of the week, by the clock on the wall: on each of `days` from `from` until `to`.
///
/// If `to` is not after `from` it is the next day's: `22:00` to `06:00` is a night, `00:00` to `24:00`
/// (the same as `00:00`) a whole day, and equal times are 24 hours by the clock on the wall. A day
/// belongs to the list by the date on which its hours begin.
///
/// In JSON: `{"days": ["mon", "tue"], "from": "09:00", "to": "17:00"}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// On which days they begin.
    pub days: Vec<Day>,
    /// When they begin.
    #[serde(with = "time_of_day")]
    pub from: NaiveTime,
    /// When they end: the first instant that does not belong to them.
    #[serde(serialize_with = "time_of_day::serialize", deserialize_with = "time_of_day::deserialize_end")]
    pub to: NaiveTime,
}

impl Hours {
    /// Whether an instant lies in these hours.
    #[must_use]
    pub fn covers(&self, zone: Zone, at: DateTime<Utc>) -> bool {
        self.spans(zone, at, at).any(|(start, end)| start <= at && at < end)
    }

    /// Every start and end in `(from, until]`, in order, each once.
    #[must_use]
    pub fn edges(&self, zone: Zone, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
        let inside = |at: &DateTime<Utc>| from < *at && *at <= until;
        let mut edges: Vec<_> =
            self.spans(zone, from, until).flat_map(|(start, end)| [start, end]).filter(inside).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// The hours as spans `[start, end)`, in the order of their dates: at least all that touch
    /// `[from, until]`, perhaps a few more on either side. Hours that fall into a gap are empty.
    pub fn spans(
        &self,
        zone: Zone,
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> + '_ {
        // Hours that have not ended may have begun the day before. Hours that have begun may be
        // tomorrow's by the clock on the wall, if it has been put back over midnight meanwhile.
        let (first, last) = (zone.local(from).date(), zone.local(until).date());
        let first = first.pred_opt().unwrap_or(first);
        let last = last.succ_opt().unwrap_or(last);
        first
            .iter_days()
            .take_while(move |date| *date <= last)
            .filter(|date| self.days.contains(&date.weekday().into()))
            .map(move |date| (zone.instant(date.and_time(self.from)), zone.instant(self.end(date))))
    }

    /// What an operator must mend before these hours can be used.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        if self.days.is_empty() { vec![format!("the hours {self} are on no day of the week")] } else { Vec::new() }
    }

    fn end(&self, date: NaiveDate) -> NaiveDateTime {
        let nights = u64::from(self.to <= self.from);
        date.checked_add_days(Days::new(nights)).map_or(NaiveDateTime::MAX, |date| date.and_time(self.to))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", time_of_day::written(self.from), time_of_day::written(self.to))
    }
}

/// A time of day: read as `HH:MM` or `HH:MM:SS`, written as short as it can be.
mod time_of_day {
    use serde::{Deserializer, Serializer, de::Error};

    use super::{Deserialize, NaiveTime, Timelike};

    pub fn written(time: NaiveTime) -> String {
        time.format(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
    }

    pub fn serialize<S: Serializer>(time: &NaiveTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&written(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(from)?;
        read(&text).ok_or_else(|| D::Error::custom(format!("\"{text}\" is not a time of day, such as 09:00")))
    }

    /// The end of a day is the next one's beginning.
    pub fn deserialize_end<'de, D: Deserializer<'de>>(from: D) -> Result<NaiveTime, D::Error> {
        let text = String::deserialize(from)?;
        let is_midnight = text == "24:00" || text == "24:00:00";
        let time = if is_midnight { Some(NaiveTime::MIN) } else { read(&text) };
        time.ok_or_else(|| D::Error::custom(format!("\"{text}\" is not a time of day, such as 17:00 or 24:00")))
    }

    /// Two digits everywhere, and no leap second: a clock on the wall shows none.
    fn read(text: &str) -> Option<NaiveTime> {
        let number = |part: &str| {
            let is_number = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
            if is_number { part.parse().ok() } else { None }
        };
        let parts: Vec<u32> = text.split(':').map(number).collect::<Option<_>>()?;
        match parts[..] {
            [hour, minute] => NaiveTime::from_hms_opt(hour, minute, 0),
            [hour, minute, second] => NaiveTime::from_hms_opt(hour, minute, second),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use chrono_tz::{GapInfo, TZ_VARIANTS};
    use proptest::prelude::*;

    use super::*;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn local(text: &str) -> NaiveDateTime {
        text.parse().unwrap()
    }

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn hours(json: &str) -> Hours {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_zone_is_its_name() {
        let rome = zone("Europe/Rome");
        assert_eq!(rome.to_string(), "Europe/Rome");
        assert_eq!(serde_json::to_string(&rome).unwrap(), "\"Europe/Rome\"");
        assert_eq!(serde_json::from_str::<Zone>("\"Europe/Rome\"").unwrap(), rome);
        assert_ne!(rome, zone("Europe/Paris"));
        assert_eq!((Zone::default(), Zone::UTC.to_string().as_str()), (Zone::UTC, "UTC"));
        let words = "there is no time zone \"Europe/Romee\" (an IANA name, such as Europe/Rome)";
        assert_eq!("Europe/Romee".parse::<Zone>().unwrap_err().to_string(), words);
        assert!(serde_json::from_str::<Zone>("\"Europe/Romee\"").unwrap_err().to_string().contains(words));
    }

    #[test]
    fn what_is_missing_happens_after_the_gap_and_what_comes_twice_the_first_time() {
        for (name, shown, happens) in [
            ("Europe/Rome", "2026-03-29T01:59:59", "2026-03-29T00:59:59Z"),
            ("Europe/Rome", "2026-03-29T02:00:00", "2026-03-29T01:00:00Z"),
            ("Europe/Rome", "2026-03-29T02:59:59.999", "2026-03-29T01:00:00Z"),
            ("Europe/Rome", "2026-03-29T03:00:00", "2026-03-29T01:00:00Z"),
            ("Europe/Rome", "2026-03-29T03:00:01", "2026-03-29T01:00:01Z"),
            ("Europe/Rome", "2026-10-25T02:00:00", "2026-10-25T00:00:00Z"),
            ("Europe/Rome", "2026-10-25T02:59:59", "2026-10-25T00:59:59Z"),
            ("Europe/Rome", "2026-10-25T03:00:00", "2026-10-25T02:00:00Z"),
            // Half an hour, at two in the morning, from 10:30 to 11:00 ahead.
            ("Australia/Lord_Howe", "2026-10-04T02:15:00", "2026-10-03T15:30:00Z"),
            ("Australia/Lord_Howe", "2026-10-04T02:30:00", "2026-10-03T15:30:00Z"),
            ("Australia/Lord_Howe", "2026-04-05T01:30:00", "2026-04-04T14:30:00Z"),
            ("Australia/Lord_Howe", "2026-04-05T02:00:00", "2026-04-04T15:30:00Z"),
            // Samoa went without the 30th of December.
            ("Pacific/Apia", "2011-12-29T23:59:59", "2011-12-30T09:59:59Z"),
            ("Pacific/Apia", "2011-12-30T00:00:00", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-30T12:34:56", "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", "2011-12-31T00:00:00", "2011-12-30T10:00:00Z"),
        ] {
            assert_eq!(zone(name).instant(local(shown)), utc(happens), "{name} {shown}");
        }
    }

    /// Every gap and every doubled stretch of every zone since 1900, against the library's own
    /// account of gaps and against what the clocks show one second after the other.
    #[test]
    fn every_gap_and_every_doubled_stretch_there_ever_was() {
        let (mut gaps, mut doubled) = (0, 0);
        for tz in TZ_VARIANTS {
            let zone = Zone(tz);
            let offset = |at: i64| {
                let at = DateTime::from_timestamp(at, 0).unwrap();
                i64::from(tz.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
            };
            let (mut at, last) = (utc("1900-01-01T00:00:00Z").timestamp(), utc("2041-01-01T00:00:00Z").timestamp());
            while at < last {
                let (mut same, mut other) = (at, at + 7 * DAY);
                at = other;
                if offset(same) == offset(other) {
                    continue;
                }
                while other - same > 1 {
                    let middle = same.midpoint(other);
                    if offset(middle) == offset(same) { same = middle } else { other = middle }
                }
                let jump = offset(other) - offset(same);
                let shown_before = DateTime::from_timestamp(other + offset(same), 0).unwrap().naive_utc();
                let jumped = DateTime::from_timestamp(other, 0).unwrap();
                if jump > 0 {
                    gaps += 1;
                    for inside in [0, jump / 3, jump - 1, jump] {
                        let wanted = shown_before + TimeDelta::seconds(inside);
                        assert_eq!(zone.instant(wanted), jumped, "{tz} {wanted}");
                        let gap = GapInfo::new(&wanted, &tz).and_then(|gap| gap.end);
                        assert!(inside == jump || gap.is_some_and(|end| end == jumped), "{tz} {wanted}");
                    }
                } else {
                    doubled += 1;
                    for inside in [jump, jump / 2, -1] {
                        let wanted = shown_before + TimeDelta::seconds(inside);
                        assert_eq!(zone.instant(wanted), jumped + TimeDelta::seconds(inside), "{tz} {wanted}");
                    }
                    assert_eq!(zone.instant(shown_before), jumped - TimeDelta::seconds(jump), "{tz} {shown_before}");
                }
            }
        }
        assert!(gaps > 10_000 && doubled > 10_000, "only {gaps} gaps and {doubled} doubled stretches were found");
    }

    #[test]
    fn the_ends_of_time_are_survived() {
        for name in ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Rome", "UTC"] {
            let zone = zone(name);
            for shown in [NaiveDateTime::MIN, NaiveDateTime::MAX] {
                let away = zone.instant(shown).naive_utc().signed_duration_since(shown).abs();
                assert!(away <= TimeDelta::days(1), "{name} {shown}");
            }
            for at in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
                let away = zone.local(at).signed_duration_since(at.naive_utc()).abs();
                assert!(away <= TimeDelta::days(1), "{name} {at}");
                let all = hours(r#"{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"00:00","to":"24:00"}"#);
                assert!(all.spans(zone, at, at).count() >= 1);
            }
        }
    }

    #[test]
    fn hours_are_written_as_they_are_read() {
        let day = hours(r#"{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"09:00:00","to":"17:30:15"}"#);
        let json = r#"{"days":["mon","tue","wed","thu","fri","sat","sun"],"from":"09:00","to":"17:30:15"}"#;
        assert_eq!(serde_json::to_string(&day).unwrap(), json);
        let late = hours(r#"{"days":["mon"],"from":"18:00","to":"24:00"}"#);
        assert_eq!(late.to, NaiveTime::MIN);
        assert_eq!(serde_json::to_string(&late).unwrap(), r#"{"days":["mon"],"from":"18:00","to":"00:00"}"#);
        for wrong in ["9:00", "09:60", "24:00", "09", "09:00:60", "09:00:00.5", "+9:00", "", "09:00 "] {
            let json = format!(r#"{{"days":["mon"],"from":"{wrong}","to":"17:00"}}"#);
            let error = serde_json::from_str::<Hours>(&json).unwrap_err().to_string();
            let words = format!("\"{wrong}\" is not a time of day, such as 09:00");
            assert!(error.contains(&words), "{error}");
        }
        for wrong in [r#""to":"24:01""#, r#""to":"17:00","form":"09:00""#] {
            let json = format!(r#"{{"days":["mon"],"from":"09:00",{wrong}}}"#);
            assert!(serde_json::from_str::<Hours>(&json).is_err(), "{json}");
        }
    }

    #[test]
    fn hours_without_a_day_are_a_mistake() {
        let none = hours(r#"{"days":[],"from":"09:00","to":"17:00"}"#);
        assert_eq!(none.mistakes(), ["the hours 09:00 to 17:00 are on no day of the week"]);
        assert!(!none.covers(Zone::UTC, utc("2026-11-23T10:00:00Z")));
        assert_eq!(hours(r#"{"days":["mon"],"from":"09:00","to":"17:00"}"#).mistakes(), [""; 0]);
    }

    #[test]
    fn a_day_a_night_a_whole_day_and_a_missing_day() {
        // The 23rd of November 2026 is a Monday.
        let day = hours(r#"{"days":["mon"],"from":"09:00","to":"17:00"}"#);
        let night = hours(r#"{"days":["mon"],"from":"22:00","to":"06:00"}"#);
        let whole = hours(r#"{"days":["mon"],"from":"00:00","to":"24:00"}"#);
        for (hours, at, covered) in [
            (&day, "2026-11-23T08:59:59Z", false),
            (&day, "2026-11-23T09:00:00Z", true),
            (&day, "2026-11-23T16:59:59Z", true),
            (&day, "2026-11-23T17:00:00Z", false),
            (&day, "2026-11-24T10:00:00Z", false),
            (&night, "2026-11-23T05:00:00Z", false),
            (&night, "2026-11-23T22:00:00Z", true),
            (&night, "2026-11-24T05:59:59Z", true),
            (&night, "2026-11-24T06:00:00Z", false),
            (&whole, "2026-11-22T23:59:59Z", false),
            (&whole, "2026-11-23T00:00:00Z", true),
            (&whole, "2026-11-23T23:59:59Z", true),
            (&whole, "2026-11-24T00:00:00Z", false),
        ] {
            assert_eq!(hours.covers(Zone::UTC, utc(at)), covered, "{hours} at {at}");
        }
        let edges = |hours: &Hours| hours.edges(Zone::UTC, utc("2026-11-22T22:00:00Z"), utc("2026-11-30T22:00:00Z"));
        assert_eq!(edges(&night), ["2026-11-23T22:00:00Z", "2026-11-24T06:00:00Z", "2026-11-30T22:00:00Z"].map(utc));
        let start = utc("2026-11-23T09:00:00Z");
        assert_eq!(day.edges(Zone::UTC, start, start + TimeDelta::days(1)), [utc("2026-11-23T17:00:00Z")]);

        // A Friday that Samoa did not have, and the Thursday night that lost its morning.
        let apia = zone("Pacific/Apia");
        let friday = hours(r#"{"days":["fri"],"from":"09:00","to":"17:00"}"#);
        let thursday_night = hours(r#"{"days":["thu"],"from":"22:00","to":"06:00"}"#);
        let jump = utc("2011-12-30T10:00:00Z");
        for minute in -600..600 {
            let at = jump + TimeDelta::minutes(minute);
            assert!(!friday.covers(apia, at), "{at}");
            assert_eq!(thursday_night.covers(apia, at), (-120..0).contains(&minute), "{at}");
        }
    }

    fn some_hours() -> impl Strategy<Value = Hours> {
        let day = prop_oneof![
            Just(Day::Mon),
            Just(Day::Tue),
            Just(Day::Wed),
            Just(Day::Thu),
            Just(Day::Fri),
            Just(Day::Sat),
            Just(Day::Sun)
        ];
        let time = || (0..96u32).prop_map(|quarter| NaiveTime::from_hms_opt(quarter / 4, quarter % 4 * 15, 0).unwrap());
        (prop::collection::vec(day, 0..7), time(), time()).prop_map(|(days, from, to)| Hours { days, from, to })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_later_local_time_never_happens_earlier(
            tz in prop::sample::select(&TZ_VARIANTS[..]), start in -2_000_000_000i64..4_000_000_000, steps in prop::collection::vec(0i64..9000, 1..60),
        ) {
            let (zone, mut seconds) = (Zone(tz), start);
            let mut before = DateTime::<Utc>::MIN_UTC;
            for step in steps {
                seconds += step;
                let wanted = DateTime::from_timestamp(seconds, 0).unwrap().naive_utc();
                let at = zone.instant(wanted);
                prop_assert!(at >= before, "{} {}", zone, wanted);
                prop_assert!(zone.local(at) >= wanted);
                prop_assert!(zone.local(at - TimeDelta::nanoseconds(1)) < wanted);
                before = at;
            }
        }

        /// A porter who looks at the clock on the wall every quarter of an hour: hours have begun
        /// once it has shown their start, and are over once it has shown their end.
        #[test]
        fn the_porter_says_the_same(
            hours in some_hours(),
            (name, shift) in prop::sample::select(vec![
                ("Europe/Rome", "2026-03-29T01:00:00Z"), ("Europe/Rome", "2026-10-25T01:00:00Z"),
                ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"), ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
                ("Pacific/Apia", "2011-12-30T10:00:00Z"), ("America/Juneau", "1867-10-19T08:57:41Z"),
                ("America/Havana", "2026-11-01T05:00:00Z"), ("Asia/Kolkata", "2026-11-01T05:00:00Z"),
            ]),
        ) {
            let (zone, shift) = (zone(name), utc(shift));
            let (from, until) = (shift - TimeDelta::days(4), shift + TimeDelta::days(4));
            let (mut latest, mut was_covered, mut edges) = (NaiveDateTime::MIN, None, vec![]);
            for quarter in -96..768 {
                let at = from + TimeDelta::minutes(15 * quarter);
                latest = latest.max(zone.local(at));
                let covered = [latest.date(), latest.date().pred_opt().unwrap()].into_iter().any(|date| {
                    let nights = i64::from(hours.to <= hours.from);
                    let (start, end) = (date.and_time(hours.from), date.and_time(hours.to) + TimeDelta::days(nights));
                    hours.days.contains(&date.weekday().into()) && start <= latest && latest < end
                });
                if at < from {
                    continue;
                }
                prop_assert_eq!(hours.covers(zone, at), covered, "{}", at);
                if was_covered.is_some_and(|was| was != covered) {
                    edges.push(at);
                }
                was_covered = Some(covered);
            }
            let said = hours.edges(zone, from, until);
            prop_assert!(said.is_sorted_by(|a, b| a < b) && said.iter().all(|at| from < *at && *at <= until));
            // The porter sees an edge when he next looks, and none of those that change nothing.
            for edge in edges {
                let seen = |at: &&DateTime<Utc>| **at <= edge && edge - **at < TimeDelta::minutes(15);
                prop_assert!(said.iter().any(|at| seen(&at)), "{} is missing", edge);
            }
        }
    }
}
