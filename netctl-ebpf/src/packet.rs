//! The one place that touches a packet's memory.

use core::mem::MaybeUninit;

use aya_ebpf::{
    bindings::{__sk_buff, BPF_CSUM_LEVEL_DEC},
    helpers::generated::{
        bpf_csum_level, bpf_csum_update, bpf_skb_change_tail, bpf_skb_change_type,
        bpf_skb_load_bytes, bpf_skb_pull_data, bpf_skb_vlan_pop,
    },
    programs::TcContext,
};

/// `PACKET_HOST` of `include/uapi/linux/if_packet.h`: the frame is for the station that received it.
const PACKET_HOST: u32 = 0;

/// A packet, through the kernel's view of it.
pub(crate) struct Packet {
    skb: *mut __sk_buff,
}

impl Packet {
    #[inline(always)]
    pub(crate) fn new(ctx: &TcContext) -> Self {
        Self { skb: ctx.skb.skb }
    }

    /// The packet of which [`Self::raw`] gave this.
    #[inline(always)]
    pub(crate) fn of(skb: *mut __sk_buff) -> Self {
        Self { skb }
    }

    /// What helpers want.
    #[inline(always)]
    pub(crate) fn raw(&self) -> *mut __sk_buff {
        self.skb
    }

    /// All bytes, from the Ethernet header on.
    #[inline(always)]
    pub(crate) fn len(&self) -> u32 {
        // SAFETY: the context is valid for the whole run of the program.
        unsafe { (*self.skb).len }
    }

    /// Index of the device that it arrived on.
    #[inline(always)]
    pub(crate) fn device(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).ifindex }
    }

    /// How long the parts will be that the kernel cuts it into; zero where it stays whole.
    #[inline(always)]
    pub(crate) fn segment(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).gso_size }
    }

    /// The VLAN that its tag names, which the kernel keeps beside the frame.
    #[inline(always)]
    pub(crate) fn vlan(&self) -> Option<u16> {
        // SAFETY: as above.
        let (present, tag) = unsafe { ((*self.skb).vlan_present, (*self.skb).vlan_tci) };
        if present == 0 { None } else { Some(tag as u16 & 0x0fff) }
    }

    /// Takes the VLAN tag off; `false` where the kernel refuses.
    #[inline(always)]
    pub(crate) fn untag(&self) -> bool {
        // SAFETY: a helper call on a valid context; views of the packet end here.
        unsafe { bpf_skb_vlan_pop(self.skb) == 0 }
    }

    /// Whether it was addressed to the device that received it.
    #[inline(always)]
    pub(crate) fn is_for_device(&self) -> bool {
        // SAFETY: as above.
        unsafe { (*self.skb).pkt_type == PACKET_HOST }
    }

    /// Makes the stack that receives it believe that it was addressed to the receiving device.
    ///
    /// `bpf_redirect_peer` does not look at the Ethernet header again, and `ip_rcv` drops what is for others.
    #[inline(always)]
    pub(crate) fn address_to_device(&self) {
        if !self.is_for_device() {
            // SAFETY: a helper call on a valid context. It fails for types that a received packet cannot have.
            unsafe { bpf_skb_change_type(self.skb, PACKET_HOST) };
        }
    }

    /// The hash of its flow, as the sending socket or the receiving device computed it; zero where nobody did.
    #[inline(always)]
    pub(crate) fn hash(&self) -> u32 {
        // SAFETY: as above.
        unsafe { (*self.skb).hash }
    }

    /// Sees to it that the first `wanted` bytes, or all where it is shorter, can be seen by [`Packet::at`].
    #[inline(always)]
    pub(crate) fn pull(&self, wanted: u32) {
        // SAFETY: the context is valid; these are addresses to the verifier and numbers to this comparison.
        let seen = unsafe { (*self.skb).data_end - (*self.skb).data };
        let wanted = if self.len() < wanted { self.len() } else { wanted };
        if seen < wanted {
            // SAFETY: a helper call on a valid context. Where it fails, `at` finds too few bytes.
            unsafe { bpf_skb_pull_data(self.skb, wanted) };
        }
    }

    /// Has the sum that a device made of the whole packet, if it made one, follow a change of the packet.
    #[inline(always)]
    pub(crate) fn correct_sum(&self, change: u32) {
        // SAFETY: a helper call on a valid context. It refuses where there is no such sum.
        unsafe { bpf_csum_update(self.skb, change) };
    }

    /// The same for a word of the packet, as it stood in memory and as it stands now.
    #[inline(always)]
    pub(crate) fn correct_sum_of(&self, before: u32, now: u32) {
        let change = u64::from(now) + u64::from(!before);
        self.correct_sum((change as u32).wrapping_add((change >> 32) as u32));
    }

    /// Has the kernel believe one checksum less that a device says to have verified: that of the UDP header which is
    /// gone. It counts as verified where it is zero too (`udp4_gro_receive`), and the next may not have been.
    #[inline(always)]
    pub(crate) fn forget_a_sum(&self) {
        // SAFETY: a helper call on a valid context. It refuses where nothing was verified.
        unsafe { bpf_csum_level(self.skb, BPF_CSUM_LEVEL_DEC.into()) };
    }

    /// Makes it so long, with zeroes where it grows. What the kernel was to cut into many is one packet then.
    #[inline(always)]
    pub(crate) fn set_len(&self, length: u32) -> Result<(), ()> {
        // SAFETY: a helper call on a valid context; views of the packet end here.
        let failed = unsafe { bpf_skb_change_tail(self.skb, length, 0) };
        if failed == 0 { Ok(()) } else { Err(()) }
    }

    /// A copy of what stands `offset` bytes from the start, if all of it is there. Slower than [`Packet::at`], and for
    /// places that are not known beforehand.
    #[inline(always)]
    pub(crate) fn load<T: Copy>(&self, offset: u32) -> Option<T> {
        let mut copy = MaybeUninit::<T>::uninit();
        // SAFETY: a helper call on a valid context and as many bytes as there is room for.
        let failed = unsafe {
            bpf_skb_load_bytes(
                self.skb.cast(),
                offset,
                copy.as_mut_ptr().cast(),
                size_of::<T>() as u32,
            )
        };
        // SAFETY: the helper has written all bytes, and the headers that are read so have no invalid patterns.
        if failed == 0 { Some(unsafe { copy.assume_init() }) } else { None }
    }

    /// What stands `offset` bytes from the start, if all of it can be seen.
    ///
    /// What it returns must not be used after a helper has changed the packet; the verifier sees to that.
    #[inline(always)]
    #[expect(
        clippy::mut_from_ref,
        reason = "a packet is shared memory; the verifier tracks who may touch it"
    )]
    pub(crate) fn at<T: Copy>(&self, offset: usize) -> Option<&mut T> {
        // SAFETY: the context is valid for the whole run of the program.
        let (start, end) = unsafe { ((*self.skb).data as usize, (*self.skb).data_end as usize) };
        if start + offset + size_of::<T>() > end {
            return None;
        }
        // SAFETY: the comparison above has shown that the bytes are there. Two views of the same bytes are never alive
        // at once: each stage copies what it keeps. `T` may be misaligned: the alignment only tells the compiler how
        // wide to load, and where a machine could not load so, the verifier would refuse the program
        // (`check_pkt_ptr_alignment`).
        Some(unsafe { &mut *((start + offset) as *mut T) })
    }
}
