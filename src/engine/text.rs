//! Texts that somebody asks for, about no incident; and those that came in and are alerts.

use chrono::TimeDelta;
use sha2::{Digest, Sha256};

use super::{Alert, Engine, PolicyChoice, watch::alone};
use crate::{
    bus::Bell,
    escalation::{Policy, Recipient, Stage, State, Step, Target},
    id::{IncidentId, MessageId},
    store::{self, Inbound, MessageKind},
};

/// What an alert is about that came as a text without words.
const NO_WORDS: &str = "a text without words";

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

/// What a text raises.
#[derive(Clone, Debug)]
pub struct TextedAlert {
    /// What it is about.
    pub summary: String,
    /// As the rule has it that took it.
    pub severity: String,
    /// The name of the policy that pages; routing rules and the default one decide if it is not said.
    pub policy: Option<String>,
    /// Who sends it.
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
            let Ok((mut message, _)) = known.new_text(to, MessageKind::Direct, Stage::default(), now) else { continue };
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

    /// Takes in an alert that came as a text: once for the text, and to the incident that is open already if the same
    /// sender says the same.
    ///
    /// # Errors
    /// As [`Engine::raise`].
    pub async fn raise_texted(&self, text: &Inbound, alert: TextedAlert) -> Result<(), store::Error> {
        let id = IncidentId::of(text.received_at, text.id.0);
        if self.store.incident(id).await?.is_some() {
            return Ok(());
        }
        let sender = text.sender.clone().unwrap_or_default();
        let same = Sha256::new().chain_update(&sender).chain_update([0]).chain_update(&alert.summary).finalize();
        let summary = if alert.summary.is_empty() { NO_WORDS.to_owned() } else { alert.summary };
        let mut content = alone(summary, alert.severity, true);
        content.labels.insert("sender".into(), sender);
        content.labels.insert("route".into(), text.route.clone());
        let alert = Alert {
            dedup_key: format!("text/{}", hex::encode(&same[..16])),
            policy: alert.policy.map_or(PolicyChoice::Default, PolicyChoice::Named),
            source: alert.source,
            content,
            all_over: false,
            schedule: None,
            id: Some(id),
        };
        self.raise(alert).await.map(drop)
    }
}
