//! The proof of what a phone heard: where, in what it recorded, a known sound is.
//!
//! The sound is cut into pieces of half a second. The loudest is looked for in the whole recording, by
//! normalised cross-correlation (1: the same but for its loudness; 0: nothing in common), and wherever
//! it may be, all others must be in their places around it. So a-law, a codec or a packet that comes
//! late cost little, while the same sentence with one other word has a piece that is not there.
//!
//! All at 2 kHz, where the strong part of a voice is: a search takes a moment even when it is not
//! compiled for speed.

use std::{fs, ops::Range, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use realfft::RealFftPlanner;

/// Samples per second of everything on a telephone line.
pub const RATE: usize = 8000;
/// Samples per second of what is compared.
const SLOW: usize = RATE / THINNED;
const THINNED: usize = 4;
/// What is compared at once.
const PIECE: usize = SLOW / 2;
/// How far a piece may be from where it should: packets come late, and one may be lost.
const SLACK: usize = SLOW / 25;
/// From here on it is the sound as a whole. The same words over a telephone line have more than 0.95 (0.99
/// over loopback), other sentences of the same voice less than 0.4.
pub const SURE: f32 = 0.75;
/// From here on a piece is there. With a packet lost in its midst it has about 0.6; where one word of the
/// sentence is another, 0.3 (the tests of this module).
pub const THERE: f32 = 0.45;
/// Louder than this is not silence (of 32,768).
const QUIET: f32 = 150.0;

/// One channel of 16 bits at 8 kHz.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pcm(pub Vec<i16>);

/// Where a sound was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// Since the recording began: the answer.
    pub at: Duration,
    /// How like it is as a whole, up to 1.
    pub score: f32,
    /// How like the least like piece is.
    pub worst: f32,
}

impl Pcm {
    /// Reads a RIFF file, one that is still being written as well: the lengths in its header do not count.
    ///
    /// # Errors
    /// If it is not mono, 16 bits, 8 kHz.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let data = bytes.windows(4).take(200).position(|word| word == b"data").map(|at| at + 8);
        let data = data.filter(|data| *data <= bytes.len()).context("not a RIFF file, or an empty one")?;
        // PCM, one channel; 8000 Hz; 16 bits.
        ensure!(bytes[20..28] == [1, 0, 1, 0, 0x40, 0x1f, 0, 0], "{} is not mono at 8 kHz", file.display());
        Ok(Self(bytes[data..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()))
    }

    /// Whether whoever writes the file has finished it: the length in its header is that of the file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn is_complete(file: &Path) -> Result<bool> {
        let bytes = fs::read(file).with_context(|| file.display().to_string())?;
        let told = bytes.get(4..8).map(|length| u32::from_le_bytes([length[0], length[1], length[2], length[3]]));
        Ok(told.is_some_and(|told| told as usize + 8 == bytes.len()))
    }

    /// How long it lasts.
    #[must_use]
    pub fn duration(&self) -> Duration {
        time(self.0.len())
    }

    /// The part of it between two instants.
    #[must_use]
    pub fn part(&self, range: Range<Duration>) -> Self {
        let end = samples(range.end).min(self.0.len());
        Self(self.0[samples(range.start).min(end)..end].to_vec())
    }
}

/// When there is sound first: two frames of 20 ms, one after the other, that are not silence.
#[must_use]
pub fn first_word(recording: &Pcm) -> Option<Duration> {
    const FRAME: usize = RATE / 50;
    let level = |frame: &[i16]| rms(&frame.iter().map(|sample| f32::from(*sample)).collect::<Vec<_>>());
    let loud: Vec<bool> = recording.0.chunks_exact(FRAME).map(|frame| level(frame) > QUIET).collect();
    loud.windows(2).position(|two| two == [true, true]).map(|frame| time(frame * FRAME))
}

/// The first place where the recording has the sound, whole.
#[must_use]
pub fn heard(recording: &Pcm, sound: &Pcm) -> Option<Match> {
    places(recording, sound).into_iter().find(|place| place.score >= SURE && place.worst >= THERE)
}

/// The place in the recording that is most like the sound: for people who want to know how far from
/// sure it is.
#[must_use]
pub fn most_like(recording: &Pcm, sound: &Pcm) -> Option<Match> {
    places(recording, sound).into_iter().max_by(|one, other| one.score.total_cmp(&other.score))
}

/// Every place where the sound may be, in order.
fn places(recording: &Pcm, sound: &Pcm) -> Vec<Match> {
    let (mut recording, sound) = (thinned(&recording.0), thinned(&sound.0));
    // Whoever hangs up behind the last word cuts into it by a packet or two, which are still on their way.
    recording.extend(std::iter::repeat_n(0.0, SLOW / 8));
    let pieces = pieces(&sound);
    let Some((anchor, loudest)) = pieces.iter().max_by(|one, other| rms(one.1).total_cmp(&rms(other.1))) else {
        return Vec::new();
    };
    let starts = peaks(&correlate(&recording, loudest), SURE / 2.0);
    let starts = starts.into_iter().filter_map(|at| at.checked_sub(*anchor));
    starts
        .filter(|start| start + sound.len() <= recording.len())
        .map(|start| look(&recording, &pieces, start))
        .collect()
}

