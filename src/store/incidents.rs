//! Incidents: raise, advance, look up.

mod rows;

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use entity::incident;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use self::rows::{new_row, with_members, write_members};
pub(super) use self::rows::{read, read_each};

use super::{
    Entry, Error, NewCall, NewMessage, Page, Saying, Store,
    calls::{self, join::Wanted},
    messages, policies, sessions, timeline,
    writer::Tx,
};
use crate::{
    escalation::{self, Calls, Policy, State},
    id::{IncidentId, MessageId, PolicyId},
};

/// Rows in one statement: SQLite takes 32,766 values.
const ROWS: usize = 1000;

/// An incident as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Its identifier.
    pub id: IncidentId,
    /// What makes two alerts the same incident.
    pub dedup_key: String,
    /// The name of the policy it escalates by.
    pub policy_name: Option<String>,
    /// That policy, as it was when the incident was raised.
    pub policy: Option<Policy>,
    /// The policy's identifier and which version of it that is; a direct call has a policy of its own.
    pub policy_id: Option<(PolicyId, i64)>,
    /// Whose turn it was where people take turns.
    pub turn: u32,
    /// Whether silences and maintenance windows hold it.
    pub hushable: bool,
    /// Who sent it.
    pub source: String,
    /// What it is about.
    pub content: Content,
    /// Where it stands.
    pub state: State,
    /// When it must be looked at again.
    pub due_at: Option<DateTime<Utc>>,
    /// Counts its changes.
    pub version: i64,
    /// Where its trace stood when it was raised, as in the header `traceparent`, if it was traced.
    pub traceparent: Option<String>,
    /// When it was raised.
    pub raised_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What an incident is about. Grows and shrinks as alerts of its group come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// In one sentence; what is spoken.
    pub summary: String,
    /// Everything else there is to say.
    pub details: String,
    /// As the sender calls it.
    pub severity: String,
    /// What the sender attached.
    pub labels: BTreeMap<String, String>,
    /// How many alerts of the group the sender left out.
    pub truncated: u32,
    /// The alerts, by fingerprint.
    pub members: Vec<Member>,
}

/// An alert of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Alertmanager's name for the set of labels; empty for an alert that is no group.
    pub fingerprint: String,
    /// In one sentence.
    pub summary: String,
    /// As the sender calls it.
    pub severity: String,
    /// Whether it still holds.
    pub firing: bool,
    /// What the sender attached.
    pub labels: BTreeMap<String, String>,
}

/// An incident that does not exist yet.
#[derive(Clone, Debug)]
pub struct NewIncident {
    /// Its identifier.
    pub id: IncidentId,
    /// What makes two alerts the same incident.
    pub dedup_key: String,
    /// The name of its policy.
    pub policy_name: Option<String>,
    /// The policy.
    pub policy: Option<Policy>,
    /// Its identifier and version.
    pub policy_id: Option<(PolicyId, i64)>,
    /// Whose turn it is where people take turns.
    pub turn: i64,
    /// Whether silences and maintenance windows hold it.
    pub hushable: bool,
    /// Who sent it.
    pub source: String,
    /// Where its trace stands.
    pub traceparent: Option<String>,
}

/// What was decided, to be made true at once or not at all.
#[derive(Clone, Debug)]
pub struct Change {
    /// The new state.
    pub state: State,
    /// When it was decided.
    pub now: DateTime<Utc>,
    /// What the incident is about from now on, if that changed.
    pub content: Option<Content>,
    /// Calls to queue.
    pub calls: Vec<NewCall>,
    /// Texts to queue.
    pub messages: Vec<NewMessage>,
    /// Whether calls about it that nobody has answered yet are given up, and texts that wait.
    pub cancel_calls: bool,
    /// Where it was said, if it was, and what became of it there.
    pub said: Option<Saying>,
    /// What the timeline says about it.
    pub entries: Vec<Entry>,
}

/// A decision about one incident.
#[derive(Clone, Debug)]
pub enum Decision {
    /// A new one.
    Raise(Box<NewIncident>, Box<Change>),
    /// One that is at this version; nothing, if it is not.
    Advance(IncidentId, i64, Box<Change>),
    /// One that is at this version stays as it is, and this stands in its timeline.
    Note(IncidentId, i64, DateTime<Utc>, Vec<Entry>),
}

