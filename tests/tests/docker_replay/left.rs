//! What there is in the store, in the kernel and on disk, so that nothing of an engine's is left that was not there before.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result};
use testbed::{Host, Lab};

/// All of it, but for what comes and goes by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    keys: BTreeMap<String, String>,
    hosts: Vec<BTreeSet<String>>,
}

pub(crate) fn of(lab: &Lab) -> Result<Left> {
    Ok(Left { keys: keys(lab)?, hosts: lab.hosts().iter().map(on).collect::<Result<_>>()? })
}

/// The store's keys and values.
pub(crate) fn keys(lab: &Lab) -> Result<BTreeMap<String, String>> {
    let mut all: BTreeMap<String, String> = match lab.etcd() {
        Some(etcd) => {
            let text = etcd.ctl(["get", "--prefix", "/netctl/v1/"])?;
            let lines: Vec<&str> = text.split('\n').collect();
            let pairs = lines.chunks_exact(2);
            pairs.map(|pair| (pair[0].replacen("/netctl/v1/", "", 1), pair[1].to_owned())).collect()
        }
        None => rows(&lab.dir().join("store.db"))?,
    };
    all.retain(|key, _| !key.starts_with("hosts/") && key != "ipam/pools-serial");
    Ok(all)
}

fn rows(file: &Path) -> Result<BTreeMap<String, String>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(file, flags)?;
    let mut query = store.prepare("SELECT key, value FROM entries")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let rows = query.query_map([], |row| Ok((text(row.get(0)?), text(row.get(1)?))))?;
    rows.collect::<Result<_, _>>().context("cannot read the store's file")
}

/// Links, rules of nftables, entries of maps and the daemon's files.
fn on(host: &Host) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for line in host.run(["ip", "-o", "link"])?.ok()?.lines() {
        let name = line.split(": ").nth(1).context("a line of `ip -o link`")?;
        found.insert(format!("link {}", name.split('@').next().unwrap_or_default()));
    }
    for line in host.run(["nft", "list", "tables"])?.ok()?.lines() {
        found.insert(line.to_owned());
    }
    for noun in ["fdb", "neigh"] {
        found.extend(host.ok([noun])?.lines().map(|line| format!("{noun} {line}")));
    }
    for name in ["run", "state", "netns"] {
        files(&host.dir(name), &mut found)?;
    }
    Ok(found)
}

fn files(dir: &Path, found: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files(&path, found)?;
        } else {
            found.insert(format!("file {}", path.display()));
        }
    }
    Ok(())
}
