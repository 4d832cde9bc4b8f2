//! The main stories, line by line: when, what happens, and what comes of it.

use super::*;

pub(super) const ANN: u8 = 1;
pub(super) const BEN: u8 = 3;
pub(super) const EVA: u8 = 5;
pub(super) const EVERYBODY: u8 = u8::MAX;

pub(super) fn step(people: &[u8], attempts: u32, between: u32, after: u32) -> Step {
    Step {
        targets: people.iter().map(|n| person(*n)).collect(),
        attempts,
        attempt_delay: seconds(between),
        delay: seconds(after),
        ..Step::default()
    }
}

/// Ann twice, a minute apart; two minutes later Ben and Eva at once; three minutes later all over again, once.
fn usual() -> Policy {
    Policy {
        repeat: 1,
        ack_timeout: Some(seconds(3600)),
        steps: vec![step(&[ANN], 2, 60, 120), step(&[BEN, EVA], 1, 1, 180)],
        ..Policy::default()
    }
}

/// Ann once, five minutes.
fn one_call() -> Policy {
    Policy { steps: vec![step(&[ANN], 1, 1, 300)], ..Policy::default() }
}

fn due() -> Event {
    Event::Due { calls: Calls::Placed }
}

fn due_without_a_route() -> Event {
    Event::Due { calls: Calls::NoWayOut }
}

fn due_while_somebody_is_on_the_line() -> Event {
    Event::Due { calls: Calls::Live }
}

fn takes_it(n: u8) -> Event {
    Event::Acknowledged { by: by(n) }
}

fn at(run: u32, round: u32, step: u32) -> Stage {
    Stage { run, round, step }
}

fn passed_on(run: u32, round: u32, step: u32) -> Event {
    escalated(at(run, round, step))
}

fn no_route(run: u32, round: u32, step: u32, attempt: u32) -> Event {
    Event::NoWayOut { at: Position { stage: at(run, round, step), attempt } }
}

/// What is done, and where it stands now, in words: `run.round.step#attempt`, all as they are stored.
pub(super) fn in_words(state: &State, commands: &[Command]) -> String {
    let name = |to: &Recipient| match to {
        Recipient::Contact(id) if *id == contact(ANN) => "Ann".to_owned(),
        Recipient::Contact(id) if *id == contact(BEN) => "Ben".to_owned(),
        Recipient::Contact(id) if *id == contact(EVA) => "Eva".to_owned(),
        Recipient::Contact(_) => "a stranger".to_owned(),
        Recipient::Number(number) => number.as_str().to_owned(),
    };
    let place = |at: &Stage| format!("{}.{}.{}", at.run, at.round, at.step);
    let time = |at: &DateTime<Utc>| (*at - evening()).num_seconds();
    let mut words: Vec<String> = Vec::new();
    for command in commands {
        words.push(match command {
            Command::Call { to, at, text_if_missed } => {
                let text = if *text_if_missed { " or text" } else { "" };
                format!("call{text} {} for {}#{}", name(to), place(&at.stage), at.attempt)
            }
            Command::CancelCalls => "end the calls".into(),
            Command::Note(Note::NobodyToCall { at }) => format!("nobody in {}", place(at)),
            Command::Note(Note::RoundNotCounted { round }) => format!("round {round} is not counted"),
            Command::Text { to, at } => format!("text {} for {}#{}", name(to), place(&at.stage), at.attempt),
            Command::TellOver { to } => format!("tell {} that it is over", name(&Recipient::Contact(*to))),
            Command::Note(Note::OutsideCalendar { at }) => format!("{} is outside its calendar", place(at)),
            Command::Note(Note::NoWayToText { at }) => format!("no texts for {}", place(at)),
            Command::Note(Note::Held { until, .. }) => format!("it is held until {}", time(until)),
            Command::Note(Note::NoLongerHeld) => "it is no longer held".into(),
            Command::Note(Note::BeginsAgain { at }) => format!("all again at {}", time(at)),
            Command::Note(Note::LastResort) => "the last resort".into(),
            Command::Note(Note::TooLate { due_at }) => format!("too late for {}", time(due_at)),
            Command::Note(Note::Rescheduled { due_at }) => format!("put off to {}", time(due_at)),
        });
    }
    words.push(match state {
        State::Held { at, until: Some(until), reason } => {
            format!("held by {reason:?} at {} until {}", place(at), time(until))
        }
        State::Held { .. } => "held".into(),
        State::Scheduled { due_at, expires_at } => {
            format!("scheduled for {} to {}", time(due_at), time(expires_at))
        }
        State::Expired => "expired".into(),
        State::Escalating { at, due_at, phase: Phase::Texted } => {
            format!("{}#{} texted until {}", place(&at.stage), at.attempt, time(due_at))
        }
        State::Escalating { at, due_at, phase: Phase::NoWay } => {
            format!("{}#{} has no way until {}", place(&at.stage), at.attempt, time(due_at))
        }
        State::Exhausted { at, until: Some(until) } => format!("exhausted at {} until {}", place(at), time(until)),
        State::Escalating { at, due_at, .. } => format!("{}#{} until {}", place(&at.stage), at.attempt, time(due_at)),
        State::Acknowledged { by, at, until: Some(until) } => {
            format!("{} has it at {} until {}", by.name(), place(at), time(until))
        }
        State::Acknowledged { by, at, until: None } => format!("{} has it at {}", by.name(), place(at)),
        State::Resolved => "resolved".into(),
        State::Exhausted { at, .. } => format!("exhausted at {}", place(at)),
    });
    words.join(", ")
}

