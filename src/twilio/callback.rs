//! What Twilio tells us by itself: how far a message is, and messages that came in. As forms, signed.

use std::fmt;

use super::{Sid, Status};

/// The longest form, in bytes. Twilio's are some hundred bytes, and a text is at most 1600 characters.
pub const LONGEST_FORM: usize = 64 * 1024;
/// The most fields of a form.
const MOST_FIELDS: usize = 200;
/// What to answer a message with: that there is nothing to do. The content type is `text/xml`.
pub const NOTHING_TO_DO: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response/>";
/// The parameter by which a callback's URL names the message in our words.
const MARK: &str = "message";

/// Fields of a form, or of a query.
pub type Fields = Vec<(String, String)>;

/// Why something is no callback of Twilio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotACallback {
    /// More than [`LONGEST_FORM`], or too many fields.
    #[error("the form is too long")]
    TooLong,
    /// A field is missing, or says nothing that we know.
    #[error("the field {0} is missing or not valid")]
    Field(&'static str),
}

/// The fields of a form.
///
/// # Errors
/// If it is too long.
pub fn fields(body: &[u8]) -> Result<Fields, NotACallback> {
    if body.len() > LONGEST_FORM {
        return Err(NotACallback::TooLong);
    }
    let fields: Fields = form_urlencoded::parse(body).into_owned().take(MOST_FIELDS + 1).collect();
    if fields.len() > MOST_FIELDS { Err(NotACallback::TooLong) } else { Ok(fields) }
}

fn field<'a>(fields: &'a [(String, String)], name: &'static str) -> Result<&'a str, NotACallback> {
    let mut found = fields.iter().filter(|(own, _)| own == name).map(|(_, value)| &**value);
    match (found.next(), found.next()) {
        // Signed as one, two that differ could be read as either.
        (Some(value), None) => Ok(value),
        _ => Err(NotACallback::Field(name)),
    }
}

fn sid(fields: &[(String, String)]) -> Result<Sid, NotACallback> {
    Sid::of_message(field(fields, "MessageSid")?).ok_or(NotACallback::Field("MessageSid"))
}

/// The URL that Twilio is to tell how far the message is: `url`, with our own name of the message in its query.
#[must_use]
pub fn callback_url(url: &str, mark: &str) -> String {
    let query = form_urlencoded::Serializer::new(String::new()).append_pair(MARK, mark).finish();
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}{query}")
}

/// How far a message of ours is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Twilio's name of it.
    pub sid: Sid,
    /// Our own name of it, from the query of the URL: known even if Twilio's never reached us.
    pub mark: Option<String>,
    /// How far it is.
    pub status: Status,
    /// Why it did not arrive; see [`super::explain`].
    pub error: Option<u32>,
}

impl Progress {
    /// Reads it from the URL's query and the form's fields.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read(query: &str, fields: &[(String, String)]) -> Result<Self, NotACallback> {
        let mark = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == MARK);
        Ok(Self {
            sid: sid(fields)?,
            mark: mark.map(|(_, mark)| mark.into_owned()),
            status: Status::of(field(fields, "MessageStatus")?),
            error: field(fields, "ErrorCode").ok().and_then(|code| code.parse().ok()),
        })
    }
}

/// A message that came in.
#[derive(Clone, PartialEq, Eq)]
pub struct Incoming {
    /// Its name. It may be told more than once.
    pub sid: Sid,
    /// Who sent it: a number, a short code or a name.
    pub from: String,
    /// The number of ours that it came to.
    pub to: String,
    /// What it says.
    pub body: String,
    /// Pictures and the like that came with it.
    pub media: u32,
    /// Whether Twilio has taken it as a STOP, START or HELP, and has answered it: it must not be answered again.
    pub is_handled: bool,
}

/// Without numbers and text.
impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Incoming({}, handled: {})", self.sid, self.is_handled)
    }
}

impl Incoming {
    /// Reads it from a form's fields.
    ///
    /// # Errors
    /// If it is something else.
    pub fn read(fields: &[(String, String)]) -> Result<Self, NotACallback> {
        Ok(Self {
            sid: sid(fields)?,
            from: field(fields, "From")?.to_owned(),
            to: field(fields, "To")?.to_owned(),
            body: field(fields, "Body")?.to_owned(),
            media: field(fields, "NumMedia").ok().and_then(|media| media.parse().ok()).unwrap_or(0),
            is_handled: field(fields, "OptOutType").is_ok_and(|kind| !kind.is_empty()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";

    #[test]
    fn a_status_callback_is_read_with_our_own_name_of_the_message() {
        let url = callback_url("https://a.example/sms/status", "a b&c=d");
        assert_eq!(url, "https://a.example/sms/status?message=a+b%26c%3Dd");
        let fields = fields(format!("MessageSid={SID}&MessageStatus=undelivered&ErrorCode=30003&To=%2B49").as_bytes());
        let query = url.split_once('?').expect("a query").1;
        let progress = Progress::read(query, &fields.expect("a form")).expect("a callback");
        assert_eq!(progress.mark.as_deref(), Some("a b&c=d"));
        assert_eq!((progress.status, progress.error), (Status::Undelivered, Some(30003)));
        assert_eq!(callback_url("https://a.example/?x=y", "z"), "https://a.example/?x=y&message=z");
    }

    #[test]
    fn an_inbound_message_is_read_as_it_was_written() {
        let body =
            format!("MessageSid={SID}&From=%2B4915112345678&To=%2B15005550006&Body=ack+17+%F0%9F%98%80%0A&NumMedia=1");
        let incoming = Incoming::read(&fields(body.as_bytes()).expect("a form")).expect("a message");
        assert_eq!((&*incoming.body, incoming.media, incoming.is_handled), ("ack 17 😀\n", 1, false));
        assert!(!format!("{incoming:?}").contains("49151"));
        let stopped = fields(format!("{body}&OptOutType=STOP").as_bytes()).expect("a form");
        assert!(Incoming::read(&stopped).expect("a message").is_handled);
    }

    #[test]
    fn what_is_no_callback_is_refused() {
        let read = |body: &str| Incoming::read(&fields(body.as_bytes()).expect("a form"));
        assert_eq!(read(""), Err(NotACallback::Field("MessageSid")));
        assert_eq!(read("MessageSid=x&From=1&To=2&Body=3"), Err(NotACallback::Field("MessageSid")));
        assert_eq!(read(&format!("MessageSid={SID}&From=1&To=2")), Err(NotACallback::Field("Body")));
        assert_eq!(
            read(&format!("MessageSid={SID}&From=1&From=2&To=2&Body=3")),
            Err(NotACallback::Field("From")),
            "whose it is must not be a matter of taste"
        );
        assert_eq!(fields(&vec![b'a'; LONGEST_FORM + 1]), Err(NotACallback::TooLong));
        assert_eq!(fields("a=b&".repeat(MOST_FIELDS + 1).as_bytes()), Err(NotACallback::TooLong));
        assert!(fields("a=b&".repeat(MOST_FIELDS).as_bytes()).is_ok());
        assert!(Progress::read("", &[("MessageSid".into(), SID.into())]).is_err());
    }
}
