//! What there is in the store, in the kernel and on disk, so that nothing of an engine's is left that was not there before.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context as _, Result};
use testbed::{Host, Lab};

use crate::stored::{self, Dump};

/// All of it, but for what comes and goes by itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Left {
    store: Dump,
    hosts: Vec<BTreeSet<String>>,
}

pub(crate) fn of(lab: &Lab) -> Result<Left> {
    Ok(Left {
        store: stored::dump(lab)?,
        hosts: lab.hosts().iter().map(on).collect::<Result<_>>()?,
    })
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
