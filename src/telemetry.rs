//! WHAT CAN BE MEASURED: every figure of `/metrics`, its kind, labels and meaning, in one place.
//!
//! Knows nothing of the rest: whoever has something to count does it where it happens, by the name that stands
//! here. A figure that does not stand here is a mistake that `tests/telemetry.rs` finds. No label ever holds a
//! number, a name or a text: what a label can say is bounded, and written in the table. What belongs together over
//! rows, tasks and restarts is in [`trace`].

pub mod trace;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// A figure.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name, as Prometheus knows it.
    pub name: &'static str,
    /// What kind of figure it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means.
    pub help: &'static str,
}

/// What kind of figure it is.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// How often something took how long, by these bounds.
    Histogram(&'static [f64]),
}

/// What a machine does: a commit, a request, a sentence of speech. In seconds.
const QUICK: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];
/// What a person does: goes to the telephone. In seconds.
const HUMAN: &[f64] = &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 300.0];
/// From an alert to whoever takes it. In seconds.
const LONG: &[f64] = &[5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14_400.0, 43_200.0];
/// How many at once.
const COUNTS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    labels: &'static [&'static str],
    bounds: &'static [f64],
    help: &'static str,
) -> Metric {
    Metric { name, kind: Kind::Histogram(bounds), labels, help }
}

/// Everything that is measured.
pub const METRICS: &[Metric] = &[
    gauge("ringdown_build_info", &["version"], "The version that runs; always 1."),
    // Incidents and what is decided about them.
    counter("ringdown_incidents_raised_total", &[], "Incidents that were opened."),
    counter(
        "ringdown_incidents_held_total",
        &[],
        "Incidents that were opened without a policy, so that they page nobody.",
    ),
    gauge("ringdown_incidents_open", &["state"], "Incidents that are not over, by state."),
    gauge("ringdown_incidents_without_policy", &[], "Incidents that are held because there is no policy for them."),
    gauge(
        "ringdown_incidents_due",
        &[],
        "Incidents whose deadline has come and which the engine has not advanced yet.",
    ),
    gauge("ringdown_oldest_due_seconds", &[], "How late the most overdue incident is; 0 if none is due."),
    histogram(
        "ringdown_acknowledge_seconds",
        &[],
        LONG,
        "From the raising of an incident to its acknowledgement, by whatever way.",
    ),
    histogram(
        "ringdown_escalation_lag_seconds",
        &[],
        QUICK,
        "How late the engine took up an incident whose deadline had come.",
    ),
    histogram("ringdown_engine_tick_duration_seconds", &[], QUICK, "One look of the engine at everything that is due."),
    gauge("ringdown_engine_last_tick_timestamp_seconds", &[], "When the engine last finished a look at what is due."),
    // Calls.
    counter("ringdown_originates_total", &["route"], "Calls that were handed to a route."),
    counter("ringdown_calls_total", &["route", "outcome"], "Calls that are over, by route and final status."),
    counter("ringdown_calls_without_route_total", &["route"], "Calls that the route did not take."),
    counter("ringdown_calls_refused_total", &[], "Calls that the destination rules did not let leave."),
    counter("ringdown_wrong_numbers_total", &[], "Calls to a number that does not exist."),
    gauge("ringdown_calls_live", &["status"], "Calls that are not over, by status; pending ones wait to be placed."),
    gauge("ringdown_calls_waiting", &[], "Calls that could leave and have not, at the dialer's last look."),
    histogram(
        "ringdown_answer_seconds",
        &["route"],
        HUMAN,
        "From Originate to the answer, of calls that this process placed and somebody answered.",
    ),
    histogram(
        "ringdown_first_word_seconds",
        &[],
        QUICK,
        "From the answer to the first alert's playback being asked of the PBX, the lead-in not counted (see ringdown_lead_in_seconds).",
    ),
    histogram(
        "ringdown_lead_in_seconds",
        &[],
        QUICK,
        "What was waited on purpose before the first word (call.lead_in), or until a key cut it short.",
    ),
    gauge("ringdown_kill_switch", &[], "1 while calls are stopped."),
    gauge("ringdown_dialer_last_pass_timestamp_seconds", &[], "When the dialer last finished a look at the calls."),
    // Texts.
    counter(
        "ringdown_texts_total",
        &["route", "outcome"],
        "Tries to send a text: sent, refused, unknown; and texts that expired.",
    ),
    gauge("ringdown_texts_waiting", &[], "Texts that wait to be sent."),
    histogram("ringdown_text_seconds", &["route"], HUMAN, "From the queue to the route that took the text."),
    counter("ringdown_texts_received_total", &[], "Texts, or parts of longer ones, that came in."),
    gauge("ringdown_text_route_up", &["route"], "1 while a way of texts, a modem or Twilio, takes them."),
    counter("ringdown_twilio_refused_total", &[], "Callbacks that were not signed by Twilio."),
    histogram("ringdown_text_answer_seconds", &[], QUICK, "From a text that came in to what was done about it."),
    gauge("ringdown_modem_up", &["modem"], "1 while the modem takes texts and has a network."),
    gauge("ringdown_modem_signal_dbm", &["modem"], "Received signal strength of the modem, in dBm."),
    // Asterisk.
    gauge("ringdown_ami_connected", &[], "1 while the manager connection is up."),
    counter("ringdown_ami_reconnects_total", &[], "Manager connections after the first one."),
    counter("ringdown_ami_events_lost_total", &[], "Manager events that were dropped because the queue was full."),
    gauge("ringdown_agi_sessions", &[], "FastAGI sessions in which somebody is spoken to now."),
    counter("ringdown_agi_sessions_total", &[], "FastAGI sessions of calls of ours."),
    counter("ringdown_agi_refused_total", &[], "FastAGI sessions that belonged to no live call of ours."),
    counter("ringdown_channel_events_total", &[], "Asterisk's events of our channels that were kept."),
    counter("ringdown_channel_events_dropped_total", &[], "Asterisk's events of our channels that could not be kept."),
    // Speech.
    histogram(
        "ringdown_speech_synthesis_seconds",
        &[],
        QUICK,
        "One text to sound, the wait for a free engine included.",
    ),
    counter("ringdown_speech_cache_hits_total", &[], "Texts whose sound was there already."),
    counter("ringdown_speech_cache_misses_total", &[], "Texts whose sound had to be made."),
    counter("ringdown_speech_failures_total", &[], "Texts that the engine did not speak."),
    // The database.
    gauge("ringdown_database_writable", &[], "1 if what is written could be read back at the last look."),
    histogram(
        "ringdown_store_commit_duration_seconds",
        &[],
        QUICK,
        "One transaction of the writer, from its begin to its commit.",
    ),
    histogram("ringdown_store_queue_seconds", &[], QUICK, "A write's wait for the writer."),
    histogram("ringdown_store_writes_per_commit", &[], COUNTS, "Writes that shared a commit."),
    counter("ringdown_store_commit_failures_total", &[], "Transactions of the writer that failed."),
    // HTTP.
    counter(
        "ringdown_http_requests_total",
        &["operation", "status"],
        "Requests by operation of the OpenAPI document and class of status.",
    ),
    histogram(
        "ringdown_http_request_duration_seconds",
        &["operation"],
        QUICK,
        "Requests by operation of the OpenAPI document.",
    ),
    counter("ringdown_http_unauthorized_total", &[], "Requests with a credential that is not known."),
    counter("ringdown_http_forbidden_total", &[], "Requests with a credential that does not allow them."),
    gauge("ringdown_http_connections", &[], "Connections that are open."),
    counter("ringdown_http_connections_closed_total", &[], "Silent connections that made room for others."),
    counter("ringdown_logins_total", &["outcome"], "Log-ins by password: right, wrong, slowed_down, busy."),
    counter("ringdown_audit_failures_total", &[], "Changes that could not be written to the audit log."),
    // Telling others.
    counter(
        "ringdown_deliveries_total",
        &["outcome"],
        "Tries to tell a webhook or a callback: delivered, failed, dead.",
    ),
    // Watching ourselves.
    gauge("ringdown_self_audit_findings", &["check"], "What the self-audit found amiss, by check."),
    gauge("ringdown_self_audit_last_pass_timestamp_seconds", &[], "When the self-audit last looked at everything."),
    counter(
        "ringdown_heartbeat_pings_total",
        &["outcome"],
        "Signs of life to watch.heartbeat_url: sent, failed, or withheld because of a finding.",
    ),
];

