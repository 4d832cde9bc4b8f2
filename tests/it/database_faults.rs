//! What is when the database is away: whoever asks is told so and loses nothing, and afterwards everything
//! goes on by itself.

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use chrono::TimeDelta;
use futures_util::future::join_all;
use lab::{
    alertmanager::Alertmanager,
    api::Api,
    postgres::Cluster,
    settings::{Settings, Step},
    wait::until,
};
use reqwest::{Method, StatusCode};
use ringdown::clock::Clock;
use sea_orm::{ConnectOptions, ConnectionTrait, DatabaseConnection};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, Harness, LATER, SOON, receiver::Receiver, story, story_mut};

/// How many send alerts at once.
const SENDERS: usize = 4;
/// Between two alerts of one sender.
const PACE: Duration = Duration::from_millis(50);

/// Ana is called twice, the second time after the fault; Ben's alerts are of another policy.
fn twice(settings: &mut Settings) {
    settings.policy("night", &[Step { targets: &["Ana"], attempts: 2, attempt_delay: 15, delay: 120 }]);
    settings.policy("ben", &[Step { targets: &["Ben"], delay: 120, ..Step::default() }]);
    settings.set("asterisk.ring_timeout", 5).set("watch.audit_every", 1);
    settings.set("webhooks.allow", vec!["127.0.0.0/8"]).set("webhooks.retry", 1);
}

fn file(h: &Harness) -> PathBuf {
    h.server.directory().join("data/ringdown.db")
}

async fn connect(h: &Harness) -> Result<DatabaseConnection> {
    let mut options = ConnectOptions::new(format!("sqlite://{}", file(h).display()));
    options.max_connections(1).min_connections(1).sqlx_logging(false);
    Ok(sea_orm::Database::connect(options).await?)
}

/// Somebody who has the database for themselves.
struct Lock(DatabaseConnection);

impl Lock {
    async fn take(h: &Harness) -> Result<Self> {
        let connection = connect(h).await?;
        // The server may be writing at this moment.
        until("the database is locked", SOON, async || Ok(connection.execute_unprepared("BEGIN IMMEDIATE").await.ok()))
            .await?;
        Ok(Self(connection))
    }

    async fn release(self) -> Result<()> {
        self.0.execute_unprepared("ROLLBACK").await?;
        Ok(self.0.close().await?)
    }
}

/// Senders who never tire: each posts one alert after the other, and each until it is taken.
struct Senders {
    stop: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    refused: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Result<Vec<Sent>>>>,
}

/// An alert that was taken in the end.
struct Sent {
    key: String,
    incident: String,
}

impl Senders {
    fn start(api: &Api) -> Self {
        let mut this = Self { stop: Arc::default(), taken: Arc::default(), refused: Arc::default(), tasks: Vec::new() };
        for sender in 0..SENDERS {
            let (api, stop) = (api.clone(), Arc::clone(&this.stop));
            let (taken, refused) = (Arc::clone(&this.taken), Arc::clone(&this.refused));
            this.tasks.push(tokio::spawn(async move {
                let (mut sent, mut pace) = (Vec::new(), tokio::time::interval(PACE));
                while !stop.load(Ordering::SeqCst) {
                    let key = format!("{sender}/{}", sent.len());
                    let alert = json!({ "summary": key, "dedup_key": key, "labels": { "stream": "yes" } });
                    let incident = loop {
                        pace.tick().await;
                        let (status, answer) = api.ask(Method::POST, "/api/v2/alerts", Some(&alert)).await?;
                        if status.is_success() {
                            break answer["incident_id"].as_str().context("an incident")?.to_owned();
                        }
                        ensure!(status == StatusCode::SERVICE_UNAVAILABLE, "{status}: {answer}");
                        refused.fetch_add(1, Ordering::SeqCst);
                    };
                    taken.fetch_add(1, Ordering::SeqCst);
                    sent.push(Sent { key, incident });
                }
                Ok(sent)
            }));
        }
        this
    }

    /// So many more are taken.
    async fn go_through(&self, more: usize) -> Result<()> {
        let least = self.taken.load(Ordering::SeqCst) + more;
        until("alerts are taken", LATER, async || Ok((self.taken.load(Ordering::SeqCst) >= least).then_some(()))).await
    }

    /// So many are refused.
    async fn are_refused(&self, least: usize) -> Result<()> {
        until("alerts are refused", LATER, async || Ok((self.refused.load(Ordering::SeqCst) >= least).then_some(())))
            .await
    }

