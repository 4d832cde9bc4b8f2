//! The wires between the PBX and the server, AMI and FastAGI: cut, clogged, muddied, leading nowhere.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use lab::{
    asterisk::Telephony,
    proxy::{New, Proxy, Way},
    settings::{Settings, Step},
    wait::until,
};

use crate::harness::{ANA, BEN, CAL, Harness, LATER, SOON, story_mut, story_on};

fn one_policy_each(settings: &mut Settings, numbers: &[&str]) {
    for number in numbers {
        settings.policy(number, &[Step { targets: &[*number], delay: 120, ..Step::default() }]);
    }
    settings.set("asterisk.ring_timeout", 60).set("call.wait", 2000);
    // Several phones are looked after at once.
    settings.set("server.requests_per_second", 10_000);
}

async fn raise(h: &Harness, number: &str) -> Result<String> {
    h.post_alert(serde_json::json!({ "summary": "Disk full", "policy": number })).await
}

async fn pbx_works(h: &Harness, works: bool) -> Result<()> {
    until(format!("readiness says that the PBX works: {works}"), SOON, async || {
        Ok((h.server.part_works("pbx").await? == works).then_some(()))
    })
    .await
}

/// Ana's phone rings and Ben listens when the manager connection breaks. Ana answers meanwhile, Ben presses his key,
/// and Cal is to be called: he is when it is whole again, and nobody else is called once more.
async fn calls_go_on_when(breaks: impl Fn(&Proxy)) {
    let proxy = Proxy::start().expect("a proxy");
    let setup = |settings: &mut Settings, telephony: &Telephony| {
        one_policy_each(settings, &[ANA, BEN, CAL]);
        settings.set("call.repeat", 8);
        proxy.leads_to(telephony.pbx.ami.parse().expect("an address"));
        settings.set("asterisk.address", proxy.address.to_string());
    };
    story_on(setup, async |h| {
        h.expects_error("manager connection is down");
        h.expects_error("a call waits");
        let (ana, ben, cal) = (h.phone(ANA), h.phone(BEN), h.phone(CAL));
        let rings = raise(h, ANA).await?;
        let listens = raise(h, BEN).await?;
        ana.rings().await?;
        ben.rings().await?.answers().await?.hears_something().await?;
        h.told(&listens, "speaking").await?;

        let connections = proxy.came();
        proxy.leads(New::Nowhere);
        breaks(&proxy);
        pbx_works(h, false).await?;
        // It tries anew by itself, and does not wait for ever for an answer.
        until("two more tries", SOON, async || Ok((proxy.came() >= connections + 2).then_some(()))).await?;
        let waits = raise(h, CAL).await?;
        h.told(&waits, "call_waits").await?;
        ana.answers().await?.hears_alert("Disk full").await?;
        ben.hears_alert("Disk full").await?;
        ben.presses('4').await?;
        h.is(&listens, "acknowledged").await?;
        ben.is_hung_up().await?;
        assert!(!h.server.part_works("pbx").await?, "it leads nowhere yet");

        proxy.leads(New::Through);
        proxy.cut();
        pbx_works(h, true).await?;
        ana.presses('4').await?;
        h.is(&rings, "acknowledged").await?;
        ana.is_hung_up().await?;
        cal.rings().await?.answers().await?.hears_something().await?.presses('4').await?;
        h.is(&waits, "acknowledged").await?;
        cal.is_hung_up().await?;

        // How Ben's call ended was told to nobody, and of all three is known that they were answered.
        for (id, told) in [(&rings, true), (&listens, false), (&waits, true)] {
            let call = h.record(id).await?;
            assert_eq!((&call["status"], &call["disposition"]), (&"completed".into(), &"ANSWERED".into()), "{call}");
            assert_eq!(call["failure"].is_null(), told, "{call}");
            let kinds = h.kinds(id).await?;
            for once in ["attempt", "dialing", "answered", "acknowledged", "call_ended"] {
                assert_eq!(kinds.iter().filter(|kind| *kind == once).count(), 1, "{once} in {kinds:?}");
            }
        }
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn calls_go_on_when_the_manager_connection_is_cut_and_new_ones_are_half_open() {
    calls_go_on_when(Proxy::cut).await;
}

#[tokio::test]
async fn calls_go_on_when_the_manager_says_nothing_any_more() {
    calls_go_on_when(|proxy| proxy.freeze(Way::Back)).await;
}

#[tokio::test]
async fn calls_go_on_when_the_manager_takes_nothing_any_more() {
    calls_go_on_when(|proxy| proxy.freeze(Way::There)).await;
}

#[tokio::test]
async fn calls_go_on_when_the_manager_says_a_line_that_does_not_end() {
    calls_go_on_when(|proxy| proxy.says(vec![b'x'; 15 * 1024 * 1024])).await;
}

#[tokio::test]
async fn garbage_from_the_manager_is_passed_over_or_ends_the_connection_and_calls_go_on() {
    let proxy = Proxy::start().expect("a proxy");
    let setup = |settings: &mut Settings, telephony: &Telephony| {
        one_policy_each(settings, &[ANA, BEN]);
        proxy.leads_to(telephony.pbx.ami.parse().expect("an address"));
        settings.set("asterisk.address", proxy.address.to_string());
    };
    story_on(setup, async |h| {
        h.expects_error("manager connection is down");
        h.expects_error("a call waits");
        let (ana, ben) = (h.phone(ANA), h.phone(BEN));
        let (rings, listens) = (raise(h, ANA).await?, raise(h, BEN).await?);
        ana.rings().await?;
        ben.rings().await?.answers().await?.hears_something().await?;
        let bytes: Vec<u8> = (0..=255).collect();
        let lies: [&[u8]; 6] = [
            b"\r\n\r\n\r\n",
            b"Event\r\nEvent: \r\n: Hangup\r\nEvent: Hangup\r\nCause: \xff\xfe\r\n\r\n",
            b"Event: Hangup\r\nUniqueid: nonsense\r\nLinkedid: ;;;\r\nCause: 99999999999999\r\n\r\n",
            b"Response: Success\r\nActionID: 18446744073709551616\r\n\r\n",
            b"Response: Error\r\nActionID: \0\r\nMessage: Asterisk is shutting down\r\n\r\n",
            &bytes,
        ];
        lies.iter().for_each(|lie| proxy.says(lie.to_vec()));
        proxy.says(b"\r\n\r\n".to_vec());
        pbx_works(h, true).await?;
        ben.presses('4').await?;
        ana.answers().await?.hears_something().await?.presses('4').await?;
        for id in [&rings, &listens] {
            h.is(id, "acknowledged").await?;
        }
        ana.is_hung_up().await?;
        ben.is_hung_up().await?;
        for id in [&rings, &listens] {
            assert_eq!(h.record(id).await?["status"], "completed");
        }
        Ok(())
    })
    .await;
}

/// Numbers that are not used elsewhere.
fn numbers<const N: usize>() -> [String; N] {
    std::array::from_fn(|nth| format!("+3933310001{nth:02}"))
}

/// A conversation in which no key is pressed: the lead-in, twice the alert and a wait, the farewell, that it is
/// done, the hangup.
#[tokio::test]
async fn cut_after_whichever_command_the_callee_is_spoken_to_again_and_rung_once() {
    const COMMANDS: usize = 8;
    let proxy = Proxy::start().expect("a proxy");
    let phones = numbers::<COMMANDS>();
    let setup = |settings: &mut Settings| {
        one_policy_each(settings, &phones.each_ref().map(String::as_str));
        settings.set("agi.url", format!("agi://{}", proxy.address)).set("call.repeat", 2);
    };
    story_mut(setup, async |h| {
        h.expects_error("a session broke");
        proxy.leads_to(h.server.agi);
        let mut incidents = Vec::new();
        for number in &phones {
            incidents.push(raise(h, number).await?);
            h.phone(number).rings().await?;
        }
        // The longest first: nobody's second session may be there before everybody's first.
        proxy.cuts_next_after((1..=COMMANDS).rev());
        for (nth, number) in phones.iter().enumerate() {
            h.phone(number).answers().await?;
            until("its session", SOON, async || Ok((proxy.came() > nth).then_some(()))).await?;
        }
        let h = &*h;
        let in_conversation = (COMMANDS - 5..COMMANDS).map(async |nth| {
            let (phone, id, command) = (h.phone(&phones[nth]), &incidents[nth], COMMANDS - nth);
            // It goes on with the incident that was being spoken.
            h.told_times(id, "speaking", if command == 1 { 1 } else { 2 }).await?;
            phone.hears_alert("Disk full").await?;
            phone.presses('4').await?;
            h.is(id, "acknowledged").await.with_context(|| format!("cut after command {command}"))
        });
        try_join_all(in_conversation).await?;
        for nth in 0..COMMANDS {
            let (phone, id, command) = (h.phone(&phones[nth]), &incidents[nth], COMMANDS - nth);
            phone.is_hung_up().await?;
            let call = h.record(id).await?;
            assert_eq!((&call["status"], &call["disposition"]), (&"completed".into(), &"ANSWERED".into()), "{call}");
            if command > 5 {
                // The farewell had begun: they hear it again, and have not acknowledged.
                assert_eq!(h.incident(id).await?["state"], "escalating", "cut after command {command}");
                h.says(id, "resolve").await?;
            }
        }
        // That it was done had been said to two, who may have heard it.
        assert!(proxy.came() >= 2 * COMMANDS - 2, "{} sessions: they came back", proxy.came());
        proxy.is_empty(LATER).await
    })
    .await;
}

/// The lead-in, the alert, in which a key is pressed; that it was taken, that it is done, the hangup.
#[tokio::test]
async fn cut_after_the_key_it_counts_all_the_same_and_the_call_comes_to_its_end() {
    let proxy = Proxy::start().expect("a proxy");
    let phones = numbers::<3>();
    let setup = |settings: &mut Settings| {
        one_policy_each(settings, &phones.each_ref().map(String::as_str));
        settings.set("agi.url", format!("agi://{}", proxy.address)).set("call.repeat", 8);
    };
    story_mut(setup, async |h| {
        h.expects_error("a session broke");
        proxy.leads_to(h.server.agi);
        proxy.cuts_next_after([3, 4, 5]);
        let mut incidents = Vec::new();
        for (nth, number) in phones.iter().enumerate() {
            incidents.push(raise(h, number).await?);
            h.phone(number).rings().await?.answers().await?;
            until("its session", SOON, async || Ok((proxy.came() > nth).then_some(()))).await?;
        }
        for (number, id) in phones.iter().zip(&incidents) {
            h.told(id, "speaking").await?;
            h.phone(number).presses('4').await?;
        }
        for (number, id) in phones.iter().zip(&incidents) {
            h.is(id, "acknowledged").await?;
            h.phone(number).is_hung_up().await?;
            let call = h.record(id).await?;
            assert_eq!((&call["status"], &call["digits"]), (&"completed".into(), &"4".into()), "{call}");
        }
        // Whose confirmation was cut off comes back, to hear the end of the call.
        let kinds = h.kinds(&incidents[0]).await?;
        assert!(kinds.iter().any(|kind| kind == "reconnected"), "{kinds:?}");
        proxy.is_empty(Duration::from_secs(30)).await
    })
    .await;
}
