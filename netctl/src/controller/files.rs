//! The files that a sandbox's processes see in place of the host's.

use std::{io, path::PathBuf};

use super::{
    Error, Result,
    records::{Record, Records},
};
use crate::{
    discovery::files::{self, OwnAddress},
    model::{HostName, Sandbox, SandboxId},
};

pub(super) const RESOLV_CONF: &str = "resolv.conf";
pub(super) const HOSTS: &str = "hosts";

/// What netctl knows of a sandbox's own names, and behind it what its maker told.
fn hosts(sandbox: &Sandbox, own: &[OwnAddress]) -> String {
    let hostname = sandbox.hostname.as_ref().map_or(sandbox.name.as_str(), HostName::as_str);
    let lines =
        sandbox.extra_hosts.iter().map(|entry| format!("{}\t{}\n", entry.address, entry.name));
    files::hosts(hostname, own) + &lines.collect::<String>()
}

impl Records {
    pub(super) fn files_dir(&self, id: &SandboxId) -> PathBuf {
        self.run_dir().join("sandboxes").join(id.as_str())
    }

    /// Makes a sandbox's files say what its record says.
    pub(super) fn write_files(&self, record: &Record) -> Result<()> {
        let gateways: Vec<_> =
            record.attachments.iter().flat_map(|a| a.gateways.iter().copied()).collect();
        let own: Vec<OwnAddress> = record
            .attachments
            .iter()
            .flat_map(|attachment| {
                let interface = &attachment.interface;
                interface.addresses.iter().map(|address| OwnAddress {
                    address: address.addr(),
                    service: interface.service.clone(),
                    network: interface.network.clone(),
                })
            })
            .collect();
        let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let search = files::search_domains(&host);
        let dir = self.files_dir(&record.sandbox.id);
        std::fs::create_dir_all(&dir)
            .and_then(|()| {
                let text = files::resolv_conf(&gateways, &record.sandbox, &search);
                files::write_in_place(&dir.join(RESOLV_CONF), &text)
            })
            .and_then(|()| files::write_in_place(&dir.join(HOSTS), &hosts(&record.sandbox, &own)))
            .map_err(|error| Error::internal(format!("cannot write to {}: {error}", dir.display())))
    }

    pub(super) fn remove_files(&self, id: &SandboxId) -> Result<()> {
        let dir = self.files_dir(id);
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::internal(format!("cannot remove {}: {error}", dir.display())))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
