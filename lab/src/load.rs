//! What a benchmark needs to ask much of a server: bare HTTP over kept connections, and what a process
//! has cost.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A connection that is kept.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    /// To `host:port`.
    ///
    /// # Errors
    /// If nobody is there.
    pub async fn open(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; 1 << 20] })
    }

    /// Asks, and reads the whole answer. Returns its status and body.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn get(&mut self, path: &str, key: &str) -> Result<(u16, String)> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n\r\n");
        self.ask(head).await
    }

    /// Sends JSON, and reads the whole answer. Returns its status and body.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn post(&mut self, path: &str, key: &str, body: &str) -> Result<(u16, String)> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.ask(request).await
    }

    async fn ask(&mut self, request: String) -> Result<(u16, String)> {
        self.stream.write_all(request.as_bytes()).await?;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]).await?;
            ensure!(read > 0, "the connection ended");
            filled += read;
            let text = std::str::from_utf8(&self.buffer[..filled])?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if length.is_some_and(|length: usize| body.len() >= length) {
                let status = head.get(9..12).and_then(|status| status.parse().ok()).context("a status")?;
                return Ok((status, body.to_owned()));
            }
        }
    }
}

/// The value at this part of sorted values, from 0 to 1.
#[must_use]
pub fn percentile(sorted: &[f64], part: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index"
    )]
    let index = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(f64::NAN)
}

/// The least, the median and the greatest.
#[must_use]
pub fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    (percentile(&values, 0.0), percentile(&values, 0.5), percentile(&values, 1.0))
}

/// What a process has used of the processor since it began, its children's left out.
///
/// # Errors
/// If there is no such process.
pub fn cpu(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // After the name, which may have anything in it: state, ..., utime and stime as the 12th and 13th.
    let (_, rest) = stat.rsplit_once(')').context("a stat")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |nth: usize| fields.get(nth).and_then(|field| field.parse::<u64>().ok()).context("a stat");
    // Linux counts hundredths of a second here, whatever the kernel's own clock does.
    Ok(Duration::from_millis((ticks(11)? + ticks(12)?) * 10))
}

/// Resident memory of a process, in KiB.
///
/// # Errors
/// If there is no such process.
pub fn memory(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
    kib.context("its memory")
}
