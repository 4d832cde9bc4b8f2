//! Logging in, being kept from it, and what ends with a log-in.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access::{PASSWORD, ask, client, key, log_in, me, server, server_with, token, user};

#[tokio::test]
async fn a_log_in_gives_a_token_that_ends_and_a_refresh_token_that_is_good_once() {
    let (_slot, mut server) = server().await;
    user(&server, "Ben", "responder").await;
    let (status, first) = log_in(&server, "BEN", PASSWORD).await;
    assert_eq!((status, &first["token_type"], &first["expires_in"]), (StatusCode::OK, &json!("bearer"), &json!(1800)));
    let access = |answer: &Value| answer["access_token"].as_str().expect("a token").to_owned();
    let refresh = |answer: &Value| answer["refresh_token"].as_str().expect("a token").to_owned();
    let (status, answer) = ask(&server, Some(&access(&first)), Method::GET, "/api/v2/me", None).await;
    assert_eq!((status, &answer["name"], &answer["kind"]), (StatusCode::OK, &json!("ben"), &json!("user")));
    assert!(answer["scopes"].as_array().expect("scopes").contains(&json!("incidents:write")));
    // What they do is told under their name.
    let raised = server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    let path = format!("/api/v2/incidents/{}/acknowledge", raised["incident_id"].as_str().expect("an id"));
    let (_, incident) = ask(&server, Some(&access(&first)), Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(incident["acknowledged_by"], "ben");

    // Less than they may, if they ask for less.
    let narrow = [("username", "ben"), ("password", PASSWORD), ("scope", "incidents:read access:write")];
    let (_, less) = token(&server, &narrow).await;
    assert_eq!(less["scope"], "incidents:read");
    let (status, _) = ask(&server, Some(&access(&less)), Method::POST, &path, Some(&json!({}))).await;
    assert_eq!(status, StatusCode::FORBIDDEN);

    // The next one, once: whoever comes with the same again has copied it, and nobody can use either.
    let form = |token: &str| [("grant_type", "refresh_token".to_owned()), ("refresh_token", token.to_owned())];
    let renew = async |token: String| {
        let form = form(&token);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self::token(&server, &form).await
    };
    let (status, second) = renew(refresh(&first)).await;
    assert_eq!(status, StatusCode::OK, "{second}");
    assert_eq!(me(&access(&second), &server).await, StatusCode::OK);
    let (status, problem) = renew(refresh(&first)).await;
    assert_eq!((status, &problem["type"]), (StatusCode::UNAUTHORIZED, &json!("urn:ringdown:problem:wrong-password")));
    assert_eq!(renew(refresh(&second)).await.0, StatusCode::UNAUTHORIZED);
    for token in [access(&first), access(&second)] {
        assert_eq!(me(&token, &server).await, StatusCode::UNAUTHORIZED, "its log-in is over");
    }

    // However often it was renewed: an old one ends the log-in. A mistake in the scope costs nothing, and
    // what was narrow stays so.
    let narrow = [("username", "ben"), ("password", PASSWORD), ("scope", "incidents:read")];
    let (_, one) = token(&server, &narrow).await;
    let mistaken = [("grant_type", "refresh_token"), ("refresh_token", &refresh(&one)), ("scope", "nonsense")];
    assert_eq!(token(&server, &mistaken).await.0, StatusCode::BAD_REQUEST);
    let (_, two) = renew(refresh(&one)).await;
    assert_eq!(two["scope"], "incidents:read");
    let (_, three) = renew(refresh(&two)).await;
    assert_eq!(me(&access(&three), &server).await, StatusCode::OK);
    assert_eq!(renew(refresh(&one)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&access(&three), &server).await, StatusCode::UNAUTHORIZED);

    // Log out; revoke by the refresh token.
    let (_, third) = log_in(&server, "ben", PASSWORD).await;
    let (status, _) = ask(&server, Some(&access(&third)), Method::POST, "/api/v2/me/logout", None).await;
    assert_eq!((status, me(&access(&third), &server).await), (StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED));
    let (_, fourth) = log_in(&server, "ben", PASSWORD).await;
    let revoke = client().post(format!("{}/api/v2/token/revoke", server.api.base));
    let revoke = revoke.header("content-type", "application/x-www-form-urlencoded");
    let answer = revoke.body(format!("token={}", refresh(&fourth))).send().await.expect("an answer");
    assert_eq!(
        (answer.status(), me(&access(&fourth), &server).await),
        (StatusCode::NO_CONTENT, StatusCode::UNAUTHORIZED)
    );

    // Another password ends every log-in; the old one is worth nothing.
    let (_, fifth) = log_in(&server, "ben", PASSWORD).await;
    let put =
        async |body: Value| ask(&server, Some(&access(&fifth)), Method::PUT, "/api/v2/me/password", Some(&body)).await;
    let (status, _) = put(json!({ "current": "not it at all", "new": "another good password" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    let (status, problem) = put(json!({ "current": PASSWORD, "new": "short" })).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(put(json!({ "current": PASSWORD, "new": "another good password" })).await.0, StatusCode::NO_CONTENT);
    assert_eq!(me(&access(&fifth), &server).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&server, "ben", PASSWORD).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in(&server, "ben", "another good password").await.0, StatusCode::OK);
    // Nothing of it stands in the log.
    let log = std::fs::read_to_string(server.log()).expect("a log");
    for secret in [PASSWORD, "another good password", &access(&first), &refresh(&first), &server.api.key] {
        assert!(!log.contains(secret), "{secret} stands in the log");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_stream_of_events_ends_with_the_credential() {
    let (_slot, mut server) = server().await;
    let (reader, id) = key(&server, "reader", &["incidents:read"]).await;
    let url = format!("{}/api/v2/events", server.api.base);
    let mut stream = client().get(url).bearer_auth(&reader).send().await.expect("an answer");
    assert_eq!(stream.status(), StatusCode::OK);
    server.api.post("/api/v2/alerts", &json!({ "summary": "x" })).await.expect("stored");
    assert!(stream.chunk().await.expect("no error").is_some());
    server.api.ask(Method::DELETE, &format!("/api/v2/keys/{id}"), None).await.expect("revoked");
    let ended = tokio::time::timeout(crate::harness::SOON, async {
        while stream.chunk().await.expect("no error").is_some() {}
    });
    ended.await.expect("it ends");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn whoever_guesses_waits_longer_and_longer_and_learns_nothing() {
    let (_slot, mut server) = server().await;
    user(&server, "ben", "viewer").await;
    user(&server, "gone", "viewer").await;
    let users = server.api.get("/api/v2/users").await.expect("users");
    let gone = users["items"].as_array().expect("items").iter().find(|user| user["name"] == "gone").expect("one");
    let path = format!("/api/v2/users/{}", gone["id"].as_str().expect("an id"));
    let disabled = json!({ "name": "gone", "role": "viewer", "enabled": false });
    let put = client().put(format!("{}{path}", server.api.base)).bearer_auth(&server.api.key);
    let answer = put.header("if-match", "*").json(&disabled).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    // A wrong password, nobody of that name, somebody who may not: the very same answer.
    let answers = [
        log_in(&server, "ben", "not the password").await,
        log_in(&server, "nobody", "not the password").await,
        log_in(&server, "gone", PASSWORD).await,
    ];
    assert_eq!(answers[0].0, StatusCode::UNAUTHORIZED);
    assert!(answers.iter().all(|answer| answer == &answers[0]), "{answers:#?}");
    // After a few more nobody from here is even looked at, with the right password neither.
    let mut last = (StatusCode::OK, Value::Null);
    for n in 0..6 {
        last = log_in(&server, &format!("nobody{n}"), "not the password").await;
    }
    assert_eq!(
        (last.0, &last.1["type"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("urn:ringdown:problem:too-many-requests"))
    );
    assert_eq!(log_in(&server, "ben", PASSWORD).await.0, StatusCode::TOO_MANY_REQUESTS);
    // A header that anybody can write makes nobody somebody else.
    let request = client().post(format!("{}/api/v2/token", server.api.base));
    let request =
        request.header("x-forwarded-for", "198.51.100.7").header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body("username=ben&password=x").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(answer.headers().contains_key("retry-after"));
    // Whoever has a key works on.
    assert_eq!(me(&server.api.key, &server).await, StatusCode::OK);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_proxy_that_is_trusted_tells_who_asks() {
    let (_slot, mut server) = server_with(|settings| {
        settings.set("server.trusted_proxies", vec!["127.0.0.0/8"]);
    })
    .await;
    let wrong = async |address: &str| {
        let request = client().post(format!("{}/api/v2/token", server.api.base));
        let request = request.header("x-forwarded-for", address);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        request.body("username=x&password=y").send().await.expect("an answer").status()
    };
    for _ in 0..8 {
        wrong("198.51.100.7").await;
    }
    assert_eq!(wrong("1.2.3.4, 198.51.100.7").await, StatusCode::TOO_MANY_REQUESTS, "what stands in front is theirs");
    // The account waits everywhere, so another one is asked for.
    let request = client().post(format!("{}/api/v2/token", server.api.base));
    let request = request.header("x-forwarded-for", "203.0.113.5");
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body("username=other&password=y").send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let made = json!({ "name": "Eva", "numbers": [{ "number": "+393331234599" }] });
    let request = client().post(format!("{}/api/v2/contacts", server.api.base)).bearer_auth(&server.api.key);
    request.header("x-forwarded-for", "203.0.113.5").json(&made).send().await.expect("an answer");
    let audit = server.api.get("/api/v2/audit?limit=1").await.expect("the audit log");
    assert_eq!(audit["items"][0]["address"], "203.0.113.5", "{audit}");
    server.stop().await.expect("stops");
}
