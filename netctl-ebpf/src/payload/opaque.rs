//! Anything but IP, and all that has a VLAN tag: that is another network, in which only stations are known.
//!
//! The kernel makes no room in what is not IP, nor does it put a tag, which stands beside the frame, in front of the
//! right header: all of it goes by the kernel's own device.

use netctl_common::{
    DropReason, MacAddr,
    maps::{Port, Vtep},
    wire::Ethernet,
};

use super::Payload;
use crate::{packet::Packet, size::Fit};

/// What is carried without a look into it.
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
