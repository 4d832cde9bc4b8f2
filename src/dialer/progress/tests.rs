//! Recordings of real Asterisk traffic, played in every order in which they could come, twice, and in part.

use std::fs;

use proptest::{
    prelude::*,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use super::*;
use crate::ami::Decoder;

/// What each recording of real Asterisk traffic ends in.
const RECORDINGS: &[(&str, Ending)] = &[
    ("bad-localnoctx", Ending::RouteFailed),
    ("bad-noendpoint", Ending::RouteFailed),
    ("bad-notech", Ending::RouteFailed),
    ("bad-unreachable", Ending::RouteFailed),
    ("local-ack", Ending::Answered),
    ("local-busy", Ending::Busy),
    ("local-cause34", Ending::RouteFailed),
    ("local-congestion", Ending::RouteFailed),
    ("local-hangup_mid", Ending::Answered),
    ("local-invalid", Ending::RouteFailed),
    ("local-noanswer", Ending::NoAnswer),
    ("local-nodtmf", Ending::Answered),
    ("local-rejected", Ending::Rejected),
    ("net-absent480", Ending::NoAnswer),
    ("net-ack", Ending::Answered),
    ("net-busy", Ending::Busy),
    ("net-congestion", Ending::RouteFailed),
    ("net-dest502", Ending::RouteFailed),
    ("net-earlymedia", Ending::NoAnswer),
    ("net-earlythenans", Ending::Answered),
    ("net-hangup_mid", Ending::Answered),
    ("net-invalid484", Ending::NumberWrong),
    ("net-invalid_ext", Ending::NumberWrong),
    ("net-netfail38", Ending::RouteFailed),
    ("net-noans480", Ending::NoAnswer),
    ("net-noanswer", Ending::NoAnswer),
    ("net-nodtmf", Ending::Answered),
    ("net-rejected403", Ending::RouteFailed),
    ("net-ring2", Ending::Answered),
    ("net-unalloc404", Ending::NumberWrong),
    ("sipp-183", Ending::Answered),
    ("sipp-2833", Ending::Answered),
    ("sipp-404", Ending::NumberWrong),
    ("sipp-408", Ending::RouteFailed),
    ("sipp-480", Ending::NoAnswer),
    ("sipp-500", Ending::RouteFailed),
    ("sipp-503", Ending::RouteFailed),
    ("sipp-answer", Ending::Answered),
    ("sipp-busy", Ending::Busy),
    ("sipp-hangup", Ending::Answered),
    ("sipp-info", Ending::Answered),
    ("sipp-noanswer", Ending::NoAnswer),
    ("sipp-reject", Ending::Rejected),
    // Nobody replied in any way until our own time was up: a trunk that swallows calls.
    ("sipp-silent", Ending::RouteFailed),
];

struct Recording {
    id: String,
    events: Vec<Message>,
}

/// Reads a recording in pieces of `split` bytes.
fn recording(name: &str, split: usize) -> Recording {
    let path = format!("{}/tests/fixtures/ami/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let id = text.split("'ChannelId': '").nth(1).and_then(|rest| rest.split('\'').next()).expect("a ChannelId");
    let greeting = ["Asterisk Call Manager/11.0.0"];
    let lines = greeting.into_iter().chain(text.lines().filter(|line| !line.starts_with("###")));
    let wire: String = lines.flat_map(|line| [line, "\r\n"]).collect();
    let mut decoder = Decoder::new(EVENTS);
    let mut events = Vec::new();
    for piece in wire.as_bytes().chunks(split) {
        decoder.push(piece);
        while let Some(message) = decoder.next_message().expect("a recording of real traffic") {
            events.push(message);
        }
    }
    events.retain(|message| message.event().is_some() && call_of(message).is_some());
    Recording { id: id.to_owned(), events }
}

fn play<'a>(id: &str, events: impl IntoIterator<Item = &'a Message>) -> Progress {
    let mut progress = Progress::new(id.to_owned());
    events.into_iter().for_each(|message| progress.observe(message));
    progress
}

#[test]
fn every_recording_leads_to_the_right_outcome_however_its_bytes_are_split() {
    for (name, ending) in RECORDINGS {
        for split in [1, 7, 100_000] {
            let Recording { id, events } = recording(name, split);
            let progress = play(&id, &events);
            assert_eq!(classify(progress.seen()), *ending, "{name}: {progress:?}");
            assert_ne!(progress.stage(), Stage::Live, "{name}: {progress:?}");
        }
    }
}

#[test]
fn no_recording_is_left_out() {
    let directory = format!("{}/tests/fixtures/ami", env!("CARGO_MANIFEST_DIR"));
    // These two are answered with an error at once: there is no call.
    let refused = ["bad-destctx", "bad-destexten"];
    for file in fs::read_dir(directory).expect("the recordings") {
        let name = file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned();
        let known = RECORDINGS.iter().any(|(recording, _)| *recording == name) || refused.contains(&&*name);
        assert!(known, "{name} stands in no table");
    }
}

