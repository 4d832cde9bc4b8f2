//! The kill switch: no call leaves while it is on.

use chrono::{DateTime, Utc};
use poem_openapi::{Object, OpenApi, payload::Json};

use serde::Deserialize;

use super::{
    State, Tag,
    auth::{ReadsIncidents, StopsCalls},
    body::Body,
    error::Problem,
};
use crate::{bus::Bell, store};

/// The kill switch.
pub struct KillSwitches(pub State);

/// Whether calls are stopped.
#[derive(Debug, Object)]
struct KillSwitch {
    /// No call leaves while this holds; those under way are hung up. Nothing is lost: calls wait.
    stopped: bool,
    /// Who switched it last.
    #[oai(skip_serializing_if_is_none)]
    by: Option<String>,
    /// When.
    #[oai(skip_serializing_if_is_none)]
    at: Option<DateTime<Utc>>,
}

/// Where to switch it.
#[derive(Debug, Object, Deserialize)]
struct SwitchTo {
    /// Whether calls are stopped from now on.
    stopped: bool,
}

#[OpenApi(prefix_path = "/api/v2/kill-switch", tag = "Tag::KillSwitch")]
impl KillSwitches {
    /// Are calls stopped?
    #[oai(path = "/", method = "get", operation_id = "get_kill_switch")]
    async fn get(&self, _caller: ReadsIncidents) -> Result<Json<KillSwitch>, Problem> {
        Ok(Json(self.0.store.kill_switch().await?.into()))
    }

    /// Stop all calls, or let them go again
    #[oai(path = "/", method = "put", operation_id = "set_kill_switch")]
    async fn set(&self, caller: StopsCalls, to: Body<SwitchTo>) -> Result<Json<KillSwitch>, Problem> {
        let now = self.0.clock.now();
        let switch = store::KillSwitch { stopped: to.0.stopped, by: Some(caller.0.name().to_owned()), at: Some(now) };
        self.0.by(&caller.0).set_kill_switch(switch.clone(), now).await?;
        tracing::warn!(stopped = switch.stopped, by = caller.0.name(), "the kill switch was set");
        self.0.bus.ring(Bell::Calls);
        Ok(Json(switch.into()))
    }
}

impl From<store::KillSwitch> for KillSwitch {
    fn from(switch: store::KillSwitch) -> Self {
        Self { stopped: switch.stopped, by: switch.by, at: switch.at }
    }
}
