//! What is on the bad days: a server that dies, a PBX that is away, speech that fails, strangers on FastAGI.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Duration};

use anyhow::{Context, Result};
use lab::{
    settings::{Settings, Step},
    wait::until,
};
use ringdown::script::{Alert, Line};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{ANA, BEN, SOON, story, story_mut, story_on};

fn ana(settings: &mut Settings) {
    settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
    settings.set("asterisk.ring_timeout", 60);
}

#[tokio::test]
async fn killed_while_somebody_listens_it_comes_back_and_they_can_still_acknowledge() {
    story_mut(ana, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?;
        h.server.kill().await?;
        h.server.restart().await?;
        h.told(&id, "reconnected").await?;
        h.told_times(&id, "speaking", 2).await?;
        h.phone(ANA).presses('4').await?;
        assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Ana");
        h.phone(ANA).is_hung_up().await?;
        let call = h.record(&id).await?;
        assert_eq!((call["status"].as_str(), call["disposition"].as_str()), (Some("completed"), Some("ANSWERED")));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_conversation_that_outlives_the_server_goes_on_to_its_end() {
    let long = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 120, ..Step::default() }]);
        settings.set("asterisk.ring_timeout", 5).set("call.repeat", 4);
    };
    story_mut(long, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?;
        h.server.kill().await?;
        h.server.restart().await?;
        h.phone(ANA).hears_line(&Line::NotAcknowledged).await?;
        h.phone(ANA).is_hung_up().await?;
        assert_eq!(h.record(&id).await?["status"], "completed");
        h.says(&id, "resolve").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn killed_while_the_phone_rings_the_call_is_adopted_and_nobody_is_called_twice() {
    story_mut(ana, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        h.server.kill().await?;
        h.server.restart().await?;
        h.phone(ANA).answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        assert_eq!(h.record(&id).await?["digits"], "4");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn while_the_pbx_is_away_a_call_waits_and_nothing_is_used_up() {
    story_mut(ana, async |h| {
        h.expects_error("manager connection is down");
        h.expects_error("a call waits");
        h.telephony.pbx.kill().await?;
        until("the loss is noticed", Duration::from_secs(30), async || {
            Ok((!h.server.part_works("pbx").await?).then_some(()))
        })
        .await?;
        let id = h.raise("Disk full").await?;
        h.told(&id, "call_waits").await?;
        h.telephony.pbx.restart().await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        assert_eq!(h.kinds(&id).await?.iter().filter(|kind| *kind == "attempt").count(), 1);
        h.record(&id).await?;
        Ok(())
    })
    .await;
}

/// An engine that speaks every text but one.
fn engine_that_chokes(on: &str) -> Result<tempfile::TempPath> {
    let real = lab::parts::espeak()?;
    engine(&format!(
        "text=$(cat)\ncase $text in *\"{on}\"*) sleep 600 ;; esac\nprintf '%s\\n' \"$text\" | exec {} \"$@\"",
        real.display()
    ))
}

/// An engine whose own files may be as large as they like, whatever holds for whoever starts it.
fn engine_without_limits() -> Result<tempfile::TempPath> {
    engine(&format!("ulimit -S -f unlimited\nexec {} \"$@\"", lab::parts::espeak()?.display()))
}

fn engine(script: &str) -> Result<tempfile::TempPath> {
    let script = format!("#!/bin/sh\n{script}\n");
    let file = tempfile::Builder::new().suffix(".sh").tempfile()?;
    std::fs::write(file.path(), script)?;
    std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o755))?;
    Ok(file.into_temp_path())
}

#[tokio::test]
async fn a_text_that_cannot_be_spoken_is_replaced_by_the_stand_in_and_delays_no_other() {
    let engine = engine_that_chokes("unspeakable").expect("an engine");
    let program = engine.to_string_lossy().into_owned();
    let setup = move |settings: &mut Settings| {
        settings.policy("ana", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
        settings.policy("ben", &[Step { targets: &["Ben"], delay: 60, ..Step::default() }]);
        settings.set("speech.deadline", 2);
        settings.set("speech.program", program.as_str());
    };
    story(setup, async |h| {
        h.expects_error("an alert cannot be spoken");
        let bad = h.post_alert(serde_json::json!({ "summary": "unspeakable", "policy": "ana" })).await?;
        let good = h.post_alert(serde_json::json!({ "summary": "Disk full", "policy": "ben" })).await?;
        let (ana, ben) = (h.phone(ANA), h.phone(BEN));
        ana.rings().await?.answers().await?;
        ben.rings().await?.answers().await?;
        ben.hears_alert("Disk full").await?;
        ben.presses('4').await?;
        h.is(&good, "acknowledged").await?;
        ana.hears_line(&Line::StandIn).await?;
        ana.presses('4').await?;
        h.is(&bad, "acknowledged").await?;
        h.told(&bad, "speech_failed").await?;
        ana.is_hung_up().await?;
        ben.is_hung_up().await?;
        Ok(())
    })
    .await;
}

/// The standing prompts are made, the last of them included.
async fn prompts_are_ready(sounds: &Path) -> Result<()> {
    until("the prompts are made", SOON, async || Ok(sounds.join("try-later.wav").exists().then_some(()))).await
}

#[tokio::test]
async fn a_full_sound_directory_delays_nobody_and_the_stand_in_is_heard() {
    // On PostgreSQL: of all that the server writes only sounds are large then.
    let url = lab::postgres::database().await.expect("a database");
    let engine = engine_without_limits().expect("an engine");
    let program = engine.to_string_lossy().into_owned();
    let full = move |settings: &mut Settings| {
        ana(settings);
        settings.set("speech.program", program.as_str());
        settings.set("database.url", url).set("log.level", "warn");
    };
    story(full, async |h| {
        h.expects_error("cannot write to the sound directory");
        let sounds = h.server.directory().join("data/sounds");
        prompts_are_ready(&sounds).await?;
        // A second of speech and not more, in the middle of whose writing the disk is full.
        h.server.limit_files(Some(16_000)).await?;
        let id = h.raise("Disk full on db-01").await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?;
        ana.hears_line(&Line::StandIn).await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.told(&id, "speech_failed").await?;
        ana.hears_line(&Line::Acknowledged).await?;
        ana.is_hung_up().await?;
        assert!(!h.server.part_works("speech").await?);
        let halves =
            std::fs::read_dir(&sounds)?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert_eq!(halves.filter(|name| name.starts_with('.')).count(), 0, "nothing half-written stays");

        h.server.limit_files(None).await?;
        let id = h.raise("Disk full on db-02").await?;
        ana.rings().await?.answers().await?;
        ana.hears_alert("Disk full on db-02").await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        assert!(h.server.part_works("speech").await?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn without_a_sound_directory_whoever_answers_hears_beeps_and_can_acknowledge() {
    story(ana, async |h| {
        h.expects_error("cannot write to the sound directory");
        h.expects_error("cannot be spoken");
        let sounds = h.server.directory().join("data/sounds");
        prompts_are_ready(&sounds).await?;
        std::fs::rename(&sounds, sounds.with_extension("away"))?;
        std::fs::write(&sounds, "no directory")?;
        let id = h.raise("Disk full").await?;
        let ana = h.phone(ANA);
        // What is left are the PBX's own sounds.
        ana.rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.told(&id, "speech_failed").await?;
        ana.is_hung_up().await?;
        until("it is told", SOON, async || {
            let (_, state) = h.server.api.ask(reqwest::Method::GET, "/readyz", None).await?;
            let parts = state["parts"].as_array().context("parts")?;
            let speech = parts.iter().find(|part| part["name"] == "speech").context("speech")?;
            Ok((speech["ok"] == false && speech["detail"].to_string().contains("sound directory")).then_some(()))
        })
        .await?;
        // It is back: everything is spoken again, as if nothing had been.
        std::fs::remove_file(&sounds)?;
        std::fs::rename(sounds.with_extension("away"), &sounds)?;
        let id = h.raise("Disk full on db-02").await?;
        ana.rings().await?.answers().await?;
        ana.hears_alert("Disk full on db-02").await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn strangers_on_fastagi_are_sent_away_and_calls_go_on() {
    story(ana, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        let page = h.server.api.get(&format!("/api/v2/calls?incident_id={id}")).await?;
        let call = page["items"][0]["id"].as_str().context("a call")?.to_owned();
        for path in [
            format!("/alert?call={call}&token=00000000000000000000000000000000"),
            format!("/alert?call={call}"),
            "/alert?call=nonsense&token=x".to_owned(),
            "/elsewhere".to_owned(),
        ] {
            let mut stranger = TcpStream::connect(h.server.agi).await?;
            let environment = format!(
                "agi_network: yes\nagi_network_script: {}\nagi_request: agi://x{path}\nagi_channel: x\nagi_uniqueid: {call}\n\n",
                path.trim_start_matches('/'),
            );
            stranger.write_all(environment.as_bytes()).await?;
            let mut said = String::new();
            let mut buffer = [0; 1024];
            // It is told to hang up, whatever it answers, and hears nothing of the call.
            while let Ok(read @ 1..) = stranger.read(&mut buffer).await {
                said.push_str(&String::from_utf8_lossy(&buffer[..read]));
                stranger.write_all(b"200 result=1\n").await?;
            }
            assert!(said.contains("HANGUP") && !said.contains("STREAM"), "{path}: {said}");
        }
        let line = Line::Alert(Alert { nth: 1, of: 1, summary: "Disk full", ..Alert::default() });
        h.phone(ANA).answers().await?.hears_line(&line).await?;
        h.phone(ANA).presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_manager_is_spoken_to_over_tls_with_its_own_authority_only() {
    let over_tls = |settings: &mut Settings, telephony: &lab::asterisk::Telephony| {
        ana(settings);
        settings.set("asterisk.address", telephony.pbx.ami_tls.as_str()).set("asterisk.tls", true);
        settings.set("asterisk.tls_ca", telephony.pbx.certificate().to_string_lossy().as_ref());
    };
    story_on(over_tls, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        // Without that authority the certificate is nobody's.
        let config = std::fs::read_to_string(h.server.file())?;
        let distrustful: Vec<&str> = config.lines().filter(|line| !line.starts_with("tls_ca")).collect();
        let file = h.server.directory().join("distrustful.toml");
        std::fs::write(&file, distrustful.join("\n"))?;
        let check = tokio::process::Command::new(env!("CARGO_BIN_EXE_ringdown"))
            .args(["check".as_ref(), "--config".as_ref(), file.as_os_str()])
            .output()
            .await?;
        let said = String::from_utf8_lossy(&check.stdout);
        assert!(said.contains("FAIL  PBX") && said.to_lowercase().contains("certificate"), "{said}");
        Ok(())
    })
    .await;
}
