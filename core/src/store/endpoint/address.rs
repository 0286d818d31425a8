//! Addresses that nothing which a store names may reach, whatever list has them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether this address is never connected to: link-local, the clouds' metadata services, unspecified, multicast and
/// broadcast, also inside an IPv6 address that stands for an IPv4 one.
#[must_use]
pub fn is_forbidden_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => forbidden_v4(address),
        IpAddr::V6(address) => match meant_v4(address) {
            Some(meant) => forbidden_v4(meant),
            None => forbidden_v6(address),
        },
    }
}

/// Whether this address is the machine's own.
pub(super) fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => meant_v4(address).map_or(address.is_loopback(), |meant| meant.is_loopback()),
    }
}

fn forbidden_v4(address: Ipv4Addr) -> bool {
    address.octets()[0] == 0
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || METADATA_V4.contains(&address)
}

fn forbidden_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    address.is_unspecified()
        || address.is_multicast()
        // fe80::/10, and fec0::/10 which meant the same for a site.
        || segments[0] & 0xff80 == 0xfe80
        || (segments[0], segments[1]) == (0xfd00, 0x0ec2)
        || (segments[0], segments[1]) == (0xfd20, 0x00ce)
}

/// The IPv4 address that packets to this address end up at.
fn meant_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let two = |high: u16, low: u16| {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Neither :: nor ::1, which are IPv6's own.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        // IPv4-compatible, IPv4-mapped, IPv4-translated, and NAT64 (RFC 4291, RFC 2765, RFC 6052).
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => two(high, low),
        // NAT64 in a network of one's own, at the shortest prefix that is in use (RFC 8215).
        [0x64, 0xff9b, 1, _, _, _, high, low] => two(high, low),
        // 6to4 (RFC 3056).
        [0x2002, high, low, ..] => two(high, low),
        _ => None,
    }
}

/// Metadata services outside link-local: Azure's host, Alibaba Cloud, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] =
    [Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(192, 0, 0, 192)];
