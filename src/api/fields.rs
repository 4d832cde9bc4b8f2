//! What may stand in a contact, wherever it comes from.

use super::{State, text};
use crate::{
    phone::{NotANumber, PhoneNumber},
    route::destination::Refusal,
    store::{ContactData, ContactNumber, MOST_NUMBERS},
    wallclock::Zone,
};

/// A field that cannot be taken, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// Which, as JSON and tables call it.
    pub field: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a field cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error(transparent)]
    NotANumber(#[from] NotANumber),
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Other(String),
}

fn wrong(field: impl Into<String>, reason: impl Into<String>) -> Wrong {
    Wrong { field: field.into(), reason: Reason::Other(reason.into()) }
}

/// A number that may be dialled.
pub(super) fn number(state: &State, field: &str, text: &str) -> Result<PhoneNumber, Wrong> {
    let wrong = |reason| Wrong { field: field.to_owned(), reason };
    let number = state.plan.parse(text).map_err(|error| wrong(error.into()))?;
    state.rules.check(&number).map_err(|refusal| wrong(refusal.into()))?;
    Ok(number)
}

/// Brings a contact into its usual form, if everything in it can be taken.
pub(super) fn checked(mut data: ContactData) -> Result<ContactData, Wrong> {
    for name in [&mut data.name, &mut data.surname, &mut data.email, &mut data.language] {
        *name = name.trim().to_owned();
    }
    data.address = text(data.address);
    data.annotations = text(data.annotations);
    let mut tags = Vec::new();
    for tag in data.tags.iter().map(|tag| tag.trim().to_owned()) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    data.tags = tags;
    check(&data)?;
    Ok(data)
}

fn check(data: &ContactData) -> Result<(), Wrong> {
    if data.name.is_empty() {
        return Err(wrong("name", "is empty"));
    }
    line("name", &data.name, 200)?;
    line("surname", &data.surname, 200)?;
    line("zip_code", &data.zip_code, 50)?;
    line("city", &data.city, 200)?;
    line("state", &data.state, 200)?;
    line("country", &data.country, 200)?;
    length("address", &data.address, 1000)?;
    length("annotations", &data.annotations, 20_000)?;
    if !data.email.is_empty() {
        email(&data.email)?;
    }
    language(&data.language)?;
    if let Err(error) = data.time_zone.parse::<Zone>() {
        return Err(wrong("time_zone", error.to_string()));
    }
    tags(&data.tags)?;
    numbers(&data.numbers)?;
    if data.sms_number.as_ref().is_some_and(PhoneNumber::is_extension) {
        return Err(wrong("sms_number", "is an extension of the PBX, and no text gets there"));
    }
    Ok(())
}

fn length(field: &str, text: &str, most: usize) -> Result<(), Wrong> {
    if text.chars().count() > most { Err(wrong(field, format!("is longer than {most} characters"))) } else { Ok(()) }
}

/// A text that stands on one line.
pub(super) fn line(field: &str, text: &str, most: usize) -> Result<(), Wrong> {
    length(field, text, most)?;
    if text.contains(char::is_control) {
        return Err(wrong(field, "has a control character, such as a line break"));
    }
    Ok(())
}

/// Not whether mail arrives there, only whether it could.
fn email(address: &str) -> Result<(), Wrong> {
    length("email", address, 254)?;
    let fits = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_control() || c.is_whitespace());
    match address.rsplit_once('@') {
        Some((local, domain)) if fits(local) && fits(domain) && !local.contains('@') => Ok(()),
        _ => Err(wrong("email", "is no e-mail address")),
    }
}

/// What looks like a tag of BCP 47: which languages are spoken is another matter.
fn language(tag: &str) -> Result<(), Wrong> {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or_default();
    let is_primary = (2..=8).contains(&primary.len()) && primary.bytes().all(|c| c.is_ascii_alphabetic());
    let is_sub = |part: &str| (1..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric());
    if is_primary && parts.all(is_sub) && tag.len() <= 35 {
        Ok(())
    } else {
        Err(wrong("language", "is no language tag, such as en or pt-BR"))
    }
}

fn tags(tags: &[String]) -> Result<(), Wrong> {
    const MOST: usize = 50;
    if tags.len() > MOST {
        return Err(wrong("tags", format!("{} tags are more than {MOST}", tags.len())));
    }
    for (at, tag) in tags.iter().enumerate() {
        let field = format!("tags[{at}]");
        if tag.is_empty() {
            return Err(wrong(field, "is empty"));
        }
        line(&field, tag, 50)?;
    }
    Ok(())
}

fn numbers(numbers: &[ContactNumber]) -> Result<(), Wrong> {
    if numbers.len() > MOST_NUMBERS {
        return Err(wrong("numbers", format!("{} numbers are more than {MOST_NUMBERS}", numbers.len())));
    }
    for (at, number) in numbers.iter().enumerate() {
        line(&format!("numbers[{at}].kind"), &number.kind, 30)?;
        line(&format!("numbers[{at}].label"), &number.label, 100)?;
        if numbers[..at].iter().any(|other| other.number == number.number) {
            return Err(wrong(format!("numbers[{at}].number"), "stands there twice"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ana() -> ContactData {
        ContactData { name: "Ana".into(), ..ContactData::default() }
    }

    fn field(data: ContactData) -> String {
        checked(data).expect_err("it is refused").field
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        let long = "x".repeat(201);
        for name in ["", "  ", "a\r\nb", "a\0b", &long] {
            assert_eq!(field(ContactData { name: name.into(), ..ana() }), "name", "{name:?}");
        }
        for email in ["ana", "@x", "ana@", "a b@x", "a@b@c", "ana@x\r\n"] {
            let refused = checked(ContactData { email: email.into(), ..ana() });
            assert_eq!(refused.is_err(), email.trim() != "ana@x", "{email:?}");
        }
        for language in ["", "e", "english12", "e1", "en-", "en_GB"] {
            assert_eq!(field(ContactData { language: language.into(), ..ana() }), "language", "{language:?}");
        }
        assert_eq!(field(ContactData { time_zone: "Mars/Base".into(), ..ana() }), "time_zone");
        assert_eq!(field(ContactData { tags: vec!["a".into(), " ".into()], ..ana() }), "tags[1]");
        let tags = (0..51).map(|n| n.to_string()).collect();
        assert_eq!(field(ContactData { tags, ..ana() }), "tags");
        let number = ContactNumber::from(PhoneNumber::try_from("+393331234567".to_owned()).expect("a number"));
        let twice = vec![number.clone(), number.clone()];
        assert_eq!(field(ContactData { numbers: twice, ..ana() }), "numbers[1].number");
        assert_eq!(field(ContactData { numbers: vec![number; 11], ..ana() }), "numbers");
    }

    #[test]
    fn what_can_be_taken_comes_out_in_its_usual_form() {
        let data = ContactData {
            name: " Ana ".into(),
            email: "ana@localhost".into(),
            language: "pt-BR".into(),
            tags: vec!["ops ".into(), "ops".into()],
            annotations: "one\r\ntwo\0".into(),
            ..ana()
        };
        let taken = checked(data).expect("it is taken");
        assert_eq!((&*taken.name, &*taken.annotations), ("Ana", "one\r\ntwo\u{2400}"));
        assert_eq!(taken.tags, ["ops"]);
    }
}
