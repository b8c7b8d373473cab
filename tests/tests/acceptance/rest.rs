//! What is left when all that a scenario made was removed: nothing.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapInfo;
use rusqlite::{Connection, OpenFlags};
use testbed::{Host, Lab, eventually};

use crate::stage::{json, names};

/// Removes every sandbox, every service and every network, as a person would.
pub(crate) fn clear(lab: &Lab) -> Result<()> {
    for host in lab.hosts() {
        for sandbox in names(host, "sandbox")? {
            host.ok(["sandbox", "rm", &sandbox])?;
        }
    }
    // Each host sees the networks of all, and its own.
    for host in lab.hosts() {
        let services = json(host, &["service", "ls"])?;
        for service in services.as_array().context("no list")? {
            let text =
                |key| service.get(key).and_then(serde_json::Value::as_str).unwrap_or_default();
            let reference = format!("{}.{}", text("name"), text("network_name"));
            host.ok(["service", "unpublish", "-f", &reference])?;
        }
        let networks = names(host, "network")?;
        if !networks.is_empty() {
            host.ok(["network", "rm"].into_iter().chain(networks.iter().map(String::as_str)))?;
        }
    }
    Ok(())
}

/// Fails unless store, kernel and directories are as they were before the first request. Returns the kernel's ids of
/// the daemons' maps.
pub(crate) fn check(lab: &Lab) -> Result<Vec<u32>> {
    let keys = keys(lab)?;
    // What stays are the hosts, and the number by which makers of pools notice each other.
    let stays = |key: &str| key.contains("hosts/") || key.ends_with("ipam/pools-serial");
    let left: Vec<_> = keys.iter().filter(|key| !stays(key)).collect();
    ensure!(left.is_empty(), "the store still has {left:?}");
    let mut maps = Vec::new();
    for host in lab.hosts() {
        at_rest(host).with_context(|| format!("on {}", host.name()))?;
        maps.extend(map_ids(host)?);
    }
    Ok(maps)
}

/// All keys of the store, without the prefix that etcd's have.
fn keys(lab: &Lab) -> Result<Vec<String>> {
    if let Some(etcd) = lab.etcd() {
        let text = etcd.ctl(["get", "--prefix", "--keys-only", ""])?;
        return Ok(text.lines().filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect());
    }
    let file = lab.dir().join("store.db");
    let store = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    store.busy_timeout(Duration::from_secs(5))?;
    let mut query = store.prepare("SELECT CAST(key AS TEXT) FROM entries")?;
    let keys = query.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(keys)
}

fn at_rest(host: &Host) -> Result<()> {
    // On other hosts than the one that was asked, the kernel follows the store a moment later.
    eventually("only the daemon's own devices stand", Duration::from_secs(5), || {
        let links = host.run(["ip", "-brief", "link"])?.ok()?;
        let device = |line: &str| line.split([' ', '@']).next().map(ToOwned::to_owned);
        let mut links: Vec<_> = links.lines().filter_map(device).collect();
        links.retain(|name| !["lo", "eth0", "netctl-vx"].contains(&name.as_str()));
        ensure!(links.is_empty(), "these stand: {links:?}");
        let rules = host.run(["ip", "-6", "rule"])?.ok()?;
        ensure!(!rules.contains("iif"), "rules stand: {rules}");
        let filter = host.run(["nft", "list", "ruleset"])?.ok()?;
        ensure!(filter.is_empty(), "nftables has {filter}");
        for family in ["ipv4/conf/eth0/forwarding", "ipv6/conf/eth0/force_forwarding"] {
            let forwards = host.run(["cat", &format!("/proc/sys/net/{family}")])?.ok()?;
            ensure!(forwards.trim() == "0", "{family} is {forwards}");
        }
        for map in ["fdb", "neigh"] {
            let rows = json(host, &[map])?;
            ensure!(rows.as_array().is_some_and(Vec::is_empty), "{map}: {rows}");
        }
        let ports: Vec<_> = pins(host, "links")?
            .into_iter()
            .filter(|(name, _)| name.starts_with("port-"))
            .collect();
        ensure!(ports.is_empty(), "links are pinned: {ports:?}");
        Ok(())
    })?;
    for dir in [host.dir("netns"), host.dir("run").join("sandboxes")] {
        let left = entries(&dir)?;
        ensure!(left.is_empty(), "{} holds {left:?}", dir.display());
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<String>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let name = |entry: std::io::Result<fs::DirEntry>| {
        Ok(entry?.file_name().to_string_lossy().into_owned())
    };
    fs::read_dir(dir)?.map(name).collect()
}

/// What a daemon has pinned as `kind`, `maps` or `links`: names and paths.
pub(crate) fn pins(host: &Host, kind: &str) -> Result<Vec<(String, std::path::PathBuf)>> {
    let dir = host.dir("bpf").join(format!("v{}", netctl_common::ABI_VERSION)).join(kind);
    let mut names = entries(&dir)?;
    names.sort();
    Ok(names.into_iter().map(|name| (name.clone(), dir.join(name))).collect())
}

/// The kernel's ids of a daemon's maps, by name.
pub(crate) fn map_ids(host: &Host) -> Result<Vec<u32>> {
    let maps = pins(host, "maps")?;
    ensure!(!maps.is_empty(), "{} has pinned no map", host.name());
    maps.into_iter().map(|(_, path)| Ok(MapInfo::from_pin(path)?.id())).collect()
}

/// Fails unless the kernel forgets the maps with these ids.
pub(crate) fn unloaded(maps: &[u32]) -> Result<()> {
    eventually("the kernel forgets the maps", Duration::from_secs(5), || {
        let left: Vec<_> = maps.iter().filter(|id| MapInfo::from_id(**id).is_ok()).collect();
        ensure!(left.is_empty(), "it still has {left:?}");
        Ok(())
    })
}
