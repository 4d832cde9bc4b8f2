//! A modem that follows a script, on a stream in memory. Time stands still but for what is waited for.

use std::time::Duration;

use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    time::timeout,
};

use super::{AtError, Command, Lines, Port, Reason, Refusal, Submission, Unsolicited, lines::Item};
use crate::modem::pdu::{Body, Content, Pdu, Submit};

const SOON: Duration = Duration::from_secs(5);
const LATE: Duration = Duration::from_secs(60);

struct Script(DuplexStream);

impl Script {
    /// A modem with a port that has caught up with it.
    async fn new() -> (Self, Port<DuplexStream>) {
        let (ours, theirs) = duplex(64 * 1024);
        let mut script = Self(theirs);
        let mut port = Port::new(ours, SOON);
        let (caught_up, ()) = tokio::join!(port.keep_up(), script.is_caught_up_with());
        caught_up.unwrap();
        (script, port)
    }

    async fn hears(&mut self, expected: &str) {
        let mut heard = vec![0; expected.len()];
        timeout(LATE, self.0.read_exact(&mut heard)).await.expect("within a minute").unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), expected);
    }

    async fn says(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn is_caught_up_with(&mut self) {
        self.hears("\x1b\rAT+CMEE?\r").await;
        self.says("\r\n+CMEE: 1\r\n\r\nOK\r\n").await;
    }
}

fn command(text: &str) -> Command {
    Command::new(text.to_owned()).unwrap()
}

fn pdu() -> Pdu {
    Submit::new("112".parse().unwrap(), Content::whole(Body::of("Disk full"))).encode().unwrap()
}

fn ends_in_hex() -> String {
    format!("{}\x1a", pdu().to_hex())
}

async fn asked(
    port: &mut Port<DuplexStream>,
    script: &mut Script,
    text: &str,
    answer: &str,
) -> Result<Vec<String>, String> {
    let wanted = command(text);
    let (answered, ()) = tokio::join!(port.run(&wanted, SOON), async {
        script.hears(&format!("{text}\r")).await;
        script.says(answer).await;
    });
    answered.map_err(|error| error.to_string())
}

