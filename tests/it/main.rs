//! ringdown's stories: one file each.

mod databases;
mod engine;
mod records;
mod scene;
mod store;
