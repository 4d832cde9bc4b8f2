//! What happens to calls on their way: they ring, are answered, speak, are heard, end. Each step is idempotent and
//! never goes back: events come in any order, and from more than one source.
//!
//! Many calls take their steps at the same moment; those of a kind share a statement, and all of them a commit.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use entity::{call, call_incident};
use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, ExprTrait, Query},
};
use uuid::Uuid;

use super::{
    Call, CallStatus, End, of_call,
    progress::{Ending, end_all},
    set_statuses,
};
use crate::{
    id::{CallId, IncidentId},
    phone::PhoneNumber,
    store::{
        Entry, Error, Fact, Said, Store, timeline,
        writer::{Tx, Writer},
    },
};

/// A step of a call.
#[derive(Clone, Debug)]
pub(in crate::store) struct Step {
    call: CallId,
    at: DateTime<Utc>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Rings { to: String },
    Answered { to: String },
    Speaking { incident: IncidentId, to: String },
    Said { incident: IncidentId, said: Said },
    Heard { ms: i64, whole: bool },
    Over { end: End, next: Option<(PhoneNumber, u32)> },
}

impl Store {
    /// The far end rings. Nothing if that is known, or the call is further on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn call_rings(&self, call: &Call, now: DateTime<Utc>) -> Result<(), Error> {
        self.step(call.id, now, What::Rings { to: call.to.clone() }).await.map(drop)
    }

    /// The far end answered. Nothing if that is known. The AGI session and the AMI event both say
    /// so, in either order.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn call_answered(&self, call: &Call, now: DateTime<Utc>) -> Result<(), Error> {
        self.step(call.id, now, What::Answered { to: call.to.clone() }).await.map(drop)
    }

    /// The callee hears this incident from now on.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn speaking(&self, call: &Call, incident: IncidentId, now: DateTime<Utc>) -> Result<(), Error> {
        self.step(call.id, now, What::Speaking { incident, to: call.to.clone() }).await.map(drop)
    }

    /// What became of an incident in a call.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn said(&self, call: CallId, incident: IncidentId, said: Said) -> Result<(), Error> {
        self.step(call, DateTime::default(), What::Said { incident, said }).await.map(drop)
    }

    /// So much more was played; `whole` if the alert was heard to its end.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn heard(&self, call: CallId, ms: i64, whole: bool) -> Result<(), Error> {
        self.step(call, DateTime::default(), What::Heard { ms, whole }).await.map(drop)
    }

    /// The call is over. `next` is dialled in its stead, in the same attempt, about what it carried
    /// and still escalates. Returns false, and changes nothing, if its end is known already.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn end_call(
        &self,
        id: CallId,
        end: End,
        next: Option<(PhoneNumber, u32)>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        self.step(id, now, What::Over { end, next }).await
    }

    async fn step(&self, call: CallId, at: DateTime<Utc>, what: What) -> Result<bool, Error> {
        self.steps.ask(Step { call, at, what }).await
    }
}

/// Takes steps with one commit. Says of each whether it changed anything, as far as that is asked.
pub(in crate::store) fn take(writer: &Writer, steps: Vec<Step>) -> BoxFuture<'static, Result<Vec<bool>, Error>> {
    let writer = writer.clone();
    async move { writer.write(move |tx| Box::pin(async move { all(tx, steps).await })).await }.boxed()
}

/// In the order in which a call takes them. Two steps of one call are there at once only if nobody waits for the first.
async fn all(tx: &Tx, steps: Vec<Step>) -> Result<Vec<bool>, Error> {
    let mut results = vec![true; steps.len()];
    let (mut rings, mut answered) = (Vec::new(), Vec::new());
    let (mut said, mut heard, mut over) = (Vec::new(), Heard::default(), Vec::new());
    let mut speaking = Vec::new();
    for (place, Step { call, at, what }) in steps.into_iter().enumerate() {
        match what {
            What::Rings { to } => rings.push((call, at, Fact::Ringing { to })),
            What::Answered { to } => answered.push((call, at, Fact::Answered { to })),
            What::Speaking { incident, to } => {
                said.push((call, incident, Said::Speaking));
                let (incident, fact) = (Some(incident), Fact::Speaking { to });
                speaking.push(Entry { incident, call: Some(call), message: None, at, fact });
            }
            What::Said { incident, said: what } => said.push((call, incident, what)),
            What::Heard { ms, whole } => heard.add(call, ms, whole),
            What::Over { end, next } => over.push((place, Ending { call, end, next, at })),
        }
    }
    goes_on(tx, rings, CallStatus::Ringing, &[CallStatus::Dialing]).await?;
    goes_on(tx, answered, CallStatus::Answered, &[CallStatus::Dialing, CallStatus::Ringing]).await?;
    set_said(tx, said).await?;
    timeline::write(tx, speaking).await?;
    heard.write(tx).await?;
    let (places, endings): (Vec<usize>, Vec<Ending>) = over.into_iter().unzip();
    if !endings.is_empty() {
        for (place, ended) in places.into_iter().zip(end_all(tx, endings).await?) {
            results[place] = ended;
        }
    }
    Ok(results)
}

