use chrono::TimeDelta;
use proptest::prelude::*;
use uuid::Uuid;

use super::{words::WORDS, *};

const KEYS: Keys = Keys { acknowledge: '4', escalate: '5', resolve: '6' };

fn read(text: &str) -> Meaning {
    Meaning::of(text, KEYS)
}

fn act(verb: Verb, which: Which) -> Meaning {
    Meaning::Act { verb, which }
}

fn coded(verb: Verb, codes: &[u32]) -> Meaning {
    act(verb, Which::Coded(codes.to_vec()))
}

fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_348_800, 0).expect("an instant")
}

#[test]
fn what_people_write_is_understood() {
    use Verb::{Acknowledge as Ack, Escalate as Esc, Resolve as Res};
    let unsaid = |verb| act(verb, Which::Unsaid);
    let all = |verb| act(verb, Which::All);
    for (texts, meaning) in [
        (
            &[
                "4",
                " 4 ",
                "4.",
                "4!",
                "４",
                "٤",
                "4\u{fe0f}\u{20e3}",
                "\"4\"",
                "ack",
                "ACK",
                "Ack.",
                "ack!!!",
                "ok, ack",
                "I take it",
                "ack please",
                "4 thanks",
                "ack\n-- \nBen",
                "ack -- Ben, +49 151 1234567",
                "4\n\nBen Muster",
                "ack\n+49 151 123456",
                "ack\n0151 2345678",
                "ack\nroom 17",
                "Bestätigt",
                "bestaetigt",
                "ich übernehme das",
                "Lo tomo",
                "je prends",
                "confermo",
                "Bevestigd",
                "принял",
                "ПРИНЯЛ",
                "подтверждаю.",
                "4 👍",
                "ack\r\n",
                "\u{feff}ack",
                "ack ack",
                "4 ack",
            ][..],
            unsaid(Ack),
        ),
        (&["5", "escalate", "eskalieren", "siguiente", "suivant", "Prossimo!", "volgende", "следующий"], unsaid(Esc)),
        (
            &["6", "resolved", "DONE.", "erledigt", "gelöst", "resuelto", "résolu", "risolto", "opgelost", "решено"],
            unsaid(Res),
        ),
        (&["ack all", "4 alle", "все принял", "all ack", "tout confirmé", "ack\nall"], all(Ack)),
        (
            &[
                "ack 17",
                "ack17",
                "ACK #17",
                "4 17",
                "ack: 17.",
                "17 ack",
                "ack incident number 17",
                "ack\n17",
                "ack １７",
                "ack 17\nBen",
            ],
            coded(Ack, &[17]),
        ),
        (
            &["ack 17 18", "ack 17,18", "ack 17+18", "4 17 & 18", "ack 17 und 18", "ack\n17\n18", "ack 17 18 17"],
            coded(Ack, &[17, 18]),
        ),
        (&["6 17", "résolu 17", "done: 17"], coded(Res, &[17])),
        (&["5 6"], coded(Esc, &[6])),
        (
            &[
                "stop",
                "STOP",
                "Stop!",
                "stopp",
                "STOP please",
                "parar",
                "arrêt",
                "basta",
                "afmelden",
                "СТОП",
                "stop all",
            ],
            Meaning::Stop,
        ),
        (&["start", "Unstop", "anmelden", "старт"], Meaning::Start),
        (&["help", "?", "??", "¿?", "Hilfe", "ayuda", "aide", "aiuto", "hulp", "помощь"], Meaning::Help),
        (
            &[
                "",
                " ",
                "\n\n",
                "17",
                "44",
                "7",
                "0",
                "hello",
                "ok",
                "yes",
                "thanks",
                "4 people are on it",
                "don't ack",
                "not resolved",
                "nicht erledigt",
                "ack resolve",
                "ack stop",
                "stop 17",
                "ack 1234567",
                "ack 17 in 5 minutes",
                "4a",
                "ackack",
                "stop the pump",
                "what about 17?",
                "-- ack",
                "¹",
                "😀",
                "all",
                "I'm driving with Do Not Disturb While Driving turned on.",
                "ack 17 -18x",
            ],
            Meaning::Unknown,
        ),
    ] {
        for text in texts {
            assert_eq!(read(text), meaning, "{text:?}");
        }
    }
}