/// Seconds since the evening, who can be called, what happens, what comes of it.
type Line = (u32, u8, Event, &'static str);

fn told(policy: &Policy, first: &str, story: &[Line]) -> State {
    let (mut state, commands) = trigger(Some(policy), on_duty(EVERYBODY), evening());
    assert_eq!(in_words(&state, &commands), first, "at the beginning");
    for (second, present, event, expected) in story {
        let commands;
        (state, commands) = handle(policy, on_duty(*present), state, event.clone(), evening() + seconds(*second));
        assert_eq!(in_words(&state, &commands), *expected, "at second {second}: {event:?}");
    }
    state
}

#[test]
fn nobody_ever_answers() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (59, EVERYBODY, due(), "0.0.0#1 until 60"),
            (60, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 180"),
            (180, EVERYBODY, due(), "call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 360"),
            (360, EVERYBODY, due(), "call Ann for 0.1.0#1, 0.1.0#1 until 420"),
            (420, EVERYBODY, due(), "call Ann for 0.1.0#2, 0.1.0#2 until 540"),
            (540, EVERYBODY, due(), "call Ben for 0.1.1#1, call Eva for 0.1.1#1, 0.1.1#1 until 720"),
            (720, EVERYBODY, due(), "exhausted at 0.2.0"),
            (900, EVERYBODY, due(), "exhausted at 0.2.0"),
        ],
    );
}

#[test]
fn ben_takes_it_and_it_is_his_until_it_is_over() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 180"),
            (180, EVERYBODY, due(), "call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 360"),
            (200, EVERYBODY, takes_it(BEN), "end the calls, person 3 has it at 0.0.1 until 3800"),
            (201, EVERYBODY, takes_it(EVA), "person 3 has it at 0.0.1 until 3800"),
            (202, EVERYBODY, Event::Repeated, "person 3 has it at 0.0.1 until 3800"),
            (203, EVERYBODY, no_route(0, 0, 1, 1), "person 3 has it at 0.0.1 until 3800"),
            (3799, EVERYBODY, due(), "person 3 has it at 0.0.1 until 3800"),
            (3799, EVERYBODY, over(), "end the calls, tell Ben that it is over, resolved"),
            (3800, EVERYBODY, due(), "resolved"),
            (3801, EVERYBODY, takes_it(EVA), "resolved"),
            (3802, EVERYBODY, passed_on(0, 0, 0), "resolved"),
            (3803, EVERYBODY, Event::Worsened, "resolved"),
            (3804, EVERYBODY, Event::Repeated, "resolved"),
            (3805, EVERYBODY, over(), "resolved"),
        ],
    );
}

