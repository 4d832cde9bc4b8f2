//! The server watches itself: each thing that can go wrong is broken, and seen.

use std::{
    collections::BTreeMap,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Result, ensure};
use chrono::TimeDelta;
use lab::{
    api::Api,
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
    wait::until,
};
use regex::Regex;
use ringdown::{
    escalation::Target,
    id::{CallId, EventId},
    store::{ChannelEvent, ChannelEventFilter},
    watch::{self, Board, Check, Watcher},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    databases::{Database, on_both_databases},
    harness::{ANA, SOON, story},
    scene::{NODE, Scene, alert, evening, no_answer, number, once},
};

on_both_databases! {
    a_deadline_that_was_lost_is_seen_and_that_it_is_found_again
    what_is_due_and_not_taken_up_is_seen
    a_call_that_the_pbx_does_not_know_is_seen
    a_database_that_keeps_nothing_is_seen
    channel_events_come_back_in_order_page_by_page_and_go_by_age
}

const BEN: &str = "+393331234503";
/// So long the self-audit may take to find what is broken.
const MINUTE: Duration = Duration::from_secs(60);

/// Somebody does this to a database, beside the server.
pub async fn sql(url: &str, statement: &str) {
    let url = url.replace("sqlite:", "sqlite://");
    let connection = sea_orm::Database::connect(url).await.expect("the database opens");
    connection.execute_unprepared(statement).await.expect("the database does it");
}

/// Someone who looks at a scene; its engine has just looked.
fn watcher(scene: &Scene) -> (Watcher, Board) {
    let (board, engine) = (Board::default(), scene.engine.clone());
    let settings = watch::Settings {
        every: Duration::from_secs(15),
        rings: TimeDelta::seconds(30),
        dials: false,
        keep_events: TimeDelta::days(30),
        node: NODE.into(),
    };
    let looked = Arc::new(move || engine.last_look());
    (Watcher::new(scene.store.clone(), scene.clock.clone(), board.clone(), looked, settings), board)
}

fn checks(board: &Board) -> Vec<Check> {
    board.findings().into_iter().map(|finding| finding.check).collect()
}

async fn ben_is_called(database: &Database) -> Scene {
    let scene = Scene::on(database).await;
    scene.policy("usual", once(&[Target::Number(number(BEN))]), true).await;
    scene.tick().await;
    scene
}

async fn a_deadline_that_was_lost_is_seen_and_that_it_is_found_again(database: Database) {
    let scene = ben_is_called(&database).await;
    let id = scene.raise(alert("disk")).await;
    let (mut watcher, board) = watcher(&scene);
    assert!(!board.passes(scene.now()), "nobody has looked yet");
    watcher.look().await;
    assert_eq!(checks(&board), []);
    assert!(board.passes(scene.now()));
    assert!(!board.passes(scene.now() + TimeDelta::minutes(5)), "what was found long ago says nothing");

    sql(&database.url, "UPDATE incident SET due_at = NULL").await;
    watcher.look().await;
    assert_eq!(checks(&board), [Check::IncidentDeadline]);
    let detail = &board.findings()[0].detail;
    assert!(detail.contains(&id.to_string()) && detail.contains("lost its deadline"), "{detail}");
    assert!(!board.passes(scene.now()));

    scene.engine.acknowledge(id, crate::scene::key()).await.expect("it is stored");
    watcher.look().await;
    assert_eq!(checks(&board), []);
    sql(&database.url, "UPDATE incident SET state = 'escalating'").await;
    watcher.look().await;
    assert_eq!(checks(&board), [Check::IncidentState]);
}

async fn what_is_due_and_not_taken_up_is_seen(database: Database) {
    let scene = ben_is_called(&database).await;
    scene.raise(alert("disk")).await;
    let (mut watcher, board) = watcher(&scene);
    scene.seconds_pass(300 + 29);
    watcher.look().await;
    assert_eq!(checks(&board), [Check::Engine]);
    scene.seconds_pass(60);
    watcher.look().await;
    assert_eq!(checks(&board), [Check::Engine], "its call waits, and it waits for that");
    scene.tick().await;
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await && scene.end(&call, no_answer(), None).await);
    watcher.look().await;
    assert_eq!(checks(&board), [Check::IncidentOverdue]);
    scene.tick().await;
    watcher.look().await;
    assert_eq!(checks(&board), []);

    scene.raise(alert("fan")).await;
    scene.nobody_answers().await;
    scene.seconds_pass(280 + 29);
    watcher.look().await;
    assert_eq!(checks(&board), [Check::Engine], "it is late, and not too late; the engine has looked at nothing");
    scene.seconds_pass(2);
    watcher.look().await;
    assert_eq!(checks(&board), [Check::IncidentOverdue, Check::Engine]);
    scene.tick().await;
    watcher.look().await;
    assert_eq!(checks(&board), []);
}

