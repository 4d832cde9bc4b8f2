//! What a callback says: where the call, or its incident, stands now.

use serde::Serialize;
use uuid::Uuid;

use crate::{
    id::IncidentId,
    store::{Fact, Happened},
};

/// A callback as it is sent.
#[derive(Serialize)]
struct Callback<'a> {
    /// The event's.
    id: Uuid,
    sequence: i64,
    at: String,
    kind: &'a str,
    incident: Uuid,
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<Uuid>,
    /// Where the call stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    /// Where the incident stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    incident_status: Option<&'static str>,
    text: String,
}

/// What is sent about `incident`; `None` if what happened is no change of status.
pub(super) fn body(happened: &Happened, incident: IncidentId) -> Option<String> {
    let fact = happened.fact()?;
    let (status, incident_status) = (call_status(&fact), incident_status(&fact));
    if status.is_none() && incident_status.is_none() {
        return None;
    }
    let callback = Callback {
        id: happened.id.0,
        sequence: happened.sequence,
        at: happened.at.to_rfc3339(),
        kind: &happened.kind,
        incident: incident.0,
        call_id: happened.call.map(|call| call.0),
        status,
        incident_status,
        text: fact.sentence(),
    };
    serde_json::to_string(&callback).ok()
}

/// The contact center's eight statuses: what was rejected or canceled is failed there.
fn call_status(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::CallQueued { .. } | Fact::CallJoined { .. } => Some("pending"),
        Fact::Dialing { .. } => Some("dialing"),
        Fact::Ringing { .. } => Some("ringing"),
        Fact::Answered { .. } => Some("answered"),
        Fact::CallEnded { status, .. } => Some(match status.as_str() {
            "completed" => "completed",
            "busy" => "busy",
            "no_answer" => "no_answer",
            _ => "failed",
        }),
        _ => None,
    }
}

fn incident_status(fact: &Fact) -> Option<&'static str> {
    match fact {
        Fact::Scheduled { .. } | Fact::Rescheduled { .. } => Some("scheduled"),
        Fact::Held { .. } | Fact::HeldNoPolicy => Some("held"),
        Fact::NoLongerHeld | Fact::Escalated { .. } | Fact::PagesAgain { .. } => Some("escalating"),
        Fact::Acknowledged { .. } => Some("acknowledged"),
        Fact::Resolved { .. } => Some("resolved"),
        Fact::Exhausted => Some("exhausted"),
        Fact::Expired { .. } => Some("expired"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_has_one_of_eight_statuses() {
        let ended = |status: &str| Fact::CallEnded {
            to: "Ann".into(),
            status: status.into(),
            disposition: String::new(),
            cause: 0,
            cause_text: String::new(),
            sip_status: None,
            heard_ms: 0,
            heard: false,
            digits: String::new(),
            failure: None,
        };
        for (status, told) in [
            ("completed", "completed"),
            ("busy", "busy"),
            ("no_answer", "no_answer"),
            ("rejected", "failed"),
            ("failed", "failed"),
            ("canceled", "failed"),
        ] {
            assert_eq!(call_status(&ended(status)), Some(told));
        }
        assert_eq!(call_status(&Fact::Digit { digit: '4' }), None);
        assert_eq!(incident_status(&Fact::Digit { digit: '4' }), None);
    }
}
