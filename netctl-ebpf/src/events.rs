//! Telling whoever looks of single packets. Where nobody does, it costs a look at one word.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::generated::{
        bpf_ktime_get_coarse_ns, bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_load_bytes,
    },
    macros::map,
    maps::{Array, PerCpuArray, RingBuf, ring_buf::RingBufEntry},
    programs::XdpContext,
};
use netctl_common::{
    Direction, DropReason, Outcome, Verdict, counter,
    event::{Budget, EVENT_BYTES, EVENT_HEAD, Event, EventKind, Purpose},
    maps::Port,
};

use crate::{flow, lookup, packet::Packet, traffic, tunnel};

#[map]
static EVENTS: RingBuf = RingBuf::with_byte_size(EVENT_BYTES, 0);
#[map]
static EVENTS_UNTIL: Array<u64> = Array::with_max_entries(EventKind::ALL.len() as u32, 0);
#[map]
static LOOKS_UNTIL: Array<u64> = Array::with_max_entries(Purpose::ALL.len() as u32, 0);
#[map]
static EVENT_BUDGETS: PerCpuArray<Budget> =
    PerCpuArray::with_max_entries(EventKind::ALL.len() as u32, 0);

const DROP: u32 = EventKind::Drop as u32;
const FLOW: u32 = EventKind::Flow as u32;

/// Tells of a packet that was dropped.
#[inline(always)]
pub(crate) fn dropped(packet: &Packet, direction: Direction, reason: DropReason, length: u32) {
    if is_looked_at(DROP) {
        let place = counter::index(direction, Outcome::Dropped(reason));
        traffic::lost(packet.device(), place, length);
        match direction {
            Direction::FromTunnel => tell::<true>(packet.raw(), place, length, 0),
            _ => tell::<false>(packet.raw(), place, length, sent_by(packet, direction)),
        }
    }
}

/// The same of one that the driver's program dropped.
#[inline(always)]
pub(crate) fn filtered(ctx: &XdpContext, reason: DropReason, length: u32) {
    if is_looked_at(DROP) {
        let place = counter::index(Direction::UnderlayFilter, Outcome::Dropped(reason));
        // SAFETY: the context is valid for the whole run of the program.
        traffic::lost(unsafe { (*ctx.ctx).ingress_ifindex }, place, length);
        tell_filtered(ctx.ctx, place, length);
    }
}

/// Tells of a packet that went on, to the device `to` of this host unless that is 0, if it is the first of its flow.
#[inline(always)]
pub(crate) fn forwarded(
    packet: &Packet,
    direction: Direction,
    verdict: Verdict,
    to: u32,
    length: u32,
) {
    // What the kernel's device opens comes back as `from_tunnel`'s.
    let is_way = match verdict {
        Verdict::ToContainer | Verdict::ToHost => true,
        Verdict::ToUnderlay | Verdict::HandedOver => {
            direction as u32 == Direction::FromContainer as u32
        }
        _ => false,
    };
    if is_looked_at(FLOW) && is_way {
        let place = counter::index(direction, Outcome::Forwarded(verdict));
        let port = match direction {
            Direction::FromContainer => packet.device(),
            _ => to,
        };
        let wrapped = matches!(verdict, Verdict::ToUnderlay);
        traffic::carried(packet.raw(), port, direction as u32, length, wrapped);
        if flow::begins(packet.raw(), port, wrapped) {
            began(packet.raw(), place, length, to, port);
        }
    }
}

/// The device of the endpoint that sent it, if it is one of this host.
#[inline(always)]
fn sent_by(packet: &Packet, direction: Direction) -> u32 {
    if direction as u32 == Direction::FromContainer as u32 { packet.device() } else { 0 }
}

/// Whether somebody wants anything of packets that end so.
#[inline(always)]
fn is_looked_at(kind: u32) -> bool {
    is_to_come(EVENTS_UNTIL.get(kind))
}

/// Whether somebody wants this.
#[inline(always)]
pub(crate) fn is_wanted(look: Purpose) -> bool {
    is_to_come(LOOKS_UNTIL.get(look as u32))
}

