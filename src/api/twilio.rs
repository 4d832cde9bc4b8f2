//! What Twilio tells by itself: how far texts are, and texts that came in.
//!
//! It has no credential of ours. It signs what it says, and nothing is believed that it has not signed.

use std::{
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use poem::{FromRequest, Request, RequestBody};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    error::ParseRequestPayloadError,
    impl_apirequest_for_payload,
    param::Query,
    payload::{ParsePayload, Payload, PlainText},
    registry::{MetaSchemaRef, Registry},
    types::Type,
};
use secrecy::SecretString;

use super::{State, Tag, error::Problem, text};
use crate::{
    bus::Bell,
    id::MessageId,
    store::{Taken, TextIn},
    twilio::{
        Algorithm, Content, Fields, HEADER, Incoming, LONGEST_FORM, NOTHING_TO_DO, NotACallback, Progress,
        SETTINGS_HEADER, Signed, fields, told,
    },
};

/// Where Twilio tells how far texts are.
pub const STATUS: &str = "/api/v2/twilio/status";
/// Where it tells what came in.
pub const INBOUND: &str = "/api/v2/twilio/inbound";
/// Bytes of what it says.
pub(super) const LONGEST: usize = LONGEST_FORM;

/// Whether Twilio says something here.
pub(super) fn is_told(path: &str) -> bool {
    matches!(path, STATUS | INBOUND)
}

/// The URL of one of these, as Twilio knows this server.
#[must_use]
pub fn url(public: &str, path: &str) -> String {
    format!("{}{path}", public.trim_end_matches('/'))
}

/// Who is believed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Twilio(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    route: String,
    public_url: String,
    token: SecretString,
    /// Whether it was said that something was not signed.
    has_warned: AtomicBool,
}

impl Twilio {
    /// The account that texts are sent by under this name; it knows this server by `public_url`, and signs with its
    /// token.
    #[must_use]
    pub fn new(route: &str, public_url: &str, token: SecretString) -> Self {
        let (route, public_url) = (route.to_owned(), public_url.to_owned());
        Self(Arc::new(Inner { route, public_url, token, has_warned: AtomicBool::new(false) }))
    }

    /// Whether it has signed this.
    fn has_signed(&self, request: &Request, fields: &Fields) -> bool {
        let uri = request.original_uri();
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let url = format!("{}{query}", url(&self.0.public_url, uri.path()));
        let Some(algorithm) = Algorithm::of_header(request.header(SETTINGS_HEADER)) else { return false };
        let signature = request.header(HEADER).unwrap_or_default();
        let signed = Signed { url: &url, content: Content::Form(fields), signature, algorithm };
        signed.is_by(std::slice::from_ref(&self.0.token))
    }

    fn refuse(&self) -> Problem {
        metrics::counter!("ringdown_twilio_refused_total").increment(1);
        // Strangers must not be able to fill the log.
        if !self.0.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a callback was not signed by Twilio, and is not believed; if it came from there, twilio.public_url is \
                 not the address that Twilio uses, or twilio.token is not the account's"
            );
        }
        Problem::forbidden_detail("this is not signed by Twilio")
    }
}

/// A form, whole: all of its fields are signed, those that nobody here knows included. `T` says which are read.
#[derive(Debug)]
struct Told<T>(Fields, PhantomData<T>);

impl<T: Type + Send> Payload for Told<T> {
    const CONTENT_TYPE: &'static str = "application/x-www-form-urlencoded";

