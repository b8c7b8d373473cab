//! The TC and XDP programs of netctl's data plane.
//!
//! One file per stage, and a packet's way through them: `packet` gives bounded views of it, `parse` and `outer` read it
//! once, `validate` says whether its sender may send it, `arp` and `ndp` answer, `lookup` finds whom it is for, `router`
//! takes it to another subnet, `flood` copies it to many, `encap` and `decap` add and strip the outer headers, `too_big`
//! tells the sender that they do not fit, `echo` answers probes between hosts, `deliver` redirects it. What a stage returns
//! decides the packet: there is one way out, [`finish`], which counts every packet once, and where somebody looks, has
//! `events` tell of it and `traffic` count by whom it is.
#![no_std]
#![no_main]

mod arp;
mod config;
mod container;
mod counters;
mod decap;
mod deliver;
mod echo;
mod encap;
mod events;
mod extension;
mod filter;
mod flood;
mod flow;
mod lookup;
mod ndp;
mod outer;
mod packet;
mod parse;
mod payload;
mod probe;
mod report;
mod router;
mod size;
mod stale;
mod too_big;
mod traffic;
mod tunnel;
mod underlay;
mod validate;

use aya_ebpf::{
    bindings::xdp_action,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use netctl_common::{Direction, DropReason, Outcome, Verdict};

use crate::packet::Packet;

/// Drop the packet (`TC_ACT_SHOT`, which TCX calls `TCX_DROP`).
const DROP: i32 = 2;
/// Not this program's packet: run the next program, then the kernel's stack (`TCX_NEXT`).
const NEXT: i32 = -1;

/// What the stages decided.
enum Decision {
    /// Deliver to the container behind this host-side device.
    ToContainer(u32),
    /// The same for a container that bridges onward.
    ToBridge(u32),
    /// Deliver to the host, on its own side of its endpoint.
    ToHost(u32),
    /// The outer headers are on; send it to the next hop.
    ToNextHop,
    /// The same where the kernel has to find the next hop.
    ToRoute,
    /// The tunnel key is on; send it by the kernel's vxlan device.
    ToVxlanDevice,
    /// Leave it to the kernel's vxlan device, which has a socket on the underlay.
    LeaveToKernel,
    /// It has become what its sender is to be told; send it back by this device, and count it so.
    Answer(u32, Verdict),
    /// It is a probe that was turned; send it back where it came from.
    SendBack,
    /// It is the answer to a probe of this host; give it to the socket that sent that.
    ToProber,
    /// All members have got a copy.
    Flooded,
    /// None of our business.
    NotOurs,
}

/// The ingress of an endpoint's host-side device. Nothing reaches the host's stack by it.
#[classifier]
#[inline(always)]
pub fn from_container(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromContainer, length, container::decide(&packet))
}

/// The ingress of the underlay device.
#[classifier]
#[inline(always)]
pub fn from_underlay(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromUnderlay, length, underlay::decide(&packet))
}

/// The ingress of the kernel's flow-based vxlan device. Nothing reaches the host's stack by it.
#[classifier]
#[inline(always)]
pub fn from_tunnel(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromTunnel, length, tunnel::decide(&packet))
}

/// The underlay device's driver, before there is a packet: what is not VXLAN, or may be good, goes on.
#[xdp(frags)]
pub fn xdp_underlay(ctx: XdpContext) -> u32 {
    let length = (ctx.data_end() - ctx.data()) as u32;
    let (action, outcome) = match filter::decide(&ctx) {
        Ok(false) => return xdp_action::XDP_PASS,
        Ok(true) => (xdp_action::XDP_PASS, Outcome::Forwarded(Verdict::Passed)),
        Err(reason) => {
            events::filtered(&ctx, reason, length);
            (xdp_action::XDP_DROP, Outcome::Dropped(reason))
        }
    };
    counters::count(Direction::UnderlayFilter, outcome, length);
    action
}

/// Turns a decision into the program's return value, and counts it.
#[inline(always)]
fn finish(
    packet: &Packet,
    direction: Direction,
    length: u32,
    decision: Result<Decision, DropReason>,
) -> i32 {
    let mut to = 0;
    let (action, verdict) = match decision {
        Ok(Decision::ToContainer(device)) => {
            to = device;
            (deliver::to_container(packet, device), Verdict::ToContainer)
        }
        Ok(Decision::ToBridge(device)) => {
            to = device;
            (deliver::out(device), Verdict::ToContainer)
        }
        Ok(Decision::ToHost(device)) => {
            to = device;
            (deliver::to_host(device), Verdict::ToHost)
        }
        Ok(Decision::ToNextHop) => (deliver::out(config::underlay_device()), Verdict::ToUnderlay),
        Ok(Decision::ToRoute) => (deliver::to_route(), Verdict::ToUnderlay),
        Ok(Decision::ToVxlanDevice) => (deliver::out(config::vxlan_device()), Verdict::HandedOver),
        Ok(Decision::LeaveToKernel) => (NEXT, Verdict::HandedOver),
        Ok(Decision::Answer(device, verdict)) => (deliver::out(device), verdict),
        Ok(Decision::SendBack) => (deliver::out(packet.device()), Verdict::Probe),
        Ok(Decision::ToProber) => (NEXT, Verdict::Probe),
        Ok(Decision::Flooded) => (DROP, Verdict::Flooded),
        Ok(Decision::NotOurs) => return NEXT,
        Err(reason) => {
            counters::count(direction, Outcome::Dropped(reason), length);
            events::dropped(packet, direction, reason, length);
            return DROP;
        }
    };
    counters::count(direction, Outcome::Forwarded(verdict), length);
    events::forwarded(packet, direction, verdict, to, length);
    action
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path leads here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
