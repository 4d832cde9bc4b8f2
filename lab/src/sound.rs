//! The proof of what a phone heard: where, in what it recorded, a known sound is.
//!
//! The sound is cut into pieces of a second. For each the normalised cross-correlation with the whole
//! recording is made (1: the same but for its loudness; 0: nothing in common), and the pieces must
//! follow one another as in the sound. So a-law, a codec or a lost packet cost a little of the
//! score, while other words of the same voice have none of the pieces in the right places.

use std::{collections::VecDeque, fs, ops::Range, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex, num_complex::Complex};

/// Samples per second of everything on a telephone line.
pub const RATE: usize = 8000;
/// What is compared at once.
const PIECE: usize = RATE;
/// How far a piece may stand from where it should: packets come late, and one may be lost.
const SLACK: usize = RATE / 20;
/// From here on it is the sound: the same words score above 0.9 over a telephone line, other words of
/// the same voice below 0.4 (the tests of this module).
pub const SURE: f32 = 0.7;
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
    /// How sure it is, up to 1.
    pub score: f32,
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
    let loud: Vec<bool> = recording.0.chunks_exact(FRAME).map(|frame| rms(frame) > QUIET).collect();
    loud.windows(2).position(|two| two == [true, true]).map(|frame| time(frame * FRAME))
}

/// The first place where the recording has the sound, whole.
#[must_use]
pub fn heard(recording: &Pcm, sound: &Pcm) -> Option<Match> {
    let search = Search::new(recording, sound)?;
    let first = search.scores.iter().position(|score| *score >= SURE)?;
    // The score is as good for all places within the slack; the first piece tells which one it is.
    let near = first..(first + 2 * SLACK).min(search.scores.len());
    let at = near.max_by(|one, other| search.first_piece(*one).total_cmp(&search.first_piece(*other)))?;
    Some(Match { at: time(at), score: search.scores[at] })
}

/// The best score that the sound has anywhere: for people who want to know how far from sure it is.
#[must_use]
pub fn likeness(recording: &Pcm, sound: &Pcm) -> f32 {
    Search::new(recording, sound).map_or(0.0, |search| search.scores.into_iter().fold(0.0, f32::max))
}

/// For each place in a recording, how like a sound it is there.
struct Search {
    scores: Vec<f32>,
    /// The same for the first piece alone, at its exact place.
    first_piece: Vec<f32>,
    /// Where in the sound that is.
    first_piece_at: usize,
}

impl Search {
    fn new(recording: &Pcm, sound: &Pcm) -> Option<Self> {
        let pieces = pieces(sound);
        let places = (recording.0.len() + 1).checked_sub(sound.0.len())?;
        let energy: f32 = pieces.iter().map(|(_, piece)| rms(piece)).sum();
        let correlator = Correlator::new(recording, 2 * PIECE);
        let mut search = Self { scores: vec![0.0; places], first_piece: Vec::new(), first_piece_at: pieces.first()?.0 };
        for (at, piece) in pieces {
            let likeness = correlator.correlate(piece);
            for (score, likeness) in search.scores.iter_mut().zip(best_within(&likeness, SLACK).iter().skip(at)) {
                *score += rms(piece) / energy * likeness;
            }
            if search.first_piece.is_empty() {
                search.first_piece = likeness;
            }
        }
        Some(search)
    }

    fn first_piece(&self, at: usize) -> f32 {
        self.first_piece.get(at + self.first_piece_at).copied().unwrap_or(0.0)
    }
}

/// The pieces that are not silence, and where they begin. What is left at the end belongs to the last.
fn pieces(sound: &Pcm) -> Vec<(usize, &[i16])> {
    let count = (sound.0.len() / PIECE).max(1);
    let piece = |nth: usize| nth * PIECE..if nth + 1 == count { sound.0.len() } else { (nth + 1) * PIECE };
    (0..count).map(|nth| (nth * PIECE, &sound.0[piece(nth)])).filter(|(_, piece)| rms(piece) > QUIET).collect()
}

