//! A modem that is open: what it is told once, and what it is asked again and again.

use std::time::Duration;

use tokio::time::sleep;
use tokio_serial::{SerialPort, SerialPortBuilderExt, SerialStream};

use super::{
    Settings,
    at::{AtError, Command, Port, Reason, Refusal, Submission, Unsolicited},
    health::{Health, Identification, Registration, Sim, dbm},
    pdu::{Address, Kind, Pdu},
    sim,
};

/// How often a SIM that is busy, as it is after its PIN, is asked again, and when.
const PATIENCE: u32 = 40;
const BUSY: Duration = Duration::from_millis(500);

/// The answers, short: nothing, numbers for errors, the PDU mode.
const QUIET: Command = Command::fixed("ATE0");
const NUMBERS: Command = Command::fixed("AT+CMEE=1");
const PDU_MODE: Command = Command::fixed("AT+CMGF=0");
const MODE: Command = Command::fixed("AT+CMGF?");
/// What arrives is kept by the SIM, or by the modem.
const STORAGES: [Command; 2] =
    [Command::fixed("AT+CPMS=\"SM\",\"SM\",\"SM\""), Command::fixed("AT+CPMS=\"ME\",\"ME\",\"ME\"")];
/// Whether, and how, it tells by itself: reports are best stored, else said; the rest is polling.
const TELLING: [Command; 5] = [
    Command::fixed("AT+CNMI=2,1,0,2"),
    Command::fixed("AT+CNMI=2,1,0,1"),
    Command::fixed("AT+CNMI=1,1,0,2"),
    Command::fixed("AT+CNMI=1,1,0,1"),
    Command::fixed("AT+CNMI=2,1,0,0"),
];
/// From this service on, what is told directly has to be acknowledged, or nothing more comes.
const SERVICE: Command = Command::fixed("AT+CSMS?");
const ACKNOWLEDGE: Command = Command::fixed("AT+CNMA");
const SMSC: Command = Command::fixed("AT+CSCA?");
const STORAGE: Command = Command::fixed("AT+CPMS?");
const NETWORKS: [Command; 2] = [Command::fixed("AT+CREG?"), Command::fixed("AT+CEREG?")];
const SIGNAL: Command = Command::fixed("AT+CSQ");
const NAMES: Command = Command::fixed("AT+COPS=3,0");
const OPERATOR: Command = Command::fixed("AT+COPS?");
const IDENTITY: [Command; 4] =
    [Command::fixed("AT+CGMI"), Command::fixed("AT+CGMM"), Command::fixed("AT+CGMR"), Command::fixed("AT+CGSN")];
const ALL: Command = Command::fixed("AT+CMGL=4");
const HELLO: Command = Command::fixed("AT");
/// What wakes a mute modem, if anything does: its own settings, then a restart.
const WAKE: [Command; 2] = [Command::fixed("ATZ"), Command::fixed("AT+CFUN=1,1")];

/// Why a modem cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeviceError {
    #[error("cannot open the modem: {0}")]
    Open(#[from] tokio_serial::Error),
    #[error(transparent)]
    At(#[from] AtError),
    #[error("{1}")]
    Sim(Sim, String),
    #[error("the modem has restarted")]
    Restarted,
}

/// A message in the modem's memory.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) index: u16,
    pub(super) kind: Listing,
    pub(super) pdu: Pdu,
}

/// Where it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listing {
    Received,
    /// Written by somebody, and not sent.
    Draft,
    Sent,
}

pub(super) struct Device {
    port: Port<SerialStream>,
    answer_within: Duration,
    prompt_within: Duration,
    sent_within: Duration,
    /// Where something may have arrived. The first one is where it usually does.
    memories: Vec<String>,
    wants_acknowledgement: bool,
    identity: Identification,
}

impl Device {
    /// Opens the line, for nobody else, and makes the modem ready.
    pub(super) async fn open(settings: &Settings) -> Result<(Self, Sim), (Option<Self>, DeviceError)> {
        let path = settings.path.to_string_lossy();
        let stream = tokio_serial::new(path, settings.baud).open_native_async();
        let stream = stream.map_err(|error| (None, error.into()))?;
        // What was said to whoever had it before. (A pseudo terminal may not know how.)
        let _ = stream.clear(tokio_serial::ClearBuffer::All);
        let mut device = Self {
            port: Port::new(stream, settings.answer_within),
            answer_within: settings.answer_within,
            prompt_within: settings.prompt_within,
            sent_within: settings.sent_within,
            memories: Vec::new(),
            wants_acknowledgement: false,
            identity: Identification::default(),
        };
        match device.make_ready(settings).await {
            Ok(sim) => Ok((device, sim)),
            Err(error) => Err((Some(device), error)),
        }
    }

