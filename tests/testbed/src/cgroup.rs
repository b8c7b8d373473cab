//! The control groups of a run's engines: no namespace holds them, so they are found by their name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{eventually, ignore};

/// The group that all of them are in.
const ALL: &str = "netctl-testbed";

/// The group of the run in a directory, from the root of each hierarchy.
pub(crate) fn of(run: &Path) -> String {
    format!("/{ALL}/{}", run.to_string_lossy().trim_matches('/').replace('/', "-"))
}

/// Where the groups of a run are.
pub(crate) fn dirs(run: &Path) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = fs::read_dir(root).into_iter().flatten().flatten();
    let all = hierarchies.map(|entry| entry.path()).chain([root.to_owned()]);
    let own = of(run);
    all.map(|root| root.join(own.trim_start_matches('/'))).filter(|dir| dir.is_dir()).collect()
}

/// Removes the groups of a run, as soon as their processes are gone.
pub(crate) fn remove(run: &Path) -> Result<()> {
    for dir in dirs(run) {
        eventually("control groups go", Duration::from_secs(10), || remove_tree(&dir))?;
        if let Some(all) = dir.parent() {
            // Other runs may have groups there.
            ignore(fs::remove_dir(all));
        }
    }
    Ok(())
}

/// A group's files are the kernel's: it goes by rmdir(2) once there is none below it.
fn remove_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)?.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path())?;
        }
    }
    match fs::remove_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
