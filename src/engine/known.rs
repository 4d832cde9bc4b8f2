//! What is known of the world when something is decided, and what becomes of the decision.
//!
//! It is read before, whole: [`escalation`] asks it and never the database. It answers for any instant
//! of the span it was read for, so that a simulation asks the very same.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, directory::Edition, quiet::quiets};
use crate::{
    calendar::Calendar,
    escalation::{
        self, Command, Event, Held, Hush, Note, Opening, Policy, Position, Recipient, Stage, State, Step, Target,
        Texts, World,
    },
    id::{CalendarId, ContactId, GroupId, IncidentId, ScheduleId},
    oncall::{self, Duty},
    store::{self, Change, Contact, Entry, Fact, MessageKind, NewCall, NewMessage},
    triage::{self, Quiet, QuietKind, Subject},
};

/// The people and calendars a policy names, and what is to stay quiet.
pub(super) struct Known {
    pub(super) contacts: HashMap<ContactId, Arc<Contact>>,
    groups: HashMap<GroupId, Arc<Vec<ContactId>>>,
    duties: HashMap<ScheduleId, Duty>,
    calendars: HashMap<CalendarId, Arc<Calendar>>,
    quiets: Vec<Quiet>,
    /// What silences look at; nothing, if they are not meant for it.
    subject: Option<Subject>,
    turn: u32,
    /// How long a text is worth sending; `None` if there is no way to send one.
    texts: Option<TimeDelta>,
    /// Whether those that are queued leave, or may soon.
    texts_leave: bool,
    /// Whether its calls are placed in a way of their own.
    alone: bool,
}

/// There is no way to send texts.
const NO_TEXTS: &str = "there is no way to send texts";
/// They were deleted.
const NOBODY: &str = "there is no such contact";
/// They have none, or only extensions of the PBX.
const NO_NUMBER: &str = "there is no number that texts can go to";

impl Engine {
    /// Everything that a decision by `policy` may ask, for the instants from `from` until `until`.
    pub(super) async fn known_for(
        &self,
        edition: &Edition,
        policy: Option<&Policy>,
        state: &State,
        subject: Option<Subject>,
        turn: u32,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<Known, store::Error> {
        let steps: Vec<&Step> = policy.iter().flat_map(|policy| policy.all_steps()).collect();
        let targets: Vec<&Target> = steps.iter().flat_map(|step| &step.targets).collect();
        let calendars: Vec<CalendarId> =
            steps.iter().flat_map(|step| [step.only_during, step.not_during]).flatten().collect();
        let mut known = Known {
            contacts: HashMap::new(),
            groups: HashMap::new(),
            duties: HashMap::new(),
            calendars: HashMap::new(),
            quiets: Vec::new(),
            subject,
            turn,
            texts: self.texts,
            texts_leave: (self.texts_leave)(self.clock.now()),
            alone: policy.is_some_and(|policy| !policy.placing.is_usual()),
        };
        // Whoever has taken it may want to know that it is over.
        let mut people: Vec<ContactId> = match state {
            State::Acknowledged { by, .. } => by.contact().into_iter().collect(),
            _ => Vec::new(),
        };
        for target in targets {
            match target {
                Target::Contact(id) => people.push(*id),
                Target::Group(id) if !known.groups.contains_key(id) => {
                    let members = edition.group_members(*id).await?;
                    people.extend(members.iter());
                    known.groups.insert(*id, members);
                }
                Target::Schedule(id) if !known.duties.contains_key(id) => {
                    if let Some(duty) = self.store.duty(*id, from, until).await? {
                        people.extend(everybody(&duty));
                        known.duties.insert(*id, duty);
                    }
                }
                Target::Group(_) | Target::Schedule(_) | Target::Number(_) => {}
            }
        }
        people.sort_unstable();
        people.dedup();
        for contact in edition.contacts(&people).await? {
            known.contacts.insert(contact.id, contact);
        }
        for id in calendars {
            if let Some(calendar) = edition.calendar(id).await? {
                known.calendars.insert(id, calendar);
            }
        }
        if known.subject.is_some() {
            known.quiets = quiets(&edition.silences().await?, from, until);
        }
        Ok(known)
    }

    /// Everything that a decision by `policy` may ask now.
    pub(super) async fn known(
        &self,
        edition: &Edition,
        policy: Option<&Policy>,
        state: &State,
        subject: Option<Subject>,
        turn: u32,
        now: DateTime<Utc>,
    ) -> Result<Known, store::Error> {
        self.known_for(edition, policy, state, subject, turn, (now, now)).await
    }
}

/// Who is not texted, and why.
pub(super) struct NotTexted {
    to: String,
    why: &'static str,
}

impl NotTexted {
    fn fact(self, kind: MessageKind) -> Fact {
        Fact::TextNotSent { to: self.to, about: kind.about().into(), why: self.why.into() }
    }
}

impl Known {
    /// As [`escalation::trigger`].
    pub(super) fn trigger(&self, policy: Option<&Policy>, now: DateTime<Utc>) -> (State, Vec<Command>) {
        self.at(now, |world| escalation::trigger(policy, world, now))
    }

