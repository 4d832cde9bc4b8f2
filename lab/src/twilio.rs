//! Twilio's API for messages, as far as ringdown uses it, on loopback: with callbacks that are signed, and faults.
//!
//! It signs with ringdown's own code, so ringdown against it proves no signature: that Twilio's published library
//! accepts what it signs, and can use it as it uses Twilio, is tested.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context, Result};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use reqwest::Url;
use ringdown::{
    clock::Clock,
    twilio::{Algorithm, HEADER, sign},
};
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::{
    http::{Reply, Request, Server},
    secret::secret,
};

/// What happens with the next message that it is given.
#[derive(Clone, Debug)]
pub enum Fault {
    /// 429, with this `Retry-After`.
    TooMany(Option<u32>),
    /// This status, and the message is not taken.
    Broken(u16),
    /// This status, though the message was taken.
    BrokenAfter(u16),
    /// 400, with this code and these words.
    Refuse(u32, String),
    /// The connection is cut, and the message is not taken.
    CutBefore,
    /// The message is taken, and the connection cut.
    CutAfter,
    /// The message is taken, and the connection cut in the middle of the answer.
    CutWithin,
    /// The message is not taken, and nothing is ever said.
    HangBefore,
    /// The message is taken, and nothing is ever said.
    HangAfter,
    /// The message is taken, and something is said that is no JSON.
    Garble,
    /// The message is taken, and the answer is this long.
    Flood(usize),
    /// 302, to here.
    Redirect(String),
    /// The message is taken, and will not be sent.
    FailAtOnce(u32),
}

/// A message that it has.
#[derive(Clone, Debug)]
pub struct Stored {
    pub sid: String,
    pub from: String,
    pub to: String,
    pub body: String,
    pub status: String,
    pub error: Option<u32>,
    pub is_inbound: bool,
    pub created: DateTime<Utc>,
    /// Everything that came with it.
    pub fields: Vec<(String, String)>,
}

struct State {
    messages: Vec<Stored>,
    faults: VecDeque<Fault>,
    stopped: BTreeSet<String>,
    requests: Vec<Request>,
    clock: Clock,
    /// Comes in before each further page is read.
    arriving: VecDeque<Stored>,
    /// Nobody is answered.
    silent: bool,
}

/// A Twilio with one account. Gone when it is dropped.
pub struct Twilio {
    pub account: String,
    pub token: String,
    /// A key of the account's, and its secret.
    pub key: (String, String),
    server: Server,
    state: Arc<Mutex<State>>,
}