    async fn stop(self) -> Result<Vec<Sent>> {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Vec::new();
        for sent in join_all(self.tasks).await {
            all.extend(sent??);
        }
        Ok(all)
    }
}

/// Every incident there is, oldest first.
async fn incidents(api: &Api) -> Result<Vec<Value>> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("/api/v2/incidents?limit=500{cursor}")).await?;
        all.extend(page["items"].as_array().cloned().unwrap_or_default());
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    all.reverse();
    Ok(all)
}

/// What was sent is there, once, and whole.
async fn are_all_there_once(h: &Harness, sent: &[Sent]) -> Result<()> {
    let all = incidents(&h.server.api).await?;
    let mut by_key: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
    for incident in &all {
        by_key.entry(incident["dedup_key"].as_str().unwrap_or_default()).or_default().push(incident);
    }
    for Sent { key, incident } in sent {
        let there = by_key.remove(key.as_str()).unwrap_or_default();
        ensure!(there.len() == 1, "{key} is there {} times", there.len());
        ensure!(there[0]["id"] == *incident, "{key} is another than what its sender was told: {}", there[0]);
        ensure!(there[0]["state"] == "held", "{key}: {}", there[0]);
        let kinds = h.kinds(incident).await?;
        let once = |kind: &str| kinds.iter().filter(|known| *known == kind).count() == 1;
        ensure!(
            kinds.first().is_some_and(|kind| kind == "raised") && once("raised") && once("held"),
            "{key}: {kinds:?}"
        );
    }
    Ok(())
}

/// Rides a fault out: alerts stream in, a phone has rung and is to ring again, somebody is told of everything.
async fn ride_out(
    h: &mut Harness,
    begin: impl AsyncFnOnce(&mut Harness) -> Result<()>,
    end: impl AsyncFnOnce(&mut Harness) -> Result<()>,
) -> Result<()> {
    h.expects_error("database");
    h.expects_error("a deadline");
    h.expects_error("the self-audit has found something");
    let receiver = Receiver::start().await;
    let hook = json!({ "url": receiver.url("/"), "kinds": ["raised", "acknowledged"] });
    h.server.api.post("/api/v2/webhooks", &hook).await?;
    let now = Clock::System.now();
    let silence = json!({ "matchers": ["stream=yes"], "from": now, "until": now + TimeDelta::hours(1) });
    h.server.api.post("/api/v2/silences", &silence).await?;
    // The last of the prompts that are made at the start: what becomes of those is another story.
    let prompt = h.server.directory().join("data/sounds/try-later.wav");
    until("the prompts are made", SOON, async || Ok(prompt.exists().then_some(()))).await?;
    let first = h.raise("Disk full").await?;
    h.phone(ANA).rings().await?;
    h.told(&first, "ringing").await?;
    let senders = Senders::start(&h.server.api);
    senders.go_through(10).await?;

    begin(h).await?;
    senders.are_refused(SENDERS).await?;
    until("it is not ready", SOON, async || {
        let (status, state) = h.server.api.ask(Method::GET, "/readyz", None).await?;
        let database = state["parts"].as_array().and_then(|parts| parts.iter().find(|part| part["name"] == "database"));
        let amiss = database.is_some_and(|part| part["ok"] == false);
        Ok((amiss && status == StatusCode::SERVICE_UNAVAILABLE).then_some(()))
    })
    .await?;
    // The end of the call comes while nobody can write it down.
    h.phone(ANA).is_hung_up().await?;
    end(h).await?;

    senders.go_through(20).await?;
    let sent = senders.stop().await?;
    are_all_there_once(h, &sent).await?;
    // The engine, the dialer and whoever speaks have gone on by themselves.
    h.phone(ANA).rings().await?.answers().await?;
    h.phone(ANA).hears_alert("Disk full").await?;
    h.phone(ANA).presses('4').await?;
    h.is(&first, "acknowledged").await?;
    h.phone(ANA).is_hung_up().await?;
    let calls = h.records(&first).await?;
    let ends: Vec<_> = calls.iter().map(|call| (call["status"].as_str(), call["disposition"].as_str())).collect();
    assert_eq!(ends, [(Some("no_answer"), Some("NO ANSWER")), (Some("completed"), Some("ANSWERED"))]);
    let other = h.post_alert(json!({ "summary": "Rack on fire", "policy": "ben" })).await?;
    h.phone(BEN).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
    h.is(&other, "acknowledged").await?;
    h.phone(BEN).is_hung_up().await?;
    // And so has whoever tells others, and whoever watches.
    until("everything was told", LATER, async || {
        let mut raised: BTreeMap<String, usize> = BTreeMap::new();
        let mut acknowledged = 0;
        for got in receiver.got() {
            let event = got.json();
            match event["kind"].as_str() {
                Some("acknowledged") => acknowledged += 1,
                _ => *raised.entry(got.event_id).or_default() += 1,
            }
        }
        Ok((acknowledged >= 2 && raised.len() == sent.len() + 2).then_some(()))
    })
    .await?;
    until("nothing is amiss", SOON, async || {
        Ok((h.server.part_works("self_audit").await? && h.server.part_works("database").await?).then_some(()))
    })
    .await
}