#[test]
fn what_is_taken_and_not_resolved_in_time_pages_again_from_the_start() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (10, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 0.0.0 until 3610"),
            (3610, EVERYBODY, due(), "call Ann for 1.0.0#1, 1.0.0#1 until 3670"),
            (3620, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 1.0.0 until 7220"),
            (9000, EVERYBODY, due(), "call Ann for 2.0.0#1, 2.0.0#1 until 9060"),
        ],
    );
}

#[test]
fn without_a_timeout_an_acknowledgement_stands() {
    told(
        &one_call(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 300",
        &[
            (10, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 0.0.0"),
            (1_000_000, EVERYBODY, due(), "person 1 has it at 0.0.0"),
        ],
    );
}

#[test]
fn what_gets_worse_pages_again_but_only_who_has_it_or_nobody_has() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (5, EVERYBODY, Event::Worsened, "0.0.0#1 until 60"),
            (6, EVERYBODY, Event::Repeated, "0.0.0#1 until 60"),
            (10, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 0.0.0 until 3610"),
            (20, EVERYBODY, Event::Worsened, "call Ann for 1.0.0#1, 1.0.0#1 until 80"),
        ],
    );
}

#[test]
fn ann_passes_it_on_and_a_doubled_key_counts_once() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (20, EVERYBODY, passed_on(0, 0, 1), "0.0.0#1 until 60"),
            (
                20,
                EVERYBODY,
                passed_on(0, 0, 0),
                "end the calls, call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 200",
            ),
            (20, EVERYBODY, passed_on(0, 0, 0), "0.0.1#1 until 200"),
            (30, EVERYBODY, passed_on(0, 0, 1), "end the calls, call Ann for 0.1.0#1, 0.1.0#1 until 90"),
        ],
    );
}

#[test]
fn who_has_it_can_pass_it_on_later() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (20, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 0.0.0 until 3620"),
            (60, EVERYBODY, passed_on(0, 1, 0), "person 1 has it at 0.0.0 until 3620"),
            (60, EVERYBODY, passed_on(0, 0, 0), "call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 240"),
            (60, EVERYBODY, passed_on(0, 0, 0), "0.0.1#1 until 240"),
        ],
    );
}

#[test]
fn nobody_is_left_after_the_last_step_of_the_last_round_but_it_stays_open() {
    told(
        &one_call(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 300",
        &[
            (20, EVERYBODY, passed_on(0, 0, 0), "end the calls, exhausted at 0.1.0"),
            (20, EVERYBODY, passed_on(0, 0, 0), "exhausted at 0.1.0"),
            (21, EVERYBODY, no_route(0, 1, 0, 1), "exhausted at 0.1.0"),
            (30, EVERYBODY, passed_on(0, 1, 0), "call Ann for 1.0.0#1, 1.0.0#1 until 330"),
            (30, EVERYBODY, passed_on(0, 1, 0), "1.0.0#1 until 330"),
        ],
    );
}

#[test]
fn what_is_exhausted_can_be_taken_and_then_passed_on_from_the_start() {
    told(
        &one_call(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 300",
        &[
            (300, EVERYBODY, due(), "exhausted at 0.1.0"),
            (400, EVERYBODY, takes_it(ANN), "end the calls, person 1 has it at 0.1.0"),
            (500, EVERYBODY, passed_on(0, 1, 0), "call Ann for 1.0.0#1, 1.0.0#1 until 800"),
            (500, EVERYBODY, passed_on(0, 1, 0), "1.0.0#1 until 800"),
        ],
    );
}

#[test]
fn what_is_exhausted_can_be_resolved() {
    told(
        &one_call(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 300",
        &[(300, EVERYBODY, due(), "exhausted at 0.1.0"), (400, EVERYBODY, over(), "end the calls, resolved")],
    );
}

#[test]
fn what_is_exhausted_opens_anew_when_the_alert_comes_again_or_gets_worse() {
    for again in [Event::Repeated, Event::Worsened] {
        told(
            &one_call(),
            "call Ann for 0.0.0#1, 0.0.0#1 until 300",
            &[
                (300, EVERYBODY, due(), "exhausted at 0.1.0"),
                (400, EVERYBODY, again, "call Ann for 1.0.0#1, 1.0.0#1 until 700"),
                (700, EVERYBODY, due(), "exhausted at 1.1.0"),
            ],
        );
    }
}

#[test]
fn a_server_that_was_down_for_hours_makes_one_attempt() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (36_000, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 36120"),
            (36_000, EVERYBODY, due(), "0.0.0#2 until 36120"),
        ],
    );
}

#[test]
fn a_deadline_waits_while_somebody_is_on_the_line() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (59, EVERYBODY, due_while_somebody_is_on_the_line(), "0.0.0#1 until 60"),
            (60, EVERYBODY, due_while_somebody_is_on_the_line(), "0.0.0#1 until 62"),
            (61, EVERYBODY, due(), "0.0.0#1 until 62"),
            (62, EVERYBODY, due_while_somebody_is_on_the_line(), "0.0.0#1 until 64"),
            (64, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 184"),
        ],
    );
}

