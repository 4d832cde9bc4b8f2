//! Escalation policies: edit them, look at what they were, and see beforehand whom they would call.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsPolicies, ReadsPolicies},
    body::Body,
    error::Problem,
    names,
    targets::Target,
    version::{etag, expected},
};
use crate::{
    escalation,
    id::PolicyId,
    store::{self, NamedPolicy, PolicyData},
};

/// Policies.
pub struct Policies(pub State);

/// By which means people are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Method {
    /// A phone call.
    #[default]
    Call,
    /// A text message.
    Sms,
    /// A text message, and a call if nobody has taken it after `wait`.
    SmsThenCall,
    /// Both at once.
    CallAndSms,
}

/// One step: everybody in it is called at once, unless they take turns.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct Step {
    /// Whom.
    #[oai(validator(min_items = 1, max_items = 50))]
    targets: Vec<Target>,
    /// By which means.
    #[oai(default)]
    #[serde(default)]
    method: Method,
    /// Seconds from the text to the call, for `sms_then_call`.
    #[oai(default = "default_wait", validator(minimum(value = "1"), maximum(value = "86400")))]
    #[serde(default = "default_wait")]
    wait: u32,
    /// How many tries.
    #[oai(default = "default_attempts", validator(minimum(value = "1"), maximum(value = "100")))]
    #[serde(default = "default_attempts")]
    attempts: u32,
    /// Seconds from the start of one try to the start of the next.
    #[oai(default = "default_delay", validator(minimum(value = "1"), maximum(value = "86400")))]
    #[serde(default = "default_delay")]
    attempt_delay: u32,
    /// Seconds from the start of the last try to the next step.
    #[oai(default = "default_delay", validator(minimum(value = "1"), maximum(value = "604800")))]
    #[serde(default = "default_delay")]
    delay: u32,
    /// It counts only while this calendar (identifier or name) is open.
    #[oai(validator(max_length = 300))]
    only_during: Option<String>,
    /// It does not count while this calendar (identifier or name) is open.
    #[oai(validator(max_length = 300))]
    not_during: Option<String>,
    /// One person at a time: each incident, and each try, begins with the one after the last.
    #[oai(default)]
    #[serde(default)]
    round_robin: bool,
    /// Whoever does not answer the call gets a text.
    #[oai(default)]
    #[serde(default)]
    text_if_missed: bool,
}

/// What is done when all rounds went unanswered: one of these.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct OnExhausted {
    /// One more step, once.
    last_resort: Option<Step>,
    /// Everything again after so many seconds, for ever.
    #[oai(validator(minimum(value = "60"), maximum(value = "604800")))]
    repeat_every: Option<u32>,
}

/// A policy as it is to be.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct PolicyEdit {
    /// What alerts call it; unique.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// Whether it pages for alerts that nothing else names a policy for; then no other does.
    #[oai(default)]
    #[serde(default)]
    default: bool,
    /// How many more rounds after the first.
    #[oai(default, validator(maximum(value = "1000")))]
    #[serde(default)]
    repeat: u32,
    /// Seconds after which what was acknowledged and not resolved pages again.
    #[oai(validator(minimum(value = "1"), maximum(value = "2592000")))]
    ack_timeout: Option<u32>,
    /// What is done when all rounds went unanswered.
    on_exhausted: Option<OnExhausted>,
    /// Whether open incidents go on by the policy as it is edited, not as it was when they were raised.
    #[oai(default)]
    #[serde(default)]
    follow_edits: bool,
    /// The steps of one round, in order.
    #[oai(validator(min_items = 1, max_items = 50))]
    steps: Vec<Step>,
}

fn default_wait() -> u32 {
    120
}

fn default_attempts() -> u32 {
    1
}

fn default_delay() -> u32 {
    60
}

