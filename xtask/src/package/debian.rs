//! The package for Debian, by deb(5): the files, and `deploy/debian`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::tree::Tree;
use super::{text, tool};
use crate::shell;

/// What dpkg runs or reads, with its permissions.
const CONTROL: &[(&str, u32)] =
    &[("conffiles", 0o644), ("postinst", 0o755), ("prerm", 0o755), ("postrm", 0o755)];

pub(super) fn build(tree: &Tree, version: &str, out: &Path) -> Result<PathBuf> {
    let own = shell::root().join("deploy/debian");
    let architecture = tool("dpkg", &["--print-architecture"])?;
    let architecture = architecture.trim();
    // A program runs with the C library that it was linked with, and with later ones.
    let libc = tool("dpkg-query", &["--show", "--showformat=${Version}", "libc6"])?;
    let libc = libc.split(['-', '+']).next().unwrap_or_default();
    let control = fs::read_to_string(own.join("control")).context("no deploy/debian/control")?;
    let control = control
        .replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@LIBC@", libc)
        .replace("@SIZE@", &tree.size()?.to_string());
    tree.write("DEBIAN/control", control.as_bytes())?;
    for (name, permissions) in CONTROL {
        tree.write_as(&format!("DEBIAN/{name}"), &fs::read(own.join(name))?, *permissions)?;
    }
    let package = out.join(format!("netctl_{version}_{architecture}.deb"));
    let words = ["--root-owner-group", "-Zzstd", "--build", text(tree.root())?, text(&package)?];
    tool("dpkg-deb", &words)?;
    Ok(package)
}
