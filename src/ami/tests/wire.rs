//! Bytes and headers, without a socket.

use std::{fs, path::Path, sync::LazyLock};

use proptest::{collection::vec, prelude::*};

use super::super::{Action, BadHeader, DecodeError, Decoder, Message};

const GREETING: &str = "Asterisk Call Manager/11.0.0\r\n";

/// Every recording as Asterisk sent it: the annotations (`###`) and their LF lines are taken out.
static RECORDINGS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/ami");
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| wire(&fs::read_to_string(path).unwrap())).collect()
});

/// The names of all events in the recordings.
static EVENTS: LazyLock<&'static [&'static str]> = LazyLock::new(|| {
    let text: &'static str = String::from_utf8(RECORDINGS.concat()).unwrap().leak();
    text.lines().filter_map(|line| line.strip_prefix("Event: ")).collect::<Vec<_>>().leak()
});

fn wire(recording: &str) -> Vec<u8> {
    let sent: String = recording.split_inclusive('\n').filter(|line| line.ends_with("\r\n")).collect();
    format!("{GREETING}{sent}").into_bytes()
}

type Decoded = (Vec<Message>, Option<DecodeError>);

fn decode(wanted: &'static [&'static str], pieces: &[&[u8]]) -> Decoded {
    let mut decoder = Decoder::new(wanted);
    let mut messages = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    (messages, None)
}

/// Cuts the bytes into pieces of these sizes, over and over.
fn pieces<'a>(mut bytes: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for &size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (piece, rest) = bytes.split_at(size.clamp(1, bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces
}

#[test]
fn every_block_of_every_recording_is_a_message_with_all_of_its_lines() {
    assert!(RECORDINGS.len() >= 40, "the recordings are missing");
    for recording in RECORDINGS.iter() {
        let text = std::str::from_utf8(recording).unwrap().strip_prefix(GREETING).unwrap();
        // The slow, obvious way.
        let expected: Vec<Vec<(&str, &str)>> = text
            .split_terminator("\r\n\r\n")
            // A TestEvent has one blank line too many behind it.
            .map(|block| {
                block.trim_start_matches("\r\n").split("\r\n").map(|line| line.split_once(": ").unwrap()).collect()
            })
            .collect();
        let (messages, error) = decode(*EVENTS, &[recording]);
        assert_eq!(error, None);
        let found: Vec<Vec<(&str, &str)>> = messages.iter().map(|message| message.iter().collect()).collect();
        assert_eq!(found, expected);
    }
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(
        at in 0..RECORDINGS.len(),
        sizes in prop_oneof![vec(1_usize..8, 1..9), vec(1_usize..900, 1..40)],
        bare_lf: bool,
    ) {
        let mut recording = RECORDINGS[at].clone();
        let expected = decode(*EVENTS, &[&recording]);
        if bare_lf {
            recording.retain(|&byte| byte != b'\r');
        }
        prop_assert_eq!(decode(*EVENTS, &pieces(&recording, &sizes)), expected);
    }

    #[test]
    fn any_bytes_give_the_same_in_any_split_and_no_panic(
        words in vec(prop_oneof![
            Just(b"Event: Hangup\r\n".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()),
            Just(b":".to_vec()), Just(b"ActionID: 1\n".to_vec()), vec(any::<u8>(), 0..6),
        ], 0..40),
        sizes in vec(1_usize..9, 1..9),
    ) {
        let bytes = [GREETING.as_bytes().to_vec(), words.concat()].concat();
        prop_assert_eq!(decode(&["Hangup"], &pieces(&bytes, &sizes)), decode(&["Hangup"], &[&bytes]));
    }

    #[test]
    fn no_value_sets_a_second_variable(value in "[^\r\n\0]{0,200}", nasty in r#"[a,"\\();=\[\]|&$ {}]{0,60}"#) {
        for value in [value, nasty] {
            let Ok(action) = Action::new("Originate").variable("TEXT", &value) else { continue };
            let message = Message::parse(&action.encode("1"));
            prop_assert_eq!(message.iter().count(), 3);
            let sent = message.get("Variable").unwrap();
            prop_assert_eq!(asterisk_splits(sent), vec![format!("TEXT={value}")]);
        }
    }
}

