//! Reading what stands in a frame.

use crate::world::{Ip4, Mac};

#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) to: Mac,
    pub(super) from: Mac,
    pub(super) payload: Payload,
}

#[derive(Clone, Debug)]
pub(super) enum Payload {
    Ipv4(Ipv4),
    Ipv6,
    /// What stands behind the Ethernet header.
    Arp(Vec<u8>),
    Other,
}

#[derive(Clone, Debug)]
pub(super) struct Ipv4 {
    pub(super) tos: u8,
    pub(super) protocol: u8,
    pub(super) from: Ip4,
    pub(super) to: Ip4,
}

/// Which header is cut short or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    Ethernet,
    Ipv4,
}

pub(super) fn read(bytes: &[u8], merged: bool) -> Result<Frame, Flaw> {
    if bytes.len() < 14 {
        return Err(Flaw::Ethernet);
    }
    let payload = match number(bytes, 12) {
        0x0800 => Payload::Ipv4(ipv4(&bytes[14..], merged).ok_or(Flaw::Ipv4)?),
        0x0806 => Payload::Arp(bytes[14..].to_vec()),
        0x86dd => Payload::Ipv6,
        _ => Payload::Other,
    };
    Ok(Frame { to: array(bytes, 0), from: array(bytes, 6), payload })
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
    Some(Ipv4 { tos: bytes[1], protocol: bytes[9], from: array(bytes, 12), to: array(bytes, 16) })
}

/// The two bytes at `place` as a number.
pub(super) fn number(bytes: &[u8], place: usize) -> usize {
    usize::from(bytes[place]) * 256 + usize::from(bytes[place + 1])
}

pub(super) fn array<const LENGTH: usize>(bytes: &[u8], place: usize) -> [u8; LENGTH] {
    bytes[place..place + LENGTH].try_into().expect("as many bytes")
}

pub(super) fn is_group(mac: Mac) -> bool {
    mac[0] % 2 == 1
}
