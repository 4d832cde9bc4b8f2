//! What py-phone-caller's register was asked about calls, and told of them.

use chrono::{DateTime, Utc};
use poem_openapi::{Object, OpenApi, param::Query, payload::Json};

use super::{DONE, Status, by_key, fields::Fields};
use crate::{
    api::{
        State, Tag,
        auth::{PlacesCalls, ReadsCalls, WorksIncidents},
        error::Problem,
    },
    id::CallId,
    store::{Call, CallFilter, CallStatus, Entry, Fact, Said},
};

/// What the register was asked and told.
pub struct Register(pub State);

/// Calls that are shown.
const CALLS: u64 = 500;

/// What a call says.
#[derive(Debug, Object)]
#[oai(rename = "CompatMessage")]
struct Message {
    /// 200.
    status: u16,
    /// The call.
    asterisk_chan: String,
    /// What is spoken in it.
    message: String,
}

/// A call, in the words of the register.
#[derive(Debug, Object)]
#[oai(rename = "CompatCall", skip_serializing_if_is_none)]
struct Registered {
    /// Its identifier.
    id: String,
    /// The channel's `Uniqueid`: the same.
    asterisk_chan: String,
    /// The number.
    phone: String,
    /// What is spoken in it.
    message: String,
    /// Where it stands, as the contact center has it.
    status: String,
    /// Whether it is over.
    cycle_done: bool,
    /// When it was queued.
    first_dial: DateTime<Utc>,
    /// When it was placed.
    last_dial: Option<DateTime<Utc>>,
    /// When it was answered, if it was heard to its end or a key was pressed.
    heard_at: Option<DateTime<Utc>>,
    /// Whether whoever was called has taken it.
    acknowledged: bool,
}

/// Calls, newest first.
#[derive(Debug, Object)]
#[oai(rename = "CompatCalls")]
struct Calls {
    /// 200.
    status: u16,
    /// The latest 500.
    calls: Vec<Registered>,
}

#[OpenApi(tag = "Tag::Compat")]
impl Register {
    /// Acknowledge what a call is about
    ///
    /// By API key only, since it is a GET. `POST /api/v2/incidents/{id}/acknowledge` is what takes its place.
    #[oai(path = "/ack", method = "get", operation_id = "compat_ack", deprecated)]
    async fn ack(
        &self,
        caller: WorksIncidents,
        /// The call's identifier, or its channel's `Uniqueid`: they are the same.
        #[oai(validator(max_length = 150))]
        asterisk_chan: Query<String>,
    ) -> Result<Json<Status>, Problem> {
        by_key(&caller.0)?;
        let call = self.call(&asterisk_chan.0).await?;
        for carried in self.0.store.carried_by(call.id).await? {
            self.0.engine.acknowledge(carried.incident, caller.0.actor()).await?;
        }
        Ok(Json(DONE))
    }

    /// Note that a call was heard
    ///
    /// By API key only, since it is a GET. It stands in the timeline, and stops nothing: only a key is proof.
    #[oai(path = "/heard", method = "get", operation_id = "compat_heard", deprecated)]
    async fn heard(
        &self,
        caller: WorksIncidents,
        /// The call's identifier, or its channel's `Uniqueid`.
        #[oai(validator(max_length = 150))]
        asterisk_chan: Query<String>,
    ) -> Result<Json<Status>, Problem> {
        by_key(&caller.0)?;
        let call = self.call(&asterisk_chan.0).await?;
        let fact = Fact::SaidHeard { by: caller.name().to_owned() };
        let entry = Entry { incident: None, call: Some(call.id), message: None, at: self.0.clock.now(), fact };
        self.0.store.note(vec![entry]).await?;
        Ok(Json(DONE))
    }

