//! Whom a policy, a call or a reminder means: by identifier or by name.

use poem_openapi::Object;
use serde::Deserialize;

use super::{State, error::Problem, names};
use crate::escalation;

/// Whom: exactly one of these.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[serde(deny_unknown_fields)]
#[oai(deny_unknown_fields, skip_serializing_if_is_none)]
pub(super) struct Target {
    /// A contact, by identifier or full name.
    #[oai(validator(max_length = 300))]
    contact: Option<String>,
    /// Everybody in a group, by identifier or name.
    #[oai(validator(max_length = 300))]
    group: Option<String>,
    /// Whoever is on call, by a schedule's identifier or name.
    #[oai(validator(max_length = 300))]
    schedule: Option<String>,
    /// A number: E.164, or nationally for the configured country, or an extension.
    #[oai(validator(max_length = 40))]
    number: Option<String>,
    /// What it is called; ignored in what you send.
    #[oai(validator(max_length = 300))]
    name: Option<String>,
}

impl State {
    /// Who is meant. `field` is where it stands.
    pub(super) async fn target(&self, field: &str, target: &Target) -> Result<escalation::Target, Problem> {
        match (&target.contact, &target.group, &target.schedule, &target.number) {
            (Some(contact), None, None, None) => {
                let id = names::contact(&self.store, &format!("{field}.contact"), contact).await?;
                Ok(escalation::Target::Contact(id))
            }
            (None, Some(group), None, None) => {
                let id = names::group(&self.store, &format!("{field}.group"), group).await?;
                Ok(escalation::Target::Group(id))
            }
            (None, None, Some(schedule), None) => {
                let id = names::schedule(&self.store, &format!("{field}.schedule"), schedule).await?;
                Ok(escalation::Target::Schedule(id))
            }
            (None, None, None, Some(number)) => {
                let field = format!("{field}.number");
                let number = self.plan.parse(number).map_err(|error| Problem::number(&field, &error))?;
                self.rules.check(&number).map_err(|refusal| Problem::refused(&field, refusal))?;
                Ok(escalation::Target::Number(number))
            }
            _ => Err(Problem::unprocessable(format!("{field}: give exactly one of contact, group, schedule, number"))),
        }
    }

    /// Who a number or a name means: the number, else the contact, the schedule, the group of that name.
    pub(super) async fn whoever(&self, field: &str, text: &str) -> Result<escalation::Target, Problem> {
        let text = text.trim();
        let looks_like_a_number = text.chars().all(|c| c.is_ascii_digit() || "+ ()-./".contains(c));
        if !looks_like_a_number {
            if let Some(schedule) = self.store.schedule_named(text).await? {
                return Ok(escalation::Target::Schedule(schedule.id));
            }
            if let Some(group) = self.store.group_named(text).await? {
                return Ok(escalation::Target::Group(group.id));
            }
            if !self.store.contacts_named(text).await?.is_empty() {
                return Ok(escalation::Target::Contact(names::contact(&self.store, field, text).await?));
            }
        }
        let number = self.plan.parse(text).map_err(|error| Problem::number(field, &error))?;
        self.rules.check(&number).map_err(|refusal| Problem::refused(field, refusal))?;
        Ok(escalation::Target::Number(number))
    }

    /// A target as it is shown.
    pub(super) async fn show_target(&self, target: &escalation::Target) -> Result<Target, Problem> {
        let name = self.store.target_name(target).await?;
        let shown = Target { name, ..Target::default() };
        Ok(match target {
            escalation::Target::Contact(id) => Target { contact: Some(id.to_string()), ..shown },
            escalation::Target::Group(id) => Target { group: Some(id.to_string()), ..shown },
            escalation::Target::Schedule(id) => Target { schedule: Some(id.to_string()), ..shown },
            escalation::Target::Number(number) => Target { number: Some(number.as_str().to_owned()), ..shown },
        })
    }
}
