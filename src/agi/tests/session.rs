//! Commands over a pipe.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::Instant,
};

use super::{ENVIRONMENT, Pbx, peer, session};
use crate::agi::{ChannelState, Controlled, Controls, Data, Digit, Digits, Error, Session, Settings, Streamed};

const DEAD: &str = "511 Command Not Permitted on a dead channel or intercept routine\n";
const SECOND: Duration = Duration::from_secs(1);
const STREAM: &str = "STREAM FILE \"a\" \"0123456789*#\"";

fn digit(key: char) -> Option<Digit> {
    Digit::new(key)
}

#[tokio::test]
async fn every_command_as_asterisk_wants_it() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let asterisk = async {
        pbx.on("ANSWER", "200 result=0\n").await;
        pbx.on("STREAM FILE \"/v/tts 3\" \"4#\"", "200 result=35 endpos=9760\n").await;
        pbx.on("CONTROL STREAM FILE \"a\" \"1\" 3000 \"#\" \"*\" \"X\" 0", "200 result=0 endpos=1220\n").await;
        pbx.on("CONTROL STREAM FILE \"a\" \"\" 1 \"X\" \"X\" \"9\" 2000", "200 result=0 endpos=-1\n").await;
        pbx.on("GET DATA \"a\" 1500 4", "200 result=1*5 (timeout)\n").await;
        pbx.on("GET DATA \"a\" 1 4", "200 result= (timeout)\n").await;
        pbx.on("GET DATA \"a\" 1000 3", "200 result=115\n").await;
        pbx.on("WAIT FOR DIGIT 3000", "200 result=0\n").await;
        pbx.on("WAIT FOR DIGIT 3000", "200 result=42\n").await;
        pbx.on("SAY DIGITS \"12#\" \"\"", "200 result=49\n").await;
        pbx.on("EXEC \"Playback\" \"a&b,noanswer\"", "200 result=0\n").await;
        pbx.on("EXEC \"NoOp\" \"\"", "200 result=0\n").await;
        pbx.on("SET VARIABLE \"RINGDOWN_DONE\" \"a \\\"b\\\" \\\\\"", "200 result=1\n").await;
        pbx.on("GET VARIABLE \"A\"", "200 result=1 (value with ) parens and spaces)\n").await;
        pbx.on("GET VARIABLE \"A\"", "200 result=0\n").await;
        pbx.on("GET FULL VARIABLE \"${A}\"", "200 result=1 ()\n").await;
        pbx.on("GET FULL VARIABLE \"${A}\" \"PJSIP/x\"", "200 result=0\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
        pbx.on("VERBOSE \"hello\" 3", "200 result=1\n").await;
        pbx.on("HANGUP", "200 result=1\nHANGUP\n").await;
        assert_eq!(pbx.hears().await, "", "hanging up twice says nothing");
    };
    let ours = async {
        session.answer().await.unwrap();
        let keys = "#4".chars().filter_map(Digit::new).collect();
        let streamed = session.stream_file("/v/tts 3", keys).await.unwrap();
        assert_eq!(streamed, Streamed { digit: digit('#'), end: 9760 });
        let controlled =
            session.control_stream_file("a", digit('1').unwrap().into(), Controls::default()).await.unwrap();
        let end = Duration::from_millis(1220);
        assert_eq!(controlled, Controlled { digit: None, end: Some(end) });
        let controls = Controls {
            skip: Duration::from_micros(1),
            forward: None,
            rewind: None,
            pause: digit('9'),
            start: 2 * SECOND,
        };
        let controlled = session.control_stream_file("a", Digits::NONE, controls).await.unwrap();
        assert_eq!(controlled, Controlled { digit: None, end: None });
        for (timeout, max, digits, timed_out) in
            [(Duration::from_millis(1500), 4, "1*5", true), (Duration::ZERO, 4, "", true), (SECOND, 3, "115", false)]
        {
            let data = session.get_data("a", timeout, max).await.unwrap();
            assert_eq!(data, Data { digits: digits.to_owned(), timed_out });
        }
        assert_eq!(session.wait_for_digit(3 * SECOND).await.unwrap(), None);
        assert_eq!(session.wait_for_digit(3 * SECOND).await.unwrap(), digit('*'));
        assert_eq!(session.say_digits("12#", Digits::NONE).await.unwrap(), digit('1'));
        assert_eq!(session.exec("Playback", &["a&b", "noanswer"]).await.unwrap(), 0);
        assert_eq!(session.exec("NoOp", &[]).await.unwrap(), 0);
        session.set_variable("RINGDOWN_DONE", "a \"b\" \\").await.unwrap();
        let value = session.get_variable("A").await.unwrap();
        assert_eq!(value.as_deref(), Some("value with ) parens and spaces"));
        assert_eq!(session.get_variable("A").await.unwrap(), None);
        let value = session.get_full_variable("${A}", None).await.unwrap();
        assert_eq!(value.as_deref(), Some(""));
        let value = session.get_full_variable("${A}", Some("PJSIP/x")).await.unwrap();
        assert_eq!(value, None);
        assert_eq!(session.channel_status().await.unwrap(), ChannelState::Up);
        session.verbose("hello", 3).await.unwrap();
        session.hangup().await.unwrap();
        assert!(session.hung_up());
        session.hangup().await.unwrap();
        drop(session);
    };
    tokio::join!(asterisk, ours);
}

