//! Lines, replies, requests and command lines, without I/O.

use std::time::Duration;

use proptest::prelude::*;

use super::{ENVIRONMENT, opened};
use crate::agi::{
    Digit, Digits, Error,
    command::{self, Command, LONGEST},
    lines::Lines,
    reply::{Outcome, Replies, Reply},
};

fn done(result: &str, data: Option<&str>, end: Option<i64>) -> Reply {
    Reply::Done(Outcome { result: result.to_owned(), data: data.map(str::to_owned), end })
}

fn replies(text: &str) -> Result<Vec<Reply>, Error> {
    let mut replies = Replies::new(1000);
    let mut found = Vec::new();
    for line in text.lines() {
        found.extend(replies.line(line)?);
    }
    Ok(found)
}

#[test]
fn every_kind_of_reply() {
    let usage = "Invalid command syntax.  Proper usage follows:\nUsage: STREAM FILE\n520-still\n200 result=1";
    let dead = "511 Command Not Permitted on a dead channel or intercept routine";
    for (text, expected) in [
        ("200 result=0", done("0", None, None)),
        ("200 result=1", done("1", None, None)),
        ("200 result=-1 endpos=8160", done("-1", None, Some(8160))),
        ("200 result=0 endpos=-1", done("0", None, Some(-1))),
        ("200 result=0 (x) endpos=-1", done("0", Some("x"), Some(-1))),
        ("200 result=49 endpos=9760", done("49", None, Some(9760))),
        ("200 result=115 (timeout)", done("115", Some("timeout"), None)),
        ("200 result= (timeout)", done("", Some("timeout"), None)),
        ("200 result=", done("", None, None)),
        ("200 result=12*#", done("12*#", None, None)),
        ("200 result=1 ()", done("1", Some(""), None)),
        ("200 result=1 (a) b (c d))", done("1", Some("a) b (c d)"), None)),
        ("200 result=1 (Zürich: 200 result=5)", done("1", Some("Zürich: 200 result=5"), None)),
        ("200 result=1 (two\nlines)", done("1", Some("two\nlines"), None)),
        ("200 result=1 (\n\nthree (x) \n)", done("1", Some("\n\nthree (x) \n"), None)),
        ("200 result=0 (timeout) endpos=5", done("0", Some("timeout"), Some(5))),
        ("100 result=0 Trying...\n200 result=0", done("0", None, None)),
        ("510 Invalid or unknown command", Reply::Unknown),
        (dead, Reply::Dead),
        (
            "520 Invalid command syntax.  Proper usage not available.",
            Reply::Usage("Invalid command syntax.  Proper usage not available.".to_owned()),
        ),
        (
            "520-Invalid command syntax.  Proper usage follows:\nUsage: STREAM FILE\n520-still\n200 result=1\n520 End of proper usage.",
            Reply::Usage(usage.to_owned()),
        ),
    ] {
        assert_eq!(replies(text).unwrap(), [expected], "{text}");
    }
}

#[test]
fn what_is_no_reply_is_refused() {
    for text in [
        "200",
        "200 ",
        "200 ok",
        "201 result=1",
        "200result=1",
        "2",
        "GET / HTTP/1.1",
        "hangup",
        "Zürich",
        "ab\u{20ac}",
    ] {
        let refused = replies(text);
        assert!(matches!(refused, Err(Error::Malformed(_))), "{text}: {refused:?}");
    }
}

#[test]
fn a_reply_of_endless_lines_is_too_long() {
    let lines = "x".repeat(99) + "\n";
    for first in ["520-", "200 result=1 ("] {
        let enough = format!("{first}\n{}", lines.repeat(9));
        assert_eq!(replies(&enough).unwrap(), []);
        let too_long = format!("{first}\n{}", lines.repeat(11));
        assert!(matches!(replies(&too_long), Err(Error::TooLong)), "{first}");
    }
}

#[test]
fn keys() {
    assert_eq!(Digits::ALL.to_string(), "0123456789*#");
    assert_eq!(Digits::NONE.to_string(), "");
    let some: Digits = "#4A".chars().filter_map(Digit::new).collect();
    assert_eq!(some.to_string(), "4#A");
    assert!(some.contains(Digit::new('A').unwrap()));
    assert!(!Digits::ALL.contains(Digit::new('A').unwrap()));
    for none in ['E', 'a', '\0', ' ', 'ä', '\u{131}'] {
        assert_eq!(Digit::new(none), None);
    }
}

/// The lines of `bytes` when they come in pieces that end at `cuts`.
fn lines_of(bytes: &[u8], cuts: &[usize]) -> Vec<String> {
    let mut lines = Lines::new(100);
    let mut found = Vec::new();
    let mut start = 0;
    for end in cuts.iter().copied().chain([bytes.len()]) {
        let end = end.clamp(start, bytes.len());
        lines.space().extend_from_slice(&bytes[start..end]);
        start = end;
        while let Some(line) = lines.next().unwrap() {
            found.push(line);
        }
    }
    found
}