/// A policy.
#[derive(Debug, Object)]
struct Policy {
    /// Its identifier.
    id: Uuid,
    /// Which version of it this is, from 1; also the ETag.
    version: i64,
    /// When it became so.
    updated_at: DateTime<Utc>,
    /// What it says.
    #[oai(flatten)]
    policy: PolicyEdit,
}

/// Policies, by name.
#[derive(Debug, Object)]
struct PolicyList {
    /// All of them.
    items: Vec<Policy>,
}

/// A version of a policy.
#[derive(Debug, Object)]
struct PolicyVersion {
    /// Which, from 1.
    version: i64,
    /// Who made it so.
    made_by: String,
    /// When.
    made_at: DateTime<Utc>,
    /// What it said; `name` and `default` are today's.
    policy: PolicyEdit,
}

/// Versions of a policy, the newest first.
#[derive(Debug, Object)]
struct PolicyVersions {
    /// All of them.
    items: Vec<PolicyVersion>,
}

#[derive(ApiResponse)]
enum Created {
    /// Made.
    #[oai(status = 201)]
    Created(
        Json<Policy>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// As it is.
    #[oai(status = 200)]
    Found(
        Json<Policy>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Deleted.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(prefix_path = "/api/v2/policies", tag = "Tag::Policies")]
impl Policies {
    /// List policies
    #[oai(path = "/", method = "get", operation_id = "list_policies")]
    async fn list(&self, _caller: ReadsPolicies) -> Result<Json<PolicyList>, Problem> {
        let mut items = Vec::new();
        for policy in self.0.store.policies().await? {
            items.push(self.show(policy).await?);
        }
        Ok(Json(PolicyList { items }))
    }

    /// Make a policy
    ///
    /// Refused if it can never reach anybody: no target that can be called.
    #[oai(path = "/", method = "post", operation_id = "create_policy")]
    async fn create(&self, caller: EditsPolicies, policy: Body<PolicyEdit>) -> Result<Created, Problem> {
        let data = self.read(policy.0).await?;
        let now = self.0.clock.now();
        let id = self.0.by(&caller.0).create_policy(data, caller.0.name(), now).await.map_err(name_taken)?;
        let policy = self.present(id).await?;
        let tag = etag(policy.version);
        Ok(Created::Created(Json(self.show(policy).await?), tag))
    }

    /// One policy
    #[oai(path = "/:id", method = "get", operation_id = "get_policy")]
    async fn get(&self, _caller: ReadsPolicies, id: Path<Uuid>) -> Result<Found, Problem> {
        self.found(PolicyId(id.0)).await
    }

    /// Change a policy: a new version
    ///
    /// Open incidents go on by the version that they were raised under, unless it says `follow_edits`.
    #[oai(path = "/:id", method = "put", operation_id = "update_policy")]
    async fn update(
        &self,
        caller: EditsPolicies,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        policy: Body<PolicyEdit>,
    ) -> Result<Found, Problem> {
        let id = PolicyId(id.0);
        let version = expected(if_match.0.as_deref(), self.present(id).await?.version)?;
        let data = self.read(policy.0).await?;
        let before = self.present(id).await?;
        let places = self.used_by_name(&before).await?;
        if data.name != before.name && !places.is_empty() {
            return Err(Problem::in_use("policy's name", &places));
        }
        let name = data.name.clone();
        let now = self.0.clock.now();
        match self.0.by(&caller.0).update_policy(id, version, data, caller.0.name(), now).await {
            Err(store::Error::Conflict) => {
                let namesake = self.0.store.policy(&name).await?.is_some_and(|other| other.id != id);
                let present = self.present(id).await?.version;
                Err(if namesake { name_taken(store::Error::Conflict) } else { Problem::changed(present) })
            }
            updated => {
                updated?;
                self.found(id).await
            }
        }
    }

    /// Delete a policy
    ///
    /// Open incidents keep it as it was when they were raised. Refused while a routing rule, a heartbeat
    /// or nothing but it as the default one would be left without a policy.
    #[oai(path = "/:id", method = "delete", operation_id = "delete_policy")]
    async fn delete(
        &self,
        caller: EditsPolicies,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let id = PolicyId(id.0);
        let policy = self.present(id).await?;
        let version = expected(if_match.0.as_deref(), policy.version)?;
        let mut places = Vec::new();
        let rules = self.0.store.routing_rules().await?.rules;
        places
            .extend(rules.iter().filter(|rule| rule.policy == id).map(|rule| format!("routing rule {:?}", rule.name)));
        places.extend(self.used_by_name(&policy).await?);
        if !places.is_empty() {
            return Err(Problem::in_use("policy", &places));
        }
        match self.0.by(&caller.0).delete_policy(id, version).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            deleted => Ok(deleted.map(|()| Deleted::Deleted)?),
        }
    }

    /// What a policy was before, the newest version first
    #[oai(path = "/:id/versions", method = "get", operation_id = "list_policy_versions")]
    async fn versions(&self, _caller: ReadsPolicies, id: Path<Uuid>) -> Result<Json<PolicyVersions>, Problem> {
        let present = self.present(PolicyId(id.0)).await?;
        let mut items = Vec::new();
        for version in self.0.store.policy_versions(present.id).await? {
            items.push(PolicyVersion {
                version: version.version,
                made_by: version.made_by,
                made_at: version.made_at,
                policy: self.show_edit(&present.name, present.is_default, &version.policy).await?,
            });
        }
        Ok(Json(PolicyVersions { items }))
    }
}

impl Policies {
    async fn present(&self, id: PolicyId) -> Result<NamedPolicy, Problem> {
        self.0.store.policy_by_id(id).await?.ok_or_else(|| Problem::not_found("policy"))
    }

