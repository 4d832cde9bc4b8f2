//! Twilio's signatures and API as its published library makes and uses them.

use std::{collections::BTreeSet, process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use lab::{parts, twilio::Twilio as Fake};
use ringdown::{
    clock::Clock,
    twilio::{Algorithm, Content, Credentials, Sender, Settings, Signed, Sought, Twilio, sign},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

const LATER: Duration = Duration::from_secs(60);
const OURS: &str = "+15005550006";
const ANA: &str = "+4915112345678";

/// What the library makes of these lines, line by line.
async fn library(arguments: &[&str], lines: &[String]) -> Result<Vec<Value>> {
    let python = std::env::var("RINGDOWN_LAB_SMS_PYTHON").context("use scripts/with sms")?;
    let mut library = Command::new(python)
        .arg(parts::project().join("lab/sms/twilio_oracle.py"))
        .args(arguments)
        .env("PYTHONIOENCODING", "utf-8")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = library.stdin.take().context("its input")?;
    let (said, wrote) = tokio::join!(timeout(LATER, library.wait_with_output()), async {
        input.write_all(lines.join("\n").as_bytes()).await?;
        drop(input);
        anyhow::Ok(())
    });
    wrote?;
    let said = said??;
    ensure!(said.status.success(), "the library failed");
    String::from_utf8(said.stdout)?.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }
}

/// A request that says that it is Twilio's, and perhaps is.
struct Case {
    token: &'static str,
    url: String,
    fields: Vec<(String, String)>,
    body: Option<String>,
    algorithm: Algorithm,
    signature: String,
    /// What it was signed for, if that is what it says.
    is_true: bool,
}

fn url(dice: &mut Dice) -> String {
    let scheme = dice.one(&["http", "https"]);
    let host = dice.one(&["a.example", "sms.example.org", "xn--bcher-kva.example", "192.0.2.7", "localhost"]);
    let port = dice.one(&["", "", "", ":80", ":443", ":8080", ":8443", ":65535"]);
    let path = dice.one(&["", "/", "/sms/in", "/a%20b/c:d@e", "/ü/😀", "/x;y=z", "/a//b/../c"]);
    let query = dice.one(&["", "?x=y", "?message=m-1&b=%2B", "?a=:8080/&c=?", "?q=a+b&q=c", "?e=é"]);
    format!("{scheme}://{host}{port}{path}{query}")
}

fn fields_of(dice: &mut Dice) -> Vec<(String, String)> {
    let names = ["To", "From", "Body", "MessageSid", "a", "A", "Z", "_", "é", "Bodyx", "Bod", "😀", "\u{ff0b}"];
    let values = ["", "x", "+4915112345678", "ack 17 😀", "a b&c=d", "line\r\nline", "é", "e\u{301}", "🇩🇪", "\u{ff0b}"];
    let many = dice.below(9);
    (0..many).map(|_| (dice.one(&names).to_owned(), dice.one(&values).to_owned())).collect()
}

fn case(dice: &mut Dice) -> Case {
    let token = dice.one(&["12345", "a token", "tøken 😀", "0123456789abcdef0123456789abcdef"]);
    let algorithm = if dice.below(4) == 0 { Algorithm::HmacSha256 } else { Algorithm::HmacSha1 };
    let (mut address, mut fields, mut body) = (url(dice), fields_of(dice), None);
    if dice.below(4) == 0 {
        let json = json!({ "text": dice.one(&["", "x", "é 😀"]), "n": dice.below(100) }).to_string();
        let joint = if address.contains('?') { '&' } else { '?' };
        let digest = hex::encode(Sha256::digest(&json));
        let digest = if dice.below(5) == 0 { digest.replace('a', "b") } else { digest };
        address = format!("{address}{joint}bodySHA256={digest}");
        (fields, body) = (Vec::new(), Some(json));
    }
    // It may be signed with a port that it does not name, or without one that it does.
    let signed_for = match dice.below(4) {
        0 => address.replacen(":443", "", 1).replacen(":8443", "", 1).replacen(":80", "", 1),
        1 if !address[8..].contains(':') => {
            let port = dice.one(&["443", "80"]);
            let at = address[8..].find(['/', '?']).map_or(address.len(), |at| at + 8);
            format!("{}:{port}{}", &address[..at], &address[at..])
        }
        _ => address.clone(),
    };
    let mut signature = sign(&token.into(), algorithm, &signed_for, &fields);
    let mut is_true = signed_for == address;
    // Or it is no longer what was signed.
    match dice.below(8) {
        0 => (fields, is_true) = ([fields, vec![("more".into(), String::new())]].concat(), false),
        1 => (address, is_true) = (address.replacen("example", "exbmple", 1), false),
        2 => (signature, is_true) = (signature.to_lowercase(), false),
        3 if !fields.is_empty() => {
            // Once more the same changes nothing, wherever it stands.
            let again = fields[dice.below(fields.len())].clone();
            fields.insert(0, again);
        }
        _ => {}
    }
    Case { token, url: address, fields, body, algorithm, signature, is_true }
}

#[tokio::test]
async fn twilios_library_believes_what_ringdown_believes_and_nothing_else() -> Result<()> {
    let mut dice = Dice(6);
    let cases: Vec<Case> = (0..2000).map(|_| case(&mut dice)).collect();
    let lines: Vec<String> = cases
        .iter()
        .map(|case| {
            let algorithm = if case.algorithm == Algorithm::HmacSha1 { "HMAC_SHA1" } else { "HMAC_SHA256" };
            let Case { token, url, fields, body, signature, .. } = case;
            let (algorithm, body) = (json!(algorithm), json!(body));
            json!({
                "token": token, "url": url, "fields": fields, "body": body, "signature": signature,
                "algorithm": algorithm,
            })
            .to_string()
        })
        .collect();
    let read = library(&["validate"], &lines).await?;
    assert_eq!(read.len(), cases.len());
    let (mut good, mut bad, mut ported) = (0, 0, 0);
    for (case, read) in cases.iter().zip(&read) {
        let content = case.body.as_ref().map_or(Content::Form(&case.fields), |body| Content::Raw(body.as_bytes()));
        let signed = Signed { url: &case.url, content, signature: &case.signature, algorithm: case.algorithm };
        let is_good = signed.is_by(&[case.token.into()]);
        let what = format!("{} {:?} {:?} {}", case.url, case.fields, case.body, case.signature);
        assert_eq!(Some(is_good), read["valid"].as_bool(), "{what}: {read}");
        let computed =
            sign(&case.token.into(), case.algorithm, &case.url, if case.body.is_some() { &[] } else { &case.fields });
        assert_eq!(Some(&*computed), read["computed"].as_str(), "{what}");
        *if is_good { &mut good } else { &mut bad } += 1;
        ported += usize::from(is_good && !case.is_true);
    }
    // All kinds were there.
    assert!(good > 500 && bad > 300 && ported > 100, "{good} {bad} {ported}");
    Ok(())
}

#[tokio::test]
async fn twilios_library_uses_the_simulated_twilio_as_it_uses_twilio() -> Result<()> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let clock = Clock::System;
    let began = clock.now();
    let fake = Fake::start(clock).await?;
    let said = library(&["client", &fake.url(), &fake.account, &fake.token, OURS, ANA], &[]).await?;
    let stored = fake.messages();
    assert_eq!(stored.len(), 5);
    let (sent, rest) = said.split_at(5);
    for (said, stored) in sent.iter().zip(&stored) {
        assert_eq!((said["sid"].as_str(), said["body"].as_str()), (Some(&*stored.sid), Some(&*stored.body)));
        assert_eq!((&said["status"], &said["from"], &said["to"]), (&json!("queued"), &json!(OURS), &json!(ANA)));
    }
    assert_eq!(stored[1].body, "two 😀 & = + %");
    assert_eq!(rest[0], sent[4], "fetched");
    let listed: Vec<&Value> = rest[1..6].iter().rev().collect();
    assert_eq!(listed, sent.iter().collect::<Vec<_>>(), "page by page");
    for (said, (code, status)) in rest[6..].iter().zip([(21211, 400), (21602, 400), (21617, 400), (20003, 401)]) {
        assert_eq!(said, &json!({ "code": code, "status": status }));
    }
    assert_eq!(rest.len(), 10);
    // What somebody else has sent, ringdown finds.
    let credentials = Credentials::Token(fake.token.clone().into());
    let settings = Settings::new(&fake.account, credentials, Sender::Number(OURS.into()));
    let twilio = Twilio::new(Settings { url: fake.url(), ..settings })?;
    let to = ANA.to_owned().try_into().context("a number")?;
    let sought = Sought { to: &to, body: "two 😀 & = + %", mark: None, since: began, others: &BTreeSet::new() };
    let found = twilio.find(&sought).await?.context("it is there")?;
    assert_eq!(found.sid.as_str(), stored[1].sid);
    Ok(())
}
