//! One table of hard inputs, for our own AGI and AMI and for other people's crates. Ours must pass every row; what
//! the others make of it is printed (`cargo test -p conformance -- --nocapture`), never asserted.

mod agi;
mod ami;
mod corpus;
mod table;