    /// Where a policy is meant by its name.
    async fn used_by_name(&self, policy: &NamedPolicy) -> Result<Vec<String>, Problem> {
        let heartbeats = self.0.store.heartbeats().await?;
        let named = heartbeats.iter().filter(|beat| beat.data.policy.as_deref() == Some(policy.name.as_str()));
        Ok(named.map(|beat| format!("heartbeat {:?}", beat.name)).collect())
    }

    async fn found(&self, id: PolicyId) -> Result<Found, Problem> {
        let policy = self.present(id).await?;
        let tag = etag(policy.version);
        Ok(Found::Found(Json(self.show(policy).await?), tag))
    }

    async fn read(&self, edit: PolicyEdit) -> Result<PolicyData, Problem> {
        let mut steps = Vec::new();
        for (nth, step) in edit.steps.iter().enumerate() {
            steps.push(self.read_step(&format!("steps[{nth}]"), step).await?);
        }
        let on_exhausted = match edit.on_exhausted {
            None => None,
            Some(OnExhausted { last_resort: Some(step), repeat_every: None }) => {
                let step = self.read_step("on_exhausted.last_resort", &step).await?;
                Some(escalation::OnExhausted::LastResort(step))
            }
            Some(OnExhausted { last_resort: None, repeat_every: Some(every) }) => {
                Some(escalation::OnExhausted::Repeat { every: seconds(every) })
            }
            Some(_) => {
                let detail = "on_exhausted: give exactly one of last_resort, repeat_every";
                return Err(Problem::unprocessable(detail));
            }
        };
        let policy = escalation::Policy {
            repeat: edit.repeat,
            ack_timeout: edit.ack_timeout.map(seconds),
            on_exhausted,
            follow_edits: edit.follow_edits,
            steps,
            ..escalation::Policy::default()
        };
        let unreachable = self.0.engine.unreachable(&policy).await?;
        if unreachable.len() == policy.all_steps().count() {
            let detail = format!("steps: this can never reach anybody: {}", unreachable.join("; "));
            return Err(Problem::unprocessable(detail));
        }
        Ok(PolicyData { name: super::name("name", &edit.name)?, policy, is_default: edit.default })
    }

