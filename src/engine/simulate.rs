//! What would happen: an alert at some instant, told to its end without calling anybody.
//!
//! It asks [`escalation`](crate::escalation) the very questions that are asked when it is meant, with the
//! world as it is known for the instants to come. Only the telephones are made up: everybody lets it ring
//! for as long as the route does, number after number, except for the answers that are given.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::{Engine, alert, known::Known};
use crate::{
    escalation::{self, Actor, Calls, Command, Event, Policy, Position, Recipient, State},
    id::{CallId, ContactId, IncidentId},
    phone::PhoneNumber,
    store::{self, Contact, Content, Fact},
};

/// An alert that did not come.
#[derive(Clone, Debug)]
pub struct Supposition {
    /// When it comes.
    pub at: DateTime<Utc>,
    /// What it is about.
    pub content: Content,
    /// Whose turn it is where people take turns.
    pub turn: u32,
    /// How long a phone rings before the next number.
    pub rings: TimeDelta,
    /// Who answers.
    pub answers: Vec<Answer>,
}

/// Somebody answers a call to them, and presses a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who: a contact's full name, or a number.
    pub who: String,
    /// Which call to them it is, from 1.
    pub nth: u32,
    /// How long after it was placed the key is pressed.
    pub after: TimeDelta,
    /// What they say.
    pub says: Says,
}

/// What somebody says on a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// They take it.
    Acknowledge,
    /// They pass it on.
    Escalate,
    /// It is over.
    Resolve,
}

/// Something that would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Happening {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: What,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A line of the incident's timeline.
    Fact(Fact),
    /// A number is called.
    Call {
        /// Whom: a name, or the number.
        to: String,
        /// The contact, if it is one.
        contact: Option<Arc<Contact>>,
        /// What is dialled.
        number: PhoneNumber,
        /// Which of the contact's numbers that is, from 1.
        nth_number: u32,
        /// Which call to them it is, from 1.
        nth: u32,
        /// For which attempt.
        at: Position,
        /// What becomes of it.
        answer: Option<Says>,
    },
}

/// What would happen, in order, and where it ends.
#[derive(Clone, Debug)]
pub struct Simulation {
    /// In order.
    pub happenings: Vec<Happening>,
    /// Where the incident stands at the end.
    pub state: State,
    /// Whether it goes on behind the limits of a simulation.
    pub cut: bool,
}

/// Happenings that are told.
const LONGEST: usize = 2000;
/// How long a night may last.
const HORIZON: TimeDelta = TimeDelta::days(7);

impl Engine {
    /// What would happen under `policy`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn simulate(
        &self,
        name: Option<&str>,
        policy: &Policy,
        supposed: &Supposition,
    ) -> Result<Simulation, store::Error> {
        let subject = Some(alert::subject(&supposed.content));
        let begin = State::Scheduled { due_at: supposed.at, expires_at: supposed.at };
        let span = (supposed.at, supposed.at + HORIZON);
        let edition = self.directory.now().await?;
        let known = self.known_for(&edition, Some(policy), &begin, subject, supposed.turn, span).await?;
        let mut night =
            Night { known: &known, policy, supposed, told: Vec::new(), calls: Vec::new(), placed: Vec::new() };
        let raised = Fact::Raised {
            source: "simulation".into(),
            summary: supposed.content.summary.clone(),
            policy: name.map(str::to_owned),
        };
        let (state, commands) = known.trigger(Some(policy), supposed.at);
        night.carry_out(&state, commands, vec![raised], supposed.at);
        let (state, cut) = night.pass(state);
        Ok(Simulation { happenings: night.told, state, cut })
    }
}

struct Night<'a> {
    known: &'a Known,
    policy: &'a Policy,
    supposed: &'a Supposition,
    told: Vec<Happening>,
    /// Calls that are up.
    calls: Vec<Ringing>,
    /// Everybody who was called, once per number.
    placed: Vec<String>,
}

/// A call that is up.
struct Ringing {
    to: Recipient,
    number_index: u32,
    at: Position,
    ends_at: DateTime<Utc>,
    answer: Option<Says>,
}

