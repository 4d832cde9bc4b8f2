//! Which server this is, and how it does: in the words of all predecessors.

use std::time::Duration;

use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use crate::api::{State, Tag};

/// Which server this is, and how it does.
pub struct Root(pub State);

/// A look at the database that takes longer is a failure.
const DATABASE: Duration = Duration::from_secs(3);

/// Which server this is.
#[derive(Debug, Object)]
#[oai(rename = "CompatRoot")]
struct Name {
    /// `ringdown`.
    name: String,
    /// The version that runs.
    version: String,
}

/// How it does.
#[derive(Debug, Object)]
#[oai(rename = "CompatHealth")]
struct Health {
    /// `ok`; `degraded` while the PBX cannot be reached: alerts are kept, calls wait; `error` without a database.
    status: String,
    /// Whether the database answers: `ok` or `error`.
    database: String,
    /// Whether the PBX does: `ok` or `error`.
    asterisk: String,
}

#[derive(ApiResponse)]
enum Healthy {
    /// Alerts can be taken in.
    #[oai(status = 200)]
    Yes(Json<Health>),
    /// The database does not answer.
    #[oai(status = 503)]
    No(Json<Health>),
}

#[OpenApi(tag = "Tag::Compat")]
impl Root {
    /// Which server this is
    ///
    /// Needs no credential.
    #[oai(path = "/", method = "get", operation_id = "compat_root", deprecated)]
    async fn root(&self) -> Json<Name> {
        Json(Name { name: "ringdown".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() })
    }

    /// How it does
    ///
    /// Needs no credential. `/readyz` tells more.
    #[oai(path = "/health", method = "get", operation_id = "compat_health", deprecated)]
    async fn health(&self) -> Healthy {
        let ping = tokio::time::timeout(DATABASE, self.0.store.ping(self.0.clock.now())).await;
        let database = matches!(ping, Ok(Ok(())));
        let asterisk = self.0.ami.as_ref().is_some_and(crate::ami::Client::is_connected);
        let word = |ok: bool| if ok { "ok" } else { "error" }.to_owned();
        let status = match (database, asterisk) {
            (false, _) => "error",
            (true, false) => "degraded",
            (true, true) => "ok",
        };
        let health = Json(Health { status: status.to_owned(), database: word(database), asterisk: word(asterisk) });
        if database { Healthy::Yes(health) } else { Healthy::No(health) }
    }
}
