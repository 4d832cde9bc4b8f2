//! Silences and maintenance windows: what is to stay quiet, and when.

use chrono::{DateTime, TimeDelta, Utc};
use poem_openapi::{
    ApiResponse, Enum, Object, OpenApi,
    param::{Header, Path, Query},
    payload::Json,
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    State, Tag,
    auth::{Caller, EditsSilences, ReadsPolicies},
    body::Body,
    error::Problem,
    routing::matchers,
    text, times,
    version::{etag, expected},
};
use crate::{
    bus::Bell,
    engine,
    id::SilenceId,
    recurrence::Recurrence,
    store::{self, SilenceData},
    triage::QuietKind,
    wallclock::Zone,
};

/// Silences.
pub struct Silences(pub State);

/// Of which kind it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "snake_case")]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Somebody wants to hear nothing of certain alerts.
    #[default]
    Silence,
    /// Work is planned; may be about everything, and may repeat.
    Maintenance,
}

/// What is to stay quiet, and when.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(skip_serializing_if_is_none)]
struct SilenceEdit {
    /// Of which kind it is.
    #[oai(default)]
    #[serde(default)]
    kind: Kind,
    /// Why.
    #[oai(default, validator(max_length = 2000))]
    #[serde(default)]
    comment: String,
    /// What labels must be, in Alertmanager's syntax. All must match. A maintenance window without any
    /// is about everything.
    #[oai(default, validator(max_items = 50))]
    #[serde(default)]
    matchers: Vec<String>,
    /// From when on; the first time, if it repeats.
    from: DateTime<Utc>,
    /// Until when; the first time, if it repeats.
    until: DateTime<Utc>,
    /// The zone of the local times at which it repeats, an IANA name.
    #[oai(default = "utc", validator(max_length = 100))]
    #[serde(default = "utc")]
    time_zone: String,
    /// How a maintenance window repeats: RFC 5545, such as `FREQ=WEEKLY;BYDAY=SU`.
    #[oai(validator(max_length = 500))]
    rrule: Option<String>,
}

fn utc() -> String {
    "UTC".into()
}

/// A silence.
#[derive(Debug, Object)]
struct Silence {
    /// Its identifier.
    id: Uuid,
    /// Counts its changes; also the ETag.
    version: i64,
    /// Who made it.
    made_by: String,
    /// When it last changed.
    updated_at: DateTime<Utc>,
    /// What it says.
    #[oai(flatten)]
    silence: SilenceEdit,
}

/// Silences, the latest first.
#[derive(Debug, Object)]
struct SilenceList {
    /// All of them, at most 10,000.
    items: Vec<Silence>,
}

#[derive(ApiResponse)]
enum Created {
    /// Made.
    #[oai(status = 201)]
    Created(
        Json<Silence>,
        /// Send it as `If-Match` to change or end it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Found {
    /// As it is.
    #[oai(status = 200)]
    Found(
        Json<Silence>,
        /// Send it as `If-Match` to change or end it.
        #[oai(header = "ETag")]
        String,
    ),
}

#[OpenApi(prefix_path = "/api/v2/silences", tag = "Tag::Silences")]
impl Silences {
    /// List silences and maintenance windows that hold, or will
    #[oai(path = "/", method = "get", operation_id = "list_silences")]
    async fn list(
        &self,
        _caller: ReadsPolicies,
        /// Those that are over, too.
        #[oai(default)]
        all: Query<bool>,
    ) -> Result<Json<SilenceList>, Problem> {
        let at = (!all.0).then(|| self.0.clock.now());
        let silences = self.0.store.silences(at).await?;
        Ok(Json(SilenceList { items: silences.into_iter().map(Silence::from).collect() }))
    }

    /// Silence what matches
    ///
    /// Alerts are kept, and page nobody. What still fires when it ends pages then. What escalates when it
    /// begins stops.
    #[oai(path = "/", method = "post", operation_id = "create_silence")]
    async fn create(&self, caller: EditsSilences, silence: Body<SilenceEdit>) -> Result<Created, Problem> {
        let now = self.0.clock.now();
        let data = comes_again(read(silence.0)?, now).await?;
        if data.recurrence.is_none() && data.until <= now {
            return Err(Problem::unprocessable("until: is past"));
        }
        let look_at = engine::first_look(&data, now);
        let id = self.0.by(&caller.0).create_silence(data, caller.0.name(), look_at, now).await?;
        self.0.bus.ring(Bell::Engine);
        let silence = self.present(id).await?;
        let tag = etag(silence.version);
        Ok(Created::Created(Json(silence.into()), tag))
    }

    /// One silence
    #[oai(path = "/:id", method = "get", operation_id = "get_silence")]
    async fn get(&self, _caller: ReadsPolicies, id: Path<Uuid>) -> Result<Found, Problem> {
        self.found(SilenceId(id.0)).await
    }

