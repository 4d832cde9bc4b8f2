//! Prometheus Alertmanager's webhook, version 4 (Prometheus documentation, "Configuration", `<webhook_config>`).

use std::collections::{BTreeMap, HashMap};

use poem_openapi::{Enum, Object};
use serde::Deserialize;

use super::{body::Body, text};
use crate::{
    config::Per,
    engine::{Alert, PolicyChoice, rank},
    store::{Content, Member},
};

/// Whether it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    #[default]
    Firing,
    /// It is over.
    Resolved,
}

/// A delivery. Fields that are not listed here are passed over.
#[derive(Debug, Object, Deserialize)]
pub struct Webhook {
    /// Alertmanager's name for the group.
    #[oai(rename = "groupKey")]
    #[serde(rename = "groupKey")]
    group_key: String,
    /// The receiver's name.
    receiver: String,
    /// `resolved` once no alert of the group fires any more.
    status: Status,
    /// The alerts of the group.
    alerts: Vec<WebhookAlert>,
    /// How many the sender left out (`max_alerts`).
    #[oai(rename = "truncatedAlerts", default)]
    #[serde(rename = "truncatedAlerts", default)]
    truncated_alerts: u32,
    /// What the group is made by.
    #[oai(rename = "groupLabels", default)]
    #[serde(rename = "groupLabels", default)]
    group_labels: HashMap<String, String>,
    /// What its alerts have in common.
    #[oai(rename = "commonLabels", default)]
    #[serde(rename = "commonLabels", default)]
    common_labels: HashMap<String, String>,
    /// What their annotations have in common.
    #[oai(rename = "commonAnnotations", default)]
    #[serde(rename = "commonAnnotations", default)]
    common_annotations: HashMap<String, String>,
    /// Where Alertmanager is.
    #[oai(rename = "externalURL", default)]
    #[serde(rename = "externalURL", default)]
    external_url: String,
}

/// One alert of a group.
#[derive(Debug, Object, Deserialize)]
struct WebhookAlert {
    /// Whether it holds.
    status: Status,
    /// What it is.
    #[oai(default)]
    #[serde(default)]
    labels: HashMap<String, String>,
    /// What is said about it.
    #[oai(default)]
    #[serde(default)]
    annotations: HashMap<String, String>,
    /// Alertmanager's name for the set of labels.
    #[oai(default)]
    #[serde(default)]
    fingerprint: String,
}

/// The alerts that the body of a delivery is, in our words; or what is wrong with it. This is the whole way from
/// the bytes to the engine, without a server, for whoever throws many bodies at it.
///
/// # Errors
/// If it is no delivery.
pub fn delivered(body: &[u8], policy: &PolicyChoice, source: &str, per: Per) -> Result<Vec<Alert>, String> {
    Body::<Webhook>::parse(body).map(|webhook| alerts(webhook.0, policy, source, per))
}

/// The alerts that a delivery is, in our words. Never keyed on a text.
pub(super) fn alerts(webhook: Webhook, policy: &PolicyChoice, source: &str, per: Per) -> Vec<Alert> {
    let group = format!("{}/{}", text(webhook.receiver.clone()), text(webhook.group_key.clone()));
    // With alerts left out, the status is that of the others only.
    let all_over = webhook.status == Status::Resolved && webhook.truncated_alerts == 0;
    let title = title(&webhook);
    let members: Vec<(Member, String)> = webhook.alerts.into_iter().map(member).collect();
    let alert = |dedup_key: String, content: Content, all_over: bool| Alert {
        dedup_key: short(dedup_key),
        policy: policy.clone(),
        source: source.to_owned(),
        content,
        all_over,
        schedule: None,
        id: None,
    };
    match per {
        Per::Alert => members
            .into_iter()
            .map(|(member, details)| {
                let content = Content {
                    summary: member.summary.clone(),
                    details,
                    severity: member.severity.clone(),
                    labels: member.labels.clone(),
                    truncated: 0,
                    members: vec![member.clone()],
                };
                let over = !member.firing;
                alert(format!("{group}/{}", member.fingerprint), content, over)
            })
            .collect(),
        Per::Group => {
            let firing: Vec<&Member> = members.iter().map(|(member, _)| member).filter(|m| m.firing).collect();
            let summary = match *firing {
                [only] if webhook.truncated_alerts == 0 => only.summary.clone(),
                _ => title,
            };
            let worst = firing.iter().map(|member| &*member.severity).max_by_key(|severity| rank(severity));
            let mut details: Vec<String> = members.iter().map(|(_, details)| details.clone()).collect();
            details.push(text(webhook.external_url));
            details.retain(|line| !line.is_empty());
            let content = Content {
                summary,
                details: details.join("\n"),
                severity: worst.unwrap_or_default().to_owned(),
                labels: texts(webhook.common_labels),
                truncated: webhook.truncated_alerts,
                members: members.into_iter().map(|(member, _)| member).collect(),
            };
            vec![alert(group, content, all_over)]
        }
    }
}

