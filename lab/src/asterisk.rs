//! Two Asterisks, each private and without root: the PBX that ringdown talks to, and the telephone
//! network behind it. What they are configured to do is in `lab/asterisk`.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use ringdown::ami::{self, Action, Client, Message, Notice, Notices};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    parts,
    phone::Net,
    process::{Launch, Process},
    secret::secret,
    slot::Slot,
    tap::Tap,
    wait::until,
};

/// From its start to its readiness it takes about a second; more on a machine that has much to do.
const BOOT: Duration = Duration::from_secs(60);
/// From SIGTERM to its end it takes about a second.
const END: Duration = Duration::from_secs(15);

/// The PBX and the network, connected to each other.
pub struct Telephony {
    /// What ringdown talks to.
    pub pbx: Asterisk,
    /// What the telephones hang on.
    pub net: Net,
    /// Everything that the PBX said over its manager interface since it came up.
    pub tap: Tap,
}

/// One Asterisk.
pub struct Asterisk {
    /// `host:port` of its manager interface.
    pub ami: String,
    /// `host:port` of the same over TLS, with [`Asterisk::certificate`].
    pub ami_tls: String,
    /// The secret of its manager users `lab` and, on the PBX, `ringdown`.
    pub secret: String,
    process: Process,
    directory: PathBuf,
    client: Client,
    goodbye: CancellationToken,
    _link: JoinHandle<()>,
}

struct Plan<'a> {
    role: &'static str,
    directory: PathBuf,
    ami: u16,
    ami_tls: u16,
    sip: u16,
    peer: u16,
    rtp: (u16, u16),
    events: &'static [&'static str],
    settings: &'a [String],
}

impl Telephony {
    /// Starts both, and waits until they are ready.
    ///
    /// # Errors
    /// If one does not come up.
    pub async fn start(slot: &Slot) -> Result<Self> {
        Self::start_with(slot, &[]).await
    }

    /// As [`Telephony::start`], with settings for `lab/asterisk/instance` such as `SUPPRESS_REASON=no`.
    ///
    /// # Errors
    /// If one does not come up.
    pub async fn start_with(slot: &Slot, settings: &[String]) -> Result<Self> {
        let (pbx_sip, net_sip) = (slot.port(), slot.port());
        let plan = |role, sip, peer, rtp, events| Plan {
            role,
            directory: slot.directory().join(role),
            ami: slot.port(),
            ami_tls: slot.port(),
            sip,
            peer,
            rtp,
            events,
            settings,
        };
        let pbx = plan("pbx", pbx_sip, net_sip, slot.pbx_rtp(), &["FullyBooted"]);
        let net = plan("net", net_sip, pbx_sip, slot.net_rtp(), Net::EVENTS);
        let ((pbx, _), (net, notices)) = tokio::try_join!(Asterisk::start(pbx), Asterisk::start(net))?;
        let tap = Tap::start(&pbx.ami, &pbx.secret, &slot.directory().join("pbx-ami.txt")).await?;
        Ok(Self { pbx, net: Net::new(net, notices), tap })
    }

    /// Stops both.
    ///
    /// # Errors
    /// If one had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        let (pbx, net) = tokio::join!(self.pbx.stop(), self.net.asterisk.stop());
        pbx.and(net)
    }
}

impl Asterisk {
    async fn start(plan: Plan<'_>) -> Result<(Self, Notices)> {
        let program = parts::asterisk()?;
        let secret = secret();
        configure(&plan, &secret).await?;
        let launch = Launch {
            name: plan.role,
            program,
            arguments: vec!["-f".into(), "-C".into(), plan.directory.join("etc/asterisk.conf").into()],
            environment: Vec::new(),
            log: plan.directory.join("log/console.log"),
            user: None,
        };
        let mut process = Process::start(&launch)?;
        let ami = format!("127.0.0.1:{}", plan.ami);
        listening(&ami, &mut process).await?;
        let mut settings = ami::Settings::new(&ami, "lab", secret.clone().into());
        settings.events = plan.events;
        settings.queue = 100_000;
        let goodbye = CancellationToken::new();
        let (client, mut notices, link) = ami::start(settings, rand::random, goodbye.clone());
        timeout(BOOT, booted(&mut notices)).await.with_context(|| format!("{} is not fully booted", plan.role))??;
        let ami_tls = format!("127.0.0.1:{}", plan.ami_tls);
        let directory = plan.directory;
        Ok((Self { ami, ami_tls, secret, process, directory, client, goodbye, _link: link }, notices))
    }