/// Which incidents a list is about.
#[derive(Clone, Debug, Default)]
pub struct IncidentFilter {
    /// Only in this state, by its name.
    pub state: Option<String>,
    /// Only of this policy.
    pub policy: Option<String>,
    /// Only with this key.
    pub dedup_key: Option<String>,
    /// Only older than this one: the page after it.
    pub before: Option<Uuid>,
}

/// The name of a state, as it stands in the table and in the API.
#[must_use]
pub fn state_name(state: &State) -> &'static str {
    match state {
        State::Held { .. } => "held",
        State::Escalating { .. } => "escalating",
        State::Acknowledged { .. } => "acknowledged",
        State::Resolved => "resolved",
        State::Exhausted { .. } => "exhausted",
        State::Scheduled { .. } => "scheduled",
        State::Expired => "expired",
    }
}

/// Whether something can still come of it.
fn is_open(state: &State) -> bool {
    !matches!(state, State::Resolved | State::Expired)
}

/// A policy's counter as an incident keeps it: who takes turns goes round anyway.
fn turn_number(turn: i64) -> i32 {
    i32::try_from(turn % i64::from(i32::MAX)).unwrap_or(0)
}

impl Incident {
    /// The name of its state.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        state_name(&self.state)
    }
}

impl Store {
    /// Stores a new incident and what is decided about it.
    ///
    /// # Errors
    /// [`Error::Conflict`] if one with the same key is open already.
    pub async fn raise(&self, new: NewIncident, change: Change) -> Result<(), Error> {
        self.one(Decision::Raise(Box::new(new), Box::new(change))).await
    }

    /// Makes a decision about an incident true, if it still is at `version`.
    ///
    /// # Errors
    /// [`Error::Conflict`] if it is not: read it again and decide again.
    pub async fn advance(&self, id: IncidentId, version: i64, change: Change) -> Result<(), Error> {
        self.one(Decision::Advance(id, version, Box::new(change))).await
    }

    async fn one(&self, decision: Decision) -> Result<(), Error> {
        self.carry_out(vec![decision]).await?.pop().unwrap_or(Ok(()))
    }

    /// Makes decisions about different incidents true, in as few statements as if they were one.
    /// [`Error::Conflict`] in the place of those that were too late: those alone were not.
    ///
    /// # Errors
    /// If none was made true: something was the matter with one of them, or with the database.
    pub async fn carry_out(&self, decisions: Vec<Decision>) -> Result<Vec<Result<(), Error>>, Error> {
        self.write(move |tx| Box::pin(carry_out(tx, decisions))).await
    }

