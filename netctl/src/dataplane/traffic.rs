//! What the programs counted while somebody looked: who sends to whom, and whose packets are dropped.

use std::collections::BTreeMap;

use aya::{
    Pod,
    maps::{MapData, MapError, PerCpuHashMap},
};
use netctl_common::{
    Direction, DropReason, Outcome,
    counter::{self, Count},
    traffic::{LossKey, PairKey},
};

use super::{
    Error,
    layout::{LOSSES, Layout, PAIRS},
    maps::Maps,
};
use crate::model::{MacAddr, Vni};

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// Their network.
    pub vni: Vni,
    /// Who sends: the gateway, where it comes from another subnet.
    pub source: MacAddr,
    /// For whom it is.
    pub destination: MacAddr,
    /// Whether it came by a tunnel; otherwise a station of this host sent it.
    pub tunnelled: bool,
}

/// Whose packets are dropped, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Loss {
    /// Index of the device that they came from.
    pub device: u32,
    /// The program that dropped them.
    pub direction: Direction,
    /// Why.
    pub reason: DropReason,
}

/// So many packets, and their bytes from the inner Ethernet header on; what the kernel had merged is one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    /// How many.
    pub packets: u64,
    /// How many bytes they have together.
    pub bytes: u64,
}

impl Volume {
    /// What was added since it was `before`; what was counted anew began at 0.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        if self.packets < before.packets || self.bytes < before.bytes {
            return self;
        }
        Self { packets: self.packets - before.packets, bytes: self.bytes - before.bytes }
    }

    /// Adds as much more.
    pub fn add(&mut self, Self { packets, bytes }: Self) {
        self.packets += packets;
        self.bytes += bytes;
    }
}

/// All that was counted. What was not heard of for long is forgotten where there is much, and counted from 0 again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// By who sends to whom.
    pub pairs: BTreeMap<Pair, Volume>,
    /// By whose packets are dropped.
    pub losses: BTreeMap<Loss, Volume>,
}

/// Reads both maps.
pub(super) fn read(maps: &Maps) -> Result<Traffic, Error> {
    let pair = |key: PairKey| {
        let (source, destination) = (key.source(), key.destination());
        Some(Pair { vni: Vni::new(key.vni())?, source, destination, tunnelled: key.is_tunnelled() })
    };
    let loss = |LossKey { device, place }| match counter::at(place)? {
        (direction, Outcome::Dropped(reason)) => Some(Loss { device, direction, reason }),
        (_, Outcome::Forwarded(_)) => None,
    };
    Ok(Traffic {
        pairs: all(&maps.pairs, &PAIRS, pair)?,
        losses: all(&maps.losses, &LOSSES, loss)?,
    })
}

fn all<K: Pod, T: Ord>(
    map: &PerCpuHashMap<MapData, K, Count>,
    layout: &Layout,
    of: impl Fn(K) -> Option<T>,
) -> Result<BTreeMap<T, Volume>, Error> {
    let failed = |source| Error::Map { what: "read", map: layout.name, source };
    let mut volumes = BTreeMap::new();
    for key in map.keys() {
        let key = key.map_err(failed)?;
        let counts = match map.get(&key, 0) {
            Ok(counts) => counts,
            // The programs forget what is oldest.
            Err(MapError::KeyNotFound) => continue,
            Err(error) => return Err(failed(error)),
        };
        let Some(what) = of(key) else { continue };
        let volume: &mut Volume = volumes.entry(what).or_default();
        for count in counts.iter() {
            volume.add(Volume { packets: count.packets, bytes: count.bytes });
        }
    }
    Ok(volumes)
}
