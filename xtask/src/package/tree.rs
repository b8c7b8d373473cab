//! The files as they are installed, below one directory.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::{text, tool};
use crate::shell;

/// From the project to where it is installed.
const COPIES: &[(&str, &str)] = &[
    ("deploy/netctl.service", "lib/systemd/system/netctl.service"),
    ("deploy/netctl.socket", "lib/systemd/system/netctl.socket"),
    ("deploy/netctl-docker.socket", "lib/systemd/system/netctl-docker.socket"),
    ("deploy/netctl.toml", "etc/netctl/netctl.toml"),
    ("deploy/docker/netctl.spec", "usr/lib/docker/plugins/netctl.spec"),
    ("deploy/grafana/netctl.json", "usr/share/netctl/grafana/netctl.json"),
    ("README.md", "usr/share/doc/netctl/README.md"),
    ("LICENSE-MIT", "usr/share/doc/netctl/LICENSE-MIT"),
    ("LICENSE-APACHE", "usr/share/doc/netctl/LICENSE-APACHE"),
];
/// The completions of each shell.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/netctl"),
    ("zsh", "usr/share/zsh/vendor-completions/_netctl"),
    ("fish", "usr/share/fish/vendor_completions.d/netctl.fish"),
];
const PROGRAM: &str = "usr/bin/netctl";
/// Where Debian's runtimes look for CNI plugins.
const CNI: &str = "usr/lib/cni/netctl-cni";
const MANUAL: &str = "usr/share/man/man1";

/// The directory, made anew.
pub(super) struct Tree {
    root: PathBuf,
}

impl Tree {
    pub(super) fn make(root: &Path, binary: &Path) -> Result<Self> {
        if root.exists() {
            fs::remove_dir_all(root).with_context(|| format!("cannot empty {}", root.display()))?;
        }
        let tree = Self { root: root.to_owned() };
        let program = tree.place(PROGRAM)?;
        fs::copy(binary, &program)?;
        tool("strip", &[text(&program)?])?;
        mode(&program, 0o755)?;
        symlink("../../bin/netctl", tree.place(CNI)?)?;
        for (from, to) in COPIES {
            tree.write(to, &fs::read(shell::root().join(from))?)?;
        }
        for (shell, to) in COMPLETIONS {
            tree.write(to, tool(text(&program)?, &["completions", shell])?.as_bytes())?;
        }
        let manual = tree.place(MANUAL)?;
        fs::create_dir_all(&manual)?;
        tool(text(&program)?, &["man", text(&manual)?])?;
        for page in fs::read_dir(&manual)? {
            let page = page?.path();
            mode(&page, 0o644)?;
            tool("gzip", &["--best", "--no-name", text(&page)?])?;
        }
        Ok(tree)
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file that all may read.
    pub(super) fn write(&self, to: &str, bytes: &[u8]) -> Result<()> {
        self.write_as(to, bytes, 0o644)
    }

    /// Writes a file that has these permissions.
    pub(super) fn write_as(&self, to: &str, bytes: &[u8], permissions: u32) -> Result<()> {
        let path = self.place(to)?;
        fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        mode(&path, permissions)
    }

    /// How much it takes where it is installed, in KiB.
    pub(super) fn size(&self) -> Result<u64> {
        let said = tool("du", &["--summarize", "--block-size=1024", text(&self.root)?])?;
        let size = said.split_whitespace().next().and_then(|size| size.parse().ok());
        size.with_context(|| format!("du says {said:?}"))
    }

    pub(super) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.root)
            .with_context(|| format!("cannot remove {}", self.root.display()))
    }

    /// A file of it, whose directory is there.
    fn place(&self, to: &str) -> Result<PathBuf> {
        let path = self.root.join(to);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        Ok(path)
    }
}

fn mode(path: &Path, permissions: u32) -> Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(permissions))?)
}
