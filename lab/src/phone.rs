//! The telephones: every number is one. What they do by themselves is their program, whose words are in
//! `lab/asterisk/net/extensions.conf`; a test can also do it by hand, while a call is on.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use ringdown::ami::{Action, Message, Notice, Notices};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    asterisk::Asterisk,
    sound::{self, Match, Pcm},
    wait::until,
};

/// The telephone network.
pub struct Net {
    pub(crate) asterisk: Asterisk,
    seen: Arc<Seen>,
}

/// One telephone. It is there as long as the network is, whether it was called or not.
#[derive(Clone, Copy)]
pub struct Phone<'a> {
    net: &'a Net,
    number: &'a str,
}

/// A call as the telephone saw it.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Which of all calls on the network it is, from 0.
    pub nth: usize,
    /// The telephone's number.
    pub number: String,
    /// The number that was shown.
    pub caller: String,
    /// When it came.
    pub came: Instant,
    /// What the telephone did: when, which step of its program, with what.
    pub steps: Vec<(Instant, String, String)>,
    /// From when to when it heard sound, with pauses of at least 0.4 s between.
    pub sounds: Vec<(Instant, Option<Instant>)>,
    /// When it was over, and by which hangup cause (Q.850).
    pub ended: Option<(Instant, u16)>,
    /// What it heard from the answer on, at 8 kHz; there once it has answered.
    pub recording: PathBuf,
    channel: String,
    unique_id: String,
}

#[derive(Default)]
struct Seen {
    calls: Mutex<Vec<Incoming>>,
    changed: watch::Sender<()>,
}

impl Net {
    pub(crate) const EVENTS: &'static [&'static str] =
        &["FullyBooted", "UserEvent", "ChannelTalkingStart", "ChannelTalkingStop", "Hangup"];

    pub(crate) fn new(asterisk: Asterisk, mut notices: Notices) -> Self {
        let seen = Arc::new(Seen::default());
        let told = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(notice) = notices.next().await {
                if let Notice::Event(event) = notice {
                    told.take(&event);
                }
            }
        });
        Self { asterisk, seen }
    }

    /// The telephone with this number, as it is dialled (E.164 with its plus, or an extension).
    #[must_use]
    pub fn phone<'a>(&'a self, number: &'a str) -> Phone<'a> {
        Phone { net: self, number }
    }

    /// All calls until now, in the order in which they came.
    #[must_use]
    pub fn calls(&self) -> Vec<Incoming> {
        self.seen.lock().clone()
    }

    /// The Asterisk behind it.
    #[must_use]
    pub fn asterisk(&self) -> &Asterisk {
        &self.asterisk
    }

    /// Waits until `look` sees something in the calls; looks whenever something happens.
    ///
    /// # Errors
    /// If it sees nothing within the time.
    pub async fn wait<T>(
        &self,
        what: impl std::fmt::Display,
        within: Duration,
        mut look: impl FnMut(&[Incoming]) -> Option<T>,
    ) -> Result<T> {
        let mut changed = self.seen.changed.subscribe();
        timeout(within, async {
            loop {
                changed.borrow_and_update();
                if let Some(seen) = look(&self.seen.lock()) {
                    return Ok(seen);
                }
                changed.changed().await?;
            }
        })
        .await
        .with_context(|| format!("{what}: not within {} s", within.as_secs_f32()))?
    }
}

