//! Whether a request comes from Twilio: `X-Twilio-Signature`.
//!
//! The HMAC is over the URL that Twilio asked for, as it is written in its console or in our request, and then
//! the name and value of each form field, sorted. A body that is no form is covered by its digest in the URL's
//! `bodySHA256`. Whether Twilio has signed the URL with its port or without it differs; so its own libraries
//! try both, and so do we.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The header that has the signature.
pub const HEADER: &str = "X-Twilio-Signature";
/// The header that says how it was made, if not by the account's token.
pub const SETTINGS_HEADER: &str = "X-Twilio-Webhooks-Signature-Settings";

/// How it was signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithm {
    /// By the account's token.
    #[default]
    HmacSha1,
    /// By a shared key for webhooks.
    HmacSha256,
}

impl Algorithm {
    /// What [`SETTINGS_HEADER`] says (`key=...,algorithm=HMAC_SHA256`); without it, or without an algorithm in
    /// it, the old one. `None` if it names one that we do not know.
    #[must_use]
    pub fn of_header(header: Option<&str>) -> Option<Self> {
        let parts = header.unwrap_or_default().split(',').filter_map(|part| part.split_once('='));
        let named = parts.map(|(name, value)| (name.trim(), value.trim()));
        let mut named = named.filter(|(name, value)| *name == "algorithm" && !value.is_empty()).map(|(_, value)| value);
        match named.next() {
            None => Some(Self::HmacSha1),
            Some(name) if name.eq_ignore_ascii_case("HMAC_SHA1") => Some(Self::HmacSha1),
            Some(name) if name.eq_ignore_ascii_case("HMAC_SHA256") => Some(Self::HmacSha256),
            Some(_) => None,
        }
    }

    fn mac(self, secret: &str, text: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::HmacSha1 => {
                let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).ok()?;
                mac.update(text);
                Some(mac.finalize().into_bytes().to_vec())
            }
            Self::HmacSha256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).ok()?;
                mac.update(text);
                Some(mac.finalize().into_bytes().to_vec())
            }
        }
    }
}

/// What came with a request, beside its URL.
#[derive(Clone, Copy, Debug)]
pub enum Content<'a> {
    /// The fields of a form; none if it was a GET.
    Form(&'a [(String, String)]),
    /// Anything else, such as JSON.
    Raw(&'a [u8]),
}

/// A request that says that it is Twilio's.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// As Twilio knows it: scheme, host and all, not as a proxy passes it on.
    pub url: &'a str,
    /// What came with it.
    pub content: Content<'a>,
    /// The value of [`HEADER`].
    pub signature: &'a str,
    /// How it was made.
    pub algorithm: Algorithm,
}

impl Signed<'_> {
    /// Whether it was signed with one of these (the account's token, and the next one while it is changed).
    #[must_use]
    pub fn is_by(&self, secrets: &[SecretString]) -> bool {
        let Ok(signature) = STANDARD.decode(self.signature) else { return false };
        let fields = match self.content {
            Content::Form(fields) => fields,
            // Without a digest nothing would vouch for the body.
            Content::Raw(body) if body_is_vouched_for(self.url, body) => &[],
            Content::Raw(_) => return false,
        };
        let urls = [with_port(self.url), without_port(self.url)];
        secrets.iter().map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty()).any(|secret| {
            urls.iter().any(|url| {
                let computed = self.algorithm.mac(secret, text(url, fields).as_bytes());
                computed.is_some_and(|computed| computed.ct_eq(&signature).into())
            })
        })
    }
}

/// The signature of a request for `url` with these fields.
#[must_use]
pub fn sign(secret: &SecretString, algorithm: Algorithm, url: &str, fields: &[(String, String)]) -> String {
    let mac = algorithm.mac(secret.expose_secret(), text(url, fields).as_bytes());
    STANDARD.encode(mac.unwrap_or_default())
}

