//! The model: what becomes of a packet, given what the host knows.

#[path = "path/arp.rs"]
mod arp;
#[path = "path/container.rs"]
mod container;
#[path = "path/filter.rs"]
mod filter;
#[path = "path/flood.rs"]
mod flood;
#[path = "path/frame.rs"]
mod frame;
#[path = "path/ndp.rs"]
mod ndp;
#[path = "path/outer.rs"]
mod outer;
#[path = "path/router.rs"]
mod router;
#[path = "path/size.rs"]
mod size;
#[path = "path/too_big.rs"]
mod too_big;
#[path = "path/tunnel.rs"]
pub(crate) mod tunnel;
#[path = "path/underlay.rs"]
mod underlay;

use std::net::IpAddr;

use netctl_common::{Direction, DropReason, Outcome, Verdict};

pub(crate) use self::{frame::is_mapped, outer::Tunnelled};
use crate::world::World;

/// A packet as a device received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) device: u32,
    pub(crate) bytes: Vec<u8>,
    /// How long the parts are that the kernel would cut it into; zero where it stays whole.
    pub(crate) segment: usize,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The kernel goes on with it as if there were no program; nothing is counted.
    NotOurs,
    /// The kernel goes on with it, which is counted.
    Pass(Verdict),
    /// The kernel goes on with these bytes in its place, which is counted.
    Change(Verdict, Vec<u8>),
    /// It ends here.
    End(Outcome),
    /// These bytes go somewhere else.
    Send(Verdict, Sent),
    /// Copies go to members of its network.
    Flood(Vec<Copy>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Bytes(Vec<u8>),
    /// In a tunnel, whose entropy is the program's own choice.
    Tunnelled(Tunnelled),
}

/// A copy of a frame for a member of its network.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Copy {
    /// By this device of this host.
    Local(u32, Vec<u8>),
    /// In a tunnel to this host, under this VNI.
    Remote(IpAddr, u32, Vec<u8>),
}

pub(crate) fn answer(world: &World, direction: Direction, input: &Input) -> Answer {
    let result = match direction {
        Direction::FromContainer => container::answer(world, input),
        Direction::FromUnderlay => underlay::answer(world, input),
        // A test cannot give a packet the tunnel key that the vxlan device gives.
        Direction::FromTunnel => Err(DropReason::NoTunnelKey),
        Direction::UnderlayFilter => filter::answer(world, input),
    };
    result.unwrap_or_else(|reason| Answer::End(Outcome::Dropped(reason)))
}

impl Answer {
    /// The counter that moves.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::NotOurs => None,
            Self::Pass(verdict) | Self::Change(verdict, _) | Self::Send(verdict, _) => {
                Some(Outcome::Forwarded(*verdict))
            }
            Self::End(outcome) => Some(*outcome),
            Self::Flood(_) => Some(Outcome::Forwarded(Verdict::Flooded)),
        }
    }
}
