//! The kernel, and what the machine has left.

use std::{ffi::OsStr, fs, path::Path};

use nix::sys::{statvfs::statvfs, utsname::uname};

use super::{Finding, unseen};
use crate::{
    kernel::unstartable,
    model::{DaemonNote, HostName},
};

/// The oldest kernel with TCX.
const OLDEST: (u32, u32) = (6, 6);
/// What the state directory is to have left, in bytes: some hundred records.
const ROOM: u64 = 1 << 20;
/// The share of a table, in percent, from which on it is as good as full.
const FULL: u64 = 95;

struct Facts {
    release: String,
    /// `net.core.bpf_jit_enable`, where this namespace shows it.
    jit: Option<String>,
    nft: bool,
    state_dir: String,
    /// What the state directory's file system has left: bytes, and files.
    room: Option<(u64, u64)>,
    /// Flows that the kernel follows, and how many it can.
    flows: Option<(u64, u64)>,
    /// Neighbours that the kernel knows, and how many it can, where this namespace shows it.
    neighbours: Option<(u64, u64)>,
}

pub(super) async fn examine(note: &DaemonNote) -> Result<Vec<Finding>, String> {
    let (host, note) = (note.host.clone(), note.clone());
    let gathered = tokio::task::spawn_blocking(move || gather(&note)).await.map_err(unseen)??;
    Ok(judge(&host, &gathered))
}

fn gather(note: &DaemonNote) -> Result<Facts, String> {
    let name = uname().map_err(unseen)?;
    let disk = statvfs(existing(&note.state_dir)).ok();
    let room = disk.map(|disk| {
        // A file system without a number of files says that there are none.
        let files = if disk.files() == 0 { u64::MAX } else { disk.files_available() };
        (disk.blocks_available() * disk.fragment_size(), files)
    });
    Ok(Facts {
        release: name.release().to_string_lossy().into_owned(),
        jit: text("/proc/sys/net/core/bpf_jit_enable"),
        nft: unstartable(OsStr::new("nft")).is_none(),
        state_dir: note.state_dir.display().to_string(),
        room,
        flows: number("/proc/sys/net/netfilter/nf_conntrack_count")
            .zip(number("/proc/sys/net/netfilter/nf_conntrack_max")),
        neighbours: neighbours().zip(number("/proc/sys/net/ipv4/neigh/default/gc_thresh3")),
    })
}

/// The directory, or the first above it that is there.
fn existing(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.exists()).unwrap_or(Path::new("/"))
}

fn text(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

fn number(path: &str) -> Option<u64> {
    text(path)?.parse().ok()
}

/// The entries of the kernel's table, which it says in hexadecimal, the same for each processor.
fn neighbours() -> Option<u64> {
    let table = text("/proc/net/stat/arp_cache")?;
    u64::from_str_radix(table.lines().nth(1)?.split_whitespace().next()?, 16).ok()
}

fn judge(host: &HostName, facts: &Facts) -> Vec<Finding> {
    let Facts { release, state_dir, .. } = facts;
    let finding = |id, object: &str, what: String, why, mend: String| {
        Finding::new(id, object, what, why, host, mend)
    };
    let mut found = Vec::new();
    if version(release).is_some_and(|version| version < OLDEST) {
        found.push(finding(
            "kernel-too-old",
            release,
            format!("the kernel is Linux {release}"),
            "it has no TCX, which Linux 6.6 brought: no program can be attached",
            "apt install -t bookworm-backports linux-image-amd64 && reboot".to_owned(),
        ));
    }
    if facts.jit.as_deref() == Some("0") {
        found.push(finding(
            "bpf-jit-off",
            "net.core.bpf_jit_enable",
            "the kernel interprets eBPF programs: net.core.bpf_jit_enable is 0".to_owned(),
            "each packet costs several times as much",
            "sysctl -w net.core.bpf_jit_enable=1".to_owned(),
        ));
    }
    if !facts.nft {
        found.push(finding(
            "nft-missing",
            "nft",
            "there is no program nft in PATH".to_owned(),
            "networks have no way out and published ports are not reached",
            "apt install nftables".to_owned(),
        ));
    }
    if let Some((bytes, files)) = facts.room
        && (bytes < ROOM || files == 0)
    {
        found.push(finding(
            "state-disk-full",
            state_dir,
            format!("the file system of {state_dir} has {bytes} bytes and {files} files left"),
            "no sandbox can be made or changed",
            format!("du -xh {state_dir} | sort -h | tail    # and remove what is not needed"),
        ));
    }
    found.extend(facts.flows.filter(full).map(|(count, most)| {
        finding(
            "conntrack-full",
            "nf_conntrack",
            format!("the kernel follows {count} flows, and can {most}"),
            "new connections to the outside and to published ports are dropped",
            format!("sysctl -w net.netfilter.nf_conntrack_max={}", most * 2),
        )
    }));
    found.extend(facts.neighbours.filter(full).map(|(count, most)| {
        finding(
            "neighbours-full",
            "neigh",
            format!("the kernel knows {count} neighbours, and can {most}"),
            "hosts and containers that are new to it are not reached",
            format!("sysctl -w net.ipv4.neigh.default.gc_thresh3={}", most * 4),
        )
    }));
    found
}

/// Whether a table is as good as full.
fn full(&(count, most): &(u64, u64)) -> bool {
    most > 0 && count.saturating_mul(100) >= most.saturating_mul(FULL)
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Facts {
        Facts {
            release: "6.12.9-amd64".to_owned(),
            jit: Some("1".to_owned()),
            nft: true,
            state_dir: "/var/lib/netctl".to_owned(),
            room: Some((1 << 30, 100_000)),
            flows: Some((10, 65_536)),
            neighbours: Some((10, 1024)),
        }
    }

    #[test]
    fn each_fault_of_the_machine_is_named_and_no_other() {
        let host: HostName = "h1".parse().expect("a name");
        let ids = |facts: &Facts| judge(&host, facts).into_iter().map(|f| f.id).collect::<Vec<_>>();
        assert_eq!(ids(&sound()), [""; 0]);
        let unknown = Facts { jit: None, room: None, flows: None, neighbours: None, ..sound() };
        assert_eq!(ids(&unknown), [""; 0]);
        for (facts, id) in [
            (Facts { release: "6.1.0-18".to_owned(), ..sound() }, "kernel-too-old"),
            (Facts { release: "5.15".to_owned(), ..sound() }, "kernel-too-old"),
            (Facts { jit: Some("0".to_owned()), ..sound() }, "bpf-jit-off"),
            (Facts { nft: false, ..sound() }, "nft-missing"),
            (Facts { room: Some((4096, 100)), ..sound() }, "state-disk-full"),
            (Facts { room: Some((1 << 30, 0)), ..sound() }, "state-disk-full"),
            (Facts { flows: Some((65_000, 65_536)), ..sound() }, "conntrack-full"),
            (Facts { neighbours: Some((1024, 1024)), ..sound() }, "neighbours-full"),
        ] {
            assert_eq!(ids(&facts), [id]);
        }
    }

    #[test]
    fn a_release_has_its_version_first() {
        for (release, expected) in [
            ("6.18.44-fc-v657", Some((6, 18))),
            ("6.6", Some((6, 6))),
            ("7.0-rc1", Some((7, 0))),
            ("unknown", None),
        ] {
            assert_eq!(version(release), expected, "{release}");
        }
    }
}
