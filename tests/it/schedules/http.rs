//! Schedules, overrides, windows and calendars over HTTP, as any program would use them.

use std::{path::Path, time::Duration};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use lab::{
    api::Api,
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, StatusCode};
use ringdown::{
    clock::Clock,
    id::ContactId,
    oncall::{self, Duty, Layer, Rotation, Unit},
    wallclock::Zone,
};
use serde_json::{Value, json};

/// A server without a PBX, and the address book that schedules need.
pub async fn server() -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    for (name, number) in [("Ann", "+393331234501"), ("Ben", "+393331234502"), ("Eva", "+393331234503")] {
        settings.contact(name, &[number]);
    }
    settings.policy("night", &[Step { targets: &["Ann"], ..Step::default() }]);
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

pub fn now() -> DateTime<Utc> {
    Clock::System.now()
}

/// An instant as it is answered.
pub fn at(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, false)
}

/// A schedule in which these take turns, a day each, at nine in the morning.
pub fn turns(name: &str, people: &[&str]) -> Value {
    let participants: Vec<Value> = people.iter().map(|name| json!({ "name": name })).collect();
    let layer = json!({
        "name": "turns", "participants": participants, "start": "2026-10-05T09:00", "every": 1, "unit": "days",
    });
    json!({ "name": name, "time_zone": "Europe/Rome", "layers": [layer] })
}

pub async fn make(api: &Api, schedule: &Value) -> String {
    let made = api.post("/api/v2/schedules", schedule).await.expect("it is made");
    made["id"].as_str().expect("an id").to_owned()
}

/// Sends something with `If-Match`.
async fn with_match(api: &Api, method: Method, path: &str, tag: Option<&str>, body: &Value) -> (StatusCode, Value) {
    let mut request = Client::new().request(method, format!("{}{path}", api.base)).bearer_auth(&api.key).json(body);
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.unwrap_or_default())
}

pub fn names(people: &Value) -> Vec<&str> {
    people.as_array().expect("people").iter().map(|person| person["name"].as_str().expect("a name")).collect()
}

