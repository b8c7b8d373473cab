//! Packets of IPv4.

use netctl_common::{
    DropReason, MacAddr, flow,
    maps::{Port, TunnelAddr, Vtep},
    wire::{Ethernet, Ipv4, protocol},
};

use super::{Payload, ports};
use crate::{
    config, lookup,
    packet::Packet,
    parse::{ETHERNET, IPV4},
    router,
    size::{self, Fit},
    too_big,
};

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
