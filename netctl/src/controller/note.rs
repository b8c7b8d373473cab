//! Word of where a daemon's things are, in its run directory: it is there too when the daemon is not.

use std::{fs, path::Path};

use super::{Config, Error, Result, keys};
use crate::{
    kernel::{Link, Netlink},
    model::{DaemonNote, Vteps},
};

/// Its name in the run directory.
pub(super) const FILE: &str = "daemon.json";

/// Writes it, by a new file that takes the old one's place.
pub(super) async fn write(
    config: &Config,
    netlink: &Netlink,
    underlay: &Link,
    vteps: Vteps,
) -> Result<()> {
    let mut addresses = netlink.addresses_of(underlay).await?;
    addresses.retain(|address| vteps.iter().any(|vtep| vtep == address.net.addr()));
    let note = DaemonNote {
        host: config.host.clone(),
        state_dir: config.state_dir.clone(),
        bpf_dir: config.bpf_dir.clone(),
        underlay: Some(underlay.name.clone()),
        addresses: addresses.into_iter().map(|address| address.net).collect(),
        vxlan_port: config.vxlan_port,
    };
    let file = config.run_dir.join(FILE);
    let new = file.with_extension("new");
    fs::write(&new, keys::write(&note))
        .and_then(|()| fs::rename(&new, &file))
        .map_err(|error| Error::internal(format!("cannot write {}: {error}", file.display())))
}

/// What the last daemon with this run directory wrote; `None` where none did since the machine is up.
pub fn noted(run_dir: &Path) -> Option<DaemonNote> {
    serde_json::from_slice(&fs::read(run_dir.join(FILE)).ok()?).ok()
}
