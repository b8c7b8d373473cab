//! What netctl keeps in a lab's store, as the store's own tools tell it.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use testbed::Lab;

/// Keys, without what stands before all of them, and their values.
pub(crate) type Dump = BTreeMap<String, String>;

/// All of it, but for the hosts' signs of life, and the serial of the pools.
pub(crate) fn dump(lab: &Lab) -> Result<Dump> {
    // Of several, some may be away.
    let mut asked = lab.etcds().iter().map(|etcd| etcd.ctl(["get", "--prefix", "/netctl/v1/"]));
    let mut all = match asked.next() {
        Some(first) => {
            let text = first.or_else(|error| asked.find(Result::is_ok).unwrap_or(Err(error)))?;
            let lines: Vec<&str> = text.lines().collect();
            let pairs = lines.chunks_exact(2);
            ensure!(pairs.remainder().is_empty(), "a value has several lines: {text}");
            pairs
                .map(|pair| (pair[0].replacen("/netctl/v1/", "", 1), pair[1].to_owned()))
                .collect::<Dump>()
        }
        None => rows(&lab.dir().join("store.db"))?,
    };
    all.retain(|key, _| !key.starts_with("hosts/") && key != "ipam/pools-serial");
    Ok(all)
}

fn rows(file: &Path) -> Result<Dump> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let store = rusqlite::Connection::open_with_flags(file, flags)?;
    let mut query = store.prepare("SELECT key, value FROM entries")?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let rows = query.query_map([], |row| Ok((text(row.get(0)?), text(row.get(1)?))))?;
    rows.collect::<Result<_, _>>().context("cannot read the store's file")
}
