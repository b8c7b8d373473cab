//! What the kernel says of the way to each other host, as the maps hold it.
//!
//! These maps are not pinned: a daemon that starts begins with none of it, and one that is gone leaves what nobody uses
//! any more once its lease is over.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use netctl_common::maps::{NEXT_HOPS, NEXT_HOPS_UNTIL, NextHop};
use nix::time::{ClockId, clock_gettime};

use super::Error;
use crate::model::MacAddr;

/// For how long what the maps hold is used without being vouched for again.
const LEASE: Duration = Duration::from_secs(3);

/// The way to another host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Path {
    /// To whom its packets are handed on the underlay; `None` where the kernel has to be asked for each of them.
    pub next_hop: Option<MacAddr>,
    /// What fits a packet to it, in bytes from the outer network layer on, where that is less than the underlay's MTU may
    /// be.
    pub mtu: Option<u32>,
}

/// The maps.
pub(super) struct Paths {
    next_hops: Array<MapData, NextHop>,
    until: Array<MapData, u64>,
    known: BTreeMap<IpAddr, Path>,
}

impl Paths {
    pub(super) fn take(ebpf: &mut Ebpf) -> Result<Self, Error> {
        let mut map = |name| ebpf.take_map(name).ok_or(Error::Incomplete { what: "map", name });
        let opened = |map| move |source| Error::Map { what: "open", map, source };
        Ok(Self {
            next_hops: Array::try_from(map(NEXT_HOPS)?).map_err(opened(NEXT_HOPS))?,
            until: Array::try_from(map(NEXT_HOPS_UNTIL)?).map_err(opened(NEXT_HOPS_UNTIL))?,
            known: BTreeMap::new(),
        })
    }

    /// What is known of the way to a host.
    pub(super) fn to(&self, address: IpAddr) -> Path {
        self.known.get(&address).copied().unwrap_or_default()
    }

    /// The way to the host at `index`; `source` is the underlay device's own address.
    pub(super) fn set(
        &mut self,
        address: IpAddr,
        index: u32,
        path: Path,
        source: MacAddr,
    ) -> Result<(), Error> {
        let next_hop = path.next_hop.map_or(NextHop::UNKNOWN, |mac| NextHop::new(mac, source));
        self.write(index, next_hop)?;
        self.known.insert(address, path);
        Ok(())
    }

    /// The index is given up, and may be another host's later.
    pub(super) fn forget(&mut self, address: IpAddr, index: u32) -> Result<(), Error> {
        self.known.remove(&address);
        self.write(index, NextHop::UNKNOWN)
    }

    fn write(&mut self, index: u32, next_hop: NextHop) -> Result<(), Error> {
        let written = |source| Error::Map { what: "write", map: NEXT_HOPS, source };
        self.next_hops.set(index, next_hop, 0).map_err(written)
    }

    /// Has what is held be used until this time, by [`lease`], or not any more, with 0.
    pub(super) fn vouch(&mut self, until: u64) -> Result<(), Error> {
        let written = |source| Error::Map { what: "write", map: NEXT_HOPS_UNTIL, source };
        self.until.set(0, until, 0).map_err(written)
    }
}

/// Until when what is true now may be used, in nanoseconds of the clock that the programs read.
pub(super) fn lease() -> u64 {
    // Theirs is coarser, and a little late: `ktime_get_coarse_ns`.
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map(Duration::from);
    let until = now.map_or(Duration::ZERO, |now| now + LEASE);
    u64::try_from(until.as_nanos()).unwrap_or(u64::MAX)
}
