//! What a modem has to say: texts and status reports that came in, and how it is.

use std::{collections::BTreeMap, sync::Arc};

use chrono::TimeDelta;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::{Shared, way::works};
use crate::{
    bus::Bell,
    modem::pdu,
    modem::{
        Health, Notice,
        pdu::{Address, Assembled, Body, Deliver, Kind, Reference, Status, StatusReport},
    },
    phone::NumberingPlan,
    store::{self, Fate, InboundPart, Report},
};

/// What happens with a modem.
pub(super) type Notices = mpsc::Receiver<Notice>;

/// The other parts of a text come within minutes, or not at all.
pub(super) const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// How the octets of a part are to be read.
const GSM7: u8 = 0;
const UCS2: u8 = 1;
const DATA: u8 = 2;
/// As text: what came is no message.
const PLAIN: u8 = 3;

/// Listens until the modem's task ends.
pub(super) async fn listen(shared: Arc<Shared>, route: String, mut notices: Notices) {
    let mut was_up = None;
    while let Some(notice) = notices.recv().await {
        match notice {
            Notice::Up => {}
            Notice::Down { why } => {
                tracing::warn!(modem = route, why, "a modem is not usable");
                show(&shared, &route, &Health { why_down: Some(why), ..Health::default() }, &mut was_up);
            }
            Notice::Health(health) => show(&shared, &route, &health, &mut was_up),
            Notice::Arrived { deliver, stored } => {
                metrics::counter!("ringdown_texts_received_total").increment(1);
                match take_in(&shared, part(&shared.settings.plan, &route, &deliver)).await {
                    Ok(()) => stored.stored(),
                    // It is handed over again.
                    Err(error) => tracing::error!(modem = route, %error, "a text that came in cannot be stored"),
                }
            }
            Notice::Unreadable { pdu, why, stored } => {
                tracing::warn!(modem = route, why, "something came that is no text");
                match take_in(&shared, unreadable(&route, &pdu, &why)).await {
                    Ok(()) => stored.stored(),
                    Err(error) => tracing::error!(modem = route, %error, "what came in cannot be stored"),
                }
            }
            Notice::Report { report, stored } => match take_report(&shared, &route, &report).await {
                Ok(()) => stored.stored(),
                Err(error) => tracing::error!(modem = route, %error, "a status report cannot be stored"),
            },
        }
    }
}

/// Says how a modem is, wherever that is asked.
fn show(shared: &Shared, route: &str, health: &Health, was_up: &mut Option<bool>) {
    let is_up = works(health);
    let name = route.to_owned();
    metrics::gauge!("ringdown_modem_up", "modem" => name.clone()).set(if is_up { 1 } else { 0 });
    if let Some(dbm) = health.signal_dbm {
        metrics::gauge!("ringdown_modem_signal_dbm", "modem" => name).set(f64::from(dbm));
    }
    let signal = health.signal_dbm.map_or_else(String::new, |dbm| format!(", {dbm} dBm"));
    let detail = match (&health.why_down, &health.operator) {
        (Some(why), _) => why.clone(),
        (None, _) if !is_up => format!("it has no network ({:?})", health.registration),
        (None, Some(operator)) => format!("{operator}{signal}"),
        (None, None) => format!("works{signal}"),
    };
    shared.settings.watch.way_is(route, is_up, detail, shared.clock.now());
    if was_up.replace(is_up) != Some(is_up) {
        tracing::info!(modem = route, is_up, "a modem has changed");
        // What waits may go now, or another way.
        shared.bus.ring(Bell::Texts);
    }
}

async fn take_in(shared: &Shared, part: InboundPart) -> Result<(), store::Error> {
    shared.store.take_in(part, join, shared.clock.now()).await?;
    shared.bus.ring(Bell::Inbound);
    Ok(())
}

