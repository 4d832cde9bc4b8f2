//! TALKS: one handler per AGI path. Speaks, takes a digit, tells the engine.
//!
//! Holds nothing that must survive: which incident is being spoken, and what became of it, are rows.
//! A session that begins in the middle of a call (the server was restarted, or somebody else has taken
//! what was being spoken) reads them and goes on from there.

mod conversation;
mod prepare;

use std::{sync::Arc, time::Duration};

pub use prepare::STANDING;
use subtle::ConstantTimeEq;
use tracing::Instrument;

use crate::{
    agi,
    clock::Clock,
    engine::Engine,
    id::CallId,
    script::Script,
    speech::Speech,
    store::{self, Session, Store},
    telemetry::trace,
};

/// How we talk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// From the answer to the first word: a hand needs time to reach an ear.
    pub lead_in: Duration,
    /// How many times an alert is spoken.
    pub repeat: u32,
    /// How long a key is waited for after each time.
    pub wait: Duration,
    /// Whether a PIN is asked for before acknowledging, too, and not only before resolving.
    pub pin_to_acknowledge: bool,
}

/// The one who talks. Cheap to clone.
#[derive(Clone)]
pub struct Ivr {
    store: Store,
    engine: Engine,
    clock: Clock,
    script: Arc<Script>,
    speech: Speech,
    settings: Settings,
}

/// Why a session ended before it was done.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    /// The channel is gone, or its session is.
    #[error(transparent)]
    Channel(#[from] agi::Error),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Ivr {
    /// An interactive voice response on these parts.
    #[must_use]
    pub fn new(
        store: Store,
        engine: Engine,
        clock: Clock,
        script: Arc<Script>,
        speech: Speech,
        settings: Settings,
    ) -> Self {
        Self { store, engine, clock, script, speech, settings }
    }

    /// Handles one FastAGI session.
    pub async fn handle(self, mut session: agi::Session) {
        match session.request().path() {
            "/alert" => self.alert(&mut session).await,
            path => {
                tracing::warn!(path, peer = %session.peer(), "an AGI session asks for something that there is not");
                hang_up(&mut session).await;
            }
        }
    }

    /// A call of ours was answered.
    async fn alert(&self, session: &mut agi::Session) {
        let known = match self.identify(session).await {
            Ok(Some(known)) => known,
            Ok(None) => {
                tracing::warn!(peer = %session.peer(), "an AGI session belongs to no live call of ours");
                metrics::counter!("ringdown_agi_refused_total").increment(1);
                return hang_up(session).await;
            }
            Err(error) => {
                // The dialplan asks its caller for patience and tries again.
                return tracing::error!(%error, "a session's call is not known");
            }
        };
        let call = known.call.id;
        metrics::counter!("ringdown_agi_sessions_total").increment(1);
        metrics::gauge!("ringdown_agi_sessions").increment(1);
        let span = tracing::info_span!("agi", %call);
        // Several incidents in one call are in the trace of the first.
        if trace::is_on() {
            let traced = self.store.trace_of(call).await.ok().flatten();
            trace::follow(&span, traced.as_deref());
        }
        let ended = conversation::hold(self, session, known).instrument(span).await;
        metrics::gauge!("ringdown_agi_sessions").decrement(1);
        match ended {
            Ok(()) => {}
            Err(Interrupted::Channel(agi::Error::HungUp | agi::Error::Closed)) => {
                tracing::debug!(%call, "the session is over");
            }
            Err(error) => tracing::error!(%call, %error, "a session broke"),
        }
    }

    /// The live call that the session belongs to, proved by its token.
    async fn identify(&self, session: &agi::Session) -> Result<Option<Session>, store::Error> {
        let request = session.request();
        let (Some(call), Some(token)) = (request.query("call"), request.query("token")) else { return Ok(None) };
        let Ok(id) = call.parse::<CallId>() else { return Ok(None) };
        let Some(known) = self.store.session(id).await? else { return Ok(None) };
        let proved: bool = known.call.token.as_bytes().ct_eq(token.as_bytes()).into();
        Ok((proved && known.call.status.is_live()).then_some(known))
    }
}

/// Ends a channel that is none of ours, and tells the dialplan that we are done.
async fn hang_up(session: &mut agi::Session) {
    // Whatever fails here, the connection closes, and the dialplan hangs up by itself in the end.
    let _ = session.set_variable("RINGDOWN_DONE", "1").await;
    let _ = session.hangup().await;
}
