//! What a contact is found by: terms, each one a row of an index that is searched by prefix.

use std::collections::BTreeSet;

use entity::{contact, contact_term};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait, Query},
};
use uuid::Uuid;

use super::{ContactData, insert_all, load};
use crate::store::writer::Tx;
use crate::{
    phone::PhoneNumber,
    store::{Error, Store},
};

/// The most terms of a contact, besides their tags.
const MOST: usize = 40;
/// The longest term, in characters.
const LONGEST: usize = 100;
/// Contacts that are indexed in one transaction.
const BATCH: u64 = 500;

/// The words of a text, in lower case.
pub(super) fn words(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(term)
}

/// A text as a term.
pub(super) fn term(text: &str) -> String {
    text.to_lowercase().chars().take(LONGEST).collect()
}

/// The term of a tag. No word begins like that.
pub(super) fn tag(tag: &str) -> String {
    term(&format!("#{}", tag.trim()))
}

/// What lists are ordered by.
pub(super) fn sort_name(data: &ContactData) -> String {
    data.full_name().to_lowercase()
}

/// Everything that finds a contact.
fn terms(data: &ContactData) -> BTreeSet<String> {
    let full = data.full_name();
    let mut all: Vec<String> = vec![term(full.trim())];
    for number in &data.numbers {
        all.extend(spellings(&number.number));
    }
    all.extend(data.sms_number.iter().flat_map(spellings));
    if !data.email.is_empty() {
        all.push(term(&data.email));
    }
    all.extend(words(&full));
    let mut seen = BTreeSet::new();
    for term in all {
        if seen.len() < MOST {
            seen.insert(term);
        }
    }
    seen.extend(data.tags.iter().map(|name| tag(name)));
    seen
}

/// The digits of a number, with the country code and without.
fn spellings(number: &PhoneNumber) -> [String; 2] {
    [number.as_str().trim_start_matches('+').to_owned(), number.national()]
}

/// The rows of a contact's terms.
pub(super) fn rows(id: Uuid, data: &ContactData) -> impl Iterator<Item = contact_term::ActiveModel> {
    let sort_name = sort_name(data);
    let row = move |term| contact_term::ActiveModel {
        term: Set(term),
        sort_name: Set(sort_name.clone()),
        contact_id: Set(id),
    };
    terms(data).into_iter().map(row)
}

/// Writes a contact's terms in place of those that it had.
pub(super) async fn renew(tx: &Tx, id: Uuid, data: &ContactData) -> Result<(), Error> {
    contact_term::Entity::delete_many().filter(contact_term::Column::ContactId.eq(id)).exec(tx).await?;
    insert_all(tx, rows(id, data).collect()).await
}

impl Store {
    /// Indexes the contacts that have no terms: they are from a version that had none.
    pub(in crate::store) async fn index_contacts(&self) -> Result<(), Error> {
        loop {
            let indexed = Query::select()
                .expr(Expr::val(1))
                .from(contact_term::Entity)
                .and_where(
                    Expr::col((contact_term::Entity, contact_term::Column::ContactId))
                        .equals((contact::Entity, contact::Column::Id)),
                )
                .to_owned();
            let ids: Vec<Uuid> = contact::Entity::find()
                .select_only()
                .column(contact::Column::Id)
                .filter(Expr::exists(indexed).not())
                .order_by_asc(contact::Column::Id)
                .limit(BATCH)
                .into_tuple()
                .all(&self.read)
                .await?;
            if ids.is_empty() {
                return Ok(());
            }
            tracing::info!(contacts = ids.len(), "contacts are being indexed");
            self.write(move |tx| {
                Box::pin(async move {
                    for contact in load(tx, &ids).await? {
                        renew(tx, contact.id.0, &contact.data).await?;
                    }
                    Ok(())
                })
            })
            .await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> super::super::ContactNumber {
        PhoneNumber::try_from(text.to_owned()).expect("a number").into()
    }

    #[test]
    fn a_person_is_found_by_names_numbers_mail_and_tags() {
        let data = ContactData {
            name: "Anna-Lena".into(),
            surname: "ÖZ".into(),
            numbers: vec![number("+393331234567"), number("8123")],
            email: "Anna@Example.com".into(),
            tags: vec!["Night Shift".into()],
            ..ContactData::default()
        };
        let found: Vec<String> = terms(&data).into_iter().collect();
        let expected = [
            "#night shift",
            "3331234567",
            "393331234567",
            "8123",
            "anna",
            "anna-lena öz",
            "anna@example.com",
            "lena",
            "öz",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn terms_are_few_and_short() {
        let long = "x".repeat(150);
        let many: Vec<String> = (0..200).map(|n| format!("w{n}")).collect();
        let data = ContactData {
            name: format!("{long} {}", many.join(" ")),
            tags: (0..50).map(|n| format!("tag {n}")).collect(),
            ..ContactData::default()
        };
        let found = terms(&data);
        assert_eq!(found.len(), 40 + 50);
        assert!(found.iter().all(|term| term.chars().count() <= LONGEST));
    }

    #[test]
    fn nobody_is_without_a_term() {
        let data = ContactData { name: "🔥".into(), ..ContactData::default() };
        assert_eq!(terms(&data).into_iter().collect::<Vec<_>>(), ["🔥"]);
    }
}
