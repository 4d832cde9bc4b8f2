//! `ringdown openapi`

use std::sync::Arc;

use crate::{
    api, bus::Bus, clock::Clock, config::Per, engine::Engine, phone::NumberingPlan, route::destination::Rules,
    store::Store,
};

pub(super) async fn run() -> anyhow::Result<()> {
    print!("{}", document());
    Ok(())
}

/// The document needs the operations, and they need something to work with; nothing is asked of it.
fn document() -> String {
    let (store, bus, clock) = (Store::nowhere(), Bus::default(), Clock::System);
    api::document(&api::State {
        engine: Engine::new(store.clone(), bus.clone(), clock.clone()),
        store,
        bus,
        clock,
        plan: Arc::new(NumberingPlan::default()),
        rules: Arc::new(Rules::default()),
        alertmanager_per: Per::Group,
        caller_id: None,
        ami: None,
        speech: None,
    })
}
