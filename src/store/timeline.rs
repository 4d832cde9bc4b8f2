//! The timeline: what was tried, heard and pressed, in order. The proof.

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use serde::{Deserialize, Serialize};

use super::{Error, Store, reader::Reader};
use crate::id::{CallId, EventId, IncidentId, MessageId, ScheduleId};
use crate::store::writer::Tx;

/// Something that happened, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The incident it is about; `None` if it is about all that the call carries.
    pub incident: Option<IncidentId>,
    /// The call it is about.
    pub call: Option<CallId>,
    /// The text message it is about.
    pub message: Option<MessageId>,
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub fact: Fact,
}

/// A line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEvent {
    /// Its identifier; the timeline is sorted by it.
    pub id: EventId,
    /// What happened, to what, when.
    pub entry: Entry,
}

/// What can stand in a timeline. Rounds, steps and attempts count from 1 here: people read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fact {
    /// The alert came in and was stored.
    Raised { source: String, summary: String, policy: Option<String> },
    /// The alert names a policy that does not exist; the default one pages.
    UnknownPolicy { named: String },
    /// Nobody is paged: there is no policy for it.
    HeldNoPolicy,
    /// The same alert came again and changed nothing.
    Repeated { source: String },
    /// An alert joined the group, or fired again.
    MemberFiring { fingerprint: String, summary: String },
    /// An alert of the group is over.
    MemberResolved { fingerprint: String, summary: String },
    /// An attempt of a step begins.
    Attempt { round: u32, step: u32, attempt: u32, to: Vec<String> },
    /// A step had nobody to call.
    NobodyToCall { round: u32, step: u32 },
    /// A routing rule chose the policy.
    Routed { rule: String },
    /// A step is outside its calendars.
    OutsideCalendar { round: u32, step: u32 },
    /// A step only texts, and there is no way to send texts.
    NoWayToText { round: u32, step: u32 },
    /// It pages nobody for the time being.
    Held { why: String, until: DateTime<Utc> },
    /// What held it is over.
    NoLongerHeld,
    /// Everybody was tried: the last resort is called.
    LastResort,
    /// The policy ended, and begins again.
    BeginsAgain { at: DateTime<Utc> },
    /// It is to page later.
    Scheduled { at: DateTime<Utc> },
    /// It is to page at another time.
    Rescheduled { at: DateTime<Utc>, by: String },
    /// Its time is too long past: nobody is called.
    Expired { at: DateTime<Utc> },
    /// A text was due and could not be sent.
    TextNotSent { to: String, about: String, why: String },
    /// An attempt of a step texts.
    Texting { round: u32, step: u32, attempt: u32, to: Vec<String> },
    /// A text waits to be sent.
    TextQueued { to: String, number: String, about: String },
    /// A route has taken the text.
    TextSent { to: String, route: String, segments: u32 },
    /// A route did not take the text; it is tried again.
    TextRefused { to: String, route: String, why: String },
    /// The text has arrived.
    TextDelivered { to: String },
    /// The text was not sent, or did not arrive.
    TextFailed { to: String, why: String },
    /// Nobody knows whether the text was sent. It is not sent again by itself.
    TextUnknown { to: String, route: String, why: String },
    /// It was too late to send the text.
    TextExpired { to: String },
    /// The text is not needed any more, or a person gave it up.
    TextCanceled { to: String, by: Option<String> },
    /// A person wants the text sent again.
    TextAgain { to: String, by: String },
    /// A text came in.
    TextReceived { from: String },
    /// What follows, somebody has said by text.
    AnsweredByText { by: String },
    /// Texts to a number are turned off, by its owner or by somebody else.
    TextsOff { to: String, by: String },
    /// Texts to a number are turned on again.
    TextsOn { to: String, by: String },
    /// Somebody came on duty, or went off.
    OnDuty { schedule: String, people: Vec<String>, before: Vec<String> },
    /// No call of the round found a route: it is not counted.
    RoundNotCounted { round: u32 },
    /// It pages again, from the first step.
    PagesAgain { why: String },
    /// A person has taken it.
    Acknowledged { by: String },
    /// Another system says that the call was heard. Only a key is proof of that.
    SaidHeard { by: String },
    /// A person has passed it on.
    Escalated { by: String },
    /// It is over.
    Resolved { by: String },
    /// All rounds went unanswered.
    Exhausted,
    /// A call waits to be placed.
    CallQueued { to: String, number: String, nth_number: u32 },
    /// The incident is spoken in a call that is already on its way to the same person.
    CallJoined { to: String },
    /// The call waits, and why.
    CallWaits { why: String },
    /// The number was not dialled.
    CallRefused { to: String, why: String },
    /// A person gave the call up.
    CallCanceled { by: String },
    /// `Originate` leaves.
    Dialing { to: String, number: String },
    /// The far end rings.
    Ringing { to: String },
    /// Somebody, or something, answered.
    Answered { to: String },
    /// The call's AGI session came back: after a restart of the server, or to hear who took it.
    Reconnected { to: String },
    /// The incident is being spoken.
    Speaking { to: String },
    /// A key was pressed.
    Digit { digit: char },
    /// A PIN was asked for, and was right or wrong. Its digits are kept nowhere.
    Pin { to: String, right: bool },
    /// Speech failed; the stand-in prompt was played.
    SpeechFailed { why: String },
    /// The callee was told that somebody else has it.
    ToldTaken { to: String, by: String },
    /// The call is over.
    CallEnded {
        to: String,
        status: String,
        disposition: String,
        cause: u16,
        cause_text: String,
        sip_status: Option<u16>,
        heard_ms: i64,
        heard: bool,
        digits: String,
        failure: Option<String>,
    },
}