impl Night<'_> {
    /// Lets time pass until nothing happens any more. Returns where it ends, and whether it was cut off.
    fn pass(&mut self, mut state: State) -> (State, bool) {
        let mut passed = self.supposed.at;
        loop {
            let call = self.calls.iter().enumerate().min_by_key(|(_, call)| call.ends_at);
            let call = call.map(|(nth, call)| (call.ends_at, Some(nth)));
            // A deadline waits while a call lives.
            let waits = matches!(state, State::Escalating { .. }) && call.is_some();
            let due = escalation::due_at(&state).filter(|_| !waits).map(|due| (due.max(passed), None));
            // A phone that stops ringing in the moment of the deadline has stopped by then.
            let Some((now, nth)) = call.into_iter().chain(due).min_by_key(|(at, nth)| (*at, nth.is_none())) else {
                return (state, false);
            };
            if self.told.len() >= LONGEST || now > self.supposed.at + HORIZON {
                return (state, true);
            }
            passed = now;
            state = match nth {
                Some(nth) => {
                    let call = self.calls.remove(nth);
                    self.ends(state, &call, now)
                }
                None => self.happens(state, Event::Due { calls: Calls::Placed }, None, now),
            };
        }
    }

    /// A call ends: with a key, or unanswered, and then the next number rings.
    fn ends(&mut self, state: State, call: &Ringing, now: DateTime<Utc>) -> State {
        let Some(says) = call.answer else {
            if self.known.contact(&call.to).is_some_and(|contact| contact.number(call.number_index + 1).is_some()) {
                self.call(call.to.clone(), call.number_index + 1, call.at, now);
            }
            return state;
        };
        let by = self.actor(&call.to);
        let name = by.name().to_owned();
        let (event, fact) = match says {
            Says::Acknowledge => (Event::Acknowledged { by }, Fact::Acknowledged { by: name }),
            Says::Resolve => (Event::Resolved { by }, Fact::Resolved { by: name }),
            Says::Escalate => {
                let at = call.at.stage;
                (Event::Escalated { at, call: by.call() }, Fact::Escalated { by: name })
            }
        };
        self.happens(state, event, Some(fact), now)
    }

    fn happens(&mut self, state: State, event: Event, fact: Option<Fact>, now: DateTime<Utc>) -> State {
        let (after, commands) = self.known.handle(self.policy, state.clone(), event.clone(), now);
        if after == state && commands.is_empty() {
            return state;
        }
        let mut facts: Vec<Fact> = fact.into_iter().collect();
        facts.extend(super::transition(&state, &after, &event));
        self.carry_out(&after, commands, facts, now);
        after
    }

    fn carry_out(&mut self, state: &State, commands: Vec<Command>, facts: Vec<Fact>, now: DateTime<Utc>) {
        if commands.contains(&Command::CancelCalls) {
            // Whoever is on the line already hears it to the end; whoever is not is left alone.
            self.calls.clear();
        }
        let calls: Vec<(Recipient, Position)> = commands
            .iter()
            .filter_map(|command| match command {
                Command::Call { to, at, .. } => Some((to.clone(), *at)),
                _ => None,
            })
            .collect();
        let change = self.known.carry_out(IncidentId::of(now, uuid::Uuid::nil()), state.clone(), commands, facts, now);
        self.told.extend(change.entries.into_iter().map(|entry| Happening { at: now, what: What::Fact(entry.fact) }));
        for (to, at) in calls {
            self.call(to, 0, at, now);
        }
    }

    fn call(&mut self, to: Recipient, number_index: u32, at: Position, now: DateTime<Utc>) {
        let contact = self.known.contact(&to).cloned();
        let (name, number) = match (&to, &contact) {
            (Recipient::Number(number), _) => (number.as_str().to_owned(), number.clone()),
            (Recipient::Contact(_), Some(contact)) => {
                let Some(number) = contact.number(number_index) else { return };
                (contact.full_name(), number.clone())
            }
            (Recipient::Contact(_), None) => return,
        };
        let key = name.to_lowercase();
        let nth = 1 + u32::try_from(self.placed.iter().filter(|placed| **placed == key).count()).unwrap_or(u32::MAX);
        self.placed.push(key.clone());
        let answers = &self.supposed.answers;
        let answer = answers.iter().find(|answer| answer.who.to_lowercase() == key && answer.nth == nth);
        let lasts = answer.map_or(self.supposed.rings, |answer| answer.after);
        let says = answer.map(|answer| answer.says);
        let what = What::Call { to: name, contact, number, nth_number: number_index + 1, nth, at, answer: says };
        self.told.push(Happening { at: now, what });
        self.calls.push(Ringing { to, number_index, at, ends_at: now + lasts, answer: says });
    }

    fn actor(&self, who: &Recipient) -> Actor {
        let call = CallId(uuid::Uuid::nil());
        match who {
            Recipient::Number(number) => Actor::Number { number: number.clone(), call },
            Recipient::Contact(id) => {
                let name = self.known.contact(who).map(|contact| contact.full_name()).unwrap_or_default();
                Actor::Contact { id: *id, name, call }
            }
        }
    }
}

impl Known {
    fn contact(&self, who: &Recipient) -> Option<&Arc<Contact>> {
        let id: &ContactId = match who {
            Recipient::Contact(id) => id,
            Recipient::Number(_) => return None,
        };
        self.contacts.get(id)
    }
}
