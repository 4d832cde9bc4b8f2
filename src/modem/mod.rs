//! x
pub mod pdu;