#[test]
fn a_step_with_nobody_is_passed_over_at_once_and_whoever_comes_on_duty_is_called() {
    let without = |absent: u8| EVERYBODY & !(1 << absent);
    let not_ben_and_eva = without(BEN) & without(EVA);
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, without(ANN), due(), "nobody in 0.0.0, call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 240"),
            (240, EVERYBODY, due(), "call Ann for 0.1.0#1, 0.1.0#1 until 300"),
            (300, EVERYBODY, due(), "call Ann for 0.1.0#2, 0.1.0#2 until 420"),
            (420, not_ben_and_eva, due(), "nobody in 0.1.1, exhausted at 0.2.0"),
            (500, not_ben_and_eva, Event::Repeated, "call Ann for 1.0.0#1, 1.0.0#1 until 560"),
            (560, without(BEN), due(), "call Ann for 1.0.0#2, 1.0.0#2 until 680"),
            (680, without(BEN), due(), "call Eva for 1.0.1#1, 1.0.1#1 until 860"),
        ],
    );
}

#[test]
fn a_policy_with_nobody_in_it_ends_at_once_and_says_so() {
    let (state, commands) = trigger(Some(&usual()), on_duty(0), evening());
    assert_eq!(in_words(&state, &commands), "nobody in 0.0.0, nobody in 0.0.1, exhausted at 0.2.0");
    let empty = Policy { repeat: 3, ..Policy::default() };
    let (state, commands) = trigger(Some(&empty), on_duty(EVERYBODY), evening());
    assert_eq!(in_words(&state, &commands), "exhausted at 0.4.0");
}

#[test]
fn when_everybody_leaves_in_the_middle_each_step_is_looked_at_before_it_ends() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 180"),
            (
                180,
                0,
                due_without_a_route(),
                "nobody in 0.0.1, round 0 is not counted, nobody in 0.0.0, nobody in 0.0.1, exhausted at 0.2.0",
            ),
            (200, EVERYBODY, Event::Repeated, "call Ann for 1.0.0#1, 1.0.0#1 until 260"),
            (260, EVERYBODY, due(), "call Ann for 1.0.0#2, 1.0.0#2 until 380"),
            (380, 0, due(), "nobody in 1.0.1, nobody in 1.1.0, nobody in 1.1.1, exhausted at 1.2.0"),
        ],
    );
}

