//! What is said to one person, and what they press.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::{sync::Semaphore, time::Instant};
use tracing::Instrument;

use super::{Interrupted, Ivr};
use crate::{
    agi::{self, Digit, Digits},
    engine::Applied,
    escalation::{Actor, State, stage},
    failpoint,
    id::IncidentId,
    pin,
    script::{Action, Line},
    speech::{self, Sound, Speech},
    store::{Call, CallStatus, Entry, Fact, Incident, Said, Session},
};

type Result<T> = std::result::Result<T, Interrupted>;

struct Conversation<'a> {
    ivr: &'a Ivr,
    channel: &'a mut agi::Session,
    call: Call,
    language: &'static str,
    pin: Pin,
    /// When it was answered, and what was waited on purpose since; until the first alert begins.
    first_word: Option<(DateTime<Utc>, Duration)>,
}

/// What is known of a callee's PIN.
enum Pin {
    /// Nothing is asked: they have none, or have given it.
    NotNeeded,
    /// It is asked for so many times more.
    Needed {
        /// argon2id, in PHC form.
        hash: String,
        tries: u32,
    },
}

/// How often a PIN is asked for in a call.
const PIN_TRIES: u32 = 3;
/// The longest PIN.
const PIN_DIGITS: usize = 12;
/// Checking a PIN takes a core for a moment and 19 MiB: so many at once, whoever calls.
static PIN_CHECKS: Semaphore = Semaphore::const_new(2);

/// How often a key that means nothing is answered before the time is up for good.
const PATIENCE: u32 = 10;

/// Holds the conversation to its end, and hangs up.
pub(super) async fn hold(ivr: &Ivr, channel: &mut agi::Session, session: Session) -> Result<()> {
    let language = ivr.language(&session);
    let began_before = session.carried.iter().any(|carried| carried.said != Said::Waiting);
    let pin = session.pin_hash.map_or(Pin::NotNeeded, |hash| Pin::Needed { hash, tries: PIN_TRIES });
    let answered = session.call.answered_at.unwrap_or_else(|| ivr.clock.now());
    let mut this = Conversation { ivr, channel, call: session.call, language, pin, first_word: None };
    if this.call.status != CallStatus::Answered {
        ivr.store.call_answered(&this.call, ivr.clock.now()).await?;
    }
    failpoint::reach("session.began");
    if began_before {
        this.note(None, Fact::Reconnected { to: this.call.to.clone() }).await?;
    }
    let began = Instant::now();
    let early = if began_before { None } else { this.wait(ivr.settings.lead_in).await? };
    if !began_before && early.is_none() {
        metrics::histogram!("ringdown_lead_in_seconds").record(began.elapsed());
        this.first_word = Some((answered, began.elapsed()));
    }
    this.speak_all(early).await?;
    let unanswered = !this.undecided().await?.is_empty();
    this.say(if unanswered { &Line::NotAcknowledged } else { &Line::Goodbye }).await?;
    this.channel.set_variable("RINGDOWN_DONE", "1").await?;
    Ok(this.channel.hangup().await?)
}

/// Compares a PIN with what is kept of it, beside the other tasks: that takes a while on purpose.
async fn is_right(given: String, hash: String) -> bool {
    let Ok(_turn) = PIN_CHECKS.acquire().await else { return false };
    tokio::task::spawn_blocking(move || pin::verify(&given, &hash)).await.unwrap_or(false)
}

/// What takes longer is done without: whoever is on the line must not hear silence meanwhile.
const SPEECH_IN_TIME: Duration = Duration::from_millis(1500);

async fn in_time(
    sound: impl Future<Output = std::result::Result<Sound, speech::Error>>,
) -> std::result::Result<Sound, speech::Error> {
    tokio::time::timeout(SPEECH_IN_TIME, sound).await.unwrap_or(Err(speech::Error::Late(SPEECH_IN_TIME)))
}

