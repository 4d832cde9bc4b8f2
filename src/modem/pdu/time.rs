//! Times: time stamps with their zone (3GPP TS 23.040, 9.2.3.11) and how long a message is worth sending (9.2.3.12).

use chrono::{DateTime, Datelike, FixedOffset, NaiveDate, Offset, TimeDelta, TimeZone, Timelike};

const QUARTER: i32 = 15 * 60;
/// Two-digit years from here on are of the last century: there was no message before.
const FIRST_YEAR: i32 = 90;

/// How long the service centre keeps trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// TP-VP in relative form; [`Validity::at_most`] makes it, [`Validity::length`] tells what it is.
    Relative(u8),
    /// Until then. To the second, in a zone of whole quarter hours.
    Absolute(DateTime<FixedOffset>),
    /// The enhanced form, as it stands there. We never write it.
    Enhanced([u8; 7]),
}

impl Validity {
    /// The longest relative one that is no longer than this. The shortest there is are five minutes.
    #[must_use]
    pub fn at_most(length: TimeDelta) -> Self {
        // They grow with the octet.
        let fits = (0..=u8::MAX).rev().find(|octet| relative(*octet) <= length);
        Self::Relative(fits.unwrap_or(0))
    }

    /// How long a relative one is.
    #[must_use]
    pub fn length(self) -> Option<TimeDelta> {
        match self {
            Self::Relative(octet) => Some(relative(octet)),
            Self::Absolute(_) | Self::Enhanced(_) => None,
        }
    }
}

/// 9.2.3.12.1: five minutes to twelve hours, half hours to a day, days to thirty, weeks to 63.
fn relative(octet: u8) -> TimeDelta {
    let octet = i64::from(octet);
    match octet {
        0..=143 => TimeDelta::minutes((octet + 1) * 5),
        144..=167 => TimeDelta::minutes(12 * 60 + (octet - 143) * 30),
        168..=196 => TimeDelta::days(octet - 166),
        _ => TimeDelta::weeks(octet - 192),
    }
}

/// Seven octets of swapped digits. The instant is kept; the zone goes to the quarter hour below.
pub(super) fn write_stamp(at: DateTime<FixedOffset>, to: &mut Vec<u8>) {
    // A time stamp says at most 79 quarters; no place on Earth is further off than 56.
    let quarters = at.offset().fix().local_minus_utc().div_euclid(QUARTER).clamp(-79, 79);
    let zone = FixedOffset::east_opt(quarters * QUARTER);
    let local = zone.map_or(at, |zone| at.with_timezone(&zone));
    let year = local.year().rem_euclid(100).unsigned_abs();
    for number in [year, local.month(), local.day(), local.hour(), local.minute(), local.second()] {
        to.push(swapped(number));
    }
    let sign = if quarters < 0 { 0x08 } else { 0 };
    to.push(swapped(quarters.unsigned_abs()) | sign);
}

/// The reverse; `None` if it is no time.
pub(super) fn read_stamp(octets: [u8; 7]) -> Option<DateTime<FixedOffset>> {
    let [year, month, day, hour, minute, second, zone] = octets;
    let year = i32::from(number(year)?);
    let year = if year < FIRST_YEAR { 2000 + year } else { 1900 + year };
    let local = NaiveDate::from_ymd_opt(year, number(month)?.into(), number(day)?.into())?.and_hms_opt(
        number(hour)?.into(),
        number(minute)?.into(),
        number(second)?.into(),
    )?;
    let quarters = i32::from(number(zone & !0x08)?) * if zone & 0x08 == 0 { 1 } else { -1 };
    FixedOffset::east_opt(quarters * QUARTER)?.from_local_datetime(&local).single()
}

/// Two digits, the tens in the lower half.
fn swapped(number: u32) -> u8 {
    u8::try_from(((number % 10) << 4) | (number / 10 % 10)).unwrap_or(0)
}

fn number(octet: u8) -> Option<u8> {
    let (tens, ones) = (octet & 0xf, octet >> 4);
    (tens < 10 && ones < 10).then_some(tens * 10 + ones)
}
