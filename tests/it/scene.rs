//! A store, an engine and a clock that stands still: everything but the telephone.

use crate::harness::author;
use chrono::{DateTime, TimeDelta, Utc};
use ringdown::{
    bus::Bus,
    clock::Clock,
    engine::{Alert, Applied, Engine, PolicyChoice, Raised},
    escalation::{Actor, Held, Policy, Position, Stage, State, Step, Target},
    id::{ContactId, IncidentId},
    phone::PhoneNumber,
    store::{
        Call, CallFilter, CallStatus, Change, ContactData, Content, End, Entry, Fact, Incident, Member, NewIncident,
        PolicyData, Store,
    },
};

use crate::databases::Database;

/// The server that places the calls of a scene.
pub const NODE: &str = "scene";

/// One server without a telephone.
pub struct Scene {
    pub store: Store,
    pub engine: Engine,
    pub clock: Clock,
}

/// When every scene begins.
pub fn evening() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).expect("a valid instant")
}

pub fn number(text: &str) -> PhoneNumber {
    PhoneNumber::try_from(text.to_owned()).expect("a dialable number")
}

pub fn step(targets: &[Target], attempts: u32, between: i64, after: i64) -> Step {
    Step {
        targets: targets.to_vec(),
        attempts,
        attempt_delay: TimeDelta::seconds(between),
        delay: TimeDelta::seconds(after),
        ..Step::default()
    }
}

/// One step, one attempt, five minutes.
pub fn once(targets: &[Target]) -> Policy {
    Policy { steps: vec![step(targets, 1, 60, 300)], ..Policy::default() }
}

pub fn first_attempt() -> Position {
    Position { stage: Stage { run: 0, round: 0, step: 0 }, attempt: 1 }
}

pub fn key() -> Actor {
    Actor::Key("the web".into())
}

pub fn member(fingerprint: &str, severity: &str, firing: bool) -> Member {
    Member {
        fingerprint: fingerprint.into(),
        summary: format!("{fingerprint} is down"),
        severity: severity.into(),
        firing,
        labels: [("instance".to_owned(), fingerprint.to_owned())].into(),
    }
}

/// A delivery of a group of alerts.
pub fn group(key: &str, members: Vec<Member>) -> Alert {
    let content = Content {
        summary: format!("{} alerts", members.len()),
        severity: "warning".into(),
        members,
        ..Content::default()
    };
    Alert {
        dedup_key: key.into(),
        policy: PolicyChoice::Default,
        source: "a test".into(),
        content,
        all_over: false,
        schedule: None,
        id: None,
    }
}

/// A single alert.
pub fn alert(key: &str) -> Alert {
    let mut alert = group(key, vec![member("", "warning", true)]);
    alert.content.summary = "the disk is full".into();
    alert
}

/// An incident that pages nobody, and these lines of its timeline.
pub fn held(entries: Vec<Entry>) -> Change {
    Change {
        state: State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None },
        now: evening(),
        content: None,
        calls: Vec::new(),
        messages: Vec::new(),
        cancel_calls: false,
        said: None,
        entries,
    }
}

pub fn new_incident(dedup_key: &str) -> NewIncident {
    NewIncident {
        id: IncidentId::generate(),
        dedup_key: dedup_key.into(),
        policy_name: None,
        policy: None,
        policy_id: None,
        turn: 0,
        hushable: true,
        source: "a test".into(),
        traceparent: None,
    }
}

/// Nobody came to the telephone.
pub fn no_answer() -> End {
    End {
        status: CallStatus::NoAnswer,
        disposition: "NO ANSWER".into(),
        cause: 19,
        cause_text: "no answer from user".into(),
        sip_status: None,
        found_route: true,
        failure: Some("nobody answered".into()),
    }
}

/// No route took it.
pub fn no_route() -> End {
    End {
        status: CallStatus::Failed,
        disposition: "CONGESTION".into(),
        cause: 34,
        cause_text: "no circuit or channel available".into(),
        sip_status: Some(503),
        found_route: false,
        failure: Some("no route took it".into()),
    }
}

