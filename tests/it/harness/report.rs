//! What a story that failed shows.

use std::{any::Any, fs, path::Path, sync::PoisonError};

use super::Harness;

/// Lines of a log that are shown.
const TAIL: usize = 60;

pub(super) async fn print(harness: &Harness) {
    let incidents = harness.incidents.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for id in incidents.iter().take(5) {
        eprintln!("\n== timeline of incident {id}");
        match harness.timeline(id).await {
            Ok(lines) => lines.iter().for_each(|line| {
                let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
                eprintln!("{} {:<16} {}", text("at"), text("kind"), text("text"));
            }),
            Err(error) => eprintln!("not to be had: {error:#}"),
        }
    }
    eprintln!("\n== calls as the phones saw them");
    for call in harness.telephony.net.calls() {
        eprintln!("{} steps {:?} ended {:?}", call.number, call.steps, call.ended);
    }
    eprintln!("\n== AMI and AGI");
    let lines = harness.telephony.tap.lines();
    lines[lines.len().saturating_sub(200)..].iter().for_each(|line| eprintln!("{line}"));
    for log in [harness.server.log(), &harness.telephony.pbx.log(), &harness.telephony.net.asterisk().log()] {
        tail(log);
    }
}

fn tail(log: &Path) {
    eprintln!("\n== the end of {}", log.display());
    let text = fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].iter().for_each(|line| eprintln!("{line}"));
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}
