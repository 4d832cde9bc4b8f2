//! The address book over HTTP and from a terminal: what is refused and why, who overwrites whom, files in
//! and out.

use std::{path::Path, process::Output};

use lab::{
    server::Server,
    settings::{Settings, Step},
    slot::Slot,
};
use reqwest::{Client, Method, Response, StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::process::Command;

const CONTACTS: &str = "/api/v2/contacts";
const IMPORT: &str = "/api/v2/contacts/import";
const EXPORT: &str = "/api/v2/contacts/export";

/// A server without a PBX.
async fn server() -> (Slot, Server) {
    let slot = Slot::take().expect("a slot");
    let mut settings = Settings::new();
    settings
        .contact("Ana", &["+393331234567"])
        .policy("night", &[Step { targets: &["Ana"], ..Step::default() }])
        .set("numbers.country", "IT");
    let server = Server::start(Path::new(env!("CARGO_BIN_EXE_ringdown")), &slot, settings).await.expect("a server");
    (slot, server)
}

async fn send(
    server: &Server,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<reqwest::Body>,
) -> Response {
    let mut request = Client::new().request(method, format!("{}{path}", server.api.base)).bearer_auth(&server.api.key);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).send().await.expect("an answer")
}

async fn told(answer: Response) -> (StatusCode, HeaderMap, Value) {
    let (status, headers) = (answer.status(), answer.headers().clone());
    let text = answer.text().await.expect("a body");
    (status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// JSON, for a version if one is said.
async fn ask(
    server: &Server,
    method: Method,
    path: &str,
    if_match: Option<&str>,
    body: Option<&Value>,
) -> (StatusCode, HeaderMap, Value) {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(if_match.map(|tag| ("if-match", tag)));
    told(send(server, method, path, &headers, body.map(Value::to_string).unwrap_or_default()).await).await
}

async fn import(server: &Server, query: &str, table: impl Into<reqwest::Body>) -> (StatusCode, Value) {
    let headers = [("content-type", "text/csv; charset=utf-8")];
    let (status, _, report) =
        told(send(server, Method::POST, &format!("{IMPORT}{query}"), &headers, table).await).await;
    (status, report)
}

/// Created, updated, unchanged, bad.
fn counts(report: &Value) -> [u64; 4] {
    ["created", "updated", "unchanged", "bad_rows"].map(|name| report[name].as_u64().expect("a count"))
}

async fn download(server: &Server, path: &str) -> (HeaderMap, String) {
    let answer = send(server, Method::GET, path, &[], "").await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    (answer.headers().clone(), answer.text().await.expect("a body"))
}

fn problem(kind: &str) -> Value {
    json!(format!("urn:ringdown:problem:{kind}"))
}

#[tokio::test]
async fn a_contact_is_added_read_changed_and_deleted() {
    let (_slot, mut server) = server().await;
    let ben = json!({
        "name": " Ben ", "surname": "Öz", "email": "ben@example.com", "language": "de", "time_zone": "Europe/Berlin",
        "numbers": [{ "number": "333 1234568", "kind": "mobile", "label": "his own" }, { "number": "+39055123456" }],
        "address": "Via Roma 1\nscala B", "zip_code": "50100", "city": "Firenze", "state": "FI", "country": "IT",
        "annotations": "sleeps\u{0}well", "tags": ["ops", "ops", "night"], "tell_when_over": true,
        "sms_number": "+393331234568",
    });
    let (status, headers, made) = ask(&server, Method::POST, CONTACTS, None, Some(&ben)).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    assert_eq!(headers["etag"], "\"1\"");
    let id = made["id"].as_str().expect("an id").to_owned();
    let path = format!("{CONTACTS}/{id}");
    let (_, headers, read) = ask(&server, Method::GET, &path, None, None).await;
    assert_eq!((&headers["etag"], &read), (&headers["etag"], &made));
    assert_eq!(read["full_name"], "Ben Öz");
    assert_eq!(read["numbers"][0], json!({ "number": "+393331234568", "kind": "mobile", "label": "his own" }));
    assert_eq!(read["tags"], json!(["ops", "night"]));
    assert_eq!(read["annotations"], "sleeps\u{2400}well");
    assert_eq!((&read["enabled"], &read["has_pin"], &read["groups"]), (&json!(true), &json!(false), &json!([])));

    // What was read can be sent back as it is, and replaces everything that can be edited.
    let (status, headers, same) = ask(&server, Method::PUT, &path, Some("\"1\""), Some(&read)).await;
    assert_eq!((status, &headers["etag"]), (StatusCode::OK, &"\"2\"".parse().expect("a value")));
    for field in ["name", "numbers", "annotations", "tags", "created_at", "sms_number"] {
        assert_eq!(same[field], read[field], "{field}");
    }
    let (status, _, little) = ask(&server, Method::PUT, &path, Some("*"), Some(&json!({ "name": "Ben" }))).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!((&little["numbers"], &little["language"], &little["email"]), (&json!([]), &json!("en"), &json!("")));
    assert_eq!(little["time_zone"], "Europe/Rome", "the country of the numbers has one zone");

    let (status, _, answer) = ask(&server, Method::DELETE, &path, Some("\"2\""), None).await;
    assert_eq!((status, &answer["type"]), (StatusCode::PRECONDITION_FAILED, &problem("changed")));
    assert_eq!(ask(&server, Method::DELETE, &path, Some("\"3\""), None).await.0, StatusCode::NO_CONTENT);
    for (method, body) in [(Method::GET, None), (Method::PUT, Some(&ben)), (Method::DELETE, None)] {
        assert_eq!(ask(&server, method, &path, Some("*"), body).await.0, StatusCode::NOT_FOUND);
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_by_its_field() {
    let (_slot, mut server) = server().await;
    let long = "x".repeat(201);
    let eleven: Vec<Value> = (0..11).map(|n| json!({ "number": format!("+3933312345{n:02}") })).collect();
    for (body, status, kind, detail) in [
        (json!({}), 400, "malformed", "missing field `name`"),
        (json!({ "name": "" }), 400, "malformed", "name"),
        (json!({ "name": long }), 400, "malformed", "name"),
        (json!({ "name": "x", "numbers": eleven }), 400, "malformed", "numbers"),
        (json!({ "name": " " }), 422, "unprocessable", "name: is empty"),
        (json!({ "name": "a\r\nb" }), 422, "unprocessable", "name: has a control character"),
        (json!({ "name": "x", "surname": "a\u{0}b" }), 422, "unprocessable", "surname: has a control character"),
        (json!({ "name": "x", "email": "nobody" }), 422, "unprocessable", "email: "),
        (json!({ "name": "x", "time_zone": "Mars" }), 422, "unprocessable", "time_zone: "),
        (json!({ "name": "x", "language": "english!" }), 422, "unprocessable", "language: "),
        (json!({ "name": "x", "tags": ["a", ""] }), 422, "unprocessable", "tags[1]: "),
        (json!({ "name": "x", "sms_number": "112" }), 422, "not-a-number", "sms_number: "),
        (
            json!({ "name": "x", "numbers": [{ "number": "+393331234567" }, { "number": "12 monkeys" }] }),
            422,
            "not-a-number",
            "numbers[1].number: ",
        ),
        (
            json!({ "name": "x", "numbers": [{ "number": "+393331234567" }, { "number": "+442071838750" }] }),
            422,
            "destination-refused",
            "numbers[1].number: ",
        ),
        (
            json!({ "name": "x", "numbers": [{ "number": "+393331234567" }, { "number": "333 1234567" }] }),
            422,
            "unprocessable",
            "numbers[1].number: stands there twice",
        ),
    ] {
        let (answered, _, answer) = ask(&server, Method::POST, CONTACTS, None, Some(&body)).await;
        assert_eq!((answered.as_u16(), &answer["type"]), (status, &problem(kind)), "{body}: {answer}");
        assert!(answer["detail"].as_str().expect("a detail").contains(detail), "{body}: {answer}");
    }
    let page = server.api.get(CONTACTS).await.expect("a list");
    assert_eq!(page["items"].as_array().expect("items").len(), 1, "only who is of the file");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn of_two_editors_the_second_has_to_read_again() {
    let (_slot, mut server) = server().await;
    let (_, _, made) = ask(&server, Method::POST, CONTACTS, None, Some(&json!({ "name": "Ben" }))).await;
    let path = format!("{CONTACTS}/{}", made["id"].as_str().expect("an id"));
    let (status, _, answer) = ask(&server, Method::PUT, &path, None, Some(&made)).await;
    assert_eq!((status, &answer["type"]), (StatusCode::PRECONDITION_REQUIRED, &problem("version-required")));
    assert_eq!(ask(&server, Method::DELETE, &path, None, None).await.0, StatusCode::PRECONDITION_REQUIRED);
    // Both have read version 1, and write at the same moment.
    let edits = ["One", "Two"].map(|name| json!({ "name": name }));
    let (one, two) = tokio::join!(
        ask(&server, Method::PUT, &path, Some("\"1\""), Some(&edits[0])),
        ask(&server, Method::PUT, &path, Some("\"1\""), Some(&edits[1])),
    );
    let mut statuses = [one.0, two.0];
    statuses.sort_unstable();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::PRECONDITION_FAILED]);
    let (won, lost) = if one.0 == StatusCode::OK { (one.2, two.2) } else { (two.2, one.2) };
    assert!(lost["detail"].as_str().expect("a detail").contains("version 2"), "{lost}");
    let read = server.api.get(&path).await.expect("a contact");
    assert_eq!((&read["name"], &read["version"]), (&won["name"], &json!(2)));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_pin_is_kept_as_a_hash_and_shown_to_nobody() {
    let (_slot, mut server) = server().await;
    let (_, _, made) = ask(&server, Method::POST, CONTACTS, None, Some(&json!({ "name": "Ben" }))).await;
    let path = format!("{CONTACTS}/{}", made["id"].as_str().expect("an id"));
    let pin = format!("{path}/pin");
    for weak in ["1234", "0000", "987", "27 49", "abcd"] {
        let (status, _, answer) = ask(&server, Method::PUT, &pin, None, Some(&json!({ "pin": weak }))).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{weak}: {answer}");
        assert!(!answer.to_string().contains(weak), "{answer}");
    }
    // Several at once: they wait for each other, and all are kept, one after the other.
    let body = json!({ "pin": "274915" });
    let put = || ask(&server, Method::PUT, &pin, None, Some(&body));
    for (status, _, kept) in futures_util::future::join_all((0..4).map(|_| put())).await {
        assert!(status == StatusCode::OK && kept["has_pin"] == json!(true), "{status} {kept}");
        assert!(!kept.to_string().contains("argon2") && !kept.to_string().contains("274915"), "{kept}");
    }
    let (_, _, taken) = ask(&server, Method::DELETE, &pin, None, None).await;
    assert_eq!((&taken["has_pin"], &taken["version"]), (&json!(false), &json!(6)));
    let nobody = format!("{CONTACTS}/01a1f8e0-f9ba-7492-bf0a-a277d869111c/pin");
    assert_eq!(ask(&server, Method::PUT, &nobody, None, Some(&body)).await.0, StatusCode::NOT_FOUND);
    let log = std::fs::read_to_string(server.log()).expect("a log");
    assert!(!log.contains("274915"), "no PIN in the log");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn who_is_used_is_not_deleted_and_it_is_said_where() {
    let (_slot, mut server) = server().await;
    let page = server.api.get("/api/v2/contacts?q=an").await.expect("a list");
    let id = page["items"][0]["id"].as_str().expect("an id").to_owned();
    let group = json!({ "name": "ops", "description": "who is there", "members": ["ana"] });
    let (status, headers, made) = ask(&server, Method::POST, "/api/v2/groups", None, Some(&group)).await;
    assert_eq!((status, &made["members"]), (StatusCode::CREATED, &json!([id])), "{made}");
    assert_eq!(headers["etag"], "\"1\"");
    let path = format!("{CONTACTS}/{id}");
    let (status, _, answer) = ask(&server, Method::DELETE, &path, Some("*"), None).await;
    assert_eq!((status, &answer["type"]), (StatusCode::CONFLICT, &problem("in-use")));
    let detail = answer["detail"].as_str().expect("a detail");
    assert!(detail.contains("group ops; policy night, step 1"), "{detail}");
    assert_eq!(server.api.get(&path).await.expect("a contact")["groups"], json!(["ops"]));
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn groups_are_made_changed_and_deleted() {
    let (_slot, mut server) = server().await;
    for (body, status) in [
        (json!({ "name": " " }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "x", "members": ["nobody"] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "x", "members": ["Ana", "ANA"] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "x", "members": ["01a1f8e0-f9ba-7492-bf0a-a277d869111c"] }), StatusCode::UNPROCESSABLE_ENTITY),
        (json!({ "name": "ops", "members": ["Ana"] }), StatusCode::CREATED),
        (json!({ "name": "ops" }), StatusCode::CONFLICT),
        (json!({ "name": "web" }), StatusCode::CREATED),
    ] {
        let (answered, _, answer) = ask(&server, Method::POST, "/api/v2/groups", None, Some(&body)).await;
        assert_eq!(answered, status, "{body}: {answer}");
    }
    let groups = server.api.get("/api/v2/groups").await.expect("a list");
    let path = format!("/api/v2/groups/{}", groups["items"][1]["id"].as_str().expect("an id"));
    let put = async |tag: Option<&str>, body: Value| ask(&server, Method::PUT, &path, tag, Some(&body)).await;
    assert_eq!(put(None, json!({ "name": "web" })).await.0, StatusCode::PRECONDITION_REQUIRED);
    assert_eq!(put(Some("\"7\""), json!({ "name": "web" })).await.0, StatusCode::PRECONDITION_FAILED);
    let (status, _, answer) = put(Some("\"1\""), json!({ "name": "ops" })).await;
    assert_eq!((status, &answer["type"]), (StatusCode::CONFLICT, &problem("conflict")));
    let (status, headers, changed) = put(Some("\"1\""), json!({ "name": "www", "members": ["Ana"] })).await;
    assert_eq!((status, &changed["name"]), (StatusCode::OK, &json!("www")));
    assert_eq!(headers["etag"], "\"2\"");
    for group in ["www", groups["items"][1]["id"].as_str().expect("an id")] {
        let found = server.api.get(&format!("{CONTACTS}?group={group}")).await.expect("a list");
        assert_eq!(found["items"].as_array().expect("items").len(), 1);
    }
    let (status, _, _) = ask(&server, Method::GET, &format!("{CONTACTS}?group=nope"), None, None).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(ask(&server, Method::DELETE, &path, Some("\"2\""), None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(ask(&server, Method::GET, &path, None, None).await.0, StatusCode::NOT_FOUND);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_list_pages_through_everybody_by_name() {
    let (_slot, mut server) = server().await;
    let mut table = String::from("name,phone_number\n");
    for n in 0..7 {
        table += &format!("Person {n},+3933312345{n:02}\n");
    }
    let (_, report) = import(&server, "", table).await;
    assert_eq!(counts(&report), [7, 0, 0, 0], "{report}");
    let (mut seen, mut path) = (Vec::new(), format!("{CONTACTS}?limit=3"));
    loop {
        let page = server.api.get(&path).await.expect("a page");
        seen.extend(page["items"].as_array().expect("items").iter().map(|contact| contact["name"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{CONTACTS}?limit=3&cursor={next}");
    }
    let mut expected = vec![json!("Ana")];
    expected.extend((0..7).map(|n| json!(format!("Person {n}"))));
    assert_eq!(seen, expected);
    for wrong in ["limit=0", "limit=501", "cursor=nonsense", "enabled=maybe"] {
        let (status, _, _) = ask(&server, Method::GET, &format!("{CONTACTS}?{wrong}"), None, None).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_table_comes_in_goes_out_and_comes_in_unchanged() {
    let (_slot, mut server) = server().await;
    let table = "\u{feff}id,name,surname,address,zip_code,city,state,country,phone_number,enabled,created_time,\
                 annotations,on_call_availability,tags,groups,numbers\r\n\
                 17,Ben,Öz,\"Via Roma 1\nscala B\",50100,Firenze,FI,IT,333 1234568,true,2020-01-31 09:00:00,\
                 \"=cmd|'/c calc'!A0\",\"[{\"\"start_at\"\": \"\"2026-07-01 09:00:00\"\", \"\"end_at\"\": \
                 \"\"2026-07-01T18:00:00\"\", \"\"priority\"\": 1}]\",ops;night,\"web;the \\; group\",\
                 \"[{\"\"number\"\":\"\"+39055123456\"\",\"\"kind\"\":\"\"work\"\"}]\"\r\n\
                 18,-Cem,,,,,,,+393331234569,false,,+more,,,,\r\n";
    let (status, report) = import(&server, "", table).await;
    assert_eq!((status, counts(&report)), (StatusCode::OK, [2, 0, 0, 0]), "{report}");
    let found = server.api.get(&format!("{CONTACTS}?q=ben")).await.expect("a list");
    let ben = &found["items"][0];
    assert_eq!(ben["annotations"], "=cmd|'/c calc'!A0");
    assert_eq!(ben["created_at"], "2020-01-31T08:00:00+00:00");
    assert_eq!(ben["groups"], json!(["the ; group", "web"]));
    assert_eq!(ben["numbers"][1]["kind"], "work");

    let (_, report) = import(&server, "", table).await;
    assert_eq!(counts(&report), [0, 0, 2, 0], "the same again: {report}");
    let (headers, exported) = download(&server, EXPORT).await;
    assert_eq!(headers["content-disposition"], "attachment; filename=\"contacts.csv\"");
    assert!(headers["content-type"].to_str().expect("text").starts_with("text/csv"));
    for defused in [",\"'=cmd", "'=cmd|'/c calc'!A0", ",'-Cem,", ",'+more,"] {
        assert_eq!(exported.contains(defused), !defused.starts_with(",\"'="), "{defused}: {exported}");
    }
    let (_, report) = import(&server, "", exported.clone()).await;
    assert_eq!(counts(&report), [0, 0, 3, 0], "what went out is what is there: {report}\n{exported}");
    assert_eq!(report["kept"], json!(false));

    // Somewhere else it makes the same people, by the same identifiers.
    let (_slot, mut other) = self::server().await;
    let (_, report) = import(&other, "", exported.clone()).await;
    assert_eq!(counts(&report), [2, 0, 1, 0], "{report}");
    let path = format!("{CONTACTS}/{}", ben["id"].as_str().expect("an id"));
    assert_eq!(other.api.get(&path).await.expect("a contact")["groups"], json!(["the ; group", "web"]));

    let (_, windows) = download(&server, "/api/v2/oncall/windows/export").await;
    assert!(windows.contains(",Ben,Öz,2026-07-01T07:00:00Z,2026-07-01T16:00:00Z,1"), "{windows}");
    let headers = [("content-type", "text/csv")];
    let path = "/api/v2/oncall/windows/import";
    let (status, _, report) = told(send(&other, Method::POST, path, &headers, windows).await).await;
    assert_eq!((status, counts(&report)), (StatusCode::OK, [0, 0, 1, 0]), "{report}");
    let more = "name,surname,start_at,end_at,priority\nBen,Öz,2026-12-24 09:00,2026-12-25 09:00,1\nNobody,,2026-12-24 09:00,2026-12-25 09:00,1\n";
    let (_, _, report) = told(send(&other, Method::POST, path, &headers, more).await).await;
    assert_eq!((counts(&report), &report["bad"][0]["line"]), ([1, 0, 0, 1], &json!(3)), "{report}");
    other.stop().await.expect("stops");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn each_bad_row_is_named_by_its_line_and_the_good_ones_are_kept() {
    let (_slot, mut server) = server().await;
    let huge = "x".repeat(10 * 1024 * 1024);
    let table = format!(
        "name,phone_number,email,time_zone,enabled,annotations\n\
         Ben,+393331234568,,,,\n\
         Cem,+442071838750,,,,\n\
         \"two\nlines\",+393331234569,,,,\n\
         Dan,12 monkeys,,,,\n\
         Eve,+393331234560,nobody,,,\n\
         Fay,+393331234561,,Mars,,\n\
         Gus,+393331234562,,,perhaps,\n\
         Hal,+393331234563,,,,{huge}\n\
         ,+393331234564,,,,\n\
         Ida,+393331234565,,,,fine\n"
    );
    let expected = [
        (3, "phone_number", "no allowed prefix"),
        (4, "name", "control character"),
        (6, "phone_number", "not part of a phone number"),
        (7, "email", "no e-mail address"),
        (8, "time_zone", "Mars"),
        (9, "enabled", "neither true nor false"),
        (10, "annotations", "10485760 bytes"),
        (11, "name", "needs a name"),
    ];
    let check = |report: &Value| {
        let bad = report["bad"].as_array().expect("bad rows");
        assert_eq!(bad.len(), expected.len(), "{report}");
        for (row, (line, column, reason)) in bad.iter().zip(expected) {
            assert_eq!((&row["line"], &row["column"]), (&json!(line), &json!(column)), "{row}");
            assert!(row["reason"].as_str().expect("a reason").contains(reason), "{row}");
        }
    };
    let everybody = async || {
        let page = server.api.get(CONTACTS).await.expect("a list");
        page["items"].as_array().expect("items").len()
    };
    for query in ["?dry_run=true", "?atomic=true"] {
        let (status, report) = import(&server, query, table.clone()).await;
        assert_eq!((status, counts(&report), &report["kept"]), (StatusCode::OK, [2, 0, 0, 8], &json!(false)));
        check(&report);
        assert_eq!(everybody().await, 1, "{query}");
    }
    let (_, report) = import(&server, "", table).await;
    assert_eq!((counts(&report), &report["kept"]), ([2, 0, 0, 8], &json!(true)));
    check(&report);
    assert_eq!(everybody().await, 3);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_file_that_is_no_table_of_contacts_is_refused_with_the_reason() {
    let (_slot, mut server) = server().await;
    let wide = (0..300).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    for (table, reason) in [
        ("".into(), "empty"),
        (wide, "300 columns"),
        ("name,phone_number,shoe_size\n".into(), "shoe_size"),
        ("name,name,phone_number\n".into(), "twice"),
        ("phone_number\n".into(), "column name is missing"),
        ("name\n".into(), "column phone_number is missing"),
    ] {
        let (status, answer) = import(&server, "", table.clone()).await;
        assert_eq!((status, &answer["type"]), (StatusCode::BAD_REQUEST, &problem("malformed")), "{table:?} {answer}");
        assert!(answer["detail"].as_str().expect("a detail").contains(reason), "{answer}");
    }
    let latin1 = b"name,phone_number\nJos\xe9,+393331234568\n".to_vec();
    let (status, answer) = import(&server, "", latin1.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer["detail"].as_str().expect("a detail").contains("line 2 is not UTF-8"), "{answer}");
    let headers = [("content-type", "text/csv; charset=ISO-8859-1")];
    let (status, _, report) = told(send(&server, Method::POST, IMPORT, &headers, latin1).await).await;
    assert_eq!((status, counts(&report)), (StatusCode::OK, [1, 0, 0, 0]), "{report}");
    let found = server.api.get(&format!("{CONTACTS}?q=jos%C3%A9")).await.expect("a list");
    assert_eq!(found["items"][0]["name"], "José");
    let headers = [("content-type", "application/json")];
    let (status, _, _) = told(send(&server, Method::POST, IMPORT, &headers, "{}").await).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let (status, answer) = import(&server, "?time_zone=Mars", "name,phone_number\n").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{answer}");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_large_file_is_taken_from_who_has_a_key_and_nothing_else_is_large() {
    let (_slot, mut server) = server().await;
    let url = format!("{}{IMPORT}", server.api.base);
    let large = || "x".repeat(2 * 1024 * 1024);
    // What a stranger sends is not even read. The connection may break before the answer.
    let request = Client::new().post(url).header("content-type", "text/csv").body(large());
    if let Ok(answer) = request.send().await {
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(import(&server, "", large()).await.0, StatusCode::BAD_REQUEST, "it is read, and is no table");
    let headers = [("content-type", "application/json")];
    let request = send(&server, Method::POST, CONTACTS, &headers, large());
    assert_eq!(request.await.status(), StatusCode::PAYLOAD_TOO_LARGE);

    let mut table = String::from("name,surname,phone_number,groups\n");
    for n in 0..20_000 {
        let name = if n < 10_000 { "Anna" } else { "Zoe" };
        table += &format!("{name}{n:05},Surname{},+39333{n:07},group {}\n", n % 700, n % 20);
    }
    let (status, report) = import(&server, "", table.clone()).await;
    assert_eq!((status, counts(&report)), (StatusCode::OK, [20_000, 0, 0, 0]), "{report}");
    let (_, report) = import(&server, "?dry_run=true", table).await;
    assert_eq!(counts(&report), [0, 0, 20_000, 0]);
    let find = async |query: &str| {
        let page = server.api.get(&format!("{CONTACTS}?limit=2&{query}")).await.expect("a list");
        let items = page["items"].as_array().expect("items");
        let names = items.iter().map(|contact| contact["name"].as_str().expect("a name").to_owned());
        (names.collect::<Vec<_>>(), page["next"].as_str().map(str::to_owned))
    };
    // Those who are many: near, far down the list, together with others who are many or few.
    for (query, names) in [
        ("q=anna", &["Anna00000", "Anna00001"][..]),
        ("q=zoe", &["Zoe10000", "Zoe10001"]),
        ("q=zoe&enabled=true", &["Zoe10000", "Zoe10001"]),
        ("q=zoe&enabled=false", &[]),
        ("q=zoe+surname", &["Zoe10000", "Zoe10001"]),
        ("q=zoe+anna", &[]),
        ("q=surname699+zoe", &["Zoe10499", "Zoe11199"]),
        ("q=zoe&group=group+19", &["Zoe10019", "Zoe10039"]),
        ("q=zoe1999&group=group+19", &["Zoe19999"]),
        ("group=group+19", &["Anna00019", "Anna00039"]),
        ("q=39333001", &["Zoe10000", "Zoe10001"]),
    ] {
        let (found, next) = find(query).await;
        assert_eq!(found, names, "{query}");
        if let Some(next) = next {
            let (more, _) = find(&format!("{query}&cursor={next}")).await;
            assert!(more.len() == 2 && more[0] > found[1], "{query}: {found:?}, then {more:?}");
        } else {
            assert!(found.len() < 2, "{query}");
        }
    }
    let (_, exported) = download(&server, EXPORT).await;
    assert_eq!(exported.lines().count(), 20_002);
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn cards_go_into_a_telephone() {
    let (_slot, mut server) = server().await;
    let ben = json!({
        "name": "Ben;", "surname": "Öz", "numbers": [{ "number": "+393331234568", "kind": "mobile" }],
        "annotations": "one\r\nEND:VCARD",
    });
    let made = server.api.post(CONTACTS, &ben).await.expect("a contact");
    let id = made["id"].as_str().expect("an id");
    let (headers, card) = download(&server, &format!("{CONTACTS}/{id}/vcard")).await;
    assert!(headers["content-type"].to_str().expect("text").starts_with("text/vcard"));
    for line in
        ["N:Öz;Ben\\;;;;", "TEL;TYPE=CELL,PREF:+393331234568", "NOTE:one\\nEND:VCARD", &format!("UID:urn:uuid:{id}")]
    {
        assert!(card.contains(&format!("\r\n{line}\r\n")), "{line} is not in {card}");
    }
    let (_, cards) = download(&server, "/api/v2/contacts.vcf").await;
    assert_eq!(cards.matches("BEGIN:VCARD").count(), 2);
    let (status, _, _) = ask(&server, Method::GET, "/api/v2/caller-id.vcf", None, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "there is no PBX, and no number that it shows");
    server.stop().await.expect("stops");
}

async fn ringdown(server: &Server, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringdown"));
    command.arg("contacts").args(arguments).env_remove("RINGDOWN_CONFIG");
    command.env("RINGDOWN_URL", &server.api.base).env("RINGDOWN_KEY", &server.api.key);
    command.output().await.expect("ringdown runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[tokio::test]
async fn the_address_book_is_kept_from_a_terminal() {
    let (_slot, mut server) = server().await;
    let added = ringdown(&server, &["add", "Ben Öz", "+39 333 1234568", "--json"]).await;
    assert!(added.status.success(), "{}", said(&added));
    let ben: Value = serde_json::from_slice(&added.stdout).expect("JSON");
    let id = ben["id"].as_str().expect("an id");
    let list = ringdown(&server, &["list", "ben"]).await;
    assert!(said(&list).contains("+393331234568") && !said(&list).contains("Ana"), "{}", said(&list));
    let exported = ringdown(&server, &["export"]).await;
    assert!(exported.status.success() && said(&exported).starts_with("id,name,"), "{}", said(&exported));
    let file = server.directory().join("contacts.csv");
    std::fs::write(&file, "name,phone_number\nCem,+393331234569\nDan,nonsense\n").expect("written");
    let file = file.to_string_lossy();
    for (options, last) in [
        (&["--dry-run"][..], "1 created, 0 updated, 0 unchanged, 1 bad; nothing was kept\n"),
        (&["--atomic"], "1 created, 0 updated, 0 unchanged, 1 bad; nothing was kept\n"),
        (&[], "1 created, 0 updated, 0 unchanged, 1 bad\n"),
    ] {
        let imported = ringdown(&server, &[&["import", &file], options].concat()).await;
        assert_eq!(imported.status.code(), Some(1), "a row is bad");
        assert!(said(&imported).starts_with("line 3, phone_number: "), "{}", said(&imported));
        assert!(said(&imported).ends_with(last), "{}", said(&imported));
    }
    std::fs::write(&*file, &exported.stdout).expect("written");
    let again = ringdown(&server, &["import", &file]).await;
    assert_eq!((again.status.code(), said(&again).contains("2 unchanged, 0 bad")), (Some(0), true), "{}", said(&again));
    assert_eq!(said(&ringdown(&server, &["delete", id]).await), "deleted\n");
    let nobody = ringdown(&server, &["list", "ben"]).await;
    assert_eq!(said(&nobody), "no contacts\n");
    let refused = ringdown(&server, &["delete", id]).await;
    assert!(refused.status.code() == Some(1) && said(&refused).contains("no such contact"), "{}", said(&refused));
    server.stop().await.expect("stops");
}
