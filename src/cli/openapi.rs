//! `ringdown openapi`

use std::sync::Arc;

use anyhow::Context;
use chrono::TimeDelta;

use crate::{
    access::token::Tokens,
    api::{self, Access, Passwords},
    bus::Bus,
    clock::Clock,
    config::Per,
    engine::Engine,
    herald::Herald,
    phone::NumberingPlan,
    route::destination::Rules,
    script::{Keypad, Script},
    store::Store,
    watch::Board,
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
        rings: TimeDelta::seconds(30),
        alertmanager_per: Per::Group,
        caller_id: None,
        ami: None,
        speech: None,
        access: Access::new(&[], Store::nowhere(), Clock::System, Tokens::new("", TimeDelta::zero(), &[])),
        passwords: Passwords::default(),
        login_days: 1,
        watch: Board::default(),
        sender: None,
        compat: Arc::default(),
        twilio: None,
    }))
}