#[tokio::test]
async fn refused_arguments_are_never_sent() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let keys = Digits::NONE;
    let long = "x".repeat(2100);
    for refused in [
        session.stream_file("", keys).await.err(),
        session.stream_file("a\nHANGUP", keys).await.err(),
        session.stream_file(&long, keys).await.err(),
        session.get_data("a&b", SECOND, 1).await.err(),
        session.get_data("a", SECOND, 0).await.err(),
        session.say_digits("*1", keys).await.err(),
        session.say_digits("", keys).await.err(),
        session.say_digits("1 2", keys).await.err(),
        session.exec("System(x)", &[]).await.err(),
        session.exec("NoOp", &["a,b"]).await.err(),
        session.set_variable("CHANNEL(language)", "fr").await.err(),
        session.set_variable("A", "a\rb").await.err(),
        session.get_variable("SHELL(id)").await.err(),
        session.verbose("x", 0).await.err(),
    ] {
        assert!(matches!(refused, Some(Error::BadArgument(_))), "{refused:?}");
    }
    tokio::join!(pbx.on("ANSWER", "200 result=0\n"), async {
        session.answer().await.unwrap();
    });
}

/// What `stream_file` gives when Asterisk goes through `script`.
async fn streaming(script: &[(&str, &str)]) -> (Result<Streamed, Error>, bool) {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let (result, ()) = tokio::join!(session.stream_file("a", Digits::ALL), async {
        for (command, reply) in script {
            pbx.on(command, reply).await;
        }
        if script.len() == 1 {
            // Nothing more is asked.
            tokio::task::yield_now().await;
        }
    });
    (result, session.hung_up())
}

