//! Groups of alerts, and many alerts at once.

use anyhow::{Context, Result, ensure};
use lab::{
    alertmanager::Alertmanager,
    settings::{Settings, Step},
};
use ringdown::script::{Alert, Line};
use serde_json::{Value, json};

use crate::harness::{ANA, BEN, Harness, story};

fn ana(settings: &mut Settings) {
    settings.policy("night", &[Step { targets: &["Ana"], delay: 60, ..Step::default() }]);
    settings.set("asterisk.ring_timeout", 60);
}

fn recorded(text: &str) -> Result<Value> {
    serde_json::from_str(text).context("a recording")
}

/// Ana answers and takes it.
async fn ana_takes(h: &Harness, id: &str) -> Result<()> {
    h.phone(ANA).rings().await?.answers().await?.hears_something().await?.presses('4').await?;
    h.is(id, "acknowledged").await?;
    h.phone(ANA).is_hung_up().await?;
    Ok(())
}

#[tokio::test]
async fn resolved_by_alertmanager_while_the_phone_rings() {
    story(ana, async |h| {
        let mut delivery = recorded(include_str!("../fixtures/alertmanager/am025-firing-grouped-2.json"))?;
        let id = h.alertmanager(&delivery).await?;
        h.phone(ANA).rings().await?;
        delivery["status"] = json!("resolved");
        for alert in delivery["alerts"].as_array_mut().context("alerts")? {
            alert["status"] = json!("resolved");
        }
        h.alertmanager(&delivery).await?;
        h.phone(ANA).is_hung_up().await?;
        h.is(&id, "resolved").await?;
        assert_eq!(h.record(&id).await?["status"], "canceled");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_new_alert_in_an_acknowledged_group_pages_again_and_a_repeat_does_not() {
    story(ana, async |h| {
        let mut delivery = recorded(include_str!("../fixtures/alertmanager/am025-firing-grouped-2.json"))?;
        let id = h.alertmanager(&delivery).await?;
        ana_takes(h, &id).await?;
        assert_eq!(h.alertmanager(&delivery).await?, id);
        assert_eq!(h.incident(&id).await?["state"], "acknowledged", "a repeat changes nothing");
        let mut third = delivery["alerts"][0].clone();
        third["fingerprint"] = json!("0123456789abcdef");
        third["annotations"]["summary"] = json!("Disk full on h3");
        delivery["alerts"].as_array_mut().context("alerts")?.push(third);
        assert_eq!(h.alertmanager(&delivery).await?, id);
        ana_takes(h, &id).await?;
        assert_eq!(h.incident(&id).await?["members"].as_array().map(Vec::len), Some(3));
        let pages = h.kinds(&id).await?.into_iter().filter(|kind| kind == "pages_again").count();
        assert_eq!(pages, 1);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn twenty_alerts_for_one_person_are_spoken_in_one_call() {
    story(ana, async |h| {
        let mut ids = vec![h.raise("trouble number 1").await?];
        h.phone(ANA).rings().await?;
        for n in 2..=20 {
            ids.push(h.raise(&format!("trouble number {n}")).await?);
        }
        let ana = h.phone(ANA);
        ana.answers().await?;
        let spoken =
            |nth: usize, summary: &'static str| Line::Alert(Alert { nth, of: 20, summary, ..Alert::default() });
        ana.hears_line(&spoken(1, "trouble number 1")).await?;
        ana.presses('4').await?;
        h.is(&ids[0], "acknowledged").await?;
        ana.hears_line(&spoken(2, "trouble number 2")).await?;
        // On to the next, through the whole list.
        for n in 2..=20 {
            h.told(&ids[n - 1], "speaking").await?;
            ana.presses('#').await?;
            if n == 3 {
                assert_eq!(h.incident(&ids[1]).await?["state"], "escalating", "the second one was left open");
            }
        }
        // After the list one key takes all that are left.
        ana.hears_line(&Line::All { count: 19 }).await?;
        ana.presses('4').await?;
        for id in &ids {
            h.is(id, "acknowledged").await?;
            assert_eq!(h.record(id).await?["incident_ids"].as_array().map(Vec::len), Some(20));
        }
        ana.hears_line(&Line::AcknowledgedAll { count: 19 }).await?;
        ana.is_hung_up().await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_hundred_alerts_for_a_hundred_people_are_all_spoken_and_recorded() {
    let numbers: Vec<String> = (0..100).map(|n| format!("+39333200{n:04}")).collect();
    let people = numbers.clone();
    let hundred = move |settings: &mut Settings| {
        for (n, number) in people.iter().enumerate() {
            let name = format!("person {n}");
            settings.contact(&name, &[number]);
            settings.policy(&format!("policy {n}"), &[Step { targets: &[&name], delay: 120, ..Step::default() }]);
        }
        // So many at once are spoken to without a stutter in the laboratory; the others wait their turn.
        settings.set("asterisk.ring_timeout", 60).set("asterisk.concurrent", 30);
    };
    story(hundred, async |h| {
        for number in &numbers {
            h.phone(number).will("ring:0.5,answer,wait:8,press:4").await?;
        }
        let mut ids = Vec::new();
        for n in 0..100 {
            let alert = json!({ "summary": format!("machine {n} is on fire"), "policy": format!("policy {n}") });
            ids.push(h.post_alert(alert).await?);
        }
        for (n, (id, number)) in ids.iter().zip(&numbers).enumerate() {
            h.phone(number).rings().await?;
            let incident = h.is(id, "acknowledged").await?;
            assert_eq!(incident["acknowledged_by"], format!("person {n}"));
            let call = h.record(id).await?;
            assert_eq!((&call["disposition"], &call["digits"]), (&json!("ANSWERED"), &json!("4")), "{call:#}");
            h.phone(number).hears_alert(&format!("machine {n} is on fire")).await?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_real_alertmanager_from_firing_to_resolved() {
    story(ana, async |h| {
        let mut alertmanager = Alertmanager::start(&h.slot, &h.server.api).await?;
        let labels = [("alertname", "DiskFull"), ("instance", "db-01"), ("severity", "critical")];
        alertmanager.fire(&labels, &[("summary", "Disk full on db-01")]).await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?;
        let line = Line::Alert(Alert {
            nth: 1,
            of: 1,
            severity: "critical",
            summary: "Disk full on db-01",
            ..Alert::default()
        });
        ana.hears_line(&line).await?;
        ana.presses('4').await?;
        let page = h.server.api.get("/api/v2/incidents").await?;
        let id = page["items"][0]["id"].as_str().context("an incident")?.to_owned();
        let incident = h.is(&id, "acknowledged").await?;
        assert_eq!((&incident["source"], &incident["acknowledged_by"]), (&json!("lab"), &json!("Ana")));
        ana.is_hung_up().await?;
        alertmanager.resolve(&labels).await?;
        h.is(&id, "resolved").await?;
        let record = h.record(&id).await?;
        ensure!(record["heard"] == true, "{record:#}");
        alertmanager.stop().await?;
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_alert_of_twenty_thousand_characters_is_spoken_up_to_a_limit_and_stored_whole() {
    let both = |settings: &mut Settings| {
        settings.policy("night", &[Step { targets: &["Ana", "Ben"], delay: 60, ..Step::default() }]);
    };
    story(both, async |h| {
        let summary = format!("a text with `&#+\"';|${{}}` and 🔥, {}", "that goes on and on, ".repeat(950));
        let id = h.raise(&summary).await?;
        h.phone(BEN).will("ring:0.3,answer,stay").await?;
        let ana = h.phone(ANA);
        ana.rings().await?.answers().await?;
        ana.hears_alert(&summary).await?;
        ana.presses('4').await?;
        h.is(&id, "acknowledged").await?;
        assert_eq!(h.incident(&id).await?["summary"], summary);
        h.phone(BEN).rings().await?.is_hung_up().await?;
        Ok(())
    })
    .await;
}