    /// An incident by its identifier.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn incident(&self, id: IncidentId) -> Result<Option<Incident>, Error> {
        self.incidents.ask(id).await
    }

    /// Incidents by their identifiers; those that there are not are left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn incidents_by_id(&self, ids: &[IncidentId]) -> Result<Vec<Incident>, Error> {
        let of_these = incident::Column::Id.is_in(ids.iter().map(|id| id.0));
        with_members(&self.read, incident::Entity::find().filter(of_these).all(&self.read).await?).await
    }

    /// The open incident with this key.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn open_incident(&self, dedup_key: &str) -> Result<Option<Incident>, Error> {
        Ok(self.open_under(&[dedup_key]).await?.pop())
    }

    /// The open incidents with these keys.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn open_under(&self, dedup_keys: &[&str]) -> Result<Vec<Incident>, Error> {
        let of_keys = incident::Column::OpenKey.is_in(dedup_keys.iter().copied());
        let rows = incident::Entity::find().filter(of_keys).all(&self.read).await?;
        with_members(&self.read, rows).await
    }

    /// Incidents whose deadline has come, the most overdue first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn due_incidents(&self, now: DateTime<Utc>, limit: u64) -> Result<Vec<IncidentId>, Error> {
        let ids: Vec<Uuid> = incident::Entity::find()
            .select_only()
            .column(incident::Column::Id)
            .filter(incident::Column::DueAt.lte(now))
            .filter(waits_for_no_call())
            .order_by_asc(incident::Column::DueAt)
            .limit(limit)
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(ids.into_iter().map(IncidentId).collect())
    }

    /// Open incidents that silences and maintenance windows can hold, or hold.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn hushable_incidents(&self) -> Result<Vec<IncidentId>, Error> {
        let ids: Vec<Uuid> = incident::Entity::find()
            .select_only()
            .column(incident::Column::Id)
            .filter(incident::Column::State.is_in(["escalating", "held"]))
            .filter(incident::Column::Hushable.eq(true))
            .into_tuple()
            .all(&self.read)
            .await?;
        Ok(ids.into_iter().map(IncidentId).collect())
    }

    /// The nearest deadline after `now`. Whether it waits for a call then is seen when it has come.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_deadline(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Error> {
        let next = incident::Entity::find().select_only().column(incident::Column::DueAt);
        let next = next.filter(incident::Column::DueAt.gt(now)).order_by_asc(incident::Column::DueAt);
        let next: Option<Option<DateTime<Utc>>> = next.into_tuple().one(&self.read).await?;
        Ok(next.flatten())
    }

    /// The nearest deadline of all but those that wait for a call to end.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn next_due(&self) -> Result<Option<DateTime<Utc>>, Error> {
        let first: Option<DateTime<Utc>> = incident::Entity::find()
            .select_only()
            .column(incident::Column::DueAt)
            .filter(incident::Column::DueAt.is_not_null())
            .filter(waits_for_no_call())
            .order_by_asc(incident::Column::DueAt)
            .into_tuple()
            .one(&self.read)
            .await?;
        Ok(first)
    }

    /// What became of the calls of a round of each of these so far, and when the last of them ended. Those without
    /// any call are left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn calls_of_rounds(
        &self,
        stages: &HashMap<IncidentId, escalation::Stage>,
    ) -> Result<HashMap<IncidentId, (Calls, Option<DateTime<Utc>>)>, Error> {
        calls::of_rounds(&self.read, stages).await
    }

    /// A page of incidents, newest first. Their members are left out.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn incidents(&self, filter: IncidentFilter, limit: u64) -> Result<Page<Incident>, Error> {
        let mut query = incident::Entity::find();
        if let Some(state) = filter.state {
            query = query.filter(incident::Column::State.eq(state));
        }
        if let Some(policy) = filter.policy {
            query = query.filter(incident::Column::PolicyName.eq(policy));
        }
        if let Some(key) = filter.dedup_key {
            query = query.filter(incident::Column::DedupKey.eq(key));
        }
        if let Some(before) = filter.before {
            query = query.filter(incident::Column::Id.lt(before));
        }
        let rows = query.order_by_desc(incident::Column::Id).limit(limit + 1).all(&self.read).await?;
        let incidents = rows.into_iter().map(|row| read(row, Vec::new())).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(incidents, limit, |incident| incident.id.0))
    }
}

async fn carry_out(tx: &Tx, decisions: Vec<Decision>) -> Result<Vec<Result<(), Error>>, Error> {
    let mut results = Vec::with_capacity(decisions.len());
    let (mut raised, mut members, mut entries, mut wanted) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut give_up, mut said, mut texts) = (Vec::new(), Vec::new(), Vec::new());
    let unchanged = touch(tx, &decisions).await?;
    for decision in decisions {
        let (id, new, in_time, change) = match decision {
            Decision::Raise(new, change) => {
                let (in_time, id) = (take_turn(tx, &new).await?, new.id);
                if in_time {
                    raised.push(new_row(*new, &change)?);
                }
                (id, true, in_time, change)
            }
            Decision::Advance(id, version, change) => (id, false, update(tx, id, version, &change).await?, change),
            Decision::Note(id, .., told) => {
                let in_time = unchanged.contains(&id.0);
                results.push(if in_time { Ok(()) } else { Err(Error::Conflict) });
                entries.extend(told.into_iter().filter(|_| in_time));
                continue;
            }
        };
        results.push(if in_time { Ok(()) } else { Err(Error::Conflict) });
        if !in_time {
            continue;
        }
        let now = change.now;
        for member in change.content.map(|content| content.members).unwrap_or_default() {
            members.push((id, member, now));
        }
        entries.extend(change.entries);
        wanted.extend(change.calls.into_iter().map(|call| Wanted { incident: id, call, now, new }));
        texts.extend(change.messages.into_iter().map(|message| messages::queue::Wanted {
            id: MessageId::generate(),
            incident: Some(id),
            message,
            now,
        }));
        give_up.extend(change.cancel_calls.then_some((id, now)));
        said.extend(change.said.map(|saying| (saying, id, now)));
    }
    for rows in raised.chunks(ROWS) {
        incident::Entity::insert_many(rows.to_vec()).exec_without_returning(tx).await?;
    }
    write_members(tx, members).await?;
    for (saying, incident, now) in said {
        sessions::counted(tx, saying, incident, now).await?;
    }
    timeline::write(tx, entries).await?;
    for (incident, now) in give_up {
        calls::progress::give_up(tx, incident, now).await?;
        messages::queue::give_up(tx, incident, now).await?;
    }
    calls::join::queue(tx, wanted).await?;
    messages::queue::queue(tx, texts).await?;
    Ok(results)
}

