//! The real parts that ringdown works with, started for the tests and the demo: an Asterisk as the
//! PBX, a second one as the telephone network with its telephones, PostgreSQL, Alertmanager, and
//! ringdown itself as a process of its own.
//!
//! Nothing here but [`modem`] and [`twilio`] is a stand-in: a call is a call over SIP and RTP on loopback, what a phone heard is a
//! recording, and a key is a DTMF key. Knows how to start, watch and stop the parts; what is
//! expected of them is the tests' affair.
//!
//! - [`parts`]: where the programs are. [`slot`]: ports and a directory that nobody else uses.
//!   [`process`]: children that never outlive us. [`proxy`]: a wire that can be cut. [`wait`]: how anything is
//!   waited for.
//! - [`asterisk`]: the PBX and the network. [`phone`]: the telephones. [`tap`]: everything a PBX says.
//! - [`sound`], [`voice`]: the proof of what a phone heard.
//! - [`settings`], [`server`], [`api`]: ringdown.
//! - [`modem`]: a GSM modem, simulated on a pseudo terminal. [`twilio`]: Twilio's API for messages, on loopback, by
//!   [`http`].
//! - [`postgres`], [`alertmanager`]. [`load`]: what the benchmarks ask with.

pub mod alertmanager;
pub mod api;
pub mod asterisk;
pub mod http;
pub mod load;
pub mod modem;
pub mod parts;
pub mod phone;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod secret;
pub mod server;
pub mod settings;
pub mod slot;
pub mod sound;
pub mod tap;
pub mod twilio;
pub mod voice;
pub mod wait;
