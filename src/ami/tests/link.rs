//! What holds while connected, and what happens when the connection goes.

use std::time::{Duration, Instant};

use tokio::io::AsyncBufReadExt;

use super::{
    super::{ActError, Action, Message, Notice},
    Lab,
};

type Answer = tokio::task::JoinHandle<Result<Message, ActError>>;

fn act(lab: &Lab, name: &'static str) -> Answer {
    let client = lab.client.clone();
    tokio::spawn(async move { client.act(Action::new(name)).await })
}

async fn answer(answer: Answer) -> Result<Message, ActError> {
    super::soon(answer).await.unwrap()
}

#[tokio::test]
async fn each_answer_finds_its_action_in_any_order() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let mut answers = Vec::new();
    for number in 0..300 {
        let client = lab.client.clone();
        let action = Action::new("Originate").header("Exten", &number.to_string()).unwrap();
        answers.push(tokio::spawn(async move { client.act(action).await }));
    }
    let mut actions = Vec::new();
    for _ in 0..300 {
        actions.push(peer.expect("Originate").await);
    }
    // The number is right, the prefix is somebody else's.
    let theirs = actions[0].action_id().unwrap().replacen("rd-", "rd-0", 1);
    let noise = format!("Response: Success\nActionID: {theirs}\n\nResponse: Success\n\n\n\nGarbage\n\n");
    peer.send(&noise).await;
    for action in actions.iter().rev() {
        peer.answer(action, &format!("Response: Success\nExten: {}", action.get("Exten").unwrap())).await;
    }
    for (number, answered) in answers.into_iter().enumerate() {
        assert_eq!(answer(answered).await.unwrap().get("Exten"), Some(number.to_string().as_str()));
    }
}

#[tokio::test]
async fn a_refusal_is_in_asterisks_words_and_an_event_is_no_answer() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let answered = act(&lab, "Originate");
    let originate = peer.expect("Originate").await;
    peer.answer(&originate, "Event: OriginateResponse\nResponse: Failure").await;
    peer.answer(&originate, "Response: Error\nMessage: Extension does not exist.").await;
    let message = "Extension does not exist.".to_owned();
    assert_eq!(answer(answered).await, Err(ActError::Refused { message }));
    assert_eq!(lab.event().await.event(), Some("OriginateResponse"));
}

#[tokio::test]
async fn a_lost_connection_fails_what_is_in_flight_and_comes_back() {
    let mut lab = Lab::new(|_| {}).await;
    let mut watch = lab.client.watch();
    let mut peer = lab.connected().await;
    let answered = act(&lab, "Originate");
    let client = lab.client.clone();
    let listed = tokio::spawn(async move { client.list(Action::new("Status"), "StatusComplete").await });
    for _ in 0..2 {
        peer.action().await.unwrap();
    }
    drop(peer);
    assert_eq!(answer(answered).await, Err(ActError::Interrupted));
    assert_eq!(super::soon(listed).await.unwrap(), Err(ActError::Interrupted));
    assert_eq!(lab.disconnected().await, "asterisk closed the connection");
    assert!(!lab.client.is_connected());
    assert_eq!(lab.client.act(Action::new("Ping")).await, Err(ActError::Disconnected));

    let mut peer = lab.connected().await;
    super::soon(watch.wait_for(|&connected| connected)).await.unwrap();
    let answered = act(&lab, "Originate");
    let originate = peer.expect("Originate").await;
    peer.answer(&originate, "Response: Success").await;
    assert!(answer(answered).await.is_ok());
}

#[tokio::test]
async fn an_action_without_an_answer_ends_at_its_deadline_and_nothing_else_does() {
    let mut lab = Lab::new(|settings| settings.action_deadline = Duration::from_millis(500)).await;
    let mut peer = lab.connected().await;
    let answered = act(&lab, "Originate");
    let late = peer.expect("Originate").await;
    assert_eq!(answer(answered).await, Err(ActError::Deadline));
    peer.answer(&late, "Response: Success\nLate: yes").await;
    let answered = act(&lab, "Hangup");
    let hangup = peer.expect("Hangup").await;
    peer.answer(&hangup, "Response: Success").await;
    assert_eq!(answer(answered).await.unwrap().get("Late"), None);
}

#[tokio::test]
async fn an_action_that_was_given_up_before_it_was_sent_is_not_sent() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    // One thread: the connection's task cannot run between the first poll and the drop.
    tokio::select! {
        biased;
        _ = lab.client.act(Action::new("Originate")) => panic!("answered"),
        () = std::future::ready(()) => {}
    }
    let answered = act(&lab, "Hangup");
    let hangup = peer.expect("Hangup").await;
    peer.answer(&hangup, "Response: Success").await;
    assert!(answer(answered).await.is_ok());
}