/// What is signed. A field that is there twice with one value counts once.
fn text(url: &str, fields: &[(String, String)]) -> String {
    let fields: BTreeSet<(&str, &str)> = fields.iter().map(|(name, value)| (&**name, &**value)).collect();
    let mut text = url.to_owned();
    for (name, value) in fields {
        text.push_str(name);
        text.push_str(value);
    }
    text
}

fn body_is_vouched_for(url: &str, body: &[u8]) -> bool {
    let query = url.split_once('#').map_or(url, |(url, _)| url).split_once('?').map_or("", |(_, query)| query);
    let digest =
        form_urlencoded::parse(query.as_bytes()).find(|(name, value)| name == "bodySHA256" && !value.is_empty());
    let computed = hex::encode(Sha256::digest(body));
    digest.is_some_and(|(_, digest)| digest.as_bytes().ct_eq(computed.as_bytes()).into())
}

/// A URL's part up to the port, the port with its colon, and the rest.
fn split_at_port(url: &str) -> (&str, &str, &str) {
    let authority = url.find("://").map_or(0, |at| at + 3);
    let path = url[authority..].find(['/', '?', '#']).map_or(url.len(), |at| authority + at);
    // A colon within a user's name or an IPv6 address is none of a port.
    let host = url[authority..path].rfind(['@', ']']).map_or(authority, |at| authority + at);
    match url[host..path].rfind(':').map(|at| host + at) {
        Some(colon) if url[colon + 1..path].bytes().all(|c| c.is_ascii_digit()) => {
            (&url[..colon], &url[colon..path], &url[path..])
        }
        _ => (&url[..path], "", &url[path..]),
    }
}

fn with_port(url: &str) -> String {
    match split_at_port(url) {
        (host, "", rest) => {
            let port = if url.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:")) { 443 } else { 80 };
            format!("{host}:{port}{rest}")
        }
        _ => url.to_owned(),
    }
}

