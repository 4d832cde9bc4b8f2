//! Whom a policy, a call or a reminder means: by identifier or by name.

use poem_openapi::Object;
use serde::Deserialize;
use uuid::Uuid;

use super::{State, error::Problem};
use crate::{
    escalation,
    id::{CalendarId, ContactId, GroupId, ScheduleId},
};

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
                Ok(escalation::Target::Contact(self.contact_meant(&format!("{field}.contact"), contact).await?))
            }
            (None, Some(group), None, None) => {
                Ok(escalation::Target::Group(self.group_meant(&format!("{field}.group"), group).await?))
            }
            (None, None, Some(schedule), None) => {
                let id = match schedule.parse::<Uuid>() {
                    Ok(id) => Some(ScheduleId(id)),
                    Err(_) => self.store.schedule_named(schedule).await?,
                };
                let id = id.ok_or_else(|| unknown(&format!("{field}.schedule"), "schedule", schedule))?;
                self.known(field, escalation::Target::Schedule(id)).await
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
            if let Some(id) = self.store.schedule_named(text).await? {
                return Ok(escalation::Target::Schedule(id));
            }
            if let Some(id) = self.store.group_named(text).await? {
                return Ok(escalation::Target::Group(id));
            }
            if !self.store.contacts_named(text).await?.is_empty() {
                return Ok(escalation::Target::Contact(self.contact_meant(field, text).await?));
            }
        }
        let number = self.plan.parse(text).map_err(|error| Problem::number(field, &error))?;
        self.rules.check(&number).map_err(|refusal| Problem::refused(field, refusal))?;
        Ok(escalation::Target::Number(number))
    }

    /// The contact that an identifier or a full name means.
    pub(super) async fn contact_meant(&self, field: &str, text: &str) -> Result<ContactId, Problem> {
        if let Ok(id) = text.parse::<Uuid>() {
            let known = self.store.contact(ContactId(id)).await?.is_some();
            return known.then_some(ContactId(id)).ok_or_else(|| unknown(field, "contact", text));
        }
        match self.store.contacts_named(text).await?.as_slice() {
            [] => Err(unknown(field, "contact", text)),
            [id] => Ok(*id),
            several => {
                let detail = format!("{field}: {} contacts are called {text:?}: give the identifier", several.len());
                Err(Problem::unprocessable(detail))
            }
        }
    }

    /// The group that an identifier or a name means.
    pub(super) async fn group_meant(&self, field: &str, text: &str) -> Result<GroupId, Problem> {
        let id = match text.parse::<Uuid>() {
            Ok(id) => self.store.group(GroupId(id)).await?.map(|group| group.id),
            Err(_) => self.store.group_named(text).await?,
        };
        id.ok_or_else(|| unknown(field, "group", text))
    }

    /// The calendar that an identifier or a name means.
    pub(super) async fn calendar_meant(&self, field: &str, text: &str) -> Result<CalendarId, Problem> {
        let id = match text.parse::<Uuid>() {
            Ok(id) => self.store.calendar_name(CalendarId(id)).await?.map(|_| CalendarId(id)),
            Err(_) => self.store.calendar_named(text).await?,
        };
        id.ok_or_else(|| unknown(field, "calendar", text))
    }

    async fn known(&self, field: &str, target: escalation::Target) -> Result<escalation::Target, Problem> {
        match self.store.target_name(&target).await? {
            Some(_) => Ok(target),
            None => Err(Problem::unprocessable(format!("{field}: there is no such target"))),
        }
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

fn unknown(field: &str, what: &str, text: &str) -> Problem {
    Problem::unprocessable(format!("{field}: there is no {what} {text:?}"))
}