async fn a_call_that_the_pbx_does_not_know_is_seen(database: Database) {
    let scene = ben_is_called(&database).await;
    scene.raise(alert("disk")).await;
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await);
    let (mut watcher, board) = watcher(&scene);
    let mut look = async |seconds: i64, known: &[CallId]| {
        scene.seconds_pass(seconds);
        scene.tick().await;
        board.pbx_knows(scene.now(), known.iter().copied().collect());
        watcher.look().await;
        checks(&board)
    };
    assert_eq!(look(11, &[call.id]).await, []);
    assert_eq!(look(10, &[]).await, [], "its end may be on its way");
    assert_eq!(look(20, &[]).await, [Check::CallUnknown]);
    assert_eq!(look(10, &[call.id]).await, []);
    assert_eq!(look(40, &[call.id]).await, [Check::CallStuck], "nobody's phone rings for so long");
}

async fn a_database_that_keeps_nothing_is_seen(database: Database) {
    let scene = ben_is_called(&database).await;
    let (mut watcher, board) = watcher(&scene);
    watcher.look().await;
    assert_eq!(checks(&board), []);
    // It can be read, and takes nothing.
    let refuse = if database.url.starts_with("sqlite:") {
        "CREATE TRIGGER refuse BEFORE INSERT ON setting BEGIN SELECT RAISE(ABORT, 'refused'); END"
    } else {
        "ALTER TABLE setting ADD CONSTRAINT refuse CHECK (key = '') NOT VALID"
    };
    sql(&database.url, refuse).await;
    watcher.look().await;
    assert_eq!(checks(&board), [Check::Database]);
}

async fn channel_events_come_back_in_order_page_by_page_and_go_by_age(database: Database) {
    let store = database.store().await;
    let (one, other) = (CallId::generate(), CallId::generate());
    let event = |n: i64, call| ChannelEvent {
        id: EventId::generate(),
        call,
        at: evening() + TimeDelta::seconds(n),
        name: "Newstate".into(),
        channel: Some(format!("PJSIP/{n}")),
        headers: json!({ "Cause": "16", "Exten": "ü" }),
    };
    let all: Vec<ChannelEvent> = (0..25).map(|n| event(n, if n % 5 == 0 { other } else { one })).collect();
    store.keep_channel_events(all.clone()).await.expect("they are stored");
    store.keep_channel_events(Vec::new()).await.expect("nothing is stored");

    let mut filter = ChannelEventFilter { call: Some(one), ..ChannelEventFilter::default() };
    let mut read = Vec::new();
    loop {
        let page = store.channel_events(filter, 7).await.expect("a page");
        assert!(page.items.len() <= 7);
        read.extend(page.items);
        filter.after = page.next;
        if page.next.is_none() {
            break;
        }
    }
    let expected: Vec<ChannelEvent> = all.iter().filter(|event| event.call == one).cloned().collect();
    assert_eq!(read, expected);

    let span = ChannelEventFilter { from: Some(all[3].at), to: Some(all[6].at), ..ChannelEventFilter::default() };
    assert_eq!(store.channel_events(span, 100).await.expect("a page").items, all[3..6]);

    let removed = async |limit| store.remove_channel_events(all[10].at, limit).await.expect("they are removed");
    assert_eq!([removed(4).await, removed(4).await, removed(4).await, removed(4).await], [4, 4, 2, 0]);
    let left = store.channel_events(ChannelEventFilter::default(), 100).await.expect("a page").items;
    assert_eq!(left, all[10..]);
}