impl Scene {
    pub async fn on(database: &Database) -> Self {
        let (store, clock) = (database.store().await, Clock::manual(evening()));
        Self { engine: Engine::new(store.clone(), Bus::default(), clock.clone()), store, clock }
    }

    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Lets time pass.
    pub fn seconds_pass(&self, seconds: i64) {
        self.clock.advance(TimeDelta::seconds(seconds));
    }

    pub async fn contact(&self, name: &str, numbers: &[&str]) -> ContactId {
        self.change_contact(name, true, numbers).await
    }

    pub async fn change_contact(&self, name: &str, enabled: bool, numbers: &[&str]) -> ContactId {
        let numbers = numbers.iter().map(|text| number(text).into()).collect();
        let data = ContactData { name: name.into(), enabled, numbers, ..ContactData::default() };
        match self.store.contacts_named(name).await.expect("an answer").first() {
            None => self.store.by(author()).create_contact(data, self.now()).await.expect("it is stored"),
            Some(id) => {
                let there = self.store.contact(*id).await.expect("an answer").expect("a contact");
                self.store
                    .by(author())
                    .update_contact(*id, there.version, data, self.now())
                    .await
                    .expect("it is stored");
                *id
            }
        }
    }

    pub async fn policy(&self, name: &str, policy: Policy, is_default: bool) {
        let data = PolicyData { name: name.into(), policy, is_default };
        let made = match self.store.policy(name).await.expect("an answer") {
            None => self.store.by(author()).create_policy(data, "a test", self.now()).await.map(drop),
            Some(there) => {
                self.store.by(author()).update_policy(there.id, there.version, data, "a test", self.now()).await
            }
        };
        made.expect("it is stored");
    }

    /// Raises an alert that nothing is open for.
    pub async fn raise(&self, alert: Alert) -> IncidentId {
        match self.engine.raise(alert).await.expect("it is stored") {
            Raised::Opened(id) => id,
            other => panic!("expected a new incident: {other:?}"),
        }
    }

    pub async fn incident(&self, id: IncidentId) -> Incident {
        self.store.incident(id).await.expect("the database answers").expect("it is there")
    }

    pub async fn state(&self, id: IncidentId) -> State {
        self.incident(id).await.state
    }

    /// One look at what is due.
    pub async fn tick(&self) -> Option<DateTime<Utc>> {
        self.engine.tick().await.expect("the database answers")
    }

    /// Waits for the next deadline and lets the engine look. Returns false if there is none.
    pub async fn next_deadline(&self) -> bool {
        let Some(due) = self.store.next_due().await.expect("the database answers") else { return false };
        self.clock.advance((due - self.now()).max(TimeDelta::zero()));
        self.tick().await;
        true
    }

    /// The calls that wait and may be placed.
    pub async fn claimable(&self) -> Vec<Call> {
        let waiting = self.store.waiting_calls().await.expect("the database answers");
        let ids: Vec<_> = waiting.calls.into_iter().map(|(call, _)| call).collect();
        self.store.pending_among(&ids).await.expect("the database answers")
    }

    /// The calls that wait, oldest first.
    pub async fn pending(&self) -> Vec<Call> {
        let filter = CallFilter { status: Some(CallStatus::Pending), ..CallFilter::default() };
        let mut calls = self.store.calls(filter, 1000).await.expect("the database answers").items;
        calls.reverse();
        calls
    }

    pub async fn call(&self, id: ringdown::id::CallId) -> Call {
        self.store.call(id).await.expect("the database answers").expect("it is there")
    }

    pub async fn claim(&self, call: &Call) -> bool {
        let claimed = self.store.claim_calls(std::slice::from_ref(call), NODE, self.now()).await;
        claimed.expect("the database answers").contains(&call.id)
    }

    pub async fn end(&self, call: &Call, end: End, next: Option<(PhoneNumber, u32)>) -> bool {
        self.store.end_call(call.id, end, next, self.now()).await.expect("the database answers")
    }

