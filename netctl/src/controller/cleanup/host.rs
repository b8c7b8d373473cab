//! What is in the host's kernel, and on its disk.

use std::{
    fs, io,
    os::unix::{fs::FileTypeExt as _, net::UnixStream},
    path::{Path, PathBuf},
};

use super::Cleaned;
use crate::{
    controller::{
        Config, VXLAN_DEVICE, big_tcp, netns_names, note, outside,
        records::{Record, Records},
    },
    crash, dataplane, drivers,
    kernel::{self, Link, Netlink, Netns},
};

/// What a daemon keeps in its run directory, but for its claim on it.
const RUN_FILES: [&str; 3] = [note::FILE, big_tcp::FILE, outside::LENT];

/// What pins lie on.
const BPF_FS: &str = "bpf file system";

pub(super) struct Cleaner<'a> {
    pub(super) config: &'a Config,
    pub(super) netlink: Netlink,
    pub(super) records: &'a Records,
}

impl Cleaner<'_> {
    /// Takes all of it away. Where not all was `given_back` in the store, the records that say so stay.
    pub(super) async fn clean(&self, given_back: bool, sockets: &[PathBuf], cleaned: &mut Cleaned) {
        // What guards goes after what it guards.
        self.clean_dataplane(cleaned).await;
        self.clean_links(cleaned).await;
        self.clean_ways(cleaned).await;
        self.clean_underlay(cleaned).await;
        self.clean_sandboxes(given_back, cleaned);
        self.clean_files(sockets, cleaned);
    }

    async fn clean_dataplane(&self, cleaned: &mut Cleaned) {
        let removed = dataplane::remove(&self.config.bpf_dir).await;
        let Some(unpinned) = cleaned.note(removed) else { return };
        for pins in unpinned.pins {
            cleaned.removed("links and maps", pins.display().to_string());
        }
        for place in unpinned.unmounted {
            cleaned.removed(BPF_FS, place.display().to_string());
        }
        for place in unpinned.in_use {
            let why = "others use it, after whom `umount` takes it away";
            cleaned.stays(BPF_FS, place.display().to_string(), why);
        }
    }

    async fn clean_links(&self, cleaned: &mut Cleaned) {
        let links = cleaned.note(self.netlink.links().await).unwrap_or_default();
        for link in links.iter().filter(|link| is_ours(link)) {
            // Of a pair, the second is gone with the first.
            if let Some(true) = cleaned.note(self.netlink.delete_link(&link.name).await) {
                cleaned.removed("device", link.name.clone());
            }
        }
        let forbidden = cleaned.note(self.netlink.forbidden_forwarding6().await);
        for device in forbidden.into_iter().flatten().filter(|device| drivers::is_ours(device)) {
            let allowed = self.netlink.allow_forwarding6(&device).await;
            if cleaned.note(allowed).is_some() {
                cleaned.removed("routing rule", format!("for {device}"));
            }
        }
    }

    async fn clean_ways(&self, cleaned: &mut Cleaned) {
        let lent = self.config.run_dir.join(outside::LENT);
        match outside::remove(&self.netlink, &lent).await {
            Ok(removed) => removed.into_iter().for_each(|(kind, name)| cleaned.removed(kind, name)),
            Err(kernel::Error::NftMissing) => {
                let why = "there is no program nft to look whether it stands, and to remove it";
                cleaned.stays("nftables table", "inet netctl", why);
            }
            Err(error) => cleaned.failed.push(error.to_string()),
        }
    }

    async fn clean_underlay(&self, cleaned: &mut Cleaned) {
        let restored = big_tcp::restore(&self.netlink, &self.config.run_dir).await;
        if let Some(Some(device)) = cleaned.note(restored) {
            cleaned.removed("larger packets", format!("of {device}"));
        }
    }

    /// A namespace that others are in lives on with them, without its interfaces.
    fn clean_sandboxes(&self, given_back: bool, cleaned: &mut Cleaned) {
        for record in self.records.all() {
            let sandbox = &record.sandbox;
            let removed = self.remove_namespace(&record);
            if let Some(true) = cleaned.note(removed) {
                cleaned.removed("namespace", sandbox.netns.display().to_string());
            }
            if !given_back {
                let why = "it says what is to be given back in the store";
                cleaned.stays("record of sandbox", sandbox.name.to_string(), why);
            } else if cleaned.note(self.records.remove(&sandbox.id)).is_some() {
                cleaned.removed("sandbox", sandbox.name.to_string());
            }
        }
    }

    fn remove_namespace(&self, record: &Record) -> Result<bool, String> {
        let (dir, sandbox) = (&self.config.netns_dir, &record.sandbox);
        netns_names::unlink(dir, sandbox).map_err(|error| {
            format!(
                "cannot take back the names of sandbox {} in {}: {error}",
                sandbox.name,
                dir.display()
            )
        })?;
        let removed = if record.is_bound() { Netns::remove(&sandbox.netns) } else { Ok(false) };
        removed.map_err(|error| error.to_string())
    }

    fn clean_files(&self, sockets: &[PathBuf], cleaned: &mut Cleaned) {
        let run_dir = &self.config.run_dir;
        for dir in [self.records.synced_dir(), run_dir.join("sandboxes")] {
            note_file(&dir, fs::remove_dir_all(&dir), cleaned);
        }
        for file in RUN_FILES.map(|name| run_dir.join(name)) {
            for file in [file.with_extension("new"), file] {
                note_file(&file, fs::remove_file(&file), cleaned);
            }
        }
        for socket in sockets.iter().filter(|socket| is_abandoned(socket)) {
            note_file(socket, fs::remove_file(socket), cleaned);
        }
    }
}

fn note_file(path: &Path, removed: io::Result<()>, cleaned: &mut Cleaned) {
    crash::step("after a file is removed");
    match removed {
        Ok(()) => cleaned.removed("file", path.display().to_string()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => cleaned.failed.push(format!("cannot remove {}: {error}", path.display())),
    }
}

/// Whether a socket is there at which nobody listens; one that the service manager listens on stays with it.
fn is_abandoned(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && UnixStream::connect(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Whether a link is of our making: by its name, and by being what we make by that name.
fn is_ours(link: &Link) -> bool {
    if link.name == VXLAN_DEVICE {
        return link.vxlan.is_some_and(|vxlan| vxlan.flow_based);
    }
    drivers::is_made(link)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::{Sizes, Vxlan};

    #[test]
    fn devices_of_others_with_names_like_ours_are_told_from_ours() {
        let link = |name: &str, kind: &str, flow_based| Link {
            index: 2,
            name: name.to_owned(),
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
            kind: Some(kind.to_owned()),
            master: None,
            peer: None,
            vxlan: (kind == "vxlan").then_some(Vxlan { port: 4789, vni: None, flow_based }),
            sizes: Sizes::default(),
        };
        for (name, kind, flow_based, ours) in [
            ("netctl-vx", "vxlan", true, true),
            ("netctl-vx", "vxlan", false, false),
            ("netctl-vx", "dummy", false, false),
            ("netctl-vx2", "vxlan", true, false),
            ("nc0123456789ab", "veth", false, true),
            ("nc0123456789ab", "dummy", false, false),
            ("nh-001000", "veth", false, true),
            ("nh-001000", "bridge", false, false),
            ("netctl-hr0", "bridge", false, true),
            ("netctl-hv0", "vxlan", false, true),
            ("netctl-hv0", "bridge", false, false),
            ("ncuplink", "veth", false, false),
        ] {
            assert_eq!(is_ours(&link(name, kind, flow_based)), ours, "{name} {kind}");
        }
    }
}
