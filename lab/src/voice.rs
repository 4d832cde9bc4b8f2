//! What ringdown should say, as sound: the same script and the same engine, used here a second time, so
//! that what a phone heard is compared with what should have been said, and not with the server's own
//! record of it.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use ringdown::{
    clock::Clock,
    script::{Alert, Keypad, Line, Script},
    speech::{Settings, Speech},
};

use crate::{parts, sound::Pcm};

/// Speaks, into a directory of its own.
pub struct Voice {
    script: Script,
    speech: Speech,
}

impl Voice {
    /// ringdown's default voice, with the default keys.
    ///
    /// # Errors
    /// If espeak-ng was not fetched, or the directory cannot be written.
    pub fn open(directory: &Path) -> Result<Self> {
        let settings = Settings {
            program: parts::espeak()?,
            rate: ringdown::config::Speech::default().rate,
            deadline: Duration::from_secs(30),
            at_once: 2,
            directory: directory.to_owned(),
            directory_on_pbx: None,
            wideband: false,
        };
        Ok(Self { script: Script::new(Keypad::default())?, speech: Speech::open(settings)? })
    }

    /// The words of an alert.
    ///
    /// # Errors
    /// If the script fails.
    pub fn words(&self, alert: &Alert<'_>) -> Result<String> {
        Ok(self.script.text("en", &Line::Alert(alert.clone()))?)
    }

    /// A line of the script, an alert for instance, as it should sound.
    ///
    /// # Errors
    /// If it cannot be spoken.
    pub async fn line(&self, line: &Line<'_>) -> Result<Pcm> {
        self.text(&self.script.text("en", line)?).await
    }

    /// Any text, as it should sound.
    ///
    /// # Errors
    /// If it cannot be spoken.
    pub async fn text(&self, text: &str) -> Result<Pcm> {
        let sound = self.speech.say("en", &[text], Clock::System.now().into()).await?;
        Pcm::read(Path::new(&format!("{}.wav", sound.file))).context("a sound of our own")
    }
}