/// What SQLite itself thinks of the file.
async fn is_sound(h: &Harness) -> Result<()> {
    let connection = connect(h).await?;
    let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Sqlite, "PRAGMA integrity_check");
    let row = connection.query_one_raw(statement).await?.context("a verdict")?;
    let verdict: String = row.try_get_by_index(0)?;
    ensure!(verdict == "ok", "{verdict}");
    Ok(connection.close().await?)
}

#[tokio::test]
async fn a_locked_database_is_waited_for() {
    story_mut(twice, async |h| {
        let lock = Arc::new(tokio::sync::Mutex::new(None));
        let (take, give) = (Arc::clone(&lock), lock);
        ride_out(
            h,
            async move |h| {
                *take.lock().await = Some(Lock::take(h).await?);
                Ok(())
            },
            async move |_| give.lock().await.take().context("a lock")?.release().await,
        )
        .await
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_is_full_in_the_middle_of_it_is_waited_for() {
    story_mut(twice, async |h| {
        let full = async |h: &mut Harness| {
            // Room for some more, so that it is not between two commits that it ends.
            let log = fs::metadata(file(h).with_extension("db-wal"))?.len();
            h.server.limit_files(Some(log + 50_000)).await
        };
        ride_out(h, full, async |h: &mut Harness| h.server.limit_files(None).await).await?;
        is_sound(h).await
    })
    .await;
}

#[tokio::test]
async fn a_disk_that_takes_nothing_at_all_is_waited_for() {
    story_mut(twice, async |h| {
        let nothing = async |h: &mut Harness| h.server.limit_files(Some(0)).await;
        ride_out(h, nothing, async |h: &mut Harness| h.server.limit_files(None).await).await?;
        is_sound(h).await
    })
    .await;
}

#[tokio::test]
async fn postgresql_may_be_restarted_in_the_middle_of_a_commit() {
    let cluster = Cluster::that_keeps().await.expect("PostgreSQL");
    let url = cluster.database().await.expect("a database");
    let cluster = Arc::new(tokio::sync::Mutex::new(cluster));
    let on_it = |settings: &mut Settings| {
        twice(settings);
        settings.set("database.url", url);
    };
    story_mut(on_it, async |h| {
        let (first, last) = (Arc::clone(&cluster), Arc::clone(&cluster));
        let begin = async move |_: &mut Harness| first.lock().await.stop_at_once().await;
        ride_out(h, begin, async move |_: &mut Harness| last.lock().await.restart().await).await?;
        // Cut connections alone are not even an outage: each is made anew.
        let id = h.post_alert(json!({ "summary": "Link down", "policy": "ben" })).await?;
        h.phone(BEN).rings().await?;
        cluster.lock().await.cut_connections().await?;
        h.phone(BEN).answers().await?.hears_something().await?.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        h.phone(BEN).is_hung_up().await?;
        Ok(())
    })
    .await;
    cluster.lock().await.stop().await.expect("it stops");
}

#[tokio::test]
async fn a_real_alertmanager_that_finds_the_database_locked_delivers_again_and_one_phone_rings_once() {
    story(twice, async |h| {
        h.expects_error("database");
        h.expects_error("the self-audit has found something");
        let mut alertmanager = Alertmanager::start(&h.slot, &h.server.api).await?;
        let lock = Lock::take(h).await?;
        alertmanager.fire(&[("alertname", "DiskFull")], &[("summary", "Disk full")]).await?;
        let refused = "ringdown_http_requests_total{operation=\"alertmanager_webhook\",status=\"5xx\"} ";
        until("a delivery is refused", LATER, async || {
            let figures = h.server.api.get("/metrics").await?;
            Ok(figures.as_str().unwrap_or_default().contains(refused).then_some(()))
        })
        .await?;
        assert!(h.telephony.net.calls().is_empty());
        lock.release().await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        let all = incidents(&h.server.api).await?;
        ensure!(all.len() == 1, "{all:#?}");
        let id = all[0]["id"].as_str().context("an id")?;
        h.is(id, "acknowledged").await?;
        ana.is_hung_up().await?;
        h.record(id).await?;
        alertmanager.stop().await
    })
    .await;
}

#[tokio::test]
async fn into_a_file_that_is_gone_or_another_nothing_is_written() {
    let ben = |settings: &mut Settings| {
        settings.policy("ben", &[Step { targets: &["Ben"], delay: 120, ..Step::default() }]);
        settings.set("asterisk.ring_timeout", 60).set("watch.audit_every", 1);
    };
    story_mut(ben, async |h| {
        h.expects_error("its file was moved, replaced or deleted");
        h.expects_error("the database's file was moved, replaced or deleted");
        let (here, away) = (file(h), file(h).with_extension("away"));
        let alert = |key: &str| json!({ "summary": key, "dedup_key": key });
        let post = async |h: &Harness, key: &str| {
            let answer = h.server.api.ask(Method::POST, "/api/v2/alerts", Some(&alert(key))).await;
            answer.map(|(status, _)| status)
        };
        let shows = async |h: &Harness, ok: bool| {
            until(format!("the database is well: {ok}"), SOON, async || {
                Ok((h.server.part_works("database").await? == ok).then_some(()))
            })
            .await
        };
        assert_eq!(post(h, "before").await?, StatusCode::CREATED);
        h.phone(BEN).rings().await?;

        fs::rename(&here, &away)?;
        assert_eq!(post(h, "into nowhere").await?, StatusCode::SERVICE_UNAVAILABLE);
        shows(h, false).await?;
        assert!(!here.exists(), "nobody makes an empty one");
        // A copy is another file, and what is written into the first would be missing in it.
        fs::copy(&away, &here)?;
        assert_eq!(post(h, "into nowhere").await?, StatusCode::SERVICE_UNAVAILABLE);
        fs::rename(&away, &here)?;
        assert_eq!(post(h, "back").await?, StatusCode::CREATED);
        shows(h, true).await?;
        h.phone(BEN).answers().await?.hears_something().await?;

        // Replaced for good, by what a backup would be: the next start begins with that.
        let connection = connect(h).await?;
        connection.execute_unprepared(&format!("VACUUM INTO '{}'", away.display())).await?;
        connection.close().await?;
        fs::remove_file(&here)?;
        assert_eq!(post(h, "into nowhere").await?, StatusCode::SERVICE_UNAVAILABLE);
        fs::rename(&away, &here)?;
        assert_eq!(post(h, "into nowhere").await?, StatusCode::SERVICE_UNAVAILABLE);
        shows(h, false).await?;
        h.server.kill().await?;
        for beside in ["db-wal", "db-shm"] {
            let _ = fs::remove_file(here.with_extension(beside));
        }
        h.server.restart().await?;
        assert_eq!(post(h, "after").await?, StatusCode::CREATED);
        let all = incidents(&h.server.api).await?;
        let keys: Vec<_> = all.iter().filter_map(|incident| incident["dedup_key"].as_str()).collect();
        assert_eq!(keys, ["before", "back", "after"]);

        // Its log of writes is a part of it.
        fs::remove_file(here.with_extension("db-wal"))?;
        assert_eq!(post(h, "into nowhere").await?, StatusCode::SERVICE_UNAVAILABLE);
        shows(h, false).await?;
        h.server.stop().await?;
        h.server.restart().await?;
        is_sound(h).await?;
        // What stood in that log alone may be gone with it; Ben is still on the line about what was there before.
        let all = incidents(&h.server.api).await?;
        h.told(all[0]["id"].as_str().context("an id")?, "reconnected").await?;
        for incident in &all {
            h.says(incident["id"].as_str().context("an id")?, "resolve").await?;
        }
        h.phone(BEN).is_hung_up().await?;
        Ok(())
    })
    .await;
}
