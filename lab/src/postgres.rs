//! One PostgreSQL for a run, and a fresh database for each test in it.
//!
//! `lab-with postgres -- COMMAND` starts the cluster around the tests, which find it by
//! `RINGDOWN_LAB_POSTGRES_URL`. It keeps nothing: no fsync, and it is gone afterwards.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Signal, geteuid};
use tokio::process::Command;

use crate::{
    parts,
    process::{Launch, Process},
    secret::secret,
    slot::Slot,
    wait::until,
};

/// Where the tests find the cluster: a URL without a database.
pub const VARIABLE: &str = "RINGDOWN_LAB_POSTGRES_URL";

const USER: &str = "lab";
const START: Duration = Duration::from_secs(60);

/// A running cluster.
pub struct Cluster {
    /// `postgres://user:password@host:port`, without a database.
    pub url: String,
    process: Process,
    _slot: Slot,
}

impl Cluster {
    /// Makes and starts one.
    ///
    /// # Errors
    /// If PostgreSQL was not fetched, or does not come up.
    pub async fn start() -> Result<Self> {
        Self::start_with(&["fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=300"]).await
    }

    /// One that keeps what it has committed when it is killed, for a test that does so.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn that_keeps() -> Result<Self> {
        Self::start_with(&["max_connections=50"]).await
    }

    /// As [`Cluster::start`], with these settings instead of those that keep nothing.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn start_with(settings: &[&str]) -> Result<Self> {
        let programs = parts::postgres()?;
        let slot = Slot::take()?;
        let directory = slot.directory().join("pg");
        fs::create_dir(&directory)?;
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700))?;
        // PostgreSQL refuses to run as root.
        let user = geteuid().is_root().then_some("nobody");
        let (password, password_file) = (secret(), directory.join("password"));
        fs::write(&password_file, &password)?;
        if let Some(user) = user {
            let id = id_of(user).await?;
            chown(&directory, Some(id), None)?;
            chown(&password_file, Some(id), None)?;
        }
        let data = directory.join("data");
        let launch = |program: &str, arguments: Vec<String>| Launch {
            name: "PostgreSQL",
            program: programs.join(program),
            arguments: arguments.into_iter().map(Into::into).collect(),
            environment: vec![("LC_ALL", "C.UTF-8".into())],
            log: slot.directory().join("postgres.log"),
            user,
        };
        let data_path = data.to_string_lossy().into_owned();
        let initdb = launch(
            "initdb",
            vec![
                "--no-sync".into(),
                "--encoding=UTF8".into(),
                "--locale=C.UTF-8".into(),
                "--auth=scram-sha-256".into(),
                format!("--username={USER}"),
                format!("--pwfile={}", password_file.display()),
                "-D".into(),
                data_path.clone(),
            ],
        );
        let made = initdb.command().current_dir(&directory).output().await?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let port = slot.port();
        let mut arguments = vec!["-D".into(), data_path, "-p".into(), port.to_string(), "-k".into(), String::new()];
        for setting in ["listen_addresses=127.0.0.1"].iter().chain(settings) {
            arguments.extend(["-c".into(), (*setting).into()]);
        }
        let process = Process::start(&launch("postgres", arguments))?;
        let mut this = Self { url: format!("postgres://{USER}:{password}@127.0.0.1:{port}"), process, _slot: slot };
        this.answers().await?;
        Ok(this)
    }

    async fn answers(&mut self) -> Result<()> {
        let (programs, process, url) = (parts::postgres()?, &mut self.process, &self.url);
        until("PostgreSQL answers", START, async || {
            process.still_runs()?;
            Ok(psql(&programs, url, "postgres", "SELECT 1").await.ok())
        })
        .await
    }

    /// Stops it without a word to whoever is connected and whatever they are doing, as `pg_ctl stop -m immediate`.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop_at_once(&mut self) -> Result<()> {
        self.process.signal(Signal::QUIT)?;
        self.process.ends(Duration::from_secs(15)).await.map(drop)
    }

    /// Starts it again after it was stopped, on the same data and port.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.restart()?;
        self.answers().await
    }

    /// Ends every connection to its databases in the middle of whatever it is doing.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn cut_connections(&self) -> Result<()> {
        let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                      WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'";
        psql(&parts::postgres()?, &self.url, "postgres", others).await
    }

    /// A fresh database of it; its URL.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn database(&self) -> Result<String> {
        create(&self.url).await
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        // SIGINT: at once, whoever is connected ("fast shutdown").
        self.process.signal(Signal::INT)?;
        self.process.stop(Duration::from_secs(15)).await.map(drop)
    }
}

/// A fresh database of the cluster that runs around the tests; its URL.
///
/// # Errors
/// If there is no such cluster, or the database cannot be made.
pub async fn database() -> Result<String> {
    let url = env::var(VARIABLE).with_context(|| {
        format!("{VARIABLE} is not set: use `make test`, or run the tests under: lab-with postgres --")
    })?;
    create(&url).await
}

async fn create(cluster: &str) -> Result<String> {
    let name = format!("t_{}", &secret()[..12]);
    psql(&parts::postgres()?, cluster, "postgres", &format!("CREATE DATABASE {name}")).await?;
    Ok(format!("{cluster}/{name}"))
}

async fn psql(programs: &Path, cluster: &str, database: &str, statement: &str) -> Result<()> {
    let url = reqwest::Url::parse(cluster).context(VARIABLE)?;
    let output = Command::new(programs.join("psql"))
        .args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement])
        .env("PGHOST", url.host_str().unwrap_or_default())
        .env("PGPORT", url.port().unwrap_or(5432).to_string())
        .env("PGUSER", url.username())
        // Not among the arguments, which everybody can read.
        .env("PGPASSWORD", url.password().unwrap_or_default())
        .env("PGDATABASE", database)
        .output()
        .await
        .context("psql")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}

async fn id_of(user: &str) -> Result<u32> {
    let output = Command::new("id").args(["-u", user]).output().await?;
    String::from_utf8_lossy(&output.stdout).trim().parse().with_context(|| format!("there is no user {user}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_database_is_empty_and_the_stores_migrations_run_on_it() {
        let mut cluster = Cluster::start().await.unwrap();
        let (one, other) = (cluster.database().await.unwrap(), cluster.database().await.unwrap());
        assert_ne!(one, other);
        for url in [one, other] {
            ringdown::store::Store::open(&url).await.unwrap();
        }
        cluster.stop().await.unwrap();
    }
}