/// What is written down once these events are in: of a call whose end they do not tell, Asterisk is asked
/// whether it lives, and has not heard of it.
fn written(progress: &Progress) -> End {
    match progress.stage() {
        Stage::Over | Stage::Closing => progress.end(None),
        Stage::Live => progress.lost(None),
    }
}

/// What is written down of a call that is followed as the dialer does it: no further than to its end.
fn followed<'a>(id: &str, events: impl IntoIterator<Item = &'a Message>) -> End {
    let mut progress = Progress::new(id.to_owned());
    for message in events {
        progress.observe(message);
        if progress.stage() == Stage::Over {
            break;
        }
    }
    written(&progress)
}

fn all() -> impl Iterator<Item = (&'static str, Ending, Recording)> {
    RECORDINGS.iter().map(|(name, ending)| (*name, *ending, recording(name, 100_000)))
}

fn is_one_of(message: &Message, names: &[&str]) -> bool {
    message.event().is_some_and(|event| names.contains(&event))
}

/// The channel that an event is about.
fn channel(message: &Message) -> Option<&str> {
    message.get("Uniqueid").or_else(|| message.get("DestUniqueid"))
}

/// Whether Asterisk cannot but send `first` before `later`, which it did here. A channel is born before it dies;
/// what was told while it lived is told by the very thread that ends it. Nothing else has an order: the answer
/// to `Originate`, the end of the dialling and the hangups come from threads of their own (all six orders of them
/// were seen).
fn must_precede(first: &Message, later: &Message) -> bool {
    let of_life = is_one_of(first, &["Newchannel", "Newstate", "DialState"]);
    let of_end = is_one_of(later, &["HangupRequest", "Hangup", "OriginateResponse"]);
    let same = channel(first).is_some() && channel(first) == channel(later);
    (of_life && of_end) || (same && is_one_of(first, &["Newchannel", "HangupRequest"]))
}

/// Which events must have come before each.
fn needs(events: &[Message]) -> Vec<Vec<usize>> {
    let before = |nth: usize| (0..nth).filter(|first| must_precede(&events[*first], &events[nth])).collect();
    (0..events.len()).map(before).collect()
}

/// Plays what is left in every order; returns how many there are.
fn every_order(
    (name, expected): (&str, &End),
    (events, needs): (&[Message], &[Vec<usize>]),
    left: &mut Vec<usize>,
    progress: &Progress,
) -> usize {
    if left.is_empty() || progress.stage() == Stage::Over {
        assert_eq!(written(progress), *expected, "{name}, without the events {left:?}: {progress:?}");
        return 1;
    }
    let mut orders = 0;
    for place in 0..left.len() {
        let next = left[place];
        if left.iter().any(|other| needs[next].contains(other)) {
            continue;
        }
        left.remove(place);
        let mut progress = progress.clone();
        progress.observe(&events[next]);
        orders += every_order((name, expected), (events, needs), left, &progress);
        left.insert(place, next);
    }
    orders
}

#[test]
fn in_every_order_in_which_asterisk_could_tell_the_end_of_a_call_its_record_is_the_same() {
    let mut orders = 0;
    for (name, _, Recording { id, events }) in all() {
        let expected = written(&play(&id, &events));
        let ends = ["DialEnd", "HangupRequest", "Hangup", "OriginateResponse"];
        let (mut tail, life): (Vec<usize>, Vec<usize>) =
            (0..events.len()).partition(|nth| is_one_of(&events[*nth], &ends));
        let progress = play(&id, life.iter().map(|nth| &events[*nth]));
        orders += every_order((name, &expected), (&events, &needs(&events)), &mut tail, &progress);
    }
    assert!(orders > 500, "only {orders} orders were played");
}

/// Any order that `needs` allows, as `picks` choose it.
fn order(needs: &[Vec<usize>], picks: &[u32]) -> Vec<usize> {
    let mut left: Vec<usize> = (0..needs.len()).collect();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let free: Vec<usize> =
            (0..left.len()).filter(|place| !left.iter().any(|other| needs[left[*place]].contains(other))).collect();
        let pick = picks[order.len() % picks.len()] as usize % free.len();
        order.push(left.remove(free[pick]));
    }
    order
}

/// Runs `check` on arbitrary picks, the same ones each time.
fn for_many(cases: u32, check: impl Fn(&[u32])) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let picks = proptest::collection::vec(any::<u32>(), 64);
    let told = TestRunner::new_with_rng(config, random).run(&picks, |picks| {
        check(&picks);
        Ok(())
    });
    told.expect("it holds for all of them");
}

