//! People in requests and answers: by their identifier, or by their name where only one has it.

use std::collections::HashMap;

use poem_openapi::Object;
use serde::Deserialize;
use uuid::Uuid;

use crate::{
    id::ContactId,
    store::{Error, Store},
};

/// A contact.
#[derive(Clone, Debug, Object)]
pub(super) struct Person {
    /// The contact's identifier.
    pub(super) id: Uuid,
    /// What they are called, in full.
    pub(super) name: String,
}

/// A contact: in answers with both, in requests either will do, and the identifier counts.
#[derive(Clone, Debug, Default, Object, Deserialize)]
pub(super) struct Who {
    /// The contact's identifier.
    pub(super) id: Option<Uuid>,
    /// What they are called, in full. Two contacts of the same name need their identifiers.
    #[oai(validator(max_length = 500))]
    pub(super) name: Option<String>,
}

/// Finds the contacts that a request names.
pub(super) struct Lookup<'a> {
    store: &'a Store,
    by_name: HashMap<String, Vec<ContactId>>,
    /// What was not found, and where it stands in the request.
    pub(super) mistakes: Vec<String>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self { store, by_name: HashMap::new(), mistakes: Vec::new() }
    }

    /// The contacts that `place` names. Those that are not found are among the mistakes.
    pub(super) async fn find(&mut self, place: &str, people: &[Who]) -> Result<Vec<ContactId>, Error> {
        let ids: Vec<ContactId> = people.iter().filter_map(|who| who.id).map(ContactId).collect();
        let known = self.store.full_names(&ids).await?;
        let mut found = Vec::with_capacity(people.len());
        for (nth, who) in people.iter().enumerate() {
            let one = match (who.id.map(ContactId), &who.name) {
                (Some(id), _) if known.contains_key(&id) => Ok(id),
                (Some(id), _) => Err(format!("there is no contact {id}")),
                (None, Some(name)) => self.named(name).await?,
                (None, None) => Err("say the contact's id or name".to_owned()),
            };
            match one {
                Ok(id) => found.push(id),
                Err(wrong) => self.mistakes.push(format!("{place}[{nth}]: {wrong}")),
            }
        }
        Ok(found)
    }

    /// The contact of this name, or why there is no such one.
    pub(super) async fn named(&mut self, name: &str) -> Result<Result<ContactId, String>, Error> {
        let key = name.trim().to_lowercase();
        if !self.by_name.contains_key(&key) {
            let found = if key.is_empty() { Vec::new() } else { self.store.contacts_named(&key).await? };
            self.by_name.insert(key.clone(), found);
        }
        Ok(match self.by_name.get(&key).map(Vec::as_slice).unwrap_or_default() {
            [id] => Ok(*id),
            [] => Err(format!("there is no contact called \"{}\"", name.trim())),
            _ => Err(format!("several contacts are called \"{}\": say the id of the one who is meant", name.trim())),
        })
    }
}

/// What contacts are called.
pub(super) struct Names(HashMap<ContactId, String>);

impl Names {
    /// Those of these contacts, asked for at once.
    pub(super) async fn of(store: &Store, people: impl IntoIterator<Item = ContactId>) -> Result<Self, Error> {
        let mut ids: Vec<ContactId> = people.into_iter().collect();
        ids.sort_unstable();
        ids.dedup();
        store.full_names(&ids).await.map(Self)
    }

    pub(super) fn name(&self, id: ContactId) -> String {
        self.0.get(&id).cloned().unwrap_or_else(|| "a deleted contact".to_owned())
    }

    pub(super) fn people(&self, ids: &[ContactId]) -> Vec<Person> {
        ids.iter().map(|id| Person { id: id.0, name: self.name(*id) }).collect()
    }

    pub(super) fn who(&self, id: ContactId) -> Who {
        Who { id: Some(id.0), name: Some(self.name(id)) }
    }
}
