//! TELLING OTHERS OVER HTTP, the wire: a checked address, a signed body, one answer.
//!
//! Names are resolved here, every address they have is checked ([`address`]), and the connection goes to
//! one of those that were checked: what a name means a moment later changes nothing. Redirects are not
//! followed, since nobody has checked where they lead. Knows nothing of events.

pub mod address;
mod signature;

use std::{
    error::Error as _,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Client, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
pub use signature::sign;

/// The longest URL.
pub const LONGEST_URL: usize = 2000;
/// How long a name may take to be resolved when a URL is given.
const RESOLVE: Duration = Duration::from_secs(2);
/// Bytes of an answer that are read. Only its status counts.
const READ: usize = 16 * 1024;

/// Why a URL is not told anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no URL that could be used.
    #[error("{0}")]
    NotUsable(&'static str),
    /// It leads to an address that is not public, nor allowed.
    #[error("{0} is no public address, and not in webhooks.allow")]
    Address(IpAddr),
}

/// Why something could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status of the answer, if there was one.
    pub answer: Option<u16>,
    /// In words.
    pub why: String,
}

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// Identifies the event: whoever gets it twice knows.
    pub event_id: &'a str,
    /// What is sent, in JSON.
    pub body: &'a str,
    /// Signs it.
    pub secret: &'a str,
    /// When it is sent, in seconds since 1970.
    pub timestamp: i64,
}

/// Sends. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    client: Client,
    allow: Arc<[IpNet]>,
}

impl Sender {
    /// One that gives receivers `timeout` to answer, and talks to public addresses and to those of `allow`.
    ///
    /// # Errors
    /// If there is no HTTP client to be had.
    pub fn new(allow: &[IpNet], timeout: Duration) -> Result<Self, reqwest::Error> {
        let allow: Arc<[IpNet]> = allow.into();
        let client = Client::builder()
            .dns_resolver(Arc::new(Checked(Arc::clone(&allow))))
            .redirect(redirect::Policy::none())
            // A proxy would resolve names by itself.
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout)
            .user_agent(concat!("ringdown/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, allow })
    }

    /// Checks a URL that somebody gives us. A name that cannot be resolved now may be later: it is checked
    /// again with every delivery.
    ///
    /// # Errors
    /// If it cannot be used, or leads where it must not.
    pub async fn check(&self, url: &str) -> Result<(), Refused> {
        let url = parse(url)?;
        match literal(&url) {
            Some(address) => self.check_address(address),
            None => {
                let host = url.host_str().unwrap_or_default().to_owned();
                let found = tokio::time::timeout(RESOLVE, tokio::net::lookup_host((host, 0))).await;
                let Ok(Ok(found)) = found else { return Ok(()) };
                found.map(|found| found.ip()).try_for_each(|address| self.check_address(address))
            }
        }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        if address::permitted(address, &self.allow) { Ok(()) } else { Err(Refused::Address(address)) }
    }

    /// Sends, once.
    ///
    /// # Errors
    /// If nobody said 2xx.
    pub async fn post(&self, url: &str, letter: Letter<'_>) -> Result<u16, Failure> {
        let refused = |refused: Refused| Failure { answer: None, why: refused.to_string() };
        let url = parse(url).map_err(refused)?;
        // An address that is written out is not resolved, so nobody else would look at it.
        if let Some(address) = literal(&url) {
            self.check_address(address).map_err(refused)?;
        }
        let request = self
            .client
            .post(url)
            .header("content-type", "application/json")
            .header("x-ringdown-event-id", letter.event_id)
            .header("x-ringdown-timestamp", letter.timestamp)
            .header("x-ringdown-signature", sign(letter.secret, letter.timestamp, letter.body))
            .body(letter.body.to_owned());
        let failed = |error: reqwest::Error| Failure { answer: None, why: words(error) };
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        let mut read = 0;
        while let Ok(Some(chunk)) = answer.chunk().await {
            read += chunk.len();
            if read > READ {
                break;
            }
        }
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let why = if status.is_redirection() { "redirects are not followed" } else { "the receiver refused it" };
        Err(Failure { answer: Some(status.as_u16()), why: format!("{why} ({status})") })
    }
}

/// The scheme, host and port of a URL: who is told, whatever is said there.
///
/// # Errors
/// If it cannot be used.
pub fn origin(url: &str) -> Result<String, Refused> {
    Ok(parse(url)?.origin().ascii_serialization())
}

fn parse(url: &str) -> Result<Url, Refused> {
    if url.len() > LONGEST_URL {
        return Err(Refused::NotUsable("is too long"));
    }
    let url = Url::parse(url).map_err(|_| Refused::NotUsable("is no URL"))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(Refused::NotUsable("begins with http:// or https:// and names a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::NotUsable("has a user name or password: what is sent is signed instead"));
    }
    Ok(url)
}

/// The address, if the host is one. The parser of URLs brings all ways of writing one into the usual form.
fn literal(url: &Url) -> Option<IpAddr> {
    url.host_str()?.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Resolves names to addresses that may be connected to. One that may not spoils them all.
struct Checked(Arc<[IpNet]>);

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let allow = Arc::clone(&self.0);
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(bad) = found.iter().find(|found| !address::permitted(found.ip(), &allow)) {
                return Err(Refused::Address(bad.ip()).into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What went wrong, down to its cause, without the URL: it may have a secret in it.
fn words(error: reqwest::Error) -> String {
    if error.is_timeout() {
        return "it took too long".into();
    }
    let error = error.without_url();
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_words = inner.to_string();
        if !words.contains(&inner_words) {
            words = format!("{words}: {inner_words}");
        }
        cause = inner.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(allow: &[&str]) -> Sender {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().expect("a net")).collect();
        Sender::new(&allow, Duration::from_secs(5)).expect("a client")
    }

    #[tokio::test]
    async fn a_url_leads_to_a_public_address_or_is_refused() {
        let sender = sender(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://[::1]:8080/x",
            "http://[::ffff:127.0.0.1]/",
            "https://10.0.0.1/",
            "http://169.254.169.254/latest/meta-data",
            "http://localhost:8080/",
        ] {
            assert!(matches!(sender.check(url).await, Err(Refused::Address(_))), "{url}");
            let letter = Letter { event_id: "x", body: "{}", secret: "s", timestamp: 0 };
            let failure = sender.post(url, letter).await.expect_err(url);
            assert!(failure.why.contains("no public address"), "{url}: {}", failure.why);
        }
        for url in
            ["", "x", "ftp://1.1.1.1/", "http://", "file:///etc/passwd", "http://a:b@1.1.1.1/", "http://a@1.1.1.1"]
        {
            assert!(matches!(sender.check(url).await, Err(Refused::NotUsable(_))), "{url}");
        }
        assert_eq!(sender.check("https://1.1.1.1:8443/hooks?x=y").await, Ok(()));
        assert_eq!(sender.check("https://no-such-name.invalid/").await, Ok(()), "it may exist later");
    }

    #[tokio::test]
    async fn what_is_allowed_by_name_is_not_refused() {
        let sender = sender(&["127.0.0.0/8", "::1/128"]);
        for url in ["http://127.0.0.1/", "http://localhost/", "http://[::1]/"] {
            assert_eq!(sender.check(url).await, Ok(()), "{url}");
        }
    }

    #[test]
    fn an_origin_is_who_is_told() {
        assert_eq!(origin("https://Example.com:443/a?b").as_deref(), Ok("https://example.com"));
        assert_eq!(origin("http://example.com:8080/a").as_deref(), Ok("http://example.com:8080"));
    }
}
