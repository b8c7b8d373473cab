//! What is for a group: every other member of the network gets it, once.
//!
//! Members of this host get it from here, those of other hosts by one packet to each host, which the kernel's vxlan
//! device wraps. What came by a tunnel goes to members of this host alone: it has been sent to all hosts already.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_F_INGRESS},
    helpers::generated::{bpf_clone_redirect, bpf_loop},
};
use netctl_common::{
    DropReason, MacAddr,
    maps::{FLOOD_ENTRIES, FdbTarget, Port},
    wire::Ethernet,
};

use crate::{Decision, config, encap, lookup, packet::Packet, parse::Frame, payload::Payload};

/// What the visit of a member needs to know.
struct Round {
    skb: *mut __sk_buff,
    vni: u32,
    /// Index of the device that it came from, zero where that is a tunnel.
    origin: u32,
    /// The host gets none. It is from a host's own endpoint, which has one address on all hosts, and nobody gets what
    /// he sent himself; or it claims to be from a host, as VXLAN that the host's stack would open.
    not_for_host: bool,
    /// Nobody but the host gets any: the network keeps containers apart, and it is from one.
    only_host: bool,
}

/// Sends it to all members but the one that it comes from.
#[inline(always)]
pub(crate) fn from_here<P: Payload>(
    packet: &Packet,
    port: &Port,
    frame: &Frame<P>,
) -> Result<Decision, DropReason> {
    if frame.destination().stays_on_link() {
        return Err(DropReason::LinkLocalGroup);
    }
    let round = Round {
        skb: packet.raw(),
        vni: port.vni(),
        origin: packet.device(),
        not_for_host: frame.payload.is_from_host(),
        only_host: port.is_isolated(),
    };
    visit(round, frame.source())
}

/// Sends it to all members of this host, but to the host itself where the packet claims to be from one.
#[inline(always)]
pub(crate) fn from_tunnel(
    packet: &Packet,
    vni: u32,
    frame: &Ethernet,
    from_host: bool,
) -> Result<Decision, DropReason> {
    let skb = packet.raw();
    let round = Round { skb, vni, origin: 0, not_for_host: from_host, only_host: false };
    visit(round, frame.source())
}

#[inline(always)]
fn visit(mut round: Round, source: MacAddr) -> Result<Decision, DropReason> {
    let network = lookup::network(round.vni).ok_or(DropReason::UnknownVni)?;
    round.not_for_host |= network.gateway().is_some_and(|gateway| gateway.same(source));
    let places = network.flood_members();
    let places = if places > FLOOD_ENTRIES { FLOOD_ENTRIES } else { places };
    let each: unsafe extern "C" fn(u32, *mut Round) -> i64 = member;
    // SAFETY: the function has the type that the helper calls (`bpf_callback_t` with an index and a context), and
    // `round` outlives the call.
    unsafe { bpf_loop(places, each as *mut c_void, (&raw mut round).cast::<c_void>(), 0) };
    Ok(Decision::Flooded)
}

/// Gives the member at this place a copy. A copy that cannot be made is counted by the kernel, on the device.
unsafe extern "C" fn member(place: u32, round: *mut Round) -> i64 {
    // SAFETY: `visit` passes a pointer to a value that is alive.
    let Round { skb, vni, origin, not_for_host, only_host } = unsafe { &*round };
    if let Some(target) = lookup::flood_member(*vni, place) {
        match target {
            FdbTarget::Host(device) if !*not_for_host => {
                copy(*skb, device, BPF_F_INGRESS.into());
            }
            _ if *only_host => {}
            FdbTarget::Container(device) | FdbTarget::Bridging(device) if device != *origin => {
                copy(*skb, device, 0);
            }
            FdbTarget::Remote(index) if *origin != 0 => {
                if let Some(vtep) = lookup::vtep(index)
                    && encap::set_key(*skb, *vni, vtep, 0, false)
                {
                    copy(*skb, config::vxlan_device(), 0);
                }
            }
            FdbTarget::Container(_)
            | FdbTarget::Bridging(_)
            | FdbTarget::Host(_)
            | FdbTarget::Remote(_) => {}
        }
    }
    0
}

#[inline(always)]
fn copy(skb: *mut __sk_buff, device: u32, flags: u64) {
    // SAFETY: a helper call on a valid context.
    unsafe { bpf_clone_redirect(skb, device, flags) };
}
