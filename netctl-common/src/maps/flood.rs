use super::{FdbEntry, FdbTarget, map_type};
use crate::Vni;

/// Hash: [`FloodKey`] → [`FloodMember`].
pub const FLOOD: &str = "FLOOD";
/// How many members all networks of one host can have together.
pub const FLOOD_ENTRIES: u32 = 131_072;

/// A place in the list of those who get what is sent to all of a network.
///
/// A member keeps its place for as long as it is one, and the place of one that left stays empty until another takes
/// it: so a change of the list is a change for the one that came or went, and for nobody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FloodKey {
    vni: u32,
    position: u32,
}

impl FloodKey {
    /// Place `position`, counted from zero, in the list of the network `vni`.
    pub const fn new(vni: Vni, position: u32) -> Self {
        Self::from_wire(vni.get(), position)
    }

    /// The same from a number that was not checked.
    #[inline(always)]
    pub const fn from_wire(vni: u32, position: u32) -> Self {
        Self { vni, position }
    }

    /// The network's identifier, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// The place, from zero.
    pub const fn position(&self) -> u32 {
        self.position
    }
}

/// A port of this host or another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FloodMember(FdbEntry);

map_type!(FloodKey => 8, FloodMember => 8);

impl FloodMember {
    /// The member at `target`.
    pub const fn new(target: FdbTarget) -> Self {
        Self(FdbEntry::new(target))
    }

    /// Where the member is.
    #[inline(always)]
    pub const fn target(&self) -> FdbTarget {
        self.0.target()
    }
}
