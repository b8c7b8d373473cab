//! Reading what stands in a frame.

use crate::world::{Ip4, Ip6, Mac};

pub(super) const HOP_BY_HOP: u8 = 0;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ROUTING: u8 = 43;
pub(super) const FRAGMENT: u8 = 44;
pub(super) const ICMPV6: u8 = 58;
const NO_NEXT_HEADER: u8 = 59;
pub(super) const DESTINATION_OPTIONS: u8 = 60;

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) to: Mac,
    pub(super) payload: Payload,
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Ipv4(Ipv4),
    Ipv6(Ipv6),
    /// What stands behind the Ethernet header.
    Arp(Vec<u8>),
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    pub(super) tos: u8,
    /// How long the header is, with its options.
    pub(super) header: usize,
    pub(super) may_be_cut: bool,
    pub(super) later_fragment: bool,
    pub(super) hops: u8,
    pub(super) protocol: u8,
    pub(super) from: Ip4,
    pub(super) to: Ip4,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv6 {
    pub(super) tos: u8,
    pub(super) payload: usize,
    pub(super) next: u8,
    pub(super) hops: u8,
    pub(super) from: Ip6,
    pub(super) to: Ip6,
}

/// Which header is cut short or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Ipv4,
    Ipv6,
}

/// Who sent the frame; `None` where it is too short for that.
pub(super) fn sender(bytes: &[u8]) -> Option<Mac> {
    (bytes.len() >= 14).then(|| array(bytes, 6))
}

/// Reads a frame that is as long as an Ethernet header at least.
pub(super) fn read(bytes: &[u8], merged: bool) -> Result<Frame, Flaw> {
    let behind = &bytes[14..];
    let payload = match number(bytes, 12) {
        0x0800 => Payload::Ipv4(ipv4(behind, merged).ok_or(Flaw::Ipv4)?),
        0x86dd => Payload::Ipv6(ipv6(behind, merged).ok_or(Flaw::Ipv6)?),
        0x0806 => Payload::Arp(behind.to_vec()),
        _ => Payload::Other,
    };
    Ok(Frame { to: array(bytes, 0), payload })
}

/// The packet at the start of the bytes; `None` where its lengths do not agree with each other or the bytes.
///
/// The kernel's stack asks the same of it (`ip_rcv_core`), checksum and all; a bridge leaves that to the receiver.
pub(super) fn ipv4(bytes: &[u8], merged: bool) -> Option<Ipv4> {
    if bytes.len() < 20 || bytes[0] / 16 != 4 {
        return None;
    }
    let header = usize::from(bytes[0] % 16) * 4;
    let said = number(bytes, 2);
    // A merged packet can be longer than its field can say.
    let total = if said == 0 && merged { bytes.len() } else { said };
    if header < 20 || total < header || total > bytes.len() {
        return None;
    }
    let fragment = number(bytes, 6);
    Some(Ipv4 {
        tos: bytes[1],
        header,
        may_be_cut: fragment & 0x4000 == 0,
        later_fragment: !fragment.is_multiple_of(0x2000),
        hops: bytes[8],
        protocol: bytes[9],
        from: array(bytes, 12),
        to: array(bytes, 16),
    })
}

/// The same for IPv6 (RFC 8200 section 3). A packet without a payload has nothing behind it, or says how long it is in
/// a hop-by-hop header.
pub(super) fn ipv6(bytes: &[u8], merged: bool) -> Option<Ipv6> {
    if bytes.len() < 40 || bytes[0] / 16 != 6 {
        return None;
    }
    let payload = number(bytes, 4);
    let next = bytes[6];
    let says = payload != 0 || merged || next == HOP_BY_HOP || next == NO_NEXT_HEADER;
    if !says || 40 + payload > bytes.len() {
        return None;
    }
    Some(Ipv6 {
        tos: bytes[0] % 16 * 16 + bytes[1] / 16,
        payload,
        next,
        hops: bytes[7],
        from: array(bytes, 8),
        to: array(bytes, 24),
    })
}

/// Whether it is an IPv4 address in the form of an IPv6 address, from which no packet comes (RFC 4291 section 2.5.5.2).
pub(crate) fn is_mapped(address: &[u8]) -> bool {
    address[..12] == [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]
}

/// The two bytes at `place` as a number.
pub(super) fn number(bytes: &[u8], place: usize) -> usize {
    usize::from(bytes[place]) * 256 + usize::from(bytes[place + 1])
}

/// What the checksum of an IPv4 header becomes where this word of it does: as right or wrong as it was (RFC 1624,
/// equation 3).
pub(super) fn corrected(checksum: usize, before: usize, after: usize) -> [u8; 2] {
    let mut sum = 0xffff - checksum + (0xffff - before) + after;
    while sum > 0xffff {
        sum = sum % 65_536 + sum / 65_536;
    }
    u16::try_from(0xffff - sum).expect("folded").to_be_bytes()
}

pub(super) fn array<const LENGTH: usize>(bytes: &[u8], place: usize) -> [u8; LENGTH] {
    bytes[place..place + LENGTH].try_into().expect("as many bytes")
}

pub(super) fn is_group(mac: Mac) -> bool {
    mac[0] % 2 == 1
}

/// `01:80:c2:00:00:00` to `0f`, which a bridge keeps to itself (IEEE 802.1Q, table 8-1).
pub(super) fn stays_on_link(mac: Mac) -> bool {
    mac[..5] == [1, 0x80, 0xc2, 0, 0] && mac[5] < 16
}

#[test]
fn a_checksum_is_corrected_to_what_it_would_be_made_anew() {
    // The identification goes through all values, and with it the checksum.
    for identification in 0..=u16::MAX {
        let [high, low] = identification.to_be_bytes();
        let header =
            |ttl| [0x45, 0, 0, 61, high, low, 0x40, 0, ttl, UDP, 10, 0, 0, 17, 10, 0, 0, 18];
        let [before, after] = [header(64), header(63)];
        let checksum = testbed::frames::checksum(&before);
        assert_eq!(
            corrected(number(&checksum, 0), number(&before, 8), number(&after, 8)),
            testbed::frames::checksum(&after),
            "of {checksum:02x?}"
        );
    }
}
