//! Sound as Asterisk plays it: one channel, 16 bits, 8 or 16 kHz.

use std::{fs::File, io::Cursor, path::Path};

use rubato::{
    Fft, FixedSync, Resampler,
    audioadapter_buffers::{direct::InterleavedSlice, owned::InterleavedOwned},
};

use super::Error;

/// Samples of one channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pcm {
    /// Samples per second.
    pub rate: u32,
    /// The samples.
    pub samples: Vec<i16>,
}

/// The longest sound there is: 5 minutes. What is longer is a mistake.
const LONGEST_SECONDS: usize = 300;

impl Pcm {
    /// How long it lasts, in milliseconds.
    pub(super) fn milliseconds(&self) -> u64 {
        milliseconds(self.samples.len(), self.rate)
    }

    /// Without the silence in front: an engine's pause comes on top of the lead-in otherwise.
    pub(super) fn without_leading_silence(mut self) -> Self {
        const SILENCE: u16 = 200;
        let first = self.samples.iter().position(|sample| sample.unsigned_abs() > SILENCE).unwrap_or(0);
        // 5 ms stay, so that the first sound is not cut into.
        self.samples.drain(..first.saturating_sub(self.rate as usize / 200));
        self
    }

    /// At another rate, low-passed before it is thinned out.
    pub(super) fn resampled(&self, rate: u32) -> Result<Self, Error> {
        if self.rate == rate {
            return Ok(self.clone());
        }
        let failed = |error: &dyn std::fmt::Display| Error::Sound(error.to_string());
        let input: Vec<f32> = self.samples.iter().map(|sample| f32::from(*sample) / 32768.0).collect();
        let buffer = InterleavedSlice::new(&input, 1, input.len()).map_err(|error| failed(&error))?;
        let mut resampler = Fft::<f32>::new(self.rate as usize, rate as usize, 1024, 1, FixedSync::Both)
            .map_err(|error| failed(&error))?;
        let mut output = InterleavedOwned::new(0.0, 1, resampler.process_all_needed_output_len(input.len()));
        let (_, produced) = resampler
            .process_all_into_buffer(&buffer, &mut output, input.len(), None)
            .map_err(|error| failed(&error))?;
        #[expect(clippy::cast_possible_truncation, reason = "clamped to the range of 16 bits")]
        let samples = output
            .take_data()
            .into_iter()
            .take(produced)
            .map(|sample: f32| (sample * 32768.0).round().clamp(-32768.0, 32767.0) as i16)
            .collect();
        Ok(Self { rate, samples })
    }

    /// Reads the RIFF stream of a program that did not know its length when it began, so that the
    /// lengths in it mean nothing.
    pub(super) fn from_stream(bytes: &[u8]) -> Result<Self, Error> {
        let bad = || Error::Sound("the engine's output is not a 16-bit mono RIFF stream".into());
        let field = |at: usize, length: usize| bytes.get(at..at + length).ok_or_else(bad);
        if field(0, 4)? != b"RIFF" || field(8, 8)? != b"WAVEfmt " {
            return Err(bad());
        }
        let number = |at: usize| field(at, 4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let format_length = number(16)? as usize;
        // PCM, one channel; then the rate; 16 bits.
        if field(20, 4)? != [1, 0, 1, 0] || field(34, 2)? != [16, 0] || format_length > 64 {
            return Err(bad());
        }
        let rate = number(24)?;
        let data = 20 + format_length;
        if field(data, 4)? != b"data" || !(8000..=48_000).contains(&rate) {
            return Err(bad());
        }
        let samples: Vec<i16> =
            bytes[data + 8..].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect();
        if samples.len() > rate as usize * LONGEST_SECONDS {
            return Err(Error::Sound(format!("longer than {LONGEST_SECONDS} s")));
        }
        Ok(Self { rate, samples })
    }

    /// The whole file, as Asterisk reads it.
    pub(super) fn to_wav(&self) -> Result<Vec<u8>, Error> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: self.rate,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let failed = |error: hound::Error| Error::Sound(error.to_string());
        let mut bytes = Cursor::new(Vec::with_capacity(44 + self.samples.len() * 2));
        let mut writer = hound::WavWriter::new(&mut bytes, spec).map_err(failed)?;
        for sample in &self.samples {
            writer.write_sample(*sample).map_err(failed)?;
        }
        writer.finalize().map_err(failed)?;
        Ok(bytes.into_inner())
    }

