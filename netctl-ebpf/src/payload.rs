//! What a frame carries, as far as its way depends on it.
//!
//! Each kind goes its way by itself, from the ether type to the redirect: a value that is one kind or another at run
//! time would have the compiler read fields of the one where the other is, and the verifier refuse it.

use netctl_common::{
    DropReason, MacAddr, addr6, flow,
    maps::{Port, TunnelAddr, Vtep},
    wire::{Ethernet, Ipv4, Ipv6, Ports, protocol},
};

use crate::{
    config, lookup,
    packet::Packet,
    parse::{ETHERNET, Frame, IPV4, IPV6},
    router,
    size::{self, Fit},
    too_big,
};

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

impl Payload for Ipv4 {
    #[inline(always)]
    fn tos(&self) -> u8 {
        Self::tos(self)
    }

    #[inline(always)]
    fn mark<const OFFSET: usize>(packet: &Packet, tos: u8) -> Result<(), DropReason> {
        packet.at::<Self>(OFFSET).ok_or(DropReason::NotWritable)?.set_tos(tos);
        Ok(())
    }

    #[inline(always)]
    fn survives_tunnel(&self, packet: &Packet) -> bool {
        packet.segment() == 0 || self.protocol() == protocol::TCP
    }

    #[inline(always)]
    fn fit(&self, packet: &Packet, vtep: &Vtep) -> Fit {
        size::fit4(packet, self, vtep)
    }

    #[inline(always)]
    fn hash(&self, packet: &Packet) -> u32 {
        // Only the first fragment has ports: all have to go one way.
        let whole = self.has_no_options() && !self.is_fragment();
        let ports = ports::<{ ETHERNET + IPV4 }>(packet, whole, self.protocol());
        flow::hash4(self.source(), self.destination(), self.protocol(), ports)
    }

    #[inline(always)]
    fn owner(&self, vni: u32) -> Option<MacAddr> {
        lookup::neighbour4(vni, self.destination())
    }

    #[inline(always)]
    fn beyond_router(&self, vni: u32) -> Option<MacAddr> {
        self.owner(vni)
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.ttl()
    }

    #[inline(always)]
    fn pass_router(&self, packet: &Packet) -> Result<(), DropReason> {
        router::pass4(packet)
    }

    #[inline(always)]
    fn expire(&self, packet: &Packet, port: &Port, back: Ethernet) -> Result<(), DropReason> {
        router::expire4(packet, port, self, back)
    }

    #[inline(always)]
    fn is_from_host(&self) -> bool {
        config::is_local4(self.source()) || lookup::is_vtep(&TunnelAddr::from_v4(self.source()))
    }

    #[inline(always)]
    fn report(&self, packet: &Packet, back: Ethernet, mtu: u32) -> Result<bool, DropReason> {
        too_big::report4(packet, self, back, mtu)
    }
}

impl Payload for Ipv6 {
    const IS_IPV6: bool = true;

    #[inline(always)]
    fn tos(&self) -> u8 {
        Self::tos(self)
    }

    #[inline(always)]
    fn mark<const OFFSET: usize>(packet: &Packet, tos: u8) -> Result<(), DropReason> {
        // No checksum in the packet covers it, but the sum that a device may have made of the whole packet does
        // (`CHECKSUM_COMPLETE`): over IPv4 the header's checksum keeps that as it was.
        let ip = packet.at::<Self>(OFFSET).ok_or(DropReason::NotWritable)?;
        let before = ip.first_word();
        ip.set_tos(tos);
        packet.correct_sum_of(before, ip.first_word());
        Ok(())
    }

    #[inline(always)]
    fn survives_tunnel(&self, packet: &Packet) -> bool {
        packet.segment() == 0 || self.next_header() == protocol::TCP
    }

    #[inline(always)]
    fn fit(&self, packet: &Packet, vtep: &Vtep) -> Fit {
        size::fit6(packet, self, vtep)
    }

    #[inline(always)]
    fn hash(&self, packet: &Packet) -> u32 {
        let ports = ports::<{ ETHERNET + IPV6 }>(packet, true, self.next_header());
        flow::hash6(self.source(), self.destination(), self.next_header(), ports)
    }

    #[inline(always)]
    fn owner(&self, vni: u32) -> Option<MacAddr> {
        lookup::neighbour6(vni, self.destination())
    }

    #[inline(always)]
    fn beyond_router(&self, vni: u32) -> Option<MacAddr> {
        // What is of one link stays on it (RFC 4291 section 2.5.6).
        if addr6::is_link_local(self.destination()) || addr6::is_link_local(self.source()) {
            None
        } else {
            self.owner(vni)
        }
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        self.hop_limit()
    }

    #[inline(always)]
    fn pass_router(&self, packet: &Packet) -> Result<(), DropReason> {
        router::pass6(packet)
    }

    #[inline(always)]
    fn expire(&self, packet: &Packet, port: &Port, back: Ethernet) -> Result<(), DropReason> {
        router::expire6(packet, port, self, back)
    }

    #[inline(always)]
    fn is_from_host(&self) -> bool {
        config::is_local6(self.source()) || lookup::is_vtep(&TunnelAddr::from_v6(self.source()))
    }

    #[inline(always)]
    fn report(&self, packet: &Packet, back: Ethernet, mtu: u32) -> Result<bool, DropReason> {
        too_big::report6(packet, self, back, mtu)
    }
}

/// Anything but IP, and all that has a VLAN tag: that is another network, in which only stations are known.
///
/// The kernel makes no room in what is not IP, nor does it put a tag, which stands beside the frame, in front of the
/// right header: all of it goes by the kernel's own device.
pub(crate) struct Opaque;

impl Payload for Opaque {
    #[inline(always)]
    fn tos(&self) -> u8 {
        0
    }

    #[inline(always)]
    fn mark<const OFFSET: usize>(_packet: &Packet, _tos: u8) -> Result<(), DropReason> {
        Ok(())
    }

    #[inline(always)]
    fn survives_tunnel(&self, _packet: &Packet) -> bool {
        false
    }

    #[inline(always)]
    fn fit(&self, _packet: &Packet, _vtep: &Vtep) -> Fit {
        Fit::InParts
    }

    #[inline(always)]
    fn hash(&self, _packet: &Packet) -> u32 {
        0
    }

    #[inline(always)]
    fn owner(&self, _vni: u32) -> Option<MacAddr> {
        None
    }

    #[inline(always)]
    fn beyond_router(&self, _vni: u32) -> Option<MacAddr> {
        None
    }

    #[inline(always)]
    fn hops(&self) -> u8 {
        0
    }

    #[inline(always)]
    fn pass_router(&self, _packet: &Packet) -> Result<(), DropReason> {
        Ok(())
    }

    #[inline(always)]
    fn expire(&self, _packet: &Packet, _port: &Port, _back: Ethernet) -> Result<(), DropReason> {
        Err(DropReason::TtlExpired)
    }

    #[inline(always)]
    fn is_from_host(&self) -> bool {
        false
    }

    #[inline(always)]
    fn report(&self, _packet: &Packet, _back: Ethernet, _mtu: u32) -> Result<bool, DropReason> {
        Err(DropReason::TooBig)
    }
}

#[inline(always)]
fn ports<const OFFSET: usize>(packet: &Packet, whole: bool, protocol: u8) -> u32 {
    if whole && Ports::begin(protocol) {
        packet.at::<Ports>(OFFSET).map_or(0, |ports| ports.word())
    } else {
        0
    }
}
