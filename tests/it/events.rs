//! Events as they are told: each once, in order, to everybody, whatever happens.

use std::{path::Path, time::Duration};

use chrono::TimeDelta;
use futures_util::{FutureExt, future::join_all};
use lab::{api::Api, server::Server, settings::Settings, slot::Slot};
use migration::{Migrator, MigratorTrait};
use reqwest::{Client, Response, StatusCode};
use ringdown::{
    escalation::Target,
    herald::{Herald, Listener, Wanted},
    id::{EventId, IncidentId},
    store::{Entry, Fact, Store},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_util::sync::CancellationToken;

use crate::{
    databases::{Database, on_both_databases},
    scene::{Scene, alert, evening, key, number, once},
};

on_both_databases! {
    whoever_follows_sees_every_event_though_several_servers_write
    a_write_that_is_undone_leaves_no_gap
    a_burst_arrives_whole_and_in_order
    a_listener_that_sleeps_holds_up_nobody_and_misses_nothing
    a_listener_hears_what_it_wants_and_goes_on_where_it_was
    events_from_before_get_a_sequence
}

fn note(digit: char) -> Entry {
    Entry {
        incident: Some(IncidentId::generate()),
        call: None,
        message: None,
        at: evening(),
        fact: Fact::Digit { digit },
    }
}

async fn follow(store: Store, done: CancellationToken) -> Vec<i64> {
    let mut seen = Vec::new();
    loop {
        let last_look = done.is_cancelled();
        let page = store.events_after(seen.last().copied().unwrap_or(0), 50).await.expect("an answer");
        if page.is_empty() && last_look {
            return seen;
        }
        seen.extend(page.iter().map(|happened| happened.sequence));
        tokio::task::yield_now().await;
    }
}

async fn whoever_follows_sees_every_event_though_several_servers_write(database: Database) {
    let stores = [database.store().await, database.store().await, database.store().await];
    let done = CancellationToken::new();
    let follower = tokio::spawn(follow(database.store().await, done.clone()));
    let writers = (0..300).map(|n| {
        let store = stores[n % 3].clone();
        async move { store.note((0..=n % 4).map(|_| note('4')).collect()).await.expect("it is stored") }
    });
    join_all(writers).await;
    done.cancel();
    let seen = follower.await.expect("it ends");
    let total = (0..300).map(|n: i64| 1 + n % 4).sum::<i64>();
    assert_eq!(seen, (1..=total).collect::<Vec<_>>());
    assert_eq!(stores[0].last_event().await, Ok(total));
}

async fn a_write_that_is_undone_leaves_no_gap(database: Database) {
    let store = database.store().await;
    database.refuse_events("exhausted").await;
    let writes = (0..60).map(|n| {
        let bad = Entry { fact: Fact::Exhausted, ..note('4') };
        store.note(if n % 3 == 0 { vec![note('4'), bad] } else { vec![note('4')] })
    });
    let refused = join_all(writes).await.into_iter().filter(Result::is_err).count();
    assert_eq!(refused, 20);
    let seen: Vec<i64> =
        store.events_after(0, 1000).await.expect("an answer").iter().map(|event| event.sequence).collect();
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

async fn herald(store: &Store) -> Herald {
    let herald = Herald::new(store.clone(), 10, CancellationToken::new()).await.expect("an answer");
    tokio::spawn(herald.clone().run(CancellationToken::new()));
    herald
}

async fn listen(herald: &Herald, wanted: Wanted, after: Option<i64>) -> Listener {
    herald.listen(wanted, after).await.expect("an answer").expect("a place")
}

/// Hears until `count` events are there.
async fn hear(listener: &mut Listener, count: usize) -> Vec<i64> {
    let mut heard = Vec::new();
    while heard.len() < count {
        let together = tokio::time::timeout(Duration::from_secs(30), listener.next()).await.expect("in time");
        heard.extend(together.expect("no end").iter().map(|news| news.sequence));
    }
    heard
}

async fn a_burst_arrives_whole_and_in_order(database: Database) {
    let store = database.store().await;
    let herald = herald(&store).await;
    let mut listeners = join_all((0..5).map(|_| listen(&herald, Wanted::default(), None))).await;
    join_all((0..250).map(|_| store.note(vec![note('1'), note('2'), note('3'), note('4')]))).await;
    let all: Vec<i64> = (1..=1000).collect();
    for listener in &mut listeners {
        assert_eq!(hear(listener, 1000).await, all);
        assert!(listener.next().now_or_never().is_none(), "and nothing else");
    }
}

async fn a_listener_that_sleeps_holds_up_nobody_and_misses_nothing(database: Database) {
    let store = database.store().await;
    let herald = herald(&store).await;
    let mut asleep = listen(&herald, Wanted::default(), None).await;
    let mut awake = listen(&herald, Wanted::default(), None).await;
    for round in 0..6 {
        // More than is kept for anybody.
        store.note((0..500).map(|_| note('4')).collect()).await.expect("it is stored");
        let expected: Vec<i64> = (round * 500 + 1..=round * 500 + 500).collect();
        assert_eq!(hear(&mut awake, 500).await, expected);
    }
    assert_eq!(hear(&mut asleep, 3000).await, (1..=3000).collect::<Vec<_>>());
    assert!(asleep.next().now_or_never().is_none(), "nothing twice");
    // What happens from now on comes the usual way.
    store.note(vec![note('4')]).await.expect("it is stored");
    assert_eq!(hear(&mut asleep, 1).await, [3001]);
}

async fn a_listener_hears_what_it_wants_and_goes_on_where_it_was(database: Database) {
    let scene = Scene::on(&database).await;
    let ann = Target::Number(number("+393331234501"));
    scene.policy("usual", once(&[ann]), true).await;
    let herald = herald(&scene.store).await;
    let (one, other) = (scene.raise(alert("one")).await, scene.raise(alert("other")).await);
    let call = scene.claimable().await.remove(0);
    assert!(scene.claim(&call).await);
    scene.engine.acknowledge(one, key()).await.expect("it is stored");
    scene.engine.acknowledge(other, key()).await.expect("it is stored");

    let kinds = |kinds: &[&str]| Wanted { kinds: kinds.iter().map(|&kind| kind.into()).collect(), ..Wanted::default() };
    let taken = hear(&mut listen(&herald, kinds(&["acknowledged"]), Some(0)).await, 2).await;
    let all = scene.store.events_after(0, 1000).await.expect("an answer");
    let kind = |sequence: i64| all.iter().find(|event| event.sequence == sequence).expect("an event").kind.as_str();
    assert!(taken.iter().all(|&sequence| kind(sequence) == "acknowledged"));
    let again = hear(&mut listen(&herald, kinds(&["acknowledged"]), Some(taken[0])).await, 1).await;
    assert_eq!(again, taken[1..]);
    // What a call does is about every incident that it carries.
    let dialing = |incident| Wanted { incident: Some(incident), ..kinds(&["dialing"]) };
    let of_one = hear(&mut listen(&herald, dialing(one), Some(0)).await, 1).await;
    assert_eq!(of_one, hear(&mut listen(&herald, dialing(other), Some(0)).await, 1).await);
    let of_call = Wanted { call: Some(call.id), ..kinds(&["dialing", "acknowledged"]) };
    assert_eq!(hear(&mut listen(&herald, of_call, Some(0)).await, 1).await, of_one);
    let nobody = Wanted { incident: Some(IncidentId::generate()), ..Wanted::default() };
    assert!(listen(&herald, nobody, Some(0)).await.next().now_or_never().is_none());
}

async fn events_from_before_get_a_sequence(database: Database) {
    let url = database.url.replace("sqlite:", "sqlite://")
        + if database.url.starts_with("sqlite:") { "?mode=rwc" } else { "" };
    let connection = sea_orm::Database::connect(url).await.expect("the database opens");
    let before = Migrator::migrations().iter().take_while(|migration| !migration.name().contains("telling")).count();
    Migrator::up(&connection, Some(u32::try_from(before).expect("few"))).await.expect("it migrates");
    let ids: Vec<EventId> = (0..3).map(|_| EventId::generate()).collect();
    for (id, second) in ids.iter().zip(0..) {
        let at = evening() + TimeDelta::seconds(second);
        let (id, at) = if database.url.starts_with("sqlite:") {
            (format!("x'{}'", id.0.simple()), at.to_rfc3339())
        } else {
            (format!("'{id}'"), at.to_rfc3339())
        };
        let insert = format!("INSERT INTO event (id, at, kind, data) VALUES ({id}, '{at}', 'exhausted', '{{}}')");
        connection.execute_unprepared(&insert).await.expect("it is stored");
    }
    let store = database.store().await;
    let told: Vec<(i64, EventId)> =
        store.events_after(0, 10).await.expect("an answer").iter().map(|event| (event.sequence, event.id)).collect();
    assert_eq!(told, [(1, ids[0]), (2, ids[1]), (3, ids[2])]);
    store.note(vec![note('4')]).await.expect("it is stored");
    assert_eq!(store.last_event().await, Ok(4));
}

/// Somebody who listens over HTTP.
struct Ear {
    answer: Response,
    heard: String,
}

/// An event as it came over the line: its `id:`, `event:`, and `data:`.
type Heard = (i64, String, Value);

impl Ear {
    async fn at(api: &Api, query: &str, last: Option<i64>) -> Response {
        let client = Client::builder().no_proxy().build().expect("a client");
        let mut request = client.get(format!("{}/api/v2/events{query}", api.base)).bearer_auth(&api.key);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        request.send().await.expect("an answer")
    }

    async fn open(api: &Api, query: &str, last: Option<i64>) -> Self {
        let answer = Self::at(api, query, last).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, heard: String::new() }
    }

    /// The next event; `None` if the stream has ended, however it did.
    async fn next(&mut self) -> Option<Heard> {
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let fields: Vec<(String, String)> = event
                    .lines()
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .collect();
                self.heard = rest.to_owned();
                let field = |name| fields.iter().find(|field| field.0 == name).map(|field| field.1.clone());
                let Some(data) = field("data") else { continue };
                let data = serde_json::from_str(&data).expect("JSON");
                return Some((field("id")?.parse().expect("a sequence"), field("event")?, data));
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.answer.chunk()).await.expect("in time");
            let chunk = chunk.ok()??;
            self.heard.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    /// Hears until there was one of this kind, it included.
    async fn until(&mut self, kind: &str) -> Vec<Heard> {
        let mut all = Vec::new();
        loop {
            let heard = self.next().await.expect("no end");
            let found = heard.1 == kind;
            all.push(heard);
            if found {
                return all;
            }
        }
    }
}

async fn server(change: impl FnOnce(&mut Settings)) -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    change(&mut settings);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

async fn raise(api: &Api, summary: &str) -> String {
    let answer = api.post("/api/v2/alerts", &json!({ "summary": summary })).await.expect("stored");
    answer["incident_id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn whoever_comes_back_after_the_server_was_killed_misses_nothing_and_hears_nothing_twice() {
    let (_slot, mut server) = server(|_| {}).await;
    let mut ear = Ear::open(&server.api, "", None).await;
    let id = raise(&server.api, "one").await;
    let mut all = ear.until("held_no_policy").await;
    assert_eq!((all[0].1.as_str(), &all[0].2["incident"]), ("raised", &json!(id)));
    assert_eq!(all[0].2["text"], "raised by lab: one");
    // It is the timeline.
    let line = &server.api.timeline(&id, None).await.expect("a timeline")[0];
    for (told, shown) in [("id", "id"), ("kind", "kind"), ("data", "data")] {
        assert_eq!(all[0].2[told], line[shown]);
    }
    // Alerts come in while the server is killed: what was stored is what counts.
    let api = server.api.clone();
    let raising = tokio::spawn(async move {
        for n in 0..1000 {
            if api.post("/api/v2/alerts", &json!({ "summary": format!("alert {n}") })).await.is_err() {
                return;
            }
        }
    });
    all.extend(ear.until("held_no_policy").await);
    server.kill().await.expect("killed");
    raising.await.expect("it ends");
    while let Some(heard) = ear.next().await {
        all.push(heard);
    }
    server.restart().await.expect("it comes back");
    let last = all.last().expect("an event").0;
    let mut ear = Ear::open(&server.api, "", Some(last)).await;
    server.api.post(&format!("/api/v2/incidents/{id}/resolve"), &json!({})).await.expect("resolved");
    all.extend(ear.until("resolved").await);
    let numbers: Vec<i64> = all.iter().map(|heard| heard.0).collect();
    assert_eq!(numbers, (1..=numbers.len() as i64).collect::<Vec<_>>());
    let mut whole = Ear::open(&server.api, "?after=0", None).await;
    for heard in &all {
        assert_eq!(whole.next().await.as_ref(), Some(heard), "a second listener hears the same");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_stream_outlives_the_time_of_a_request_and_ends_with_the_server() {
    let (_slot, mut server) = server(|settings| {
        settings.set("server.timeout", 1).set("server.listeners", 2).set("server.grace", 30);
    })
    .await;
    let mut ear = Ear::open(&server.api, "?kinds=resolved,acknowledged", None).await;
    let mut other = Ear::open(&server.api, "", None).await;
    let refused = Ear::at(&server.api, "", None).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.json::<Value>().await.expect("a problem")["type"], "urn:ringdown:problem:busy");
    for wrong in ["?kinds=A%20b", "?incident=x", "?after=-1"] {
        assert_eq!(Ear::at(&server.api, wrong, None).await.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    let id = raise(&server.api, "one").await;
    other.until("held_no_policy").await;
    // Longer than any other request may take.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.api.post(&format!("/api/v2/incidents/{id}/resolve"), &json!({})).await.expect("resolved");
    assert_eq!(ear.next().await.expect("an event").1, "resolved");
    let begin = std::time::Instant::now();
    let (stopped, ended) = tokio::join!(server.stop(), ear.next());
    stopped.expect("stops");
    assert_eq!(ended, None);
    assert!(begin.elapsed() < Duration::from_secs(10), "nobody waits for listeners: {:?}", begin.elapsed());
}

#[tokio::test]
async fn what_happens_at_once_comes_together() {
    let (_slot, mut server) = server(|_| {}).await;
    // What HTTP clients show as pieces is not what was written at once: this looks at the connection.
    let address = server.api.base.trim_start_matches("http://").to_owned();
    let mut ear = TcpStream::connect(&address).await.expect("a connection");
    let request = format!(
        "GET /api/v2/events?kinds=raised HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\r\n",
        server.api.key
    );
    ear.write_all(request.as_bytes()).await.expect("it is sent");
    let mut buffer = vec![0; 256 * 1024];
    let head = ear.read(&mut buffer).await.expect("an answer");
    assert!(buffer[..head].starts_with(b"HTTP/1.1 200"));
    let (events, begin) = (500, std::time::Instant::now());
    let summaries: Vec<String> = (0..events).map(|n| format!("alert {n}")).collect();
    let raising = join_all(summaries.iter().map(|summary| raise(&server.api, summary)));
    let hearing = async {
        let (mut pieces, mut heard) = (0, String::new());
        // HTTP cuts events where it likes, and writes the length of the next piece there.
        let cut = regex::Regex::new("\r\n[0-9a-fA-F]+\r\n").expect("a pattern");
        while cut.replace_all(&heard, "").matches("event: raised").count() < events {
            let read = ear.read(&mut buffer).await.expect("no error");
            assert!(read > 0, "it ended");
            heard.push_str(std::str::from_utf8(&buffer[..read]).expect("text"));
            pieces += 1;
        }
        pieces
    };
    let (_, pieces) = tokio::join!(raising, hearing);
    // Ten a second, each in a few pieces if it is long.
    let tenths = usize::try_from(begin.elapsed().as_millis() / 100).expect("a short time");
    assert!(pieces <= 4 * (tenths + 2), "{pieces} pieces in {tenths} tenths of a second");
    server.stop().await.expect("stops");
}