#[inline(always)]
fn is_to_come(until: Option<&u64>) -> bool {
    match until {
        // SAFETY: a helper call without arguments.
        Some(&until) => until != 0 && unsafe { bpf_ktime_get_coarse_ns() } < until,
        None => false,
    }
}

// What follows is no part of the programs themselves, which have little left of the 512 bytes that all functions under way
// may have together: so it works in the memory of maps.

/// Tells of a dropped packet that the endpoint behind `port` sent; or the kernel's device received, which knows the
/// network.
#[inline(never)]
fn tell<const FROM_TUNNEL: bool>(skb: *mut __sk_buff, place: u32, length: u32, port: u32) {
    if !is_wanted(Purpose::Drops) {
        return;
    }
    let packet = Packet::of(skb);
    let vni = if FROM_TUNNEL {
        tunnel::key(&packet).map_or(0, |(vni, _source)| vni)
    } else {
        network(port)
    };
    put(DROP, &packet, place, length, 0, vni);
}

/// Tells of the first packet of a flow that the endpoint behind `port` sends or gets.
#[inline(never)]
fn began(skb: *mut __sk_buff, place: u32, length: u32, to: u32, port: u32) {
    put(FLOW, &Packet::of(skb), place, length, to, network(port));
}

/// The network of the endpoint behind this device; 0 where there is none.
#[inline(always)]
fn network(port: u32) -> u32 {
    lookup::port(port).map_or(0, Port::vni)
}

#[inline(always)]
fn put(kind: u32, packet: &Packet, place: u32, length: u32, to: u32, vni: u32) {
    let Some(entry) = reserve(kind) else { return };
    let event = entry.event();
    event.about.place = place;
    event.about.device = packet.device();
    event.about.to = to;
    event.about.vni = vni;
    event.about.length = length;
    let present = shown(packet.len());
    let head = (&raw mut event.head).cast();
    // SAFETY: a helper call on a valid context and as many bytes as there is room for.
    let failed = unsafe { bpf_skb_load_bytes(packet.raw().cast(), 0, head, present) };
    event.about.head_length = if failed == 0 { present } else { 0 };
    entry.submit();
}

#[inline(never)]
fn tell_filtered(ctx: *mut xdp_md, place: u32, length: u32) {
    if !is_wanted(Purpose::Drops) {
        return;
    }
    let Some(entry) = reserve(DROP) else { return };
    let event = entry.event();
    event.about.place = place;
    // SAFETY: the context is valid for the whole run of the program.
    event.about.device = unsafe { (*ctx).ingress_ifindex };
    event.about.to = 0;
    event.about.vni = 0;
    event.about.length = length;
    let present = shown(length);
    let head = (&raw mut event.head).cast();
    // SAFETY: a helper call on a valid context and as many bytes as there is room for.
    let failed = unsafe { bpf_xdp_load_bytes(ctx, 0, head, present) };
    event.about.head_length = if failed == 0 { present } else { 0 };
    entry.submit();
}

/// How much of a packet of so many bytes is told.
#[inline(always)]
fn shown(length: u32) -> u32 {
    match length {
        0 => 1,
        length if length > EVENT_HEAD as u32 => EVENT_HEAD as u32,
        length => length,
    }
}

/// A place in the ring, which must be submitted.
struct Entry(RingBufEntry<Event>);

/// A place in the ring, if this processor may tell one more and there is room.
#[inline(always)]
fn reserve(kind: u32) -> Option<Entry> {
    let budget = EVENT_BUDGETS.get_ptr_mut(kind)?;
    // SAFETY: the entry belongs to this CPU; see `counters::count`.
    let budget = unsafe { &mut *budget };
    // SAFETY: a helper call without arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    if !budget.take(now) {
        return None;
    }
    let Some(entry) = EVENTS.reserve::<Event>(0) else {
        budget.lost += 1;
        return None;
    };
    let entry = Entry(entry);
    entry.event().about.at = now;
    Some(entry)
}

impl Entry {
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "it is memory of the ring, and one view of it is alive"
    )]
    fn event(&self) -> &mut Event {
        // SAFETY: the memory is ours until it is submitted, and every bit pattern of it is an event.
        unsafe { &mut *self.0.as_ptr().cast_mut() }
    }

    #[inline(always)]
    fn submit(self) {
        self.0.submit(0);
    }
}
