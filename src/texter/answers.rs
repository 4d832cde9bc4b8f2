//! ANSWERS: what is done about a text that came in, by whatever way.
//!
//! What is to be done is decided once and stored with the claim of the text; what is done to an incident is stored
//! with its effect, and what its sender is told with the end of it. So whoever dies in between, or comes to it second,
//! finds what is still to be done, and nothing is done twice.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{POLL, Shared};
use crate::{
    answer::{self, Decision, Keys, Limit, Meaning, Open, Rule, Several, Silence, Verb},
    bus::Bell,
    engine::{Applied, TextedAlert},
    escalation::{Actor, Stage, State},
    failpoint,
    id::IncidentId,
    phone::PhoneNumber,
    script::{Action, Text, Told},
    store::{self, Claim, Contact, Inbound, Incident, MessageKind, NewMessage},
};

/// Texts that are looked at in one go.
const BATCH: u64 = 100;
/// Nothing that is done about a text takes so long: whoever is about it is gone.
const STALE: TimeDelta = TimeDelta::minutes(1);
/// An answer that comes later tells nobody anything.
const WORTH: TimeDelta = TimeDelta::minutes(30);

/// How texts that come in are understood.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The keys that mean the same on the telephone.
    pub keys: Keys,
    /// What `ack` means when there are several to take.
    pub several: Several,
    /// Whether whoever has a PIN cannot acknowledge by text either.
    pub pin_to_acknowledge: bool,
    /// Answers that a number gets.
    pub limit: Limit,
    /// Which texts raise an alert.
    pub alerts: Vec<Rule>,
}

/// What is to be done about a text.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Plan {
    /// A contact says something.
    Answer {
        decision: Decision,
        /// Where each incident stood when they were told of it.
        at: Vec<(IncidentId, Stage)>,
        /// Why they are not answered.
        silent: Option<String>,
    },
    /// It is an alert.
    Raise { summary: String, severity: String, policy: Option<String>, silent: Option<String> },
    /// Somebody whom we have texted, and who is no contact, wants no more of it, or again.
    Turn { on: bool },
    /// Nobody knows who it is.
    Nothing,
}

/// What was done.
struct Done {
    /// In words.
    outcome: String,
    /// What its sender is told.
    says: Option<String>,
}

/// What was done to one incident.
enum Outcome {
    Done,
    /// Done, and nobody is left to call.
    NobodyLeft,
    /// Somebody else has it.
    Taken(Box<Incident>),
    /// It is over.
    Over(Box<Incident>),
    /// It is there no more.
    Gone,
}