impl Conversation<'_> {
    /// Speaks everything that the call carries, whatever joins it meanwhile included, until it is closed.
    async fn speak_all(&mut self, mut early: Option<Digit>) -> Result<()> {
        loop {
            let carried = self.ivr.store.carried_by(self.call.id).await?;
            let of = carried.len();
            if of == 0 {
                return Ok(());
            }
            let next = (1..).zip(carried).find(|(_, carried)| matches!(carried.said, Said::Waiting | Said::Speaking));
            let Some((nth, carried)) = next else {
                self.offer_all(of).await?;
                if self.ivr.store.close_call(self.call.id).await? {
                    return Ok(());
                }
                continue;
            };
            match self.ivr.store.incident(carried.incident).await? {
                Some(incident) => self.take_turn(&incident, nth, of, early.take()).await?,
                None => self.ivr.store.said(self.call.id, carried.incident, Said::Taken).await?,
            }
        }
    }

    /// One incident, from its first word to whatever comes of it.
    async fn take_turn(&mut self, incident: &Incident, nth: usize, of: usize, early: Option<Digit>) -> Result<()> {
        if !matches!(incident.state, State::Escalating { .. }) {
            return self.tell_taken(incident).await;
        }
        self.ivr.store.speaking(&self.call, incident.id, self.ivr.clock.now()).await?;
        failpoint::reach("alert.speaking");
        let mut sound = match in_time(self.ivr.alert_sound(self.language, incident, nth, of)).await {
            Ok(sound) => Some(sound),
            Err(error) => {
                tracing::error!(call = %self.call.id, incident = %incident.id, %error, "an alert cannot be spoken");
                self.note(Some(incident), Fact::SpeechFailed { why: error.to_string() }).await?;
                None
            }
        };
        let mut pressed = early;
        let mut spoken = 0;
        let mut wrong = 0;
        // In a list each is spoken once: the others must not wait for an answer to the first.
        let repeat = if of > 1 { 1 } else { self.ivr.settings.repeat };
        while spoken < repeat {
            let digit = match pressed.take() {
                Some(digit) => Some(digit),
                None => {
                    if sound.is_none() && spoken > 0 {
                        // What was begun while the phone rang may be ready by now.
                        sound = in_time(self.ivr.alert_sound(self.language, incident, nth, of)).await.ok();
                    }
                    spoken += 1;
                    match self.speak_alert(sound.as_ref()).await? {
                        Some(digit) => Some(digit),
                        None => self.wait(self.ivr.settings.wait).await?,
                    }
                }
            };
            let Some(digit) = digit else { continue };
            self.pressed(digit).await?;
            match self.ivr.script.keypad().action(digit.as_char()) {
                Some(Action::Repeat) => spoken = 0,
                Some(Action::Next) if of > 1 => return self.undecided_turn(incident).await,
                Some(action @ (Action::Acknowledge | Action::Escalate | Action::Resolve)) => {
                    if self.act(incident, action).await? {
                        return Ok(());
                    }
                }
                Some(Action::Next) | None => {
                    wrong += 1;
                    if wrong > PATIENCE {
                        break;
                    }
                    // The word that the key means nothing must not take away a try of hearing the alert.
                    pressed = self.say_interruptibly(&Line::WrongKey).await?;
                    spoken = spoken.saturating_sub(1);
                }
            }
        }
        self.undecided_turn(incident).await
    }

    /// A key was pressed: it is written down.
    async fn pressed(&self, digit: Digit) -> Result<()> {
        failpoint::reach("key.read");
        let span = tracing::info_span!("digit", digit = %digit.as_char());
        Ok(self.ivr.store.digit(self.call.id, digit.as_char(), self.ivr.clock.now()).instrument(span).await?)
    }

    async fn undecided_turn(&self, incident: &Incident) -> Result<()> {
        Ok(self.ivr.store.said(self.call.id, incident.id, Said::Unanswered).await?)
    }

    /// After a list: one key takes everything that is still open.
    async fn offer_all(&mut self, of: usize) -> Result<()> {
        if of < 2 {
            return Ok(());
        }
        for _ in 0..PATIENCE {
            let open = self.undecided().await?;
            if open.is_empty() {
                return Ok(());
            }
            let digit = match self.say_interruptibly(&Line::All { count: open.len() }).await? {
                Some(digit) => Some(digit),
                None => self.wait(self.ivr.settings.wait).await?,
            };
            let Some(digit) = digit else { return Ok(()) };
            self.pressed(digit).await?;
            match self.ivr.script.keypad().action(digit.as_char()) {
                Some(Action::Acknowledge) if !self.may(Action::Acknowledge).await? => {}
                Some(Action::Acknowledge) => {
                    for incident in &open {
                        self.ivr.engine.acknowledge(*incident, self.actor()).await?;
                    }
                    return self.say(&Line::AcknowledgedAll { count: open.len() }).await;
                }
                Some(Action::Repeat) => {
                    for incident in &open {
                        self.ivr.store.said(self.call.id, *incident, Said::Waiting).await?;
                    }
                    return Ok(());
                }
                _ => self.say(&Line::WrongKey).await?,
            }
        }
        Ok(())
    }

    /// What this call has spoken, and nobody has taken.
    async fn undecided(&self) -> Result<Vec<IncidentId>> {
        Ok(self.ivr.store.undecided(self.call.id).await?)
    }

    /// Does what a key says. Returns whether it counted, and so ended the incident's turn.
    async fn act(&mut self, incident: &Incident, action: Action) -> Result<bool> {
        if !self.may(action).await? {
            return Ok(false);
        }
        let (id, by) = (incident.id, self.actor());
        let engine = &self.ivr.engine;
        let applied = match action {
            Action::Acknowledge => engine.acknowledge(id, by).await,
            // As it stood when it was spoken: a doubled key counts once.
            Action::Escalate => engine.escalate(id, Some(stage(&incident.state)), by).await,
            _ => engine.resolve(id, by).await,
        };
        failpoint::reach("key.stored");
        self.heard(0, true).await?;
        match applied {
            Ok(Applied::Changed(after)) => {
                let line = match (action, &after.state) {
                    (Action::Acknowledge, _) => Line::Acknowledged,
                    (Action::Escalate, State::Exhausted { .. }) => Line::NobodyLeft,
                    (Action::Escalate, _) => Line::Escalated,
                    _ => Line::Resolved,
                };
                self.say(&line).await?;
                failpoint::reach("key.confirmed");
                Ok(true)
            }
            Ok(Applied::Unchanged(now)) => {
                self.tell_taken(&now).await?;
                Ok(true)
            }
            Ok(Applied::Unknown) => Ok(true),
            Err(error) => {
                tracing::error!(call = %self.call.id, incident = %id, %error, "a key could not be stored");
                self.say(&Line::NotStored).await?;
                Ok(false)
            }
        }
    }

    /// Whether the callee may do this: asks for their PIN where one is needed, and says so if it is wrong.
    async fn may(&mut self, action: Action) -> Result<bool> {
        let asks = match action {
            Action::Resolve => true,
            Action::Acknowledge => self.ivr.settings.pin_to_acknowledge,
            _ => false,
        };
        let (hash, left) = match &mut self.pin {
            Pin::Needed { hash, tries } if asks => {
                if *tries == 0 {
                    self.say(&Line::PinLocked).await?;
                    return Ok(false);
                }
                *tries -= 1;
                (hash.clone(), *tries)
            }
            _ => return Ok(true),
        };
        let pin = self.read_pin().await?;
        let right = is_right(pin, hash).await;
        self.note(None, Fact::Pin { to: self.call.to.clone(), right }).await?;
        if right {
            self.pin = Pin::NotNeeded;
        } else {
            self.say(if left == 0 { &Line::PinLocked } else { &Line::PinWrong }).await?;
        }
        Ok(right)
    }

    /// Asks for the PIN and reads its keys up to the `#`. They are written nowhere.
    async fn read_pin(&mut self) -> Result<String> {
        let mut pin = String::new();
        let mut next = self.say_interruptibly(&Line::EnterPin).await?;
        if next.is_none() {
            next = self.wait(self.ivr.settings.wait).await?;
        }
        while let Some(digit) = next.filter(|digit| digit.as_char().is_ascii_digit()) {
            pin.push(digit.as_char());
            if pin.len() >= PIN_DIGITS {
                break;
            }
            next = self.wait(self.ivr.settings.wait).await?;
        }
        Ok(pin)
    }

    /// Somebody else has it, or it is over, or it has gone on to the next person.
    async fn tell_taken(&mut self, incident: &Incident) -> Result<()> {
        // Written down first: while it counts as being spoken, the dialer would interrupt these very words.
        self.ivr.store.said(self.call.id, incident.id, Said::Taken).await?;
        match &incident.state {
            State::Acknowledged { by, .. } => {
                let by = by.name().to_owned();
                self.note(Some(incident), Fact::ToldTaken { to: self.call.to.clone(), by: by.clone() }).await?;
                self.say(&Line::Taken { by: &by }).await?;
            }
            State::Resolved | State::Expired => self.say(&Line::Over).await?,
            State::Escalating { .. } | State::Exhausted { .. } | State::Held { .. } | State::Scheduled { .. } => {
                self.say(&Line::Escalated).await?;
            }
        }
        Ok(())
    }

    /// Speaks the alert once; a key ends it. Without a sound of its own, the stand-in; without that, beeps.
    async fn speak_alert(&mut self, sound: Option<&Sound>) -> Result<Option<Digit>> {
        if let Some((answered, lead_in)) = self.first_word.take() {
            let since = (self.ivr.clock.now() - answered).to_std().unwrap_or_default();
            metrics::histogram!("ringdown_first_word_seconds").record(since.saturating_sub(lead_in));
        }
        if let Some(sound) = sound {
            match self.play(sound, Digits::ALL).await {
                Err(Interrupted::Channel(agi::Error::Unplayable { file })) => {
                    tracing::error!(call = %self.call.id, file, "the PBX cannot play the alert");
                    let why = "the PBX cannot read the sound directory".to_owned();
                    self.note(None, Fact::SpeechFailed { why }).await?;
                }
                played => {
                    let (digit, ms) = played?;
                    // The alert is the first part, what the keys do the second.
                    let whole = sound.parts.first().is_some_and(|alert| ms >= *alert);
                    self.heard(ms, whole).await?;
                    return Ok(digit);
                }
            }
        }
        self.say_interruptibly(&Line::StandIn).await
    }

    /// Says a line to its end: a second press of the key that it confirms must not cut it off, or be
    /// taken for the next incident's.
    async fn say(&mut self, line: &Line<'_>) -> Result<()> {
        self.say_with(line, Digits::NONE).await.map(drop)
    }

    /// Says a line; a key ends it.
    async fn say_interruptibly(&mut self, line: &Line<'_>) -> Result<Option<Digit>> {
        self.say_with(line, Digits::ALL).await
    }

    async fn say_with(&mut self, line: &Line<'_>, keys: Digits) -> Result<Option<Digit>> {
        let sound = match in_time(self.ivr.sound(self.language, line)).await {
            Ok(sound) => sound,
            Err(error) => {
                tracing::error!(call = %self.call.id, %error, "a line cannot be spoken");
                self.ivr.speech.last_resort()
            }
        };
        match self.play(&sound, keys).await {
            // What cannot be played is missed, not fatal: the keys still work.
            Err(Interrupted::Channel(agi::Error::Unplayable { file })) => {
                tracing::error!(call = %self.call.id, file, "the PBX cannot play a line");
                Ok(None)
            }
            played => {
                let (digit, ms) = played?;
                self.heard(ms, false).await?;
                Ok(digit)
            }
        }
    }

    /// Plays a sound. Returns the key that ended it, and how many milliseconds of it were heard.
    async fn play(&mut self, sound: &Sound, keys: Digits) -> Result<(Option<Digit>, u64)> {
        let streamed = self.channel.stream_file(&sound.file, keys).await;
        let ms = Speech::milliseconds(sound, self.channel.last_streamed());
        match streamed {
            Ok(streamed) => Ok((streamed.digit, ms)),
            Err(error) => {
                // Whoever hangs up in mid-sentence has heard the beginning of it.
                self.heard(ms, false).await?;
                Err(error.into())
            }
        }
    }

    async fn heard(&self, ms: u64, whole: bool) -> Result<()> {
        Ok(self.ivr.store.heard(self.call.id, i64::try_from(ms).unwrap_or(i64::MAX), whole).await?)
    }

    async fn wait(&mut self, time: Duration) -> Result<Option<Digit>> {
        Ok(self.channel.wait_for_digit(time).await?)
    }

    async fn note(&self, incident: Option<&Incident>, fact: Fact) -> Result<()> {
        let entry = Entry {
            incident: incident.map(|incident| incident.id),
            call: Some(self.call.id),
            message: None,
            at: self.ivr.clock.now(),
            fact,
        };
        Ok(self.ivr.store.note(vec![entry]).await?)
    }

    /// Who presses the keys.
    fn actor(&self) -> Actor {
        match self.call.contact {
            Some(id) => Actor::Contact { id, name: self.call.to.clone(), call: self.call.id },
            None => Actor::Number { number: self.call.number.clone(), call: self.call.id },
        }
    }
}
