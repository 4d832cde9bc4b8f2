//! The same answers, found slowly: the whole run lies there as a flat list of attempts, and a finger
//! moves down it.

use std::collections::{BTreeSet, HashSet};

use super::*;

/// One attempt of the list.
struct Line {
    at: (u32, usize, u32),
    /// How long until the next line.
    wait: TimeDelta,
}

/// A run as it goes if nobody ever answers, line by line.
fn lay_out(policy: &Policy) -> Vec<Line> {
    let mut list = Vec::new();
    for round in 0..=policy.repeat {
        for (number, step) in policy.steps.iter().enumerate() {
            for attempt in 1..step.attempts {
                list.push(Line { at: (round, number, attempt), wait: step.attempt_delay });
            }
            list.push(Line { at: (round, number, step.attempts), wait: step.delay });
        }
    }
    list
}

enum Standing {
    Running,
    /// By whom, and whether the list had been gone through to its end by then.
    Taken(Actor),
    Over,
    Spent,
}

/// An incident, kept by hand.
struct Ledger<'a> {
    policy: &'a Policy,
    list: Vec<Line>,
    run: u32,
    finger: usize,
    standing: Standing,
    alarm: Option<DateTime<Utc>>,
    said: Vec<Command>,
}

impl<'a> Ledger<'a> {
    fn raised(policy: &'a Policy) -> Self {
        let mut ledger = Self {
            policy,
            list: lay_out(policy),
            run: 0,
            finger: 0,
            standing: Standing::Running,
            alarm: None,
            said: Vec::new(),
        };
        ledger.go(0, Calls::Placed, u8::MAX, evening());
        ledger
    }

    fn stage(&self) -> Stage {
        match self.list.get(self.finger) {
            Some(line) => Stage { run: self.run, round: line.at.0, step: u32::try_from(line.at.1).expect("few steps") },
            None => Stage { run: self.run, round: self.policy.repeat + 1, step: 0 },
        }
    }

    fn position(&self) -> Position {
        Position { stage: self.stage(), attempt: self.list.get(self.finger).map_or(0, |line| line.at.2) }
    }

    fn state(&self) -> State {
        match &self.standing {
            Standing::Running => State::Escalating {
                at: self.position(),
                due_at: self.alarm.expect("what runs has a deadline"),
                phase: Phase::Reached,
            },
            Standing::Taken(by) => State::Acknowledged { by: by.clone(), at: self.stage(), until: self.alarm },
            Standing::Over => State::Resolved,
            Standing::Spent => State::Exhausted { at: self.stage(), until: None },
        }
    }

    /// The first line of the next step or round, or the end of the list.
    fn after_this_step(&self, line: usize) -> usize {
        let this = self.list[line].at;
        (line..self.list.len())
            .find(|i| (self.list[*i].at.0, self.list[*i].at.1) != (this.0, this.1))
            .unwrap_or(self.list.len())
    }

    fn ends_a_round(&self, line: usize) -> bool {
        line > 0 && self.list.get(line).is_none_or(|next| next.at.0 != self.list[line - 1].at.0)
    }

    /// Moves the finger to `line`, and on from there until somebody can be called.
    fn go(&mut self, mut line: usize, calls: Calls, present: u8, now: DateTime<Utc>) {
        let mut nobody_in = BTreeSet::new();
        let mut round_is_over = self.ends_a_round(line);
        loop {
            let hopeless = nobody_in.len() == self.policy.steps.len();
            if round_is_over && calls == Calls::NoWayOut && !hopeless {
                let round = self.list[line - 1].at.0;
                self.said.push(Command::Note(Note::RoundNotCounted { round }));
                line = self.list.iter().position(|line| line.at.0 == round).expect("a round that ran");
            }
            if self.list.is_empty() || (round_is_over && hopeless) || line == self.list.len() {
                self.finger = self.list.len();
                self.standing = Standing::Spent;
                self.alarm = None;
                return;
            }
            self.finger = line;
            let step = &self.policy.steps[self.list[line].at.1];
            let mut known = HashSet::new();
            for to in step.targets.iter().flat_map(on_duty(present)) {
                if known.insert(to.clone()) {
                    self.said.push(Command::Call { to, at: self.position(), text_if_missed: false });
                }
            }
            if !known.is_empty() {
                self.standing = Standing::Running;
                self.alarm = Some(now + self.list[line].wait);
                return;
            }
            self.said.push(Command::Note(Note::NobodyToCall { at: self.stage() }));
            nobody_in.insert(self.list[line].at.1);
            line = self.after_this_step(line);
            round_is_over = self.ends_a_round(line);
        }
    }

    fn page_again(&mut self, present: u8, now: DateTime<Utc>) {
        self.run += 1;
        self.go(0, Calls::Placed, present, now);
    }