    async fn read_step(&self, field: &str, step: &Step) -> Result<escalation::Step, Problem> {
        let mut targets = Vec::new();
        for (nth, target) in step.targets.iter().enumerate() {
            targets.push(self.0.target(&format!("{field}.targets[{nth}]"), target).await?);
        }
        let method = match step.method {
            Method::Call => escalation::Method::Call,
            Method::Sms => escalation::Method::Sms,
            Method::SmsThenCall => escalation::Method::SmsThenCall { wait: seconds(step.wait) },
            Method::CallAndSms => escalation::Method::CallAndSms,
        };
        let calendar = async |name: &str, text: &Option<String>| match text {
            Some(text) => names::calendar(&self.0.store, &format!("{field}.{name}"), text).await.map(Some),
            None => Ok(None),
        };
        Ok(escalation::Step {
            targets,
            method,
            attempts: step.attempts,
            attempt_delay: seconds(step.attempt_delay),
            delay: seconds(step.delay),
            only_during: calendar("only_during", &step.only_during).await?,
            not_during: calendar("not_during", &step.not_during).await?,
            round_robin: step.round_robin,
            text_if_missed: step.text_if_missed,
        })
    }

    async fn show(&self, named: NamedPolicy) -> Result<Policy, Problem> {
        let policy = self.show_edit(&named.name, named.is_default, &named.policy).await?;
        Ok(Policy { id: named.id.0, version: named.version, updated_at: named.updated_at, policy })
    }

    async fn show_edit(&self, name: &str, default: bool, policy: &escalation::Policy) -> Result<PolicyEdit, Problem> {
        let mut steps = Vec::new();
        for step in &policy.steps {
            steps.push(self.show_step(step).await?);
        }
        let on_exhausted = match &policy.on_exhausted {
            None => None,
            Some(escalation::OnExhausted::LastResort(step)) => {
                Some(OnExhausted { last_resort: Some(self.show_step(step).await?), repeat_every: None })
            }
            Some(escalation::OnExhausted::Repeat { every }) => {
                Some(OnExhausted { last_resort: None, repeat_every: Some(whole_seconds(*every)) })
            }
        };
        Ok(PolicyEdit {
            name: name.to_owned(),
            default,
            repeat: policy.repeat,
            ack_timeout: policy.ack_timeout.map(whole_seconds),
            on_exhausted,
            follow_edits: policy.follow_edits,
            steps,
        })
    }

    async fn show_step(&self, step: &escalation::Step) -> Result<Step, Problem> {
        let mut targets = Vec::new();
        for target in &step.targets {
            targets.push(self.0.show_target(target).await?);
        }
        let (method, wait) = match &step.method {
            escalation::Method::Call => (Method::Call, default_wait()),
            escalation::Method::Sms => (Method::Sms, default_wait()),
            escalation::Method::SmsThenCall { wait } => (Method::SmsThenCall, whole_seconds(*wait)),
            escalation::Method::CallAndSms => (Method::CallAndSms, default_wait()),
        };
        Ok(Step {
            targets,
            method,
            wait,
            attempts: step.attempts,
            attempt_delay: whole_seconds(step.attempt_delay),
            delay: whole_seconds(step.delay),
            only_during: step.only_during.map(|id| id.to_string()),
            not_during: step.not_during.map(|id| id.to_string()),
            round_robin: step.round_robin,
            text_if_missed: step.text_if_missed,
        })
    }
}

fn name_taken(error: store::Error) -> Problem {
    match error {
        store::Error::Conflict => Problem::conflict("name: another policy is called so"),
        error => error.into(),
    }
}

fn seconds(seconds: u32) -> TimeDelta {
    TimeDelta::seconds(seconds.into())
}

fn whole_seconds(delta: TimeDelta) -> u32 {
    delta.num_seconds().try_into().unwrap_or(u32::MAX)
}
