//! Logging in: a password, or the refresh token of an earlier log-in, becomes an access token.
//!
//! Checking a password is work on purpose (see `pin`). So that log-ins cannot starve the telephone,
//! one is checked at a time, with as long a pause after it, and few may wait.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::TimeDelta;
use poem::Request;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, payload::Json};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{self, Anybody, Whose},
    body::{Body, Form},
    error::Problem,
};
use crate::{
    access::{Role, Scopes, password, throttle::Throttle},
    id::{self, LoginId, UserId},
    store::{self, NewLogin, Renewed, User},
};

/// Log-ins.
pub struct Logins(pub State);

/// Passwords that may wait to be checked; one more is refused.
const WAITING: usize = 16;
/// From the end of one check to the beginning of the next.
const PAUSE: Duration = Duration::from_millis(50);

/// Checks passwords, one after the other. Cheap to clone.
#[derive(Clone)]
pub struct Passwords(Arc<Checks>);

struct Checks {
    throttle: Mutex<Throttle>,
    places: Arc<Semaphore>,
    turn: Semaphore,
}

impl Default for Passwords {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(WAITING));
        Self(Arc::new(Checks { throttle: Mutex::default(), places, turn: Semaphore::new(1) }))
    }
}

impl Passwords {
    /// Who this is, if it is their password. Says and takes the same for a wrong password, a user that
    /// there is not, and one who may not log in.
    async fn check(&self, state: &State, name: &str, password: String, address: IpAddr) -> Result<User, Refusal> {
        let now = state.clock.now();
        {
            let mut throttle = self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner);
            let wait = throttle.wait(name, address, now);
            if wait > TimeDelta::zero() {
                return Err(Refusal::Wait(wait));
            }
            throttle.tried(name, address, now);
        }
        let checked = self.look(state, name, password).await;
        let mut throttle = self.0.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        match &checked {
            Ok(_) => throttle.succeeded(name, address, now),
            // That nobody looked is not their fault.
            Err(Refusal::Busy | Refusal::Store(_)) => throttle.untried(name, address),
            Err(Refusal::Wrong | Refusal::Wait(_)) => {}
        }
        checked
    }

    async fn look(&self, state: &State, name: &str, password: String) -> Result<User, Refusal> {
        let user = state.store.user_named(name).await?;
        let hash = user.as_ref().map_or(password::NOBODYS, |user| &user.password_hash).to_owned();
        if !self.fits(password, hash).await? {
            return Err(Refusal::Wrong);
        }
        user.filter(|user| user.data.enabled).ok_or(Refusal::Wrong)
    }

    async fn fits(&self, password: String, hash: String) -> Result<bool, Refusal> {
        self.work(move || password::verify(&password, &hash)).await
    }

    /// What is kept of a password, made in the same turn as checks.
    async fn hash(&self, password: String) -> Result<String, Refusal> {
        let hash = self.work(move || password::hash(&password, rand::random())).await?;
        hash.map_err(|error| Refusal::Store(store::Error::Unavailable(error)))
    }

    async fn work<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let checks = Arc::clone(&self.0);
        let place = Arc::clone(&checks.places).try_acquire_owned().map_err(|_| Refusal::Busy)?;
        // By itself: whoever asks may go away, and the work goes on all the same.
        let work = tokio::spawn(async move {
            let _place = place;
            let _turn = checks.turn.acquire().await.ok()?;
            let done = tokio::task::spawn_blocking(work).await.ok()?;
            tokio::time::sleep(PAUSE).await;
            Some(done)
        });
        work.await.ok().flatten().ok_or(Refusal::Busy)
    }
}

/// Why somebody is not logged in.
enum Refusal {
    Wrong,
    Wait(TimeDelta),
    Busy,
    Store(store::Error),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wrong => Self::wrong_password(),
            Refusal::Wait(wait) => Self::too_many_logins(wait),
            Refusal::Busy => Self::unavailable("too many log-ins at once: try again"),
            Refusal::Store(error) => error.into(),
        }
    }
}

/// How an access token is asked for (RFC 6749).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum GrantType {
    /// With a name and a password.
    Password,
    /// With the refresh token of an earlier answer.
    RefreshToken,
}

/// What an access token is asked for with.
#[derive(Debug, Object, Deserialize)]
struct TokenRequest {
    /// `password` unless it is said.
    grant_type: Option<GrantType>,
    /// The user's name, for `password`.
    #[oai(validator(max_length = 200))]
    username: Option<String>,
    /// Their password.
    #[oai(validator(max_length = 256))]
    password: Option<String>,
    /// For `refresh_token`: good once, the answer has the next one.
    #[oai(validator(max_length = 200))]
    refresh_token: Option<String>,
    /// Scopes, separated by spaces, to have no more than these; all that the user may have if it is not said.
    #[oai(validator(max_length = 1000))]
    scope: Option<String>,
    /// Not looked at; some clients send it.
    #[oai(validator(max_length = 200))]
    client_id: Option<String>,
    /// Not looked at.
    #[oai(validator(max_length = 200))]
    client_secret: Option<String>,
}

