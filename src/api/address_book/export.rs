//! Contacts as they leave: page by page, so that an address book of any size takes little memory.

use std::{collections::HashMap, io};

use futures_util::stream;
use poem::Body;

use super::super::{State, error::Problem};
use crate::{
    exchange::{
        LocalOrInstant,
        contacts::{self, Availability, ContactRow, NumberCell},
        vcard::{self, Card, CardAddress, CardNumber, NumberKind},
    },
    id::ContactId,
    store::{self, Contact, ContactCursor, ContactFilter, ContactNumber},
};

/// Contacts that are read at once.
const PAGE: u64 = 500;

/// As what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Cards,
}

/// Where an export stands.
enum Place {
    /// This is to be sent, and then what comes behind it.
    Next(Vec<u8>, Option<ContactCursor>),
    End,
}

/// All contacts, behind `head`. The first page is read before anything is sent, so that a database that does
/// not answer is told as such.
pub(super) async fn pages(state: &State, mut head: Vec<u8>, form: Form) -> Result<Body, Problem> {
    let (first, next) = page(state, None, form).await?;
    head.extend(first);
    let state = state.clone();
    let parts = stream::try_unfold(Place::Next(head, next), move |place| {
        let state = state.clone();
        async move {
            let Place::Next(part, next) = place else { return Ok(None) };
            let place = match next {
                None => Place::End,
                Some(cursor) => {
                    let (part, next) = page(&state, Some(&cursor), form).await.map_err(io::Error::other)?;
                    Place::Next(part, next)
                }
            };
            Ok::<_, io::Error>(Some((part, place)))
        }
    });
    Ok(Body::from_bytes_stream(parts))
}

async fn page(
    state: &State,
    cursor: Option<&ContactCursor>,
    form: Form,
) -> Result<(Vec<u8>, Option<ContactCursor>), store::Error> {
    let page = state.store.contacts(&ContactFilter::default(), cursor, PAGE).await?;
    let part = match form {
        Form::Table => table(state, page.items).await?,
        Form::Cards => vcard::write(&page.items.iter().map(card).collect::<Vec<_>>()).into_bytes(),
    };
    Ok((part, page.next))
}

async fn table(state: &State, items: Vec<Contact>) -> Result<Vec<u8>, store::Error> {
    let ids: Vec<ContactId> = items.iter().map(|contact| contact.id).collect();
    let mut groups = state.store.groups_of(&ids).await?;
    let mut windows: HashMap<ContactId, Vec<Availability>> = HashMap::new();
    for window in state.store.oncall_windows(Some(&ids)).await? {
        windows.entry(window.contact).or_default().push(Availability {
            start_at: LocalOrInstant::Instant(window.from),
            end_at: LocalOrInstant::Instant(window.until),
            priority: window.priority.into(),
        });
    }
    let mut part = Vec::new();
    for contact in items {
        let id = contact.id;
        let groups = groups.remove(&id).unwrap_or_default();
        contacts::write_row(&mut part, &row(contact, groups, windows.remove(&id).unwrap_or_default()));
    }
    Ok(part)
}

fn row(contact: Contact, groups: Vec<String>, windows: Vec<Availability>) -> ContactRow {
    let data = contact.data;
    let first = data.numbers.first().map(|number| number.number.as_str().to_owned());
    // One plain number needs no list.
    let is_plain =
        data.numbers.len() < 2 && data.numbers.iter().all(|number| number.kind.is_empty() && number.label.is_empty());
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let number = |ContactNumber { number, kind, label }| NumberCell {
        number: number.into(),
        kind: filled(kind),
        label: filled(label),
    };
    ContactRow {
        id: Some(contact.id.to_string()),
        name: data.name,
        surname: data.surname,
        address: data.address,
        zip_code: data.zip_code,
        city: data.city,
        state: data.state,
        country: data.country,
        phone_number: first,
        enabled: Some(data.enabled),
        created_time: Some(LocalOrInstant::Instant(contact.created_at)),
        annotations: data.annotations,
        on_call_availability: windows,
        language: Some(data.language),
        time_zone: Some(data.time_zone),
        email: filled(data.email),
        sms_number: data.sms_number.map(String::from),
        numbers: if is_plain { Vec::new() } else { data.numbers.into_iter().map(number).collect() },
        tags: data.tags,
        groups,
        tell_when_over: Some(data.tell_when_over),
        tell_shifts: Some(data.tell_shifts),
    }
}

/// A contact as a card.
pub(super) fn card(contact: &Contact) -> Card {
    let data = &contact.data;
    let number = |number: &ContactNumber| CardNumber {
        number: number.number.as_str().to_owned(),
        kind: match number.kind.to_lowercase().as_str() {
            "mobile" | "cell" => NumberKind::Mobile,
            "work" | "office" => NumberKind::Work,
            "home" => NumberKind::Home,
            _ => NumberKind::Voice,
        },
    };
    let address = CardAddress {
        street: data.address.clone(),
        city: data.city.clone(),
        state: data.state.clone(),
        zip_code: data.zip_code.clone(),
        country: data.country.clone(),
    };
    Card {
        uid: contact.id.0.urn().to_string(),
        name: data.name.clone(),
        surname: data.surname.clone(),
        numbers: data.numbers.iter().map(number).collect(),
        email: Some(data.email.clone()).filter(|email| !email.is_empty()),
        address: Some(address).filter(|address| *address != CardAddress::default()),
        note: data.annotations.clone(),
        categories: data.tags.clone(),
    }
}

/// Who calls.
pub(super) fn our_card(number: &str) -> Card {
    Card {
        uid: "urn:ringdown:caller-id".into(),
        name: "ringdown".into(),
        numbers: vec![CardNumber { number: number.to_owned(), kind: NumberKind::Voice }],
        ..Card::default()
    }
}
