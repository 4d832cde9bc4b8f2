//! What will be said, made ready: while the phone rings, and at start.

use std::sync::Arc;

use super::Ivr;
use crate::{
    id::CallId,
    script::{Alert, Line, Script},
    speech::{self, Sound},
    store::{Incident, Session},
};

/// The names of sounds that the dialplan plays, or that stand in for others.
pub const STANDING: [&str; 3] = ["one-moment", "try-later", "beeps"];

/// Of a call that carries many incidents so many are made ready: the others when their turn comes.
const AHEAD: usize = 8;

impl Ivr {
    /// Renders, in the background, what the first incidents of a call need, while its phone rings.
    pub fn prepare(&self, call: CallId) {
        let ivr = self.clone();
        tokio::spawn(async move {
            let Ok(Some(session)) = ivr.store.session(call).await else { return };
            let language = ivr.language(&session);
            let of = session.carried.len();
            for (nth, carried) in (1..).zip(&session.carried).take(AHEAD) {
                let Ok(Some(incident)) = ivr.store.incident(carried.incident).await else { continue };
                // What fails here fails again when it is spoken, and is told there.
                let _ = ivr.alert_sound(language, &incident, nth, of).await;
            }
        });
    }

    /// Renders what is the same in every call. What fails is logged; calls go on without it.
    pub async fn prepare_standing(&self) {
        if let Err(error) = self.speech.make_beeps() {
            tracing::error!(%error, "the last stand-in cannot be kept");
        }
        for line in Script::standing_lines() {
            if let Err(error) = self.sound("en", &line).await {
                tracing::error!(%error, ?line, "a standing prompt cannot be spoken");
            }
        }
        for (name, line) in [("one-moment", Line::OneMoment), ("try-later", Line::TryLater)] {
            let Ok(text) = self.script.text("en", &line) else { continue };
            if let Err(error) = self.speech.publish(name, "en", &text).await {
                tracing::error!(%error, name, "a prompt of the dialplan cannot be spoken");
            }
        }
    }

    /// The language that is spoken in a call.
    pub(super) fn language(&self, session: &Session) -> &'static str {
        self.script.language(session.language.as_deref().unwrap_or_default())
    }

    /// The sound of a line of ours.
    pub(super) async fn sound(&self, language: &str, line: &Line<'_>) -> Result<Sound, speech::Error> {
        let text = self.script.text(language, line).map_err(|error| speech::Error::Engine(error.to_string()))?;
        self.speech.say(language, &[&text], self.clock.now().into()).await
    }

    /// The alert and its menu as one sound of two parts, so that no key falls between them.
    pub(super) async fn alert_sound(
        &self,
        language: &str,
        incident: &Incident,
        nth: usize,
        of: usize,
    ) -> Result<Sound, speech::Error> {
        let failed = |error: minijinja::Error| speech::Error::Engine(error.to_string());
        let content = &incident.content;
        let firing = content.members.iter().filter(|member| member.firing);
        let alert = Alert {
            nth,
            of,
            severity: &content.severity,
            summary: &content.summary,
            members: firing.map(|member| member.summary.as_str()).collect(),
            truncated: content.truncated,
        };
        let alert = self.script.text(language, &Line::Alert(alert)).map_err(failed)?;
        let menu = self.script.text(language, &Line::Menu { next: of > 1 }).map_err(failed)?;
        // What the keys do is said once in a list.
        let texts: &[&str] = if nth == 1 { &[&alert, &menu] } else { &[&alert] };
        self.speech.say(language, texts, self.clock.now().into()).await
    }

    /// A [`crate::dialer::Prepare`] of this.
    #[must_use]
    pub fn preparer(&self) -> Arc<dyn Fn(CallId) + Send + Sync> {
        let ivr = self.clone();
        Arc::new(move |call| ivr.prepare(call))
    }
}
