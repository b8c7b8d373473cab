//! Counting.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use netctl_common::{
    Direction, Outcome,
    counter::{self, COUNTER_ENTRIES, Count},
};

#[map]
static COUNTERS: PerCpuArray<Count> = PerCpuArray::with_max_entries(COUNTER_ENTRIES, 0);

/// Counts one packet of `length` bytes.
#[inline(always)]
pub(crate) fn count(direction: Direction, outcome: Outcome, length: u32) {
    if let Some(count) = COUNTERS.get_ptr_mut(counter::index(direction, outcome)) {
        // SAFETY: the entry belongs to this CPU, and a TC program is not preempted by another on the same CPU's entry
        // but in the middle of an addition, which then loses one count.
        let count = unsafe { &mut *count };
        count.packets += 1;
        count.bytes += u64::from(length);
    }
}