#[tokio::test]
async fn an_answered_ping_keeps_the_connection_and_events_do_not_stand_in_for_one() {
    const EVERY: Duration = Duration::from_millis(50);
    let mut lab = Lab::new(|settings| {
        settings.ping_every = EVERY;
        settings.ping_deadline = Duration::from_millis(500);
    })
    .await;
    let mut peer = lab.connected().await;
    for _ in 0..3 {
        let ping = peer.expect("Ping").await;
        let before = Instant::now();
        peer.answer(&ping, "Response: Success\nPing: Pong").await;
        peer.stream.fill_buf().await.unwrap();
        assert!(before.elapsed() >= EVERY, "an answer is no reason to ask again");
    }
    peer.expect("Ping").await;
    let talk = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            peer.send("Event: Hangup\n\n").await;
        }
    });
    let reason = loop {
        match lab.notice().await {
            Notice::Event(_) => {}
            Notice::Disconnected { reason } => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason, "no answer to a ping within 500ms");
    talk.abort();
    lab.accept().await;
}

#[tokio::test]
async fn a_peer_that_takes_nothing_is_left_and_read_from_meanwhile() {
    let mut lab = Lab::new(|settings| settings.ping_deadline = Duration::from_millis(700)).await;
    let mut peer = lab.connected().await;
    let mut answers = Vec::new();
    for _ in 0..300 {
        let mut action = Action::new("Originate");
        for _ in 0..100 {
            action = action.variable("TEXT", &"x".repeat(900)).unwrap();
        }
        let client = lab.client.clone();
        answers.push(tokio::spawn(async move { client.act(action).await }));
    }
    let talk = tokio::spawn(async move {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        loop {
            ticks.tick().await;
            peer.send("Event: Hangup\n\n").await;
        }
    });
    let mut events = 0;
    let reason = loop {
        match lab.notice().await {
            Notice::Event(_) => events += 1,
            Notice::Disconnected { reason } => break reason,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(reason, "the other side takes no bytes since 700ms");
    // It can have been stuck for no more than half of the ticks.
    assert!(events > 10, "only {events} events were read while the writing was stuck");
    // Told apart: what may have reached Asterisk, and what was still waiting here.
    let (mut interrupted, mut unsent) = (0, 0);
    for answered in answers {
        match answer(answered).await {
            Err(ActError::Interrupted) => interrupted += 1,
            Err(ActError::Disconnected) => unsent += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(interrupted > 0 && unsent > 0, "{interrupted} and {unsent}");
    talk.abort();
}

#[tokio::test]
async fn an_unreadable_stream_is_dropped_and_made_anew() {
    let endless = "x".repeat(64 * 1024 + 1);
    let many = "A: b\n".repeat(2001);
    for (bytes, reason) in [(endless, "unreadable: a line longer than"), (many, "unreadable: a message of more than")] {
        let mut lab = Lab::new(|_| {}).await;
        let mut peer = lab.connected().await;
        peer.send(&bytes).await;
        let said = lab.disconnected().await;
        assert!(said.starts_with(reason), "{said}");
        lab.connected().await;
    }
}

#[tokio::test]
async fn dropping_the_clients_keeps_the_connection_and_the_token_ends_it() {
    let Lab { listener, client, notices, task, shutdown } = Lab::new(|_| {}).await;
    let spare = client.clone();
    let mut lab = Lab { listener, client, notices, task, shutdown };
    let mut peer = lab.connected().await;
    let Lab { client, mut notices, task, shutdown, .. } = lab;
    drop((client, spare));
    peer.send("Event: Hangup\n\n").await;
    assert!(matches!(super::soon(notices.next()).await, Some(Notice::Event(_))));
    shutdown.cancel();
    peer.expect("Logoff").await;
    assert_eq!(peer.action().await, None);
    super::soon(task).await.unwrap();
    assert!(matches!(super::soon(notices.next()).await, Some(Notice::Disconnected { .. })));
    assert_eq!(super::soon(notices.next()).await, None);
}

#[tokio::test]
async fn when_nobody_is_left_it_logs_off() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let Lab { client, notices, task, listener: _listener, shutdown: _shutdown } = lab;
    drop(notices);
    let spare = client.clone();
    let answered = tokio::spawn(async move { spare.act(Action::new("Originate")).await });
    let originate = peer.expect("Originate").await;
    peer.answer(&originate, "Response: Success").await;
    assert!(answer(answered).await.is_ok(), "a client alone keeps it as well");
    drop(client);
    peer.expect("Logoff").await;
    super::soon(task).await.unwrap();
}

#[tokio::test]
async fn after_the_shutdown_every_action_fails_at_once() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let answered = act(&lab, "Originate");
    peer.expect("Originate").await;
    lab.shutdown.cancel();
    assert_eq!(answer(answered).await, Err(ActError::Interrupted));
    super::soon(lab.task).await.unwrap();
    assert!(!lab.client.is_connected());
    assert_eq!(lab.client.act(Action::new("Ping")).await, Err(ActError::Disconnected));
}

#[tokio::test]
async fn clients_in_one_process_know_nothing_of_each_other() {
    let (mut one, mut two) = (Lab::new(|_| {}).await, Lab::new(|_| {}).await);
    let (mut peer_one, peer_two) = (one.connected().await, two.connected().await);
    drop(peer_two);
    two.disconnected().await;
    let answered = act(&one, "Originate");
    let originate = peer_one.expect("Originate").await;
    peer_one.answer(&originate, "Response: Success").await;
    assert!(answer(answered).await.is_ok());
    assert!(one.client.is_connected());
}
