//! The forwarding database of a host, as its maps have it.

use std::{
    net::IpAddr,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail, ensure};
use aya::maps::{HashMap, Map, MapData, MapError};
use netctl_common::{
    ABI_VERSION, MacAddr,
    maps::{FDB, FdbEntry, FdbKey, FdbTarget, TunnelAddr, VTEP_BY_ADDR},
};

use crate::cluster::Expected;

/// Between two looks.
const PAUSE: Duration = Duration::from_micros(500);

pub(crate) struct Table {
    fdb: HashMap<MapData, FdbKey, FdbEntry>,
    vteps: HashMap<MapData, TunnelAddr, u32>,
}

impl Table {
    /// The maps that a daemon pins below its directory.
    pub(crate) fn open(pins: &Path) -> Result<Self> {
        let maps = pins.join(format!("v{ABI_VERSION}/maps"));
        let open = |name: &str| -> Result<Map> {
            let map = MapData::from_pin(maps.join(name))?;
            Ok(Map::from_map_data(map)?)
        };
        Ok(Self { fdb: open(FDB)?.try_into()?, vteps: open(VTEP_BY_ADDR)?.try_into()? })
    }

    /// Whether a station is behind this tunnel address, or behind none.
    pub(crate) fn says(&self, (vni, mac): (u32, MacAddr), at: Option<IpAddr>) -> Result<bool> {
        let found = absent(self.fdb.get(&FdbKey::from_wire(vni, mac), 0))?;
        let index = match found.map(|entry| entry.target()) {
            None => return Ok(at.is_none()),
            Some(FdbTarget::Remote(index)) => index,
            Some(other) => bail!("station {mac} of {vni} is at {other:?}"),
        };
        let Some(at) = at else { return Ok(false) };
        Ok(absent(self.vteps.get(&TunnelAddr::from(at), 0))? == Some(index))
    }

    /// How many stations are on other hosts.
    fn remote(&self) -> Result<usize> {
        let mut count = 0;
        for entry in self.fdb.iter() {
            count += usize::from(matches!(entry?.1.target(), FdbTarget::Remote(_)));
        }
        Ok(count)
    }
}

fn absent<T>(found: Result<T, MapError>) -> Result<Option<T>> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits until the maps, once there are any, say of each station where it is, and of none besides.
pub(crate) fn complete(pins: &Path, expected: &Expected, patience: Duration) -> Result<()> {
    let began = Instant::now();
    let mut missing: Vec<_> = expected.iter().collect();
    let table = loop {
        match Table::open(pins) {
            Ok(table) => break table,
            Err(error) => ensure!(began.elapsed() < patience, "no maps: {error}"),
        }
        sleep(PAUSE);
    };
    loop {
        while let Some((key, at)) = missing.last()
            && table.says(**key, Some(**at))?
        {
            missing.pop();
        }
        if missing.is_empty() && table.remote()? == expected.len() {
            return Ok(());
        }
        ensure!(began.elapsed() < patience, "{} stations are not as they should be", missing.len());
        sleep(PAUSE);
    }
}
