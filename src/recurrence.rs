//! WHAT COMES AGAIN: recurrence rules (RFC 5545), bounded. Pure.
