//! The TC programs of netctl's data plane.
//!
//! One file per stage, and a packet's way through them: `packet` gives bounded views of it, `parse` reads it once,
//! `validate` says whether its sender may send it, `arp` answers, `lookup` finds whom it is for, `encap` and `decap`
//! add and strip the outer headers, `deliver` redirects it. What a stage returns decides the packet: there is one way
//! out, [`finish`], and it counts every packet once.
#![no_std]
#![no_main]

mod arp;
mod config;
mod container;
mod counters;
mod decap;
mod deliver;
mod encap;
mod lookup;
mod packet;
mod parse;
mod stale;
mod tunnel;
mod underlay;
mod validate;

use aya_ebpf::{macros::classifier, programs::TcContext};
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
    /// Deliver to the host, on its own side of its endpoint.
    ToHost(u32),
    /// The outer headers are on; send it by the underlay.
    ToUnderlay,
    /// The tunnel key is on; send it by the kernel's vxlan device.
    ToVxlanDevice,
    /// Leave it to the kernel's vxlan device, which has a socket on the underlay.
    LeaveToKernel,
    /// It is an ARP reply now; send it back by this device.
    Answer(u32),
    /// There is nothing to answer.
    Absorb,
    /// None of our business.
    NotOurs,
}

/// The ingress of an endpoint's host-side device. Nothing reaches the host's stack by it.
#[classifier]
pub fn from_container(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromContainer, length, container::decide(&packet))
}

/// The ingress of the underlay device.
#[classifier]
pub fn from_underlay(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromUnderlay, length, underlay::decide(&packet))
}

/// The ingress of the kernel's flow-based vxlan device. Nothing reaches the host's stack by it.
#[classifier]
pub fn from_tunnel(ctx: TcContext) -> i32 {
    let packet = Packet::new(&ctx);
    let length = packet.len();
    finish(&packet, Direction::FromTunnel, length, tunnel::decide(&packet))
}

/// Turns a decision into the program's return value, and counts it.
#[inline(always)]
fn finish(
    packet: &Packet,
    direction: Direction,
    length: u32,
    decision: Result<Decision, DropReason>,
) -> i32 {
    let (action, outcome) = match decision {
        Ok(Decision::ToContainer(device)) => {
            (deliver::to_container(packet, device), Outcome::Forwarded(Verdict::ToContainer))
        }
        Ok(Decision::ToHost(device)) => {
            (deliver::to_host(device), Outcome::Forwarded(Verdict::ToHost))
        }
        Ok(Decision::ToUnderlay) => {
            (deliver::to_underlay(), Outcome::Forwarded(Verdict::ToUnderlay))
        }
        Ok(Decision::ToVxlanDevice) => {
            (deliver::to_vxlan_device(), Outcome::Forwarded(Verdict::HandedOver))
        }
        Ok(Decision::LeaveToKernel) => (NEXT, Outcome::Forwarded(Verdict::HandedOver)),
        Ok(Decision::Answer(device)) => {
            (deliver::back(device), Outcome::Forwarded(Verdict::ArpAnswered))
        }
        Ok(Decision::Absorb) => (DROP, Outcome::Forwarded(Verdict::ArpAbsorbed)),
        Ok(Decision::NotOurs) => return NEXT,
        Err(reason) => (DROP, Outcome::Dropped(reason)),
    };
    counters::count(direction, outcome, length);
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
