//! WHAT IS TRUE: everything that must survive is a row here. The only user of sea-orm and `entity`.
//!
//! One file per aggregate. Each write is one transaction; see `writer` for how they share commits.
//! Nothing here decides: [`Store::advance`] makes true what the engine has decided, if the incident
//! still is what the engine saw.

mod api_keys;
mod audit;
mod calendars;
mod callbacks;
mod calls;
mod channel_events;
mod contacts;
mod deliveries;
mod events;
mod feeds;
mod gather;
mod heartbeats;
mod idempotency;
mod incidents;
mod logins;
mod messages;
mod named;
mod nodes;
mod place;
mod policies;
mod reader;
mod reminders;
mod routing;
mod schedules;
mod seeds;
mod sessions;
mod settings;
mod silences;
pub mod timeline;
mod users;
mod uses;
mod watch;
mod webhooks;
mod writer;

use std::time::Duration;

use calls::steps::{self, Step};
use chrono::{DateTime, Utc};
use futures_util::{FutureExt, future::BoxFuture};
use gather::Gather;
use migration::{Migrator, MigratorTrait};
use place::Place;
use reader::Reader;
use sea_orm::{ConnectOptions, Database, DatabaseConnection, DbErr, SqlErr, sqlx::sqlite::SqliteConnectOptions};
use writer::{Tx, Writer};

pub use api_keys::{ApiKey, ApiKeyData};
pub use audit::{ActorKind, AuditFilter, AuditLine, Author, Chain, Edit};
pub use calendars::NamedCalendar;
pub use callbacks::Backlog;
pub use calls::{Call, CallFilter, CallStatus, Carried, End, Heard, NewCall, line};
pub use channel_events::{ChannelEvent, ChannelEventFilter};
pub use contacts::{
    Contact, ContactCursor, ContactData, ContactFilter, ContactNumber, ContactPage, Group, GroupData, ImportOptions,
    ImportReport, ImportRow, Imported, MOST_NUMBERS, NotACursor, ONCALL, OncallWindow, WindowImport,
};
pub use deliveries::{Delivery, DeliveryFilter, DeliveryStatus, NewDelivery};
pub use events::Happened;
pub use feeds::FeedOf;
pub use heartbeats::{Heartbeat, HeartbeatData};
pub use idempotency::{Admission, KeptAnswer, Request};
pub use incidents::{Change, Content, Decision, Incident, IncidentFilter, Member, NewIncident, state_name};
pub use logins::{NewLogin, Renewed};
pub use messages::{
    Claim, Fate, Inbound, InboundPart, Message, MessageFilter, MessageKind, MessageStatus, NewMessage, OptedOut,
    Report, Segment, Taken, TextIn, Told,
};
pub use nodes::Node;
pub use policies::{NamedPolicy, PolicyData, PolicyVersion};
pub use reminders::{Reminder, ReminderData};
pub use routing::RoutingRules;
pub use schedules::{ImportCounts, ImportedDuty, Look, NamedDuty, NamedOverride, NamedSchedule, Run, ScheduleData};
pub use sessions::{Said, Saying, Session};
pub use settings::KillSwitch;
pub use silences::{Silence, SilenceData};
pub use timeline::{Entry, Fact, TimelineEvent};
pub use users::{User, UserChange, UserData};
pub use uses::Deletion;
pub use watch::{Figures, LiveCall, OpenIncident};
pub use webhooks::{Webhook, WebhookData};

use crate::id::{self, CallId, IncidentId};

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    read: Reader,
    writer: Writer,
    /// Steps of calls.
    steps: Gather<Step, bool>,
    /// Sessions and incidents that are looked up one by one.
    sessions: Gather<CallId, Option<Session>>,
    incidents: Gather<IncidentId, Option<Incident>>,
}

/// What can go wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Somebody else was faster: what was read is no longer so. Read again, decide again.
    #[error("changed by somebody else meanwhile")]
    Conflict,
    /// The database did not do it, for whatever reason: nothing was changed.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// The file of a SQLite database is not the one that was opened: what is written would be lost.
    #[error("database unavailable: its file was moved, replaced or deleted while it was in use")]
    Displaced,
}

impl Error {
    fn stopped() -> Self {
        Self::Unavailable("the writer has stopped".into())
    }
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        match error.sql_err() {
            Some(SqlErr::UniqueConstraintViolation(_)) => Self::Conflict,
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Unavailable(format!("a stored document cannot be read: {error}"))
    }
}

/// How long a reader or the writer waits for a connection or a lock before the caller hears of it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Statements that a connection knows without reading them again: those that write many rows are another
/// one for each number of rows.
const STATEMENTS: usize = 512;
/// Connections to a server that read at once.
const READERS: u32 = 8;