/// An access token.
#[derive(Debug, Object)]
struct Token {
    /// Send it as `Authorization: Bearer ...`.
    access_token: String,
    /// `bearer`.
    token_type: String,
    /// Seconds that it lives.
    expires_in: i64,
    /// Asks for the next one, once.
    refresh_token: String,
    /// What it allows, separated by spaces.
    scope: String,
}

/// What is to end.
#[derive(Debug, Object, Deserialize)]
struct Revocation {
    /// A refresh token.
    #[oai(validator(max_length = 4096))]
    token: String,
    /// Not looked at.
    #[oai(validator(max_length = 100))]
    token_type_hint: Option<String>,
}

/// Whoever asks.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Me {
    /// `user` or `key`.
    kind: String,
    /// Their name.
    name: String,
    /// The user's identifier.
    user: Option<Uuid>,
    /// What they may do.
    scopes: Vec<String>,
    /// The policy that pages for the alerts they send.
    policy: Option<String>,
}

/// A password and the one that takes its place.
#[derive(Debug, Object, Deserialize)]
struct NewPassword {
    /// The present one.
    #[oai(validator(max_length = 256))]
    current: String,
    /// The new one: 12 characters at least.
    #[oai(validator(max_length = 256))]
    new: String,
}

#[derive(ApiResponse)]
enum Done {
    /// It is done.
    #[oai(status = 204)]
    Done,
}

#[OpenApi(prefix_path = "/api/v2", tag = "Tag::Access")]
impl Logins {
    /// Ask for an access token.
    ///
    /// Takes a form (RFC 6749, 4.3 and 6). The token lives for `tokens.minutes`; the log-in, by refresh tokens, for
    /// `tokens.login_days`. Wrong passwords are slowed down, by account and by address.
    #[oai(path = "/token", method = "post", operation_id = "create_token")]
    async fn token(&self, request: &Request, form: Form<TokenRequest>) -> Result<Json<Token>, Problem> {
        let form = form.0;
        let now = self.0.clock.now();
        let address = auth::address(request);
        // First, so that a mistake costs nobody their refresh token.
        let asked = asked(form.scope.as_deref())?;
        let (login, refresh, user, most) = if form.grant_type == Some(GrantType::RefreshToken) {
            let Some(spent) = form.refresh_token else { return Err(Problem::malformed("refresh_token: is missing")) };
            let login = login_of(&spent).ok_or_else(Problem::wrong_password)?;
            let refresh = refresh_token(login);
            match self.0.store.renew_login(login, digest(&spent), digest(&refresh), now).await? {
                Renewed::Login { user, scopes } => (login, refresh, user, scopes),
                Renewed::Copied => {
                    tracing::warn!(%address, "a refresh token came twice: its log-in is over");
                    self.0.access.forget();
                    return Err(Problem::wrong_password());
                }
                Renewed::Unknown => return Err(Problem::wrong_password()),
            }
        } else {
            let (Some(name), Some(password)) = (form.username, form.password) else {
                return Err(Problem::malformed("username and password: one is missing"));
            };
            let user =
                self.0.passwords.check(&self.0, name.trim(), password, address).await.inspect_err(|refusal| {
                    let outcome = match refusal {
                        Refusal::Wrong => "wrong",
                        Refusal::Wait(_) => "slowed_down",
                        Refusal::Busy | Refusal::Store(_) => "busy",
                    };
                    metrics::counter!("ringdown_logins_total", "outcome" => outcome).increment(1);
                    tracing::warn!(%address, outcome, "a log-in failed");
                })?;
            metrics::counter!("ringdown_logins_total", "outcome" => "right").increment(1);
            tracing::info!(%address, user = %user.id, "somebody has logged in");
            let id = LoginId::generate();
            let refresh = refresh_token(id);
            let scopes = asked.unwrap_or(Role::Admin.scopes()).intersection(user.data.role.scopes());
            let expires_at = now + TimeDelta::days(self.0.login_days.into());
            let refresh_sha256 = digest(&refresh);
            let new = NewLogin { id, user: user.id, refresh_sha256, scopes, address: Some(address), expires_at };
            self.0.store.open_login(new, now).await?;
            (id, refresh, user, scopes)
        };
        let granted = most.intersection(user.data.role.scopes()).intersection(asked.unwrap_or(most));
        let scope = granted.names().join(" ");
        let tokens = self.0.access.tokens();
        let access_token = tokens
            .issue(user.id.0, login.0, &scope, id::token_id(), now)
            .ok_or_else(|| Problem::unavailable("there is no secret to sign tokens with"))?;
        Ok(Json(Token {
            access_token,
            token_type: "bearer".into(),
            expires_in: tokens.lifetime().num_seconds(),
            refresh_token: refresh,
            scope,
        }))
    }