impl Twilio {
    /// One on a port of its own, whose messages are as old as this clock says.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(clock: Clock) -> Result<Self> {
        let state = Arc::new(Mutex::new(State {
            messages: Vec::new(),
            faults: VecDeque::new(),
            stopped: BTreeSet::new(),
            requests: Vec::new(),
            clock,
            arriving: VecDeque::new(),
            silent: false,
        }));
        let (account, token, key) = (sid("AC"), secret(), (sid("SK"), secret()));
        let known = [(&account, &token), (&key.0, &key.1)]
            .map(|(user, secret)| format!("Basic {}", STANDARD.encode(format!("{user}:{secret}"))));
        let (own, book) = (account.clone(), Arc::clone(&state));
        let server = Server::start(move |request: Request| {
            let mut state = book.lock().unwrap_or_else(PoisonError::into_inner);
            state.requests.push(request.clone());
            let is_known = request.header("authorization").is_some_and(|told| known.iter().any(|known| known == told));
            let reply = if state.silent {
                Reply::Cut
            } else if is_known {
                state.reply(&own, &request)
            } else {
                refuse(401, 20003, "Authenticate")
            };
            std::future::ready(reply)
        });
        Ok(Self { account, token, key, server: server.await?, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where its API is.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// What happens with the next messages that it is given.
    pub fn fails(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// From now on every connection is cut without an answer, or none any more.
    pub fn is_silent(&self, silent: bool) {
        self.state().silent = silent;
    }

    /// This number has texted STOP.
    pub fn stops(&self, number: &str) {
        self.state().stopped.insert(number.to_owned());
    }

    /// Everything that it has, the oldest first.
    #[must_use]
    pub fn messages(&self) -> Vec<Stored> {
        self.state().messages.clone()
    }

    /// Every request that came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// A message comes in. Whoever asks will see it.
    pub fn text(&self, from: &str, to: &str, body: &str) -> Stored {
        let mut state = self.state();
        let message = state.inbound(from, to, body);
        state.messages.push(message.clone());
        message
    }

    /// A message comes in while somebody who has read one page asks for the next.
    pub fn text_between_pages(&self, from: &str, to: &str, body: &str) {
        let mut state = self.state();
        let message = state.inbound(from, to, body);
        state.arriving.push_back(message);
    }

    /// A message comes in, and whoever is at this URL is told. Returns the status of the answer.
    ///
    /// # Errors
    /// If nobody is there.
    pub async fn tell_text(&self, url: &str, from: &str, to: &str, body: &str) -> Result<u16> {
        let Stored { sid, from, to, body, .. } = self.text(from, to, body);
        let fields = [
            ("ToCountry", ""),
            ("SmsMessageSid", &*sid),
            ("NumMedia", "0"),
            ("SmsSid", &sid),
            ("SmsStatus", "received"),
            ("Body", &body),
            ("To", &to),
            ("NumSegments", "1"),
            ("MessageSid", &sid),
            ("AccountSid", &self.account),
            ("From", &from),
            ("ApiVersion", "2010-04-01"),
        ];
        self.tell(url, &fields).await
    }

    /// A message of ours gets this far, and whoever asked to be told is told. Returns the status of the answer, if
    /// somebody did.
    ///
    /// # Errors
    /// If there is no such message, or nobody is there.
    pub async fn becomes(&self, sid: &str, status: &str, error: Option<u32>) -> Result<Option<u16>> {
        let message = {
            let mut state = self.state();
            let message = state.messages.iter_mut().find(|message| message.sid == sid).context("a message")?;
            message.status = status.to_owned();
            message.error = error;
            message.clone()
        };
        let Some((_, url)) = message.fields.iter().find(|(name, _)| name == "StatusCallback") else { return Ok(None) };
        let error = error.map(|error| error.to_string());
        let mut fields = vec![
            ("SmsSid", &*message.sid),
            ("SmsStatus", status),
            ("MessageStatus", status),
            ("To", &message.to),
            ("MessageSid", &message.sid),
            ("AccountSid", &self.account),
            ("From", &message.from),
            ("ApiVersion", "2010-04-01"),
        ];
        fields.extend(error.as_deref().map(|error| ("ErrorCode", error)));
        self.tell(url, &fields).await.map(Some)
    }

    async fn tell(&self, url: &str, fields: &[(&str, &str)]) -> Result<u16> {
        let fields: Vec<(String, String)> =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let token = SecretString::from(self.token.clone());
        let client = reqwest::Client::builder().no_proxy().build()?;
        let answer = client
            .post(url)
            .header(HEADER, sign(&token, Algorithm::HmacSha1, url, &fields))
            .header("content-type", "application/x-www-form-urlencoded; charset=UTF-8")
            .body(Url::parse_with_params("http://x", &fields)?.query().unwrap_or_default().to_owned())
            .send()
            .await?;
        Ok(answer.status().as_u16())
    }
}

fn sid(kind: &str) -> String {
    format!("{kind}{}", hex::encode(rand::random::<[u8; 16]>()))
}

fn refuse(status: u16, code: u32, message: &str) -> Reply {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    Reply::json(status, &json!({ "code": code, "message": message, "more_info": more_info, "status": status }))
}

impl State {
    fn reply(&mut self, account: &str, request: &Request) -> Reply {
        let Ok(url) = Url::parse(&format!("http://x{}", request.target)) else { return refuse(404, 20404, "no") };
        let path = url.path().strip_prefix(&format!("/2010-04-01/Accounts/{account}/Messages")).map(str::to_owned);
        match (&*request.method, path.as_deref()) {
            ("POST", Some(".json")) => self.create(account, &request.body),
            ("GET", Some(".json")) => self.list(account, &url),
            ("GET", Some(path)) => {
                let sid = path.trim_start_matches('/').trim_end_matches(".json");
                let found = self.messages.iter().find(|message| message.sid == sid);
                found.map_or_else(
                    || refuse(404, 20404, "The requested resource was not found"),
                    |message| Reply::json(200, &shown(account, message)),
                )
            }
            _ => refuse(404, 20404, "The requested resource was not found"),
        }
    }

    fn create(&mut self, account: &str, body: &[u8]) -> Reply {
        match self.faults.pop_front() {
            None => self.take(account, body),
            Some(Fault::TooMany(after)) => {
                let reply = refuse(429, 20429, "Too Many Requests");
                match (reply, after) {
                    (Reply::Answer { status, mut headers, body }, Some(after)) => {
                        headers.push(("Retry-After".to_owned(), after.to_string()));
                        Reply::Answer { status, headers, body }
                    }
                    (reply, _) => reply,
                }
            }
            Some(Fault::Broken(status)) => page(status),
            Some(Fault::Refuse(code, words)) => refuse(400, code, &words),
            Some(Fault::CutBefore) => Reply::Cut,
            Some(Fault::HangBefore) => Reply::Hang,
            Some(Fault::Redirect(to)) => {
                Reply::Answer { status: 302, headers: vec![("Location".to_owned(), to)], body: Vec::new() }
            }
            Some(after) => {
                let reply = self.take(account, body);
                match (after, reply) {
                    (Fault::BrokenAfter(status), _) => page(status),
                    (Fault::CutAfter, _) => Reply::Cut,
                    (Fault::HangAfter, _) => Reply::Hang,
                    (Fault::CutWithin, Reply::Answer { status, body, .. }) => Reply::Half { status, body },
                    (Fault::Garble, _) => page(201),
                    (Fault::Flood(length), _) => {
                        Reply::Answer { status: 201, headers: Vec::new(), body: vec![b' '; length] }
                    }
                    (Fault::FailAtOnce(error), _) => {
                        let message = self.messages.last_mut().expect("the one that was taken");
                        (message.status, message.error) = ("failed".to_owned(), Some(error));
                        Reply::json(201, &shown(account, message))
                    }
                    (_, reply) => reply,
                }
            }
        }
    }

    fn take(&mut self, account: &str, body: &[u8]) -> Reply {
        let query = String::from_utf8_lossy(body).into_owned();
        let Ok(url) = Url::parse(&format!("http://x/?{query}")) else { return refuse(400, 20001, "Invalid") };
        let fields: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        let field = |name: &str| fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone());
        let (to, body) = (field("To").unwrap_or_default(), field("Body").unwrap_or_default());
        let Some(from) = field("From").or_else(|| field("MessagingServiceSid")) else {
            return refuse(400, 21603, "A 'From' phone number is required.");
        };
        let digits = to.strip_prefix('+').unwrap_or_default();
        if !(7..=15).contains(&digits.len()) || !digits.bytes().all(|c| c.is_ascii_digit()) {
            return refuse(400, 21211, &format!("Invalid 'To' Phone Number: {to}"));
        }
        if body.is_empty() {
            return refuse(400, 21602, "Message body is required.");
        }
        if body.chars().count() > 1600 {
            return refuse(400, 21617, "The concatenated message body exceeds the 1600 character limit.");
        }
        if self.stopped.contains(&to) {
            return refuse(400, 21610, "Attempt to send to unsubscribed recipient");
        }
        let created = self.clock.now();
        let status = "queued".to_owned();
        let message =
            Stored { sid: sid("SM"), from, to, body, status, error: None, is_inbound: false, created, fields };
        let reply = Reply::json(201, &shown(account, &message));
        self.messages.push(message);
        reply
    }

    /// The newest first. What comes meanwhile pushes the others onto the next page.
    fn list(&mut self, account: &str, url: &Url) -> Reply {
        let asked = |name: &str| url.query_pairs().find(|(own, _)| own == name).map(|(_, value)| value.into_owned());
        let number = |name: &str| asked(name).and_then(|value| value.parse::<usize>().ok());
        let (size, nth) = (number("PageSize").unwrap_or(50).clamp(1, 1000), number("Page").unwrap_or(0));
        if nth > 0 {
            self.messages.extend(self.arriving.pop_front());
        }
        let matching: Vec<&Stored> = (self.messages.iter().rev())
            .filter(|message| asked("To").is_none_or(|to| to == message.to))
            .filter(|message| asked("From").is_none_or(|from| from == message.from))
            .collect();
        let path = |page: usize| {
            let kept = url.query_pairs().into_owned().filter(|(name, _)| !["Page", "PageToken"].contains(&&**name));
            let mut next = url.clone();
            let pairs: Vec<_> = kept.collect();
            next.query_pairs_mut().clear().extend_pairs(pairs).append_pair("Page", &page.to_string());
            next.query_pairs_mut().append_pair("PageToken", &format!("PA{page}"));
            format!("{}?{}", next.path(), next.query().unwrap_or_default())
        };
        let shown: Vec<Value> =
            matching.iter().skip(nth * size).take(size).map(|message| shown(account, message)).collect();
        let more = matching.len() > (nth + 1) * size;
        Reply::json(
            200,
            &json!({
                "messages": shown, "page": nth, "page_size": size, "start": nth * size,
                "end": nth * size + shown.len(), "uri": path(nth), "first_page_uri": path(0),
                "next_page_uri": more.then(|| path(nth + 1)),
                "previous_page_uri": (nth > 0).then(|| path(nth - 1)),
            }),
        )
    }

    fn inbound(&self, from: &str, to: &str, body: &str) -> Stored {
        Stored {
            sid: sid("SM"),
            from: from.to_owned(),
            to: to.to_owned(),
            body: body.to_owned(),
            status: "received".to_owned(),
            error: None,
            is_inbound: true,
            created: self.clock.now(),
            fields: Vec::new(),
        }
    }
}

/// What something in between says instead.
fn page(status: u16) -> Reply {
    let headers = vec![("Content-Type".to_owned(), "text/html".to_owned())];
    Reply::Answer { status, headers, body: b"<html>upstream</html>".to_vec() }
}

fn shown(account: &str, message: &Stored) -> Value {
    let date = message.created.to_rfc2822();
    json!({
        "account_sid": account, "api_version": "2010-04-01", "body": message.body, "date_created": date,
        "date_sent": if message.is_inbound { json!(date) } else { Value::Null }, "date_updated": date,
        "direction": if message.is_inbound { "inbound" } else { "outbound-api" },
        "error_code": message.error, "error_message": Value::Null, "from": message.from,
        "messaging_service_sid": Value::Null, "num_media": "0",
        "num_segments": message.body.chars().count().div_ceil(153).max(1).to_string(),
        "price": Value::Null, "price_unit": "USD", "sid": message.sid, "status": message.status,
        "subresource_uris": {}, "to": message.to,
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{}.json", message.sid),
    })
}
