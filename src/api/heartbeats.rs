//! Heartbeats: dead man's switches. What does not come pages.

use chrono::{DateTime, Utc};
use poem_openapi::{
    ApiResponse, Object, OpenApi,
    param::{Header, Path},
    payload::Json,
};
use serde::Deserialize;

use super::{
    State, Tag,
    auth::{EditsPolicies, RaisesAlerts, ReadsPolicies},
    body::Body,
    error::Problem,
    text,
    version::{etag, expected},
};
use crate::{
    bus::Bell,
    store::{self, HeartbeatData},
};

/// Heartbeats.
pub struct Heartbeats(pub State);

/// How often it must come, and what is said when it does not.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct HeartbeatEdit {
    /// Seconds from one beat to the next.
    #[oai(validator(minimum(value = "1"), maximum(value = "2678400")))]
    interval: u32,
    /// Seconds that a beat may be late.
    #[oai(default = "minute", validator(maximum(value = "604800")))]
    #[serde(default = "minute")]
    grace: u32,
    /// The name of the policy that pages; routing rules (label `heartbeat`) and the default one decide
    /// if it is not said.
    #[oai(validator(max_length = 200))]
    policy: Option<String>,
    /// As alerts have it.
    #[oai(default = "critical", validator(max_length = 100))]
    #[serde(default = "critical")]
    severity: String,
    /// What is spoken; that the heartbeat has stopped, if it is not said.
    #[oai(validator(max_length = 10_000))]
    summary: Option<String>,
}

fn minute() -> u32 {
    60
}

fn critical() -> String {
    "critical".into()
}

/// A heartbeat.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct Heartbeat {
    /// Its name: what is posted to.
    name: String,
    /// Counts its changes; also the ETag. Beats are none.
    version: i64,
    /// The last beat.
    beat_at: Option<DateTime<Utc>>,
    /// When it is missed; absent while it is, until the next beat.
    due_at: Option<DateTime<Utc>>,
    /// Whether it has stopped.
    missed: bool,
    /// What it says.
    #[oai(flatten)]
    heartbeat: HeartbeatEdit,
}

/// Heartbeats, by name.
#[derive(Debug, Object)]
struct HeartbeatList {
    /// All of them.
    items: Vec<Heartbeat>,
}

