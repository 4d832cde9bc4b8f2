//! Who is on call.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::ReadsSchedules,
    error::Problem,
    people::{Names, Person},
    times,
};
use crate::{
    id::{ContactId, ScheduleId},
    oncall,
    store::NamedDuty,
};

/// Who is on call.
pub struct OnCalls(pub State);

/// How far ahead the next change is looked for.
const AHEAD: TimeDelta = TimeDelta::days(32);

/// A schedule, by name.
#[derive(Debug, Object)]
struct ScheduleName {
    /// Its identifier.
    id: Uuid,
    /// What it is called.
    name: String,
}

/// Who is on call by one schedule.
#[derive(Debug, Object)]
struct OnCall {
    /// By which schedule.
    schedule: ScheduleName,
    /// When.
    at: DateTime<Utc>,
    /// Who is; possibly nobody.
    people: Vec<Person>,
    /// Whom to call first, second, and so on: those who are on call, then those who stand behind them.
    order: Vec<Person>,
    /// When other people are on call; absent if that is not within 32 days.
    #[oai(skip_serializing_if_is_none)]
    until: Option<DateTime<Utc>>,
    /// Who is on call from then on.
    next: Vec<Person>,
}

/// Who is on call, by the schedules' names.
#[derive(Debug, Object)]
struct OnCallList {
    /// One for each schedule.
    items: Vec<OnCall>,
}

/// As [`OnCall`], before anybody has a name.
struct Found {
    id: ScheduleId,
    name: String,
    people: Vec<ContactId>,
    order: Vec<ContactId>,
    next: Option<(DateTime<Utc>, Vec<ContactId>)>,
}

#[OpenApi(prefix_path = "/api/v2/oncall", tag = "Tag::Schedules")]
impl OnCalls {
    /// Who is on call, by every schedule or by one
    #[oai(path = "/", method = "get", operation_id = "get_on_call")]
    async fn get(
        &self,
        _caller: ReadsSchedules,
        /// When; now, if it is not said.
        at: Query<Option<DateTime<Utc>>>,
        /// Only by this schedule: its identifier or its name.
        #[oai(validator(max_length = 256))]
        schedule: Query<Option<String>>,
    ) -> Result<Json<OnCallList>, Problem> {
        let now = self.0.clock.now();
        let at = times::instant("at", at.0.unwrap_or(now))?;
        let store = &self.0.store;
        let duties = match schedule.0 {
            None => store.duties(at, at + AHEAD).await?,
            Some(wanted) => {
                let id = match wanted.parse() {
                    Ok(id) => Some(id),
                    Err(_) => store.schedule_named(&wanted).await?.map(|schedule| schedule.id),
                };
                let duty = match id {
                    Some(id) => store.named_duty(id, at, at + AHEAD).await?,
                    None => None,
                };
                vec![duty.ok_or_else(|| Problem::not_found("schedule"))?]
            }
        };
        let found: Vec<Found> =
            times::computed(move || duties.into_iter().map(|duty| find(duty, at, now)).collect()).await?;
        let mut people = Vec::new();
        for one in &found {
            people.extend(one.people.iter().chain(&one.order).copied());
            people.extend(one.next.iter().flat_map(|(_, next)| next).copied());
        }
        let names = Names::of(store, people).await?;
        Ok(Json(OnCallList { items: found.into_iter().map(|one| show(one, at, &names)).collect() }))
    }
}

fn find(named: NamedDuty, at: DateTime<Utc>, now: DateTime<Utc>) -> Found {
    let NamedDuty { id, name, duty, next_look_at } = named;
    let people = oncall::on_call(&duty, at);
    let order = oncall::order(&duty, at);
    // Until the engine looks again nothing changes: that spares looking for the next change, by far the
    // most work here, unless the engine has only given up looking for it there.
    let known = next_look_at.filter(|look| now <= at && at < *look && *look < at + AHEAD).and_then(|look| {
        let then = oncall::on_call(&duty, look);
        (then != people).then_some((look, then))
    });
    let next = known.or_else(|| oncall::next_change(&duty, at, AHEAD));
    Found { id, name, people, order, next }
}

fn show(one: Found, at: DateTime<Utc>, names: &Names) -> OnCall {
    let (until, next) = one.next.map_or((None, Vec::new()), |(until, people)| (Some(until), people));
    OnCall {
        schedule: ScheduleName { id: one.id.0, name: one.name },
        at,
        people: names.people(&one.people),
        order: names.people(&one.order),
        until,
        next: names.people(&next),
    }
}