#[tokio::test]
async fn a_schedule_is_made_with_names_and_read_back() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let schedule = json!({
        "name": " Network ", "description": "who mends it", "time_zone": "Europe/Rome",
        "layers": [
            {
                "name": "office", "participants": [{ "name": "eva" }], "start": "2026-10-05T00:00", "unit": "weeks",
                "restrictions": [{ "days": ["mon", "tue"], "from": "09:00", "to": "17:00:30" }],
                "until": "2027-01-01T00:00:00+01:00",
            },
            {
                "name": "nights", "participants": [{ "name": "Ann" }, { "name": "Ben" }, { "name": "Ann" }],
                "start": "2026-10-05T18:00:15", "every": 2, "unit": "days",
            },
        ],
    });
    let answer = Client::new()
        .post(format!("{}/api/v2/schedules", api.base))
        .bearer_auth(&api.key)
        .json(&schedule)
        .send()
        .await
        .expect("an answer");
    assert_eq!((answer.status(), &answer.headers()["etag"]), (StatusCode::CREATED, &"\"1\"".parse().expect("a tag")));
    let made: Value = answer.json().await.expect("JSON");
    assert_eq!((&made["name"], &made["version"]), (&json!("Network"), &json!(1)));
    let office = &made["layers"][0];
    assert_eq!((names(&office["participants"]), &office["every"]), (vec!["Eva"], &json!(1)));
    assert_eq!(office["restrictions"], schedule["layers"][0]["restrictions"]);
    assert_eq!(office["until"], "2026-12-31T23:00:00+00:00");
    let nights = &made["layers"][1];
    assert_eq!(names(&nights["participants"]), ["Ann", "Ben", "Ann"]);
    assert_eq!(
        (&nights["start"], &nights["unit"], &nights["restrictions"]),
        (&json!("2026-10-05T18:00:15"), &json!("days"), &json!([]))
    );
    let path = format!("/api/v2/schedules/{}", made["id"].as_str().expect("an id"));
    assert_eq!(api.get(&path).await.expect("a schedule"), made);
    assert_eq!(api.get("/api/v2/schedules?name=Network").await.expect("a list"), json!({ "items": [made] }));
    assert_eq!(api.get("/api/v2/schedules?name=network").await.expect("a list"), json!({ "items": [] }));
    // What was read can be sent back as it is.
    let (status, same) = with_match(api, Method::PUT, &path, Some("\"1\""), &made).await;
    assert_eq!((status, &same["version"], &same["layers"]), (StatusCode::OK, &json!(2), &made["layers"]), "{same}");
    let (status, problem) = api.ask(Method::POST, "/api/v2/schedules", Some(&made)).await.expect("an answer");
    assert_eq!(status, StatusCode::CONFLICT);
    assert_eq!(problem["detail"], "there is a schedule called \"Network\" already");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_cannot_be_a_schedule_is_refused_in_words() {
    let (_slot, mut server) = server().await;
    let good = turns("Network", &["Ann", "Ben"]);
    let unknown = "01a1f8e0-f9ba-7492-bf0a-a277d869111c";
    for (place, value, said) in [
        ("/name", json!("  "), "name: is empty"),
        ("/time_zone", json!("Europe/Roma"), "time_zone: there is no time zone \"Europe/Roma\""),
        ("/layers/0/name", json!(""), "layer 1, counted from the top, has no name"),
        ("/layers/0/participants", json!([]), "layer \"turns\": nobody takes part"),
        (
            "/layers/0/participants/1",
            json!({ "name": "Zoe" }),
            "layers[0].participants[1]: there is no contact called \"Zoe\"",
        ),
        (
            "/layers/0/participants/0",
            json!({ "id": unknown }),
            "layers[0].participants[0]: there is no contact 01a1f8e0",
        ),
        ("/layers/0/participants/0", json!({}), "layers[0].participants[0]: say the contact's id or name"),
        ("/layers/0/every", json!(0), "layer \"turns\": its shifts are 0 days long"),
        ("/layers/0/every", json!(367), "its shifts are 367 days long, and 366 is the most"),
        ("/layers/0/start", json!("2026-10-05 9am"), "layers[0].start: \"2026-10-05 9am\" is not a local time"),
        ("/layers/0/start", json!("1815-06-18T11:35"), "it starts in the year 1815"),
        ("/layers/0/until", json!("2026-10-01T00:00:00Z"), "it ends at 2026-10-01"),
        (
            "/layers/0/restrictions",
            json!([{ "days": [], "from": "09:00", "to": "17:00" }]),
            "are on no day of the week",
        ),
        (
            "/layers/0/restrictions",
            json!([{ "days": ["mon"], "from": "9", "to": "17:00" }]),
            "layers[0].restrictions[0]: \"9\" is not a time of day",
        ),
        ("/layers/1", good["layers"][0].clone(), "two layers are called \"turns\""),
    ] {
        let mut schedule = good.clone();
        let (parent, field) = place.rsplit_once('/').expect("a place");
        match schedule.pointer_mut(parent).expect("a parent") {
            Value::Array(items) if field.parse() == Ok(items.len()) => items.push(value),
            Value::Array(items) => items[field.parse::<usize>().expect("an index")] = value,
            parent => parent[field] = value,
        }
        let (status, problem) =
            server.api.ask(Method::POST, "/api/v2/schedules", Some(&schedule)).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{place}: {problem}");
        assert!(problem["detail"].as_str().expect("a detail").contains(said), "{place}: {problem}");
    }
    let mut misspelt = good.clone();
    misspelt["layers"][0]["restriction"] = json!([]);
    let (status, problem) =
        server.api.ask(Method::POST, "/api/v2/schedules", Some(&misspelt)).await.expect("an answer");
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    assert!(problem["detail"].as_str().expect("a detail").contains("unknown field `restriction`"), "{problem}");
    assert_eq!(server.api.get("/api/v2/schedules").await.expect("a list"), json!({ "items": [] }));

    let id = make(&server.api, &good).await;
    let path = format!("/api/v2/schedules/{id}/overrides");
    let (from, until) = (at(now()), at(now() + TimeDelta::hours(1)));
    for (change, said) in [
        (json!({ "kind": "add", "people": [], "from": from, "until": until }), "it adds nobody"),
        (json!({ "kind": "remove", "people": [], "from": from, "until": until }), "it removes nobody"),
        (json!({ "kind": "replace", "people": [], "from": until, "until": from }), "before it starts"),
        (json!({ "kind": "replace", "people": [], "from": from, "until": from }), "it ends when it starts"),
        (
            json!({ "kind": "replace", "people": [], "from": from, "until": "2199-01-01T00:00:00Z" }),
            "it is longer than 3 years",
        ),
        (
            json!({ "kind": "replace", "people": [], "from": from, "until": "+52026-01-01T00:00:00Z" }),
            "until: is not between the years",
        ),
        (
            json!({ "kind": "add", "people": [{ "name": "Zoe" }], "from": from, "until": until }),
            "people[0]: there is no contact called \"Zoe\"",
        ),
    ] {
        let (status, problem) = server.api.ask(Method::POST, &path, Some(&change)).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{change}: {problem}");
        assert!(problem["detail"].as_str().expect("a detail").contains(said), "{change}: {problem}");
    }
    let window = json!({ "contact": { "name": "Ann" }, "from": until, "until": from });
    let path = format!("/api/v2/schedules/{id}/windows");
    let (status, _) = server.api.ask(Method::POST, &path, Some(&window)).await.expect("an answer");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    for span in
        ["from=2026-01-01T00:00:00Z&to=2027-01-03T00:00:00Z", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z"]
    {
        let (status, _) = server
            .api
            .ask(Method::GET, &format!("/api/v2/schedules/{id}/shifts?{span}"), None)
            .await
            .expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{span}");
    }
    let nowhere = format!("/api/v2/schedules/{unknown}");
    for path in ["", "/shifts", "/gaps", "/timeline", "/next-change", "/overrides", "/windows"] {
        let (status, _) = server.api.ask(Method::GET, &format!("{nowhere}{path}"), None).await.expect("an answer");
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn nobody_overwrites_what_they_have_not_read() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let office = json!({ "name": "Office", "time_zone": "Europe/Rome" });
    let calendar = api.post("/api/v2/calendars", &office).await.expect("it is made");
    let schedule = make(api, &turns("Network", &["Ann"])).await;
    for (path, body) in [
        (format!("/api/v2/schedules/{schedule}"), turns("Network", &["Ben"])),
        (format!("/api/v2/calendars/{}", calendar["id"].as_str().expect("an id")), office),
    ] {
        let put = async |tag: Option<&str>| with_match(api, Method::PUT, &path, tag, &body).await.0;
        assert_eq!(put(None).await, StatusCode::PRECONDITION_REQUIRED);
        assert_eq!(put(Some("\"2\"")).await, StatusCode::PRECONDITION_FAILED);
        let both = tokio::join!(put(Some("\"1\"")), put(Some("\"1\"")));
        assert!(
            matches!(
                both,
                (StatusCode::OK, StatusCode::PRECONDITION_FAILED) | (StatusCode::PRECONDITION_FAILED, StatusCode::OK)
            ),
            "{both:?}"
        );
        assert_eq!(put(Some("*")).await, StatusCode::OK);
        let delete = async |tag: Option<&str>| with_match(api, Method::DELETE, &path, tag, &json!({})).await.0;
        assert_eq!(delete(None).await, StatusCode::PRECONDITION_REQUIRED);
        assert_eq!(delete(Some("\"2\"")).await, StatusCode::PRECONDITION_FAILED);
        assert_eq!(delete(Some("\"3\"")).await, StatusCode::NO_CONTENT);
        assert_eq!(delete(Some("\"3\"")).await, StatusCode::NOT_FOUND);
        assert_eq!(put(Some("*")).await, StatusCode::NOT_FOUND);
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn shifts_gaps_and_who_is_on_call_are_what_the_schedule_says() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let mut schedule = turns("Network", &["Ann", "Ben", "Eva"]);
    schedule["layers"][0]["restrictions"] = json!([{ "days": ["sat", "sun"], "from": "08:00", "to": "20:00" }]);
    let id = make(api, &schedule).await;
    let made = api.get(&format!("/api/v2/schedules/{id}")).await.expect("a schedule");
    let participants = made["layers"][0]["participants"].as_array().expect("people");
    let contact = |person: &Value| person["id"].as_str().expect("an id").parse::<ContactId>().expect("an id");
    let start = NaiveDate::from_ymd_opt(2026, 10, 5).and_then(|day| day.and_hms_opt(9, 0, 0)).expect("a time");
    let rotation =
        Rotation { participants: participants.iter().map(contact).collect(), start, every: 1, unit: Unit::Days };
    let restrictions = vec![serde_json::from_value(schedule["layers"][0]["restrictions"][0].clone()).expect("hours")];
    let layer = Layer { name: "turns".into(), rotation, restrictions, until: None };
    let zone: Zone = "Europe/Rome".parse().expect("a zone");
    let duty = Duty { schedule: oncall::Schedule { zone, layers: vec![layer] }, ..Duty::default() };

    // Over the end of summer time.
    let (from, to) = ("2026-10-20T00:00:00Z", "2026-11-20T00:00:00Z");
    let (start, end) = (from.parse().expect("a time"), to.parse().expect("a time"));
    for (what, expected) in [("shifts", oncall::shifts(&duty, start, end)), ("gaps", oncall::gaps(&duty, start, end))] {
        let expected = expected.expect("a span");
        assert!(expected.len() > 5);
        let answer = api.get(&format!("/api/v2/schedules/{id}/{what}?from={from}&to={to}")).await.expect("a list");
        assert_eq!((&answer["from"], &answer["to"]), (&json!(at(start)), &json!(at(end))));
        let items = answer["items"].as_array().expect("items");
        assert_eq!(items.len(), expected.len());
        for (item, shift) in items.iter().zip(expected) {
            assert_eq!((&item["from"], &item["until"]), (&json!(at(shift.from)), &json!(at(shift.until))));
            if what == "shifts" {
                let people: Vec<ContactId> = item["people"].as_array().expect("people").iter().map(contact).collect();
                assert_eq!(people, shift.people);
            }
        }
    }
    // On a Saturday and on the day before it, now, and after what the engine may have looked ahead for.
    for asked in [Some("2026-11-28T10:00:00Z"), Some("2026-11-27T10:00:00Z"), None] {
        let query = asked.map_or_else(String::new, |at| format!("?at={at}"));
        let all = api.get(&format!("/api/v2/oncall{query}")).await.expect("an answer");
        let item = &all["items"][0];
        let when: DateTime<Utc> = item["at"].as_str().expect("a time").parse().expect("a time");
        let of = |people: &Value| people.as_array().expect("people").iter().map(contact).collect::<Vec<_>>();
        assert_eq!(of(&item["people"]), oncall::on_call(&duty, when));
        assert_eq!(of(&item["order"]), oncall::order(&duty, when));
        let (next, people) = oncall::next_change(&duty, when, TimeDelta::days(32)).expect("a change");
        assert_eq!((&item["until"], of(&item["next"])), (&json!(at(next)), people));
        assert_eq!(item["schedule"], json!({ "id": id, "name": "Network" }));
        if asked.is_some() {
            for one in [&*id, "Network"] {
                let one = api.get(&format!("/api/v2/oncall{query}&schedule={one}")).await.expect("an answer");
                assert_eq!(one, all);
            }
        }
    }
    let (status, _) = api.ask(Method::GET, "/api/v2/oncall?schedule=nonsense", None).await.expect("an answer");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(api.get("/api/v2/oncall").await.expect("an answer").to_string().find("+39333"), None, "no numbers");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn an_override_counts_at_once_and_stands_in_the_timeline() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let mut alone = turns("Network", &["Ann"]);
    alone["layers"][0]["name"] = json!("alone");
    let id = make(api, &alone).await;
    let path = format!("/api/v2/schedules/{id}");
    let (from, until) = (now() - TimeDelta::minutes(1), now() + TimeDelta::hours(1));
    let change = json!({ "kind": "replace", "people": [{ "name": "Ben" }], "from": at(from), "until": at(until) });
    let made = api.post(&format!("{path}/overrides"), &change).await.expect("it is made");
    assert_eq!(
        (names(&made["people"]), &made["kind"], &made["made_by"]),
        (vec!["Ben"], &json!("replace"), &json!("lab"))
    );
    let who = async || {
        let answer = api.get("/api/v2/oncall").await.expect("an answer");
        names(&answer["items"][0]["people"]).join(", ")
    };
    assert_eq!(who().await, "Ben");
    let listed = api.get(&format!("{path}/overrides")).await.expect("a list");
    assert_eq!(listed, json!({ "items": [made] }));
    let next = api.get(&format!("{path}/next-change")).await.expect("an answer");
    assert_eq!(
        (names(&next["people"]), &next["at"], names(&next["next"])),
        (vec!["Ben"], &json!(at(until)), vec!["Ann"])
    );
    let window = json!({ "contact": { "name": "Eva" }, "from": at(from), "until": at(until), "priority": 3 });
    let window = api.post(&format!("{path}/windows"), &window).await.expect("it is made");
    assert_eq!(who().await, "Ben", "overrides go before windows");
    assert_eq!(api.get(&format!("{path}/windows")).await.expect("a list"), json!({ "items": [window] }));
    let noted = async |last: &str| {
        let noted = lab::wait::until(format!("{last:?} is noted"), Duration::from_secs(10), async || {
            let lines = api.get(&format!("{path}/timeline")).await?;
            let mut texts = lines["items"].as_array().into_iter().flatten().map(|line| line["text"].to_string());
            Ok(texts.next_back().is_some_and(|text| text.contains(last)).then_some(()))
        });
        noted.await.expect("a timeline");
    };
    // Who is on duty is looked at now and then: what is changed and changed back in between was nobody's duty.
    noted("on duty for Network: Ben").await;
    let gone = async |what: &str, one: &Value| {
        let one = format!("{path}/{what}/{}", one["id"].as_str().expect("an id"));
        api.ask(Method::DELETE, &one, None).await.expect("an answer").0
    };
    assert_eq!(gone("overrides", &made).await, StatusCode::NO_CONTENT);
    assert_eq!(gone("overrides", &made).await, StatusCode::NOT_FOUND);
    assert_eq!(who().await, "Eva");
    assert_eq!(gone("windows", &window).await, StatusCode::NO_CONTENT);
    assert_eq!(who().await, "Ann");
    noted("on duty for Network: Ann").await;
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_calendar_is_open_in_its_hours_and_closed_on_holidays() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let office = json!({
        "name": "Office", "time_zone": "Europe/Rome",
        "hours": [{ "days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00" }],
        "holidays": [{ "name": "Christmas", "from": "2026-12-25", "until": "2026-12-26" }],
    });
    let made = api.post("/api/v2/calendars", &office).await.expect("it is made");
    for field in ["name", "time_zone", "hours", "holidays"] {
        assert_eq!(made[field], office[field]);
    }
    let path = format!("/api/v2/calendars/{}", made["id"].as_str().expect("an id"));
    for (at, open, changes) in [
        ("2026-11-23T08:30:00Z", true, "2026-11-23T16:00:00Z"),
        ("2026-11-23T17:00:00Z", false, "2026-11-24T08:00:00Z"),
        ("2026-12-24T16:00:00Z", false, "2026-12-28T08:00:00Z"),
    ] {
        let state = api.get(&format!("{path}/state?at={at}")).await.expect("a state");
        let utc = |time: &str| time.replace('Z', "+00:00");
        assert_eq!(state, json!({ "at": utc(at), "open": open, "changes_at": utc(changes) }));
    }
    assert_eq!(api.get("/api/v2/calendars?name=Office").await.expect("a list"), json!({ "items": [made] }));
    for (place, value, said) in [
        ("name", json!(""), "name: is empty"),
        ("time_zone", json!("Mars"), "time_zone: there is no time zone \"Mars\""),
        ("hours", json!([{ "days": [], "from": "09:00", "to": "17:00" }]), "on no day of the week"),
        (
            "hours",
            json!([{ "days": ["mon"], "from": "25:00", "to": "17:00" }]),
            "hours[0]: \"25:00\" is not a time of day",
        ),
        ("holidays", json!([{ "name": "x", "from": "2026-12-26", "until": "2026-12-25" }]), "before it starts"),
    ] {
        let mut wrong = office.clone();
        wrong[place] = value;
        let (status, problem) = api.ask(Method::POST, "/api/v2/calendars", Some(&wrong)).await.expect("an answer");
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{place}: {problem}");
        assert!(problem["detail"].as_str().expect("a detail").contains(said), "{place}: {problem}");
    }
    server.stop().await.expect("stops");
}
