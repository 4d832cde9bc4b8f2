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
/// Accounts and addresses that are remembered at once.
const REMEMBERED: usize = 20_000;

/// Who fails how often.
#[derive(Debug, Default)]
pub struct Throttle {
    failures: HashMap<Key, Failures>,
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
}

impl Throttle {
    /// How long whoever tries has to wait; zero if not at all.
    #[must_use]
    pub fn wait(&self, account: &str, address: IpAddr, now: DateTime<Utc>) -> TimeDelta {
        keys(account, address).iter().map(|key| self.wait_of(key, now)).max().unwrap_or_default()
    }

    /// A try counts as failed before it is known to succeed: many at once are no way around the wait.
    pub fn tried(&mut self, account: &str, address: IpAddr, now: DateTime<Utc>) {
        if self.failures.len() >= REMEMBERED {
            self.forget(now);
        }
        for key in keys(account, address) {
            let failures = self.failures.entry(key).or_insert(Failures { count: 0, last: now });
            if now - failures.last > FORGOTTEN {
                failures.count = 0;
            }
            *failures = Failures { count: failures.count.saturating_add(1), last: now };
        }
    }

    /// It was the right password: the account starts afresh. The address does not, or whoever has one
    /// account could try all the others; it gets back only this one try.
    pub fn succeeded(&mut self, account: &str, address: IpAddr) {
        let [account, address] = keys(account, address);
        self.failures.remove(&account);
        if let Some(failures) = self.failures.get_mut(&address) {
            failures.count = failures.count.saturating_sub(1);
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
        (failures.last + delay - now).max(TimeDelta::zero())
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
        throttle.succeeded("ana", here);
        assert_eq!(throttle.wait("ana", ip("198.51.100.1"), at(0)), TimeDelta::zero());
        assert_eq!(throttle.wait("ana", here, at(0)), TimeDelta::seconds(16));
        assert_eq!(throttle.wait("BEN", ip("198.51.100.1"), at(0)), TimeDelta::seconds(16));
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
