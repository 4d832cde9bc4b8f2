//! ringdown's stories, one file per theme: the whole of it beside a real PBX, with telephones that
//! ring, listen and press keys; and what needs no telephone, on real databases.

mod access;
mod address_book;
mod audit;
mod chaos;
mod cli;
mod compat;
mod contacts;
mod databases;
mod engine;
mod events;
mod faults;
mod gates;
mod generated;
mod groups;
mod harness;
mod http;
mod idempotency;
mod keys;
mod limits;
mod logins;
mod outcomes;
mod people;
mod quiet;
mod records;
mod scene;
mod scheduled;
mod schedules;
mod simulation;
mod slow_peers;
mod store;
mod traces;
mod watch;
mod webhooks;
