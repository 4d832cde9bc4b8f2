//! The SIM's PIN: entered once, and never so often that the SIM locks itself.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    at::{AtError, Command, Reason, Refusal},
    device::{Device, DeviceError},
    health::Sim,
};

/// The PINs that were entered and not accepted, with the path of the modem. It outlives every connection and
/// every task: each further try could be the last one.
static ENTERED: Mutex<Vec<(PathBuf, SecretString)>> = Mutex::new(Vec::new());
/// With fewer tries left than this no PIN is entered: the last one belongs to a person.
const TRIES_LEFT: u8 = 2;

/// The lengths that 3GPP TS 31.101 allows.
const DIGITS: std::ops::RangeInclusive<usize> = 4..=8;

const STATE: Command = Command::fixed("AT+CPIN?");
/// How many tries are left: 3GPP's, and what Huawei's modems have in its stead.
const TRIES: [Command; 2] = [Command::fixed("AT+CPINR=\"SIM PIN\""), Command::fixed("AT^CPIN?")];

/// Makes the SIM ready, if it can be.
pub(super) async fn unlock(device: &mut Device, path: &Path, pin: Option<&SecretString>) -> Result<Sim, DeviceError> {
    let sim = state(device).await?;
    if sim != Sim::PinRequired {
        return Ok(sim);
    }
    let Some(pin) = pin else { return Err(locked("the SIM wants a PIN, and none is configured")) };
    let digits = pin.expose_secret();
    if !DIGITS.contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(locked("the configured PIN is none: a PIN has 4 to 8 digits"));
    }
    if was_entered(path, pin) {
        return Err(locked("the configured PIN was not accepted, so it is not entered again"));
    }
    if let Some(left) = tries_left(device).await?
        && left < TRIES_LEFT
    {
        return Err(locked("the SIM allows one more try only, so no PIN is entered: enter it in a telephone"));
    }
    // Whatever happens from here on, this was the one time, unless it was right.
    remember(path, pin);
    let enter = Command::new(format!("AT+CPIN=\"{digits}\"")).map_err(|_| locked("the configured PIN is none"))?;
    match device.run(&enter).await {
        Ok(_) => forget(path, pin),
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

fn was_entered(path: &Path, pin: &SecretString) -> bool {
    entered(|entered| entered.iter().any(|one| is(one, path, pin)))
}

fn remember(path: &Path, pin: &SecretString) {
    entered(|entered| entered.push((path.to_owned(), pin.clone())));
}

fn forget(path: &Path, pin: &SecretString) {
    entered(|entered| entered.retain(|one| !is(one, path, pin)));
}

fn is((its_path, its_pin): &(PathBuf, SecretString), path: &Path, pin: &SecretString) -> bool {
    its_path == path && its_pin.expose_secret() == pin.expose_secret()
}

fn entered<T>(with: impl FnOnce(&mut Vec<(PathBuf, SecretString)>) -> T) -> T {
    with(&mut ENTERED.lock().unwrap_or_else(PoisonError::into_inner))
}