#[test]
fn line_limits() {
    for (length, fits) in [(99, true), (100, true), (101, false)] {
        let mut lines = Lines::new(100);
        lines.space().extend(vec![b'x'; length]);
        assert_eq!(lines.next().is_ok(), fits, "{length} bytes without an end");
        let mut lines = Lines::new(100);
        lines.space().extend(vec![b'x'; length]);
        lines.space().push(b'\n');
        assert_eq!(lines.next().is_ok(), fits, "{length} bytes with one");
    }
}

/// A byte at a time, a long line costs as much as the bytes it has: seconds even unoptimised, if each were looked at
/// each time.
#[test]
fn no_byte_is_looked_at_twice() {
    let mut lines = Lines::new(300_000);
    let start = std::time::Instant::now();
    for _ in 0..300_000 {
        lines.space().push(b'x');
        assert!(lines.next().unwrap().is_none());
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}

/// What Asterisk's `parse_args` makes of a command line: its state machine, written anew.
fn asterisk_reads(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let (mut in_word, mut in_quotes, mut after_backslash) = (false, false, false);
    for &byte in line {
        let literal = match byte {
            b'\\' | b'"' => after_backslash,
            b' ' | b'\t' => in_quotes || after_backslash,
            _ => true,
        };
        if literal {
            if !in_word {
                words.push(Vec::new());
                in_word = true;
            }
            words.last_mut().unwrap().push(byte);
            after_backslash = false;
        } else if byte == b'\\' {
            after_backslash = true;
        } else if byte == b'"' {
            in_quotes = !in_quotes;
            if in_quotes && !in_word {
                words.push(Vec::new());
                in_word = true;
            }
        } else {
            in_word = false;
        }
    }
    words
}

fn environment_with(lines: &str) -> Vec<u8> {
    format!("agi_uniqueid: 1\n{lines}\n").into_bytes()
}

#[tokio::test]
async fn the_environment() {
    let session = opened(ENVIRONMENT.as_bytes()).await.unwrap();
    let request = session.request();
    assert_eq!(request.path(), "/alert");
    assert_eq!(request.query("call"), Some("53634cd4"));
    assert_eq!(request.query("lang"), Some("de AT"));
    assert_eq!(request.query("agi_arg_1"), None);
    assert_eq!(request.uniqueid(), "53634cd4aed14c1396742f8e94798ba5");
    assert_eq!(request.channel(), "Local/1000@fakephone-00000002;1");
    assert_eq!(request.language(), "en");
    assert_eq!(request.caller_id(), Some("5550100"));
    assert_eq!(request.caller_name(), Some("Alarm: disk, Zürich"));
    assert_eq!(request.get("agi_dnid"), Some("unknown"));
    assert_eq!(request.get("agi_accountcode"), Some(""));
    assert_eq!(request.get("agi_absent"), None);
    assert_eq!(request.args(), ["one", "two words"]);
    assert_eq!(request.arg(0), None);
    assert_eq!(request.arg(1), Some("one"));
    assert_eq!(request.arg(3), None);
    assert!(!session.hung_up());
}

#[tokio::test]
async fn odd_environments() {
    let long = "ü".repeat(2500);
    let lines = format!(
        "agi_new_in_23: kept\nagi_callerid: unknown\nagi_calleridname:  x: y \nagi_dnid:\n\
         agi_arg_1: {long}\nagi_arg_3: not reached\nother: dropped\nno colon\nHANGUP\n"
    );
    let mut bytes = environment_with(&lines);
    bytes.splice(0..0, *b"agi_bad: \xff\xfe!\r\n");
    let session = opened(&bytes).await.unwrap();
    let request = session.request();
    assert!(session.hung_up());
    assert_eq!(request.path(), "/");
    assert_eq!(request.get("agi_bad"), Some("\u{fffd}\u{fffd}!"));
    assert_eq!(request.get("agi_new_in_23"), Some("kept"));
    assert_eq!(request.get("other"), None);
    assert_eq!(request.caller_id(), None);
    assert_eq!(request.caller_name(), Some(" x: y "));
    assert_eq!(request.get("agi_dnid"), Some(""));
    assert_eq!(request.args(), [long]);
}

#[tokio::test]
async fn a_line_feed_in_a_callers_name_cannot_pose_as_another_call() {
    let forged = environment_with("agi_calleridname: x\nagi_uniqueid: 2\nrest of the name\n");
    let session = opened(&forged).await.unwrap();
    assert_eq!(session.request().uniqueid(), "1");
}

#[tokio::test]
async fn paths() {
    for (line, path, query) in [
        ("agi_network_script: a/b?q=1", "/a/b", Some("1")),
        ("agi_network_script: /a", "/a", None),
        ("agi_network_script: ?q=%C3%BC+%2B", "/", Some("ü +")),
        ("agi_network_script: a?q=1&q=2", "/a", Some("1")),
        ("agi_network_script: a?q=%zz%ff", "/a", Some("%zz\u{fffd}")),
        ("agi_request: agi://[::1]:4573/a?q=x?y", "/a", Some("x?y")),
        ("agi_request: agi://host", "/", None),
        ("agi_request: nonsense", "/", None),
        ("agi_network: yes", "/", None),
    ] {
        let session = opened(&environment_with(&format!("{line}\n"))).await.unwrap();
        let request = session.request();
        assert_eq!((request.path(), request.query("q")), (path, query), "{line}");
    }
}

#[tokio::test]
async fn environments_that_are_none() {
    assert!(matches!(opened(b"").await, Err(Error::Closed)));
    assert!(matches!(opened(b"\n").await, Err(Error::Closed)));
    assert!(matches!(opened(b"HANGUP\nHANGUP\n").await, Err(Error::Closed)));
    assert!(matches!(opened(b"agi_uniqueid: 1\n").await, Err(Error::Closed)));
    for text in ["GET / HTTP/1.1\r\n\r\n", "agi_channel: x\n\n", "agi_uniqueid: \n\n", "agi_\n\n"] {
        let refused = opened(text.as_bytes()).await;
        assert!(matches!(refused, Err(Error::Malformed(_))), "{text:?}: {refused:?}");
    }
    let headers = environment_with(&"agi_x: 1\n".repeat(256));
    assert!(matches!(opened(&headers).await, Err(Error::TooLong)));
    let bytes = environment_with(&format!("agi_x: {}\n", "x".repeat(16_000)).repeat(5));
    assert!(matches!(opened(&bytes).await, Err(Error::TooLong)));
    let endless = environment_with(&"x".repeat(1 << 20));
    assert!(matches!(opened(&endless).await, Err(Error::TooLong)));
}

#[test]
fn what_cannot_be_said_is_refused() {
    for text in ["a\nb", "a\rb", "a\0b", "\n"] {
        let refused = Command::new("NOOP").arg(text);
        assert!(matches!(refused, Err(Error::BadArgument(_))), "{text:?}");
    }
    for name in ["", "1A", "A B", "A(b)", "${A}", "A,B", "Ä", "A\n", "A\""] {
        assert!(command::plain_name(name).is_err(), "{name:?}");
    }
    for name in ["A", "__X_1", "RINGDOWN_DONE", "x9"] {
        assert_eq!(command::plain_name(name).unwrap(), name);
    }
    for args in
        [["a,b", ""], ["\"", "\""], ["a\\", "b"], ["S(", "5)"], ["S(", "5"], ["[", "]"], ["(]", "[)"], [")", "("]]
    {
        assert!(command::application_arguments(&args).is_err(), "{args:?}");
    }
    let joined = command::application_arguments(&["a b", "S(5)[x]", ""]).unwrap();
    assert_eq!(joined, "a b,S(5)[x],");
}

/// Asterisk would take what is beyond its buffer for another command.
#[test]
fn no_command_is_longer_than_asterisks_buffer() {
    let with = |length: usize| Command::new("NOOP").arg(&"x".repeat(length)).unwrap().line();
    let most = LONGEST - "NOOP \"\"\n".len();
    assert_eq!(with(most).unwrap().len(), 2047);
    assert!(matches!(with(most + 1), Err(Error::BadArgument(_))));
}

#[test]
fn milliseconds_are_rounded_up_and_bounded() {
    for (time, expected) in [
        (Duration::ZERO, 0),
        (Duration::from_nanos(1), 1),
        (Duration::from_micros(1001), 2),
        (Duration::from_secs(3), 3000),
        (Duration::MAX, 2_147_483_647),
    ] {
        assert_eq!(command::milliseconds(time), expected);
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_lines(
        text in "([a-zü€ ]{0,6}\r?\n?){0,12}",
        cuts in prop::collection::vec(0_usize..100, 0..12),
    ) {
        let mut cuts = cuts;
        cuts.sort_unstable();
        prop_assert_eq!(lines_of(text.as_bytes(), &cuts), lines_of(text.as_bytes(), &[]));
    }

    #[test]
    fn asterisk_reads_back_what_was_meant(
        args in prop::collection::vec("([^\r\n\0]|[\"\\\\ \t]){0,12}", 0..6),
    ) {
        let mut command = Command::new("NOOP");
        for arg in &args {
            command = command.arg(arg).unwrap();
        }
        let line = command.line().unwrap();
        let (end, line) = line.split_last().unwrap();
        prop_assert_eq!(*end, b'\n');
        prop_assert!(!line.contains(&b'\n'));
        let words = asterisk_reads(line);
        prop_assert_eq!(&words[0], b"NOOP");
        let read: Vec<&[u8]> = words[1..].iter().map(Vec::as_slice).collect();
        let meant: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        prop_assert_eq!(read, meant);
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "(520[- ]|200 |result=|[()]|endpos=|\n|\\PC){0,40}") {
        let _ = replies(&text);
    }
}
