//! Access tokens: JWTs (RFC 7519, 9068) signed with HMAC-SHA256, short-lived.
//!
//! Two secrets may be live: the first signs, both are accepted, so that one can be replaced without
//! logging anybody out. The header's `kid` says which; the algorithm is never taken from the token.

use chrono::{DateTime, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Characters of a secret, at least: as many bits as the digest (RFC 7518, 3.2).
pub const SHORTEST_SECRET: usize = 32;
/// Bytes of a token that is looked at.
pub const LONGEST: usize = 4096;

/// Makes and checks tokens.
pub struct Tokens {
    issuer: String,
    lifetime: TimeDelta,
    keys: Vec<Key>,
}

struct Key {
    id: String,
    sign: EncodingKey,
    verify: DecodingKey,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who made it.
    pub iss: String,
    /// Whom it is for: the same.
    pub aud: String,
    /// The user.
    pub sub: Uuid,
    /// The log-in that it comes from.
    pub sid: Uuid,
    /// What it allows, names separated by spaces (RFC 8693, 4.2).
    pub scope: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// When it ends.
    pub exp: i64,
    /// Its own identifier.
    pub jti: Uuid,
}

/// Why a token is not accepted. Whoever sent it hears only that it is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is none, or it was not signed by us.
    #[error("not a token of this server")]
    NotOurs,
    /// Its time is over.
    #[error("expired")]
    Expired,
}

impl Tokens {
    /// Takes secrets, the first of which signs.
    #[must_use]
    pub fn new(issuer: &str, lifetime: TimeDelta, secrets: &[&str]) -> Self {
        let key = |secret: &&str| Key {
            id: hex::encode(&Sha256::digest(secret.as_bytes())[..4]),
            sign: EncodingKey::from_secret(secret.as_bytes()),
            verify: DecodingKey::from_secret(secret.as_bytes()),
        };
        Self { issuer: issuer.to_owned(), lifetime, keys: secrets.iter().map(key).collect() }
    }

    /// How long a token lives.
    #[must_use]
    pub fn lifetime(&self) -> TimeDelta {
        self.lifetime
    }

    /// Makes a token. `None` if there is no secret to sign it with.
    #[must_use]
    pub fn issue(&self, user: Uuid, login: Uuid, scope: &str, id: Uuid, now: DateTime<Utc>) -> Option<String> {
        let key = self.keys.first()?;
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.issuer.clone(),
            sub: user,
            sid: login,
            scope: scope.to_owned(),
            iat: now.timestamp(),
            exp: (now + self.lifetime).timestamp(),
            jti: id,
        };
        let header = Header { kid: Some(key.id.clone()), typ: Some("at+jwt".into()), ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims, &key.sign).ok()
    }

    /// What a token says, if it is ours and its time is not over.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn check(&self, token: &str, now: DateTime<Utc>) -> Result<Claims, Refused> {
        if token.len() > LONGEST {
            return Err(Refused::NotOurs);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| Refused::NotOurs)?;
        let key = self.keys.iter().find(|key| header.kid.as_deref() == Some(&*key.id)).ok_or(Refused::NotOurs)?;
        // Ours alone, whatever the header says.
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.issuer]);
        // The time is an argument here.
        validation.validate_exp = false;
        let claims =
            jsonwebtoken::decode::<Claims>(token, &key.verify, &validation).map_err(|_| Refused::NotOurs)?.claims;
        if claims.exp <= now.timestamp() { Err(Refused::Expired) } else { Ok(claims) }
    }
}

