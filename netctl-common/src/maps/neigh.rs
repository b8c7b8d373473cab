use super::map_type;
use crate::{MacAddr, Vni};

/// Hash: [`NeighbourKey4`] → [`Neighbour`].
pub const NEIGH4: &str = "NEIGH4";
/// Hash: [`NeighbourKey6`] → [`Neighbour`].
///
/// Link-local addresses that follow from a station's own address ([`crate::addr6`]) are not in it.
pub const NEIGH6: &str = "NEIGH6";
/// How many neighbours of each family one host can know.
pub const NEIGH_ENTRIES: u32 = 131_072;

/// An IPv4 address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct NeighbourKey4 {
    vni: u32,
    address: [u8; 4],
}

impl NeighbourKey4 {
    /// The address `address`, in wire order, in the network `vni`.
    pub const fn new(vni: Vni, address: [u8; 4]) -> Self {
        Self::from_wire(vni.get(), address)
    }

    /// The same from a number that was not checked.
    #[inline(always)]
    pub const fn from_wire(vni: u32, address: [u8; 4]) -> Self {
        Self { vni, address }
    }

    /// The network's identifier, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// The address, in wire order.
    pub const fn address(&self) -> [u8; 4] {
        self.address
    }
}

/// An IPv6 address in a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct NeighbourKey6 {
    vni: u32,
    address: [u8; 16],
}

impl NeighbourKey6 {
    /// The address `address`, in wire order, in the network `vni`.
    pub const fn new(vni: Vni, address: [u8; 16]) -> Self {
        Self::from_wire(vni.get(), address)
    }

    /// The same from a number that was not checked.
    #[inline(always)]
    pub const fn from_wire(vni: u32, address: [u8; 16]) -> Self {
        Self { vni, address }
    }

    /// The network's identifier, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// The address, in wire order.
    pub const fn address(&self) -> [u8; 16] {
        self.address
    }
}

/// Who answers for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Neighbour {
    mac: [u8; 6],
    _pad: [u8; 2],
}

map_type!(NeighbourKey4 => 8, NeighbourKey6 => 20, Neighbour => 8);

impl Neighbour {
    /// The station `mac` answers.
    pub const fn new(mac: MacAddr) -> Self {
        Self { mac: mac.0, _pad: [0; 2] }
    }

    /// The station's address.
    #[inline(always)]
    pub const fn mac(&self) -> MacAddr {
        MacAddr(self.mac)
    }
}
