//! A block of ports and a directory that nobody else on this machine uses, as long as it is held.
//!
//! A slot is a locked file in a directory of ours under the system's temporary one. The lock goes with
//! the process, however that ends; what a dead one left in the slot's directory goes when the slot is
//! taken again. All ports are below the range from which the system gives ports away.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::ErrorKind,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, bail, ensure};

/// The first block begins here.
const FIRST_PORT: u16 = 10_000;
/// Ports of one block: single ones, then two ranges for RTP.
const PORTS: u16 = 400;
const SINGLE_PORTS: u16 = 40;
const RTP_PORTS: u16 = 180;
/// The last block ends at 30,000; Linux gives away ports from 32,768.
const SLOTS: u16 = 50;
/// Directories of failed runs that are kept for whoever wants to look.
const KEPT: usize = 20;

/// Ports and a directory of our own.
#[derive(Debug)]
pub struct Slot {
    number: u16,
    next: AtomicU16,
    directory: PathBuf,
    /// Locked, and with it the slot.
    _lock: File,
}

impl Slot {
    /// Takes a free slot, and empties its directory.
    ///
    /// # Errors
    /// If there is none, or the directory cannot be made.
    pub fn take() -> Result<Self> {
        let home = home()?;
        for number in 0..SLOTS {
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(home.join(format!("{number}.lock")))
                .context("a slot's lock")?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => continue,
                Err(TryLockError::Error(error)) => return Err(error).context("a slot's lock"),
            }
            // Somebody who knows nothing of slots may have a port of it.
            if !ports_are_free(first_port(number)) {
                continue;
            }
            let directory = home.join(number.to_string());
            remove(&directory)?;
            // Passable, not readable: PostgreSQL, as another user, has a directory of its own in here.
            fs::DirBuilder::new().mode(0o711).create(&directory).context("a slot's directory")?;
            return Ok(Self { number, next: AtomicU16::new(0), directory, _lock: lock });
        }
        bail!("all {SLOTS} blocks of ports are in use: {}", home.display())
    }

    /// The slot's own directory. Short: the path of a unix socket in it fits.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A port that was not handed out before.
    ///
    /// # Panics
    /// If all were.
    pub fn port(&self) -> u16 {
        let nth = self.next.fetch_add(1, Ordering::Relaxed);
        assert!(nth < SINGLE_PORTS, "a slot has {SINGLE_PORTS} ports");
        first_port(self.number) + nth
    }

    /// The first and the last port for the RTP of the PBX.
    #[must_use]
    pub fn pbx_rtp(&self) -> (u16, u16) {
        let first = first_port(self.number) + SINGLE_PORTS;
        (first, first + RTP_PORTS - 1)
    }

    /// The first and the last port for the RTP of the telephone network.
    #[must_use]
    pub fn net_rtp(&self) -> (u16, u16) {
        let first = first_port(self.number) + SINGLE_PORTS + RTP_PORTS;
        (first, first + RTP_PORTS - 1)
    }

    /// Moves everything to a directory that stays when the slot is used again. Of those the oldest go.
    ///
    /// # Errors
    /// If it cannot be moved.
    pub fn keep(&self) -> Result<PathBuf> {
        let home = home()?;
        let mut kept: Vec<(std::time::SystemTime, PathBuf)> = fs::read_dir(&home)?
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("kept-"))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        kept.sort();
        for (_, old) in kept.iter().rev().skip(KEPT - 1) {
            remove(old)?;
        }
        let to = home.join(format!("kept-{}", &crate::secret::secret()[..8]));
        fs::rename(&self.directory, &to).context("keeping a slot's directory")?;
        Ok(to)
    }
}

/// Unless it was kept, nothing stays behind.
impl Drop for Slot {
    fn drop(&mut self) {
        let _ = remove(&self.directory);
    }
}

/// The directory of all slots of this user.
fn home() -> Result<PathBuf> {
    let user = rustix::process::geteuid();
    let home = std::env::temp_dir().join(format!("ringdown-lab-{}", user.as_raw()));
    match fs::DirBuilder::new().mode(0o711).create(&home) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(|| home.display().to_string()),
    }
    // In a directory that all write to, somebody else may have made it first.
    let metadata = fs::symlink_metadata(&home)?;
    ensure!(
        metadata.is_dir() && metadata.uid() == user.as_raw() && metadata.permissions().mode() & 0o022 == 0,
        "{} is not a directory that only we can write to",
        home.display()
    );
    Ok(home)
}

fn first_port(number: u16) -> u16 {
    FIRST_PORT + number * PORTS
}

fn ports_are_free(first: u16) -> bool {
    (first..first + PORTS).all(|port| {
        let rtp = port >= first + SINGLE_PORTS;
        (rtp || TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
            && UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()
    })
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| directory.display().to_string())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_slots_have_nothing_in_common() {
        let (one, other) = (Slot::take().unwrap(), Slot::take().unwrap());
        assert_ne!(one.directory(), other.directory());
        assert!(one.net_rtp().1 < other.port() || other.net_rtp().1 < one.port());
        let (first, last) = one.pbx_rtp();
        assert!(first % 2 == 0 && one.port() < first && last < one.net_rtp().0);
    }

    #[test]
    fn a_slot_goes_with_its_holder_and_what_is_kept_stays() {
        let slot = Slot::take().unwrap();
        let directory = slot.directory().to_owned();
        fs::write(directory.join("log"), "what happened").unwrap();
        let kept = slot.keep().unwrap();
        drop(slot);
        assert!(!directory.exists());
        assert_eq!(fs::read_to_string(kept.join("log")).unwrap(), "what happened");
        remove(&kept).unwrap();
    }

    #[test]
    fn a_slot_with_a_port_that_somebody_has_is_passed_over() {
        let slot = Slot::take().unwrap();
        let first = first_port(slot.number);
        drop(slot);
        let _foreign = UdpSocket::bind((Ipv4Addr::LOCALHOST, first + 7)).unwrap();
        assert!(!ports_are_free(first));
    }
}
