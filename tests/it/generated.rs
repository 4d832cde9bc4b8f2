//! Clients that are generated from openapi.json do the main job, on a real PBX: raise an alert, watch it
//! until a phone rings, take it, read what happened. `make clients` makes them.

use std::{
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, ensure};
use lab::settings::Step;
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{ANA, story};

/// Where `make clients` leaves the programs.
fn built(name: &str) -> Result<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    let program = env::var_os("RINGDOWN_CLIENTS").map_or_else(usual, PathBuf::from).join(name);
    ensure!(program.exists(), "{} is not there: make clients", program.display());
    Ok(program)
}

async fn does_the_main_job(name: &str) {
    story(
        |settings| {
            settings.policy("night", &[Step { targets: &["Ana"], ..Step::default() }]);
            settings.set("asterisk.ring_timeout", 30);
        },
        async |h| {
            let driver = Command::new(built(name)?)
                .env("RINGDOWN_URL", &h.server.api.base)
                .env("RINGDOWN_KEY", &h.server.api.key)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            h.phone(ANA).rings().await?;
            let output = driver.wait_with_output().await?;
            let complaint = String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.success(), "the client failed: {complaint}");
            let said: Value = serde_json::from_slice(&output.stdout).context("what the client says is JSON")?;
            let id = said["incident"].as_str().context("the client names the incident")?;
            let incident = h.is(id, "acknowledged").await?;
            assert_eq!(incident["summary"], "Disk full on db-01");
            h.phone(ANA).is_hung_up().await?;
            let read: Vec<&str> = said["timeline"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            assert!(["raised", "acknowledged"].iter().all(|kind| read.contains(kind)), "{read:?}");
            Ok(())
        },
    )
    .await;
}

#[tokio::test]
async fn a_python_client_does_the_main_job() {
    does_the_main_job("python-driver").await;
}

#[tokio::test]
async fn a_typescript_client_does_the_main_job() {
    does_the_main_job("typescript-driver").await;
}

#[tokio::test]
async fn a_rust_client_does_the_main_job() {
    does_the_main_job("rust-driver").await;
}
