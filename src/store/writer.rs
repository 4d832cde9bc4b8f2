//! One writer: concurrent writes share a commit.
//!
//! A durable commit costs a disk flush, whoever asks for it. So one task takes all writes that wait,
//! runs each in a savepoint of one transaction, commits once, then answers everybody. While a commit
//! runs the next batch gathers: on a slow disk batches grow by themselves, on a fast one nobody lingers.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use entity::event;
use futures_util::{FutureExt, future::BoxFuture};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::Instant,
};

use super::{Error, events::Numbers, place::Place};
use crate::failpoint;

/// Writes that may wait at once; one more waits for room outside.
const QUEUE: usize = 1024;
/// Writes in one commit, so that one does not wait behind thousands.
const BATCH: usize = 256;

/// A part of a transaction that others share: it is undone by itself, and made durable with all of it.
pub(super) struct Tx {
    part: DatabaseTransaction,
    /// What is to stand in timelines: written at once, at its end.
    events: Mutex<Vec<event::ActiveModel>>,
}

type Work = Box<dyn for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<(), Error>> + Send>;

struct Job {
    work: Work,
    done: oneshot::Sender<Result<(), Error>>,
    since: Instant,
}

/// The handle; the task ends with the last one.
#[derive(Clone)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Job>,
    /// Counts commits that had events in them.
    events: watch::Sender<u64>,
}

impl Writer {
    /// `connect` makes the connection anew after it was found broken.
    pub(super) fn start<C>(database: DatabaseConnection, place: Place, connect: C) -> Self
    where
        C: Fn() -> BoxFuture<'static, Result<DatabaseConnection, Error>> + Send + 'static,
    {
        let (jobs, queue) = mpsc::channel(QUEUE);
        let events = watch::Sender::new(0);
        tokio::spawn(run(database, place, connect, queue, events.clone()));
        Self { jobs, events }
    }

    /// Changes with every commit that had events in it.
    pub(super) fn events_written(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// Runs `work` in a transaction and returns what it returned once that is durable. If it fails,
    /// nothing of it remains.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: for<'t> FnOnce(&'t Tx) -> BoxFuture<'t, Result<T, Error>> + Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let work: Work = Box::new(move |transaction| {
            let future = work(transaction);
            async move {
                let value = future.await?;
                *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
                Ok(())
            }
            .boxed()
        });
        let (done, answer) = oneshot::channel();
        self.jobs.send(Job { work, done, since: Instant::now() }).await.map_err(|_| Error::stopped())?;
        answer.await.map_err(|_| Error::stopped())??;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or_else(Error::stopped)
    }
}

async fn run<C>(
    database: DatabaseConnection,
    mut place: Place,
    connect: C,
    mut queue: mpsc::Receiver<Job>,
    events: watch::Sender<u64>,
) where
    C: Fn() -> BoxFuture<'static, Result<DatabaseConnection, Error>> + Send,
{
    let mut database = Some(database);
    let mut batch = Vec::with_capacity(BATCH);
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        metrics::histogram!("ringdown_store_writes_per_commit").record(u32::try_from(batch.len()).unwrap_or(u32::MAX));
        let began = Instant::now();
        for job in &batch {
            metrics::histogram!("ringdown_store_queue_seconds").record(began - job.since);
        }
        let connection = match (place.check(), database.take()) {
            (Err(displaced), known) => {
                database = known;
                Err(displaced)
            }
            (Ok(()), Some(connection)) => Ok(connection),
            (Ok(()), None) => connect().await,
        };
        match connection {
            Ok(connection) => {
                let state = commit(&connection, &mut place, batch.drain(..), &events).await;
                metrics::histogram!("ringdown_store_commit_duration_seconds").record(began.elapsed());
                if state == Connection::Sound {
                    database = Some(connection);
                } else {
                    metrics::counter!("ringdown_store_commit_failures_total").increment(1);
                    // Closing may wait for what is stuck on it; nobody needs to wait for that.
                    tracing::error!("the database connection is given up after an error; making a new one");
                    tokio::spawn(connection.close());
                    place.connects_anew();
                }
            }
            Err(error) => {
                metrics::counter!("ringdown_store_commit_failures_total").increment(1);
                refuse(batch.drain(..).map(|job| job.done), &error);
            }
        }
    }
}

/// Whether a connection can be trusted with the next transaction. After an error in the machinery of
/// transactions it cannot: SQLite undoes a whole transaction by itself when the disk is full, and
/// whoever counts savepoints is out of step from then on, so that a "commit" would commit nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Sound,
    Broken,
}

