//! The SIM's PIN: entered once, and never so often that the SIM locks itself.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    Settings,
    at::{AtError, Command, Reason, Refusal},
    device::{Device, DeviceError},
    health::Sim,
};

/// Digests of the PINs that were entered and not accepted, with the path of the modem. It outlives every connection
/// and every task, and where there is a file for it the process, too: each further try could be the last one.
static ENTERED: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// With fewer tries left than this no PIN is entered: the last one belongs to a person.
const TRIES_LEFT: u8 = 2;

/// The lengths that 3GPP TS 31.101 allows.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

const STATE: Command = Command::fixed("AT+CPIN?");
/// How many tries are left: 3GPP's, and what Huawei's modems have in its stead.
const TRIES: [Command; 2] = [Command::fixed("AT+CPINR=\"SIM PIN\""), Command::fixed("AT^CPIN?")];

/// Makes the SIM ready, if it can be.
pub(super) async fn unlock(device: &mut Device, settings: &Settings) -> Result<Sim, DeviceError> {
    let sim = state(device).await?;
    let file = settings.wrong_pins.as_deref();
    if sim == Sim::Ready
        && let Some(pin) = &settings.pin
        && was_entered(&digest(&settings.path, pin), file).is_ok_and(|entered| entered)
    {
        // It was right, and we died before we could say so; or another was, and all tries are there again.
        forget(&digest(&settings.path, pin), file).map_err(|error| no_memory(&error))?;
    }
    if sim != Sim::PinRequired {
        return Ok(sim);
    }
    let Some(pin) = &settings.pin else { return Err(locked("the SIM wants a PIN, and none is configured")) };
    let digits = pin.expose_secret();
    if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(locked("the configured PIN is none: a PIN has 4 to 8 digits"));
    }
    let this = digest(&settings.path, pin);
    if was_entered(&this, file).map_err(|error| no_memory(&error))? {
        return Err(locked("the configured PIN was not accepted, so it is not entered again"));
    }
    if let Some(left) = tries_left(device).await?
        && left < TRIES_LEFT
    {
        return Err(locked("the SIM allows one more try only, so no PIN is entered: enter it in a telephone"));
    }
    // Whatever happens from here on, this was the one time, unless it was right.
    remember(&this, file).map_err(|error| no_memory(&error))?;
    let enter = Command::new(format!("AT+CPIN=\"{digits}\"")).map_err(|_| locked("the configured PIN is none"))?;
    match device.run(&enter).await {
        Ok(_) => forget(&this, file).map_err(|error| no_memory(&error))?,
        Err(AtError::Refused(refusal)) => {
            return Err(DeviceError::Sim(Sim::PinRequired, format!("the SIM did not accept the PIN: {refusal}")));
        }
        Err(gone) => return Err(gone.into()),
    }
    // It wakes up, which takes seconds.
    device.run_patiently(&STATE).await?;
    state(device).await
}

/// What the SIM wants.
pub(super) async fn state(device: &mut Device) -> Result<Sim, DeviceError> {
    let said = match device.run_patiently(&STATE).await {
        Ok(lines) => lines,
        Err(AtError::Refused(refusal)) => return Ok(without_a_sim(&refusal)),
        Err(gone) => return Err(gone.into()),
    };
    let said = said.iter().find_map(|line| line.strip_prefix("+CPIN:")).map_or("", str::trim);
    Ok(match said.trim_matches('"') {
        "READY" => Sim::Ready,
        "SIM PIN" => Sim::PinRequired,
        "SIM PUK" => Sim::PukRequired,
        other => Sim::Absent(format!("the modem wants {other:?}")),
    })
}

fn without_a_sim(refusal: &Refusal) -> Sim {
    match refusal {
        Refusal::Equipment(Reason::Code(11)) | Refusal::Message(Reason::Code(311)) => Sim::PinRequired,
        Refusal::Equipment(Reason::Code(12)) | Refusal::Message(Reason::Code(316)) => Sim::PukRequired,
        other => Sim::Absent(other.to_string()),
    }
}

/// `None` if the modem cannot tell.
async fn tries_left(device: &mut Device) -> Result<Option<u8>, DeviceError> {
    for command in &TRIES {
        match device.run(command).await {
            // `+CPINR: SIM PIN,3,3` or `^CPIN: SIM PIN,,10,3,10,3`: times are left for PUK, PIN, PUK2, PIN2.
            Ok(lines) => {
                let values = lines.iter().find_map(|line| line.split_once(':')).map_or("", |(_, values)| values);
                let place = if command.name() == "+CPINR" { 1 } else { 3 };
                if let Some(left) = values.split(',').nth(place).and_then(|value| value.trim().parse().ok()) {
                    return Ok(Some(left));
                }
            }
            Err(AtError::Refused(_)) => {}
            Err(gone) => return Err(gone.into()),
        }
    }
    Ok(None)
}

fn locked(why: &str) -> DeviceError {
    DeviceError::Sim(Sim::PinRequired, why.to_owned())
}

fn no_memory(error: &io::Error) -> DeviceError {
    locked(&format!("whether the PIN was entered before cannot be kept in mind, so it is not entered: {error}"))
}

/// What stands for a PIN at a modem.
fn digest(path: &Path, pin: &SecretString) -> String {
    let mut digest = Sha256::new();
    digest.update(path.as_os_str().as_encoded_bytes());
    digest.update([0]);
    digest.update(pin.expose_secret());
    hex::encode(digest.finalize())
}

fn was_entered(this: &str, file: Option<&Path>) -> io::Result<bool> {
    entered(|entered| Ok(entered.iter().any(|one| one == this) || read(file)?.lines().any(|line| line == this)))
}

fn remember(this: &str, file: Option<&Path>) -> io::Result<()> {
    entered(|entered| {
        entered.push(this.to_owned());
        let Some(file) = file else { return Ok(()) };
        let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(file)?;
        writeln!(file, "{this}")?;
        file.sync_all()
    })
}

fn forget(this: &str, file: Option<&Path>) -> io::Result<()> {
    entered(|entered| {
        entered.retain(|one| one != this);
        let Some(path) = file else { return Ok(()) };
        let others: String = read(file)?.lines().filter(|line| *line != this).map(|line| format!("{line}\n")).collect();
        fs::write(path, others)
    })
}

fn read(file: Option<&Path>) -> io::Result<String> {
    match file.map(fs::read_to_string) {
        None => Ok(String::new()),
        Some(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Some(read) => read,
    }
}

fn entered<T>(with: impl FnOnce(&mut Vec<String>) -> T) -> T {
    with(&mut ENTERED.lock().unwrap_or_else(PoisonError::into_inner))
}