/// Acts on texts until `shutdown`.
pub(super) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let mut ear = shared.bus.listen(Bell::Inbound);
    while !shutdown.is_cancelled() {
        match look(&shared).await {
            Ok(true) => continue,
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "texts that came in cannot be looked at; trying again"),
        }
        tokio::select! {
            () = ear.rung() => {}
            () = tokio::time::sleep(POLL) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

/// One pass. Returns whether there is more.
async fn look(shared: &Shared) -> Result<bool, store::Error> {
    let texts = shared.store.unhandled_texts(BATCH).await?;
    let mut progress = false;
    for text in &texts {
        match act(shared, text).await {
            Ok(done) => progress |= done,
            Err(error) => tracing::error!(text = %text.id, %error, "a text cannot be acted on; trying again"),
        }
    }
    Ok(progress && texts.len() as u64 == BATCH)
}

/// Does what a text says. `false` if another server is about it.
async fn act(shared: &Shared, text: &Inbound) -> Result<bool, store::Error> {
    let Shared { store, bus, clock, settings, .. } = shared;
    let contact = match text.contact {
        Some(id) => store.contact(id).await?,
        None => None,
    };
    let plan = match &text.plan {
        Some(plan) => plan.clone(),
        None => serde_json::to_value(plan(shared, text, contact.as_ref()).await?)?,
    };
    let now = clock.now();
    let claim = Claim { node: settings.node.clone(), plan, stale: now - STALE };
    let Some(plan) = store.claim_text(text.id, claim, now).await? else { return Ok(false) };
    failpoint::reach("answer.claimed");
    let done = carry_out(shared, text, contact.as_ref(), serde_json::from_value(plan)?).await?;
    failpoint::reach("answer.done");
    let answer = done.says.and_then(|says| answer_to(text, contact.as_ref(), says, clock.now()));
    if store.text_handled(text.id, done.outcome, answer, clock.now()).await? {
        let took = (clock.now() - text.received_at).to_std().unwrap_or_default();
        metrics::histogram!("ringdown_text_answer_seconds").record(took);
        tracing::info!(text = %text.id, known = contact.is_some(), "a text has come in");
        bus.ring(Bell::Texts);
    }
    Ok(true)
}

/// Decides what is to be done. Changes nothing.
async fn plan(shared: &Shared, text: &Inbound, contact: Option<&Contact>) -> Result<Plan, store::Error> {
    let answers = &shared.settings.answers;
    let sender = text.sender.as_deref().unwrap_or_default();
    // Half a text may say the contrary of the whole one.
    let meaning = if text.whole { Meaning::of(&text.body, answers.keys) } else { Meaning::Unknown };
    let raises = || {
        answer::raises(&answers.alerts, sender, &text.body).map(|raised| {
            let [severity, policy] = [raised.severity, raised.policy].map(|name| name.map(str::to_owned));
            (raised.summary, severity.unwrap_or_default(), policy)
        })
    };
    let Some(contact) = contact else {
        let on = meaning == Meaning::Start;
        return Ok(if let Some((summary, severity, policy)) = raises() {
            Plan::Raise { summary, severity, policy, silent: None }
        } else if (on || meaning == Meaning::Stop) && shared.store.has_texted(sender).await? {
            Plan::Turn { on }
        } else {
            Plan::Nothing
        });
    };
    let silent = silent(shared, sender, text, &meaning).await?;
    if meaning == Meaning::Unknown
        && let Some((summary, severity, policy)) = raises()
    {
        return Ok(Plan::Raise { summary, severity, policy, silent });
    }
    let told = shared.store.told_of(contact.id, sender).await?;
    let open =
        |told: &store::Told| Open { incident: told.incident, code: told.code, is_acknowledged: told.is_acknowledged };
    let barred: &[Verb] = match (&contact.pin_hash, answers.pin_to_acknowledge) {
        (None, _) => &[],
        (Some(_), false) => &[Verb::Resolve],
        (Some(_), true) => &[Verb::Resolve, Verb::Acknowledge],
    };
    let decision = answer::decide(&meaning, &told.iter().map(open).collect::<Vec<_>>(), answers.several, barred);
    let at = match &decision {
        Decision::Act { on, .. } => {
            let acts_on = |told: &&store::Told| on.iter().any(|open| open.incident == told.incident);
            told.iter().filter(acts_on).map(|told| (told.incident, told.at)).collect()
        }
        _ => Vec::new(),
    };
    Ok(Plan::Answer { decision, at, silent })
}

/// Why the sender is not answered, if so.
async fn silent(
    shared: &Shared,
    sender: &str,
    text: &Inbound,
    meaning: &Meaning,
) -> Result<Option<String>, store::Error> {
    let (now, limit) = (shared.clock.now(), shared.settings.answers.limit);
    let replies = shared.store.answered_since(sender, now - limit.within).await?;
    let why = match answer::may_answer(sender, true, &text.body, meaning, &replies, now, limit) {
        Err(Silence::NoNumber) => "it comes from no number",
        Err(Silence::UnknownSender) => "nobody knows who it is",
        Err(Silence::Automatic) => "a machine has written it, as it seems",
        Err(Silence::Enough) => "the number has had enough answers in this hour",
        // Whoever wants no texts is told so once.
        Ok(()) if !matches!(meaning, Meaning::Start | Meaning::Help) && shared.store.is_opted_out(sender).await? => {
            "texts to the number are turned off"
        }
        Ok(()) => return Ok(None),
    };
    Ok(Some(why.to_owned()))
}

/// Does it, or what is left of it.
async fn carry_out(
    shared: &Shared,
    text: &Inbound,
    contact: Option<&Contact>,
    plan: Plan,
) -> Result<Done, store::Error> {
    let recorded = |outcome: &str| Done { outcome: outcome.to_owned(), says: None };
    match (plan, contact) {
        (Plan::Answer { decision, at, silent }, Some(contact)) => {
            Ok(silenced(answer_of(shared, text, contact, decision, at).await?, silent))
        }
        (Plan::Answer { .. }, None) => Ok(recorded("recorded: the contact is there no more")),
        (Plan::Raise { summary, severity, policy, silent }, contact) => {
            let from = contact.map(Contact::full_name).or_else(|| text.sender.clone());
            let source = format!("a text from {}", from.as_deref().unwrap_or("somebody unknown"));
            shared.engine.raise_texted(text, TextedAlert { summary, severity, policy, source }).await?;
            let says = contact.map(|contact| shared.settings.words.says(&contact.data.language, &Text::Raised));
            Ok(silenced(Done { outcome: "raised an alert".into(), says }, silent))
        }
        (Plan::Turn { on }, _) => {
            let sender = text.sender.clone().unwrap_or_default();
            turn(shared, &sender, on, &sender).await?;
            Ok(recorded(if on { "texts are turned on" } else { "texts are turned off" }))
        }
        (Plan::Nothing, _) => Ok(recorded("recorded: nobody knows who it is")),
    }
}

fn silenced(done: Done, silent: Option<String>) -> Done {
    match silent {
        Some(why) if done.says.is_some() => {
            Done { outcome: format!("{}; not answered: {why}", done.outcome), says: None }
        }
        _ => done,
    }
}

/// Does what a contact says.
async fn answer_of(
    shared: &Shared,
    text: &Inbound,
    contact: &Contact,
    decision: Decision,
    at: Vec<(IncidentId, Stage)>,
) -> Result<Done, store::Error> {
    let says = |said: Text<'_>| Some(shared.settings.words.says(&contact.data.language, &said));
    let sender = text.sender.as_deref().unwrap_or_default();
    let (outcome, says) = match decision {
        Decision::Act { verb, on, unknown } => {
            return act_on(shared, text, contact, (verb, &on, &unknown), &at.into_iter().collect()).await;
        }
        Decision::Ask { verb, codes } => {
            (format!("asked which: {}", listed(&codes)), says(Text::Which { action: action(verb), codes: &codes }))
        }
        Decision::NotByText(_) => ("a PIN is asked for it: not done by text".into(), says(Text::NotByText)),
        Decision::NothingOpen(_) => ("nothing was open for it".into(), says(Text::NothingOpen)),
        Decision::NoSuch(codes) => (format!("not open: {}", listed(&codes)), says(Text::NoSuch { codes: &codes })),
        Decision::Stop => {
            turn(shared, sender, false, &contact.full_name()).await?;
            ("texts are turned off".into(), says(Text::Stopped))
        }
        Decision::Start => {
            turn(shared, sender, true, &contact.full_name()).await?;
            ("texts are turned on".into(), says(Text::Started))
        }
        Decision::Help => ("told what can be said".into(), says(Text::Help)),
        Decision::NotUnderstood => ("not understood".into(), says(Text::NotUnderstood)),
    };
    Ok(Done { outcome, says })
}

async fn turn(shared: &Shared, number: &str, on: bool, by: &str) -> Result<(), store::Error> {
    // What is no number gets no texts.
    let Ok(number) = PhoneNumber::try_from(number.to_owned()) else { return Ok(()) };
    let (store, now) = (&shared.store, shared.clock.now());
    if on { store.opt_in(&number, by, now).await.map(drop) } else { store.opt_out(&number, by, now).await.map(drop) }
}

/// Acts on incidents: on each once, and says what became of it.
async fn act_on(
    shared: &Shared,
    text: &Inbound,
    contact: &Contact,
    (verb, on, unknown): (Verb, &[Open], &[u32]),
    at: &HashMap<IncidentId, Stage>,
) -> Result<Done, store::Error> {
    let words = &shared.settings.words;
    let counted = shared.store.effects_of(text.id).await?;
    let (mut done, mut nobody_left, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut gone = unknown.to_vec();
    for &Open { incident, code, .. } in on {
        let outcome = if counted.contains(&incident) {
            Outcome::Done
        } else {
            apply(shared, text, contact, verb, incident, at.get(&incident).copied()).await?
        };
        match outcome {
            Outcome::Done => done.push(code),
            Outcome::NobodyLeft => nobody_left.push(code),
            Outcome::Taken(incident) => others.push((code, incident)),
            Outcome::Over(incident) => others.push((code, incident)),
            Outcome::Gone => gone.push(code),
        }
    }
    let mut outcome = Vec::new();
    let mut note = |what: &str, codes: &[u32]| {
        if !codes.is_empty() {
            outcome.push(format!("{what} {}", listed(codes)));
        }
    };
    note(past(verb), &[&*done, &*nobody_left].concat());
    note("no longer open:", &others.iter().map(|(code, _)| *code).collect::<Vec<_>>());
    note("not open:", &gone);
    let language = &contact.data.language;
    let mut says = Vec::new();
    if !done.is_empty() {
        says.push(words.says(language, &Text::Done { action: action(verb), codes: &done, unknown: &gone }));
    } else if !gone.is_empty() {
        says.push(words.says(language, &Text::NoSuch { codes: &gone }));
    }
    if !nobody_left.is_empty() {
        says.push(words.says(language, &Text::NobodyLeft { codes: &nobody_left }));
    }
    for (code, incident) in &others {
        let (severity, summary) = (&*incident.content.severity, &*incident.content.summary);
        let told = Told { code: Some(*code), severity, summary, ..Told::default() };
        says.push(words.short(
            language,
            &match &incident.state {
                State::Acknowledged { by, .. } => Text::Taken { by: by.name(), told },
                _ => Text::Over(told),
            },
        ));
    }
    Ok(Done { outcome: outcome.join("; "), says: Some(says.join(" ")) })
}

async fn apply(
    shared: &Shared,
    text: &Inbound,
    contact: &Contact,
    verb: Verb,
    id: IncidentId,
    at: Option<Stage>,
) -> Result<Outcome, store::Error> {
    let by = Actor::Texter { id: contact.id, name: contact.full_name(), text: text.id };
    let engine = &shared.engine;
    let applied = match verb {
        Verb::Acknowledge => engine.acknowledge(id, by).await?,
        // As it stood when they were told of it: what has gone on to somebody else is not passed on from them.
        Verb::Escalate => engine.escalate(id, at, by).await?,
        Verb::Resolve => engine.resolve(id, by).await?,
    };
    let (changed, incident) = match applied {
        Applied::Changed(incident) => (true, incident),
        Applied::Unchanged(incident) => (false, incident),
        Applied::Unknown => return Ok(Outcome::Gone),
    };
    Ok(match (&incident.state, verb) {
        (State::Exhausted { .. }, Verb::Escalate) if changed => Outcome::NobodyLeft,
        _ if changed => Outcome::Done,
        (State::Acknowledged { by, .. }, Verb::Acknowledge) if by.contact() == Some(contact.id) => Outcome::Done,
        (State::Acknowledged { .. }, _) => Outcome::Taken(incident),
        (State::Resolved | State::Expired, _) => Outcome::Over(incident),
        // It is with somebody else already.
        (_, Verb::Escalate) => Outcome::Done,
        _ => Outcome::Gone,
    })
}

/// The message that answers a text.
fn answer_to(text: &Inbound, contact: Option<&Contact>, says: String, now: DateTime<Utc>) -> Option<NewMessage> {
    let number = PhoneNumber::try_from(text.sender.clone()?).ok()?;
    Some(NewMessage {
        contact: contact.map(|contact| (contact.id, contact.full_name())),
        number,
        kind: MessageKind::Answer,
        at: Stage::default(),
        body: Some(says),
        source: None,
        expires_at: now + WORTH,
    })
}

fn action(verb: Verb) -> Action {
    match verb {
        Verb::Acknowledge => Action::Acknowledge,
        Verb::Escalate => Action::Escalate,
        Verb::Resolve => Action::Resolve,
    }
}

fn past(verb: Verb) -> &'static str {
    match verb {
        Verb::Acknowledge => "acknowledged",
        Verb::Escalate => "escalated",
        Verb::Resolve => "resolved",
    }
}

fn listed(codes: &[u32]) -> String {
    codes.iter().map(|code| format!("#{code}")).collect::<Vec<_>>().join(", ")
}
