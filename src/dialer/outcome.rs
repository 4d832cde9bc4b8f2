//! What becomes of a call that is over, never left, or may not leave: as rows.

use super::{ROUTE, Shared, follow};
use crate::{
    bus::Bell,
    escalation::{Actor, Placing},
    phone::PhoneNumber,
    route::destination::Refusal,
    store::{self, Call, CallStatus, End, Entry, Fact},
};

impl Shared {
    /// Writes a call's end down, has its next number dialled, and tells the engine if it found no route.
    pub(super) async fn end(&self, call: &Call, end: &End, placing: &Placing) -> Result<(), store::Error> {
        if let (CallStatus::Completed, Some(connect)) = (end.status, &placing.connect) {
            // They were handed to the PBX, which is all that was asked for.
            for carried in self.store.carried_by(call.id).await? {
                self.engine.resolve(carried.incident, Actor::Source(format!("the PBX ({})", connect.context))).await?;
            }
        }
        let next = match end.status {
            CallStatus::Busy | CallStatus::NoAnswer | CallStatus::Rejected => self.next_number(call).await?,
            CallStatus::Failed if end.found_route => self.next_number(call).await?,
            _ => None,
        };
        if !self.store.end_call(call.id, end.clone(), next, self.clock.now()).await? {
            return Ok(());
        }
        tracing::info!(call = %call.id, status = %end.status, cause = end.cause, "call is over");
        metrics::counter!("ringdown_calls_total", "route" => ROUTE, "outcome" => end.status.as_str()).increment(1);
        if end.found_route {
            if end.status == CallStatus::Failed {
                // Somebody must mend the address book; the record and the timeline say which number it was.
                tracing::warn!(call = %call.id, contact = ?call.contact, nth = call.number_index + 1, "there is no such number");
                metrics::counter!("ringdown_wrong_numbers_total").increment(1);
            }
            return Ok(());
        }
        metrics::counter!("ringdown_calls_without_route_total", "route" => ROUTE).increment(1);
        for carried in self.store.carried_by(call.id).await? {
            self.engine.found_no_route(carried.incident, carried.at).await?;
        }
        Ok(())
    }

    pub(super) async fn refuse(&self, call: &Call, refusal: Refusal) -> Result<(), store::Error> {
        metrics::counter!("ringdown_calls_refused_total").increment(1);
        let now = self.clock.now();
        let fact = Fact::CallRefused { to: call.to.clone(), why: refusal.to_string() };
        self.store.note(vec![Entry { incident: None, call: Some(call.id), message: None, at: now, fact }]).await?;
        let end = End {
            cause_text: "never placed".to_owned(),
            found_route: true,
            failure: Some(refusal.to_string()),
            ..follow::route_failed("")
        };
        // Within the contact's cap the next number is no better.
        let next = if refusal == Refusal::ContactCap { None } else { self.next_number(call).await? };
        self.store.end_call(call.id, end, next, now).await?;
        self.bus.ring(Bell::Calls);
        self.bus.ring(Bell::Engine);
        Ok(())
    }

    /// The call never left: it goes back to the queue.
    pub(super) async fn unclaim(&self, call: &Call) -> Result<(), store::Error> {
        self.store.unclaim_call(call.id).await
    }

    /// The contact's next number after the one that was tried.
    async fn next_number(&self, call: &Call) -> Result<Option<(PhoneNumber, u32)>, store::Error> {
        let Some(id) = call.contact else { return Ok(None) };
        let Some(contact) = self.store.contact(id).await?.filter(|contact| contact.data.enabled) else {
            return Ok(None);
        };
        let index = call.number_index + 1;
        Ok(contact.number(index).map(|number| (number.clone(), index)))
    }
}
