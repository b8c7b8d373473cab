//! The kernel's networking: namespaces, links, addresses, routes, sysctls, as small verbs on a handle bound to one
//! network namespace.
//!
//! What belongs to a namespace is decided when a socket is made, or by the namespace of the thread that reads
//! `/proc/sys`. So everything here that has to be *in* a namespace runs on a thread of its own, which enters it and then
//! ends; no worker of the runtime ever changes namespace. This module knows nothing of networks, endpoints and
//! sandboxes.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel's attributes and error numbers are open sets, of which a verb knows a few"
)]

mod address;
mod announce;
mod bridge;
mod command;
mod conntrack;
mod descriptors;
mod error;
mod ethtool;
mod link;
mod monitor;
mod netlink;
mod netns;
mod nft;
mod packet_ring;
mod privilege;
mod route;
mod rule;
mod signals;
mod sysctl;
mod traffic;
mod underlay;
mod veth;
mod vxlan;
mod way;

pub use address::{Address, AddressState};
pub use command::{Ended, NetnsCommand, unstartable};
pub use conntrack::{Flow, FlowEnd, Flows};
pub use descriptors::raise_descriptor_limit;
pub use error::Error;
pub use ethtool::Feature;
pub use link::{Link, Peer, Sizes, device_name};
pub use monitor::{Change, Monitor};
pub use netlink::{Insides, Netlink};
pub use netns::{Netns, NetnsId};
pub use nft::NftWatch;
pub use packet_ring::{PacketFilter, PacketRing, RING_DELAY, RingCounts, RingPacket, RingSize};
pub use privilege::check_privileges;
pub use route::Route;
pub use signals::hand_on;
pub use traffic::{Carried, Carrier, Traffic};
pub use underlay::{Underlay, find_underlay};
pub use veth::{VethPair, VethSpec};
pub use vxlan::Vxlan;
pub use way::{Departure, Station, Way};
