//! What the loader sets once for each load: see `netctl_common::config`.

use aya_ebpf::Global;
use netctl_common::addr6;

#[unsafe(no_mangle)]
static UNDERLAY_IFINDEX: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static VXLAN_IFINDEX: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
static VXLAN_PORT: Global<u16> = Global::new(0);
#[unsafe(no_mangle)]
static LOCAL_VTEP4: Global<[u8; 4]> = Global::new([0; 4]);
#[unsafe(no_mangle)]
static LOCAL_VTEP6: Global<[u8; 16]> = Global::new([0; 16]);

/// Index of the device that tunnelled packets leave by.
#[inline(always)]
pub(crate) fn underlay_device() -> u32 {
    UNDERLAY_IFINDEX.load()
}

/// Index of the kernel's flow-based vxlan device.
#[inline(always)]
pub(crate) fn vxlan_device() -> u32 {
    VXLAN_IFINDEX.load()
}

/// The UDP port of VXLAN, in host order.
#[inline(always)]
pub(crate) fn vxlan_port() -> u16 {
    VXLAN_PORT.load()
}

/// Whether this is the host's tunnel address of IPv4.
#[inline(always)]
pub(crate) fn is_local4(address: [u8; 4]) -> bool {
    let (own, address) = (u32::from_ne_bytes(local_vtep4()), u32::from_ne_bytes(address));
    own != 0 && own == address
}

/// Whether this is the host's tunnel address of IPv6.
#[inline(always)]
pub(crate) fn is_local6(address: [u8; 16]) -> bool {
    !addr6::is_unspecified(local_vtep6()) && addr6::same(local_vtep6(), address)
}

/// This host's tunnel address of IPv6, in wire order.
#[inline(always)]
pub(crate) fn local_vtep6() -> [u8; 16] {
    LOCAL_VTEP6.load()
}

/// This host's tunnel address of IPv4, in wire order.
#[inline(always)]
pub(crate) fn local_vtep4() -> [u8; 4] {
    LOCAL_VTEP4.load()
}
