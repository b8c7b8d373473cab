//! What a frame carries, as far as its way depends on it.
//!
//! Each kind goes its way by itself, from the ether type to the redirect: a value that is one kind or another at run
//! time would have the compiler read fields of the one where the other is, and the verifier refuse it.

mod ipv4;
mod ipv6;
mod opaque;

use netctl_common::{
    DropReason, MacAddr,
    maps::{Port, Vtep},
    wire::{Ethernet, Ports},
};

pub(crate) use self::opaque::Opaque;
use crate::{packet::Packet, parse::Frame, size::Fit};

/// A kind of payload.
pub(crate) trait Payload: Sized {
    const IS_IPV6: bool = false;

    /// DSCP and ECN; zero where there are none.
    fn tos(&self) -> u8;

    /// Sets them in a packet of this kind whose network header stands `OFFSET` bytes from its start.
    fn mark<const OFFSET: usize>(packet: &Packet, tos: u8) -> Result<(), DropReason>;

    /// Whether the fast path may tunnel it.
    ///
    /// What the kernel will cut into datagrams cannot be decapsulated by `bpf_skb_adjust_room`: on 6.18 the tunnel's
    /// GSO type stays on the packet, and the receiving socket gets none of the datagrams. TCP is not hurt.
    fn survives_tunnel(&self, packet: &Packet) -> bool;

    /// How it goes through the tunnel to that host.
    fn fit(&self, packet: &Packet, vtep: &Vtep) -> Fit;

    /// The hash of its flow, for packets that carry none.
    fn hash(&self, packet: &Packet) -> u32;

    /// Who has its destination address in the network.
    fn owner(&self, vni: u32) -> Option<MacAddr>;

    /// The same, if a router may forward it.
    fn beyond_router(&self, vni: u32) -> Option<MacAddr>;

    /// How many routers may forward it, and one more.
    fn hops(&self) -> u8;

    /// Takes one off its hops, in the frame that is the packet.
    fn pass_router(&self, packet: &Packet) -> Result<(), DropReason>;

    /// Makes the packet the report, in an Ethernet frame of this header, that its hops have ended.
    fn expire(&self, packet: &Packet, port: &Port, back: Ethernet) -> Result<(), DropReason>;

    /// Whether it claims to come from this host or another host of ours.
    fn is_from_host(&self) -> bool;

    /// Makes the packet the report, in an Ethernet frame of this header, that no more than `mtu` bytes fit; `false`
    /// where the kernel does not let it, and the packet is as it was.
    fn report(&self, packet: &Packet, back: Ethernet, mtu: u32) -> Result<bool, DropReason>;
}

impl<P: Payload> Frame<P> {
    /// The hash of the packet's flow: the one it carries, or else one of its addresses and ports.
    ///
    /// The kernel's own (`bpf_get_hash_recalc`) reads the packet all over again.
    #[inline(always)]
    pub(crate) fn hash(&self, packet: &Packet) -> u32 {
        match packet.hash() {
            0 => self.payload.hash(packet),
            carried => carried,
        }
    }
}

/// The ports as one word; none where the packet is not `whole`, or of a protocol without them.
#[inline(always)]
fn ports<const OFFSET: usize>(packet: &Packet, whole: bool, protocol: u8) -> u32 {
    if whole && Ports::begin(protocol) {
        packet.at::<Ports>(OFFSET).map_or(0, |ports| ports.word())
    } else {
        0
    }
}
