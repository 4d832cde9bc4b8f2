//! Where the real programs are: what `scripts/fetch` found or fetched, and `make` exports.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

/// The Asterisk program.
///
/// # Errors
/// If it was not fetched.
pub fn asterisk() -> Result<PathBuf> {
    // Its modules, documentation and prompts are read by `lab/asterisk/instance`, from the environment too.
    for name in ["RINGDOWN_LAB_ASTERISK_MODULES", "RINGDOWN_LAB_ASTERISK_DATA", "RINGDOWN_LAB_ASTERISK_SOUNDS"] {
        part(name, "asterisk")?;
    }
    part("RINGDOWN_LAB_ASTERISK", "asterisk")
}

/// The espeak-ng program.
///
/// # Errors
/// If it was not fetched.
pub fn espeak() -> Result<PathBuf> {
    part("RINGDOWN_LAB_ESPEAK", "espeak")
}

/// The directory of PostgreSQL's programs.
///
/// # Errors
/// If it was not fetched.
pub fn postgres() -> Result<PathBuf> {
    part("RINGDOWN_LAB_POSTGRES_BIN", "postgres")
}

/// The Alertmanager program.
///
/// # Errors
/// If it was not fetched.
pub fn alertmanager() -> Result<PathBuf> {
    part("RINGDOWN_LAB_ALERTMANAGER", "alertmanager")
}

/// Prometheus's tool that checks and tests rules.
///
/// # Errors
/// If it was not fetched.
pub fn promtool() -> Result<PathBuf> {
    part("RINGDOWN_LAB_PROMTOOL", "prometheus")
}

/// The gammu program.
///
/// # Errors
/// If it was not fetched.
pub fn gammu() -> Result<PathBuf> {
    part("RINGDOWN_LAB_GAMMU", "gammu")
}

/// The root of the project that this was built in.
#[must_use]
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

fn part(variable: &str, what: &str) -> Result<PathBuf> {
    let path = env::var_os(variable).map(PathBuf::from).with_context(|| {
        format!("{variable} is not set: use `make test` or `make demo`, or first run: eval \"$(scripts/fetch {what} | sed 's/^/export /')\"")
    })?;
    ensure!(path.exists(), "{variable} names {}, which is not there: run scripts/fetch {what} again", path.display());
    Ok(path)
}
