//! What holds whatever happens.

use super::*;

/// Whether an event says anything to an incident that stands so.
fn applies(state: &State, event: &Event, now: DateTime<Utc>) -> bool {
    match event {
        Event::Resolved { .. } => !matches!(state, State::Resolved),
        Event::Acknowledged { .. } => !matches!(state, State::Acknowledged { .. } | State::Resolved),
        Event::Due { .. } => due_at(state).is_some_and(|due| due <= now),
        Event::Escalated { at, .. } => !matches!(state, State::Resolved) && stage(state) == *at,
        Event::NoWayOut { at } => matches!(state, State::Escalating { at: here, .. } if here == at),
        Event::Repeated => matches!(state, State::Exhausted { .. }),
        Event::Worsened => matches!(state, State::Exhausted { .. } | State::Acknowledged { .. }),
        Event::HushChanged | Event::Rescheduled { .. } => unreachable!("not among these happenings"),
    }
}

fn anybody(policy: &Policy, present: u8) -> bool {
    policy.steps.iter().flat_map(|step| &step.targets).any(|target| !on_duty(present)(target).is_empty())
}

fn acknowledged(state: &State) -> bool {
    matches!(state, State::Acknowledged { .. })
}

macro_rules! whatever_happens {
    ($($(#[$doc:meta])* fn $name:ident($policy:ident, $turn:ident) $body:block)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]
            $(
                $(#[$doc])*
                #[test]
                fn $name($policy in policies(), happenings in happenings()) {
                    play(&$policy, &happenings, |$turn| $body);
                }
            )*
        }
    };
}

whatever_happens! {
    fn what_does_not_apply_changes_nothing_and_commands_nothing(_policy, turn) {
        if !applies(&turn.before, &turn.event, turn.now) {
            assert_eq!(turn.after, turn.before, "{turn:#?}");
            assert_eq!(turn.commands, [], "{turn:#?}");
        }
    }

    fn resolved_is_final(_policy, turn) {
        if turn.before == State::Resolved {
            assert_eq!((&turn.after, turn.commands.len()), (&State::Resolved, 0), "{turn:#?}");
        }
    }

    fn who_has_it_is_left_alone_until_it_pages_again_by_a_rule(policy, turn) {
        if acknowledged(&turn.before) && !turn.calls().is_empty() {
            let rule = match &turn.event {
                Event::Due { .. } => policy.ack_timeout.is_some() && due_at(&turn.before).is_some_and(|due| due <= turn.now),
                Event::Escalated { at, .. } => *at == stage(&turn.before),
                Event::Worsened => true,
                _ => false,
            };
            assert!(rule, "{turn:#?}");
        }
    }

    fn an_acknowledgement_ends_the_calls_and_begins_none(_policy, turn) {
        if acknowledged(&turn.after) && !acknowledged(&turn.before) {
            assert_eq!(turn.commands, [Command::CancelCalls], "{turn:#?}");
        }
    }

    fn a_doubled_escalation_counts_once(policy, turn) {
        if matches!(turn.event, Event::Escalated { .. }) && applies(&turn.before, &turn.event, turn.now) {
            let (twice, commands) =
                handle(&policy, on_duty(turn.present), turn.after.clone(), turn.event.clone(), turn.now);
            assert_eq!((&twice, commands.len()), (&turn.after, 0), "{turn:#?}");
        }
    }

    fn calls_are_those_of_the_attempt_that_begins_each_person_once(_policy, turn) {
        let calls = turn.calls();
        let State::Escalating { at, due_at, .. } = &turn.after else {
            return assert_eq!(calls, [], "{turn:#?}");
        };
        assert!(calls.iter().all(|(_, of)| of == at), "{turn:#?}");
        let unique: std::collections::HashSet<_> = calls.iter().map(|(to, _)| to).collect();
        assert_eq!(unique.len(), calls.len(), "{turn:#?}");
        // A new attempt has calls, and nothing else has.
        let begins = !matches!(&turn.before, State::Escalating { at: before, .. } if before == at);
        if begins {
            assert!(!calls.is_empty() && *due_at >= turn.now, "{turn:#?}");
        }
    }

    fn a_call_that_lives_puts_the_deadline_off_and_places_nothing(_policy, turn) {
        let running = matches!(turn.before, State::Escalating { .. });
        if running && turn.event == (Event::Due { calls: Calls::Live }) && applies(&turn.before, &turn.event, turn.now) {
            assert_eq!(turn.commands, [], "{turn:#?}");
            assert_eq!(position(&turn.after), position(&turn.before), "{turn:#?}");
            assert_eq!(due_at(&turn.after), Some(turn.now + TimeDelta::seconds(2)), "{turn:#?}");
        }
    }

    fn a_lost_attempt_is_waited_for_no_longer_than_a_detour(_policy, turn) {
        if let (Event::NoWayOut { at }, State::Escalating { at: here, due_at: before, .. }) = (&turn.event, &turn.before) {
            assert_eq!(turn.commands, [], "{turn:#?}");
            let soon = (turn.now + TimeDelta::seconds(10)).min(*before);
            let due = if at == here { soon } else { *before };
            assert_eq!(turn.after, State::Escalating { at: *here, due_at: due, phase: Phase::Reached }, "{turn:#?}");
        }
    }

    /// However late: one attempt. An outage never uses a policy up: only nobody at all to call does.
    fn a_deadline_leads_to_one_attempt_and_an_outage_never_to_the_end(policy, turn) {
        let Event::Due { calls } = turn.event else { return };
        let stages: std::collections::HashSet<_> = turn.calls().into_iter().map(|(_, at)| at).collect();
        assert!(stages.len() <= 1, "{turn:#?}");
        let ended = matches!(turn.after, State::Exhausted { .. }) && matches!(turn.before, State::Escalating { .. });
        if ended && calls == Calls::NoWayOut {
            assert!(!anybody(&policy, turn.present), "{turn:#?}");
        }
        if calls == Calls::NoWayOut && matches!(turn.before, State::Escalating { .. }) && !ended {
            assert!(stage(&turn.after).round == stage(&turn.before).round, "{turn:#?}");
        }
    }

    fn runs_count_up_one_by_one_and_a_run_goes_forward_only(_policy, turn) {
        if turn.after == State::Resolved {
            return;
        }
        let (before, after) = (stage(&turn.before), stage(&turn.after));
        let not_counted = turn.commands.iter().any(|c| matches!(c, Command::Note(Note::RoundNotCounted { .. })));
        assert!(after.run == before.run || after.run == before.run + 1, "{turn:#?}");
        assert!(after >= before || not_counted, "{turn:#?}");
        if after.run > before.run {
            assert!(!matches!(turn.before, State::Escalating { .. }), "{turn:#?}");
        }
    }

    fn exhausted_is_not_the_end(policy, turn) {
        if matches!(turn.before, State::Exhausted { .. }) && applies(&turn.before, &turn.event, turn.now) {
            match turn.event {
                Event::Acknowledged { .. } => assert!(acknowledged(&turn.after), "{turn:#?}"),
                Event::Resolved { .. } => assert_eq!(turn.after, State::Resolved),
                _ => {
                    assert_eq!(stage(&turn.after).run, stage(&turn.before).run + 1, "{turn:#?}");
                    assert_eq!(matches!(turn.after, State::Escalating { .. }), anybody(&policy, turn.present), "{turn:#?}");
                }
            }
        }
    }

    /// Whoever passes it on when the policy is behind them wakes somebody, if there is anybody.
    fn what_was_taken_after_the_end_and_is_passed_on_pages_again(policy, turn) {
        let Event::Escalated { at, .. } = turn.event else { return };
        if acknowledged(&turn.before) && at == stage(&turn.before) && at.round > policy.repeat {
            assert_eq!(!turn.calls().is_empty(), anybody(&policy, turn.present), "{turn:#?}");
        }
    }

    fn steps_that_are_passed_over_are_told_of_and_have_nobody(policy, turn) {
        for command in &turn.commands {
            if let Command::Note(Note::NobodyToCall { at }) = command {
                let step = &policy.steps[at.step as usize];
                assert!(step.targets.iter().flat_map(on_duty(turn.present)).next().is_none(), "{turn:#?}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_policy_has_as_many_attempts_as_its_steps_with_somebody_say(policy in policies(), present in any::<u8>()) {
        let there = |step: &&Step| step.targets.iter().flat_map(on_duty(present)).next().is_some();
        let expected: u32 = policy.steps.iter().filter(there).map(|step| (policy.repeat + 1) * step.attempts).sum();
        let mut attempts = 0;
        nobody_answers(&policy, present, |_, calls| attempts += u32::from(!calls.is_empty()));
        prop_assert_eq!(attempts, expected);
    }

    /// An outage, a thousand deadlines long: every attempt is made again and again, the round never changes.
    #[test]
    fn an_outage_goes_round_and_round(policy in policies(), present in any::<u8>()) {
        let (mut state, _) = trigger(Some(&policy), on_duty(present), evening());
        prop_assert_eq!(matches!(state, State::Escalating { .. }), anybody(&policy, present));
        for _ in 0..1000 {
            let Some(due) = due_at(&state) else { break };
            let commands;
            (state, commands) = handle(&policy, on_duty(present), state, Event::Due { calls: Calls::NoWayOut }, due);
            prop_assert!(!calls(&commands).is_empty());
            prop_assert_eq!(stage(&state).round, 0);
        }
        prop_assert_eq!(matches!(state, State::Escalating { .. }), anybody(&policy, present));
    }
}
