//! The keys and values of the maps that the daemon writes and the programs read.
//!
//! Every type is `repr(C)` with its padding written out and zeroed by its constructor: the kernel hashes and compares
//! a key byte by byte. [`crate::ABI_VERSION`] moves when any of them changes.

mod fdb;
mod flood;
mod member;
mod neigh;
mod network;
mod next_hop;
mod port;
mod tunnel_addr;
mod vtep;

pub use fdb::{FDB, FDB_ENTRIES, FdbEntry, FdbKey, FdbTarget};
pub use flood::{FLOOD, FLOOD_ENTRIES, FloodKey, FloodMember};
pub use member::{MEMBER_ENTRIES, MEMBERS, MemberKey};
pub use neigh::{NEIGH_ENTRIES, NEIGH4, NEIGH6, Neighbour, NeighbourKey4, NeighbourKey6};
pub use network::{NETWORK_ENTRIES, NETWORKS, Network};
pub use next_hop::{NEXT_HOPS, NEXT_HOPS_UNTIL, NextHop};
pub use port::{PORT_ADDRESSES, PORT_ENTRIES, PORTS, Port};
pub use tunnel_addr::TunnelAddr;
pub use vtep::{VTEP_BY_ADDR, VTEP_ENTRIES, VTEPS, Vtep};

/// Asserts at compile time that a type has exactly the size its layout says, so no padding is hidden in it, and makes
/// it readable and writable as bytes by the daemon.
macro_rules! map_type {
    ($($type:ty => $size:literal),+ $(,)?) => {$(
        const _: () = assert!(size_of::<$type>() == $size);

        // SAFETY: `repr(C)` of integers and byte arrays alone, whose sizes add up to the size asserted above: it has
        // no implicit padding and every bit pattern is valid.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    )+};
}
pub(crate) use map_type;
