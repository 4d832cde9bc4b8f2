//! `ringdown migrate`

use anyhow::Context;

use crate::{config::Config, store::Store};

pub(super) async fn run(config: &Config) -> anyhow::Result<()> {
    std::fs::create_dir_all(&config.server.data).context("data directory")?;
    match Store::migrate(&config.database_url()).await.context("database")? {
        0 => println!("the schema is up to date"),
        taken => println!("{taken} migration(s) done"),
    }
    Ok(())
}
