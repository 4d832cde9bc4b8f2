//! TEXT TO SOUND: spoken text as files that Asterisk can play.
//!
//! Rendered while the phone rings, cached by digest. A text that cannot be spoken delays no other,
//! and the stand-in takes its place: the callee never hears silence.

mod cache;
mod espeak;
mod wav;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::sync::Semaphore;

use cache::Cache;
pub use cache::Keep;
use espeak::Espeak;
use wav::Pcm;

/// How speech is made.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The espeak-ng program.
    pub program: PathBuf,
    /// Words per minute.
    pub rate: u32,
    /// After so long an engine is killed.
    pub deadline: Duration,
    /// Engines that run at once.
    pub at_once: usize,
    /// Where the sounds are kept.
    pub directory: PathBuf,
    /// The same directory as the PBX sees it.
    pub directory_on_pbx: Option<PathBuf>,
    /// 16 kHz instead of 8 kHz, for trunks that carry it.
    pub wideband: bool,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The engine did not do it.
    #[error("speech engine failed: {0}")]
    Engine(String),
    /// It took too long.
    #[error("speech engine took longer than {0:?}")]
    Late(Duration),
    /// What it made is no sound.
    #[error("not a sound: {0}")]
    Sound(String),
    /// The sound could not be kept.
    #[error("cannot write to the sound directory: {0}")]
    Disk(String),
}

/// A sound that is ready to be played.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// The file as the PBX sees it, without extension: as Asterisk wants it.
    pub file: String,
    /// How long each part lasts, in milliseconds.
    pub parts: Vec<u64>,
    /// Samples per second: what Asterisk counts the played part in.
    pub rate: u32,
}

/// The sounds. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Speech {
    engine: Arc<Espeak>,
    cache: Cache,
    on_pbx: Arc<Path>,
    at_once: Arc<Semaphore>,
    rate: u32,
    /// Whether the engine spoke when it was last asked to.
    works: Arc<AtomicBool>,
    /// Whether the last sound could be kept.
    keeps: Arc<AtomicBool>,
}

/// Between two parts of a sound.
const PAUSE_MS: u64 = 300;

impl Speech {
    /// Opens the sound directory.
    ///
    /// # Errors
    /// If it cannot be made or written to.
    pub fn open(settings: Settings) -> io::Result<Self> {
        let (rate, extension) = if settings.wideband { (16_000, "wav16") } else { (8000, "wav") };
        let cache = Cache::open(&settings.directory, extension)?;
        let on_pbx = match settings.directory_on_pbx {
            Some(directory) => directory,
            None => settings.directory.canonicalize()?,
        };
        let engine = Espeak { program: settings.program, rate: settings.rate, deadline: settings.deadline };
        Ok(Self {
            engine: Arc::new(engine),
            cache,
            on_pbx: on_pbx.into(),
            at_once: Arc::new(Semaphore::new(settings.at_once)),
            rate,
            works: Arc::new(AtomicBool::new(true)),
            keeps: Arc::new(AtomicBool::new(true)),
        })
    }

    /// One sound of these texts, in this language, with a pause between two of them. Served from the
    /// cache where it was made before.
    ///
    /// # Errors
    /// If a text cannot be spoken or the sound not be kept.
    pub async fn say(&self, language: &str, texts: &[&str], now: SystemTime) -> Result<Sound, Error> {
        let mut pieces = Vec::with_capacity(texts.len());
        for text in texts {
            pieces.push(self.piece(language, text, now).await?);
        }
        let parts = pieces.iter().map(|(_, length)| *length).collect();
        let name = match &*pieces {
            [(only, _)] => only.clone(),
            _ => self.join(&pieces, now)?,
        };
        Ok(Sound { file: self.on_pbx.join(name).to_string_lossy().into_owned(), parts, rate: self.rate })
    }

    /// Whether there is a sound of this name, as it came out of [`Speech::name_of`]. What is no such name is none.
    #[must_use]
    pub fn is_ready(&self, name: &str, now: SystemTime) -> bool {
        let is_digest = name.len() == 32 && name.bytes().all(|c| matches!(c, b'0'..=b'9' | b'a'..=b'f'));
        is_digest && self.cache.has(name, now)
    }

    /// The name that the sound of one text has, whether it was made or not.
    #[must_use]
    pub fn name_of(&self, language: &str, text: &str) -> String {
        Cache::name(&[&self.engine.fingerprint(language), &self.rate.to_string(), text])
    }

