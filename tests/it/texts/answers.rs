//! What is answered to a text, and what comes of it.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Instant,
};

use super::*;
use crate::databases::Database;

/// Nobody knows them.
const STRANGER: &str = "+393339999999";

/// Where a server dies that acts on a text: before it has done anything, and before it is done.
pub const DIES_AT: [&str; 2] = ["answer.claimed", "answer.done"];

/// A text that is not taken for one of before.
fn sends(modem: &Modem, from: &str, text: &str) -> Result<()> {
    static LAST: AtomicU16 = AtomicU16::new(0);
    // What makes two texts different to the modem is what they say: a dot does not change what that is.
    let nth = LAST.fetch_add(1, Ordering::Relaxed);
    modem.text(from, &format!("{text}{}", " .".repeat(usize::from(nth % 40))), nth)
}

/// What has arrived at a number.
fn at(modem: &Modem, number: &str) -> Vec<String> {
    arrived(modem).into_iter().filter(|(to, _)| to == number).map(|(_, text)| text).collect()
}

impl Desk {
    async fn answering(change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let desk = Self::start(vec![Setup::default()], change).await?;
        desk.is_ready().await?;
        Ok(desk)
    }

    /// Waits for the last of so many texts to a number.
    async fn says(&self, number: &str, count: usize) -> Result<String> {
        until(format!("{count} text(s) to {number}"), SOON, async || {
            let texts = at(&self.modems[0], number);
            ensure!(texts.len() <= count, "more than {count} text(s): {texts:?}");
            Ok((texts.len() == count).then(|| texts[count - 1].clone()))
        })
        .await
    }

    /// What was done about the texts that came in, the latest first, once so many were handled.
    async fn outcomes(&self, count: usize) -> Result<Vec<String>> {
        until(format!("{count} text(s) are handled"), SOON, async || {
            let page = self.server.api.get("/api/v2/received-messages").await?;
            let items = page["items"].as_array().context("a list")?;
            let done: Vec<String> =
                items.iter().filter_map(|text| text["outcome"].as_str().map(str::to_owned)).collect();
            Ok((done.len() == count).then_some(done))
        })
        .await
    }

    async fn state(&self, incident: &str) -> Result<String> {
        let incident = self.server.api.get(&format!("/api/v2/incidents/{incident}")).await?;
        Ok(incident["state"].as_str().unwrap_or_default().to_owned())
    }

    /// An incident of which Ana was texted, as the `nth` of all texts to her.
    async fn texted(&self, summary: &str, nth: usize) -> Result<String> {
        let id = self.raise(summary).await?;
        self.says(ANA, nth).await?;
        Ok(id)
    }

    async fn edit(&self, name: &str, change: Value) -> Result<String> {
        let contact = self.server.api.get(&format!("/api/v2/contacts?q={name}")).await?["items"][0].clone();
        let id = contact["id"].as_str().context("an id")?.to_owned();
        let path = format!("/api/v2/contacts/{id}");
        let (status, answer) =
            self.server.api.ask_with(Method::PUT, &path, &[("if-match", "*")], Some(&change)).await?;
        ensure!(status.is_success(), "{answer}");
        Ok(id)
    }
}

#[tokio::test]
async fn a_text_is_in_its_readers_language_with_a_link_and_so_is_the_answer() -> Result<()> {
    let desk = Desk::answering(|settings| {
        settings.set("sms.link", "https://alerts.example.org/{id}");
    })
    .await?;
    desk.edit("Ana", json!({ "name": "Ana", "numbers": [{ "number": ANA }], "language": "de-AT" })).await?;
    let id = desk.raise("Disk full").await?;
    let how = "Antwort 4 1 = übernehmen, 5 1 = weitergeben, 6 1 = erledigt";
    assert_eq!(desk.says(ANA, 1).await?, format!("#1 critical: Disk full. {how}\nhttps://alerts.example.org/{id}"));
    sends(&desk.modems[0], ANA, "Bestätigt!")?;
    assert_eq!(desk.says(ANA, 2).await?, "Gut: Sie haben #1 übernommen.");
    assert_eq!(desk.state(&id).await?, "acknowledged");
    let kinds = desk.kinds(&id).await?;
    assert_eq!(kinds[kinds.len() - 2..], ["answered_by_text", "acknowledged"]);
    assert_eq!(desk.outcomes(1).await?, ["acknowledged #1"]);
    // What they have taken they may end, by whatever name.
    sends(&desk.modems[0], ANA, "ERLEDIGT 1")?;
    assert_eq!(desk.says(ANA, 3).await?, "Gut: #1 erledigt.");
    assert_eq!(desk.state(&id).await?, "resolved");
    sends(&desk.modems[0], ANA, "4")?;
    assert_eq!(desk.says(ANA, 4).await?, "Für Sie ist nichts offen.");
    desk.close().await
}

