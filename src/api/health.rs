//! Whether it is alive, whether it is ready, and what its figures are. Needs no credential, and shows
//! no alert, no number and no name.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{ApiResponse, Object, OpenApi, payload::Json};

use super::{State, Tag};
use crate::{store, watch};

/// Health.
pub struct Health(pub State);

/// A part of the server.
#[derive(Debug, Object)]
struct Part {
    /// Which.
    name: String,
    /// Whether it works.
    ok: bool,
    /// How it is, in words.
    detail: String,
}

/// Whether the server does its work.
#[derive(Debug, Object)]
struct Readiness {
    /// Whether alerts can be taken in and escalated.
    ready: bool,
    /// Ready, and something is amiss: alerts are kept, and somebody should look.
    degraded: bool,
    /// Its parts.
    parts: Vec<Part>,
    /// What the self-audit found amiss at its last look.
    findings: Vec<Finding>,
}

/// Something that the self-audit found amiss.
#[derive(Debug, Object)]
#[oai(rename = "SelfAuditFinding")]
struct Finding {
    /// Which check found it, for programs: `database`, `incident_state`, `incident_deadline`,
    /// `incident_overdue`, `call_unknown`, `call_stuck`, `engine`, `dialer`.
    check: String,
    /// How many there are of it.
    count: u64,
    /// What is the matter, in words.
    detail: String,
}

impl From<watch::Finding> for Finding {
    fn from(finding: watch::Finding) -> Self {
        Self {
            check: finding.check.as_str().to_owned(),
            count: u64::try_from(finding.count).unwrap_or(u64::MAX),
            detail: finding.detail,
        }
    }
}

/// Alive.
#[derive(Debug, Object)]
struct Alive {
    /// The version that runs.
    version: String,
}

#[derive(ApiResponse)]
enum Ready {
    /// Ready; `degraded` tells whether something is amiss all the same.
    #[oai(status = 200)]
    Yes(Json<Readiness>),
    /// Not ready: the database or the engine does not work.
    #[oai(status = 503)]
    No(Json<Readiness>),
}

/// The engine looks at what is due once a second; after so long without a look it has stopped.
const ENGINE_SILENT: TimeDelta = TimeDelta::seconds(15);
/// A look at the database that takes longer is a failure.
const DATABASE: Duration = Duration::from_secs(3);

#[OpenApi(tag = "Tag::Health")]
impl Health {
    /// Is the process alive?
    #[oai(path = "/healthz", method = "get", operation_id = "healthz")]
    async fn healthz(&self) -> Json<Alive> {
        Json(Alive { version: env!("CARGO_PKG_VERSION").to_owned() })
    }

    /// Can it take alerts in and escalate them?
    ///
    /// A PBX that is down makes it degraded, not unready: alerts are kept, and called about later.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Ready {
        let now = self.0.clock.now();
        // At once: each of them waits while the database is away, and whoever asks does not for long.
        let (database, policy, kill_switch) = tokio::join!(self.database(), self.policy(), self.kill_switch());
        let engine = engine(self.0.engine.last_look(), now);
        let ready = database.ok && engine.ok;
        let findings = self.0.watch.findings();
        let parts =
            vec![database, engine, self.pbx(), self.speech(), self.texts(), policy, kill_switch, self_audit(&findings)];
        let degraded = parts.iter().any(|part| !part.ok);
        let findings = findings.into_iter().map(Finding::from).collect();
        let readiness = Json(Readiness { ready, degraded, parts, findings });
        if ready { Ready::Yes(readiness) } else { Ready::No(readiness) }
    }
}

impl Health {
    async fn database(&self) -> Part {
        let answer = tokio::time::timeout(DATABASE, self.0.store.ping(self.0.clock.now())).await;
        match answer {
            Ok(Ok(())) => part("database", true, "keeps what it is given"),
            Ok(Err(error)) => {
                tracing::error!(%error, "the database does not answer");
                let displaced = error == store::Error::Displaced;
                let detail = if displaced { "its file was moved, replaced or deleted" } else { "does not answer" };
                part("database", false, detail)
            }
            Err(_) => part("database", false, "does not answer in time"),
        }
    }

    fn pbx(&self) -> Part {
        match &self.0.ami {
            None => part("pbx", false, "none is configured: calls wait"),
            Some(ami) if ami.is_connected() => part("pbx", true, "connected"),
            Some(_) => part("pbx", false, "cannot be reached: calls wait"),
        }
    }

    fn speech(&self) -> Part {
        match &self.0.speech {
            Some(speech) if speech.works() && speech.keeps() => part("speech", true, "speaks"),
            Some(speech) if speech.works() => {
                part("speech", false, "the sound directory cannot be written to: stand-ins are played")
            }
            _ => part("speech", false, "the engine failed when it was last asked: stand-ins are played"),
        }
    }

    fn texts(&self) -> Part {
        let ways = self.0.watch.ways();
        let told = |way: &watch::WayState| format!("{}: {}", way.name, way.detail);
        let down: Vec<String> = ways.iter().filter(|way| !way.is_up).map(told).collect();
        match (ways.len(), down.as_slice()) {
            (0, _) => part("texts", true, "none are sent: neither a modem nor Twilio is configured"),
            (_, []) => part("texts", true, &ways.iter().map(told).collect::<Vec<_>>().join("; ")),
            (_, down) if self.0.watch.texts_leave(self.0.clock.now()) => part("texts", false, &down.join("; ")),
            (_, down) => {
                part("texts", false, &format!("no text leaves, whoever is to be called is called: {}", down.join("; ")))
            }
        }
    }

    async fn policy(&self) -> Part {
        match tokio::time::timeout(DATABASE, self.0.store.default_policy()).await {
            Ok(Ok(Some(_))) => part("policy", true, "there is a default policy"),
            Ok(Ok(None)) => part("policy", false, "there is no default policy: alerts that name none page nobody"),
            Ok(Err(_)) | Err(_) => part("policy", false, "not known"),
        }
    }

    async fn kill_switch(&self) -> Part {
        match tokio::time::timeout(DATABASE, self.0.store.kill_switch()).await {
            Ok(Ok(switch)) if switch.stopped => part("kill_switch", false, "calls are stopped"),
            Ok(Ok(_)) => part("kill_switch", true, "calls may leave"),
            Ok(Err(_)) | Err(_) => part("kill_switch", false, "not known: no call leaves"),
        }
    }
}

fn engine(last_look: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Part {
    match last_look {
        Some(at) if now - at < ENGINE_SILENT => part("engine", true, "looks at what is due"),
        Some(_) => part("engine", false, "has stopped looking at what is due"),
        None => part("engine", false, "has not begun"),
    }
}

fn self_audit(findings: &[watch::Finding]) -> Part {
    if findings.is_empty() {
        return part("self_audit", true, "finds nothing amiss");
    }
    let details: Vec<&str> = findings.iter().map(|finding| finding.detail.as_str()).collect();
    part("self_audit", false, &details.join("; "))
}

fn part(name: &str, ok: bool, detail: &str) -> Part {
    Part { name: name.to_owned(), ok, detail: detail.to_owned() }
}
