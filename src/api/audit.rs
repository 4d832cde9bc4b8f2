//! The audit log: who changed what, from where.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use poem::Body;
use poem_openapi::{Enum, Object, OpenApi, param::Query, payload::Json};
use serde_json::Value;

use super::{State, Tag, auth::ReadsAudit, error::Problem, file::Lines};
use crate::store::{AuditFilter, AuditLine, Chain, Store};

/// The audit log.
pub struct Audits(pub State);

/// Lines that are read at once for an export.
const AT_ONCE: u64 = 500;

/// One change.
#[derive(Debug, Object)]
#[oai(rename = "AuditLine", skip_serializing_if_is_none)]
struct Line {
    /// Its number, from 1 without a gap.
    seq: i64,
    /// When.
    at: DateTime<Utc>,
    /// `user`, `key`, `command` or `configuration`.
    actor_kind: String,
    /// Who.
    actor: String,
    /// From where.
    address: Option<String>,
    /// The request's identifier (`X-Request-Id`).
    request: Option<String>,
    /// `created`, `changed`, `deleted` or `imported`.
    action: String,
    /// The kind of thing, such as `policy`.
    subject_kind: String,
    /// Which one.
    subject: Option<String>,
    /// What it was.
    before: Option<Value>,
    /// What it became.
    after: Option<Value>,
    /// The digest of the line before.
    previous: String,
    /// The digest of this one.
    hash: String,
}

/// A page of the audit log.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct AuditPage {
    /// The latest first.
    items: Vec<Line>,
    /// Pass it as `cursor` for the next page; none on the last.
    next: Option<i64>,
}

/// What a look at the chain of digests has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
enum ChainState {
    /// Every line is as it was written.
    Whole,
    /// One was altered, removed or inserted.
    Broken,
}

/// The chain of digests.
#[derive(Debug, Object)]
#[oai(skip_serializing_if_is_none)]
struct AuditCheck {
    /// What was found.
    state: ChainState,
    /// How many lines there are.
    lines: Option<i64>,
    /// The digest at the end: keep it elsewhere, and compare.
    head: Option<String>,
    /// The first line that does not fit.
    broken_at: Option<i64>,
    /// What is wrong with it.
    why: Option<String>,
}

#[OpenApi(prefix_path = "/api/v2/audit", tag = "Tag::Access")]
impl Audits {
    /// Who changed what, the latest first.
    #[oai(path = "/", method = "get", operation_id = "list_audit_lines")]
    #[expect(clippy::too_many_arguments, reason = "they are what can be asked for")]
    async fn list(
        &self,
        _caller: ReadsAudit,
        /// Of this actor only.
        #[oai(validator(max_length = 200))]
        actor: Query<Option<String>>,
        /// About this kind of thing only.
        #[oai(validator(max_length = 50))]
        subject_kind: Query<Option<String>>,
        /// About this one only.
        #[oai(validator(max_length = 100))]
        subject: Query<Option<String>>,
        /// From then on.
        from: Query<Option<DateTime<Utc>>>,
        /// Before then.
        until: Query<Option<DateTime<Utc>>>,
        /// Lines on a page.
        #[oai(default = "super::default_limit", validator(minimum(value = "1"), maximum(value = "500")))]
        limit: Query<u64>,
        /// Where the last page ended: its `next`.
        #[oai(validator(minimum(value = "1")))]
        cursor: Query<Option<i64>>,
    ) -> Result<Json<AuditPage>, Problem> {
        let filter = AuditFilter {
            actor: actor.0,
            subject_kind: subject_kind.0,
            subject: subject.0,
            from: from.0,
            until: until.0,
        };
        let mut lines = self.0.store.audit(filter, cursor.0, limit.0 + 1).await?;
        let more = lines.len() as u64 > limit.0;
        lines.truncate(usize::try_from(limit.0).unwrap_or(usize::MAX));
        let next = lines.last().filter(|_| more).map(|line| line.seq);
        Ok(Json(AuditPage { items: lines.into_iter().map(shown).collect(), next }))
    }

    /// The whole audit log, a JSON document in each line, the oldest first.
    ///
    /// `hash` is the SHA-256, in hexadecimal, of the JSON array (without spaces) of `previous`, `seq`, `at` (RFC 3339
    /// in UTC with six digits of a second), `actor_kind`, `actor`, `address`, `request`, `action`, `subject_kind`,
    /// `subject`, `before` and `after`, the last two as text.
    #[oai(path = "/export", method = "get", operation_id = "export_audit_log")]
    async fn export(&self, _caller: ReadsAudit) -> Result<Lines, Problem> {
        let first = self.0.store.audit_after(0, AT_ONCE).await?;
        let body = Body::from_bytes_stream(lines(self.0.store.clone(), first));
        Ok(Lines { body, name: "audit.ndjson" })
    }

    /// Whether the audit log is as it was written.
    #[oai(path = "/check", method = "get", operation_id = "check_audit_log")]
    async fn check(&self, _caller: ReadsAudit) -> Result<Json<AuditCheck>, Problem> {
        Ok(Json(match self.0.store.check_audit().await? {
            Chain::Whole { lines, head } => AuditCheck {
                state: ChainState::Whole,
                lines: Some(lines),
                head: Some(head),
                broken_at: None,
                why: None,
            },
            Chain::Broken { seq, why } => AuditCheck {
                state: ChainState::Broken,
                lines: None,
                head: None,
                broken_at: Some(seq),
                why: Some(why.into()),
            },
        }))
    }
}

/// All lines as text, read as they are taken.
fn lines(store: Store, first: Vec<AuditLine>) -> impl futures_util::Stream<Item = std::io::Result<Vec<u8>>> + Send {
    let batches = stream::try_unfold(Some(first), move |batch| {
        let store = store.clone();
        async move {
            let Some(batch) = batch else { return Ok(None) };
            let Some(last) = batch.last().map(|line| line.seq) else { return Ok(None) };
            let full = batch.len() as u64 == AT_ONCE;
            let next = if full { Some(store.audit_after(last, AT_ONCE).await?) } else { None };
            Ok::<_, crate::store::Error>(Some((batch, next)))
        }
    });
    batches.map_err(std::io::Error::other).map(|batch| {
        batch.map(|batch| {
            batch.iter().flat_map(|line| [exported(line).to_string().into_bytes(), b"\n".to_vec()].concat()).collect()
        })
    })
}

/// A line with everything that its digest is of, `before` and `after` as the text they are kept as.
#[must_use]
pub fn exported(line: &AuditLine) -> Value {
    serde_json::json!({
        "previous": line.previous,
        "seq": line.seq,
        "at": line.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "actor_kind": line.actor_kind,
        "actor": line.actor,
        "address": line.address,
        "request": line.request,
        "action": line.action,
        "subject_kind": line.subject_kind,
        "subject": line.subject,
        "before": line.before,
        "after": line.after,
        "hash": line.hash,
    })
}

fn shown(line: AuditLine) -> Line {
    let json = |text: Option<String>| text.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text)));
    Line {
        seq: line.seq,
        at: line.at,
        actor_kind: line.actor_kind,
        actor: line.actor,
        address: line.address,
        request: line.request,
        action: line.action,
        subject_kind: line.subject_kind,
        subject: line.subject,
        before: json(line.before),
        after: json(line.after),
        previous: line.previous,
        hash: line.hash,
    }
}