#[derive(ApiResponse)]
enum Put {
    /// Made. It is expected from now on.
    #[oai(status = 201)]
    Created(
        Json<Heartbeat>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
    /// Changed. It is expected anew from now on.
    #[oai(status = 200)]
    Changed(
        Json<Heartbeat>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// As it is.
    #[oai(status = 200)]
    Found(
        Json<Heartbeat>,
        /// Send it as `If-Match` to change or delete it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Deleted {
    /// Deleted. What its absence has raised stays open.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(prefix_path = "/api/v2/heartbeats", tag = "Tag::Heartbeats")]
impl Heartbeats {
    /// List heartbeats
    #[oai(path = "/", method = "get", operation_id = "list_heartbeats")]
    async fn list(&self, _caller: ReadsPolicies) -> Result<Json<HeartbeatList>, Problem> {
        let heartbeats = self.0.store.heartbeats().await?;
        Ok(Json(HeartbeatList { items: heartbeats.into_iter().map(Heartbeat::from).collect() }))
    }

    /// It beats
    ///
    /// What its absence has raised is over. Stored when this answers.
    #[oai(path = "/:name", method = "post", operation_id = "beat")]
    async fn beat(
        &self,
        _caller: RaisesAlerts,
        #[oai(validator(max_length = 100))] name: Path<String>,
    ) -> Result<Found, Problem> {
        let heartbeat = self.present(&name.0).await?;
        self.0.engine.beat(&heartbeat).await?;
        self.found(&name.0).await
    }

    /// One heartbeat
    #[oai(path = "/:name", method = "get", operation_id = "get_heartbeat")]
    async fn get(
        &self,
        _caller: ReadsPolicies,
        #[oai(validator(max_length = 100))] name: Path<String>,
    ) -> Result<Found, Problem> {
        self.found(&name.0).await
    }

    /// Make a heartbeat, or change it
    ///
    /// A new one is expected at once: one that never comes pages after `interval` and `grace`.
    #[oai(path = "/:name", method = "put", operation_id = "put_heartbeat")]
    async fn put(
        &self,
        caller: EditsPolicies,
        #[oai(validator(min_length = 1, max_length = 100))] name: Path<String>,
        /// The ETag of the version that was read; needed to change one.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        heartbeat: Body<HeartbeatEdit>,
    ) -> Result<Put, Problem> {
        let name = name.0;
        let fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if !name.chars().all(fit) {
            return Err(Problem::unprocessable(
                "name: letters, digits, '-', '_' and '.' only: it stands in an address",
            ));
        }
        let data = self.read(&name, heartbeat.0).await?;
        let now = self.0.clock.now();
        let present = self.0.store.heartbeat(&name).await?;
        let created = match present {
            None => {
                match self.0.by(&caller.0).create_heartbeat(name.clone(), data, now).await {
                    Err(store::Error::Conflict) => return Err(Problem::version_required()),
                    created => created?,
                };
                true
            }
            Some(present) => {
                let version = expected(if_match.0.as_deref(), present.version)?;
                match self.0.by(&caller.0).update_heartbeat(present.id, version, name.clone(), data, now).await {
                    Err(store::Error::Conflict) => {
                        return Err(Problem::changed(self.present(&name).await?.version));
                    }
                    updated => updated?,
                }
                false
            }
        };
        self.0.bus.ring(Bell::Engine);
        let heartbeat = self.present(&name).await?;
        let tag = etag(heartbeat.version);
        let shown = Json(Heartbeat::from(heartbeat));
        Ok(if created { Put::Created(shown, tag) } else { Put::Changed(shown, tag) })
    }

    /// Delete a heartbeat
    #[oai(path = "/:name", method = "delete", operation_id = "delete_heartbeat")]
    async fn delete(
        &self,
        caller: EditsPolicies,
        #[oai(validator(max_length = 100))] name: Path<String>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Deleted, Problem> {
        let present = self.present(&name.0).await?;
        let version = expected(if_match.0.as_deref(), present.version)?;
        match self.0.by(&caller.0).delete_heartbeat(present.id, version).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(&name.0).await?.version)),
            deleted => Ok(deleted.map(|()| Deleted::Deleted)?),
        }
    }
}

impl Heartbeats {
    async fn present(&self, name: &str) -> Result<store::Heartbeat, Problem> {
        self.0.store.heartbeat(name).await?.ok_or_else(|| Problem::not_found("heartbeat"))
    }

    async fn found(&self, name: &str) -> Result<Found, Problem> {
        let heartbeat = self.present(name).await?;
        let tag = etag(heartbeat.version);
        Ok(Found::Found(Json(heartbeat.into()), tag))
    }

    async fn read(&self, name: &str, edit: HeartbeatEdit) -> Result<HeartbeatData, Problem> {
        if let Some(policy) = &edit.policy
            && self.0.store.policy(policy).await?.is_none()
        {
            return Err(Problem::unprocessable(format!("policy: there is no policy {policy:?}")));
        }
        let summary = edit.summary.filter(|summary| !summary.trim().is_empty());
        Ok(HeartbeatData {
            interval: edit.interval,
            grace: edit.grace,
            policy: edit.policy,
            severity: text(edit.severity),
            summary: summary.map_or_else(|| format!("The heartbeat {name} has stopped"), text),
        })
    }
}

impl From<store::Heartbeat> for Heartbeat {
    fn from(heartbeat: store::Heartbeat) -> Self {
        let data = heartbeat.data;
        Self {
            name: heartbeat.name,
            version: heartbeat.version,
            beat_at: heartbeat.beat_at,
            missed: heartbeat.due_at.is_none(),
            due_at: heartbeat.due_at,
            heartbeat: HeartbeatEdit {
                interval: data.interval,
                grace: data.grace,
                policy: data.policy,
                severity: data.severity,
                summary: Some(data.summary),
            },
        }
    }
}
