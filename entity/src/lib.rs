//! ringdown's tables, one file each, columns only. What they mean is said where they are made, in
//! the `migration` package; what is done with them, in the server's `store` module.

pub mod call;
pub mod call_incident;
pub mod contact;
pub mod contact_number;
pub mod event;
pub mod incident;
pub mod incident_member;
pub mod policy;
pub mod setting;
