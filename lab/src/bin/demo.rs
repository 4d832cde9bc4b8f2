//! `make demo`: an alert, two phones, one answer, all real but for the people.
//!
//! Starts a PBX, a telephone network and ringdown on free ports of loopback, posts an alert as
//! Alertmanager sent it, and shows how it goes on: Ana's phone rings out, Ben takes it. Then proves from
//! what Ben's phone recorded that he heard it. With `KEEP=1` everything stays up until Ctrl-C.

use std::{env, fs, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use lab::{
    asterisk::Telephony,
    parts,
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    sound::{self, Pcm},
    voice::Voice,
    wait::until,
};
use ringdown::script::Alert;
use serde_json::Value;
use tokio::time::Instant;

const ANA: &str = "+393331234501";
const BEN: &str = "+393331234502";
/// What Alertmanager posted when two disks were full.
const PAYLOAD: &str = "tests/fixtures/alertmanager/am025-firing-grouped-2.json";
/// Where what Ben heard is put, under the directory that it is started in.
const RECORDING: &str = "target/demo/ben-heard.wav";
/// It takes half of this.
const PATIENCE: Duration = Duration::from_secs(55);
/// From the alert until Ben has heard it.
const HEARD: Duration = Duration::from_secs(40);

/// Everything that was started.
struct Demo {
    telephony: Telephony,
    server: Server,
    voice: Voice,
}

#[tokio::main]
async fn main() -> ExitCode {
    let slot = match Slot::take() {
        Ok(slot) => slot,
        Err(error) => return failed(&error),
    };
    match run(&slot).await {
        Ok(last) => {
            println!("{last}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let code = failed(&error);
            if let Ok(kept) = slot.keep() {
                let logs = ["ringdown/ringdown.log", "pbx/log/messages.log", "net/log/messages.log", "pbx-ami.txt"];
                eprintln!("demo: what happened stands in");
                for log in logs.map(|log| kept.join(log)).iter().filter(|log| log.exists()) {
                    eprintln!("        {}", log.display());
                }
            }
            code
        }
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("demo: {error:#}");
    ExitCode::FAILURE
}

/// The last line.
async fn run(slot: &Slot) -> Result<String> {
    println!("Ana is on call; behind her stands Ben. An alert comes in, and Ana sleeps.\n");
    let began = Instant::now();
    let mut demo = Demo::start(slot).await?;
    println!("  a PBX, a telephone network and ringdown are up after {:.1} s", began.elapsed().as_secs_f32());
    let last = tokio::select! {
        told = demo.tell() => told?,
        () = tokio::time::sleep(PATIENCE) => bail!("nobody had acknowledged after {} s", PATIENCE.as_secs()),
        _ = tokio::signal::ctrl_c() => bail!("stopped by Ctrl-C"),
    };
    if env::var("KEEP").is_ok_and(|keep| !["", "0", "no"].contains(&&*keep)) {
        demo.show();
        println!("\n{last}\n\nEverything stays up until Ctrl-C.");
        tokio::signal::ctrl_c().await?;
        println!();
    }
    demo.server.stop().await?;
    demo.telephony.stop().await?;
    Ok(last)
}

impl Demo {
    async fn start(slot: &Slot) -> Result<Self> {
        let telephony = Telephony::start(slot).await?;
        let step = |target| Step { targets: target, delay: 10, ..Step::default() };
        let mut settings = Settings::new();
        settings
            .pbx(&telephony.pbx)
            .set("asterisk.ring_timeout", 8)
            .set("log.format", "text")
            .contact("Ana", &[ANA])
            .contact("Ben", &[BEN])
            .policy("night", &[step(&["Ana"]), step(&["Ben"])]);
        let program = env::current_exe()?.with_file_name("ringdown");
        let server = Server::start(&program, slot, settings).await?;
        let voice = Voice::open(&slot.directory().join("voice"))?;
        telephony.net.phone(ANA).program("ring").await?;
        telephony.net.phone(BEN).program("ring:2,answer,stay").await?;
        Ok(Self { telephony, server, voice })
    }

    /// From the alert to the proof.
    async fn tell(&self) -> Result<String> {
        let api = &self.server.api;
        let file = parts::project().join(PAYLOAD);
        let payload: Value = serde_json::from_str(&fs::read_to_string(&file).with_context(|| PAYLOAD)?)?;
        let answer = api.post("/api/v2/alerts/alertmanager", &payload).await?;
        let incident =
            answer["results"][0]["incident_id"].as_str().with_context(|| format!("no incident: {answer}"))?;
        println!("  posted {PAYLOAD}, as Alertmanager sent it\n");
        let (ended, heard) = tokio::try_join!(self.follow(incident), self.be_ben(&payload))?;
        ensure!(
            self.telephony.net.phone(ANA).calls().len() == 1 && self.telephony.net.phone(BEN).calls().len() == 1,
            "Ana's and Ben's phones should have rung once each"
        );
        println!("\n{heard}");
        Ok(format!("demo: acknowledged by Ben after {ended:.0} s"))
    }

    /// Prints the timeline as it unfolds; after how many seconds somebody had it.
    async fn follow(&self, incident: &str) -> Result<f64> {
        let path = format!("/api/v2/incidents/{incident}");
        let raised = time(&self.server.api.get(&path).await?["raised_at"])?;
        let (mut after, mut acknowledged, mut ended) = (None::<String>, None, 0);
        loop {
            for line in self.server.api.timeline(incident, after.as_deref()).await? {
                let since = (time(&line["at"])? - raised).as_seconds_f64().max(0.0);
                println!("  {since:5.1} s  {}", line["text"].as_str().unwrap_or_default());
                match (line["kind"].as_str(), line["data"]["by"].as_str()) {
                    (Some("acknowledged"), Some("Ben")) => acknowledged = Some(since),
                    (Some("acknowledged"), by) => bail!("acknowledged by {by:?}, and not by Ben"),
                    (Some("exhausted"), _) => bail!("nobody acknowledged"),
                    (Some("call_ended"), _) => ended += 1,
                    _ => {}
                }
                after = line["id"].as_str().map(str::to_owned);
            }
            match acknowledged {
                Some(since) if ended == 2 => return Ok(since),
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Listens to the whole alert, presses 4, and tells what was heard.
    async fn be_ben(&self, payload: &Value) -> Result<String> {
        let ben = self.telephony.net.phone(BEN);
        let alert = as_it_should_be_spoken(payload);
        let words = self.voice.words(&alert)?;
        let sound = self.voice.text(&words).await?;
        let heard = ben.hears(0, &sound, HEARD).await?;
        ben.press('4').await?;
        let call = ben.call(0, PATIENCE).await?.nth;
        self.telephony.net.wait("Ben's call ends", PATIENCE, |calls| calls[call].ended).await?;
        let recording = self.telephony.net.calls()[call].recording.clone();
        let whole = until("the recording is complete", Duration::from_secs(5), async || {
            let pcm = Pcm::read(&recording)?;
            Ok(Pcm::is_complete(&recording)?.then_some(pcm))
        });
        let whole = whole.await?;
        let first = sound::first_word(&whole).context("Ben heard nothing")?;
        let copy = env::current_dir()?.join(RECORDING);
        fs::create_dir_all(copy.parent().unwrap_or(&PathBuf::new()))?;
        fs::copy(&recording, &copy).with_context(|| copy.display().to_string())?;
        Ok(format!(
            "Ben heard: \"{}\"\n\
             The recording of his earpiece has these words, whole, {:.2} s after he answered (correlation {:.2}),\n\
             and its first sound after {:.2} s:\n  {}\n",
            words.trim(),
            heard.at.as_secs_f32(),
            heard.score,
            first.as_secs_f32(),
            copy.display()
        ))
    }

    /// What one can do while it stays up.
    fn show(&self) {
        let (base, key) = (&self.server.api.base, &self.server.api.key);
        println!("ringdown     {base}   (docs: {base}/docs)");
        println!("API key      {key}");
        println!("PBX's AMI    {}   (user lab, secret {})", self.telephony.pbx.ami, self.telephony.pbx.secret);
        println!("log          {}", self.server.log().display());
        println!("\nTo try:");
        let header = format!("-H 'Authorization: Bearer {key}'");
        let json = "-H 'Content-Type: application/json'";
        println!("  curl -s {header} {base}/api/v2/incidents");
        println!("  curl -s {header} {json} -d '{{\"summary\": \"disk full on db-01\"}}' {base}/api/v2/alerts");
        println!("  curl -s {header} {json} -d '{{\"to\": \"{BEN}\", \"text\": \"Hello Ben\"}}' {base}/api/v2/calls");
    }
}

/// What a group should be spoken as: its name, and the alerts in it, in the order of their fingerprints.
fn as_it_should_be_spoken(payload: &Value) -> Alert<'_> {
    let mut alerts: Vec<&Value> = payload["alerts"].as_array().into_iter().flatten().collect();
    alerts.sort_by_key(|alert| alert["fingerprint"].as_str());
    Alert {
        nth: 1,
        of: 1,
        severity: payload["commonLabels"]["severity"].as_str().unwrap_or_default(),
        summary: payload["groupLabels"]["alertname"].as_str().unwrap_or_default(),
        members: alerts.iter().filter_map(|alert| alert["annotations"]["summary"].as_str()).collect(),
        truncated: 0,
    }
}

/// Parses an instant of the API.
fn time(value: &Value) -> Result<chrono::DateTime<chrono::Utc>> {
    let text = value.as_str().with_context(|| format!("{value} is no time"))?;
    Ok(chrono::DateTime::parse_from_rfc3339(text)?.into())
}
