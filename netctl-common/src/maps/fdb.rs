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
///
/// It is one word, kind and index, and read as one: the kernel gives the memory of an entry that was replaced to the
/// next one at once, also under a program that looks at it (`bpf_mem_cache_free`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct FdbEntry(u64);

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
    /// The index is of a device with a container behind it.
    const CONTAINER: u32 = 0;
    /// The index is of `VTEPS`.
    const REMOTE: u32 = 1;
    /// The index is of the host's own side of its endpoint. The same address is on every host (anycast).
    const HOST: u32 = 2;
    /// The index is of a device with a container behind it that bridges onward.
    const BRIDGING: u32 = 4;

    /// The entry for `target`.
    pub const fn new(target: FdbTarget) -> Self {
        let (kind, index) = match target {
            FdbTarget::Container(index) => (Self::CONTAINER, index),
            FdbTarget::Bridging(index) => (Self::BRIDGING, index),
            FdbTarget::Host(index) => (Self::HOST, index),
            FdbTarget::Remote(index) => (Self::REMOTE, index),
        };
        Self((kind as u64) << 32 | index as u64)
    }

    /// Where the station is.
    #[inline(always)]
    pub const fn target(&self) -> FdbTarget {
        let word = self.0;
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the index")]
        let index = word as u32;
        match (word >> 32) as u32 {
            Self::REMOTE => FdbTarget::Remote(index),
            Self::HOST => FdbTarget::Host(index),
            Self::BRIDGING => FdbTarget::Bridging(index),
            _ => FdbTarget::Container(index),
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
