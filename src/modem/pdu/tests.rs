//! Vectors from outside, every boundary, and properties over anything at all.

mod alphabet;
mod assembly;
mod boundaries;
mod messages;
mod properties;