#[test]
fn an_outage_goes_round_quickly_and_uses_nothing_up() {
    told(
        &usual(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (1, EVERYBODY, no_route(0, 0, 0, 2), "0.0.0#1 until 60"),
            (2, EVERYBODY, no_route(0, 0, 0, 1), "0.0.0#1 until 12"),
            (3, EVERYBODY, no_route(0, 0, 0, 1), "0.0.0#1 until 12"),
            (12, EVERYBODY, due_without_a_route(), "call Ann for 0.0.0#2, 0.0.0#2 until 132"),
            (13, EVERYBODY, no_route(0, 0, 0, 2), "0.0.0#2 until 23"),
            (23, EVERYBODY, due_without_a_route(), "call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 203"),
            (24, EVERYBODY, no_route(0, 0, 1, 1), "0.0.1#1 until 34"),
            (34, EVERYBODY, due_without_a_route(), "round 0 is not counted, call Ann for 0.0.0#1, 0.0.0#1 until 94"),
            // A route has returned: this round counts.
            (94, EVERYBODY, due(), "call Ann for 0.0.0#2, 0.0.0#2 until 214"),
            (214, EVERYBODY, due(), "call Ben for 0.0.1#1, call Eva for 0.0.1#1, 0.0.1#1 until 394"),
            (394, EVERYBODY, due(), "call Ann for 0.1.0#1, 0.1.0#1 until 454"),
        ],
    );
}

#[test]
fn a_detour_never_makes_the_wait_longer() {
    told(
        &one_call(),
        "call Ann for 0.0.0#1, 0.0.0#1 until 300",
        &[
            (295, EVERYBODY, no_route(0, 0, 0, 1), "0.0.0#1 until 300"),
            (301, EVERYBODY, no_route(0, 0, 0, 1), "0.0.0#1 until 300"),
        ],
    );
}

#[test]
fn what_is_held_pages_nobody_until_somebody_passes_it_on() {
    let held = || State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None };
    assert_eq!(trigger(None, on_duty(EVERYBODY), evening()), (held(), Vec::new()));
    let now = |event| {
        let (state, commands) = handle(&usual(), on_duty(EVERYBODY), held(), event, evening());
        in_words(&state, &commands)
    };
    for nothing in [due(), no_route(0, 0, 0, 1), Event::Repeated, Event::Worsened] {
        assert_eq!(now(nothing), "held");
    }
    assert_eq!(now(takes_it(BEN)), "end the calls, person 3 has it at 0.0.0 until 3600");
    assert_eq!(now(over()), "end the calls, resolved");
    assert_eq!(now(passed_on(0, 0, 0)), "call Ann for 1.0.0#1, 1.0.0#1 until 60");
}

#[test]
fn a_doubled_escalation_of_what_is_held_counts_once_too() {
    let held = State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None };
    let said = escalated(stage(&held));
    let (once, _) = handle(&usual(), on_duty(EVERYBODY), held, said.clone(), evening());
    let (twice, commands) = handle(&usual(), on_duty(EVERYBODY), once.clone(), said, evening());
    assert_eq!((twice, commands), (once, Vec::new()));
}

#[test]
fn somebody_named_twice_in_a_step_is_called_once() {
    let number = Target::Number(number("+393331234567"));
    let mut twice = step(&[ANN, BEN, ANN], 1, 1, 60);
    twice.targets.extend([number.clone(), number]);
    let policy = Policy { steps: vec![twice], ..Policy::default() };
    told(&policy, "call Ann for 0.0.0#1, call Ben for 0.0.0#1, call +393331234567 for 0.0.0#1, 0.0.0#1 until 60", &[]);
}

#[test]
fn only_what_runs_and_what_is_taken_for_a_time_has_a_deadline() {
    let running = told(&usual(), "call Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
    assert_eq!(due_at(&running), Some(evening() + seconds(60)));
    let taken = State::Acknowledged { by: by(ANN), at: at(1, 2, 3), until: Some(evening()) };
    assert_eq!((due_at(&taken), stage(&taken)), (Some(evening()), at(1, 2, 3)));
    let taken = State::Acknowledged { by: by(ANN), at: at(1, 2, 3), until: None };
    assert_eq!(due_at(&taken), None);
    let spent = State::Exhausted { at: at(1, 2, 0), until: None };
    assert_eq!((due_at(&spent), stage(&spent)), (None, at(1, 2, 0)));
    for other in [State::Resolved, State::Held { reason: Held::NoPolicy, at: Stage::default(), until: None }] {
        assert_eq!((due_at(&other), stage(&other)), (None, at(0, 0, 0)));
    }
}
