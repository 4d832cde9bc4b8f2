//! Names in place of identifiers: whatever refers to somebody may do so by a name that only they have.

use uuid::Uuid;

use super::error::Problem;
use crate::{
    id::{CalendarId, ContactId, GroupId, ScheduleId},
    store::Store,
};

/// The contact that `text` means: an identifier, or a name in full that one contact has. `field` is where
/// it stands.
pub(super) async fn contact(store: &Store, field: &str, text: &str) -> Result<ContactId, Problem> {
    if let Ok(id) = text.trim().parse::<Uuid>() {
        let there = store.contact(ContactId(id)).await?;
        return there.map(|contact| contact.id).ok_or_else(|| unknown(field, "contact", text));
    }
    match store.contacts_named(text).await?.as_slice() {
        [id] => Ok(*id),
        [] => Err(unknown(field, "contact", text)),
        several => {
            let reason = format!("{field}: {} contacts are called {text:?}: give the id", several.len());
            Err(Problem::unprocessable(reason))
        }
    }
}

/// The group that `text` means: an identifier or a name.
pub(super) async fn group(store: &Store, field: &str, text: &str) -> Result<GroupId, Problem> {
    let group = match text.trim().parse::<Uuid>() {
        Ok(id) => store.group(GroupId(id)).await?,
        Err(_) => store.group_named(text.trim()).await?,
    };
    group.map(|group| group.id).ok_or_else(|| unknown(field, "group", text))
}

/// The schedule that `text` means: an identifier or a name.
pub(super) async fn schedule(store: &Store, field: &str, text: &str) -> Result<ScheduleId, Problem> {
    let schedule = match text.trim().parse::<Uuid>() {
        Ok(id) => store.schedule(ScheduleId(id)).await?,
        Err(_) => store.schedule_named(text.trim()).await?,
    };
    schedule.map(|schedule| schedule.id).ok_or_else(|| unknown(field, "schedule", text))
}

/// The calendar that `text` means: an identifier or a name.
pub(super) async fn calendar(store: &Store, field: &str, text: &str) -> Result<CalendarId, Problem> {
    let calendar = match text.trim().parse::<Uuid>() {
        Ok(id) => store.calendar(CalendarId(id)).await?,
        Err(_) => store.calendar_named(text.trim()).await?,
    };
    calendar.map(|calendar| calendar.id).ok_or_else(|| unknown(field, "calendar", text))
}

fn unknown(field: &str, what: &str, text: &str) -> Problem {
    Problem::unprocessable(format!("{field}: there is no {what} {text:?}"))
}
