//! What Asterisk said about our channels, call by call, for as long as it is kept.

use std::{collections::BTreeMap, io};

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream;
use poem::Body;
use poem_openapi::{
    Object, OpenApi,
    param::{Path, Query},
    payload::Json,
};
use uuid::Uuid;

use super::{
    State, Tag,
    auth::ReadsCalls,
    error::Problem,
    file::{Csv, Lines},
    times,
};
use crate::{
    exchange::events::{self, EventRow},
    id::CallId,
    store::{self, ChannelEventFilter},
};

/// Channel events.
pub struct ChannelEvents(pub State);

/// Events that an export reads at once.
const PAGE: u64 = 500;

/// An event of a channel of a call.
#[derive(Debug, Object)]
struct ChannelEvent {
    /// Its identifier; they sort as the events came.
    id: Uuid,
    /// When it came.
    at: DateTime<Utc>,
    /// Its name, as Asterisk's: `Newchannel`, `DialState`, `Hangup`, ...
    event: String,
    /// The channel's name.
    #[oai(skip_serializing_if_is_none)]
    channel: Option<String>,
    /// What else it said, by Asterisk's names of headers.
    headers: BTreeMap<String, String>,
}

/// A page of events, oldest first.
#[derive(Debug, Object)]
struct ChannelEventPage {
    /// What is on it.
    items: Vec<ChannelEvent>,
    /// Send it as `cursor` for the next page; absent on the last.
    #[oai(skip_serializing_if_is_none)]
    next: Option<Uuid>,
}

/// As what events leave.
#[derive(Clone, Copy, Debug)]
enum Form {
    Table,
    Lines,
}

#[OpenApi(tag = "Tag::Calls")]
impl ChannelEvents {
    /// What Asterisk said about a call's channels, oldest first
    ///
    /// They are kept for `watch.keep_events_days` days. What could not be written at the time is missing:
    /// a call never waits for its events.
    #[oai(path = "/api/v2/calls/:id/channel-events", method = "get", operation_id = "list_channel_events")]
    async fn list(
        &self,
        _caller: ReadsCalls,
        id: Path<Uuid>,
        /// How many at most.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// `next` of the page before.
        cursor: Query<Option<Uuid>>,
    ) -> Result<Json<ChannelEventPage>, Problem> {
        let call = CallId(id.0);
        if self.0.store.call(call).await?.is_none() {
            return Err(Problem::not_found("call"));
        }
        let filter = ChannelEventFilter { call: Some(call), after: cursor.0, ..ChannelEventFilter::default() };
        let page = self.0.store.channel_events(filter, limit.0).await?;
        Ok(Json(ChannelEventPage { items: page.items.into_iter().map(shown).collect(), next: page.next }))
    }

    /// Export the events of all calls as a table, oldest first
    ///
    /// Cells that a spreadsheet would execute have a quote in front.
    #[oai(path = "/api/v2/channel-events/export", method = "get", operation_id = "export_channel_events")]
    async fn export(
        &self,
        _caller: ReadsCalls,
        /// Not before; from the oldest on, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Before; up to the latest, if it is not said.
        to: Query<Option<DateTime<Utc>>>,
    ) -> Result<Csv, Problem> {
        let mut header = Vec::new();
        events::write_header(&mut header);
        let body = self.pages(header, Form::Table, from.0, to.0).await?;
        Ok(Csv { body, name: "channel-events.csv" })
    }

    /// Export the events of all calls, one JSON object per line, oldest first
    #[oai(path = "/api/v2/channel-events/export.ndjson", method = "get", operation_id = "export_channel_event_lines")]
    async fn export_lines(
        &self,
        _caller: ReadsCalls,
        /// Not before; from the oldest on, if it is not said.
        from: Query<Option<DateTime<Utc>>>,
        /// Before; up to the latest, if it is not said.
        to: Query<Option<DateTime<Utc>>>,
    ) -> Result<Lines, Problem> {
        let body = self.pages(Vec::new(), Form::Lines, from.0, to.0).await?;
        Ok(Lines { body, name: "channel-events.ndjson" })
    }
}

impl ChannelEvents {
    /// All pages, behind `head`. The first is read before anything is sent, so that a database that does not
    /// answer is told as such.
    async fn pages(
        &self,
        mut head: Vec<u8>,
        form: Form,
        from: Option<DateTime<Utc>>,
        to: Option<DateTime<Utc>>,
    ) -> Result<Body, Problem> {
        let from = from.map(|at| times::instant("from", at)).transpose()?;
        let to = to.map(|at| times::instant("to", at)).transpose()?;
        let filter = ChannelEventFilter { from, to, ..ChannelEventFilter::default() };
        let (first, next) = page(&self.0, filter, form).await?;
        head.extend(first);
        let state = self.0.clone();
        let parts = stream::try_unfold(Some((head, next)), move |place| {
            let state = state.clone();
            async move {
                let Some((part, next)) = place else { return Ok(None) };
                let place = match next {
                    None => None,
                    Some(filter) => Some(page(&state, filter, form).await.map_err(io::Error::other)?),
                };
                Ok::<_, io::Error>(Some((part, place)))
            }
        });
        Ok(Body::from_bytes_stream(parts))
    }
}

/// One page, and where the next one begins.
async fn page(
    state: &State,
    filter: ChannelEventFilter,
    form: Form,
) -> Result<(Vec<u8>, Option<ChannelEventFilter>), store::Error> {
    let page = state.store.channel_events(filter, PAGE).await?;
    let mut part = Vec::new();
    for event in &page.items {
        let row = EventRow {
            id: &event.id.to_string(),
            call_id: &event.call.to_string(),
            at: &event.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            event: &event.name,
            channel: event.channel.as_deref(),
            headers: &event.headers,
        };
        match form {
            Form::Table => events::write_row(&mut part, &row),
            Form::Lines => events::write_object(&mut part, &row),
        }
    }
    Ok((part, page.next.map(|after| ChannelEventFilter { after: Some(after), ..filter })))
}

fn shown(event: store::ChannelEvent) -> ChannelEvent {
    let headers = serde_json::from_value(event.headers).unwrap_or_default();
    ChannelEvent { id: event.id.0, at: event.at, event: event.name, channel: event.channel, headers }
}
