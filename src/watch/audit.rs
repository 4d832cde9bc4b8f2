//! What is not as it should be, from what is known at one instant. Pure: no clock, no database.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};

use crate::{
    escalation::{self, State},
    id::CallId,
    store::{LiveCall, OpenIncident, state_name},
};

/// A deadline that came so long ago should have been taken up.
pub const LATE: TimeDelta = TimeDelta::seconds(30);
/// The engine looks at what is due once a second.
pub const ENGINE_SILENT: TimeDelta = TimeDelta::seconds(15);
/// The dialer looks at the calls twice a second, and may wait for the PBX in between.
pub const DIALER_SILENT: TimeDelta = TimeDelta::seconds(30);
/// A call whose channel the PBX has not known for so long: the end of one takes a few seconds to be written down.
pub const UNKNOWN: TimeDelta = TimeDelta::seconds(20);
/// `Originate` has so long to make a channel.
const COMES_ABOUT: TimeDelta = TimeDelta::seconds(10);
/// What the PBX said longer ago says nothing about now.
const STALE: TimeDelta = TimeDelta::seconds(60);
/// After the time that a phone rings the dialer hangs up by itself, twice.
const RINGS_ON: TimeDelta = TimeDelta::seconds(60);
/// The longest conversation, and some more.
const TALKS_ON: TimeDelta = TimeDelta::minutes(32);
/// The database of one kind keeps microseconds, the documents nanoseconds.
const SAME: TimeDelta = TimeDelta::seconds(1);
/// Identifiers that a finding names.
const NAMED: usize = 3;

/// What is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Check {
    /// The database tells what there is.
    Database,
    /// Every open incident's row can be read, and says the same in both of its forms.
    IncidentState,
    /// Every open incident has the deadline that its state has.
    IncidentDeadline,
    /// Nothing due is late.
    IncidentOverdue,
    /// Every call under way has a channel.
    CallUnknown,
    /// No call is under way for longer than a call can be.
    CallStuck,
    /// The engine looks at what is due.
    Engine,
    /// The dialer looks at the calls.
    Dialer,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Database,
        Self::IncidentState,
        Self::IncidentDeadline,
        Self::IncidentOverdue,
        Self::CallUnknown,
        Self::CallStuck,
        Self::Engine,
        Self::Dialer,
    ];

    /// Its name in figures and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::IncidentState => "incident_state",
            Self::IncidentDeadline => "incident_deadline",
            Self::IncidentOverdue => "incident_overdue",
            Self::CallUnknown => "call_unknown",
            Self::CallStuck => "call_stuck",
            Self::Engine => "engine",
            Self::Dialer => "dialer",
        }
    }
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which check found it.
    pub check: Check,
    /// How many there are of it.
    pub count: usize,
    /// What is the matter, in words. Names no number and no person.
    pub detail: String,
}

/// What is known at one instant.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Which instant.
    pub now: DateTime<Utc>,
    /// When the server began.
    pub began: DateTime<Utc>,
    /// What is open.
    pub incidents: &'a [OpenIncident],
    /// What is on the line.
    pub calls: &'a [LiveCall],
    /// Those whose channel the PBX has not known for [`UNKNOWN`].
    pub unknown: &'a [CallId],
    /// How long a phone rings.
    pub rings: TimeDelta,
    /// When the engine last looked.
    pub engine: Option<DateTime<Utc>>,
    /// When the dialer last looked, if there is a PBX.
    pub dialer: Option<Option<DateTime<Utc>>>,
}

/// Which calls the PBX knew when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roll {
    /// When it was asked.
    pub asked: DateTime<Utc>,
    /// What it named.
    pub calls: BTreeSet<CallId>,
}

/// Everything that is not as it should be.
#[must_use]
pub fn audit(facts: &Facts<'_>) -> Vec<Finding> {
    let now = facts.now;
    let mut findings = Vec::new();
    let mut found = |check, ids: Vec<String>, what: &str| {
        if !ids.is_empty() {
            findings.push(Finding { check, count: ids.len(), detail: told(&ids, what) });
        }
    };
    let incidents = |wrong: &dyn Fn(&OpenIncident) -> bool| -> Vec<String> {
        facts.incidents.iter().filter(|row| wrong(row)).map(|row| format!("incident {}", row.id)).collect()
    };
    found(Check::IncidentState, incidents(&has_no_clear_state), "cannot be read, or says two things about its state");
    found(
        Check::IncidentDeadline,
        incidents(&|row| !has_no_clear_state(row) && lost_its_deadline(row)),
        "has lost its deadline: nothing would happen to it any more, or at the wrong time",
    );
    found(
        Check::IncidentOverdue,
        incidents(&|row| !row.in_call && row.due_at.is_some_and(|due_at| now - due_at > LATE)),
        "is overdue: its deadline came more than 30 s ago and nothing was done",
    );
    let call = |id: &CallId| format!("call {id}");
    found(Check::CallUnknown, facts.unknown.iter().map(call).collect(), "is under way, and the PBX does not know it");
    let stuck = facts.calls.iter().filter(|call| is_stuck(call, facts.rings, now)).map(|row| call(&row.id)).collect();
    found(Check::CallStuck, stuck, "is under way for longer than a call can be");
    if is_silent(facts.engine, ENGINE_SILENT, facts.began, now) {
        let detail = "the engine has stopped looking at what is due".to_owned();
        findings.push(Finding { check: Check::Engine, count: 1, detail });
    }
    if facts.dialer.is_some_and(|looked| is_silent(looked, DIALER_SILENT, facts.began, now)) {
        let detail = "the dialer has stopped looking at the calls".to_owned();
        findings.push(Finding { check: Check::Dialer, count: 1, detail });
    }
    findings
}

