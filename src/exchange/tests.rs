//! Files in and out: what is written is read back, what is bad is named, and nothing gets out of its place.

mod calendars;
mod cards;
mod contacts;
mod tables;

use chrono::{DateTime, NaiveDateTime, Utc};

use super::{LocalOrInstant, csv::BadRow};

fn local(text: &str) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").expect("a local time")
}

fn utc(text: &str) -> DateTime<Utc> {
    local(text).and_utc()
}

fn at(text: &str) -> LocalOrInstant {
    LocalOrInstant::Local(local(text))
}

fn bad(line: u64, column: Option<&str>) -> impl Fn(&BadRow) -> bool {
    move |bad| bad.line == line && bad.column.as_deref() == column
}
