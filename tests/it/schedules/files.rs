//! Calendars as files: feeds to subscribe to, and what is imported.

use chrono::{DateTime, TimeDelta, Utc};
use icalendar::{CalendarComponent, Component, DatePerhapsTime};
use lab::api::Api;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use super::http::{at, make, names, now, server, turns};

/// A calendar of these events, each with its lines.
fn calendar(events: &[String]) -> String {
    let events: Vec<String> = events
        .iter()
        .map(|event| format!("BEGIN:VEVENT\r\n{}\r\nEND:VEVENT\r\n", event.replace('\n', "\r\n")))
        .collect();
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//x//EN\r\n{}END:VCALENDAR\r\n", events.concat())
}

async fn import(api: &Api, path: &str, calendar: &str) -> (StatusCode, Value) {
    let request = Client::new().post(format!("{}{path}", api.base)).bearer_auth(&api.key);
    let request = request.header("content-type", "text/calendar; charset=utf-8").body(calendar.to_owned());
    let answer = request.send().await.expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

fn counts(report: &Value) -> [i64; 4] {
    ["created", "updated", "unchanged", "deleted"].map(|name| report[name].as_i64().expect("a number"))
}

/// As calendars write an instant.
fn stamp(time: DateTime<Utc>) -> String {
    time.format("%Y%m%dT%H%M%SZ").to_string()
}

/// As a query takes an instant: a plus sign would be a space.
fn query(time: DateTime<Utc>) -> String {
    at(time).replace("+00:00", "Z")
}

/// What is at a path, asked without a credential.
async fn fetch(api: &Api, path: &str) -> (StatusCode, String, String) {
    let answer = Client::new().get(format!("{}{path}", api.base)).send().await.expect("an answer");
    let media_type = answer.headers()["content-type"].to_str().expect("text").to_owned();
    (answer.status(), media_type, answer.text().await.expect("a body"))
}

/// The events of a feed: title, from, until.
fn events(feed: &str) -> Vec<(String, DateTime<Utc>, DateTime<Utc>)> {
    let calendar: icalendar::Calendar = feed.parse().expect("a calendar");
    let instant = |time: Option<DatePerhapsTime>| match time {
        Some(DatePerhapsTime::DateTime(icalendar::CalendarDateTime::Utc(at))) => at,
        other => panic!("not an instant: {other:?}"),
    };
    let events = calendar.components.iter().filter_map(|component| match component {
        CalendarComponent::Event(event) => Some(event),
        _ => None,
    });
    let mut uids = std::collections::HashSet::new();
    events
        .map(|event| {
            assert!(uids.insert(event.get_uid().expect("a UID").to_owned()), "twice the same UID");
            let title = event.get_summary().expect("a title").to_owned();
            (title, instant(event.get_start()), instant(event.get_end()))
        })
        .collect()
}

#[tokio::test]
async fn a_feed_opens_with_its_secret_and_with_nothing_else() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let id = make(api, &turns("Network", &["Ann", "Ben"])).await;
    let other = make(api, &turns("Storage", &["Ben"])).await;
    let renew = async |path: &str| {
        let made = api.post(path, &json!({})).await.expect("it is made");
        made["path"].as_str().expect("a path").to_owned()
    };
    let own = format!("/api/v2/schedules/{id}/feed");
    let first = renew(&own).await;
    assert_eq!(first.len(), "/feeds/.ics".len() + 64);
    let (status, media_type, feed) = fetch(api, &first).await;
    assert_eq!((status, &*media_type), (StatusCode::OK, "text/calendar; charset=utf-8"));
    let found = events(&feed);
    let today = now().date_naive().and_hms_opt(0, 0, 0).expect("midnight").and_utc();
    let (from, to) = (today - TimeDelta::days(30), today + TimeDelta::days(181));
    let shifts =
        api.get(&format!("/api/v2/schedules/{id}/shifts?from={}&to={}", query(from), query(to))).await.expect("a list");
    let shifts = shifts["items"].as_array().expect("shifts");
    assert_eq!(found.len(), shifts.len());
    assert!(found.len() > 200, "{}", found.len());
    for ((title, from, until), shift) in found.iter().zip(shifts) {
        assert_eq!((&json!(at(*from)), &json!(at(*until))), (&shift["from"], &shift["until"]));
        assert_eq!(*title, names(&shift["people"]).join(", "));
    }
    assert_eq!(events(&fetch(api, &first).await.2), found, "the same each time");

    // A person's own: every second day of one schedule, and one long duty of the other.
    let made = api.get(&format!("/api/v2/schedules/{id}")).await.expect("a schedule");
    let ben = made["layers"][0]["participants"][1]["id"].as_str().expect("an id");
    let bens = format!("/api/v2/contacts/{ben}/feed");
    let bens_feed = renew(&bens).await;
    let (_, _, feed) = fetch(api, &bens_feed).await;
    let mine = events(&feed);
    let whole: Vec<_> = mine.iter().filter(|(title, ..)| title == "Storage").collect();
    assert_eq!(whole.iter().map(|(_, from, until)| (*from, *until)).collect::<Vec<_>>(), [(from, to)]);
    let of_network = mine.iter().filter(|(title, ..)| title == "Network").count();
    assert_eq!(of_network, found.iter().filter(|(title, ..)| title == "Ben").count());

    // Whatever is not the secret gets one answer.
    let second = renew(&own).await;
    assert_ne!(first, second);
    assert_eq!(fetch(api, &second).await.0, StatusCode::OK);
    let refused = fetch(api, &first).await;
    assert_eq!(refused.0, StatusCode::NOT_FOUND, "the renewed one is worth nothing");
    let (status, _) = api.ask(Method::DELETE, &own, None).await.expect("an answer");
    assert_eq!(status, StatusCode::NO_CONTENT);
    let no_extension = bens_feed.trim_end_matches(".ics").to_owned();
    let upper = format!("/feeds/{}.ics", no_extension.trim_start_matches("/feeds/").to_uppercase());
    for path in [&second, &no_extension, &upper, "/feeds/.ics", "/feeds/x", "/feeds/%00.ics"] {
        assert_eq!(fetch(api, path).await, refused, "{path}");
    }
    let (status, _) = api.ask(Method::DELETE, &own, None).await.expect("an answer");
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(fetch(api, &bens_feed).await.0, StatusCode::OK, "the other one is not touched");
    let (status, _) = api.ask(Method::POST, &format!("/api/v2/contacts/{other}/feed"), None).await.expect("an answer");
    assert_eq!(status, StatusCode::NOT_FOUND, "no such contact");
    server.stop().await.expect("stops");
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(log.contains("/feeds/"), "requests are logged");
    for path in [first, second, bens_feed] {
        let secret = path.trim_start_matches("/feeds/").trim_end_matches(".ics").to_owned();
        assert!(!log.contains(&secret), "the secret stands in the log");
    }
}

