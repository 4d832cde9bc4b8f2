//! What must hold whatever comes over a wire: as properties of any bytes ([`properties`]), and, in `tests/`, as one
//! table of hard inputs for our own modules and for other people's crates.

pub mod properties;