    /// A file of ours.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let failed = |error: hound::Error| Error::Sound(error.to_string());
        let mut reader = hound::WavReader::open(path).map_err(failed)?;
        let rate = reader.spec().sample_rate;
        let samples = reader.samples::<i16>().collect::<Result<Vec<_>, _>>().map_err(failed)?;
        Ok(Self { rate, samples })
    }

    /// How long a file of ours lasts, in milliseconds, by its head alone; it must be as long as that says.
    pub(super) fn length_of(path: &Path) -> Result<u64, Error> {
        let failed = |error: &dyn std::fmt::Display| Error::Sound(error.to_string());
        let file = File::open(path).map_err(|error| failed(&error))?;
        let bytes = file.metadata().map_err(|error| failed(&error))?.len();
        let reader = hound::WavReader::new(file).map_err(|error| failed(&error))?;
        let (samples, rate) = (reader.duration() as usize, reader.spec().sample_rate);
        if bytes < samples as u64 * 2 {
            return Err(Error::Sound("the file was cut off".into()));
        }
        Ok(milliseconds(samples, rate))
    }

    /// Three beeps, for when there is no speech at all: silence would be taken for a wrong call.
    pub(super) fn beeps(rate: u32) -> Self {
        let (tone, pause) = (rate as usize * 3 / 10, rate as usize / 5);
        let mut samples = Vec::new();
        for _ in 0..3 {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a sine in range")]
            samples.extend((0..tone).map(|n| {
                let phase = std::f32::consts::TAU * 880.0 * n as f32 / rate as f32;
                (phase.sin() * 12_000.0) as i16
            }));
            samples.extend(std::iter::repeat_n(0, pause));
        }
        Self { rate, samples }
    }
}

/// How long so many samples last.
pub(super) fn milliseconds(samples: usize, rate: u32) -> u64 {
    samples as u64 * 1000 / u64::from(rate.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_possible_truncation, reason = "a sine in range")]
    fn tone(rate: u32, hertz: f32) -> Pcm {
        let samples = (0..rate)
            .map(|n| (10_000.0 * (std::f32::consts::TAU * hertz * n as f32 / rate as f32).sin()) as i16)
            .collect();
        Pcm { rate, samples }
    }

    fn loudness(pcm: &Pcm) -> f64 {
        let sum: f64 = pcm.samples.iter().map(|s| f64::from(*s).powi(2)).sum();
        (sum / pcm.samples.len() as f64).sqrt()
    }

    #[test]
    fn a_second_stays_a_second_and_what_8_khz_cannot_carry_is_filtered_out() {
        let low = tone(22_050, 1000.0).resampled(8000).expect("resamples");
        assert_eq!(low.rate, 8000);
        assert!((7900..=8100).contains(&low.samples.len()), "{}", low.samples.len());
        assert!((6500.0..7500.0).contains(&loudness(&low)), "{}", loudness(&low));
        let high = tone(22_050, 6000.0).resampled(8000).expect("resamples");
        assert!(loudness(&high) < 100.0, "an alias of {} remains", loudness(&high));
    }

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let pcm = tone(8000, 440.0);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), pcm.to_wav().expect("writes")).expect("writes");
        assert_eq!(Pcm::read(file.path()).expect("reads"), pcm);
        assert_eq!(Pcm::length_of(file.path()), Ok(1000));
        assert_eq!(Pcm::from_stream(&pcm.to_wav().expect("writes")).expect("reads"), pcm);
    }

    #[test]
    fn a_file_that_was_cut_off_is_none() {
        let whole = tone(8000, 440.0).to_wav().expect("writes");
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        for length in [0, 30, whole.len() / 2] {
            std::fs::write(file.path(), &whole[..length]).expect("writes");
            assert!(Pcm::length_of(file.path()).is_err(), "{length}");
        }
    }

    #[test]
    fn what_is_no_sound_is_refused() {
        for bytes in [&b""[..], b"RIFF", b"RIFF....WAVEfmt ", &[0; 100]] {
            assert!(Pcm::from_stream(bytes).is_err());
        }
    }

    #[test]
    fn silence_in_front_goes_and_what_follows_stays() {
        let mut pcm = tone(8000, 440.0);
        pcm.samples.splice(0..0, vec![0; 4000]);
        let trimmed = pcm.without_leading_silence();
        assert!((8000..8100).contains(&trimmed.samples.len()), "{}", trimmed.samples.len());
    }
}
