use super::map_type;
use crate::{MacAddr, Vni};

/// Hash: [`FdbKey`] → [`FdbEntry`].
pub const FDB: &str = "FDB";
/// How many stations one host can know.
pub const FDB_ENTRIES: u32 = 131_072;

/// A station of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct FdbKey {
    vni: u32,
    mac: [u8; 6],
    _pad: [u8; 2],
}

impl FdbKey {
    /// The station `mac` of the network `vni`.
    pub const fn new(vni: Vni, mac: MacAddr) -> Self {
        Self::from_wire(vni.get(), mac)
    }

    /// The same from a number that was not checked, as a packet carries it: zero matches nothing.
    #[inline(always)]
    pub const fn from_wire(vni: u32, mac: MacAddr) -> Self {
        Self { vni, mac: mac.0, _pad: [0; 2] }
    }

    /// The network's identifier, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// The station's address.
    pub const fn mac(&self) -> MacAddr {
        MacAddr(self.mac)
    }
}

/// Where a station is: on a device of this host, or behind a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FdbEntry {
    flags: u32,
    target: u32,
}

map_type!(FdbKey => 12, FdbEntry => 8);

/// An [`FdbEntry`], spelt out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FdbTarget {
    /// A container of this host, by the index of its host-side device.
    Container(u32),
    /// A container of this host that is a bridge to others, by the same. What it is sent goes the way that a frame
    /// goes which the device itself received.
    Bridging(u32),
    /// The host itself, by the index of the host's own side of its endpoint (`nh-*`).
    Host(u32),
    /// Another host, by its index in `VTEPS`.
    Remote(u32),
}

impl FdbEntry {
    /// The target is an index of `VTEPS`, otherwise of a device.
    const REMOTE: u32 = 1;
    /// The target is the host's own side of its endpoint. The same address is on every host (anycast).
    const HOST: u32 = 2;
    /// The target is a container that bridges onward.
    const BRIDGING: u32 = 4;

    /// The entry for `target`.
    pub const fn new(target: FdbTarget) -> Self {
        match target {
            FdbTarget::Container(index) => Self { flags: 0, target: index },
            FdbTarget::Bridging(index) => Self { flags: Self::BRIDGING, target: index },
            FdbTarget::Host(index) => Self { flags: Self::HOST, target: index },
            FdbTarget::Remote(index) => Self { flags: Self::REMOTE, target: index },
        }
    }

    /// Where the station is.
    #[inline(always)]
    pub const fn target(&self) -> FdbTarget {
        if self.flags & Self::REMOTE != 0 {
            FdbTarget::Remote(self.target)
        } else if self.flags & Self::HOST != 0 {
            FdbTarget::Host(self.target)
        } else if self.flags & Self::BRIDGING != 0 {
            FdbTarget::Bridging(self.target)
        } else {
            FdbTarget::Container(self.target)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_survive() {
        for target in [FdbTarget::Container(3), FdbTarget::Host(4), FdbTarget::Remote(0)] {
            assert_eq!(FdbEntry::new(target).target(), target);
        }
    }
}