    fn due(&mut self, calls: Calls, present: u8, now: DateTime<Utc>) {
        if self.alarm.is_none_or(|alarm| now < alarm) {
            return;
        }
        match self.standing {
            Standing::Running if calls == Calls::Live => self.alarm = Some(now + TimeDelta::seconds(2)),
            Standing::Running => self.go(self.finger + 1, calls, present, now),
            Standing::Taken(_) => self.page_again(present, now),
            Standing::Over | Standing::Spent => panic!("what is over has no deadline"),
        }
    }

    fn escalated(&mut self, present: u8, now: DateTime<Utc>) {
        match self.standing {
            Standing::Over => {}
            // Behind the end of the list the only way on is from its beginning.
            Standing::Spent | Standing::Taken(_) if self.finger == self.list.len() => self.page_again(present, now),
            Standing::Running | Standing::Taken(_) | Standing::Spent => {
                if matches!(self.standing, Standing::Running) {
                    self.said.push(Command::CancelCalls);
                }
                self.go(self.after_this_step(self.finger), Calls::Placed, present, now);
            }
        }
    }

    fn happens(&mut self, event: &Event, present: u8, now: DateTime<Utc>) -> Vec<Command> {
        match (event, &self.standing) {
            (_, Standing::Over)
            | (Event::Acknowledged { .. }, Standing::Taken(_))
            | (Event::Repeated, Standing::Running | Standing::Taken(_))
            | (Event::Worsened, Standing::Running) => {}
            (Event::Resolved { .. }, _) => {
                self.said.push(Command::CancelCalls);
                // Here it is always the sender who says so, and whoever had it is told.
                if let Standing::Taken(Actor::Contact { id, .. }) = &self.standing {
                    self.said.push(Command::TellOver { to: *id });
                }
                self.standing = Standing::Over;
                self.alarm = None;
            }
            (Event::Acknowledged { by }, _) => {
                self.standing = Standing::Taken(by.clone());
                self.alarm = self.policy.ack_timeout.map(|timeout| now + timeout);
                self.said.push(Command::CancelCalls);
            }
            (Event::Due { calls }, _) => self.due(*calls, present, now),
            (Event::Escalated { at, .. }, _) if *at == self.stage() => self.escalated(present, now),
            (Event::Escalated { .. }, _) => {}
            (Event::NoWayOut { at }, Standing::Running) if *at == self.position() => {
                let soon = now + TimeDelta::seconds(10);
                self.alarm = self.alarm.map(|alarm| alarm.min(soon));
            }
            (Event::NoWayOut { .. }, _) => {}
            (Event::Repeated | Event::Worsened, _) => self.page_again(present, now),
            (Event::HushChanged | Event::Rescheduled { .. }, _) => unreachable!("not among these happenings"),
        }
        std::mem::take(&mut self.said)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens, in whatever order: the same calls to the same people at the same times, the
    /// same notes, the same state.
    #[test]
    fn the_ledger_kept_by_hand_says_the_same(policy in policies(), happenings in happenings()) {
        let mut ledger = Ledger::raised(&policy);
        let (state, commands) = trigger(Some(&policy), on_duty(u8::MAX), evening());
        assert_eq!((state, commands), (ledger.state(), std::mem::take(&mut ledger.said)));
        play(&policy, &happenings, |turn| {
            let commands = ledger.happens(&turn.event, turn.present, turn.now);
            assert_eq!((&turn.after, &turn.commands), (&ledger.state(), &commands), "{turn:#?}");
        });
    }

    /// Nobody ever answers: the list, line by line, at the times that stand there, and then the end.
    #[test]
    fn unanswered_a_policy_is_its_list_from_top_to_bottom(policy in policies(), present in any::<u8>()) {
        let mut expected = Vec::new();
        let mut at = evening();
        for line in lay_out(&policy) {
            let step = &policy.steps[line.at.1];
            let mut known = HashSet::new();
            let people: Vec<_> = step.targets.iter().flat_map(on_duty(present)).filter(|to| known.insert(to.clone())).collect();
            if !people.is_empty() {
                expected.push((at, line.at, people));
                at += line.wait;
            }
        }

        let (mut placed, mut now) = (Vec::new(), evening());
        let state = nobody_answers(&policy, present, |at, calls| {
            now = at;
            if let Some((_, at)) = calls.first() {
                let line = (at.stage.round, at.stage.step as usize, at.attempt);
                placed.push((now, line, calls.into_iter().map(|(to, _)| to).collect()));
            }
        });
        assert_eq!(placed, expected);
        assert_eq!(now, at, "it ends when the last wait is over");
        let is_exhausted = matches!(state, State::Exhausted { at: Stage { run: 0, .. }, .. });
        assert!(is_exhausted, "{state:?}");
    }
}
