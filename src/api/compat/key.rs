//! An API key in the address of a request, taken out of it before anybody else sees it.

use poem::{Request, http::Uri};

use super::is_ours;
use crate::access::token::is_token;

/// Takes a key out of the address of a request to one of our routes: from the query (`?key=`) or from the
/// path (`/k/KEY/call_only`). From here on it stands in neither. Access tokens are no keys.
pub(in crate::api) fn take(request: &mut Request) -> Option<String> {
    let (address, key) = without_key(request.uri())?;
    *request.uri_mut() = address;
    key.filter(|key| !key.is_empty() && !is_token(key))
}

/// The address without its key, if it had one.
fn without_key(uri: &Uri) -> Option<(Uri, Option<String>)> {
    let mut path = uri.path();
    let mut key = None;
    if let Some((first, rest)) = path.strip_prefix("/k/").and_then(|rest| rest.split_once('/')) {
        let rest = &path[path.len() - rest.len() - 1..];
        if is_ours(rest) {
            (key, path) = (Some(first.to_owned()), rest);
        }
    }
    if !is_ours(path) {
        return None;
    }
    let named = |part: &&str| part.split('=').next() == Some("key");
    let query = uri.query().unwrap_or_default();
    let of_query = query.split('&').find(named).and_then(|part| part.split_once('=')).map(|(_, key)| key.to_owned());
    if key.is_none() && of_query.is_none() {
        return None;
    }
    let rest: Vec<&str> = query.split('&').filter(|part| !named(part) && !part.is_empty()).collect();
    let address = if rest.is_empty() { path.to_owned() } else { format!("{path}?{}", rest.join("&")) };
    Some((address.parse().ok()?, key.or(of_query)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(uri: &str) -> Option<(String, Option<String>)> {
        without_key(&uri.parse().expect("an address")).map(|(uri, key)| (uri.to_string(), key))
    }

    #[test]
    fn a_key_is_taken_out_of_path_and_query_of_our_routes_and_of_no_others() {
        let key = |address: &str| Some((address.to_owned(), Some("secret".to_owned())));
        assert_eq!(taken("/k/secret/call_only"), key("/call_only"));
        assert_eq!(taken("/k/secret/contact_modify/7?a=b"), key("/contact_modify/7?a=b"));
        assert_eq!(taken("/ack?asterisk_chan=7&key=secret"), key("/ack?asterisk_chan=7"));
        assert_eq!(taken("/call_only?key=secret"), key("/call_only"));
        assert_eq!(
            taken("/place_call?key=secret&message=a%26key%3Db&phone=1"),
            key("/place_call?message=a%26key%3Db&phone=1")
        );
        for other in
            ["/k/secret/api/v2/alerts", "/api/v2/alerts?key=secret", "/ack?monkey=1", "/call_only", "/k/secret"]
        {
            assert_eq!(taken(other), None, "{other}");
        }
    }
}
