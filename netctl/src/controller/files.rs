//! The files that a sandbox's processes see in place of the host's.

use std::{io, path::PathBuf};

use super::{
    Error, Result,
    records::{Record, Records},
};
use crate::{
    discovery::files::{self, OwnAddress},
    model::SandboxId,
};

pub(super) const RESOLV_CONF: &str = "resolv.conf";
pub(super) const HOSTS: &str = "hosts";

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
            .and_then(|()| {
                files::write_in_place(
                    &dir.join(HOSTS),
                    &files::hosts(record.sandbox.name.as_str(), &own),
                )
            })
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
