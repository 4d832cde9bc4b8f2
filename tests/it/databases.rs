//! A database of its own for every test, of either kind.

use std::future::Future;

use ringdown::store::Store;
use sea_orm::{ConnectionTrait, Database as Connection};
use tempfile::TempDir;

/// The server on which tests make databases: `postgres://user@host:port/database`. Its user must be allowed to.
const SERVER: &str = "RINGDOWN_LAB_POSTGRES_URL";

/// An empty database. Opening it brings its schema up to date.
pub struct Database {
    /// As [`Store::open`] takes it.
    pub url: String,
    _directory: Option<TempDir>,
}

impl Database {
    /// Everything in one file, gone with the test.
    pub fn sqlite() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("ringdown.db").display());
        Self { url, _directory: Some(directory) }
    }

    /// A database on the server that the environment names. It goes with the test, unless that fails:
    /// then it stays to be looked at. Without a server the test says so and passes.
    pub async fn postgres<F: Future<Output = ()>>(test: impl FnOnce(Self) -> F) {
        let Ok(server) = std::env::var(SERVER) else {
            eprintln!("SKIPPED: no PostgreSQL to test on ({SERVER} is not set)");
            return;
        };
        let (address, options) = server.split_once('?').map_or((&*server, None), |(url, options)| (url, Some(options)));
        let host = address.rsplit_once('/').map_or(address, |(host, _)| host);
        let name = format!("ringdown_{}", ringdown::id::token());
        let admin = Connection::connect(&server).await.expect("the PostgreSQL server answers");
        admin.execute_unprepared(&format!("CREATE DATABASE {name}")).await.expect("a new database");
        let options = options.map_or_else(String::new, |options| format!("?{options}"));
        test(Self { url: format!("{host}/{name}{options}"), _directory: None }).await;
        admin.execute_unprepared(&format!("DROP DATABASE {name} WITH (FORCE)")).await.expect("the database goes");
    }

    /// Opens it. Opened more than once it is what several servers share.
    pub async fn store(&self) -> Store {
        Store::open(&self.url).await.expect("the database opens")
    }
}

/// Makes two tests of each function that takes a [`Database`]: one per kind.
macro_rules! on_both_databases {
    ($($name:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    super::$name($crate::databases::Database::sqlite()).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $name() {
                    $crate::databases::Database::postgres(super::$name).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;
