//! ringdown's API, as progenitor makes it of openapi.json.

include!(concat!(env!("OUT_DIR"), "/client.rs"));