    async fn make_ready(&mut self, settings: &Settings) -> Result<Sim, DeviceError> {
        self.run(&QUIET).await?;
        self.run(&NUMBERS).await?;
        for (command, place) in IDENTITY.iter().zip(0..) {
            let said = self.maybe(command).await?.and_then(|lines| lines.into_iter().next());
            // Some repeat the command.
            let said = said.map(|line| match line.strip_prefix(command.name()) {
                Some(value) => value.trim_start_matches(':').trim().trim_matches('"').to_owned(),
                None => line,
            });
            match place {
                0 => self.identity.manufacturer = said,
                1 => self.identity.model = said,
                2 => self.identity.revision = said,
                _ => self.identity.serial = said,
            }
        }
        match sim::unlock(self, settings).await? {
            Sim::Ready => {}
            Sim::PinRequired => return Err(DeviceError::Sim(Sim::PinRequired, "the SIM still wants a PIN".to_owned())),
            Sim::PukRequired => {
                let why = "the SIM wants its PUK: enter it in a telephone".to_owned();
                return Err(DeviceError::Sim(Sim::PukRequired, why));
            }
            Sim::Absent(why) => return Err(DeviceError::Sim(Sim::Absent(why.clone()), format!("no SIM: {why}"))),
            Sim::Unknown => {
                return Err(DeviceError::Sim(Sim::Unknown, "the SIM does not say what it wants".to_owned()));
            }
        }
        self.run_patiently(&PDU_MODE).await?;
        let mut stores = None;
        for (command, memory) in STORAGES.iter().zip(["SM", "ME"]) {
            match self.run_patiently(command).await {
                Ok(_) => {
                    stores = Some(memory.to_owned());
                    break;
                }
                Err(AtError::Refused(_)) => {}
                Err(gone) => return Err(gone.into()),
            }
        }
        // Without a choice it stores where it always does.
        self.memories = vec![stores.unwrap_or_default()];
        self.set_smsc(settings.smsc.as_ref()).await?;
        for command in &TELLING {
            if self.maybe(command).await?.is_some() {
                break;
            }
        }
        let service = self.value(&SERVICE, "+CSMS", 0).await?;
        self.wants_acknowledgement = service.is_some_and(|service| service != "0");
        self.maybe(&NAMES).await?;
        Ok(Sim::Ready)
    }

    async fn set_smsc(&mut self, smsc: Option<&Address>) -> Result<(), DeviceError> {
        let Some(smsc) = smsc else { return Ok(()) };
        if self.smsc().await?.as_ref() == Some(smsc) {
            return Ok(());
        }
        let kind = if smsc.kind() == Kind::International { 145 } else { 129 };
        if let Ok(command) = Command::new(format!("AT+CSCA=\"{smsc}\",{kind}")) {
            self.run_patiently(&command).await?;
        }
        Ok(())
    }

    pub(super) async fn run(&mut self, command: &Command) -> Result<Vec<String>, AtError> {
        self.port.run(command, self.answer_within).await
    }

    /// Asks again while the SIM is busy.
    pub(super) async fn run_patiently(&mut self, command: &Command) -> Result<Vec<String>, AtError> {
        for _ in 0..PATIENCE {
            match self.run(command).await {
                Err(AtError::Refused(Refusal::Equipment(Reason::Code(14)) | Refusal::Message(Reason::Code(314)))) => {
                    sleep(BUSY).await;
                }
                other => return other,
            }
        }
        self.run(command).await
    }

    /// What not every modem can: `None` if this one says no.
    async fn maybe(&mut self, command: &Command) -> Result<Option<Vec<String>>, AtError> {
        match self.run(command).await {
            Ok(lines) => Ok(Some(lines)),
            Err(AtError::Refused(_)) => Ok(None),
            Err(gone) => Err(gone),
        }
    }

    /// One of the values behind a name, without its quotes.
    async fn value(&mut self, command: &Command, name: &str, place: usize) -> Result<Option<String>, AtError> {
        let lines = self.maybe(command).await?.unwrap_or_default();
        let values = lines.iter().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'));
        let value = values.and_then(|values| values.split(',').nth(place));
        Ok(value.map(|value| value.trim().trim_matches('"').to_owned()))
    }

    async fn smsc(&mut self) -> Result<Option<Address>, AtError> {
        Ok(self.value(&SMSC, "+CSCA", 0).await?.and_then(|smsc| smsc.parse().ok()))
    }

