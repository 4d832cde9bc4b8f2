//! From the first byte to the login, and what happens instead.

use std::{sync::Arc, time::Duration};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    super::{
        Action, Login, Notice, Tls,
        connection::OpenError,
        reconnect::{backoff, wait_after},
    },
    Lab, Peer,
};

#[tokio::test]
async fn the_digest_answers_the_challenge_and_the_secret_stays_here() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.accept().await;
    peer.greet().await;
    let challenge = peer.expect("Challenge").await;
    assert_eq!(challenge.get("AuthType"), Some("MD5"));
    assert!(!lab.client.is_connected());
    // What is not about our action is no answer to it.
    peer.send("Event: Hangup\n\nResponse: Error\nActionID: other-1\nMessage: no\n\n").await;
    peer.answer(&challenge, "Response: Success\nChallenge: 840415273").await;
    let login = peer.expect("Login").await;
    assert_eq!((login.get("Username"), login.get("AuthType"), login.get("Secret")), (Some("svc"), Some("MD5"), None));
    // printf 840415273sesame | md5sum
    assert_eq!(login.get("Key"), Some("aa40859ef1f925ad95233e3590196820"));
    assert_eq!(login.get("Events"), Some("on"));
    // Events in the same packet as the answer belong behind Connected.
    let id = login.action_id().unwrap();
    peer.send(&format!("Response: Success\nActionID: {id}\n\nEvent: Hangup\n\nEvent: FullyBooted\n\n")).await;
    assert!(matches!(lab.notice().await, Notice::Connected { .. }));
    assert_eq!(lab.event().await.event(), Some("Hangup"));
    assert!(lab.client.is_connected());
}

#[tokio::test]
async fn a_plain_login_is_one_only_if_it_was_asked_for() {
    let mut lab = Lab::new(|settings| (settings.login, settings.events) = (Login::Plain, &[])).await;
    let mut peer = lab.accept().await;
    peer.greet().await;
    let login = peer.expect("Login").await;
    assert_eq!((login.get("Secret"), login.get("Events")), (Some("sesame"), Some("off")));
    peer.answer(&login, "Response: Success").await;
    assert!(matches!(lab.notice().await, Notice::Connected { .. }));
}

#[tokio::test]
async fn a_refused_challenge_is_not_followed_by_the_secret() {
    for answer in ["Response: Error\nMessage: Must specify AuthType", "Response: Success"] {
        let mut lab = Lab::new(|_| {}).await;
        let mut peer = lab.accept().await;
        peer.greet().await;
        let challenge = peer.expect("Challenge").await;
        peer.answer(&challenge, answer).await;
        assert_eq!(peer.rest().await, "");
        assert!(lab.disconnected().await.starts_with("login refused: "));
    }
}

#[tokio::test]
async fn a_refused_login_says_why() {
    let mut lab = Lab::new(|_| {}).await;
    let mut peer = lab.accept().await;
    peer.greet().await;
    let challenge = peer.expect("Challenge").await;
    peer.answer(&challenge, "Response: Success\nChallenge: 1").await;
    let login = peer.expect("Login").await;
    peer.answer(&login, "Response: Error\nMessage: Authentication failed").await;
    assert_eq!(lab.disconnected().await, "login refused: Authentication failed");
    assert!(!lab.client.is_connected());
}

#[tokio::test]
async fn an_asterisk_that_is_shutting_down_is_tried_again() {
    let mut lab = Lab::new(|_| {}).await;
    for _ in 0..2 {
        let mut peer = lab.accept().await;
        peer.greet().await;
        let challenge = peer.expect("Challenge").await;
        peer.answer(&challenge, "Response: Error\nMessage: Asterisk is shutting down").await;
    }
    // The same reason twice is told once.
    assert_eq!(lab.disconnected().await, "asterisk is shutting down");
    lab.connected().await;
}

#[tokio::test]
async fn a_login_without_an_answer_is_given_up() {
    let mut lab = Lab::new(|settings| settings.action_deadline = Duration::from_millis(50)).await;
    let _silent = lab.accept().await;
    assert_eq!(lab.disconnected().await, "no answer to the login within 50ms");
    let mut second = lab.accept().await;
    second.greet().await;
}

#[tokio::test]
async fn nothing_is_said_to_something_else() {
    let mut lab = Lab::new(|settings| settings.login = Login::Plain).await;
    let mut peer = lab.accept().await;
    peer.send("220 mail.example ESMTP\n").await;
    assert_eq!(peer.rest().await, "");
    assert!(lab.disconnected().await.contains("not an Asterisk manager"));
}

