//! Which addresses may be told of events: public ones, and those that are allowed by name.
//!
//! Whoever may make a webhook could otherwise have the server talk to machines that only it can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Whether an address may be connected to: it is public, or one of `allow`.
#[must_use]
pub fn permitted(address: IpAddr, allow: &[IpNet]) -> bool {
    // An IPv4 address in the clothes of IPv6 is reached over IPv4.
    let address = address.to_canonical();
    allow.iter().any(|net| net.contains(&address))
        || match address {
            IpAddr::V4(address) => is_public_v4(address),
            IpAddr::V6(address) => is_public_v6(address),
        }
}

/// The IANA registry of special-purpose addresses (RFC 6890), and multicast.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(a == 0
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        // Shared by customers of a provider (RFC 6598).
        || (a == 100 && (64..128).contains(&b))
        // Protocol assignments, and the relays of 6to4.
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || address.is_documentation()
        // Benchmarks (RFC 2544).
        || (a == 198 && (18..20).contains(&b))
        // Multicast, reserved, broadcast.
        || a >= 224)
}

/// Global unicast is 2000::/3; within it some are not, and some carry an IPv4 address that was not looked at.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    (a & 0xe000) == 0x2000
        // Protocol assignments: Teredo, ORCHID, benchmarks and more.
        && !(a == 0x2001 && b < 0x0200)
        // Documentation.
        && !(a == 0x2001 && b == 0x0db8)
        && !(a == 0x3fff && b < 0x1000)
        // 6to4.
        && a != 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(address: &str, allow: &[&str]) -> bool {
        let allow: Vec<IpNet> = allow.iter().map(|net| net.parse().expect("a net")).collect();
        permitted(address.parse().expect("an address"), &allow)
    }

    #[test]
    fn only_public_addresses_are_permitted() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.1",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.88.98.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "203.0.112.1",
            "203.0.114.0",
            "223.255.255.255",
            "::ffff:8.8.8.8",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2606:4700:4700::1111",
            "2a00::1",
            "3fff:1000::1",
        ] {
            assert!(permits(public, &[]), "{public}");
        }
        for other in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:0:7f00:1::",
            "2001:2::1",
            "2001:10::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002:7f00:1::1",
            "2002:a00:1::",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!permits(other, &[]), "{other}");
        }
    }

    #[test]
    fn what_is_allowed_by_name_is_permitted() {
        assert!(permits("10.1.2.3", &["10.0.0.0/8"]));
        assert!(permits("::ffff:10.1.2.3", &["10.0.0.0/8"]));
        assert!(permits("fd12::1", &["10.0.0.0/8", "fd00::/8"]));
        assert!(permits("127.0.0.1", &["127.0.0.1/32"]));
        assert!(!permits("127.0.0.2", &["127.0.0.1/32"]));
        assert!(!permits("::1", &["127.0.0.0/8"]));
    }
}