/// Whoever waits for signs of life.
struct Receiver {
    url: String,
    came: Arc<AtomicUsize>,
    /// What it answers with.
    status: Arc<AtomicU16>,
    /// Requests for what it redirects to.
    followed: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let this = Self {
            url: format!("http://{address}/ping/a-secret-by-itself"),
            came: Arc::default(),
            status: Arc::new(AtomicU16::new(200)),
            followed: Arc::default(),
        };
        let (came, status, followed) = (this.came.clone(), this.status.clone(), this.followed.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut request = Vec::new();
                let mut bytes = [0; 4096];
                while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                    match socket.read(&mut bytes).await {
                        Ok(length) if length > 0 => request.extend_from_slice(&bytes[..length]),
                        _ => break,
                    }
                }
                let request = String::from_utf8_lossy(&request).into_owned();
                let counts = if request.starts_with("GET /ping/a-secret-by-itself ") { &came } else { &followed };
                counts.fetch_add(1, Ordering::SeqCst);
                let status = status.load(Ordering::SeqCst);
                let answer = format!(
                    "HTTP/1.1 {status} x\r\nLocation: http://{address}/elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                );
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        this
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    async fn comes_more(&self) -> Result<()> {
        let before = self.came();
        until("signs of life come", SOON, async || Ok((self.came() >= before + 2).then_some(()))).await
    }
}

/// A figure as `/metrics` shows it; 0 if it is not there.
async fn figure(api: &Api, name: &str) -> Result<f64> {
    let text = metrics(api).await?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    Ok(value.unwrap_or(0.0))
}

async fn metrics(api: &Api) -> Result<String> {
    Ok(api.get("/metrics").await?.as_str().unwrap_or_default().to_owned())
}

async fn reaches(api: &Api, name: &str, least: f64) -> Result<()> {
    until(format!("{name} is {least}"), SOON, async || Ok((figure(api, name).await? >= least).then_some(()))).await
}

#[tokio::test]
async fn signs_of_life_stop_when_something_is_found_and_go_on_when_it_is_gone() {
    let receiver = Receiver::start().await;
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]).policy("night", &[Step { targets: &["Ana"], delay: 3600, ..Step::default() }]);
    settings.set("watch.heartbeat_url", receiver.url.as_str());
    settings.set("watch.heartbeat_every", 1).set("watch.audit_every", 1);
    let mut server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    let told: Result<()> = async {
        let api = &server.api;
        receiver.comes_more().await?;
        let incident = api.post("/api/v2/alerts", &json!({ "summary": "Disk full" })).await?;
        let id = incident["incident_id"].as_str().unwrap_or_default().to_owned();
        let database = format!("sqlite:{}/data/ringdown.db", server.directory().display());
        sql(&database, "UPDATE incident SET due_at = NULL").await;

        let withheld = "ringdown_heartbeat_pings_total{outcome=\"withheld\"}";
        reaches(api, withheld, 1.0).await?;
        let before = receiver.came();
        assert!(before >= 2);
        let (status, ready) = api.ask(reqwest::Method::GET, "/readyz", None).await?;
        assert_eq!((status.as_u16(), &ready["degraded"]), (200, &json!(true)), "{ready:#}");
        assert_eq!(ready["findings"][0]["check"], "incident_deadline", "{ready:#}");
        assert_eq!(ready["findings"][0]["count"], 1, "{ready:#}");
        assert!(ready["findings"][0]["detail"].as_str().is_some_and(|detail| detail.contains(&id)), "{ready:#}");
        assert!(!server.part_works("self_audit").await?);
        assert_eq!(figure(api, "ringdown_self_audit_findings{check=\"incident_deadline\"}").await?, 1.0);
        let withheld_before = figure(api, withheld).await?;
        reaches(api, withheld, withheld_before + 2.0).await?;
        assert_eq!(receiver.came(), before, "no sign of life while something is amiss");

        api.post(&format!("/api/v2/incidents/{id}/acknowledge"), &json!({})).await?;
        receiver.comes_more().await?;
        assert!(server.part_works("self_audit").await?);
        receiver.status.store(302, Ordering::SeqCst);
        reaches(api, "ringdown_heartbeat_pings_total{outcome=\"failed\"}", 2.0).await?;
        assert_eq!(receiver.followed.load(Ordering::SeqCst), 0, "a redirect is not followed");
        Ok(())
    }
    .await;
    told.expect("the story");
    let errors = server.errors();
    let count = |words: &str| errors.iter().filter(|line| line.contains(words)).count();
    assert_eq!(count("the self-audit has found something"), 1, "{errors:#?}");
    assert_eq!(count("a sign of life was not taken"), 1, "{errors:#?}");
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(log.contains("what the self-audit had found is gone"));
    assert!(!log.contains("a-secret-by-itself"), "the address is a secret");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_happened_on_a_call_stands_in_the_figures_and_in_its_events() {
    let ana = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
        settings.set("watch.audit_every", 1);
    };
    story(ana, async |h| {
        let id = h.raise("Disk full on db-01").await?;
        h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        let call = h.record(&id).await?;
        let api = &h.server.api;

        let path = format!("/api/v2/calls/{}/channel-events", call["id"].as_str().unwrap_or_default());
        let events = until("the call's events are kept", SOON, async || {
            let page = api.get(&format!("{path}?limit=500")).await?;
            let items = page["items"].as_array().cloned().unwrap_or_default();
            Ok(items.iter().any(|event| event["event"] == "Hangup").then_some(items))
        })
        .await?;
        let names: Vec<&str> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        let first = |name: &str| names.iter().position(|event| *event == name);
        assert_eq!(names.first(), Some(&"Newchannel"), "{names:?}");
        assert!(first("Newchannel") < first("Newstate") && first("Newstate") < first("Hangup"), "{names:?}");
        assert!(first("OriginateResponse").is_some(), "{names:?}");
        let hangup = &events[first("Hangup").unwrap_or_default()];
        assert!(hangup["headers"]["Cause"].is_string() && hangup["channel"].is_string(), "{hangup}");
        let shown = json!(events).to_string();
        assert!(!shown.contains("RINGDOWN_"), "variables are kept nowhere: {shown}");

        let mut paged: Vec<Value> = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = api.get(&format!("{path}?limit=3{cursor}")).await?;
            paged.extend(page["items"].as_array().cloned().unwrap_or_default());
            let Some(next) = page["next"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert!(paged.starts_with(&events), "page by page they are the same");

        let table = api.get("/api/v2/channel-events/export?from=2020-01-01T00:00:00Z").await?;
        let lines = api.get("/api/v2/channel-events/export.ndjson").await?;
        let (table, lines) = (table.as_str().unwrap_or_default(), lines.as_str().unwrap_or_default());
        assert!(table.starts_with("id,call_id,at,event,channel,headers\r\n"), "{table}");
        ensure!(table.lines().count() > events.len() && lines.lines().count() >= events.len(), "{table}\n{lines}");
        assert_eq!(serde_json::from_str::<Value>(lines.lines().next().unwrap_or_default())?["event"], "Newchannel");
        let none = api.get("/api/v2/channel-events/export?to=2020-01-01T00:00:00Z").await?;
        assert_eq!(none.as_str().unwrap_or_default().lines().count(), 1, "only the header");

        reaches(api, "ringdown_incidents_open{state=\"acknowledged\"}", 1.0).await?;
        let text = metrics(api).await?;
        let value = |name: &str| -> f64 {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            value.unwrap_or_else(|| panic!("{name}\n{text}")).parse().expect("a figure")
        };
        for (name, expected) in [
            ("ringdown_calls_total{route=\"asterisk\",outcome=\"completed\"}", 1.0),
            ("ringdown_originates_total{route=\"asterisk\"}", 1.0),
            ("ringdown_answer_seconds_count{route=\"asterisk\"}", 1.0),
            ("ringdown_first_word_seconds_count", 1.0),
            ("ringdown_lead_in_seconds_count", 1.0),
            ("ringdown_acknowledge_seconds_count", 1.0),
            ("ringdown_agi_sessions_total", 1.0),
            ("ringdown_agi_sessions", 0.0),
            ("ringdown_ami_connected", 1.0),
            ("ringdown_ami_reconnects_total", 0.0),
            ("ringdown_database_writable", 1.0),
            ("ringdown_kill_switch", 0.0),
            ("ringdown_oldest_due_seconds", 0.0),
            ("ringdown_calls_live{status=\"pending\"}", 0.0),
            ("ringdown_http_requests_total{operation=\"raise_alert\",status=\"2xx\"}", 1.0),
            ("ringdown_self_audit_findings{check=\"call_unknown\"}", 0.0),
            ("ringdown_channel_events_dropped_total", 0.0),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
        // The lead-in is half a second and does not count; on a quiet machine it is some milliseconds.
        assert!(value("ringdown_lead_in_seconds_sum") >= 0.5, "{text}");
        for name in ["ringdown_speech_synthesis_seconds_count", "ringdown_store_commit_duration_seconds_count"] {
            assert!(value(name) > 0.0, "{name}");
        }
        for private in ["333", "Ana", "Disk"] {
            assert!(!text.contains(private), "{private} stands in a figure");
        }
        every_figure_is_described(&text);
        Ok(())
    })
    .await;
}

/// Whatever is shown has a kind, a meaning, and only labels that the table knows.
fn every_figure_is_described(text: &str) {
    let sample = Regex::new(r#"^([a-z_]+)(?:\{(.*)\})? \S+$"#).expect("an expression");
    let label = Regex::new(r#"(\w+)=""#).expect("an expression");
    let known: BTreeMap<&str, _> = ringdown::telemetry::METRICS.iter().map(|metric| (metric.name, metric)).collect();
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts = sample.captures(line).unwrap_or_else(|| panic!("{line}"));
        let ends = ["", "_bucket", "_sum", "_count"];
        let metric = ends.iter().find_map(|end| known.get(parts[1].strip_suffix(end)?));
        let metric = metric.unwrap_or_else(|| panic!("{line} is in no table"));
        assert!(text.contains(&format!("# HELP {} {}", metric.name, metric.help)), "{line}: no help");
        for label in label.captures_iter(parts.get(2).map_or("", |labels| labels.as_str())) {
            assert!(label[1] == *"le" || metric.labels.contains(&&label[1]), "{line}");
        }
    }
}

#[test]
fn the_rules_are_valid_and_do_what_they_say() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus");
    for arguments in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let promtool = lab::parts::promtool().expect("promtool was fetched");
        let output = Command::new(promtool).args(arguments).current_dir(&directory).output().expect("promtool runs");
        let said = [output.stdout, output.stderr].concat();
        assert!(output.status.success(), "{arguments:?}:\n{}", String::from_utf8_lossy(&said));
    }
}

