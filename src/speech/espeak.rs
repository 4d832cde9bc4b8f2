//! espeak-ng as a process: the text on its standard input, the sound on its standard output.
//!
//! A process, never linked: it is under the GPL, and what hangs can be killed.

use std::{path::PathBuf, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
};

use super::{Error, wav::Pcm};

/// Bytes of sound that are read: five minutes of what espeak-ng makes.
const MOST_BYTES: u64 = 300 * 22_050 * 2;

/// The engine.
#[derive(Clone, Debug)]
pub(super) struct Espeak {
    /// The program.
    pub program: PathBuf,
    /// Words per minute.
    pub rate: u32,
    /// After so long it is killed.
    pub deadline: Duration,
}

impl Espeak {
    /// What makes its sound what it is, for the cache.
    pub(super) fn fingerprint(&self, language: &str) -> String {
        format!("espeak-ng/{language}/{}", self.rate)
    }

    /// Speaks `text`.
    pub(super) async fn speak(&self, language: &str, text: &str) -> Result<Pcm, Error> {
        let spoken = tokio::time::timeout(self.deadline, self.run(language, text));
        spoken.await.map_err(|_| Error::Late(self.deadline))?
    }

    async fn run(&self, language: &str, text: &str) -> Result<Pcm, Error> {
        let failed = |error: std::io::Error| Error::Engine(format!("{}: {error}", self.program.display()));
        let mut child = Command::new(&self.program)
            // The text never stands in the argument list, where a leading dash would be an option.
            .args(["--stdin", "--stdout", "-v", language, "-s", &self.rate.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let (mut input, output, errors) = match (child.stdin.take(), child.stdout.take(), child.stderr.take()) {
            (Some(input), Some(output), Some(errors)) => (input, output, errors),
            _ => return Err(Error::Engine("its pipes are missing".into())),
        };
        let (mut sound, mut words) = (Vec::new(), Vec::new());
        let write = async {
            // An engine that ends before it has read everything says why by its status.
            let _ = input.write_all(text.as_bytes()).await;
            let _ = input.write_all(b"\n").await;
            drop(input);
        };
        let mut output = output.take(MOST_BYTES);
        let mut errors = errors.take(4096);
        let (_, read, _) = tokio::join!(write, output.read_to_end(&mut sound), errors.read_to_end(&mut words));
        read.map_err(failed)?;
        let status = child.wait().await.map_err(failed)?;
        if !status.success() {
            return Err(Error::Engine(format!("{status}: {}", String::from_utf8_lossy(&words).trim())));
        }
        let pcm = Pcm::from_stream(&sound)?;
        if pcm.samples.is_empty() { Err(Error::Engine("it made no sound".into())) } else { Ok(pcm) }
    }
}
