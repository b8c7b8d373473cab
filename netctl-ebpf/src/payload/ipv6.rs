//! Packets of IPv6.

use netctl_common::{
    DropReason, MacAddr, addr6, flow,
    maps::{Port, TunnelAddr, Vtep},
    wire::{Ethernet, Ipv6, protocol},
};

use super::{Payload, ports};
use crate::{
    config, lookup,
    packet::Packet,
    parse::{ETHERNET, IPV6},
    router,
    size::{self, Fit},
    too_big,
};

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