/// What the self-audit of a running server finds, once it finds something.
async fn finds(server: &Server, check: &str) -> Result<Value> {
    let found = until(format!("the self-audit finds {check}"), MINUTE, async || {
        let (_, state) = server.api.ask(reqwest::Method::GET, "/readyz", None).await?;
        let findings = state["findings"].as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(findings.iter().find(|finding| finding["check"] == check).cloned())
    });
    let found = found.await?;
    let name = format!("ringdown_self_audit_findings{{check=\"{check}\"}}");
    ensure!(figure(&server.api, &name).await? == 1.0, "{name}");
    ensure!(!server.part_works("self_audit").await?);
    Ok(found)
}

#[tokio::test]
async fn a_running_server_finds_a_call_that_the_pbx_has_forgotten_a_worker_that_has_stopped_and_rows_that_were_spoilt()
{
    let ana = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana"], delay: 3600, ..Step::default() }]);
        settings.set("watch.audit_every", 5).set("asterisk.ring_timeout", 120);
    };
    story(ana, async |h| {
        h.expects_error("the self-audit has found something");
        h.expects_error("the dialer cannot look at the calls");
        let database = format!("sqlite:{}/data/ringdown.db", h.server.directory().display());
        let id = h.raise("Disk full").await?;
        h.phone(ANA).rings().await?;
        h.told(&id, "ringing").await?;
        // Somebody is on the line, of whom the PBX knows nothing. The dialer would find that out and finish it
        // within seconds; by a number that is none it is kept from that, and from all its work.
        let forgotten = CallId::generate();
        let columns = "contact_id, contact_name, number_index, closed, token, created_at, dialed_at, ringing_at, \
                       found_route, heard_ms, heard, digits, given_up";
        let blob = format!("x'{}'", forgotten.0.simple());
        let copy = format!(
            "INSERT INTO call (id, status, line, number, {columns}) \
             SELECT {blob}, 'answered', 'nobody', 'no number', {columns} FROM call LIMIT 1"
        );
        sql(&database, &copy).await;
        let found = finds(&h.server, "call_unknown").await?;
        ensure!(found["detail"].as_str().is_some_and(|detail| detail.contains(&forgotten.to_string())), "{found}");
        finds(&h.server, "dialer").await?;
        // With a number it can be read, and is finished by the dialer itself, which goes on.
        sql(&database, &format!("UPDATE call SET number = '{BEN}' WHERE id = {blob}")).await;
        until("nothing is amiss", MINUTE, async || Ok(h.server.part_works("self_audit").await?.then_some(()))).await?;
        let call = h.server.api.get(&format!("/api/v2/calls/{forgotten}")).await?;
        ensure!(!call["ended_at"].is_null() && call["failure"] == "its end was not reported", "{call}");

        sql(&database, "UPDATE incident SET due_at = NULL").await;
        finds(&h.server, "incident_deadline").await?;
        h.phone(ANA).answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        sql(&database, "UPDATE incident SET state = 'held'").await;
        finds(&h.server, "incident_state").await?;
        Ok(())
    })
    .await;
}
