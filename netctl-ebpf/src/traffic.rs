//! Counting by who sends to whom, and by whose packets are dropped, while somebody looks.

use aya_ebpf::{
    bindings::__sk_buff,
    helpers::generated::bpf_skb_load_bytes,
    macros::map,
    maps::{LruPerCpuHashMap, PerCpuArray},
};
use netctl_common::{
    Direction,
    counter::Count,
    event::Purpose,
    maps::Port,
    traffic::{LOSS_ENTRIES, LossKey, PAIR_ENTRIES, PairKey},
};

use crate::{events, flow, lookup, packet::Packet};

#[map]
static PAIRS: LruPerCpuHashMap<PairKey, Count> =
    LruPerCpuHashMap::with_max_entries(PAIR_ENTRIES, 0);
#[map]
static LOSSES: LruPerCpuHashMap<LossKey, Count> =
    LruPerCpuHashMap::with_max_entries(LOSS_ENTRIES, 0);
#[map]
static NOTES: PerCpuArray<Note> = PerCpuArray::with_max_entries(1, 0);

/// What is written down of one packet at a time on each processor: the programs leave little of their stack.
#[repr(C)]
struct Note {
    pair: PairKey,
    loss: LossKey,
    _pad: [u8; 4],
    count: Count,
}

/// Counts a packet that went on, of `length` bytes when the program saw it, which has outer headers on if it is `wrapped`. The
/// endpoint behind `port` sent or got it.
#[inline(never)]
pub(crate) fn carried(skb: *mut __sk_buff, port: u32, direction: u32, length: u32, wrapped: bool) {
    if !events::is_wanted(Purpose::Traffic) {
        return;
    }
    let packet = Packet::of(skb);
    let vni = lookup::port(port).map_or(0, Port::vni);
    let Some(note) = NOTES.get_ptr_mut(0) else { return };
    // SAFETY: the entry belongs to this CPU, and programs do not interrupt each other.
    let note = unsafe { &mut *note };
    let from_here = direction == Direction::FromContainer as u32;
    let frame = if wrapped { flow::inner(&packet) } else { 0 };
    let stations = note.pair.stations().cast();
    // SAFETY: a helper call on a valid context and as many bytes as there is room for.
    if unsafe { bpf_skb_load_bytes(skb.cast(), frame, stations, PairKey::STATIONS) } != 0 {
        return;
    }
    note.pair.begin(vni, !from_here);
    // What came by a tunnel had outer headers on when the program saw it.
    let bytes = if from_here { length } else { packet.len() };
    let Note { pair, count, .. } = note;
    add(&PAIRS, pair, count, bytes);
}

/// Counts a packet of so many bytes that was dropped.
#[inline(never)]
pub(crate) fn lost(device: u32, place: u32, length: u32) {
    if !events::is_wanted(Purpose::Traffic) {
        return;
    }
    let Some(note) = NOTES.get_ptr_mut(0) else { return };
    // SAFETY: as above.
    let note = unsafe { &mut *note };
    note.loss = LossKey { device, place };
    let Note { loss, count, .. } = note;
    add(&LOSSES, loss, count, length);
}

#[inline(always)]
fn add<K>(map: &LruPerCpuHashMap<K, Count>, key: &K, first: &mut Count, length: u32) {
    if let Some(count) = map.get_ptr_mut(key) {
        // SAFETY: the entry belongs to this CPU; see `counters::count`.
        let count = unsafe { &mut *count };
        count.packets += 1;
        count.bytes += u64::from(length);
        return;
    }
    first.packets = 1;
    first.bytes = u64::from(length);
    // Where there is no room, or another processor was first and counts for itself, this one packet is not counted.
    let _ = map.insert(key, first, 0);
}
