//! Names of what is set once for each load of the programs: read-only to them, and so free at run time.
//!
//! The loader must set all of them; a program loaded without takes no packet from the underlay.

/// `u32`: index of the device that tunnelled packets leave by.
pub const UNDERLAY_IFINDEX: &str = "UNDERLAY_IFINDEX";
/// `u32`: index of the kernel's flow-based vxlan device.
pub const VXLAN_IFINDEX: &str = "VXLAN_IFINDEX";
/// `u16` in host order: the UDP port of VXLAN on every host.
pub const VXLAN_PORT: &str = "VXLAN_PORT";
/// `[u8; 4]` in wire order: this host's own tunnel address, `0.0.0.0` where it has none of IPv4.
pub const LOCAL_VTEP4: &str = "LOCAL_VTEP4";
/// `[u8; 16]` in wire order: this host's own tunnel address of IPv6, `::` where it has none.
pub const LOCAL_VTEP6: &str = "LOCAL_VTEP6";

/// The program for the ingress of an endpoint's host-side device.
pub const FROM_CONTAINER: &str = "from_container";
/// The program for the ingress of the underlay device.
pub const FROM_UNDERLAY: &str = "from_underlay";
/// The program for the ingress of the kernel's flow-based vxlan device.
pub const FROM_TUNNEL: &str = "from_tunnel";
/// The XDP program for the underlay device.
pub const XDP_UNDERLAY: &str = "xdp_underlay";
/// The program that tries out what `bpf_skb_adjust_room` can do.
pub const PROBE_ROOM: &str = "probe_room";
