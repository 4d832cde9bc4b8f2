//! FILES IN AND OUT: CSV, iCalendar, vCard. Parses and writes; knows no database. Pure.
//!
//! What stands in a file is handed on as it stands: whether a number can be dialled, a time zone exists
//! or a contact is known is for the caller to say. Each thing that cannot be read is named with its line,
//! and the good ones around it are kept.

pub mod contacts;
pub mod csv;
pub mod events;
pub mod ical;
mod lines;
mod time;
pub mod vcard;
pub mod windows;

#[cfg(test)]
mod tests;

pub use time::LocalOrInstant;
