//! One request and its answer, and what is certain if there is none.

use std::{error::Error as _, time::Duration};

use chrono::DateTime;
use reqwest::{RequestBuilder, Response, header};
use serde_json::Value;

use super::{
    Trouble,
    code::{self, Blame},
    message::number,
};

/// The longest that we wait because an answer says so.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What came back.
pub(super) struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// How long it asks us to wait.
    pub after: Option<Duration>,
    /// The body, or why it could not be read.
    pub body: Result<Value, String>,
}

/// Nothing came back.
pub(super) enum Silence {
    /// The request never left: there was no connection.
    NotAsked(String),
    /// It may have arrived.
    Unclear(String),
}

/// Asks, and reads an answer of at most `largest` bytes.
pub(super) async fn ask(request: RequestBuilder, largest: usize) -> Result<Answer, Silence> {
    let answer = request.send().await.map_err(|error| {
        if error.is_connect() || error.is_builder() {
            Silence::NotAsked(words(error))
        } else {
            Silence::Unclear(words(error))
        }
    })?;
    let (status, after) = (answer.status().as_u16(), wait(&answer));
    let body = read(answer, largest).await;
    Ok(Answer { status, after, body })
}

async fn read(mut answer: Response, largest: usize) -> Result<Value, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(words)? {
        if bytes.len() + chunk.len() > largest {
            return Err(format!("the answer is longer than {largest} bytes"));
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|_| "the answer is no JSON".to_owned())
}

/// `Retry-After`: seconds, or a date, which is compared with the answer's own so that no clock has to be right.
fn wait(answer: &Response) -> Option<Duration> {
    let header = |name| answer.headers().get(name)?.to_str().ok();
    seconds_to_wait(header(header::RETRY_AFTER)?, header(header::DATE))
}

fn seconds_to_wait(after: &str, date: Option<&str>) -> Option<Duration> {
    let wait = match after.trim().parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let at = |text| DateTime::parse_from_rfc2822(text).ok();
            (at(after)? - at(date?)?).to_std().unwrap_or_default()
        }
    };
    Some(wait.min(LONGEST_WAIT))
}

impl Answer {
    /// What is wrong, if the answer is not 2xx.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let none = Value::Null;
        let body = self.body.as_ref().unwrap_or(&none);
        let code = number(&body["code"]).filter(|code| *code > 0);
        let why = code::words(code, body["message"].as_str().unwrap_or_default());
        let status = self.status;
        let blame = code.and_then(code::explain).map(|(blame, _)| blame);
        match (status, blame) {
            (200..=299, _) => None,
            // Whatever stands before Twilio may have lost its answer, and says 5xx itself.
            (500.., _) | (408, _) => {
                Some(Trouble::TryLater { after: self.after, look_first: true, why: format!("{why}, HTTP {status}") })
            }
            (429, _) | (_, Some(Blame::Passing)) => {
                Some(Trouble::TryLater { after: self.after, look_first: false, why: format!("{why}, HTTP {status}") })
            }
            (300..=399, _) => Some(Trouble::Refused {
                code: None,
                why: format!("the address leads elsewhere, HTTP {status}"),
                blame: Blame::Account,
            }),
            (401 | 403 | 404 | 407, None) => {
                Some(Trouble::Refused { code, why: format!("{why}, HTTP {status}"), blame: Blame::Account })
            }
            // Without a known code nobody can tell whether it is the message's fault: another way may take it.
            (_, blame) => Some(Trouble::Refused {
                code,
                why: format!("{why}, HTTP {status}"),
                blame: blame.unwrap_or(Blame::Account),
            }),
        }
    }
}

/// What went wrong, down to its cause, without the URL: it has a number in it.
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
    use serde_json::json;

    use super::*;

    fn trouble(status: u16, body: Value) -> Option<Trouble> {
        Answer { status, after: None, body: Ok(body) }.trouble()
    }

    #[test]
    fn an_answer_says_whose_fault_it_is_and_whether_later_is_better() {
        assert_eq!(trouble(201, json!({})), None);
        for (status, code, blame) in [
            (400, 21211, Blame::Number),
            (400, 21610, Blame::Stopped),
            (401, 20003, Blame::Account),
            (400, 99999, Blame::Account),
            (403, 0, Blame::Account),
            (301, 0, Blame::Account),
        ] {
            match trouble(status, json!({ "code": code, "message": "x", "status": status })) {
                Some(Trouble::Refused { blame: told, .. }) => assert_eq!(told, blame, "{status} {code}"),
                other => panic!("{status} {code}: {other:?}"),
            }
        }
        for (status, code, look) in [
            (429, 20429, false),
            (429, 0, false),
            (400, 21611, false),
            (500, 20500, true),
            (503, 0, true),
            (408, 0, true),
        ] {
            match trouble(status, json!({ "code": code })) {
                Some(Trouble::TryLater { look_first, .. }) => assert_eq!(look_first, look, "{status} {code}"),
                other => panic!("{status} {code}: {other:?}"),
            }
        }
        let broken = Answer { status: 502, after: None, body: Err("no JSON".to_owned()) }.trouble();
        assert!(matches!(broken, Some(Trouble::TryLater { look_first: true, .. })));
    }

    #[test]
    fn an_answer_may_say_when_to_come_back() {
        let date = Some("Thu, 24 Aug 2023 05:01:45 GMT");
        for (after, date, seconds) in [
            ("7", None, Some(7)),
            (" 0 ", None, Some(0)),
            ("999999999", None, Some(3600)),
            ("Thu, 24 Aug 2023 05:02:00 GMT", date, Some(15)),
            ("Thu, 24 Aug 2023 05:01:00 GMT", date, Some(0)),
            ("Thu, 24 Aug 2023 05:02:00 GMT", None, None),
            ("-1", date, None),
            ("soon", date, None),
        ] {
            assert_eq!(seconds_to_wait(after, date), seconds.map(Duration::from_secs), "{after}");
        }
    }
}
