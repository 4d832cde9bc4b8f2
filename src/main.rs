//! The `ringdown` binary: arguments, and the exit status.

use std::process::ExitCode;

use clap::Parser;
use ringdown::cli::{self, Cli};

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