#[tokio::test]
async fn of_several_an_answer_takes_all() -> Result<()> {
    let desk = Desk::answering(|_| {}).await?;
    let (disk, fan) = (desk.texted("Disk full", 1).await?, desk.texted("Fan stopped", 2).await?);
    // What ends or passes on wants to know which; what nobody was told of is not there.
    sends(&desk.modems[0], ANA, "6")?;
    assert_eq!(desk.says(ANA, 3).await?, "Which one? Open: #1, #2. Reply for instance 6 1, or 6 all");
    sends(&desk.modems[0], ANA, "ack 99")?;
    assert_eq!(desk.says(ANA, 4).await?, "Not open: #99.");
    sends(&desk.modems[0], BEN, "ack 1")?;
    assert_eq!(desk.says(BEN, 1).await?, "Not open: #1.");
    for id in [&disk, &fan] {
        assert_eq!(desk.state(id).await?, "escalating");
    }
    sends(&desk.modems[0], ANA, "Ack.")?;
    assert_eq!(desk.says(ANA, 5).await?, "Done: you have taken #1, #2.");
    for id in [&disk, &fan] {
        assert_eq!(desk.state(id).await?, "acknowledged");
    }
    desk.close().await
}

#[tokio::test]
async fn of_several_it_is_asked_which_where_that_is_wanted() -> Result<()> {
    let desk = Desk::answering(|settings| {
        settings.set("sms.several", "ask");
    })
    .await?;
    let (disk, fan) = (desk.texted("Disk full", 1).await?, desk.texted("Fan stopped", 2).await?);
    sends(&desk.modems[0], ANA, "4")?;
    assert_eq!(desk.says(ANA, 3).await?, "Which one? Open: #1, #2. Reply for instance 4 1, or 4 all");
    assert_eq!(desk.state(&disk).await?, "escalating");
    sends(&desk.modems[0], ANA, "4 2 99")?;
    assert_eq!(desk.says(ANA, 4).await?, "Done: you have taken #2. Not open: #99.");
    assert_eq!((desk.state(&disk).await?, desk.state(&fan).await?), ("escalating".into(), "acknowledged".into()));
    // Only one is left that could be meant.
    sends(&desk.modems[0], ANA, "4")?;
    assert_eq!(desk.says(ANA, 5).await?, "Done: you have taken #1.");
    desk.close().await
}

#[tokio::test]
async fn whoever_passes_on_passes_on_what_is_with_them() -> Result<()> {
    let desk = Desk::answering(|_| {}).await?;
    let step = |name: &str| json!({ "targets": [{ "contact": name }], "method": "sms", "delay": 600 });
    desk.policy("two", json!([step("Ana"), step("Ben")])).await?;
    let raise = async |summary: &str| {
        let alert = json!({ "summary": summary, "policy": "two" });
        let answer = desk.server.api.post("/api/v2/alerts", &alert).await?;
        Ok::<_, anyhow::Error>(answer["incident_id"].as_str().context("an incident")?.to_owned())
    };
    let id = raise("Disk full").await?;
    desk.says(ANA, 1).await?;
    sends(&desk.modems[0], ANA, "5")?;
    assert_eq!(desk.says(ANA, 2).await?, "Done: #1 passed on.");
    assert!(desk.says(BEN, 1).await?.starts_with("#1 Disk full"));
    // Said again it is done already: it is with Ben now, and stays there.
    sends(&desk.modems[0], ANA, "5")?;
    assert_eq!(desk.says(ANA, 3).await?, "Done: #1 passed on.");
    let escalated =
        async || Ok::<_, anyhow::Error>(desk.kinds(&id).await?.iter().filter(|kind| *kind == "escalated").count());
    assert_eq!((desk.state(&id).await?, escalated().await?), ("escalating".into(), 1));
    // Taken by Ben it is not Ana's to pass on, nor to take.
    sends(&desk.modems[0], BEN, "4 1")?;
    assert_eq!(desk.says(BEN, 2).await?, "Done: you have taken #1.");
    sends(&desk.modems[0], ANA, "5 1")?;
    assert_eq!(desk.says(ANA, 4).await?, "Taken by Ben: #1 Disk full");
    sends(&desk.modems[0], ANA, "4 1")?;
    assert_eq!(desk.says(ANA, 5).await?, "Taken by Ben: #1 Disk full");
    assert_eq!(desk.state(&id).await?, "acknowledged");
    // Behind the last one there is nobody.
    let id = raise("Fan stopped").await?;
    desk.says(ANA, 6).await?;
    sends(&desk.modems[0], ANA, "5 2")?;
    desk.says(BEN, 3).await?;
    sends(&desk.modems[0], BEN, "weiter 2")?;
    assert_eq!(desk.says(BEN, 4).await?, "Passed on: #2, but nobody is left to call.");
    assert_eq!(desk.state(&id).await?, "exhausted");
    desk.close().await
}

