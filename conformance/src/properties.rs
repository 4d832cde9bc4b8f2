//! What must hold of any bytes, beyond that nothing panics and everything ends.
//!
//! One function for each fuzz target (`fuzz/`), which the tests call as well, with every file of the corpus and
//! every input that ever broke one of them. Each panics if its property does not hold.

mod pipe;

use std::{cell::LazyCell, future::Future};

use pipe::Pipe;
use ringdown::{
    agi::{Digits, Session, Settings},
    ami::{Action, DecodeError, Decoder, Message},
    api::delivered,
    config::Per,
    engine::{Alert, PolicyChoice},
    triage::{Matcher, parse_matchers},
};
use tokio::runtime::{Builder, Runtime};

/// How one input is cut into reads.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Bytes,
    /// Somewhere, as this number has it.
    Somewhere(u64),
}

impl Cut {
    /// All ways for this input; the same ones each time.
    fn ways(bytes: &[u8]) -> [Self; 3] {
        // FNV-1a: the input itself says where it is cut, so that a crash comes again.
        let seed = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        [Self::Whole, Self::Bytes, Self::Somewhere(seed | 1)]
    }

    /// How many of these bytes come with the next read; at least one if there are any.
    fn next(&mut self, left: usize) -> usize {
        let most = match self {
            Self::Whole => left,
            Self::Bytes => 1,
            Self::Somewhere(state) => {
                // xorshift64
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                usize::from((*state >> 32).to_le_bytes()[0] % 32) + 1
            }
        };
        most.min(left)
    }
}

/// AMI: the messages, and the error, are the same however the bytes are cut into reads; each message holds nothing
/// that did not come; and a text that an action takes is read back as it was.
pub fn ami(bytes: &[u8]) {
    let [whole, others @ ..] = Cut::ways(bytes).map(|cut| decoded(bytes, cut));
    for other in others {
        assert_eq!(whole, other, "cut differently, something else was read");
    }
    let length = |message: &Message| message.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    // What is not UTF-8 becomes three bytes for one.
    assert!(whole.messages.iter().map(length).sum::<usize>() <= 3 * bytes.len());

    let Ok(text) = str::from_utf8(bytes) else { return };
    let action = |action: Action| {
        let encoded = action.encode("id");
        let mut decoder = Decoder::new(&[]);
        decoder.push(b"Asterisk Call Manager/11.0.0\r\n");
        decoder.push(&encoded);
        let message = decoder.next_message().expect("AMI").expect("a message");
        assert_eq!(decoder.next_message(), Ok(None), "one action is one message");
        assert_eq!(message.iter().count(), 3, "no header but those that were put on: {message:?}");
        message
    };
    if let Ok(with) = Action::new("Test").header("Value", text) {
        assert_eq!(action(with).get("Value"), Some(text));
    }
    if let Ok(with) = Action::new("Test").variable("VALUE", text) {
        let message = action(with);
        let pair = message.get("Variable").and_then(|pair| pair.strip_prefix("VALUE=")).expect("one variable");
        assert_eq!(split_arguments(pair), [text], "it is one variable, with this value");
    }
}

/// What came of a stream.
#[derive(Debug, PartialEq)]
struct Decoded {
    greeting: Option<String>,
    messages: Vec<Message>,
    error: Option<DecodeError>,
}

fn decoded(bytes: &[u8], mut cut: Cut) -> Decoded {
    let mut decoder = Decoder::new(&["Hangup", "Newchannel", "OriginateResponse"]);
    let (mut rest, mut messages, mut error) = (bytes, Vec::new(), None);
    while !rest.is_empty() && error.is_none() {
        let (now, later) = rest.split_at(cut.next(rest.len()));
        rest = later;
        decoder.push(now);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(failed) => {
                    error = Some(failed);
                    break;
                }
            }
        }
    }
    Decoded { greeting: decoder.greeting().map(str::to_owned), messages, error }
}

/// How Asterisk splits what stands in `Variable`: at commas, but for those within parentheses, brackets or quotes
/// or behind a backslash, which goes away, like the quotes. Written from what `__ast_app_separate_args` does.
fn split_arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut escaped, mut quoted, mut open) = (vec![String::new()], false, false, 0_i32);
    for character in text.chars() {
        if !escaped {
            match character {
                '\\' => {
                    escaped = true;
                    continue;
                }
                '"' => {
                    quoted = !quoted;
                    continue;
                }
                '(' | '[' => open += 1,
                ')' | ']' => open -= 1,
                ',' if open <= 0 && !quoted => {
                    arguments.push(String::new());
                    continue;
                }
                _ => {}
            }
        }
        escaped = false;
        if let Some(last) = arguments.last_mut() {
            last.push(character);
        }
    }
    arguments
}

/// Separates, in an input for [`agi`], what comes before the first command from what comes after it, and so on.
pub const AFTER_A_COMMAND: u8 = 0x1e;

/// The most that comes after one command: what a session reads at a time.
const MOST: usize = 4096;

