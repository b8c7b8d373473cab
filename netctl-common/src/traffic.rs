//! What the programs count while somebody looks, beside `COUNTERS`, which count always: who sends to whom, and whose packets
//! are dropped.

use crate::{MacAddr, maps::map_type};

/// LRU per-CPU hash: [`PairKey`] → [`crate::counter::Count`].
pub const PAIRS: &str = "PAIRS";
/// How many pairs are counted at once.
pub const PAIR_ENTRIES: u32 = 4_096;
/// LRU per-CPU hash: [`LossKey`] → [`crate::counter::Count`].
pub const LOSSES: &str = "LOSSES";
/// How many devices and reasons are told apart at once.
pub const LOSS_ENTRIES: u32 = 2_048;

/// From which station to which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PairKey {
    /// As they begin a frame: the destination, and then the source.
    stations: [[u8; 6]; 2],
    /// The network that they are in, in host order.
    vni: u32,
    /// 1 for what came by a tunnel, 0 for what a station of this host sent.
    tunnelled: u32,
}

/// Whose packets are dropped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct LossKey {
    /// Index of the device that they came from.
    pub device: u32,
    /// Who saw them and how they ended: a place in `COUNTERS`, by [`crate::counter::index`].
    pub place: u32,
}

map_type!(PairKey => 20, LossKey => 8);

impl PairKey {
    /// How many bytes of a frame tell the stations.
    pub const STATIONS: u32 = 12;

    /// Where the beginning of a frame goes, as many bytes as [`Self::STATIONS`].
    #[inline(always)]
    pub const fn stations(&mut self) -> *mut [[u8; 6]; 2] {
        &raw mut self.stations
    }

    /// Says in which network it is, in host order, and whether it came by a tunnel.
    #[inline(always)]
    pub const fn begin(&mut self, vni: u32, tunnelled: bool) {
        self.vni = vni;
        self.tunnelled = tunnelled as u32;
    }

    /// The pair of these stations.
    pub const fn new(source: MacAddr, destination: MacAddr, vni: u32, tunnelled: bool) -> Self {
        Self { stations: [destination.0, source.0], vni, tunnelled: tunnelled as u32 }
    }

    /// Who sends.
    pub const fn source(&self) -> MacAddr {
        MacAddr(self.stations[1])
    }

    /// For whom it is.
    pub const fn destination(&self) -> MacAddr {
        MacAddr(self.stations[0])
    }

    /// The network, in host order.
    pub const fn vni(&self) -> u32 {
        self.vni
    }

    /// Whether it came by a tunnel.
    pub const fn is_tunnelled(&self) -> bool {
        self.tunnelled != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_read_as_a_frame_begins() {
        let frame = [1, 1, 1, 1, 1, 2, 3, 3, 3, 3, 3, 4, 8, 0];
        let (destination, source) = (MacAddr([1, 1, 1, 1, 1, 2]), MacAddr([3, 3, 3, 3, 3, 4]));
        let mut key = PairKey::new(MacAddr([0; 6]), MacAddr([0; 6]), 0, false);
        let head: [u8; 12] = frame[..PairKey::STATIONS as usize].try_into().expect("12 bytes");
        // SAFETY: it is a pointer to as many bytes of our own.
        unsafe { key.stations().cast::<[u8; 12]>().write(head) };
        key.begin(7, true);
        assert_eq!(key, PairKey::new(source, destination, 7, true));
        assert_eq!((key.source(), key.destination()), (source, destination));
        assert_eq!((key.vni(), key.is_tunnelled()), (7, true));
    }
}
