//! How log-ins are slowed down: the more fail, the longer the next one has to wait.
//!
//! Counted by account, so that one password is not tried from everywhere, and by address, so that one
//! address does not try every account. What is counted is in memory: a restart forgives, and is rarer
//! than the delays are long.

use std::collections::HashMap;
use std::net::IpAddr;

use chrono::{DateTime, TimeDelta, Utc};

/// Failures that are free: people mistype.
const FREE: u32 = 4;
/// The longest wait for an account: somebody else's guessing must not lock its owner out for long.
const LONGEST_FOR_ACCOUNT: TimeDelta = TimeDelta::seconds(60);
/// The longest wait for an address.
const LONGEST_FOR_ADDRESS: TimeDelta = TimeDelta::seconds(900);
/// What has not failed for so long starts afresh.
const FORGOTTEN: TimeDelta = TimeDelta::seconds(3600);
/// For so long an address is known to be one of an account's owner.
const KNOWN: TimeDelta = TimeDelta::days(30);
/// Accounts and addresses that are remembered at once.
const REMEMBERED: usize = 20_000;

/// Who fails how often.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: HashMap<Key, Failures>,
    /// From where an account was logged in to: there somebody else's guessing does not lock its owner out.
    known: HashMap<(String, IpAddr), DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Account(String),
    Address(IpAddr),
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: DateTime<Utc>,
    /// The one before the last: what `last` is again if the last was none.
    before: DateTime<Utc>,
}

impl Throttle {
    /// How long whoever tries has to wait; zero if not at all.
    #[must_use]
    pub fn wait(&self, account: &str, address: IpAddr, now: DateTime<Utc>) -> TimeDelta {
        let [of_account, of_address] = keys(account, address);
        let is_known = self.known.get(&pair(account, address)).is_some_and(|at| now - *at <= KNOWN);
        let wait = if is_known { TimeDelta::zero() } else { self.wait_of(&of_account, now) };
        wait.max(self.wait_of(&of_address, now))
    }

    /// A try counts as failed before it is known to succeed: many at once are no way around the wait.
    pub fn tried(&mut self, account: &str, address: IpAddr, now: DateTime<Utc>) {
        if self.failures.len() >= REMEMBERED {
            self.forget(now);
        }
        for key in keys(account, address) {
            let failures = self.failures.entry(key).or_insert(Failures { count: 0, last: now, before: now });
            if now - failures.last > FORGOTTEN {
                failures.count = 0;
            }
            *failures = Failures { count: failures.count.saturating_add(1), last: now, before: failures.last };
        }
    }

    /// It was the right password: the account starts afresh. The address does not, or whoever has one
    /// account could try all the others; it gets back only this one try.
    pub fn succeeded(&mut self, account: &str, address: IpAddr, now: DateTime<Utc>) {
        self.untried(account, address);
        let [of_account, _] = keys(account, address);
        self.failures.remove(&of_account);
        if self.known.len() >= REMEMBERED {
            self.known.retain(|_, at| now - *at <= FORGOTTEN);
        }
        if self.known.len() < REMEMBERED {
            self.known.insert(pair(account, address), now);
        }
    }

    /// The last try was none.
    pub fn untried(&mut self, account: &str, address: IpAddr) {
        for key in keys(account, address) {
            if let Some(failures) = self.failures.get_mut(&key) {
                failures.count = failures.count.saturating_sub(1);
                failures.last = failures.before;
            }
        }
    }

    fn wait_of(&self, key: &Key, now: DateTime<Utc>) -> TimeDelta {
        let Some(failures) = self.failures.get(key) else { return TimeDelta::zero() };
        let Some(over) = failures.count.checked_sub(FREE) else { return TimeDelta::zero() };
        let longest = match key {
            Key::Account(_) => LONGEST_FOR_ACCOUNT,
            Key::Address(_) => LONGEST_FOR_ADDRESS,
        };
        // 1, 2, 4, 8, ... seconds.
        let delay = TimeDelta::seconds(1_i64 << over.min(20)).min(longest);
        // A clock that was set back leaves a failure in the future: it makes nobody wait longer.
        (failures.last + delay - now).clamp(TimeDelta::zero(), delay)
    }

    /// Makes room: what is long past goes; if that is not enough, what failed least and longest ago.
    fn forget(&mut self, now: DateTime<Utc>) {
        self.failures.retain(|_, failures| now - failures.last <= FORGOTTEN);
        if self.failures.len() >= REMEMBERED {
            let mut all: Vec<_> = self.failures.iter().map(|(key, f)| (f.count, f.last, key.clone())).collect();
            all.sort_unstable_by_key(|(count, last, _)| (*count, *last));
            for (_, _, key) in all.into_iter().take(REMEMBERED / 4) {
                self.failures.remove(&key);
            }
        }
    }
}

