//! Real packets between hosts whose maps the test fills itself, without a daemon.
//!
//! ```text
//!   near 10.0.0.11 ─┐                                          ┌─ far 10.0.0.21
//!                   ├ host a 192.0.2.1 ─┐  bridge  ┌ host b 192.0.2.2
//! beside 10.0.0.12 ─┘                   ├──────────┤
//!                                       └ stock 192.0.2.3, vxlan device of the kernel's with 10.0.0.31
//! ```

#[path = "packet_path/big_tcp.rs"]
mod big_tcp;
#[path = "packet_path/dissect.rs"]
mod dissect;
#[path = "packet_path/forged.rs"]
mod forged;
#[path = "packet_path/forwarding.rs"]
mod forwarding;
#[path = "packet_path/group.rs"]
mod group;
#[path = "packet_path/host.rs"]
mod host;
#[path = "packet_path/intruder.rs"]
mod intruder;
#[path = "packet_path/marks.rs"]
mod marks;
#[path = "packet_path/members.rs"]
mod members;
#[path = "packet_path/mtu.rs"]
mod mtu;
#[path = "packet_path/offloads.rs"]
mod offloads;
#[path = "packet_path/rig.rs"]
mod rig;
#[path = "packet_path/sizes.rs"]
mod sizes;
#[path = "packet_path/sockets.rs"]
mod sockets;
#[path = "packet_path/stock_peer.rs"]
mod stock_peer;
#[path = "packet_path/traffic.rs"]
mod traffic;
#[path = "packet_path/tunnel.rs"]
mod tunnel;
#[path = "packet_path/vlan.rs"]
mod vlan;

#[path = "support/counters.rs"]
mod counters;
#[path = "support/object.rs"]
mod object;
#[path = "support/stream.rs"]
mod stream;
