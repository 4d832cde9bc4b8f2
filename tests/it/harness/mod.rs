//! What a story is told with. Everything in it waits until it is so, and panics in words if it is not;
//! a story that ends without [`Harness::close`], or leaves behind what it did not expect, fails.

mod incident;
mod phone;
mod report;

use std::{
    collections::HashMap,
    env,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lab::{asterisk::Telephony, server::Server, settings::Settings, slot::Slot, voice::Voice, wait::until};
use serde_json::{Value, json};

pub use incident::Incident;
pub use phone::Handset;

pub const ANA: &str = "+393331234501";
pub const BEN: &str = "+393331234502";

/// Within this whatever is going on must have come to rest after the last sentence of a story.
const REST: Duration = Duration::from_secs(10);

/// The real server, on a PBX and a telephone network of its own.
pub struct Harness {
    pub telephony: Telephony,
    pub server: Server,
    voice: Voice,
    told: Mutex<Told>,
    closed: bool,
    /// Last: its directory goes when nothing writes to it any more.
    slot: Slot,
}

/// What the story has told until now, and so what is expected.
#[derive(Default)]
struct Told {
    /// How many calls came to each number.
    calls: HashMap<String, usize>,
    /// What was raised, as (severity, summary).
    alerts: Vec<(String, String)>,
    /// Where each incident stands.
    states: HashMap<String, String>,
    /// Parts of lines that the server's log may have at level ERROR.
    errors: Vec<String>,
}

impl Harness {
    /// Starts everything; `configure` says who is called, and what else is not as usual.
    pub async fn start(configure: impl FnOnce(&mut Settings)) -> Self {
        let slot = or_panic(Slot::take());
        let telephony = or_panic(Telephony::start(&slot).await);
        let mut settings = Settings::new();
        settings.pbx(&telephony.pbx);
        // The same stories, on the other database.
        if env::var("RINGDOWN_LAB_STORE").is_ok_and(|store| store == "postgres") {
            settings.set("database.url", or_panic(lab::postgres::database().await));
        }
        configure(&mut settings);
        let program = Path::new(env!("CARGO_BIN_EXE_ringdown"));
        let server = or_panic(Server::start(program, &slot, settings).await);
        let voice = or_panic(Voice::open(&slot.directory().join("voice")));
        Self { telephony, server, voice, told: Mutex::default(), closed: false, slot }
    }

    /// The phone with this number.
    pub fn phone<'a>(&'a self, number: &'a str) -> Handset<'a> {
        Handset { h: self, number }
    }

    /// An alert comes in, and opens an incident under the default policy.
    pub async fn alert(&self, severity: &str, summary: &str) -> Incident<'_> {
        self.raise(&json!({ "severity": severity, "summary": summary })).await
    }

    /// An alert comes in as the API takes it, and opens an incident.
    pub async fn raise(&self, alert: &Value) -> Incident<'_> {
        let text = |name: &str| alert[name].as_str().unwrap_or_default().to_owned();
        self.told().alerts.push((text("severity"), text("summary")));
        let answer = or_panic(self.server.api.post("/api/v2/alerts", alert).await);
        assert_eq!(answer["outcome"], "opened", "{answer}");
        self.incident(answer["incident_id"].as_str().unwrap_or_default())
    }

    /// The incident with this identifier.
    pub fn incident(&self, id: &str) -> Incident<'_> {
        Incident { h: self, id: id.to_owned() }
    }

    /// The server may log an error with these words in it.
    pub fn expect_error(&self, words: &str) {
        self.told().errors.push(words.to_owned());
    }

    /// Ends the story: nothing may be left that it did not tell of.
    pub async fn close(mut self) {
        self.closed = true;
        let mut wrong = Vec::new();
        let resting = until("all calls are over", REST, async || {
            let calls = self.all("/api/v2/calls?limit=500").await;
            let live = calls.iter().any(|call| ["pending", "dialing", "ringing", "answered"].map(Value::from).contains(&call["status"]));
            Ok((!live && self.telephony.pbx.channels().await? == 0).then_some(()))
        });
        if let Err(error) = resting.await {
            wrong.push(format!("{error:#}"));
        }
        for call in self.telephony.net.calls() {
            let told = self.told().calls.get(&call.number).copied().unwrap_or_default();
            let came = self.telephony.net.phone(&call.number).calls().len();
            if told != came {
                wrong.push(format!("{came} calls came to {}, and the story tells of {told}", call.number));
            }
        }
        for incident in self.all("/api/v2/incidents?limit=500").await {
            let (id, state) = (incident["id"].as_str().unwrap_or_default(), incident["state"].as_str().unwrap_or_default());
            match self.told().states.get(id) {
                Some(told) if told == state => {}
                Some(told) => wrong.push(format!("incident {id} is {state}, and the story left it {told}")),
                None => wrong.push(format!("incident {id} is {state}, and the story does not tell where it stands")),
            }
        }
        if let Err(error) = self.server.stop().await {
            wrong.push(format!("{error:#}"));
        }
        let errors = self.server.errors();
        let unexpected = errors.iter().filter(|line| !self.told().errors.iter().any(|words| line.contains(words)));
        wrong.extend(unexpected.map(|line| format!("the server logged: {line}")));
        if let Err(error) = self.telephony.stop().await {
            wrong.push(format!("{error:#}"));
        }
        wrong.sort();
        wrong.dedup();
        assert!(wrong.is_empty(), "at the end of the story:\n  {}", wrong.join("\n  "));
    }

    async fn all(&self, path: &str) -> Vec<Value> {
        or_panic(self.server.api.get(path).await)["items"].as_array().cloned().unwrap_or_default()
    }

    /// A panic elsewhere leaves it as whole as it was.
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Harness {
    fn drop(&mut self) {
        if std::thread::panicking() {
            report::print(self);
        } else {
            assert!(self.closed, "the story ends without closing its harness");
        }
    }
}

/// What did not come out as told ends the story, in words.
fn or_panic<T>(result: anyhow::Result<T>) -> T {
    result.unwrap_or_else(|error| panic!("{error:#}"))
}