impl Fact {
    /// The line in plain words, for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Raised { source, summary, policy: Some(policy) } => {
                format!("raised by {source} under policy {policy}: {}", first_line(summary))
            }
            Self::Raised { source, summary, policy: None } => format!("raised by {source}: {}", first_line(summary)),
            Self::UnknownPolicy { named } => format!("policy {named:?} does not exist; the default policy pages"),
            Self::HeldNoPolicy => "held: there is no policy for it, nobody is paged".into(),
            Self::Repeated { source } => format!("{source} sent it again"),
            Self::MemberFiring { summary, .. } => format!("firing: {}", first_line(summary)),
            Self::MemberResolved { summary, .. } => format!("no longer firing: {}", first_line(summary)),
            Self::Attempt { round, step, attempt, to } => {
                format!("round {round}, step {step}, attempt {attempt}: calling {}", to.join(", "))
            }
            Self::NobodyToCall { round, step } => format!("round {round}, step {step}: nobody to call, passed over"),
            Self::Routed { rule } => format!("routing rule {rule:?} chooses the policy"),
            Self::OutsideCalendar { round, step } => {
                format!("round {round}, step {step}: outside its calendar, passed over")
            }
            Self::NoWayToText { round, step } => {
                format!("round {round}, step {step}: only texts, and no text can leave; passed over")
            }
            Self::Held { why, until } => format!("held until {}: {why}", minute(*until)),
            Self::NoLongerHeld => "no longer held".into(),
            Self::LastResort => "everybody has been tried: the last resort is called".into(),
            Self::BeginsAgain { at } => format!("it all begins again at {}", minute(*at)),
            Self::Scheduled { at } => format!("scheduled for {}", minute(*at)),
            Self::Rescheduled { at, by } => format!("{by} puts it off to {}", minute(*at)),
            Self::Expired { at } => format!("expired: it was due at {}, too long ago to call anybody", minute(*at)),
            Self::TextNotSent { to, about, why } => format!("{to} was not texted {about}: {why}"),
            Self::Texting { round, step, attempt, to } => {
                format!("round {round}, step {step}, attempt {attempt}: texting {}", to.join(", "))
            }
            Self::TextQueued { to, about, .. } => format!("a text to {to} is queued: {about}"),
            Self::TextSent { to, route, segments: 1 } => format!("a text to {to} is sent by {route}"),
            Self::TextSent { to, route, segments } => {
                format!("a text to {to} is sent by {route}, in {segments} messages")
            }
            Self::TextRefused { to, route, why } => format!("{route} does not take the text to {to}: {why}"),
            Self::TextDelivered { to } => format!("the text to {to} has arrived"),
            Self::TextFailed { to, why } => format!("the text to {to} has failed: {why}"),
            Self::TextUnknown { to, route, why } => {
                format!("whether {route} has sent the text to {to} is not known: {why}")
            }
            Self::TextExpired { to } => format!("the text to {to} was not sent in time, and is not sent any more"),
            Self::TextCanceled { to, by: None } => format!("the text to {to} is given up: nobody needed it any more"),
            Self::TextCanceled { to, by: Some(by) } => format!("{by} gives the text to {to} up"),
            Self::TextAgain { to, by } => format!("{by} has the text to {to} sent again"),
            Self::TextReceived { from } => format!("a text has come from {from}"),
            Self::AnsweredByText { by } => format!("{by} answers by text"),
            Self::TextsOff { to, by } if to == by => format!("{to} wants no more texts"),
            Self::TextsOff { to, by } => format!("{by} turns off texts to {to}"),
            Self::TextsOn { to, by } if to == by => format!("{to} wants texts again"),
            Self::TextsOn { to, by } => format!("{by} turns on texts to {to} again"),
            Self::OnDuty { schedule, people, before } => {
                format!("on duty for {schedule}: {} (before: {})", names(people), names(before))
            }
            Self::RoundNotCounted { round } => format!("round {round} found no way out; it is not counted"),
            Self::PagesAgain { why } => format!("pages again: {why}"),
            Self::Acknowledged { by } => format!("acknowledged by {by}"),
            Self::SaidHeard { by } => format!("{by} says that it was heard"),
            Self::Escalated { by } => format!("escalated by {by}"),
            Self::Resolved { by } => format!("resolved by {by}"),
            Self::Exhausted => "exhausted: nobody has taken it".into(),
            Self::CallQueued { to, nth_number: 1, .. } => format!("a call to {to} is queued"),
            Self::CallQueued { to, nth_number, .. } => format!("a call to {to}'s number {nth_number} is queued"),
            Self::CallJoined { to } => format!("{to} is being called already and will hear it in the same call"),
            Self::CallWaits { why } => format!("the call waits: {why}"),
            Self::CallRefused { to, why } => format!("{to} was not called: {why}"),
            Self::CallCanceled { by } => format!("{by} gives the call up"),
            Self::Dialing { to, .. } => format!("calling {to}"),
            Self::Ringing { to } => format!("{to}'s phone rings"),
            Self::Answered { to } => format!("{to}'s phone is answered"),
            Self::Reconnected { to } => format!("the call with {to} goes on"),
            Self::Speaking { to } => format!("{to} hears the alert"),
            Self::Digit { digit } => format!("key {digit} is pressed"),
            Self::Pin { to, right: true } => format!("{to} gives their PIN"),
            Self::Pin { to, right: false } => format!("{to} gives a wrong PIN"),
            Self::SpeechFailed { why } => format!("speech failed, the stand-in prompt was played: {why}"),
            Self::ToldTaken { to, by } => format!("{to} is told that {by} has taken it"),
            Self::CallEnded { to, status, failure, .. } if status == "canceled" => {
                let why = failure.as_deref().unwrap_or("nobody needed it any more");
                format!("the call to {to} is given up: {why}")
            }
            Self::CallEnded { to, disposition, cause, cause_text, sip_status, heard_ms, .. } => {
                let sip = sip_status.map_or_else(String::new, |status| format!(", SIP {status}"));
                let seconds = heard_ms / 1000;
                let heard = if *heard_ms > 0 { format!(", heard {seconds} s") } else { String::new() };
                format!("the call to {to} is over: {disposition}, cause {cause} ({cause_text}){sip}{heard}")
            }
        }
    }

    fn kind_and_data(&self) -> Result<(String, serde_json::Value), Error> {
        let mut data = serde_json::to_value(self)?;
        let kind = data.as_object_mut().and_then(|fields| fields.remove("kind"));
        let kind = kind.and_then(|kind| kind.as_str().map(str::to_owned)).unwrap_or_default();
        Ok((kind, data))
    }
}