/// That nothing lives which its deadline would wait for.
pub(super) fn waits_for_no_call() -> Condition {
    Condition::any().add(incident::Column::State.ne("escalating")).add(Expr::exists(calls::live_of_incident()).not())
}

/// Locks the rows of incidents that stay as they are, and says which are at the version that was decided on.
async fn touch(tx: &Tx, decisions: &[Decision]) -> Result<HashSet<Uuid>, Error> {
    let notes = decisions.iter().filter_map(|decision| match decision {
        Decision::Note(id, version, now, _) => Some((id.0, *version, *now)),
        Decision::Raise(..) | Decision::Advance(..) => None,
    });
    let notes: Vec<(Uuid, i64, DateTime<Utc>)> = notes.collect();
    let Some(now) = notes.iter().map(|(.., now)| *now).max() else { return Ok(HashSet::new()) };
    let of_these = Expr::tuple([Expr::col(incident::Column::Id), Expr::col(incident::Column::Version)])
        .in_tuples(notes.iter().map(|(id, version, _)| (*id, *version)));
    let touched = Query::update()
        .table(incident::Entity)
        .value(incident::Column::Version, Expr::col(incident::Column::Version).add(1))
        .value(incident::Column::UpdatedAt, now)
        .and_where(of_these)
        .returning_col(incident::Column::Id)
        .to_owned();
    let rows = tx.query_all(&touched).await?;
    rows.into_iter().map(|row| Ok(row.try_get("", "id")?)).collect()
}

/// Takes the turn of a policy in which people take turns. `false`, if somebody else has taken it.
async fn take_turn(tx: &Tx, new: &NewIncident) -> Result<bool, Error> {
    let takes_turn = new.policy.as_ref().is_some_and(Policy::takes_turns);
    match new.policy_id {
        Some((policy, _)) if takes_turn => policies::take_turn(tx, policy, new.turn).await,
        _ => Ok(true),
    }
}

/// Changes an incident's row if it is at `version`. The compare-and-set takes the row's lock and settles
/// every race.
async fn update(tx: &Tx, id: IncidentId, version: i64, change: &Change) -> Result<bool, Error> {
    let mut update = incident::ActiveModel {
        state: Set(state_name(&change.state).into()),
        state_document: Set(serde_json::to_value(&change.state)?),
        due_at: Set(escalation::due_at(&change.state)),
        version: Set(version + 1),
        updated_at: Set(change.now),
        ..Default::default()
    };
    if !is_open(&change.state) {
        update.open_key = Set(None);
    }
    if let Some(content) = &change.content {
        update.summary = Set(content.summary.clone());
        update.details = Set(content.details.clone());
        update.severity = Set(content.severity.clone());
        update.labels = Set(serde_json::to_value(&content.labels)?);
        update.truncated = Set(content.truncated.try_into().unwrap_or(i32::MAX));
    }
    let updated = incident::Entity::update_many()
        .set(update)
        .filter(incident::Column::Id.eq(id.0))
        .filter(incident::Column::Version.eq(version))
        .exec(tx)
        .await?;
    Ok(updated.rows_affected == 1)
}