/// Asterisk's `__ast_app_separate_args(value, ',', remove_chars = 1, ..)` of main/app.c, as it
/// goes over the value of a `Variable` header.
fn asterisk_splits(value: &str) -> Vec<String> {
    let (mut arguments, mut argument) = (Vec::new(), String::new());
    let (mut parentheses, mut brackets, mut quoted) = (0_u32, 0_u32, false);
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                quoted = !quoted;
                continue;
            }
            '\\' => {
                argument.extend(characters.next());
                continue;
            }
            '(' => parentheses += 1,
            ')' => parentheses = parentheses.saturating_sub(1),
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            ',' if parentheses == 0 && brackets == 0 && !quoted => {
                arguments.push(std::mem::take(&mut argument));
                continue;
            }
            _ => {}
        }
        argument.push(character);
    }
    arguments.push(argument);
    arguments
}

#[test]
fn the_oracle_splits_as_asterisk_was_seen_to() {
    assert_eq!(asterisk_splits("A=1,B=2"), ["A=1", "B=2"]);
    assert_eq!(asterisk_splits(r#"A="1,2",B=3"#), ["A=1,2", "B=3"]);
    assert_eq!(asterisk_splits(r"A=1\,2;C=3"), ["A=1,2;C=3"]);
}

#[test]
fn nothing_begins_a_new_line() {
    for value in ["a\r\nAction: Command", "a\nAction: Command", "a\rb", "a\0b"] {
        assert_eq!(Action::new("X").header("Exten", value).unwrap_err(), BadHeader::Control("Exten"));
        assert_eq!(Action::new("X").variable("A", value).unwrap_err(), BadHeader::Control("Variable"));
    }
    for name in ["", "A b", "A:", "A\r\nAction", "Action", "actionid", "VARIABLE"] {
        assert_eq!(Action::new("X").header(name, "v").unwrap_err(), BadHeader::Name(name));
    }
    for name in ["", "lower", "GLOBAL(X)", "A,B", "A=B", "A B", "Ä", "A\n"] {
        assert_eq!(Action::new("X").variable(name, "v").unwrap_err(), BadHeader::VariableName);
    }
}

#[test]
fn what_asterisk_would_throw_away_is_not_sent() {
    let line = |length: usize| Action::new("X").header("Exten", &"x".repeat(length - "Exten: ".len()));
    assert!(line(1000).is_ok());
    assert_eq!(line(1001).unwrap_err(), BadHeader::TooLong("Exten"));
    // The backslashes count.
    assert_eq!(Action::new("X").variable("A", &",".repeat(600)).unwrap_err(), BadHeader::TooLong("Variable"));

    let mut action = Action::new("X");
    for _ in 0..118 {
        action = action.header("Codecs", "ulaw").unwrap();
    }
    assert_eq!(Message::parse(&action.encode("1")).iter().count(), 120);
    assert_eq!(action.header("Codecs", "ulaw").unwrap_err(), BadHeader::TooMany);
}

#[test]
fn an_action_is_written_in_its_order_with_variables_repeated() {
    let action = Action::new("Originate").header("Exten", "s").unwrap().variable("A", "1").unwrap();
    let action = action.variable("B", "x=1, \"y\"").unwrap().header("Async", "true").unwrap();
    let expected = "Action: Originate\r\nActionID: id-7\r\nExten: s\r\nVariable: A=1\r\n\
                    Variable: B=x=1\\, \\\"y\\\"\r\nAsync: true\r\n\r\n";
    assert_eq!(String::from_utf8(action.encode("id-7")).unwrap(), expected);
    let shown = format!("{:?}", Action::new("Login").header("Secret", "sesame").unwrap());
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn repeated_headers_are_kept_and_names_have_no_case() {
    let message = Message::parse(
        b"Event: Status\r\nChanVariable: a=1\r\nno colon\r\n:\r\nCHANVARIABLE: b: 2\r\nEmpty: \r\nBad: \xff\r\n",
    );
    assert_eq!(message.all("chanvariable").collect::<Vec<_>>(), ["a=1", "b: 2"]);
    assert_eq!(message.get("ChanVariable"), Some("a=1"));
    assert_eq!((message.get("empty"), message.get("missing")), (Some(""), None));
    assert_eq!(message.get("Bad"), Some("\u{fffd}"));
    assert_eq!(message.iter().count(), 5);
}

#[test]
fn only_a_response_can_be_a_success() {
    let success = |raw: &[u8]| Message::parse(raw).is_success();
    assert!(success(b"Response: Success\r\n") && success(b"response: Goodbye\r\n"));
    assert!(!success(b"Response: Error\r\n") && !success(b"Event: Success\r\n") && !success(b"Status: Success\r\n"));
}

#[test]
fn the_greeting_is_taken_or_refused() {
    let mut decoder = Decoder::new(&[]);
    decoder.push(b"Asterisk Call Mana");
    assert_eq!((decoder.next_message(), decoder.greeting()), (Ok(None), None));
    decoder.push(b"ger/2.10.6\r\nResponse: Success\r\n\r\n");
    assert_eq!(decoder.next_message().unwrap().unwrap().get("Response"), Some("Success"));
    assert_eq!(decoder.greeting(), Some("Asterisk Call Manager/2.10.6"));
    assert_eq!(decode(&[], &[b"SSH-2.0-OpenSSH_9.2\r\n"]).1, Some(DecodeError::Greeting));
}

#[test]
fn unwanted_events_are_skipped_unless_they_may_be_part_of_an_answer() {
    let stream = b"Event: VarSet\r\nValue: 1\r\n\r\nEvent: hangup\r\nCause: 17\r\n\r\n\
        Event: Status\r\nChannel: a\r\nActionID: 5\r\n\r\nEvent: VarSet\r\n\r\n";
    let (messages, _) = decode(&["Hangup"], &[GREETING.as_bytes(), stream]);
    let names: Vec<_> = messages.iter().map(|message| message.event().unwrap()).collect();
    assert_eq!(names, ["hangup", "Status"]);
}

#[test]
fn what_does_not_end_is_an_error_wherever_it_is_split() {
    let long_line = vec![b'x'; 64 * 1024 + 1];
    let long_message = [b"Name: ".as_slice(), &[b'x'; 300], b"\n"].concat().repeat(1900);
    let many_lines = b"A: b\r\n".repeat(2001);
    let both = [b"A: b\n".repeat(2).as_slice(), &long_line].concat();
    // The message becomes too long within a line that is too long as well, but later.
    let late = [b"A: b\n".repeat(2).as_slice(), &long_message[..1500 * 307], &long_line].concat();
    let ended = [long_line.as_slice(), b"\r\n\r\n"].concat();
    for (bytes, expected) in [
        (&long_line, DecodeError::Line),
        (&long_message, DecodeError::Message),
        (&many_lines, DecodeError::Headers),
        (&both, DecodeError::Line),
        (&late, DecodeError::Message),
        (&ended, DecodeError::Line),
    ] {
        let bytes = [GREETING.as_bytes(), b"Event: Hangup\n\n", bytes].concat();
        for size in [3, 1000, 4096, bytes.len()] {
            let (messages, error) = decode(&["Hangup"], &pieces(&bytes, &[size]));
            assert_eq!((messages.len(), error), (1, Some(expected)), "in pieces of {size}");
        }
    }
    let mut decoder = Decoder::new(&[]);
    decoder.push(b"garbage\n");
    assert!(decoder.next_message().is_err());
    decoder.push(GREETING.as_bytes());
    assert_eq!(decoder.next_message(), Err(DecodeError::Greeting), "it stays broken");
}
