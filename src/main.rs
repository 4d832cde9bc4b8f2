//! The `ringdown` binary: arguments, and the exit status.

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;
use ringdown::cli::{self, Cli};

/// Statements and requests are thousands of small pieces of memory, made by one thread and freed by another: the
/// system's allocator took a sixth of the time that a call costs.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // Two libraries bring TLS; both use this one provider.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("ringdown: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(cli::run(cli)) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("ringdown: {error:#}");
            ExitCode::FAILURE
        }
    }
}
