//! Calendars, silences, texts, turns, last resorts and scheduled calls.

use super::{
    stories::{ANN, BEN, EVA, EVERYBODY, in_words, step},
    *,
};
use crate::id::CalendarId;

/// What the world is like, beside the people in it.
#[derive(Clone, Copy)]
struct Weather {
    /// Whether calendar 1 is open, and when that changes, in seconds since the evening.
    calendar: Option<(bool, Option<i64>)>,
    /// The second until which all is to be quiet.
    hush: Option<i64>,
    texts: Texts,
    turn: u32,
    nobody: bool,
}

fn at(second: i64) -> DateTime<Utc> {
    evening() + TimeDelta::seconds(second)
}

fn in_weather<T>(weather: Weather, decide: impl FnOnce(&World<'_>) -> T) -> T {
    let everybody = on_duty(if weather.nobody { 0 } else { EVERYBODY });
    decide(&World {
        on_call: &everybody,
        calendar: &|id| {
            let (open, changes) = weather.calendar.filter(|_| id == CalendarId(Uuid::from_u128(1)))?;
            Some(Opening { open, changes: changes.map(at) })
        },
        hush: weather.hush.map(|until| Hush { reason: Held::Silence, until: at(until) }),
        texts: weather.texts,
        turn: weather.turn,
    })
}

/// A night, told line by line: the second, the weather, what happens, what comes of it.
fn night(policy: &Policy, begins: Weather, first: &str, lines: &[(i64, Weather, Event, &str)]) -> State {
    let (state, commands) = in_weather(begins, |world| super::super::trigger(Some(policy), world, at(0)));
    assert_eq!(in_words(&state, &commands), first);
    goes_on(policy, state, lines)
}

fn goes_on(policy: &Policy, mut state: State, lines: &[(i64, Weather, Event, &str)]) -> State {
    for (second, weather, event, expected) in lines {
        let (after, commands) = in_weather(*weather, |world| {
            super::super::handle(policy, world, state.clone(), event.clone(), at(*second))
        });
        assert_eq!(in_words(&after, &commands), *expected, "at {second}");
        state = after;
    }
    state
}

fn due() -> Event {
    Event::Due { calls: Calls::Placed }
}

fn one() -> CalendarId {
    CalendarId(Uuid::from_u128(1))
}

/// Ann by day, Ben at any time.
fn by_day() -> Policy {
    let day = Step { only_during: Some(one()), ..step(&[ANN], 1, 1, 60) };
    Policy { steps: vec![day, step(&[BEN], 1, 1, 120)], ..Policy::default() }
}

const FAIR: Weather = Weather { calendar: None, hush: None, texts: Texts::Never, turn: 0, nobody: false };
const DAY: Weather = Weather { calendar: Some((true, Some(9000))), ..FAIR };
const NIGHT: Weather = Weather { calendar: Some((false, Some(5000))), ..FAIR };
const ENDLESS_NIGHT: Weather = Weather { calendar: Some((false, None)), ..FAIR };
const QUIET: Weather = Weather { hush: Some(1000), ..FAIR };

#[test]
fn a_step_outside_its_calendar_is_passed_over() {
    night(&by_day(), DAY, "call Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
    night(
        &by_day(),
        NIGHT,
        "0.0.0 is outside its calendar, call Ben for 0.0.1#1, 0.0.1#1 until 120",
        &[(120, NIGHT, due(), "exhausted at 0.1.0")],
    );
    // A calendar that there is no more restricts nothing.
    night(&by_day(), FAIR, "call Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
}

#[test]
fn not_during_is_the_other_way_round() {
    let night_only = Step { not_during: Some(one()), ..step(&[ANN], 1, 1, 60) };
    let policy = Policy { steps: vec![night_only], ..Policy::default() };
    night(&policy, NIGHT, "call Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
    night(
        &policy,
        DAY,
        "0.0.0 is outside its calendar, it is held until 9000, held by OutsideCalendars at 0.0.0 until 9000",
        &[],
    );
}

#[test]
fn a_policy_that_is_outside_all_its_calendars_waits_for_the_first_to_open() {
    let policy = Policy { repeat: 1, steps: vec![by_day().steps[0].clone()], ..Policy::default() };
    night(
        &policy,
        NIGHT,
        "0.0.0 is outside its calendar, it is held until 5000, held by OutsideCalendars at 0.0.0 until 5000",
        &[
            (4999, NIGHT, due(), "held by OutsideCalendars at 0.0.0 until 5000"),
            // The calendar was changed meanwhile: it opens later, and nobody is told twice.
            (
                5000,
                Weather { calendar: Some((false, Some(6000))), ..FAIR },
                due(),
                "held by OutsideCalendars at 0.0.0 until 6000",
            ),
            (6000, DAY, due(), "it is no longer held, call Ann for 0.0.0#1, 0.0.0#1 until 6060"),
            // The next round begins behind closing time: it waits for the next day, in that round.
            (
                6060,
                Weather { calendar: Some((false, Some(90_000))), ..FAIR },
                due(),
                "0.1.0 is outside its calendar, it is held until 90000, held by OutsideCalendars at 0.1.0 until 90000",
            ),
            (90_000, DAY, due(), "it is no longer held, call Ann for 0.1.0#1, 0.1.0#1 until 90060"),
            (90_060, DAY, due(), "exhausted at 0.2.0"),
        ],
    );
    // One that never opens must not keep it for ever in silence.
    night(&policy, ENDLESS_NIGHT, "0.0.0 is outside its calendar, exhausted at 0.2.0", &[]);
}

#[test]
fn nobody_on_duty_beside_a_closed_calendar_waits_too() {
    let nobody = Weather { nobody: true, ..NIGHT };
    night(
        &by_day(),
        nobody,
        "0.0.0 is outside its calendar, nobody in 0.0.1, it is held until 5000, \
         held by OutsideCalendars at 0.0.0 until 5000",
        &[(100, NIGHT, Event::Acknowledged { by: Actor::Key("k".into()) }, "end the calls, k has it at 0.0.0")],
    );
}

#[test]
fn a_silence_holds_what_comes_and_what_is_under_way_and_pages_when_it_ends() {
    let policy = Policy { steps: vec![step(&[ANN], 2, 60, 60)], ..Policy::default() };
    night(
        &policy,
        QUIET,
        "it is held until 1000, held by Silence at 0.0.0 until 1000",
        &[
            (500, QUIET, Event::Repeated, "held by Silence at 0.0.0 until 1000"),
            (500, QUIET, Event::Worsened, "held by Silence at 0.0.0 until 1000"),
            // It was made longer, and then longer again behind our back.
            (
                600,
                Weather { hush: Some(2000), ..FAIR },
                Event::HushChanged,
                "it is held until 2000, held by Silence at 0.0.0 until 2000",
            ),
            (600, Weather { hush: Some(2000), ..FAIR }, Event::HushChanged, "held by Silence at 0.0.0 until 2000"),
            (2000, Weather { hush: Some(3000), ..FAIR }, due(), "held by Silence at 0.0.0 until 3000"),
            (3000, FAIR, due(), "it is no longer held, call Ann for 0.0.0#1, 0.0.0#1 until 3060"),
            (
                3010,
                QUIET,
                Event::HushChanged,
                "end the calls, it is held until 1000, held by Silence at 1.0.0 until 1000",
            ),
            // Taken back: it pages at once.
            (3020, FAIR, Event::HushChanged, "it is no longer held, call Ann for 1.0.0#1, 1.0.0#1 until 3080"),
            (3020, FAIR, Event::HushChanged, "1.0.0#1 until 3080"),
            (3080, FAIR, due(), "call Ann for 1.0.0#2, 1.0.0#2 until 3140"),
            (3140, FAIR, due(), "exhausted at 1.1.0"),
            (3150, QUIET, Event::Repeated, "it is held until 1000, held by Silence at 2.0.0 until 1000"),
        ],
    );
}

#[test]
fn whoever_escalates_what_is_silenced_is_heard() {
    let policy = Policy { steps: vec![step(&[ANN], 1, 60, 60)], ..Policy::default() };
    let state = night(&policy, QUIET, "it is held until 1000, held by Silence at 0.0.0 until 1000", &[]);
    let said = Event::Escalated { at: stage(&state), call: None };
    goes_on(
        &policy,
        state,
        &[(10, QUIET, said.clone(), "call Ann for 1.0.0#1, 1.0.0#1 until 70"), (10, QUIET, said, "1.0.0#1 until 70")],
    );
}

#[test]
fn an_acknowledged_incident_that_pages_again_in_a_silence_waits_for_its_end() {
    let policy = Policy { ack_timeout: Some(seconds(300)), steps: vec![step(&[ANN], 1, 60, 60)], ..Policy::default() };
    night(
        &policy,
        FAIR,
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (10, FAIR, Event::Acknowledged { by: by(ANN) }, "end the calls, person 1 has it at 0.0.0 until 310"),
            (20, QUIET, Event::HushChanged, "person 1 has it at 0.0.0 until 310"),
            (310, QUIET, due(), "it is held until 1000, held by Silence at 1.0.0 until 1000"),
            (1000, FAIR, due(), "it is no longer held, call Ann for 1.0.0#1, 1.0.0#1 until 1060"),
        ],
    );
}

#[test]
fn texts_go_first_where_the_step_says_so() {
    let texted = Step { method: Method::SmsThenCall { wait: seconds(120) }, ..step(&[ANN], 2, 300, 300) };
    let policy = Policy { steps: vec![texted], ..Policy::default() };
    let texts = Weather { texts: Texts::Leave, ..FAIR };
    night(
        &policy,
        texts,
        "text Ann for 0.0.0#1, 0.0.0#1 texted until 120",
        &[
            (120, texts, due(), "call Ann for 0.0.0#1, 0.0.0#1 until 420"),
            (420, texts, due(), "text Ann for 0.0.0#2, 0.0.0#2 texted until 540"),
            // She went off duty meanwhile: nobody is called, and the policy goes on.
            (540, Weather { nobody: true, ..texts }, due(), "exhausted at 0.1.0"),
        ],
    );
    // Without a way to send texts nobody waits for an answer to one.
    night(&policy, FAIR, "call Ann for 0.0.0#1, 0.0.0#1 until 300", &[]);
    let both = Policy {
        steps: vec![Step { method: Method::CallAndSms, ..step(&[ANN, BEN], 1, 60, 60) }],
        ..Policy::default()
    };
    night(
        &both,
        texts,
        "text Ann for 0.0.0#1, text Ben for 0.0.0#1, call Ann for 0.0.0#1, call Ben for 0.0.0#1, 0.0.0#1 until 60",
        &[],
    );
    night(&both, FAIR, "call Ann for 0.0.0#1, call Ben for 0.0.0#1, 0.0.0#1 until 60", &[]);
    let only = Policy {
        steps: vec![Step { method: Method::Sms, ..step(&[ANN], 1, 60, 60) }, step(&[BEN], 1, 60, 60)],
        ..Policy::default()
    };
    night(
        &only,
        texts,
        "text Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[(60, texts, due(), "call Ben for 0.0.1#1, 0.0.1#1 until 120")],
    );
    night(&only, FAIR, "no texts for 0.0.0, call Ben for 0.0.1#1, 0.0.1#1 until 60", &[]);
}

/// No text leaves, and one may later.
const OUTAGE: Weather = Weather { texts: Texts::Wait, ..FAIR };
const MENDED: Weather = Weather { texts: Texts::Leave, ..FAIR };

#[test]
fn while_no_text_leaves_whoever_is_to_be_called_is_called_at_once() {
    let texted = Step { method: Method::SmsThenCall { wait: seconds(120) }, ..step(&[ANN], 1, 60, 60) };
    let policy = Policy { steps: vec![texted], ..Policy::default() };
    let both = "text Ann for 0.0.0#1, call Ann for 0.0.0#1, 0.0.0#1 until 60";
    night(&policy, OUTAGE, both, &[(60, OUTAGE, due(), "exhausted at 0.1.0")]);
    let policy = policy.by_method(&Method::CallAndSms);
    night(&policy, OUTAGE, both, &[]);
    // One who misses the call is texted when that is possible.
    let missed = Step { text_if_missed: true, ..step(&[ANN], 1, 60, 60) };
    let policy = Policy { steps: vec![missed], ..Policy::default() };
    night(&policy, OUTAGE, "call or text Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
}

#[test]
fn a_step_that_only_texts_is_held_while_no_text_leaves_and_uses_nothing_up() {
    let only = Step { method: Method::Sms, ..step(&[ANN], 2, 60, 60) };
    let policy = Policy { repeat: 1, steps: vec![only], ..Policy::default() };
    let held = "0.0.0#1 has no way until";
    let state = night(
        &policy,
        OUTAGE,
        "no texts for 0.0.0, 0.0.0#1 has no way until 10",
        &[
            (9, OUTAGE, due(), &format!("{held} 10")),
            (10, OUTAGE, due(), &format!("{held} 20")),
            (5000, OUTAGE, due(), &format!("{held} 5010")),
            (5010, MENDED, due(), "text Ann for 0.0.0#1, 0.0.0#1 until 5070"),
            (5070, MENDED, due(), "text Ann for 0.0.0#2, 0.0.0#2 until 5130"),
            // Away again: nobody knows whether the last one has left, and it does not count.
            (5130, OUTAGE, due(), "no texts for 0.0.0, 0.0.0#1 has no way until 5140"),
            (5140, MENDED, due(), "text Ann for 0.0.0#1, 0.0.0#1 until 5200"),
            (5200, MENDED, due(), "text Ann for 0.0.0#2, 0.0.0#2 until 5260"),
            (5260, MENDED, due(), "text Ann for 0.1.0#1, 0.1.0#1 until 5320"),
            (5320, OUTAGE, due(), "no texts for 0.1.0, 0.1.0#1 has no way until 5330"),
        ],
    );
    goes_on(
        &policy,
        state,
        &[(5325, OUTAGE, Event::Acknowledged { by: by(ANN) }, "end the calls, person 1 has it at 0.1.0")],
    );
}

#[test]
fn while_no_text_leaves_steps_that_call_have_their_turn_and_the_text_comes_before_the_end() {
    let only = |who| Step { method: Method::Sms, ..step(&[who], 1, 60, 60) };
    let policy = Policy { repeat: 1, steps: vec![step(&[ANN], 1, 60, 60), only(BEN)], ..Policy::default() };
    night(
        &policy,
        OUTAGE,
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, OUTAGE, due(), "no texts for 0.0.1, call Ann for 0.1.0#1, 0.1.0#1 until 120"),
            (120, OUTAGE, due(), "no texts for 0.1.1, 0.1.1#1 has no way until 130"),
            (130, OUTAGE, due(), "0.1.1#1 has no way until 140"),
            (140, MENDED, due(), "text Ben for 0.1.1#1, 0.1.1#1 until 200"),
            (200, MENDED, due(), "exhausted at 0.2.0"),
        ],
    );
    // Neither leaves: both are tried again and again.
    let no_way_out = || Event::Due { calls: Calls::NoWayOut };
    let first = Policy { steps: vec![only(BEN), step(&[ANN], 1, 60, 60)], ..Policy::default() };
    night(
        &first,
        OUTAGE,
        "no texts for 0.0.0, call Ann for 0.0.1#1, 0.0.1#1 until 60",
        &[
            (
                60,
                OUTAGE,
                no_way_out(),
                "round 0 is not counted, no texts for 0.0.0, call Ann for 0.0.1#1, 0.0.1#1 until 120",
            ),
            (120, MENDED, no_way_out(), "round 0 is not counted, text Ben for 0.0.0#1, 0.0.0#1 until 180"),
        ],
    );
    // The last resort is not kept waiting.
    let resort = OnExhausted::LastResort(step(&[EVA], 1, 30, 40));
    let policy = Policy { on_exhausted: Some(resort), steps: vec![only(ANN)], ..Policy::default() };
    night(&policy, OUTAGE, "no texts for 0.0.0, the last resort, call Eva for 0.1.0#1, 0.1.0#1 until 40", &[]);
    let resort = OnExhausted::LastResort(only(EVA));
    let policy = Policy { on_exhausted: Some(resort), ..policy };
    night(
        &policy,
        OUTAGE,
        "no texts for 0.0.0, the last resort, no texts for 0.1.0, 0.1.0#1 has no way until 10",
        &[(10, MENDED, due(), "text Eva for 0.1.0#1, 0.1.0#1 until 70")],
    );
}

#[test]
fn a_closed_calendar_beside_texts_that_do_not_leave_opens_in_time() {
    let only = Step { method: Method::Sms, ..step(&[BEN], 1, 60, 60) };
    let policy = Policy { steps: vec![by_day().steps[0].clone(), only], ..Policy::default() };
    let night_outage = Weather { texts: Texts::Wait, ..NIGHT };
    let day_outage = Weather { texts: Texts::Wait, ..DAY };
    night(
        &policy,
        night_outage,
        "0.0.0 is outside its calendar, no texts for 0.0.1, 0.0.0#1 has no way until 10",
        &[
            (10, night_outage, due(), "0.0.0#1 has no way until 20"),
            (20, day_outage, due(), "call Ann for 0.0.0#1, 0.0.0#1 until 80"),
        ],
    );
}

#[test]
fn whoever_misses_the_call_is_texted_where_the_step_says_so() {
    let texts = Weather { texts: Texts::Leave, ..FAIR };
    let missed = |method| Step { method, text_if_missed: true, ..step(&[ANN], 1, 60, 60) };
    let wait = seconds(120);
    let policy = Policy { steps: vec![missed(Method::Call), step(&[BEN], 1, 60, 60)], ..Policy::default() };
    night(
        &policy,
        texts,
        "call or text Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[(60, texts, due(), "call Ben for 0.0.1#1, 0.0.1#1 until 120")],
    );
    night(&policy, FAIR, "call Ann for 0.0.0#1, 0.0.0#1 until 60", &[]);
    // Also after a text that nobody took.
    let policy = Policy { steps: vec![missed(Method::SmsThenCall { wait })], ..Policy::default() };
    let told = "call or text Ann for 0.0.0#1, 0.0.0#1 until 180";
    night(&policy, texts, "text Ann for 0.0.0#1, 0.0.0#1 texted until 120", &[(120, texts, due(), told)]);
    let told = "call Ann for 0.0.0#1, 0.0.0#1 until 180";
    night(&policy, texts, "text Ann for 0.0.0#1, 0.0.0#1 texted until 120", &[(120, FAIR, due(), told)]);
}

#[test]
fn people_take_turns_by_incident_and_by_try() {
    let turns = Step { round_robin: true, ..step(&[ANN, BEN, EVA], 2, 60, 60) };
    let policy = Policy { repeat: 1, steps: vec![turns], ..Policy::default() };
    let turn = |turn| Weather { turn, ..FAIR };
    for (nth, name) in [(0, "Ann"), (1, "Ben"), (2, "Eva"), (3, "Ann"), (u32::MAX, "Ann")] {
        night(&policy, turn(nth), &format!("call {name} for 0.0.0#1, 0.0.0#1 until 60"), &[]);
    }
    night(
        &policy,
        turn(1),
        "call Ben for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, turn(1), due(), "call Eva for 0.0.0#2, 0.0.0#2 until 120"),
            (120, turn(1), due(), "call Ann for 0.1.0#1, 0.1.0#1 until 180"),
            (180, turn(1), due(), "call Ben for 0.1.0#2, 0.1.0#2 until 240"),
        ],
    );
}

#[test]
fn the_last_resort_comes_behind_all_rounds_once() {
    let resort = OnExhausted::LastResort(step(&[EVA], 2, 30, 40));
    let policy =
        Policy { repeat: 1, on_exhausted: Some(resort), steps: vec![step(&[ANN], 1, 60, 60)], ..Policy::default() };
    let state = night(
        &policy,
        FAIR,
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, FAIR, due(), "call Ann for 0.1.0#1, 0.1.0#1 until 120"),
            (120, FAIR, due(), "the last resort, call Eva for 0.2.0#1, 0.2.0#1 until 150"),
            (150, FAIR, due(), "call Eva for 0.2.0#2, 0.2.0#2 until 190"),
            // An outage does not use it up either.
            (
                190,
                FAIR,
                Event::Due { calls: Calls::NoWayOut },
                "round 2 is not counted, call Eva for 0.2.0#1, 0.2.0#1 until 220",
            ),
            (220, FAIR, due(), "call Eva for 0.2.0#2, 0.2.0#2 until 260"),
            (260, FAIR, due(), "exhausted at 0.3.0"),
        ],
    );
    let said = Event::Escalated { at: stage(&state), call: None };
    goes_on(&policy, state, &[(300, FAIR, said, "call Ann for 1.0.0#1, 1.0.0#1 until 360")]);
    // Nobody on duty at all: the last resort is next, however many rounds there were to come.
    let number = Step { targets: vec![Target::Number(number("+393331234567"))], ..step(&[], 1, 30, 40) };
    let policy = Policy { on_exhausted: Some(OnExhausted::LastResort(number)), repeat: 5, ..policy };
    night(
        &policy,
        Weather { nobody: true, ..FAIR },
        "nobody in 0.0.0, the last resort, call +393331234567 for 0.6.0#1, 0.6.0#1 until 40",
        &[(40, FAIR, due(), "exhausted at 0.7.0")],
    );
}

