//! FILES IN AND OUT: CSV, iCalendar, vCard. Parses and writes; knows no database. Pure.
