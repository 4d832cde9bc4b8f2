//! WHEN IT COUNTS: business hours and holidays. Pure.
