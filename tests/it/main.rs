//! Stories: the whole of ringdown beside a real PBX, with telephones that ring, listen and press keys.
//! One file a story, or a few that belong together. `make test` runs them; what they stand on is
//! the crate `lab`.

mod harness;

mod acknowledge;