    /// Change a silence
    #[oai(path = "/:id", method = "put", operation_id = "update_silence")]
    async fn update(
        &self,
        caller: EditsSilences,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
        silence: Body<SilenceEdit>,
    ) -> Result<Found, Problem> {
        let data = comes_again(read(silence.0)?, self.0.clock.now()).await?;
        self.change(&caller.0, SilenceId(id.0), if_match.0.as_deref(), data).await
    }

    /// End a silence now
    ///
    /// It is kept for the records; what it held and still fires pages at once.
    #[oai(path = "/:id", method = "delete", operation_id = "end_silence")]
    async fn end(
        &self,
        caller: EditsSilences,
        id: Path<Uuid>,
        /// The ETag of the version that was read.
        #[oai(name = "If-Match", validator(max_length = 200))]
        if_match: Header<Option<String>>,
    ) -> Result<Found, Problem> {
        let id = SilenceId(id.0);
        let present = self.present(id).await?;
        let now = self.0.clock.now();
        let from = present.data.from.min(now);
        let over = SilenceData { from, until: present.data.until.min(now), recurrence: None, ..present.data };
        self.change(&caller.0, id, if_match.0.as_deref(), over).await
    }
}

impl Silences {
    async fn present(&self, id: SilenceId) -> Result<store::Silence, Problem> {
        self.0.store.silence(id).await?.ok_or_else(|| Problem::not_found("silence"))
    }

    async fn found(&self, id: SilenceId) -> Result<Found, Problem> {
        let silence = self.present(id).await?;
        let tag = etag(silence.version);
        Ok(Found::Found(Json(silence.into()), tag))
    }

    async fn change(
        &self,
        caller: &Caller,
        id: SilenceId,
        if_match: Option<&str>,
        data: SilenceData,
    ) -> Result<Found, Problem> {
        let version = expected(if_match, self.present(id).await?.version)?;
        let now = self.0.clock.now();
        // Whatever it held before and holds no more must go on: the engine looks at once.
        match self.0.by(caller).update_silence(id, version, data, Some(now), now).await {
            Err(store::Error::Conflict) => Err(Problem::changed(self.present(id).await?.version)),
            updated => {
                updated?;
                self.0.bus.ring(Bell::Engine);
                self.found(id).await
            }
        }
    }
}

/// What repeats must come again: a rule that never does would be looked through for ever.
async fn comes_again(data: SilenceData, now: DateTime<Utc>) -> Result<SilenceData, Problem> {
    let Some(rule) = data.recurrence.clone() else { return Ok(data) };
    let (start, zone) = (data.zone.local(data.from), data.zone);
    let next = tokio::task::spawn_blocking(move || rule.next_after(start, |local| zone.instant(local), now)).await;
    if matches!(next, Ok(Some(_))) { Ok(data) } else { Err(Problem::unprocessable("rrule: this never comes again")) }
}

fn read(edit: SilenceEdit) -> Result<SilenceData, Problem> {
    let matchers = matchers("matchers", &edit.matchers)?;
    let (from, until) = (times::instant("from", edit.from)?, times::instant("until", edit.until)?);
    if matchers.is_empty() && edit.kind == Kind::Silence {
        return Err(Problem::unprocessable(
            "matchers: a silence has one at least; only maintenance is about everything",
        ));
    }
    if until <= from {
        return Err(Problem::unprocessable("until: is not after from"));
    }
    if until - from > TimeDelta::days(366) {
        return Err(Problem::unprocessable("until: more than a year after from"));
    }
    let zone: Zone = edit.time_zone.parse().map_err(|error| Problem::unprocessable(format!("time_zone: {error}")))?;
    let recurrence = match edit.rrule.filter(|rule| !rule.is_empty()) {
        None => None,
        Some(_) if edit.kind == Kind::Silence => {
            return Err(Problem::unprocessable("rrule: only a maintenance window repeats"));
        }
        Some(rule) => {
            let rule: Recurrence = rule.parse().map_err(|error| Problem::unprocessable(format!("rrule: {error}")))?;
            Some(rule)
        }
    };
    Ok(SilenceData {
        kind: match edit.kind {
            Kind::Silence => QuietKind::Silence,
            Kind::Maintenance => QuietKind::Maintenance,
        },
        comment: text(edit.comment),
        matchers,
        from,
        until,
        zone,
        recurrence,
    })
}

impl From<store::Silence> for Silence {
    fn from(silence: store::Silence) -> Self {
        let data = silence.data;
        Self {
            id: silence.id.0,
            version: silence.version,
            made_by: silence.made_by,
            updated_at: silence.updated_at,
            silence: SilenceEdit {
                kind: match data.kind {
                    QuietKind::Silence => Kind::Silence,
                    QuietKind::Maintenance => Kind::Maintenance,
                },
                comment: data.comment,
                matchers: data.matchers.iter().map(ToString::to_string).collect(),
                from: data.from,
                until: data.until,
                time_zone: data.zone.to_string(),
                rrule: data.recurrence.map(String::from),
            },
        }
    }
}
