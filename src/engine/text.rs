//! Texts that somebody asks for, about no incident.

use chrono::TimeDelta;

use super::Engine;
use crate::{
    bus::Bell,
    escalation::{Policy, Recipient, State, Step, Target},
    id::MessageId,
    store::{self, MessageKind},
};

/// A text that somebody asked for.
#[derive(Clone, Debug)]
pub struct DirectText {
    /// Whom.
    pub to: Target,
    /// What it says.
    pub text: String,
    /// How long it is worth sending; as usual, if it is not said.
    pub worth: Option<TimeDelta>,
    /// Who asked for it.
    pub source: String,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Texted {
    /// It is queued, once for each number.
    Queued(Vec<MessageId>),
    /// There is no way to send texts.
    NoWay,
    /// Nobody meant has a number that texts can go to.
    Nobody,
}

impl Engine {
    /// Queues a text, under identifiers that follow from `id`: once, however often it is said.
    ///
    /// # Errors
    /// If the database does not take it.
    pub async fn text(&self, id: MessageId, direct: DirectText) -> Result<Texted, store::Error> {
        let Some(usual) = self.texts else { return Ok(Texted::NoWay) };
        let now = self.clock.now();
        let step = Step { targets: vec![direct.to.clone()], ..Step::default() };
        let policy = Policy { steps: vec![step], ..Policy::default() };
        let edition = self.directory.now().await?;
        let state = State::Scheduled { due_at: now, expires_at: now };
        let known = self.known(&edition, Some(&policy), &state, None, 0, now).await?;
        let recipients: Vec<Recipient> = known.on_call(&direct.to, now);
        let mut queued = Vec::new();
        for (place, to) in recipients.iter().enumerate() {
            let Ok((mut message, _)) = known.new_text(to, MessageKind::Direct, 0, now) else { continue };
            message.body = Some(direct.text.clone());
            message.source = Some(direct.source.clone());
            message.expires_at = now + direct.worth.unwrap_or(usual);
            let id = if place == 0 { id } else { MessageId::after(id, place) };
            self.store.queue_message(id, None, message, now).await?;
            queued.push(id);
        }
        self.bus.ring(Bell::Texts);
        Ok(if queued.is_empty() { Texted::Nobody } else { Texted::Queued(queued) })
    }
}
