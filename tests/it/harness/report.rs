//! What a failed story shows: what happened, as the server, the telephones and the PBX saw it.

use std::thread;

use lab::{api::Api, process::tail};

use super::Harness;

/// Lines of the PBX's traffic.
const TRAFFIC: usize = 200;
/// Lines of a log.
const LOG: usize = 60;

/// Prints it all, where the test's own words go.
pub(super) fn print(h: &Harness) {
    eprintln!("\n=== the timelines");
    eprintln!("{}", timelines(&h.server.api));
    eprintln!("=== the phones");
    for call in h.telephony.net.calls() {
        eprintln!("{} from {}", call.number, call.caller);
        for (at, step, argument) in &call.steps {
            eprintln!("  after {:6.3} s: {step} {argument}", at.duration_since(call.came).as_secs_f32());
        }
        for (from, to) in &call.sounds {
            let since = |at: &tokio::time::Instant| at.duration_since(call.came).as_secs_f32();
            eprintln!("  after {:6.3} s: sound until {:?}", since(from), to.as_ref().map(since));
        }
        if let Some((at, cause)) = call.ended {
            eprintln!("  after {:6.3} s: over, cause {cause}", at.duration_since(call.came).as_secs_f32());
        }
    }
    let lines = h.telephony.tap.lines();
    eprintln!("=== the PBX's manager interface, AGI included (the last {TRAFFIC} of {} lines)", lines.len());
    for line in &lines[lines.len().saturating_sub(TRAFFIC)..] {
        eprintln!("{line}");
    }
    eprintln!("=== the PBX's log\n{}", tail(&h.telephony.pbx.log(), LOG));
    eprintln!("=== ringdown's log\n{}", tail(h.server.log(), LOG));
    match h.slot.keep() {
        Ok(kept) => eprintln!("=== everything is kept in {}", kept.display()),
        Err(error) => eprintln!("=== nothing could be kept: {error:#}"),
    }
}

/// All timelines, asked from a thread of its own: the story's own runtime is coming down.
fn timelines(api: &Api) -> String {
    let api = api.clone();
    let asked = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut text = String::new();
            let incidents = api.get("/api/v2/incidents?limit=20").await?;
            for incident in incidents["items"].as_array().into_iter().flatten() {
                let id = incident["id"].as_str().unwrap_or_default();
                text.push_str(&format!("{id} {} {}\n", incident["state"], incident["summary"]));
                for line in api.timeline(id, None).await? {
                    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
                    text.push_str(&format!("  {} {}\n", word("at"), word("text")));
                }
            }
            anyhow::Ok(text)
        })
    });
    match asked.join() {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => format!("the server does not tell: {error:#}"),
        Err(_) => "the server does not tell".to_owned(),
    }
}
