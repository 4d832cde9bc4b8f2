//! Who is called depends on who is on duty, on the calendar, on silences; and what is called about need
//! not be an alert.

use anyhow::{Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use lab::settings::{Settings, Step};
use ringdown::{clock::Clock, script::Line};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, Harness, story, story_mut};

/// A policy of the file that nothing in these stories uses: they make their own.
fn nobody_by_default(settings: &mut Settings) {
    settings.policy("file", &[Step { targets: &["Cal"], ..Step::default() }]);
}

fn now() -> DateTime<Utc> {
    Clock::System.now()
}

fn in_seconds(seconds: i64) -> String {
    (now() + TimeDelta::seconds(seconds)).to_rfc3339()
}

/// A schedule on which Ana always is.
async fn ana_on_duty(h: &Harness) -> Result<String> {
    let schedule = json!({
        "name": "primary",
        "time_zone": "Europe/Rome",
        "layers": [{
            "name": "always",
            "participants": [{ "name": "Ana" }],
            "start": "2026-01-05T09:00",
            "every": 1,
            "unit": "weeks",
        }],
    });
    let made = h.server.api.post("/api/v2/schedules", &schedule).await?;
    Ok(made["id"].as_str().unwrap_or_default().to_owned())
}

/// Ben instead of her, from then on.
async fn ben_instead(h: &Harness, schedule: &str, from: i64) -> Result<()> {
    let change = json!({
        "kind": "replace",
        "people": [{ "name": "Ben" }],
        "from": in_seconds(from),
        "until": in_seconds(3600),
    });
    h.server.api.post(&format!("/api/v2/schedules/{schedule}/overrides"), &change).await.map(drop)
}

async fn policy(h: &Harness, name: &str, policy: Value) -> Result<()> {
    let mut policy = policy;
    policy["name"] = name.into();
    h.server.api.post("/api/v2/policies", &policy).await.map(drop)
}

async fn raise(h: &Harness, summary: &str, policy: &str) -> Result<String> {
    h.post_alert(json!({ "summary": summary, "policy": policy })).await
}

/// They answer, press 4, and that is that.
async fn takes_it(h: &Harness, number: &str, id: &str) -> Result<()> {
    let phone = h.phone(number);
    phone.rings().await?.answers().await?.hears_something().await?.presses('4').await?;
    h.is(id, "acknowledged").await?;
    phone.is_hung_up().await.map(drop)
}