#[tokio::test]
async fn stop_turns_texts_off_until_start() -> Result<()> {
    let desk = Desk::answering(|_| {}).await?;
    let api = &desk.server.api;
    desk.texted("Disk full", 1).await?;
    sends(&desk.modems[0], ANA, "STOP")?;
    assert_eq!(
        desk.says(ANA, 2).await?,
        "You get no more texts at this number. Calls still come. START turns texts on again."
    );
    let page = desk.about(&desk.raise("Fan stopped").await?).await?;
    assert_eq!(desk.is(&page, "failed").await?["failure"], "texts to this number are turned off");
    let readiness = api.get("/api/v2/readiness").await?;
    assert!(readiness["items"].to_string().contains("texts_turned_off"), "{readiness}");
    let listed = api.get("/api/v2/text-opt-outs").await?;
    assert_eq!((&listed["items"][0]["number"], &listed["items"][0]["by"]), (&json!(ANA), &json!("Ana")));
    // It is confirmed once, and what they say counts all the same.
    sends(&desk.modems[0], ANA, "stop")?;
    desk.outcomes(2).await?;
    sends(&desk.modems[0], ANA, "4")?;
    let done = desk.outcomes(3).await?;
    assert_eq!(done[0], "acknowledged #1; not answered: texts to the number are turned off");
    sends(&desk.modems[0], ANA, "start")?;
    assert_eq!(desk.says(ANA, 3).await?, "You get texts at this number again. STOP turns them off.");
    desk.texted("Pump dry", 4).await?;
    // The same over the API, for a number as people write it.
    let path = "/api/v2/text-opt-outs/333%201000001";
    let (status, answer) = api.ask(Method::PUT, path, None).await?;
    assert!(status == 200 && answer["number"] == ANA, "{answer}");
    let page = desk.about(&desk.raise("Door open").await?).await?;
    desk.is(&page, "failed").await?;
    let (status, _) = api.ask(Method::DELETE, path, None).await?;
    assert_eq!(status, 204);
    let (status, _) = api.ask(Method::DELETE, path, None).await?;
    assert_eq!(status, 404, "they are on");
    let (status, _) = api.ask(Method::PUT, "/api/v2/text-opt-outs/nobody", None).await?;
    assert_eq!(status, 422);
    assert_eq!(at(&desk.modems[0], ANA).len(), 4);
    desk.close().await
}

#[tokio::test]
async fn a_stranger_is_recorded_and_neither_obeyed_nor_answered() -> Result<()> {
    let desk = Desk::answering(|_| {}).await?;
    let id = desk.texted("Disk full", 1).await?;
    for text in ["4 1", "help", "STOP", "hello?"] {
        sends(&desk.modems[0], STRANGER, text)?;
    }
    let done = desk.outcomes(4).await?;
    assert!(done.iter().all(|outcome| outcome == "recorded: nobody knows who it is"), "{done:?}");
    assert_eq!(desk.state(&id).await?, "escalating");
    assert_eq!(desk.server.api.get("/api/v2/text-opt-outs").await?["items"], json!([]));
    // Somebody who was texted by hand may say that it is enough.
    let message = desk.text(STRANGER, "Your order has arrived").await?;
    desk.is(&message, "sent").await?;
    sends(&desk.modems[0], STRANGER, "stop")?;
    assert_eq!(desk.outcomes(5).await?[0], "texts are turned off");
    let message = desk.text(STRANGER, "And another one").await?;
    desk.is(&message, "failed").await?;
    assert_eq!(at(&desk.modems[0], STRANGER), ["Your order has arrived"]);
    desk.close().await
}

/// Ana has a PIN.
async fn with_a_pin(change: impl FnOnce(&mut Settings)) -> Result<Desk> {
    let desk = Desk::answering(change).await?;
    let ana = desk.edit("Ana", json!({ "name": "Ana", "numbers": [{ "number": ANA }] })).await?;
    let path = format!("/api/v2/contacts/{ana}/pin");
    let (status, told) = desk.server.api.ask(Method::PUT, &path, Some(&json!({ "pin": "4711" }))).await?;
    ensure!(status.is_success(), "{told}");
    Ok(desk)
}

