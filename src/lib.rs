//! # ringdown: the life of a call
//!
//! An alert comes in, and ringdown sees to it that a human being knows: it has the PBX call people,
//! one after the other, until somebody presses a key that says "I have it".
//!
//! | # | step | where |
//! |---|---|---|
//! | 1 | An alert comes in. An open incident with the same key gains an event, else there is a new one. Stored before the 2xx. | [`api`] → [`engine::Engine::raise`] |
//! | 2 | What to do next is decided, purely. | [`escalation::trigger`], [`escalation::handle`] |
//! | 3 | The decision is made true: state, deadline, version, timeline and queued calls in one transaction; then the bus rings. | [`store::Store::advance`], [`bus`] |
//! | 4 | A call is claimed, its number checked, and `Originate` leaves with the call's id as `ChannelId`. Speech is rendered while the phone rings. | [`dialer`], [`route`], [`ami`], [`speech`] |
//! | 5 | Somebody answers: the dialplan (`asterisk/conf`) hands the channel to our FastAGI server. | [`agi`] → [`ivr`] |
//! | 6 | The alert is spoken, any key ends it. | [`script`], [`ivr`] |
//! | 7 | 4 acknowledges: decided and made true like everything else. Other calls about it are given up, and the callee hears that it worked. | [`ivr`] → [`engine::Engine::acknowledge`] → 2, 3 |
//! | 8 | The call ends; its disposition, hangup cause and SIP status are written down, whatever the order of the events. | [`dialer`] → [`store::Store::end_call`] |
//! | 9 | Nobody has answered: the deadline comes, and the next attempt, step or round begins. | [`engine::Engine::tick`] → 2 |
//!
//! What decides asks about the world: who is on duty ([`oncall`]), whether a calendar is open ([`calendar`]),
//! whether it is to stay quiet and which policy pages ([`triage`]). [`engine`] reads it before and hands it over,
//! so that a simulation of any instant ([`engine::Engine::simulate`]) asks the very same. Heartbeats that did not
//! come, reminders and scheduled calls enter at 1.
//!
//! Texts go the same way: decided at 2, queued at 3, claimed and sent by [`texter`] through a [`modem`], which hands
//! over what came in and what became of what was sent. What came in is read by [`answer`] and enters at 7, or at 1
//! where a rule says that it is an alert.
//!
//! Every line of a timeline is an event that others are told of: [`herald`] tells whoever listens to the
//! stream of events, [`notifier`] webhooks and the callbacks of calls, which leave by [`webhook`].
//!
//! Beside all of it [`watch`] looks every few seconds whether everything is as it should be. What it finds stands
//! in `/readyz`, in the figures ([`telemetry`] says which there are) and in the log, and keeps [`lifesign`] silent.
//!
//! # Invariants
//!
//! - Nothing but [`escalation`] decides who is called next.
//! - Nothing but [`store`] knows that there is a database; nothing but [`ami`], [`agi`], [`modem`], [`twilio`] and [`webhook`]
//!   knows a wire.
//! - Whatever must survive a restart is in a row; whatever is in memory may be lost at any moment.
//! - A wake-up carries no information: every worker looks at the state, and polls anyway.
//! - No transaction stays open across a network call.
//! - A person who has acknowledged is not called again about that incident while it stands acknowledged.
//! - Every call belongs to an incident. No call leaves without passing the destination rules.
//! - Time and randomness are arguments. `clippy.toml` bans the system's outside [`clock`] and [`id`].
//!
//! # Modules
//!
//! A module may use the rows above its own, never its own row (`tests/layers.rs` holds it):
//!
//! | row | modules | know nothing of |
//! |---|---|---|
//! | 0 | [`id`] [`clock`] [`phone`] [`pin`] [`wallclock`] [`telemetry`] [`failpoint`] | anything |
//! | 1 | [`access`] [`answer`] [`escalation`] [`oncall`] [`calendar`] [`triage`] [`recurrence`] [`route`] [`script`] [`exchange`] (pure) / [`ami`] [`agi`] [`modem`] [`twilio`] [`speech`] [`webhook`] | each other, the database, HTTP |
//! | 2 | [`config`] [`store`] [`bus`] | Asterisk, HTTP |
//! | 3 | [`engine`] [`watch`] [`herald`] | Asterisk, HTTP |
//! | 4 | [`dialer`] [`ivr`] [`texter`] [`notifier`] [`lifesign`] [`api`] | each other |
//! | 5 | [`app`] [`cli`] | nothing is barred |

pub mod access;
pub mod agi;
pub mod ami;
pub mod answer;
pub mod api;
pub mod app;
pub mod bus;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dialer;
pub mod engine;
pub mod escalation;
pub mod exchange;
pub mod failpoint;
pub mod herald;
pub mod id;
pub mod ivr;
pub mod lifesign;
pub mod modem;
pub mod notifier;
pub mod oncall;
pub mod phone;
pub mod pin;
pub mod recurrence;
pub mod route;
pub mod script;
pub mod speech;
pub mod store;
pub mod telemetry;
pub mod texter;
pub mod triage;
pub mod twilio;
pub mod wallclock;
pub mod watch;
pub mod webhook;
