//! The telephones themselves, without ringdown: what the tests rely on.

use std::time::Duration;

use lab::{asterisk::Telephony, slot::Slot, sound, voice::Voice, wait::until};
use ringdown::ami::Action;

const BEN: &str = "+393331234567";
const SOON: Duration = Duration::from_secs(10);

/// Dials a number over the trunk, and plays it a file when it answers; beeps first, since the very first
/// moments of a call are on their way before the phone records.
fn call(number: &str, file: &str) -> Action {
    let channel = format!("Local/{number}@ringdown-out/n");
    Action::new("Originate")
        .header("Channel", &channel)
        .and_then(|a| a.header("Application", "Playback"))
        .and_then(|a| a.header("Data", &format!("beep&beep&{file}")))
        .and_then(|a| a.header("CallerID", "+390551234567"))
        .and_then(|a| a.header("Async", "true"))
        .expect("no line end in it")
}

#[tokio::test]
async fn a_phone_rings_is_answered_by_hand_hears_what_is_played_and_presses_a_key() {
    let slot = Slot::take().unwrap();
    let began = std::time::Instant::now();
    let mut telephony = Telephony::start(&slot).await.unwrap();
    eprintln!("up after {:?}", began.elapsed());
    let voice = Voice::open(&slot.directory().join("sounds")).unwrap();
    let text = "critical. disk full on db 01. I repeat: disk full on db 01. Press 4 to acknowledge.";
    let sound = voice.text(text).await.unwrap();
    let wrong = voice.text("critical. disk full on db 02. I repeat: disk full on db 02.").await.unwrap();
    // The voice's own file, which the PBX may read as well.
    let files = std::fs::read_dir(slot.directory().join("sounds")).unwrap().flatten();
    let file = files
        .map(|entry| entry.path())
        .find(|path| {
            path.extension().is_some_and(|e| e == "wav") && sound::Pcm::read(path).is_ok_and(|pcm| pcm == sound)
        })
        .unwrap()
        .with_extension("");

    let phone = telephony.net.phone(BEN);
    telephony.pbx.act(call(BEN, file.to_str().unwrap())).await.unwrap();
    let incoming = phone.call(0, SOON).await.unwrap();
    assert_eq!(incoming.caller, "+390551234567");
    assert!(incoming.answered().is_none());
    phone.answer().await.unwrap();
    let began = std::time::Instant::now();
    let found = phone.hears(0, &sound, Duration::from_secs(30)).await.unwrap();
    eprintln!("{found:?} told after {:?}; the sound lasts {:?}", began.elapsed(), sound.duration());
    assert!(found.score > 0.9);
    telephony.net.wait("the end", SOON, |calls| calls[0].ended).await.unwrap();
    let began = std::time::Instant::now();
    let heard = phone.calls()[0].heard().unwrap();
    assert!(sound::heard(&heard, &wrong).is_none(), "{:?}", sound::most_like(&heard, &wrong));
    eprintln!("one search in {:?}, the wrong one {:?}", began.elapsed(), sound::most_like(&heard, &wrong));
    let first = sound::first_word(&heard).unwrap();
    assert!(first < found.at, "the beeps come first: {first:?} {found:?}");

    // A second call, taken by the program, hung up by hand.
    phone.program("ring:1,answer,stay").await.unwrap();
    telephony.pbx.act(call(BEN, file.to_str().unwrap())).await.unwrap();
    phone.call(1, SOON).await.unwrap();
    telephony.net.wait("sound", SOON, |calls| calls[1].sounds.first().copied()).await.unwrap();
    phone.press('4').await.unwrap();
    phone.hang_up().await.unwrap();
    let (_, cause) = telephony.net.wait("the end", SOON, |calls| calls[1].ended).await.unwrap();
    assert_eq!(cause, 16);
    // A third one is declined by hand.
    phone.program("ring").await.unwrap();
    telephony.pbx.act(call(BEN, file.to_str().unwrap())).await.unwrap();
    phone.call(2, SOON).await.unwrap();
    phone.go_on("busy").await.unwrap();
    telephony.net.wait("the end", SOON, |calls| calls[2].ended).await.unwrap();
    assert_eq!(phone.calls().len(), 3);
    // The PBX hears of it after the network, and we after the PBX.
    until("the key and the refusal stand in the recording", SOON, async || {
        let lines = telephony.tap.lines();
        let key = lines.iter().any(|line| line.contains("DTMFEnd") && line.contains("Digit=4"));
        Ok((key && lines.iter().any(|line| line.contains("Cause=17"))).then_some(()))
    })
    .await
    .unwrap();
    telephony.stop().await.unwrap();
}

#[tokio::test]
async fn a_pbx_that_was_killed_comes_back_and_two_pairs_are_not_in_each_others_way() {
    let (slot, other) = (Slot::take().unwrap(), Slot::take().unwrap());
    let (one, two) = tokio::join!(Telephony::start(&slot), Telephony::start(&other));
    let (mut one, mut two) = (one.unwrap(), two.unwrap());
    one.pbx.kill().await.unwrap();
    one.pbx.restart().await.unwrap();
    one.pbx.act(call(BEN, "beep")).await.unwrap();
    one.net.phone(BEN).call(0, SOON).await.unwrap();
    assert!(two.net.calls().is_empty());
    assert_eq!(two.pbx.channels().await.unwrap(), 0);
    let (first, second) = tokio::join!(one.stop(), two.stop());
    first.and(second).unwrap();
}
