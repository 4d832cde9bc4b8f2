//! What is due goes on: together, with one commit, and each by itself where that fails.

use std::{collections::HashMap, slice};

use tracing::Instrument;

use super::{Engine, RACES, Ruling, lost_race};
use crate::{
    escalation::{Calls, Event, State},
    id::IncidentId,
    store::{self, Decision, Incident},
};

/// Due incidents that go on with one commit.
pub(super) const WAVE: usize = 256;

impl Engine {
    /// Advances incidents whose deadline has come. One that cannot be advanced is logged and holds up no other.
    pub(super) async fn advance_due(&self, ids: &[IncidentId]) {
        let Err(error) = self.advance_together(ids).await else { return };
        if let [id] = ids {
            return tracing::error!(incident = %id, %error, "a due incident could not be advanced; trying again");
        }
        for id in ids {
            if let Err(error) = self.advance_together(slice::from_ref(id)).await {
                tracing::error!(incident = %id, %error, "a due incident could not be advanced; trying again");
            }
        }
    }

    /// The same for all or none of them. Those that somebody else has changed meanwhile are decided on again.
    async fn advance_together(&self, ids: &[IncidentId]) -> Result<(), store::Error> {
        let mut ids = ids.to_vec();
        for race in 0..RACES {
            let edition = self.directory.now().await?;
            let incidents = self.store.incidents_by_id(&ids).await?;
            let escalating = incidents.iter().filter_map(|incident| match &incident.state {
                State::Escalating { at, .. } => Some((incident.id, at.stage)),
                _ => None,
            });
            let mut rounds = self.store.calls_of_rounds(&escalating.collect::<HashMap<_, _>>()).await?;
            let (mut decisions, mut decided) = (Vec::with_capacity(incidents.len()), Vec::new());
            for incident in incidents {
                let (calls, ended) = rounds.remove(&incident.id).unwrap_or((Calls::Placed, None));
                // A deadline that waited for a call came when that ended.
                if race == 0 {
                    self.note_lag(&incident, ended);
                }
                let (id, version, event) = (incident.id, incident.version, Event::Due { calls });
                let span = self.span(&incident, &event);
                let ruling = self.rule(&edition, incident, event, Vec::new(), None, None).instrument(span).await?;
                let Ok(Ruling { change, .. }) = ruling else { continue };
                decisions.push(Decision::Advance(id, version, Box::new(change)));
                decided.push(id);
            }
            if decisions.is_empty() {
                return Ok(());
            }
            let mut late = Vec::new();
            for (id, done) in decided.into_iter().zip(self.store.carry_out(decisions).await?) {
                match done {
                    Ok(()) => {}
                    Err(store::Error::Conflict) => late.push(id),
                    Err(error) => return Err(error),
                }
            }
            self.ring();
            if late.is_empty() {
                return Ok(());
            }
            ids = late;
            lost_race().await;
        }
        Err(store::Error::Conflict)
    }

    fn note_lag(&self, incident: &Incident, ended: Option<chrono::DateTime<chrono::Utc>>) {
        if let Some(late) = incident.due_at.max(ended).and_then(|came| (self.clock.now() - came).to_std().ok()) {
            metrics::histogram!("ringdown_escalation_lag_seconds").record(late);
        }
    }
}