/// An instant as people read it.
fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M UTC").to_string()
}

fn names(people: &[String]) -> String {
    if people.is_empty() { "nobody".into() } else { people.join(", ") }
}

/// A text's first line, at most 120 characters: enough to recognise it by.
fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}

impl Store {
    /// Writes lines that go with no other change.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn note(&self, entries: Vec<Entry>) -> Result<(), Error> {
        self.write(move |tx| Box::pin(async move { write(tx, entries).await })).await
    }

    /// The timeline of an incident, with what happened to its calls, oldest first: at most `limit`
    /// lines after `after`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn timeline(
        &self,
        incident: IncidentId,
        after: Option<EventId>,
        limit: u64,
    ) -> Result<Vec<TimelineEvent>, Error> {
        use entity::{call_incident, event};
        let calls = Query::select()
            .column(call_incident::Column::CallId)
            .from(call_incident::Entity)
            .and_where(call_incident::Column::IncidentId.eq(incident.0))
            .to_owned();
        let of_its_calls = event::Column::IncidentId.is_null().and(Expr::col(event::Column::CallId).in_subquery(calls));
        let mut query = event::Entity::find().filter(event::Column::IncidentId.eq(incident.0).or(of_its_calls));
        if let Some(after) = after {
            query = query.filter(event::Column::Id.gt(after.0));
        }
        let rows = query.order_by_asc(event::Column::Id).limit(limit).all(&self.read).await?;
        rows.into_iter().map(read).collect()
    }

    /// What happened to one call, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn call_timeline(&self, call: CallId) -> Result<Vec<TimelineEvent>, Error> {
        use entity::event;
        let rows = event::Entity::find()
            .filter(event::Column::CallId.eq(call.0))
            .order_by_asc(event::Column::Id)
            .limit(1000)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }

    /// What happened to one text message, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn message_timeline(&self, message: MessageId) -> Result<Vec<TimelineEvent>, Error> {
        use entity::event;
        let rows = event::Entity::find()
            .filter(event::Column::MessageId.eq(message.0))
            .order_by_asc(event::Column::Id)
            .limit(1000)
            .all(&self.read)
            .await?;
        rows.into_iter().map(read).collect()
    }
}

