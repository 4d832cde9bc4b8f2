//! stories

mod faults;
mod groups;
mod harness;
mod keys;
mod outcomes;