    /// Everything that can change.
    pub(super) async fn health(&mut self) -> Result<Health, DeviceError> {
        let sim = sim::state(self).await?;
        // It forgets this when it restarts, and would then tell of messages in its own words.
        if sim != Sim::Ready || self.value(&MODE, "+CMGF", 0).await?.is_some_and(|mode| mode != "0") {
            return Err(DeviceError::Restarted);
        }
        let mut registration = Registration::Unknown;
        for (command, name) in NETWORKS.iter().zip(["+CREG", "+CEREG"]) {
            let stat = self.value(command, name, 1).await?.and_then(|stat| stat.parse().ok());
            let says = stat.map_or(Registration::Unknown, Registration::of);
            if registration == Registration::Unknown || says.is_registered() {
                registration = says;
            }
            if registration.is_registered() {
                break;
            }
        }
        let signal = self.value(&SIGNAL, "+CSQ", 0).await?.and_then(|rssi| rssi.parse().ok());
        let operator = self.value(&OPERATOR, "+COPS", 2).await?.filter(|name| !name.is_empty());
        let used = self.value(&STORAGE, "+CPMS", 1).await?.and_then(|used| used.parse().ok());
        let total = self.value(&STORAGE, "+CPMS", 2).await?.and_then(|total| total.parse().ok());
        Ok(Health {
            is_up: true,
            why_down: None,
            sim,
            registration,
            signal_dbm: signal.and_then(dbm),
            operator,
            smsc: self.smsc().await?,
            storage: used.zip(total),
            identity: self.identity.clone(),
        })
    }

    pub(super) fn identity(&self) -> &Identification {
        &self.identity
    }

    pub(super) async fn submit(&mut self, pdu: &Pdu) -> Submission {
        self.port.submit(pdu, self.prompt_within, self.sent_within).await
    }

    pub(super) async fn listen(&mut self) -> Result<Unsolicited, AtError> {
        self.port.listen().await
    }

    pub(super) fn unsolicited(&mut self) -> Option<Unsolicited> {
        self.port.unsolicited()
    }

    /// Says that what was told directly has arrived.
    pub(super) async fn acknowledge(&mut self) -> Result<(), AtError> {
        if self.wants_acknowledgement {
            self.maybe(&ACKNOWLEDGE).await?;
        }
        Ok(())
    }

    /// Something was put into this memory. Looked into from now on, if its name is one.
    pub(super) fn stores_in(&mut self, memory: &str) {
        let is_name = memory.len() == 2 && memory.bytes().all(|byte| byte.is_ascii_uppercase());
        if is_name && !self.memories.iter().any(|known| known == memory) {
            self.memories.push(memory.to_owned());
        }
    }

    /// The memories there are to look into.
    pub(super) fn memories(&self) -> Vec<String> {
        self.memories.clone()
    }

    /// Looks into a memory.
    pub(super) async fn list(&mut self, memory: &str) -> Result<Vec<Listed>, AtError> {
        if self.memories.len() > 1
            && let Ok(choose) = Command::new(format!("AT+CPMS=\"{memory}\""))
            && self.maybe(&choose).await?.is_none()
        {
            return Ok(Vec::new());
        }
        let lines = self.maybe(&ALL).await?.unwrap_or_default();
        Ok(listed(&lines))
    }

    /// Deletes from the memory that was looked into last.
    pub(super) async fn delete(&mut self, index: u16) -> Result<bool, AtError> {
        let Ok(command) = Command::new(format!("AT+CMGD={index}")) else { return Ok(false) };
        Ok(self.maybe(&command).await?.is_some())
    }

    /// Whether it still answers, late or not.
    pub(super) async fn answers(&mut self) -> Result<(), AtError> {
        self.run(&HELLO).await.map(|_| ())
    }

    /// A restart, for one that does not.
    pub(super) async fn wake(&mut self) {
        for command in &WAKE {
            if self.port.say(command).await.is_err() {
                return;
            }
        }
    }
}

/// `+CMGL: index,stat,[alpha],length`, and the PDU on the next line.
fn listed(lines: &[String]) -> Vec<Listed> {
    let entry = |pair: &[String]| {
        let mut values = pair[0].strip_prefix("+CMGL:")?.split(',').map(str::trim);
        let index = values.next()?.parse().ok()?;
        let kind = match values.next()? {
            "0" | "1" => Listing::Received,
            "2" => Listing::Draft,
            "3" => Listing::Sent,
            _ => return None,
        };
        Some(Listed { index, kind, pdu: Pdu::from_hex(&pair[1]).ok()? })
    };
    lines.windows(2).filter_map(entry).collect()
}