/// Slow and obvious: every word of every language by itself, in the ways in which people write it.
#[test]
fn every_word_of_every_language_means_what_its_table_says() {
    for (language, groups) in WORDS {
        for (meaning, words) in groups {
            for word in *words {
                let upper = word.to_uppercase();
                let ways = [(*word).to_owned(), upper.clone(), format!(" {word}!\n"), format!("{upper}.\n--\nBen")];
                for text in ways {
                    let expected = match meaning {
                        words::Word::Acknowledge => act(Verb::Acknowledge, Which::Unsaid),
                        words::Word::Escalate => act(Verb::Escalate, Which::Unsaid),
                        words::Word::Resolve => act(Verb::Resolve, Which::Unsaid),
                        words::Word::Stop => Meaning::Stop,
                        words::Word::Start => Meaning::Start,
                        words::Word::Help => Meaning::Help,
                        words::Word::All | words::Word::Filler => Meaning::Unknown,
                    };
                    assert_eq!(read(&text), expected, "{language}: {text:?}");
                }
                let text = format!("4 {word} 17");
                let is_beside = matches!(meaning, words::Word::All | words::Word::Filler | words::Word::Acknowledge);
                let expected = if is_beside { coded(Verb::Acknowledge, &[17]) } else { Meaning::Unknown };
                assert_eq!(read(&text), expected, "{language}: {text:?}");
            }
        }
    }
}

#[test]
fn the_keys_are_those_of_the_telephone() {
    let keys = Keys { acknowledge: '1', escalate: '*', resolve: '#' };
    assert_eq!(Meaning::of("1", keys), act(Verb::Acknowledge, Which::Unsaid));
    assert_eq!(Meaning::of("*", keys), act(Verb::Escalate, Which::Unsaid));
    assert_eq!(Meaning::of(" # \n17", keys), coded(Verb::Resolve, &[17]));
    assert_eq!(Meaning::of("4", keys), Meaning::Unknown);
}

fn open(code: u32, is_acknowledged: bool) -> Open {
    Open { incident: IncidentId(Uuid::from_u128(code.into())), code, is_acknowledged }
}

#[test]
fn it_is_decided_which_incidents_are_meant() {
    use Verb::{Acknowledge as Ack, Escalate as Esc, Resolve as Res};
    let (a, b, taken) = (open(17, false), open(18, false), open(19, true));
    let done = |verb, on: &[Open], unknown: &[u32]| Decision::Act { verb, on: on.to_vec(), unknown: unknown.to_vec() };
    let ask = |verb, codes: &[u32]| Decision::Ask { verb, codes: codes.to_vec() };
    for (text, is_open, several, decision) in [
        ("4", &[][..], Several::All, Decision::NothingOpen(Ack)),
        ("4", &[a][..], Several::Ask, done(Ack, &[a], &[])),
        ("4", &[b, a][..], Several::All, done(Ack, &[a, b], &[])),
        ("4", &[b, a][..], Several::Ask, ask(Ack, &[17, 18])),
        ("ack all", &[a, b][..], Several::Ask, done(Ack, &[a, b], &[])),
        ("4", &[a, taken][..], Several::Ask, done(Ack, &[a], &[])),
        ("4", &[taken][..], Several::All, Decision::NothingOpen(Ack)),
        ("ack 19", &[a, taken][..], Several::Ask, done(Ack, &[taken], &[])),
        ("ack 17 18", &[a, b, taken][..], Several::Ask, done(Ack, &[a, b], &[])),
        ("ack 17 20", &[a, b][..], Several::Ask, done(Ack, &[a], &[20])),
        ("ack 20 21", &[a, b][..], Several::All, Decision::NoSuch(vec![20, 21])),
        ("5", &[a, b][..], Several::All, ask(Esc, &[17, 18])),
        ("5", &[taken][..], Several::All, done(Esc, &[taken], &[])),
        ("6", &[a, taken][..], Several::All, ask(Res, &[17, 19])),
        ("6 all", &[a, taken][..], Several::All, done(Res, &[a, taken], &[])),
        ("6 19", &[a, taken][..], Several::All, done(Res, &[taken], &[])),
        ("stop", &[a][..], Several::All, Decision::Stop),
        ("start", &[a][..], Several::All, Decision::Start),
        ("?", &[a][..], Several::All, Decision::Help),
        ("hello", &[a][..], Several::All, Decision::NotUnderstood),
    ] {
        assert_eq!(decide(&read(text), is_open, several, &[]), decision, "{text} {several:?}");
    }
    assert_eq!(decide(&read("6 17"), &[a], Several::All, &[Res]), Decision::NotByText(Res));
    assert_eq!(decide(&read("4 17"), &[a], Several::All, &[Res]), done(Ack, &[a], &[]));
}

