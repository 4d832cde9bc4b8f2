//! What is made at the first start: the secret that signs access tokens, and somebody who may log in.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, bail};
use chrono::TimeDelta;
use secrecy::ExposeSecret;

use crate::{
    access::{
        Role, password,
        token::{self, Tokens},
        weak_secret,
    },
    api,
    clock::Clock,
    config::Config,
    id,
    store::{Author, Error, Store, UserData},
};

/// Where the secrets are kept if none is configured: one in a line, the first signs.
const SECRETS: &str = "token-secrets";
/// Where the name of this server is kept if none is configured.
const NODE: &str = "node";
/// Who is made if there is nobody.
const ADMIN: &str = "admin";

/// What makes and checks access tokens, with the configured secrets, or those of the data directory.
///
/// # Errors
/// If there is none, and none can be made.
pub(super) fn tokens(config: &Config) -> anyhow::Result<Tokens> {
    let configured: Vec<String> =
        config.tokens.secrets.iter().map(|secret| secret.expose_secret().to_owned()).collect();
    let secrets = if configured.is_empty() { kept(&config.server.data.join(SECRETS))? } else { configured };
    let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
    Ok(Tokens::new(&config.tokens.issuer, TimeDelta::minutes(config.tokens.minutes.into()), &secrets))
}

/// The secrets in this file, which is made if it is not there.
fn kept(file: &Path) -> anyhow::Result<Vec<String>> {
    let place = || file.display().to_string();
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(file) {
        Ok(mut new) => {
            let secret = id::secret();
            new.write_all(format!("{secret}\n").as_bytes()).and_then(|()| new.sync_all()).with_context(place)?;
            return Ok(vec![secret]);
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(place),
    }
    let text = fs::read_to_string(file).with_context(place)?;
    let secrets: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if secrets.is_empty() || secrets.len() > 2 {
        bail!(
            "{}: has {} secrets; one, or two while one is replaced (delete it to have one made)",
            place(),
            secrets.len()
        );
    }
    for secret in &secrets {
        if let Some(why) = weak_secret(secret, token::SHORTEST_SECRET) {
            bail!("{}: a secret {why}", place());
        }
    }
    Ok(secrets)
}

/// The name of this server: as configured, or made at the first start and kept in the data directory, so
/// that after a restart it knows its calls again.
///
/// # Errors
/// If there is none, and none can be made.
pub(super) fn node(config: &Config) -> anyhow::Result<String> {
    if let Some(name) = &config.server.node {
        return Ok(name.clone());
    }
    let file = config.server.data.join(NODE);
    let place = || file.display().to_string();
    match fs::read_to_string(&file) {
        Ok(name) if !name.trim().is_empty() => return Ok(name.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(place),
    }
    let name = id::token();
    // Whole or not at all: half a name would be another one.
    let new = file.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format!("{name}\n").as_bytes())?;
        file.sync_all()
    };
    write().and_then(|()| fs::rename(&new, &file)).with_context(place)?;
    Ok(name)
}

/// Makes an admin if there is no user at all, and prints their password, this once.
///
/// # Errors
/// If the database does not take them.
pub(super) async fn admin(store: &Store, clock: &Clock) -> anyhow::Result<()> {
    if !store.users().await?.is_empty() {
        return Ok(());
    }
    let password = api::first_password();
    let secret = password.clone();
    let hash = tokio::task::spawn_blocking(move || password::hash(&secret, rand::random())).await?;
    let hash = hash.map_err(anyhow::Error::msg)?;
    let now = clock.now();
    let user = UserData { name: ADMIN.into(), role: Role::Admin, enabled: true, contact: None };
    match store.by(Author::command("first start", now)).create_user(user, hash, now).await {
        // Not into the log: logs are kept, and read by others.
        Ok(_) => eprintln!(
            "\n  The first user is `{ADMIN}`, with the password  {password}\n  It is not shown again. Change it, or make others with `ringdown user add`.\n"
        ),
        // Another server was faster.
        Err(Error::Conflict) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_read_by_nobody_else() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(SECRETS);
        let made = kept(&file).unwrap();
        assert_eq!(made[0].len(), 64);
        assert_eq!(kept(&file).unwrap(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        for (wrong, why) in
            [("", "0 secrets"), ("short\n", "shorter"), ("change-me-change-me-change-me-now\n", "placeholder")]
        {
            fs::write(&file, wrong).unwrap();
            let error = kept(&file).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let two = format!("{}\n{}\n", "5f0c8a72b1d94e63".repeat(4), "b93e7d15c04f4a28".repeat(4));
        fs::write(&file, two).unwrap();
        assert_eq!(kept(&file).unwrap().len(), 2);
    }
}