/// How like the sound the recording is from `start` on.
fn look(recording: &[f32], pieces: &[(usize, &[f32])], start: usize) -> Match {
    let (mut sum, mut weights, mut worst) = (0.0, 0.0, 1.0_f32);
    // Each piece is looked for where it should be after the one before: what was lost stays lost.
    let mut lost = 0;
    for (at, piece) in pieces {
        let should = (start + at).saturating_sub(lost);
        let places = should.saturating_sub(SLACK)..=should + SLACK;
        let likenesses = places.map(|place| (likeness(recording.get(place..).unwrap_or_default(), piece), place));
        let (best, place) = likenesses.max_by(|one, other| one.0.total_cmp(&other.0)).unwrap_or((0.0, should));
        if best >= SURE {
            lost = (start + at).saturating_sub(place);
        }
        sum += best.max(0.0) * rms(piece);
        weights += rms(piece);
        worst = worst.min(best.max(0.0));
    }
    Match { at: time(start * THINNED), score: sum / weights, worst }
}

/// The pieces that are not next to silence, and where they begin. The end belongs to the last one.
fn pieces(sound: &[f32]) -> Vec<(usize, &[f32])> {
    let count = (sound.len() / PIECE).max(1);
    let piece = |nth: usize| nth * PIECE..if nth + 1 == count { sound.len() } else { (nth + 1) * PIECE };
    (0..count).map(|nth| (nth * PIECE, &sound[piece(nth)])).filter(|(_, piece)| rms(piece) > QUIET).collect()
}

/// At 2 kHz: low-passed, then every fourth sample.
fn thinned(samples: &[i16]) -> Vec<f32> {
    // A Hann window is all the low-pass that is needed: nothing is played from this.
    const TAPS: usize = 4 * THINNED;
    let taps: Vec<f32> =
        (0..TAPS).map(|n| (std::f32::consts::PI * (narrow(n) + 0.5) / narrow(TAPS)).sin().powi(2)).collect();
    let sum: f32 = taps.iter().sum();
    let windows = samples.windows(TAPS).step_by(THINNED);
    windows
        .map(|window| window.iter().zip(&taps).map(|(sample, tap)| f32::from(*sample) * tap).sum::<f32>() / sum)
        .collect()
}

/// How like `piece` the beginning of `samples` is; 0 if there are too few.
fn likeness(samples: &[f32], piece: &[f32]) -> f32 {
    let Some(samples) = samples.get(..piece.len()) else { return 0.0 };
    let (mut product, mut energy, mut own) = (0.0, 0.0, 0.0);
    for (sample, piece) in samples.iter().zip(piece) {
        product += sample * piece;
        energy += sample * sample;
        own += piece * piece;
    }
    normalised(product, energy, own, piece.len())
}

/// For each place in the recording, how like `piece` it is there: as [`likeness`], for all at once.
fn correlate(recording: &[f32], piece: &[f32]) -> Vec<f32> {
    // So long that the end of the recording does not run into its beginning.
    let size = (recording.len() + piece.len()).next_power_of_two();
    let mut planner = RealFftPlanner::<f32>::new();
    let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
    let transform = |samples: &[f32]| {
        let (mut input, mut output) = (forward.make_input_vec(), forward.make_output_vec());
        input[..samples.len()].copy_from_slice(samples);
        forward.process(&mut input, &mut output).expect("buffers of the plan's own sizes");
        output
    };
    let mut product = transform(piece);
    for (of_piece, of_recording) in product.iter_mut().zip(transform(recording)) {
        *of_piece = of_piece.conj() * of_recording;
    }
    // They are sums of real numbers, but rounding leaves traces, and the transform is strict.
    if let [first, .., last] = &mut *product {
        (first.im, last.im) = (0.0, 0.0);
    }
    let mut products = inverse.make_output_vec();
    inverse.process(&mut product, &mut products).expect("buffers of the plan's own sizes");
    let own: f32 = piece.iter().map(|sample| sample * sample).sum();
    // The energy under the piece, kept up from place to place, in double precision lest errors add up.
    let square = |sample: &f32| f64::from(*sample).powi(2);
    let mut energy: f64 = recording.iter().take(piece.len()).map(square).sum();
    let places = (recording.len() + 1).saturating_sub(piece.len());
    (0..places)
        .map(|at| {
            #[expect(clippy::cast_possible_truncation, reason = "enough digits are left")]
            let likeness = normalised(products[at] / narrow(size), energy as f32, own, piece.len());
            if let Some(next) = recording.get(at + piece.len()) {
                energy += square(next) - square(&recording[at]);
            }
            likeness
        })
        .collect()
}

/// Divided by the loudness of both; next to silence it is nothing, whatever its form.
fn normalised(product: f32, energy: f32, own: f32, samples: usize) -> f32 {
    let silence = (QUIET / 4.0).powi(2) * narrow(samples);
    product / (energy.max(silence) * own.max(silence)).sqrt()
}

/// The places of the values above `least` that are the greatest around.
fn peaks(values: &[f32], least: f32) -> Vec<usize> {
    let mut peaks: Vec<usize> = Vec::new();
    for (at, value) in values.iter().enumerate().filter(|(_, value)| **value >= least) {
        match peaks.last_mut() {
            Some(last) if at - *last <= SLACK => {
                if values[*last] < *value {
                    *last = at;
                }
            }
            _ => peaks.push(at),
        }
    }
    peaks
}

fn rms(samples: &[f32]) -> f32 {
    let squares: f32 = samples.iter().map(|sample| sample * sample).sum();
    (squares / narrow(samples.len().max(1))).sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "numbers of samples, far below 16 million")]
fn narrow(samples: usize) -> f32 {
    samples as f32
}

fn time(samples: usize) -> Duration {
    Duration::from_micros(samples as u64 * 125)
}

fn samples(time: Duration) -> usize {
    usize::try_from(time.as_micros() / 125).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