#[tokio::test]
async fn nobody_there_is_a_reason_too() {
    let mut lab = Lab::new(|settings| settings.address = "127.0.0.1:1".to_owned()).await;
    assert!(lab.disconnected().await.starts_with("cannot connect: "));
    assert_eq!(lab.client.act(Action::new("Ping")).await, Err(super::super::ActError::Disconnected));
}

#[test]
fn waits_grow_from_quick_to_bounded() {
    assert_eq!(backoff(0, 1.0), Duration::from_millis(200));
    assert_eq!(backoff(0, 0.0), Duration::from_millis(100));
    assert_eq!(backoff(3, 1.0), Duration::from_millis(1600));
    for failures in [6, 31, 32, 33, 64, u32::MAX] {
        assert_eq!(backoff(failures, 1.0), Duration::from_secs(10), "{failures}");
    }
    for jitter in [-1.0, 0.0, 0.3, 1.0, 7.0, f64::INFINITY] {
        for failures in 0..40 {
            let wait = backoff(failures, jitter);
            assert!(wait <= Duration::from_secs(10) && wait >= Duration::from_millis(100));
        }
    }
    let refused = OpenError::Refused(String::new());
    assert_eq!(wait_after(&refused, 0, 1.0), Duration::from_secs(5));
    assert_eq!(wait_after(&refused, 9, 1.0), Duration::from_secs(30));
    assert_eq!(wait_after(&OpenError::ShuttingDown, 0, 1.0), Duration::from_millis(200));
}

/// A certificate for `pbx.example`, its key, and its authority's certificate in a file.
fn certificate(name: &str) -> (ServerConfig, tempfile::NamedTempFile) {
    let made = rcgen::generate_simple_self_signed(["pbx.example".to_owned()]).unwrap();
    let file = tempfile::Builder::new().prefix(name).suffix(".pem").tempfile().unwrap();
    std::fs::write(file.path(), made.cert.pem()).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (config, file)
}

fn tls(ca: &tempfile::NamedTempFile, server_name: &str) -> Option<Tls> {
    Some(Tls { ca_file: Some(ca.path().to_owned()), server_name: Some(server_name.to_owned()) })
}

#[tokio::test]
async fn over_tls_it_is_the_same_protocol() {
    let (config, ca) = certificate("ca");
    let mut lab = Lab::new(|settings| settings.tls = tls(&ca, "pbx.example")).await;
    let (tcp, _) = super::soon(lab.listener.accept()).await.unwrap();
    let mut peer = Peer::new(super::soon(TlsAcceptor::from(Arc::new(config)).accept(tcp)).await.unwrap());
    peer.log_in().await;
    assert!(matches!(lab.notice().await, Notice::Connected { .. }));
    // More than TLS puts into one record, both ways.
    let client = lab.client.clone();
    let mut action = Action::new("Originate");
    for _ in 0..60 {
        action = action.variable("TEXT", &"x".repeat(900)).unwrap();
    }
    let answered = tokio::spawn(async move { client.act(action).await });
    let originate = peer.expect("Originate").await;
    assert_eq!(originate.all("Variable").count(), 60);
    peer.answer(&originate, &format!("Response: Success\n{}Last: 1", "Text: 0123456789\n".repeat(1900))).await;
    assert_eq!(super::soon(answered).await.unwrap().unwrap().get("Last"), Some("1"));
    lab.shutdown.cancel();
    peer.expect("Logoff").await;
}

#[tokio::test]
async fn a_certificate_that_nobody_trusts_is_refused() {
    let (config, ca) = certificate("ca");
    let (_, other_ca) = certificate("other");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    for (tls, reason) in [
        (tls(&other_ca, "pbx.example"), "certificate"),
        (tls(&ca, "evil.example"), "certificate"),
        (Some(Tls { ca_file: Some(ca.path().to_owned()), server_name: None }), "certificate"),
        (Some(Tls { ca_file: Some("/nonexistent/ca.pem".into()), server_name: None }), "/nonexistent/ca.pem"),
    ] {
        let mut lab = Lab::new(|settings| settings.tls = tls).await;
        let (tcp, _) = super::soon(lab.listener.accept()).await.unwrap();
        assert!(super::soon(acceptor.accept(tcp)).await.is_err());
        let said = lab.disconnected().await;
        assert!(said.starts_with("tls: ") && said.contains(reason), "{said}");
    }
}
