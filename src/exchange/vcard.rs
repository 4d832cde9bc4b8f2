//! Contact cards: vCard 3.0 (RFC 2426), which every phone imports.

use super::lines::{escaped, push};

/// A card.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// What identifies it, so that it is replaced and not doubled when it is imported again.
    pub uid: String,
    /// First name, or the whole name of what is no person.
    pub name: String,
    /// Surname, or nothing.
    pub surname: String,
    /// The numbers, the preferred one first.
    pub numbers: Vec<CardNumber>,
    /// Mail address.
    pub email: Option<String>,
    /// Postal address.
    pub address: Option<CardAddress>,
    /// Anything, or nothing.
    pub note: String,
    /// Tags.
    pub categories: Vec<String>,
}

/// A number of a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardNumber {
    /// E.164.
    pub number: String,
    /// What kind of phone rings.
    pub kind: NumberKind,
}

/// What kind of phone rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NumberKind {
    /// It goes along.
    Mobile,
    /// At work.
    Work,
    /// At home.
    Home,
    /// Whatever it is.
    #[default]
    Voice,
}

/// A postal address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "what the fields are called they are")]
pub struct CardAddress {
    pub street: String,
    pub city: String,
    pub state: String,
    pub zip_code: String,
    pub country: String,
}

/// Writes cards, one after the other, as one file.
pub fn write<'a>(cards: impl IntoIterator<Item = &'a Card>) -> String {
    let mut out = String::new();
    for card in cards {
        write_card(&mut out, card);
    }
    out
}

fn write_card(out: &mut String, card: &Card) {
    push(out, "BEGIN", "VCARD");
    push(out, "VERSION", "3.0");
    push(out, "N", &structured(&[&card.surname, &card.name, "", "", ""]));
    let full = format!("{} {}", card.name, card.surname);
    push(out, "FN", &escaped(full.trim()));
    for (at, number) in card.numbers.iter().enumerate() {
        let kind = match number.kind {
            NumberKind::Mobile => "CELL",
            NumberKind::Work => "WORK,VOICE",
            NumberKind::Home => "HOME,VOICE",
            NumberKind::Voice => "VOICE",
        };
        let preferred = if at == 0 { ",PREF" } else { "" };
        push(out, &format!("TEL;TYPE={kind}{preferred}"), &escaped(&number.number));
    }
    if let Some(email) = &card.email {
        push(out, "EMAIL;TYPE=INTERNET", &escaped(email));
    }
    if let Some(CardAddress { street, city, state, zip_code, country }) = &card.address {
        push(out, "ADR", &structured(&["", "", street, city, state, zip_code, country]));
    }
    if !card.note.is_empty() {
        push(out, "NOTE", &escaped(&card.note));
    }
    if !card.categories.is_empty() {
        let categories: Vec<String> = card.categories.iter().map(|category| escaped(category)).collect();
        push(out, "CATEGORIES", &categories.join(","));
    }
    push(out, "UID", &escaped(&card.uid));
    push(out, "END", "VCARD");
}

fn structured(parts: &[&str]) -> String {
    parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join(";")
}