    /// The certificate of its manager interface over TLS, for `localhost` and 127.0.0.1. It is there if
    /// the machine has openssl.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.join("keys/ami.crt")
    }

    /// Asks it to do something, as manager user `lab`, who may do everything.
    ///
    /// # Errors
    /// If it refuses, or cannot be asked.
    pub async fn act(&self, action: Action) -> Result<Message> {
        let name = action.name();
        self.client.act(action).await.with_context(|| format!("{name} on {}", self.process_name()))
    }

    /// What a command of its console says.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn console(&self, command: &str) -> Result<String> {
        let answer = self.act(Action::new("Command").header("Command", command)?).await?;
        Ok(answer.all("Output").collect::<Vec<_>>().join("\n"))
    }

    /// How many channels it has.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn channels(&self) -> Result<usize> {
        Ok(self.client.list(Action::new("CoreShowChannels"), "CoreShowChannelsComplete").await?.len())
    }

    /// The file with its notices, warnings and errors.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("log/messages.log")
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Kills it, as a power cut would.
    ///
    /// # Errors
    /// If the system does not let us.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.kill().await
    }

    /// Starts it again after [`Asterisk::kill`] or [`Asterisk::stop`]; ready when this returns.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn restart(&mut self) -> Result<()> {
        self.process.restart()?;
        self.comes_back().await
    }

    /// Tells it something on its own console, `core restart now` for one, as its administrator would. What comes back
    /// is the console, which stays until it is answered or dropped: `core stop gracefully` has it wait for a minute.
    ///
    /// # Errors
    /// If there is no console.
    pub fn tell(&self, words: &str) -> Result<Child> {
        Command::new(parts::asterisk()?)
            .arg("-C")
            .arg(self.directory.join("etc/asterisk.conf"))
            .args(["-rx", words])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{words} on {}", self.process_name()))
    }

    /// Waits until it has ended by itself, as it was told to.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ends(&mut self, within: Duration) -> Result<()> {
        self.process.ends(within).await.map(drop)
    }

    /// Waits until the manager lets us in again, after `core restart now`.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn comes_back(&mut self) -> Result<()> {
        listening(&self.ami, &mut self.process).await?;
        self.is_booted().await
    }

    async fn is_booted(&self) -> Result<()> {
        let mut connected = self.client.watch();
        timeout(BOOT, connected.wait_for(|connected| *connected)).await.context("the manager does not let us in")??;
        let client = &self.client;
        until("fully booted", BOOT, async || {
            let command = Action::new("Command").header("Command", "core waitfullybooted")?;
            Ok(client.act(command).await.ok())
        })
        .await?;
        Ok(())
    }

    /// Stops it.
    ///
    /// # Errors
    /// If it had to be killed.
    pub async fn stop(&mut self) -> Result<()> {
        self.goodbye.cancel();
        self.process.stop(END).await.map(drop)
    }

    fn process_name(&self) -> std::borrow::Cow<'_, str> {
        self.directory.file_name().unwrap_or_default().to_string_lossy()
    }
}

/// Writes its directory.
async fn configure(plan: &Plan<'_>, secret: &str) -> Result<()> {
    let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("asterisk/instance"));
    command.arg(plan.role).arg(&plan.directory);
    for (key, value) in [
        ("AMI_PORT", plan.ami),
        ("AMI_TLS_PORT", plan.ami_tls),
        ("SIP_PORT", plan.sip),
        ("PEER_SIP_PORT", plan.peer),
        ("RTP_START", plan.rtp.0),
        ("RTP_END", plan.rtp.1),
    ] {
        command.arg(format!("{key}={value}"));
    }
    command.arg(format!("SECRET={secret}")).args(plan.settings);
    let output = command.output().await.context("lab/asterisk/instance")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

async fn listening(address: &str, process: &mut Process) -> Result<()> {
    until(format!("the manager interface on {address}"), BOOT, async || {
        process.still_runs()?;
        Ok(TcpStream::connect(address).await.ok().map(drop))
    })
    .await
}

async fn booted(notices: &mut Notices) -> Result<()> {
    loop {
        match notices.next().await {
            Some(Notice::Event(event)) if event.event() == Some("FullyBooted") => return Ok(()),
            Some(_) => {}
            None => bail!("the manager connection has ended"),
        }
    }
}
