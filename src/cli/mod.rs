//! The command line, one file per subcommand. `serve`, `migrate`, `check`, `openapi`, `user`, `key`
//! and `audit` work on the machine itself; all others speak HTTP to the server.

mod access;
mod ack;
mod call;
mod check;
mod client;
mod contacts;
mod incidents;
mod migrate;
mod oncall;
mod openapi;
mod policies;
mod schedules;
mod serve;
mod silence;
mod simulate;
mod stop_calls;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// Makes sure that a human being knows: alerts become phone calls that somebody acknowledges.
#[derive(Debug, Parser)]
#[command(name = "ringdown", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Serve(ConfigFile),
    /// Bring the database's schema up to date (serve does so by itself).
    Migrate(ConfigFile),
    /// Try everything that the server needs, and say what to do about what fails.
    Check(ConfigFile),
    /// Print the OpenAPI document.
    Openapi,
    /// Call a number and speak a text.
    Call(call::Arguments),
    /// List incidents, or show one with its timeline.
    Incidents(incidents::Arguments),
    /// Acknowledge an incident: nobody else is called about it.
    Ack(ack::Arguments),
    /// List policies, show one, or make one.
    #[command(subcommand)]
    Policies(policies::Command),
    /// Say beforehand whom an alert would call: when, in which language, with what text. Calls nobody.
    Simulate(simulate::Arguments),
    /// Hear nothing of certain alerts for a while; they are kept.
    Silence(silence::Arguments),
    /// The address book: list, add, import, export, delete.
    Contacts(contacts::Arguments),
    /// Who is on call, and who is next.
    Oncall(oncall::Arguments),
    /// List on-call schedules, show one, or its shifts.
    Schedules(schedules::Arguments),
    /// Replace, add or remove a person on a schedule for a span of time.
    Override(schedules::Override),
    /// Who may log in: add, passwd, list, disable, enable. Works on the database, without the server.
    #[command(subcommand)]
    User(access::UserCommand),
    /// API keys: create, list, revoke. Works on the database, without the server.
    #[command(subcommand)]
    Key(access::KeyCommand),
    /// Who changed what: export, check.
    #[command(subcommand)]
    Audit(access::AuditCommand),
    /// Stop all calls (kill switch), or let them go again.
    StopCalls(stop_calls::Arguments),
}

/// Where the configuration is.
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file. Without one: `ringdown.toml` here, else /etc/ringdown/ringdown.toml,
    /// else the defaults.
    #[arg(long, env = "RINGDOWN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        let usual = [Path::new("ringdown.toml"), Path::new("/etc/ringdown/ringdown.toml")];
        let file = self.config.as_deref().or_else(|| usual.into_iter().find(|path| path.exists()));
        Ok(Config::load(file)?)
    }
}

/// Runs a command. Returns the exit status.
///
/// # Errors
/// What the user should read.
pub async fn run(cli: Cli) -> anyhow::Result<u8> {
    match cli.command {
        Command::Serve(config) => serve::run(config.load()?).await.map(|()| 0),
        Command::Migrate(config) => migrate::run(&config.load()?).await.map(|()| 0),
        Command::Check(config) => check::run(&config).await,
        Command::Openapi => openapi::run().await.map(|()| 0),
        Command::Call(arguments) => call::run(arguments).await.map(|()| 0),
        Command::Incidents(arguments) => incidents::run(arguments).await.map(|()| 0),
        Command::Ack(arguments) => ack::run(arguments).await.map(|()| 0),
        Command::Policies(command) => policies::run(command).await.map(|()| 0),
        Command::Simulate(arguments) => simulate::run(arguments).await.map(|()| 0),
        Command::Silence(arguments) => silence::run(arguments).await.map(|()| 0),
        Command::Contacts(arguments) => contacts::run(arguments).await,
        Command::Oncall(arguments) => oncall::run(arguments).await.map(|()| 0),
        Command::Schedules(arguments) => schedules::run(arguments).await.map(|()| 0),
        Command::Override(arguments) => schedules::make_override(arguments).await.map(|()| 0),
        Command::User(command) => access::user(command).await,
        Command::Key(command) => access::key(command).await,
        Command::Audit(command) => access::audit(command).await,
        Command::StopCalls(arguments) => stop_calls::run(arguments).await.map(|()| 0),
    }
}