    /// As [`escalation::handle`].
    pub(super) fn handle(
        &self,
        policy: &Policy,
        state: State,
        event: Event,
        now: DateTime<Utc>,
    ) -> (State, Vec<Command>) {
        self.at(now, |world| escalation::handle(policy, world, state, event, now))
    }

    /// Whether there is a way to send texts.
    pub(super) fn has_texts(&self) -> bool {
        self.texts.is_some()
    }

    fn at<T>(&self, now: DateTime<Utc>, decide: impl FnOnce(&World<'_>) -> T) -> T {
        decide(&World {
            on_call: &|target| self.on_call(target, now),
            calendar: &|id| self.opening(id, now),
            hush: self.hush(now),
            texts: match self.texts {
                None => Texts::Never,
                Some(_) if self.texts_leave => Texts::Leave,
                Some(_) => Texts::Wait,
            },
            turn: self.turn,
        })
    }

    /// Whom a target means. A contact that is disabled or has no number is nobody.
    pub(super) fn on_call(&self, target: &Target, now: DateTime<Utc>) -> Vec<Recipient> {
        let people = match target {
            Target::Number(number) => return vec![Recipient::Number(number.clone())],
            Target::Contact(id) => vec![*id],
            Target::Group(id) => self.groups.get(id).map(|members| members.to_vec()).unwrap_or_default(),
            Target::Schedule(id) => self.duties.get(id).map(|duty| oncall::on_call(duty, now)).unwrap_or_default(),
        };
        let can_be_called = |id: &ContactId| self.contacts.get(id).is_some_and(|contact| contact.can_be_called());
        people.into_iter().filter(can_be_called).map(Recipient::Contact).collect()
    }

    /// Whether anybody can be called who is ever on call by this schedule.
    pub(super) fn anybody_of(&self, id: ScheduleId) -> bool {
        let can_be_called = |id: ContactId| self.contacts.get(&id).is_some_and(|contact| contact.can_be_called());
        self.duties.get(&id).is_some_and(|duty| everybody(duty).any(can_be_called))
    }

    pub(super) fn calendar_data(&self, id: CalendarId) -> Option<&Calendar> {
        self.calendars.get(&id).map(Arc::as_ref)
    }

    fn opening(&self, id: CalendarId, now: DateTime<Utc>) -> Option<Opening> {
        let calendar = self.calendars.get(&id)?;
        let open = calendar.is_open(now);
        let changes = if open { calendar.closes(now) } else { calendar.opens(now) };
        Some(Opening { open, changes })
    }

    fn hush(&self, now: DateTime<Utc>) -> Option<Hush> {
        let (_, kind, until) = triage::quiet_until(&self.quiets, self.subject.as_ref()?, now)?;
        let reason = match kind {
            QuietKind::Silence => Held::Silence,
            QuietKind::Maintenance => Held::Maintenance,
        };
        Some(Hush { reason, until })
    }

    /// What `commands` ask for, as rows.
    pub(super) fn carry_out(
        &self,
        incident: IncidentId,
        state: State,
        commands: Vec<Command>,
        mut facts: Vec<Fact>,
        now: DateTime<Utc>,
    ) -> Change {
        let (mut calls, mut called) = (Vec::new(), Vec::new());
        let (mut messages, mut texted) = (Vec::new(), Vec::new());
        let mut cancel_calls = false;
        for command in commands {
            match command {
                Command::CancelCalls => cancel_calls = true,
                Command::Note(note) => facts.push(note_fact(note)),
                Command::Call { to, at, text_if_missed } => {
                    if let Some((call, name)) = self.new_call(to, at, text_if_missed) {
                        calls.push(call);
                        called.push(name);
                    }
                }
                Command::Text { to, at } => match self.new_text(&to, MessageKind::Page, at.stage, now) {
                    Ok((message, name)) => {
                        messages.push(message);
                        texted.push((at, name));
                    }
                    Err(not_texted) => facts.push(not_texted.fact(MessageKind::Page)),
                },
                Command::TellOver { to } => {
                    if self.contacts.get(&to).is_some_and(|contact| contact.data.tell_when_over) {
                        match self.new_text(&Recipient::Contact(to), MessageKind::Over, Stage::default(), now) {
                            Ok((message, _)) => messages.push(message),
                            Err(not_texted) => facts.push(not_texted.fact(MessageKind::Over)),
                        }
                    }
                }
            }
        }
        if let Some((at, _)) = texted.first() {
            let (round, step, attempt) = (at.stage.round + 1, at.stage.step + 1, at.attempt);
            facts.push(Fact::Texting { round, step, attempt, to: texted.into_iter().map(|(_, name)| name).collect() });
        }
        if let Some(at) = calls.first().map(|call| call.at) {
            facts.push(Fact::Attempt {
                round: at.stage.round + 1,
                step: at.stage.step + 1,
                attempt: at.attempt,
                to: called,
            });
        }
        // Whatever led there: nobody is called any more, and that is the last line.
        if matches!(state, State::Exhausted { .. }) {
            facts.push(Fact::Exhausted);
        }
        let line = |fact| Entry { incident: Some(incident), call: None, message: None, at: now, fact };
        let entries = facts.into_iter().map(line).collect();
        Change { state, now, content: None, calls, messages, cancel_calls, said: None, entries }
    }

    /// A text to somebody, and their name; or what to say instead.
    pub(super) fn new_text(
        &self,
        to: &Recipient,
        kind: MessageKind,
        at: Stage,
        now: DateTime<Utc>,
    ) -> Result<(NewMessage, String), NotTexted> {
        let (contact, number, name) = match to {
            Recipient::Number(number) => {
                (None, Some(number).filter(|number| !number.is_extension()), number.as_str().to_owned())
            }
            Recipient::Contact(id) => {
                let contact = self.contacts.get(id);
                let contact = contact.ok_or_else(|| NotTexted { to: id.to_string(), why: NOBODY })?;
                (Some((*id, contact.full_name())), contact.text_number(), contact.full_name())
            }
        };
        match (self.texts, number) {
            (Some(worth), Some(number)) => {
                let (number, expires_at) = (number.clone(), now + worth);
                let message = NewMessage { contact, number, kind, at, body: None, source: None, expires_at };
                Ok((message, name))
            }
            (None, _) => Err(NotTexted { to: name, why: NO_TEXTS }),
            (_, None) => Err(NotTexted { to: name, why: NO_NUMBER }),
        }
    }

    fn new_call(&self, to: Recipient, at: Position, text_if_missed: bool) -> Option<(NewCall, String)> {
        let (contact, number, name) = match to {
            Recipient::Number(number) => (None, number.clone(), number.as_str().to_owned()),
            Recipient::Contact(id) => {
                let contact = self.contacts.get(&id)?;
                (Some((id, contact.full_name())), contact.number(0)?.clone(), contact.full_name())
            }
        };
        let text_if_missed = self.texts.filter(|_| text_if_missed);
        Some((NewCall { contact, number, number_index: 0, at, alone: self.alone, text_if_missed }, name))
    }
}

/// Everybody who can be on call by it.
fn everybody(duty: &Duty) -> impl Iterator<Item = ContactId> {
    let rotations = duty.schedule.layers.iter().flat_map(|layer| &layer.rotation.participants);
    let overrides = duty.overrides.iter().flat_map(|over| &over.people);
    rotations.chain(overrides).copied().chain(duty.windows.iter().map(|window| window.contact))
}

pub(super) fn note_fact(note: Note) -> Fact {
    match note {
        Note::NobodyToCall { at } => Fact::NobodyToCall { round: at.round + 1, step: at.step + 1 },
        Note::OutsideCalendar { at } => Fact::OutsideCalendar { round: at.round + 1, step: at.step + 1 },
        Note::NoWayToText { at } => Fact::NoWayToText { round: at.round + 1, step: at.step + 1 },
        Note::RoundNotCounted { round } => Fact::RoundNotCounted { round: round + 1 },
        Note::Held { reason, until } => Fact::Held { why: held_because(reason).into(), until },
        Note::NoLongerHeld => Fact::NoLongerHeld,
        Note::BeginsAgain { at } => Fact::BeginsAgain { at },
        Note::LastResort => Fact::LastResort,
        Note::TooLate { due_at } => Fact::Expired { at: due_at },
        // Said with its author by whoever asked for it.
        Note::Rescheduled { due_at } => Fact::Scheduled { at: due_at },
    }
}

fn held_because(reason: Held) -> &'static str {
    match reason {
        Held::NoPolicy => "there is no policy for it",
        Held::Silence => "it is silenced",
        Held::Maintenance => "there is a maintenance window",
        Held::OutsideCalendars => "all steps are outside their calendars",
    }
}