#[tokio::test]
async fn a_calendar_imported_twice_changes_nothing() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let id = make(api, &turns("Network", &["Ann", "Ben"])).await;
    let (path, overrides) =
        (format!("/api/v2/schedules/{id}/overrides/import"), format!("/api/v2/schedules/{id}/overrides"));
    let day = |days: i64| now().date_naive().and_hms_opt(6, 0, 0).expect("a time").and_utc() + TimeDelta::days(days);
    let single = |who: &str| format!("UID:single\nSUMMARY:{who}\nDTSTART:{}\nDTEND:{}", stamp(day(2)), stamp(day(3)));
    // Five mornings in Rome: one left out, one moved to the evening and to Eva.
    let local = |days: i64, hour: u32| format!("{}T{hour:02}0000", (day(days)).format("%Y%m%d"));
    let weekly = format!(
        "UID:again\nSUMMARY:Ben\\, Eva\nDTSTART;TZID=Europe/Rome:{}\nDTEND;TZID=Europe/Rome:{}\n\
         RRULE:FREQ=DAILY;COUNT=5\nEXDATE;TZID=Europe/Rome:{}",
        local(10, 9),
        local(10, 12),
        local(11, 9),
    );
    let moved = format!(
        "UID:again\nRECURRENCE-ID;TZID=Europe/Rome:{}\nSUMMARY:Eva\nDTSTART;TZID=Europe/Rome:{}\nDTEND;TZID=Europe/Rome:{}",
        local(12, 9),
        local(12, 18),
        local(12, 20),
    );
    let holiday = format!("UID:whole\nSUMMARY:Ann\nDTSTART;VALUE=DATE:{}", day(20).format("%Y%m%d"));
    let wrong = [
        format!("UID:who\nSUMMARY:Zoe\nDTSTART:{}\nDTEND:{}", stamp(day(2)), stamp(day(3))),
        format!("UID:mail\nATTENDEE:mailto:zoe@example.org\nDTSTART:{}\nDTEND:{}", stamp(day(2)), stamp(day(3))),
        format!("UID:zone\nSUMMARY:Ann\nDTSTART;TZID=Mars:{}\nDTEND;TZID=Mars:{}", local(2, 9), local(2, 10)),
        format!("UID:often\nSUMMARY:Ann\nDTSTART:{}\nDURATION:PT1M\nRRULE:FREQ=HOURLY", stamp(day(2))),
        format!("UID:nothing\nSUMMARY:Ann\nDTSTART:{}", stamp(day(2))),
        format!("SUMMARY:Ann\nDTSTART:{}\nDTEND:{}", stamp(day(2)), stamp(day(3))),
        format!("UID:orphan\nRECURRENCE-ID:{0}\nSUMMARY:Ann\nDTSTART:{0}\nDURATION:PT1H", stamp(day(2))),
        "UID:when\nSUMMARY:Ann".to_owned(),
    ];
    let mut all = vec![single("Ann"), weekly.clone(), moved.clone(), holiday];
    all.extend(wrong.iter().cloned());
    let file = calendar(&all);
    let (status, dry) = import(api, &format!("{path}?dry_run=true"), &file).await;
    assert_eq!((status, counts(&dry), &dry["dry_run"]), (StatusCode::OK, [6, 0, 0, 0], &json!(true)), "{dry:#}");
    assert_eq!(api.get(&overrides).await.expect("a list"), json!({ "items": [] }));
    let (_, report) = import(api, &path, &file).await;
    assert_eq!(counts(&report), [6, 0, 0, 0]);
    let bad = report["bad"].as_array().expect("a list");
    assert_eq!(bad.len(), wrong.len(), "{bad:#?}");
    for (uid, reason) in [
        (json!("who"), "there is no contact called \"Zoe\""),
        (json!("mail"), "no contact has the mail address zoe@example.org"),
        (json!("zone"), "there is no time zone \"Mars\""),
        (json!("often"), "it comes more than 1000 times"),
        (json!("nothing"), "it ends when it starts"),
        (json!("orphan"), "it changes an occurrence of an event that is not in this calendar"),
        (Value::Null, "it has no UID"),
        (Value::Null, "DTSTART is missing"),
    ] {
        let said = |one: &&Value| one["reason"].as_str().is_some_and(|said| said.contains(reason));
        let one = bad.iter().find(said).unwrap_or_else(|| panic!("{reason}: {bad:#?}"));
        assert_eq!(one["uid"], uid);
        assert!(one["line"].as_u64() > Some(3));
    }
    let made = api.get(&overrides).await.expect("a list");
    let rome: ringdown::wallclock::Zone = "Europe/Rome".parse().expect("a zone");
    let in_rome =
        |days: i64, hour: u32| at(rome.instant(day(days).date_naive().and_hms_opt(hour, 0, 0).expect("a time")));
    let shown: Vec<(Vec<&str>, String, String)> = made["items"]
        .as_array()
        .expect("items")
        .iter()
        .map(|one| {
            assert_eq!((&one["kind"], &one["made_by"]), (&json!("replace"), &json!("lab")));
            (
                names(&one["people"]),
                one["from"].as_str().expect("a time").to_owned(),
                one["until"].as_str().expect("a time").to_owned(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            (vec!["Ann"], at(day(2)), at(day(3))),
            (vec!["Ben", "Eva"], in_rome(10, 9), in_rome(10, 12)),
            (vec!["Eva"], in_rome(12, 18), in_rome(12, 20)),
            (vec!["Ben", "Eva"], in_rome(13, 9), in_rome(13, 12)),
            (vec!["Ben", "Eva"], in_rome(14, 9), in_rome(14, 12)),
            (vec!["Ann"], in_rome(20, 0), in_rome(21, 0)),
        ]
    );
    let (_, again) = import(api, &path, &file).await;
    assert_eq!(counts(&again), [0, 0, 6, 0]);
    assert_eq!(api.get(&overrides).await.expect("a list"), made);

    // Another person, an occurrence called off, an event called off.
    let off = format!("{moved}\nSTATUS:CANCELLED");
    let gone = "UID:whole\nSUMMARY:Ann\nDTSTART;VALUE=DATE:20261231\nSTATUS:CANCELLED".to_owned();
    let (_, changed) = import(api, &path, &calendar(&[single("Eva"), weekly, off, gone])).await;
    assert_eq!(counts(&changed), [0, 1, 3, 2], "{changed:#}");
    assert_eq!(api.get(&overrides).await.expect("a list")["items"].as_array().map(Vec::len), Some(4));
    // What is no calendar.
    assert_eq!(import(api, &path, "hello").await.0, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, _) = api.ask(Method::POST, &path, Some(&json!({}))).await.expect("an answer");
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn holidays_come_from_a_calendar() {
    let (_slot, mut server) = server().await;
    let api = &server.api;
    let office = json!({ "name": "Office", "time_zone": "Pacific/Auckland", "holidays": [{ "name": "Ours", "from": "2027-03-01", "until": "2027-03-01" }] });
    let made = api.post("/api/v2/calendars", &office).await.expect("it is made");
    let path = format!("/api/v2/calendars/{}", made["id"].as_str().expect("an id"));
    let import_path = format!("{path}/holidays/import");
    let easter = "UID:1\nSUMMARY:Easter\nDTSTART;VALUE=DATE:20270326\nDTEND;VALUE=DATE:20270330".to_owned();
    let one_day = "UID:2\nSUMMARY:Labour Day\nDTSTART;VALUE=DATE:20271025".to_owned();
    let yearly = "UID:3\nSUMMARY:Christmas\nDTSTART;VALUE=DATE:20001225\nRRULE:FREQ=YEARLY".to_owned();
    let meeting = "UID:4\nSUMMARY:A meeting\nDTSTART:20270301T090000Z\nDTEND:20270301T100000Z".to_owned();
    let file = calendar(&[easter.clone(), one_day.clone(), yearly, meeting]);
    let (status, dry) = import(api, &format!("{import_path}?dry_run=true"), &file).await;
    assert_eq!((status, counts(&dry)), (StatusCode::OK, [3, 0, 0, 0]), "{dry:#}");
    assert_eq!(api.get(&path).await.expect("a calendar"), made);
    let (_, report) = import(api, &import_path, &file).await;
    assert_eq!(counts(&report), [3, 0, 0, 0]);
    assert_eq!(report["bad"][0]["reason"], "it is not an event of whole days");
    let now_there = api.get(&path).await.expect("a calendar");
    let holidays = now_there["holidays"].as_array().expect("holidays");
    assert_eq!(holidays.len(), 4);
    for holiday in [
        json!({ "name": "Ours", "from": "2027-03-01", "until": "2027-03-01" }),
        json!({ "name": "Easter", "from": "2027-03-26", "until": "2027-03-29" }),
        json!({ "name": "Labour Day", "from": "2027-10-25", "until": "2027-10-25" }),
    ] {
        assert!(holidays.contains(&holiday), "{holiday}: {holidays:#?}");
    }
    assert!(holidays.iter().any(|one| one["name"] == "Christmas" && one["from"] == one["until"]), "{holidays:#?}");
    let (_, again) = import(api, &import_path, &file).await;
    assert_eq!(counts(&again), [0, 0, 3, 0]);
    assert_eq!(api.get(&path).await.expect("a calendar"), now_there, "not even its version");
    let longer = easter.replace("20270330", "20270331");
    let (_, changed) = import(api, &import_path, &calendar(&[longer, format!("{one_day}\nSTATUS:CANCELLED")])).await;
    assert_eq!(counts(&changed), [0, 1, 0, 1]);
    let state = api.get(&format!("{path}/state?at=2027-03-29T12:00:00Z")).await.expect("a state");
    assert_eq!(state["open"], false);
    server.stop().await.expect("stops");
}
