//! Events as they happen: one stream for whoever listens, and the shape that webhooks have too.

use std::{borrow::Cow, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream::BoxStream};
use poem::{Request, web::sse::Event};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Query},
    payload::EventStream,
    registry::{MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{self, Caller, ReadsIncidents},
    error::Problem,
};
use crate::{
    access::Scope,
    herald::{Listener, News, Wanted},
    id::{CallId, IncidentId},
};

/// Proxies close a connection on which nothing is said for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// So often it is looked whether whoever listens still may.
const LOOK: Duration = Duration::from_secs(5);

/// Events.
pub struct Events(pub State);

/// Something that happened.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
pub(super) struct EventObject {
    /// Its identifier, the same as in timelines: whoever is told of it twice knows it by that.
    id: Uuid,
    /// Its place among all events. An event that is seen is never followed by one with a lower place.
    sequence: i64,
    /// When it happened.
    at: DateTime<Utc>,
    /// What happened, for programs; as in timelines.
    #[oai(validator(max_length = 64))]
    kind: String,
    /// What happened, for people.
    #[oai(validator(max_length = 200_000))]
    text: Option<String>,
    /// The incident it is about: the first of `incidents`.
    incident: Option<Uuid>,
    /// The incidents it is about: a call may carry several.
    #[oai(validator(max_items = 10_000))]
    incidents: Vec<Uuid>,
    /// The call it is about.
    call: Option<Uuid>,
    /// The text message it is about.
    message: Option<Uuid>,
    /// The schedule it is about.
    schedule: Option<Uuid>,
    /// Particulars, which differ from kind to kind.
    data: serde_json::Value,
}

/// An event that is an [`EventObject`] in JSON already: made once for all who listen.
struct Line(Arc<News>);

impl Type for Line {
    const IS_REQUIRED: bool = true;
    type RawValueType = Self;
    type RawElementValueType = Self;

    fn name() -> Cow<'static, str> {
        EventObject::name()
    }

    fn schema_ref() -> MetaSchemaRef {
        EventObject::schema_ref()
    }

    fn register(registry: &mut Registry) {
        EventObject::register(registry);
    }

    fn as_raw_value(&self) -> Option<&Self::RawValueType> {
        Some(self)
    }

    fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self::RawElementValueType> + 'a> {
        Box::new(std::iter::once(self))
    }
}

impl ToJSON for Line {
    fn to_json(&self) -> Option<serde_json::Value> {
        serde_json::from_str(&self.0.json).ok()
    }
}

#[derive(ApiResponse)]
enum Stream {
    /// Events as they happen: `id` is the event's `sequence`, `event` its `kind`, `data` the event in
    /// JSON. A comment every 15 seconds keeps the connection open.
    #[oai(status = 200)]
    Open(EventStream<BoxStream<'static, Line>>),
}

#[OpenApi(prefix_path = "/api/v2/events", tag = "Tag::Events")]
impl Events {
    /// Listen to everything that happens
    ///
    /// Server-sent events, one for each line that any timeline gains. Whoever comes back with the `id` of
    /// the last event as `Last-Event-ID` misses nothing and hears nothing twice, also if the server was
    /// away; without one, the stream begins now. What happens within a tenth of a second comes together.
    /// 503 if too many listen (`server.listeners`). The stream ends when the server stops, and within seconds when
    /// the credential does.
    #[oai(path = "/", method = "get", operation_id = "stream_events")]
    #[expect(clippy::too_many_arguments, reason = "they are what can be asked for")]
    async fn stream(
        &self,
        caller: ReadsIncidents,
        request: &Request,
        /// The `id` of the last event that was seen: the stream goes on after it. 0 is before the first.
        #[oai(name = "Last-Event-ID", validator(minimum(value = "0")))]
        last_event_id: Header<Option<i64>>,
        /// The same, for whoever cannot send headers.
        #[oai(validator(minimum(value = "0")))]
        after: Query<Option<i64>>,
        /// Only of these kinds, separated by commas.
        #[oai(validator(max_length = 2000, pattern = "^[a-z_]+(,[a-z_]+)*$"))]
        kinds: Query<Option<String>>,
        /// Only about this incident.
        incident: Query<Option<Uuid>>,
        /// Only about this call.
        call: Query<Option<Uuid>>,
    ) -> Result<Stream, Problem> {
        let wanted = Wanted {
            kinds: kinds.0.map(|kinds| kinds.split(',').map(str::to_owned).collect()).unwrap_or_default(),
            incident: incident.0.map(IncidentId),
            call: call.0.map(CallId),
        };
        let listener = self.0.herald.listen(wanted, last_event_id.0.or(after.0)).await?;
        let Some(listener) = listener else { return Err(Problem::busy("too many listen to events already")) };
        let stream = EventStream::new(lines(listener).take_until(self.over(request, caller.0)).boxed())
            .keep_alive(KEEP_ALIVE)
            .to_event(|line: Line| {
                Event::message(line.0.json.as_str()).id(line.0.sequence.to_string()).event_type(line.0.kind.as_str())
            });
        Ok(Stream::Open(stream))
    }
}

impl Events {
    /// Ends when whoever listens may not any more: their credential is looked at again and again.
    fn over(&self, request: &Request, caller: Caller) -> impl Future<Output = ()> + Send + 'static {
        let credential = auth::credential(request).map(str::to_owned);
        let access = self.0.access.clone();
        async move {
            let Some(credential) = credential else { return std::future::pending().await };
            loop {
                tokio::time::sleep(LOOK).await;
                match access.whose(&credential).await {
                    Ok(Some(principal)) if principal.scopes.has(Scope::IncidentsRead) => {}
                    // Nobody knows: they stay.
                    Err(_) => {}
                    Ok(_) => {
                        tracing::info!(name = caller.name(), "a listener's credential is over, and so is the stream");
                        return;
                    }
                }
            }
        }
    }
}

/// What comes together is there together, so that it leaves in one write.
fn lines(listener: Listener) -> impl futures_util::Stream<Item = Line> {
    futures_util::stream::unfold(listener, |mut listener| async {
        let together = listener.next().await?;
        Some((futures_util::stream::iter(together.into_iter().map(Line)), listener))
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ParseFromJSON;

    use super::*;
    use crate::{id::EventId, store::Happened};

    #[test]
    fn what_is_sent_is_what_is_documented() {
        let happened = Happened {
            sequence: 7,
            id: EventId(Uuid::from_u128(1)),
            at: DateTime::from_timestamp(1_800_000_000, 0).expect("an instant"),
            kind: "ringing".into(),
            data: serde_json::json!({ "to": "Ann" }),
            call: Some(CallId(Uuid::from_u128(2))),
            message: None,
            schedule: None,
            incidents: vec![IncidentId(Uuid::from_u128(3)), IncidentId(Uuid::from_u128(4))],
        };
        let json: serde_json::Value = serde_json::from_str(&News::new(&happened).json).expect("JSON");
        let documented = EventObject::parse_from_json(Some(json.clone())).expect("the documented shape");
        assert_eq!(documented.text.as_deref(), Some("Ann's phone rings"));
        assert_eq!(documented.to_json(), Some(json));
    }
}
