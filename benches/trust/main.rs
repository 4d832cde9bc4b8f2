//! Figures of trust: what it costs to keep every alert, and how fast calls are made. `make bench`. Never
//! a test: it judges nothing.
//!
//! The server is the program itself, the PBX a real one, all on this machine together with what asks them.
//! So a rate is always also what else runs here; beside each stands what it is compared with, in the same
//! run. Parts by name: `cargo bench --bench trust -- intake calls`. `row` makes `RINGDOWN_BENCH_CALLS` calls.

mod calls;
mod intake;
mod latency;
mod raw;
mod resources;
mod texts;

use std::{path::Path, process::Command};

use anyhow::Result;

#[tokio::main]
async fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let is_asked = |part: &str| asked.is_empty() || asked.iter().any(|asked| asked == part);
    println!("figures of trust; {}", machine());
    if is_asked("sync") {
        intake::sync()?;
    }
    if is_asked("intake") {
        intake::run().await?;
    }
    if is_asked("latency") {
        latency::run().await?;
    }
    if is_asked("calls") {
        calls::run().await?;
    }
    if is_asked("trickle") {
        calls::trickle().await?;
    }
    if is_asked("texts") {
        texts::run().await?;
    }
    if is_asked("row") {
        calls::in_a_row().await?;
    }
    if is_asked("resources") {
        resources::run().await?;
    }
    println!("load at the end: {}", load());
    Ok(())
}

fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_ringdown"))
}

/// Where it was measured.
fn machine() -> String {
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name =
        cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("?", |(_, name)| name);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = Command::new("uname").arg("-r").output().map(|output| output.stdout).unwrap_or_default();
    format!("{cores} cores of {name}, Linux {}, load {}", String::from_utf8_lossy(&kernel).trim(), load())
}

fn load() -> String {
    std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned()
}
