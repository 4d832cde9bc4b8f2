//! The watchman: an independent, slow and obvious way to know who is on call.
//!
//! He sits before the clock on the wall and looks at it every minute. For each layer he has the list
//! of the handoffs, counted out one by one. When the clock shows the next one, or has passed it, he
//! crosses it off, and never puts it back. He never computes an instant from a local time.

use std::collections::BTreeSet;

use chrono::{Datelike, TimeZone};
use chrono_tz::Tz;

use super::*;

pub struct Watchman<'a> {
    duty: &'a Duty,
    clock: Tz,
    /// The latest local time that the clock has ever shown.
    latest: NaiveDateTime,
    layers: Vec<Handoffs>,
}

/// The handoffs of a layer: how many have been, and the local time of the next one.
struct Handoffs {
    crossed_off: usize,
    next: NaiveDateTime,
}

impl<'a> Watchman<'a> {
    /// He comes six hours early, to have seen the clock if it is put back before `from`.
    pub fn before(duty: &'a Duty, from: DateTime<Utc>) -> Self {
        let clock = duty.schedule.zone.to_string().parse().unwrap();
        let layers = &duty.schedule.layers;
        let layers = layers.iter().map(|layer| Handoffs { crossed_off: 0, next: layer.rotation.start }).collect();
        let mut watchman = Self { duty, clock, latest: NaiveDateTime::MIN, layers };
        for minute in (1..=360).rev() {
            watchman.look(from - minutes(minute));
        }
        watchman
    }

    /// What the clock shows now, and what follows from it. Called for every minute.
    pub fn look(&mut self, at: DateTime<Utc>) {
        self.latest = self.latest.max(self.clock.from_utc_datetime(&at.naive_utc()).naive_local());
        for (layer, handoffs) in self.duty.schedule.layers.iter().zip(&mut self.layers) {
            let every = i64::from(layer.rotation.every);
            let step = match layer.rotation.unit {
                Unit::Hours => minutes(60 * every),
                Unit::Days => TimeDelta::days(every),
                Unit::Weeks => TimeDelta::days(7 * every),
            };
            while handoffs.next <= self.latest {
                handoffs.crossed_off += 1;
                handoffs.next += step;
            }
        }
    }

    /// The one whose duty it is by each layer.
    fn holders(&self, at: DateTime<Utc>) -> Vec<ContactId> {
        let mut holders = vec![];
        for (layer, handoffs) in self.duty.schedule.layers.iter().zip(&self.layers) {
            let people = &layer.rotation.participants;
            let ended = layer.until.is_some_and(|until| at >= until);
            let counts = layer.restrictions.is_empty() || layer.restrictions.iter().any(|hours| self.inside(hours));
            if handoffs.crossed_off > 0 && !ended && counts && !people.is_empty() {
                holders.push(people[(handoffs.crossed_off - 1) % people.len()]);
            }
        }
        holders
    }

    /// The clock has shown their beginning, and not yet their end.
    fn inside(&self, hours: &Hours) -> bool {
        let today = self.latest.date();
        let begun_on = |date: chrono::NaiveDate| {
            let over_midnight = hours.to <= hours.from;
            let end = if over_midnight { date.succ_opt().unwrap() } else { date };
            hours.days.contains(&date.weekday().into())
                && self.latest >= date.and_time(hours.from)
                && self.latest < end.and_time(hours.to)
        };
        begun_on(today) || begun_on(today.pred_opt().unwrap())
    }

    fn windows(&self, at: DateTime<Utc>) -> Vec<ContactId> {
        let mut open: Vec<&Window> = self.duty.windows.iter().filter(|w| (w.from..w.until).contains(&at)).collect();
        open.sort_by(|a, b| {
            a.priority.cmp(&b.priority).then_with(|| a.from.cmp(&b.from)).then_with(|| a.id.cmp(&b.id))
        });
        open.iter().map(|window| window.contact).collect()
    }

    fn overrides(&self, at: DateTime<Utc>) -> Vec<&Override> {
        let all = &self.duty.overrides;
        let mut overrides: Vec<&Override> = all.iter().filter(|o| (o.from..o.until).contains(&at)).collect();
        overrides.sort_by(|a, b| a.made_at.cmp(&b.made_at).then_with(|| a.id.cmp(&b.id)));
        overrides
    }

    /// Who is on call at the instant he has last looked at.
    pub fn on_call(&self, at: DateTime<Utc>) -> Vec<ContactId> {
        let mut people = BTreeSet::new();
        match (self.windows(at).first(), self.holders(at).first()) {
            (Some(one), _) | (None, Some(one)) => _ = people.insert(*one),
            (None, None) => {}
        }
        for change in self.overrides(at) {
            let named: BTreeSet<ContactId> = change.people.iter().copied().collect();
            people = match change.kind {
                OverrideKind::Add => &people | &named,
                OverrideKind::Remove => &people - &named,
                OverrideKind::Replace => named,
            };
        }
        people.into_iter().collect()
    }

    /// Whom he would call first, second, and so on.
    pub fn order(&self, at: DateTime<Utc>) -> Vec<ContactId> {
        let overrides = self.overrides(at);
        let is_removed = |person: &ContactId| {
            let last = overrides.iter().rev().find(|change| change.people.contains(person));
            last.is_some_and(|change| change.kind == OverrideKind::Remove)
        };
        let mut order = self.on_call(at);
        for person in [self.windows(at), self.holders(at)].concat() {
            if !order.contains(&person) && !is_removed(&person) {
                order.push(person);
            }
        }
        order
    }
}

/// The watchman, [`on_call`] and [`shifts`] agree on every minute of the span. `ask` says at which
/// minutes [`on_call`] is asked; [`shifts`] is looked up at all of them.
pub fn agree(duty: &Duty, from: DateTime<Utc>, until: DateTime<Utc>, ask: impl Fn(i64) -> bool) {
    let shifts = shifts(duty, from, until).unwrap();
    assert_is_a_rota(&shifts, from, until);
    let mut watchman = Watchman::before(duty, from);
    let mut shift = 0;
    for minute in 0..(until - from).num_minutes() {
        let at = from + minutes(minute);
        watchman.look(at);
        let people = watchman.on_call(at);
        if shifts[shift].until <= at {
            shift += 1;
        }
        let local = duty.schedule.zone.local(at);
        assert_eq!(shifts[shift].people, people, "shifts at {at}, {local}\n{duty:#?}");
        // Around a handoff it is asked anyway.
        let is_edge = shifts[shift].from == at || shifts[shift].until == at + minutes(1);
        if is_edge || ask(minute) {
            assert_eq!(on_call(duty, at), people, "at {at}, {local}\n{duty:#?}");
            assert_eq!(order(duty, at), watchman.order(at), "order at {at}, {local}\n{duty:#?}");
        }
    }
}
