//! ringdown itself, as a process of its own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    api::Api,
    process::{Launch, Process},
    settings::Settings,
    slot::Slot,
    wait::until,
};

/// From its start to its readiness it takes well under a second.
const READY: Duration = Duration::from_secs(30);
/// `server.grace` of [`Settings::new`], and some more.
const END: Duration = Duration::from_secs(15);

/// A running server.
pub struct Server {
    /// Its API.
    pub api: Api,
    /// Where its FastAGI server listens.
    pub agi: SocketAddr,
    process: Process,
    directory: PathBuf,
    file: PathBuf,
    patience: Duration,
}

impl Server {
    /// Writes the configuration and starts `program` with it; ready when this returns.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start(program: &Path, slot: &Slot, settings: Settings) -> Result<Self> {
        Self::start_with(program, slot, settings, Vec::new()).await
    }

    /// As [`Server::start`], with this in its environment.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn start_with(
        program: &Path,
        slot: &Slot,
        mut settings: Settings,
        environment: Vec<(&'static str, String)>,
    ) -> Result<Self> {
        let directory = slot.directory().join("ringdown");
        // The PBX reads the sounds in it, also if it is somebody else's.
        fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let (http, agi) = (address(slot.port()), address(slot.port()));
        settings.place(http, agi, &directory.join("data"))?;
        let file = directory.join("ringdown.toml");
        fs::write(&file, settings.to_toml())?;
        ensure!(program.exists(), "{} is not there: cargo build", program.display());
        let launch = Launch {
            name: "ringdown",
            program: program.to_owned(),
            arguments: vec!["serve".into(), "--config".into(), file.clone().into()],
            environment,
            log: directory.join("ringdown.log"),
            user: None,
        };
        let process = Process::start(&launch)?;
        let api = Api::new(format!("http://{http}"), &settings.key)?;
        let mut this = Self { api, agi, process, directory, file, patience: END };
        this.ready().await?;
        Ok(this)
    }

    /// Waits until it is ready, the connection to its PBX included, if it is to have one.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub async fn ready(&mut self) -> Result<()> {
        let (api, process) = (&self.api, &mut self.process);
        let with_pbx = fs::read_to_string(&self.file)?.contains("[asterisk]");
        let ready = until("ringdown is ready", READY, async || {
            process.still_runs()?;
            let Ok(state) = api.get("/readyz").await else { return Ok(None) };
            let pbx = part(&state, "pbx");
            Ok((pbx || !with_pbx).then_some(()))
        });
        ready.await.with_context(|| format!("its log: {}", self.log().display()))
    }

    /// Whether this part of `/readyz` works.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn part_works(&self, name: &str) -> Result<bool> {
        let (_, state) = self.api.ask(reqwest::Method::GET, "/readyz", None).await?;
        Ok(part(&state, name))
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again after [`Server::kill`] or [`Server::stop`], on the same data and ports.
    ///
    /// # Errors
    /// If it does not become ready.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.restart()?;
        self.ready().await
    }

    /// As [`Server::restart`]; it dies by itself at this place (`ringdown::failpoint`).
    ///
    /// # Errors
    /// If it does not become ready, nor dies of it.
    pub async fn restart_to_die_at(&mut self, place: &str) -> Result<()> {
        self.process.restart_with("RINGDOWN_DIES_AT", place)?;
        let ready = self.ready().await;
        if self.still_runs() { ready } else { Ok(()) }
    }

    /// Whether it has not ended by itself.
    pub fn still_runs(&mut self) -> bool {
        self.process.still_runs().is_ok()
    }

    /// Starts it again if it has ended, and does not wait.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn revive(&mut self) -> Result<()> {
        if self.still_runs() { Ok(()) } else { self.process.restart() }
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it had to be killed, or says that it failed.
    pub async fn stop(&mut self) -> Result<()> {
        let running = self.process.id().is_some();
        let status = self.process.stop(self.patience).await?;
        ensure!(!running || status.success(), "ringdown ended with {status}");
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// From now on none of its files can be written beyond so many bytes: to it the disk is full there.
    /// `None` lifts that.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn limit_files(&self, bytes: Option<u64>) -> Result<()> {
        let id = self.id().context("ringdown does not run")?;
        let limit = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        // The soft limit alone, which may be raised again.
        let arguments = ["--pid".to_owned(), id.to_string(), format!("--fsize={limit}:")];
        let output = Command::new("prlimit").args(arguments).output().await.context("prlimit (package util-linux)")?;
        ensure!(output.status.success(), "prlimit: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(())
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Path {
        self.process.log()
    }

    /// Its configuration file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// The directory with its configuration, data and log.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The lines of its log at level ERROR, over all its starts.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let is_error = |line: &&str| match serde_json::from_str::<Value>(line) {
            Ok(line) => line["level"] == "ERROR",
            // What is no line of the log was said before there was one, or in a panic. What is indented is
            // for people: the first user's password.
            Err(_) => !line.trim().is_empty() && !line.starts_with("  "),
        };
        log.lines().filter(is_error).map(str::to_owned).collect()
    }
}

fn part(state: &Value, name: &str) -> bool {
    let parts = state["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
    parts.iter().any(|part| part["name"] == name && part["ok"] == true)
}
