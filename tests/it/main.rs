//! ringdown's stories: one file each.

mod cli;
mod databases;
mod engine;
mod http;
mod records;
mod scene;
mod store;