/// A recording, ready to be compared with short sounds.
struct Correlator {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    spectrum: Vec<Complex<f32>>,
    /// The sum of the squares of all samples before each.
    energy: Vec<f64>,
}

impl Correlator {
    fn new(recording: &Pcm, longest: usize) -> Self {
        // So much room that the end of the recording does not run into its beginning.
        let size = (recording.0.len() + longest).next_power_of_two();
        let mut planner = RealFftPlanner::new();
        let mut sum = 0.0;
        let mut energy = vec![sum];
        energy.extend(recording.0.iter().map(|sample| {
            sum += f64::from(*sample).powi(2);
            sum
        }));
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let mut this = Self { forward, inverse, spectrum: Vec::new(), energy };
        this.spectrum = this.transform(&recording.0);
        this
    }

    fn transform(&self, samples: &[i16]) -> Vec<Complex<f32>> {
        let mut input = self.forward.make_input_vec();
        for (slot, sample) in input.iter_mut().zip(samples) {
            *slot = f32::from(*sample);
        }
        let mut output = self.forward.make_output_vec();
        self.forward.process(&mut input, &mut output).expect("buffers of the plan's own sizes");
        output
    }

    /// For each place in the recording, the normalised cross-correlation with the piece there.
    fn correlate(&self, piece: &[i16]) -> Vec<f32> {
        let mut product = self.transform(piece);
        for (of_piece, of_recording) in product.iter_mut().zip(&self.spectrum) {
            *of_piece = of_recording * of_piece.conj();
        }
        // They are sums of real numbers, but rounding leaves traces, and the transform is strict.
        if let [first, .., last] = &mut *product {
            (first.im, last.im) = (0.0, 0.0);
        }
        let mut sums = self.inverse.make_output_vec();
        self.inverse.process(&mut product, &mut sums).expect("buffers of the plan's own sizes");
        let size = sums.len();
        let own: f64 = piece.iter().map(|sample| f64::from(*sample).powi(2)).sum();
        let silence = f64::from(QUIET / 4.0).powi(2) * count(piece.len());
        let windows = self.energy.iter().zip(&self.energy[piece.len().min(self.energy.len())..]);
        windows
            .zip(sums)
            .map(|((before, after), sum)| {
                let energy = (after - before).max(silence);
                #[expect(clippy::cast_possible_truncation, reason = "a number from -1 to 1")]
                let likeness = (f64::from(sum) / count(size) / (energy * own).sqrt()) as f32;
                likeness
            })
            .collect()
    }
}

/// For each place, the greatest value at most `reach` away from it.
fn best_within(values: &[f32], reach: usize) -> Vec<f32> {
    // Places in falling order of their values: the greatest that is still within reach is in front.
    let mut best: VecDeque<usize> = VecDeque::new();
    (0..values.len() + reach)
        .filter_map(|end| {
            if let Some(new) = values.get(end) {
                while best.back().is_some_and(|at| values[*at] <= *new) {
                    best.pop_back();
                }
                best.push_back(end);
            }
            let place = end.checked_sub(reach)?;
            while best.front().is_some_and(|at| at + reach < place) {
                best.pop_front();
            }
            best.front().map(|at| values[*at])
        })
        .collect()
}

fn rms(samples: &[i16]) -> f32 {
    let squares: f64 = samples.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    #[expect(clippy::cast_possible_truncation, reason = "at most 32,768")]
    let rms = (squares / count(samples.len().max(1))).sqrt() as f32;
    rms
}

fn count(samples: usize) -> f64 {
    f64::from(u32::try_from(samples).unwrap_or(u32::MAX))
}

fn time(samples: usize) -> Duration {
    Duration::from_secs_f64(count(samples) / count(RATE))
}

fn samples(time: Duration) -> usize {
    usize::try_from(time.as_micros() * 8 / 1000).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
