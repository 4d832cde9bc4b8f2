//! `ringdown user`, `ringdown key`, `ringdown audit`: on the machine itself, without the server.

use std::{
    env,
    io::{self, BufRead, IsTerminal},
};

use anyhow::{Context, anyhow, bail};
use chrono::TimeDelta;
use clap::{Args, Subcommand};
use sha2::{Digest, Sha256};

use super::ConfigFile;
use crate::{
    access::{Role, Scopes, password, user_name},
    api,
    clock::Clock,
    config::Config,
    id::{self, KeyId},
    store::{ApiKeyData, Author, Chain, Edit, Store, User, UserChange, UserData},
};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Make a user. The password is read from standard input, or made and printed.
    Add(AddUser),
    /// Give a user another password; they are logged out everywhere.
    Passwd(OneUser),
    /// All users.
    List(ConfigFile),
    /// Let a user log in no more; the keys they own stop working.
    Disable(OneUser),
    /// Let a user log in again.
    Enable(OneUser),
}

#[derive(Debug, Args)]
pub(super) struct AddUser {
    name: String,
    /// viewer, responder, manager or admin.
    #[arg(long, default_value = "responder")]
    role: Role,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct OneUser {
    name: String,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make an API key and print it, this once.
    Create(CreateKey),
    /// All API keys.
    List(ConfigFile),
    /// Revoke an API key.
    Revoke(RevokeKey),
}

#[derive(Debug, Args)]
pub(super) struct CreateKey {
    name: String,
    /// What it may do, such as alerts:write; the name of a role stands for all that it may do.
    #[arg(long = "scope", required = true, value_delimiter = ',')]
    scopes: Vec<String>,
    /// The policy that pages for the alerts it sends, unless they name one.
    #[arg(long)]
    policy: Option<String>,
    /// The user whose it is: it may do no more than they may.
    #[arg(long)]
    owner: Option<String>,
    /// Days until it ends; it does not if this is not said.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    days: Option<u32>,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Args)]
pub(super) struct RevokeKey {
    /// Its identifier, as `ringdown key list` shows it.
    id: KeyId,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Print the whole audit log, a JSON document in each line.
    Export(ConfigFile),
    /// Whether the audit log is as it was written.
    Check(ConfigFile),
}

pub(super) async fn user(command: UserCommand) -> anyhow::Result<u8> {
    match command {
        UserCommand::Add(arguments) => add(arguments).await?,
        UserCommand::Passwd(arguments) => passwd(arguments).await?,
        UserCommand::List(config) => list(&config).await?,
        UserCommand::Disable(arguments) => enable(arguments, false).await?,
        UserCommand::Enable(arguments) => enable(arguments, true).await?,
    }
    Ok(0)
}

pub(super) async fn key(command: KeyCommand) -> anyhow::Result<u8> {
    match command {
        KeyCommand::Create(arguments) => create(arguments).await?,
        KeyCommand::List(config) => list_keys(&config).await?,
        KeyCommand::Revoke(arguments) => {
            let edit = edit(&arguments.config).await?;
            if !edit.revoke_key(arguments.id).await? {
                bail!("there is no key {}", arguments.id);
            }
            println!("revoked; a running server knows within 2 seconds");
        }
    }
    Ok(0)
}

pub(super) async fn audit(command: AuditCommand) -> anyhow::Result<u8> {
    match command {
        AuditCommand::Export(config) => {
            let store = open(&config.load()?).await?;
            let mut after = 0;
            loop {
                let lines = store.audit_after(after, 1000).await?;
                let Some(last) = lines.last() else { return Ok(0) };
                after = last.seq;
                for line in &lines {
                    println!("{}", api::exported(line));
                }
            }
        }
        AuditCommand::Check(config) => match open(&config.load()?).await?.check_audit().await? {
            Chain::Whole { lines, head } => {
                println!("{lines} lines, as they were written; the last digest is {head}");
                Ok(0)
            }
            Chain::Broken { seq, why } => {
                println!("line {seq}: {why}");
                Ok(1)
            }
        },
    }
}

async fn add(arguments: AddUser) -> anyhow::Result<()> {
    let edit = edit(&arguments.config).await?;
    let name = user_name(&arguments.name).map_err(anyhow::Error::msg)?;
    let (hash, made) = new_password(&name)?;
    let data = UserData { name: name.clone(), role: arguments.role, enabled: true, contact: None };
    match edit.create_user(data, hash, Clock::System.now()).await {
        Err(crate::store::Error::Conflict) => bail!("there is a user {name} already"),
        other => other?,
    };
    println!("{name} may log in as {}", arguments.role);
    tell(made);
    Ok(())
}

async fn passwd(arguments: OneUser) -> anyhow::Result<()> {
    let edit = edit(&arguments.config).await?;
    let user = named(&edit, &arguments.name).await?;
    let (hash, made) = new_password(&user.data.name)?;
    edit.set_password(user.id, hash, Clock::System.now()).await?;
    println!("{} has another password", user.data.name);
    tell(made);
    Ok(())
}

async fn list(config: &ConfigFile) -> anyhow::Result<()> {
    let store = open(&config.load()?).await?;
    for user in store.users().await? {
        let state = if user.data.enabled { "" } else { "  disabled" };
        println!("{}  {:<9}  {}{state}", user.id, user.data.role.name(), user.data.name);
    }
    Ok(())
}

async fn enable(arguments: OneUser, enabled: bool) -> anyhow::Result<()> {
    let edit = edit(&arguments.config).await?;
    let user = named(&edit, &arguments.name).await?;
    let data = UserData { enabled, ..user.data.clone() };
    match edit.update_user(user.id, user.version, data, Clock::System.now()).await? {
        UserChange::Done => {
            println!("{} {}", user.data.name, if enabled { "may log in" } else { "may log in no more" });
            Ok(())
        }
        UserChange::LastAdmin => bail!("{} is the last admin: make another one first", user.data.name),
        UserChange::NoContact => bail!("the contact that they were is gone"),
    }
}

async fn create(arguments: CreateKey) -> anyhow::Result<()> {
    let edit = edit(&arguments.config).await?;
    let now = Clock::System.now();
    let owner = match &arguments.owner {
        Some(name) => Some(named(&edit, name).await?.id),
        None => None,
    };
    let name = arguments.name.trim().to_owned();
    if name.is_empty() || name.chars().any(char::is_control) {
        bail!("a name is not empty, and has no control characters");
    }
    let secret = format!("rd_{}", id::secret());
    let data = ApiKeyData {
        name,
        scopes: Scopes::parse(arguments.scopes.iter().map(|scope| scope.trim()))?,
        policy: arguments.policy,
        owner,
        expires_at: arguments.days.map(|days| now + TimeDelta::days(days.into())),
    };
    let made = edit.create_key(data, hex::encode(Sha256::digest(secret.as_bytes())), now).await?;
    made.ok_or_else(|| anyhow!("two keys of this name are live: revoke one first"))?;
    println!("{secret}");
    eprintln!("It is not shown again: only its digest is kept.");
    Ok(())
}

async fn list_keys(config: &ConfigFile) -> anyhow::Result<()> {
    let store = open(&config.load()?).await?;
    for key in store.keys().await? {
        let used = key.used_at.map_or_else(|| "never used".into(), |at| at.format("used %F %R").to_string());
        let ends = key.data.expires_at.map(|at| at.format("  ends %F").to_string()).unwrap_or_default();
        println!("{}  {:<20}  {used}{ends}  {}", key.id, key.data.name, key.data.scopes.names().join(","));
    }
    Ok(())
}

/// What is kept of a password from standard input, or of one that is made and must be told.
fn new_password(user: &str) -> anyhow::Result<(String, Option<String>)> {
    let mut line = String::new();
    if io::stdin().is_terminal() {
        eprintln!("Password (empty to have one made; it shows as you type):");
    }
    io::stdin().lock().read_line(&mut line).context("standard input")?;
    let typed = line.trim_end_matches(['\r', '\n']);
    let made = typed.is_empty().then(api::first_password);
    let password = made.as_deref().unwrap_or(typed);
    if let Some(mistake) = password::mistake(password, user) {
        bail!("{mistake}");
    }
    let hash = password::hash(password, rand::random()).map_err(anyhow::Error::msg)?;
    Ok((hash, made))
}

fn tell(made: Option<String>) {
    if let Some(password) = made {
        println!("the password is  {password}  (it is not shown again)");
    }
}

async fn named(store: &Store, name: &str) -> anyhow::Result<User> {
    store.user_named(name.trim()).await?.with_context(|| format!("there is no user {name}"))
}

async fn edit(config: &ConfigFile) -> anyhow::Result<Edit> {
    let who = env::var("SUDO_USER").or_else(|_| env::var("USER")).unwrap_or_else(|_| "somebody on the machine".into());
    Ok(open(&config.load()?).await?.by(Author::command(&who, Clock::System.now())))
}

async fn open(config: &Config) -> anyhow::Result<Store> {
    Store::open(&config.database_url()).await.context("database")
}
