//! Who asks: API keys of the configuration.
//!
//! Only their SHA-256 is kept. A key is random, so a fast digest is as good as a slow one.

use poem::Request;
use poem_openapi::{SecurityScheme, auth::Bearer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::error::Problem;
use crate::{config::ApiKey, escalation::Actor};

/// The keys that are known.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(Caller, [u8; 32])>);

/// Whoever holds a known key.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The key's name.
    pub name: String,
    /// The policy that pages for the alerts it sends, unless they name one.
    pub policy: Option<String>,
}

/// An API key, sent as `Authorization: Bearer KEY`.
#[derive(SecurityScheme)]
#[oai(ty = "bearer", checker = "check", rename = "api_key")]
pub struct Credential(pub Caller);

impl Keys {
    /// Takes the keys of the configuration. A digest that is none was told as a mistake before.
    #[must_use]
    pub fn new(keys: &[ApiKey]) -> Self {
        let digest = |key: &ApiKey| hex::decode(&key.sha256).ok()?.try_into().ok();
        let caller = |key: &ApiKey| Caller { name: key.name.clone(), policy: key.policy.clone() };
        Self(keys.iter().filter_map(|key| Some((caller(key), digest(key)?))).collect())
    }

    /// Whose key this is. Takes the same time for every wrong key: all are compared, whole.
    #[must_use]
    pub fn holder(&self, key: &str) -> Option<Caller> {
        let digest: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut holder = None;
        for (caller, known) in &self.0 {
            if bool::from(known.ct_eq(&digest)) {
                holder = Some(caller.clone());
            }
        }
        holder
    }
}

impl Caller {
    /// As the timeline knows them.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Key(self.name.clone())
    }
}

/// Who sends the request, if they have a known key.
pub(super) fn caller(request: &Request) -> Option<Caller> {
    let header = request.header("authorization")?;
    let (scheme, key) = header.split_once(' ')?;
    let keys = request.data::<Keys>()?;
    scheme.eq_ignore_ascii_case("bearer").then(|| keys.holder(key.trim()))?
}

async fn check(request: &Request, bearer: Bearer) -> poem::Result<Caller> {
    let holder = request.data::<Keys>().and_then(|keys| keys.holder(&bearer.token));
    holder.ok_or_else(|| {
        metrics::counter!("ringdown_http_unauthorized_total").increment(1);
        Problem::unauthorized().into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_key_is_known() {
        let sha256 = hex::encode(Sha256::digest(b"the key"));
        let keys = Keys::new(&[ApiKey { name: "prometheus".into(), sha256, policy: None }]);
        assert_eq!(keys.holder("the key").map(|caller| caller.name).as_deref(), Some("prometheus"));
        for wrong in ["", "the ke", "the key ", "THE KEY"] {
            assert!(keys.holder(wrong).is_none(), "{wrong:?}");
        }
        assert!(Keys::default().holder("").is_none());
    }
}
