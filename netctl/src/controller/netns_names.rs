//! Finding the namespaces of sandboxes by ip-netns(8): by the sandbox's identifier, and by its name.
//!
//! In the directory of namespaces the identifier is the namespace itself, or a symbolic link to where it was given; the
//! name is a symbolic link to the identifier. What others have there by the same name stays.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::model::Sandbox;

/// Makes a sandbox's links in `dir`.
pub(super) fn link(dir: &Path, sandbox: &Sandbox) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (at, to) in links(dir, sandbox) {
        match symlink(&to, &at) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(&at).ok().as_ref() != Some(&to) {
                    tracing::info!(
                        sandbox = %sandbox.name, path = %at.display(),
                        "the name is taken by another namespace: `ip netns` has the sandbox by its id alone"
                    );
                }
            }
            made => made?,
        }
    }
    Ok(())
}

/// Removes them.
pub(super) fn unlink(dir: &Path, sandbox: &Sandbox) -> io::Result<()> {
    for (at, to) in links(dir, sandbox) {
        if fs::read_link(&at).ok().as_ref() == Some(&to) {
            fs::remove_file(&at)?;
        }
    }
    Ok(())
}

/// Where links stand, and where each leads.
fn links(dir: &Path, sandbox: &Sandbox) -> Vec<(PathBuf, PathBuf)> {
    let id = dir.join(sandbox.id.as_str());
    let mut links = vec![(dir.join(sandbox.name.as_str()), sandbox.id.as_str().into())];
    if sandbox.netns != id {
        links.push((id, sandbox.netns.clone()));
    }
    links
}