fn without_port(url: &str) -> String {
    let (host, _, rest) = split_at_port(url);
    format!("{host}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";

    fn fields() -> Vec<(String, String)> {
        [
            ("To", "+18005551212"),
            ("From", "+14158675310"),
            ("Digits", "1234"),
            ("Caller", "+14158675310"),
            ("CallSid", "CA1234567890ABCDE"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }

    fn is_good(url: &str, content: Content<'_>, signature: &str, secrets: &[&str]) -> bool {
        let secrets: Vec<SecretString> = secrets.iter().map(|secret| (*secret).into()).collect();
        Signed { url, content, signature, algorithm: Algorithm::HmacSha1 }.is_by(&secrets)
    }

    #[test]
    fn the_example_of_twilios_documentation_is_signed() {
        // https://www.twilio.com/docs/usage/security, with the token 12345.
        let signature = "GvWf1cFY/Q7PnoempGyD5oXAezc=";
        let fields = fields();
        assert_eq!(sign(&"12345".into(), Algorithm::HmacSha1, URL, &fields), signature);
        assert!(is_good(URL, Content::Form(&fields), signature, &["12345"]));
        assert!(is_good(URL, Content::Form(&fields), signature, &["the next one", "12345"]));
    }

    #[test]
    fn whatever_is_another_is_refused() {
        let signature = "GvWf1cFY/Q7PnoempGyD5oXAezc=";
        let fields = fields();
        let form = Content::Form(&fields);
        for url in [
            "https://mycompany.com/myapp.php?foo=1&bar=3",
            "http://mycompany.com/myapp.php?foo=1&bar=2",
            "https://mycompany.com/myapp.php",
            "https://mycompany.com:8443/myapp.php?foo=1&bar=2x",
            "",
        ] {
            assert!(!is_good(url, form, signature, &["12345"]), "{url}");
        }
        for other in ["", "=", "GvWf1cFY/Q7PnoempGyD5oXAezc", "gvWf1cFY/Q7PnoempGyD5oXAezc=", "GvWf", "\u{e9}"] {
            assert!(!is_good(URL, form, other, &["12345"]), "{other}");
        }
        let more = [fields.clone(), vec![("x".into(), String::new())]].concat();
        assert!(!is_good(URL, Content::Form(&more), signature, &["12345"]));
        assert!(!is_good(URL, Content::Form(&fields[1..]), signature, &["12345"]));
        assert!(!is_good(URL, form, signature, &["1234"]));
        assert!(!is_good(URL, form, signature, &[]));
    }

    #[test]
    fn without_a_secret_nothing_is_good() {
        let forged = sign(&"".into(), Algorithm::HmacSha1, URL, &[]);
        assert!(!is_good(URL, Content::Form(&[]), &forged, &[""]));
    }

    #[test]
    fn with_its_port_or_without_it_a_url_is_the_same() {
        for (signed, asked) in [
            ("https://a.example/x?y", "https://a.example:443/x?y"),
            ("https://a.example:443/x?y", "https://a.example/x?y"),
            ("http://a.example", "http://a.example:80"),
            ("https://a.example?y:z", "https://a.example:443?y:z"),
            ("https://a.example/x", "https://a.example:8443/x"),
            ("https://u:p@a.example/x", "https://u:p@a.example:443/x"),
            ("https://[::1]/x", "https://[::1]:443/x"),
        ] {
            let signature = sign(&"k".into(), Algorithm::HmacSha1, signed, &[]);
            assert!(is_good(asked, Content::Form(&[]), &signature, &["k"]), "{signed} {asked}");
        }
        let signature = sign(&"k".into(), Algorithm::HmacSha1, "https://a.example:8443/x", &[]);
        assert!(!is_good("https://a.example:8444/x", Content::Form(&[]), &signature, &["k"]));
        assert!(!is_good("https://a.example/x", Content::Form(&[]), &signature, &["k"]));
    }

    #[test]
    fn a_body_that_is_no_form_is_good_by_its_digest_only() {
        let body = br#"{"a":1}"#;
        let digest = hex::encode(Sha256::digest(body));
        let url = format!("https://a.example/x?bodySHA256={digest}&z=1");
        let signature = sign(&"k".into(), Algorithm::HmacSha1, &url, &[]);
        assert!(is_good(&url, Content::Raw(body), &signature, &["k"]));
        assert!(!is_good(&url, Content::Raw(br#"{"a":2}"#), &signature, &["k"]));
        let bare = "https://a.example/x?z=1";
        let signature = sign(&"k".into(), Algorithm::HmacSha1, bare, &[]);
        assert!(!is_good(bare, Content::Raw(body), &signature, &["k"]));
        assert!(!is_good(bare, Content::Raw(b""), &signature, &["k"]));
        // Behind the # it is not part of what is asked for.
        let behind = format!("https://a.example/x#?bodySHA256={digest}");
        let signature = sign(&"k".into(), Algorithm::HmacSha1, &behind, &[]);
        assert!(!is_good(&behind, Content::Raw(body), &signature, &["k"]));
    }

    #[test]
    fn a_shared_key_signs_with_sha256() {
        let of = Algorithm::of_header;
        assert_eq!(of(None), Some(Algorithm::HmacSha1));
        assert_eq!(of(Some("")), Some(Algorithm::HmacSha1));
        assert_eq!(of(Some("key=x,algorithm=")), Some(Algorithm::HmacSha1));
        assert_eq!(of(Some("key=x, algorithm = hmac_sha256")), Some(Algorithm::HmacSha256));
        assert_eq!(of(Some("algorithm=HMAC_SHA1,key=x")), Some(Algorithm::HmacSha1));
        assert_eq!(of(Some("algorithm=none")), None);
        let signature = sign(&"k".into(), Algorithm::HmacSha256, URL, &[]);
        let signed =
            Signed { url: URL, content: Content::Form(&[]), signature: &signature, algorithm: Algorithm::HmacSha256 };
        assert!(signed.is_by(&["k".into()]));
        assert!(!Signed { algorithm: Algorithm::HmacSha1, ..signed }.is_by(&["k".into()]));
    }
}