impl Store {
    /// Opens the database and brings its schema up to date. `url` is `sqlite:PATH` (made if missing) or `postgres://...`.
    ///
    /// # Errors
    /// If it cannot be reached, or its schema is of a newer version than this program.
    pub async fn open(url: &str) -> Result<Self, Error> {
        let place = Place::make(url)?;
        let write = connect(url, 1).await?;
        Migrator::up(&write, None).await?;
        let read = match url.strip_prefix("sqlite:") {
            Some(path) => {
                let options = SqliteConnectOptions::new().filename(path.trim_start_matches("//"));
                Reader::of_file(file_options(options))
            }
            None => Reader::Server(connect(url, READERS).await?),
        };
        let url = url.to_owned();
        let anew = move || -> BoxFuture<'static, Result<DatabaseConnection, Error>> {
            let url = url.clone();
            Box::pin(async move { connect(&url, 1).await })
        };
        let store = Self::of(read, Writer::start(write, place, anew));
        store.index_contacts().await?;
        Ok(store)
    }

    /// A store that is nowhere: for what needs one and asks nothing of it.
    #[must_use]
    pub fn nowhere() -> Self {
        let disconnected = DatabaseConnection::default();
        let writer =
            Writer::start(disconnected.clone(), Place::default(), || Box::pin(async { Err(Error::stopped()) }));
        Self::of(Reader::Server(disconnected), writer)
    }

    fn of(read: Reader, writer: Writer) -> Self {
        let (writes, of_sessions, of_incidents) = (writer.clone(), read.clone(), read.clone());
        Self {
            read,
            writer,
            steps: Gather::start(move |steps| steps::take(&writes, steps)),
            sessions: Gather::start(move |calls| sessions::read(of_sessions.clone(), calls).boxed()),
            incidents: Gather::start(move |ids| incidents::read_each(of_incidents.clone(), ids).boxed()),
        }
    }

    /// Migrates the schema and returns how many migrations it took.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn migrate(url: &str) -> Result<usize, Error> {
        Place::make(url)?;
        let database = connect(url, 1).await?;
        let pending = Migrator::get_pending_migrations(&database).await?.len();
        Migrator::up(&database, None).await?;
        Ok(pending)
    }

    /// Whether it keeps what it is given: writes something, and reads it back the way others do.
    ///
    /// # Errors
    /// If it does not, within a few seconds.
    pub async fn ping(&self, now: DateTime<Utc>) -> Result<(), Error> {
        // Somebody else may ask at the same moment; three times in a row is no chance.
        for _ in 0..3 {
            let token = id::token();
            self.set_ping(&token, now).await?;
            if self.last_ping().await?.as_deref() == Some(token.as_str()) {
                return Ok(());
            }
        }
        Err(Error::Unavailable("what is written cannot be read back".into()))
    }

    async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        self.writer.write(work).await
    }
}

async fn connect(url: &str, connections: u32) -> Result<DatabaseConnection, Error> {
    let url = match url.strip_prefix("sqlite:") {
        // Never made here: what is missing later was there before, and an empty one would take its place.
        Some(path) => format!("sqlite://{}?mode=rw", path.trim_start_matches("//")),
        None => url.to_owned(),
    };
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .connect_timeout(PATIENCE)
        .statement_timeout(PATIENCE)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(file_options)
        .map_sqlx_postgres_opts(|postgres| postgres.statement_cache_capacity(STATEMENTS));
    Ok(Database::connect(options).await?)
}

fn file_options(options: SqliteConnectOptions) -> SqliteConnectOptions {
    options
        .pragma("journal_mode", "WAL")
        // A committed transaction survives a power cut, not only a crash.
        .pragma("synchronous", "FULL")
        // 16 MiB, in KiB: what a storm changes again and again is then in memory.
        .pragma("cache_size", "-16384")
        // 16 MiB, in pages: a page that changes with each commit is copied into the file less often.
        .pragma("wal_autocheckpoint", "4096")
        .busy_timeout(PATIENCE)
        .statement_cache_capacity(STATEMENTS)
}

/// A page of a list: what is on it, and where the next one begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Pass it back for the next page; `None` on the last.
    pub next: Option<uuid::Uuid>,
}

impl<T> Page<T> {
    /// Makes a page of at most `limit` from one item more than that.
    fn cut(mut items: Vec<T>, limit: u64, id: impl Fn(&T) -> uuid::Uuid) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let next = if items.len() > limit {
            items.truncate(limit);
            items.last().map(id)
        } else {
            None
        };
        Self { items, next }
    }
}
