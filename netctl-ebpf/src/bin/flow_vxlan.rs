//! A peer to be measured beside, not a part of the data plane: packets go by the kernel's flow-based vxlan device, as
//! other networks on eBPF send them. A program on the container's veth looks the destination up and gives the packet a
//! tunnel key; one on the vxlan device looks it up again and delivers it by `bpf_redirect_peer`.
#![no_std]
#![no_main]

use core::{mem, ptr};

use aya_ebpf::{
    Global,
    bindings::{__sk_buff, BPF_F_ZERO_CSUM_TX, bpf_tunnel_key},
    helpers::generated::{
        bpf_redirect, bpf_redirect_peer, bpf_skb_change_type, bpf_skb_get_tunnel_key,
        bpf_skb_set_tunnel_key,
    },
    macros::{classifier, map},
    maps::HashMap,
    programs::TcContext,
};

/// Run the next program.
const NEXT: i32 = -1;
/// Drop the packet.
const DROP: i32 = 2;
/// `PACKET_HOST` of `linux/if_packet.h`: for this host, whatever MAC the vxlan device has.
const PACKET_HOST: u32 = 0;
/// The tunnel's time to live.
const TTL: u8 = 64;

/// The network of all containers.
#[unsafe(no_mangle)]
static VNI: Global<u32> = Global::new(0);
/// Index of the flow-based vxlan device.
#[unsafe(no_mangle)]
static VXLAN_IFINDEX: Global<u32> = Global::new(0);

/// VNI, first four and last two bytes of the MAC.
type Key = [u32; 3];

/// Index of the host-side veth of a container of this host, or 0; the other host's IPv4 address in host order.
type Station = [u32; 2];

#[map(name = "STATIONS")]
static STATIONS: HashMap<Key, Station> = HashMap::with_max_entries(1024, 0);

/// The ingress of a container's host-side veth.
#[classifier]
pub fn to_tunnel(ctx: TcContext) -> i32 {
    let Some([_, address]) = station(&ctx, VNI.load()) else { return DROP };
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    key.tunnel_id = VNI.load();
    key.tunnel_ttl = TTL;
    key.__bindgen_anon_1.remote_ipv4 = address;
    let (raw, size) = (raw(&ctx), size_of::<bpf_tunnel_key>() as u32);
    // SAFETY: a helper call on a valid context and a buffer of the size given.
    let failed =
        unsafe { bpf_skb_set_tunnel_key(raw, &raw mut key, size, BPF_F_ZERO_CSUM_TX.into()) };
    if failed != 0 {
        return DROP;
    }
    // SAFETY: a helper call on numbers.
    unsafe { bpf_redirect(VXLAN_IFINDEX.load(), 0) as i32 }
}

/// The ingress of the vxlan device.
#[classifier]
pub fn from_tunnel(ctx: TcContext) -> i32 {
    // SAFETY: it is made of integers alone, for which zero is valid.
    let mut key: bpf_tunnel_key = unsafe { mem::zeroed() };
    let (raw, size) = (raw(&ctx), size_of::<bpf_tunnel_key>() as u32);
    // SAFETY: a helper call on a valid context and a buffer of the size given.
    if unsafe { bpf_skb_get_tunnel_key(raw, &raw mut key, size, 0) } != 0 {
        return DROP;
    }
    let Some([device, _]) = station(&ctx, key.tunnel_id) else { return DROP };
    // SAFETY: a helper call on a valid context.
    unsafe { bpf_skb_change_type(raw, PACKET_HOST) };
    // SAFETY: a helper call on numbers.
    unsafe { bpf_redirect_peer(device, 0) as i32 }
}

/// What running any program costs.
#[classifier]
pub fn nothing(_ctx: TcContext) -> i32 {
    NEXT
}

/// Who has the packet's destination MAC.
#[inline(always)]
fn station(ctx: &TcContext, vni: u32) -> Option<Station> {
    let (start, end) = (ctx.data(), ctx.data_end());
    if start + 14 > end {
        return None;
    }
    // SAFETY: the packet has 14 bytes, as was just compared; alignment is not asked for.
    let high = unsafe { ptr::read_unaligned(start as *const u32) };
    // SAFETY: as above.
    let low = unsafe { ptr::read_unaligned((start + 4) as *const u16) };
    let key: Key = [vni, high, low.into()];
    // SAFETY: nobody changes an entry while there is traffic.
    unsafe { STATIONS.get(key) }.copied()
}

#[inline(always)]
fn raw(ctx: &TcContext) -> *mut __sk_buff {
    ctx.skb.skb
}

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // The verifier proves that no path leads here.
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