    /// Makes `text` the sound of this fixed name, for the dialplan.
    ///
    /// # Errors
    /// As [`Speech::say`].
    pub async fn publish(&self, name: &str, language: &str, text: &str) -> Result<(), Error> {
        let pcm = self.speak(language, text).await?;
        self.keep(name, &pcm)
    }

    /// Makes the beeps for [`Speech::last_resort`].
    ///
    /// # Errors
    /// If they cannot be kept.
    pub fn make_beeps(&self) -> Result<(), Error> {
        self.keep("beeps", &Pcm::beeps(self.rate))
    }

    /// Beeps, for when no engine speaks at all: our own, or without a sound directory Asterisk's.
    #[must_use]
    pub fn last_resort(&self) -> Sound {
        let ours = self.cache.path("beeps").exists();
        let file = if ours { self.on_pbx.join("beeps").to_string_lossy().into_owned() } else { "beep".to_owned() };
        Sound { file, parts: Vec::new(), rate: self.rate }
    }

    /// How long so many samples of `sound` last, in milliseconds.
    #[must_use]
    pub fn milliseconds(sound: &Sound, samples: u64) -> u64 {
        samples * 1000 / u64::from(sound.rate)
    }

    /// Whether the engine spoke when it was last asked to.
    #[must_use]
    pub fn works(&self) -> bool {
        self.works.load(Ordering::Relaxed)
    }

    /// Whether the last sound could be kept.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// The directory as the PBX sees it.
    #[must_use]
    pub fn directory_on_pbx(&self) -> &Path {
        &self.on_pbx
    }

    /// Removes sounds that were not used for long, and the oldest if there are too many. `standing`
    /// are the fixed names that stay.
    ///
    /// # Errors
    /// If the directory cannot be read or written.
    pub fn clean(&self, limits: Keep, now: SystemTime, standing: &[String]) -> io::Result<usize> {
        self.cache.clean(limits, now, standing)
    }

    /// One text, as (name, milliseconds).
    async fn piece(&self, language: &str, text: &str, now: SystemTime) -> Result<(String, u64), Error> {
        let name = self.name_of(language, text);
        if self.cache.has(&name, now)
            && let Ok(milliseconds) = Pcm::length_of(&self.cache.path(&name))
        {
            metrics::counter!("ringdown_speech_cache_hits_total").increment(1);
            return Ok((name, milliseconds));
        }
        metrics::counter!("ringdown_speech_cache_misses_total").increment(1);
        let pcm = self.speak(language, text).await?;
        self.keep(&name, &pcm)?;
        Ok((name, pcm.milliseconds()))
    }

    async fn speak(&self, language: &str, text: &str) -> Result<Pcm, Error> {
        let began = tokio::time::Instant::now();
        // A semaphore that is never closed always has a permit to give in the end.
        let _permit = self.at_once.acquire().await.map_err(|_| Error::Engine("speech has stopped".into()))?;
        let spoken = self.engine.speak(language, text).await;
        metrics::histogram!("ringdown_speech_synthesis_seconds").record(began.elapsed());
        self.works.store(spoken.is_ok(), Ordering::Relaxed);
        if spoken.is_err() {
            metrics::counter!("ringdown_speech_failures_total").increment(1);
        }
        spoken?.without_leading_silence().resampled(self.rate)
    }

    fn join(&self, pieces: &[(String, u64)], now: SystemTime) -> Result<String, Error> {
        let names: Vec<&str> = pieces.iter().map(|(name, _)| name.as_str()).collect();
        let name = Cache::name(&names);
        if self.cache.has(&name, now) {
            return Ok(name);
        }
        let mut whole = Pcm { rate: self.rate, samples: Vec::new() };
        for name in names {
            if !whole.samples.is_empty() {
                let pause = usize::try_from(PAUSE_MS * u64::from(self.rate) / 1000).unwrap_or(0);
                whole.samples.extend(std::iter::repeat_n(0, pause));
            }
            whole.samples.extend(Pcm::read(&self.cache.path(name))?.samples);
        }
        self.keep(&name, &whole)?;
        Ok(name)
    }

    fn keep(&self, name: &str, pcm: &Pcm) -> Result<(), Error> {
        let kept = self.cache.put(name, &pcm.to_wav()?);
        self.keeps.store(kept.is_ok(), Ordering::Relaxed);
        kept.map_err(|error| Error::Disk(error.to_string()))
    }
}