/// Calls come from one of `from` to `status`.
async fn goes_on(
    tx: &Tx,
    calls: Vec<(CallId, DateTime<Utc>, Fact)>,
    status: CallStatus,
    from: &[CallStatus],
) -> Result<(), Error> {
    // They are some milliseconds apart, and the timeline has the instant of each.
    let Some(at) = calls.iter().map(|(_, at, _)| *at).max() else { return Ok(()) };
    let mut update = call::ActiveModel { status: Set(status.as_str().into()), ..Default::default() };
    match status {
        CallStatus::Ringing => update.ringing_at = Set(Some(at)),
        _ => update.answered_at = Set(Some(at)),
    }
    let ids = calls.iter().map(|(call, ..)| call.0).collect();
    let mut changed = set_statuses(tx, ids, update, from).await?;
    // Each once, also if both sources have told it in one breath.
    let told = calls.into_iter().filter(|(call, ..)| changed.remove(&call.0));
    timeline::write(tx, told.map(|(call, at, fact)| of_call(call, at, fact)).collect()).await
}

/// Notes what became of incidents in calls; of two about one the last counts.
async fn set_said(tx: &Tx, said: Vec<(CallId, IncidentId, Said)>) -> Result<(), Error> {
    let last: HashMap<(Uuid, Uuid), Said> =
        said.into_iter().map(|(call, incident, said)| ((call.0, incident.0), said)).collect();
    let mut alike: BTreeMap<&'static str, Vec<(Uuid, Uuid)>> = BTreeMap::new();
    for (pair, said) in last {
        alike.entry(said.as_str()).or_default().push(pair);
    }
    for (said, pairs) in alike {
        let of_these =
            Expr::tuple([Expr::col(call_incident::Column::CallId), Expr::col(call_incident::Column::IncidentId)]);
        let update = Query::update()
            .table(call_incident::Entity)
            .value(call_incident::Column::Said, said)
            .and_where(of_these.in_tuples(pairs))
            .to_owned();
        tx.execute(&update).await?;
    }
    Ok(())
}

/// How much more was played in calls, and in which the alert was heard to its end.
#[derive(Default)]
struct Heard {
    ms: BTreeMap<Uuid, i64>,
    whole: Vec<Uuid>,
}

impl Heard {
    fn add(&mut self, call: CallId, ms: i64, whole: bool) {
        if ms > 0 {
            let sum = self.ms.entry(call.0).or_default();
            *sum = sum.saturating_add(ms);
        }
        self.whole.extend(whole.then_some(call.0));
    }

    async fn write(self, tx: &Tx) -> Result<(), Error> {
        if !self.ms.is_empty() {
            let id = || Expr::col(call::Column::Id);
            let more = self.ms.iter().fold(CaseStatement::new(), |case, (call, ms)| case.case(id().eq(*call), *ms));
            call::Entity::update_many()
                .col_expr(call::Column::HeardMs, Expr::col(call::Column::HeardMs).add(more.finally(0_i64)))
                .filter(call::Column::Id.is_in(self.ms.into_keys()))
                .exec(tx)
                .await?;
        }
        if !self.whole.is_empty() {
            call::Entity::update_many()
                .col_expr(call::Column::Heard, Expr::val(true))
                .filter(call::Column::Id.is_in(self.whole))
                .exec(tx)
                .await?;
        }
        Ok(())
    }
}
