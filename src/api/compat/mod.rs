//! The routes of the systems that ringdown takes the place of: py-phone-caller's and the contact center's.
//!
//! Under their own paths, all on one port, each a thin layer over what ringdown does anyway. Whoever moves
//! over changes host, port and key. Beside `Authorization` these routes, and no others, take an API key in
//! the query (`?key=`) or in the path (`/k/KEY/call_only`): a webhook's URL is often all that can be set.

mod audio;
mod center;
mod contacts;
mod fields;
mod key;
mod phone;
mod register;
mod root;
mod webhook;

use chrono::TimeDelta;
use poem_openapi::Object;

pub(super) use audio::Audio;
pub use center::LONGEST_RINGING;
pub(super) use center::{Center, placing};
pub(super) use contacts::CompatContacts;
pub(super) use key::take as take_key;
pub(super) use phone::Phone;
pub(super) use register::Register;
pub(super) use root::Root;
pub(super) use webhook::Webhooks;

use super::{auth::Caller, auth::Whose, country, error::Problem};
use crate::{config::Config, escalation::Connect, wallclock::Zone};

/// What these routes go by.
#[derive(Clone, Debug, Default)]
pub struct Compat {
    /// Where local times hold.
    zone: Zone,
    /// From the text to the call on `/sms_before_call`.
    sms_wait: TimeDelta,
    /// Numbers that a single call may ask to be shown.
    caller_ids: Vec<String>,
    /// Where in the dialplan a single call may ask to land.
    connect: Vec<Connect>,
}

impl Compat {
    /// As it is configured.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let named = config.compat.time_zone.as_deref().and_then(|zone| zone.parse().ok());
        let asterisk = config.asterisk.as_ref();
        Self {
            zone: named.unwrap_or_else(|| country::zone(config.plan.country())),
            sms_wait: TimeDelta::seconds(config.compat.sms_wait.into()),
            caller_ids: asterisk.map(|asterisk| asterisk.caller_ids.clone()).unwrap_or_default(),
            connect: asterisk.map(|asterisk| asterisk.connect.clone()).unwrap_or_default(),
        }
    }
}

/// The policy of alerts that come in on these routes.
const POLICY: &str = "compat";

/// It is done.
#[derive(Debug, Object)]
#[oai(rename = "CompatStatus")]
struct Status {
    /// 200.
    status: u16,
}

const DONE: Status = Status { status: 200 };

/// The paths of these routes, but for those of the contact center.
const PATHS: [&str; 26] = [
    "/call_only",
    "/sms_only",
    "/sms_before_call",
    "/call_and_sms",
    "/place_call",
    "/call_to_queue",
    "/schedule_call",
    "/scheduled_call",
    "/send_sms",
    "/ack",
    "/heard",
    "/msg",
    "/play",
    "/register_call",
    "/calls",
    "/make_audio",
    "/is_audio_ready",
    "/contact_add",
    "/contact_modify",
    "/contact_delete",
    "/contact_on_call",
    "/contacts_export_csv",
    "/contacts_import_csv",
    "/api/v2/interaction",
    "/api/v2/status",
    "/health",
];

/// Whether a path is one of these routes.
fn is_ours(path: &str) -> bool {
    PATHS.iter().any(|ours| path.strip_prefix(ours).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Where alerts come in.
pub(super) fn is_intake(path: &str) -> bool {
    PATHS[..4].contains(&path)
}

/// Whether a file comes in.
pub(super) fn is_import(path: &str) -> bool {
    path == "/contacts_import_csv"
}

/// What a GET changes is changed by keys only: no page that somebody looks at may do it for them.
fn by_key(caller: &Caller) -> Result<(), Problem> {
    match caller.principal.identity {
        Whose::Configured | Whose::Key(..) => Ok(()),
        Whose::User(..) => Err(Problem::forbidden_detail("this GET changes something: it takes an API key only")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_these_routes_are_ours() {
        for path in ["/call_only", "/contact_modify/17", "/api/v2/interaction/+39333", "/api/v2/status/x"] {
            assert!(is_ours(path), "{path}");
        }
        for path in ["/", "/call_onlyx", "/api/v2/calls", "/api/v2/alerts", "/metrics", "/docs", "/x/call_only"] {
            assert!(!is_ours(path), "{path}");
        }
        assert!(is_intake("/call_and_sms") && !is_intake("/place_call"));
    }
}
