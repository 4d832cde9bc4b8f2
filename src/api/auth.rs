//! Who asks, and whether they may.
//!
//! A credential is an API key, of the configuration or of the database, or an access token of somebody
//! who has logged in. Which scope an operation needs stands in its signature: it takes a
//! [`ReadsCalls`], a [`PlacesCalls`], ... and gets none from whoever may not.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use poem::Request;
use poem_openapi::{ApiExtractor, ApiExtractorType, ExtractParamOptions};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::Problem;
use crate::{
    access::{
        Role, Scope, Scopes,
        token::{Tokens, is_token},
    },
    clock::Clock,
    config,
    escalation::Actor,
    id::{KeyId, LoginId, UserId},
    store::{self, ActorKind, Author, Store},
};

/// How long somebody who was known stays so without another look at the database, on other servers than
/// the one that revokes.
const REMEMBERED: TimeDelta = TimeDelta::seconds(2);
/// Credentials that are remembered at once.
const MOST_REMEMBERED: usize = 10_000;
/// A key's last use is written down at most so often.
const USE_NOTED: TimeDelta = TimeDelta::seconds(60);

/// Knows credentials. Cheap to clone.
#[derive(Clone)]
pub struct Access(Arc<Inner>);

struct Inner {
    of_configuration: Vec<(Principal, [u8; 32])>,
    store: Store,
    clock: Clock,
    tokens: Tokens,
    known: Mutex<HashMap<[u8; 32], Known>>,
}

struct Known {
    principal: Principal,
    until: DateTime<Utc>,
}

/// Whose a credential is, and what it allows.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Of which sort.
    pub identity: Whose,
    /// Their name.
    pub name: String,
    /// What they may do.
    pub scopes: Scopes,
    /// The policy that pages for the alerts they send, unless they name one.
    pub policy: Option<String>,
}

/// A sort of credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// A key of the configuration.
    Configured,
    /// A key of the database.
    Key(KeyId, Option<UserId>),
    /// A user, by this log-in.
    User(UserId, LoginId),
}

/// Whoever sends a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub principal: Principal,
    /// From where.
    pub address: IpAddr,
    /// The request's identifier.
    pub request: String,
}

/// What is known about whoever sends a request; every request carries one.
#[derive(Clone, Debug)]
pub(super) enum Sender {
    /// No credential was sent.
    Nobody,
    /// One that is not known, or no longer.
    Unknown,
    /// The database did not answer.
    Unavailable(store::Error),
    /// They are known.
    Known(Caller),
}

/// From where a request comes; every request carries one.
#[derive(Clone, Copy, Debug)]
pub(super) struct From(pub IpAddr);

impl Access {
    /// Takes the keys of the configuration; the others are looked up.
    #[must_use]
    pub fn new(keys: &[config::ApiKey], store: Store, clock: Clock, tokens: Tokens) -> Self {
        let principal = |key: &config::ApiKey| Principal {
            identity: Whose::Configured,
            name: key.name.clone(),
            // What is none was told as a mistake before.
            scopes: Scopes::parse(key.scopes.iter().map(String::as_str)).unwrap_or_default(),
            policy: key.policy.clone(),
        };
        let digest = |key: &config::ApiKey| hex::decode(&key.sha256).ok()?.try_into().ok();
        let of_configuration = keys.iter().filter_map(|key| Some((principal(key), digest(key)?))).collect();
        Self(Arc::new(Inner { of_configuration, store, clock, tokens, known: Mutex::default() }))
    }

    /// Makes and checks access tokens.
    #[must_use]
    pub fn tokens(&self) -> &Tokens {
        &self.0.tokens
    }

    /// Whose credential this is.
    ///
    /// # Errors
    /// If the database does not answer: then nobody knows.
    pub async fn whose(&self, credential: &str) -> Result<Option<Principal>, store::Error> {
        let now = self.0.clock.now();
        let digest: [u8; 32] = Sha256::digest(credential.as_bytes()).into();
        // Takes the same time for every wrong key: all are compared, whole.
        let mut configured = None;
        for (principal, known) in &self.0.of_configuration {
            if bool::from(known.ct_eq(&digest)) {
                configured = Some(principal.clone());
            }
        }
        if configured.is_some() {
            return Ok(configured);
        }
        if let Some(principal) = self.remembered(&digest, now) {
            return Ok(Some(principal));
        }
        let (found, until) = if is_token(credential) {
            self.of_token(credential, now).await?
        } else {
            (self.of_key(&digest, now).await?, now + REMEMBERED)
        };
        if let Some(principal) = &found {
            self.remember(digest, Known { principal: principal.clone(), until });
        }
        Ok(found)
    }

