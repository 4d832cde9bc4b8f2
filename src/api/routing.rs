//! Routing rules: which policy pages for an alert that names none.

use poem_openapi::{ApiResponse, Object, OpenApi, param::Header, payload::Json};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{EditsPolicies, ReadsPolicies},
    body::Body,
    error::Problem,
    name,
    version::{etag, expected},
};
use crate::{id::PolicyId, store, triage};

/// Matchers of all rules together: every alert that names no policy is compared with them.
const MOST_MATCHERS: usize = 1000;

/// Routing rules.
pub struct Routing(pub State);

/// A rule.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct Rule {
    /// What it is called.
    #[oai(validator(min_length = 1, max_length = 200))]
    name: String,
    /// What labels must be, in Alertmanager's syntax, such as `severity="critical"` or `job=~"node.*"`.
    /// None matches everything. `severity` and the alert's own labels can be asked for.
    #[oai(default, validator(max_items = 50))]
    #[serde(default)]
    matchers: Vec<String>,
    /// The policy that pages, by identifier or name.
    #[oai(validator(min_length = 1, max_length = 200))]
    policy: String,
    /// What the policy is called; ignored in what you send.
    #[oai(validator(max_length = 200))]
    policy_name: Option<String>,
    /// The severity that the incident gets, if not the alert's.
    #[oai(validator(max_length = 100))]
    severity: Option<String>,
    /// Whether it counts.
    #[oai(default = "yes")]
    #[serde(default = "yes")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// The rules in order: the first that matches decides, the default policy pages for what none matches.
#[derive(Clone, Debug, Object, Deserialize)]
struct Rules {
    /// In order.
    #[oai(validator(max_items = 500))]
    items: Vec<Rule>,
}

#[derive(ApiResponse)]
enum Found {
    /// As they are.
    #[oai(status = 200)]
    Found(
        Json<Rules>,
        /// Send it as `If-Match` to change them.
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(prefix_path = "/api/v2/routing-rules", tag = "Tag::Policies")]
impl Routing {
    /// The routing rules, in order
    #[oai(path = "/", method = "get", operation_id = "get_routing_rules")]
    async fn get(&self, _caller: ReadsPolicies) -> Result<Found, Problem> {
        self.found().await
    }

    /// Put these rules in the place of those that are there
    #[oai(path = "/", method = "put", operation_id = "set_routing_rules")]
    async fn set(
        &self,
        caller: EditsPolicies,
        /// The ETag of the rules that were read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        rules: Body<Rules>,
    ) -> Result<Found, Problem> {
        let present = self.0.store.routing_rules().await?.version;
        let version = expected(if_match.0.as_deref(), present)?;
        let matchers: usize = rules.0.items.iter().map(|rule| rule.matchers.len()).sum();
        if matchers > MOST_MATCHERS {
            let detail = format!("items: {matchers} matchers in all, and {MOST_MATCHERS} are the most");
            return Err(Problem::unprocessable(detail));
        }
        let mut read = Vec::new();
        for (nth, rule) in rules.0.items.iter().enumerate() {
            read.push(self.read(&format!("items[{nth}]"), rule).await?);
        }
        match self.0.by(&caller.0).set_routing_rules(version, read, self.0.clock.now()).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.0.store.routing_rules().await?.version)),
            set => {
                set?;
                self.found().await
            }
        }
    }
}

impl Routing {
    async fn found(&self) -> Result<Found, Problem> {
        let rules = self.0.store.routing_rules().await?;
        let mut items = Vec::new();
        for rule in rules.rules {
            items.push(Rule {
                name: rule.name,
                matchers: rule.matchers.iter().map(ToString::to_string).collect(),
                policy: rule.policy.to_string(),
                policy_name: self.0.store.policy_name(rule.policy).await?,
                severity: rule.severity,
                enabled: rule.enabled,
            });
        }
        Ok(Found::Found(Json(Rules { items }), etag(rules.version)))
    }

    async fn read(&self, field: &str, rule: &Rule) -> Result<triage::Rule, Problem> {
        let policy = match rule.policy.parse::<Uuid>() {
            Ok(id) => self.0.store.policy_name(PolicyId(id)).await?.map(|_| PolicyId(id)),
            Err(_) => self.0.store.policy(&rule.policy).await?.map(|found| found.id),
        };
        let unknown = || Problem::unprocessable(format!("{field}.policy: there is no policy {:?}", rule.policy));
        Ok(triage::Rule {
            name: name(&format!("{field}.name"), &rule.name)?,
            matchers: matchers(&format!("{field}.matchers"), &rule.matchers)?,
            policy: policy.ok_or_else(unknown)?,
            severity: rule.severity.clone().filter(|severity| !severity.is_empty()),
            enabled: rule.enabled,
        })
    }
}

/// Matchers in Alertmanager's syntax, one each.
pub(super) fn matchers(field: &str, texts: &[String]) -> Result<Vec<triage::Matcher>, Problem> {
    let read = |(nth, text): (usize, &String)| {
        text.parse().map_err(|error| Problem::unprocessable(format!("{field}[{nth}]: {error}")))
    };
    texts.iter().enumerate().map(read).collect()
}
