//! Alerts in: the generic one, and Alertmanager's webhook.

use std::collections::{BTreeMap, HashMap};

use poem_openapi::{Enum, Object, OpenApi, param::Query, payload::Json};

use serde::Deserialize;

use super::{
    State, Tag,
    alertmanager::{self, Status, Webhook, short},
    auth::RaisesAlerts,
    body::Body,
    error::Problem,
    idempotency::Once,
    text,
};
use crate::{
    engine::{Alert, PolicyChoice, Raised},
    store::{Content, Member},
};

/// Alerts in.
pub struct Alerts(pub State);

/// An alert.
#[derive(Debug, Object, Deserialize)]
struct NewAlert {
    /// What has happened, in one sentence: this is spoken. What is longer than 300 characters is
    /// stored whole and spoken up to there.
    #[oai(validator(max_length = 100_000))]
    summary: String,
    /// Everything else there is to say.
    #[oai(default, validator(max_length = 500_000))]
    #[serde(default)]
    details: String,
    /// Spoken before the summary. A higher one than before pages again (`info`, `warning`, `critical`).
    #[oai(default, validator(max_length = 64))]
    #[serde(default)]
    severity: String,
    /// Whatever else belongs to it.
    #[oai(default)]
    #[serde(default)]
    labels: HashMap<String, String>,
    /// What makes two alerts the same incident. Without one, each alert is an incident of its own.
    #[oai(validator(min_length = 1, max_length = 1024))]
    dedup_key: Option<String>,
    /// The name of the policy that pages; the default one if it is not said or does not exist.
    #[oai(validator(max_length = 256))]
    policy: Option<String>,
    /// Whether it holds or is over.
    #[oai(default)]
    #[serde(default)]
    status: Status,
}

/// What became of an alert.
#[derive(Debug, Object)]
struct Outcome {
    /// What became of it.
    outcome: What,
    /// The incident it belongs to.
    #[oai(skip_serializing_if_is_none)]
    incident_id: Option<String>,
}

/// What became of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum What {
    /// It opened an incident.
    Opened,
    /// It belongs to an incident that is open.
    Updated,
    /// It ended one.
    Resolved,
    /// It says that something is over that is not open.
    NothingOpen,
}

/// What became of a delivery.
#[derive(Debug, Object)]
struct Outcomes {
    /// One for each incident that the delivery is about.
    results: Vec<Outcome>,
}

#[derive(poem_openapi::ApiResponse)]
enum Accepted {
    /// Stored; it opened an incident.
    #[oai(status = 201)]
    Opened(Json<Outcome>),
    /// Stored; it belongs to an incident that was open, or to none.
    #[oai(status = 200)]
    Noted(Json<Outcome>),
}

#[OpenApi(prefix_path = "/api/v2/alerts", tag = "Tag::Alerts")]
impl Alerts {
    /// Raise an alert
    ///
    /// It is stored when this answers with 2xx. On 503 nothing is stored: send it again.
    #[oai(path = "/", method = "post", operation_id = "raise_alert")]
    async fn raise(
        &self,
        caller: RaisesAlerts,
        /// Sent again under the same key, within a day, an alert is raised once and answered the same.
        #[oai(name = "Idempotency-Key")]
        once: Once,
        alert: Body<NewAlert>,
    ) -> Result<Accepted, Problem> {
        let (alert, chosen) = (alert.0, once.chosen());
        if once.again() && self.0.store.incident(chosen).await?.is_some() {
            return Ok(Accepted::Opened(Json(Raised::Opened(chosen).into())));
        }
        if alert.summary.trim().is_empty() {
            return Err(Problem::malformed("summary: is empty"));
        }
        let summary = text(alert.summary);
        let labels: BTreeMap<String, String> =
            alert.labels.into_iter().map(|(name, value)| (text(name), text(value))).collect();
        let severity = text(alert.severity);
        let member = Member {
            fingerprint: String::new(),
            summary: summary.clone(),
            severity: severity.clone(),
            firing: alert.status == Status::Firing,
            labels: labels.clone(),
        };
        let content =
            Content { summary, details: text(alert.details), severity, labels, truncated: 0, members: vec![member] };
        // Without a key of its own an alert is like no other.
        let dedup_key = alert.dedup_key.map_or_else(|| format!("alert/{chosen}"), |key| short(text(key)));
        let outcome = self
            .0
            .engine
            .raise(Alert {
                dedup_key,
                policy: policy(alert.policy, caller.principal.policy.as_ref()),
                source: caller.0.name().to_owned(),
                content,
                all_over: alert.status == Status::Resolved,
                schedule: None,
                id: Some(chosen),
            })
            .await?;
        Ok(match outcome {
            Raised::Opened(_) => Accepted::Opened(Json(outcome.into())),
            _ => Accepted::Noted(Json(outcome.into())),
        })
    }

    /// Alertmanager's webhook (version 4)
    ///
    /// One incident per group. Give the policy as `?policy=` in the receiver's URL. Answers 2xx once
    /// everything is stored; on 503 Alertmanager sends it again by itself.
    #[oai(path = "/alertmanager", method = "post", operation_id = "alertmanager_webhook")]
    async fn alertmanager(
        &self,
        caller: RaisesAlerts,
        /// For senders that have one; Alertmanager's own repetitions are known by what they say.
        #[oai(name = "Idempotency-Key")]
        _once: Once,
        /// The policy that pages; the default one if it is not said or does not exist.
        #[oai(name = "policy", validator(max_length = 256))]
        named: Query<Option<String>>,
        webhook: Body<Webhook>,
    ) -> Result<Json<Outcomes>, Problem> {
        let mut results = Vec::new();
        for alert in alertmanager::alerts(
            webhook.0,
            &policy(named.0, caller.principal.policy.as_ref()),
            caller.0.name(),
            self.0.alertmanager_per,
        ) {
            results.push(self.0.engine.raise(alert).await?.into());
        }
        Ok(Json(Outcomes { results }))
    }
}

/// The policy that the request names, else the one of whoever sends it; else rules decide.
fn policy(named: Option<String>, of_key: Option<&String>) -> PolicyChoice {
    let named = named.filter(|name| !name.is_empty()).or_else(|| of_key.cloned());
    named.map_or(PolicyChoice::Default, |name| PolicyChoice::Named(text(name)))
}

impl From<Raised> for Outcome {
    fn from(raised: Raised) -> Self {
        let (outcome, id) = match raised {
            Raised::Opened(id) => (What::Opened, Some(id)),
            Raised::Updated(id) => (What::Updated, Some(id)),
            Raised::Resolved(id) => (What::Resolved, Some(id)),
            Raised::NothingOpen => (What::NothingOpen, None),
        };
        Self { outcome, incident_id: id.map(|id| id.to_string()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_names_the_policy_else_the_key_else_nobody() {
        let chosen = |named: Option<&str>, key: Option<&str>| match policy(
            named.map(str::to_owned),
            key.map(str::to_owned).as_ref(),
        ) {
            PolicyChoice::Named(name) => name,
            other => format!("{other:?}"),
        };
        assert_eq!(chosen(Some("night"), Some("web")), "night");
        assert_eq!(chosen(None, Some("web")), "web");
        assert_eq!(chosen(Some(""), Some("web")), "web");
        assert_eq!(chosen(None, None), "Default");
    }
}