#[test]
fn what_repeats_for_ever_begins_again_after_its_pause() {
    let policy = Policy {
        on_exhausted: Some(OnExhausted::Repeat { every: seconds(600) }),
        steps: vec![step(&[ANN], 1, 60, 60)],
        ..Policy::default()
    };
    night(
        &policy,
        FAIR,
        "call Ann for 0.0.0#1, 0.0.0#1 until 60",
        &[
            (60, FAIR, due(), "all again at 660, exhausted at 0.1.0 until 660"),
            (659, FAIR, due(), "exhausted at 0.1.0 until 660"),
            (660, FAIR, due(), "call Ann for 1.0.0#1, 1.0.0#1 until 720"),
            (720, FAIR, due(), "all again at 1320, exhausted at 1.1.0 until 1320"),
            (800, FAIR, Event::Acknowledged { by: by(ANN) }, "end the calls, person 1 has it at 1.1.0"),
        ],
    );
}

#[test]
fn what_is_scheduled_pages_at_its_time_once_and_not_when_it_is_too_late() {
    let policy = Policy { steps: vec![step(&[ANN], 1, 60, 60)], ..Policy::default() };
    let scheduled = || State::Scheduled { due_at: at(100), expires_at: at(1000) };
    let called = "call Ann for 0.0.0#1, 0.0.0#1 until";
    goes_on(
        &policy,
        scheduled(),
        &[
            (99, FAIR, due(), "scheduled for 100 to 1000"),
            (100, FAIR, due(), &format!("{called} 160")),
            (100, FAIR, Event::Rescheduled { due_at: at(500), expires_at: at(600) }, "0.0.0#1 until 160"),
        ],
    );
    goes_on(&policy, scheduled(), &[(1000, FAIR, due(), &format!("{called} 1060"))]);
    let state = goes_on(&policy, scheduled(), &[(1001, FAIR, due(), "too late for 100, expired")]);
    goes_on(
        &policy,
        state,
        &[
            (1002, FAIR, Event::Acknowledged { by: by(ANN) }, "expired"),
            (1002, FAIR, over(), "expired"),
            (1002, FAIR, escalated(Stage::default()), "expired"),
        ],
    );
    goes_on(
        &policy,
        scheduled(),
        &[
            (
                50,
                FAIR,
                Event::Rescheduled { due_at: at(500), expires_at: at(600) },
                "put off to 500, scheduled for 500 to 600",
            ),
            (100, FAIR, due(), "scheduled for 500 to 600"),
            (200, FAIR, over(), "end the calls, resolved"),
        ],
    );
    goes_on(
        &policy,
        scheduled(),
        &[(50, FAIR, escalated(Stage::default()), "call Ann for 1.0.0#1, 1.0.0#1 until 110")],
    );
}

