//! Until when it is quiet.

use chrono::{DateTime, TimeDelta, Utc};
use proptest::{collection::vec, prelude::*, sample::select};
use uuid::Uuid;

use super::{
    QuietKind::{Maintenance, Silence},
    *,
};
use crate::id::SilenceId;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).expect("an instant")
}

fn id(n: usize) -> SilenceId {
    SilenceId(Uuid::from_u128(n as u128))
}

/// Kind, matchers, spans in seconds.
type Case<'a> = (QuietKind, &'a str, &'a [(i64, i64)]);

/// The quiets of a test are numbered from 1.
fn quiets(of: &[Case]) -> Vec<Quiet> {
    of.iter()
        .zip(1..)
        .map(|((kind, matchers, spans), n)| Quiet {
            id: id(n),
            kind: *kind,
            matchers: parse_matchers(matchers).expect("matchers"),
            spans: spans.iter().map(|&(from, until)| (at(from), at(until))).collect(),
        })
        .collect()
}

fn hosts(hosts: &[&str]) -> Subject {
    Subject { labels: labels(&[("team", "db")]), members: hosts.iter().map(|host| labels(&[("host", host)])).collect() }
}

#[test]
fn chains_of_spans_are_followed_to_their_end() {
    let db = "team=db";
    for (of, now, expected) in [
        (quiets(&[(Silence, db, &[(0, 10)])]), 0, Some((1, Silence, 10))),
        (quiets(&[(Silence, db, &[(0, 10)])]), 9, Some((1, Silence, 10))),
        (quiets(&[(Silence, db, &[(0, 10)])]), 10, None),
        (quiets(&[(Silence, db, &[(1, 10)])]), 0, None),
        (quiets(&[(Silence, "team=web", &[(0, 10)])]), 0, None),
        // Overlapping, touching, and not quite touching.
        (quiets(&[(Silence, db, &[(0, 10)]), (Maintenance, db, &[(5, 20)])]), 0, Some((2, Maintenance, 20))),
        (quiets(&[(Silence, db, &[(0, 10)]), (Maintenance, db, &[(10, 20)])]), 0, Some((2, Maintenance, 20))),
        (quiets(&[(Silence, db, &[(0, 10)]), (Maintenance, db, &[(11, 20)])]), 0, Some((1, Silence, 10))),
        (quiets(&[(Silence, db, &[(20, 30), (0, 10), (10, 20)])]), 5, Some((1, Silence, 30))),
        // One inside another does not end it.
        (quiets(&[(Silence, db, &[(0, 30)]), (Silence, db, &[(5, 10)])]), 6, Some((1, Silence, 30))),
        // Of two that end together the one that began first, then the first in the list.
        (quiets(&[(Silence, db, &[(0, 10)]), (Maintenance, db, &[(0, 10)])]), 5, Some((1, Silence, 10))),
        (quiets(&[(Silence, db, &[(2, 10)]), (Maintenance, db, &[(0, 10)])]), 5, Some((2, Maintenance, 10))),
        // Without a matcher a maintenance window means everything, a silence nothing.
        (quiets(&[(Maintenance, "", &[(0, 10)])]), 5, Some((1, Maintenance, 10))),
        (quiets(&[(Silence, "", &[(0, 10)])]), 5, None),
        // Spans that are none.
        (quiets(&[(Silence, db, &[(5, 5), (9, 3)])]), 5, None),
        (vec![], 5, None),
    ] {
        let expected = expected.map(|(n, kind, until)| (id(n), kind, at(until)));
        let itself = Subject { members: vec![], ..hosts(&[]) };
        assert_eq!(quiet_until(&of, &itself, at(now)), expected, "{of:#?} at {now}");
        assert_eq!(quiet_until(&of, &hosts(&["a", "b"]), at(now)), expected, "{of:#?} at {now}");
    }
}

#[test]
fn every_alert_that_fires_has_to_be_covered() {
    let of = quiets(&[(Silence, "host=a", &[(0, 10)]), (Maintenance, "host=b", &[(0, 20)])]);
    assert_eq!(quiet_until(&of, &hosts(&["a"]), at(0)), Some((id(1), Silence, at(10))));
    assert_eq!(quiet_until(&of, &hosts(&["b"]), at(0)), Some((id(2), Maintenance, at(20))));
    // It wakes when the first of them does.
    assert_eq!(quiet_until(&of, &hosts(&["b", "a"]), at(0)), Some((id(1), Silence, at(10))));
    assert_eq!(quiet_until(&of, &hosts(&["a", "c"]), at(0)), None);
    assert_eq!(quiet_until(&of, &hosts(&["a", "b"]), at(10)), None);
    // Of alerts that wake together the first is the one whose silence is named.
    let both = quiets(&[(Silence, "host=a", &[(0, 10)]), (Maintenance, "host=b", &[(0, 10)])]);
    assert_eq!(quiet_until(&both, &hosts(&["a", "b"]), at(0)), Some((id(1), Silence, at(10))));
    assert_eq!(quiet_until(&both, &hosts(&["b", "a"]), at(0)), Some((id(2), Maintenance, at(10))));
    // The common labels alone have no host.
    assert_eq!(quiet_until(&of, &hosts(&[]), at(0)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_is_quiet_for_as_long_as_every_second_is(
        of in vec((any::<bool>(), select(vec!["", "host=a", "host=b", "host!=a", "team=db"]), vec((0..20i64, -1..8i64), 0..4)), 0..5),
        members in vec(select(vec!["a", "b", "c"]), 0..3),
        now in 0..20i64,
    ) {
        let of: Vec<Quiet> = of
            .into_iter()
            .zip(1..)
            .map(|((maintenance, matchers, spans), n)| Quiet {
                id: id(n),
                kind: if maintenance { Maintenance } else { Silence },
                matchers: parse_matchers(matchers).expect("matchers"),
                spans: spans.into_iter().map(|(from, length)| (at(from), at(from + length))).collect(),
            })
            .collect();
        let subject = hosts(&members);

        // The obvious way: every second, every member, every quiet, every span.
        let merged: Vec<Labels> = if members.is_empty() {
            vec![subject.labels.clone()]
        } else {
            let over = |member: &Labels| subject.labels.clone().into_iter().chain(member.clone()).collect();
            subject.members.iter().map(over).collect()
        };
        let active = |quiet: &Quiet, labels: &Labels, now| {
            (quiet.kind == Maintenance || !quiet.matchers.is_empty())
                && matches(&quiet.matchers, labels)
                && quiet.spans.iter().any(|&(from, until)| from <= now && now < until)
        };
        let covered = |labels: &Labels, now| of.iter().any(|quiet| active(quiet, labels, now));
        let quiet = |now| merged.iter().all(|labels| covered(labels, now));
        let wakes = (now..100).map(at).find(|second| !quiet(*second)).expect("no quiet is so long");

        let found = quiet_until(&of, &subject, at(now));
        prop_assert_eq!(found.map(|(.., until)| until), (wakes > at(now)).then_some(wakes));
        if let Some((id, kind, until)) = found {
            let named = of.iter().find(|quiet| quiet.id == id).expect("one of them");
            prop_assert_eq!(named.kind, kind);
            prop_assert!(named.spans.iter().any(|span| span.1 == until));
            prop_assert!(merged.iter().any(|labels| active(named, labels, until - TimeDelta::seconds(1))));
        }
    }
}