    /// End a log-in by one of its tokens.
    ///
    /// A refresh token, also one that is spent, or an access token: all of the log-in end. What is no token of ours
    /// has ended already (RFC 7009).
    #[oai(path = "/token/revoke", method = "post", operation_id = "revoke_token")]
    async fn revoke(&self, form: Form<Revocation>) -> Result<Done, Problem> {
        let token = form.0.token;
        let of_access = || self.0.access.tokens().check(&token, self.0.clock.now()).ok();
        let login = login_of(&token).or_else(|| of_access().map(|claims| LoginId(claims.sid)));
        if let Some(login) = login
            && self.0.store.end_login(login).await?
        {
            self.0.access.forget();
        }
        Ok(Done::Done)
    }

    /// Whose credential this is, and what it allows.
    #[oai(path = "/me", method = "get", operation_id = "get_me")]
    async fn me(&self, caller: Anybody) -> Result<Json<Me>, Problem> {
        let principal = caller.0.principal;
        let (kind, user) = match principal.identity {
            Whose::User(id, _) => ("user", Some(id.0)),
            Whose::Configured | Whose::Key(..) => ("key", None),
        };
        let scopes = principal.scopes.names().into_iter().map(str::to_owned).collect();
        Ok(Json(Me { kind: kind.into(), name: principal.name, user, scopes, policy: principal.policy }))
    }

    /// Log out: end the log-in that this access token comes from.
    #[oai(path = "/me/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, caller: Anybody) -> Result<Done, Problem> {
        let (_, login) = self.logged_in(&caller)?;
        self.0.store.end_login(login).await?;
        self.0.access.forget();
        Ok(Done::Done)
    }

    /// Change your own password.
    ///
    /// All your log-ins end, this one too.
    #[oai(path = "/me/password", method = "put", operation_id = "set_my_password")]
    async fn set_password(&self, caller: Anybody, passwords: Body<NewPassword>) -> Result<Done, Problem> {
        let (user, _) = self.logged_in(&caller)?;
        let NewPassword { current, new } = passwords.0;
        let name = caller.0.name();
        self.0.passwords.check(&self.0, name, current, caller.0.address).await.map_err(|refusal| match refusal {
            Refusal::Wrong => Problem::unprocessable("current: this is not your password"),
            other => other.into(),
        })?;
        let hash = hash(&self.0, "new", new, name).await?;
        self.0.by(&caller.0).set_password(user, hash, self.0.clock.now()).await?;
        self.0.access.forget();
        Ok(Done::Done)
    }
}

impl Logins {
    fn logged_in(&self, caller: &Anybody) -> Result<(UserId, LoginId), Problem> {
        match caller.0.principal.identity {
            Whose::User(user, login) => Ok((user, login)),
            Whose::Configured | Whose::Key(..) => {
                Err(Problem::conflict("this is an API key: nobody has logged in with it"))
            }
        }
    }
}

/// What is kept of the password in `field`, if it may be the password of `user`.
pub(super) async fn hash(state: &State, field: &str, password: String, user: &str) -> Result<String, Problem> {
    if let Some(mistake) = password::mistake(&password, user) {
        return Err(Problem::unprocessable(format!("{field}: {mistake}")));
    }
    Ok(state.passwords.hash(password).await?)
}

/// The scopes that are asked for; `None` if all that may be had.
fn asked(scope: Option<&str>) -> Result<Option<Scopes>, Problem> {
    let Some(scope) = scope.map(str::trim).filter(|scope| !scope.is_empty()) else { return Ok(None) };
    let scopes = Scopes::parse(scope.split_whitespace());
    scopes.map(Some).map_err(|error| Problem::malformed(format!("scope: {error}")))
}

/// A refresh token: it says of which log-in it is, so that an old one is known for what it is.
fn refresh_token(login: LoginId) -> String {
    format!("{}.{}", login.0.simple(), id::secret())
}

/// The log-in that a refresh token is of.
fn login_of(refresh_token: &str) -> Option<LoginId> {
    let (login, secret) = refresh_token.split_once('.')?;
    let is_secret = secret.len() == 64 && secret.bytes().all(|c| c.is_ascii_hexdigit());
    (login.len() == 32 && is_secret).then(|| login.parse().ok())?
}

/// What is kept of a secret.
pub(super) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}
