use super::*;
use crate::{slot::Slot, voice::Voice};

/// G.711 a-law and back, the coarser of the two laws for quiet sounds (ITU-T G.711, table 1a).
fn a_law(sample: i16) -> i16 {
    let magnitude = i32::from(sample.unsigned_abs().min(32_635)) >> 4;
    let segment = (0..7).rev().find(|segment| magnitude >= 32 << segment).map_or(0, |segment| segment + 1);
    let step = if segment < 2 { 1 } else { segment - 1 };
    let coded = ((magnitude >> step << step) + (1 << step >> 1)) << 4;
    i16::try_from(if sample < 0 { -coded } else { coded }).unwrap_or(i16::MAX)
}

/// A recording of a line: silence, the sound, some more silence, through the law.
fn line(sound: &Pcm, before: usize) -> Pcm {
    let silence = |length| std::iter::repeat_n(8, length);
    Pcm(silence(before).chain(sound.0.iter().copied()).chain(silence(3 * RATE)).map(a_law).collect())
}

async fn speak(texts: &[&str]) -> Vec<Pcm> {
    let slot = Slot::take().unwrap();
    let voice = Voice::open(&slot.directory().join("sounds")).unwrap();
    let mut sounds = Vec::new();
    for text in texts {
        sounds.push(voice.text(text).await.unwrap());
    }
    sounds
}

#[tokio::test]
async fn the_sound_is_found_where_it_is_and_other_words_are_not() {
    let sounds = speak(&[
        "critical. disk full on db 01. I repeat: disk full on db 01.",
        "critical. disk full on db 02. I repeat: disk full on db 02.",
        "critical. power failure in hall 3. I repeat: power failure in hall 3.",
        "Acknowledged. You have taken it.",
    ])
    .await;
    for (nth, sound) in sounds.iter().enumerate() {
        let recording = line(sound, 12_345);
        let found = heard(&recording, sound).expect("it is there");
        eprintln!("{nth} as itself: {found:?}");
        assert!(found.worst > 0.9, "{found:?}");
        assert!(found.at.abs_diff(time(12_345)) < Duration::from_millis(1), "{found:?}");
        assert!(first_word(&recording).unwrap().abs_diff(time(12_345)) < Duration::from_millis(60));
        for (other, wrong) in sounds.iter().enumerate().filter(|(other, _)| *other != nth) {
            let like = most_like(&recording, wrong);
            eprintln!("{nth} as {other}: {like:?}");
            assert!(heard(&recording, wrong).is_none(), "{nth} was taken for {other}: {like:?}");
        }
    }
}

#[tokio::test]
async fn a_lost_packet_now_and_then_does_not_matter_and_the_end_missing_does() {
    let sound = speak(&["disk full on db 01. I repeat: disk full on db 01. Somebody should look."]).await.remove(0);
    let mut recording = line(&sound, 4000);
    for lost in [6000, 15_000, 24_000] {
        recording.0.drain(lost..lost + 160);
    }
    eprintln!("with lost packets: {:?}", most_like(&recording, &sound));
    let found = heard(&recording, &sound).expect("it is there all the same");
    assert!(found.score > 0.8, "{found:?}");
    let cut = sound.0.len() * 6 / 10;
    let recording = line(&Pcm(sound.0[..cut].to_vec()), 4000);
    assert!(heard(&recording, &sound).is_none(), "{:?}", most_like(&recording, &sound));
}

#[tokio::test]
async fn silence_and_noise_are_nothing() {
    let sound = speak(&["disk full on db 01"]).await.remove(0);
    let mut noise = 1_u32;
    let recording: Vec<i16> = (0..10 * RATE)
        .map(|_| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            i16::try_from(noise >> 20).unwrap() - 2048
        })
        .collect();
    for recording in [Pcm(vec![0; 10 * RATE]), Pcm(recording), Pcm(Vec::new())] {
        assert_eq!(heard(&recording, &sound), None);
    }
    assert_eq!(first_word(&Pcm(vec![8; RATE])), None);
}

#[test]
fn the_fast_correlation_is_the_slow_one() {
    let noise =
        |seed: u16| (0..700_u16).map(move |n| f32::from(n.wrapping_mul(seed).rotate_left(5) % 20_001) - 10_000.0);
    let recording: Vec<f32> = noise(7919).collect();
    let piece: Vec<f32> = noise(104).take(150).collect();
    let fast = correlate(&recording, &piece);
    assert_eq!(fast.len(), 551);
    for (at, fast) in fast.iter().enumerate() {
        let slow = likeness(&recording[at..], &piece);
        assert!((fast - slow).abs() < 1e-3, "{at}: {fast} {slow}");
    }
}