    /// What a dialer would do on a night when nobody wakes up: every call that may be placed rings for
    /// twenty seconds, then the contact's next number does.
    pub async fn nobody_answers(&self) {
        for _ in 0..10 {
            let calls = self.claimable().await;
            if calls.is_empty() {
                return;
            }
            for call in &calls {
                assert!(self.claim(call).await);
                self.store.call_rings(call, self.now()).await.expect("it is stored");
            }
            self.seconds_pass(20);
            for call in &calls {
                let numbers = match call.contact {
                    Some(id) => self.store.contact(id).await.expect("an answer").expect("a contact").data.numbers,
                    None => Vec::new(),
                };
                let numbers = numbers.into_iter().map(|number| number.number);
                let next = numbers.zip(0..).nth(call.number_index as usize + 1);
                assert!(self.end(call, no_answer(), next).await);
            }
        }
        panic!("nobody has so many numbers");
    }

    /// Nobody answers, deadline after deadline, until there is none left. Returns how many there were.
    pub async fn nobody_wakes_up(&self) -> u32 {
        for deadlines in 0..100 {
            self.nobody_answers().await;
            if !self.next_deadline().await {
                return deadlines;
            }
        }
        panic!("this night never ends");
    }

    /// Every call that may be placed fails for want of a route, as the dialer tells it.
    pub async fn no_call_finds_a_route(&self) {
        for call in self.claimable().await {
            assert!(self.claim(&call).await);
            let carried = self.store.carried_by(call.id).await.expect("the database answers");
            assert!(self.end(&call, no_route(), None).await);
            for carried in carried {
                self.engine.found_no_route(carried.incident, carried.at).await.expect("it is stored");
            }
        }
    }

    pub async fn facts(&self, id: IncidentId) -> Vec<Fact> {
        let events = self.store.timeline(id, None, 100_000).await.expect("the database answers");
        events.into_iter().map(|event| event.entry.fact).collect()
    }

    /// The timeline as people read it, with the seconds since the evening.
    pub async fn told(&self, id: IncidentId) -> Vec<String> {
        self.lines(id, |_| true).await
    }

    /// The lines of it that are not about a call or a text: what was said, and what was decided.
    pub async fn decided(&self, id: IncidentId) -> Vec<String> {
        self.lines(id, |entry| entry.call.is_none() && entry.message.is_none()).await
    }

    async fn lines(&self, id: IncidentId, which: impl Fn(&Entry) -> bool) -> Vec<String> {
        let events = self.store.timeline(id, None, 100_000).await.expect("the database answers");
        let line = |entry: &Entry| format!("{:>4} {}", (entry.at - evening()).num_seconds(), entry.fact.sentence());
        events.iter().filter(|event| which(&event.entry)).map(|event| line(&event.entry)).collect()
    }
}

/// Whether what was said counted.
pub fn counted(applied: &Applied) -> bool {
    matches!(applied, Applied::Changed(_))
}

/// How texts are sent and answered, as is usual.
pub fn texting(node: &str) -> ringdown::texter::Settings {
    let keypad = ringdown::script::Keypad::default();
    let texts = std::sync::Arc::new(ringdown::script::Texts::new(keypad).expect("its templates parse"));
    ringdown::texter::Settings {
        order: ringdown::texter::Order::Failover,
        segments: 3,
        words: std::sync::Arc::new(ringdown::texter::Words { texts, segments: 3, link: None }),
        per_hour: 30,
        reports: true,
        retry: TimeDelta::seconds(5),
        answers: ringdown::texter::Answers {
            keys: ringdown::answer::Keys { acknowledge: '4', escalate: '5', resolve: '6' },
            several: ringdown::answer::Several::All,
            pin_to_acknowledge: false,
            limit: ringdown::answer::Limit::default(),
            alerts: Vec::new(),
        },
        plan: ringdown::phone::NumberingPlan::new(Some("IT"), Vec::new()).expect("it is known"),
        rules: ringdown::route::destination::Rules { allow: vec!["+39".into()], ..Default::default() },
        watch: ringdown::watch::Board::default(),
        node: node.to_owned(),
        grace: std::time::Duration::from_secs(1),
    }
}