    fn check_content_type(content_type: &str) -> bool {
        let essence = content_type.split(';').next().unwrap_or_default();
        essence.trim().eq_ignore_ascii_case(Self::CONTENT_TYPE)
    }

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + Send> ParsePayload for Told<T> {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> poem::Result<Self> {
        let bytes = Vec::<u8>::from_request(request, body).await?;
        let fields = fields(&bytes).map_err(|error| ParseRequestPayloadError { reason: error.to_string() })?;
        Ok(Self(fields, PhantomData))
    }
}

impl_apirequest_for_payload!(Told<T>, T: Type + Send);

/// How far a text is, as Twilio says it. Other fields may come.
#[derive(Debug, Object)]
#[oai(rename = "TwilioStatus")]
struct StatusForm {
    /// Twilio's name of the text.
    #[oai(rename = "MessageSid")]
    message_sid: String,
    /// `queued`, `sent`, `delivered`, `undelivered`, `failed`, ...
    #[oai(rename = "MessageStatus")]
    message_status: String,
    /// Why it did not arrive.
    #[oai(rename = "ErrorCode")]
    error_code: Option<String>,
}

/// A text that came in, as Twilio says it. Other fields may come.
#[derive(Debug, Object)]
#[oai(rename = "TwilioText")]
struct TextForm {
    /// Twilio's name of the text.
    #[oai(rename = "MessageSid")]
    message_sid: String,
    /// Who sent it.
    #[oai(rename = "From")]
    from: String,
    /// The number of ours that it came to.
    #[oai(rename = "To")]
    to: String,
    /// What it says.
    #[oai(rename = "Body")]
    body: String,
}

#[derive(ApiResponse)]
enum Noted {
    /// It is noted, or about nothing of ours.
    #[oai(status = 204)]
    Noted,
}

#[derive(ApiResponse)]
enum Stored {
    /// It is stored. There is nothing that Twilio is to answer (TwiML).
    #[oai(status = 200, content_type = "text/xml")]
    Stored(PlainText<String>),
}

/// What Twilio tells.
pub struct Callbacks(pub State);

#[OpenApi(prefix_path = "/api/v2/twilio", tag = "Tag::Messages")]
impl Callbacks {
    /// Twilio tells how far a text is
    ///
    /// Needs no credential, and the signature of the account in `X-Twilio-Signature`. It is there if
    /// `twilio.public_url` is set; ringdown names it to Twilio with each text.
    #[oai(path = "/status", method = "post", operation_id = "twilio_status")]
    async fn status(
        &self,
        request: &Request,
        /// Which text it is.
        #[oai(name = "message", validator(max_length = 100))]
        _message: Query<Option<String>>,
        form: Told<StatusForm>,
    ) -> Result<Noted, Problem> {
        let twilio = self.signed(request, &form.0)?;
        let query = request.original_uri().query().unwrap_or_default();
        let progress = Progress::read(query, &form.0).map_err(malformed)?;
        let taken = Taken {
            route: twilio.0.route.clone(),
            sid: progress.sid.to_string(),
            message: progress.mark.and_then(|id| id.parse().ok()).map(MessageId),
            segments: None,
            fate: progress.status.fate().into(),
            words: told(progress.status, progress.error),
        };
        if !self.0.store.text_taken(taken, self.0.clock.now()).await? {
            tracing::debug!("Twilio tells how far a text is that is not known");
        }
        Ok(Noted::Noted)
    }

    /// Twilio tells of a text that came in
    ///
    /// Needs no credential, and the signature of the account in `X-Twilio-Signature`. It is there if
    /// `twilio.public_url` is set; name it to Twilio where it asks what to do when a message comes in.
    #[oai(path = "/inbound", method = "post", operation_id = "twilio_inbound")]
    async fn inbound(&self, request: &Request, form: Told<TextForm>) -> Result<Stored, Problem> {
        let twilio = self.signed(request, &form.0)?;
        let incoming = Incoming::read(&form.0).map_err(malformed)?;
        let came = TextIn {
            route: twilio.0.route.clone(),
            sid: incoming.sid.to_string(),
            sender: text(incoming.from),
            body: incoming.body,
            at: self.0.clock.now(),
        };
        metrics::counter!("ringdown_texts_received_total").increment(1);
        self.0.store.take_text_in(came).await?;
        self.0.bus.ring(Bell::Inbound);
        Ok(Stored::Stored(PlainText(NOTHING_TO_DO.to_owned())))
    }
}

impl Callbacks {
    /// The account, if it has signed this.
    fn signed(&self, request: &Request, fields: &Fields) -> Result<&Twilio, Problem> {
        let twilio = self.0.twilio.as_ref().ok_or_else(|| Problem::not_found("account of Twilio's"))?;
        if twilio.has_signed(request, fields) { Ok(twilio) } else { Err(twilio.refuse()) }
    }
}

fn malformed(error: NotACallback) -> Problem {
    Problem::malformed(error.to_string())
}