const NOT_BY_TEXT: &str = "This needs your PIN: please do it on the telephone.";

#[tokio::test]
async fn whoever_has_a_pin_takes_it_by_text_and_does_not_end_it() -> Result<()> {
    let desk = with_a_pin(|_| {}).await?;
    let id = desk.texted("Disk full", 1).await?;
    sends(&desk.modems[0], ANA, "6")?;
    assert_eq!(desk.says(ANA, 2).await?, NOT_BY_TEXT);
    assert_eq!(desk.state(&id).await?, "escalating");
    sends(&desk.modems[0], ANA, "4")?;
    assert_eq!(desk.says(ANA, 3).await?, "Done: you have taken #1.");
    sends(&desk.modems[0], ANA, "6 1")?;
    assert_eq!(desk.says(ANA, 4).await?, NOT_BY_TEXT);
    assert_eq!(desk.state(&id).await?, "acknowledged");
    desk.close().await
}

#[tokio::test]
async fn where_taking_wants_a_pin_too_it_is_not_done_by_text() -> Result<()> {
    let desk = with_a_pin(|settings| {
        settings.set("call.pin_to_acknowledge", true);
    })
    .await?;
    let id = desk.texted("Disk full", 1).await?;
    sends(&desk.modems[0], ANA, "4")?;
    assert_eq!(desk.says(ANA, 2).await?, NOT_BY_TEXT);
    assert_eq!(desk.state(&id).await?, "escalating");
    desk.close().await
}

#[tokio::test]
async fn two_machines_that_answer_each_other_stop() -> Result<()> {
    let mut desk = Desk::answering(|settings| {
        settings.set("sms.answers_per_hour", 3);
    })
    .await?;
    for nth in 0..2 {
        sends(&desk.modems[0], ANA, &format!("I am a machine, too, number {nth}"))?;
    }
    desk.says(ANA, 2).await?;
    // It is known after a restart, and whoever is told nothing is heard all the same.
    desk.server.kill().await?;
    desk.server.restart().await?;
    desk.is_ready().await?;
    for nth in 2..5 {
        sends(&desk.modems[0], ANA, &format!("I am a machine, too, number {nth}"))?;
    }
    let done = desk.outcomes(5).await?;
    let enough = "not understood; not answered: the number has had enough answers in this hour";
    assert_eq!(done.iter().filter(|outcome| *outcome == enough).count(), 2, "{done:?}");
    let id = desk.texted("Disk full", 4).await?;
    sends(&desk.modems[0], ANA, "4")?;
    desk.outcomes(6).await?;
    assert_eq!(desk.state(&id).await?, "acknowledged");
    // What says that it is a machine is not answered at all.
    sends(&desk.modems[0], BEN, "I am out of office until Monday")?;
    assert!(desk.outcomes(7).await?[0].starts_with("not understood; not answered: a machine"));
    assert_eq!((at(&desk.modems[0], ANA).len(), at(&desk.modems[0], BEN).len()), (4, 0));
    desk.server.stop().await
}

#[tokio::test]
async fn a_text_raises_an_alert_where_a_rule_says_so() -> Result<()> {
    let desk = Desk::answering(|settings| {
        settings.alert_texts("alarm", "texts");
    })
    .await?;
    sends(&desk.modems[0], STRANGER, "ALARM: water in the cellar")?;
    assert!(desk.says(ANA, 1).await?.starts_with("#1 critical: water in the cellar"));
    assert_eq!(desk.outcomes(1).await?, ["raised an alert"]);
    let incident = desk.server.api.get("/api/v2/incidents?limit=1").await?["items"][0].clone();
    assert_eq!(
        (&incident["source"], &incident["policy"]),
        (&json!(format!("a text from {STRANGER}")), &json!("texts"))
    );
    // A contact hears that it worked, and what means something else is what it means.
    sends(&desk.modems[0], BEN, "Alarm, fire in the hall")?;
    assert_eq!(desk.says(BEN, 1).await?, "Thank you: your text is an alert now.");
    desk.says(ANA, 2).await?;
    sends(&desk.modems[0], ANA, "4 1")?;
    assert_eq!(desk.says(ANA, 3).await?, "Done: you have taken #1.");
    assert!(at(&desk.modems[0], STRANGER).is_empty());
    desk.close().await
}