#[test]
fn nothing_that_ends_a_line_or_a_pdu_can_be_in_a_command() {
    for bad in ["", "A", "at", "AT\r", "AT\n", "AT+CPIN=\"1\x1a\"", "AT\x1b", "AT\0", "ATä", "AT\x7f", "+CMGS"] {
        assert!(Command::new(bad.to_owned()).is_err(), "{bad:?}");
    }
    assert!(Command::new(format!("AT{}", "x".repeat(299))).is_err());
    for (text, name) in
        [("AT", ""), ("AT+CREG?", "+CREG"), ("AT+CPIN=\"1234\"", "+CPIN"), ("AT^CPIN?", "^CPIN"), ("ATZ", "Z")]
    {
        assert_eq!(command(text).name(), name);
    }
    assert_eq!(format!("{:?}", command("AT+CPIN=\"1234\"")), "AT+CPIN", "a PIN is not shown");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_told_from_echo_and_from_what_nobody_asked() {
    let (mut script, mut port) = Script::new().await;
    let lines = asked(
        &mut port,
        &mut script,
        "AT+CMGL=4",
        "AT+CMGL=4\r\r\n+CMGL: 1,0,,24\r\n^RSSI:17\r\n0791AA\r\n+CMTI: \"SM\",3\r\n\r\nRING\r\n+CMGL: 2,1,,24\r\n0791BB\r\n\
         +CDS: 25\r\n0006AB\r\n+CREG: 5\r\nNO CARRIER\r\nOK\r\n",
    );
    assert_eq!(lines.await.unwrap(), ["+CMGL: 1,0,,24", "0791AA", "+CMGL: 2,1,,24", "0791BB"]);
    let mut heard = Vec::new();
    while let Some(said) = port.unsolicited() {
        heard.push(said);
    }
    assert_eq!(
        heard,
        [
            Unsolicited::Other("^RSSI:17".into()),
            Unsolicited::Stored { memory: "SM".into() },
            Unsolicited::Other("RING".into()),
            Unsolicited::Direct(Pdu::from_hex("0006AB").unwrap()),
            Unsolicited::Registration,
            Unsolicited::Other("NO CARRIER".into()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn news_about_the_network_are_no_answer_to_the_question_about_it() {
    let (mut script, mut port) = Script::new().await;
    let answer = "+CREG: 2\r\n+CREG: 1,\"00C3\",\"0A1B\"\r\n+CREG: 0,5\r\nOK\r\n";
    assert_eq!(asked(&mut port, &mut script, "AT+CREG?", answer).await.unwrap(), ["+CREG: 0,5"]);
    // A PDU that was announced and never came takes nobody else's.
    assert_eq!(asked(&mut port, &mut script, "AT", "+CDS: 25\r\nOK\r\n").await.unwrap(), Vec::<String>::new());
    let stored = asked(&mut port, &mut script, "AT+CMGL=4", "+CMGL: 1,0,,24\r\n0791AA\r\nOK\r\n").await;
    assert_eq!(stored.unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn every_way_to_say_no_is_heard_and_put_in_words() {
    let (mut script, mut port) = Script::new().await;
    for (answer, words) in [
        ("ERROR\r\n", "the modem says ERROR"),
        ("+CME ERROR: 10\r\n", "SIM not inserted (+CME ERROR: 10)"),
        ("\r\n+CME ERROR: SIM busy\r\n", "the modem says +CME ERROR: SIM busy"),
        ("+CMS ERROR: 38\r\n", "network out of order (+CMS ERROR: 38)"),
        ("+CMS ERROR:  208\r\n", "SIM storage full (+CMS ERROR: 208)"),
        ("+CMS ERROR: 499\r\n", "an error that has no name (+CMS ERROR: 499)"),
        ("COMMAND NOT SUPPORT\r\n", "the modem says COMMAND NOT SUPPORT"),
    ] {
        assert_eq!(asked(&mut port, &mut script, "AT+CPMS?", answer).await.unwrap_err(), words);
    }
    assert_eq!(
        asked(&mut port, &mut script, "ATD112;", "NO CARRIER\r\n").await.unwrap_err(),
        "the modem says NO CARRIER"
    );
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_not_taken_for_that_of_the_next_command() {
    let (mut script, mut port) = Script::new().await;
    assert!(matches!(port.run(&command("AT+CSQ"), SOON).await, Err(AtError::TimedOut { .. })));
    script.hears("AT+CSQ\r").await;
    let wanted = command("AT+CSQ");
    let (answered, ()) = tokio::join!(port.run(&wanted, SOON), async {
        script.hears("\x1b\r").await;
        script.says("+CSQ: 1,99\r\n\r\nOK\r\n").await;
        script.hears("AT+CMEE?\r").await;
        script.says("ERROR\r\n+CMTI: \"ME\",1\r\n+CMEE: 1\r\n\r\nOK\r\n").await;
        script.hears("AT+CSQ\r").await;
        script.says("+CSQ: 31,99\r\nOK\r\n").await;
    });
    assert_eq!(answered.unwrap(), ["+CSQ: 31,99"]);
    let mut said = std::iter::from_fn(|| port.unsolicited());
    assert!(said.any(|said| said == Unsolicited::Stored { memory: "ME".into() }), "news are kept");
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_answered_twice_leaves_no_answer_behind() {
    let (mut script, mut port) = Script::new().await;
    assert!(port.run(&command("AT+CSQ"), SOON).await.is_err());
    let wanted = command("AT+CSQ");
    let (answered, ()) = tokio::join!(port.run(&wanted, SOON), async {
        // It was busy, and answers everything at once.
        script.hears("AT+CSQ\r\x1b\rAT+CMEE?\r\x1b\rAT+CMEE?\r").await;
        script.says("+CSQ: 1,99\r\nOK\r\n+CMEE: 1\r\nOK\r\n+CMEE: 1\r\nOK\r\n").await;
        script.hears("AT+CSQ\r").await;
        script.says("+CSQ: 31,99\r\nOK\r\n").await;
    });
    assert_eq!(answered.unwrap(), ["+CSQ: 31,99"]);
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_says_nothing_is_mute_after_three_questions() {
    let (mut script, mut port) = Script::new().await;
    assert!(port.run(&command("AT+CSQ"), SOON).await.is_err());
    let error = port.run(&command("AT+CSQ"), SOON).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer from the modem to AT+CMEE within 15s");
    script.hears("AT+CSQ\r\x1b\rAT+CMEE?\r\x1b\rAT+CMEE?\r\x1b\rAT+CMEE?\r").await;
}

#[tokio::test(start_paused = true)]
async fn a_message_is_sent_with_its_reference_whatever_is_said_meanwhile() {
    let (mut script, mut port) = Script::new().await;
    for (prompt, answer) in [
        ("\r\n> ", "\r\n+CMGS: 7\r\n\r\nOK\r\n".to_owned()),
        (">", "+CMGS: 7,\"26/11/21,22:17:51+04\"\r\nOK\r\n".to_owned()),
        ("AT+CMGS=19\r\r\n^RSSI:3\r\n> ", format!("{}\r\n+CDS: 25\r\n0006AB\r\n+CMGS: 7\r\n\r\nOK\r\n", ends_in_hex())),
    ] {
        let pdu = pdu();
        let (sent, ()) = tokio::join!(port.submit(&pdu, SOON, LATE), async {
            script.hears(&format!("AT+CMGS={}\r", pdu.length())).await;
            script.says(prompt).await;
            script.hears(&ends_in_hex()).await;
            script.says(&answer).await;
        });
        assert!(matches!(sent, Submission::Sent { reference: 7 }), "{sent:?}");
    }
}

/// What becomes of a message when the modem says this instead of a prompt, or instead of its answer.
async fn submitted(prompt: &str, answer: &str) -> Submission {
    let (mut script, mut port) = Script::new().await;
    let pdu = pdu();
    let (sent, ()) = tokio::join!(port.submit(&pdu, SOON, LATE), async {
        script.hears(&format!("AT+CMGS={}\r", pdu.length())).await;
        script.says(prompt).await;
        if prompt.contains('>') {
            script.hears(&ends_in_hex()).await;
            script.says(answer).await;
        }
        if answer.ends_with("gone") {
            drop(script);
        } else {
            std::mem::forget(script);
        }
    });
    sent
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_not_given_or_is_refused_has_not_left() {
    for (prompt, answer, permanent) in [
        ("\r\n+CMS ERROR: 302\r\n", "", false),
        ("", "", false),
        ("", "gone", false),
        ("+CMS ERROR: 304\r\n", "", false),
        ("> ", "ERROR\r\n", false),
        ("> ", "+CMS ERROR: 1\r\n", true),
        ("> ", "+CMS ERROR: 38\r\n", false),
        ("> ", "+CMS ERROR: 196\r\n", true),
        ("> ", "+CMS ERROR: 192\r\n", false),
        ("> ", "+CMS ERROR: 322\r\n", false),
        ("> ", "+CMS ERROR: 331\r\n", false),
    ] {
        let sent = submitted(prompt, answer).await;
        assert!(
            matches!(&sent, Submission::Refused { permanent: says, .. } if *says == permanent),
            "{prompt:?} {answer:?}: {sent:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_was_given_and_not_answered_is_unknown() {
    for answer in ["", "gone", "+CMGS: 1", "+CMGS: 1gone", "OK\r\n", "+CMS ERROR: 332\r\n", "+CMS ERROR: 500\r\n"] {
        let sent = submitted("> ", answer).await;
        assert!(matches!(sent, Submission::Unknown { .. }), "{answer:?}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_has_told_the_reference_may_fall_silent() {
    for answer in ["+CMGS: 7\r\n", "\r\n+CMGS: 7\r\n\r\nOgone"] {
        let sent = submitted("> ", answer).await;
        assert!(matches!(sent, Submission::Sent { reference: 7 }), "{answer:?}: {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_prompt_that_comes_too_late_is_left_again() {
    let (mut script, mut port) = Script::new().await;
    let pdu = pdu();
    assert!(matches!(port.submit(&pdu, SOON, LATE).await, Submission::Refused { permanent: false, .. }));
    let wanted = command("AT");
    let (answered, ()) = tokio::join!(port.run(&wanted, SOON), async {
        script.hears(&format!("AT+CMGS={}\r\x1b\rAT+CMEE?\r", pdu.length())).await;
        script.says("\r\n> ").await;
        script.hears("\x1b").await;
        script.says("\r\nOK\r\n").await;
        script.is_caught_up_with().await;
        script.hears("AT\r").await;
        script.says("OK\r\n").await;
    });
    answered.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_modem_that_never_ends_a_line_fills_no_memory() {
    let (mut script, mut port) = Script::new().await;
    let endless = format!("{}\r\n+CSQ: 9,99\r\nOK\r\n", "x".repeat(50_000));
    assert_eq!(asked(&mut port, &mut script, "AT+CSQ", &endless).await.unwrap(), ["+CSQ: 9,99"]);
    let mut lines = Lines::default();
    lines.push(&[b'x'; 5000]);
    assert_eq!(lines.next(), None);
    lines.push(b"\r  > ");
    assert_eq!(lines.next(), Some(Item::Prompt));
}

#[test]
fn refusals_say_what_they_mean() {
    for code in 0..=600 {
        let refusal = Refusal::Message(Reason::Code(code));
        assert!(!(refusal.is_permanent() && refusal.may_have_left()), "{code}");
        assert!(refusal.to_string().ends_with(&format!("(+CMS ERROR: {code})")));
        assert!(Refusal::Equipment(Reason::Code(code)).to_string().ends_with(&format!("(+CME ERROR: {code})")));
    }
    assert!(Refusal::Message(Reason::Code(322)).is_full());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever bytes come in whatever pieces, before the answer and instead of it: nothing panics, and the next
    /// command has its own answer.
    #[test]
    fn noise_is_survived(
        pieces in vec(prop_oneof![
            vec(any::<u8>(), 0..40),
            prop::sample::select(vec![
                "OK\r\n", "ERROR\r\n", "+CDS: 25\r\n", "0006AB\r\n", "> ", ">", "+CMEE: 1\r\n", "+CMEE: 1\r\nOK\r\n",
                "+CMTI: \"SM\",1\r\n", "+CMS ERROR: 500\r\n", "\r", "\n", "+CREG: 1\r\n", "\u{1a}", "+CSQ: 1,1\r\n",
            ]).prop_map(|text| text.as_bytes().to_vec()),
        ], 0..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut script, mut port) = Script::new().await;
            let (submission, ()) = tokio::join!(
                async { port.submit(&pdu(), SOON, SOON).await },
                async {
                    for piece in &pieces {
                        script.0.write_all(piece).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                },
            );
            // It was not told a reference: whatever came, the message was not said to be sent.
            assert!(!matches!(submission, Submission::Sent { .. }));
            let (mut from_port, mut to_port) = tokio::io::split(script.0);
            let answers = async {
                // A modem: it answers every line of which it knows the end, in order.
                let mut heard = Vec::new();
                let mut byte = [0];
                while from_port.read_exact(&mut byte).await.is_ok() {
                    if byte[0] != b'\r' {
                        heard.push(byte[0]);
                        continue;
                    }
                    let line = String::from_utf8_lossy(&std::mem::take(&mut heard)).into_owned();
                    if line.ends_with("AT+CMEE?") {
                        to_port.write_all(b"\r\n+CMEE: 1\r\n\r\nOK\r\n").await.unwrap();
                    } else if line.ends_with("AT+CGSN") {
                        to_port.write_all(b"\r\n490154203237518\r\n\r\nOK\r\n").await.unwrap();
                    }
                }
            };
            let wanted = command("AT+CGSN");
            let answer = tokio::select! {
                () = answers => panic!("the port was dropped"),
                answer = port.run(&wanted, SOON) => answer.unwrap(),
            };
            // What was said without an end is only known for what it is when it ends.
            assert_eq!(answer.last().map(String::as_str), Some("490154203237518"), "{answer:?}");
            assert!(answer.len() <= 2, "{answer:?}");
        });
    }
}
