//! Which policy pages for an alert, and which version of it an incident goes on by.

use std::sync::Arc;

use super::{PolicyChoice, directory::Edition};
use crate::{
    escalation::Policy,
    store::{self, Fact, Incident, NamedPolicy},
    triage::{self, Subject},
};

/// The policy that was chosen for an alert.
#[derive(Default)]
pub(super) struct Choice {
    /// Where it comes from, unless the alert brought one of its own.
    pub(super) named: Option<Arc<NamedPolicy>>,
    pub(super) policy: Option<Policy>,
    /// The severity that a routing rule gives it.
    pub(super) severity: Option<String>,
}

impl From<Option<Arc<NamedPolicy>>> for Choice {
    fn from(named: Option<Arc<NamedPolicy>>) -> Self {
        Self { policy: named.as_ref().map(|named| named.policy.clone()), named, severity: None }
    }
}

impl Edition {
    /// The policy an alert names, else the one that the first matching rule chooses, else the default
    /// one. What names a policy that does not exist pages by the default one, loudly.
    pub(super) async fn choose(
        &self,
        choice: &PolicyChoice,
        subject: Option<&Subject>,
        facts: &mut Vec<Fact>,
    ) -> Result<Choice, store::Error> {
        match choice {
            PolicyChoice::Own(policy) => {
                return Ok(Choice { policy: Some(policy.clone()), ..Choice::default() });
            }
            PolicyChoice::ByMethod(named, method) => {
                let named = PolicyChoice::Named(named.clone());
                let chosen = Box::pin(self.choose(&named, subject, facts)).await?;
                let policy = chosen.policy.map(|policy| policy.by_method(method));
                return Ok(Choice { policy, ..chosen });
            }
            PolicyChoice::Named(named) => {
                if let Some(found) = self.policy(named).await? {
                    return Ok(Choice::from(Some(found)));
                }
                tracing::warn!(policy = %named, "an alert names a policy that does not exist; the default one pages");
                facts.push(Fact::UnknownPolicy { named: named.clone() });
            }
            PolicyChoice::Default => {
                let rules = self.rules().await?;
                let rule = subject.and_then(|subject| triage::choose(&rules.rules, subject));
                if let Some(rule) = rule
                    && let Some(found) = self.policy_by_id(rule.policy).await?
                {
                    facts.push(Fact::Routed { rule: rule.name.clone() });
                    return Ok(Choice { severity: rule.severity.clone(), ..Choice::from(Some(found)) });
                }
            }
        }
        Ok(Choice::from(self.default_policy().await?))
    }

    /// The policy an incident goes on by: as it was when it was raised, or as it is, if it says so.
    pub(super) async fn current_policy(&self, incident: &Incident) -> Result<Option<Policy>, store::Error> {
        if let (Some(policy), Some((id, version))) = (&incident.policy, incident.policy_id)
            && policy.follow_edits
            && let Some(edited) = self.policy_by_id(id).await?
            && edited.version != version
        {
            return Ok(Some(edited.policy.clone()));
        }
        Ok(incident.policy.clone())
    }
}
