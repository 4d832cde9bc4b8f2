//! `lab-with postgres -- COMMAND...`: runs a command with a PostgreSQL around it, whose address it finds
//! in `RINGDOWN_LAB_POSTGRES_URL`, and ends as the command does.

use std::{
    env,
    ffi::OsString,
    os::unix::process::ExitStatusExt,
    process::{ExitCode, ExitStatus},
};

use anyhow::{Context, Result, ensure};
use lab::postgres::{Cluster, VARIABLE};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(status) => {
            // As a shell tells it: 128 and the signal that ended it.
            let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(1);
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        Err(error) => {
            eprintln!("lab-with: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<ExitStatus> {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let (what, command) = match &*arguments {
        [what, dashes, command @ ..] if dashes == "--" && !command.is_empty() => (what, command),
        _ => anyhow::bail!("usage: lab-with postgres -- COMMAND..."),
    };
    ensure!(what == "postgres", "there is only postgres");
    let mut cluster = Cluster::start().await?;
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .env(VARIABLE, &cluster.url)
        .spawn()
        .with_context(|| command[0].to_string_lossy().into_owned())?;
    // A terminal tells the command as well; here they only must not end us before it has ended.
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status?,
            _ = interrupt.recv() => {}
            _ = terminate.recv() => child.start_kill()?,
        }
    };
    cluster.stop().await?;
    Ok(status)
}
