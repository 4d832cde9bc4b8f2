//! What a person does with the keys, and what they hear.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::settings::{Settings, Step};
use ringdown::script::Line;
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, CAL, Harness, story};

/// Ana first, then Ben.
fn ana_then_ben(settings: &mut Settings) {
    let step = |targets| Step { targets, delay: 8, ..Step::default() };
    settings.policy("night", &[step(&["Ana"]), step(&["Ben"])]);
}

/// Ana answers and hears the beginning of the alert.
async fn ana_listens(h: &Harness, summary: &str) -> Result<String> {
    let id = h.raise(summary).await?;
    let ana = h.phone(ANA);
    ana.rings().await?.answers().await?.hears_something().await?;
    Ok(id)
}

#[tokio::test]
async fn four_during_the_speech_acknowledges_and_nobody_else_is_called() {
    story(ana_then_ben, async |h| {
        let summary = "Disk full on db-01.prod";
        let id = ana_listens(h, summary).await?;
        let ana = h.phone(ANA);
        ana.presses('4').await?;
        let incident = h.is(&id, "acknowledged").await?;
        assert_eq!(incident["acknowledged_by"], "Ana");
        ana.hears_line(&Line::Acknowledged).await?;
        ana.is_hung_up().await?;
        let call = h.record(&id).await?;
        for (field, value) in [
            ("status", json!("completed")),
            ("disposition", json!("ANSWERED")),
            ("cause", json!(16)),
            ("cause_text", json!("normal clearing")),
            ("digits", json!("4")),
            ("heard", json!(true)),
            ("to", json!("Ana")),
            ("number", json!(ANA)),
        ] {
            assert_eq!(call[field], value, "{field}");
        }
        assert!(call["heard_seconds"].as_f64().expect("a number") > 1.0, "{call}");
        assert!(call["dialed_at"].is_string() && call["answered_at"].is_string(), "{call}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_whole_alert_is_heard_right_after_the_answer() {
    story(ana_then_ben, async |h| {
        let summary = "Disk full on db-01.prod";
        let id = ana_listens(h, summary).await?;
        let ana = h.phone(ANA);
        let heard = ana.hears_alert(summary).await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        // The lead-in, and then the first word of the alert itself: no greeting in front.
        let first_word = ana.first_word()?.expect("a word");
        assert!(first_word >= Duration::from_millis(400), "{first_word:?}: a hand needs time");
        ensure!(heard.at.abs_diff(first_word) < Duration::from_millis(150), "{heard:?}, first word {first_word:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn forty_four_is_a_four() {
    story(ana_then_ben, async |h| {
        h.phone(ANA).will("ring:0.3,answer,wait:2,press:44").await?;
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).hears_line(&Line::Acknowledged).await?;
        h.phone(ANA).is_hung_up().await?;
        assert_eq!(h.record(&id).await?["digits"], "4", "the second one fell into the confirmation");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_key_says_so_and_four_still_counts() {
    story(ana_then_ben, async |h| {
        let id = ana_listens(h, "Disk full").await?;
        let ana = h.phone(ANA);
        ana.presses('9').await?;
        ana.hears_line(&Line::WrongKey).await?;
        ana.hears_alert("Disk full").await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        assert_eq!(h.record(&id).await?["digits"], "94");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn star_repeats_the_alert_from_its_beginning() {
    story(ana_then_ben, async |h| {
        let summary = "Disk full on the first database of production";
        let id = ana_listens(h, summary).await?;
        let ana = h.phone(ANA);
        ana.presses('*').await?;
        let heard = ana.hears_alert(summary).await?;
        // What is heard whole is the second telling: the first was cut off by the key.
        let first_word = ana.first_word()?.expect("a word");
        assert!(heard.at > first_word + Duration::from_millis(100), "{heard:?}, first word {first_word:?}");
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        ana.is_hung_up().await?;
        assert_eq!(h.record(&id).await?["digits"], "*4");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn five_escalates_once_though_it_is_pressed_twice() {
    let three_steps = |settings: &mut Settings| {
        let step = |targets| Step { targets, delay: 30, ..Step::default() };
        settings.policy("night", &[step(&["Ana"]), step(&["Ben"]), step(&["Cal"])]);
    };
    story(three_steps, async |h| {
        h.phone(ANA).will("ring:0.3,answer,wait:2,press:55").await?;
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        // At once, not after half a minute; and Ben, not Cal.
        h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        let incident = h.is(&id, "acknowledged").await?;
        assert_eq!(incident["acknowledged_by"], "Ben");
        h.phone(ANA).hears_line(&Line::Escalated).await?;
        h.records(&id).await?;
        let escalations = h.kinds(&id).await?.into_iter().filter(|kind| kind == "escalated").count();
        assert_eq!(escalations, 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_one_person_passes_on_stops_ringing_at_the_others_of_the_step() {
    let both_then_cal = |settings: &mut Settings| {
        let step = |targets| Step { targets, delay: 60, ..Step::default() };
        settings.policy("night", &[step(&["Ana", "Ben"]), step(&["Cal"])]).set("asterisk.ring_timeout", 60);
    };
    story(both_then_cal, async |h| {
        let id = h.raise("Disk full").await?;
        h.phone(BEN).rings().await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('5').await?;
        h.phone(BEN).is_hung_up().await?;
        h.phone(CAL).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Cal");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn six_resolves() {
    story(ana_then_ben, async |h| {
        let id = ana_listens(h, "Disk full").await?;
        let ana = h.phone(ANA);
        ana.presses('6').await?;
        h.is(&id, "resolved").await?;
        ana.hears_line(&Line::Resolved).await?;
        ana.is_hung_up().await?;
        let lines = h.timeline(&id).await?;
        let resolved: Vec<&Value> = lines.iter().filter(|line| line["kind"] == "resolved").collect();
        assert_eq!(resolved[0]["data"]["by"], "Ana");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn silence_is_no_acknowledgement_and_the_next_person_is_called() {
    story(ana_then_ben, async |h| {
        let id = ana_listens(h, "Disk full").await?;
        let ana = h.phone(ANA);
        ana.hears_line(&Line::NotAcknowledged).await?;
        ana.is_hung_up().await?;
        h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Ben");
        let calls = h.records(&id).await?;
        assert_eq!(
            (&calls[0]["status"], &calls[0]["heard"], &calls[0]["digits"]),
            (&json!("completed"), &json!(true), &json!(""))
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_voicemail_that_talks_and_never_presses_acknowledges_nothing() {
    story(ana_then_ben, async |h| {
        h.phone(ANA).will("ring:0.3,voicemail").await?;
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?.is_hung_up().await?;
        h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        assert_eq!(h.is(&id, "acknowledged").await?["acknowledged_by"], "Ben");
        assert_eq!(h.records(&id).await?[0]["digits"], "");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn hanging_up_in_mid_sentence_is_not_having_heard_it() {
    story(ana_then_ben, async |h| {
        let id = ana_listens(h, &"a long story about a disk that is full, ".repeat(5)).await?;
        let ana = h.phone(ANA);
        ana.hangs_up().await?;
        h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        let calls = h.records(&id).await?;
        assert_eq!((&calls[0]["status"], &calls[0]["heard"]), (&json!("completed"), &json!(false)), "{}", calls[0]);
        assert_eq!((&calls[0]["disposition"], &calls[0]["cause"]), (&json!("ANSWERED"), &json!(16)));
        assert!(calls[0]["heard_seconds"].as_f64().expect("a number") > 0.0, "the beginning was heard: {}", calls[0]);
        Ok(())
    })
    .await;
}
