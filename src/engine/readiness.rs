//! What would go wrong: schedules with gaps, contacts without a number, steps that reach nobody,
//! policies nobody uses, rules that can never match. With what to do about each.

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use super::{Engine, known::Known};
use crate::{
    escalation::{Method, Policy, State, Step, Target},
    oncall,
    route::destination::Rules,
    store::{self, NamedPolicy},
    triage,
};

/// How far ahead gaps are looked for.
pub const HORIZON: TimeDelta = TimeDelta::days(14);
/// A policy that has paged for nothing for so long, and that nothing refers to, is used by nobody.
const UNUSED: TimeDelta = TimeDelta::days(30);
/// Findings of one kind that are told; of the others only the number.
const TOLD: usize = 100;

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing it is, for programs.
    pub kind: &'static str,
    /// What it is about.
    pub subject: String,
    /// Its identifier.
    pub id: Option<Uuid>,
    /// What is the matter.
    pub detail: String,
    /// What to do.
    pub advice: &'static str,
}

impl Engine {
    /// Everything that somebody should look at. `rules` says which numbers may be called.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn findings(&self, rules: &Rules) -> Result<Vec<Finding>, store::Error> {
        let now = self.clock.now();
        let mut findings = self.gaps(now).await?;
        findings.extend(self.contacts_nobody_can_call(rules).await?);
        findings.extend(self.texts_turned_off().await?);
        findings.extend(self.policies_in_trouble(now).await?);
        findings.extend(self.rules_in_trouble().await?);
        Ok(findings)
    }

    /// The steps of a policy that can reach nobody, whoever is on duty, in words.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn unreachable(&self, policy: &Policy) -> Result<Vec<String>, store::Error> {
        let now = self.clock.now();
        let state = State::Scheduled { due_at: now, expires_at: now };
        // A year of overrides and windows: whoever is on duty in none of them is not meant.
        let span = (now, now + TimeDelta::days(366));
        let edition = self.directory.now().await?;
        let known = self.known_for(&edition, Some(policy), &state, None, 0, span).await?;
        let steps = (1..).zip(policy.all_steps());
        let told = steps.filter_map(|(nth, step)| {
            let name = if nth > policy.steps.len() { "the last resort".to_owned() } else { format!("step {nth}") };
            Some(format!("{name}: {}", known.unreachable(step, now)?))
        });
        Ok(told.collect())
    }

    async fn gaps(&self, now: DateTime<Utc>) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        for schedule in self.store.duties(now, now + HORIZON).await? {
            let duty = schedule.duty;
            let gaps = tokio::task::spawn_blocking(move || oncall::gaps(&duty, now, now + HORIZON)).await;
            let Ok(Ok(gaps)) = gaps else { continue };
            let Some(first) = gaps.first() else { continue };
            let minutes: i64 = gaps.iter().map(|gap| (gap.until - gap.from).num_minutes()).sum();
            findings.push(Finding {
                kind: "schedule_gap",
                id: Some(schedule.id.0),
                detail: format!(
                    "nobody is on call from {} until {}{}",
                    first.from.format("%Y-%m-%d %H:%M UTC"),
                    first.until.format("%Y-%m-%d %H:%M UTC"),
                    match gaps.len() {
                        1 => String::new(),
                        n => format!(", and {} more times in the next 14 days ({} h in all)", n - 1, minutes / 60),
                    }
                ),
                subject: schedule.name,
                advice: "add a layer below the others that covers the time, or an override",
            });
        }
        Ok(findings)
    }

    async fn contacts_nobody_can_call(&self, rules: &Rules) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        let without = self.store.contacts_without_number(TOLD as u64).await?;
        for contact in without {
            findings.push(Finding {
                kind: "contact_without_number",
                id: Some(contact.id.0),
                detail: "has no number that can be called".into(),
                subject: contact.full_name(),
                advice: "give them a number, or disable them",
            });
        }
        for contact in self.store.contacts_with_numbers_outside(&rules.allow, TOLD as u64).await? {
            let refused = contact.data.numbers.iter().filter_map(|number| rules.check(&number.number).err()).next();
            let Some(refusal) = refused else { continue };
            findings.push(Finding {
                kind: "contact_without_number",
                id: Some(contact.id.0),
                detail: format!("has a number that will not be called: {refusal}"),
                subject: contact.full_name(),
                advice: "correct the number, or allow its prefix under [destinations]",
            });
        }
        Ok(findings)
    }

    async fn texts_turned_off(&self) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        for contact in self.store.contacts_without_texts(TOLD as u64).await? {
            findings.push(Finding {
                kind: "texts_turned_off",
                id: Some(contact.id.0),
                detail: "texts to their number are turned off, by a \"stop\" or over the API: they are called".into(),
                subject: contact.full_name(),
                advice: "ask them, and turn them on again (DELETE /api/v2/text-opt-outs/{number}, or they text START), or give them another number for texts",
            });
        }
        Ok(findings)
    }

    async fn policies_in_trouble(&self, now: DateTime<Utc>) -> Result<Vec<Finding>, store::Error> {
        let mut findings = Vec::new();
        let policies = self.store.policies().await?;
        if !policies.iter().any(|policy| policy.is_default) {
            findings.push(Finding {
                kind: "no_default_policy",
                subject: "policies".into(),
                id: None,
                detail: "there is no default policy: an alert that nothing else decides on pages nobody".into(),
                advice: "make one of the policies the default one",
            });
        }
        let rules = self.store.routing_rules().await?.rules;
        let heartbeats = self.store.heartbeats().await?;
        for policy in policies {
            for detail in self.unreachable(&policy.policy).await? {
                findings.push(Finding {
                    kind: "step_reaches_nobody",
                    subject: policy.name.clone(),
                    id: Some(policy.id.0),
                    detail,
                    advice: "name somebody with a number who is enabled, or a schedule with people in it",
                });
            }
            let referred = policy.is_default
                || rules.iter().any(|rule| rule.enabled && rule.policy == policy.id)
                || heartbeats.iter().any(|beat| beat.data.policy.as_deref() == Some(policy.name.as_str()));
            if !referred && self.is_unused(&policy, now).await? {
                findings.push(Finding {
                    kind: "policy_unused",
                    subject: policy.name,
                    id: Some(policy.id.0),
                    detail:
                        "no rule or heartbeat names it, it is not the default one, and no alert of the last 30 days \
                             came under it"
                            .into(),
                    advice: "point a routing rule at it, or delete it",
                });
            }
        }
        Ok(findings)
    }

    async fn is_unused(&self, policy: &NamedPolicy, now: DateTime<Utc>) -> Result<bool, store::Error> {
        // One that was made today has had no chance yet.
        let settled = policy.updated_at < now - TimeDelta::days(1);
        Ok(settled && !self.store.policy_used_since(policy.id, now - UNUSED).await?)
    }

    async fn rules_in_trouble(&self) -> Result<Vec<Finding>, store::Error> {
        let rules = self.store.routing_rules().await?.rules;
        let mut findings = Vec::new();
        for (nth, why) in triage::never_matches(&rules) {
            findings.push(Finding {
                kind: "rule_never_matches",
                subject: rules[nth].name.clone(),
                id: None,
                detail: why.to_string(),
                advice: "put it in front of the rule that takes everything first, or delete it",
            });
        }
        for rule in &rules {
            if self.store.policy_name(rule.policy).await?.is_none() {
                findings.push(Finding {
                    kind: "rule_without_policy",
                    subject: rule.name.clone(),
                    id: None,
                    detail: "its policy is there no more: the default one pages instead".into(),
                    advice: "name another policy",
                });
            }
        }
        Ok(findings)
    }
}

impl Known {
    /// Why a step can reach nobody, if that is so, at any time from `now` on.
    fn unreachable(&self, step: &Step, now: DateTime<Utc>) -> Option<String> {
        if step.method == Method::Sms && !self.has_texts() {
            return Some("it only texts, and there is no way to send texts".into());
        }
        if let Some(id) = step.only_during
            && let Some(calendar) = self.calendar_data(id)
            && calendar.opens(now).is_none()
        {
            return Some("its calendar never opens".into());
        }
        let reached = step.targets.iter().any(|target| match target {
            Target::Schedule(id) => self.anybody_of(*id),
            target => !self.on_call(target, now).is_empty(),
        });
        (!reached).then(|| "nobody in it can be called (no number, disabled, or an empty schedule or group)".into())
    }
}