/// Which calls the PBX has not known for [`UNKNOWN`]. `since` remembers from one look to the next.
pub fn unknown(
    calls: &[LiveCall],
    roll: Option<&Roll>,
    since: &mut HashMap<CallId, DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<CallId> {
    let Some(roll) = roll.filter(|roll| now - roll.asked < STALE) else {
        since.clear();
        return Vec::new();
    };
    let has_none = |call: &&LiveCall| {
        let came_about = call.dialed_at.is_none_or(|at| at + COMES_ABOUT < roll.asked);
        came_about && !roll.calls.contains(&call.id)
    };
    let missing: BTreeSet<CallId> = calls.iter().filter(has_none).map(|call| call.id).collect();
    // What is in the future was noted before the clock was set back: counted anew.
    since.retain(|id, at| missing.contains(id) && *at <= now);
    for id in &missing {
        since.entry(*id).or_insert(roll.asked);
    }
    missing.into_iter().filter(|id| since.get(id).is_some_and(|at| now - *at >= UNKNOWN)).collect()
}

fn has_no_clear_state(row: &OpenIncident) -> bool {
    row.state
        .as_ref()
        .is_none_or(|state| state_name(state) != row.name || matches!(state, State::Resolved | State::Expired))
}

fn lost_its_deadline(row: &OpenIncident) -> bool {
    match (row.state.as_ref().and_then(escalation::due_at), row.due_at) {
        (None, None) => false,
        (Some(state), Some(row)) => (state - row).abs() > SAME,
        _ => true,
    }
}

fn is_stuck(call: &LiveCall, rings: TimeDelta, now: DateTime<Utc>) -> bool {
    match (call.answered_at, call.dialed_at) {
        (Some(answered), _) => now - answered > TALKS_ON,
        (None, Some(dialed)) => now - dialed > rings + RINGS_ON,
        (None, None) => true,
    }
}

fn is_silent(looked: Option<DateTime<Utc>>, patience: TimeDelta, began: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - looked.unwrap_or(began) > patience
}

fn told(ids: &[String], what: &str) -> String {
    let named = ids.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().saturating_sub(NAMED) {
        0 => format!("{named}: {what}"),
        more => format!("{named} and {more} more: {what}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        escalation::{Held, Phase, Position, Stage},
        id::IncidentId,
    };

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
    }

    fn escalating(due: i64) -> OpenIncident {
        let position = Position { stage: Stage::default(), attempt: 1 };
        OpenIncident {
            id: IncidentId::generate(),
            name: "escalating".into(),
            due_at: Some(at(due)),
            state: Some(State::Escalating { at: position, due_at: at(due), phase: Phase::Reached }),
            in_call: false,
        }
    }

    fn held() -> OpenIncident {
        OpenIncident {
            id: IncidentId::generate(),
            name: "held".into(),
            due_at: None,
            state: Some(State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None }),
            in_call: false,
        }
    }

    fn dialed(second: i64) -> LiveCall {
        LiveCall { id: CallId::generate(), dialed_at: Some(at(second)), answered_at: None, node: None }
    }

    /// A quiet night, a hundred seconds after the start.
    fn facts<'a>(incidents: &'a [OpenIncident], calls: &'a [LiveCall]) -> Facts<'a> {
        Facts {
            now: at(100),
            began: at(0),
            incidents,
            calls,
            unknown: &[],
            rings: TimeDelta::seconds(30),
            engine: Some(at(99)),
            dialer: Some(Some(at(99))),
        }
    }

    fn checks(facts: &Facts<'_>) -> Vec<Check> {
        audit(facts).into_iter().map(|finding| finding.check).collect()
    }

    #[test]
    fn nothing_is_found_on_a_quiet_night() {
        let (incidents, calls) = ([escalating(110), escalating(71), held()], [dialed(50), dialed(11)]);
        assert_eq!(audit(&facts(&incidents, &calls)), []);
    }

    #[test]
    fn a_deadline_that_is_lost_wrong_or_late_is_found() {
        let lost = OpenIncident { due_at: None, ..escalating(110) };
        assert_eq!(checks(&facts(&[lost], &[])), [Check::IncidentDeadline]);
        let moved = OpenIncident { due_at: Some(at(7000)), ..escalating(110) };
        assert_eq!(checks(&facts(&[moved], &[])), [Check::IncidentDeadline]);
        let invented = OpenIncident { due_at: Some(at(110)), ..held() };
        assert_eq!(checks(&facts(&[invented], &[])), [Check::IncidentDeadline]);
        assert_eq!(checks(&facts(&[escalating(70)], &[])), [], "just in time");
        assert_eq!(checks(&facts(&[escalating(69)], &[])), [Check::IncidentOverdue]);
        let in_call = OpenIncident { in_call: true, ..escalating(69) };
        assert_eq!(checks(&facts(&[in_call], &[])), [], "it waits for the call's end");
    }

    #[test]
    fn a_row_that_says_two_things_or_nothing_is_found() {
        for broken in [
            OpenIncident { name: "held".into(), ..escalating(110) },
            OpenIncident { state: None, ..escalating(110) },
            OpenIncident { state: Some(State::Resolved), name: "resolved".into(), due_at: None, ..held() },
        ] {
            assert_eq!(checks(&facts(std::slice::from_ref(&broken), &[])), [Check::IncidentState], "{broken:?}");
        }
    }

    #[test]
    fn a_call_that_goes_on_for_too_long_is_found() {
        let never_left = LiveCall { dialed_at: None, ..dialed(0) };
        for call in [dialed(9), never_left] {
            let calls = [call];
            assert_eq!(checks(&facts(&[], &calls)), [Check::CallStuck], "{calls:?}");
        }
        let talks = LiveCall { answered_at: Some(at(20)), ..dialed(0) };
        let calls = [talks];
        assert_eq!(checks(&facts(&[], &calls)), []);
        let later = Facts { now: at(20 + 32 * 60 + 1), ..facts(&[], &[]) };
        let later = Facts { calls: &calls, engine: Some(later.now), dialer: None, ..later };
        assert_eq!(checks(&later), [Check::CallStuck]);
    }

    #[test]
    fn workers_that_are_silent_are_found_and_get_time_to_begin() {
        let quiet = facts(&[], &[]);
        assert_eq!(checks(&Facts { engine: Some(at(84)), ..quiet.clone() }), [Check::Engine]);
        assert_eq!(checks(&Facts { dialer: Some(Some(at(69))), ..quiet.clone() }), [Check::Dialer]);
        assert_eq!(checks(&Facts { dialer: None, ..quiet.clone() }), [], "there is no PBX");
        let young = Facts { began: at(90), engine: None, dialer: Some(None), ..quiet.clone() };
        assert_eq!(checks(&young), []);
        assert_eq!(checks(&Facts { began: at(0), ..young }), [Check::Engine, Check::Dialer]);
    }

    #[test]
    fn a_call_without_a_channel_is_found_after_a_while_and_not_at_once() {
        let (one, other, new) = (dialed(0), dialed(0), dialed(95));
        let calls = [one.clone(), other.clone(), new.clone()];
        let mut since = HashMap::new();
        let mut look = |second, known: &[CallId]| {
            let roll = Roll { asked: at(second), calls: known.iter().copied().collect() };
            unknown(&calls, Some(&roll), &mut since, at(second))
        };
        assert_eq!(look(100, &[other.id]), []);
        assert_eq!(look(119, &[other.id, new.id]), []);
        assert_eq!(look(120, &[other.id, new.id]), [one.id]);
        assert_eq!(look(130, &[one.id, other.id, new.id]), [], "it was there all the time");
        assert_eq!(look(740, &[other.id, new.id]), [], "counted anew");
        assert_eq!(look(140, &[other.id, new.id]), [], "the clock was set back: counted anew");
        assert_eq!(look(160, &[other.id, new.id]), [one.id]);
        assert_eq!(unknown(&calls, None, &mut since, at(200)), [], "nobody can say");
        assert!(since.is_empty());
    }

    #[test]
    fn a_finding_names_some_of_many() {
        let incidents: Vec<OpenIncident> = (0..5).map(|_| OpenIncident { due_at: None, ..escalating(110) }).collect();
        let findings = audit(&facts(&incidents, &[]));
        assert_eq!(findings[0].count, 5);
        assert!(findings[0].detail.contains(" and 2 more: has lost its deadline"), "{}", findings[0].detail);
        let check_names: BTreeSet<&str> = Check::ALL.iter().map(|check| check.as_str()).collect();
        assert_eq!(check_names.len(), Check::ALL.len());
    }
}
