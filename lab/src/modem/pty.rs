//! The modem's end of the line: a pseudo terminal, with a link to the other end.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Result;
use rustix::{
    fs::{OFlags, fcntl_setfl},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{OptionalActions, tcgetattr, tcsetattr},
};
use tokio::time::sleep;

use super::{Step, state::State};

/// Between two looks: the end of a pseudo terminal cannot be waited for while nobody has the other one open.
const LOOK: Duration = Duration::from_millis(1);

pub(super) struct Line {
    master: File,
    link: PathBuf,
}

impl Line {
    pub(super) fn open(link: &Path) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        // Nothing is echoed or translated between a modem and its computer.
        let mut raw = tcgetattr(&master)?;
        raw.make_raw();
        tcsetattr(&master, OptionalActions::Now, &raw)?;
        let name = ptsname(&master, Vec::new())?;
        let _ = std::fs::remove_file(link);
        symlink(name.to_str()?, link)?;
        Ok(Self { master: master.into(), link: link.to_owned() })
    }

    /// What was said to it. Nothing if nobody is there.
    fn read(&mut self) -> Vec<u8> {
        let mut chunk = [0; 1024];
        match self.master.read(&mut chunk) {
            Ok(length) => chunk[..length].to_vec(),
            Err(_) => Vec::new(),
        }
    }

    /// Says something; to nobody if nobody is there.
    async fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.master.write(bytes) {
                Ok(length) => bytes = &bytes[length..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => sleep(LOOK).await,
                Err(_) => return,
            }
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.link);
    }
}

/// As long as there is a modem, plugged in or not.
pub(super) async fn serve(mut line: Option<Line>, path: PathBuf, state: Arc<Mutex<State>>) {
    let locked = || state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if !locked().is_plugged {
            line = None;
        } else if line.is_none() {
            line = Line::open(&path).ok();
        }
        let Some(there) = &mut line else {
            sleep(LOOK).await;
            continue;
        };
        let heard = there.read();
        let is_idle = heard.is_empty();
        let mut steps = locked().hear(&heard);
        let did_nothing = is_idle && steps.is_empty();
        while let Some(step) = steps.pop_front() {
            match step {
                Step::Say(bytes) => there.write(&bytes).await,
                Step::Wait(time) => sleep(time).await,
                Step::Unplug => {
                    locked().is_plugged = false;
                    break;
                }
            }
        }
        if did_nothing {
            sleep(LOOK).await;
        }
    }
}