/// AGI: the environment, what became of every command, and whether the channel is hung up are the same however the
/// bytes are cut into reads; and after an error of the connection no later command is answered.
pub fn agi(bytes: &[u8]) {
    thread_local! {
        static RUNTIME: LazyCell<Runtime> =
            LazyCell::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    }
    let parts: Vec<&[u8]> =
        bytes.split(|byte| *byte == AFTER_A_COMMAND).map(|part| &part[..part.len().min(MOST)]).collect();
    RUNTIME.with(|runtime| {
        let [whole, others @ ..] = Cut::ways(bytes).map(|cut| runtime.block_on(conversation(&parts, cut)));
        for other in others {
            assert_eq!(whole, other, "cut differently, something else was understood");
        }
    });
}

/// A session that gives one command after the other, as long as something is answered. Returns what it understood.
async fn conversation(parts: &[&[u8]], cut: Cut) -> Vec<String> {
    let (pipe, end) = Pipe::new(parts, cut);
    let settings = Settings { header_count: 16, line_length: 512, ..Settings::default() };
    let mut session = match Session::open(pipe, ([127, 0, 0, 1], 1).into(), &settings).await {
        Ok(session) => session,
        Err(error) => return vec![format!("{error:?}")],
    };
    let mut said = vec![format!("{:?}", session.request())];
    end.arrive();
    let mut gone = false;
    for nth in 1..parts.len().min(16) {
        let answer = match nth % 8 {
            1 => heard(session.answer()).await,
            2 => heard(session.stream_file("/tmp/words", Digits::ALL)).await,
            3 => heard(session.get_data("/tmp/words", std::time::Duration::from_secs(1), 4)).await,
            4 => heard(session.get_variable("NAME")).await,
            5 => heard(session.exec("NoOp", &["a"])).await,
            6 => heard(session.wait_for_digit(std::time::Duration::from_secs(1))).await,
            7 => heard(session.channel_status()).await,
            _ => heard(session.hangup()).await,
        };
        let is_gone = ["Err(Closed", "Err(Malformed", "Err(TooLong", "Err(Io", "Err(Deadline"]
            .iter()
            .any(|word| answer.starts_with(word));
        let hung_up = answer.starts_with("Err(HungUp") || (nth % 8 == 0 && answer == "Ok(())");
        assert!(!gone || is_gone || hung_up, "a command was answered on a connection that is over: {answer}");
        gone |= is_gone;
        said.push(format!("{answer} {}", session.hung_up()));
    }
    said
}

async fn heard<T: std::fmt::Debug>(command: impl Future<Output = T>) -> String {
    format!("{:?}", command.await)
}

/// Alertmanager's webhook: the same body is the same alerts each time; one for a group, and one for each alert of it
/// else; and a database can store all of it.
pub fn alertmanager(body: &[u8]) {
    let read = |per| delivered(body, &PolicyChoice::Default, "fuzz", per);
    let (Ok(group), Ok(each)) = (read(Per::Group), read(Per::Alert)) else {
        assert!(read(Per::Group).is_err() && read(Per::Alert).is_err(), "understood in one way only");
        return;
    };
    assert_eq!(shown(&group), shown(&read(Per::Group).expect("read before")), "read twice, it is something else");
    assert_eq!(shown(&each), shown(&read(Per::Alert).expect("read before")), "read twice, it is something else");
    assert_eq!(group.len(), 1);
    assert_eq!(group[0].content.members.len(), each.len());
    for alert in group.iter().chain(&each) {
        assert!(!alert.dedup_key.is_empty() && alert.dedup_key.len() <= 200, "{:?}", alert.dedup_key);
        assert!(!alert.content.summary.trim().is_empty(), "nothing would be spoken");
        // PostgreSQL stores no NUL in a text.
        assert!(!format!("{alert:?}").contains("\\0"), "{alert:?}");
        if alert.all_over {
            assert!(alert.content.truncated == 0, "what was left out may still fire");
        }
    }
    for (of_group, alone) in group[0].content.members.iter().zip(&each) {
        assert_eq!(std::slice::from_ref(of_group), alone.content.members);
    }
}

fn shown(alerts: &[Alert]) -> String {
    format!("{alerts:?}")
}

/// Matchers: what is displayed is read as the same, alone and in a list; and it decides the same.
pub fn matchers(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let alone = text.parse::<Matcher>();
    let list = parse_matchers(text);
    if let Ok(matcher) = &alone {
        assert_eq!(list.as_deref(), Ok(std::slice::from_ref(matcher)), "alone it is a matcher, in a list another");
    }
    let Ok(matchers) = list else { return };
    let displayed: Vec<String> = matchers.iter().map(ToString::to_string).collect();
    for (matcher, displayed) in matchers.iter().zip(&displayed) {
        let again: Matcher = displayed.parse().expect("what is displayed is a matcher");
        assert_eq!(&again, matcher, "displayed as {displayed}");
        assert_eq!(&again.to_string(), displayed);
        for value in ["", text, matcher.value(), matcher.name()] {
            assert_eq!(again.accepts(value), matcher.accepts(value));
        }
    }
    let joined = format!("{{{}}}", displayed.join(", "));
    assert_eq!(parse_matchers(&joined), Ok(matchers), "displayed as {joined}");
}