/// Runs all jobs in one transaction; each that fails is undone by itself. If one cannot be undone by
/// itself, nobody is told that anything was done.
async fn commit(
    database: &DatabaseConnection,
    place: &mut Place,
    mut jobs: impl ExactSizeIterator<Item = Job>,
    events: &watch::Sender<u64>,
) -> Connection {
    // Whoever's work failed hears it after the commit as well: what it failed for may have been written
    // by a job in front of it, and they will look.
    let mut waiting = Vec::with_capacity(jobs.len());
    let tells = match write(database, &mut jobs, &mut waiting).await {
        Ok(tells) => tells,
        Err(broken) => {
            let all = waiting.into_iter().map(|(done, _)| done).chain(jobs.map(|job| job.done));
            refuse(all, &Error::from(broken));
            return Connection::Broken;
        }
    };
    failpoint::reach("commit.after");
    // After the commit, since what was there before may be gone by then.
    if let Err(displaced) = place.check() {
        refuse(waiting.into_iter().map(|(done, _)| done), &displaced);
        return Connection::Sound;
    }
    if tells {
        events.send_modify(|commits| *commits = commits.wrapping_add(1));
    }
    // Whoever asked may be gone; nobody else needs to know.
    waiting.into_iter().for_each(|(done, result)| drop(done.send(result)));
    Connection::Sound
}

/// Whoever waits, and what their job has come to.
type Answer = (oneshot::Sender<Result<(), Error>>, Result<(), Error>);

/// As [`commit`], up to the point where everything is durable. Says whether there were events. The error
/// is the machinery's; what the jobs have come to is put into `waiting`.
async fn write(
    database: &DatabaseConnection,
    jobs: &mut impl ExactSizeIterator<Item = Job>,
    waiting: &mut Vec<Answer>,
) -> Result<bool, DbErr> {
    let options = TransactionOptions {
        // The write lock is taken at once: a transaction that reads first and writes then could find
        // the database changed in between, which SQLite answers with an error.
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let mut transaction = database.begin_with_options(options).await?;
    let mut numbers = Numbers::of(&transaction);
    // One job alone is undone with the transaction: for a savepoint SQLite keeps each page as it was.
    let alone = jobs.len() == 1;
    for Job { work, done, since: _ } in jobs {
        waiting.push((done, Ok(())));
        let before = numbers.mark();
        let part = if alone { None } else { Some(transaction.begin().await?) };
        let result;
        (transaction, result) = match part {
            None => attempt(transaction, work, &mut numbers).await,
            Some(savepoint) => {
                let (savepoint, result) = attempt(savepoint, work, &mut numbers).await;
                if result.is_ok() {
                    savepoint.commit().await?;
                } else {
                    savepoint.rollback().await?;
                }
                (transaction, result)
            }
        };
        if result.is_err() {
            numbers.undo(before);
        }
        let failed = result.is_err();
        if let Some((_, answer)) = waiting.last_mut() {
            *answer = result;
        }
        if failed && alone {
            transaction.rollback().await?;
            return Ok(false);
        }
    }
    numbers.finish(&transaction).await?;
    failpoint::reach("commit.before");
    transaction.commit().await?;
    Ok(numbers.any())
}

/// Runs one job in its part of the transaction, and gives that back, to be kept or undone.
async fn attempt(
    part: DatabaseTransaction,
    work: Work,
    numbers: &mut Numbers,
) -> (DatabaseTransaction, Result<(), Error>) {
    let tx = Tx { part, events: Mutex::default() };
    let whole = async {
        work(&tx).await?;
        let happened = std::mem::take(&mut *tx.events.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(numbers.write(&tx.part, happened).await?)
    };
    let result = AssertUnwindSafe(whole).catch_unwind().await;
    let result = result
        .unwrap_or_else(|panic| Err(Error::Unavailable(format!("a write panicked: {}", panic_text(panic.as_ref())))));
    (tx.part, result)
}

impl Tx {
    /// Something happened, and stands in a timeline with whatever else is written here.
    pub(super) fn tell(&self, events: impl IntoIterator<Item = event::ActiveModel>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).extend(events);
    }
}

#[sea_orm::prelude::async_trait::async_trait]
impl ConnectionTrait for Tx {
    fn get_database_backend(&self) -> DbBackend {
        self.part.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.part.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.part.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.part.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.part.query_all_raw(statement).await
    }
}

fn refuse(waiting: impl Iterator<Item = oneshot::Sender<Result<(), Error>>>, error: &Error) {
    waiting.for_each(|done| drop(done.send(Err(error.clone()))));
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
