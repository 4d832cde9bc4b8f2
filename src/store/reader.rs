//! Reads, beside the one writer.
//!
//! A server's connections come from a pool. Those to a file are kept here: a pool asks each one that it takes back
//! whether it still works, and for a file that costs more than most of what it was borrowed for.

use std::sync::{Arc, Mutex, PoisonError};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, Sqlite, SqliteConnection, query::Query, sqlite::SqliteConnectOptions,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::Semaphore;

use super::PATIENCE;

/// Connections to a file at once: each has a thread and a cache of its own.
const FILES: usize = 4;

/// The handle. Cheap to clone.
#[derive(Clone)]
pub(super) enum Reader {
    /// A server, or nothing at all.
    Server(DatabaseConnection),
    /// A SQLite file.
    File(Arc<File>),
}

pub(super) struct File {
    options: SqliteConnectOptions,
    places: Semaphore,
    /// The one used last is on top: what it has read is still near.
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Reader {
    /// Of the file that `options` tell of.
    pub(super) fn of_file(options: SqliteConnectOptions) -> Self {
        Self::File(Arc::new(File { options, places: Semaphore::new(FILES), idle: Mutex::default() }))
    }
}

impl File {
    /// Lends a connection to `work`. One that failed, or was left in the middle of something, is not used again.
    async fn lend<T>(
        &self,
        work: impl AsyncFnOnce(&mut SqliteConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, DbErr> {
        let failed = |error: sqlx::Error| DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)));
        let place = tokio::time::timeout(PATIENCE, self.places.acquire()).await;
        let _place = place.map_err(|_| failed(sqlx::Error::PoolTimedOut))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => SqliteConnection::connect_with(&self.options).await.map_err(failed)?,
        };
        let result = work(&mut connection).await.map_err(failed)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }
}

fn prepared(statement: &Statement) -> Query<'_, Sqlite, SqlxValues> {
    let values = statement.values.clone().unwrap_or_else(|| sea_orm::Values(Vec::new()));
    // It comes from the query builder, which binds every value.
    sqlx::query_with(AssertSqlSafe(statement.sql.as_str()), SqlxValues(values))
}

#[sea_orm::prelude::async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        match self {
            Self::Server(server) => server.get_database_backend(),
            Self::File(_) => DbBackend::Sqlite,
        }
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match self {
            Self::Server(server) => server.execute_raw(statement).await,
            Self::File(file) => {
                file.lend(async |connection| prepared(&statement).execute(connection).await.map(Into::into)).await
            }
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        match self {
            Self::Server(server) => server.execute_unprepared(sql).await,
            Self::File(file) => {
                file.lend(async |connection| connection.execute(AssertSqlSafe(sql)).await.map(Into::into)).await
            }
        }
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match self {
            Self::Server(server) => server.query_one_raw(statement).await,
            Self::File(file) => {
                let row = file.lend(async |connection| prepared(&statement).fetch_optional(connection).await).await?;
                Ok(row.map(Into::into))
            }
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match self {
            Self::Server(server) => server.query_all_raw(statement).await,
            Self::File(file) => {
                let rows = file.lend(async |connection| prepared(&statement).fetch_all(connection).await).await?;
                Ok(rows.into_iter().map(Into::into).collect())
            }
        }
    }
}
