//! What decisions ask again and again, as it was last read: policies, rules, people, groups, calendars,
//! silences.
//!
//! Whatever can be edited is edited together with a line in the audit log, in one commit. So as long as the
//! log is no longer, what was read still is so, whichever server edits: one question takes the place of six.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    calendar::Calendar,
    id::{CalendarId, ContactId, GroupId, PolicyId},
    store::{self, Contact, NamedPolicy, RoutingRules, Silence, Store},
};

/// How long something is believed. Nothing but a hand in the database itself changes what the audit log
/// does not know of.
const BELIEVED: Duration = Duration::from_secs(60);
/// Contacts that are remembered; one more, and all are read anew.
const CONTACTS: usize = 20_000;

/// What is remembered. Cheap to clone.
#[derive(Clone)]
pub(super) struct Directory {
    store: Store,
    last: Arc<Mutex<Option<Edition>>>,
}

/// What was read since the audit log had this length. Cheap to clone.
#[derive(Clone)]
pub(super) struct Edition {
    store: Store,
    audited: i64,
    since: Instant,
    read: Arc<Mutex<Read>>,
}

#[derive(Default)]
struct Read {
    by_name: HashMap<String, Arc<NamedPolicy>>,
    policies: HashMap<PolicyId, Arc<NamedPolicy>>,
    default: Option<Arc<NamedPolicy>>,
    rules: Option<Arc<RoutingRules>>,
    contacts: HashMap<ContactId, Arc<Contact>>,
    groups: HashMap<GroupId, Arc<Vec<ContactId>>>,
    calendars: HashMap<CalendarId, Arc<Calendar>>,
    silences: Option<Arc<Vec<Silence>>>,
}

impl Directory {
    pub(super) fn new(store: Store) -> Self {
        Self { store, last: Arc::default() }
    }

    /// What is so now.
    pub(super) async fn now(&self) -> Result<Edition, store::Error> {
        let audited = self.store.audited().await?;
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some(edition) if edition.audited == audited && edition.since.elapsed() < BELIEVED => Ok(edition.clone()),
            _ => {
                let (store, read) = (self.store.clone(), Arc::default());
                let edition = Edition { store, audited, since: Instant::now(), read };
                *last = Some(edition.clone());
                Ok(edition)
            }
        }
    }
}

impl Edition {
    // What is not there is never remembered: the configuration file of another server may bring it, and what
    // it brings stands in no audit log.

    pub(super) async fn policy(&self, name: &str) -> Result<Option<Arc<NamedPolicy>>, store::Error> {
        if let Some(known) = self.read().by_name.get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = self.store.policy(name).await?.map(Arc::new);
        if let Some(policy) = &found {
            self.read().by_name.insert(name.to_owned(), Arc::clone(policy));
        }
        Ok(found)
    }

    pub(super) async fn policy_by_id(&self, id: PolicyId) -> Result<Option<Arc<NamedPolicy>>, store::Error> {
        self.one(id, |read| &mut read.policies, self.store.policy_by_id(id)).await
    }

    pub(super) async fn default_policy(&self) -> Result<Option<Arc<NamedPolicy>>, store::Error> {
        if let Some(known) = &self.read().default {
            return Ok(Some(Arc::clone(known)));
        }
        let found = self.store.default_policy().await?.map(Arc::new);
        self.read().default.clone_from(&found);
        Ok(found)
    }

    pub(super) async fn rules(&self) -> Result<Arc<RoutingRules>, store::Error> {
        if let Some(known) = &self.read().rules {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.store.routing_rules().await?);
        self.read().rules = Some(Arc::clone(&found));
        Ok(found)
    }

    /// Those of these people who are in the address book.
    pub(super) async fn contacts(&self, ids: &[ContactId]) -> Result<Vec<Arc<Contact>>, store::Error> {
        let mut missing = Vec::new();
        let mut found = Vec::with_capacity(ids.len());
        {
            let read = self.read();
            for id in ids {
                match read.contacts.get(id) {
                    Some(contact) => found.push(Arc::clone(contact)),
                    None => missing.push(*id),
                }
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let fresh = self.store.contacts_by_id(&missing).await?.into_iter().map(Arc::new);
        let mut read = self.read();
        for contact in fresh {
            if read.contacts.len() >= CONTACTS {
                read.contacts.clear();
            }
            read.contacts.insert(contact.id, Arc::clone(&contact));
            found.push(contact);
        }
        Ok(found)
    }

    pub(super) async fn group_members(&self, id: GroupId) -> Result<Arc<Vec<ContactId>>, store::Error> {
        let members = self.one(id, |read| &mut read.groups, async { self.store.group_members(id).await.map(Some) });
        Ok(members.await?.unwrap_or_default())
    }

    pub(super) async fn calendar(&self, id: CalendarId) -> Result<Option<Arc<Calendar>>, store::Error> {
        let calendar = async { Ok(self.store.calendar(id).await?.map(|calendar| calendar.data)) };
        self.one(id, |read| &mut read.calendars, calendar).await
    }

    pub(super) async fn silences(&self) -> Result<Arc<Vec<Silence>>, store::Error> {
        if let Some(known) = &self.read().silences {
            return Ok(Arc::clone(known));
        }
        let found = Arc::new(self.store.silences(None).await?);
        self.read().silences = Some(Arc::clone(&found));
        Ok(found)
    }

    async fn one<K: Hash + Eq, T>(
        &self,
        id: K,
        shelf: impl Fn(&mut Read) -> &mut HashMap<K, Arc<T>>,
        look: impl Future<Output = Result<Option<T>, store::Error>>,
    ) -> Result<Option<Arc<T>>, store::Error> {
        if let Some(known) = shelf(&mut self.read()).get(&id) {
            return Ok(Some(Arc::clone(known)));
        }
        let found = look.await?.map(Arc::new);
        if let Some(found) = &found {
            shelf(&mut self.read()).insert(id, Arc::clone(found));
        }
        Ok(found)
    }

    fn read(&self) -> MutexGuard<'_, Read> {
        self.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
