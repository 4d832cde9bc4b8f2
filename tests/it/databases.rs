//! A database of its own for every test, of either kind.

use ringdown::store::Store;
use sea_orm::ConnectionTrait;
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

    /// From now on the database refuses a line of this kind in a timeline, after whatever came before it.
    pub async fn refuse_events(&self, kind: &str) {
        let statements = if self.url.starts_with("sqlite:") {
            let refuse = "BEGIN SELECT RAISE(ABORT, 'refused'); END";
            vec![format!("CREATE TRIGGER refuse BEFORE INSERT ON event WHEN NEW.kind = '{kind}' {refuse}")]
        } else {
            let function = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \
                            $$ BEGIN RAISE EXCEPTION 'refused'; END $$";
            let refuse = "EXECUTE FUNCTION refuse()";
            let each = format!("FOR EACH ROW WHEN (NEW.kind = '{kind}')");
            vec![function.to_owned(), format!("CREATE TRIGGER refuse BEFORE INSERT ON event {each} {refuse}")]
        };
        let url = self.url.replace("sqlite:", "sqlite://");
        let connection = sea_orm::Database::connect(url).await.expect("the database opens");
        for statement in statements {
            connection.execute_unprepared(&statement).await.expect("the database takes a trigger");
        }
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