/// Writes lines as part of a larger change.
pub(super) async fn write(tx: &Tx, entries: Vec<Entry>) -> Result<(), Error> {
    use entity::event;
    let mut rows = Vec::with_capacity(entries.len());
    for Entry { incident, call, message, at, fact } in entries {
        let (kind, data) = fact.kind_and_data()?;
        rows.push(event::ActiveModel {
            id: Set(EventId::generate().0),
            incident_id: Set(incident.map(|id| id.0)),
            call_id: Set(call.map(|id| id.0)),
            at: Set(at),
            kind: Set(kind),
            data: Set(data),
            schedule_id: Set(None),
            sequence: Set(None),
            message_id: Set(message.map(|id| id.0)),
        });
    }
    tx.tell(rows);
    Ok(())
}

/// Writes a line of a schedule's timeline as part of a larger change.
pub(super) async fn write_of_schedule(
    tx: &Tx,
    schedule: ScheduleId,
    at: DateTime<Utc>,
    fact: &Fact,
) -> Result<(), Error> {
    use entity::event;
    let (kind, data) = fact.kind_and_data()?;
    let row = event::ActiveModel {
        id: Set(EventId::generate().0),
        incident_id: Set(None),
        call_id: Set(None),
        at: Set(at),
        kind: Set(kind),
        data: Set(data),
        schedule_id: Set(Some(schedule.0)),
        sequence: Set(None),
        message_id: Set(None),
    };
    tx.tell([row]);
    Ok(())
}

/// What was noted about a schedule, oldest first: at most `limit` lines after `after`.
pub(super) async fn of_schedule(
    database: &Reader,
    schedule: ScheduleId,
    after: Option<EventId>,
    limit: u64,
) -> Result<Vec<TimelineEvent>, Error> {
    use entity::event;
    let mut query = event::Entity::find().filter(event::Column::ScheduleId.eq(schedule.0));
    if let Some(after) = after {
        query = query.filter(event::Column::Id.gt(after.0));
    }
    let rows = query.order_by_asc(event::Column::Id).limit(limit).all(database).await?;
    rows.into_iter().map(read).collect()
}

fn read(row: entity::event::Model) -> Result<TimelineEvent, Error> {
    let mut data = row.data;
    if let Some(fields) = data.as_object_mut() {
        fields.insert("kind".into(), row.kind.into());
    }
    let entry = Entry {
        incident: row.incident_id.map(IncidentId),
        call: row.call_id.map(CallId),
        message: row.message_id.map(MessageId),
        at: row.at,
        fact: serde_json::from_value(data)?,
    };
    Ok(TimelineEvent { id: EventId(row.id), entry })
}
