//! Headers as they stand on the wire: bytes in network order.
//!
//! Each is aligned as it is within a frame whose network header is. The compiler reads and writes by that: without it,
//! an eBPF program would touch each byte alone.

mod arp;
mod ethernet;
pub mod icmp;
mod icmpv6;
mod ipv4;
mod ipv6;
mod ndp;
mod ports;
mod vxlan;

pub use arp::{Arp, ArpKind};
pub use ethernet::{Ethernet, ether_type};
pub use icmpv6::{Icmpv6, NdpKind};
pub use ipv4::{Ipv4, protocol};
pub use ipv6::{ExtensionHeader, FragmentHeader, Ipv6};
pub use ndp::{LinkLayerOption, NeighbourAnswer, NeighbourMessage};
pub use ports::Ports;
pub use vxlan::{PROBE_PORTS, PROBE_VNI, Probe, Udp, Vxlan};

/// Asserts at compile time that a header is as long as its RFC has it.
macro_rules! wire_type {
    ($($type:ty => $size:literal),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size);
    )+};
}
use wire_type;
