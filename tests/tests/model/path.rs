//! The model: what becomes of a packet, given what the host knows.

#[path = "path/arp.rs"]
mod arp;
#[path = "path/container.rs"]
mod container;
#[path = "path/frame.rs"]
mod frame;
#[path = "path/outer.rs"]
mod outer;
#[path = "path/underlay.rs"]
mod underlay;

use netctl_common::{Direction, DropReason, Outcome, Verdict};

pub(crate) use self::outer::Tunnelled;
use crate::world::World;

/// A packet as a device received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Input {
    pub(crate) bytes: Vec<u8>,
    /// How long the parts are that the kernel would cut it into; zero where it stays whole.
    pub(crate) segment: u32,
}

/// What becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The kernel goes on with it as if there were no program; nothing is counted.
    NotOurs,
    /// The kernel goes on with it, which is counted.
    Pass(Verdict),
    /// It ends here.
    End(Outcome),
    /// These bytes go somewhere else.
    Send(Verdict, Sent),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Bytes(Vec<u8>),
    /// In a tunnel, whose entropy is the program's own choice.
    Tunnelled(Tunnelled),
}

pub(crate) fn answer(world: &World, direction: Direction, input: &Input) -> Answer {
    let result = match direction {
        Direction::FromContainer => container::answer(world, input),
        Direction::FromUnderlay => underlay::answer(world, input),
        // A test cannot give a packet the tunnel key that the vxlan device gives.
        Direction::FromTunnel => Err(DropReason::NoTunnelKey),
    };
    result.unwrap_or_else(|reason| Answer::End(Outcome::Dropped(reason)))
}

impl Answer {
    /// The counter that moves.
    pub(crate) fn outcome(&self) -> Option<Outcome> {
        match self {
            Self::NotOurs => None,
            Self::Pass(verdict) | Self::Send(verdict, _) => Some(Outcome::Forwarded(*verdict)),
            Self::End(outcome) => Some(*outcome),
        }
    }
}