#[tokio::test]
async fn minus_one_is_a_hangup_or_a_file_that_cannot_be_played() {
    const STATUS: &str = "CHANNEL STATUS";
    let gone = "200 result=-1 endpos=0\n";
    for (hung_up, script) in [
        (true, &[(STREAM, "200 result=-1 endpos=8160\nHANGUP\n"), (STATUS, DEAD)][..]),
        (true, &[(STREAM, "HANGUP\n200 result=-1 endpos=8160\n")]),
        (true, &[(STREAM, gone), (STATUS, DEAD)]),
        (true, &[(STREAM, gone), (STATUS, "HANGUP\n200 result=6\n")]),
        (true, &[(STREAM, gone), (STATUS, "200 result=0\n")]),
        (true, &[(STREAM, DEAD)]),
        (false, &[(STREAM, gone), (STATUS, "200 result=6\n")]),
    ] {
        let (result, _) = streaming(script).await;
        match result {
            Err(Error::HungUp) if hung_up => {}
            Err(Error::Unplayable { file }) if !hung_up => assert_eq!(file, "a"),
            other => panic!("{script:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn errors_of_commands_leave_the_session_in_step() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let asterisk = async {
        pbx.on("ANSWER", "510 Invalid or unknown command\n").await;
        pbx.on("ANSWER", "520-Invalid:\nUsage: ANSWER\n520 End of proper usage.\n").await;
        pbx.on("ANSWER", "200 result=-1\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
        pbx.on("EXEC \"Gone\" \"\"", "200 result=-2\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
        pbx.on("GET DATA \"a\" 1000 1", "200 result=-1\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
        pbx.on("WAIT FOR DIGIT 1000", "200 result=1\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
        pbx.on("GET VARIABLE \"A\"", "100 result=0 Trying...\n200 result=1 (x\ny)\n").await;
        pbx.on("WAIT FOR DIGIT 1000", DEAD).await;
        pbx.on("SET VARIABLE \"A\" \"\"", "200 result=1\n").await;
    };
    let ours = async {
        assert!(matches!(session.answer().await, Err(Error::UnknownCommand)));
        let usage = session.answer().await;
        assert!(matches!(usage, Err(Error::Usage(text)) if text == "Invalid:\nUsage: ANSWER"));
        let failed = session.answer().await;
        assert!(matches!(failed, Err(Error::Failed { command: "ANSWER", .. })));
        let failed = session.exec("Gone", &[]).await;
        assert!(matches!(failed, Err(Error::Failed { result, .. }) if result == "-2"));
        let missing = session.get_data("a", SECOND, 1).await;
        assert!(matches!(missing, Err(Error::Unplayable { .. })));
        let odd = session.wait_for_digit(SECOND).await;
        assert!(matches!(odd, Err(Error::Failed { .. })));
        let value = session.get_variable("A").await.unwrap();
        assert_eq!(value.as_deref(), Some("x\ny"));
        assert!(!session.hung_up());
        assert!(matches!(session.wait_for_digit(SECOND).await, Err(Error::HungUp)));
        assert!(session.hung_up());
        session.set_variable("A", "").await.unwrap();
    };
    tokio::join!(asterisk, ours);
}

#[tokio::test]
async fn exec_of_an_application_that_returns_one_is_answered_twice() {
    let usage = "520-Invalid command syntax.  Proper usage follows:\nUsage: EXEC\n520 End.\n";
    for (first, second) in [
        (format!("200 result=1\n{usage}"), String::new()),
        ("200 result=1\n520-Inv".to_owned(), "alid\n520 End.\n".to_owned()),
        ("200 result=1\n".to_owned(), usage.to_owned()),
        ("200 result=1\n".to_owned(), String::new()),
    ] {
        let (mut session, mut pbx) = session(&Settings::default()).await;
        let asterisk = async {
            pbx.on("EXEC \"One\" \"\"", &first).await;
            pbx.on("WAIT FOR DIGIT 1000", &format!("{second}200 result=52\n")).await;
            pbx.on("ANSWER", usage).await;
        };
        let ours = async {
            assert_eq!(session.exec("One", &[]).await.unwrap(), 1);
            assert_eq!(session.wait_for_digit(SECOND).await.unwrap(), digit('4'));
            assert!(matches!(session.answer().await, Err(Error::Usage(_))));
        };
        tokio::join!(asterisk, ours);
    }
}

/// A value with a line feed in it must not pass for the reply to the next question.
#[tokio::test]
async fn a_reply_that_nobody_waits_for_ends_the_session() {
    for extra in ["200 result=52\n", "520-x\n", "200 result=1 (x\n", "nonsense\n"] {
        let (mut session, mut pbx) = session(&Settings::default()).await;
        let asterisk = async {
            pbx.on("GET VARIABLE \"A\"", &format!("200 result=1 (x)\n{extra}")).await;
            assert_eq!(pbx.hears().await, "", "the connection is closed");
        };
        let ours = async {
            session.get_variable("A").await.unwrap();
            let refused = session.wait_for_digit(SECOND).await;
            assert!(matches!(refused, Err(Error::Malformed(_))), "{extra:?} {refused:?}");
            assert!(matches!(session.answer().await, Err(Error::Closed)));
        };
        tokio::join!(asterisk, ours);
    }
}

#[tokio::test]
async fn nothing_is_read_or_written_after_the_end() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let (refused, ()) = tokio::join!(session.answer(), pbx.on("ANSWER", "no\nno\n200 result=0\n"));
    assert!(matches!(refused, Err(Error::Malformed(_))));
    assert!(matches!(session.answer().await, Err(Error::Closed)));

    let (mut session, mut pbx) = super::session(&Settings::default()).await;
    pbx.stream.shutdown().await.unwrap();
    assert!(matches!(session.answer().await, Err(Error::Closed)));
    assert_eq!(pbx.hears().await, "", "not a byte");
}

#[tokio::test]
async fn no_command_is_sent_before_the_last_is_answered() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let asterisk = async {
        assert_eq!(pbx.hears().await, "ANSWER");
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(pbx.stream.buffer().is_empty());
        pbx.says("200 result=0\n").await;
        pbx.on("CHANNEL STATUS", "200 result=6\n").await;
    };
    let ours = async {
        session.answer().await.unwrap();
        session.channel_status().await.unwrap();
    };
    tokio::join!(asterisk, ours);
}

#[tokio::test]
async fn the_end_of_the_connection() {
    for (last, hung_up) in [("", false), ("200 resu", false), ("HANGUP\nHANGUP\n", true)] {
        let (mut session, mut pbx) = session(&Settings::default()).await;
        let asterisk = async {
            pbx.on(STREAM, last).await;
            drop(pbx);
        };
        let (ended, ()) = tokio::join!(session.stream_file("a", Digits::ALL), asterisk);
        for ended in [ended.err(), session.answer().await.err()] {
            match ended {
                Some(Error::HungUp) => assert!(hung_up),
                Some(Error::Closed) => assert!(!hung_up),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(session.hung_up(), hung_up);
        assert_eq!(session.hangup().await.is_ok(), hung_up);
    }
}

/// A hangup between two commands, when the socket is closed at once, is still a hangup.
#[tokio::test]
async fn a_hangup_while_nothing_was_asked() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    pbx.says("HANGUP\n").await;
    drop(pbx);
    assert!(matches!(session.set_variable("A", "1").await, Err(Error::HungUp)));
    assert!(session.hung_up());
}

#[tokio::test(start_paused = true)]
async fn commands_have_deadlines() {
    let settings = Settings { command: 5 * SECOND, playback: 60 * SECOND, ..Settings::default() };
    for (command, seconds) in [(0, 5), (1, 65), (2, 8), (3, 5 + 60 + 2 * 5)] {
        let (mut session, mut pbx) = session(&settings).await;
        let start = Instant::now();
        let late = match command {
            0 => session.answer().await.err(),
            1 => session.stream_file("a", Digits::ALL).await.err(),
            2 => session.wait_for_digit(3 * SECOND).await.err(),
            _ => session.get_data("a", 2 * SECOND, 4).await.err(),
        };
        assert!(matches!(late, Some(Error::Deadline)), "{late:?}");
        assert_eq!(start.elapsed().as_secs(), seconds);
        assert_ne!(pbx.hears().await, "");
        assert_eq!(pbx.hears().await, "", "the connection is closed");
        assert!(matches!(session.answer().await, Err(Error::Closed)));
    }
    let forever = Settings { command: Duration::MAX, ..settings };
    let (mut session, mut pbx) = session(&forever).await;
    tokio::join!(pbx.on("WAIT FOR DIGIT 2147483647", "200 result=0\n"), async {
        session.wait_for_digit(Duration::MAX).await.unwrap();
    });
}

#[tokio::test(start_paused = true)]
async fn asterisk_may_stop_reading() {
    let (ours, theirs) = tokio::io::duplex(ENVIRONMENT.len());
    let mut pbx = Pbx::new(theirs);
    pbx.says(ENVIRONMENT).await;
    let mut session = Session::open(ours, peer(), &Settings::default()).await.unwrap();
    let text = "x".repeat(2000);
    assert!(matches!(session.verbose(&text, 1).await, Err(Error::Deadline)));
}

#[tokio::test]
async fn an_endless_reply_is_too_long() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let asterisk = async {
        assert_eq!(pbx.hears().await, "ANSWER");
        let _ = pbx.stream.write_all(&vec![b'x'; 1 << 20]).await;
    };
    let (refused, ()) = tokio::join!(session.answer(), asterisk);
    assert!(matches!(refused, Err(Error::TooLong)));
    assert!(matches!(session.answer().await, Err(Error::Closed)));
}

#[tokio::test]
async fn a_command_given_up_does_not_shift_the_replies() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    tokio::select! {
        biased;
        _ = session.stream_file("a", Digits::ALL) => panic!("nobody has answered"),
        command = pbx.hears() => assert_eq!(command, STREAM),
    }
    // The reply to the file must not be taken for the answer to the question.
    let asterisk = async {
        pbx.says("200 result=49 endpos=9760\n").await;
        pbx.on("WAIT FOR DIGIT 1000", "200 result=52\n").await;
    };
    let (key, ()) = tokio::join!(session.wait_for_digit(SECOND), asterisk);
    assert_eq!(key.unwrap(), digit('4'));
}

/// Gives up at every point there is: before, within and after the writing of the command and the
/// reading of its reply, each a byte at a time.
#[tokio::test]
async fn a_command_given_up_anywhere_does_not_shift_the_replies() {
    for polls in 0..60 {
        let (ours, theirs) = tokio::io::duplex(1);
        let asterisk = tokio::spawn(async move {
            let mut pbx = Pbx::new(theirs);
            pbx.says(ENVIRONMENT).await;
            let mut heard = Vec::new();
            loop {
                let command = pbx.hears().await;
                match command.as_str() {
                    "" => return heard,
                    "WAIT FOR DIGIT 1000" => pbx.says("200 result=52\n").await,
                    _ => pbx.says("HANGUP\n200 result=49 endpos=9760\n").await,
                }
                heard.push(command);
            }
        });
        let mut session = Session::open(ours, peer(), &Settings::default()).await.unwrap();
        {
            let mut playing = std::pin::pin!(session.stream_file("a", Digits::ALL));
            for _ in 0..polls {
                if futures_poll(playing.as_mut()).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        assert_eq!(session.wait_for_digit(SECOND).await.unwrap(), digit('4'), "{polls}");
        drop(session);
        let heard = asterisk.await.unwrap();
        assert_eq!(heard.last().unwrap(), "WAIT FOR DIGIT 1000");
        assert!(heard.len() == 1 || heard[0] == STREAM, "{heard:?}");
    }
}

/// Polls once.
async fn futures_poll<F: Future>(mut future: std::pin::Pin<&mut F>) -> bool {
    std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_ready())).await
}

#[tokio::test(start_paused = true)]
async fn a_command_given_up_keeps_its_own_deadline() {
    let settings = Settings { command: 5 * SECOND, playback: 60 * SECOND, ..Settings::default() };
    let (mut session, mut pbx) = session(&settings).await;
    let start = Instant::now();
    let given_up = tokio::time::timeout(SECOND, session.stream_file("a", Digits::ALL)).await;
    assert!(given_up.is_err());
    let late = session.wait_for_digit(SECOND).await;
    assert!(matches!(late, Err(Error::Deadline)), "{late:?}");
    assert_eq!(start.elapsed().as_secs(), 65);
    assert_eq!(pbx.hears().await, STREAM);
    assert_eq!(pbx.hears().await, "", "the second was never sent");
}

#[tokio::test(start_paused = true)]
async fn a_silent_or_slow_peer_is_let_go() {
    let settings = Settings { first_line: 5 * SECOND, environment: 10 * SECOND, ..Settings::default() };
    for (text, seconds) in [("", 5), ("agi_netw", 5), ("agi_uniqueid: 1\n", 10)] {
        let (ours, theirs) = tokio::io::duplex(64);
        let mut pbx = Pbx::new(theirs);
        pbx.says(text).await;
        let start = Instant::now();
        let refused = Session::open(ours, peer(), &settings).await;
        assert!(matches!(refused, Err(Error::Deadline)), "{refused:?}");
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    // A byte a second never ends by itself.
    let (ours, mut theirs) = tokio::io::duplex(64);
    let dripping = tokio::spawn(async move {
        let text = format!("a: 1\n{ENVIRONMENT}");
        for byte in text.trim_start_matches("a: 1\n").bytes() {
            if theirs.write_all(&[byte]).await.is_err() {
                return;
            }
            tokio::time::sleep(SECOND / 8).await;
        }
        panic!("it was read to the end");
    });
    let start = Instant::now();
    let refused = Session::open(ours, peer(), &settings).await;
    assert!(matches!(refused, Err(Error::Deadline)), "{refused:?}");
    assert_eq!(start.elapsed().as_secs(), 10);
    dripping.await.unwrap();
}

/// A conversation whose replies come in pieces cut anywhere, with `HANGUP` before any one of its
/// lines or nowhere; what it comes to.
fn conversation(cuts: &[usize], hangup_at: usize) -> (String, bool) {
    let script = [
        "200 result=0\n",
        "200 result=52 endpos=9760\n",
        "520-Invalid command syntax.\nUsage:\n520 End of proper usage.\n",
        "100 result=0 Trying...\n200 result=1 (Zürich )\u{20ac}( x)\n",
        "200 result=12*# (timeout)\n",
        "200 result=0\n",
    ];
    let mut line = 0;
    let script = script.map(|reply| {
        let mut bytes = String::new();
        for text in reply.split_inclusive('\n') {
            if line == hangup_at {
                bytes.push_str("HANGUP\n");
            }
            bytes.push_str(text);
            line += 1;
        }
        if line == hangup_at && reply == script[5] {
            bytes.push_str("HANGUP\n");
        }
        bytes
    });
    let cuts = cuts.to_vec();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async move {
        let (mut session, mut pbx) = session(&Settings::default()).await;
        let asterisk = async {
            let mut cuts = cuts.iter().copied().cycle();
            for reply in script {
                pbx.hears().await;
                let mut rest = reply.as_bytes();
                while !rest.is_empty() {
                    let (now, later) = rest.split_at(cuts.next().unwrap_or(64).min(rest.len()));
                    pbx.says(now).await;
                    tokio::task::yield_now().await;
                    rest = later;
                }
            }
        };
        let ours = async {
            let results = format!(
                "{:?}",
                (
                    session.wait_for_digit(SECOND).await,
                    session.stream_file("a", Digits::ALL).await,
                    session.answer().await,
                    session.get_variable("A").await,
                    session.get_data("a", SECOND, 4).await,
                    session.answer().await,
                )
            );
            (results, session)
        };
        let ((), (results, mut session)) = tokio::join!(asterisk, ours);
        // A line behind the last reply is read with the next command.
        drop(pbx);
        let _ = session.answer().await;
        (results, session.hung_up())
    })
}

/// The script above has this many lines.
const LINES: usize = 9;

#[test]
fn a_hangup_anywhere_changes_nothing_but_that_it_is_known() {
    let (plain, hung_up) = conversation(&[64], usize::MAX);
    assert!(!hung_up);
    assert!(plain.contains("Digit(4)") && plain.contains("12*#") && plain.contains("€"), "{plain}");
    for position in 0..=LINES {
        for cut in [1, 3, 64] {
            assert_eq!(conversation(&[cut], position), (plain.clone(), true), "{position} {cut}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_split_of_the_replies_gives_the_same_results(
        cuts in prop::collection::vec(1_usize..20, 1..8),
        hangup_at in 0_usize..=LINES,
    ) {
        let whole = conversation(&[64], hangup_at);
        prop_assert_eq!(conversation(&cuts, hangup_at), whole);
    }
}

/// Every recorded reply of Asterisk 22, in the order in which it came.
#[tokio::test]
async fn a_recorded_call_with_a_hangup_in_the_middle() {
    let (mut session, mut pbx) = session(&Settings::default()).await;
    let asterisk = async {
        pbx.on("STREAM FILE \"sounds/tts3\" \"1#\"", "200 result=-1 endpos=8160\n").await;
        pbx.on("CHANNEL STATUS", &format!("HANGUP\n{DEAD}")).await;
        pbx.on("WAIT FOR DIGIT 3000", DEAD).await;
        pbx.on("SET VARIABLE \"RINGDOWN_DONE\" \"1\"", "200 result=1\n").await;
        let mut rest = Vec::new();
        pbx.stream.read_to_end(&mut rest).await.unwrap();
        assert!(rest.is_empty());
    };
    let ours = async {
        let keys = "1#".chars().filter_map(Digit::new).collect();
        let played = session.stream_file("sounds/tts3", keys).await;
        assert!(matches!(played, Err(Error::HungUp)));
        assert!(matches!(session.wait_for_digit(3 * SECOND).await, Err(Error::HungUp)));
        session.set_variable("RINGDOWN_DONE", "1").await.unwrap();
        drop(session);
    };
    tokio::join!(asterisk, ours);
}
