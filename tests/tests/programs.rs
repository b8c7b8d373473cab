//! Each program as a table: a packet in; a verdict, a packet and exactly one moved counter out.
//!
//! Nothing is attached: `BPF_PROG_TEST_RUN` gives the packet to the program as if `lo` had received it, and a redirect
//! is only noted. `lo` has the address `00:00:00:00:00:00`, so that is what outer frames are addressed to here.

#[path = "programs/rig.rs"]
mod rig;

#[path = "programs/from_container.rs"]
mod from_container;
#[path = "programs/from_tunnel.rs"]
mod from_tunnel;
#[path = "programs/from_underlay.rs"]
mod from_underlay;

#[path = "support/counters.rs"]
mod counters;
#[path = "support/object.rs"]
mod object;
