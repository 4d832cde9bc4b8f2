//! Short messages as others read and write them: gammu on the simulated modem, and smspdudecoder.

use std::{process::Stdio, time::Duration};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use futures_util::future::try_join_all;
use lab::{
    modem::{Modem as Fake, Setup},
    parts,
};
use ringdown::modem::pdu::{Address, Assembled, Body, Deliver, Kind, Reassembly, Submit, Text, Validity, Width};
use serde_json::Value;
use tokio::{io::AsyncWriteExt, process::Command, time::timeout};

const ANA: &str = "+4915112345678";
/// For all of a corpus. gammu waits half a second for each prompt.
const LATER: Duration = Duration::from_secs(150);

/// What GSM-7 has, but line ends, the form feed, and what gammu's command line has a use for.
const GSM7: &str = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !#¤%&()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§\
    ¿abcdefghijklmnopqrstuvwxyzäöñüà^{}[~]|€";
const WIDE: [&str; 22] = [
    "ж",
    "中",
    "文",
    "😀",
    "👍🏽",
    "🇩🇪",
    "👨\u{200d}👩\u{200d}👧",
    "e\u{301}",
    "שלום",
    "مرحبا",
    "a",
    "Z",
    " ",
    "é",
    "[",
    "€",
    "ç",
    "–",
    "…",
    "„",
    "हि",
    "ก็",
];
/// Lengths at which something changes, and those beside them.
const LENGTHS: [usize; 26] = [
    1, 7, 8, 66, 67, 68, 69, 70, 71, 133, 134, 135, 152, 153, 154, 155, 156, 157, 158, 159, 160, 161, 305, 306, 307,
    460,
];

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0) % limit
    }
}

/// So many texts without line ends: every character of GSM-7, every boundary in every alphabet, then at random.
fn corpus(many: usize, seed: u64) -> Vec<String> {
    let mut dice = Dice(seed);
    let gsm7: Vec<char> = GSM7.chars().collect();
    let mut texts: Vec<String> = gsm7.iter().map(|character| format!("x{character}x")).collect();
    for length in LENGTHS {
        texts.push("a".repeat(length));
        texts.push("ж".repeat(length));
        texts.push(format!("{}[x", "a".repeat(length)));
        texts.push(format!("{}😀x", "ж".repeat(length)));
        texts.push(format!("{}e\u{301}x", "ж".repeat(length)));
        texts.push(format!("{}שלום", "ب".repeat(length)));
    }
    while texts.len() < many {
        let mut text = String::from("x");
        let is_wide = dice.below(2) == 0;
        for _ in 0..dice.below(if is_wide { 120 } else { 400 }) {
            if is_wide {
                text.push_str(WIDE[dice.below(WIDE.len())]);
            } else {
                text.push(gsm7[dice.below(gsm7.len())]);
            }
        }
        // What a program does with spaces at an end is not asked here.
        text.push('x');
        texts.push(text);
    }
    // At random as well, so that a piece of it has some of everything.
    for at in (1..texts.len()).rev() {
        texts.swap(at, dice.below(at + 1));
    }
    texts.truncate(many);
    texts
}

