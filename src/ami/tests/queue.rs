//! The queue of notices: bounded, in order, and never in the reader's way.

use tokio::sync::mpsc;

use super::{
    super::{
        Action, Message, Notice, Notices,
        notices::{self, Publisher},
    },
    Lab,
};

fn queue(capacity: usize) -> (Publisher, Notices) {
    notices::queue(capacity, mpsc::channel(1).0)
}

fn event(number: usize) -> Message {
    Message::parse(format!("Event: Hangup\r\nNumber: {number}\r\n").as_bytes())
}

/// One letter for each notice: e1 e2 l5 c d.
async fn all(publisher: Publisher, mut notices: Notices) -> String {
    drop(publisher);
    let mut all = Vec::new();
    while let Some(notice) = notices.next().await {
        all.push(short(&notice));
    }
    all.join(" ")
}

fn short(notice: &Notice) -> String {
    match notice {
        Notice::Connected { banner } => format!("c{banner}"),
        Notice::Disconnected { reason } => format!("d{reason}"),
        Notice::Event(message) => format!("e{}", message.get("Number").unwrap_or("?")),
        Notice::Lost { events } => format!("l{events}"),
    }
}

#[tokio::test]
async fn what_does_not_fit_is_counted_where_it_was_lost() {
    let (publisher, mut notices) = queue(4);
    for number in 0..10 {
        publisher.event(event(number));
    }
    publisher.disconnected(String::new());
    publisher.connected(String::new());
    publisher.event(event(10));
    // One place free is not yet room: or every second event would bring a Lost of its own.
    assert_eq!(short(&notices.next().await.unwrap()), "e0");
    publisher.event(event(11));
    assert_eq!(short(&notices.next().await.unwrap()), "e1");
    publisher.event(event(12));
    publisher.event(event(13));
    publisher.event(event(14));
    assert_eq!(all(publisher, notices).await, "e2 e3 l8 d c e12 e13 l1");
}

#[tokio::test]
async fn a_listener_who_does_not_listen_costs_a_bounded_queue() {
    let (publisher, notices) = queue(3);
    for number in 0..1000 {
        publisher.connected(number.to_string());
        publisher.event(event(number));
        publisher.disconnected(number.to_string());
    }
    let all = all(publisher, notices).await;
    let changes = all.split(' ').filter(|notice| notice.starts_with(['c', 'd'])).count();
    assert_eq!(changes, 64);
    assert!(all.starts_with("c0 ") && all.ends_with(" c999 d999"), "{all}");
    assert_eq!(all.split(' ').filter(|notice| notice.starts_with('e')).count(), 3);
    assert_eq!(all.split(' ').filter(|notice| notice.starts_with('l')).collect::<Vec<_>>(), ["l997"]);
}

#[tokio::test]
async fn a_waiting_listener_is_woken_by_a_notice_and_by_the_end() {
    let (publisher, mut notices) = queue(1);
    let listener = tokio::spawn(async move { (notices.next().await, notices.next().await) });
    tokio::task::yield_now().await;
    publisher.event(event(1));
    tokio::task::yield_now().await;
    drop(publisher);
    let (first, second) = super::soon(listener).await.unwrap();
    assert_eq!((first, second), (Some(Notice::Event(event(1))), None));
}

#[tokio::test]
async fn a_full_queue_does_not_stop_the_reading() {
    let mut lab = Lab::new(|settings| settings.queue = 4).await;
    let mut peer = lab.connected().await;
    let flood: String = (0..5000).map(|number| format!("Event: Hangup\nNumber: {number}\n\n")).collect();
    let client = lab.client.clone();
    let answered = tokio::spawn(async move { client.act(Action::new("Ping")).await });
    let ping = peer.expect("Ping").await;
    peer.send(&flood).await;
    // Behind the flood, and nobody has taken a notice yet.
    peer.answer(&ping, "Response: Success").await;
    super::soon(answered).await.unwrap().unwrap();
    for number in 0..4 {
        assert_eq!(lab.event().await, event(number));
    }
    assert_eq!(lab.notice().await, Notice::Lost { events: 4996 });
    peer.send("Event: Hangup\nNumber: 5000\n\n").await;
    assert_eq!(lab.event().await, event(5000));
}
