//! `ringdown check`: tries everything that the server needs, and says what to do about what fails.

use std::{fs, path::Path, time::Duration};

use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::ConfigFile;
use crate::{
    ami::{self, Notice},
    api, app,
    bus::Bus,
    clock::Clock,
    config::{self, Asterisk, Config, Modem},
    engine::Engine,
    modem,
    speech::Speech,
    store::Store,
    twilio::Twilio,
};

/// What a part that does not answer is given.
const PATIENCE: Duration = Duration::from_secs(8);

/// A modem takes its time to find its network.
const MODEM: Duration = Duration::from_secs(20);

/// What was tried, and what to do about it if it failed.
struct Finding {
    what: String,
    outcome: Outcome,
}

enum Outcome {
    Good(String),
    /// Worth knowing, and what to do.
    Remark(String, &'static str),
    /// It must be mended, and how.
    Bad(String, &'static str),
}

fn good(what: &str, detail: impl Into<String>) -> Finding {
    Finding { what: what.to_owned(), outcome: Outcome::Good(detail.into()) }
}

fn bad(what: &str, detail: impl Into<String>, advice: &'static str) -> Finding {
    Finding { what: what.to_owned(), outcome: Outcome::Bad(detail.into(), advice) }
}

pub(super) async fn run(file: &ConfigFile) -> anyhow::Result<u8> {
    let config = match file.load() {
        Ok(config) => config,
        Err(mistakes) => {
            println!("FAIL  configuration: {mistakes}");
            return Ok(1);
        }
    };
    let mut findings = vec![good("configuration", "has no mistakes")];
    let (store, opened) = database(&config).await;
    findings.push(opened);
    findings.extend(people(&config, store).await);
    findings.push(http(&config).await);
    findings.push(fast_agi(&config).await);
    findings.push(speech(&config).await);
    match &config.asterisk {
        Some(asterisk) => findings.push(manager(asterisk).await),
        None => findings.push(bad("PBX", "none is configured", "add a section [asterisk]; until then calls wait")),
    }
    for configured in &config.modems {
        findings.push(modem(&config, configured).await);
    }
    if let Some(account) = &config.twilio {
        findings.extend(twilio(account).await);
    }
    let mut failed = false;
    for Finding { what, outcome } in findings {
        match outcome {
            Outcome::Good(detail) => println!("ok    {what}: {detail}"),
            Outcome::Remark(detail, advice) => println!("note  {what}: {detail}\n      what to do: {advice}"),
            Outcome::Bad(detail, advice) => {
                failed = true;
                println!("FAIL  {what}: {detail}\n      what to do: {advice}");
            }
        }
    }
    Ok(failed.into())
}

async fn database(config: &Config) -> (Option<Store>, Finding) {
    let advice = "check database.url, and that the server's user may write to the data directory";
    if let Err(error) = fs::create_dir_all(&config.server.data) {
        return (None, bad("database", format!("{}: {error}", config.server.data.display()), advice));
    }
    match Store::open(&config.database_url()).await {
        Ok(store) => (Some(store), good("database", "opens, and its schema is up to date")),
        Err(error) => (None, bad("database", error.to_string(), advice)),
    }
}

async fn people(config: &Config, store: Option<Store>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let kept = match &store {
        Some(store) => store.keys().await.map_or(0, |keys| keys.len()),
        None => 0,
    };
    findings.push(match config.api_keys.len() + kept {
        0 => bad("API keys", "none", "make one with `ringdown key create`: without one every alert is refused"),
        keys => good("API keys", format!("{keys} of them")),
    });
    let Some(store) = store else { return findings };
    // What the file has to say about people counts once, when the server first starts.
    if let Err(error) = app::seed(&store, config, &Clock::System).await {
        findings.push(bad("people of the file", error.to_string(), "the database does not take them"));
        return findings;
    }
    let engine = Engine::new(store, Bus::default(), Clock::System);
    let engine = match app::worth_texting(config) {
        Some(worth) => engine.with_texts(worth),
        None => engine,
    };
    match engine.findings(&config.rules()).await {
        Ok(found) if found.is_empty() => findings.push(good("readiness", "nobody is forgotten, no schedule has a gap")),
        Ok(found) => findings.extend(found.into_iter().map(|found| {
            let detail = format!("{}: {}", found.subject, found.detail);
            // Nobody is left uncalled because of it.
            let harmless = ["policy_unused", "rule_never_matches", "texts_turned_off"].contains(&found.kind);
            let outcome =
                if harmless { Outcome::Remark(detail, found.advice) } else { Outcome::Bad(detail, found.advice) };
            Finding { what: found.kind.replace('_', " "), outcome }
        })),
        Err(error) => findings.push(bad("readiness", error.to_string(), "the database does not answer")),
    }
    findings
}

async fn http(config: &Config) -> Finding {
    match app::can_bind(config.server.listen).await {
        Ok(()) => good("HTTP", format!("{} is free", config.server.listen)),
        Err(_) if TcpStream::connect(config.server.listen).await.is_ok() => {
            good("HTTP", format!("something listens on {} already (ringdown itself?)", config.server.listen))
        }
        Err(error) => bad("HTTP", format!("{}: {error}", config.server.listen), "choose another server.listen"),
    }
}

async fn fast_agi(config: &Config) -> Finding {
    let url = config.agi_url();
    let address = url.trim_start_matches("agi://").trim_end_matches('/').to_owned();
    let address = if address.contains(':') { address } else { format!("{address}:4573") };
    // Ours if nothing is there yet: bind it, and see that its own address leads to it.
    let _ours = tokio::net::TcpListener::bind(config.agi.listen).await;
    match tokio::time::timeout(PATIENCE, TcpStream::connect(&address)).await {
        Ok(Ok(_)) => good("FastAGI", format!("the PBX will be sent to {url}, which leads here")),
        _ => bad("FastAGI", format!("{url} leads nowhere from here"), "check agi.url and agi.listen"),
    }
}

async fn speech(config: &Config) -> Finding {
    let settings = app::speech_settings(config);
    let advice = "install espeak-ng (or set speech.program), and let the server's user write to the sound directory";
    let directory = settings.directory.clone();
    let speech = match Speech::open(settings) {
        Ok(speech) => speech,
        Err(error) => return bad("speech", format!("{}: {error}", directory.display()), advice),
    };
    match speech.say("en", &["ringdown speaks"], Clock::System.now().into()).await {
        Ok(sound) => {
            let seconds = sound.parts.iter().sum::<u64>() / 1000;
            match unreadable(&directory) {
                None => good("speech", format!("{seconds} s of sound in {}", directory.display())),
                Some(parent) => bad(
                    "speech",
                    format!("{} cannot be passed through by other users", parent.display()),
                    "let the PBX's user read the sound directory (chmod o+x on what is above it)",
                ),
            }
        }
        Err(error) => bad("speech", error.to_string(), advice),
    }
}

/// A directory above the sounds that the PBX's user cannot pass through.
fn unreadable(directory: &Path) -> Option<std::path::PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let absolute = directory.canonicalize().ok()?;
    let closed = |path: &&Path| fs::metadata(path).is_ok_and(|about| about.permissions().mode() & 0o001 == 0);
    absolute.ancestors().find(closed).map(Path::to_owned)
}

/// Only one can have it open: while the server runs, that is the server.
async fn modem(config: &Config, configured: &Modem) -> Finding {
    let what = format!("modem {}", configured.name);
    let (modem, mut notices) = modem::Modem::start(app::modem_settings(config, configured));
    let first = async {
        while let Some(notice) = notices.recv().await {
            match notice {
                modem::Notice::Up => return Ok(modem.health()),
                modem::Notice::Down { why } => return Err(why),
                _ => {}
            }
        }
        Err("it was closed".to_owned())
    };
    let advice = "is it plugged in, is the user of the server in the group of its line (dialout), does ModemManager \
                  leave it alone, and is the server stopped while you check?";
    match tokio::time::timeout(MODEM, first).await {
        Ok(Ok(health)) if health.registration.is_registered() => {
            let signal = health.signal_dbm.map_or_else(String::new, |dbm| format!(", {dbm} dBm"));
            good(&what, format!("works, {}{signal}", health.operator.as_deref().unwrap_or("registered")))
        }
        Ok(Ok(health)) => bad(&what, format!("has no network ({:?})", health.registration), "look at SIM and antenna"),
        Ok(Err(why)) => bad(&what, why, advice),
        Err(_) => bad(&what, "does not answer", advice),
    }
}

/// Whether the account answers us. Whether it may send is known when it has.
async fn twilio(account: &config::Twilio) -> Vec<Finding> {
    let what = account.name.as_str();
    let advice = "compare twilio.account, token or key with Twilio's console, and see that the internet is there";
    let answer = match Twilio::new(account.settings()) {
        Ok(twilio) => twilio.answers().await.map_err(|trouble| trouble.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let mut findings = vec![match answer {
        Ok(()) => good(what, format!("answers; texts are asked after every {} s", account.poll().as_secs())),
        Err(why) => bad(what, why, advice),
    }];
    if let Some(public) = &account.public_url {
        let told =
            format!("{} is where Twilio tells of texts that come in", api::twilio_url(public, api::TWILIO_INBOUND));
        let advice =
            "name it in Twilio's console, at the number or the messaging service; until then they are asked for";
        findings.push(Finding { what: what.to_owned(), outcome: Outcome::Remark(told, advice) });
    } else if account.numbers().is_empty() {
        let detail = "answers are not asked for: the numbers that they come to are not known".to_owned();
        let advice = "list them in twilio.numbers, or set twilio.public_url";
        findings.push(Finding { what: what.to_owned(), outcome: Outcome::Remark(detail, advice) });
    }
    findings
}

async fn manager(asterisk: &Asterisk) -> Finding {
    let stop = CancellationToken::new();
    let (client, mut notices, _task) = ami::start(app::ami_settings(asterisk), || 0.0, stop.clone());
    let first = tokio::time::timeout(PATIENCE, notices.next()).await;
    let finding = match first {
        Ok(Some(Notice::Connected { banner })) => {
            match client.list(ami::Action::new("Status"), "StatusComplete").await {
                Ok(_) => good("PBX", format!("logged in to {} ({banner})", asterisk.address)),
                Err(error) => bad("PBX", error.to_string(), "give the manager user write=originate,call"),
            }
        }
        Ok(Some(Notice::Disconnected { reason })) => bad(
            "PBX",
            format!("{}: {reason}", asterisk.address),
            "check asterisk.address, user and secret against manager.conf, and its permit line",
        ),
        _ => bad("PBX", format!("{} does not answer", asterisk.address), "is Asterisk up, and manager.conf enabled?"),
    };
    stop.cancel();
    finding
}