#[test]
fn whoever_had_it_is_told_that_somebody_else_has_ended_it() {
    let policy = Policy { steps: vec![step(&[ANN], 1, 60, 60)], ..Policy::default() };
    let taken = |by| State::Acknowledged { by, at: Stage::default(), until: None };
    let over_by = |by| Event::Resolved { by };
    goes_on(&policy, taken(by(ANN)), &[(5, FAIR, over(), "end the calls, tell Ann that it is over, resolved")]);
    goes_on(
        &policy,
        taken(by(ANN)),
        &[(5, FAIR, over_by(by(BEN)), "end the calls, tell Ann that it is over, resolved")],
    );
    goes_on(&policy, taken(by(ANN)), &[(5, FAIR, over_by(by(ANN)), "end the calls, resolved")]);
    goes_on(&policy, taken(Actor::Key("k".into())), &[(5, FAIR, over(), "end the calls, resolved")]);
}

#[test]
fn whoever_still_listens_does_not_overturn_what_somebody_else_has_said() {
    let policy = Policy { steps: vec![step(&[ANN], 1, 60, 60), step(&[BEN], 1, 60, 60)], ..Policy::default() };
    let taken = State::Acknowledged { by: by(BEN), at: Stage::default(), until: None };
    let listening = Event::Escalated { at: Stage::default(), call: Some(CallId(Uuid::from_u128(9))) };
    goes_on(&policy, taken.clone(), &[(5, FAIR, listening, "person 3 has it at 0.0.0")]);
    goes_on(&policy, taken, &[(5, FAIR, escalated(Stage::default()), "call Ben for 0.0.1#1, 0.0.1#1 until 65")]);
}
