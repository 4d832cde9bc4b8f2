//! A phone, in the words of a story: it rings, answers, hears, presses.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::{
    phone::{Incoming, Phone},
    sound::{self, Match, Pcm},
};
use ringdown::script::{Alert, Line};

use super::{Harness, LATER, SOON};

/// A phone. Each `rings` is the next call to it; everything else is about that one.
#[derive(Clone, Copy)]
pub struct StoryPhone<'a> {
    pub(super) harness: &'a Harness,
    pub(super) number: &'a str,
}

impl StoryPhone<'_> {
    fn phone(&self) -> Phone<'_> {
        self.harness.telephony.net.phone(self.number)
    }

    /// What it will do by itself when it is called.
    pub async fn will(&self, steps: &str) -> Result<&Self> {
        self.phone().program(steps).await?;
        Ok(self)
    }

    /// The next call comes.
    pub async fn rings(&self) -> Result<&Self> {
        let nth = self.harness.expect_call(self.number);
        self.phone().call(nth, LATER).await?;
        Ok(self)
    }

    /// It goes off hook.
    pub async fn answers(&self) -> Result<&Self> {
        self.phone().answer().await?;
        Ok(self)
    }

    /// It is refused while it rings.
    pub async fn declines(&self) -> Result<&Self> {
        self.harness.telephony.net.phone(self.number).go_on("decline").await?;
        Ok(self)
    }

    /// It has heard the alert with this summary, alone in its call, whole and from the beginning on.
    pub async fn hears_alert(&self, summary: &str) -> Result<Match> {
        self.hears_line(&Line::Alert(Alert { nth: 1, of: 1, summary, ..Alert::default() })).await
    }

    /// It has heard a line of the script, whole.
    pub async fn hears_line(&self, line: &Line<'_>) -> Result<Match> {
        let sound = self.harness.voice.line(line).await?;
        self.hears(&sound).await
    }

    /// It has heard this sound, whole.
    pub async fn hears(&self, sound: &Pcm) -> Result<Match> {
        self.phone().hears(self.harness.last_call(self.number)?, sound, LATER).await
    }

    /// There is sound on the line.
    pub async fn hears_something(&self) -> Result<&Self> {
        let nth = self.harness.last_call(self.number)?;
        let number = self.number.to_owned();
        let net = &self.harness.telephony.net;
        net.wait(format!("sound on {number}"), SOON, |calls| {
            let call = calls.iter().filter(|call| call.number == number).nth(nth)?;
            (!call.sounds.is_empty()).then_some(())
        })
        .await?;
        Ok(self)
    }

    /// A key is pressed.
    pub async fn presses(&self, key: char) -> Result<&Self> {
        self.phone().press(key).await?;
        Ok(self)
    }

    /// It goes on hook.
    pub async fn hangs_up(&self) -> Result<&Self> {
        self.phone().hang_up().await?;
        Ok(self)
    }

    /// The call is over; returns its hangup cause, as the phone saw it.
    pub async fn is_hung_up(&self) -> Result<u16> {
        let nth = self.harness.last_call(self.number)?;
        let number = self.number.to_owned();
        let what = format!("the call to {number} is over");
        let ended = self
            .harness
            .telephony
            .net
            .wait(what, LATER, |calls| calls.iter().filter(|call| call.number == number).nth(nth)?.ended);
        ended.await.map(|(_, cause)| cause)
    }

    /// The call, as the phone saw it.
    pub fn incoming(&self) -> Result<Incoming> {
        let nth = self.harness.last_call(self.number)?;
        let calls = self.phone().calls();
        ensure!(calls.len() > nth, "{} has not rung", self.number);
        Ok(calls[nth].clone())
    }

    /// From the answer to the first word, read off what it recorded.
    pub fn first_word(&self) -> Result<Option<Duration>> {
        Ok(sound::first_word(&self.incoming()?.heard()?))
    }
}
