//! Keeps Asterisk's events of our channels: beside the calls, never in their way.
//!
//! The queue is bounded, and whoever puts something into it never waits: what does not fit is dropped and counted.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{
    ami::Message,
    id::{CallId, EventId},
    store::{ChannelEvent, Store},
};

/// Events that wait to be written: a hundred calls' worth.
const QUEUE: usize = 4096;
/// Events in one write.
const BATCH: usize = 500;
/// Between two writes: a call has some forty events, and they need not be forty writes.
const GATHER: Duration = Duration::from_millis(200);
/// How long the last ones get when the server stops.
const LAST: Duration = Duration::from_secs(2);
/// Bytes of a header that are kept.
const LONGEST: usize = 500;

/// What is kept of an event, beside its name and channel. Not everything: variables can hold what nobody should
/// read later, such as the proof that a session belongs to its call.
const HEADERS: &[&str] = &[
    "AccountCode",
    "Cause",
    "Cause-txt",
    "ChannelState",
    "ChannelStateDesc",
    "Context",
    "DestChannel",
    "DestChannelStateDesc",
    "DestUniqueid",
    "DialStatus",
    "Exten",
    "Linkedid",
    "Priority",
    "Reason",
    "Response",
    "TechCause",
    "Uniqueid",
];

/// Where events are put.
pub(super) struct Recorder(Option<(mpsc::Sender<ChannelEvent>, JoinHandle<()>)>);

impl Recorder {
    /// Writes what it is given to `store`, if anything is to be kept at all.
    pub(super) fn start(store: &Store, keeps: bool) -> Self {
        if !keeps {
            return Self(None);
        }
        let (events, queue) = mpsc::channel(QUEUE);
        Self(Some((events, tokio::spawn(write(store.clone(), queue)))))
    }

    /// Puts an event of a call into the queue, if there is room.
    pub(super) fn record(&self, call: CallId, message: &Message, now: DateTime<Utc>) {
        let (Some((events, _)), Some(event)) = (&self.0, kept(call, message, now)) else { return };
        if events.try_send(event).is_err() {
            metrics::counter!("ringdown_channel_events_dropped_total").increment(1);
        }
    }

    /// Writes what is left, for a moment.
    pub(super) async fn stop(self) {
        if let Some((events, task)) = self.0 {
            drop(events);
            let _ = tokio::time::timeout(LAST, task).await;
        }
    }
}

fn kept(call: CallId, message: &Message, now: DateTime<Utc>) -> Option<ChannelEvent> {
    let text = |value: &str| value.chars().filter(|c| *c != '\0').take(LONGEST).collect::<String>();
    let headers: serde_json::Map<String, serde_json::Value> =
        HEADERS.iter().filter_map(|name| Some(((*name).to_owned(), text(message.get(name)?).into()))).collect();
    Some(ChannelEvent {
        id: EventId::generate(),
        call,
        at: now,
        name: text(message.event()?),
        channel: message.get("Channel").or_else(|| message.get("DestChannel")).map(text),
        headers: headers.into(),
    })
}

async fn write(store: Store, mut queue: mpsc::Receiver<ChannelEvent>) {
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        match store.keep_channel_events(std::mem::take(&mut batch)).await {
            Ok(()) => metrics::counter!("ringdown_channel_events_total").increment(count),
            Err(error) => {
                metrics::counter!("ringdown_channel_events_dropped_total").increment(count);
                tracing::warn!(%error, count, "events of channels could not be kept");
            }
        }
        if !queue.is_closed() {
            tokio::time::sleep(GATHER).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_kept_and_never_a_variable() {
        let raw = b"Event: Newchannel\r\nChannel: PJSIP/net-1\r\nUniqueid: x\r\nChanVariable: RINGDOWN_TOKEN=abc\r\n\
                    Variable: RINGDOWN_TOKEN=abc\r\nCallerIDName: Ana\r\nExten: s\r\n\r\n";
        let at = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let event = kept(CallId::generate(), &Message::parse(raw), at).unwrap();
        assert_eq!((event.name.as_str(), event.channel.as_deref()), ("Newchannel", Some("PJSIP/net-1")));
        assert_eq!(event.headers, serde_json::json!({ "Uniqueid": "x", "Exten": "s" }));
    }

    #[tokio::test]
    async fn a_full_queue_delays_nobody() {
        let (events, queue) = mpsc::channel(1);
        let recorder = Recorder(Some((events, tokio::spawn(async {}))));
        let message = Message::parse(b"Event: Hangup\r\nChannel: x\r\n\r\n");
        for _ in 0..3 {
            recorder.record(CallId::generate(), &message, DateTime::from_timestamp(1_800_000_000, 0).unwrap());
        }
        assert_eq!(queue.len(), 1, "the others were dropped");
    }
}
