//! ringdown's tables, one file each, columns only. What they mean is said where they are made, in
//! the `migration` package; what is done with them, in the server's `store` module.

pub mod api_key;
pub mod audit;
pub mod calendar;
pub mod call;
pub mod call_incident;
pub mod callback;
pub mod channel_event;
pub mod contact;
pub mod contact_group;
pub mod contact_group_member;
pub mod contact_number;
pub mod contact_term;
pub mod delivery;
pub mod event;
pub mod event_counter;
pub mod feed;
pub mod heartbeat;
pub mod idempotency;
pub mod incident;
pub mod incident_member;
pub mod login;
pub mod node;
pub mod policy;
pub mod policy_version;
pub mod reminder;
pub mod schedule;
pub mod schedule_override;
pub mod schedule_window;
pub mod seed;
pub mod setting;
pub mod silence;
pub mod user_account;
pub mod webhook;
