//! Redirecting. A redirect that fails later, because the device is gone, is counted by the kernel.

use core::ptr;

use aya_ebpf::{
    bindings::BPF_F_INGRESS,
    helpers::generated::{bpf_redirect, bpf_redirect_neigh, bpf_redirect_peer},
};
use netctl_common::{DropReason, MacAddr, maps::FdbTarget};

use crate::{Decision, config, lookup, packet::Packet};

/// Delivers a frame from a tunnel to the station of this host that it is for.
#[inline(always)]
pub(crate) fn local(vni: u32, destination: MacAddr) -> Result<Decision, DropReason> {
    match lookup::station(vni, destination) {
        Some(FdbTarget::Container(device)) => Ok(Decision::ToContainer(device)),
        Some(FdbTarget::Bridging(device)) => Ok(Decision::ToBridge(device)),
        Some(FdbTarget::Host(device)) => Ok(Decision::ToHost(device)),
        // What came by a tunnel never leaves by one: hosts reach each other directly.
        Some(FdbTarget::Remote(_)) | None => Err(DropReason::NotLocal),
    }
}

/// Into the container, past the host-side device's own queue and programs.
#[inline(always)]
pub(crate) fn to_container(packet: &Packet, device: u32) -> i32 {
    packet.address_to_device();
    // SAFETY: a helper call on numbers.
    unsafe { bpf_redirect_peer(device, 0) as i32 }
}

/// Into the host's stack. `bpf_redirect_peer` refuses to stay in one namespace (`skb_do_redirect`).
#[inline(always)]
pub(crate) fn to_host(device: u32) -> i32 {
    // SAFETY: a helper call on numbers.
    unsafe { bpf_redirect(device, BPF_F_INGRESS.into()) as i32 }
}

/// Out by the underlay, along the kernel's own routes and neighbours, which write the Ethernet header.
#[inline(always)]
pub(crate) fn to_route() -> i32 {
    // SAFETY: no parameters are given, so the kernel looks the route up.
    unsafe { bpf_redirect_neigh(config::underlay_device(), ptr::null_mut(), 0, 0) as i32 }
}

/// Out by this device: to the next hop, into a tunnel, to a container by its device's own way, or back to the sender.
#[inline(always)]
pub(crate) fn out(device: u32) -> i32 {
    // SAFETY: a helper call on numbers.
    unsafe { bpf_redirect(device, 0) as i32 }
}