#[test]
fn nobody_is_answered_who_is_no_person_that_we_know_or_too_often() {
    const ANA: &str = "+4915112345678";
    let limit = Limit { most: 2, within: TimeDelta::hours(1) };
    let asked = |from, known, text: &str, ago: &[i64]| {
        let replies: Vec<_> = ago.iter().map(|ago| noon() - TimeDelta::minutes(*ago)).collect();
        may_answer(from, known, text, &read(text), &replies, noon(), limit)
    };
    assert_eq!(asked(ANA, true, "4", &[]), Ok(()));
    assert_eq!(asked(ANA, true, "hello", &[]), Ok(()));
    assert_eq!(asked(ANA, false, "4", &[]), Err(Silence::UnknownSender));
    for from in ["", "12345", "Telekom", "+", "+12345", "4915112345678", "+49151a345678", "+4915112345678901"] {
        assert_eq!(asked(from, true, "4", &[]), Err(Silence::NoNumber), "{from}");
    }
    for text in [
        "Out of Office: back on Monday",
        "I’m driving with Do Not Disturb While Driving turned on.",
        "AUTO-REPLY: thank you",
        "Abwesenheitsnotiz",
        "Réponse automatique : absent",
        "Reply STOP to unsubscribe. Msg & data rates may apply",
        "Автоответ: занят",
    ] {
        assert_eq!(asked(ANA, true, text, &[]), Err(Silence::Automatic), "{text}");
    }
    assert_eq!(asked(ANA, true, "4", &[1]), Ok(()));
    assert_eq!(asked(ANA, true, "4", &[59, 1]), Err(Silence::Enough));
    assert_eq!(asked(ANA, true, "4", &[60, 1]), Ok(()), "an hour has passed");
    assert_eq!(asked(ANA, true, "4", &[-5, -6]), Err(Silence::Enough), "the clock was set back");
}

#[test]
fn of_ten_thousand_characters_the_beginning_is_looked_at() {
    let long = |begin: &str| format!("{begin}{}", "17 ".repeat(10_000));
    assert_eq!(read(&long("ack ")), coded(Verb::Acknowledge, &[17]));
    assert_eq!(read(&long("hello ")), Meaning::Unknown);
    let numbers: Vec<String> = (10..3000).map(|n| n.to_string()).collect();
    match read(&format!("ack {}", numbers.join(" "))) {
        Meaning::Act { which: Which::Coded(codes), .. } => assert_eq!(codes.len(), MOST_CODES),
        other => panic!("{other:?}"),
    }
    assert!(!looks_automatic(&"\u{300}".repeat(10_000)));
}

proptest! {
    #[test]
    fn whatever_comes_is_read(text in any::<String>(), from in any::<String>()) {
        let meaning = read(&text);
        let open = [open(17, false), open(18, true)];
        let decision = decide(&meaning, &open, Several::Ask, &[]);
        if let Decision::Act { on, .. } = &decision {
            prop_assert!(!on.is_empty() && on.iter().all(|on| open.contains(on)));
        }
        let _ = may_answer(&from, true, &text, &meaning, &[], noon(), Limit::default());
        let rule = Rule { begins: Some(text.clone()), ..Rule::default() };
        let _ = raises(&[rule], &from, &text);
    }

    #[test]
    fn nothing_is_done_without_a_word_or_key_for_it(text in "[a-zA-Z0-9 .,!?\n]{0,40}") {
        if let Meaning::Act { verb, .. } = read(&text) {
            let words = WORDS.iter().flat_map(|(_, groups)| groups.iter()).filter(|(word, _)| {
                matches!(
                    (word, verb),
                    (words::Word::Acknowledge, Verb::Acknowledge)
                        | (words::Word::Escalate, Verb::Escalate)
                        | (words::Word::Resolve, Verb::Resolve)
                )
            });
            let key = match verb { Verb::Acknowledge => "4", Verb::Escalate => "5", Verb::Resolve => "6" };
            let lower = text.to_lowercase();
            let is_said = words.flat_map(|(_, words)| words.iter()).chain([&key]).any(|word| lower.contains(*word));
            prop_assert!(is_said, "{text:?}");
        }
    }

    #[test]
    fn codes_are_read_whatever_stands_between_them(codes in proptest::collection::vec(1_u32..999_999, 1..10), joint in "[ ,;:#&/]{1,3}") {
        let text: Vec<String> = codes.iter().map(u32::to_string).collect();
        let mut once = codes.clone();
        let mut seen = Vec::new();
        once.retain(|code| !seen.contains(code) && { seen.push(*code); true });
        prop_assert_eq!(read(&format!("ack{joint}{}", text.join(&joint))), coded(Verb::Acknowledge, &once));
    }
}