    /// What a call says
    #[oai(path = "/msg", method = "post", operation_id = "compat_msg", deprecated)]
    async fn msg(
        &self,
        _caller: ReadsCalls,
        /// The call's identifier, or its channel's `Uniqueid`.
        #[oai(validator(max_length = 150))]
        asterisk_chan: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Json<Message>, Problem> {
        let call = self.call(&fields.need("asterisk_chan", asterisk_chan.0)?).await?;
        let (message, _) = self.carried(&call).await?;
        Ok(Json(Message { status: 200, asterisk_chan: call.id.to_string(), message }))
    }

    /// Speak on a channel
    ///
    /// ringdown speaks by itself as soon as a call is answered, so this only tells whether it does: 409 if
    /// nobody is on the line. `msg_chk_sum` is that of `/make_audio`.
    #[oai(path = "/play", method = "post", operation_id = "compat_play", deprecated)]
    async fn play(
        &self,
        _caller: PlacesCalls,
        /// The call's identifier, or its channel's `Uniqueid`.
        #[oai(validator(max_length = 150))]
        asterisk_chan: Query<Option<String>>,
        /// The sound, as `/make_audio` names it.
        #[oai(validator(max_length = 150))]
        msg_chk_sum: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Json<Status>, Problem> {
        super::audio::checksum(&fields.need("msg_chk_sum", msg_chk_sum.0)?)?;
        let call = self.call(&fields.need("asterisk_chan", asterisk_chan.0)?).await?;
        match call.status {
            CallStatus::Answered => Ok(Json(DONE)),
            status => Err(Problem::conflict(format!("nobody is on the line: the call is {status}"))),
        }
    }

    /// Register a call
    ///
    /// ringdown registers its calls by itself: this says whether it has. A channel that is not ringdown's is none
    /// of its calls, and not found.
    #[oai(path = "/register_call", method = "post", operation_id = "compat_register_call", deprecated)]
    async fn register_call(
        &self,
        _caller: PlacesCalls,
        /// The call's identifier, or its channel's `Uniqueid`.
        #[oai(validator(max_length = 150))]
        asterisk_chan: Query<Option<String>>,
        fields: Fields,
    ) -> Result<Json<Status>, Problem> {
        self.call(&fields.need("asterisk_chan", asterisk_chan.0)?).await?;
        Ok(Json(DONE))
    }

    /// The latest calls
    #[oai(path = "/calls", method = "get", operation_id = "compat_calls", deprecated)]
    async fn calls(&self, _caller: ReadsCalls) -> Result<Json<Calls>, Problem> {
        let mut calls = Vec::new();
        for call in self.0.store.calls(CallFilter::default(), CALLS).await?.items {
            let (message, acknowledged) = self.carried(&call).await?;
            calls.push(Registered {
                id: call.id.to_string(),
                asterisk_chan: call.id.to_string(),
                phone: call.number.as_str().to_owned(),
                message,
                status: super::center::eight(call.status).to_owned(),
                cycle_done: !call.status.is_live(),
                first_dial: call.created_at,
                last_dial: call.dialed_at,
                heard_at: call.answered_at.filter(|_| call.heard.whole),
                acknowledged,
            });
        }
        Ok(Json(Calls { status: 200, calls }))
    }
}

impl Register {
    /// A call of ours by its identifier, which is its channel's as well. The far half of a local channel has a
    /// mark behind it.
    async fn call(&self, channel: &str) -> Result<Call, Problem> {
        let id = channel.trim().split(';').next().unwrap_or_default().parse::<CallId>();
        let call = match id {
            Ok(id) => self.0.store.call(id).await?,
            Err(_) => None,
        };
        call.ok_or_else(|| Problem::not_found("call"))
    }

    /// What is spoken in a call, and whether all of it was taken there.
    async fn carried(&self, call: &Call) -> Result<(String, bool), Problem> {
        let mut messages = Vec::new();
        let mut taken = true;
        for carried in self.0.store.carried_by(call.id).await? {
            taken &= carried.said == Said::Acknowledged;
            if let Some(incident) = self.0.store.incident(carried.incident).await? {
                messages.push(incident.content.summary);
            }
        }
        Ok((messages.join("\n"), taken && !messages.is_empty()))
    }
}
