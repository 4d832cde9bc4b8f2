//! Actions that are answered by a list of events.

use super::{
    super::{ActError, Action, Message},
    Lab, Peer,
};

fn list(lab: &Lab) -> tokio::task::JoinHandle<Result<Vec<Message>, ActError>> {
    let client = lab.client.clone();
    tokio::spawn(async move { client.list(Action::new("Status"), "StatusComplete").await })
}

async fn begin(peer: &mut Peer) -> Message {
    let status = peer.expect("Status").await;
    peer.answer(&status, "Response: Success\nEventList: start\nMessage: Channel status will follow").await;
    status
}

#[tokio::test]
async fn a_list_is_the_events_up_to_its_end() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let listed = list(&lab);
    let status = begin(&mut peer).await;
    peer.answer(&status, "Event: Status\nUniqueid: a\nChanVariable: x=1\nChanVariable: y=2").await;
    // Somebody else's events come in between, with an ActionID of theirs or none.
    let theirs = status.action_id().unwrap().replacen("rd-", "rd-0", 1);
    peer.send(&format!("Event: Status\nActionID: {theirs}\nUniqueid: x\n\n")).await;
    peer.send(&format!("Event: OriginateResponse\nActionID: {theirs}\nUniqueid: z\n\n")).await;
    peer.send("Event: Hangup\nUniqueid: y\n\n").await;
    peer.answer(&status, "Event: Status\nUniqueid: b").await;
    peer.answer(&status, "Event: StatusComplete\nEventList: Complete\nListItems: 2").await;
    let listed = super::soon(listed).await.unwrap().unwrap();
    assert_eq!(listed.iter().map(|event| event.get("Uniqueid").unwrap()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(listed[0].all("ChanVariable").collect::<Vec<_>>(), ["x=1", "y=2"]);
    assert_eq!(lab.event().await.get("Uniqueid"), Some("z"));
    assert_eq!(lab.event().await.get("Uniqueid"), Some("y"));
}

#[tokio::test]
async fn a_list_is_refused_or_cancelled_or_empty() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let refused = |message: &str| Err(ActError::Refused { message: message.to_owned() });

    let listed = list(&lab);
    let status = peer.expect("Status").await;
    peer.answer(&status, "Response: Error\nMessage: Permission denied").await;
    assert_eq!(super::soon(listed).await.unwrap(), refused("Permission denied"));

    let listed = list(&lab);
    let status = begin(&mut peer).await;
    peer.answer(&status, "Event: StatusComplete\nEventList: cancelled\nMessage: too late").await;
    assert_eq!(super::soon(listed).await.unwrap(), refused("too late"));

    let listed = list(&lab);
    let status = begin(&mut peer).await;
    peer.answer(&status, "Event: StatusComplete\nEventList: Complete").await;
    assert_eq!(super::soon(listed).await.unwrap(), Ok(Vec::new()));
}

#[tokio::test]
async fn a_list_without_end_is_given_up_and_the_connection_kept() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.connected().await;
    let listed = list(&lab);
    let status = begin(&mut peer).await;
    let id = status.action_id().unwrap();
    peer.send(&format!("Event: Status\nActionID: {id}\n\n").repeat(10_005)).await;
    assert_eq!(super::soon(listed).await.unwrap(), Err(ActError::TooMany));

    let listed = list(&lab);
    let status = begin(&mut peer).await;
    peer.answer(&status, "Event: StatusComplete").await;
    assert_eq!(super::soon(listed).await.unwrap(), Ok(Vec::new()));
}
