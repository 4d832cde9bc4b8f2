//! The story that everything else is for: an alert comes in, a person hears it and takes it.

use std::time::Duration;

use lab::settings::Step;
use ringdown::script::Line;

use crate::harness::{ANA, BEN, Harness};

#[tokio::test]
async fn who_hears_the_alert_and_presses_4_has_it_and_nobody_else_is_called() {
    let h = Harness::start(|ringdown| {
        let step = |targets| Step { targets, delay: 30, ..Step::default() };
        ringdown
            .contact("Ben", &[BEN])
            .contact("Ana", &[ANA])
            .policy("night", &[step(&["Ben"]), step(&["Ana"])]);
    })
    .await;

    let incident = h.alert("critical", "disk full on db-01").await;
    let call = h.phone(BEN).rings().await;
    call.answers().await;
    call.hears("disk full on db-01").await;
    call.presses('4').await;
    incident.is_acknowledged_by("Ben").await;
    call.hears_line(&Line::Acknowledged).await;
    call.ends().await;
    assert!(call.first_word() < Duration::from_millis(800), "lead-in 500 ms, then at most 300: {:?}", call.first_word());

    let record = incident.only_call().await;
    assert_eq!(record["to"], "Ben");
    assert_eq!(record["number"], BEN);
    assert_eq!(record["status"], "completed");
    assert_eq!(record["disposition"], "ANSWERED");
    assert_eq!(record["cause_text"], "normal clearing");
    assert_eq!(record["digits"], "4");
    assert_eq!(record["heard"], true);
    assert!(record["heard_seconds"].as_f64() > Some(2.0), "{record}");
    incident
        .went(&["raised", "attempt", "call_queued", "dialing", "ringing", "answered", "speaking", "digit", "acknowledged", "call_ended"])
        .await;
    h.close().await;
}
