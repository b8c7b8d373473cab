//! Headers as they stand on the wire: views of bytes, aligned to one, in network order.

mod arp;
mod ethernet;
mod ipv4;
mod vxlan;

pub use arp::{Arp, ArpKind};
pub use ethernet::{Ethernet, ether_type};
pub use ipv4::{Ipv4, protocol};
pub use vxlan::{Udp, Vxlan};

/// Asserts at compile time that a header is as long as its RFC has it and can stand at any address.
macro_rules! wire_type {
    ($($type:ty => $size:literal),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size && align_of::<$type>() == 1);
    )+};
}
use wire_type;
