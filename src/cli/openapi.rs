//! `ringdown openapi`

use std::sync::Arc;

use anyhow::Context;

use crate::{
    api,
    bus::Bus,
    clock::Clock,
    config::Per,
    engine::Engine,
    herald::Herald,
    phone::NumberingPlan,
    route::destination::Rules,
    script::{Keypad, Script},
    store::Store,
};

pub(super) async fn run() -> anyhow::Result<()> {
    print!("{}", document()?);
    Ok(())
}

/// The document needs the operations, and they need something to work with; nothing is asked of it.
fn document() -> anyhow::Result<String> {
    let (store, bus, clock) = (Store::nowhere(), Bus::default(), Clock::System);
    Ok(api::document(&api::State {
        engine: Engine::new(store.clone(), bus.clone(), clock.clone()),
        herald: Herald::nowhere(store.clone()),
        store,
        bus,
        clock,
        plan: Arc::new(NumberingPlan::default()),
        rules: Arc::new(Rules::default()),
        script: Arc::new(Script::new(Keypad::default()).context("spoken texts")?),
        rings: chrono::TimeDelta::seconds(30),
        alertmanager_per: Per::Group,
        caller_id: None,
        ami: None,
        speech: None,
        sender: None,
    }))
}
