//! Children that never outlive us: the kernel kills them when we die, however we die.
//!
//! What they say goes to a file. They are ended by their process id, while that is still theirs.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

/// How a child is started.
#[derive(Clone, Debug)]
pub struct Launch {
    /// What it is called in what we say about it.
    pub name: &'static str,
    /// What is run.
    pub program: PathBuf,
    /// With which arguments.
    pub arguments: Vec<OsString>,
    /// With what in its environment, besides what is in ours.
    pub environment: Vec<(&'static str, String)>,
    /// Where its output goes, after what is there already.
    pub log: PathBuf,
    /// As which user, if not as ourselves: only root can.
    pub user: Option<&'static str>,
}

/// A child. Killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    launch: Launch,
    child: Child,
}

impl Launch {
    /// The command line, through `setpriv`, which asks the kernel for a SIGKILL when our thread ends.
    ///
    /// (So it must not be called from a thread that ends sooner than it should: not from
    /// `spawn_blocking`.)
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = self.user {
            command.arg(format!("--reuid={user}")).arg("--regid=nogroup").arg("--clear-groups");
        }
        command.arg("--").arg(&self.program).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// If there is no `setpriv` (Debian package `util-linux`), or its log cannot be written.
    pub fn start(launch: &Launch) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(&launch.log)
            .with_context(|| format!("{}'s log, {}", launch.name, launch.log.display()))?;
        let child = launch
            .command()
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // Ctrl-C is for us: we end our children, in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("setpriv (package util-linux)")?;
        Ok(Self { launch: launch.clone(), child })
    }

    /// Where its output is.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.launch.log
    }

    /// Fails once it has ended, with its last words.
    ///
    /// # Errors
    /// If it has ended.
    pub fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let tail = tail(&self.launch.log, 20);
                bail!("{} has ended by itself ({status}); its last words:\n{tail}", self.launch.name)
            }
        }
    }

    /// Asks it to end (SIGTERM), and kills it if it takes longer than `patience`.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop(&mut self, patience: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        match timeout(patience, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                self.kill().await?;
                bail!("{} did not end within {} s of SIGTERM", self.launch.name, patience.as_secs_f32())
            }
        }
    }

    /// Waits until it has ended, after it was told to.
    ///
    /// # Errors
    /// If it takes longer than `patience`.
    pub async fn wait(&mut self, patience: Duration) -> Result<()> {
        let ended = timeout(patience, self.child.wait()).await;
        ended.with_context(|| format!("{} does not end", self.launch.name))??;
        Ok(())
    }

    /// SIGKILL, as a power cut would.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends it a signal, if it is still there.
    ///
    /// # Errors
    /// If the system does not let us.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        // There is an id until the child was waited for, and until then it is nobody else's.
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        match id.map(|id| kill_process(id, signal)) {
            None | Some(Ok(()) | Err(rustix::io::Errno::SRCH)) => Ok(()),
            Some(Err(error)) => Err(error).with_context(|| format!("a signal to {}", self.launch.name)),
        }
    }

    /// Starts it again, after it has ended.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn restart(&mut self) -> Result<()> {
        *self = Self::start(&self.launch)?;
        Ok(())
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }
}

/// The last lines of a file, for people.
#[must_use]
pub fn tail(file: &Path, lines: usize) -> String {
    let bytes = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slot::Slot;

    fn launch(slot: &Slot, script: &str) -> Launch {
        Launch {
            name: "the child",
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), script.into()],
            environment: vec![("WORD", "spoken".into())],
            log: slot.directory().join("log"),
            user: None,
        }
    }

    #[tokio::test]
    async fn a_child_that_ends_by_itself_is_told_with_its_last_words() {
        let slot = Slot::take().unwrap();
        let mut child = Process::start(&launch(&slot, "echo $WORD; exit 3")).unwrap();
        let _ = child.child.wait().await;
        let error = child.still_runs().unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("spoken"), "{error}");
        assert!(child.stop(Duration::from_secs(1)).await.is_ok(), "there is nothing left to stop");
    }

    #[tokio::test]
    async fn a_child_that_does_not_listen_is_killed_and_that_is_told() {
        let slot = Slot::take().unwrap();
        let mut child =
            Process::start(&launch(&slot, "trap '' TERM; echo ready; while :; do sleep 0.1; done")).unwrap();
        crate::wait::until("ready", Duration::from_secs(5), async || {
            Ok((!tail(child.log(), 1).is_empty()).then_some(()))
        })
        .await
        .unwrap();
        assert!(child.stop(Duration::from_millis(200)).await.is_err());
        assert!(child.id().is_none());
    }
}