/// A key of any length in at most 200 bytes: databases index no more.
pub(super) fn short(key: String) -> String {
    use sha2::{Digest, Sha256};
    if key.len() <= 200 { key } else { format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes()))) }
}

/// One alert and its details.
fn member(alert: WebhookAlert) -> (Member, String) {
    let labels = texts(alert.labels);
    let annotations = texts(alert.annotations);
    let summary = ["summary", "message", "title", "description"]
        .iter()
        .filter_map(|name| annotations.get(*name))
        .find(|text| !text.trim().is_empty())
        .cloned()
        .unwrap_or_else(|| name(&labels));
    let details = annotations.get("description").filter(|text| **text != summary).cloned().unwrap_or_default();
    let member = Member {
        fingerprint: text(alert.fingerprint),
        summary,
        severity: labels.get("severity").cloned().unwrap_or_default(),
        firing: alert.status == Status::Firing,
        labels,
    };
    (member, details)
}

/// What a whole group is called.
fn title(webhook: &Webhook) -> String {
    let common = webhook.common_annotations.get("summary").filter(|text| !text.trim().is_empty());
    let labels = || texts(webhook.group_labels.clone().into_iter().chain(webhook.common_labels.clone()).collect());
    common.map_or_else(|| name(&labels()), |summary| text(summary.clone()))
}

/// What an alert without words is called.
fn name(labels: &BTreeMap<String, String>) -> String {
    match (labels.get("alertname"), labels.get("instance")) {
        (Some(name), Some(instance)) => format!("{name} on {instance}"),
        (Some(name), None) => name.clone(),
        (None, _) if labels.is_empty() => "an alert without a name".to_owned(),
        (None, _) => labels.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", "),
    }
}

fn texts(map: HashMap<String, String>) -> BTreeMap<String, String> {
    map.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ParseFromJSON;

    use super::*;

    fn recorded(name: &str) -> Webhook {
        let path = format!("{}/tests/fixtures/alertmanager/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let json = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Webhook::parse_from_json_string(&json).unwrap_or_else(|error| panic!("{path}: {}", error.into_message()))
    }

    fn one(name: &str) -> Alert {
        let mut alerts = alerts(recorded(name), &PolicyChoice::Default, "am", Per::Group);
        assert_eq!(alerts.len(), 1);
        alerts.remove(0)
    }

    #[test]
    fn every_recorded_delivery_is_understood() {
        for name in [
            "am025-bearer-mtls-firing",
            "am025-firing-grouped-2",
            "am025-mixed-1resolved-1firing",
            "am025-resolved",
            "am025-truncated-max_alerts2",
            "prom242-am025-firing-grouped",
            "prom353-am033-firing-grouped",
            "prom353-am033-resolved",
        ] {
            assert!(!one(name).content.members.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_group_is_one_incident_by_receiver_and_group_key() {
        let alert = one("am025-mixed-1resolved-1firing");
        assert_eq!(alert.dedup_key, r#"hook/{}:{alertname="DiskFull", cluster="a"}"#);
        assert_eq!(alert.content.summary, "Disk full on h2", "only what fires is spoken");
        assert_eq!(alert.content.severity, "critical");
        assert_eq!(alert.content.members.iter().filter(|member| member.firing).count(), 1);
        assert!(!alert.all_over);
    }

    #[test]
    fn what_was_left_out_is_counted_and_keeps_a_group_open() {
        let alert = one("am025-truncated-max_alerts2");
        assert_eq!(alert.content.truncated, 3);
        assert_eq!(alert.content.summary, "Many");
        let mut webhook = recorded("am025-truncated-max_alerts2");
        webhook.status = Status::Resolved;
        assert!(!alerts(webhook, &PolicyChoice::Default, "am", Per::Group)[0].all_over);
        assert!(one("am025-resolved").all_over);
    }

    #[test]
    fn per_alert_each_is_an_incident_of_its_own() {
        let alerts = alerts(recorded("am025-mixed-1resolved-1firing"), &PolicyChoice::Default, "am", Per::Alert);
        assert_eq!(alerts.len(), 2);
        assert!(alerts[0].dedup_key.ends_with("/ebd93ae732cef7d1"));
        assert!(alerts[0].all_over && !alerts[1].all_over);
    }

    #[test]
    fn a_key_of_any_length_fits_an_index() {
        assert_eq!(short("k".repeat(200)).len(), 200);
        assert!(short("k".repeat(5000)).len() < 100);
        assert_ne!(short("k".repeat(5000)), short("k".repeat(5001)));
    }
}