fn pair(account: &str, address: IpAddr) -> (String, IpAddr) {
    (account.to_lowercase(), address.to_canonical())
}

/// An IPv6 network of 64 bits is one customer's: its addresses count as one.
fn keys(account: &str, address: IpAddr) -> [Key; 2] {
    let network = match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
        v4 => v4,
    };
    [Key::Account(account.to_lowercase()), Key::Address(network)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_790_000_000 + seconds, 0).unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_wait_grows_and_ends() {
        let mut throttle = Throttle::default();
        let (ana, here) = ("ana", ip("203.0.113.1"));
        for _ in 0..3 {
            throttle.tried(ana, here, at(0));
            assert_eq!(throttle.wait(ana, here, at(0)), TimeDelta::zero());
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            throttle.tried(ana, here, at(0));
            waits.push(throttle.wait(ana, here, at(0)).num_seconds());
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
        assert_eq!(throttle.wait(ana, here, at(899)), TimeDelta::seconds(1));
        assert_eq!(throttle.wait(ana, here, at(900)), TimeDelta::zero());
        // A clock that is set back makes nobody wait for longer than that.
        assert_eq!(throttle.wait(ana, here, at(-600)), TimeDelta::seconds(900));
        // From elsewhere the account's own wait is shorter.
        assert_eq!(throttle.wait(ana, ip("198.51.100.1"), at(0)), TimeDelta::seconds(60));
        // An hour later everything is as at the beginning.
        throttle.tried(ana, here, at(5000));
        assert_eq!(throttle.wait(ana, here, at(5000)), TimeDelta::zero());
    }

    #[test]
    fn a_right_password_frees_the_account_and_not_the_address() {
        let mut throttle = Throttle::default();
        let here = ip("203.0.113.1");
        for _ in 0..8 {
            throttle.tried("ben", here, at(0));
        }
        throttle.tried("ana", here, at(0));
        throttle.succeeded("ana", here, at(0));
        assert_eq!(throttle.wait("ana", ip("198.51.100.1"), at(0)), TimeDelta::zero());
        assert_eq!(throttle.wait("ana", here, at(0)), TimeDelta::seconds(16));
        assert_eq!(throttle.wait("BEN", ip("198.51.100.1"), at(0)), TimeDelta::seconds(16));
    }

    #[test]
    fn where_somebody_has_logged_in_others_guesses_elsewhere_do_not_lock_them_out() {
        let mut throttle = Throttle::default();
        let (home, elsewhere) = (ip("203.0.113.1"), ip("198.51.100.1"));
        throttle.tried("ana", home, at(0));
        throttle.succeeded("ana", home, at(0));
        for _ in 0..20 {
            throttle.tried("ana", elsewhere, at(10));
        }
        assert_eq!(throttle.wait("ana", home, at(10)), TimeDelta::zero());
        assert!(throttle.wait("ana", ip("192.0.2.1"), at(10)) > TimeDelta::zero());
        // What was a success, or was not looked at, makes nobody wait longer.
        for _ in 0..8 {
            throttle.tried("ben", home, at(20));
        }
        let wait = throttle.wait("ben", home, at(25));
        throttle.tried("cal", home, at(25));
        throttle.succeeded("cal", home, at(25));
        throttle.tried("ben", home, at(25));
        throttle.untried("ben", home);
        assert_eq!(throttle.wait("ben", home, at(25)), wait);
    }

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let mut throttle = Throttle::default();
        for n in 0..8 {
            throttle.tried(&format!("user{n}"), ip(&format!("2001:db8:1:2::{n}")), at(0));
        }
        assert!(throttle.wait("other", ip("2001:db8:1:2:ffff::1"), at(0)) > TimeDelta::zero());
        assert_eq!(throttle.wait("other", ip("2001:db8:1:3::1"), at(0)), TimeDelta::zero());
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_worst_is_kept() {
        let mut throttle = Throttle::default();
        for _ in 0..10 {
            throttle.tried("ana", ip("203.0.113.1"), at(0));
        }
        for n in 0..30_000_u32 {
            throttle.tried(&format!("user{n}"), IpAddr::V4((0x0a00_0000 + n).into()), at(1));
        }
        assert!(throttle.failures.len() <= REMEMBERED + 2);
        assert!(throttle.wait("ana", ip("203.0.113.1"), at(1)) > TimeDelta::zero());
    }
}