#[tokio::test]
async fn killed_in_the_middle_what_was_said_is_done_once() -> Result<()> {
    let mut desk = Desk::answering(|_| {}).await?;
    for (nth, place) in (0..).zip(DIES_AT) {
        // Two texts for each before: the page, and the answer.
        let id = desk.texted(place, 1 + 2 * nth).await?;
        desk.server.stop().await?;
        desk.server.restart_to_die_at(place).await?;
        desk.is_ready().await?;
        sends(&desk.modems[0], ANA, "4")?;
        until("it dies", SOON, async || Ok((!desk.server.still_runs()).then_some(()))).await?;
        desk.server.restart().await?;
        assert_eq!(desk.says(ANA, 2 + 2 * nth).await?, format!("Done: you have taken #{}.", nth + 1), "{place}");
        let kinds = desk.kinds(&id).await?;
        assert_eq!(kinds.iter().filter(|kind| *kind == "acknowledged").count(), 1, "{place}: {kinds:?}");
    }
    desk.server.stop().await
}

#[tokio::test]
async fn of_two_servers_one_answers() -> Result<()> {
    let database = Database::postgres().await;
    let alike = |node: &'static str| {
        let url = database.url.clone();
        move |settings: &mut Settings| {
            settings.set("database.url", url).set("server.node", node).set("sms.answers_per_hour", 1000);
        }
    };
    let north = Desk::answering(alike("north")).await?;
    let slot = Slot::take()?;
    let modems = plugged_in(&slot, vec![Setup::default()])?;
    let mut settings = Settings::new();
    settings.contact("Ana", &[ANA]).contact("Ben", &[BEN]).set("numbers.country", "IT");
    settings.modem("gsm1", modems[0].path());
    alike("south")(&mut settings);
    let mut south = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await?;
    until("the south's modem works", SOON, async || Ok(south.part_works("texts").await?.then_some(()))).await?;
    let both = |number: &str| [at(&north.modems[0], number), at(&modems[0], number)].concat();
    let ids = [north.raise("Disk full").await?, north.raise("Fan stopped").await?];
    until("both are told", SOON, async || Ok((both(ANA).len() == 2).then_some(()))).await?;
    // Whoever it comes to, both see it.
    for nth in 0..10 {
        for modem in [&north.modems[0], &modems[0]] {
            sends(modem, BEN, &format!("help me, number {nth}"))?;
        }
    }
    sends(&modems[0], ANA, "4")?;
    let done = north.outcomes(21).await?;
    assert_eq!(done.iter().filter(|outcome| *outcome == "acknowledged #1, #2").count(), 1, "{done:?}");
    until("all are answered", LATER, async || {
        let waits = north.messages("?status=pending").await?.len() + north.messages("?status=sending").await?.len();
        Ok((waits == 0).then_some(()))
    })
    .await?;
    assert_eq!((both(BEN).len(), both(ANA).len()), (20, 3), "each once");
    for id in &ids {
        let kinds = north.kinds(id).await?;
        assert_eq!(kinds.iter().filter(|kind| *kind == "acknowledged").count(), 1, "{kinds:?}");
    }
    south.stop().await?;
    north.close().await
}

#[tokio::test]
async fn a_storm_is_a_few_texts_and_the_first_is_not_held_back() -> Result<()> {
    let slow = Setup { message_takes: Duration::from_secs(2), ..reporting() };
    let desk = Desk::ready(vec![slow]).await?;
    let first = desk.raise("Disk full").await?;
    until("the first is with the modem", SOON, async || Ok((desk.modems[0].submitted().len() == 1).then_some(())))
        .await?;
    let mut ids = vec![first];
    for nth in 2..=6 {
        ids.push(desk.raise(&format!("Fan {nth} stopped")).await?);
    }
    let said = desk.says(ANA, 2).await?;
    assert!(said.starts_with("5 incidents: #2 critical: Fan 2 stopped; #3 "), "{said}");
    assert!(
        said.ends_with("; #6 critical: Fan 6 stopped. Reply 4 2 = take, 5 2 = pass on, 6 2 = over, 4 all = take all")
    );
    for id in &ids {
        desk.is(&desk.about(id).await?, "delivered").await?;
    }
    sends(&desk.modems[0], ANA, "4 all")?;
    assert_eq!(desk.says(ANA, 3).await?, "Done: you have taken #1, #2, #3, #4, #5, #6.");
    for id in &ids {
        assert_eq!(desk.state(id).await?, "acknowledged");
    }
    desk.close().await
}

#[tokio::test]
async fn an_answer_is_quick() -> Result<()> {
    let desk = Desk::answering(|_| {}).await?;
    let id = desk.texted("Disk full", 1).await?;
    let since = Instant::now();
    sends(&desk.modems[0], ANA, "4")?;
    until("it is taken", SOON, async || Ok((desk.state(&id).await? == "acknowledged").then_some(()))).await?;
    // A look every second would take longer, and a busy machine takes its time.
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    desk.close().await
}