    /// Nobody is remembered any more: users or keys have changed.
    pub fn forget(&self) {
        self.known().clear();
    }

    async fn of_token(
        &self,
        token: &str,
        now: DateTime<Utc>,
    ) -> Result<(Option<Principal>, DateTime<Utc>), store::Error> {
        let Ok(claims) = self.0.tokens.check(token, now) else { return Ok((None, now)) };
        let ends = DateTime::from_timestamp(claims.exp, 0).unwrap_or(now);
        let user = self.0.store.logged_in(LoginId(claims.sid), now).await?.filter(|user| user.id.0 == claims.sub);
        let principal = user.map(|user| {
            let granted = Scopes::parse(claims.scope.split_whitespace()).unwrap_or_default();
            Principal {
                identity: Whose::User(user.id, LoginId(claims.sid)),
                // What they may do now, not when they logged in.
                scopes: granted.intersection(user.data.role.scopes()),
                name: user.data.name,
                policy: None,
            }
        });
        Ok((principal, ends.min(now + REMEMBERED)))
    }

    async fn of_key(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Result<Option<Principal>, store::Error> {
        let Some((key, owner)) = self.0.store.key_with(&hex::encode(digest)).await? else { return Ok(None) };
        if key.data.expires_at.is_some_and(|at| at <= now) {
            return Ok(None);
        }
        let most = match (key.data.owner, owner) {
            (None, _) => Role::Admin.scopes(),
            (Some(_), Some(owner)) if owner.data.enabled => owner.data.role.scopes(),
            (Some(_), _) => return Ok(None),
        };
        if key.used_at.is_none_or(|at| now - at >= USE_NOTED) {
            let store = self.0.store.clone();
            tokio::spawn(async move {
                if let Err(error) = store.key_used(key.id, now).await {
                    tracing::warn!(%error, "the use of a key could not be noted");
                }
            });
        }
        Ok(Some(Principal {
            identity: Whose::Key(key.id, key.data.owner),
            name: key.data.name,
            scopes: key.data.scopes.intersection(most),
            policy: key.data.policy,
        }))
    }

    fn remembered(&self, digest: &[u8; 32], now: DateTime<Utc>) -> Option<Principal> {
        let known = self.known();
        known.get(digest).filter(|known| known.until > now).map(|known| known.principal.clone())
    }

    fn remember(&self, digest: [u8; 32], principal: Known) {
        let mut known = self.known();
        if known.len() >= MOST_REMEMBERED {
            known.clear();
        }
        known.insert(digest, principal);
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Known>> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Principal {
    /// Who it is, whichever way they came: what is counted or kept for them is theirs alone.
    #[must_use]
    pub fn owner(&self) -> String {
        match self.identity {
            Whose::Configured => format!("configured {}", self.name),
            Whose::Key(id, _) => format!("key {id}"),
            Whose::User(id, _) => format!("user {id}"),
        }
    }
}

impl Caller {
    /// As the timeline knows them.
    #[must_use]
    pub fn actor(&self) -> Actor {
        let name = self.principal.name.clone();
        match self.principal.identity {
            Whose::User(..) => Actor::User(name),
            Whose::Configured | Whose::Key(..) => Actor::Key(name),
        }
    }

    /// As the audit log knows them.
    #[must_use]
    pub fn author(&self, at: DateTime<Utc>) -> Author {
        let kind = match self.principal.identity {
            Whose::User(..) => ActorKind::User,
            Whose::Configured | Whose::Key(..) => ActorKind::Key,
        };
        let name = self.principal.name.clone();
        Author { kind, name, address: Some(self.address), request: Some(self.request.clone()), at }
    }

    /// Their name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.principal.name
    }
}

/// The credential of a request, if it has one.
pub(super) fn credential(request: &Request) -> Option<&str> {
    let (scheme, credential) = request.header("authorization")?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| credential.trim())
}

/// Who sends the request, as far as that is known.
pub(super) fn sender(request: &Request) -> Sender {
    request.extensions().get::<Sender>().cloned().unwrap_or(Sender::Nobody)
}

/// From where the request comes.
pub(super) fn address(request: &Request) -> IpAddr {
    request.extensions().get::<From>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |from| from.0)
}