#[test]
fn the_events_of_a_whole_call_may_come_in_any_possible_order_and_twice() {
    for (name, _, Recording { id, events }) in all() {
        let (expected, needs) = (written(&play(&id, &events)), needs(&events));
        for_many(100, |picks| {
            let order = order(&needs, picks);
            let told = order.iter().map(|nth| &events[*nth]);
            assert_eq!(followed(&id, told), expected, "{name}: {order:?}");
            // Each a second time, at some time after the first.
            let mut twice = order.clone();
            for (nth, pick) in order.iter().zip(picks.iter().rev()) {
                let first = twice.iter().position(|other| other == nth).expect("it is there");
                let place = first + 1 + *pick as usize % (twice.len() - first);
                twice.insert(place, *nth);
            }
            let told = twice.iter().map(|nth| &events[*nth]);
            assert_eq!(followed(&id, told), expected, "{name} twice: {twice:?}");
        });
    }
}

#[test]
fn what_was_told_says_the_same_in_whatever_order_possible_or_not() {
    for (name, ending, Recording { id, events }) in all() {
        let expected = written(&play(&id, &events));
        let no_order = vec![Vec::new(); events.len()];
        for_many(100, |picks| {
            let order = order(&no_order, picks);
            let progress = play(&id, order.iter().map(|nth| &events[*nth]));
            assert_eq!(classify(progress.seen()), ending, "{name}: {order:?}");
            assert_eq!(written(&progress), expected, "{name}: {order:?}");
        });
        let backwards = play(&id, events.iter().rev());
        assert_eq!(written(&backwards), expected, "{name} backwards");
        let twice = play(&id, events.iter().chain(&events));
        assert_eq!(written(&twice), expected, "{name} twice");
    }
}

#[test]
fn a_call_is_over_when_its_last_channel_and_the_answer_to_originate_are_in_whichever_comes_last() {
    let Recording { id, events } = recording("net-busy", 100_000);
    for last in 0..events.len() {
        let mut order = events.clone();
        let held_back = order.remove(last);
        let mut progress = play(&id, &order);
        let needed = matches!(held_back.event(), Some("Hangup" | "OriginateResponse"));
        assert_eq!(progress.stage() == Stage::Over, !needed, "without {:?}", held_back.event());
        progress.observe(&held_back);
        assert_eq!(progress.stage(), Stage::Over);
    }
}

/// Where one event alone tells what nothing else does: the recording, the event, and the status and whether it
/// counts that are written down without it.
const NOWHERE_ELSE: &[(&str, &str, CallStatus, bool)] = &[
    // Nothing says that a telephone network had taken it: it is not counted, so somebody is called once more.
    ("net-earlymedia", "DialState", CallStatus::Failed, false),
    // Asterisk's own 480 for a trunk that swallows calls looks like that of a phone that is switched off.
    ("sipp-silent", "OriginateResponse", CallStatus::NoAnswer, true),
];

#[test]
fn without_any_one_event_a_record_says_less_and_nothing_wrong() {
    let mut exceptions = 0;
    for (name, _, Recording { id, events }) in all() {
        let whole = written(&play(&id, &events));
        for (missing, event) in events.iter().enumerate() {
            let told = events.iter().enumerate().filter(|(nth, _)| *nth != missing).map(|(_, event)| event);
            let progress = play(&id, told);
            let part = written(&progress);
            let without = format!("{name} without {:?}: {part:?}", event.event());
            let exception =
                NOWHERE_ELSE.iter().find(|(recording, only, ..)| *recording == name && is_one_of(event, &[*only]));
            if let Some((_, _, status, counts)) = exception {
                exceptions += 1;
                assert_eq!((part.status, part.found_route), (*status, *counts), "{without}");
                continue;
            }
            // Who answered has answered, who refused has refused, and what counted counts.
            assert_eq!((part.status, part.found_route), (whole.status, whole.found_route), "{without}");
            assert!(part.cause == whole.cause || part.cause == 0, "{without}");
            // That the time was up is told once: without it, the status that Asterisk makes up then is written down.
            let made_up = progress.seen().sip_status == Some(480) && is_one_of(event, &["OriginateResponse"]);
            assert!(part.sip_status == whole.sip_status || part.sip_status.is_none() || made_up, "{without}");
        }
    }
    assert_eq!(exceptions, NOWHERE_ELSE.len());
}

#[test]
fn a_call_whose_end_nobody_tells_counts_if_a_phone_may_have_rung() {
    for (name, ending, Recording { id, events }) in all() {
        let mut progress = Progress::new(id);
        for event in &events {
            progress.observe(event);
            let seen = progress.seen().clone();
            let lost = progress.lost(None);
            let told = lost.failure.as_deref() == Some("its end was not reported");
            assert!(told, "{name}: {lost:?}");
            assert_eq!(lost.status == CallStatus::Completed, seen.answered, "{name}: {lost:?}");
            if !matches!(ending, Ending::RouteFailed) {
                let known = seen.cause != 0 || seen.timed_out || seen.dial_status.is_some();
                assert_eq!(lost.found_route, seen.answered || seen.rang || known, "{name}: {lost:?}");
            }
        }
        assert!(!progress.lost(Some(false)).found_route, "a call that was stopped is not an attempt");
    }
}