/// Whether a credential has the shape of a token, as opposed to that of a key.
#[must_use]
pub fn is_token(credential: &str) -> bool {
    credential.bytes().filter(|&c| c == b'.').count() == 2
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: &str = "5f0c8a72b1d94e63a7c2508f9d1b3e46";
    const OLD: &str = "b93e7d15c04f4a2886d1f7a3c95e0b72";

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000, 0).unwrap()
    }

    fn tokens(issuer: &str, secrets: &[&str]) -> Tokens {
        Tokens::new(issuer, TimeDelta::minutes(30), secrets)
    }

    fn issue(tokens: &Tokens) -> String {
        tokens.issue(Uuid::from_u128(1), Uuid::from_u128(2), "calls:read", Uuid::from_u128(3), now()).unwrap()
    }

    #[test]
    fn a_token_is_good_for_its_time() {
        let ours = tokens("ringdown", &[NEW]);
        let token = issue(&ours);
        assert!(is_token(&token));
        let claims = ours.check(&token, now()).unwrap();
        assert_eq!((claims.sub, claims.sid, &*claims.scope), (Uuid::from_u128(1), Uuid::from_u128(2), "calls:read"));
        assert!(ours.check(&token, now() + TimeDelta::seconds(1799)).is_ok());
        assert_eq!(ours.check(&token, now() + TimeDelta::seconds(1800)), Err(Refused::Expired));
    }

    #[test]
    fn a_secret_can_be_replaced_without_logging_anybody_out() {
        let before = issue(&tokens("ringdown", &[OLD]));
        let between = tokens("ringdown", &[NEW, OLD]);
        assert!(between.check(&before, now()).is_ok());
        let after = issue(&between);
        let alone = tokens("ringdown", &[NEW]);
        assert!(alone.check(&after, now()).is_ok(), "the first one signs");
        assert_eq!(alone.check(&before, now()), Err(Refused::NotOurs));
    }

    /// A token as somebody else might write it.
    fn forged(header: &str, claims: &serde_json::Value, secret: &str) -> String {
        use jsonwebtoken::crypto::sign;
        let part = |text: &str| base64_url(text.as_bytes());
        let message = format!("{}.{}", part(header), part(&claims.to_string()));
        let signature = match header.contains("none") {
            true => String::new(),
            false => sign(message.as_bytes(), &EncodingKey::from_secret(secret.as_bytes()), Algorithm::HS256).unwrap(),
        };
        format!("{message}.{signature}")
    }

    /// RFC 4648, section 5, without padding.
    fn base64_url(bytes: &[u8]) -> String {
        const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        bytes
            .chunks(3)
            .flat_map(|chunk| {
                let bits =
                    chunk.iter().fold(0_u32, |bits, &byte| bits << 8 | u32::from(byte)) << (8 * (3 - chunk.len()));
                (0..=chunk.len()).map(move |n| char::from(DIGITS[(bits >> (18 - 6 * n) & 63) as usize]))
            })
            .collect()
    }

    #[test]
    fn nobody_else_makes_tokens() {
        let ours = tokens("ringdown", &[NEW]);
        let good = issue(&ours);
        let kid = ours.keys[0].id.clone();
        let claims = serde_json::to_value(ours.check(&good, now()).unwrap()).unwrap();
        let header = |alg: &str| format!(r#"{{"alg":"{alg}","typ":"at+jwt","kid":"{kid}"}}"#);
        // The forger works: with everything right it is accepted.
        assert!(ours.check(&forged(&header("HS256"), &claims, NEW), now()).is_ok());
        for alg in ["none", "None", "HS384", "HS512", "RS256", "ES256", "EdDSA", ""] {
            assert_eq!(ours.check(&forged(&header(alg), &claims, NEW), now()), Err(Refused::NotOurs), "{alg}");
        }
        assert_eq!(ours.check(&forged(&header("HS256"), &claims, OLD), now()), Err(Refused::NotOurs));
        let other_kid = r#"{"alg":"HS256","kid":"00000000"}"#;
        assert_eq!(ours.check(&forged(other_kid, &claims, NEW), now()), Err(Refused::NotOurs));
        assert_eq!(ours.check(&forged(r#"{"alg":"HS256"}"#, &claims, NEW), now()), Err(Refused::NotOurs));
        for (claim, value) in [("iss", "somebody"), ("aud", "somebody")] {
            let mut others = claims.clone();
            others[claim] = value.into();
            assert_eq!(ours.check(&forged(&header("HS256"), &others, NEW), now()), Err(Refused::NotOurs), "{claim}");
        }
        for claim in ["iss", "aud", "exp", "sub", "sid"] {
            let mut less = claims.clone();
            less.as_object_mut().unwrap().remove(claim);
            assert_eq!(ours.check(&forged(&header("HS256"), &less, NEW), now()), Err(Refused::NotOurs), "{claim}");
        }
        let mut other = good.clone();
        let last = if other.pop() == Some('A') { 'Q' } else { 'A' };
        other.push(last);
        for nonsense in ["", ".", "..", "a.b.c", &good[..good.len() - 4], &other, &"a.".repeat(9000)] {
            assert_eq!(ours.check(nonsense, now()), Err(Refused::NotOurs));
        }
        assert!(issue(&tokens("elsewhere", &[NEW])).len() > 10);
        assert_eq!(ours.check(&issue(&tokens("elsewhere", &[NEW])), now()), Err(Refused::NotOurs));
        assert!(tokens("ringdown", &[]).issue(Uuid::nil(), Uuid::nil(), "", Uuid::nil(), now()).is_none());
    }
}