/// Whoever sends the request, if they may; `None` is allowed to everybody who is known.
pub(super) fn allowed(request: &Request, scope: Option<Scope>) -> Result<Caller, Problem> {
    match sender(request) {
        Sender::Known(caller) => match scope {
            Some(scope) if !caller.principal.scopes.has(scope) => {
                metrics::counter!("ringdown_http_forbidden_total").increment(1);
                Err(Problem::forbidden(scope.name()))
            }
            _ => Ok(caller),
        },
        Sender::Nobody | Sender::Unknown => {
            metrics::counter!("ringdown_http_unauthorized_total").increment(1);
            Err(Problem::unauthorized())
        }
        Sender::Unavailable(error) => Err(error.into()),
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])+ $name:ident = $scope:expr;)+) => {$(
        $(#[$doc])+
        pub(super) struct $name(pub Caller);

        impl Deref for $name {
            type Target = Caller;
            fn deref(&self) -> &Caller {
                &self.0
            }
        }

        impl<'a> ApiExtractor<'a> for $name {
            const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];
            type ParamType = ();
            type ParamRawType = ();

            /// The name of the scope: the document turns it into the schemes that there are.
            fn security_schemes() -> Vec<&'static str> {
                let scope: Option<Scope> = $scope;
                vec![scope.map_or(ANY, Scope::name)]
            }

            async fn from_request(
                request: &'a Request,
                _body: &mut poem::RequestBody,
                _options: ExtractParamOptions<Self::ParamType>,
            ) -> poem::Result<Self> {
                Ok(Self(allowed(request, $scope)?))
            }
        }
    )+};
}

/// In the document: any credential will do.
pub(super) const ANY: &str = "any";

permissions! {
    /// Anybody with a credential.
    Anybody = None;
    /// May raise and resolve alerts, and send heartbeats.
    RaisesAlerts = Some(Scope::AlertsWrite);
    /// May see incidents.
    ReadsIncidents = Some(Scope::IncidentsRead);
    /// May acknowledge, escalate and resolve.
    WorksIncidents = Some(Scope::IncidentsWrite);
    /// May see calls.
    ReadsCalls = Some(Scope::CallsRead);
    /// May place and cancel calls.
    PlacesCalls = Some(Scope::CallsWrite);
    /// May see text messages.
    ReadsMessages = Some(Scope::MessagesRead);
    /// May send and cancel text messages.
    SendsMessages = Some(Scope::MessagesWrite);
    /// May see the address book.
    ReadsContacts = Some(Scope::ContactsRead);
    /// May change the address book.
    EditsContacts = Some(Scope::ContactsWrite);
    /// May see schedules and calendars.
    ReadsSchedules = Some(Scope::SchedulesRead);
    /// May change schedules and calendars.
    EditsSchedules = Some(Scope::SchedulesWrite);
    /// May change who is on duty for a span.
    EditsOverrides = Some(Scope::OverridesWrite);
    /// May see policies, routing rules, heartbeats and silences.
    ReadsPolicies = Some(Scope::PoliciesRead);
    /// May change policies, routing rules and heartbeats.
    EditsPolicies = Some(Scope::PoliciesWrite);
    /// May make and end silences.
    EditsSilences = Some(Scope::SilencesWrite);
    /// May see and change webhooks.
    EditsWebhooks = Some(Scope::WebhooksWrite);
    /// May stop all calls.
    StopsCalls = Some(Scope::KillSwitchWrite);
    /// May see how the server does.
    ReadsMetrics = Some(Scope::MetricsRead);
    /// May manage users and keys.
    EditsAccess = Some(Scope::AccessWrite);
    /// May read the audit log.
    ReadsAudit = Some(Scope::AuditRead);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ApiKey;

    #[tokio::test]
    async fn only_the_whole_key_is_known() {
        let sha256 = hex::encode(Sha256::digest(b"the key"));
        let key = ApiKey { name: "prometheus".into(), sha256, scopes: vec!["alerts:write".into()], policy: None };
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(&format!("sqlite:{}/test.db", directory.path().display())).await.expect("a store");
        let tokens = Tokens::new("ringdown", TimeDelta::minutes(30), &[]);
        let access = Access::new(&[key], store, Clock::System, tokens);
        let known = access.whose("the key").await.expect("no database is asked").expect("known");
        assert_eq!((known.name.as_str(), known.scopes.names()), ("prometheus", vec!["alerts:write"]));
        for wrong in ["", "the ke", "the key ", "THE KEY", "a.b.c"] {
            assert!(access.whose(wrong).await.expect("an answer").is_none(), "{wrong:?}");
        }
    }
}