/// gammu at this modem.
async fn gammu(fake: &Fake, arguments: &[&str]) -> Result<String> {
    let directory = fake.path().parent().context("a directory")?;
    let config = directory.join("gammurc");
    let device = fake.path().display();
    std::fs::write(&config, format!("[gammu]\ndevice = {device}\nconnection = at115200\nmodel = at\n"))?;
    let run = Command::new(parts::gammu()?)
        .arg("-c")
        .arg(&config)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(LATER, run).await.context("gammu does not end")??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "gammu: {said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

#[tokio::test]
async fn gammu_uses_the_simulated_modem() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let fake = Fake::start(directory.path(), Setup::default())?;
    let said = gammu(&fake, &["identify"]).await?;
    for part in ["Ringdown", "Simulated", "490154203237518", "262019876543210"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let said = gammu(&fake, &["getsmsc"]).await?;
    assert!(said.contains("+491710760000"), "{said}");
    fake.text("112", "to be deleted", 1)?;
    gammu(&fake, &["deletesms", "1", "1"]).await?;
    assert_eq!(fake.holds(), (0, 0));
    Ok(())
}

/// gammu sends these; what the modem was given, read by ringdown, is the same.
async fn gammu_sends(texts: &[String]) -> Result<usize> {
    let directory = tempfile::tempdir()?;
    let fake = Fake::start(directory.path(), Setup::default())?;
    let batch = directory.path().join("batch");
    let lines =
        texts.iter().map(|text| format!("sendsms TEXT {ANA} -report -maxsms 9 -autolen 2000 -textutf8 \"{text}\"\n"));
    std::fs::write(&batch, lines.collect::<String>())?;
    gammu(&fake, &["batch", &batch.display().to_string()]).await?;
    let mut reassembly = Reassembly::default();
    let mut arrived = Vec::new();
    for submitted in fake.submitted() {
        assert_eq!(submitted.submit.destination, ANA.parse()?);
        assert!(submitted.submit.report);
        // What gammu wrote and ringdown has read, ringdown writes as gammu did.
        assert_eq!(submitted.submit.encode()?, submitted.pdu);
        arrived.extend(reassembly.add(None, &submitted.submit.content, DateTime::UNIX_EPOCH));
    }
    let read: Vec<String> = arrived.iter().filter_map(Assembled::text).collect();
    for (read, text) in read.iter().zip(texts) {
        assert_eq!(read, text);
    }
    assert_eq!(read.len(), texts.len());
    Ok(read.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_gammu_sends_is_read_as_it_was_written() -> Result<()> {
    // Each of them mostly waits.
    let texts = corpus(800, 1);
    let sent = try_join_all(texts.chunks(25).map(gammu_sends)).await?;
    assert_eq!(sent.iter().sum::<usize>(), 800);
    Ok(())
}

#[tokio::test]
async fn what_ringdown_writes_gammu_reads_as_it_was_written() -> Result<()> {
    let texts = corpus(1500, 2);
    let directory = tempfile::tempdir()?;
    let fake = Fake::start(directory.path(), Setup { capacity: 10_000, ..Setup::default() })?;
    for (text, nth) in texts.iter().zip(0..) {
        fake.text(&format!("+49151{nth:07}"), text, nth)?;
    }
    let said = gammu(&fake, &["geteachsms"]).await?;
    let mut read = 0;
    for (text, nth) in texts.iter().zip(0..) {
        let number = format!("\"+49151{nth:07}\"\n");
        let after = said.split_once(&format!("Remote number        : {number}")).with_context(|| number)?.1;
        // Some lines about it, an empty one, the text.
        let (_, after) = after.split_once("\n\n").context("a text")?;
        assert!(after.starts_with(&format!("{text}\n")), "{text:?} was read as {:?}", after.lines().next());
        read += 1;
    }
    assert_eq!(read, texts.len());
    Ok(())
}

/// What smspdudecoder makes of them.
async fn decoded(lines: &[String]) -> Result<Vec<Value>> {
    let python = std::env::var("RINGDOWN_LAB_SMS_PYTHON").context("use scripts/with sms")?;
    let mut decoder = Command::new(python)
        .arg(parts::project().join("lab/sms/decode.py"))
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut input = decoder.stdin.take().context("its input")?;
    let (said, wrote) = tokio::join!(timeout(LATER, decoder.wait_with_output()), async {
        let all = lines.join("\n");
        input.write_all(all.as_bytes()).await?;
        drop(input);
        anyhow::Ok(())
    });
    wrote?;
    let said = String::from_utf8(said??.stdout)?;
    let read: Vec<Value> = said.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(read.len() == lines.len(), "{} of {}", read.len(), lines.len());
    Ok(read)
}

/// A message of ours, as a line for it.
struct Ours {
    line: String,
    text: String,
    total: u8,
    number: u8,
    /// Whether the last octet has room for another septet: it does not count, and reads that as an @.
    has_room: bool,
}

fn ours(many: usize) -> Result<Vec<Ours>> {
    let mut lines = Vec::new();
    for (text, nth) in corpus(many, 3).iter().zip(0_u16..) {
        let width = if nth % 3 == 0 { Width::Long } else { Width::Short };
        let split = Text::split(text, 255, width);
        for (content, part) in split.contents(nth).zip(split.parts()) {
            let (total, number) = content.concatenation.map_or((0, 0), |part| (part.total, part.number));
            let header = if total == 0 {
                0
            } else if width == Width::Long {
                8
            } else {
                7
            };
            let has_room = matches!(&content.body, Body::Gsm7(septets) if (header + septets.len()) % 8 == 7);
            let line = if nth % 2 == 0 {
                let mut submit = Submit::new(ANA.parse()?, content);
                submit.validity = Some(Validity::Relative(170));
                submit.report = true;
                format!("submit {}", submit.encode()?.to_hex())
            } else {
                let deliver = Deliver {
                    smsc: Some("+491710760000".parse()?),
                    sender: Some(Address::new(Kind::International, &ANA[1..])?),
                    protocol: 0,
                    at: Some(DateTime::parse_from_rfc3339("2026-11-21T22:17:51-03:30")?),
                    more: false,
                    report: false,
                    reply_path: false,
                    content,
                };
                format!("deliver {}", deliver.encode()?.to_hex())
            };
            lines.push(Ours { line, text: part.clone(), total, number, has_room });
        }
    }
    Ok(lines)
}

#[tokio::test]
async fn what_ringdown_writes_smspdudecoder_reads_as_it_was_written() -> Result<()> {
    let ours = ours(3000)?;
    let lines: Vec<String> = ours.iter().map(|ours| ours.line.clone()).collect();
    for (read, Ours { line, text, total, number, has_room }) in decoded(&lines).await?.iter().zip(&ours) {
        let person = if line.starts_with("submit") { &read["recipient"] } else { &read["sender"] };
        assert_eq!(person["number"], ANA[1..], "{line}: {read}");
        assert_eq!(person["toa"]["ton"], "international");
        if line.starts_with("submit") {
            assert_eq!(read["validity-days"], 4, "{read}");
            assert_eq!(read["header"]["srr"], true);
        } else {
            assert_eq!(read["scts"], "2026-11-22 01:47:51+00:00");
            assert_eq!(read["smsc"]["number"], "491710760000");
        }
        let data = read["user_data"]["data"].as_str().unwrap_or_default();
        let data = if *has_room { data.strip_suffix('@').unwrap_or(data) } else { data };
        assert_eq!(data, text, "{line}: {read}");
        if *total > 0 {
            let element = &read["user_data"]["header"]["elements"][0]["data"];
            assert_eq!(
                (&element["parts_count"], &element["part_number"]),
                (&(*total).into(), &(*number).into()),
                "{read}"
            );
        }
    }
    Ok(())
}
