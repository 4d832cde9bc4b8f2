//! A database of its own for every test, of either kind.

use ringdown::store::Store;
use tempfile::TempDir;

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

    /// On the cluster that runs around the tests, and gone with it.
    pub async fn postgres() -> Self {
        let url = lab::postgres::database().await.expect("a database on the tests' PostgreSQL");
        Self { url, _directory: None }
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
                    super::$name($crate::databases::Database::postgres().await).await;
                }
            )*
        }
    };
}
pub(crate) use on_both_databases;
