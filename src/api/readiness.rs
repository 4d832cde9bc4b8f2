//! What would go wrong tonight, and what to do about it.

use poem_openapi::{Object, OpenApi, payload::Json};
use uuid::Uuid;

use super::{State, Tag, auth::ReadsMetrics, error::Problem};
use crate::engine;

/// Readiness.
pub struct Readinesses(pub State);

/// Something that somebody should look at.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Finding {
    /// What kind of thing it is, for programs: `schedule_gap`, `contact_without_number`, `texts_turned_off`,
    /// `step_reaches_nobody`, `policy_unused`, `rule_never_matches`, `rule_without_policy`,
    /// `no_default_policy`.
    kind: String,
    /// What it is about.
    subject: String,
    /// Its identifier.
    id: Option<Uuid>,
    /// What is the matter.
    detail: String,
    /// What to do.
    advice: String,
}

/// Everything that somebody should look at.
#[derive(Debug, Object)]
#[oai(rename = "ReadinessReport")]
struct Readiness {
    /// Whether there is nothing to look at.
    ok: bool,
    /// One by one.
    items: Vec<Finding>,
}

#[OpenApi(prefix_path = "/api/v2/readiness", tag = "Tag::Health")]
impl Readinesses {
    /// What would go wrong tonight
    ///
    /// Schedules with a gap in the next 14 days, contacts without a number that may be called, steps that
    /// can reach nobody, policies nobody uses, rules that can never match; with what to do about each.
    #[oai(path = "/", method = "get", operation_id = "get_readiness")]
    async fn get(&self, _caller: ReadsMetrics) -> Result<Json<Readiness>, Problem> {
        let findings = self.0.engine.findings(&self.0.rules).await?;
        let items: Vec<Finding> = findings.into_iter().map(Finding::from).collect();
        Ok(Json(Readiness { ok: items.is_empty(), items }))
    }
}

impl From<engine::Finding> for Finding {
    fn from(finding: engine::Finding) -> Self {
        Self {
            kind: finding.kind.to_owned(),
            subject: finding.subject,
            id: finding.id,
            detail: finding.detail,
            advice: finding.advice.to_owned(),
        }
    }
}
