//! Which packets begin a flow: of TCP, those that ask for a connection; of other protocols, those of which neither
//! direction was seen lately.

use core::hint::black_box;

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::{bpf_ktime_get_coarse_ns, bpf_skb_load_bytes},
    macros::map,
    maps::{LruHashMap, PerCpuArray},
};
use netctl_common::{
    event::{FLOW_ENTRIES, FLOW_IDLE, FlowKey, Purpose},
    maps::Port,
    outer::{OVERHEAD4, OVERHEAD6},
    wire::{Ipv4, Ipv6, ether_type, protocol},
};

use crate::{
    events, lookup,
    packet::Packet,
    parse::{ETHERNET, IPV6},
};

#[map]
static FLOWS: LruHashMap<FlowKey, u64> = LruHashMap::with_max_entries(FLOW_ENTRIES, 0);

/// Where the type stands in an Ethernet header, in bytes.
const ETHER_TYPE: usize = 12;
/// Where the source stands in an IPv4 header (RFC 791 section 3.1) and in one of IPv6 (RFC 8200 section 3), in bytes; the
/// destination stands behind it.
const SOURCE4: usize = 12;
const SOURCE6: usize = 8;
/// Where the flags stand in a TCP header, in bytes, and those that tell the first packet (RFC 9293 section 3.1).
const FLAGS: usize = 13;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Where the identifier of an echo stands in a message of ICMP (RFC 792, RFC 4443 section 4.1), in bytes.
const IDENTIFIER: usize = 4;
/// The types of an echo and its answer.
const ECHO4: [u8; 2] = [8, 0];
const ECHO6: [u8; 2] = [128, 129];

/// What is looked at, of one packet at a time on each processor.
#[repr(C)]
struct Look {
    /// Has what stands behind the Ethernet header begin on a border of words.
    _pad: [u8; 2],
    head: [u8; HEAD],
    key: FlowKey,
}

/// How many bytes of a frame are looked at: its headers, with options, and as much of TCP as tells its flags.
const HEAD: usize = ETHERNET + LONGEST + 20;
/// The longest IP header that is looked behind, in bytes: that of IPv4 with all options.
const LONGEST: usize = 60;

#[map]
static LOOKS: PerCpuArray<Look> = PerCpuArray::with_max_entries(1, 0);

/// Whether somebody wants to be told of flows, and the packet, which has outer headers on if it is `wrapped`, is the first
/// of one of the network that the endpoint behind `port` is in.
#[inline(never)]
pub(crate) fn begins(skb: *mut __sk_buff, port: u32, wrapped: bool) -> bool {
    if !events::is_wanted(Purpose::Flows) {
        return false;
    }
    let packet = Packet::of(skb);
    let vni = lookup::port(port).map_or(0, Port::vni);
    let Some(look) = LOOKS.get_ptr_mut(0) else { return false };
    // SAFETY: the entry belongs to this CPU, and programs do not interrupt each other.
    let look = unsafe { &mut *look };
    let frame = if wrapped { inner(&packet) } else { 0 };
    // The verifier knows bounds of numbers alone, not what follows from comparing two.
    let length = match black_box(packet.len().saturating_sub(frame)) {
        0 => return false,
        length if length > HEAD as u32 => HEAD as u32,
        length => length,
    };
    // What stands behind a short packet is another's: it is whole, so its headers are not short.
    let head = (&raw mut look.head).cast();
    // SAFETY: a helper call on a valid context and as many bytes as there is room for.
    if unsafe { bpf_skb_load_bytes(skb.cast(), frame, head, length) } != 0 {
        return false;
    }
    match u16::from_be_bytes(*at(&look.head, ETHER_TYPE)) {
        ether_type::IPV4 => {
            let ip: &Ipv4 = at(&look.head, ETHERNET);
            let behind = ip.header() as usize;
            if ip.is_later_fragment() || behind > LONGEST {
                return false;
            }
            let protocol = ip.protocol();
            let (from, to) = match ports(&look.head, ETHERNET + behind, protocol) {
                Told::Begins(begins) => return begins,
                Told::Ports(from, to) => (from, to),
            };
            look.key.begin(vni, protocol);
            let source = *at::<u32>(&look.head, ETHERNET + SOURCE4);
            let destination = *at::<u32>(&look.head, ETHERNET + SOURCE4 + 4);
            look.key.set_ends4((source, from), (destination, to));
        }
        ether_type::IPV6 => {
            let protocol = at::<Ipv6>(&look.head, ETHERNET).next_header();
            let (from, to) = match ports(&look.head, ETHERNET + IPV6, protocol) {
                Told::Begins(begins) => return begins,
                Told::Ports(from, to) => (from, to),
            };
            look.key.begin(vni, protocol);
            let source = at(&look.head, ETHERNET + SOURCE6);
            let destination = at(&look.head, ETHERNET + SOURCE6 + 16);
            look.key.set_ends6((source, from), (destination, to));
        }
        _ => return false,
    }
    is_unseen(&look.key)
}

/// What stands `offset` bytes from the start of a frame.
#[inline(always)]
fn at<T: Copy>(head: &[u8; HEAD], offset: usize) -> &T {
    // SAFETY: all callers ask for what lies within; the verifier, which knows the bounds, sees to that. The headers have
    // no invalid patterns, and for alignment see `Packet::at`.
    unsafe { &*head.as_ptr().add(offset).cast() }
}

/// Where the inner frame begins behind outer headers that were just put on.
#[inline(always)]
pub(crate) fn inner(packet: &Packet) -> u32 {
    match packet.load::<u8>(ETHERNET as u32) {
        Some(version) if version >> 4 == 6 => OVERHEAD6,
        _ => OVERHEAD4,
    }
}

/// What the header behind the IP header tells.
enum Told {
    /// Whether it begins a flow.
    Begins(bool),
    /// No more than what tells the flow from others between the same ends.
    Ports(u16, u16),
}

#[inline(always)]
fn ports(head: &[u8; HEAD], offset: usize, protocol: u8) -> Told {
    match protocol {
        protocol::TCP => Told::Begins(*at::<u8>(head, offset + FLAGS) & (SYN | ACK) == SYN),
        protocol::ICMP | protocol::ICMPV6 => {
            let kind = *at::<u8>(head, offset);
            let echoes = if protocol == protocol::ICMP { ECHO4 } else { ECHO6 };
            if kind == echoes[0] || kind == echoes[1] {
                let identifier = *at(head, offset + IDENTIFIER);
                Told::Ports(identifier, identifier)
            } else {
                // Errors are about a flow, and neighbour discovery is about none.
                Told::Begins(false)
            }
        }
        protocol::UDP | protocol::SCTP => Told::Ports(*at(head, offset), *at(head, offset + 2)),
        _ => Told::Ports(0, 0),
    }
}

/// Whether neither direction of the flow was seen lately.
#[inline(always)]
fn is_unseen(key: &FlowKey) -> bool {
    // SAFETY: a helper call without arguments.
    let now = unsafe { bpf_ktime_get_coarse_ns() };
    if let Some(last) = FLOWS.get_ptr_mut(key) {
        // SAFETY: the entry lives until the program ends, and of two values written at once either will do.
        let before = unsafe { last.replace(now) };
        return now.wrapping_sub(before) >= FLOW_IDLE;
    }
    FLOWS.insert(key, now, 0).is_ok()
}