/// Installs the recorder: from here on what is measured is kept.
///
/// # Errors
/// If there is one already.
pub fn install() -> Result<PrometheusHandle, BuildError> {
    let mut builder = PrometheusBuilder::new();
    for metric in METRICS {
        if let Kind::Histogram(bounds) = metric.kind {
            builder = builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), bounds)?;
        }
    }
    let handle = builder.install_recorder()?;
    describe();
    Ok(handle)
}

/// Says what every figure means. What has no label is there from the beginning, so that an alert on what never
/// happened yet has something to look at.
fn describe() {
    for Metric { name, kind, labels, help } in METRICS {
        match kind {
            Kind::Counter => {
                metrics::describe_counter!(*name, *help);
                if labels.is_empty() {
                    metrics::counter!(*name).absolute(0);
                }
            }
            Kind::Gauge => metrics::describe_gauge!(*name, *help),
            Kind::Histogram(_) => metrics::describe_histogram!(*name, *help),
        }
    }
    metrics::gauge!("ringdown_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_names_are_as_prometheus_wants_them() {
        let mut names = HashSet::new();
        for Metric { name, kind, labels, help } in METRICS {
            assert!(names.insert(name), "{name} stands there twice");
            assert!(name.starts_with("ringdown_"), "{name}");
            assert!(name.bytes().all(|c| c.is_ascii_lowercase() || c == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}: _total is for counters");
            for unit in ["_milliseconds", "_ms", "_minutes", "_kilobytes"] {
                assert!(!name.contains(unit), "{name}: base units only");
            }
            if let Kind::Histogram(bounds) = kind {
                assert!(bounds.is_sorted(), "{name}");
                assert!(name.ends_with("_seconds") || name.ends_with("_per_commit"), "{name}: its unit");
            }
            assert!(help.ends_with('.') && help.len() > 20, "{name}: {help}");
            for label in *labels {
                assert!(!["number", "name", "summary", "path", "contact"].contains(label), "{name}: {label}");
            }
        }
    }
}
