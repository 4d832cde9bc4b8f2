//! What would happen: whom an alert at some instant would call, without calling anybody.

use std::{collections::HashMap, sync::Arc};

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{Enum, Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;
use uuid::Uuid;

use super::{State, Tag, auth::ReadsPolicies, body::Body, error::Problem, text, times};
use crate::{
    engine::{self, Supposition, What},
    id::PolicyId,
    script::{Alert, Line},
    store::{Contact, Content, Member},
};

/// Simulations.
pub struct Simulations(pub State);

/// What somebody says on a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Says {
    /// They take it.
    #[default]
    Acknowledge,
    /// They pass it on.
    Escalate,
    /// It is over.
    Resolve,
}

/// Somebody answers a call to them, and presses a key.
#[derive(Clone, Debug, Object, Deserialize)]
struct Answer {
    /// Who: a contact's full name, or a number.
    #[oai(validator(min_length = 1, max_length = 300))]
    who: String,
    /// Which call to them it is, from 1.
    #[oai(default = "first", validator(minimum(value = "1"), maximum(value = "1000")))]
    #[serde(default = "first")]
    nth: u32,
    /// What they say.
    #[oai(default)]
    #[serde(default)]
    says: Says,
    /// Seconds after the call was placed.
    #[oai(default = "soon", validator(maximum(value = "300")))]
    #[serde(default = "soon")]
    after: u32,
}

fn first() -> u32 {
    1
}

fn soon() -> u32 {
    10
}

/// An alert that did not come.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct Supposed {
    /// When it comes; now, if it is not said.
    at: Option<DateTime<Utc>>,
    /// What it is about.
    #[oai(default = "an_alert", validator(max_length = 10_000))]
    #[serde(default = "an_alert")]
    summary: String,
    /// As alerts have it.
    #[oai(default, validator(max_length = 100))]
    #[serde(default)]
    severity: String,
    /// What silences look at.
    #[oai(default)]
    #[serde(default)]
    labels: HashMap<String, String>,
    /// Who answers. Everybody else lets it ring.
    #[oai(default, validator(max_items = 100))]
    #[serde(default)]
    answers: Vec<Answer>,
}

fn an_alert() -> String {
    "a simulated alert".into()
}

/// Something that would happen.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Happening {
    /// When.
    at: DateTime<Utc>,
    /// What happens, for programs: `call`, or the kind of a timeline's line.
    kind: String,
    /// What happens, for people.
    text: String,
    /// The call, if it is one.
    call: Option<SimulatedCall>,
}

/// A call that would be placed.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct SimulatedCall {
    /// Whom it is for.
    to: String,
    /// The contact's identifier.
    contact_id: Option<Uuid>,
    /// The number.
    number: String,
    /// Which of the contact's numbers that is, from 1.
    nth_number: u32,
    /// Which call to them it is, from 1.
    nth: u32,
    /// By which means they are told.
    method: String,
    /// In which language.
    language: String,
    /// What is said to them.
    spoken: String,
    /// What they would say.
    answer: Option<Says>,
}

/// What would happen, in order.
#[derive(Debug, Object)]
struct Simulation {
    /// In order.
    items: Vec<Happening>,
    /// Where the incident stands at the end.
    state: String,
    /// Whether it goes on behind the limits of a simulation (seven days, 2,000 happenings).
    cut: bool,
}