#[tokio::test]
async fn the_person_on_duty_changes_between_two_attempts_and_the_new_one_is_called() {
    story(nobody_by_default, async |h| {
        let schedule = ana_on_duty(h).await?;
        let step = json!({ "targets": [{ "schedule": "primary" }], "attempts": 2, "attempt_delay": 12 });
        policy(h, "duty", json!({ "steps": [step] })).await?;
        ben_instead(h, &schedule, 8).await?;
        let id = raise(h, "Disk full on db-01", "duty").await?;
        h.phone(ANA).rings().await?;
        takes_it(h, BEN, &id).await?;
        let called: Vec<String> = h.records(&id).await?.iter().map(|call| call["to"].to_string()).collect();
        assert_eq!(called, ["\"Ana\"", "\"Ben\""]);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_override_made_while_a_phone_rings_counts_for_the_next_attempt() {
    story(nobody_by_default, async |h| {
        let schedule = ana_on_duty(h).await?;
        let step = json!({ "targets": [{ "schedule": "primary" }], "attempts": 2, "attempt_delay": 8 });
        policy(h, "duty", json!({ "steps": [step] })).await?;
        let id = raise(h, "Disk full on db-01", "duty").await?;
        h.phone(ANA).rings().await?;
        ben_instead(h, &schedule, -1).await?;
        takes_it(h, BEN, &id).await
    })
    .await;
}

#[tokio::test]
async fn a_step_outside_its_calendar_is_passed_over_and_the_timeline_says_so() {
    story(nobody_by_default, async |h| {
        // Today is a holiday, whatever day it is.
        let (yesterday, tomorrow) =
            ((now() - TimeDelta::days(1)).date_naive(), (now() + TimeDelta::days(1)).date_naive());
        let holiday = json!({ "name": "today", "from": yesterday.to_string(), "until": tomorrow.to_string() });
        let calendar = json!({ "name": "work", "time_zone": "Europe/Rome", "hours": [], "holidays": [holiday] });
        h.server.api.post("/api/v2/calendars", &calendar).await?;
        let steps = json!([
            { "targets": [{ "contact": "Ana" }], "only_during": "work" },
            { "targets": [{ "contact": "Ben" }] },
        ]);
        policy(h, "office", json!({ "steps": steps })).await?;
        let id = raise(h, "Disk full on db-01", "office").await?;
        takes_it(h, BEN, &id).await?;
        let passed = h.told(&id, "outside_calendar").await?;
        assert_eq!(passed["text"], "round 1, step 1: outside its calendar, passed over");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_is_acknowledged_and_not_resolved_in_time_pages_again() {
    story(nobody_by_default, async |h| {
        policy(h, "strict", json!({ "ack_timeout": 6, "steps": [{ "targets": [{ "contact": "Ana" }] }] })).await?;
        let id = raise(h, "Disk full on db-01", "strict").await?;
        takes_it(h, ANA, &id).await?;
        takes_it(h, ANA, &id).await?;
        h.says(&id, "resolve").await?;
        let again = h.told(&id, "pages_again").await?;
        assert_eq!(again["text"], "pages again: acknowledged, and not resolved in time");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_alert_in_a_silence_calls_nobody_is_kept_and_pages_when_the_silence_ends() {
    story(nobody_by_default, async |h| {
        policy(h, "night", json!({ "default": true, "steps": [{ "targets": [{ "contact": "Ana" }] }] })).await?;
        let silence = json!({
            "matchers": ["host=~\"db-.*\""],
            "comment": "we know",
            "from": in_seconds(-1),
            "until": in_seconds(3600),
        });
        let silence = h.server.api.post("/api/v2/silences", &silence).await?;
        let alert = json!({ "summary": "Disk full on db-01", "labels": { "host": "db-01" } });
        let id = h.post_alert(alert).await?;
        let held = h.told(&id, "held").await?;
        ensure!(held["text"].as_str().is_some_and(|text| text.ends_with("it is silenced")), "{held}");
        assert_eq!(h.incident(&id).await?["state"], "held");
        // What the silence does not match pages as always.
        let other = h.post_alert(json!({ "summary": "Fan stopped", "labels": { "host": "web-01" } })).await?;
        takes_it(h, ANA, &other).await?;
        // It is ended before its time.
        let path = format!("{}/api/v2/silences/{}", h.server.api.base, silence["id"].as_str().unwrap_or_default());
        let request = reqwest::Client::builder().no_proxy().build()?.delete(path).bearer_auth(&h.server.api.key);
        ensure!(request.header("if-match", "*").send().await?.status() == 200);
        takes_it(h, ANA, &id).await
    })
    .await;
}

#[tokio::test]
async fn a_heartbeat_that_stops_calls_and_one_that_comes_back_resolves() {
    story(nobody_by_default, async |h| {
        policy(h, "backups", json!({ "steps": [{ "targets": [{ "contact": "Ana" }], "delay": 60 }] })).await?;
        let heartbeat = json!({ "interval": 3, "grace": 1, "policy": "backups", "summary": "Backups have stopped" });
        h.server.api.put("/api/v2/heartbeats/backup", &heartbeat).await?;
        h.server.api.post("/api/v2/heartbeats/backup", &json!({})).await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?;
        ana.hears_something().await?.presses('4').await?;
        ana.is_hung_up().await?;
        let page = h.server.api.get("/api/v2/incidents").await?;
        let id = page["items"][0]["id"].as_str().unwrap_or_default().to_owned();
        assert_eq!(h.is(&id, "acknowledged").await?["summary"], "Backups have stopped");
        h.server.api.post("/api/v2/heartbeats/backup", &json!({})).await?;
        h.is(&id, "resolved").await?;
        // Nobody beats any more, and nobody is to be called while the story closes.
        let path = format!("{}/api/v2/heartbeats/backup", h.server.api.base);
        let request = reqwest::Client::builder().no_proxy().build()?.delete(path).bearer_auth(&h.server.api.key);
        ensure!(request.header("if-match", "*").send().await?.status() == 204);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_scheduled_call_is_placed_at_its_time() {
    story(nobody_by_default, async |h| {
        let at = now() + TimeDelta::seconds(5);
        let call = json!({ "to": ANA, "text": "The meeting begins", "at": at.to_rfc3339() });
        let made = h.server.api.post("/api/v2/calls", &call).await?;
        assert_eq!(made["id"], Value::Null, "there is no call yet");
        let id = made["incident_id"].as_str().unwrap_or_default();
        assert_eq!(h.incident(id).await?["state"], "scheduled");
        takes_it(h, ANA, id).await?;
        let record = h.record(id).await?;
        let dialed: DateTime<Utc> = record["dialed_at"].as_str().unwrap_or_default().parse()?;
        let late = dialed - at;
        println!("placed {} ms after its time", late.num_milliseconds());
        ensure!(late >= TimeDelta::zero(), "placed {late} before its time");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_scheduled_call_is_placed_once_around_a_kill() {
    story_mut(nobody_by_default, async |h| {
        let at = now() + TimeDelta::seconds(4);
        let call = json!({ "to": ANA, "text": "The meeting begins", "at": at.to_rfc3339(), "expires": 600 });
        let made = h.server.api.post("/api/v2/calls", &call).await?;
        let too_late = json!({ "to": BEN, "text": "Too late", "at": at.to_rfc3339(), "expires": 1 });
        let late = h.server.api.post("/api/v2/calls", &too_late).await?;
        h.server.kill().await?;
        // Its time comes and goes while nobody is there.
        let rest = at + TimeDelta::seconds(3) - now();
        tokio::time::sleep(rest.to_std().unwrap_or_default()).await;
        h.server.restart().await?;
        let id = made["incident_id"].as_str().unwrap_or_default();
        h.phone(ANA).rings().await?;
        // Again, while the phone rings: it is not called a second time about this.
        h.server.kill().await?;
        h.server.restart().await?;
        h.phone(ANA).answers().await?.hears_something().await?.presses('4').await?;
        h.is(id, "acknowledged").await?;
        h.phone(ANA).is_hung_up().await?;
        let late = late["incident_id"].as_str().unwrap_or_default();
        assert_eq!(h.is(late, "expired").await?["state"], "expired");
        h.told(late, "expired").await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_pin_is_asked_for_before_six_and_three_wrong_ones_are_enough() {
    story(nobody_by_default, async |h| {
        policy(
            h,
            "night",
            json!({ "steps": [{ "targets": [{ "contact": "Ana" }], "attempts": 2, "attempt_delay": 6 }] }),
        )
        .await?;
        let found = h.server.api.get("/api/v2/contacts?q=ana").await?;
        let ana_id = found["items"][0]["id"].as_str().unwrap_or_default();
        let path = format!("{}/api/v2/contacts/{ana_id}/pin", h.server.api.base);
        let request = reqwest::Client::builder().no_proxy().build()?.put(path).bearer_auth(&h.server.api.key);
        let set = request.header("if-match", "*").json(&json!({ "pin": "7391" })).send().await?;
        ensure!(set.status().is_success(), "{}", set.text().await?);

        let id = raise(h, "Disk full on db-01", "night").await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?.hears_something().await?.presses('6').await?;
        ana.hears_line(&Line::EnterPin).await?;
        for key in "7390#".chars() {
            ana.presses(key).await?;
        }
        ana.hears_line(&Line::PinWrong).await?;
        assert_eq!(h.incident(&id).await?["state"], "escalating", "a wrong PIN resolves nothing");
        ana.presses('6').await?;
        for key in "7391#".chars() {
            ana.presses(key).await?;
        }
        h.is(&id, "resolved").await?;
        ana.is_hung_up().await?;
        let told: Vec<bool> =
            h.timeline(&id).await?.iter().filter_map(|line| line["data"]["right"].as_bool()).collect();
        assert_eq!(told, [false, true]);
        // The PIN stands nowhere: not in the record, not in the timeline, not in the log.
        let record = h.record(&id).await?;
        assert_eq!(record["digits"], "66");
        let log = std::fs::read_to_string(h.server.log())?;
        ensure!(!log.contains("7391") && !h.timeline(&id).await?.iter().any(|line| line.to_string().contains("7391")));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn the_predecessors_address_book_and_calendar_are_imported_and_an_alert_reaches_whom_its_rules_name() {
    story(nobody_by_default, async |h| {
        let local = |hours: i64| (now() + TimeDelta::hours(hours)).format("%Y-%m-%d %H:%M:%S").to_string();
        let contacts = format!(
            "id,name,surname,address,zip_code,city,state,country,phone_number,enabled,created_time,annotations,on_call_availability\r\n\
             1,Ana,Ferri,Via Roma 1,00100,Roma,RM,Italy,{ANA},True,2024-01-15 10:30:12.123456,\"Database, second floor\",[]\r\n\
             2,Ben,O'Hara,,,,,,{BEN},True,2024-01-15 10:31:00,,[]\r\n"
        );
        let report = h.server.api.upload("/api/v2/contacts/import", "text/csv", contacts).await?;
        assert_eq!((&report["created"], &report["bad"]), (&json!(2), &json!([])), "{report}");
        // The lowest priority number counts; times are local, in the schedule's zone.
        let calendar = format!(
            "id,name,surname,start_at,end_at,priority\r\n1,Ana,Ferri,{},{},2\r\n2,Ben,O'Hara,{},{},1\r\n",
            local(-2),
            local(2),
            local(-2),
            local(2),
        );
        let path = "/api/v2/oncall/windows/import?time_zone=UTC";
        let report = h.server.api.upload(path, "text/csv", calendar).await?;
        assert_eq!(report["bad"], json!([]), "{report}");
        policy(h, "oncall", json!({ "steps": [{ "targets": [{ "schedule": "oncall" }] }] })).await?;
        let id = raise(h, "Disk full on db-01", "oncall").await?;
        takes_it(h, BEN, &id).await?;
        assert_eq!(h.incident(&id).await?["acknowledged_by"], "Ben O'Hara");
        Ok(())
    })
    .await;
}
