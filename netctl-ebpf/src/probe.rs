//! What this kernel can do, found out by doing it, once before anything is attached.

use aya_ebpf::{
    bindings::bpf_adj_room_mode::BPF_ADJ_ROOM_MAC, helpers::bpf_skb_adjust_room,
    macros::classifier, programs::TcContext,
};

/// Makes or takes away room behind the Ethernet header: as many bytes as the first word of `cb` says, with the flags of
/// the second, their low half, and the third. Returns the kernel's error number.
#[classifier]
pub fn probe_room(ctx: TcContext) -> i32 {
    let skb = ctx.skb.skb;
    // SAFETY: the program's own context, whose `cb` has five words.
    let [difference, low, high, ..] = unsafe { (*skb).cb };
    let flags = u64::from(high) << 32 | u64::from(low);
    // SAFETY: as above; nothing of the packet is looked at afterwards.
    let done =
        unsafe { bpf_skb_adjust_room(skb, difference.cast_signed(), BPF_ADJ_ROOM_MAC, flags) };
    -done as i32
}