#[OpenApi(prefix_path = "/api/v2/policies", tag = "Tag::Policies")]
impl Simulations {
    /// See beforehand whom an alert would call, when, how, and what is said
    ///
    /// Calls nobody and changes nothing. It is decided by the same function as a real alert, with the
    /// schedules, overrides, calendars and silences that are known now. Phones ring for as long as the
    /// route lets them, number after number, unless `answers` says otherwise.
    #[oai(path = "/:id/simulate", method = "post", operation_id = "simulate_policy")]
    async fn simulate(
        &self,
        _caller: ReadsPolicies,
        id: Path<Uuid>,
        supposed: Body<Supposed>,
    ) -> Result<Json<Simulation>, Problem> {
        let policy = self.0.store.policy_by_id(PolicyId(id.0)).await?.ok_or_else(|| Problem::not_found("policy"))?;
        let supposed = supposed.0;
        let at = supposed.at.unwrap_or_else(|| self.0.clock.now());
        let at = times::instant("at", at)?;
        let summary = text(supposed.summary);
        let labels: std::collections::BTreeMap<String, String> = supposed.labels.into_iter().collect();
        let member = Member {
            fingerprint: String::new(),
            summary: summary.clone(),
            severity: supposed.severity.clone(),
            firing: true,
            labels: labels.clone(),
        };
        let content =
            Content { summary, severity: supposed.severity, labels, members: vec![member], ..Content::default() };
        let supposition = Supposition {
            at,
            content,
            turn: policy.turns.rem_euclid(i64::from(i32::MAX)).try_into().unwrap_or(0),
            rings: self.0.rings,
            answers: supposed.answers.into_iter().map(engine::Answer::from).collect(),
        };
        let simulation = self.0.engine.simulate(Some(&policy.name), &policy.policy, &supposition).await?;
        let mut items = Vec::with_capacity(simulation.happenings.len());
        for happening in simulation.happenings {
            items.push(self.show(happening, &supposition.content)?);
        }
        let state = crate::store::state_name(&simulation.state).to_owned();
        Ok(Json(Simulation { items, state, cut: simulation.cut }))
    }
}

impl Simulations {
    fn show(&self, happening: engine::Happening, content: &Content) -> Result<Happening, Problem> {
        let at = happening.at;
        Ok(match happening.what {
            What::Fact(fact) => {
                let document = serde_json::to_value(&fact).unwrap_or_default();
                let kind = document["kind"].as_str().unwrap_or_default().to_owned();
                Happening { at, kind, text: fact.sentence(), call: None }
            }
            What::Call { to, contact, number, nth_number, nth, answer, at: _ } => {
                let language = self.language(contact.as_ref());
                let ending = match answer {
                    None => "nobody answers",
                    Some(engine::Says::Acknowledge) => "acknowledges",
                    Some(engine::Says::Escalate) => "escalates",
                    Some(engine::Says::Resolve) => "resolves",
                };
                let text =
                    format!("call {nth} to {to}, number {nth_number} ({number}): {ending}", number = number.as_str());
                let call = SimulatedCall {
                    to,
                    contact_id: contact.map(|contact| contact.id.0),
                    number: number.as_str().to_owned(),
                    nth_number,
                    nth,
                    method: "call".into(),
                    spoken: self.spoken(language, content)?,
                    language: language.to_owned(),
                    answer: answer.map(Says::from),
                };
                Happening { at, kind: "call".into(), text, call: Some(call) }
            }
        })
    }

    fn language(&self, contact: Option<&Arc<Contact>>) -> &'static str {
        self.0.script.language(contact.map(|contact| contact.data.language.as_str()).unwrap_or_default())
    }

    fn spoken(&self, language: &str, content: &Content) -> Result<String, Problem> {
        let alert = Line::Alert(Alert {
            nth: 1,
            of: 1,
            severity: &content.severity,
            summary: &content.summary,
            members: content.members.iter().map(|member| member.summary.as_str()).collect(),
            truncated: content.truncated,
        });
        let said = self.0.script.text(language, &alert);
        said.map_err(|error| Problem::unprocessable(format!("this cannot be spoken: {error}")))
    }
}

impl From<Answer> for engine::Answer {
    fn from(answer: Answer) -> Self {
        let says = match answer.says {
            Says::Acknowledge => engine::Says::Acknowledge,
            Says::Escalate => engine::Says::Escalate,
            Says::Resolve => engine::Says::Resolve,
        };
        Self { who: answer.who, nth: answer.nth, after: TimeDelta::seconds(answer.after.into()), says }
    }
}

impl From<engine::Says> for Says {
    fn from(says: engine::Says) -> Self {
        match says {
            engine::Says::Acknowledge => Self::Acknowledge,
            engine::Says::Escalate => Self::Escalate,
            engine::Says::Resolve => Self::Resolve,
        }
    }
}