impl Phone<'_> {
    /// What it does from now on when it is called, such as `ring:2,answer`. Without a program it rings.
    ///
    /// # Errors
    /// If the network does not take it.
    pub async fn program(&self, steps: &str) -> Result<()> {
        let put = Action::new("DBPut").header("Family", "phone")?;
        let put = put.header("Key", self.number)?.header("Val", steps)?;
        self.net.asterisk.act(put).await.map(drop)
    }

    /// The calls that came to it.
    #[must_use]
    pub fn calls(&self) -> Vec<Incoming> {
        self.net.calls().into_iter().filter(|call| call.number == self.number).collect()
    }

    /// Its `nth` call, from 0, once that has come.
    ///
    /// # Errors
    /// If it does not come within the time.
    pub async fn call(&self, nth: usize, within: Duration) -> Result<Incoming> {
        let what = format!("call {} to {}", nth + 1, self.number);
        self.net
            .wait(what, within, |calls| calls.iter().filter(|call| call.number == self.number).nth(nth).cloned())
            .await
    }

    /// Goes off hook.
    ///
    /// # Errors
    /// If it does not ring.
    pub async fn answer(&self) -> Result<()> {
        self.go_on("answer").await
    }

    /// Does these steps now, instead of what it is doing.
    ///
    /// # Errors
    /// If no call is on.
    pub async fn go_on(&self, steps: &str) -> Result<()> {
        let call = self.live()?;
        let known = call.steps.len();
        let put = Action::new("DBPut").header("Family", "now")?;
        let put = put.header("Key", self.number)?.header("Val", steps)?;
        self.net.asterisk.act(put).await?;
        let to = Action::new("Redirect").header("Channel", &call.channel)?.header("Context", "from-pbx")?;
        let to = to.header("Exten", &call.number)?.header("Priority", "go")?;
        self.net.asterisk.act(to).await?;
        let what = format!("{} does {steps}", self.number);
        self.net.wait(what, Duration::from_secs(5), |calls| (calls[call.nth].steps.len() > known).then_some(())).await
    }

    /// Presses a key.
    ///
    /// # Errors
    /// If no call is on.
    pub async fn press(&self, key: char) -> Result<()> {
        let call = self.live()?;
        let press = Action::new("PlayDTMF").header("Channel", &call.channel)?;
        let press = press.header("Digit", &key.to_string())?.header("Duration", "200")?;
        self.net.asterisk.act(press).await.map(drop)
    }

    /// Goes on hook.
    ///
    /// # Errors
    /// If no call is on.
    pub async fn hang_up(&self) -> Result<()> {
        let call = self.live()?;
        let hang_up = Action::new("Hangup").header("Channel", &call.channel)?.header("Cause", "16")?;
        self.net.asterisk.act(hang_up).await.map(drop)
    }

    /// Waits until it has heard `sound` in its `nth` call, whole; where.
    ///
    /// What is recorded reaches the file up to two seconds late, so this tells late, and never wrongly.
    ///
    /// # Errors
    /// If it is not heard within the time.
    pub async fn hears(&self, nth: usize, sound: &Pcm, within: Duration) -> Result<Match> {
        let recording = self.call(nth, within).await?.recording;
        let mut known = 0;
        let looked = until("the sound is heard", within, async || {
            // Nothing new is in the file most of the time, and a search is no small thing.
            let length = fs::metadata(&recording).map_or(0, |metadata| metadata.len());
            if length == known {
                return Ok(None);
            }
            known = length;
            let (recording, sound) = (recording.clone(), sound.clone());
            let search = move || Pcm::read(&recording).map(|recording| sound::heard(&recording, &sound));
            tokio::task::spawn_blocking(search).await?
        });
        looked.await.with_context(|| {
            let like = self.calls().get(nth).and_then(|call| sound::most_like(&call.heard().ok()?, sound));
            format!("on the phone {}; what comes nearest to it: {like:?}", self.number)
        })
    }

    fn live(&self) -> Result<Incoming> {
        let call = self.calls().pop().with_context(|| format!("{} was not called", self.number))?;
        ensure!(call.ended.is_none(), "the call to {} is over", self.number);
        Ok(call)
    }
}

impl Incoming {
    /// When it was answered.
    #[must_use]
    pub fn answered(&self) -> Option<Instant> {
        self.steps.iter().find(|(_, step, _)| step == "answer").map(|(at, ..)| *at)
    }

    /// Whether it was answered, or may be yet.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// What it has heard until now.
    ///
    /// # Errors
    /// If it has not answered.
    pub fn heard(&self) -> Result<Pcm> {
        Pcm::read(&self.recording)
    }
}

impl Seen {
    /// No panic can leave it half-done.
    fn lock(&self) -> MutexGuard<'_, Vec<Incoming>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, event: &Message) {
        let text = |name| event.get(name).unwrap_or_default().to_owned();
        let (now, unique_id) = (Instant::now(), text("Uniqueid"));
        let mut calls = self.lock();
        let known = calls.iter_mut().find(|call| call.unique_id == unique_id);
        match (event.event(), known) {
            (Some("UserEvent"), Some(call)) => call.steps.push((now, text("Step"), text("Argument"))),
            (Some("UserEvent"), None) if event.get("UserEvent") == Some("Phone") => {
                let nth = calls.len();
                calls.push(Incoming {
                    nth,
                    number: text("Number"),
                    caller: text("Caller"),
                    came: now,
                    steps: vec![(now, text("Step"), text("Argument"))],
                    sounds: Vec::new(),
                    ended: None,
                    recording: text("Recording").into(),
                    channel: text("Channel"),
                    unique_id,
                });
            }
            (Some("ChannelTalkingStart"), Some(call)) => call.sounds.push((now, None)),
            (Some("ChannelTalkingStop"), Some(call)) => {
                if let Some((_, end)) = call.sounds.last_mut() {
                    *end = Some(now);
                }
            }
            (Some("Hangup"), Some(call)) => call.ended = Some((now, text("Cause").parse().unwrap_or_default())),
            _ => return,
        }
        drop(calls);
        self.changed.send_replace(());
    }
}