async fn take_report(shared: &Shared, route: &str, report: &StatusReport) -> Result<(), store::Error> {
    let taken = Report {
        route: route.to_owned(),
        reference: report.reference,
        number: report.recipient.as_ref().map(told),
        fate: fate(report.status),
        words: report.status.name().to_owned(),
    };
    if !shared.store.status_report(taken, shared.clock.now()).await? {
        tracing::debug!(modem = route, reference = report.reference, "a status report about no text that is known");
    }
    Ok(())
}

fn fate(status: Status) -> Fate {
    match status.fate() {
        pdu::Fate::Delivered => Fate::Delivered,
        pdu::Fate::StillTrying => Fate::Trying,
        pdu::Fate::FailedForGood | pdu::Fate::GivenUp => Fate::Failed,
    }
}

/// An address as it is kept: an international number with its plus.
fn told(address: &Address) -> String {
    match address.kind() {
        Kind::International => format!("+{}", address.text()),
        _ => address.text().to_owned(),
    }
}

/// The number of a sender as contacts have it, also where the network leaves out the country.
fn sender(plan: &NumberingPlan, address: &Address) -> String {
    let told = told(address);
    let whole =
        Some(&told).filter(|told| told.bytes().all(|c| c.is_ascii_digit())).and_then(|told| plan.parse(told).ok());
    whole.filter(|number| !number.is_extension()).map_or(told, String::from)
}

fn part(plan: &NumberingPlan, route: &str, deliver: &Deliver) -> InboundPart {
    let sender = deliver.sender.as_ref().map(|address| sender(plan, address));
    let (tag, octets) = match &deliver.content.body {
        Body::Gsm7(septets) => (GSM7, septets.clone()),
        Body::Ucs2(units) => (UCS2, units.iter().flat_map(|unit| unit.to_be_bytes()).collect()),
        Body::Data(octets) => (DATA, octets.clone()),
    };
    let body: Vec<u8> = std::iter::once(tag).chain(octets).collect();
    let (series, number, total) = match deliver.content.concatenation {
        None => (None, 1, 1),
        Some(part) => {
            let reference = match part.reference {
                Reference::Short(reference) => u16::from(reference),
                Reference::Long(reference) => reference,
            };
            let sender = sender.as_deref().unwrap_or_default();
            (Some(format!("{route} {sender} {reference} {}", part.total)), part.number, part.total)
        }
    };
    let at = deliver.at.map(|at| at.to_rfc3339()).unwrap_or_default();
    let digest = digest(&[
        route.as_bytes(),
        sender.as_deref().unwrap_or_default().as_bytes(),
        at.as_bytes(),
        series.as_deref().unwrap_or_default().as_bytes(),
        &[number],
        &body,
    ]);
    InboundPart { digest, route: route.to_owned(), sender, series, number, total, body }
}

fn unreadable(route: &str, pdu: &pdu::Pdu, why: &str) -> InboundPart {
    let text = format!("({why}) {}", pdu.to_hex());
    InboundPart {
        digest: digest(&[route.as_bytes(), pdu.octets()]),
        route: route.to_owned(),
        sender: None,
        series: None,
        number: 1,
        total: 1,
        body: std::iter::once(PLAIN).chain(text.into_bytes()).collect(),
    }
}

/// Of several parts, none of which can pass for another.
fn digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize())
}

/// Puts the parts of a text together, as [`part`] wrote them.
pub(super) fn join(parts: &BTreeMap<u8, Vec<u8>>, total: u8) -> String {
    if let Some([PLAIN, text @ ..]) = parts.get(&1).map(Vec::as_slice) {
        return String::from_utf8_lossy(text).into_owned();
    }
    let body = |stored: &Vec<u8>| match stored.as_slice() {
        [GSM7, septets @ ..] => Body::Gsm7(septets.to_vec()),
        [UCS2, octets @ ..] => {
            Body::Ucs2(octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect())
        }
        [_, octets @ ..] => Body::Data(octets.to_vec()),
        [] => Body::Data(Vec::new()),
    };
    let parts = parts.iter().map(|(number, stored)| (*number, body(stored))).collect();
    Assembled { sender: None, parts, total }.text().unwrap_or_else(|| "(data)".to_owned())
}
